//! gnatsd: a NATS server, thread-per-core and shared-nothing.
//!
//! This package is the server's edge: what it is told (`config`), the sockets, threads and
//! signals it lives on (`server`), and what it tells those who watch it (`monitor`). The
//! server itself, protocol, interest and delivery, is `gnatsd-core`, which knows none of
//! these; the loop it runs on is `gnatsd-shards`, which knows nothing of NATS.
//!
//! ```text
//!   main -> config, server ;  server -> monitor, core, shards ;  monitor -> core (snapshots)
//! ```
//!
//! The path of a PUB, in nine steps: receive (`server::shard_io`), parse (`core::proto`),
//! admit (`core::engine::operations`), match (`core::interest`), split and enqueue
//! (`core::engine::deliver`), send and take (`server::shard_lanes`), flush (`core::engine::flush`).

#![forbid(unsafe_code)]

pub mod auth;
pub mod config;
pub mod monitor;
pub mod server;
pub mod tls;
