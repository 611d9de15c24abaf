//! X1: every shard floods the next one, so that lanes fill in a circle, while consumers stop and start.
//!
//! ```text
//!   shard k: flooder --flood.k--> shard k+1: sinks that read, pause, leave, come back
//!            checked publisher --checked.k--> shard k+1: a reader that counts
//! ```
//!
//! Each flooded message goes to several subscriptions, so that the shard that delivers has more work
//! than the one that sends, and its lane runs full.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{LIMIT, run_of, server_with};
use crate::support::load::{Publisher, StopAtEnd};
use crate::support::soak::long_time;
use crate::support::{Case, Checker, RawClient, Report, heavy, on_shards, wait_until};

/// Connections that take the flood of one shard, each with [`COPIES`] subscriptions.
const SINKS: usize = 3;

/// Subscriptions of each sink.
const COPIES: usize = 4;

/// Bytes that a flooder hands to its socket at once.
const FLOOD_BYTES: usize = 64 * 1024;

/// Messages between two barriers of a checked publisher.
const BATCH: u64 = 100;

/// Time in which everybody must have got on.
const PROGRESS: Duration = Duration::from_secs(1);

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    /// A number below `count`.
    fn below(&mut self, count: u64) -> u64 {
        // Xorshift: a state of 0 would stay 0, and none of ours is.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % count
    }
}

/// Sends the same message as fast as it is taken, and counts bytes.
fn flood(client: &RawClient, shard: usize, sent: &AtomicU64, stop: &AtomicBool) {
    let message = format!("PUB flood.{shard} 16\r\n0123456789abcdef\r\n");
    let batch = message.repeat(FLOOD_BYTES / message.len());
    let mut stream = client.stream();
    let timeout = stream.set_write_timeout(Some(Duration::from_millis(100)));
    timeout.expect("set a write timeout");
    let mut rest = batch.as_bytes();
    while !stop.load(Ordering::Relaxed) {
        match stream.write(rest) {
            Ok(count) => {
                sent.fetch_add(count as u64, Ordering::Relaxed);
                rest = &rest[count..];
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("flooder {shard}: {error}"),
        }
        if rest.is_empty() {
            rest = batch.as_bytes();
        }
    }
}

/// A consumer of the flood of `shard`: reads for a while, stops for a while; at times it leaves in the
/// middle of everything and comes back, at times it ends its subscriptions and makes new ones.
fn sink(
    mut client: RawClient,
    address: SocketAddr,
    shard: usize,
    mut dice: Dice,
    stop: &AtomicBool,
) {
    let mut sid = 0;
    let subscribe = |sid: u64| -> String {
        let sids = sid..sid + COPIES as u64;
        sids.map(|sid| format!("SUB flood.{shard} {sid}\r\n"))
            .collect()
    };
    let unsubscribe = |sid: u64| -> String {
        let sids = sid..sid + COPIES as u64;
        sids.map(|sid| format!("UNSUB {sid}\r\n")).collect()
    };
    client.send(subscribe(sid));
    while !stop.load(Ordering::Relaxed) {
        let until = Instant::now() + Duration::from_millis(20 + dice.below(200));
        let is_alive = drain(client.stream(), until);
        match dice.below(8) {
            0 | 1 if is_alive => {
                let lines = unsubscribe(sid);
                sid += COPIES as u64;
                // The server may have cut it just now; then the next look will tell.
                let _ = client.try_send(lines + &subscribe(sid));
            }
            2 => drop_and_return(&mut client, address, &subscribe(sid)),
            _ if !is_alive => drop_and_return(&mut client, address, &subscribe(sid)),
            // Standing still is the input.
            _ => thread::sleep(Duration::from_millis(dice.below(150))),
        }
    }
}

fn drop_and_return(client: &mut RawClient, address: SocketAddr, lines: &str) {
    // With unread bytes in its socket this is a reset.
    *client = RawClient::connect(address);
    client.connect_quiet();
    client.send(lines);
}

/// Reads and forgets until then; false when the connection ended.
fn drain(mut stream: &TcpStream, until: Instant) -> bool {
    let timeout = stream.set_read_timeout(Some(Duration::from_millis(20)));
    timeout.expect("set a read timeout");
    let mut buffer = vec![0; 64 * 1024];
    while Instant::now() < until {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Looks at all counters once in a while until `time` has passed; gives the longest time that one of
/// them stood still.
fn watch_progress(counters: &[&AtomicU64], time: Duration) -> Duration {
    let begin = Instant::now();
    let mut last: Vec<(u64, Instant)> = counters.iter().map(|_| (0, begin)).collect();
    let mut longest = Duration::ZERO;
    while begin.elapsed() < time {
        thread::sleep(Duration::from_millis(10));
        for (counter, (seen, since)) in counters.iter().zip(&mut last) {
            let now = counter.load(Ordering::Relaxed);
            longest = longest.max(since.elapsed());
            if now != *seen {
                (*seen, *since) = (now, Instant::now());
            }
        }
    }
    longest
}

/// Reads what the checked publisher of one shard sent until told how much that was.
fn read_checked(
    client: &mut RawClient,
    run: u64,
    publisher: u32,
    got: &AtomicU64,
    all: &AtomicU64,
) -> Report {
    let mut checker = Checker::new(run);
    let watch = checker.watch(format!("reader of {publisher}"));
    let mut last = Instant::now();
    loop {
        let all = all.load(Ordering::Acquire);
        match client.message_within(Duration::from_millis(100)) {
            Some(message) => {
                checker.received(watch, 0, &message.payload);
                got.fetch_add(1, Ordering::Relaxed);
                last = Instant::now();
            }
            None if checker.received_count() >= all || last.elapsed() > LIMIT => {
                checker.must(watch, publisher, 0..all);
                return checker.finish();
            }
            None => {}
        }
    }
}

on_shards! {
    fn x1_shards_flood_each_other(driver, cores) on two, four {
        let _alone = heavy();
        let time = long_time(Duration::from_millis(if cores == 2 { 5000 } else { 2500 }), 1.0);
        let server = server_with(driver, cores, "max_pending: 32MB");
        let (run, address) = (run_of(&server), server.address());
        let shards: Vec<usize> = (0..cores).collect();
        let next: Vec<usize> = shards.iter().map(|shard| (shard + 1) % cores).collect();
        let next_sinks: Vec<usize> = next.iter().flat_map(|shard| [*shard; SINKS]).collect();
        let flooders = server.clients_on(&shards);
        let publishers = server.clients_on(&shards);
        let mut readers = server.clients_on(&next);
        let sinks = server.clients_on(&next_sinks);
        for (shard, reader) in readers.iter_mut().enumerate() {
            reader.subscribe(&format!("checked.{shard}"), 1);
        }
        let zeros = || -> Vec<AtomicU64> { shards.iter().map(|_| AtomicU64::new(0)).collect() };
        let (sent, got, published) = (zeros(), zeros(), zeros());
        // How much there is to read; nobody knows before the end.
        let all: Vec<AtomicU64> = shards.iter().map(|_| AtomicU64::new(u64::MAX)).collect();
        let stop = AtomicBool::new(false);
        let (report, standstill) = thread::scope(|scope| {
            let stop = &stop;
            let _stop = StopAtEnd(stop);
            for ((client, sent), shard) in flooders.iter().zip(&sent).zip(&shards) {
                scope.spawn(move || flood(client, *shard, sent, stop));
            }
            for (at, client) in sinks.into_iter().enumerate() {
                let dice = Dice(0x9e37_79b9 + at as u64);
                scope.spawn(move || sink(client, address, at / SINKS, dice, stop));
            }
            let publishing: Vec<_> = (0..)
                .zip(publishers)
                .zip(published.iter().zip(&all))
                .map(|((number, client), (published, all))| {
                    let mut publisher = Publisher { client, run, number, bytes: 64 };
                    scope.spawn(move || {
                        let mut next = 0;
                        while !stop.load(Ordering::Relaxed) {
                            publisher.publish(&format!("checked.{number}"), next..next + BATCH);
                            next += BATCH;
                            published.store(next, Ordering::Relaxed);
                        }
                        all.store(next, Ordering::Release);
                    })
                })
                .collect();
            let reading: Vec<_> = (0..)
                .zip(&mut readers)
                .zip(got.iter().zip(&all))
                .map(|((number, client), (got, all))| {
                    scope.spawn(move || read_checked(client, run, number, got, all))
                })
                .collect();
            let counters: Vec<&AtomicU64> = sent.iter().chain(&got).chain(&published).collect();
            wait_until(LIMIT, "everything in motion", || {
                counters.iter().all(|counter| counter.load(Ordering::Relaxed) > 0)
            });
            let standstill = watch_progress(&counters, time);
            stop.store(true, Ordering::Relaxed);
            for publisher in publishing {
                publisher.join().expect("a publisher");
            }
            let reports = reading.into_iter().map(|reader| reader.join().expect("a reader"));
            (Report::sum(reports), standstill)
        });
        let sum = |counters: &[AtomicU64]| counters.iter().map(|n| n.load(Ordering::Relaxed)).sum::<u64>();
        let varz = server.varz();
        println!(
            "X1 {} x{cores}: {time:.1?}, {} MiB flooded, longest standstill {standstill:.1?}, slow consumers \
             {}, stalls {}, lane stalls for {} us",
            driver.name(),
            sum(&sent) >> 20,
            varz["slow_consumers"],
            varz["stalled_clients"],
            server.sum_over_shards("lane_stalled_us"),
        );
        let case = Case { id: "X1", driver, cores, inputs: sum(&published), worst: standstill };
        case.finish(&server, &report);
        assert!(standstill <= PROGRESS, "no progress for {standstill:?}");
        for reader in &mut readers {
            reader.ping();
        }
    }
}
