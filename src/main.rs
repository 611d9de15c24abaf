//! The command: flags to options, options to a running server. The only place that exits the process.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use gnatsd::config::{self, Outcome};
use gnatsd::server::arguments;

fn main() -> ExitCode {
    match config::load(std::env::args_os(), |name| std::env::var(name).ok()) {
        Outcome::Run {
            options,
            warnings,
            stdout_notes,
        } => {
            // As good as it gets: where the system does not allow it, they stay to be seen.
            let _ = arguments::hide();
            for note in stdout_notes {
                println!("{note}");
            }
            ExitCode::from(gnatsd::server::run(&options, &warnings))
        }
        Outcome::Print { stdout, stderr } => {
            // A reader that has gone has read enough.
            let _ = io::stdout().write_all(stdout.as_bytes());
            let _ = io::stderr().write_all(stderr.as_bytes());
            ExitCode::SUCCESS
        }
        Outcome::Fail { stderr } => {
            let _ = io::stderr().write_all(stderr.as_bytes());
            ExitCode::FAILURE
        }
    }
}
