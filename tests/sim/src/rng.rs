//! The one source of chance in a simulation.

/// splitmix64: every seed is a good one, and a stream can be split into others.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A generator of its own for one part of the simulation.
    pub(crate) fn split(&mut self) -> Rng {
        Rng(self.next())
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // The high word of a product of two 32-bit numbers is below the second.
        (((self.next() >> 32) * bound as u64) >> 32) as usize
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True once in `one_in` times.
    pub(crate) fn once_in(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    /// One of several.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_again_and_all_of_them_within_bounds() {
        let (mut a, mut b) = (Rng::new(3), Rng::new(3));
        let mut counts = [0u32; 4];
        for _ in 0..4_000 {
            let n = a.between(1, 4);
            assert_eq!(n, b.between(1, 4));
            counts[n - 1] += 1;
        }
        assert!(
            counts.iter().all(|&n| (850..1_150).contains(&n)),
            "{counts:?}"
        );
        assert_eq!(a.below(0), 0);
        assert_ne!(a.split().next(), a.split().next());
    }
}
