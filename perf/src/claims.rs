//! What something costs against something else, as ratios, and the most that it may. Here: crossing between shards,
//! the result of [`crate::crossing`]; a policy is in [`crate::policy`].
//!
//! Two questions. What does a delivery cost when it crosses, against one that does not? And do publishers of one
//! subject add up when half of them are on each shard: does a delivery cost what it costs the mean of one
//! publisher that crosses and one that does not? Half of the messages do, so the mean is what to expect.
//!
//! As everywhere a ratio is of one round, and the median is that of the ratios.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cells::{Cell, Sample};
use crate::figure::Figure;
use crate::samples::{Summary, Table, short};
use crate::scenarios::{Scenario, Shape};

/// Name of the server with all connections on one of two shards.
pub(crate) const TOGETHER: &str = "same shard";

/// Name of the server with publishers on both of two shards, or the one that there is on the other.
pub(crate) const APART: &str = "across";

/// Most that a message which crosses may cost against one that does not, by the payload in bytes.
const CROSSING_MAX: [(usize, f64); 2] = [(16, 2.0), (128, 1.6)];

/// Most that a delivery from publishers on both shards may cost against the mean of one from one.
const TOGETHER_MAX: f64 = 1.1;

/// A ratio of processor times of a delivery.
#[derive(Debug)]
pub(crate) struct Claim {
    /// What costs this much.
    pub(crate) of: String,
    /// What it is set against.
    pub(crate) against: String,
    /// Its cost: median of the rounds, in ns.
    pub(crate) above: f64,
    /// The cost of the other, likewise.
    pub(crate) below: f64,
    /// The ratios of the rounds.
    pub(crate) ratio: Summary,
    /// Most that it may be.
    pub(crate) at_most: Option<f64>,
}

/// A scenario and where its connections are.
pub(crate) type Place<'a> = (Scenario, &'a str);

/// All ratios that were measured, in the order of the scenarios.
pub(crate) fn of(cells: &[Cell]) -> Vec<Claim> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for cell in cells {
        if !scenarios.contains(&cell.scenario) {
            scenarios.push(cell.scenario);
        }
    }
    let claims = scenarios.iter().flat_map(|scenario| {
        let bytes = scenario.payload_bytes;
        let (together, apart) = ((*scenario, TOGETHER), (*scenario, APART));
        if !matches!(scenario.shape, Shape::FanIn(2..)) {
            let mut limits = CROSSING_MAX.iter();
            let has_limit = !matches!(scenario.shape, Shape::Mixed(_));
            let limit = limits.find(|(size, _)| has_limit && *size == bytes);
            let at_most = limit.map(|(_, most)| *most);
            let against = format!("{scenario} {TOGETHER}");
            return vec![claim(cells, against, apart, &[together], at_most)];
        }
        let Some(one) = one_publisher(&scenarios, bytes) else {
            return Vec::new();
        };
        let both = [(one, TOGETHER), (one, APART)];
        let against = |place: &str| format!("{one} {place}");
        vec![
            claim(
                cells,
                against("mean of both"),
                apart,
                &both,
                Some(TOGETHER_MAX),
            ),
            claim(cells, against(APART), apart, &both[1..], None),
            claim(cells, against(TOGETHER), apart, &both[..1], None),
        ]
    });
    claims.flatten().collect()
}

/// The scenario with one publisher and this payload: `1to1` is the same as `fanin1`.
fn one_publisher(scenarios: &[Scenario], bytes: usize) -> Option<Scenario> {
    let named = |shape| {
        let mut scenarios = scenarios.iter();
        scenarios.find(|other| other.shape == shape && other.payload_bytes == bytes)
    };
    named(Shape::FanIn(1)).or(named(Shape::OneToOne)).copied()
}

/// The ratio of `above` to the mean of `below`, which `against` names; `None` when no round has them all.
///
/// Rounds in which none of them was disturbed count, and only if there is not one, the others.
pub(crate) fn claim(
    cells: &[Cell],
    against: String,
    above: Place<'_>,
    below: &[Place<'_>],
    at_most: Option<f64>,
) -> Option<Claim> {
    let of = format!("{} {}", above.0, above.1);
    let samples = |place: &Place<'_>| -> Option<&[Sample]> {
        let mut cells = cells.iter();
        let cell = cells.find(|cell| (cell.scenario, &*cell.server) == *place)?;
        Some(&cell.samples)
    };
    let above = samples(&above)?;
    let below: Vec<&[Sample]> = below.iter().map(samples).collect::<Option<_>>()?;
    let rounds: BTreeSet<usize> = above.iter().map(|sample| sample.round).collect();
    let mut pairs = Vec::new();
    for round in rounds {
        let cost = |samples: &[Sample]| {
            let sample = samples.iter().find(|sample| sample.round == round)?;
            Some((Figure::Cpu.value(&sample.outcome)?, sample.is_disturbed))
        };
        let costs: Option<Vec<(f64, bool)>> = below.iter().map(|samples| cost(samples)).collect();
        if let (Some((above, is_disturbed)), Some(costs)) = (cost(above), costs) {
            let sum: f64 = costs.iter().map(|(cost, _)| cost).sum();
            let is_disturbed = is_disturbed || costs.iter().any(|(_, is_disturbed)| *is_disturbed);
            pairs.push((above, sum / costs.len() as f64, is_disturbed));
        }
    }
    if pairs.iter().any(|(.., is_disturbed)| !is_disturbed) {
        pairs.retain(|(.., is_disturbed)| !is_disturbed);
    }
    let median = |of: fn(&(f64, f64, bool)) -> f64| Summary::of(pairs.iter().map(of).collect());
    Some(Claim {
        of,
        against,
        above: median(|(above, ..)| *above)?.median,
        below: median(|(_, below, _)| *below)?.median,
        ratio: median(|(above, below, _)| above / below)?,
        at_most,
    })
}

impl Claim {
    /// Whether the median keeps to the limit; `None` without one.
    fn holds(&self) -> Option<bool> {
        self.at_most.map(|most| self.ratio.median <= most)
    }

    /// As an object; costs in ns.
    pub(crate) fn to_json(&self) -> Value {
        let Summary { median, min, max } = self.ratio;
        json!({
            "of": self.of,
            "against": self.against,
            "of_ns": self.above,
            "against_ns": self.below,
            "ratio": { "median": median, "min": min, "max": max },
            "at_most": self.at_most,
            "holds": self.holds(),
        })
    }
}

/// All of them, fit for a README.
pub(crate) fn table(claims: &[Claim]) -> Table {
    let head = [
        "server CPU of a delivery",
        "ns",
        "against",
        "ns",
        "ratio",
        "spread",
        "at most",
    ];
    let mut table = Table::markdown(&head);
    for claim in claims {
        let limit = claim.at_most.zip(claim.holds());
        table.push(vec![
            claim.of.clone(),
            short(claim.above),
            claim.against.clone(),
            short(claim.below),
            short(claim.ratio.median),
            format!("{}-{}", short(claim.ratio.min), short(claim.ratio.max)),
            match limit {
                Some((most, true)) => format!("{most}"),
                Some((most, false)) => format!("{most} (missed)"),
                None => "-".to_owned(),
            },
        ]);
    }
    table
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cells::tests::cell;

    /// Cells as a crossing has them: two servers with each scenario, and their costs.
    pub(crate) fn crossing(costs: &[(&str, [&[i64]; 2])]) -> Vec<Cell> {
        let mut cells = Vec::new();
        for (scenario, costs) in costs {
            for (server, costs) in [TOGETHER, APART].into_iter().zip(costs) {
                let mut cell = cell(server, costs);
                cell.scenario = scenario.parse().expect("a scenario");
                cells.push(cell);
            }
        }
        cells
    }

    #[test]
    fn what_crosses_is_set_against_what_does_not() {
        let cells = crossing(&[
            ("1to1:16", [&[20, 40, 20], &[30, 80, 50]]),
            ("1to1:128", [&[50], &[90]]),
            ("mixed8:128", [&[50], &[60]]),
        ]);
        let claims = of(&cells);
        let found: Vec<(f64, Option<f64>, Option<bool>)> = claims
            .iter()
            .map(|claim| (claim.ratio.median, claim.at_most, claim.holds()))
            .collect();
        let expected = [
            (2.0, Some(2.0), Some(true)),
            (1.8, Some(1.6), Some(false)),
            (1.2, None, None),
        ];
        assert_eq!(found, expected);
        assert_eq!(claims[0].of, "1to1:16 across");
        assert_eq!(claims[0].against, "1to1:16 same shard");
        assert_eq!((claims[0].ratio.min, claims[0].ratio.max), (1.5, 2.5));
        assert_eq!(claims[0].to_json()["holds"], true);
        let text = table(&claims).to_string();
        assert!(text.contains("1.6 (missed)"), "{text}");
    }

    #[test]
    fn several_publishers_are_set_against_the_mean_of_one() {
        for one in ["fanin1:16", "1to1:16"] {
            // The middle round is disturbed, and a ratio is of one round whatever the machine does.
            let cells = crossing(&[
                (one, [&[20, 20, 60], &[40, -20, 120]]),
                ("fanin4:16", [&[25, 20, 75], &[33, 90, 90]]),
            ]);
            let claims = of(&cells);
            let found: Vec<f64> = claims.iter().map(|claim| claim.ratio.median).collect();
            let median = |one: f64, other: f64| (one + other) / 2.0;
            let expected = [
                2.0,
                median(33.0 / 30.0, 90.0 / 90.0),
                median(33.0 / 40.0, 90.0 / 120.0),
                33.0 / 20.0,
            ];
            // `across` alone was disturbed in the middle round, so the last has three: 1.65, 4.5, 1.5.
            assert_eq!(found, expected, "{one}");
            let limits: Vec<Option<f64>> = claims.iter().map(|claim| claim.at_most).collect();
            assert_eq!(limits, [Some(2.0), Some(1.1), None, None]);
        }
    }

    #[test]
    fn without_one_publisher_there_is_nothing_to_compare_with() {
        let fan_in: (&str, [&[i64]; 2]) = ("fanin4:16", [&[25], &[33]]);
        assert!(of(&crossing(&[fan_in])).is_empty());
        assert!(of(&crossing(&[fan_in, ("1to1:128", [&[], &[1]])])).is_empty());
        assert!(of(&[cell("uring", &[1]), cell("newest", &[2])]).is_empty());
    }
}
