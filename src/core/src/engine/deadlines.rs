//! Deadlines of a shard's connections, soonest first.
//!
//! An entry says "look at this connection then"; the connection itself knows what is due.
//! So a deadline that moves back costs nothing: the look finds nothing due and asks again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::interest::ConnKey;
use crate::time::Time;

/// A queue of looks to take.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Time, u32)>>,
}

impl Deadlines {
    pub(crate) fn push(&mut self, at: Time, key: ConnKey) {
        self.heap.push(Reverse((at, key.0)));
    }

    /// The next look that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<(Time, ConnKey)> {
        let &Reverse((at, key)) = self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some((at, ConnKey(key)))
    }

    /// Looks that are asked for, those included that concern nobody any more.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Forgets the looks that `is_wanted` does not want.
    ///
    /// # Cost
    /// Linear.
    pub(crate) fn retain(&mut self, mut is_wanted: impl FnMut(Time, ConnKey) -> bool) {
        self.heap
            .retain(|&Reverse((at, key))| is_wanted(at, ConnKey(key)));
    }

    /// When the next look is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soonest_first() {
        let mut deadlines = Deadlines::default();
        for (at, key) in [(5, 1), (3, 2), (9, 3)] {
            deadlines.push(Time(at), ConnKey(key));
        }
        assert_eq!(deadlines.next(), Some(Time(3)));
        assert_eq!(deadlines.pop_due(Time(6)), Some((Time(3), ConnKey(2))));
        assert_eq!(deadlines.pop_due(Time(6)), Some((Time(5), ConnKey(1))));
        assert_eq!(deadlines.pop_due(Time(6)), None);
    }
}
