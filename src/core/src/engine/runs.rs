//! Runs through a fan-out: messages that differ in their payload only go to each receiver together.
//!
//! What they have in common is done once for each run and receiver instead of once for each message: finding
//! the connection, counting, choosing the chunk. Where several receivers' lines begin with the same text, as they
//! do where clients are alike, the bytes are written once for all of them, and a large run goes to their
//! sockets from there.

use std::io::IoSlice;

use super::Edge;
use super::connection::Connection;
use super::edge::Sent;
use super::fanout::{Fanout, Wire};
use crate::client::ChunkPool;
use crate::client::outbox::SLICES_MAX;
use crate::interest::{ConnKey, Target};
use crate::proto::{Run, count_repeats};
use crate::time::Time;

/// Bytes of a run that one receiver gets before the next one does: what is copied from should stay in the cache,
/// and who is flushed early should not get much more than that.
pub(super) const RUN_BYTES_MAX: usize = 16 * 1024;
/// The same where it goes to the sockets at once.
const DIRECT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a run below which a system call of its own is not worth while.
const DIRECT_BYTES_MIN: usize = 8 * 1024;
/// What a write to a socket is counted as, without its bytes: about 1 ns each.
const DIRECT_WORK: usize = 2 * 1024;
/// Bytes written from one block to many sockets that are as much work as one delivered otherwise: there is no copy
/// but the kernel's.
const DIRECT_BYTES_PER_WORK: usize = 4;

/// A publish that those behind it may repeat: only their payloads differ.
pub(super) struct LastOp<'a> {
    pub(super) op: &'a [u8],
    pub(super) tail_len: usize,
    pub(super) body_len: usize,
    pub(super) is_headed: bool,
}

impl LastOp<'_> {
    fn line_len(&self) -> usize {
        self.op.len() - self.body_len - 2
    }
}

/// Writes to a socket, as [`Edge::send`].
type Send<'a> = &'a mut dyn FnMut(ConnKey, &[IoSlice<'_>]) -> Sent;

impl Fanout<'_> {
    /// Hands on the messages at the start of `behind` that repeat `last` and may go at once, and gives their number;
    /// `None` if there is none, or if each has to go by itself. `edge` is given if sockets may be written to: nothing
    /// must be published before (K2), nor logged.
    #[inline(never)]
    pub(super) fn send_repeats<E: Edge>(
        &mut self,
        last: &LastOp<'_>,
        behind: &[u8],
        work_max: usize,
        edge: Option<&mut E>,
    ) -> Option<usize> {
        if !self.takes_runs(last.is_headed) {
            return None;
        }
        let edge = edge.filter(|_| self.is_local && self.set.plain.len() > 1);
        let count = |max| count_repeats(last.op, last.line_len(), behind, max);
        let stride = last.op.len();
        let tails = behind.get(stride - last.tail_len..)?;
        let run = |count| Run::new(tails, stride, last.tail_len, last.body_len, count);
        if let Some(edge) = edge {
            let each = self.set.prefix_len() + last.tail_len;
            let count = count(self.direct_bytes_max(work_max) / each);
            if count * each >= DIRECT_BYTES_MIN {
                let run = run(count)?;
                let mut send = |key, slices: &[IoSlice<'_>]| edge.send(key, slices);
                self.send_run_to_plain(&run, last.is_headed, Some(&mut send));
                return Some(count);
            }
        }
        let count = count(if self.set.is_empty() {
            usize::MAX
        } else {
            self.run_max(last.tail_len, work_max)
        });
        let run = run(count)?;
        self.is_run = true;
        self.send_run(&run, last.is_headed);
        Some(count)
    }

    /// Whether runs can be handed on whole: each receiver gets all messages of a run before the next one gets
    /// any, so none may have two subscriptions, which want them message by message, nor a queue group choose.
    #[inline]
    fn takes_runs(&mut self, are_headed: bool) -> bool {
        let is_simple = self.set.groups.is_empty() && (self.is_local || !are_headed);
        is_simple && self.takes_plain_runs(are_headed)
    }

    /// The same for what is to go to the plain subscriptions of this shard alone.
    fn takes_plain_runs(&mut self, are_headed: bool) -> bool {
        if let Some(is_so) = self.are_runs_taken {
            return is_so;
        }
        let set = self.set;
        self.lists.round += 1;
        let is_so = set
            .plain
            .iter()
            .all(|target| self.takes_run(target, are_headed));
        self.are_runs_taken = Some(is_so);
        is_so
    }

    #[inline]
    fn takes_run(&mut self, target: &Target, are_headed: bool) -> bool {
        let round = self.lists.round;
        let Some(connection) = self.connections.find_mut(target.conn) else {
            return true;
        };
        let is_first = connection.run_round != round;
        connection.run_round = round;
        is_first && !connection.is_watched && (!are_headed || connection.client.headers)
    }

    /// How many messages of `tail_len` may be handed on at once, if all receivers are to get
    /// `work_max` together, more or less.
    #[inline]
    fn run_max(&self, tail_len: usize, work_max: usize) -> usize {
        let receivers = self.set.plain.len() + self.set.plain_shards().iter().count();
        let each = self.set.prefix_len() + tail_len;
        let all = work_max.saturating_sub(self.tally.work) / receivers.max(1);
        let shards = self.set.plain_shards().iter();
        let go_bytes = shards.map(|shard| self.crossing.go_bytes(shard)).min();
        all.min(self.run_bytes_max)
            .min(go_bytes.unwrap_or(usize::MAX))
            / each
    }

    /// The same in bytes for each receiver, for what goes to their sockets at once.
    fn direct_bytes_max(&self, work_max: usize) -> usize {
        let each = work_max.saturating_sub(self.tally.work) / self.set.plain.len().max(1);
        let bytes = each.saturating_sub(DIRECT_WORK) * DIRECT_BYTES_PER_WORK;
        bytes.min(DIRECT_BYTES_MAX).min(self.run_bytes_max * 4)
    }

    /// A run to the plain subscriptions of this shard, and to the others.
    fn send_run(&mut self, run: &Run<'_>, are_headed: bool) {
        self.send_run_to_plain(run, are_headed, None);
        for shard in self.set.plain_shards().iter() {
            self.tally.work += self.crossing.push_run(shard, run);
            self.tally.crossed += run.count() as u64;
        }
        self.is_batch_full |= !self.crossing.full.is_empty();
    }

    /// As much of a run from another shard to the plain subscriptions of this one as should go at once. Gives the
    /// number of messages, one at least.
    pub(super) fn send_some(&mut self, run: &Run<'_>, work_max: usize) -> usize {
        let count = self.run_max(run.tail_len(), work_max);
        if count > 1 && self.takes_plain_runs(false) {
            let some = run.first(count);
            self.send_run_to_plain(&some, false, None);
            return some.count();
        }
        let some = run.first(1);
        let payload_len = run.body_len();
        for tail in some.tails() {
            self.send_to_plain(&mut Wire::Plain { tail, payload_len });
        }
        some.count()
    }

    /// A run to the plain subscriptions of this shard.
    fn send_run_to_plain(&mut self, run: &Run<'_>, are_headed: bool, mut send: Option<Send<'_>>) {
        let set = self.set;
        let from = usize::from(!are_headed);
        if let [target] = &set.plain[..] {
            self.enqueue_run(target, run, from);
            return;
        }
        let mut block = std::mem::take(self.scratch);
        let mut of_block: &[u8] = &[];
        for (at, target) in set.plain.iter().enumerate() {
            let prefix = &set.prefix(target)[from..];
            if of_block != prefix {
                let next = set.plain.get(at + 1);
                let is_shared = next.is_some_and(|next| set.prefix(next)[from..] == *prefix);
                if send.is_none() && !is_shared {
                    self.enqueue_run(target, run, from);
                    continue;
                }
                block.clear();
                run.append_to(&mut block, prefix);
                of_block = prefix;
            }
            let each = prefix.len() + run.tail_len();
            let now = self.now;
            let mut work = 0;
            self.enqueue_some(target, run.count() as u64, |connection, pool, _, count| {
                let mut bytes = &block[..each * count as usize];
                if let Some(send) = &mut send
                    && may_write(connection)
                {
                    work = DIRECT_WORK + bytes.len() / DIRECT_BYTES_PER_WORK;
                    let key = target.conn;
                    bytes = &bytes[write(*send, key, connection, pool, bytes, now)..];
                }
                connection.outbox.push(pool, &[], bytes);
                run.body_len()
            });
            self.tally.work += work;
        }
        *self.scratch = block;
    }

    #[inline]
    fn enqueue_run(&mut self, target: &Target, run: &Run<'_>, from: usize) {
        self.enqueue_some(
            target,
            run.count() as u64,
            |connection, pool, prefix, count| {
                let run = run.first(count as usize);
                connection.outbox.push_run(pool, &prefix[from..], &run);
                run.body_len()
            },
        );
    }
}

/// Whether what a connection gets may go to its socket at once: nobody waits for it to catch up, and it has.
fn may_write(connection: &Connection) -> bool {
    !connection.is_blocked
        && connection.waiting.is_empty()
        && connection.outbox.pending_bytes() <= RUN_BYTES_MAX
}

/// Writes what is pending and then `bytes`. Gives how many of `bytes` the socket took; whatever else came of it shows
/// when the rest is flushed.
fn write(
    send: Send<'_>,
    key: ConnKey,
    connection: &mut Connection,
    pool: &mut ChunkPool,
    bytes: &[u8],
    now: Time,
) -> usize {
    let pending = connection.outbox.pending_bytes();
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let count = connection.outbox.poll_transmit(&mut slices);
    let Some(place) = slices.get_mut(count) else {
        return 0;
    };
    *place = IoSlice::new(bytes);
    let Sent::Bytes(accepted) = send(key, &slices[..=count]) else {
        return 0;
    };
    connection.last_progress = now;
    connection
        .outbox
        .handle_transmitted(pool, accepted.min(pending));
    accepted.saturating_sub(pending)
}
