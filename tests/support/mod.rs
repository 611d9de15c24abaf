//! What integration tests share: a server to test, a client that speaks raw bytes, and one checker.
//!
//! Owns everything that is not about one capability. Knows the outside of the server only: its flags,
//! its log lines, its sockets, its monitoring port and what `/proc` says about it.
//!
//! | module | what it is for |
//! | --- | --- |
//! | `server`, `builder` | start the real binary on free ports, read its log, stop it |
//! | `driver` | the two drivers, and the macro that runs a test on both |
//! | `client` | [`RawClient`]: literal bytes out, literal bytes expected back |
//! | `wire` | the socket of a client, with TLS or without |
//! | `certs`, `nkey` | an authority and what it signs; a key that signs nonces |
//! | `message` | one `MSG` or `HMSG` cut out of a stream |
//! | `checker`, `ranges`, `crc32c` | numbered message bodies and the six counts |
//! | `shards` | the macro that runs a test over numbers of shards, connections on chosen shards |
//! | `load` | publishers, and readers that read, lag or are dead |
//! | `crowd` | many connections that are only watched, on one thread |
//! | `sink` | readers that only count bytes, many on one thread |
//! | `times` | samples and their quantiles, and the probe that takes them |
//! | `soak` | short form or long form, and the line a case ends with |
//! | `heavy` | one heavy test at a time |
//! | `http` | one GET to the monitoring port |
//! | `process` | processor time, memory and descriptors of a process |
//! | `wait` | wait for a condition, never for a fixed time |
//!
//! `GNATSD_UNDER_TEST=/path/to/server` runs the same tests against another server. It gets no
//! `--driver`, so each test runs once; unless it is another build of this one.
//! `GNATSD_TEST_CORES=N` starts the servers of tests that do not say how many shards with so many.
//! `GNATSD_SOAK=1` makes those tests long that have a long form; `scripts/soak` sets it.

#![allow(
    dead_code,
    unused_imports,
    reason = "a library for tests: not every build of them uses all of it"
)]

pub(crate) mod builder;
pub(crate) mod certs;
pub(crate) mod checker;
pub(crate) mod client;
pub(crate) mod crc32c;
pub(crate) mod crowd;
pub(crate) mod driver;
pub(crate) mod heavy;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod message;
pub(crate) mod nkey;
pub(crate) mod process;
pub(crate) mod ranges;
pub(crate) mod server;
pub(crate) mod shards;
pub(crate) mod sink;
pub(crate) mod soak;
pub(crate) mod times;
pub(crate) mod wait;
pub(crate) mod wire;

pub(crate) use builder::{Builder, FailedStart};
pub(crate) use certs::{Authority, Identity};
pub(crate) use checker::{Body, Checker, Counts, Report, WatchId};
pub(crate) use client::RawClient;
pub(crate) use driver::{Driver, both_drivers};
pub(crate) use heavy::heavy;
pub(crate) use http::Response;
pub(crate) use message::Message;
pub(crate) use nkey::Nkey;
pub(crate) use server::Server;
pub(crate) use shards::on_shards;
pub(crate) use soak::{Case, is_long, long};
pub(crate) use times::Times;
pub(crate) use wait::wait_until;
pub(crate) use wire::TlsClient;
