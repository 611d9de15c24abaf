//! The shapes of load: what is sent, by how many, to how many.
//!
//! Owns the names (`fanout10:128`) and the common frame of a run: connect, warm up, measure, drain. The
//! processor time of the server is read when nothing is in flight, at both ends of the measured stretch.

mod flow;
mod idle;
mod request_reply;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::Result;
use crate::cpu;
use crate::report::Outcome;

/// Payload beyond which a message does not fit the default limit of the servers, in bytes.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// Most connections of one run.
const CONNECTIONS_MAX: usize = 60_000;

/// A shape of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One publisher, no interest.
    Publish,
    /// One publisher, one subscriber.
    OneToOne,
    /// One publisher, this many subscribers of its subject.
    FanOut(usize),
    /// This many publishers of one subject, one subscriber.
    FanIn(usize),
    /// This many publishers, each with a subject and a subscriber of its own.
    Pairs(usize),
    /// One request in flight at a time.
    RequestReply,
    /// This many connections with one subscription each.
    Idle(usize),
}

impl FromStr for Shape {
    type Err = Box<dyn std::error::Error>;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "pub" => return Ok(Shape::Publish),
            "1to1" => return Ok(Shape::OneToOne),
            "reqrep" => return Ok(Shape::RequestReply),
            _ => {}
        }
        let digits_at = text
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(text.len());
        let (word, digits) = text.split_at(digits_at);
        let (shape, default): (fn(usize) -> Shape, usize) = match word {
            "fanout" => (Shape::FanOut, 10),
            "fanin" => (Shape::FanIn, 8),
            "pairs" => (Shape::Pairs, 8),
            "idle" => (Shape::Idle, 1000),
            _ => return Err(format!("no such shape: {text:?}; see perf help").into()),
        };
        let count = if digits.is_empty() {
            Some(default)
        } else {
            digits.parse().ok()
        };
        match count {
            Some(count @ 1..=CONNECTIONS_MAX) => Ok(shape(count)),
            _ => Err(format!("{text:?}: the count must be 1 to {CONNECTIONS_MAX}").into()),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Publish => f.write_str("pub"),
            Shape::OneToOne => f.write_str("1to1"),
            Shape::FanOut(count) => write!(f, "fanout{count}"),
            Shape::FanIn(count) => write!(f, "fanin{count}"),
            Shape::Pairs(count) => write!(f, "pairs{count}"),
            Shape::RequestReply => f.write_str("reqrep"),
            Shape::Idle(count) => write!(f, "idle{count}"),
        }
    }
}

/// A shape with a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    /// Who talks to whom.
    pub(crate) shape: Shape,
    /// Bytes of each message.
    pub(crate) payload_bytes: usize,
}

impl FromStr for Scenario {
    type Err = Box<dyn std::error::Error>;

    fn from_str(text: &str) -> Result<Self> {
        let (shape, bytes) = text.split_once(':').unwrap_or((text, "16"));
        let payload_bytes = bytes
            .parse()
            .map_err(|_| format!("{text:?}: {bytes:?} is no size"))?;
        Ok(Self {
            shape: shape.parse()?,
            payload_bytes,
        })
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::Idle(_) => self.shape.fmt(f),
            _ => write!(f, "{}:{}", self.shape, self.payload_bytes),
        }
    }
}

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
    /// `host:port`.
    pub(crate) server: String,
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
    /// Connections that do nothing, opened between the subscribers and the publishers of a flow: a
    /// server that gives them out in turn puts the publishers elsewhere.
    pub(crate) fillers: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            server: "127.0.0.1:4222".to_owned(),
            server_pid: None,
            subject: "foo".to_owned(),
            stop: Stop::After(Duration::from_secs(3)),
            warmup: Duration::from_millis(500),
            window_bytes: None,
            fillers: 0,
        }
    }
}

impl Load {
    /// Processor time of the server so far, if it is known which process that is.
    fn server_time(&self) -> Result<Option<Duration>> {
        self.server_pid.map(cpu::time_of).transpose()
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
    match scenario.shape {
        Shape::RequestReply => request_reply::run(scenario, load),
        Shape::Idle(count) => idle::run(scenario, count, load),
        _ => flow::run(scenario, load),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for name in [
            "pub:16",
            "1to1:128",
            "fanout10:16",
            "fanin8:1024",
            "pairs8:0",
            "reqrep:16",
            "idle1000",
        ] {
            assert_eq!(name.parse::<Scenario>().unwrap().to_string(), name);
        }
        assert_eq!(
            "fanout".parse::<Scenario>().unwrap().to_string(),
            "fanout10:16"
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for name in [
            "",
            "pubs",
            "fanout0",
            "fanout-1",
            "fanoutx",
            "1to1:",
            "1to1:x",
            "10",
            "idle99999999",
        ] {
            assert!(name.parse::<Scenario>().is_err(), "{name}");
        }
    }
}
