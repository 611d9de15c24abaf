//! One shard.

pub mod limits;
pub mod snapshot;

pub use limits::Limits;
