//! What is said of turns that took too long: a line a second at most, whatever their number.
//! The loop counts them all.

use std::time::{Duration, Instant};

/// Time between two lines.
const INTERVAL: Duration = Duration::from_secs(1);

/// The lines of one shard.
#[derive(Debug, Default)]
pub(super) struct LongTurns {
    said_at: Option<Instant>,
    /// Turns since then of which nothing was said.
    unsaid: u64,
}

impl LongTurns {
    /// The line about a turn of that shard, if one is due.
    pub(super) fn line(&mut self, shard: u16, took: Duration, now: Instant) -> Option<String> {
        if self
            .said_at
            .is_some_and(|at| now.saturating_duration_since(at) < INTERVAL)
        {
            self.unsaid += 1;
            return None;
        }
        self.said_at = Some(now);
        let mut line = format!("Shard {shard}: a turn took {}ms", took.as_millis());
        match std::mem::take(&mut self.unsaid) {
            0 => {}
            unsaid => line += &format!(", {unsaid} more since the line before"),
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_second_and_the_rest_is_counted() {
        let mut turns = LongTurns::default();
        let start = Instant::now();
        let mut line = |millis| {
            let now = start + Duration::from_millis(millis);
            turns.line(3, Duration::from_micros(63_400), now)
        };
        let plain = "Shard 3: a turn took 63ms";
        assert_eq!(line(0).as_deref(), Some(plain));
        assert_eq!((line(70), line(999)), (None, None));
        let counted = format!("{plain}, 2 more since the line before");
        assert_eq!(line(1000), Some(counted));
        assert_eq!(line(2500).as_deref(), Some(plain));
    }
}
