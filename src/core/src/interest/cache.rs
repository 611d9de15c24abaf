//! Match results that are kept: a bounded cache, the result last built, and who may enter.
//!
//! A subject is kept from its second publish on, so that inboxes, published to once, neither fill the cache
//! nor push anything out. What the cache may hold is bounded in results and in bytes; a clock hand finds what
//! has not been used for a while. A result whose subject gains or loses a literal subscription is patched at
//! once; changes of wildcards are caught up with at the next use (see [`super::changes`]).
//!
//! A slot is right for a subject if it holds that subject and has seen every wildcard change. Nothing else
//! is needed to trust it, so a connection's hint is just the number of a slot.

use hashbrown::HashTable;

use super::changes::{Changes, Prints};
use super::doorkeeper::Doorkeeper;
use super::hash::{Hashes, fold, spread};
use super::match_set::{MatchSet, Receiver, Spare};
use super::slot::{SEEN_STALE, Slot};
use crate::shard_set::ShardSet;

/// The slot whose set stays empty: the result for an empty subject. No hint finds it current.
pub(super) const SLOT_EMPTY: u32 = 0;
/// The slot with the result built last, when it is not kept.
pub(super) const SLOT_LAST: u32 = 1;

/// Bounds of the match cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Match results kept.
    pub sets_max: usize,
    /// Bytes of all kept results; one result may take half of them.
    pub bytes_max: usize,
    /// Latest changes of wildcard subscriptions remembered for results to catch up with.
    pub changes_max: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            sets_max: 4096,
            bytes_max: 16 * 1024 * 1024,
            changes_max: 1024,
        }
    }
}

#[derive(Debug)]
struct Key {
    hash: u32,
    slot: u32,
}

/// The kept results, and the last one.
#[derive(Debug)]
pub(super) struct Cache {
    slots: Vec<Slot>,
    /// Slots from 2 on that hold a subject, by its hash.
    table: HashTable<Key>,
    free: Vec<u32>,
    /// The kept slot the clock hand stands at; before the first eviction the one before them.
    hand: usize,
    bytes: usize,
    limits: CacheLimits,
    doorkeeper: Doorkeeper,
}

impl Cache {
    pub(super) fn new(limits: CacheLimits) -> Self {
        Self {
            slots: vec![Slot::new(), Slot::new()],
            table: HashTable::new(),
            free: Vec::new(),
            hand: SLOT_LAST as usize,
            bytes: 0,
            limits,
            doorkeeper: Doorkeeper::new(),
        }
    }

    /// The set in a slot.
    #[inline]
    pub(super) fn set(&self, slot: u32) -> &MatchSet {
        &self.slots[slot as usize].set
    }

    /// Whether `slot` holds the current result for `subject`. The fastest of the look-ups.
    #[inline]
    pub(super) fn is_current(&mut self, slot: u32, subject: &[u8], changes: &Changes) -> bool {
        let Some(slot) = self.slots.get_mut(slot as usize) else {
            return false;
        };
        let is_current = slot.seen == changes.count() && slot.set.subject() == subject;
        if is_current {
            // Or what connections use without asking the table would look idle.
            slot.mark_used();
        }
        is_current
    }

    /// The slot kept for `subject`, current or not.
    #[inline]
    pub(super) fn find(&self, hash: u32, subject: &[u8]) -> Option<u32> {
        self.table
            .find(spread(hash), |key| {
                key.hash == hash && self.slots[key.slot as usize].set.subject() == subject
            })
            .map(|key| key.slot)
    }

    /// Brings a kept result up to date; false if it has to be built anew.
    #[inline]
    pub(super) fn catch_up(&mut self, slot: u32, subject: &[u8], changes: &Changes) -> bool {
        let entry = &mut self.slots[slot as usize];
        entry.mark_used();
        if entry.seen == changes.count() {
            return true;
        }
        let is_current = entry.catch_up(subject, changes);
        if is_current {
            self.account(slot);
            self.reclaim(slot);
        }
        is_current
    }

    /// The memory to build the next result in, which is then [`SLOT_LAST`]. Stale until [`Cache::built`].
    pub(super) fn last_mut(&mut self, subject: &[u8], spare: &mut Spare) -> &mut MatchSet {
        let last = &mut self.slots[SLOT_LAST as usize];
        last.seen = SEEN_STALE;
        if last.set.bytes() > self.limits.bytes_max / 2 {
            last.set = MatchSet::default();
        }
        last.set.begin(subject, spare);
        &mut last.set
    }

    /// Says that the last result is complete, for a subject with this hash.
    pub(super) fn built(&mut self, hash: u32, changes: &Changes) {
        let last = &mut self.slots[SLOT_LAST as usize];
        last.seen = changes.count();
        last.hash = hash;
    }

    /// Moves the last result to the kept `slot` of the same subject; gives where it is then.
    pub(super) fn replace(&mut self, slot: u32) -> u32 {
        if !self.may_keep_last() {
            self.evict(slot);
            return SLOT_LAST;
        }
        self.take_last(slot);
        slot
    }

    /// Keeps the last result if its subject was seen before; gives where it is then.
    pub(super) fn admit(&mut self, hash: u64, hashes: &Hashes) -> u32 {
        if !self.doorkeeper.was_seen(hash) {
            return SLOT_LAST;
        }
        if self.limits.sets_max == 0 || !self.may_keep_last() {
            return SLOT_LAST;
        }
        let full = self.table.len() >= self.limits.sets_max;
        let recycled = if full {
            self.evict_idle(SLOT_LAST)
        } else {
            None
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::new());
            (self.slots.len() - 1) as u32
        });
        let last = &self.slots[SLOT_LAST as usize];
        let (hash, prints) = (last.hash, Prints::of_subject(hashes, last.set.subject()));
        let entry = &mut self.slots[slot as usize];
        entry.set = recycled.unwrap_or_default();
        entry.hash = hash;
        entry.prints = prints;
        entry.used = false;
        self.table
            .insert_unique(spread(hash), Key { hash, slot }, |key| spread(key.hash));
        self.take_last(slot);
        slot
    }

    /// Tells the results for a literal `subject` that it gained (`added`) or lost a subscription.
    pub(super) fn patch(
        &mut self,
        hash: u32,
        subject: &[u8],
        added: bool,
        receiver: &Receiver<'_>,
        changes: &Changes,
    ) {
        let last = &mut self.slots[SLOT_LAST as usize];
        if last.hash == hash {
            last.seen = SEEN_STALE;
        }
        let Some(slot) = self.find(hash, subject) else {
            return;
        };
        self.slots[slot as usize].patch(subject, added, receiver, changes);
        self.account(slot);
        self.reclaim(SLOT_LAST);
    }

    /// Tells the results for the literal subject with this hash which other shards want exactly it.
    pub(super) fn patch_literal_shards(&mut self, hash: u64, shards: ShardSet) {
        let last = &mut self.slots[SLOT_LAST as usize];
        if last.set.hash == hash {
            last.seen = SEEN_STALE;
        }
        let slots = &self.slots;
        let found = self.table.find(spread(fold(hash)), |key| {
            key.hash == fold(hash) && slots[key.slot as usize].set.hash == hash
        });
        if let Some(key) = found {
            self.slots[key.slot as usize].set.set_literal_shards(shards);
        }
    }

    /// Kept results.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// The kept results; some may have changes to catch up with.
    pub(super) fn iter(&self) -> impl Iterator<Item = &MatchSet> {
        self.table
            .iter()
            .map(|key| &self.slots[key.slot as usize].set)
    }

    pub(super) fn bytes(&self) -> usize {
        let last = self.slots[SLOT_LAST as usize].set.bytes();
        self.slots.capacity() * size_of::<Slot>()
            + self.table.allocation_size()
            + self.doorkeeper.bytes()
            + self.bytes
            + last
    }

    fn may_keep_last(&self) -> bool {
        self.slots[SLOT_LAST as usize].set.bytes() <= self.limits.bytes_max / 2
    }

    /// Swaps the last result into `slot`, so that the buffers go round and nothing is allocated.
    fn take_last(&mut self, slot: u32) {
        let (fixed, kept) = self.slots.split_at_mut(SLOT_LAST as usize + 1);
        let last = &mut fixed[SLOT_LAST as usize];
        let entry = &mut kept[slot as usize - SLOT_LAST as usize - 1];
        std::mem::swap(&mut entry.set, &mut last.set);
        entry.seen = std::mem::replace(&mut last.seen, SEEN_STALE);
        entry.patches_unused = 0;
        entry.set.shrink();
        self.account(slot);
        self.reclaim(slot);
    }

    fn account(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        let bytes = entry.set.bytes();
        self.bytes = self.bytes - entry.bytes + bytes;
        entry.bytes = bytes;
    }

    /// Holds the bound in bytes, at the expense of any slot but `keep`.
    fn reclaim(&mut self, keep: u32) {
        while self.bytes > self.limits.bytes_max && self.evict_idle(keep).is_some() {}
    }

    /// Evicts a result not used since the hand last passed it, for its memory; never `keep`. None if there is
    /// no other.
    fn evict_idle(&mut self, keep: u32) -> Option<MatchSet> {
        // Twice round: the first may find every result used.
        for _ in 0..2 * self.slots.len() {
            self.hand += 1;
            if self.hand >= self.slots.len() {
                self.hand = SLOT_LAST as usize + 1;
            }
            let entry = self.slots.get_mut(self.hand)?;
            let is_kept = !entry.set.subject().is_empty();
            if !is_kept || self.hand == keep as usize {
                continue;
            }
            if !std::mem::take(&mut entry.used) {
                return Some(self.evict(self.hand as u32));
            }
        }
        None
    }

    fn evict(&mut self, slot: u32) -> MatchSet {
        let entry = std::mem::replace(&mut self.slots[slot as usize], Slot::new());
        self.bytes -= entry.bytes;
        match self
            .table
            .find_entry(spread(entry.hash), |key| key.slot == slot)
        {
            Ok(key) => drop(key.remove()),
            Err(_) => debug_assert!(false, "slot {slot} is not in the table"),
        }
        self.free.push(slot);
        entry.set
    }

    /// Panics unless each current result, caught up, has the receivers that `build` finds for its subject.
    pub(super) fn check_invariants(
        &self,
        changes: &Changes,
        mut build: impl FnMut(&[u8]) -> (u32, MatchSet),
    ) {
        assert!(
            self.table.len() <= self.limits.sets_max,
            "more results than allowed"
        );
        assert_eq!(
            self.table.len() + self.free.len() + 2,
            self.slots.len(),
            "every slot is kept or free"
        );
        let bytes: usize = self.slots.iter().map(|slot| slot.bytes).sum();
        assert_eq!(bytes, self.bytes, "bytes of the kept results");
        assert!(
            bytes <= self.limits.bytes_max || self.table.len() == 1,
            "more bytes than allowed"
        );
        assert!(
            self.slots[SLOT_EMPTY as usize].set.is_empty(),
            "a malformed subject has receivers"
        );
        for key in &self.table {
            let slot = &self.slots[key.slot as usize];
            let (hash, built) = build(slot.set.subject());
            assert_eq!((key.hash, slot.hash), (hash, hash), "hash of a kept result");
            assert!(
                self.find(hash, slot.set.subject()) == Some(key.slot),
                "a subject is kept twice"
            );
            let mut caught_up = Slot {
                set: slot.set.clone(),
                ..*slot
            };
            if caught_up.catch_up(slot.set.subject(), changes) {
                assert_eq!(
                    caught_up.set.receivers_sorted(),
                    built.receivers_sorted(),
                    "a kept result is wrong"
                );
            }
        }
        let last = &self.slots[SLOT_LAST as usize];
        if last.seen == changes.count() {
            let (_, built) = build(last.set.subject());
            assert_eq!(
                last.set.receivers_sorted(),
                built.receivers_sorted(),
                "the last result is wrong"
            );
        }
    }
}
