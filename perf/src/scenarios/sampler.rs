//! Which of many things comes next: alike, or after Zipf. Fixed seeds, so that each run draws the same.

/// Seed of every run.
const SEED: u64 = 0x5eed_6a75_de11;

/// Xorshift* with 64 bits of state: no cryptography, a few ns, the same on every machine.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The numbers of every run.
    pub(super) fn seeded() -> Self {
        Self(SEED)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `count`, each as likely as the others but for one part in 2^40 or so.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let wide = u128::from(self.next()) * count as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// At least 0 and below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Ranks from 0: rank `r` is as likely as `1 / (r + 1)` of rank 0.
#[derive(Clone, Debug)]
pub(super) struct Zipf {
    /// How likely each rank or one before it is. Rising, the last is 1.
    cumulated: Vec<f64>,
}

impl Zipf {
    /// Over so many ranks, one at least.
    pub(super) fn new(count: usize) -> Self {
        let mut sum = 0.0;
        let mut cumulated: Vec<f64> = (1..=count)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        cumulated.iter_mut().for_each(|share| *share /= sum);
        Self { cumulated }
    }

    /// Draws a rank.
    pub(super) fn draw(&self, random: &mut Random) -> usize {
        let share = random.unit();
        let rank = self.cumulated.partition_point(|sum| *sum <= share);
        rank.min(self.cumulated.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(draws: usize, mut draw: impl FnMut(&mut Random) -> usize) -> Vec<usize> {
        let mut random = Random::seeded();
        let mut counts = vec![0; 100];
        (0..draws).for_each(|_| counts[draw(&mut random)] += 1);
        counts
    }

    #[test]
    fn uniform_is_uniform_and_repeats() {
        let draw = |random: &mut Random| random.below(100);
        let counted = counts(100_000, draw);
        assert!(counted.iter().all(|count| (850..1150).contains(count)));
        assert_eq!(counted, counts(100_000, draw));
    }

    #[test]
    fn zipf_halves_for_twice_the_rank() {
        let zipf = Zipf::new(100);
        let counted = counts(1_000_000, |random| zipf.draw(random));
        // The sum of 1/r up to 100 is 5.187.
        for rank in [1, 2, 4, 10, 100] {
            let expected = 1_000_000.0 / 5.187 / rank as f64;
            let share = counted[rank - 1] as f64 / expected;
            assert!((share - 1.0).abs() < 0.08, "rank {rank}: {share}");
        }
        assert_eq!(Zipf::new(1).draw(&mut Random::seeded()), 0);
    }
}
