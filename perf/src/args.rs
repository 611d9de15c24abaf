//! The command line: what the user typed, checked and resolved.
//!
//! Owns names, defaults and the help text: what is typed is in `args/typed.rs`, what it means is here. Knows
//! nothing of sockets.

mod typed;

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::Result;
use crate::demands::Demands;
use crate::figure::Figure;
use crate::scenarios::{Load, Scenario};
use typed::{Cli, ShapeArgs};

/// Begin of what `perf help` prints; the options of a shape follow.
const HELP: &str = "\
Load for NATS servers, and comparison of several.

  perf SHAPE [options]           put load on a running server, say what it cost
  perf compare [options]         start several servers in turn and compare them
  perf crossing --server PATH    what it costs to cross from shard to shard of one server
  perf floor --port P            a relay without protocol work, for comparison
  perf help compare              the options of compare; crossing likewise

For a start, in the root of the repository, with the release build:
  perf compare --set quick
  perf 1to1 --server 127.0.0.1:4222 --size 128 --pid $(pidof gnatsd)

";

/// The shapes, for both help texts.
const SHAPES: &str = "\
Shapes (N stands right behind the name, or in an option as --subs; it may be left out)
  pub          one publisher, no interest
  1to1         one publisher, one subscriber
  mixedN       the same, with payloads from nothing to twice the size, on N subjects in turn
  fanoutN      one publisher, N subscribers of one subject
  faninN       N publishers of one subject, one subscriber
  pairsN       N publishers, each with a subject and a subscriber of its own
  queueN       one publisher, one queue group of N members
  reqrep       one request in flight at a time
  openN        N requests per second, whether answers come or not
  flooded      one request in flight at a time, beside a 1to1 at full speed
  idleN        N connections with one subscription each, and nothing else
  connectN     N connections at a time that come, are answered and go
  subchurnN    N times a second SUB and UNSUB, beside requests of others; 0 is without
  handshakesN
               N times a second a client that shakes hands (TLS), is answered and goes,
               beside 100 others that ping
  loginsN      N times a second a client with a password that the server has as a hash
               (bcrypt), beside another that pings
  hotN, uniformN, zipfN
               N subscriptions held, 1 in 10 a wildcard; messages on eight of the
               subjects, on all alike, on some more often than on others

";

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Print this text.
    Help(String),
    /// Put one load on a server that runs already.
    Run(Box<Run>),
    /// Compare several servers.
    Compare(Box<Plan>),
    /// Compare one shard with two of one server.
    Crossing {
        /// Program of the server.
        program: String,
        /// The rest, as for a comparison.
        plan: Box<Plan>,
    },
    /// Be the floor peer.
    Floor {
        /// Port on 127.0.0.1.
        port: u16,
    },
}

/// One load on a running server.
#[derive(Debug)]
pub(crate) struct Run {
    /// Shape and payload.
    pub(crate) scenario: Scenario,
    /// Where, how long, how much.
    pub(crate) load: Load,
    /// CPU to pin the generator to.
    pub(crate) cpu: Option<usize>,
    /// JSON instead of text.
    pub(crate) is_json: bool,
}

/// A comparison.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Files or `NAME=COMMAND`.
    pub(crate) servers: Vec<String>,
    /// Names to take, in this order; all when empty.
    pub(crate) only: Vec<String>,
    /// Whether a name in `only` that is not installed is left out with a line, and not an error.
    pub(crate) is_lenient: bool,
    /// What to measure.
    pub(crate) scenarios: Vec<Scenario>,
    /// How often each server meets each scenario.
    pub(crate) rounds: usize,
    /// Load of one measurement; server and pid are filled in later.
    pub(crate) load: Load,
    /// Whether servers are started with TLS.
    pub(crate) is_secure: bool,
    /// Entries of a policy that is to be measured against none.
    pub(crate) policy: Option<usize>,
    /// CPUs of the server: `0`, or `0,1`.
    pub(crate) server_cpus: String,
    /// CPU of the generator; `None` leaves it to the scheduler.
    pub(crate) client_cpu: Option<usize>,
    /// Server that ratios are to.
    pub(crate) reference: Option<String>,
    /// Where none is named, the first of these that is there; and else the first of all.
    pub(crate) references: &'static [&'static str],
    /// What to compare; `None` leaves it to the scenario.
    pub(crate) figure: Option<Figure>,
    /// Share of a CPU that others may use while a window is measured.
    pub(crate) foreign_max: f64,
    /// How often a window that others disturbed is measured again.
    pub(crate) repeats_max: usize,
    /// Time for all; when it gets short, nothing is measured again.
    pub(crate) time_max: Option<Duration>,
    /// Where to write every sample.
    pub(crate) json: Option<PathBuf>,
    /// Where to draw the ratios.
    pub(crate) plot: Option<PathBuf>,
    /// Topic of a folder with everything about this run.
    pub(crate) record: Option<String>,
    /// Where such folders are.
    pub(crate) runs: PathBuf,
}

impl Plan {
    /// What every server is to ask of its clients.
    pub(crate) fn demands(&self) -> Demands {
        Demands {
            is_secure: self.is_secure,
            ..Demands::default()
        }
    }
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// An unknown word or option, a missing or unreadable value.
pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Command> {
    let mut words: Vec<String> = words.collect();
    if words.is_empty() || matches!(words[0].as_str(), "help" | "--help" | "-h") {
        if words.len() < 2 {
            return Ok(Command::Help(help()));
        }
        words = vec![words.swap_remove(1), "--help".to_owned()];
    }
    let typed = std::iter::once("perf".to_owned()).chain(words);
    match Cli::try_parse_from(typed) {
        Ok(cli) => cli.resolve(),
        Err(e) => said_by(&e),
    }
}

/// The overview, with the options of a shape, which is what most want first.
fn help() -> String {
    let options = ShapeArgs::command().render_help();
    format!("{HELP}{SHAPES}Options of a shape\n{options}")
}

/// What clap has to say: help that was asked for, or a mistake.
fn said_by(e: &clap::Error) -> Result<Command> {
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Command::Help(e.to_string())),
        _ => Err(e
            .to_string()
            .trim_start_matches("error: ")
            .trim_end()
            .into()),
    }
}

#[cfg(test)]
mod tests;
