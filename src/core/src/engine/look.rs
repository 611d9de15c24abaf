//! What time brings: PINGs, stale connections, write deadlines, the end of a publisher's wait.
//!
//! Nobody is judged by a deadline before the socket was given its chance: a paused
//! connection's PONG may lie unread, and after the process was stopped every deadline is
//! over while everything the peers did waits in the sockets.

use std::time::Duration;

use super::connection::{LastChance, Life, Pause};
use super::log::Level;
use super::{Edge, Engine};
use crate::client::{CloseReason, PingVerdict};
use crate::conf::GoDuration;
use crate::interest::ConnKey;
use crate::proto::{ProtocolError, encode};
use crate::time::Time;

/// How long a publisher waits for a lagging reader per turn. Source: nats-server 2.15.
pub(super) const SLOWED_MAX: Duration = Duration::from_millis(10);
/// A reader that accepted nothing for this long slows nobody.
pub(super) const STUCK_AFTER: Duration = Duration::from_millis(50);
/// What a publisher may send between two waits: enough to make progress, little enough that
/// a reader of 2 MB/s is not overrun.
const SLOW_CREDIT_BYTES: usize = 16 * 1024;
/// Looks up to which nobody asks whether they are still wanted.
const LOOKS_MIN: usize = 1024;
/// What a socket that told of no room for `write_deadline` must take of what is pending, in bytes, if
/// that does not fit whole. gnatsd 1.2.0 ends a write that is not done by then, however much it took;
/// a peer that takes less in that time than one chunk is not worth waiting for.
const LAST_WRITE_BYTES_MIN: usize = 64 * 1024;
/// How long a stale connection may stay because it has so much unread that its PONG may be in it.
const LAST_CHANCE_MAX: Duration = Duration::from_secs(1);

impl Engine {
    /// Asks for a look at a connection, at `at` or before.
    pub(super) fn look_by(&mut self, key: ConnKey, at: Time) {
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        if connection.look_at.is_none_or(|asked| at < asked) {
            connection.look_at = Some(at);
            self.looks.push(at, key);
        }
    }

    /// When the engine wants its next turn, ready or not.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        [self.pings.next(), self.looks.next(), self.trim_at]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn look_at_due(&mut self, edge: &mut impl Edge) {
        self.forget_looks();
        while let Some((at, key)) = self.looks.pop_due(self.now) {
            if self
                .connections
                .find(key)
                .is_some_and(|c| c.look_at == Some(at))
            {
                self.look(edge, key);
            }
        }
        while let Some((at, key)) = self.pings.pop_due(self.now) {
            self.look_at_ping(edge, key, at);
        }
    }

    /// Forgets looks that concern nobody any more, once there are more of those than others:
    /// connections that come and go would leave theirs behind for a PING interval each.
    #[inline]
    fn forget_looks(&mut self) {
        let many = LOOKS_MIN + 2 * self.connections.len_max();
        if self.pings.len() > many {
            let connections = &self.connections;
            self.pings.retain(|at, key| {
                connections
                    .find(key)
                    .is_some_and(|c| c.is_open() && c.ping.due() <= at)
            });
        }
        if self.looks.len() > many {
            let connections = &self.connections;
            self.looks
                .retain(|at, key| connections.find(key).is_some_and(|c| c.look_at == Some(at)));
        }
    }

    fn look(&mut self, edge: &mut impl Edge, key: ConnKey) {
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        connection.look_at = None;
        match connection.life {
            Life::Gone => return,
            Life::Lingering { until } | Life::Flushing { until, .. } => {
                if until <= self.now {
                    self.let_go(edge, key);
                } else {
                    self.look_by(key, until);
                }
                return;
            }
            Life::Open => {}
        }
        if let Some(Pause::Slowed { until }) = connection.pause {
            if until <= self.now {
                connection.slow_credit_bytes = SLOW_CREDIT_BYTES;
                self.resume(key);
            } else {
                self.look_by(key, until);
            }
        }
        self.look_at_gate(edge, key);
        self.look_at_write_deadline(edge, key);
    }

    fn look_at_write_deadline(&mut self, edge: &mut impl Edge, key: ConnKey) {
        let write_deadline = self.limits.write_deadline;
        let overdue = |c: &super::connection::Connection| {
            c.is_open() && c.is_blocked && c.outbox.pending_bytes() > 0
        };
        let Some(connection) = self.connections.find_mut(key).filter(|c| overdue(c)) else {
            return;
        };
        if connection.last_progress + write_deadline > self.now {
            let due = connection.last_progress + write_deadline;
            self.look_by(key, due);
            return;
        }
        // The last chance: there may be room that nobody has told of yet, for instance because the
        // process was stopped. A trickle is none: it is what the kernel does not tell of at all.
        connection.is_blocked = false;
        let before = connection.outbox.pending_bytes();
        let progress_before = edge.hidden_progress(key);
        self.flush(edge, key);
        let Some(connection) = self.connections.find_mut(key).filter(|c| c.is_open()) else {
            return;
        };
        let accepted = before.saturating_sub(connection.outbox.pending_bytes());
        let progress = edge.hidden_progress(key).saturating_sub(progress_before);
        let accepted = accepted.max(usize::try_from(progress).unwrap_or(usize::MAX));
        if accepted >= before.min(LAST_WRITE_BYTES_MIN) {
            return;
        }
        self.stats.slow_consumers += 1;
        let deadline = GoDuration(write_deadline);
        let text = format_args!("Slow Consumer Detected: WriteDeadline of {deadline} Exceeded");
        self.log.add(Level::Info, &connection.peer, text);
        self.end_at_once(edge, key, CloseReason::SlowConsumerDeadline);
    }

    fn look_at_ping(&mut self, edge: &mut impl Edge, key: ConnKey, at: Time) {
        let (interval, ping_max) = (self.limits.ping_interval, self.limits.ping_max);
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        // The key may have passed to another connection, which has an entry of its own.
        if !connection.is_open() || connection.ping.due() > at {
            return;
        }
        if connection.ping.is_last_chance(ping_max) && !self.had_last_chance(key) {
            self.pings.push(self.now + Duration::from_millis(1), key);
            return;
        }
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        connection.last_chance = LastChance::NotNeeded;
        let verdict =
            connection
                .ping
                .handle_timeout(self.now, connection.last_activity, interval, ping_max);
        let due = connection.ping.due();
        self.log.add(
            Level::Debug,
            &connection.peer,
            format_args!("Client Ping Timer"),
        );
        match verdict {
            PingVerdict::Fine => {
                let quiet = GoDuration(self.now.since(connection.last_activity));
                let text = format_args!("Delaying PING due to activity {quiet} ago");
                self.log.add(Level::Debug, &connection.peer, text);
            }
            PingVerdict::Ping => self.enqueue(key, encode::PING),
            PingVerdict::Stale => {
                self.stats.stale_connections += 1;
                self.log.add(
                    Level::Debug,
                    &connection.peer,
                    format_args!("Stale Client Connection - Closing"),
                );
                let text = ProtocolError::StaleConnection.wire_text();
                self.end_with_error(edge, key, text, CloseReason::StaleConnection);
                return;
            }
        }
        self.pings.push(due, key);
    }

    /// Whether a connection whose PINGs or whose time to log in ran out has been read since. If not, it is now.
    pub(super) fn had_last_chance(&mut self, key: ConnKey) -> bool {
        let now = self.now;
        let Some(connection) = self.connections.find_mut(key) else {
            return true;
        };
        if connection.pause.is_some() {
            return false;
        }
        match connection.last_chance {
            LastChance::Taken { .. } if !connection.is_hot => true,
            // There is more to read than a PONG; but not for ever. Not the deadline counts: it may
            // have passed long ago, while the process was stopped.
            LastChance::Taken { since } => now.since(since) >= LAST_CHANCE_MAX,
            LastChance::NotNeeded | LastChance::Asked => {
                connection.last_chance = LastChance::Asked;
                self.heat(key);
                false
            }
        }
    }
}
