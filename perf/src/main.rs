//! `perf`: a load generator for NATS servers, and a comparison of several servers in one run.
//!
//! What each mode measures, and how to run it again, is in this crate's README. The map:
//!
//! | module | owns |
//! | --- | --- |
//! | `args` | the command line |
//! | `wire`, `scanner` | one connection: bytes out, messages counted coming back |
//! | `scenarios` | the shapes of load: flow (`pub` to `pairs`), request/reply, idle |
//! | `cpu` | pinning, processor time and memory from `/proc` |
//! | `report` | the figures of one run, as text and JSON |
//! | `peers`, `compare`, `samples` | start servers in turn, measure each, make the table |
//! | `crossing` | 1to1 on one shard and from shard to shard of one server |
//! | `floor` | a relay without any protocol work: the least a server can cost |

#![forbid(unsafe_code)]

mod args;
mod compare;
mod cpu;
mod crossing;
mod floor;
mod peers;
mod report;
mod samples;
mod scanner;
mod scenarios;
mod wire;

use std::error::Error;
use std::process::ExitCode;

use args::Command;

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
        Command::Help => print!("{}", args::HELP),
        Command::Run(run) => {
            if let Some(cpu) = run.cpu {
                cpu::pin_to(cpu)?;
            }
            let outcome = scenarios::run(&run.scenario, &run.load)?;
            if run.is_json {
                println!("{}", outcome.to_json());
            } else {
                print!("{outcome}");
            }
        }
        Command::Compare(plan) => compare::run(&plan)?,
        Command::Crossing { program, plan } => crossing::run(&program, *plan)?,
        Command::Floor { port } => floor::serve(port)?,
    }
    Ok(())
}
