//! The interest of other shards, as far as a publisher here must know it.
//!
//! A literal subject is a hash and the set of shards that want it: an inbox costs its neighbours a few
//! bytes. A pattern, or a queue group with its weight, is a record like a subscription, of a connection that
//! stands for its shard; so tables, caches and their upkeep are the same for both.

use super::announced::Change;
use super::hash::spread;
use super::match_set::Receiver;
use super::split_table::{Hashed, SplitTable};
use super::subs::{ConnKey, ConnSubs};
use super::{Interest, SidKey};
use crate::shard_set::ShardSet;

/// Keys from here on stand for shards. A shard has far fewer connections.
const FIRST: u32 = u32::MAX - 64;

/// The connection key that stands for a shard.
pub(super) fn key_of_shard(shard: u16) -> ConnKey {
    ConnKey(FIRST + u32::from(shard))
}

/// The shard a key stands for.
#[inline]
pub(super) fn shard_of_key(key: ConnKey) -> Option<u16> {
    // Below 64.
    (key.0 >= FIRST && key.0 != u32::MAX).then(|| (key.0 - FIRST) as u16)
}

#[derive(Debug)]
struct Literal {
    hash: u64,
    shards: ShardSet,
}

impl Hashed for Literal {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// What the other shards want.
#[derive(Debug, Default)]
pub(super) struct Remotes {
    literals: SplitTable<Literal>,
    /// From shard, subject and queue group to record.
    texts: SplitTable<SidKey>,
    /// The records of each shard.
    shards: Vec<ConnSubs>,
}

impl Remotes {
    /// The shards with a plain subscription to exactly the subject with this hash.
    #[inline]
    pub(super) fn literal(&self, hash: u64) -> ShardSet {
        if self.literals.len() == 0 {
            // The only shard of a server asks for nothing.
            return ShardSet::NONE;
        }
        self.literals
            .find(hash, |literal| literal.hash == hash)
            .map_or(ShardSet::NONE, |literal| literal.shards)
    }

    /// Literal subjects that others want.
    pub(super) fn literals(&self) -> usize {
        self.literals.len()
    }

    /// Records held.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Panics unless the tables hold together.
    pub(super) fn check_invariants(&self) {
        self.literals.check_invariants();
        self.texts.check_invariants();
    }

    pub(super) fn bytes(&self) -> usize {
        self.literals.bytes() + self.texts.bytes()
    }
}

impl Interest {
    /// Takes in what shard `from` told of its interest. What is malformed, which no shard sends, ends the
    /// batch.
    // Or whoever looks in vain for a batch, in each turn, would no longer be inlined.
    #[inline(never)]
    pub fn apply(&mut self, from: u16, mut batch: &[u8]) {
        while let Some(change) = Change::read(&mut batch) {
            match change {
                Change::Literal { hash, is_wanted } => self.apply_literal(from, hash, is_wanted),
                Change::Text {
                    subject,
                    queue,
                    weight,
                } => self.apply_text(from, subject, queue, weight),
            }
        }
        debug_assert!(batch.is_empty(), "a batch of interest is malformed");
    }

    fn apply_literal(&mut self, from: u16, hash: u64, is_wanted: bool) {
        let fresh = || Literal {
            hash,
            shards: ShardSet::NONE,
        };
        let literals = &mut self.remotes.literals;
        let is_it = |literal: &Literal| literal.hash == hash;
        let mut shards = ShardSet::NONE;
        if is_wanted {
            let literal = literals.find_or_insert(hash, is_it, fresh);
            literal.shards.insert(from);
            shards = literal.shards;
        } else {
            let spot = literals.locate(hash, is_it);
            if let Some(spot) = spot
                && let Some(literal) = literals.get_mut(spot)
            {
                literal.shards.remove(from);
                shards = literal.shards;
                if shards.is_empty() {
                    literals.take(spot);
                }
            }
        }
        self.cache.patch_literal_shards(hash, shards);
    }

    fn apply_text(&mut self, from: u16, subject: &[u8], queue: &[u8], weight: u32) {
        let conn = key_of_shard(from);
        let hash = self.hashes.sid(conn.0, subject, queue);
        let found = self.remotes.texts.remove(spread(hash), |key| {
            let sub = &self.subs[key.sub];
            key.hash == hash
                && sub.conn() == conn
                && sub.subject() == subject
                && sub.queue_name() == queue
        });
        if let Some(SidKey { sub: id, .. }) = found {
            let sub = self
                .subs
                .remove(&mut self.remotes.shards[usize::from(from)], id);
            self.unfile(id, &sub);
        }
        if weight == 0 {
            return;
        }
        let shards = &mut self.remotes.shards;
        if shards.len() <= usize::from(from) {
            shards.resize_with(usize::from(from) + 1, ConnSubs::default);
        }
        let queue_hash = if queue.is_empty() {
            0
        } else {
            self.hashes.text_nonzero(queue)
        };
        let of_shard = &mut shards[usize::from(from)];
        let id = self
            .subs
            .insert(conn, of_shard, subject, b"", queue, queue_hash);
        self.subs[id].max = weight.into();
        self.remotes.texts.insert(SidKey { hash, sub: id });
        let receiver = Receiver {
            sub: id,
            conn,
            sid: b"",
            queue,
            queue_hash,
            weight,
            filter: None,
        };
        self.file(id, subject, &receiver);
    }
}
