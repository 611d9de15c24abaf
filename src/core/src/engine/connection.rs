//! The record of one connection on its shard.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::login::Gate;
use crate::auth::{Nonce, User};
use crate::client::{Client, CloseReason, Outbox, PingTimer};
use crate::interest::{ConnKey, ConnSubs, MatchHint};
use crate::permissions::PublishGate;
use crate::time::Time;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Speaking.
    Open,
    /// Ended; what is pending is still written until `until`. Then the socket lingers, or not.
    Flushing { until: Time, lingers: bool },
    /// The write side is closed. What the peer still sends is read and thrown away, since
    /// unread bytes at the close would turn it into a reset and take the last `-ERR` with them.
    Lingering { until: Time },
    /// The socket is gone; subscriptions may still have to be removed.
    Gone,
}

/// Why a connection's input rests. A paused connection is not read and never stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// A receiver of what it publishes lags; goes on when the receiver has caught up, or then.
    Slowed { until: Time },
    /// A lane has no room for what comes next.
    Room { ticket: u64, since: Time },
    /// Its credentials are being checked.
    Login,
}

/// A publisher that waits for a reader, by the shard it lives on.
pub(crate) type Waiting = super::records::Origin;

/// Whether the socket was read since the PINGs of its peer ran out: its PONG may lie unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastChance {
    NotNeeded,
    Asked,
    /// Read for the first time then, but perhaps not to the end.
    Taken {
        since: Time,
    },
}

/// Address and id of a connection, as log lines name it: `IP:PORT - cid:N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    pub(crate) cid: u64,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} - cid:{}", self.ip, self.port, self.cid)
    }
}

/// Messages and payload bytes, in and out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) in_msgs: u64,
    pub(crate) in_bytes: u64,
    pub(crate) out_msgs: u64,
    pub(crate) out_bytes: u64,
}

/// One connection. Fields that every delivery touches come first.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) outbox: Outbox,
    pub(crate) life: Life,
    /// On the list of those to flush at the end of the turn.
    pub(crate) is_dirty: bool,
    /// The socket had no room at the last write; a writable notification is asked for.
    pub(crate) is_blocked: bool,
    /// The last write was not accepted whole: what is pending waits for the peer.
    pub(crate) is_stuck: bool,
    /// On the list of those to serve.
    pub(crate) is_hot: bool,
    /// Protocol lines are logged. Decided when the connection is made, as in gnatsd 1.2.0.
    pub(crate) is_traced: bool,
    /// Deliveries to it are looked at one by one: they are traced, or each is leave to answer.
    pub(crate) is_watched: bool,
    pub(crate) gate: Gate,
    /// What it may publish and subscribe to; `None` for everything.
    pub(crate) rights: Option<Box<PublishGate>>,
    pub(crate) client: Client,
    pub(crate) traffic: Traffic,
    pub(crate) last_activity: Time,
    /// When the socket last accepted a byte, or became stuck.
    pub(crate) last_progress: Time,
    /// When a write was last tried though nobody had told of room.
    pub(crate) last_try: Time,

    /// The last look at receivers that found this one among them (see `Fanout::takes_runs`).
    pub(crate) run_round: u64,
    pub(crate) hint: MatchHint,
    pub(crate) subs: ConnSubs,
    /// Received and not yet handled: an unfinished operation, or what a pause left.
    pub(crate) input: Vec<u8>,
    /// Bytes `input` must hold before a look at it is worth the time.
    pub(crate) input_needed: usize,
    /// `input` may hold whole operations: the last look ended by a pause or a budget.
    pub(crate) has_backlog: bool,
    /// The checks on the line of the publish at the start of `input` are made.
    pub(crate) is_body_announced: bool,
    pub(crate) pause: Option<Pause>,
    /// Input bytes this publisher may still be read before it is slowed again.
    pub(crate) slow_credit_bytes: usize,
    /// Publishers waiting for this connection to catch up.
    pub(crate) waiting: Vec<Waiting>,
    /// A reader on another shard lags, as far as that shard has told; until then.
    pub(crate) lagging_until: Time,
    /// Its place among those who wait for room in a lane; 0 before it ever did.
    pub(crate) ticket: u64,
    pub(crate) stalls: u64,

    pub(crate) peer: Peer,
    /// Who logged in, if somebody had to.
    pub(crate) user: Option<Arc<User>>,
    /// What INFO has given it to sign.
    pub(crate) nonce: Option<Box<Nonce>>,
    pub(crate) start: Time,
    pub(crate) ping: PingTimer,
    pub(crate) last_chance: LastChance,
    /// Earliest look asked for besides the PING timer's.
    pub(crate) look_at: Option<Time>,
    /// Bytes thrown away while lingering.
    pub(crate) discarded_bytes: usize,
    pub(crate) ended: Option<CloseReason>,
}

impl Connection {
    pub(crate) fn new(peer: Peer, now: Time, ping: PingTimer, is_traced: bool) -> Self {
        Connection {
            outbox: Outbox::default(),
            life: Life::Open,
            is_dirty: false,
            is_blocked: false,
            is_stuck: false,
            is_hot: false,
            is_traced,
            is_watched: is_traced,
            gate: Gate::Open,
            rights: None,
            client: Client::default(),
            traffic: Traffic::default(),
            last_activity: now,
            last_progress: now,
            last_try: now,
            run_round: 0,
            hint: MatchHint::default(),
            subs: ConnSubs::default(),
            input: Vec::new(),
            input_needed: 0,
            has_backlog: false,
            is_body_announced: false,
            pause: None,
            slow_credit_bytes: 0,
            waiting: Vec::new(),
            lagging_until: Time(0),
            ticket: 0,
            stalls: 0,
            peer,
            user: None,
            nonce: None,
            start: now,
            ping,
            last_chance: LastChance::NotNeeded,
            look_at: None,
            discarded_bytes: 0,
            ended: None,
        }
    }

    /// User name, for logs and monitoring: that of who logged in, else what the client calls itself.
    pub(crate) fn user_name(&self) -> &str {
        match &self.user {
            Some(user) if !user.name.is_empty() => &user.name,
            _ => self.client.user(),
        }
    }

    /// The socket was read, even if it had nothing.
    pub(crate) fn note_read(&mut self, now: Time) {
        if self.last_chance == LastChance::Asked {
            self.last_chance = LastChance::Taken { since: now };
        }
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.life == Life::Open
    }
}

/// Connections by key. Boxed one by one: growing the table moves pointers, not records, and
/// an idle server pays for no slack.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    // A box keeps the record, some hundred bytes, out of the table.
    #[allow(clippy::vec_box)]
    slots: Vec<Option<Box<Connection>>>,
}

impl Connections {
    pub(crate) fn insert(&mut self, key: ConnKey, connection: Connection) {
        let at = key.0 as usize;
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, || None);
        }
        debug_assert!(self.slots[at].is_none(), "key given twice");
        self.slots[at] = Some(Box::new(connection));
    }

    pub(crate) fn remove(&mut self, key: ConnKey) {
        if let Some(slot) = self.slots.get_mut(key.0 as usize) {
            *slot = None;
        }
    }

    #[inline]
    pub(crate) fn find(&self, key: ConnKey) -> Option<&Connection> {
        self.slots.get(key.0 as usize)?.as_deref()
    }

    #[inline]
    pub(crate) fn find_mut(&mut self, key: ConnKey) -> Option<&mut Connection> {
        self.slots.get_mut(key.0 as usize)?.as_deref_mut()
    }

    /// Records there is room for without growing: as many as there ever were at once.
    pub(crate) fn len_max(&self) -> usize {
        self.slots.len()
    }

    /// Keys in use from `from` on.
    pub(crate) fn keys_from(&self, from: u32) -> impl Iterator<Item = ConnKey> {
        (from..)
            .zip(&self.slots[(from as usize).min(self.slots.len())..])
            .filter_map(|(at, slot)| slot.as_ref().map(|_| ConnKey(at)))
    }
}
