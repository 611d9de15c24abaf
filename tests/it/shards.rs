//! Several shards behind one port: what is promised on one of them holds across all of them.
//!
//! Rows of the reliability programme, each in a short form that runs with every change; `scripts/soak`
//! runs the long one. All of them ask at their end for six zeros and for no rescue: no shard may ever
//! have slept over work.

mod ends;
mod fanout;
mod flood;
mod probe;
mod queues;
mod readers;
mod spread;
mod unsubscribe;
mod visible;

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

/// The run that the bodies of a test say they belong to.
fn run_of(server: &Server) -> u64 {
    u64::from(server.pid())
}
