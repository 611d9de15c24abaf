//! Waiting for a condition with a limit, so that no test sleeps a fixed time.

use std::thread;
use std::time::{Duration, Instant};

/// First pause between two looks at a condition.
const PAUSE_FIRST: Duration = Duration::from_millis(1);

/// Longest pause between two looks at a condition.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// Looks at `condition` until it holds; the last look is made at the limit. Returns how long it took.
///
/// # Panics
/// When the condition does not hold within `limit`; the text names `what` was waited for.
#[track_caller]
pub(crate) fn wait_until(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
) -> Duration {
    let start = Instant::now();
    let mut pause = PAUSE_FIRST;
    loop {
        let spent = start.elapsed();
        if condition() {
            return spent;
        }
        assert!(spent < limit, "not within {limit:?}: {what}");
        thread::sleep(pause.min(limit - spent));
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_as_soon_as_the_condition_holds() {
        let mut looks = 0;
        wait_until(Duration::from_secs(10), "third look", || {
            looks += 1;
            looks == 3
        });
        assert_eq!(looks, 3);
    }

    #[test]
    #[should_panic(expected = "a pig to fly")]
    fn names_what_it_waited_for() {
        wait_until(Duration::from_millis(5), "a pig to fly", || false);
    }
}
