//! Simulator of a server's shards: many engines, small lanes, one seed.
//!
//! ```text
//!   seed ──> plots (scripts, reactions) ──> clients ══ sockets ══ shards ══ lanes ══ shards
//!                                              │                    (real engines, each on its stack)
//!            schedule: who takes the next step ┘
//!            history: what the clients saw  ──>  oracle: D1 to D8, naively
//! ```
//!
//! The engines are the real ones in the real loop. Each has a stack of its own and is suspended before every step
//! that others can see, or that sees what others do; a schedule drawn from the seed says who goes on. Nothing
//! else decides anything: no thread, no clock, no table in an order of its own.
//!
//! [`run`] runs one seed, [`run_many`] many; the command does the same.
#![forbid(unsafe_code)]

mod body;
mod cast;
mod client;
pub mod history;
mod lanes;
pub mod oracle;
mod plots;
mod reader;
mod rng;
mod run;
mod schedule;
mod shard;
mod shared;
mod sockets;
mod world;

pub use run::{Failure, Summary, run, run_many};
pub use world::{Options, Tally};

use gnatsd_core::engine::Mutant;

/// Every rule that can be left out.
pub const MUTANTS: [Mutant; 11] = [
    Mutant::NoCredits,
    Mutant::NotAllOrNothing,
    Mutant::WriteFirst,
    Mutant::UnseenInterest,
    Mutant::UnseenData,
    Mutant::ForgottenRemovals,
    Mutant::NoRoomWake,
    Mutant::NoRechoice,
    Mutant::EndlessRechoice,
    Mutant::UnsubBeforeData,
    Mutant::EchoOffWeights,
];

/// The mutant with this name.
pub fn mutant_named(name: &str) -> Option<Mutant> {
    MUTANTS
        .into_iter()
        .find(|m| format!("{m:?}").eq_ignore_ascii_case(name))
}
