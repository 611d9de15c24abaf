//! Answers to questions about a shard.

use super::Engine;
use super::connection::Connection;
use super::snapshot::{ConnQuery, ConnSnapshot, Page, ShardStats, SubSnapshot};
use crate::client::ClientTexts;
use crate::interest::ConnKey;
use crate::proto::encode;

impl Engine {
    /// The counters.
    pub fn stats(&self) -> ShardStats {
        ShardStats {
            closed: self.closed.len() as u64,
            interest: self.interest.stats(),
            ..self.stats
        }
    }

    /// A page of connections. Asking for open ones may PING those whose round trip is unknown,
    /// so the caller takes a turn after it.
    pub fn connections_page(&mut self, query: &ConnQuery) -> Page<ConnSnapshot> {
        let limit = query.limit as usize;
        if query.closed {
            return self.closed_page(query, limit);
        }
        let mut keys = self.connections.keys_from(query.from);
        let page: Vec<ConnKey> = keys.by_ref().take(limit).collect();
        let next = keys.next().map(|key| key.0);
        drop(keys);
        let mut items = Vec::with_capacity(page.len());
        for key in page {
            let Some(connection) = self.connections.find(key) else {
                continue;
            };
            if !connection.is_open() || query.cid.is_some_and(|cid| cid != connection.peer.cid) {
                continue;
            }
            let is_unmeasured = connection.ping.rtt().is_none()
                && !connection.ping.is_measuring()
                && !connection.client.lang().is_empty();
            let subject_bytes_max = if query.subjects { usize::MAX } else { 0 };
            items.extend(self.describe(key, subject_bytes_max));
            if query.measure_rtt && is_unmeasured {
                self.probe(key);
            }
        }
        Page { items, next }
    }

    fn closed_page(&mut self, query: &ConnQuery, limit: usize) -> Page<ConnSnapshot> {
        let items: Vec<ConnSnapshot> = self
            .closed
            .iter_mut_from(query.from)
            .take(limit)
            .filter(|entry| query.cid.is_none_or(|cid| cid == entry.cid))
            .map(|entry| {
                // Put aside: a page may hold thousands that nobody asked for.
                let subjects = std::mem::take(&mut entry.subjects);
                let mut copy = entry.clone();
                entry.subjects = subjects;
                if query.subjects {
                    copy.subjects.clone_from(&entry.subjects);
                }
                copy
            })
            .collect();
        let end = query.from.saturating_add(query.limit);
        Page {
            items,
            next: ((end as usize) < self.closed.len()).then_some(end),
        }
    }

    /// A page of subscriptions.
    pub fn subscriptions_page(&self, from: u32, limit: u32) -> Page<SubSnapshot> {
        let (ids, next) = self.interest.page(from, limit);
        let items = ids
            .into_iter()
            .filter_map(|id| {
                let sub = self.interest.sub(id);
                let connection = self.connections.find(sub.conn())?;
                Some(SubSnapshot {
                    subject: sub.subject().into(),
                    queue: sub.queue().map(Into::into),
                    sid: sub.sid().into(),
                    msgs: sub.delivered,
                    max: sub.max,
                    cid: connection.peer.cid,
                })
            })
            .collect();
        Page { items, next }
    }

    /// Everything `/connz` shows of one connection, and as many subjects as fit that many bytes.
    ///
    /// # Cost
    /// Linear in the subjects that fit, not in those there are.
    pub(super) fn describe(&self, key: ConnKey, subject_bytes_max: usize) -> Option<ConnSnapshot> {
        let connection: &Connection = self.connections.find(key)?;
        let mut room = subject_bytes_max;
        let subjects = self
            .interest
            .of_conn(&connection.subs)
            .map_while(|id| {
                let subject: Box<[u8]> = self.interest.sub(id).subject().into();
                room = room.checked_sub(subject.len() + size_of_val(&subject))?;
                Some(subject)
            })
            .collect();
        let ClientTexts {
            name,
            lang,
            version,
            ..
        } = connection
            .client
            .texts
            .as_deref()
            .cloned()
            .unwrap_or_default();
        Some(ConnSnapshot {
            cid: connection.peer.cid,
            ip: connection.peer.ip,
            port: connection.peer.port,
            start: connection.start,
            last_activity: connection.last_activity,
            stop: None,
            rtt: connection.ping.rtt(),
            pending_bytes: connection.outbox.pending_bytes() as u64,
            in_msgs: connection.traffic.in_msgs,
            in_bytes: connection.traffic.in_bytes,
            out_msgs: connection.traffic.out_msgs,
            out_bytes: connection.traffic.out_bytes,
            subscriptions: connection.subs.len() as u64,
            stalls: connection.stalls,
            name,
            lang,
            version,
            user: connection.user_name().into(),
            subjects,
        })
    }

    fn probe(&mut self, key: ConnKey) {
        let now = self.now;
        if let Some(connection) = self.connections.find_mut(key) {
            connection.ping.handle_probe(now);
            self.enqueue(key, encode::PING);
        }
    }
}
