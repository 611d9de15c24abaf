//! What is kept of a comparison: everything somebody needs to judge it or to repeat it.
//!
//! As one JSON file, or as a folder `perf/runs/DATE-TOPIC/` with the command, the machine, every sample, the
//! tables and the plot.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Result;
use crate::args::Plan;
use crate::cells::{Cell, Sample};
use crate::claims::{self, Claim};
use crate::compare::Site;
use crate::figure::Figure;
use crate::machine;
use crate::plot;
use crate::policy;
use crate::samples::Summary;
use crate::scenarios::{Scenario, Stop};

/// A comparison that is over.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// What was wanted.
    pub(crate) plan: &'a Plan,
    /// Who took part; at least one.
    pub(crate) sites: Vec<Site>,
    /// All servers with the first scenario, then with the second, ….
    pub(crate) cells: Vec<Cell>,
    /// How many rounds there were time for.
    pub(crate) rounds_done: usize,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

impl Record<'_> {
    /// The cells of each scenario, in the order of the servers.
    pub(crate) fn by_scenario(&self) -> impl Iterator<Item = &[Cell]> {
        self.cells.chunks(self.sites.len())
    }

    /// Name of the server that ratios are to.
    pub(crate) fn reference(&self) -> &str {
        let typed = self.plan.reference.as_deref().into_iter();
        let mut names = typed.chain(self.plan.references.iter().copied());
        let found = names.find_map(|name| self.site(name));
        &found.unwrap_or(&self.sites[0]).peer.name
    }

    fn site(&self, name: &str) -> Option<&Site> {
        self.sites.iter().find(|site| site.peer.name == name)
    }

    /// The reference's cell of one scenario.
    pub(crate) fn reference_among<'c>(&self, cells: &'c [Cell]) -> &'c Cell {
        let mut found = cells.iter();
        let reference = self.reference();
        found
            .find(|cell| cell.server == reference)
            .unwrap_or(&cells[0])
    }

    /// What crossing between shards came to, or what a policy did; nothing unless this was about one of them.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        let mut claims = claims::of(&self.cells);
        if let Some(count) = self.plan.policy {
            claims.extend(policy::claims(&self.cells, count));
        }
        claims
    }

    /// What a scenario is compared by, the most telling first.
    pub(crate) fn figures(&self, scenario: &Scenario) -> &[Figure] {
        match &self.plan.figure {
            Some(figure) => std::slice::from_ref(figure),
            None => Figure::of(scenario),
        }
    }

    /// The machine in one line.
    pub(crate) fn machine_line(&self) -> String {
        format!(
            "{}, {} CPUs, Linux {}",
            machine::model(),
            machine::cpus(),
            machine::kernel()
        )
    }

    /// When and how it was measured, in one line.
    pub(crate) fn run_line(&self) -> String {
        let stretch = match self.plan.load.stop {
            Stop::After(time) => format!("{} s", time.as_secs_f64()),
            Stop::Messages(count) => format!("{count} messages"),
        };
        let client = match self.plan.client_cpu {
            Some(cpu) => format!("generator on CPU {cpu}"),
            None => "generator anywhere".to_owned(),
        };
        let windows: usize = self.cells.iter().map(|cell| cell.samples.len()).sum();
        let disturbed = match self.cells.iter().map(Cell::disturbed).sum() {
            0 => String::new(),
            count => format!(", {count} of {windows} windows disturbed by others"),
        };
        let tls = if self.plan.is_secure { ", TLS" } else { "" };
        format!(
            "{}, {} rounds of {stretch} in {:.0} s, server on CPU {}, {client}{tls}{disturbed}",
            today(),
            self.rounds_done,
            self.elapsed.as_secs_f64(),
            self.plan.server_cpus,
        )
    }

    /// Writes what the plan asks for: JSON, plot, and the folder with everything. `text` is what is printed.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn write(&self, folder: &Option<Folder>, text: &str) -> Result<()> {
        if let Some(path) = &self.plan.json {
            write_json(path, &self.to_json())?;
        }
        let picture = plot::draw(self);
        if let Some(path) = &self.plan.plot {
            let picture = picture.as_ref().ok_or("there are no ratios to draw")?;
            write_file(path, picture)?;
        }
        let Some(folder) = folder else { return Ok(()) };
        write_file(&folder.path.join("command.txt"), &(command_line() + "\n"))?;
        write_json(&folder.path.join("machine.json"), &machine())?;
        write_json(&folder.path.join("samples.json"), &self.to_json())?;
        write_file(&folder.path.join("summary.txt"), text)?;
        if let Some(picture) = &picture {
            write_file(&folder.path.join("plot.svg"), picture)?;
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        let plan = self.plan;
        let seconds = match plan.load.stop {
            Stop::After(time) => Some(time.as_secs_f64()),
            Stop::Messages(_) => None,
        };
        json!({
            "date": today(),
            "command": command_line(),
            "machine": machine(),
            "rounds": self.rounds_done,
            "seconds": seconds,
            "warmup_seconds": plan.load.warmup.as_secs_f64(),
            "window_bytes": plan.load.window_bytes,
            "server_cpus": plan.server_cpus,
            "client_cpu": plan.client_cpu,
            "tls": plan.is_secure,
            "policy": plan.policy,
            "foreign_max": plan.foreign_max,
            "reference": self.reference(),
            "elapsed_seconds": self.elapsed.as_secs_f64(),
            "servers": self.sites.iter().map(Site::to_json).collect::<Vec<_>>(),
            "claims": self.claims().iter().map(Claim::to_json).collect::<Vec<_>>(),
            "results": self.by_scenario().flat_map(|cells| {
                cells.iter().filter(|cell| !cell.is_left_out).map(|cell| self.cell_json(cell, cells))
            }).collect::<Vec<_>>(),
        })
    }

    fn cell_json(&self, cell: &Cell, cells: &[Cell]) -> Value {
        let reference = self.reference_among(cells);
        let figures = self.figures(&cell.scenario).iter().map(|figure| {
            json!({
                "unit": figure.unit(),
                "value": summary_json(cell.figure(*figure)),
                "times_better": summary_json(cell.times_better(reference, *figure)),
            })
        });
        json!({
            "scenario": cell.scenario.to_string(),
            "server": cell.server,
            "figures": figures.collect::<Vec<_>>(),
            "disturbed": cell.disturbed(),
            "samples": cell.samples.iter().map(Sample::to_json).collect::<Vec<_>>(),
            "discarded": cell.discarded.iter().map(Sample::to_json).collect::<Vec<_>>(),
            "failures": cell.failures,
        })
    }
}

impl Site {
    fn to_json(&self) -> Value {
        json!({
            "name": self.peer.name,
            "version": self.version,
            "command": self.peer.written(),
            "demands": self.peer.demands.to_json(),
        })
    }
}

impl Sample {
    fn to_json(&self) -> Value {
        let mut value = self.outcome.to_json();
        value["round"] = json!(self.round);
        value["foreign"] = self.foreign.to_json();
        value["is_disturbed"] = json!(self.is_disturbed);
        value
    }
}

fn summary_json(summary: Option<Summary>) -> Value {
    match summary {
        Some(Summary { median, min, max }) => json!({ "median": median, "min": min, "max": max }),
        None => Value::Null,
    }
}

/// Where everything about a run goes.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder of a plan that wants one, with a number behind its name if there is one already.
    /// This comes first: ten minutes later is too late to learn that it cannot be made.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn create(plan: &Plan) -> Result<Option<Self>> {
        let Some(topic) = &plan.record else {
            return Ok(None);
        };
        let failed = |e| format!("{}: {e}", plan.runs.display());
        fs::create_dir_all(&plan.runs).map_err(failed)?;
        let name = format!("{}-{topic}", today());
        for number in 1.. {
            let path = plan.runs.join(match number {
                1 => name.clone(),
                _ => format!("{name}-{number}"),
            });
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Some(Self { path })),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(failed(e).into()),
            }
        }
        unreachable!("the numbers end after all folders of the world")
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Only an empty one can be removed: that of a run that came to nothing.
        let _ = fs::remove_dir(&self.path);
    }
}

/// The day, as the machine's calendar has it.
pub(crate) fn today() -> String {
    jiff::Zoned::now().strftime("%Y-%m-%d").to_string()
}

/// What this program was called with; the folder it is in is of no use elsewhere.
fn command_line() -> String {
    let mut words = env::args();
    let own = words.next().unwrap_or_default();
    let own = Path::new(&own)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let quoted = words.map(|word| match word.chars().all(is_plain) {
        true if !word.is_empty() => word,
        _ => format!("'{}'", word.replace('\'', "'\\''")),
    });
    std::iter::once(own)
        .chain(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a shell takes it as it is.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_=+:,./@%".contains(c)
}

/// The machine, and which source our own programs were built from, if this is a checkout of it.
fn machine() -> Value {
    let mut value = machine::to_json();
    value["source"] = json!(source());
    value
}

fn source() -> Option<String> {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    write_file(path, &(serde_json::to_string_pretty(value)? + "\n"))
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()).into())
}

#[cfg(test)]
pub(crate) mod tests;
