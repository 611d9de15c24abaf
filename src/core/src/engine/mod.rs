//! One shard: connections, their interest, and what a turn does with them.
//!
//! ```text
//!   ready ──> serve: receive, parse, handle ──> deliver into outboxes ──> flush
//!                       (turn.rs)  (operations.rs)   (deliver.rs)      (flush.rs)
//!   deadlines ──> look: PING, stale, write deadline, slowed publishers (look.rs)
//! ```
//!
//! The engine takes bytes and the time from an [`Edge`] and its caller, and owns everything
//! else. It knows no socket, no clock, no thread and no other shard's memory.

mod close;
mod connection;
mod crossing;
mod deadlines;
mod deliver;
mod edge;
mod fanout;
mod flush;
mod inbound;
mod lanes;
pub mod limits;
mod log;
mod login;
mod look;
mod operations;
mod records;
mod report;
mod rights;
mod runs;
pub mod snapshot;
#[cfg(test)]
mod tests;
mod tickets;
mod turn;

use std::collections::VecDeque;
use std::net::IpAddr;

pub use edge::{Edge, Ready, Received, Sent};
pub use lanes::{Lane, Lanes};
pub use limits::Limits;
pub use log::{Level, LogLine};
pub use turn::Next;

use crate::auth::{AuthRules, Nonce};
use crate::client::{ChunkPool, CloseReason, PingTimer};
use crate::interest::{ConnKey, Interest, MatchHint, SubId};
use crate::proto::info::ServerInfo;
use crate::proto::quote::Printable;
use crate::proto::{ProtocolError, encode};
use crate::rng::Rng;
use crate::time::Time;
use close::ClosedRing;
use connection::{Connection, Connections, Peer};
use crossing::Crossing;
use deadlines::Deadlines;
use log::Log;
use snapshot::ShardStats;

/// The most shards a server can have: sets of shards are bits of one word.
pub const SHARDS_MAX: u16 = 64;

/// What an engine is built from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Number of this shard.
    pub shard: u16,
    /// Shards in the server, at most [`SHARDS_MAX`].
    pub shards: u16,
    /// Limits of every connection.
    pub limits: Limits,
    /// What INFO says.
    pub info: ServerInfo,
    /// Who gets in.
    pub auth: AuthRules,
    /// Start of the choices; random in a server and of this shard alone, given in a simulation.
    pub seed: u64,
    /// Key of the hashes, the same on all shards; random in a server, given in a simulation.
    pub hash_seed: u64,
    /// Closed connections remembered.
    pub closed_max: usize,
    /// Debug lines are wanted.
    pub debug: bool,
    /// Protocol lines are wanted.
    pub trace: bool,
}

/// A rule that a simulation can leave out; the server leaves out none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// K1: operations are applied without looking for room; what finds none is lost.
    NoCredits,
    /// K1, the half of it: a message goes to the shards that have room, and again to the others later.
    NotAllOrNothing,
    /// K2: sockets are written before lanes are published.
    WriteFirst,
    /// K3: interest is not looked at between a read and the handling of what it brought.
    UnseenInterest,
    /// K3: messages are not taken before a PING, a SUB or an UNSUB.
    UnseenData,
    /// K4: a removal that finds no room is forgotten.
    ForgottenRemovals,
    /// K5: nobody asks for room.
    NoRoomWake,
    /// A queue message whose chosen member has gone is dropped.
    NoRechoice,
    /// A re-chosen message forgets which shards were tried.
    EndlessRechoice,
    /// An UNSUB acts before the messages that were there first.
    UnsubBeforeData,
    /// The publisher's own members count in a queue choice though its echo is off.
    EchoOffWeights,
}

/// A connection that was accepted.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Connection id, unique in the server.
    pub cid: u64,
    /// Peer address.
    pub ip: IpAddr,
    /// Peer port.
    pub port: u16,
    /// There is no room: it is told so and closed.
    pub is_refused: bool,
    /// What it is given to sign, if anything.
    pub nonce: Option<Nonce>,
    /// INFO has been sent: in the clear, before TLS.
    pub is_greeted: bool,
    /// The log has its first line.
    pub is_logged: bool,
}

impl Opening {
    /// A connection like most: there is room for it, and nothing to sign.
    pub fn new(cid: u64, ip: IpAddr, port: u16) -> Self {
        Opening {
            cid,
            ip,
            port,
            is_refused: false,
            nonce: None,
            is_greeted: false,
            is_logged: false,
        }
    }
}

/// What deliveries leave behind for later in the turn.
#[derive(Debug, Default)]
struct Lists {
    /// Connections with something to flush at the end of the turn.
    dirty: VecDeque<ConnKey>,
    /// Those of them that have been sent a PONG: flushed first, so that nobody's round trip waits for a fan-out.
    urgent: Vec<ConnKey>,
    /// Those of them whose batch is large enough to be flushed at once.
    large: Vec<ConnKey>,
    /// Connections that were given more than `max_pending`.
    overfull: Vec<ConnKey>,
    /// Subscriptions that reached their maximum with the message just delivered.
    expired: Vec<SubId>,
    /// Deliveries of that message to be traced, or to be noted as leave to answer.
    watched: Vec<SubId>,
    /// Number of the last look at whether a connection is twice among some receivers.
    round: u64,
}

/// The NATS server on one shard.
#[derive(Debug)]
pub struct Engine {
    shard: u16,
    limits: Limits,
    auth: AuthRules,
    /// Key of the hashes of what clients choose.
    hash_seed: u64,
    info: ServerInfo,
    info_changed_at: Option<Time>,
    now: Time,
    connections: Connections,
    interest: Interest,
    rng: Rng,
    pool: ChunkPool,
    stats: ShardStats,
    closed: ClosedRing,
    log: Log,

    /// Connections to serve, rotating.
    hot: VecDeque<ConnKey>,
    lists: Lists,
    crossing: Crossing,
    /// What each other shard published to last.
    peer_hints: Vec<MatchHint>,
    /// Ended connections whose subscriptions are still to be removed.
    leaving: VecDeque<ConnKey>,
    /// Looks at PING timers; one entry for each open connection.
    pings: Deadlines,
    /// Looks at everything else.
    looks: Deadlines,
    /// When to give up memory that nobody needed lately, if there is some.
    trim_at: Option<Time>,
    /// Work done in this turn, in bytes put into outboxes and batches.
    turn_work: usize,
    /// Bytes that may still be written in this turn.
    flush_left: usize,
    /// Matches built when that was last looked at.
    builds_seen: u64,

    /// The batch being taken from another shard.
    inbound: Vec<u8>,
    /// Where all connections' bytes are received; kept by the shard, not by the connections.
    buffer: Vec<u8>,
    /// Empty memory for the next operation that a read cuts in two: in a flood that is one for each read.
    spare_held: Vec<u8>,
    /// Empty memory for the next operation that is received in place.
    spare_input: Vec<u8>,
    /// An operation was received in place since the last look at memory that nobody needs.
    is_spare_input_used: bool,
    /// The tail of a message written anew.
    scratch: Vec<u8>,
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

/// Subscriptions that have gone, some 200 bytes each, that are worth giving their memory back. At 65 536 a million
/// of them make 15 calls of 6 ms at most; of what is left afterwards nobody frees more than 13 MiB.
const SHRUNK_SUBSCRIPTIONS: usize = 65_536;
/// The same for chunks of outboxes.
const FREED_BYTES: usize = 8 * 1024 * 1024;

impl Engine {
    /// Whether much memory has been freed in small blocks since this was last true: the edge may tell the allocator
    /// to give it back. To be asked in each turn.
    #[inline]
    pub fn has_freed_much(&mut self) -> bool {
        self.interest.has_shrunk(SHRUNK_SUBSCRIPTIONS) | self.pool.has_freed(FREED_BYTES)
    }

    /// An engine without connections, at time `now`.
    ///
    /// # Panics
    /// If there are more than [`SHARDS_MAX`] shards, or this is none of them.
    pub fn new(setup: Setup, now: Time) -> Self {
        assert!(
            setup.shard < setup.shards && setup.shards <= SHARDS_MAX,
            "shard {} of {}",
            setup.shard,
            setup.shards
        );
        let mut interest = Interest::new(setup.hash_seed);
        if setup.shards > 1 {
            interest.share();
        }
        Engine {
            shard: setup.shard,
            limits: setup.limits,
            auth: setup.auth,
            hash_seed: setup.hash_seed,
            info: setup.info,
            info_changed_at: None,
            now,
            connections: Connections::default(),
            interest,
            rng: Rng::new(setup.seed),
            pool: ChunkPool::default(),
            stats: ShardStats::default(),
            closed: ClosedRing::new(setup.closed_max),
            log: Log {
                lines: Vec::new(),
                debug: setup.debug,
                trace: setup.trace,
            },
            hot: VecDeque::new(),
            lists: Lists::default(),
            crossing: Crossing::new(setup.shards, setup.shard),
            peer_hints: vec![MatchHint::default(); usize::from(setup.shards)],
            leaving: VecDeque::new(),
            pings: Deadlines::default(),
            looks: Deadlines::default(),
            trim_at: None,
            turn_work: 0,
            flush_left: 0,
            builds_seen: 0,
            inbound: Vec::new(),
            buffer: vec![0; turn::BUFFER_BYTES],
            spare_held: Vec::new(),
            spare_input: Vec::new(),
            is_spare_input_used: false,
            scratch: Vec::new(),
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// Leaves a rule out from now on.
    #[cfg(feature = "mutants")]
    pub fn leave_out(&mut self, rule: Mutant) {
        self.mutant = Some(rule);
    }

    /// Whether a rule is left out.
    #[inline]
    fn is_without(&self, rule: Mutant) -> bool {
        #[cfg(feature = "mutants")]
        return self.mutant == Some(rule);
        #[cfg(not(feature = "mutants"))]
        {
            let _ = rule;
            false
        }
    }

    /// Number of this shard.
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// Takes a connection over. INFO goes out before anything is read.
    pub fn open(&mut self, edge: &mut impl Edge, key: ConnKey, opening: Opening, now: Time) {
        self.now = now;
        let peer = Peer {
            ip: opening.ip,
            port: opening.port,
            cid: opening.cid,
        };
        let ping = PingTimer::new(now, self.limits.ping_interval);
        self.pings.push(ping.due(), key);
        let mut connection = Connection::new(peer, now, ping, self.log.trace);
        connection.nonce = opening.nonce.map(Box::new);
        self.connections.insert(key, connection);
        self.stats.connections += 1;
        self.stats.connections_total += 1;
        if !opening.is_logged {
            let text = format_args!("Client connection created");
            self.log.add(Level::Debug, &peer, text);
        }
        if !opening.is_greeted {
            self.send_info(key);
        }
        if opening.is_refused {
            let refusal = ProtocolError::MaxConnections;
            self.log
                .add(Level::Error, &peer, format_args!("{}", refusal.wire_text()));
            self.end_with_error(
                edge,
                key,
                refusal.wire_text(),
                CloseReason::MaxConnectionsExceeded,
            );
        } else {
            self.guard(key);
            edge.arm_read(key);
        }
    }

    /// Changes what INFO says, and tells those clients that take it at any time. Clients that
    /// have not had their first PONG are told behind it.
    pub fn update_info(&mut self, info: ServerInfo, now: Time) {
        self.now = now;
        self.info = info;
        self.info_changed_at = Some(now);
        let keys: Vec<ConnKey> = self.connections.keys_from(0).collect();
        for key in keys {
            if self
                .connections
                .find(key)
                .is_some_and(|c| c.is_open() && c.client.takes_async_info())
            {
                self.send_info(key);
            }
        }
    }

    /// Log lines since the last call.
    pub fn poll_log(&mut self) -> std::vec::Drain<'_, LogLine> {
        self.log.lines.drain(..)
    }

    /// Panics if anything in the engine contradicts something else.
    ///
    /// # Cost
    /// Visits everything: for debug builds and tests.
    pub fn check_invariants(&self) {
        self.interest.check_invariants();
        let held: usize = self
            .connections
            .keys_from(0)
            .filter_map(|key| self.connections.find(key))
            .map(|c| c.subs.len())
            .sum();
        assert_eq!(
            held as u64,
            self.interest.stats().subscriptions,
            "each subscription has its connection"
        );
        let open = self
            .connections
            .keys_from(0)
            .filter_map(|key| self.connections.find(key))
            .filter(|c| c.is_open());
        assert_eq!(
            open.count() as u64,
            self.stats.connections,
            "open connections are counted"
        );
    }

    fn send_info(&mut self, key: ConnKey) {
        if let Some(connection) = self.connections.find(key) {
            let nonce = connection.nonce.as_deref();
            let line = self
                .info
                .line(connection.peer.cid, connection.peer.ip, nonce);
            self.enqueue(key, &line);
        }
    }

    /// Puts a line of the server's own into an outbox.
    fn enqueue(&mut self, key: ConnKey, line: &[u8]) {
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        if !connection.is_open() {
            return;
        }
        if connection.is_traced {
            trace_reply(&mut self.log, &connection.peer, line);
        }
        connection.outbox.push(&mut self.pool, line, &[]);
        self.turn_work += line.len();
        let pending = connection.outbox.pending_bytes();
        if pending > self.limits.pending_bytes_max {
            self.lists.overfull.push(key);
        } else if pending >= turn::early_flush_bytes(&self.limits) && !connection.is_blocked {
            self.lists.large.push(key);
        }
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.lists.dirty.push_back(key);
        }
    }

    /// `-ERR '<text>'` to a connection that stays.
    fn enqueue_error(&mut self, key: ConnKey, text: &str) {
        self.enqueue(key, &encode::error_line(text));
    }
}

/// `<<- [PONG]`, `<<- [OK]`, `<<- [-ERR text]`, or the first line of a message of the server's own;
/// INFO is never traced.
#[cold]
fn trace_reply(log: &mut Log, peer: &Peer, line: &[u8]) {
    let line = line.split(|&b| b == b'\r').next().unwrap_or_default();
    if line.starts_with(b"INFO") {
        return;
    }
    let text = Printable(line.strip_prefix(b"+").unwrap_or(line)).to_string();
    let text = text.replace('\'', "");
    log.add(Level::Trace, peer, format_args!("<<- [{text}]"));
}
