//! From the command line to "Server is ready", and from a signal to the end of the process.

mod command_line;
mod files;
mod idle;
mod lines;
mod listening;
mod refused;
mod stop;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// How long a start that fails may take, and an end.
const ONE_SECOND: Duration = Duration::from_secs(1);

/// How long a log line may take to appear after what caused it.
const LOG_LIMIT: Duration = Duration::from_secs(5);

/// Runs this package's binary until it ends by itself, for tests of what it prints.
fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gnatsd"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("run the server")
}

/// A log line taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    pid: u32,
    /// Date and time as they stand there; empty where the log has none.
    time: String,
    level: String,
    text: String,
}

/// Takes a log apart: `[pid] YYYY/MM/DD HH:MM:SS.uuuuuu [LVL] text`.
///
/// # Panics
/// When a line has another form.
#[track_caller]
fn parse_log(log: &str) -> Vec<Line> {
    let parse = |line: &str| {
        let (pid, rest) = line.strip_prefix('[')?.split_once("] ")?;
        let (time, rest) = rest.split_once('[')?;
        let (level, text) = rest.split_once("] ")?;
        Some(Line {
            pid: pid.parse().ok()?,
            time: time.trim_end().to_owned(),
            level: level.to_owned(),
            text: text.to_owned(),
        })
    };
    log.lines()
        .map(|line| parse(line).unwrap_or_else(|| panic!("not a log line: {line:?}")))
        .collect()
}
