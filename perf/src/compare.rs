//! Several servers, the same load, one CPU each, in turn: `perf compare`.
//!
//! A machine drifts: its clock, its neighbours, its temperature. So each round measures every server once,
//! and every second round goes the other way (A B C, C B A, …); a figure is the median over the rounds, and
//! each server starts afresh for each measurement.

use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::Result;
use crate::args::Plan;
use crate::cpu;
use crate::crossing::Placing;
use crate::peers::{self, Peer, Running};
use crate::report::Outcome;
use crate::samples::{Summary, Table, short, short_rate};
use crate::scenarios::{self, Load, Scenario, Shape, Stop};

/// All measurements of one server with one scenario.
#[derive(Debug)]
struct Cell {
    scenario: Scenario,
    peer: Peer,
    placing: Option<Placing>,
    outcomes: Vec<Outcome>,
    /// Why measurements failed.
    failures: Vec<String>,
}

/// Measures, prints the table, and writes the samples if asked to.
///
/// # Errors
/// A plan that cannot be carried out, or that measured nothing. A server that fails a scenario is a row
/// without figures, no error.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let peers = peers::read(&plan.servers, &plan.only)?;
    if plan.client_cpu.map(|cpu| cpu.to_string()).as_ref() == Some(&plan.server_cpus) {
        return Err("server and generator need a CPU each".into());
    }
    let sites: Vec<_> = peers.into_iter().map(|peer| (peer, None)).collect();
    measure(plan, &sites)
}

/// As [`run`], with these servers, and where connections are to lie in each.
///
/// # Errors
/// As those of [`run`].
pub(crate) fn measure(plan: &Plan, sites: &[(Peer, Option<Placing>)]) -> Result<()> {
    if let Some(cpu) = plan.client_cpu {
        cpu::pin_to(cpu)?;
    }
    let mut cells = Vec::new();
    for scenario in &plan.scenarios {
        let first = cells.len();
        cells.extend(sites.iter().map(|(peer, placing)| Cell {
            scenario: *scenario,
            peer: peer.clone(),
            placing: *placing,
            outcomes: Vec::new(),
            failures: Vec::new(),
        }));
        for round in 0..plan.rounds {
            let turn = &mut cells[first..];
            if round % 2 == 1 {
                turn.iter_mut().rev().for_each(|cell| cell.measure(plan));
            } else {
                turn.iter_mut().for_each(|cell| cell.measure(plan));
            }
        }
        print!("{}", table(&cells[first..]));
        println!();
    }
    if let Some(path) = &plan.json {
        let text = serde_json::to_string_pretty(&record(plan, &cells))?;
        fs::write(path, text + "\n").map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if cells.iter().all(|cell| cell.outcomes.is_empty()) {
        return Err("nothing was measured".into());
    }
    Ok(())
}

impl Cell {
    /// Starts the server, puts the load on it, and keeps what came of it.
    fn measure(&mut self, plan: &Plan) {
        match self.try_measure(plan) {
            Ok(outcome) => self.outcomes.push(outcome),
            Err(e) => {
                // Most servers that fail once fail every time, and once is enough to read.
                if self.failures.is_empty() {
                    eprintln!("{}, {}: {e}", self.scenario, self.peer.name);
                }
                self.failures.push(e.to_string());
            }
        }
    }

    fn try_measure(&self, plan: &Plan) -> Result<Outcome> {
        let server = Running::start(&self.peer, &plan.server_cpus)?;
        let load = Load {
            server: server.address.clone(),
            server_pid: Some(server.pid()),
            fillers: self.placing.map_or(0, Placing::fillers),
            ..plan.load.clone()
        };
        let Some(placing) = self.placing else {
            return scenarios::run(&self.scenario, &load);
        };
        placing.prepare(&server)?;
        let outcome = scenarios::run(&self.scenario, &load)?;
        placing.verify(&server, &outcome)?;
        Ok(outcome)
    }

    fn summary(&self, figure: impl Fn(&Outcome) -> Option<f64>) -> Option<Summary> {
        Summary::of(self.outcomes.iter().filter_map(figure).collect())
    }

    fn figures(&self) -> Option<Summary> {
        self.summary(|outcome| Some(outcome.figure()?.0))
    }
}

/// The rows of one scenario.
fn table(cells: &[Cell]) -> Table {
    let Some(first) = cells.first() else {
        return Table::default();
    };
    let scenario = first.scenario.to_string();
    let mut outcomes = cells.iter().flat_map(|cell| &cell.outcomes);
    let has_latency = outcomes.clone().any(|outcome| outcome.latency.is_some());
    let unit = outcomes
        .find_map(Outcome::figure)
        .map_or("", |figure| figure.1);
    let mut head = vec![scenario.as_str(), unit, "min", "max", "ratio", "busy"];
    if first.counts_messages() {
        head.extend(["rate", "generator"]);
    }
    if has_latency {
        head.extend(["p50", "p99"]);
    }
    let mut table = Table::new(&head);
    for cell in cells {
        table.push(cell.row(first.figures()));
    }
    table
}

impl Cell {
    /// Whether this scenario sends anything.
    fn counts_messages(&self) -> bool {
        !matches!(self.scenario.shape, Shape::Idle(_))
    }

    /// The columns of `table`; the ratio is that to `first`.
    fn row(&self, first: Option<Summary>) -> Vec<String> {
        let mut row = vec![self.peer.name.clone()];
        let Some(figures) = self.figures() else {
            row.push("-".to_owned());
            return row;
        };
        row.extend([figures.median, figures.min, figures.max].map(short));
        let ratio = first.map(|first| figures.median / first.median);
        row.push(ratio.map_or_else(String::new, |ratio| format!("{}x", short(ratio))));
        let percent = |share| format!("{:.1} %", share * 100.0);
        row.push(self.median(Outcome::server_share, percent));
        if self.counts_messages() {
            row.push(self.median(|outcome| Some(outcome.rate()), short_rate));
            row.push(self.median(|outcome| Some(outcome.generator_ns_each()), short));
        }
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let text = |micros| format!("{} us", short(micros));
        if self
            .outcomes
            .iter()
            .any(|outcome| outcome.latency.is_some())
        {
            row.push(self.median(|outcome| Some(micros(outcome.latency?.p50)), text));
            row.push(self.median(|outcome| Some(micros(outcome.latency?.p99)), text));
        }
        row
    }

    /// The median of a figure as text; nothing when no outcome has it.
    fn median(
        &self,
        figure: impl Fn(&Outcome) -> Option<f64>,
        text: impl Fn(f64) -> String,
    ) -> String {
        let summary = self.summary(figure);
        summary.map_or_else(String::new, |summary| text(summary.median))
    }
}

/// Everything somebody needs to judge or repeat the run.
fn record(plan: &Plan, cells: &[Cell]) -> Value {
    let seconds = match plan.load.stop {
        Stop::After(time) => time.as_secs_f64(),
        Stop::Messages(_) => 0.0,
    };
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    json!({
        "unix_time": since_epoch.as_secs(),
        "cpu": cpu::model(),
        "kernel": cpu::kernel(),
        "rounds": plan.rounds,
        "seconds": seconds,
        "warmup_seconds": plan.load.warmup.as_secs_f64(),
        "window_bytes": plan.load.window_bytes,
        "server_cpus": plan.server_cpus,
        "client_cpu": plan.client_cpu,
        "results": cells.iter().map(Cell::to_json).collect::<Vec<_>>(),
    })
}

impl Cell {
    fn to_json(&self) -> Value {
        let unit = self
            .outcomes
            .iter()
            .find_map(Outcome::figure)
            .map(|figure| figure.1);
        json!({
            "scenario": self.scenario.to_string(),
            "server": self.peer.name,
            "command": self.peer.command,
            "unit": unit,
            "figure": self.figures().map(|s| json!({ "median": s.median, "min": s.min, "max": s.max })),
            "samples": self.outcomes.iter().map(Outcome::to_json).collect::<Vec<_>>(),
            "failures": self.failures,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(name: &str, nanos: &[u64]) -> Cell {
        let scenario = "1to1:16".parse().expect("a scenario");
        let outcome = |ns: &u64| {
            let mut outcome = Outcome::new(&scenario, 1_000_000, Duration::from_secs(1));
            outcome.server_time = Some(Duration::from_millis(*ns));
            outcome
        };
        Cell {
            scenario,
            peer: Peer {
                name: name.to_owned(),
                command: vec!["x".to_owned()],
            },
            placing: None,
            outcomes: nanos.iter().map(outcome).collect(),
            failures: Vec::new(),
        }
    }

    #[test]
    fn the_table_compares_with_the_first() {
        let cells = [
            cell("ours", &[20, 30, 25]),
            cell("theirs", &[250]),
            cell("broken", &[]),
        ];
        let text = table(&cells).to_string();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0][..5], ["1to1:16", "ns", "min", "max", "ratio"]);
        assert_eq!(lines[1][..5], ["ours", "25.0", "20.0", "30.0", "1.00x"]);
        assert_eq!(
            lines[2][..5],
            ["theirs", "250.0", "250.0", "250.0", "10.0x"]
        );
        assert_eq!(lines[3], ["broken", "-"]);
    }

    #[test]
    fn the_record_keeps_every_sample() {
        let value = cell("ours", &[20, 30]).to_json();
        assert_eq!(value["samples"].as_array().map(Vec::len), Some(2));
        assert_eq!(value["figure"]["median"], 25.0);
        assert_eq!(cell("none", &[]).to_json()["figure"], Value::Null);
    }
}
