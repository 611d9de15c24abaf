//! A set of sequence numbers kept as ranges: small while they come in order, exact when they do not.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges {
    /// Start of each range to its end (first number not in it).
    ///
    /// Invariant: no range is empty, no two overlap or touch.
    by_start: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds one number; false when it was there already.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        let before = self.by_start.range(..=number).next_back();
        let before = before.map(|(start, end)| (*start, *end));
        if before.is_some_and(|(_, end)| number < end) {
            return false;
        }
        let start = match before {
            Some((start, end)) if end == number => start,
            _ => number,
        };
        let end = self.by_start.remove(&(number + 1)).unwrap_or(number + 1);
        self.by_start.insert(start, end);
        true
    }

    /// Adds every number of `range`.
    pub(crate) fn insert_range(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        let touching: Vec<(u64, u64)> = self
            .by_start
            .range(..=end)
            .rev()
            .take_while(|(_, other_end)| **other_end >= start)
            .map(|(other_start, other_end)| (*other_start, *other_end))
            .collect();
        for (other_start, other_end) in touching {
            self.by_start.remove(&other_start);
            start = start.min(other_start);
            end = end.max(other_end);
        }
        self.by_start.insert(start, end);
    }

    /// How many numbers the set holds.
    pub(crate) fn len(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    /// How many numbers of this set are not in `other`.
    pub(crate) fn count_outside(&self, other: &Ranges) -> u64 {
        let inside: u64 = self.iter().map(|range| other.count_within(range)).sum();
        self.len() - inside
    }

    /// The first few ranges of this set that are not wholly in `other`, for a failure text.
    pub(crate) fn first_outside(&self, other: &Ranges, at_most: usize) -> Vec<Range<u64>> {
        let mut found = Vec::new();
        for range in self.iter() {
            let mut at = range.start;
            for (start, end) in other.by_start.range(..range.end) {
                if *end > at && *start > at {
                    found.push(at..*start);
                }
                at = at.max(*end);
            }
            if at < range.end {
                found.push(at..range.end);
            }
            if found.len() >= at_most {
                break;
            }
        }
        found.truncate(at_most);
        found
    }

    fn count_within(&self, range: Range<u64>) -> u64 {
        let mut count = 0;
        for (start, end) in self.by_start.range(..range.end).rev() {
            if *end <= range.start {
                break;
            }
            count += (*end).min(range.end) - (*start).max(range.start);
        }
        count
    }

    fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.by_start.iter().map(|(start, end)| *start..*end)
    }
}

#[cfg(test)]
#[allow(
    clippy::single_range_in_vec_init,
    reason = "lists of ranges are what is tested"
)]
mod tests {
    use super::*;

    fn of(ranges: &[Range<u64>]) -> Ranges {
        let mut set = Ranges::default();
        for range in ranges {
            set.insert_range(range.clone());
        }
        set
    }

    #[test]
    fn numbers_in_order_stay_one_range() {
        let mut set = Ranges::default();
        for number in 0..1000 {
            assert!(set.insert(number));
        }
        assert_eq!(set.by_start.len(), 1);
        assert_eq!(set.len(), 1000);
        assert!(!set.insert(0));
        assert!(!set.insert(999));
    }

    #[test]
    fn a_hole_closes_when_its_number_comes() {
        let mut set = of(&[0..5, 6..9]);
        assert_eq!(set.by_start.len(), 2);
        assert!(set.insert(5));
        assert_eq!(set.by_start.len(), 1);
        assert_eq!(set.len(), 9);
    }

    #[test]
    fn ranges_merge_when_they_touch_or_overlap() {
        assert_eq!(of(&[0..3, 3..6]).by_start.len(), 1);
        assert_eq!(of(&[10..12, 0..3, 2..11]).len(), 12);
        assert_eq!(of(&[5..6, 0..20]).len(), 20);
        assert_eq!(of(&[5..5]).len(), 0);
    }

    #[test]
    fn outside_counts_what_the_other_lacks() {
        let expected = of(&[0..10]);
        let seen = of(&[0..3, 5..12]);
        assert_eq!(expected.count_outside(&seen), 2);
        assert_eq!(seen.count_outside(&expected), 2);
        assert_eq!(expected.first_outside(&seen, 8), [3..5]);
        assert_eq!(seen.first_outside(&expected, 8), [10..12]);
        let holes = of(&[2..3, 4..5]);
        assert_eq!(expected.first_outside(&holes, 2), [0..2, 3..4]);
        assert_eq!(expected.first_outside(&Ranges::default(), 8), [0..10]);
    }
}
