//! How connections end, and what is remembered of them.
//!
//! An end has two sides. For everyone else it is immediate: the connection counts no more,
//! takes nothing more, and its subscriptions go, so many per turn. Its own last bytes are
//! still written, and its socket lingers so that they arrive.

use std::collections::VecDeque;
use std::time::Duration;

use super::connection::Life;
use super::snapshot::ConnSnapshot;
use super::{Edge, Engine, Opening};
use crate::client::CloseReason;
use crate::interest::ConnKey;
use crate::proto::encode;
use crate::time::Time;

/// How long a closed connection's input is read and thrown away, so that what was sent last arrives.
pub(super) const LINGER_MAX: Duration = Duration::from_secs(1);
/// Places by which the list of closed connections grows at most.
const CLOSED_GROWTH_MAX: usize = 4096;
/// Bytes of subjects kept of a closed connection, with what it takes to keep them.
const CLOSED_SUBJECT_BYTES_MAX: usize = 16 * 1024;

/// The last connections that ended, oldest first.
#[derive(Debug)]
pub(super) struct ClosedRing {
    entries: VecDeque<ConnSnapshot>,
    max: usize,
}

impl ClosedRing {
    pub(super) fn new(max: usize) -> Self {
        ClosedRing {
            entries: VecDeque::new(),
            max,
        }
    }

    fn push(&mut self, entry: ConnSnapshot) {
        if self.max == 0 {
            return;
        }
        if self.entries.len() >= self.max {
            self.entries.pop_front();
        }
        let held = self.entries.len();
        if held == self.entries.capacity() {
            // Doubling would end at more places than are ever used at once, and use them all in turn.
            let more = held.clamp(16, CLOSED_GROWTH_MAX).min(self.max - held);
            self.entries.reserve_exact(more);
        }
        self.entries.push_back(entry);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn iter_mut_from(&mut self, from: u32) -> impl Iterator<Item = &mut ConnSnapshot> {
        self.entries.iter_mut().skip(from as usize)
    }
}

impl Engine {
    /// Remembers a connection that ended before it could be opened.
    pub fn turn_away(&mut self, opening: &Opening, reason: CloseReason, start: Time, now: Time) {
        self.stats.connections_total += 1;
        let entry = ConnSnapshot::new(opening.cid, opening.ip, opening.port, start);
        self.closed.push(ConnSnapshot {
            stop: Some((now, reason)),
            ..entry
        });
    }

    /// Ends a connection with `-ERR '<text>'`.
    pub(super) fn end_with_error(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        text: &str,
        reason: CloseReason,
    ) {
        self.enqueue(key, &encode::error_line(text));
        self.end_lingering(edge, key, reason);
    }

    /// Ends a connection that still sends: what is pending is written, then the socket lingers.
    pub(super) fn end_lingering(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        reason: CloseReason,
    ) {
        self.end_in(edge, key, reason, true);
    }

    /// Ends a connection whose peer has said its last: what is pending is written.
    pub(super) fn end(&mut self, edge: &mut impl Edge, key: ConnKey, reason: CloseReason) {
        self.end_in(edge, key, reason, false);
    }

    fn end_in(&mut self, edge: &mut impl Edge, key: ConnKey, reason: CloseReason, lingers: bool) {
        let life = Life::Flushing {
            until: self.now + self.limits.write_deadline,
            lingers,
        };
        if !self.mark_ended(edge, key, reason, life) {
            return;
        }
        self.look_by(key, self.now + self.limits.write_deadline);
        self.hand_over_log(edge);
        self.flush(edge, key);
    }

    /// Cuts a connection: nothing more is written.
    pub(super) fn end_at_once(&mut self, edge: &mut impl Edge, key: ConnKey, reason: CloseReason) {
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        if connection.is_open() {
            self.mark_ended(edge, key, reason, Life::Open);
        }
        self.let_go(edge, key);
    }

    /// Everything about an end that others can see. False if it has happened before.
    fn mark_ended(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        reason: CloseReason,
        life: Life,
    ) -> bool {
        if !self
            .connections
            .find(key)
            .is_some_and(super::connection::Connection::is_open)
        {
            return false;
        }
        if let Some(mut entry) = self.describe(key, CLOSED_SUBJECT_BYTES_MAX) {
            entry.stop = Some((self.now, reason));
            self.closed.push(entry);
        }
        self.log_closed(key);
        let Some(connection) = self.connections.find_mut(key) else {
            return false;
        };
        connection.life = life;
        connection.ended = Some(reason);
        connection.pause = None;
        connection.has_backlog = false;
        connection.input = Vec::new();
        connection.client.texts = None;
        self.stats.connections -= 1;
        let waiting = std::mem::take(&mut connection.waiting);
        self.let_go_on(edge, waiting);
        let Some(connection) = self.connections.find(key) else {
            return false;
        };
        if !connection.subs.is_empty() {
            self.leaving.push_back(key);
        }
        edge.ended(key, reason);
        true
    }

    /// Ends the socket; the record follows when its subscriptions are gone.
    pub(super) fn let_go(&mut self, edge: &mut impl Edge, key: ConnKey) {
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        if connection.life == Life::Gone {
            return;
        }
        connection.life = Life::Gone;
        connection.outbox.clear(&mut self.pool);
        edge.cut(key);
        self.release_if_done(edge, key);
    }

    /// Forgets a connection of which nothing is left.
    pub(super) fn release_if_done(&mut self, edge: &mut impl Edge, key: ConnKey) {
        let is_done = self
            .connections
            .find(key)
            .is_some_and(|c| c.life == Life::Gone && c.subs.is_empty());
        if is_done {
            self.connections.remove(key);
            edge.release(key);
        }
    }
}
