//! Outboxes, and what the server writes itself: into a connection's queue, and to other shards.

use std::hint::black_box;
use std::io::IoSlice;
use std::net::Ipv4Addr;

use gnatsd_core::client::outbox::SLICES_MAX;
use gnatsd_core::client::{ChunkPool, Outbox};
use gnatsd_core::interest::{ConnKey, ConnSubs, Inserted, Interest};
use gnatsd_core::proto::encode;

use crate::frame::{Case, Measured, measure};
use crate::world;

/// Pending bytes at which the outbox is emptied, as a turn does it.
const BATCH_BYTES: usize = 64 * 1024;

pub(crate) const CASES: [Case; 5] = [
    case("enqueue/16", "message", |n| push(n, 16)),
    case("enqueue/1024", "message", |n| push(n, 1024)),
    case("encode/decimal", "number", decimals),
    case("encode/info", "line", info),
    case(
        "encode/interest",
        "two SUB and UNSUB, told and applied",
        interest,
    ),
];

const fn case(name: &'static str, unit: &'static str, run: fn(u32) -> Measured) -> Case {
    Case {
        name,
        unit,
        repeats: 10_000,
        run,
    }
}

/// Prefix and tail of a MSG, and now and then the batch is written.
fn push(repeats: u32, size: usize) -> Measured {
    let prefix = b"MSG foo.bar 1 ";
    let tail = format!("{size}\r\n{}\r\n", "x".repeat(size)).into_bytes();
    let (mut outbox, mut pool) = (Outbox::default(), ChunkPool::default());
    let mut enqueue = |_| {
        outbox.push(&mut pool, black_box(prefix), black_box(&tail));
        if outbox.pending_bytes() >= BATCH_BYTES {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = outbox.poll_transmit(&mut slices);
            let bytes = slices[..count].iter().map(|slice| slice.len()).sum();
            outbox.handle_transmitted(&mut pool, bytes);
        }
    };
    // The pool's chunks are there, and the outbox has its size.
    (0..10_000).for_each(&mut enqueue);
    done(repeats, measure(repeats, enqueue))
}

fn decimals(repeats: u32) -> Measured {
    let mut out = Vec::with_capacity(64);
    let took = measure(repeats, |n| {
        out.clear();
        encode::push_decimal(&mut out, black_box(n as usize));
        black_box(&out);
    });
    done(repeats, took)
}

fn info(repeats: u32) -> Measured {
    let info = world::info();
    let took = measure(repeats, |n| {
        black_box(info.line(n.into(), Ipv4Addr::LOCALHOST.into(), None));
    });
    done(repeats, took)
}

/// A literal and a pattern come and go on one shard, and another one takes it in.
fn interest(repeats: u32) -> Measured {
    let (mut own, mut other) = (Interest::new(1), Interest::new(1));
    own.share();
    other.share();
    let mut subs = ConnSubs::default();
    let mut tell = |_| {
        let wanted = [("orders.eu.17.created", "1"), ("orders.*.17.created", "2")];
        let ids = wanted.map(|(subject, sid)| {
            let (subject, sid) = (subject.as_bytes(), sid.as_bytes());
            match own.subscribe(ConnKey(0), &mut subs, subject, None, sid) {
                Ok(Inserted::New(id)) => id,
                other => panic!("SUB gave {other:?}"),
            }
        });
        for is_there in [true, false] {
            if !is_there {
                for id in ids {
                    own.remove(&mut subs, id);
                }
            }
            own.tell_changes(usize::MAX);
            let batch = own.outgoing().expect("it is shared");
            assert!(!batch.is_empty(), "nothing to tell");
            other.apply(1, batch);
            batch.clear();
        }
    };
    (0..100).for_each(&mut tell);
    done(repeats, measure(repeats, tell))
}

fn done(repeats: u32, took: std::time::Duration) -> Measured {
    Measured {
        ops: repeats.into(),
        took,
    }
}
