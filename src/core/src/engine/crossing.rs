//! From this shard to the others. Step 7 (send) of the PUB path, and rules K1, K2 and K4.
//!
//! A turn collects what it has for another shard in one open batch. A batch is opened only if its lane has
//! room (K1), so publishing it cannot fail. Everything is published before anything is written to a socket
//! (K2). Removals and weights join as there is room (K4). Who finds no room waits: see `tickets.rs`.

use std::collections::VecDeque;

use super::inbound::Inbound;
use super::operations::Flow;
use super::records::{self, GroupList, Message, Origin};
use super::tickets::Tickets;
use super::{Edge, Engine, Lane, Mutant};
use crate::interest::ConnKey;
use crate::proto::Run;
use crate::shard_set::ShardSet;

/// Bytes from which on a batch goes to its lane in mid-turn, at most.
pub(super) const BATCH_BYTES: usize = 32 * 1024;
/// The same as long as the receiver has not said what its batches come to.
pub(super) const BATCH_BYTES_FIRST: usize = 4 * 1024;
/// Bytes of interest from which on it goes to the lanes in mid-turn. All that is visible is applied at once (K3).
const INTEREST_BATCH_BYTES: usize = 8 * 1024;
/// The largest buffer that comes back from a lane and is kept.
const BUFFER_BYTES_MAX: usize = 4 * BATCH_BYTES;
/// Removals and changes of weight told at one time.
const CHANGES_PER_PUBLISH: usize = 512;
/// Bytes of re-chosen messages that may wait for room.
pub(super) const RECHOSEN_BYTES_MAX: usize = 1024 * 1024;

/// The batch of this turn for one shard.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Who published what was written last.
    publisher: Option<ConnKey>,
    /// Where the subject of what was written last stands.
    subject_at: usize,
    subject_len: usize,
    /// Bytes from which on it goes.
    go_bytes: usize,
}

impl Batch {
    /// Whether a message of `publisher` to `subject` follows one like it.
    #[inline]
    fn is_repeat(&self, publisher: ConnKey, subject: &[u8]) -> bool {
        let last = &self.bytes[self.subject_at..self.subject_at + self.subject_len];
        self.publisher == Some(publisher) && last == subject
    }
}

/// What is on its way to the other shards.
#[derive(Debug)]
pub(super) struct Crossing {
    /// All shards but this one.
    pub(super) others: ShardSet,
    batches: Vec<Batch>,
    /// Shards with a batch that is not published.
    pub(super) open: ShardSet,
    /// Those of them whose batch has the size to go.
    pub(super) full: ShardSet,
    /// A buffer for interest.
    interest: Vec<u8>,
    /// Queue groups for which the message at hand was chosen, by shard.
    pub(super) picks: Vec<(u16, u32)>,
    pub(super) list: GroupList,
    /// Something was taken from a lane since the last publish: who waits for the room is to be told.
    pub(super) has_taken: bool,
    /// Lanes of messages that may hold more, and those a half delivered batch is of.
    pub(super) unread: ShardSet,
    /// Batches that a full turn left half delivered, by sender.
    pub(super) parked: Vec<Option<Inbound>>,
    /// Bytes that each sender was last told its batches should have.
    pub(super) told_bytes: Vec<usize>,
    /// Re-chosen messages that wait for room, as records.
    pub(super) rechosen: VecDeque<Vec<u8>>,
    pub(super) rechosen_bytes: usize,
    /// The lanes they wait for.
    pub(super) rechosen_lanes: ShardSet,
    /// Lanes whose room was asked for when the shard last had nothing to do, by kind.
    pub(super) asked: [ShardSet; 2],
    pub(super) tickets: Tickets,
}

impl Crossing {
    pub(super) fn new(shards: u16, own: u16) -> Self {
        let each = usize::from(shards);
        Crossing {
            others: ShardSet::others(shards, own),
            batches: (0..each)
                .map(|_| Batch {
                    go_bytes: BATCH_BYTES_FIRST,
                    ..Batch::default()
                })
                .collect(),
            open: ShardSet::NONE,
            full: ShardSet::NONE,
            interest: Vec::new(),
            picks: Vec::new(),
            list: GroupList::default(),
            has_taken: false,
            unread: ShardSet::NONE,
            parked: (0..each).map(|_| None).collect(),
            told_bytes: vec![BATCH_BYTES_FIRST; each],
            rechosen: VecDeque::new(),
            rechosen_bytes: 0,
            rechosen_lanes: ShardSet::NONE,
            asked: [ShardSet::NONE; 2],
            tickets: Tickets::new(shards),
        }
    }

    /// Writes a message of `publisher` to the batch for `to`, which has room. Gives the bytes it took.
    pub(super) fn push_message(
        &mut self,
        to: u16,
        publisher: ConnKey,
        message: &Message<'_>,
    ) -> usize {
        let batch = self.open_batch(to);
        let before = batch.bytes.len();
        if batch.publisher != Some(publisher) {
            batch.publisher = Some(publisher);
            records::push_publisher(&mut batch.bytes, publisher);
        }
        let last = &batch.bytes[batch.subject_at..batch.subject_at + batch.subject_len];
        let is_same_subject = last == message.subject;
        Message {
            is_same_subject,
            ..*message
        }
        .write(&mut batch.bytes);
        if !is_same_subject {
            batch.subject_at = batch.bytes.len() - message.tail.len() - message.subject.len();
            batch.subject_len = message.subject.len();
        }
        let len = batch.bytes.len();
        if len >= batch.go_bytes {
            self.full.insert(to);
        }
        len - before
    }

    /// Writes a message of `publisher` for the plain subscriptions of `to`, which has room. `is_repeat`: as
    /// the one before, which was written to the same open batch. Gives the bytes it took.
    #[inline]
    pub(super) fn push_plain(
        &mut self,
        to: u16,
        publisher: ConnKey,
        subject: &[u8],
        tail: &[u8],
        body_len: usize,
        is_repeat: bool,
    ) -> usize {
        let batch = self.open_batch(to);
        let before = batch.bytes.len();
        if is_repeat || batch.is_repeat(publisher, subject) {
            records::push_repeat(&mut batch.bytes, tail, body_len);
            let len = batch.bytes.len();
            if len >= batch.go_bytes {
                self.full.insert(to);
            }
            return len - before;
        }
        let message = Message::plain(subject, tail, body_len);
        self.push_message(to, publisher, &message)
    }

    /// Writes a run for the plain subscriptions of `to`: messages as the one before, which was written to the
    /// same open batch. Gives the bytes it took.
    #[inline]
    pub(super) fn push_run(&mut self, to: u16, run: &Run<'_>) -> usize {
        let batch = self.open_batch(to);
        let before = batch.bytes.len();
        records::push_run(&mut batch.bytes, run);
        let len = batch.bytes.len();
        if len >= batch.go_bytes {
            self.full.insert(to);
        }
        len - before
    }

    /// Writes a record as it is.
    pub(super) fn push_record(&mut self, to: u16, write: impl FnOnce(&mut Vec<u8>)) {
        let batch = self.open_batch(to);
        write(&mut batch.bytes);
        // It may be a message with a subject of its own, and of another publisher.
        (batch.publisher, batch.subject_len) = (None, 0);
        if batch.bytes.len() >= batch.go_bytes {
            self.full.insert(to);
        }
    }

    #[inline]
    fn open_batch(&mut self, to: u16) -> &mut Batch {
        self.open.insert(to);
        &mut self.batches[usize::from(to)]
    }

    /// Bytes from which on a batch for `to` goes.
    #[inline]
    pub(super) fn go_bytes(&self, to: u16) -> usize {
        self.batches[usize::from(to)].go_bytes
    }

    /// The receiver says how large batches should be.
    pub(super) fn set_go_bytes(&mut self, to: u16, bytes: usize) {
        self.batches[usize::from(to)].go_bytes = bytes.min(BATCH_BYTES);
    }

    /// Whether a message to `to` would find room, whoever else may wait for it.
    pub(super) fn has_room(&self, edge: &mut impl Edge, to: u16) -> bool {
        self.open.contains(to) || edge.room(to, Lane::Data) > 0
    }
}

impl Engine {
    /// K1: whether every one of `shards` has room for a message. If not, the operation must wait for the
    /// lane that is named, and nothing of it may happen before.
    #[inline]
    pub(super) fn reserve(&mut self, edge: &mut impl Edge, shards: ShardSet) -> Option<Flow> {
        let taken = self.taken_lanes(Lane::Data);
        let is_sure = shards.without(self.crossing.open).is_empty();
        if is_sure && (shards & taken).is_empty() {
            return None;
        }
        self.reserve_each(edge, shards, taken)
    }

    fn reserve_each(
        &mut self,
        edge: &mut impl Edge,
        shards: ShardSet,
        taken: ShardSet,
    ) -> Option<Flow> {
        if self.is_without(Mutant::NoCredits) {
            return None;
        }
        let shard = shards
            .iter()
            .find(|&shard| taken.contains(shard) || !self.crossing.has_room(edge, shard))?;
        let lane = Lane::Data;
        Some(Flow::Wait { shard, lane })
    }

    /// K1 for interest that is news to the others: every lane needs room.
    pub(super) fn reserve_interest(&mut self, edge: &mut impl Edge) -> Option<Flow> {
        if self.is_without(Mutant::NoCredits) {
            return None;
        }
        if self.interest.outgoing_len() >= INTEREST_BATCH_BYTES {
            self.publish(edge);
        }
        let taken = self.taken_lanes(Lane::Interest);
        let is_open = self.interest.outgoing_len() > 0;
        let mut others = self.crossing.others.iter();
        let shard = others.find(|&shard| {
            taken.contains(shard) || !is_open && edge.room(shard, Lane::Interest) == 0
        })?;
        let lane = Lane::Interest;
        Some(Flow::Wait { shard, lane })
    }

    /// Whether there is anything that must be published before a socket is written to.
    #[inline]
    pub(super) fn has_unpublished(&self) -> bool {
        !self.crossing.open.is_empty() || self.interest.outgoing_len() > 0
    }

    /// K2: interest first, then messages, then all of it becomes visible.
    pub(super) fn publish(&mut self, edge: &mut impl Edge) {
        if self.crossing.others.is_empty() {
            return;
        }
        let has_credits = self.has_credits();
        let mut has_pushed = self.push_interest(edge);
        for shard in self.crossing.open.iter() {
            let batch = &mut self.crossing.batches[usize::from(shard)];
            if has_credits || edge.room(shard, Lane::Data) > 0 {
                edge.push(shard, Lane::Data, &mut batch.bytes);
                has_pushed = true;
            }
            if batch.bytes.capacity() > BUFFER_BYTES_MAX {
                batch.bytes = Vec::new();
            }
            batch.bytes.clear();
            (batch.publisher, batch.subject_len, batch.subject_at) = (None, 0, 0);
        }
        self.crossing.open = ShardSet::NONE;
        self.crossing.full = ShardSet::NONE;
        if has_pushed || self.crossing.has_taken {
            self.crossing.has_taken = false;
            edge.publish();
        }
    }

    /// Whether what is pushed is sure to find room.
    #[inline]
    fn has_credits(&self) -> bool {
        !self.is_without(Mutant::NoCredits) && !self.is_without(Mutant::NotAllOrNothing)
    }

    fn push_interest(&mut self, edge: &mut impl Edge) -> bool {
        let is_open = self.interest.outgoing_len() > 0;
        let is_wanted = is_open || self.interest.untold() > 0;
        if !is_wanted {
            return false;
        }
        let mut others = self.crossing.others.iter();
        if !is_open && !others.all(|shard| edge.room(shard, Lane::Interest) > 0) {
            #[cfg(feature = "mutants")]
            if self.is_without(Mutant::ForgottenRemovals) {
                self.interest.forget_changes();
            }
            return false;
        }
        let has_credits = self.has_credits();
        self.interest.tell_changes(CHANGES_PER_PUBLISH);
        let Some(outgoing) = self.interest.outgoing() else {
            return false;
        };
        if outgoing.is_empty() {
            return false;
        }
        let buffer = &mut self.crossing.interest;
        for shard in self.crossing.others.iter() {
            if !has_credits && edge.room(shard, Lane::Interest) == 0 {
                continue;
            }
            buffer.clear();
            buffer.extend_from_slice(outgoing);
            edge.push(shard, Lane::Interest, buffer);
        }
        buffer.clear();
        outgoing.clear();
        if outgoing.capacity() > BUFFER_BYTES_MAX {
            *outgoing = Vec::new();
        }
        true
    }

    /// Tells a publisher on another shard that a reader lags, or that it has caught up. Best effort.
    pub(super) fn tell_publisher(&mut self, edge: &mut impl Edge, to: Origin, lags: bool) {
        if !self.crossing.has_room(edge, to.shard) {
            return;
        }
        self.crossing.push_record(to.shard, |out| {
            if lags {
                records::push_slow_down(out, to.key);
            } else {
                records::push_go_on(out, to.key);
            }
        });
    }
}
