//! From one message to its receivers' outboxes. Steps 4 (match), 5 (split) and 6 (enqueue)
//! of the PUB path.
//!
//! Nothing here allocates per message: the match result is cached with ready-made line
//! prefixes, a delivery is a prefix and one copy of the message's tail.

use super::connection::{Connection, Connections};
use super::log::Level;
use super::operations::Flow;
use super::turn::EARLY_FLUSH_BYTES;
use super::{Edge, Engine, Limits, Lists};
use crate::client::{ChunkPool, CloseReason};
use crate::interest::{ConnKey, MatchHint, Subs, Target};
use crate::proto::quote::Printable;
use crate::proto::{Publish, encode};
use crate::time::Time;

/// The tail of a plain MSG.
enum PlainTail<'a> {
    /// As the publisher wrote it.
    Canonical(&'a [u8]),
    /// Written anew; not before somebody needs it.
    Scratch { bytes: &'a mut Vec<u8>, is_written: bool },
}

/// One message on its way, and all that a delivery touches.
struct Fanout<'a> {
    connections: &'a mut Connections,
    pool: &'a mut ChunkPool,
    lists: &'a mut Lists,
    publish: &'a Publish<'a>,
    plain: PlainTail<'a>,
    /// Tail of an HMSG; empty for a message without headers.
    headed: &'a [u8],
    /// The publisher, if its own messages do not come back to it.
    no_echo_to: Option<ConnKey>,
    limits: &'a Limits,
    now: Time,
    /// A reader that lags but reads.
    slowing: Option<ConnKey>,
    copies: u64,
    payload_bytes: u64,
    out_bytes: usize,
}

/// What a delivery leaves to be done.
pub(super) struct Delivered {
    /// Nothing.
    pub(super) is_plain: bool,
    /// A reader that lags but reads: its publisher should wait for it.
    slowing: Option<ConnKey>,
    /// Nobody got it, and its sender wants to know.
    is_unanswered: bool,
}

impl Engine {
    /// Hands a message to everyone who wants it.
    #[inline]
    pub(super) fn deliver(&mut self, key: ConnKey, publish: &Publish<'_>) -> Delivered {
        let mut delivered = Delivered { is_plain: true, slowing: None, is_unanswered: false };
        let Some(publisher) = self.connections.find_mut(key) else { return delivered };
        let found = self.interest.match_subject(publish.subject, &mut publisher.hint);
        let no_echo_to = (!publisher.client.echo).then_some(key);
        let wants_status = publish.reply.is_some() && publisher.client.no_responders;
        let (set, subs) = self.interest.matched(found);
        if set.is_empty() {
            delivered.is_unanswered = wants_status;
            delivered.is_plain = !wants_status;
            return delivered;
        }
        let mut headed_scratch = Vec::new();
        let (plain, headed) = match (publish.headers, publish.tail) {
            (None, Some(tail)) => (PlainTail::Canonical(tail), &[][..]),
            (_, tail) => {
                let headed = match (publish.has_headers(), tail) {
                    (false, _) => &[],
                    (true, Some(tail)) => tail,
                    (true, None) => {
                        write_tail(&mut headed_scratch, publish, true);
                        &headed_scratch[..]
                    }
                };
                (PlainTail::Scratch { bytes: &mut self.scratch, is_written: false }, headed)
            }
        };
        let mut fanout = Fanout {
            connections: &mut self.connections,
            pool: &mut self.pool,
            lists: &mut self.lists,
            publish,
            plain,
            headed,
            no_echo_to,
            limits: &self.limits,
            now: self.now,
            slowing: None,
            copies: 0,
            payload_bytes: 0,
            out_bytes: 0,
        };
        for target in &set.plain {
            fanout.enqueue(subs, target, set.prefix(target));
        }
        for group in &set.groups {
            // One member, from a random one on the first that can take it.
            let start = self.rng.below(group.members.len());
            let (before, from) = group.members.split_at(start);
            from.iter().chain(before).any(|member| fanout.enqueue(subs, member, set.prefix(member)));
        }
        let copies = fanout.copies;
        delivered.slowing = fanout.slowing;
        self.stats.out_msgs += copies;
        self.stats.out_bytes += fanout.payload_bytes;
        self.turn_out_bytes += fanout.out_bytes;
        delivered.is_unanswered = copies == 0 && wants_status;
        delivered.is_plain = !delivered.is_unanswered
            && delivered.slowing.is_none()
            && self.lists.expired.is_empty()
            && self.lists.overfull.is_empty()
            && self.lists.traced.is_empty();
        delivered
    }

    /// The rest of a publish whose delivery was not plain.
    #[inline(never)]
    pub(super) fn follow_up(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        publish: &Publish<'_>,
        delivered: Delivered,
    ) -> Flow {
        self.trace_deliveries(publish);
        self.remove_expired(key);
        self.cut_overfull(edge);
        if delivered.is_unanswered {
            self.tell_no_responders(key, publish.reply.unwrap_or_default());
        }
        if !self.is_open(key) {
            return Flow::Closed;
        }
        match delivered.slowing {
            Some(reader) if self.spend_credit(key, publish.body.len()) => self.slow_down(key, reader),
            _ => Flow::Continue,
        }
    }

    /// `<<- [MSG foo 1 5]` for those receivers whose lines are traced.
    fn trace_deliveries(&mut self, publish: &Publish<'_>) {
        let mut traced = std::mem::take(&mut self.lists.traced);
        for id in traced.drain(..) {
            let sub = self.interest.sub(id);
            let Some(connection) = self.connections.find(sub.conn()) else { continue };
            let verb = if publish.has_headers() && connection.client.headers { "HMSG" } else { "MSG" };
            let reply = publish.reply.map(|r| format!("{} ", Printable(r))).unwrap_or_default();
            let (subject, sid) = (Printable(publish.subject), Printable(sub.sid()));
            let text = format_args!("<<- [{verb} {subject} {sid} {reply}{}]", Printable(publish.size_text));
            self.log.add(Level::Trace, &connection.peer, text);
        }
        self.lists.traced = traced;
    }

    /// Whether a publisher that should wait has used up what it may send between two waits.
    fn spend_credit(&mut self, key: ConnKey, bytes: usize) -> bool {
        let Some(publisher) = self.connections.find_mut(key) else { return false };
        let is_spent = publisher.slow_credit_bytes <= bytes;
        publisher.slow_credit_bytes = publisher.slow_credit_bytes.saturating_sub(bytes);
        is_spent
    }

    /// Auto-unsubscribe: the last delivery of each has just been made.
    fn remove_expired(&mut self, publisher: ConnKey) {
        let mut expired = std::mem::take(&mut self.lists.expired);
        for id in expired.drain(..) {
            let sub = self.interest.sub(id);
            if let Some(publisher) = self.connections.find(publisher) {
                let sid = Printable(sub.sid());
                let text = format_args!("Auto-unsubscribe limit of {} reached for sid '{sid}'", sub.max);
                self.log.add(Level::Debug, &publisher.peer, text);
            }
            let Some(connection) = self.connections.find_mut(sub.conn()) else { continue };
            if connection.is_traced {
                let text = format_args!("<-> [DELSUB {}]", Printable(sub.sid()));
                self.log.add(Level::Trace, &connection.peer, text);
            }
            self.interest.remove(&mut connection.subs, id);
        }
        self.lists.expired = expired;
    }

    /// Ends connections that were given more than they may have pending: slow consumers,
    /// counted and logged once.
    pub(super) fn cut_overfull(&mut self, edge: &mut impl Edge) {
        let mut overfull = std::mem::take(&mut self.lists.overfull);
        for key in overfull.drain(..) {
            let Some(connection) = self.connections.find(key).filter(|c| c.is_open()) else { continue };
            self.stats.slow_consumers += 1;
            let max = self.limits.pending_bytes_max;
            let text = format_args!("Slow Consumer Detected: MaxPending of {max} Exceeded");
            self.log.add(Level::Info, &connection.peer, text);
            self.end_at_once(edge, key, CloseReason::SlowConsumerPending);
        }
        self.lists.overfull = overfull;
    }

    /// A request reached nobody: its sender gets a status message, if it listens for the reply.
    /// It counts for no maximum (nats-server 2.9 to 2.15).
    #[cold]
    fn tell_no_responders(&mut self, key: ConnKey, reply: &[u8]) {
        let found = self.interest.match_subject(reply, &mut MatchHint::default());
        let (set, _) = self.interest.matched(found);
        let Some(target) = set.plain.iter().find(|t| t.conn == key) else { return };
        let line = [set.prefix(target), encode::NO_RESPONDERS].concat();
        self.enqueue(key, &line);
    }
}

impl Fanout<'_> {
    /// One copy for one subscription; false if it cannot take it.
    #[inline]
    fn enqueue(&mut self, subs: &mut Subs, target: &Target, prefix: &[u8]) -> bool {
        let Some(connection) = self.connections.find_mut(target.conn) else { return false };
        if !connection.is_open() || self.no_echo_to == Some(target.conn) {
            return false;
        }
        let sub = &mut subs[target.sub];
        if sub.max != 0 && sub.delivered >= sub.max {
            return false;
        }
        sub.delivered += 1;
        if sub.delivered == sub.max {
            self.lists.expired.push(target.sub);
        }
        let before = connection.outbox.pending_bytes();
        let payload_bytes = if !self.headed.is_empty() && connection.client.headers {
            connection.outbox.push(self.pool, prefix, self.headed);
            self.publish.body.len()
        } else {
            let tail = match &mut self.plain {
                PlainTail::Canonical(tail) => tail,
                PlainTail::Scratch { bytes, is_written } => {
                    if !*is_written {
                        write_tail(bytes, self.publish, false);
                        *is_written = true;
                    }
                    &bytes[..]
                }
            };
            // `HMSG …` without its first letter is `MSG …`.
            connection.outbox.push(self.pool, &prefix[1..], tail);
            self.publish.body.len() - self.publish.headers.map_or(0, |h| h.len)
        };
        if connection.is_traced {
            self.lists.traced.push(target.sub);
        }
        connection.traffic.out_msgs += 1;
        connection.traffic.out_bytes += payload_bytes as u64;
        connection.last_activity = self.now;
        self.copies += 1;
        self.payload_bytes += payload_bytes as u64;
        let pending = connection.outbox.pending_bytes();
        self.out_bytes += pending - before;
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.lists.dirty.push(target.conn);
        }
        if pending >= EARLY_FLUSH_BYTES {
            self.note_large(target.conn, before, pending);
        }
        true
    }

    /// A batch that is worth a write of its own, or a reader that lags or is too slow.
    #[inline(never)]
    fn note_large(&mut self, key: ConnKey, before: usize, pending: usize) {
        let Some(connection) = self.connections.find_mut(key) else { return };
        let max = self.limits.pending_bytes_max;
        let lags = self.limits.slow_fast_publishers && pending > max / 4 * 3;
        if pending > max {
            if before <= max {
                self.lists.overfull.push(key);
            }
        } else if lags && reads(connection, self.now) {
            self.slowing = Some(key);
        }
        if !connection.is_blocked {
            self.lists.large.push(key);
        }
    }
}

/// Whether a connection with bytes pending accepted some lately. One that is stuck slows nobody.
fn reads(connection: &Connection, now: Time) -> bool {
    now.since(connection.last_progress) <= super::look::STUCK_AFTER
}

/// `[reply ][hdr ]size␍␊body␍␊`, with the header block or without it.
#[cold]
fn write_tail(out: &mut Vec<u8>, publish: &Publish<'_>, with_headers: bool) {
    out.clear();
    if let Some(reply) = publish.reply {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    let body = match publish.headers {
        Some(headers) if with_headers => {
            out.extend_from_slice(headers.size_text);
            out.push(b' ');
            out.extend_from_slice(publish.size_text);
            publish.body
        }
        Some(headers) if headers.len > 0 => {
            let payload = &publish.body[headers.len..];
            encode::push_decimal(out, payload.len());
            payload
        }
        _ => {
            out.extend_from_slice(publish.size_text);
            publish.body
        }
    };
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}
