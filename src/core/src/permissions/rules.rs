//! What a user may do, as a configuration says it.

use std::time::Duration;

/// One subject of a list, for subscriptions possibly with a queue group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// A valid subscription subject.
    pub subject: Box<str>,
    /// A pattern of queue group names, token by token as subjects are; `None` if the entry names none.
    pub queue: Option<Box<str>>,
}

/// What may be done in one direction. A denial wins over an allowance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// `None` for everything; an empty list allows nothing.
    pub allow: Option<Vec<Entry>>,
    /// What is denied all the same.
    pub deny: Vec<Entry>,
}

/// Leave to answer whoever sends a message with a reply subject (`allow_responses`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Responses {
    /// Answers to each; `None` for no limit.
    pub max: Option<u64>,
    /// How long after the message; `None` for no limit.
    pub expires: Option<Duration>,
}

impl Default for Responses {
    /// One answer within two minutes (nats-server 2.x).
    fn default() -> Self {
        Responses {
            max: Some(1),
            expires: Some(Duration::from_secs(120)),
        }
    }
}

/// A permissions block.
///
/// The forms of 1.2.0 and 2.x differ in what a missing side means. Whoever reads the file has resolved that: here
/// `allow: None` is everything and an empty list nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What may be published.
    pub publish: Side,
    /// What may be subscribed to.
    pub subscribe: Side,
    /// Answers besides.
    pub responses: Option<Responses>,
    /// The block has a map of `allow` and `deny`.
    pub has_maps: bool,
}

impl Rules {
    /// Whether they say anything that 1.2.0 could not: then refusals have the words of 2.x.
    pub fn are_of_2x(&self) -> bool {
        let sides = [&self.publish, &self.subscribe];
        let names_queue = |side: &&Side| side.allow.iter().flatten().any(|e| e.queue.is_some());
        self.has_maps
            || self.responses.is_some()
            || sides.iter().any(|side| !side.deny.is_empty())
            || sides.iter().any(names_queue)
    }
}
