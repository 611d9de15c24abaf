//! Several shards behind one port: what is promised on one of them holds across all of them.
//!
//! Rows of the reliability programme, each in a short form that runs with every change; `scripts/soak`
//! runs the long one. All of them ask at their end for six zeros and for no rescue: no shard may ever
//! have slept over work.

mod churn;
mod ends;
mod fanout;
mod flood;
mod probe;
mod queues;
mod readers;
mod rich;
mod spread;
mod stalled;
mod subjects;
mod together;
mod unsubscribe;
mod visible;
mod wide;

use std::time::Duration;

use crate::support::{Driver, Server};

/// How long a message, or anything else that must come, may stay away.
const LIMIT: Duration = Duration::from_secs(10);

fn server(driver: Driver, cores: usize) -> Server {
    Server::with(driver).cores(cores).monitor().start()
}

fn server_with(driver: Driver, cores: usize, conf: &str) -> Server {
    let builder = Server::with(driver).cores(cores).conf(conf);
    builder.monitor().start()
}

/// Memory that a server may use on top of its base and of what it was asked to keep, in bytes: spare
/// chunks, caches, rings, buffers.
const SLACK_BYTES: u64 = 64 * 1024 * 1024;

/// The run that the bodies of a test say they belong to.
fn run_of(server: &Server) -> u64 {
    u64::from(server.pid())
}
