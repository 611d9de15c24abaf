//! An engine, its sockets and its clock.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::wires::{Wire, Wires};
use crate::auth::{AuthRules, Login};
use crate::client::CloseReason;
use crate::engine::connection::{Connection, Life, Pause};
use crate::engine::{Engine, Limits, LogLine, Next, Opening, Setup};
use crate::interest::ConnKey;
use crate::proto::info::ServerInfo;
use crate::time::Time;

/// Turns after which an engine that has not come to rest never will.
const TURNS_MAX: usize = 100_000;

/// A server in a bottle.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) wires: Wires,
    pub(super) now: Time,
    pub(super) log: Vec<LogLine>,
    cids: u64,
}

pub(super) fn info() -> ServerInfo {
    ServerInfo {
        server_id: "S".into(),
        server_name: "S".into(),
        version: "2.0.0".into(),
        proto: 1,
        go: "rust".into(),
        host: "127.0.0.1".into(),
        port: 4222,
        headers: true,
        max_payload: 1024 * 1024,
        ..ServerInfo::default()
    }
}

pub(super) fn setup(limits: Limits) -> Setup {
    Setup {
        shard: 0,
        shards: 1,
        limits,
        info: info(),
        auth: AuthRules::default(),
        seed: 7,
        hash_seed: 7,
        closed_max: 4,
        debug: true,
        trace: false,
    }
}

pub(super) fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl World {
    pub(super) fn new() -> Self {
        World::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> Self {
        World::from(setup(limits))
    }

    pub(super) fn from(setup: Setup) -> Self {
        let now = Time(1_000_000_000_000);
        World {
            engine: Engine::new(setup, now),
            wires: Wires::default(),
            now,
            log: Vec::new(),
            cids: 0,
        }
    }

    /// A connection with nothing read or said yet.
    pub(super) fn open(&mut self) -> ConnKey {
        self.open_with(false)
    }

    pub(super) fn open_with(&mut self, is_refused: bool) -> ConnKey {
        let key = self.wires.open();
        self.cids += 1;
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let opening = Opening {
            is_refused,
            ..Opening::new(self.cids, ip, 1000)
        };
        self.engine.open(&mut self.wires, key, opening, self.now);
        self.settle();
        key
    }

    /// A connection that has read INFO and sent CONNECT with these members, quiet unless they say otherwise.
    pub(super) fn connect_with(&mut self, members: &str) -> ConnKey {
        let key = self.open();
        let comma = if members.is_empty() { "" } else { "," };
        self.send(
            key,
            format!("CONNECT {{\"verbose\":false,\"pedantic\":false{comma}{members}}}\r\n"),
        );
        let got = self.received(key);
        let line = got.strip_suffix("+OK\r\n").unwrap_or(&got);
        assert!(
            line.starts_with("INFO {") && line.ends_with("} \r\n"),
            "{got}"
        );
        key
    }

    pub(super) fn connect(&mut self) -> ConnKey {
        self.connect_with("")
    }

    /// What came of a login that took time.
    pub(super) fn decide(&mut self, key: ConnKey, cid: u64, login: Login) {
        let now = self.now;
        self.engine
            .login_decided(&mut self.wires, key, cid, login, now);
        self.settle();
    }

    /// Bytes that are there to read from now on; nothing is run.
    pub(super) fn put(&mut self, key: ConnKey, bytes: impl AsRef<[u8]>) {
        self.wires.peer(key).incoming.extend(bytes.as_ref());
    }

    /// Sends, and runs until nothing more happens.
    pub(super) fn send(&mut self, key: ConnKey, bytes: impl AsRef<[u8]>) {
        self.put(key, bytes);
        self.settle();
    }

    /// Sends in pieces of `size`, each by a read of its own.
    pub(super) fn send_in_pieces(&mut self, key: ConnKey, bytes: impl AsRef<[u8]>, size: usize) {
        for piece in bytes.as_ref().chunks(size) {
            self.send(key, piece);
        }
    }

    /// The peer closes its side.
    pub(super) fn finish(&mut self, key: ConnKey) {
        self.wires.peer(key).is_finished = true;
        self.settle();
    }

    /// The socket takes so many bytes more.
    pub(super) fn accept(&mut self, key: ConnKey, bytes: usize) {
        self.set_room(key, bytes);
        self.settle();
    }

    pub(super) fn set_room(&mut self, key: ConnKey, bytes: usize) {
        self.wires.peer(key).room = bytes;
    }

    /// What has come since the last call, as bytes.
    pub(super) fn received_bytes(&mut self, key: ConnKey) -> Vec<u8> {
        std::mem::take(&mut self.wires.peer(key).outgoing)
    }

    /// What has come since the last call, as text.
    pub(super) fn received(&mut self, key: ConnKey) -> String {
        String::from_utf8_lossy(&self.received_bytes(key)).into_owned()
    }

    pub(super) fn wire(&mut self, key: ConnKey) -> &mut Wire {
        self.wires.peer(key)
    }

    pub(super) fn ended(&mut self, key: ConnKey) -> Option<CloseReason> {
        self.wires.peer(key).ended
    }

    pub(super) fn connection(&self, key: ConnKey) -> &Connection {
        self.engine.connections.find(key).expect("a connection")
    }

    pub(super) fn pending(&self, key: ConnKey) -> usize {
        self.connection(key).outbox.pending_bytes()
    }

    /// One turn with what is ready.
    pub(super) fn turn(&mut self) -> Next {
        let ready = self.wires.take_ready();
        let next = self.engine.turn(&mut self.wires, &ready, self.now);
        self.log.append(&mut self.wires.log);
        self.log.extend(self.engine.poll_log());
        next
    }

    /// Turns until nothing more happens at this time. Gives the next deadline.
    pub(super) fn settle(&mut self) -> Option<Time> {
        for _ in 0..TURNS_MAX {
            if let Next::Park(until) = self.turn()
                && !self.wires.are_some_ready()
                && until.is_none_or(|until| until > self.now)
            {
                self.check_rest(until);
                return until;
            }
        }
        panic!("the engine does not come to rest");
    }

    /// Lets time pass as a shard's loop would: it wakes at each deadline.
    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(until) = self.settle()
            && until <= end
        {
            self.now = until;
        }
        self.now = end;
        self.settle();
    }

    /// Lets time pass as for a process that was stopped: everything is late at once.
    pub(super) fn jump(&mut self, by: Duration) {
        self.now = self.now + by;
        self.settle();
    }

    /// The same, and nobody has said yet which sockets are ready.
    pub(super) fn jump_unread(&mut self, by: Duration) {
        self.now = self.now + by;
        self.engine.turn(&mut self.wires, &[], self.now);
        self.settle();
    }

    /// Lines of the log that hold `text`.
    pub(super) fn logged(&self, text: &str) -> usize {
        self.log
            .iter()
            .filter(|line| line.text.contains(text))
            .count()
    }

    /// At rest nobody has work that nobody will do.
    fn check_rest(&mut self, until: Option<Time>) {
        self.engine.check_invariants();
        assert!(self.engine.lists.dirty.is_empty() && self.engine.hot.is_empty());
        let keys: Vec<ConnKey> = self.engine.connections.keys_from(0).collect();
        for key in keys {
            let connection = self.engine.connections.find(key).expect("a key in use");
            let wire = self.wires.peer(key);
            assert!(
                !connection.is_dirty && !connection.is_hot,
                "{key:?} is on no list"
            );
            if let Some(at) = connection.look_at {
                assert!(
                    until.is_some_and(|until| until <= at),
                    "the look at {key:?} is awaited"
                );
            }
            let is_looked_at = connection.look_at.is_some();
            match connection.life {
                Life::Open => {
                    if let Some(pause) = connection.pause {
                        // Who waits for room is told by the lane, who waits for a login by the edge.
                        let is_told = matches!(pause, Pause::Room { .. } | Pause::Login);
                        assert!(is_told || is_looked_at, "the pause of {key:?} ends");
                    } else {
                        assert!(
                            !connection.has_backlog,
                            "{key:?} has work and nobody does it"
                        );
                        assert!(
                            wire.is_read_armed,
                            "{key:?} waits for input that nobody announces"
                        );
                    }
                    // Somebody whose PINGs ran out is looked at again a moment later.
                    let asked_by = connection.ping.due().max(self.now + millis(1));
                    assert!(
                        until.is_some_and(|until| until <= asked_by),
                        "{key:?} is asked for life"
                    );
                }
                Life::Flushing { .. } => {
                    assert!(is_looked_at && connection.is_blocked, "{key:?} flushes")
                }
                Life::Lingering { .. } => {
                    assert!(is_looked_at && wire.is_read_armed, "{key:?} lingers")
                }
                Life::Gone => panic!("{key:?} is gone and still there"),
            }
            if connection.outbox.pending_bytes() > 0 {
                assert!(
                    connection.is_blocked && wire.is_write_armed,
                    "{key:?} waits for room nobody announces"
                );
                assert!(is_looked_at, "{key:?} has a write deadline");
            }
        }
    }
}
