//! The engine with sockets in memory and a clock that is turned by hand.
//!
//! A test says what clients send and what they then have received; `world` does the rest and checks,
//! each time everything has come to rest, that no work was forgotten.

mod budgets;
mod conversations;
mod delivery;
mod ends;
mod input;
mod lanes;
mod login;
mod model;
mod protocol;
mod report;
mod rights;
mod runs;
mod slow_consumers;
mod slowing;
mod timers;
mod wires;
mod world;
