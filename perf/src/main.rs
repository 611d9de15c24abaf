//! `perf`: a load generator for NATS servers, and a comparison of several servers in one run.
//!
//! What each mode measures, and how to run it again, is in this crate's README. The map:
//!
//! | module | owns |
//! | --- | --- |
//! | `args` | the command line |
//! | `wire`, `scanner`, `lengths` | one connection: bytes out, messages counted coming back |
//! | `target`, `tls` | where a load goes, who it is there; TLS, handshake and records |
//! | `scenarios` | the shapes of load: flow (`pub` to `pairs`), request/reply, idle |
//! | `cpu`, `machine` | pinning, processor time and memory from `/proc`; what machine this is |
//! | `report`, `figure` | what one run came to, and which of its numbers is compared |
//! | `progress` | a bar for long runs |
//! | `peers`, `program` | the servers of a comparison, where they are and how they start |
//! | `demands` | what a server is to ask of its clients: TLS, a user, permissions |
//! | `compare`, `sets`, `foreign` | rounds over servers and scenarios; who else used the CPUs meanwhile |
//! | `cells`, `samples` | what was measured, and ratios of it, round by round |
//! | `summary`, `record`, `plot` | tables, files and a picture of it |
//! | `crossing`, `policy`, `claims` | what is to cost so much at most: from shard to shard, with permissions |
//! | `floor` | a relay without any protocol work: the least a server can cost |

#![forbid(unsafe_code)]

mod args;
mod cells;
mod claims;
mod compare;
mod cpu;
mod crossing;
mod demands;
mod figure;
mod floor;
mod foreign;
mod lengths;
mod machine;
mod peers;
mod plot;
mod policy;
mod program;
mod progress;
mod record;
mod report;
mod samples;
mod scanner;
mod scenarios;
mod sets;
mod summary;
mod target;
mod tls;
mod wire;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use args::Command;
use progress::Progress;
use scenarios::Stop;

/// A cold-path result: whatever went wrong ends in one line on standard error.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("perf: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    match args::parse(std::env::args().skip(1))? {
        Command::Help(text) => say(&text),
        Command::Run(run) => {
            if let Some(cpu) = run.cpu {
                cpu::pin_to(cpu)?;
            }
            let mut load = run.load;
            load.progress = Some(match load.stop {
                Stop::After(time) => Progress::new(Some(time), None),
                Stop::Messages(count) => Progress::new(None, Some(count)),
            });
            let outcome = scenarios::run(&run.scenario, &load)?;
            if run.is_json {
                say(&format!("{}\n", outcome.to_json()));
            } else {
                say(&outcome.to_string());
            }
        }
        Command::Compare(plan) => compare::run(&plan)?,
        Command::Crossing { program, plan } => crossing::run(&program, *plan)?,
        Command::Floor { port } => floor::serve(port)?,
    }
    Ok(())
}

/// Prints, unless whoever reads has enough: what is written to files then still is.
pub(crate) fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
