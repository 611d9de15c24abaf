//! Named sets of scenarios: what to measure, with whom, for how long.

use std::time::Duration;

use crate::claims::TOGETHER;
use crate::scenarios::Scenario;

/// A comparison with a name.
#[derive(Debug)]
pub(crate) struct Set {
    name: &'static str,
    scenarios: &'static [&'static str],
    /// Servers, in the order of the table; all of the list when empty.
    pub(crate) peers: &'static [&'static str],
    /// Servers that ratios are to: the first of them that is there.
    pub(crate) references: &'static [&'static str],
    /// How often each server meets each scenario.
    pub(crate) rounds: usize,
    /// Length of one measured stretch.
    pub(crate) stretch: Duration,
    /// Length of the same load before it.
    pub(crate) warmup: Duration,
    /// When it must be over.
    pub(crate) time_max: Option<Duration>,
}

/// What `perf compare` takes without a set.
pub(crate) const NONE: Set = Set {
    name: "",
    scenarios: &["1to1:16", "1to1:128"],
    peers: &[],
    references: &[],
    rounds: 5,
    stretch: Duration::from_secs(3),
    warmup: Duration::from_millis(500),
    time_max: None,
};

/// What `perf crossing` takes: everything that [`crate::claims`] asks for.
pub(crate) const CROSSING: Set = Set {
    name: "",
    scenarios: &["1to1:16", "1to1:128", "fanin4:16", "fanin4:128"],
    peers: &[],
    references: &[TOGETHER],
    rounds: 7,
    stretch: Duration::from_secs(1),
    warmup: Duration::from_millis(300),
    time_max: None,
};

const SETS: [Set; 2] = [
    // The table of the README: the rows of the design, and `mixed8` beside `1to1`. Five rounds of thirteen
    // scenarios: about a second and a half for each.
    Set {
        name: "headline",
        scenarios: &[
            "pub:16",
            "1to1:16",
            "1to1:128",
            "1to1:1024",
            "1to1:16384",
            "mixed8:128",
            "fanout10:16",
            "fanout100:128",
            "pairs8:128",
            "fanin8:128",
            "reqrep:16",
            "flooded:16",
            "idle1000",
        ],
        peers: &["uring", "epoll", "debian", "newest", "floor"],
        references: &["newest", "debian"],
        rounds: 5,
        stretch: Duration::from_millis(1000),
        warmup: Duration::from_millis(300),
        time_max: Some(Duration::from_secs(9 * 60 + 30)),
    },
    Set {
        name: "quick",
        scenarios: &[
            "1to1:16",
            "1to1:128",
            "mixed8:128",
            "fanout10:16",
            "reqrep:16",
        ],
        peers: &["uring", "epoll", "debian", "newest", "floor"],
        references: &["newest", "debian"],
        rounds: 3,
        stretch: Duration::from_millis(800),
        warmup: Duration::from_millis(200),
        time_max: Some(Duration::from_secs(110)),
    },
];

/// The set of this name.
pub(crate) fn named(name: &str) -> Option<&'static Set> {
    SETS.iter().find(|set| set.name == name)
}

impl Set {
    /// Its scenarios, in the order of the table.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        let scenarios = self.scenarios.iter().map(|name| name.parse());
        scenarios.collect::<crate::Result<_>>().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_a_set_exists() {
        for set in SETS.iter().chain([&NONE, &CROSSING]) {
            assert_eq!(set.scenarios().len(), set.scenarios.len(), "{}", set.name);
        }
    }

    #[test]
    fn a_set_has_traffic_that_differs() {
        for set in &SETS {
            assert!(set.scenarios.contains(&"mixed8:128"), "{}", set.name);
        }
    }

    #[test]
    fn a_set_has_time_for_its_windows() {
        for set in &SETS {
            let window = set.stretch + set.warmup + Duration::from_millis(200);
            let windows = set.rounds * set.scenarios.len() * set.peers.len();
            let all = window * u32::try_from(windows).expect("few");
            let time_max = set.time_max.expect("a set has a limit");
            assert!(all < time_max, "{}: {all:?}", set.name);
        }
    }
}
