//! A turn: what one pass of the shard's loop does.
//!
//! Work is counted, not timed: bytes in, bytes out, and what else takes long. Every ready connection gets its share,
//! and what one connection may cause in one turn is bounded, so that nobody waits long
//! behind a flood. Steps 1 (receive) to 3 of the PUB path; the others are called from here.

use std::mem;
use std::ops::Range;
use std::time::Duration;

use super::connection::Life;
use super::deliver::Input;
use super::login::Gate;
use super::operations::Flow;
use super::{Edge, Engine, Level, Limits, Mutant, Ready, Received};
use crate::client::CloseReason;
use crate::interest::ConnKey;
use crate::proto::{self, Op, ParseError, ParseLimits, Parsed, Publish};
use crate::time::Time;

/// Bytes read from one connection at a time. 4 KiB reads cost three times as much per message.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// The same for a connection that is the only hot one.
const READ_BYTES_ALONE: usize = 256 * 1024;
/// An unfinished operation up to this size is copied in front of the next read; a larger
/// one is received in place.
const UNFINISHED_COPIED_MAX: usize = 64 * 1024;
/// The shard's receive buffer.
pub(super) const BUFFER_BYTES: usize = UNFINISHED_COPIED_MAX + READ_BYTES_ALONE;
/// Bytes received in one turn, more or less.
pub(super) const TURN_IN_BYTES: usize = 1024 * 1024;
/// What a subscription that comes or goes is counted as.
pub(super) const SUBSCRIPTION_WORK: usize = 2 * 1024;
/// What a CONNECT is counted as: reading it, and comparing what it shows.
pub(super) const CONNECT_WORK: usize = 8 * 1024;
/// And a signature in it.
pub(super) const SIGNATURE_WORK: usize = 56 * 1024;
/// What a look at a subscription is counted as whose connection has other rights now.
pub(super) const REVIEW_WORK: usize = 512;
/// What a refusal is counted as: an error for the client and a line in the log.
pub(super) const REFUSAL_WORK: usize = 2 * 1024;
/// What a match is counted as that no kept result has answered.
pub(super) const MATCH_WORK: usize = 1024;
/// A batch for one connection that is flushed at once, so that a large fan-out stays in the cache.
const EARLY_FLUSH_BYTES: usize = 64 * 1024;
/// The largest buffer kept for the next operation that is received in place.
const SPARE_INPUT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The largest buffer kept for the next operation that a read cuts in two: it may go to a connection that then
/// is idle.
const SPARE_HELD_BYTES_MAX: usize = 1024;
/// Time between two looks at memory that nobody needs.
const TRIM_INTERVAL: Duration = Duration::from_secs(1);
/// Subscriptions of ended connections removed in one turn.
const REMOVALS_PER_TURN: usize = 1024;

const _: () = assert!(READ_BYTES <= UNFINISHED_COPIED_MAX);

/// What the loop should do after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more to do: look for readiness without waiting, then take another turn.
    Again,
    /// Nothing to do until something is ready, or until then.
    Park(Option<Time>),
}

impl Engine {
    /// One pass: serve what is ready, flush what that produced, look at what is due.
    pub fn turn(&mut self, edge: &mut impl Edge, ready: &[Ready], now: Time) -> Next {
        self.now = now;
        self.turn_work = 0;
        // More than a turn brings, or it would fall behind.
        self.flush_left = self.limits.turn_work * 2;
        for ready in ready {
            self.note_ready(*ready);
        }
        self.see_interest(edge);
        let in_bytes = self.serve_tickets(edge);
        self.serve_hot(edge, in_bytes);
        self.take_some(edge);
        self.send_rechosen(edge);
        if !self.is_without(Mutant::WriteFirst) {
            self.publish(edge);
        }
        self.flush_dirty(edge);
        self.look_at_due(edge);
        self.remove_some_subscriptions(edge);
        // Looks may have produced PINGs, and a cut may have set publishers going.
        self.flush_dirty(edge);
        self.publish(edge);
        self.trim_pool();
        let more_to_free = self.pool.free_some();
        let is_idle = self.hot.is_empty() && self.leaving.is_empty() && self.lists.dirty.is_empty();
        // Asked last, when nothing more is pushed.
        if is_idle && !more_to_free && self.crossing.unread.is_empty() && !self.ask_for_room(edge) {
            Next::Park(self.next_deadline())
        } else {
            Next::Again
        }
    }

    /// Memory of a burst is given back step by step.
    #[inline]
    fn trim_pool(&mut self) {
        let is_wanted = match self.trim_at {
            Some(at) if at > self.now => return,
            Some(_) => {
                if !mem::take(&mut self.is_spare_input_used) {
                    self.spare_input = Vec::new();
                }
                let more_to_trim = self.pool.trim();
                more_to_trim || self.spare_input.capacity() > 0
            }
            None => self.pool.holds_spares() || self.spare_input.capacity() > 0,
        };
        self.trim_at = is_wanted.then(|| self.now + TRIM_INTERVAL);
    }

    fn note_ready(&mut self, ready: Ready) {
        let Some(connection) = self.connections.find_mut(ready.key) else {
            return;
        };
        if ready.writable && connection.is_blocked {
            connection.is_blocked = false;
            if !connection.is_dirty {
                connection.is_dirty = true;
                self.lists.dirty.push_back(ready.key);
            }
        }
        if ready.readable {
            self.heat(ready.key);
        }
    }

    /// Puts a connection on the list of those to serve.
    pub(super) fn heat(&mut self, key: ConnKey) {
        if let Some(connection) = self.connections.find_mut(key)
            && !connection.is_hot
        {
            connection.is_hot = true;
            self.hot.push_back(key);
        }
    }

    fn serve_hot(&mut self, edge: &mut impl Edge, mut in_bytes: usize) {
        for _ in 0..self.hot.len() {
            if in_bytes >= TURN_IN_BYTES || self.is_turn_full() {
                return;
            }
            let Some(key) = self.hot.pop_front() else {
                return;
            };
            let budget = if self.hot.is_empty() {
                READ_BYTES_ALONE
            } else {
                READ_BYTES
            };
            let Some(connection) = self.connections.find_mut(key) else {
                continue;
            };
            connection.is_hot = false;
            let (received, stays_hot) = self.serve(edge, key, budget);
            in_bytes += received;
            if stays_hot {
                self.heat(key);
            }
        }
    }

    /// Whether a turn has brought enough to be written.
    pub(super) fn is_turn_full(&self) -> bool {
        self.turn_work >= self.limits.turn_work
    }

    /// Reads from one connection and handles what came. Says how much that was, and whether
    /// there may be more.
    pub(super) fn serve(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        budget: usize,
    ) -> (usize, bool) {
        let Some(connection) = self.connections.find_mut(key) else {
            return (0, false);
        };
        match connection.life {
            Life::Open => {}
            Life::Lingering { .. } => return (0, self.discard_input(edge, key)),
            Life::Flushing { .. } | Life::Gone => return (0, false),
        }
        if connection.pause.is_some() {
            return (0, false);
        }
        if connection.has_backlog {
            let input = mem::take(&mut connection.input);
            self.handle_input(edge, key, &input);
            let Some(connection) = self.connections.find(key) else {
                return (0, false);
            };
            let is_paused = connection.pause.is_some();
            if connection.has_backlog || is_paused || !connection.is_open() {
                return (0, connection.is_open() && !is_paused);
            }
        }
        let (received, asked) = self.receive(edge, key, budget);
        self.turn_work += edge.take_hidden_work();
        let Some(connection) = self.connections.find_mut(key) else {
            return (0, false);
        };
        let is_open = connection.is_open();
        match received {
            Received::Bytes(n) => {
                if !is_open {
                    return (n, false);
                }
                connection.note_read(self.now);
                // A full read, or one cut short by a pause or a budget, has more behind it.
                let stays_hot = n == asked || connection.has_backlog;
                if connection.pause.is_some() {
                    (n, false)
                } else {
                    if !stays_hot {
                        edge.arm_read(key);
                    }
                    (n, stays_hot)
                }
            }
            Received::Blocked => {
                connection.note_read(self.now);
                edge.arm_read(key);
                (0, false)
            }
            Received::Eof => {
                // K3 holds for the end of a connection, too: the peer may have closed its side because of a
                // message's PONG, and reads on.
                self.take_visible(edge);
                self.end(edge, key, CloseReason::ClientClosed);
                (0, false)
            }
            Received::Failed => {
                self.end_at_once(edge, key, CloseReason::ReadError);
                (0, false)
            }
        }
    }

    /// K3: interest that was published before the bytes just read were sent is known before they are
    /// handled.
    #[inline]
    fn see_before_acting(&mut self, edge: &mut impl Edge) {
        if !self.is_without(Mutant::UnseenInterest) {
            self.see_interest(edge);
        }
    }

    /// One read, and the handling of what it brought. Gives the result and the bytes asked for.
    fn receive(&mut self, edge: &mut impl Edge, key: ConnKey, budget: usize) -> (Received, usize) {
        let Some(connection) = self.connections.find_mut(key) else {
            return (Received::Blocked, 0);
        };
        let held = connection.input.len();
        if connection.input_needed > UNFINISHED_COPIED_MAX || held > UNFINISHED_COPIED_MAX {
            return self.receive_in_place(edge, key, budget);
        }
        let mut buffer = mem::take(&mut self.buffer);
        buffer[..held].copy_from_slice(&connection.input);
        let received = edge.receive(key, &mut buffer[held..held + budget]);
        if let Received::Bytes(n) = received {
            let mut spare = mem::take(&mut connection.input);
            if spare.capacity() <= SPARE_HELD_BYTES_MAX
                && spare.capacity() > self.spare_held.capacity()
            {
                spare.clear();
                self.spare_held = spare;
            }
            self.see_before_acting(edge);
            self.handle_input(edge, key, &buffer[..held + n]);
        }
        self.buffer = buffer;
        (received, budget)
    }

    /// A read into the connection's own buffer, which holds a large unfinished operation. It
    /// ends where the operation ends, and grows with what arrives, not with what was announced.
    fn receive_in_place(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        budget: usize,
    ) -> (Received, usize) {
        let Some(connection) = self.connections.find_mut(key) else {
            return (Received::Blocked, 0);
        };
        let mut input = mem::take(&mut connection.input);
        let held = input.len();
        let missing = connection.input_needed.saturating_sub(held);
        let asked = if missing == 0 {
            budget
        } else {
            budget.min(missing)
        };
        if input.capacity() < held + asked
            && self.spare_input.capacity() >= connection.input_needed.max(held + asked)
        {
            // The memory of an operation before: it is there already, so taking it is not growing.
            let mut spare = mem::take(&mut self.spare_input);
            spare.extend_from_slice(&input);
            input = spare;
        }
        if input.capacity() < held + asked {
            // At most twice what has arrived, and no more than the operation needs.
            input.reserve_exact(asked.max(missing.min(held)));
        }
        input.resize(held + asked, 0);
        let received = edge.receive(key, &mut input[held..]);
        let n = if let Received::Bytes(n) = received {
            n
        } else {
            0
        };
        input.truncate(held + n);
        if n == 0 || !is_worth_a_look(input.len(), connection.input_needed) {
            connection.input = input;
        } else {
            self.see_before_acting(edge);
            self.handle_input(edge, key, &input);
            self.keep_input(input);
        }
        (received, asked)
    }

    /// Keeps the buffer of a large operation for the next one, so that a stream of these does not get
    /// its memory from the system each time.
    fn keep_input(&mut self, mut input: Vec<u8>) {
        let capacity = input.capacity();
        if capacity > self.spare_input.capacity() && capacity <= SPARE_INPUT_BYTES_MAX {
            input.clear();
            self.spare_input = input;
        }
        self.is_spare_input_used = true;
    }

    /// Handles every whole operation at the start of `input` and keeps the rest with the connection.
    fn handle_input(&mut self, edge: &mut impl Edge, key: ConnKey, input: &[u8]) {
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        let mut needed = connection.input_needed;
        let mut is_guarded = connection.gate != Gate::Open;
        let mut has_backlog = false;
        let mut at = 0;
        if is_worth_a_look(input.len(), needed) {
            needed = 0;
            let mut limits = self.parse_limits(key);
            while at < input.len() {
                if is_guarded {
                    if !self.admits(edge, key, input[at]) {
                        return;
                    }
                    is_guarded = self.is_guarded(key);
                }
                let (end, run_len, flow) = if let Some((publish, len)) =
                    proto::parse_publish(&input[at..], &limits)
                {
                    let end = at + len;
                    let (run_len, flow) =
                        self.publish_at(edge, key, &publish, input, at..end, &limits);
                    (end, run_len, flow)
                } else {
                    match proto::parse(&input[at..], &limits) {
                        Ok(Parsed::Op(Op::Publish(publish), len)) => {
                            let end = at + len;
                            let (run_len, flow) =
                                self.publish_at(edge, key, &publish, input, at..end, &limits);
                            (end, run_len, flow)
                        }
                        Ok(Parsed::Op(op, len)) => {
                            let flow = self.handle_op(edge, key, &op);
                            if matches!(op, Op::Connect(_)) {
                                limits = self.parse_limits(key);
                            }
                            (at + len, 0, flow)
                        }
                        Ok(Parsed::More) => break,
                        Ok(Parsed::Body {
                            subject,
                            needed: all,
                        }) => {
                            self.announce_body(key, subject);
                            needed = all;
                            break;
                        }
                        Err(mut error) => {
                            self.announce_wrong_body(key, &input[at..], &limits);
                            if let ParseError::UnknownOperation { at: offset, .. } = &mut error {
                                *offset += at;
                            }
                            self.end_with_parse_error(edge, key, &error);
                            return;
                        }
                    }
                };
                if let Flow::Wait { shard, lane } = flow {
                    self.wait_for_room(key, shard, lane, at > 0);
                    has_backlog = true;
                    break;
                }
                at = end + run_len;
                let may_have_ended = self.flush_large(edge);
                if flow == Flow::Closed || (may_have_ended && !self.is_open(key)) {
                    return;
                }
                if flow == Flow::Pause || self.is_turn_full() {
                    has_backlog = at < input.len();
                    break;
                }
            }
        }
        let Some(connection) = self.connections.find_mut(key).filter(|c| c.is_open()) else {
            return;
        };
        connection.has_backlog = has_backlog;
        connection.input_needed = needed;
        if at < input.len() {
            let mut held = mem::take(&mut self.spare_held);
            held.extend_from_slice(&input[at..]);
            connection.input = held;
        }
    }

    /// The publish at `place` of `input`, and with it those behind it that go the same way.
    #[inline]
    fn publish_at(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        publish: &Publish<'_>,
        input: &[u8],
        place: Range<usize>,
        limits: &ParseLimits,
    ) -> (usize, Flow) {
        let input = Input {
            rest: &input[place.end..],
            op: &input[place],
        };
        self.handle_publish(edge, key, publish, input, limits)
    }

    /// What stands at the start of `input` is wrong. If it is a publish with a good line and a bad
    /// end of its body, the line is answered as if it had come alone, which it may have.
    #[cold]
    fn announce_wrong_body(&mut self, key: ConnKey, input: &[u8], limits: &ParseLimits) {
        let Some(line_end) = input.iter().position(|&b| b == b'\n') else {
            return;
        };
        if let Ok(Parsed::Body { subject, .. }) = proto::parse(&input[..=line_end], limits) {
            self.announce_body(key, subject);
        }
    }

    fn parse_limits(&self, key: ConnKey) -> ParseLimits {
        ParseLimits {
            control_line_bytes_max: self.limits.control_line_bytes_max,
            payload_bytes_max: self.limits.payload_bytes_max,
            headers: self.connections.find(key).is_some_and(|c| c.client.headers),
        }
    }

    /// Reads and throws away what a lingering peer still sends. True if there may be more.
    fn discard_input(&mut self, edge: &mut impl Edge, key: ConnKey) -> bool {
        /// A peer that sends more than this behind its own error gets its reset.
        const DISCARDED_BYTES_MAX: usize = 4 * 1024 * 1024;
        let received = edge.receive(key, &mut self.buffer[..READ_BYTES]);
        let Some(connection) = self.connections.find_mut(key) else {
            return false;
        };
        match received {
            Received::Bytes(n) => {
                connection.discarded_bytes += n;
                if connection.discarded_bytes > DISCARDED_BYTES_MAX {
                    self.let_go(edge, key);
                    return false;
                }
                true
            }
            Received::Blocked => {
                edge.arm_read(key);
                false
            }
            Received::Eof | Received::Failed => {
                self.let_go(edge, key);
                false
            }
        }
    }

    fn remove_some_subscriptions(&mut self, edge: &mut impl Edge) {
        let Some(&key) = self.leaving.front() else {
            return;
        };
        let Some(connection) = self.connections.find_mut(key) else {
            self.leaving.pop_front();
            return;
        };
        if self
            .interest
            .remove_some(&mut connection.subs, REMOVALS_PER_TURN)
        {
            self.leaving.pop_front();
            self.release_if_done(edge, key);
        }
    }

    pub(super) fn log_closed(&mut self, key: ConnKey) {
        if let Some(connection) = self.connections.find(key) {
            self.log.add(
                Level::Debug,
                &connection.peer,
                format_args!("Client connection closed"),
            );
        }
    }
}

/// Bytes from which on a batch is flushed at once. That is well before `max_pending`: a peer that
/// keeps up must not be taken for a slow one because its socket was not offered anything.
#[inline]
pub(super) fn early_flush_bytes(limits: &Limits) -> usize {
    EARLY_FLUSH_BYTES.min(limits.pending_bytes_max / 2)
}

/// Whether an unfinished operation of which `held` bytes are there may be complete, or wrong:
/// the last byte but one of a publish is a CR, or the connection ends there.
#[inline]
fn is_worth_a_look(held: usize, needed: usize) -> bool {
    held + 1 >= needed
}
