//! The names of loads: `fanout10:128` is a shape with its number, and a payload.

use std::fmt;
use std::str::FromStr;

use crate::Result;
use crate::demands::{Demands, User};

/// Most connections of one run.
const CONNECTIONS_MAX: usize = 60_000;

/// Most operations per second that a shape may be asked for; beyond, one thread does not keep up.
const RATE_MAX: usize = 1_000_000;

/// Most subscriptions held in one run.
const SUBSCRIPTIONS_MAX: usize = 4_000_000;

/// Most subjects that messages of different lengths go to in turn; each batch has them all.
const MIXED_SUBJECTS_MAX: usize = 10_000;

/// A shape of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One publisher, no interest.
    Publish,
    /// One publisher, one subscriber.
    OneToOne,
    /// One publisher, one subscriber; payloads of different lengths on this many subjects in turn.
    Mixed(usize),
    /// One publisher, this many subscribers of its subject.
    FanOut(usize),
    /// This many publishers of one subject, one subscriber.
    FanIn(usize),
    /// This many publishers, each with a subject and a subscriber of its own.
    Pairs(usize),
    /// One publisher, one queue group of this many members on a connection each.
    Queue(usize),
    /// One request in flight at a time.
    RequestReply,
    /// This many requests per second, whether answers come or not.
    Open(usize),
    /// One request in flight at a time, beside one publisher and one subscriber at full speed.
    Flooded,
    /// This many connections with one subscription each.
    Idle(usize),
    /// This many connections at a time that come, are answered and go.
    Connect(usize),
    /// This many SUB and UNSUB per second, in all, beside requests; 0 is the same without them.
    SubscriptionChurn(usize),
    /// This many clients a second that shake hands and leave, beside others that ping.
    Handshakes(usize),
    /// This many clients a second whose password is hashed with bcrypt, beside one that pings.
    Logins(usize),
    /// This many subscriptions held, messages on eight subjects of them.
    Hot(usize),
    /// This many subscriptions held, messages on all of them alike.
    Uniform(usize),
    /// This many subscriptions held, messages on few of them often and on many seldom.
    Zipf(usize),
}

/// A shape that has a number: its name, its constructor, the number where none is given, and the range.
struct Counted {
    name: &'static str,
    of: fn(usize) -> Shape,
    default: usize,
    min: usize,
    max: usize,
}

impl Counted {
    const fn connections(name: &'static str, of: fn(usize) -> Shape, default: usize) -> Self {
        let (min, max) = (1, CONNECTIONS_MAX);
        Self {
            name,
            of,
            default,
            min,
            max,
        }
    }

    const fn subscriptions(name: &'static str, of: fn(usize) -> Shape) -> Self {
        Self {
            name,
            of,
            default: 100_000,
            min: 1,
            max: SUBSCRIPTIONS_MAX,
        }
    }

    const fn rate(name: &'static str, of: fn(usize) -> Shape, default: usize, min: usize) -> Self {
        Self {
            name,
            of,
            default,
            min,
            max: RATE_MAX,
        }
    }
}

const COUNTED: [Counted; 14] = [
    Counted {
        name: "mixed",
        of: Shape::Mixed,
        default: 8,
        min: 1,
        max: MIXED_SUBJECTS_MAX,
    },
    Counted::connections("fanout", Shape::FanOut, 10),
    Counted::connections("fanin", Shape::FanIn, 8),
    Counted::connections("pairs", Shape::Pairs, 8),
    Counted::connections("queue", Shape::Queue, 10),
    Counted::connections("idle", Shape::Idle, 1000),
    Counted::connections("connect", Shape::Connect, 8),
    Counted::rate("open", Shape::Open, 10_000, 1),
    Counted::rate("subchurn", Shape::SubscriptionChurn, 20_000, 0),
    Counted::rate("handshakes", Shape::Handshakes, 1000, 1),
    Counted::rate("logins", Shape::Logins, 50, 1),
    Counted::subscriptions("hot", Shape::Hot),
    Counted::subscriptions("uniform", Shape::Uniform),
    Counted::subscriptions("zipf", Shape::Zipf),
];

impl FromStr for Shape {
    type Err = Box<dyn std::error::Error>;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "pub" => return Ok(Shape::Publish),
            "1to1" => return Ok(Shape::OneToOne),
            "reqrep" => return Ok(Shape::RequestReply),
            "flooded" => return Ok(Shape::Flooded),
            _ => {}
        }
        let digits_at = text
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(text.len());
        let (word, digits) = text.split_at(digits_at);
        let Some(counted) = COUNTED.iter().find(|counted| counted.name == word) else {
            return Err(format!("no such shape: {text:?}; see perf help").into());
        };
        let (min, max) = (counted.min, counted.max);
        let count = if digits.is_empty() {
            Some(counted.default)
        } else {
            digits.parse().ok()
        };
        match count {
            Some(count) if (min..=max).contains(&count) => Ok((counted.of)(count)),
            _ => Err(format!("{text:?}: the count must be {min} to {max}").into()),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Publish => f.write_str("pub"),
            Shape::OneToOne => f.write_str("1to1"),
            Shape::Mixed(count) => write!(f, "mixed{count}"),
            Shape::FanOut(count) => write!(f, "fanout{count}"),
            Shape::FanIn(count) => write!(f, "fanin{count}"),
            Shape::Pairs(count) => write!(f, "pairs{count}"),
            Shape::Queue(count) => write!(f, "queue{count}"),
            Shape::RequestReply => f.write_str("reqrep"),
            Shape::Open(rate) => write!(f, "open{rate}"),
            Shape::Flooded => f.write_str("flooded"),
            Shape::Idle(count) => write!(f, "idle{count}"),
            Shape::Connect(count) => write!(f, "connect{count}"),
            Shape::SubscriptionChurn(rate) => write!(f, "subchurn{rate}"),
            Shape::Handshakes(rate) => write!(f, "handshakes{rate}"),
            Shape::Logins(rate) => write!(f, "logins{rate}"),
            Shape::Hot(count) => write!(f, "hot{count}"),
            Shape::Uniform(count) => write!(f, "uniform{count}"),
            Shape::Zipf(count) => write!(f, "zipf{count}"),
        }
    }
}

impl Shape {
    /// What a server must ask of its clients for this shape to be what it is.
    pub(crate) fn demands(self) -> Demands {
        let nothing = Demands::default();
        match self {
            Shape::Handshakes(_) => Demands {
                is_secure: true,
                ..nothing
            },
            Shape::Logins(_) => Demands {
                user: User::Hashed,
                ..nothing
            },
            _ => nothing,
        }
    }
}

/// A shape with a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    /// Who talks to whom.
    pub(crate) shape: Shape,
    /// Bytes of each message; of `mixed` in the mean.
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
            Shape::Idle(_) | Shape::Connect(_) | Shape::Handshakes(_) | Shape::Logins(_) => {
                self.shape.fmt(f)
            }
            _ => write!(f, "{}:{}", self.shape, self.payload_bytes),
        }
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
            "mixed1:128",
            "fanout10:16",
            "fanin8:1024",
            "pairs8:0",
            "queue4:16",
            "reqrep:16",
            "open10000:16",
            "flooded:16",
            "idle1000",
            "connect8",
            "subchurn0:16",
            "subchurn20000:16",
            "handshakes500",
            "logins50",
            "hot100000:16",
            "uniform100000:128",
            "zipf1:16",
        ] {
            assert_eq!(name.parse::<Scenario>().unwrap().to_string(), name);
        }
        for (short, full) in [
            ("mixed:128", "mixed8:128"),
            ("fanout", "fanout10:16"),
            ("open", "open10000:16"),
            ("subchurn", "subchurn20000:16"),
            ("zipf:1", "zipf100000:1"),
            ("handshakes", "handshakes1000"),
        ] {
            assert_eq!(short.parse::<Scenario>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for name in [
            "",
            "pubs",
            "mixed0",
            "fanout0",
            "fanout-1",
            "fanoutx",
            "open0",
            "flooded3",
            "hot0",
            "1to1:",
            "1to1:x",
            "10",
            "idle99999999",
        ] {
            assert!(name.parse::<Scenario>().is_err(), "{name}");
        }
    }
}
