//! Several servers, the same load, one CPU each, in turn: `perf compare`.
//!
//! A machine drifts: its clock, its neighbours, its temperature. So each round measures every server once
//! with every scenario, the servers one right after the other, and every second round goes the other way
//! (A B C, C B A, …). Each server starts afresh for each measurement. A window in which others used the CPUs
//! is thrown away and measured again.

use std::error::Error;
use std::time::{Duration, Instant};

use crate::Result;
use crate::args::Plan;
use crate::cells::{Cell, Sample};
use crate::cpu;
use crate::crossing::Placing;
use crate::demands::{Demands, Files, User};
use crate::foreign::{Foreign, Places, Watch};
use crate::peers::{self, Peer, Running};
use crate::policy;
use crate::progress::Steps;
use crate::record::{Folder, Record};
use crate::report::Outcome;
use crate::scenarios::{self, Load, Scenario};
use crate::summary;

/// Failures in a row after which a server is not asked again.
const FAILURES_MAX: usize = 2;

/// A server in a comparison.
#[derive(Debug)]
pub(crate) struct Site {
    /// How it starts.
    pub(crate) peer: Peer,
    /// What it says of itself.
    pub(crate) version: String,
    /// Where connections are to lie.
    placing: Option<Placing>,
}

/// Measures, prints tables, and writes what the plan asks for.
///
/// # Errors
/// A plan that cannot be carried out, or that measured nothing. A server that fails a scenario is a row
/// without figures, no error.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let peers = peers::select(&plan.servers, &plan.only, plan.is_lenient)?;
    if let Some(cpu) = plan.client_cpu
        && cpu::listed(&plan.server_cpus)?.contains(&cpu)
    {
        return Err("server and generator need a CPU each".into());
    }
    let peers = peers
        .into_iter()
        .flat_map(|peer| with_users(peer, plan.policy));
    let sites: Vec<_> = peers.map(|peer| (peer, None)).collect();
    measure(plan, &sites)
}

/// A server as it is; where a policy of so many entries is to be measured, with a user who has none, and with the
/// same who has it.
fn with_users(peer: Peer, policy: Option<usize>) -> Vec<Peer> {
    let Some(count) = policy else {
        return vec![peer];
    };
    let with = |name: String, user| Peer {
        name,
        demands: Demands {
            user,
            ..peer.demands
        },
        ..peer.clone()
    };
    vec![
        with(peer.name.clone(), User::Plain),
        with(policy::name(&peer.name, count), User::Policy(count)),
    ]
}

/// As [`run`], with these servers, and where connections are to lie in each.
///
/// # Errors
/// As those of [`run`].
pub(crate) fn measure(plan: &Plan, sites: &[(Peer, Option<Placing>)]) -> Result<()> {
    let folder = Folder::create(plan)?;
    if let Some(cpu) = plan.client_cpu {
        cpu::pin_to(cpu)?;
    }
    let files = Files::create()?;
    let sites = probe(sites, plan, &files);
    if sites.is_empty() {
        return Err("no server to measure".into());
    }
    if let Some(name) = &plan.reference
        && !sites.iter().any(|site| site.peer.name == *name)
    {
        return Err(format!("no server to compare with is called {name:?}").into());
    }
    let mut comparison = Comparison::new(plan, sites, files)?;
    comparison.rounds();
    let record = comparison.record();
    let text = summary::text(&record);
    crate::say(&text);
    record.write(&folder, &text)?;
    if let Some(folder) = &folder {
        crate::say(&format!("\nwritten to {folder}\n"));
    }
    if record.cells.iter().all(|cell| cell.samples.is_empty()) {
        return Err("nothing was measured".into());
    }
    Ok(())
}

/// The servers that start, with their versions.
fn probe(sites: &[(Peer, Option<Placing>)], plan: &Plan, files: &Files) -> Vec<Site> {
    let peers = sites.iter().map(|(peer, _)| Peer {
        demands: peer.demands.and(plan.demands()),
        ..peer.clone()
    });
    let found = peers::probe(peers.collect(), &plan.server_cpus, files).into_iter();
    let site = |(peer, version): (Peer, String)| {
        let (_, placing) = sites.iter().find(|(other, _)| other.name == peer.name)?;
        let placing = *placing;
        Some(Site {
            peer,
            version,
            placing,
        })
    };
    found.filter_map(site).collect()
}

/// A comparison on its way.
struct Comparison<'a> {
    plan: &'a Plan,
    sites: Vec<Site>,
    places: Places,
    /// All servers with the first scenario, then with the second, ….
    cells: Vec<Cell>,
    begin: Instant,
    rounds_done: usize,
    steps: Steps,
    files: Files,
}

impl<'a> Comparison<'a> {
    fn new(plan: &'a Plan, sites: Vec<Site>, files: Files) -> Result<Self> {
        let places = Places {
            server: cpu::listed(&plan.server_cpus)?,
            client: plan.client_cpu,
        };
        let cell = |scenario: &Scenario, site: &Site| {
            Cell::new(*scenario, &site.peer.name, !site.peer.knows(scenario))
        };
        let cells: Vec<Cell> = plan
            .scenarios
            .iter()
            .flat_map(|scenario| sites.iter().map(move |site| cell(scenario, site)))
            .collect();
        let windows = cells.iter().filter(|cell| !cell.is_left_out).count() * plan.rounds;
        Ok(Self {
            plan,
            sites,
            places,
            cells,
            begin: Instant::now(),
            rounds_done: 0,
            steps: Steps::new(windows as u64),
            files,
        })
    }

    fn rounds(&mut self) {
        for round in 0..self.plan.rounds {
            let elapsed = self.begin.elapsed();
            if round > 0 && self.is_late(elapsed + elapsed / u32::try_from(round).unwrap_or(1)) {
                let (done, all) = (round, self.plan.rounds);
                self.steps.say(&format!(
                    "{done} of {all} rounds: there is no time for more"
                ));
                break;
            }
            self.round(round);
            self.rounds_done = round + 1;
        }
        self.steps.finish();
    }

    fn round(&mut self, round: usize) {
        let servers = self.sites.len();
        for first in (0..self.cells.len()).step_by(servers) {
            for turn in 0..servers {
                let at = if round % 2 == 1 {
                    servers - 1 - turn
                } else {
                    turn
                };
                let cell = &self.cells[first + at];
                let is_lost = cell.samples.is_empty() && cell.failures.len() >= FAILURES_MAX;
                if !cell.is_left_out {
                    let (scenario, server) = (cell.scenario, &cell.server);
                    self.steps
                        .step(&format!("round {}: {scenario}, {server}", round + 1));
                    if !is_lost {
                        self.window(round, first + at, at);
                    }
                }
            }
        }
    }

    /// One measurement, as often as it takes.
    fn window(&mut self, round: usize, cell: usize, site: usize) {
        let measure = || -> Result<Sample> {
            let site = &self.sites[site];
            let cell = &self.cells[cell];
            let (outcome, foreign) = site.measure(self.plan, &self.places, cell, &self.files)?;
            Ok(Sample {
                round,
                outcome,
                foreign,
                is_disturbed: foreign.share() > self.plan.foreign_max,
            })
        };
        let may_repeat = |window| self.has_time_for(window);
        let (samples, failure) = until_quiet(self.plan.repeats_max, measure, may_repeat);
        let cell = &mut self.cells[cell];
        cell.keep_quietest(samples);
        if let Some(e) = failure {
            // Most servers that fail once fail every time, and once is enough to read.
            if cell.failures.is_empty() {
                let (scenario, server) = (cell.scenario, &cell.server);
                self.steps.say(&format!("{scenario}, {server}: {e}"));
            }
            cell.failures.push(e.to_string());
        }
    }

    /// Whether one more window can be measured again and the rest still be done in time.
    fn has_time_for(&self, window: Duration) -> bool {
        let (elapsed, share) = (self.begin.elapsed(), self.steps.share().max(0.01));
        !self.is_late(elapsed.div_f64(share) + window)
    }

    fn is_late(&self, end: Duration) -> bool {
        self.plan.time_max.is_some_and(|time_max| end > time_max)
    }

    fn record(self) -> Record<'a> {
        Record {
            plan: self.plan,
            sites: self.sites,
            cells: self.cells,
            rounds_done: self.rounds_done,
            elapsed: self.begin.elapsed(),
        }
    }
}

/// Measures until nobody disturbs, `repeats_max` times more at most and only while `may_repeat`, which is told
/// how long a window takes. All windows, and what ended it if that was a failure.
fn until_quiet(
    repeats_max: usize,
    mut measure: impl FnMut() -> Result<Sample>,
    may_repeat: impl Fn(Duration) -> bool,
) -> (Vec<Sample>, Option<Box<dyn Error>>) {
    let mut samples: Vec<Sample> = Vec::new();
    loop {
        let begin = Instant::now();
        match measure() {
            Ok(sample) => samples.push(sample),
            Err(e) => return (samples, Some(e)),
        }
        let is_quiet = samples.last().is_some_and(|sample| !sample.is_disturbed);
        if is_quiet || samples.len() > repeats_max || !may_repeat(begin.elapsed()) {
            return (samples, None);
        }
    }
}

impl Site {
    /// A server where no place is asked for.
    #[cfg(test)]
    pub(crate) fn new(peer: Peer, version: &str) -> Self {
        Self {
            peer,
            version: version.to_owned(),
            placing: None,
        }
    }

    /// Starts the server, puts the load on it, and looks who else is there.
    ///
    /// The window of the others' load has the warm-up in it, and the connecting.
    fn measure(
        &self,
        plan: &Plan,
        places: &Places,
        cell: &Cell,
        files: &Files,
    ) -> Result<(Outcome, Foreign)> {
        let demands = self.peer.demands.and(cell.scenario.shape.demands());
        let server = Running::start(&self.peer, demands, &plan.server_cpus, files)?;
        let load = Load {
            server: server.target.clone(),
            server_pid: Some(server.pid()),
            fillers: self.placing.map_or(0, Placing::fillers),
            ..plan.load.clone()
        };
        if let Some(placing) = self.placing {
            placing.prepare(&server)?;
        }
        let watch = Watch::begin(places, server.pid())?;
        let outcome = scenarios::run(&cell.scenario, &load)?;
        let foreign = watch.end()?;
        if let Some(placing) = self.placing {
            placing.verify(&server, &outcome)?;
        }
        Ok((outcome, foreign))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::tests::cell;

    /// How many windows it takes when these come; a negative cost is a disturbed one, and 0 a failure.
    fn windows(repeats_max: usize, costs: &[i64], has_time: bool) -> (Vec<bool>, bool) {
        let mut costs = costs.iter();
        let measure = || {
            let cost = costs.next().expect("no more windows than these");
            let mut samples = cell("x", &[*cost]).samples.into_iter();
            samples.next().ok_or_else(|| "gone".into())
        };
        let (samples, failure) = until_quiet(repeats_max, measure, |_| has_time);
        let samples = samples.iter().map(|sample| sample.is_disturbed);
        (samples.collect(), failure.is_some())
    }

    #[test]
    fn a_disturbed_window_is_measured_again() {
        assert_eq!(windows(3, &[1, 2], true), (vec![false], false));
        assert_eq!(
            windows(3, &[-1, -2, 3, 4], true),
            (vec![true, true, false], false)
        );
    }

    #[test]
    fn it_is_not_measured_again_for_ever() {
        assert_eq!(windows(1, &[-1, -2, 3], true), (vec![true, true], false));
        assert_eq!(windows(0, &[-1, 2], true), (vec![true], false));
        assert_eq!(windows(3, &[-1, 2], false), (vec![true], false));
        assert_eq!(windows(3, &[-1, 0, 2], true), (vec![true], true));
    }
}
