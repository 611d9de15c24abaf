//! What a message costs the engine, without a socket: nanoseconds and, under callgrind, instructions.
//!
//! ```text
//! cargo run --release -p gnatsd-core --example turn_cost
//! valgrind --tool=callgrind target/release/examples/turn_cost 1to1 16 1
//! ```

use std::io::IoSlice;
use std::net::Ipv4Addr;
use std::time::Instant;

use gnatsd_core::client::CloseReason;
use gnatsd_core::engine::{Edge, Engine, Lanes, Limits, Opening, Ready, Received, Sent, Setup};
use gnatsd_core::interest::ConnKey;
use gnatsd_core::proto::info::ServerInfo;
use gnatsd_core::time::Time;

const PUBLISHER: ConnKey = ConnKey(0);

/// One publisher that always has more; everyone else accepts everything.
struct Source {
    stream: Vec<u8>,
    at: usize,
    setup: Vec<Option<Vec<u8>>>,
    out_bytes: usize,
}

impl Lanes for Source {}

impl Edge for Source {
    fn receive(&mut self, key: ConnKey, into: &mut [u8]) -> Received {
        if let Some(bytes) = self.setup[key.0 as usize].take() {
            into[..bytes.len()].copy_from_slice(&bytes);
            return Received::Bytes(bytes.len());
        }
        if key != PUBLISHER {
            return Received::Blocked;
        }
        let n = into.len().min(self.stream.len() - self.at);
        into[..n].copy_from_slice(&self.stream[self.at..self.at + n]);
        self.at = (self.at + n) % self.stream.len();
        Received::Bytes(n)
    }

    fn send(&mut self, _: ConnKey, slices: &[IoSlice<'_>]) -> Sent {
        let n: usize = slices.iter().map(|s| s.len()).sum();
        self.out_bytes += n;
        Sent::Bytes(n)
    }

    fn arm_read(&mut self, _: ConnKey) {}
    fn arm_write(&mut self, _: ConnKey) {}
    fn ended(&mut self, _: ConnKey, reason: CloseReason) {
        panic!("a connection ended: {reason}");
    }
    fn finish_sending(&mut self, _: ConnKey) {}
    fn cut(&mut self, _: ConnKey) {}
    fn release(&mut self, _: ConnKey) {}
}

/// Nanoseconds per delivery (per message without receivers).
fn run(receivers: u32, size: usize, megabytes: usize) -> f64 {
    let info = ServerInfo {
        server_id: "id".into(),
        server_name: "name".into(),
        version: "2.0.0".into(),
        proto: 1,
        go: "rust".into(),
        host: "127.0.0.1".into(),
        port: 4222,
        headers: true,
        max_payload: 1 << 20,
        ldm: false,
        connect_urls: Vec::new(),
    };
    let setup = Setup {
        shard: 0,
        shards: 1,
        limits: Limits::default(),
        info,
        seed: 1,
        hash_seed: 1,
        closed_max: 0,
        debug: false,
        trace: false,
    };
    let message = format!("PUB foo.bar {size}\r\n{}\r\n", "x".repeat(size));
    let mut edge = Source {
        stream: message.repeat((4 << 20) / message.len()).into_bytes(),
        at: 0,
        setup: Vec::new(),
        out_bytes: 0,
    };
    let mut engine = Engine::new(setup, Time::ZERO);
    for at in 0..=receivers {
        let sub = if at > 0 { "SUB foo.bar 1\r\n" } else { "" };
        let text = format!("CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\n{sub}PING\r\n");
        edge.setup.push(Some(text.into_bytes()));
        let opening = Opening {
            cid: u64::from(at) + 1,
            ip: Ipv4Addr::LOCALHOST.into(),
            port: 1,
            is_refused: false,
        };
        engine.open(&mut edge, ConnKey(at), opening, Time::ZERO);
    }
    let ready: Vec<Ready> = (0..=receivers)
        .map(|at| Ready {
            key: ConnKey(at),
            readable: true,
            writable: false,
        })
        .collect();
    for one in &ready {
        engine.turn(&mut edge, std::slice::from_ref(one), Time(1));
    }
    let before = engine.stats();
    let start = Instant::now();
    let rounds = megabytes * (1 << 20) / (256 << 10);
    for round in 0..rounds {
        engine.turn(&mut edge, &ready[..1], Time(round as u64 + 2));
    }
    let took = start.elapsed();
    let after = engine.stats();
    let count = if receivers == 0 {
        after.in_msgs - before.in_msgs
    } else {
        after.out_msgs - before.out_msgs
    };
    took.as_nanos() as f64 / count as f64
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let shapes = [
        ("pub", 0),
        ("1to1", 1),
        ("fanout10", 10),
        ("fanout100", 100),
    ];
    if let [shape, size, megabytes] = &args[..] {
        let receivers = shapes
            .iter()
            .find(|(name, _)| name == shape)
            .expect("a shape")
            .1;
        let ns = run(
            receivers,
            size.parse().expect("a size"),
            megabytes.parse().expect("megabytes"),
        );
        println!("{shape}:{size} {ns:.1} ns");
        return;
    }
    for (name, receivers) in shapes {
        for size in [16, 128, 1024] {
            println!("{name}:{size} {:.1} ns", run(receivers, size, 200));
        }
    }
}
