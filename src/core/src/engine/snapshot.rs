//! What a shard tells about itself when it is asked: plain values, copied out in one go.
//!
//! A shard owns its counters; nobody reads them but through these. Lists come in
//! pages so that one question never holds a shard for long. Times are the engine's
//! monotonic ones; who asks knows how to turn them into wall-clock times.

use std::net::IpAddr;
use std::time::Duration;

use crate::client::CloseReason;
use crate::time::Time;

/// Counters of one shard, since its start unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Client connections open now.
    pub connections: u64,
    /// Client connections ever given to this shard, refused ones included.
    pub connections_total: u64,
    /// Messages received, before permission and interest are looked at.
    pub in_msgs: u64,
    /// Payload bytes of `in_msgs`, header block included.
    pub in_bytes: u64,
    /// Messages delivered, one for each copy.
    pub out_msgs: u64,
    /// Payload bytes of `out_msgs`.
    pub out_bytes: u64,
    /// Connections cut as slow consumers.
    pub slow_consumers: u64,
    /// Connections cut because their PINGs stayed unanswered.
    pub stale_connections: u64,
    /// Waits of publishers for a lagging reader.
    pub stalled_clients: u64,
    /// Entries in the closed-connection ring.
    pub closed: u64,
    /// Messages sent to other shards, one for each shard.
    pub crossed_out: u64,
    /// Messages taken from other shards.
    pub crossed_in: u64,
    /// Times a connection had to wait for room in a lane.
    pub lane_stalls: u64,
    /// How long connections waited for room in a lane, all together.
    pub lane_stalled: Duration,
    /// Queue messages whose chosen member had gone, given to another one.
    pub rechosen: u64,
    /// Those of them that were dropped because too many waited.
    pub rechoice_dropped: u64,
    /// Figures of the interest table.
    pub interest: InterestStats,
}

/// Figures of one interest table, as `/subsz` reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterestStats {
    /// Subscriptions held now.
    pub subscriptions: u64,
    /// Cached match results now.
    pub cache_entries: u64,
    /// Subscriptions ever inserted.
    pub inserts: u64,
    /// Subscriptions ever removed.
    pub removes: u64,
    /// Look-ups that went past the connection's own last result.
    pub matches: u64,
    /// Those of `matches` that the cache answered.
    pub cache_hits: u64,
    /// Largest number of receivers (a queue group counts once) in a cached result.
    pub fanout_max: u64,
    /// Sum of receivers over the cached results.
    pub fanout_sum: u64,
}

/// One connection, open or closed, as `/connz` reports it.
#[derive(Clone, Debug)]
pub struct ConnSnapshot {
    /// Connection id.
    pub cid: u64,
    /// Peer address.
    pub ip: IpAddr,
    /// Peer port.
    pub port: u16,
    /// When it was accepted.
    pub start: Time,
    /// Last CONNECT, message, SUB or UNSUB from it or message to it.
    pub last_activity: Time,
    /// When and why it ended; `None` while open.
    pub stop: Option<(Time, CloseReason)>,
    /// Last measured round trip, PING to PONG.
    pub rtt: Option<Duration>,
    /// Bytes queued to the client.
    pub pending_bytes: u64,
    /// Messages received from it.
    pub in_msgs: u64,
    /// Payload bytes received from it.
    pub in_bytes: u64,
    /// Messages delivered to it.
    pub out_msgs: u64,
    /// Payload bytes delivered to it.
    pub out_bytes: u64,
    /// Subscriptions it holds (held when it ended).
    pub subscriptions: u64,
    /// Times it was made to wait as a publisher.
    pub stalls: u64,
    /// `name` of its CONNECT.
    pub name: Box<str>,
    /// `lang` of its CONNECT.
    pub lang: Box<str>,
    /// `version` of its CONNECT.
    pub version: Box<str>,
    /// Who logged in, else `user` of its CONNECT, as sent.
    pub user: Box<str>,
    /// Subjects of its subscriptions, if asked for. Bytes, since subjects are.
    pub subjects: Vec<Box<[u8]>>,
}

impl ConnSnapshot {
    /// A connection that has done nothing yet.
    pub(crate) fn new(cid: u64, ip: IpAddr, port: u16, start: Time) -> Self {
        ConnSnapshot {
            cid,
            ip,
            port,
            start,
            last_activity: start,
            stop: None,
            rtt: None,
            pending_bytes: 0,
            in_msgs: 0,
            in_bytes: 0,
            out_msgs: 0,
            out_bytes: 0,
            subscriptions: 0,
            stalls: 0,
            name: Box::default(),
            lang: Box::default(),
            version: Box::default(),
            user: Box::default(),
            subjects: Vec::new(),
        }
    }
}

/// One subscription, as `/subsz?subs=1` reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubSnapshot {
    /// Subject or pattern.
    pub subject: Box<[u8]>,
    /// Queue group, if any.
    pub queue: Option<Box<[u8]>>,
    /// Subscription id, the client's own text.
    pub sid: Box<[u8]>,
    /// Messages delivered.
    pub msgs: u64,
    /// Auto-unsubscribe limit, 0 if none.
    pub max: u64,
    /// Connection that holds it.
    pub cid: u64,
}

/// A page of a list: what was found, and where the next page begins.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// Entries of this page.
    pub items: Vec<T>,
    /// Cursor for the next page; `None` at the end.
    pub next: Option<u32>,
}

/// Which connections a page should hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnQuery {
    /// Closed connections instead of open ones.
    pub closed: bool,
    /// Only this connection.
    pub cid: Option<u64>,
    /// With their subjects.
    pub subjects: bool,
    /// PING those with a `lang` whose round trip is unknown, as reading `/connz` does.
    pub measure_rtt: bool,
    /// Cursor from the page before, 0 at first.
    pub from: u32,
    /// Entries at most.
    pub limit: u32,
}
