//! gnatsd: a NATS server, thread-per-core and shared-nothing.
//!
//! This package is the server's edge: what it is told (`config`), the sockets, threads and
//! signals it lives on (`server`), who may come in and under what cover (`auth`, `tls`), and what it
//! tells those who watch it (`monitor`). The server itself, protocol, interest and delivery, is `gnatsd-core`, which knows none of
//! these; the loop it runs on is `gnatsd-shards`, which knows nothing of NATS.
//!
//! ```text
//!   main -> config, server ;  config -> auth, tls ;  auth -> tls ;  server -> monitor, auth, tls, core, shards
//!   monitor -> tls, core (snapshots), and server::{clock, control} to ask the shards
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
