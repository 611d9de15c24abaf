//! A hash table that never stops to move all it holds.
//!
//! A plain table doubles: with half a million entries that is one insert of 50 ms, in which the shard serves
//! nobody. This one is many small tables, *parts*, of some hundred entries each, and grows by one part at a time
//! (linear hashing): an insert beyond what the parts are to hold splits the next of them in two, a removal
//! below three eighths of it joins the last to the one it came from. So each change moves the entries of two
//! parts at most, whatever the table's size, and an empty table is one empty part.
//!
//! ```text
//!  7 parts:   0  1  2 | 3 |  4  5  6      bits of a hash: x10 -> part 2 or 6, by one bit more
//!             split     ^     from 0 1 2                  011, 111 -> part 3, split next
//! ```

use hashbrown::HashTable;

/// An entry, which knows its own hash: growing must not read what the entry stands for.
pub(super) trait Hashed {
    /// All 64 bits spread well and keyed, see [`super::hash`].
    fn hash(&self) -> u64;
}

/// Entries per part beyond which one is split. One that waits for its split then has up to twice that,
/// which with the spread of chance still fits 2048 buckets.
const PER_PART: usize = 768;
/// Entries per part below which one is joined. Less than half, or the first split would be undone at once.
const PER_PART_MIN: usize = PER_PART * 3 / 8;
/// A part of that capacity is not worth shrinking.
const CAPACITY_KEPT: usize = 56;
/// Where in a hash the bits begin that choose the part. A part takes its positions from those below, or
/// its entries would crowd in a few of them, and its tags from the topmost seven of 32.
const PART_SHIFT: u32 = 13;

/// Where an entry is, until the table changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    part: usize,
    bucket: usize,
}

/// A table of entries found by their hash.
#[derive(Debug)]
pub(super) struct SplitTable<T> {
    parts: Vec<HashTable<T>>,
    /// Bits of a hash that choose among the parts, some of which are still to come.
    mask: usize,
    len: usize,
    /// Entries with which the next part is split.
    split_at: usize,
    /// Entries below which the last part is joined.
    join_below: usize,
}

impl<T> Default for SplitTable<T> {
    fn default() -> Self {
        let mut table = Self {
            parts: vec![HashTable::new()],
            mask: 0,
            len: 0,
            split_at: 0,
            join_below: 0,
        };
        table.note_parts();
        table
    }
}

impl<T> SplitTable<T> {
    /// Entries held.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All entries, in an order that depends on hashes and history alone.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.parts.iter().flatten()
    }

    /// The entry with this hash that `is_it`.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<&T> {
        self.parts[self.part(hash)].find(hash, is_it)
    }

    /// The same, to be changed; its hash must stay.
    #[inline]
    pub(super) fn find_mut(&mut self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let part = self.part(hash);
        self.parts[part].find_mut(hash, is_it)
    }

    /// Where the entry with this hash is that `is_it`.
    #[inline]
    pub(super) fn locate(&self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<Spot> {
        let part = self.part(hash);
        let bucket = self.parts[part].find_bucket_index(hash, is_it)?;
        Some(Spot { part, bucket })
    }

    /// The entry there, to be changed; its hash must stay.
    #[inline]
    pub(super) fn get_mut(&mut self, spot: Spot) -> Option<&mut T> {
        self.parts[spot.part].get_bucket_mut(spot.bucket)
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        let entries: usize = self.parts.iter().map(HashTable::allocation_size).sum();
        self.parts.capacity() * size_of::<HashTable<T>>() + entries
    }

    #[inline]
    fn part(&self, hash: u64) -> usize {
        // Cut to what a table can have parts.
        let part = (hash >> PART_SHIFT) as usize & self.mask;
        if part < self.parts.len() {
            part
        } else {
            part & (self.mask >> 1)
        }
    }

    fn note_parts(&mut self) {
        let parts = self.parts.len();
        self.mask = parts.next_power_of_two() - 1;
        self.split_at = parts * PER_PART;
        self.join_below = parts * PER_PART_MIN;
    }

    /// The part that the last one was split from.
    fn origin_of_last(&self) -> usize {
        (self.parts.len() - 1) & (self.mask >> 1)
    }
}

impl<T: Hashed> SplitTable<T> {
    /// Adds an entry that is not there.
    pub(super) fn insert(&mut self, entry: T) {
        self.make_room();
        let hash = entry.hash();
        let part = self.part(hash);
        self.parts[part].insert_unique(hash, entry, T::hash);
        self.len += 1;
    }

    /// The entry with this hash that `is_it`; `fresh` makes it if there is none.
    pub(super) fn find_or_insert(
        &mut self,
        hash: u64,
        is_it: impl FnMut(&T) -> bool,
        fresh: impl FnOnce() -> T,
    ) -> &mut T {
        self.make_room();
        let part = self.part(hash);
        let len = &mut self.len;
        self.parts[part]
            .entry(hash, is_it, T::hash)
            .or_insert_with(|| {
                *len += 1;
                fresh()
            })
            .into_mut()
    }

    /// Takes out the entry with this hash that `is_it`.
    pub(super) fn remove(&mut self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<T> {
        let part = self.part(hash);
        let (entry, _) = self.parts[part].find_entry(hash, is_it).ok()?.remove();
        self.removed_one();
        Some(entry)
    }

    /// Takes out the entry there.
    pub(super) fn take(&mut self, spot: Spot) -> Option<T> {
        let found = self.parts[spot.part].get_bucket_entry(spot.bucket).ok()?;
        let (entry, _) = found.remove();
        self.removed_one();
        Some(entry)
    }

    #[inline]
    fn make_room(&mut self) {
        if self.len >= self.split_at {
            self.split();
        }
    }

    #[inline]
    fn removed_one(&mut self) {
        self.len -= 1;
        if self.len < self.join_below {
            self.become_smaller();
        }
    }

    fn become_smaller(&mut self) {
        let [only] = &mut self.parts[..] else {
            self.join();
            return;
        };
        let capacity = only.capacity();
        if capacity > CAPACITY_KEPT && only.len() < capacity / 8 {
            only.shrink_to(only.len() * 2, T::hash);
        }
    }

    /// Splits the part whose turn it is.
    #[cold]
    fn split(&mut self) {
        self.parts.push(HashTable::new());
        self.note_parts();
        let (low, high) = (self.origin_of_last(), self.parts.len() - 1);
        let old = std::mem::take(&mut self.parts[low]);
        // Half of them each, and chance.
        let capacity = old.len() / 2 + old.len() / 16;
        for part in [low, high] {
            self.parts[part] = HashTable::with_capacity(capacity);
        }
        self.take_in(old);
    }

    /// Undoes the latest split.
    #[cold]
    fn join(&mut self) {
        let low = self.origin_of_last();
        let Some(high) = self.parts.pop() else { return };
        self.note_parts();
        self.parts[low].reserve(high.len(), T::hash);
        self.take_in(high);
        if self.parts.capacity() > 8 * self.parts.len() {
            self.parts.shrink_to(2 * self.parts.len());
        }
    }

    /// Puts entries where they belong now.
    fn take_in(&mut self, entries: HashTable<T>) {
        for entry in entries {
            let hash = entry.hash();
            let part = self.part(hash);
            // Not `insert_unique`: called from one place only, it becomes a part of `insert`.
            self.parts[part]
                .entry(hash, |_| false, T::hash)
                .insert(entry);
        }
    }

    /// Panics unless every entry is where it is looked for, and only as many as are counted.
    pub(super) fn check_invariants(&self) {
        let mut len = 0;
        for (at, part) in self.parts.iter().enumerate() {
            len += part.len();
            assert!(
                part.iter().all(|entry| self.part(entry.hash()) == at),
                "an entry is in another part"
            );
        }
        assert_eq!(len, self.len, "entries counted");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::interest::hash::{Hashes, fold, spread};

    /// Counts how often it was asked for its hash: whoever moves it must ask.
    struct Counted {
        hash: u32,
        number: u32,
        asked: Rc<Cell<usize>>,
    }

    impl Hashed for Counted {
        fn hash(&self) -> u64 {
            self.asked.set(self.asked.get() + 1);
            spread(self.hash)
        }
    }

    /// Entries that one change may move: two parts, grown as much as chance makes them.
    const MOVED_MAX: usize = 4 * PER_PART;
    const MANY: u32 = 300_000;

    struct World {
        table: SplitTable<Counted>,
        hashes: Hashes,
        asked: Rc<Cell<usize>>,
        moved_max: usize,
    }

    impl World {
        fn new() -> Self {
            Self {
                table: SplitTable::default(),
                hashes: Hashes::new(11),
                asked: Rc::default(),
                moved_max: 0,
            }
        }

        fn hash(&self, number: u32) -> u32 {
            fold(self.hashes.text(&number.to_le_bytes()))
        }

        fn insert(&mut self, number: u32) {
            let (hash, asked) = (self.hash(number), Rc::clone(&self.asked));
            self.counting(|table| {
                table.insert(Counted {
                    hash,
                    number,
                    asked,
                });
            });
        }

        fn remove(&mut self, number: u32) {
            let hash = spread(self.hash(number));
            self.counting(|table| {
                let removed = table.remove(hash, |entry| entry.number == number);
                assert!(removed.is_some(), "{number} is there");
            });
        }

        fn has(&self, number: u32) -> bool {
            self.table
                .find(spread(self.hash(number)), |entry| entry.number == number)
                .is_some()
        }

        fn counting(&mut self, change: impl FnOnce(&mut SplitTable<Counted>)) {
            let before = self.asked.get();
            change(&mut self.table);
            self.moved_max = self.moved_max.max(self.asked.get() - before);
        }
    }

    #[test]
    fn no_change_moves_more_than_two_parts_and_memory_comes_back() {
        let mut world = World::new();
        let empty = world.table.bytes();
        for number in 0..MANY {
            world.insert(number);
        }
        world.table.check_invariants();
        assert!((0..MANY).all(|number| world.has(number)));
        assert!(!world.has(MANY));
        let (per_entry, full) = (size_of::<Counted>() + 1, world.table.bytes());
        assert!(full < MANY as usize * per_entry * 3, "{full} bytes");
        for number in 0..MANY {
            world.remove(number);
            if number % 50_000 == 0 {
                world.table.check_invariants();
                assert!((number + 1..MANY).all(|left| world.has(left)));
            }
        }
        assert!(
            world.moved_max <= MOVED_MAX,
            "{} entries were moved by one change",
            world.moved_max
        );
        assert!(world.moved_max >= PER_PART / 2, "moves are counted");
        let left = world.table.bytes();
        assert!(left < empty + 64 * per_entry * 2, "{left} bytes are left");
    }

    #[test]
    fn entries_that_come_and_go_at_a_border_move_nothing() {
        for border in [PER_PART, 8 * PER_PART - 1, PER_PART_MIN * 8] {
            let mut world = World::new();
            let many = 8 * PER_PART as u32;
            for number in 0..many {
                world.insert(number);
            }
            for number in border as u32..many {
                world.remove(number);
            }
            // One step over the border and back is paid for once.
            world.insert(many);
            world.remove(many);
            world.moved_max = 0;
            for _ in 0..1000 {
                world.insert(many);
                world.remove(many);
            }
            assert!(world.moved_max <= 2, "{} at {border}", world.moved_max);
        }
    }

    #[test]
    fn entries_are_found_and_changed_in_place() {
        let mut world = World::new();
        for round in 0..3_000 {
            let number = round % 1_500;
            let (hash, asked) = (world.hash(number), Rc::clone(&world.asked));
            let fresh = || Counted {
                hash,
                number,
                asked,
            };
            let table = &mut world.table;
            let found = table.find_or_insert(spread(hash), |entry| entry.number == number, fresh);
            assert_eq!(found.number, number);
        }
        assert_eq!(world.table.len(), 1_500);
        for number in 0..1_500 {
            let hash = spread(world.hash(number));
            let is_it = |entry: &Counted| entry.number == number;
            let spot = world.table.locate(hash, is_it).unwrap();
            world.table.get_mut(spot).unwrap().number += 10_000;
            assert!(world.table.find(hash, is_it).is_none(), "{number}");
            assert_eq!(world.table.take(spot).unwrap().number, number + 10_000);
        }
        assert_eq!(world.table.iter().count(), 0);
        world.table.check_invariants();
    }
}
