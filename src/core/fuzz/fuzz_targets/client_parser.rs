//! A client that sends anything, in any pieces, to a whole engine.
//!
//! The same bytes go to an engine in one piece and to another in many, whose sockets take
//! few bytes at a time: who is told what must not depend on it. What log lines say may: they
//! show what a read brought.
#![no_main]

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};

use gnatsd_core::auth::{AuthRules, Credentials, Login, Nonce, Refusal};
use gnatsd_core::client::CloseReason;
use gnatsd_core::engine::{
    Edge, Engine, Lanes, Limits, Next, Opening, Ready, Received, Sent, Setup,
};
use gnatsd_core::interest::ConnKey;
use gnatsd_core::proto::info::ServerInfo;
use gnatsd_core::time::Time;
use libfuzzer_sys::fuzz_target;

const LISTENER: ConnKey = ConnKey(0);
const CLIENT: ConnKey = ConnKey(1);
const CONNECTIONS: usize = 2;
/// What the listener says: it hears everything, one way or another.
const LISTENING: &[u8] =
    b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB > all\r\nSUB a.* few one\r\n";
/// Turns after which an engine that still has not come to rest never will.
const TURNS_MAX: usize = 100_000;

/// One socket in memory.
#[derive(Default)]
struct Wire {
    /// Pieces to read, each by a read of its own.
    incoming: VecDeque<Vec<u8>>,
    is_finished: bool,
    outgoing: Vec<u8>,
    is_read_armed: bool,
    is_write_armed: bool,
    ended: Option<CloseReason>,
    is_released: bool,
}

/// Sockets in memory that accept `room` bytes per write, and then nothing before the next notification.
struct Wires {
    wires: [Wire; CONNECTIONS],
    room: usize,
    used: [usize; CONNECTIONS],
}

impl Wires {
    fn wire(&mut self, key: ConnKey) -> &mut Wire {
        let wire = &mut self.wires[key.0 as usize];
        assert!(
            !wire.is_released,
            "a connection that was let go is named again"
        );
        wire
    }

    fn ready(&mut self) -> Vec<Ready> {
        self.used = [0; CONNECTIONS];
        let mut ready = Vec::new();
        for (at, wire) in self.wires.iter_mut().enumerate() {
            let readable = wire.is_read_armed && (!wire.incoming.is_empty() || wire.is_finished);
            let writable = wire.is_write_armed;
            if readable || writable {
                wire.is_read_armed &= !readable;
                wire.is_write_armed = false;
                ready.push(Ready {
                    key: ConnKey(at as u32),
                    readable,
                    writable,
                });
            }
        }
        ready
    }
}

impl Lanes for Wires {
    fn entries(&self) -> usize {
        0
    }
}

impl Edge for Wires {
    fn receive(&mut self, key: ConnKey, into: &mut [u8]) -> Received {
        assert!(!into.is_empty(), "a read of nothing");
        let wire = self.wire(key);
        let Some(piece) = wire.incoming.front_mut() else {
            return if wire.is_finished {
                Received::Eof
            } else {
                Received::Blocked
            };
        };
        let n = piece.len().min(into.len());
        into[..n].copy_from_slice(&piece[..n]);
        piece.drain(..n);
        if piece.is_empty() {
            wire.incoming.pop_front();
        }
        Received::Bytes(n)
    }

    fn send(&mut self, key: ConnKey, slices: &[IoSlice<'_>]) -> Sent {
        let used = self.used[key.0 as usize];
        let mut room = self.room.saturating_sub(used);
        if room == 0 {
            return Sent::Blocked;
        }
        let before = room;
        for slice in slices {
            let n = slice.len().min(room);
            self.wire(key).outgoing.extend_from_slice(&slice[..n]);
            room -= n;
        }
        self.used[key.0 as usize] = used + before - room;
        Sent::Bytes(before - room)
    }

    fn take_hidden_work(&mut self) -> usize {
        0
    }

    fn hidden_progress(&self, _: ConnKey) -> u64 {
        0
    }

    fn log_in(&mut self, _: ConnKey, _: &Credentials, _: Option<&Nonce>) -> Login {
        Login::Refused(Refusal::default())
    }

    fn arm_read(&mut self, key: ConnKey) {
        self.wire(key).is_read_armed = true;
    }

    fn arm_write(&mut self, key: ConnKey) {
        self.wire(key).is_write_armed = true;
    }

    fn ended(&mut self, key: ConnKey, reason: CloseReason) {
        let wire = self.wire(key);
        assert!(wire.ended.is_none(), "a connection ends once");
        wire.ended = Some(reason);
    }

    fn has_unsent(&self, _: ConnKey) -> bool {
        false
    }

    fn finish_sending(&mut self, key: ConnKey) {
        self.wire(key);
    }

    fn cut(&mut self, key: ConnKey) {
        self.wire(key).is_read_armed = false;
    }

    fn release(&mut self, key: ConnKey) {
        self.wire(key).is_released = true;
    }
}

fn setup(is_logged: bool) -> Setup {
    Setup {
        shard: 0,
        shards: 1,
        limits: Limits {
            control_line_bytes_max: 512,
            payload_bytes_max: 4096,
            ..Limits::default()
        },
        info: ServerInfo {
            server_id: "S".into(),
            server_name: "S".into(),
            version: "2.0.0".into(),
            proto: 1,
            go: "rust".into(),
            host: "127.0.0.1".into(),
            port: 4222,
            headers: true,
            max_payload: 4096,
            ..ServerInfo::default()
        },
        auth: AuthRules::default(),
        seed: 1,
        hash_seed: 1,
        closed_max: 2,
        debug: is_logged,
        trace: is_logged,
    }
}

/// Turns until nothing more happens.
fn settle(engine: &mut Engine, wires: &mut Wires) {
    let mut ready = wires.ready();
    for _ in 0..TURNS_MAX {
        let next = engine.turn(wires, &ready, Time::ZERO);
        engine.poll_log();
        ready = wires.ready();
        if ready.is_empty() && matches!(next, Next::Park(_)) {
            engine.check_invariants();
            return;
        }
    }
    panic!("the engine does not come to rest");
}

/// What everyone was told when the client sent `pieces`, and how it ended.
fn converse(pieces: &[&[u8]], room: usize, is_logged: bool) -> Vec<(Vec<u8>, Option<CloseReason>)> {
    let mut wires = Wires {
        wires: Default::default(),
        room,
        used: [0; CONNECTIONS],
    };
    let mut engine = Engine::new(setup(is_logged), Time::ZERO);
    for key in [LISTENER, CLIENT] {
        let opening = Opening::new(u64::from(key.0) + 1, IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
        engine.open(&mut wires, key, opening, Time::ZERO);
    }
    wires.wire(LISTENER).incoming.push_back(LISTENING.to_vec());
    settle(&mut engine, &mut wires);
    for piece in pieces.iter().filter(|p| !p.is_empty()) {
        if !wires.wires[CLIENT.0 as usize].is_released {
            wires.wire(CLIENT).incoming.push_back(piece.to_vec());
        }
        settle(&mut engine, &mut wires);
    }
    for wire in &mut wires.wires {
        wire.is_finished = true;
    }
    settle(&mut engine, &mut wires);
    wires
        .wires
        .iter_mut()
        .map(|wire| {
            assert!(wire.is_released, "everyone has gone");
            (std::mem::take(&mut wire.outgoing), wire.ended)
        })
        .collect()
}

/// Cuts `bytes` into pieces of changing size, up to about `mean` times two.
fn cut(mut bytes: &[u8], mean: u8) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut step = usize::from(mean);
    while !bytes.is_empty() {
        step = (step * 7 + 3) % (usize::from(mean) * 2 + 1);
        let (piece, rest) = bytes.split_at((step + 1).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

fuzz_target!(|input: &[u8]| {
    let [mean, room, bytes @ ..] = input else {
        return;
    };
    // A peer that takes one byte at a time would make a run of 8 KiB slow, not more thorough.
    let room = 64 + usize::from(*room) * 16;
    let whole = converse(&[bytes], usize::MAX, false);
    let split = converse(&cut(bytes, *mean), room, true);
    for (whole, split) in whole.iter().zip(&split) {
        assert_eq!(whole.1, split.1, "the end depends on how the input is cut");
        assert!(
            whole.0 == split.0,
            "the output depends on how the input is cut:\n  {}\n  {}",
            whole.0.escape_ascii(),
            split.0.escape_ascii()
        );
    }
});
