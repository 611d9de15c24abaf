//! Some hundred worlds: every promise holds in all of them, and a seed gives the same world again.

use gnatsd_sim::{Options, run, run_many};

#[test]
fn promises_hold() {
    let summary = run_many(1, 600, 2, 3, &Options::default());
    let failures: Vec<String> = summary.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(summary.seeds, 600);
    // What is to be shown did happen.
    let tally = summary.tally;
    assert!(tally.crossed > 10_000, "{tally:?}");
    assert!(tally.lane_stalls > 1_000, "{tally:?}");
    assert!(tally.rechosen > 50, "{tally:?}");
    assert!(tally.slowed > 30, "{tally:?}");
}

/// Worlds that once went wrong, as long as nobody changes what a seed means: a shard that never slept, a queue
/// message chosen anew without interest that its publisher knew, a false 503.
#[test]
fn what_was_found_stays_found() {
    for seed in [226, 1808, 2808, 29_188, 43_685] {
        if let Err(failure) = run(seed, &Options::default()) {
            panic!("{failure}");
        }
    }
}

#[test]
fn one_shard_holds_them_too() {
    let options = Options {
        shards: Some(1),
        ..Options::default()
    };
    let summary = run_many(1, 100, 2, 3, &options);
    let failures: Vec<String> = summary.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(summary.tally.crossed, 0);
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 1..40 {
        let [first, second] = [0; 2].map(|_| run(seed, &Options::default()).map(|t| t.digest));
        assert_eq!(first.unwrap(), second.unwrap(), "seed {seed}");
    }
}
