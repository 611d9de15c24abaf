//! The command: many seeds, or one of them step by step.

use std::process::ExitCode;

use gnatsd_sim::{MUTANTS, Options, mutant_named, run, run_many};

const USAGE: &str = "\
usage: gnatsd-sim [--seeds N] [--from N] [--threads N] [--failures N] [--mutant NAME | --mutants]
       gnatsd-sim --seed N [--mutant NAME] [--trace]

  --seeds N      worlds to run (1000)
  --from N       the first seed (1)
  --threads N    worlds at a time (as many as there are CPUs)
  --failures N   stop after so many that failed (1)
  --mutant NAME  leave out a rule: the run is expected to fail
  --mutants      each rule in turn: the first seed that finds it, within --seeds
  --seed N       this world alone
  --shards N     so many shards instead of what the seed says
  --trace        print its steps";

struct Args {
    seeds: u64,
    from: u64,
    threads: usize,
    failures: usize,
    seed: Option<u64>,
    all_mutants: bool,
    options: Options,
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut args = Args {
        seeds: 1_000,
        from: 1,
        threads: std::thread::available_parallelism().map_or(1, Into::into),
        failures: 1,
        seed: None,
        all_mutants: false,
        options: Options::default(),
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        let number = |text: String| {
            text.parse::<u64>()
                .map_err(|_| format!("{text} is no number"))
        };
        let small = |n: u64| usize::try_from(n).map_err(|e| e.to_string());
        match word.as_str() {
            "--seeds" => args.seeds = number(value()?)?,
            "--from" => args.from = number(value()?)?,
            "--threads" => args.threads = small(number(value()?)?)?,
            "--failures" => args.failures = small(number(value()?)?)?,
            "--seed" => args.seed = Some(number(value()?)?),
            "--shards" => args.options.shards = Some(small(number(value()?)?)?),
            "--trace" => args.options.trace = true,
            "--mutants" => args.all_mutants = true,
            "--mutant" => {
                let name = value()?;
                let mutant = mutant_named(&name).ok_or(format!("{name} is none of {MUTANTS:?}"))?;
                args.options.mutant = Some(mutant);
            }
            _ => return Err(format!("{word} is unknown\n{USAGE}")),
        }
    }
    Ok(args)
}

/// Each rule left out in turn. True if all of that was found.
fn run_mutants(args: &Args) -> bool {
    let mut are_all_found = true;
    for mutant in MUTANTS {
        let options = Options {
            mutant: Some(mutant),
            ..args.options
        };
        let summary = run_many(args.from, args.seeds, args.threads, 1, &options);
        let secs = summary.took.as_secs_f64();
        match summary.failures.first() {
            Some(failure) => {
                let finding = &failure.findings[0];
                println!(
                    "{mutant:?}: found by seed {} in {secs:.2} s: {:?}",
                    failure.seed, finding.fault
                );
            }
            None => {
                println!(
                    "{mutant:?}: NOT FOUND by {} seeds in {secs:.2} s",
                    summary.seeds
                );
                are_all_found = false;
            }
        }
    }
    are_all_found
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    // A panic of an engine is a finding like others; it is reported with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    if args.all_mutants {
        return if run_mutants(&args) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    if let Some(seed) = args.seed {
        return match run(seed, &args.options) {
            Ok(tally) => {
                println!("seed {seed} holds: {tally:?}");
                ExitCode::SUCCESS
            }
            Err(failure) => {
                println!("{failure}");
                ExitCode::FAILURE
            }
        };
    }
    let summary = run_many(
        args.from,
        args.seeds,
        args.threads,
        args.failures,
        &args.options,
    );
    for failure in &summary.failures {
        println!("{failure}");
    }
    let tally = summary.tally;
    println!(
        "{} seeds from {}, {} failed, {:.1} s: {} steps, {} messages, {} copies, {} crossed, {} lane stalls, {} chosen again, {} slowed",
        summary.seeds,
        args.from,
        summary.failures.len(),
        summary.took.as_secs_f64(),
        tally.steps,
        tally.messages,
        tally.copies,
        tally.crossed,
        tally.lane_stalls,
        tally.rechosen,
        tally.slowed
    );
    if summary.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
