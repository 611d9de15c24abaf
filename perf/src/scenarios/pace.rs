//! A clock for open loops: when each of a series of operations is due, whatever became of the others.

use std::time::{Duration, Instant};

/// Operations at equal distances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    begin: Instant,
    /// Distance of two operations, in ns.
    interval_ns: f64,
    /// How many there are.
    count: u64,
}

impl Pace {
    /// `count` operations at `per_second`, the first at `begin`.
    pub(super) fn new(begin: Instant, per_second: f64, count: u64) -> Self {
        Self {
            begin,
            interval_ns: 1e9 / per_second,
            count,
        }
    }

    /// How many operations there are in all.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// When the operation with this number, from 0, is due.
    pub(super) fn instant(&self, index: u64) -> Instant {
        self.begin + Duration::from_secs_f64(index as f64 * self.interval_ns / 1e9)
    }

    /// How many operations are due at `now`, from the first on.
    pub(super) fn due(&self, now: Instant) -> u64 {
        let Some(elapsed) = now.checked_duration_since(self.begin) else {
            return 0;
        };
        // Rounded down it is one too few or too many by at most an ns of error; `instant` decides.
        let mut due = (elapsed.as_nanos() as f64 / self.interval_ns) as u64;
        while due < self.count && self.instant(due) <= now {
            due += 1;
        }
        due.min(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_due_as_have_had_their_time() {
        let begin = Instant::now();
        for per_second in [1.0, 3.0, 997.0, 10_000.0, 1e6] {
            let pace = Pace::new(begin, per_second, 5000);
            for index in [0, 1, 2, 17, 999, 4998] {
                let at = pace.instant(index);
                assert_eq!(pace.due(at), index + 1, "{per_second} {index}");
                assert!(pace.due(at + Duration::from_nanos(900)) <= index + 2);
            }
        }
    }

    #[test]
    fn nothing_is_due_before_the_begin_and_nothing_behind_the_end() {
        let begin = Instant::now() + Duration::from_secs(1);
        let pace = Pace::new(begin, 100.0, 7);
        assert_eq!(pace.due(begin - Duration::from_nanos(1)), 0);
        assert_eq!(pace.due(begin), 1);
        assert_eq!(pace.due(begin + Duration::from_secs(1000)), 7);
        assert_eq!(pace.instant(3) - begin, Duration::from_millis(30));
    }
}
