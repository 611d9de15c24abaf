//! Records under stable numbers, in pages that are given back when they empty.
//!
//! One growing vector would keep its size for ever after the day with a million subscriptions, and copy all of
//! them to grow. Here a record never moves once its page is whole; the lowest free place is taken first, so
//! that the upper pages empty as records go.

use std::ops::{Index, IndexMut};

/// Records of a page: 64 words of 64 bits say which places are free. With records of a cache line it is
/// 256 KiB, which the server's allocator takes from the system and gives back by itself.
const PAGE: usize = 64 * 64;
/// Numbers have 31 bits; the top one is taken by [`super::lists::Entry`].
const RECORDS_MAX: usize = 1 << 31;
/// An empty arena keeps room for as many records.
const KEPT: usize = 64;

/// Which places of a page are free.
#[derive(Debug)]
struct Free {
    /// Bit `n` of word `w`: place `64 * w + n` is free.
    words: Box<[u64; 64]>,
    /// Bit `w`: word `w` is not 0.
    summary: u64,
    used: u32,
}

impl Free {
    fn all() -> Self {
        Self {
            words: Box::new([u64::MAX; 64]),
            summary: u64::MAX,
            used: 0,
        }
    }

    fn is_free(&self, place: usize) -> bool {
        self.words[place / 64] >> (place % 64) & 1 == 1
    }

    /// Takes the lowest place; there must be one.
    fn take(&mut self) -> usize {
        let word = self.summary.trailing_zeros() as usize % 64;
        let bits = &mut self.words[word];
        let bit = bits.trailing_zeros() as usize;
        *bits &= *bits - 1;
        if *bits == 0 {
            self.summary &= !(1 << word);
        }
        self.used += 1;
        word * 64 + bit
    }

    /// One more than the highest place that is not free.
    fn used_to(&self) -> usize {
        let last = self.words.iter().rposition(|&word| word != u64::MAX);
        last.map_or(0, |word| {
            word * 64 + 64 - (!self.words[word]).leading_zeros() as usize
        })
    }

    /// Gives a place back; true if there was no free one.
    fn give(&mut self, place: usize) -> bool {
        let was_full = self.summary == 0;
        self.words[place / 64] |= 1 << (place % 64);
        self.summary |= 1 << (place / 64);
        self.used -= 1;
        was_full
    }
}

/// Records of one kind.
#[derive(Debug)]
pub(super) struct Arena<T> {
    /// Each with the places used so far; without capacity once it was given back.
    pages: Vec<Vec<T>>,
    /// Beside `pages`.
    free: Vec<Free>,
    /// Bit `n` of word `w`: page `64 * w + n` has memory and a free place.
    open: Vec<u64>,
    /// Words of `open` before this one are 0.
    open_from: usize,
    /// Pages without memory.
    holes: usize,
    /// The page that is kept though it is empty, so that a record that comes and goes does not take a page
    /// with it each time.
    spare: Option<usize>,
    len: usize,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            free: Vec::new(),
            open: Vec::new(),
            open_from: 0,
            holes: 0,
            spare: None,
            len: 0,
        }
    }
}

impl<T> Index<u32> for Arena<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: u32) -> &T {
        &self.pages[at as usize / PAGE][at as usize % PAGE]
    }
}

impl<T> IndexMut<u32> for Arena<T> {
    #[inline]
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.pages[at as usize / PAGE][at as usize % PAGE]
    }
}

impl<T> Arena<T> {
    /// Records held.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One more than the highest number there may be now.
    pub(super) fn end(&self) -> u32 {
        // At most `RECORDS_MAX`.
        (self.pages.len().saturating_sub(1) * PAGE + self.pages.last().map_or(0, Vec::len)) as u32
    }

    /// Whether there is a record with this number.
    pub(super) fn has(&self, at: u32) -> bool {
        let at = at as usize;
        self.free
            .get(at / PAGE)
            .is_some_and(|free| !free.is_free(at % PAGE))
    }

    /// All records and their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let starts = (0_u32..).step_by(PAGE);
        starts
            .zip(self.pages.iter().zip(&self.free))
            .flat_map(|(start, (page, free))| {
                let places = (0..).zip(page);
                places
                    .filter(|&(place, _)| !free.is_free(place as usize))
                    .map(move |(place, record)| (start + place, record))
            })
    }

    /// Adds a record; gives its number.
    pub(super) fn insert(&mut self, record: T) -> u32 {
        let page = self.find_open().unwrap_or_else(|| self.add_page());
        let free = &mut self.free[page];
        let place = free.take();
        if free.summary == 0 {
            self.open[page / 64] &= !(1 << (page % 64));
        }
        if self.spare == Some(page) {
            self.spare = None;
        }
        let records = &mut self.pages[page];
        match records.get_mut(place) {
            Some(left) => *left = record,
            // The lowest place comes first, so this is the next one.
            None => records.push(record),
        }
        self.len += 1;
        (page * PAGE + place) as u32
    }

    /// Takes out a record that is there; `left` stays in its place and is not seen any more.
    pub(super) fn remove(&mut self, at: u32, left: T) -> T {
        debug_assert!(self.has(at), "record {at} is not there");
        let (page, place) = (at as usize / PAGE, at as usize % PAGE);
        let record = std::mem::replace(&mut self.pages[page][place], left);
        let free = &mut self.free[page];
        let was_full = free.give(place);
        let is_empty = free.used == 0;
        if was_full {
            self.open[page / 64] |= 1 << (page % 64);
            self.open_from = self.open_from.min(page / 64);
        }
        self.len -= 1;
        if is_empty {
            self.emptied(page);
        }
        if self.len <= PAGE / 2 && self.len.is_power_of_two() {
            self.tighten();
        }
        record
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        let records: usize = self.pages.iter().map(Vec::capacity).sum();
        records * size_of::<T>()
            + self.pages.capacity() * size_of::<Vec<T>>()
            + self.free.capacity() * size_of::<Free>()
            + self.free.len() * size_of::<[u64; 64]>()
            + self.open.capacity() * size_of::<u64>()
    }

    /// The lowest page with memory and a free place.
    fn find_open(&mut self) -> Option<usize> {
        while let Some(&word) = self.open.get(self.open_from) {
            if word != 0 {
                return Some(self.open_from * 64 + word.trailing_zeros() as usize);
            }
            self.open_from += 1;
        }
        None
    }

    #[cold]
    fn add_page(&mut self) -> usize {
        let find_hole = || self.pages.iter().position(|page| page.capacity() == 0);
        let hole = if self.holes > 0 { find_hole() } else { None };
        let page = match hole {
            Some(page) => {
                self.holes -= 1;
                page
            }
            None => {
                assert!(
                    self.pages.len() < RECORDS_MAX / PAGE,
                    "numbers have 31 bits"
                );
                self.pages.push(Vec::new());
                self.free.push(Free::all());
                self.pages.len() - 1
            }
        };
        // A single page grows as it is used: most arenas never have a second one.
        let capacity = if self.pages.len() == 1 { 1 } else { PAGE };
        self.pages[page] = Vec::with_capacity(capacity);
        if self.open.len() <= page / 64 {
            self.open.push(0);
        }
        self.open[page / 64] |= 1 << (page % 64);
        self.open_from = page / 64;
        page
    }

    /// Gives a page back, or another one that was kept.
    #[cold]
    fn emptied(&mut self, page: usize) {
        if self.len == 0 {
            if self.pages.len() > 1 || self.pages[page].capacity() > KEPT {
                *self = Self::default();
            }
            return;
        }
        if self.len <= PAGE / 2 {
            // It will not be needed soon.
            self.give_back(page);
            return;
        }
        let kept = self.spare.map_or(page, |spare| spare.min(page));
        if let Some(spare) = self.spare {
            self.give_back(spare.max(page));
        }
        self.spare = Some(kept);
    }

    /// Cuts off what an only page holds above its last record.
    #[cold]
    fn tighten(&mut self) {
        if let Some(spare) = self.spare.take() {
            self.give_back(spare);
        }
        let ([page], [free]) = (&mut self.pages[..], &self.free[..]) else {
            return;
        };
        let used = free.used_to();
        page.truncate(used);
        if page.capacity() > KEPT && page.capacity() > 4 * used {
            page.shrink_to((2 * used).max(KEPT));
        }
    }

    fn give_back(&mut self, page: usize) {
        self.pages[page] = Vec::new();
        self.open[page / 64] &= !(1 << (page % 64));
        self.holes += 1;
        while self.pages.last().is_some_and(|page| page.capacity() == 0) {
            self.pages.pop();
            self.free.pop();
            self.holes -= 1;
        }
        self.open.truncate(self.pages.len().div_ceil(64));
        if self.pages.capacity() > 8 * self.pages.len() {
            self.pages.shrink_to(2 * self.pages.len());
            self.free.shrink_to(2 * self.pages.len());
            self.open.shrink_to_fit();
        }
    }

    /// Panics unless what is noted of free places and pages is so.
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.pages.len(), self.free.len(), "a note for each page");
        let mut len = 0;
        for (at, (page, free)) in self.pages.iter().zip(&self.free).enumerate() {
            let used = (0..PAGE).filter(|&place| !free.is_free(place)).count();
            assert_eq!(free.used as usize, used, "places of page {at}");
            assert!(
                (page.len()..PAGE).all(|place| free.is_free(place)),
                "a place of page {at} has no record"
            );
            for (word, &bits) in free.words.iter().enumerate() {
                assert_eq!(free.summary >> word & 1 == 1, bits != 0, "summary");
            }
            let is_open = page.capacity() > 0 && free.summary != 0;
            assert_eq!(
                self.open[at / 64] >> (at % 64) & 1 == 1,
                is_open,
                "page {at} is open"
            );
            assert!(!is_open || at / 64 >= self.open_from, "page {at} is found");
            let is_empty = page.capacity() > 0 && used == 0;
            assert!(
                !is_empty || self.spare == Some(at) || self.len == 0,
                "page {at} is empty and was kept"
            );
            len += used;
        }
        assert_eq!(len, self.len, "records counted");
        let holes = self.pages.iter().filter(|page| page.capacity() == 0);
        assert_eq!(holes.count(), self.holes, "holes counted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: u32 = 10 * PAGE as u32;

    fn filled(count: u32) -> Arena<u64> {
        let mut arena = Arena::default();
        for number in 0..count {
            assert_eq!(arena.insert(number.into()), number);
        }
        arena
    }

    #[test]
    fn places_are_used_again_lowest_first() {
        let mut arena = filled(MANY);
        for at in [77, 5, 3 * PAGE as u32 + 1] {
            assert_eq!(arena.remove(at, 0), u64::from(at));
            assert!(!arena.has(at));
        }
        arena.check_invariants();
        let again: Vec<u32> = (0..4).map(|_| arena.insert(1)).collect();
        assert_eq!(again, [5, 77, 3 * PAGE as u32 + 1, MANY]);
        assert_eq!(arena.len(), MANY as usize + 1);
        assert_eq!(arena.end(), MANY + 1);
        arena.check_invariants();
    }

    #[test]
    fn memory_comes_back_and_records_stay_where_they_are() {
        let mut arena = filled(MANY);
        let first = &raw const arena[PAGE as u32];
        let full = arena.bytes();
        // One of each hundred stays on the first two pages.
        let stays = |at: u32| at < 2 * PAGE as u32 && at.is_multiple_of(100);
        for at in (0..MANY).filter(|&at| !stays(at)) {
            arena.remove(at, 0);
            if at % 5000 == 0 {
                arena.check_invariants();
            }
        }
        arena.check_invariants();
        assert!(arena.bytes() < full / 3, "{} of {full}", arena.bytes());
        assert_eq!(&raw const arena[PAGE as u32], first);
        let left: Vec<(u32, u64)> = arena.iter().map(|(at, &value)| (at, value)).collect();
        let expected = (0..MANY).filter(|&at| stays(at));
        assert_eq!(left, expected.map(|at| (at, at.into())).collect::<Vec<_>>());
        for (at, _) in left {
            arena.remove(at, 0);
        }
        assert_eq!((arena.len(), arena.end()), (0, 0));
        assert!(arena.bytes() < 1024, "{} bytes are left", arena.bytes());
    }

    #[test]
    fn pages_in_the_middle_are_filled_again() {
        let mut arena = filled(MANY);
        let (start, end) = (2 * PAGE as u32, 6 * PAGE as u32);
        for at in start..end {
            arena.remove(at, 0);
        }
        arena.check_invariants();
        assert_eq!(arena.holes, 3, "and one is kept");
        let mut numbers: Vec<u32> = (start..end).map(|_| arena.insert(0)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (start..end).collect::<Vec<_>>());
        arena.check_invariants();
        assert_eq!(arena.insert(0), MANY);
    }

    #[test]
    fn a_record_at_a_border_takes_no_page_each_time() {
        let mut arena = filled(PAGE as u32);
        let at = arena.insert(0);
        let bytes = arena.bytes();
        for _ in 0..3 {
            arena.remove(at, 0);
            assert_eq!(arena.bytes(), bytes, "the page is kept");
            assert_eq!(arena.insert(0), at);
        }
    }

    #[test]
    fn what_stays_at_the_start_keeps_no_page() {
        let mut arena = filled(MANY);
        for at in (3..MANY).rev() {
            arena.remove(at, 0);
        }
        arena.check_invariants();
        assert!(arena.bytes() < 2048, "{} bytes are left", arena.bytes());
        assert_eq!(arena.iter().count(), 3);
        for number in 3..MANY {
            assert_eq!(arena.insert(0), number);
        }
        arena.check_invariants();
    }

    #[test]
    fn a_small_arena_is_small() {
        let mut arena = Arena::default();
        for _ in 0..3 {
            let at = arena.insert(1_u64);
            assert!(arena.bytes() < 1024, "{} bytes", arena.bytes());
            arena.remove(at, 0);
            arena.check_invariants();
        }
    }
}
