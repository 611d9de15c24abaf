//! Waiting awake for a moment before a sleep: when it is worth the CPU.
//!
//! Owns the estimate of how soon work comes. Looks at nothing itself; `run_loop.rs` does.
//!
//! A sleep costs the sender who ends it 8 to 10 µs, and the sleeper that much again before it runs.
//! Where work keeps coming within less than [`LIMIT`], waiting awake for it is cheaper for all: the
//! round trip of a control message takes 1 µs instead of 20 to 44. Where it does not, it would be a
//! CPU burnt for nothing: so the estimate starts out high, one long sleep puts it over the limit, and
//! only a row of short ones brings it down.

use std::time::Duration;

/// Longest time awake before a sleep.
pub(crate) const LIMIT: Duration = Duration::from_micros(50);

/// What a sleep lasts longer than the work takes to come.
const WAKING: Duration = Duration::from_micros(50);

/// What any longer wait counts as. With [`WEIGHT`] it takes nine short waits after one of these.
const LONGEST: Duration = Duration::from_micros(600);

/// The share of the newest wait in the estimate: one in so many.
const WEIGHT: u32 = 4;

/// How soon work comes once a shard has none, by recent experience.
#[derive(Debug)]
pub(crate) struct Estimate {
    wait: Duration,
    is_allowed: bool,
}

impl Estimate {
    /// Nothing known yet. Where shards have no CPU of their own it must not be allowed: whoever is
    /// to bring the work may be waiting for the CPU.
    pub(crate) fn new(is_allowed: bool) -> Self {
        Self {
            wait: LONGEST,
            is_allowed,
        }
    }

    /// Whether to wait awake when the next deadline is `rest` away. One that is due within the limit
    /// is slept on: that it comes is known, and needs no look-out.
    pub(crate) fn is_worth_it(&self, rest: Duration) -> bool {
        self.is_allowed && self.wait < LIMIT && rest > LIMIT
    }

    /// Work came after this time awake.
    pub(crate) fn came_awake(&mut self, after: Duration) {
        self.learn(after);
    }

    /// A sleep, with the time awake before it, was ended by work.
    pub(crate) fn came_asleep(&mut self, after: Duration) {
        self.learn(after.saturating_sub(WAKING));
    }

    /// A deadline came first. If it was soon, that says nothing.
    pub(crate) fn did_not_come(&mut self, within: Duration) {
        if within > LIMIT {
            self.learn(within);
        }
    }

    fn learn(&mut self, wait: Duration) {
        self.wait = (self.wait * (WEIGHT - 1) + wait.min(LONGEST)) / WEIGHT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Duration = Duration::from_secs(1);

    fn after_short_waits(count: usize) -> Estimate {
        let mut estimate = Estimate::new(true);
        for _ in 0..count {
            estimate.came_asleep(WAKING + Duration::from_micros(2));
        }
        estimate
    }

    #[test]
    fn it_takes_a_row_of_short_sleeps() {
        assert!(!after_short_waits(0).is_worth_it(FAR));
        assert!(!after_short_waits(8).is_worth_it(FAR));
        assert!(after_short_waits(9).is_worth_it(FAR));
    }

    #[test]
    fn one_long_sleep_ends_it() {
        let mut estimate = after_short_waits(100);
        estimate.came_asleep(FAR);
        assert!(!estimate.is_worth_it(FAR));

        let mut estimate = after_short_waits(100);
        estimate.did_not_come(FAR);
        assert!(!estimate.is_worth_it(FAR));
    }

    #[test]
    fn waits_that_are_a_little_too_long_end_it() {
        let mut estimate = after_short_waits(100);
        for _ in 0..10 {
            estimate.came_asleep(WAKING + LIMIT + Duration::from_micros(10));
        }
        assert!(!estimate.is_worth_it(FAR));
    }

    #[test]
    fn what_comes_awake_keeps_it_up() {
        let mut estimate = after_short_waits(9);
        for _ in 0..100 {
            estimate.came_awake(Duration::from_micros(30));
        }
        assert!(estimate.is_worth_it(FAR));
    }

    #[test]
    fn a_deadline_due_soon_is_neither_waited_for_nor_learnt_from() {
        let mut estimate = after_short_waits(100);
        assert!(!estimate.is_worth_it(LIMIT));
        for _ in 0..100 {
            estimate.did_not_come(Duration::from_micros(20));
        }
        assert!(estimate.is_worth_it(FAR));

        let mut estimate = Estimate::new(true);
        for _ in 0..100 {
            estimate.did_not_come(Duration::from_micros(20));
        }
        assert!(!estimate.is_worth_it(FAR));
    }

    #[test]
    fn never_where_it_is_not_allowed() {
        let mut estimate = Estimate::new(false);
        for _ in 0..100 {
            estimate.came_awake(Duration::ZERO);
        }
        assert!(!estimate.is_worth_it(FAR));
    }
}
