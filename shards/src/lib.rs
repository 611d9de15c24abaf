//! Thread-per-core runtime: one pinned thread, one driver and one service per shard.
//!
//! A **shard** is a thread and all it owns. Nothing is shared between shards but the **lanes**, which
//! carry batches from each to each. This crate starts the threads, tells a service which of its sockets
//! are ready, carries control messages to it, and lets it sleep without ever missing one. It knows
//! nothing of what the service does with the bytes.
//!
//! ```text
//!   any thread                     shard thread `<name>-<n>`
//!  +------------+   control    +--------------------------------------+
//!  | Handle<C>  |--(channel)-->| run_loop                             |
//!  |  send      |              |   1. control messages (bounded)      |
//!  |  wake      |--(eventfd)-->|   2. service.turn(io) -> Next        |
//!  +------------+  if asleep   |   3. Again      driver.turn()        |
//!                              |      Park(at)   announce, look again,|
//!                              |                 driver.park(at)      |
//!                              |      Stop       leave                |
//!                              +------------------+-------------------+
//!                                                 | Io: attach, arm, take_ready
//!                                   +-------------+-------------+
//!                                   |  driver: uring | epoll    |
//!                                   +---------------------------+
//! ```
//!
//! # Map
//! - [`start`], [`Runtime`], [`Handle`]: `runtime.rs`, `handle.rs`, and `shard.rs` for the thread.
//! - [`Service`], [`Io`], [`Next`]: `service.rs`, the contract with the code that runs on a shard.
//! - [`Lanes`]: `lanes.rs`, on the rings of `ring.rs`; `sync.rs` exchanges their atomics for those of
//!   loom, and `models.rs` holds the models.
//! - `run_loop.rs`: the loop drawn above; the same code on both drivers.
//! - `spin.rs`: whether to wait awake for a moment before a sleep.
//! - `wake.rs`: who sleeps, who must wake it, and the order that makes it safe.
//! - `driver/`: readiness. `uring.rs` is the only file that imports glommio.
//! - `probe.rs`: may this process use io_uring, and if not, who says so.
//! - `placement.rs`: which CPU a shard gets.
//! - `memory.rs`: how the allocator treats large blocks, and when it gives memory back.
//!
//! # Two drivers, one loop
//! `uring` keeps one-shot polls armed in a glommio executor; `epoll` keeps level-triggered
//! registrations in an epoll instance. Both answer the same calls of [`Io`], so a service
//! cannot tell them apart. [`DriverChoice::Auto`] takes `uring` where the kernel allows it.
//!
//! # Rules of the house
//! Nothing here blocks a shard or writes a log: what an operator should read comes back as text
//! from [`Runtime::warnings`] or as a [`ShardFailure`]. `unsafe` lives in `ring.rs` (slots that change
//! hands), `probe.rs` (raw system calls), `memory.rs` (a setting of the allocator, and a call) and
//! `driver/waker.rs` (a waker without allocation), nowhere else.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]
// `--cfg loom` builds what shards share, for `models.rs`, and leaves out what runs them.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

mod config;
mod error;
mod lanes;
mod memory;
mod placement;
mod ring;
mod service;
mod sync;
mod wake;

#[cfg(not(loom))]
mod driver;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod probe;
#[cfg(not(loom))]
mod run_loop;
#[cfg(not(loom))]
mod runtime;
#[cfg(not(loom))]
mod shard;
#[cfg(not(loom))]
mod spin;

#[cfg(all(test, loom))]
mod models;

pub use config::{Config, DriverChoice, DriverKind, LaneConfig, UnknownDriver};
pub use error::{ShardFailure, StartError};
#[cfg(not(loom))]
pub use handle::{Gone, Handle};
pub use lanes::Lanes;
pub use memory::{give_back, return_blocks_from};
#[cfg(not(loom))]
pub use runtime::{Runtime, start};
pub use service::{Io, LONG_TURN, LoopStats, Next, Ready, Service, ShardId, Token};
