//! The NATS server without I/O, clocks or threads.
#![forbid(unsafe_code)]

pub mod auth;
mod bytes;
pub mod client;
pub mod conf;
pub mod engine;
pub mod interest;
pub mod permissions;
pub mod proto;
mod rng;
mod shard_set;
pub mod subject;
pub mod time;

pub use shard_set::ShardSet;
