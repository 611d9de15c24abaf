//! Each rule is needed, and the simulation would notice if it was broken: leaving one out is found.

use gnatsd_core::engine::Mutant;
use gnatsd_sim::history::Fault;
use gnatsd_sim::{MUTANTS, Options, run_many};

/// Seeds within which a mutant must be found.
const SEEDS_MAX: u64 = 1_000;

/// Runs worlds from `from` on, around which one is known to find it, until one does.
#[track_caller]
fn is_found(mutant: Mutant, from: u64, faults: &[Fault]) {
    let options = Options {
        mutant: Some(mutant),
        ..Options::default()
    };
    let summary = run_many(from, SEEDS_MAX, 2, 1, &options);
    let failure = summary.failures.first();
    let failure = failure.unwrap_or_else(|| panic!("{mutant:?} is not found"));
    let is_expected = failure.findings.iter().any(|f| faults.contains(&f.fault));
    assert!(is_expected, "{failure}");
    println!("{mutant:?}: seed {} after {}", failure.seed, summary.seeds);
}

#[test]
fn every_mutant_has_a_test() {
    assert_eq!(MUTANTS.len(), 11);
}

#[test]
fn credits_are_needed() {
    is_found(Mutant::NoCredits, 1, &[Fault::Gap]);
}

#[test]
fn all_or_nothing_is_needed() {
    is_found(Mutant::NotAllOrNothing, 1, &[Fault::Duplicate]);
}

#[test]
fn publishing_before_writing_is_needed() {
    is_found(Mutant::WriteFirst, 1, &[Fault::Gap, Fault::Stranger]);
}

#[test]
fn seeing_interest_is_needed() {
    is_found(Mutant::UnseenInterest, 1, &[Fault::Gap]);
}

#[test]
fn seeing_messages_is_needed() {
    is_found(Mutant::UnseenData, 1, &[Fault::Gap, Fault::Stranger]);
}

#[test]
fn messages_before_an_unsub_are_needed() {
    is_found(Mutant::UnsubBeforeData, 1, &[Fault::Gap]);
}

#[test]
fn telling_removals_is_needed() {
    is_found(Mutant::ForgottenRemovals, 1, &[Fault::Stale]);
}

#[test]
fn asking_for_room_is_needed() {
    is_found(Mutant::NoRoomWake, 1, &[Fault::Slept]);
}

#[test]
fn choosing_again_is_needed() {
    is_found(Mutant::NoRechoice, 1, &[Fault::Gap]);
}

#[test]
fn an_end_to_choosing_again_is_needed() {
    is_found(Mutant::EndlessRechoice, 60, &[Fault::Wanders]);
}

#[test]
fn weights_without_the_publishers_own_are_needed() {
    is_found(Mutant::EchoOffWeights, 1, &[Fault::Uneven]);
}
