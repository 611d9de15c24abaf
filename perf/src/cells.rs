//! What was measured: samples of one server with one scenario, and how two servers compare.
//!
//! A machine drifts over minutes. So two servers are never compared by figures of the whole run: each round
//! gives one ratio, of samples taken one after the other, and the median is that of the ratios.

use crate::figure::Figure;
use crate::foreign::Foreign;
use crate::report::Outcome;
use crate::samples::Summary;
use crate::scenarios::{Scenario, Shape};

/// One measurement.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// From 0.
    pub(crate) round: usize,
    /// What came of it.
    pub(crate) outcome: Outcome,
    /// What others took meanwhile.
    pub(crate) foreign: Foreign,
    /// They took too much, and that did not change when it was measured again.
    pub(crate) is_disturbed: bool,
}

/// All measurements of one server with one scenario.
#[derive(Debug)]
pub(crate) struct Cell {
    /// What was run.
    pub(crate) scenario: Scenario,
    /// Name of the server.
    pub(crate) server: String,
    /// One for each round in which it worked.
    pub(crate) samples: Vec<Sample>,
    /// Windows that were measured again, because others disturbed them.
    pub(crate) discarded: Vec<Sample>,
    /// Why measurements failed.
    pub(crate) failures: Vec<String>,
    /// The server takes no part in this scenario.
    pub(crate) is_left_out: bool,
}

impl Cell {
    /// Nothing measured yet.
    pub(crate) fn new(scenario: Scenario, server: &str, is_left_out: bool) -> Self {
        Self {
            scenario,
            server: server.to_owned(),
            samples: Vec::new(),
            discarded: Vec::new(),
            failures: Vec::new(),
            is_left_out,
        }
    }

    /// Keeps the quietest of the windows of one round, and puts the others away.
    pub(crate) fn keep_quietest(&mut self, mut windows: Vec<Sample>) {
        windows.sort_by(|one, other| one.foreign.share().total_cmp(&other.foreign.share()));
        let mut windows = windows.into_iter();
        self.samples.extend(windows.next());
        self.discarded.extend(windows);
    }

    /// Whether this scenario sends anything.
    pub(crate) fn counts_messages(&self) -> bool {
        !matches!(self.scenario.shape, Shape::Idle(_))
    }

    /// The samples that count: the quiet ones, and only if there is not one, the disturbed.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &Sample> {
        let has_quiet = self.samples.iter().any(|sample| !sample.is_disturbed);
        let samples = self.samples.iter();
        samples.filter(move |sample| !(has_quiet && sample.is_disturbed))
    }

    /// How many rounds stayed disturbed.
    pub(crate) fn disturbed(&self) -> usize {
        let samples = self.samples.iter();
        samples.filter(|sample| sample.is_disturbed).count()
    }

    /// Any number of the samples that count.
    pub(crate) fn summary(&self, of: impl Fn(&Outcome) -> Option<f64>) -> Option<Summary> {
        Summary::of(
            self.counted()
                .filter_map(|sample| of(&sample.outcome))
                .collect(),
        )
    }

    /// A figure of the samples that count.
    pub(crate) fn figure(&self, figure: Figure) -> Option<Summary> {
        self.summary(|outcome| figure.value(outcome))
    }

    /// How many times better this server is than `reference`, over the rounds that both have.
    ///
    /// Rounds in which both were undisturbed count, and only if there is not one, the others.
    pub(crate) fn times_better(&self, reference: &Cell, figure: Figure) -> Option<Summary> {
        let mut quiet = Vec::new();
        let mut all = Vec::new();
        for sample in &self.samples {
            let same_round = |other: &&Sample| other.round == sample.round;
            let Some(other) = reference.samples.iter().find(same_round) else {
                continue;
            };
            let value = figure.value(&sample.outcome);
            let pair = value.zip(figure.value(&other.outcome));
            let ratio = pair.and_then(|(value, reference)| figure.times_better(value, reference));
            all.extend(ratio);
            if !sample.is_disturbed && !other.is_disturbed {
                quiet.extend(ratio);
            }
        }
        Summary::of(if quiet.is_empty() { all } else { quiet })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::time::Duration;

    /// A cell of 1to1 with these costs in ns, one for each round from 0; a negative one is disturbed, and 0
    /// is none.
    pub(crate) fn cell(name: &str, costs: &[i64]) -> Cell {
        let scenario = "1to1:16".parse().expect("a scenario");
        let mut cell = Cell::new(scenario, name, false);
        for (round, cost) in costs.iter().enumerate().filter(|(_, cost)| **cost != 0) {
            let mut outcome = Outcome::new(&scenario, 1_000_000, Duration::from_secs(1));
            outcome.server_time = Some(Duration::from_millis(cost.unsigned_abs()));
            cell.samples.push(Sample {
                round,
                outcome,
                foreign: Foreign::default(),
                is_disturbed: *cost < 0,
            });
        }
        cell
    }

    fn summary(median: f64, min: f64, max: f64) -> Option<Summary> {
        Some(Summary { median, min, max })
    }

    #[test]
    fn ratios_are_of_one_round() {
        // The machine gets three times as slow; the ratio of the medians would be anything.
        let ours = cell("ours", &[10, 20, 30]);
        let theirs = cell("theirs", &[50, 100, 180]);
        assert_eq!(
            ours.times_better(&theirs, Figure::Cpu),
            summary(5.0, 5.0, 6.0)
        );
        assert_eq!(
            theirs.times_better(&theirs, Figure::Cpu),
            summary(1.0, 1.0, 1.0)
        );
    }

    #[test]
    fn a_round_that_one_of_them_missed_is_no_pair() {
        let ours = cell("ours", &[10, 0, 30]);
        let theirs = cell("theirs", &[0, 100, 150]);
        assert_eq!(
            ours.times_better(&theirs, Figure::Cpu),
            summary(5.0, 5.0, 5.0)
        );
        assert_eq!(ours.times_better(&cell("none", &[]), Figure::Cpu), None);
        assert_eq!(ours.times_better(&theirs, Figure::P50), None);
    }

    #[test]
    fn of_disturbed_windows_the_quietest_stays() {
        let mut windows = cell("x", &[-10, -20, -30]).samples;
        for (window, share) in windows.iter_mut().zip([0.3, 0.1, 0.2]) {
            window.foreign.on_server = share;
        }
        let mut cell = cell("x", &[]);
        cell.keep_quietest(windows);
        cell.keep_quietest(Vec::new());
        assert_eq!((cell.samples.len(), cell.discarded.len()), (1, 2));
        assert_eq!(cell.figure(Figure::Cpu), summary(20.0, 20.0, 20.0));
    }

    #[test]
    fn disturbed_samples_count_only_where_there_are_no_others() {
        let ours = cell("ours", &[10, -90, 30]);
        assert_eq!(ours.figure(Figure::Cpu), summary(20.0, 10.0, 30.0));
        assert_eq!(ours.disturbed(), 1);
        let theirs = cell("theirs", &[100, 90, -30]);
        assert_eq!(
            ours.times_better(&theirs, Figure::Cpu),
            summary(10.0, 10.0, 10.0)
        );
        let all = cell("all", &[-20, -40]);
        assert_eq!(all.figure(Figure::Cpu), summary(30.0, 20.0, 40.0));
        assert_eq!(
            all.times_better(&theirs, Figure::Cpu),
            summary(3.625, 2.25, 5.0)
        );
        assert_eq!(cell("none", &[]).figure(Figure::Cpu), None);
    }
}
