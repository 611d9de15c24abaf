//! A set of shards: bits of one word.

use std::ops::{BitAnd, BitOr, BitOrAssign};

/// Shards by number, below 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ShardSet(u64);

impl ShardSet {
    /// No shard.
    pub const NONE: Self = Self(0);

    /// The shard with this number alone.
    #[inline]
    pub fn one(shard: u16) -> Self {
        debug_assert!(shard < 64, "a set holds shards below 64");
        Self(1 << (shard & 63))
    }

    /// All of the first `shards` but `own`.
    pub fn others(shards: u16, own: u16) -> Self {
        (0..shards)
            .filter(|&shard| shard != own)
            .fold(Self::NONE, |set, shard| set | Self::one(shard))
    }

    /// The set with these bits.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits, lowest number lowest.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// Whether no shard is in it.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it is one shard.
    #[inline]
    pub fn is_one(self) -> bool {
        self.0.is_power_of_two()
    }

    /// Whether a shard is in it.
    #[inline]
    pub fn contains(self, shard: u16) -> bool {
        !(self & Self::one(shard)).is_empty()
    }

    /// Adds a shard.
    #[inline]
    pub fn insert(&mut self, shard: u16) {
        self.0 |= Self::one(shard).0;
    }

    /// Takes a shard out.
    #[inline]
    pub fn remove(&mut self, shard: u16) {
        self.0 &= !Self::one(shard).0;
    }

    /// What is in this set and not in the other.
    #[inline]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The shards below `shard`, and the others.
    pub fn split_at(self, shard: u16) -> (Self, Self) {
        let below = Self((1 << (shard & 63)) - 1);
        (self & below, self.without(below))
    }

    /// The shards, lowest number first.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = u16> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            if bits == 0 {
                return None;
            }
            // A position below 64.
            let shard = bits.trailing_zeros() as u16;
            bits &= bits - 1;
            Some(shard)
        })
    }
}

impl BitOr for ShardSet {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for ShardSet {
    type Output = Self;

    #[inline]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOrAssign for ShardSet {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = ShardSet::others(4, 1);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 2, 3]);
        set.insert(63);
        set.remove(2);
        assert!(set.contains(63) && !set.contains(2) && !set.contains(1));
        assert_eq!(
            set.without(ShardSet::one(0)).iter().collect::<Vec<_>>(),
            [3, 63]
        );
        let (below, rest) = set.split_at(3);
        assert_eq!(below.iter().collect::<Vec<_>>(), [0]);
        assert_eq!(rest.iter().collect::<Vec<_>>(), [3, 63]);
        assert!(ShardSet::others(1, 0).is_empty());
    }
}
