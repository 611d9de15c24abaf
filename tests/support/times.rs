//! How long things took: samples, their quantiles, and a probe that takes them.
//!
//! A probe that waits for each answer before it asks again asks least while the server stands still. So
//! a long wait counts as many times as the probe would have asked in it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::client::RawClient;

/// A wait counts once for each of these in it.
const PERIOD: Duration = Duration::from_millis(10);

/// Longest pause between two questions of a probe, so that some meet every part of a turn.
const PAUSE_MAX: Duration = Duration::from_micros(2048);

/// How long an answer may take before the probe gives up. The server has failed long before.
const GIVE_UP: Duration = Duration::from_secs(30);

/// Samples, in any order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    samples: Vec<Duration>,
}

impl Times {
    /// Takes one; if it was longer than the 10 ms between two questions, the ones not asked as well.
    pub(crate) fn add(&mut self, took: Duration) {
        let mut rest = took;
        self.samples.push(rest);
        while rest > PERIOD {
            rest -= PERIOD;
            self.samples.push(rest);
        }
    }

    /// Takes all of another.
    pub(crate) fn join(&mut self, other: Times) {
        self.samples.extend(other.samples);
    }

    /// The sample that this part of all is not above: `0.99` for the 99th percentile, `1.0` for the longest.
    ///
    /// # Panics
    /// When there is no sample.
    #[track_caller]
    pub(crate) fn quantile(&self, part: f64) -> Duration {
        assert!(!self.samples.is_empty(), "nothing was measured");
        let mut samples = self.samples.clone();
        let at = (samples.len() as f64 * part) as usize;
        let at = at.min(samples.len() - 1);
        *samples.select_nth_unstable(at).1
    }

    /// The longest.
    #[track_caller]
    pub(crate) fn worst(&self) -> Duration {
        self.quantile(1.0)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.samples.is_empty() {
            return write!(f, "nothing measured");
        }
        write!(
            f,
            "p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}, worst {:.1?} of {}",
            self.quantile(0.5),
            self.quantile(0.99),
            self.quantile(0.999),
            self.worst(),
            self.samples.len()
        )
    }
}

/// Does `ask` again and again with short pauses of uneven length, until told to stop.
pub(crate) fn ask_until(stop: &AtomicBool, mut ask: impl FnMut()) -> Times {
    let mut times = Times::default();
    let mut dice = 1_u32;
    while !stop.load(Ordering::Relaxed) {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        thread::sleep(PAUSE_MAX.mul_f64(f64::from(dice >> 16) / 65_536.0));
        let begin = Instant::now();
        ask();
        times.add(begin.elapsed());
    }
    times
}

/// A client that does nothing but PING and wait for its PONG, until told to stop.
pub(crate) fn probe_until(stop: &AtomicBool, client: &mut RawClient) -> Times {
    client.set_limit(GIVE_UP);
    ask_until(stop, || client.ping())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn quantiles_are_samples() {
        let mut times = Times::default();
        for count in (1..=9).rev() {
            times.add(millis(count));
        }
        assert_eq!(times.quantile(0.0), millis(1));
        assert_eq!(times.quantile(0.5), millis(5));
        assert_eq!(times.quantile(0.99), millis(9));
        assert_eq!(times.worst(), millis(9));
    }

    #[test]
    fn a_long_wait_counts_for_what_was_not_asked() {
        let mut times = Times::default();
        times.add(millis(25));
        let mut other = Times::default();
        other.add(millis(1));
        times.join(other);
        let mut samples = times.samples;
        samples.sort_unstable();
        assert_eq!(samples, [millis(1), millis(5), millis(15), millis(25)]);
    }
}
