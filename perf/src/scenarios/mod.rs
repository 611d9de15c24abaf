//! The shapes of load: what is sent, by how many, to how many.
//!
//! Owns the frame of a run: connect, warm up, measure, drain. The processor time of the server is read when
//! nothing is in flight, at both ends of the measured stretch ([`meter`]).
//!
//! | module | shapes |
//! | --- | --- |
//! | `flow` | `pub`, `1to1`, `fanout`, `fanin`, `pairs`, `queue` |
//! | `mixed` | `mixed`: a flow, of messages that differ |
//! | `many_subjects` | `hot`, `uniform`, `zipf`: a flow, with its subjects and subscriptions |
//! | `request_reply`, `open_loop`, `flooded` | `reqrep`, `open`, `flooded`: a `conversation` |
//! | `connection_churn`, `arrivals` | `connect`, `handshakes`, `logins`: each connection is a `guest` |
//! | `subscription_churn`, `idle` | `subchurn`, `idle` |

mod arrivals;
mod batch;
mod connection_churn;
mod conversation;
mod flooded;
mod flow;
mod guest;
mod idle;
mod latency;
mod many_subjects;
mod meter;
mod mixed;
mod open_loop;
mod pace;
mod request_reply;
mod sampler;
mod shape;
mod subscription_churn;
mod verify;

use std::time::Duration;

pub(crate) use shape::{Scenario, Shape};
pub(crate) use verify::{Checker, Stamp};

use crate::Result;
use crate::progress::Progress;
use crate::report::Outcome;
use crate::target::Target;

/// Payload beyond which a message does not fit the default limit of the servers, in bytes.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// Descriptors this process needs besides its connections.
const OTHER_DESCRIPTORS: u64 = 32;

/// When a run has published enough.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// After this time.
    After(Duration),
    /// After this many messages, over all publishers.
    Messages(u64),
}

/// Where the load goes, for how long, and how hard.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Server, and how to get in.
    pub(crate) server: Target,
    /// Process of the server, when its processor time is to be reported.
    pub(crate) server_pid: Option<u32>,
    /// Subject, or its first token where there are several.
    pub(crate) subject: String,
    /// End of the measured stretch.
    pub(crate) stop: Stop,
    /// Length of the same load before it.
    pub(crate) warmup: Duration,
    /// How far publishers may be ahead of the slowest subscriber, in bytes; `None` lets the shape choose.
    pub(crate) window_bytes: Option<usize>,
    /// Connections that do nothing, opened in front of each publisher of a flow: a server that gives them
    /// out in turn puts the publishers elsewhere.
    pub(crate) fillers: usize,
    /// Operations per second of a shape that goes by the clock; `None` takes that of the shape.
    pub(crate) rate: Option<f64>,
    /// Payloads carry a sequence and a checksum, and every subscriber checks them.
    pub(crate) is_verified: bool,
    /// Where to show how far the measured stretch has come.
    pub(crate) progress: Option<Progress>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            server: "127.0.0.1:4222".to_owned().into(),
            server_pid: None,
            subject: "foo".to_owned(),
            stop: Stop::After(Duration::from_secs(3)),
            warmup: Duration::from_millis(500),
            window_bytes: None,
            fillers: 0,
            rate: None,
            is_verified: false,
            progress: None,
        }
    }
}

impl Load {
    /// How long, or how much, the same load goes before it is measured.
    fn warm_up(&self) -> Stop {
        match self.stop {
            Stop::After(_) => Stop::After(self.warmup),
            Stop::Messages(count) => Stop::Messages(count / 10),
        }
    }
}

/// Runs one scenario.
///
/// # Errors
/// The server refuses, loses or garbles something, stalls for 20 s, or ends.
pub(crate) fn run(scenario: &Scenario, load: &Load) -> Result<Outcome> {
    if scenario.payload_bytes > PAYLOAD_BYTES_MAX {
        return Err(format!("a payload has at most {PAYLOAD_BYTES_MAX} bytes").into());
    }
    if load.is_verified {
        check_verifiable(scenario)?;
    }
    let per_second = |count: usize| load.rate.unwrap_or(count as f64);
    match scenario.shape {
        Shape::RequestReply => request_reply::run(scenario, load),
        Shape::Open(count) => open_loop::run(scenario, per_second(count), load),
        Shape::Flooded => flooded::run(scenario, load),
        Shape::Idle(count) => idle::run(scenario, count, load),
        Shape::Connect(count) => connection_churn::run(scenario, count, load),
        Shape::SubscriptionChurn(count) => {
            subscription_churn::run(scenario, per_second(count), load)
        }
        Shape::Handshakes(count) | Shape::Logins(count) => {
            arrivals::run(scenario, per_second(count), load)
        }
        Shape::Mixed(count) => mixed::run(scenario, count, load),
        Shape::Hot(count) | Shape::Uniform(count) | Shape::Zipf(count) => {
            many_subjects::run(scenario, count, load)
        }
        _ => flow::run(scenario, load),
    }
}

/// Whether there is something to verify, and room in the payload to do so.
fn check_verifiable(scenario: &Scenario) -> Result<()> {
    let has_messages = !matches!(
        scenario.shape,
        Shape::Publish
            | Shape::Idle(_)
            | Shape::Connect(_)
            | Shape::Handshakes(_)
            | Shape::Logins(_)
    );
    if !has_messages {
        return Err(format!(
            "{}: no message arrives, so none can be verified",
            scenario.shape
        )
        .into());
    }
    if scenario.payload_bytes < verify::STAMP_BYTES {
        let least = verify::STAMP_BYTES;
        return Err(format!("--verify needs payloads of {least} bytes or more").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
