//! A bar for long runs, on a terminal only.
//!
//! The generator must not notice it: most calls are a decrement, and a run that is short or whose standard
//! error is a file never draws anything.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Calls of [`Progress::tick`] between two looks at the clock.
const CALLS_PER_LOOK: u32 = 64;

/// How long a run lasts before a bar appears.
const HIDDEN_FOR: Duration = Duration::from_secs(2);

/// Shortest time between two drawings.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// What the bar is a share of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Time(Duration),
    Messages(u64),
    /// Nobody knows: no bar, only what was counted.
    Open,
}

/// How far a run has come.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    goal: Goal,
    /// When the first [`Progress::tick`] came: the warm-up is no part of a run.
    begin: Option<Instant>,
    next_draw: Option<Instant>,
    calls_left: u32,
}

impl Progress {
    /// A run that ends after `total`, or after so many messages; the time is looked at first.
    pub(crate) fn new(total: Option<Duration>, messages: Option<u64>) -> Self {
        let goal = match (total, messages) {
            (Some(total), _) => Goal::Time(total),
            (None, Some(messages)) => Goal::Messages(messages),
            (None, None) => Goal::Open,
        };
        let bar = ProgressBar::with_draw_target(goal.length(), ProgressDrawTarget::hidden());
        let template = match goal {
            Goal::Open => "{msg}",
            _ => "[{bar:40}] {percent:>3} %  {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self {
            bar,
            goal,
            begin: None,
            next_draw: None,
            calls_left: 0,
        }
    }

    /// Says how many messages were counted so far; draws now and then.
    pub(crate) fn tick(&mut self, counted: u64) {
        match self.calls_left.checked_sub(1) {
            Some(left) => self.calls_left = left,
            None => {
                self.calls_left = CALLS_PER_LOOK - 1;
                self.look(counted, Instant::now());
            }
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&mut self) {
        self.bar.finish_and_clear();
    }

    /// Draws if it is time for it; true when it did.
    fn look(&mut self, counted: u64, now: Instant) -> bool {
        let begin = *self.begin.get_or_insert(now);
        let is_first = self.next_draw.is_none();
        if now < *self.next_draw.get_or_insert(begin + HIDDEN_FOR) || is_first {
            return false;
        }
        if self.bar.is_hidden() {
            // Hidden still where standard error is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.next_draw = Some(now + DRAW_EVERY);
        let elapsed = now - begin;
        let rate = counted as f64 / elapsed.as_secs_f64();
        self.bar.set_message(format!(
            "{counted} counted, {}",
            crate::samples::short_rate(rate)
        ));
        self.bar.set_position(self.goal.position(elapsed, counted));
        true
    }
}

/// How far a comparison has come, in windows.
#[derive(Debug)]
pub(crate) struct Steps {
    bar: ProgressBar,
    all: u64,
    /// Begun so far, the current one too.
    begun: u64,
}

impl Steps {
    /// So many windows to come. The bar is on standard error, if that is a terminal.
    pub(crate) fn new(all: u64) -> Self {
        let bar = ProgressBar::new(all);
        if let Ok(style) = ProgressStyle::with_template("[{bar:30}] {pos}/{len} {elapsed}  {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, all, begun: 0 }
    }

    /// Begins the next window.
    pub(crate) fn step(&mut self, name: &str) {
        self.bar.set_position(self.begun);
        self.bar.set_message(name.to_owned());
        self.begun += 1;
    }

    /// Share of the windows that have begun, 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        self.begun as f64 / self.all.max(1) as f64
    }

    /// Writes a line above the bar, to standard error whether that is a terminal or not.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Goal {
    /// Length of the bar, in ms or messages.
    fn length(self) -> Option<u64> {
        match self {
            Goal::Time(total) => Some(millis(total)),
            Goal::Messages(messages) => Some(messages),
            Goal::Open => None,
        }
    }

    /// How much of it is done.
    fn position(self, elapsed: Duration, counted: u64) -> u64 {
        match self {
            Goal::Time(total) => millis(elapsed.min(total)),
            Goal::Messages(messages) => counted.min(messages),
            Goal::Open => counted,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_runs_draw_nothing_and_long_ones_rarely() {
        let mut progress = Progress::new(Some(Duration::from_secs(10)), None);
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let draws: Vec<u64> = (0..5000)
            .step_by(10)
            .filter(|ms| progress.look(*ms, at(*ms)))
            .collect();
        assert_eq!(draws[..3], [2000, 2200, 2400]);
        assert_eq!(draws.len(), 15);
    }

    #[test]
    fn the_clock_is_looked_at_every_64th_time() {
        let mut progress = Progress::new(None, Some(1000));
        let looks = (0..200).filter(|counted| {
            progress.tick(*counted);
            progress.calls_left == CALLS_PER_LOOK - 1
        });
        assert_eq!(looks.count(), 4);
    }

    #[test]
    fn steps_add_up() {
        let mut steps = Steps::new(4);
        assert_eq!(steps.share(), 0.0);
        (0..3).for_each(|_| steps.step("x"));
        assert_eq!(steps.share(), 0.75);
        steps.finish();
    }

    #[test]
    fn positions() {
        let second = Duration::from_secs(1);
        assert_eq!(Goal::Time(second * 4).position(second, 7), 1000);
        assert_eq!(Goal::Time(second).position(second * 4, 7), 1000);
        assert_eq!(Goal::Messages(10).position(second, 7), 7);
        assert_eq!(Goal::Messages(10).position(second, 70), 10);
    }
}
