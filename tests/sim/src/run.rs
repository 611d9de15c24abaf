//! Runs worlds: one seed, or many on several threads.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gnatsd_core::engine::Mutant;

use crate::history::Finding;
use crate::world::{Options, Tally, World};

/// A seed whose world broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// With which rule left out.
    pub mutant: Option<Mutant>,
    /// What was wrong, at least one thing.
    pub findings: Vec<Finding>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 6;
        let mutant = self
            .mutant
            .map(|m| format!(" --mutant {m:?}"))
            .unwrap_or_default();
        writeln!(f, "seed {} failed{}:", self.seed, mutant.replace("--", ""))?;
        for finding in self.findings.iter().take(SHOWN_MAX) {
            writeln!(f, "  {:?}: {}", finding.fault, finding.text)?;
        }
        if self.findings.len() > SHOWN_MAX {
            writeln!(f, "  and {} more", self.findings.len() - SHOWN_MAX)?;
        }
        write!(
            f,
            "replay: cargo run --release -p gnatsd-sim -- --seed {}{mutant} --trace",
            self.seed
        )
    }
}

/// Runs one world.
///
/// # Errors
/// It broke a promise.
pub fn run(seed: u64, options: &Options) -> Result<Tally, Failure> {
    Runner::default().run(seed, options)
}

/// Runs worlds one after the other, with the same stacks.
#[derive(Default)]
struct Runner {
    stacks: Vec<corosensei::stack::DefaultStack>,
}

impl Runner {
    fn run(&mut self, seed: u64, options: &Options) -> Result<Tally, Failure> {
        let world = World::new(seed, options, &mut self.stacks);
        world.run(&mut self.stacks).map_err(|findings| Failure {
            seed,
            mutant: options.mutant,
            findings,
        })
    }
}

/// What many worlds did.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Worlds run.
    pub seeds: u64,
    /// All they did together; the digest is of no use.
    pub tally: Tally,
    /// Those that broke a promise, in order of their seeds.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub took: Duration,
}

/// Runs the worlds of `count` seeds from `from` on, on so many threads, until `failures_max` have failed.
pub fn run_many(
    from: u64,
    count: u64,
    threads: usize,
    failures_max: usize,
    options: &Options,
) -> Summary {
    let start = Instant::now();
    let next = AtomicU64::new(from);
    let end = from + count;
    let all = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut runner = Runner::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let result = runner.run(seed, options);
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    all.seeds += 1;
                    match result {
                        Ok(tally) => all.tally.add(&tally),
                        Err(failure) => all.failures.push(failure),
                    }
                    if all.failures.len() >= failures_max {
                        return;
                    }
                }
            });
        }
    });
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.failures.sort_by_key(|f| f.seed);
    all.took = start.elapsed();
    all
}
