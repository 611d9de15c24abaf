//! What servers are compared by: processor time as a rule, latency or memory where a shape is about that.

use std::time::Duration;

use crate::report::{Latency, Outcome};
use crate::scenarios::{Scenario, Shape};

/// One number of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Processor time of the server for each count, in ns.
    Cpu,
    /// Counts per second; the only one of which more is better.
    Rate,
    /// Median latency, in µs.
    P50,
    /// Latency that 1 in 100 exceeds, in µs.
    P99,
    /// Latency that 1 in 1000 exceeds, in µs.
    P999,
    /// Longest latency, in µs.
    Max,
    /// Memory of a connection, in bytes.
    Memory,
    /// Most memory of the server, in MiB.
    Peak,
    /// Share of one CPU the server used, in percent.
    Idle,
}

const NAMES: [(&str, Figure); 9] = [
    ("cpu", Figure::Cpu),
    ("rate", Figure::Rate),
    ("p50", Figure::P50),
    ("p99", Figure::P99),
    ("p99.9", Figure::P999),
    ("max", Figure::Max),
    ("memory", Figure::Memory),
    ("peak", Figure::Peak),
    ("idle", Figure::Idle),
];

impl Figure {
    /// The figure of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let mut names = NAMES.iter();
        names
            .find(|(other, _)| *other == name)
            .map(|(_, figure)| *figure)
    }

    /// What a scenario is about: the rows it has in a summary, the first also in its own table.
    pub(crate) fn of(scenario: &Scenario) -> &'static [Self] {
        match scenario.shape {
            Shape::Idle(_) => &[Figure::Memory, Figure::Idle],
            Shape::RequestReply => &[Figure::Cpu, Figure::P50],
            Shape::Flooded => &[Figure::P50],
            Shape::Handshakes(_) => &[Figure::P99, Figure::Cpu],
            Shape::Open(_) | Shape::SubscriptionChurn(_) | Shape::Logins(_) => &[Figure::P99],
            _ => &[Figure::Cpu],
        }
    }

    /// Its value; `None` when the outcome has none.
    pub(crate) fn value(self, outcome: &Outcome) -> Option<f64> {
        let latency = |part: fn(Latency) -> Duration| {
            outcome
                .latency
                .map(|latency| part(latency).as_secs_f64() * 1e6)
        };
        match self {
            Figure::Cpu => outcome.server_ns_each(),
            Figure::Rate => (outcome.counted > 0).then(|| outcome.rate()),
            Figure::P50 => latency(|latency| latency.p50),
            Figure::P99 => latency(|latency| latency.p99),
            Figure::P999 => latency(|latency| latency.p999),
            Figure::Max => latency(|latency| latency.max),
            Figure::Memory => outcome.memory.map(|memory| memory.bytes_each()),
            Figure::Peak => outcome
                .rss_peak
                .map(|bytes| bytes as f64 / f64::from(1 << 20)),
            Figure::Idle => outcome.server_share().map(|share| share * 100.0),
        }
    }

    /// Its unit, and which it is where the unit does not say that.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Figure::Cpu => "ns",
            Figure::Rate => "/s",
            Figure::P50 => "us p50",
            Figure::P99 => "us p99",
            Figure::P999 => "us p99.9",
            Figure::Max => "us max",
            Figure::Memory => "B/conn",
            Figure::Peak => "MiB",
            Figure::Idle => "% CPU",
        }
    }

    /// How many times better `value` is than `reference`; `None` when one of them is nothing.
    pub(crate) fn times_better(self, value: f64, reference: f64) -> Option<f64> {
        let (less, more) = match self {
            Figure::Rate => (reference, value),
            _ => (value, reference),
        };
        (less > 0.0 && more > 0.0).then(|| more / less)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_better_but_for_rates() {
        assert_eq!(Figure::Cpu.times_better(25.0, 250.0), Some(10.0));
        assert_eq!(Figure::Rate.times_better(25.0, 250.0), Some(0.1));
        assert_eq!(Figure::Idle.times_better(0.0, 1.0), None);
        assert_eq!(Figure::Memory.times_better(1.0, 0.0), None);
    }

    #[test]
    fn values_have_their_units() {
        let scenario = "1to1:16".parse().expect("a scenario");
        let mut outcome = Outcome::new(&scenario, 1000, Duration::from_millis(500));
        for (name, figure) in NAMES {
            assert_eq!(Figure::named(name), Some(figure));
            assert_eq!(
                figure.value(&outcome).is_some(),
                figure == Figure::Rate,
                "{name}"
            );
        }
        let us = Duration::from_micros;
        outcome.latency = Some(Latency {
            p50: us(1),
            p99: us(2),
            p999: us(3),
            max: us(4),
        });
        outcome.server_time = Some(Duration::from_millis(5));
        outcome.rss_peak = Some(3 << 20);
        let value = |figure: Figure| figure.value(&outcome).unwrap_or(f64::NAN);
        assert_eq!(
            [Figure::Cpu, Figure::Rate, Figure::Peak].map(value),
            [5000.0, 2000.0, 3.0]
        );
        assert_eq!(
            [Figure::P50, Figure::P99].map(value).map(f64::round),
            [1.0, 2.0]
        );
        assert_eq!(
            [Figure::P999, Figure::Max].map(value).map(f64::round),
            [3.0, 4.0]
        );
        assert_eq!(value(Figure::Idle).round(), 1.0);
    }
}
