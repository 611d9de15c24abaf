//! What a batch costs on its way from one shard to another, as `counts` of the core does it for the rest:
//! `scripts/instructions` counts it, `cargo run --release -p gnatsd-shards --example hop -- --time` times it.
//!
//! Two shards are started only to make the lanes, and are gone before anything is measured: one thread
//! then holds both ends, so that the same happens each time and nobody has to be woken.

#[path = "../../src/core/examples/counts/frame.rs"]
mod frame;

use std::sync::mpsc::channel;

use frame::{Case, Measured, measure};
use gnatsd_shards::{Config, DriverChoice, Io, LaneConfig, Lanes, Next, Service, ShardId, start};

/// Entries of a lane, as in the server.
const ENTRIES: usize = 8;
/// Interest and messages, as in the server.
const KINDS: usize = 2;
const DATA: usize = 1;
/// Bytes in a batch; nobody looks at them.
const BATCH_BYTES: usize = 32 * 1024;

const CASES: [Case; 4] = [
    Case {
        name: "ring/hop",
        unit: "batch, published and taken",
        repeats: 10_000,
        run: |n| hop(n, 2, 1),
    },
    Case {
        name: "ring/hop/half-full",
        unit: "4 batches, published together",
        repeats: 5000,
        run: |n| hop(n, 2, ENTRIES / 2),
    },
    Case {
        name: "ring/hop/16-shards",
        unit: "batch, published and taken",
        repeats: 10_000,
        run: |n| hop(n, 16, 1),
    },
    Case {
        name: "ring/nothing/16-shards",
        unit: "turn without news",
        repeats: 10_000,
        run: |n| hop(n, 16, 0),
    },
];

fn main() {
    frame::run(&CASES);
}

/// A shard that leaves its lanes behind.
struct Gone;

impl Service for Gone {
    type Control = ();
    type Batch = Vec<u8>;

    fn control(&mut self, _: &mut impl Io, (): ()) {}

    fn turn(&mut self, _: &mut impl Io) -> Next {
        Next::Stop
    }
}

/// The lanes of so many shards, in their order.
fn lanes(shards: usize) -> Vec<Lanes<Vec<u8>>> {
    let (to, made) = channel();
    let kind = LaneConfig {
        entries: ENTRIES,
        wakes_at: 1,
    };
    let config = Config {
        shards,
        driver: DriverChoice::Epoll,
        pin: false,
        lanes: vec![kind; KINDS],
        ..Config::default()
    };
    let leave = move |id: ShardId, lanes: Lanes<Vec<u8>>| {
        to.send((id.index(), lanes)).expect("somebody collects");
        Gone
    };
    start(config, leave)
        .expect("shards start")
        .join()
        .expect("shards end");
    let mut all: Vec<_> = made.iter().collect();
    all.sort_by_key(|&(index, _)| index);
    all.into_iter().map(|(_, lanes)| lanes).collect()
}

/// What two shards do in their turns if the first sends the last so many batches.
fn hop(repeats: u32, shards: usize, batches: usize) -> Measured {
    let mut lanes = lanes(shards);
    let mut receiver = lanes.pop().expect("two shards");
    let sender = &mut lanes[0];
    let (from, to) = (ShardId(0), ShardId(receiver.shards() - 1));
    let (mut full, mut taken) = (Vec::with_capacity(BATCH_BYTES), Vec::new());
    let mut turn = |_| {
        for _ in 0..batches {
            assert!(sender.room(to, DATA) > 0, "the receiver has taken all");
            full.resize(1, 7);
            sender.push(to, DATA, &mut full);
        }
        sender.publish();
        if batches == 0 {
            assert!(!receiver.has_news() && !receiver.has_inbound(), "nothing");
            return;
        }
        assert!(receiver.has_news(), "it was published");
        for _ in 0..batches {
            assert!(receiver.take(from, DATA, &mut taken), "a batch");
            assert_eq!(taken.len(), 1);
            taken.clear();
        }
        assert!(!receiver.take(from, DATA, &mut taken), "no more");
        receiver.publish();
    };
    (0..100).for_each(&mut turn);
    let took = measure(repeats, turn);
    Measured {
        ops: repeats.into(),
        took,
    }
}
