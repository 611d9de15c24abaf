//! Engines with sockets and lanes in memory: publishers that always have more, or one message for each
//! turn, and readers that accept everything.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gnatsd_core::auth::{AuthRules, Credentials, Login, Nonce, Refusal, User};
use gnatsd_core::client::CloseReason;
use gnatsd_core::engine::{
    Edge, Engine, Lane, Lanes, Limits, Next, Opening, Ready, Received, Sent, Setup,
};
use gnatsd_core::interest::ConnKey;
use gnatsd_core::permissions::{Entry, Permissions, Rules, Side};
use gnatsd_core::proto::info::ServerInfo;
use gnatsd_core::time::Time;

/// Entries of a lane, as in the server.
const LANE_ENTRIES: usize = 8;

/// A server in memory.
pub(crate) struct World {
    shards: Vec<Shard>,
    now: u64,
}

struct Shard {
    engine: Engine,
    edge: Sockets,
}

/// A connection, by the number of its shard and its key there.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    shard: usize,
    key: ConnKey,
}

/// What one peer sends.
#[derive(Default)]
struct Peer {
    /// Sent over and over.
    stream: Vec<u8>,
    at: usize,
    /// Bytes of it that are there to be read.
    due: usize,
}

/// One shard's sockets and its ends of the lanes.
struct Sockets {
    own: usize,
    /// Who everybody is that has to log in.
    user: Option<Arc<User>>,
    peers: Vec<Peer>,
    mesh: Rc<RefCell<Mesh>>,
}

/// Lanes between all shards. Buffers are exchanged, as in the server.
#[derive(Default)]
struct Mesh {
    shards: usize,
    /// By sender, receiver and kind.
    lanes: Vec<Queue>,
}

#[derive(Default)]
struct Queue {
    full: VecDeque<Vec<u8>>,
    /// Entries at the end of `full` that were not published.
    hidden: usize,
    empty: Vec<Vec<u8>>,
}

impl World {
    /// So many shards without connections.
    pub(crate) fn new(shards: u16) -> Self {
        World::guarded(shards, None)
    }

    /// The same, with a login for everybody and a policy of 20 entries each way. Those that the cases need are the
    /// last.
    pub(crate) fn with_policy() -> Self {
        let list = || {
            let others = (0..16).map(|n| match n % 3 {
                0 => format!("other.{n}.bar"),
                1 => format!("other.{n}.*"),
                _ => format!("other.*.{n}.>"),
            });
            let needed = ["bar", "foo.*.x", "foo.bar", "foo.*"].map(str::to_owned);
            let entry = |subject: String| Entry {
                subject: subject.into(),
                queue: None,
            };
            Side {
                allow: Some(others.chain(needed).map(entry).collect()),
                deny: Vec::new(),
            }
        };
        let rules = Rules {
            publish: list(),
            subscribe: list(),
            ..Rules::default()
        };
        let user = User {
            name: "u".into(),
            permissions: Some(Arc::new(Permissions::new(rules))),
        };
        World::guarded(1, Some(Arc::new(user)))
    }

    fn guarded(shards: u16, user: Option<Arc<User>>) -> Self {
        let count = usize::from(shards);
        let lanes = (0..count * count * Lane::ALL.len()).map(|_| Queue::default());
        let mesh = Rc::new(RefCell::new(Mesh {
            shards: count,
            lanes: lanes.collect(),
        }));
        let shard = |own: u16| Shard {
            engine: Engine::new(setup(own, shards, user.is_some()), Time::ZERO),
            edge: Sockets {
                own: own.into(),
                user: user.clone(),
                peers: Vec::new(),
                mesh: Rc::clone(&mesh),
            },
        };
        World {
            shards: (0..shards).map(shard).collect(),
            now: 1,
        }
    }

    /// A client that has said CONNECT and `hello`, and been answered.
    pub(crate) fn connect(&mut self, shard: usize, hello: &str) -> Client {
        let Shard { engine, edge } = &mut self.shards[shard];
        let key = ConnKey(edge.peers.len() as u32);
        edge.peers.push(Peer::default());
        let opening = Opening::new(u64::from(key.0) + 1, Ipv4Addr::LOCALHOST.into(), 1);
        engine.open(edge, key, opening, Time(self.now));
        let client = Client { shard, key };
        let connect = r#"CONNECT {"verbose":false,"pedantic":false,"headers":true}"#;
        self.play(client, format!("{connect}\r\n{hello}PING\r\n").into_bytes());
        client
    }

    /// What the client sends from now on, over and over.
    pub(crate) fn repeat(&mut self, client: Client, stream: Vec<u8>) {
        *self.peer(client) = Peer {
            stream,
            ..Peer::default()
        };
    }

    /// The client sends this once, and everything it causes happens.
    fn play(&mut self, client: Client, text: Vec<u8>) {
        let len = text.len();
        self.repeat(client, text);
        self.send(client, len);
        for shard in 0..self.shards.len() {
            self.settle(shard);
        }
    }

    /// So many bytes of the client's stream arrive, and its shard takes one turn.
    pub(crate) fn send(&mut self, client: Client, bytes: usize) {
        self.peer(client).due = bytes;
        let ready = Ready {
            key: client.key,
            readable: true,
            writable: false,
        };
        self.turn(client.shard, &[ready]);
    }

    /// Turns of one shard until it has nothing to do.
    pub(crate) fn settle(&mut self, shard: usize) {
        while self.turn(shard, &[]) == Next::Again {}
    }

    fn turn(&mut self, shard: usize, ready: &[Ready]) -> Next {
        self.now += 1;
        let Shard { engine, edge } = &mut self.shards[shard];
        engine.turn(edge, ready, Time(self.now))
    }

    fn peer(&mut self, client: Client) -> &mut Peer {
        &mut self.shards[client.shard].edge.peers[client.key.0 as usize]
    }

    /// Messages that came in.
    pub(crate) fn messages_in(&self) -> u64 {
        let each = self.shards.iter();
        each.map(|shard| shard.engine.stats().in_msgs).sum()
    }

    /// Messages that were delivered.
    pub(crate) fn deliveries(&self) -> u64 {
        let each = self.shards.iter();
        each.map(|shard| shard.engine.stats().out_msgs).sum()
    }
}

/// INFO of a server that nobody can connect to.
pub(crate) fn info() -> ServerInfo {
    ServerInfo {
        server_id: "NDFXQ2NUVMK3R6ESPQWAJ4".into(),
        server_name: "NDFXQ2NUVMK3R6ESPQWAJ4".into(),
        version: "2.0.0".into(),
        proto: 1,
        go: "rust".into(),
        host: "127.0.0.1".into(),
        port: 4222,
        headers: true,
        max_payload: 1 << 20,
        ..ServerInfo::default()
    }
}

fn setup(shard: u16, shards: u16, is_required: bool) -> Setup {
    Setup {
        shard,
        shards,
        limits: Limits::default(),
        info: info(),
        auth: AuthRules {
            is_required,
            timeout: Duration::from_secs(1),
            ..AuthRules::default()
        },
        seed: u64::from(shard) + 1,
        hash_seed: 1,
        closed_max: 0,
        debug: false,
        trace: false,
    }
}

impl Sockets {
    fn queue<R>(&self, from: usize, to: usize, lane: Lane, f: impl FnOnce(&mut Queue) -> R) -> R {
        let mesh = &mut *self.mesh.borrow_mut();
        let at = (from * mesh.shards + to) * Lane::ALL.len() + lane.index();
        f(&mut mesh.lanes[at])
    }

    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let own = self.own;
        let shards = self.mesh.borrow().shards;
        (0..shards).filter(move |&other| other != own)
    }
}

impl Lanes for Sockets {
    fn entries(&self) -> usize {
        LANE_ENTRIES
    }

    fn room(&mut self, to: u16, lane: Lane) -> usize {
        self.queue(self.own, to.into(), lane, |queue| {
            LANE_ENTRIES - queue.full.len()
        })
    }

    fn push(&mut self, to: u16, lane: Lane, batch: &mut Vec<u8>) {
        self.queue(self.own, to.into(), lane, |queue| {
            let empty = queue.empty.pop().unwrap_or_default();
            queue.full.push_back(std::mem::replace(batch, empty));
            queue.hidden += 1;
        });
    }

    fn publish(&mut self) {
        for to in self.others() {
            for lane in Lane::ALL {
                self.queue(self.own, to, lane, |queue| queue.hidden = 0);
            }
        }
    }

    fn has_news(&self) -> bool {
        let is_there = |queue: &mut Queue| queue.full.len() > queue.hidden;
        self.others().any(|from| {
            Lane::ALL.map(|lane| self.queue(from, self.own, lane, is_there)) != [false; 2]
        })
    }

    fn take(&mut self, from: u16, lane: Lane, batch: &mut Vec<u8>) -> bool {
        self.queue(from.into(), self.own, lane, |queue| {
            if queue.full.len() == queue.hidden {
                return false;
            }
            let full = queue.full.pop_front().expect("an entry");
            queue.empty.push(std::mem::replace(batch, full));
            true
        })
    }
}

impl Edge for Sockets {
    fn receive(&mut self, key: ConnKey, into: &mut [u8]) -> Received {
        let peer = &mut self.peers[key.0 as usize];
        let len = into.len().min(peer.due);
        if len == 0 {
            return Received::Blocked;
        }
        let mut filled = 0;
        while filled < len {
            let some = (len - filled).min(peer.stream.len() - peer.at);
            into[filled..filled + some].copy_from_slice(&peer.stream[peer.at..peer.at + some]);
            filled += some;
            peer.at = (peer.at + some) % peer.stream.len();
        }
        peer.due -= len;
        Received::Bytes(len)
    }

    fn send(&mut self, _: ConnKey, slices: &[IoSlice<'_>]) -> Sent {
        Sent::Bytes(slices.iter().map(|slice| slice.len()).sum())
    }

    fn take_hidden_work(&mut self) -> usize {
        0
    }

    fn hidden_progress(&self, _: ConnKey) -> u64 {
        0
    }

    fn log_in(&mut self, _: ConnKey, _: &Credentials, _: Option<&Nonce>) -> Login {
        match &self.user {
            Some(user) => Login::Granted(Arc::clone(user)),
            None => Login::Refused(Refusal::default()),
        }
    }

    fn arm_read(&mut self, _: ConnKey) {}
    fn arm_write(&mut self, _: ConnKey) {}
    fn ended(&mut self, _: ConnKey, reason: CloseReason) {
        panic!("a connection ended: {reason}");
    }
    fn has_unsent(&self, _: ConnKey) -> bool {
        false
    }

    fn finish_sending(&mut self, _: ConnKey) {}
    fn cut(&mut self, _: ConnKey) {}
    fn release(&mut self, _: ConnKey) {}
}
