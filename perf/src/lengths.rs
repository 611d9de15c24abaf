//! Where messages begin and end in a stream of them, when their lengths are known and come over and over.

use std::rc::Rc;

/// Lengths of the messages of a stream, in bytes: those of one cycle, again and again.
///
/// A position is a number of bytes since the start of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    /// Where each message of the first cycle ends. Rising; one entry where all are alike.
    ends: Rc<[u64]>,
}

impl Lengths {
    /// All messages are of this length, which is not 0.
    pub(crate) fn alike(bytes: usize) -> Self {
        Self::in_turn([bytes])
    }

    /// One message of each of these lengths in turn; at least one, and none is 0.
    pub(crate) fn in_turn(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut end = 0;
        let ends = lengths.into_iter().map(|bytes| {
            end += bytes as u64;
            end
        });
        Self {
            ends: ends.collect(),
        }
    }

    /// Messages of a cycle.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of a cycle.
    fn cycle_bytes(&self) -> u64 {
        self.ends.last().copied().unwrap_or(1)
    }

    /// Length of a message, in bytes, by its place in the cycle.
    pub(crate) fn of(&self, place: usize) -> usize {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        usize::try_from(self.ends[place] - start).unwrap_or(usize::MAX)
    }

    /// Mean length of a message, in bytes, rounded up.
    pub(crate) fn mean(&self) -> u64 {
        self.cycle_bytes().div_ceil(self.len() as u64)
    }

    /// Messages that have ended at this position.
    pub(crate) fn count_at(&self, position: u64) -> u64 {
        let (cycles, rest) = self.split(position);
        let in_this = self.ends.partition_point(|end| *end <= rest);
        cycles * self.len() as u64 + in_this as u64
    }

    /// Where so many messages end.
    pub(crate) fn end_of(&self, count: u64) -> u64 {
        let length = self.len() as u64;
        let place = usize::try_from(count % length).unwrap_or(0);
        let rest = place.checked_sub(1).map_or(0, |last| self.ends[last]);
        count / length * self.cycle_bytes() + rest
    }

    /// The nearest end of a message at this position or behind it.
    pub(crate) fn boundary_from(&self, position: u64) -> u64 {
        let before = self.boundary_until(position);
        if before == position {
            position
        } else {
            self.end_of(self.count_at(position) + 1)
        }
    }

    /// The nearest end of a message at this position or before it.
    pub(crate) fn boundary_until(&self, position: u64) -> u64 {
        self.end_of(self.count_at(position))
    }

    fn split(&self, position: u64) -> (u64, u64) {
        let bytes = self.cycle_bytes();
        (position / bytes, position % bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_messages_agree() {
        let cycle = [3, 1, 4, 1, 5];
        for lengths in [Lengths::in_turn(cycle), Lengths::alike(7)] {
            let mut end = 0;
            for count in 0..23 {
                assert_eq!(lengths.end_of(count), end);
                let place = usize::try_from(count).unwrap() % lengths.len();
                let next = end + lengths.of(place) as u64;
                for position in end..next {
                    assert_eq!(lengths.count_at(position), count, "at {position}");
                    assert_eq!(lengths.boundary_until(position), end, "at {position}");
                    let expected = if position == end { end } else { next };
                    assert_eq!(lengths.boundary_from(position), expected, "at {position}");
                }
                end = next;
            }
        }
        assert_eq!(Lengths::in_turn(cycle).mean(), 3);
        assert_eq!(Lengths::alike(7).mean(), 7);
    }
}
