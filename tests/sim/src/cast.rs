//! The clients of a world and what they will do: scripts, and reactions to what they read.

use std::collections::{BTreeMap, VecDeque};

use crate::history::ConnKind;
use crate::rng::Rng;

/// Place of a client in its cast.
pub(crate) type ClientId = usize;

/// Something a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A new connection, if it has none.
    Connect,
    /// SUB; the slot is the client's own name for it.
    Sub {
        slot: String,
        pattern: String,
        queue: Option<String>,
    },
    /// UNSUB of the slot, `max` 0 for at once.
    Unsub { slot: String, max: usize },
    /// PUB or HPUB with a body of at least so many bytes.
    Publish { subject: String, len: usize },
    /// A publish that wants an answer, to an inbox made for it or to the one there is.
    Request { subject: String, is_inbox_new: bool },
    /// PING; the tag names its PONG in reactions.
    Ping(u32),
    /// Nothing before all PONGs are there.
    AwaitPongs,
    /// Nothing before the whole world has come to rest.
    AwaitRest,
    /// Stops reading for a while.
    Stop,
    /// Closes the connection.
    Close,
    /// Loses the connection.
    Kill,
}

/// Something a client has read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trigger {
    Pong(u32),
    Message(String),
}

/// What clients do when something was read.
pub(crate) type Reaction = Vec<(ClientId, Act)>;

/// What a client is from the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) shard: usize,
    pub(crate) kind: ConnKind,
    pub(crate) script: VecDeque<Act>,
    /// Answers every request it reads.
    pub(crate) responds: bool,
}

/// How a group's messages must be shared among shards.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) queue: String,
    pub(crate) publisher: ClientId,
    /// Members that can be chosen, by shard.
    pub(crate) weights: Vec<usize>,
}

/// All clients of a world.
#[derive(Debug, Default)]
pub(crate) struct Cast {
    pub(crate) plans: Vec<Plan>,
    /// One entry is used up each time its trigger is read.
    pub(crate) rules: BTreeMap<(ClientId, Trigger), VecDeque<Reaction>>,
    pub(crate) shares: Vec<Share>,
    /// Bytes that may wait for a connection, if it matters.
    pub(crate) pending_bytes_max: Option<usize>,
    /// A shard that should often be left behind.
    pub(crate) laggard: Option<usize>,
    /// Names of the plots.
    pub(crate) plots: Vec<String>,
}

impl Cast {
    /// Another client, connected first of all.
    pub(crate) fn add(&mut self, shard: usize, kind: ConnKind) -> ClientId {
        self.plans.push(Plan {
            shard,
            kind,
            script: VecDeque::from([Act::Connect]),
            responds: false,
        });
        self.plans.len() - 1
    }

    /// One more thing in a client's script.
    pub(crate) fn say(&mut self, client: ClientId, act: Act) {
        self.plans[client].script.push_back(act);
    }

    /// What follows when a client has read something, once.
    pub(crate) fn react(&mut self, client: ClientId, trigger: Trigger, acts: Reaction) {
        self.rules
            .entry((client, trigger))
            .or_default()
            .push_back(acts);
    }
}

/// SUB whose slot is its pattern.
pub(crate) fn sub(pattern: impl Into<String>) -> Act {
    let pattern = pattern.into();
    Act::Sub {
        slot: pattern.clone(),
        pattern,
        queue: None,
    }
}

/// SUB in a group.
pub(crate) fn queue_sub(slot: impl Into<String>, pattern: impl Into<String>, queue: &str) -> Act {
    Act::Sub {
        slot: slot.into(),
        pattern: pattern.into(),
        queue: Some(queue.to_owned()),
    }
}

/// UNSUB at once.
pub(crate) fn unsub(slot: impl Into<String>) -> Act {
    Act::Unsub {
        slot: slot.into(),
        max: 0,
    }
}

/// PUB with a body of some length, most of them short.
pub(crate) fn publish(rng: &mut Rng, subject: impl Into<String>) -> Act {
    let len = match rng.below(24) {
        0 => rng.between(200, 2_000),
        1..=8 => rng.between(20, 200),
        _ => 0,
    };
    Act::Publish {
        subject: subject.into(),
        len,
    }
}

/// What a client asks for in its CONNECT, at random.
pub(crate) fn some_kind(rng: &mut Rng) -> ConnKind {
    ConnKind {
        no_echo: rng.once_in(5),
        verbose: rng.once_in(6),
        headers: rng.once_in(2),
        may_be_cut: false,
    }
}
