//! What other threads say to a shard.

use std::net::{SocketAddr, TcpStream};

use crossbeam_channel::Sender;
use gnatsd_core::auth::Login;
use gnatsd_core::engine::snapshot::{ConnQuery, ConnSnapshot, Page, ShardStats, SubSnapshot};
use gnatsd_core::interest::ConnKey;
use gnatsd_shards::LoopStats;

/// A message to a shard. Answers go back through the sender that came with the question; an
/// asker that has gone is no error.
#[derive(Debug)]
pub enum Control {
    /// A connection for this shard.
    Open(Accepted),
    /// What came of a login that took time.
    Decided(Decision),
    /// The counters.
    Stats(Sender<ShardReport>),
    /// A page of connections.
    Connections(ConnQuery, Sender<Page<ConnSnapshot>>),
    /// A page of subscriptions: cursor, entries at most.
    Subscriptions(u32, u32, Sender<Page<SubSnapshot>>),
    /// Leave the loop.
    Stop,
}

/// What a shard tells about itself: its engine, its loop and its lanes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShardReport {
    /// Its number.
    pub shard: u16,
    /// What the engine counts.
    pub engine: ShardStats,
    /// What the loop counts.
    pub run: LoopStats,
    /// Entries in the lanes to other shards that these have not taken yet.
    pub lane_depth: u64,
}

/// What came of a login.
#[derive(Debug)]
pub struct Decision {
    /// The connection's key on its shard.
    pub key: ConnKey,
    /// Its id: the key may have passed to another.
    pub cid: u64,
    /// Whether it may come in.
    pub login: Login,
}

/// A connection as the acceptor hands it over.
#[derive(Debug)]
pub struct Accepted {
    /// Non-blocking, options set.
    pub stream: TcpStream,
    /// Its id.
    pub cid: u64,
    /// Who is at the other end; an IPv4 address is not mapped.
    pub peer: SocketAddr,
    /// There is no room for it.
    pub is_refused: bool,
}
