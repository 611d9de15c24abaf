//! The NATS server without I/O, clocks or threads.
#![forbid(unsafe_code)]

pub mod client;
pub mod engine;
pub mod time;
