//! Runs a case so that the same code can be timed and counted.
//!
//! Everything a case prepares happens outside [`counted_part`], the function by whose name callgrind
//! switches its counters on and off. So neither the start of the program nor the filling of a table is in
//! a figure.

use std::time::{Duration, Instant};

/// Timings of each case; the fastest is printed, which is the least disturbed.
const ROUNDS: usize = 5;

/// One thing to measure, on an input that never changes.
pub(crate) struct Case {
    /// `group/what`.
    pub(crate) name: &'static str,
    /// What one operation is.
    pub(crate) unit: &'static str,
    /// How often the work is done in one measurement.
    pub(crate) repeats: u32,
    /// Prepares, warms up, and does the work so often inside [`measure`].
    pub(crate) run: fn(u32) -> Measured,
}

/// What a case did in its counted part.
pub(crate) struct Measured {
    /// Operations.
    pub(crate) ops: u64,
    /// How long they took together.
    pub(crate) took: Duration,
}

/// Does `work` so often, with the numbers from 0, and takes the time.
pub(crate) fn measure(repeats: u32, mut work: impl FnMut(u32)) -> Duration {
    let start = Instant::now();
    counted_part(repeats, &mut work);
    start.elapsed()
}

/// What is counted. Found by its name, so it must stay a function.
#[inline(never)]
fn counted_part(repeats: u32, work: &mut impl FnMut(u32)) {
    for n in 0..repeats {
        work(n);
    }
}

/// The program around some cases.
///
/// `--list` prints each case, how often it is done and its unit; `CASE [REPEATS]` runs one once and prints its operations, for
/// who counts from outside; `--time [CASE]` prints nanoseconds for each operation.
pub(crate) fn run(cases: &[Case]) {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["--list"] => {
            for case in cases {
                println!("{}\t{}\t{}", case.name, case.repeats, case.unit);
            }
        }
        ["--time"] => cases.iter().for_each(time),
        ["--time", name] => time(find(cases, name)),
        [name] => println!("{}", once(find(cases, name), None)),
        [name, repeats] => match repeats.parse() {
            Ok(repeats) => println!("{}", once(find(cases, name), Some(repeats))),
            Err(error) => fail(&format!("{repeats}: {error}")),
        },
        _ => fail("usage: --list | CASE [REPEATS] | --time [CASE]"),
    }
}

fn find<'a>(cases: &'a [Case], name: &str) -> &'a Case {
    cases
        .iter()
        .find(|case| case.name == name)
        .unwrap_or_else(|| fail(&format!("no case is called {name}")))
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(2);
}

/// The number of operations.
fn once(case: &Case, repeats: Option<u32>) -> u64 {
    (case.run)(repeats.unwrap_or(case.repeats)).ops
}

fn time(case: &Case) {
    let nanos = (0..ROUNDS)
        .map(|_| (case.run)(case.repeats))
        .map(|measured| measured.took.as_nanos() as f64 / measured.ops as f64)
        .fold(f64::MAX, f64::min);
    println!("{:<28} {nanos:>9.1} ns per {}", case.name, case.unit);
}
