//! From outboxes to sockets. Step 9 (flush) of the PUB path.
//!
//! Each connection with something pending is written to once at the end of the turn, or of one of the
//! next if they are many, or when its batch has grown large. Between shards, lanes are published before any of this.

use std::io::IoSlice;

use super::connection::{Life, Pause, Waiting};
use super::{Edge, Engine, Mutant, Sent};
use crate::client::CloseReason;
use crate::client::outbox::SLICES_MAX;
use crate::interest::ConnKey;

/// What a write to a socket is counted as besides its bytes.
const FLUSH_WORK: usize = 8 * 1024;
/// Bytes written to one connection before others have their turn.
const FLUSH_BYTES_MAX: usize = 512 * 1024;

impl Engine {
    /// Flushes connections that got something, oldest first, and as many as a turn has time for: a fan-out to a
    /// thousand of them is a thousand system calls, and readers that have caught up may take all that waits for
    /// them at once.
    pub(super) fn flush_dirty(&mut self, edge: &mut impl Edge) {
        self.cut_overfull(edge);
        self.hand_over_log(edge);
        // Each of these is dirty, too.
        self.lists.large.clear();
        let mut urgent = std::mem::take(&mut self.lists.urgent);
        for key in urgent.drain(..) {
            self.flush(edge, key);
        }
        self.lists.urgent = urgent;
        // Whatever a flush itself adds is for the next call.
        for _ in 0..self.lists.dirty.len() {
            if self.flush_left == 0 {
                return;
            }
            let Some(key) = self.lists.dirty.pop_front() else {
                return;
            };
            if let Some(connection) = self.connections.find_mut(key) {
                connection.is_dirty = false;
                self.flush(edge, key);
            }
        }
    }

    /// Log lines go first, then the answers they explain.
    pub(super) fn hand_over_log(&mut self, edge: &mut impl Edge) {
        if !self.log.lines.is_empty() {
            edge.log(&mut self.log.lines);
        }
    }

    /// Flushes connections whose batch is worth a write of its own. False if there is none.
    #[inline]
    pub(super) fn flush_large(&mut self, edge: &mut impl Edge) -> bool {
        let are_some = !self.lists.large.is_empty();
        if are_some {
            self.flush_each_large(edge);
        }
        are_some
    }

    fn flush_each_large(&mut self, edge: &mut impl Edge) {
        self.hand_over_log(edge);
        let mut large = std::mem::take(&mut self.lists.large);
        for key in large.drain(..) {
            // Once the turn has no time left for it, only for those that might be cut for what they were not offered.
            let must_go = |key| {
                let connection = self.connections.find(key);
                connection
                    .is_some_and(|c| c.outbox.pending_bytes() >= self.limits.pending_bytes_max / 2)
            };
            if self.flush_left > 0 || must_go(key) {
                self.flush(edge, key);
            }
        }
        self.lists.large = large;
    }

    /// Writes what is pending until it is gone, the socket has no more room, or it is much. What was said to other
    /// shards is published first (K2): whoever reads what is written here may act on it there.
    pub(super) fn flush(&mut self, edge: &mut impl Edge, key: ConnKey) {
        if self.has_unpublished() && !self.is_without(Mutant::WriteFirst) {
            self.publish(edge);
        }
        let mut written = 0;
        loop {
            let Some(connection) = self.connections.find_mut(key) else {
                return;
            };
            if connection.is_blocked
                || matches!(connection.life, Life::Gone | Life::Lingering { .. })
            {
                return;
            }
            let pending = connection.outbox.pending_bytes();
            if pending == 0 {
                break;
            }
            if written >= FLUSH_BYTES_MAX {
                if !connection.is_dirty {
                    connection.is_dirty = true;
                    self.lists.dirty.push_back(key);
                }
                break;
            }
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = connection.outbox.poll_transmit(&mut slices);
            let offered: usize = slices[..count].iter().map(|s| s.len()).sum();
            let accepted = match edge.send(key, &slices[..count]) {
                Sent::Bytes(n) => n,
                Sent::Blocked => 0,
                Sent::Failed => {
                    self.end_at_once(edge, key, CloseReason::WriteError);
                    return;
                }
            };
            connection
                .outbox
                .handle_transmitted(&mut self.pool, accepted);
            written += accepted;
            self.flush_left = self.flush_left.saturating_sub(accepted + FLUSH_WORK);
            if accepted > 0 || !connection.is_stuck {
                connection.last_progress = self.now;
            }
            connection.is_stuck = accepted < offered;
            if connection.is_stuck {
                connection.is_blocked = true;
                edge.arm_write(key);
                let deadline = self.now + self.limits.write_deadline;
                self.look_by(key, deadline);
                break;
            }
        }
        self.release_waiting(edge, key);
        self.finish_flushing(edge, key);
    }

    /// Lets the publishers go on that wait for this reader, if it has caught up.
    pub(super) fn release_waiting(&mut self, edge: &mut impl Edge, key: ConnKey) {
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        let lags = connection.is_open()
            && connection.outbox.pending_bytes() > self.limits.pending_bytes_max / 2;
        if connection.waiting.is_empty() || lags {
            return;
        }
        let waiting = std::mem::take(&mut connection.waiting);
        self.let_go_on(edge, waiting);
    }

    /// Ends the pauses of publishers that were slowed, here and on other shards.
    pub(super) fn let_go_on(&mut self, edge: &mut impl Edge, publishers: Vec<Waiting>) {
        for publisher in publishers {
            if publisher.shard == self.shard {
                self.resume(publisher.key);
            } else {
                self.tell_publisher(edge, publisher, false);
            }
        }
    }

    /// Ends the pause of a publisher that was slowed.
    pub(super) fn resume(&mut self, key: ConnKey) {
        if let Some(connection) = self.connections.find_mut(key)
            && matches!(connection.pause, Some(Pause::Slowed { .. }))
        {
            connection.pause = None;
            self.heat(key);
        }
    }

    /// An ended connection whose last bytes are written closes its write side, or goes.
    fn finish_flushing(&mut self, edge: &mut impl Edge, key: ConnKey) {
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        let Life::Flushing { lingers, .. } = connection.life else {
            return;
        };
        if connection.outbox.pending_bytes() > 0 {
            return;
        }
        if edge.has_unsent(key) {
            connection.is_blocked = true;
            edge.arm_write(key);
            return;
        }
        if lingers {
            let until = self.now + super::close::LINGER_MAX;
            connection.life = Life::Lingering { until };
            edge.finish_sending(key);
            self.look_by(key, until);
            self.heat(key);
        } else {
            self.let_go(edge, key);
        }
    }
}
