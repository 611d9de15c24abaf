//! Slow and lagging readers: who is cut, when, why, and what everybody else notices of it.
//!
//! The promise under test: only the slow client is cut, counted once, with its reason; a publisher
//! waits a few milliseconds at most; the memory of an overloaded server is bounded and comes back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::load::{
    StopAtEnd, TINY_RCVBUF, Taken, closed_entry, dead_reader, publish_all, publish_with_pongs,
    read_all, reader, sip,
};
use crate::support::{
    Checker, Driver, RawClient, Server, WatchId, both_drivers, heavy, process, wait_until,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

/// Memory that a server may use on top of its base, whatever the load: spare chunks, rings, buffers.
const SLACK_BYTES: u64 = 64 * MIB as u64;

/// How long the server may take for what it must do in the end.
const LIMIT: Duration = Duration::from_secs(10);

fn server(driver: Driver, conf: &str) -> Server {
    Server::with(driver).conf(conf).monitor().start()
}

fn pending_of(entry: &Value) -> usize {
    let pending = entry["pending_bytes"].as_u64().expect("pending_bytes");
    usize::try_from(pending).expect("a number of bytes")
}

/// S9: a publisher at full speed and two readers at half of it, or at `pace_max` bytes per second if
/// that is less. Gives the times the publisher was made to wait.
fn s9(driver: Driver, pace_max: f64) -> u64 {
    let _alone = heavy();
    let (bytes, max_pending) = (4 * KIB, 8 * MIB);
    let server = server(driver, &format!("max_pending: {max_pending}"));
    let run = u64::from(server.pid());
    let free = publish_all(server.address(), run, "nobody", 32 * 1024, bytes);
    let speed = (32 * 1024 * bytes) as f64 / free.as_secs_f64();
    // Readers that check cannot keep half of it up on a loaded machine: they are slower still.
    let pace = (speed / 2.0).min(pace_max);
    let count = (192 * MIB / bytes) as u64;
    let base = server.rss_bytes();
    let mut readers = [
        reader(server.address(), "s9"),
        reader(server.address(), "s9"),
    ];
    let (took, taken) = thread::scope(|scope| {
        let reading: Vec<_> = readers
            .iter_mut()
            .map(|client| scope.spawn(move || read_all(client, run, count, pace)))
            .collect();
        let took = publish_all(server.address(), run, "s9", count, bytes);
        let taken: Vec<Taken> = reading
            .into_iter()
            .map(|reader| reader.join().expect("a reader"))
            .collect();
        (took, taken)
    });
    let peak = process::rss_peak_bytes(server.pid());
    let varz = server.varz();
    println!(
        "S9 {}: publisher alone {:.0} MiB/s, readers {:.0} MiB/s, publisher with them {:.0} MiB/s, \
         stalls {}, slow consumers {}, RSS {} KiB + {} KiB",
        driver.name(),
        speed / MIB as f64,
        pace / MIB as f64,
        (count as usize * bytes / MIB) as f64 / took.as_secs_f64(),
        varz["stalled_clients"],
        varz["slow_consumers"],
        base / 1024,
        peak.saturating_sub(base) / 1024,
    );
    for taken in taken {
        taken.payloads.finish().assert_six_zeros("S9");
        assert_eq!(taken.payloads.received_count(), count, "{:?}", taken.watch);
    }
    assert_eq!(varz["slow_consumers"], 0);
    let allowed = base + 2 * max_pending as u64 + SLACK_BYTES;
    assert!(peak <= allowed, "{peak} bytes of memory, {allowed} allowed");
    varz["stalled_clients"].as_u64().expect("a number")
}

both_drivers! {
    /// S1: one subscriber never reads, one is healthy.
    fn s1_one_dead_one_healthy(driver) {
        let _alone = heavy();
        let (count, bytes) = (200, 64 * KIB);
        let server = server(driver, "max_pending: 1048576");
        let run = u64::from(server.pid());
        let dead = dead_reader(&server, "s1");
        let mut healthy = reader(server.address(), "s1");
        let mut publisher = server.raw_client();
        let (taken, stall) = thread::scope(|scope| {
            let reading = scope.spawn(|| read_all(&mut healthy, run, count, f64::INFINITY));
            let waits = publish_with_pongs(&mut publisher, run, "s1", count, bytes);
            let stall = waits.into_iter().max().unwrap_or_default();
            (reading.join().expect("the healthy reader"), stall)
        });
        let entry = closed_entry(&server, dead.cid());
        println!(
            "S1 {}: longest PUB..PONG {stall:.1?}, dead reader: {}, {} pending, slow consumers {}",
            driver.name(),
            entry["reason"],
            entry["pending_bytes"],
            server.varz()["slow_consumers"],
        );
        taken.payloads.finish().assert_six_zeros("S1");
        assert_eq!(entry["reason"], "Slow Consumer (Pending Bytes)");
        assert_eq!(server.varz()["slow_consumers"], 1);
        let log = server.log();
        let lines = log.matches("Slow Consumer Detected: MaxPending of 1048576 Exceeded");
        assert_eq!(lines.count(), 1, "logged once:\n{log}");
        assert!(stall <= Duration::from_millis(50), "a publisher waited {stall:?}");
        healthy.ping();
    }

    /// S3, first half: a reader of 1 KiB/s cannot take what is pending within `write_deadline`.
    fn s3_write_deadline(driver) {
        let _alone = heavy();
        let deadline = Duration::from_secs(1);
        let server = server(driver, "write_deadline: \"1s\"");
        let slow = dead_reader(&server, "s3");
        let mut publisher = server.raw_client();
        let stop = AtomicBool::new(false);
        let (reason, took) = thread::scope(|scope| {
            let _stop = StopAtEnd(&stop);
            scope.spawn(|| sip(&slow, 128, Duration::from_millis(125), &stop));
            let begin = Instant::now();
            publish_with_pongs(&mut publisher, 3, "s3", 192, 64 * KIB);
            let published = begin.elapsed();
            let entry = closed_entry(&server, slow.cid());
            // The socket was full somewhere between the first and the last of them.
            assert!(begin.elapsed() >= deadline.mul_f64(0.8), "cut after {:?}", begin.elapsed());
            (entry["reason"].clone(), begin.elapsed() - published)
        });
        println!("S3 {}: write_deadline {deadline:?}, cut after {took:.2?}: {reason}", driver.name());
        assert_eq!(reason, "Slow Consumer (Write Deadline)");
        server.wait_log("Slow Consumer Detected: WriteDeadline of 1s Exceeded", LIMIT);
        assert_eq!(server.varz()["slow_consumers"], 1);
        assert!(took <= deadline.mul_f64(1.2), "cut only after {took:?}");
        publisher.ping();
    }

    /// S3, second half: the same reader, more pending than `max_pending` long before the deadline.
    fn s3_max_pending(driver) {
        let _alone = heavy();
        let server = server(driver, "write_deadline: \"10s\"\nmax_pending: 1048576");
        let slow = dead_reader(&server, "s3");
        let mut publisher = server.raw_client();
        let stop = AtomicBool::new(false);
        let (reason, took) = thread::scope(|scope| {
            let _stop = StopAtEnd(&stop);
            scope.spawn(|| sip(&slow, 128, Duration::from_millis(125), &stop));
            let begin = Instant::now();
            publish_with_pongs(&mut publisher, 3, "s3", 192, 64 * KIB);
            let entry = closed_entry(&server, slow.cid());
            (entry["reason"].clone(), begin.elapsed())
        });
        println!("S3 {}: max_pending 1 MiB, cut after {took:.2?}: {reason}", driver.name());
        assert_eq!(reason, "Slow Consumer (Pending Bytes)");
        assert_eq!(server.varz()["slow_consumers"], 1);
        assert!(took < Duration::from_secs(5), "cut only after {took:?}");
        publisher.ping();
    }

    /// S4: what was pending when a connection was cut, for messages of many sizes and for its own PONGs.
    fn s4_cut_point(driver) {
        let _alone = heavy();
        let (max_pending, max_payload) = (2 * MIB, MIB);
        let server = server(driver, &format!("max_pending: {max_pending}"));
        let check = |what: &str, cid: u64| {
            let entry = closed_entry(&server, cid);
            let pending = pending_of(&entry);
            println!("S4 {}: {what}: cut at {pending} pending bytes", driver.name());
            assert_eq!(entry["reason"], "Slow Consumer (Pending Bytes)");
            assert!(pending > max_pending, "{what}: cut too early");
            assert!(pending <= max_pending + max_payload + 64 * KIB, "{what}: cut too late");
        };
        for bytes in [32, 1000, 64 * KIB, max_payload] {
            let dead = dead_reader(&server, "s4");
            let count = (16 * MIB / (bytes + 16)) as u64;
            publish_all(server.address(), 4, "s4", count, bytes);
            check(&format!("messages of {bytes} bytes"), dead.cid());
        }
        let mut deaf = RawClient::connect_rcvbuf(server.address(), TINY_RCVBUF);
        deaf.connect_quiet();
        let pings = "PING\r\n".repeat(64 * KIB);
        while deaf.try_send(&pings).is_ok() {}
        check("PONGs", deaf.cid());
        assert_eq!(server.varz()["slow_consumers"], 5);
    }

    /// S9: readers at half the publisher's speed: nobody is cut, nothing is lost.
    fn s9_readers_at_half_speed(driver) {
        // Whether the publisher has to be slowed depends on how much of the machine is left for it.
        s9(driver, f64::INFINITY);
    }

    /// S9 with readers far below that, so that the brake is what saves them.
    fn s9_publisher_is_slowed(driver) {
        let stalls = s9(driver, 80.0 * MIB as f64);
        assert!(stalls > 0, "the publisher was never slowed");
    }

    /// S9 with a reader so slow that the kernel tells of room only now and then: it reads all the same.
    fn s9_slow_reader_is_waited_for(driver) {
        let _alone = heavy();
        let (bytes, max_pending) = (4 * KIB, 2 * MIB);
        let server = server(driver, &format!("max_pending: {max_pending}"));
        let run = u64::from(server.pid());
        let count = (16 * MIB / bytes) as u64;
        let mut slow = RawClient::connect_rcvbuf(server.address(), 64 * KIB);
        slow.connect_quiet();
        slow.send("SUB s9 1\r\n");
        slow.ping();
        let taken = thread::scope(|scope| {
            let reading = scope.spawn(|| read_all(&mut slow, run, count, 5.0 * MIB as f64));
            publish_all(server.address(), run, "s9", count, bytes);
            reading.join().expect("the reader")
        });
        let varz = server.varz();
        println!(
            "S9 {}: a reader of 5 MiB/s: stalls {}, slow consumers {}",
            driver.name(),
            varz["stalled_clients"],
            varz["slow_consumers"],
        );
        taken.payloads.finish().assert_six_zeros("S9");
        assert_eq!(varz["slow_consumers"], 0);
    }

    /// A lagging reader with and without `no_fast_producer_stall`: with it the publisher is
    /// not slowed, so the reader is cut.
    fn no_fast_producer_stall(driver) {
        let _alone = heavy();
        let (count, bytes) = ((64 * MIB / KIB) as u64, KIB);
        for is_off in [false, true] {
            let conf = format!("max_pending: {}\nno_fast_producer_stall: {is_off}", 2 * MIB);
            let server = server(driver, &conf);
            let mut lagging = RawClient::connect_rcvbuf(server.address(), 64 * KIB);
            lagging.connect_quiet();
            lagging.send("SUB fast 1\r\n");
            lagging.ping();
            let stop = AtomicBool::new(false);
            let took = thread::scope(|scope| {
                let _stop = StopAtEnd(&stop);
                // About 30 MiB/s.
                scope.spawn(|| sip(&lagging, 64 * KIB, Duration::from_millis(2), &stop));
                publish_all(server.address(), 5, "fast", count, bytes)
            });
            let varz = server.varz();
            println!(
                "no_fast_producer_stall {}: {is_off}: 64 MiB in {took:.2?}, stalls {}, slow consumers {}",
                driver.name(),
                varz["stalled_clients"],
                varz["slow_consumers"],
            );
            if is_off {
                assert_eq!(varz["stalled_clients"], 0);
                assert_eq!(varz["slow_consumers"], 1);
            } else {
                assert!(varz["stalled_clients"].as_u64() > Some(0), "the publisher was never slowed");
                assert_eq!(varz["slow_consumers"], 0);
            }
        }
    }

    /// Many stalled readers and a flood: memory is bounded by what may be pending, and comes back.
    fn overload_memory_is_bounded(driver) {
        let _alone = heavy();
        let (readers, max_pending) = (20, 4 * MIB);
        let server = server(driver, &format!("max_pending: {max_pending}"));
        publish_all(server.address(), 6, "over", 1000, KIB);
        let base = server.rss_bytes();
        let mut peak = 0;
        for round in 0..3 {
            let dead: Vec<RawClient> = (0..readers).map(|_| dead_reader(&server, "over")).collect();
            publish_all(server.address(), 6, "over", (16 * MIB / KIB) as u64, KIB);
            let cut = (round + 1) * readers;
            wait_until(LIMIT, "all stalled readers cut", || server.varz()["slow_consumers"] == cut);
            peak = process::rss_peak_bytes(server.pid());
            let allowed = base + (readers * max_pending) as u64 + SLACK_BYTES;
            assert!(peak <= allowed, "{peak} bytes of memory, {allowed} allowed");
            drop(dead);
        }
        let allowed = base + SLACK_BYTES / 4;
        let back = wait_until(LIMIT, "memory given back", || server.rss_bytes() <= allowed);
        println!(
            "overload {}: RSS {} KiB, peak + {} KiB, afterwards + {} KiB, back after {back:.1?}",
            driver.name(),
            base / 1024,
            (peak - base) / 1024,
            server.rss_bytes().saturating_sub(base) / 1024,
        );
    }

    /// L2, short: a fan-out to many subscriptions of many connections, in order, nothing missing.
    fn l2_fanout_in_order(driver) {
        let _alone = heavy();
        let (connections, subs, count) = (100, 100, 20);
        let server = Server::start(driver);
        let run = u64::from(server.pid());
        let mut clients: Vec<RawClient> = (0..connections).map(|_| server.raw_client()).collect();
        for client in &mut clients {
            let lines: String = (1..=subs).map(|sid| format!("SUB l2 {sid}\r\n")).collect();
            client.send(lines);
            client.ping();
        }
        let begin = Instant::now();
        let took = thread::scope(|scope| {
            let publishing = scope.spawn(|| publish_all(server.address(), run, "l2", count, 64));
            let mut checker = Checker::new(run);
            for client in &mut clients {
                let watches: Vec<WatchId> = (1..=subs)
                    .map(|sid| checker.watch(format!("cid {} sid {sid}", client.cid())))
                    .collect();
                for watch in &watches {
                    checker.must(*watch, 0, 0..count);
                }
                for _ in 0..count * subs as u64 {
                    let message = client.message();
                    let sid: usize = message.sid.parse().expect("a sid of ours");
                    checker.received(watches[sid - 1], 0, &message.payload);
                }
                client.ping();
            }
            checker.finish().assert_six_zeros("L2");
            publishing.join().expect("the publisher")
        });
        println!("L2 {}: published in {took:.1?}, read in {:.1?}", driver.name(), begin.elapsed());
    }

    /// L5: UNSUB with a maximum under publishers at full speed: exactly so many, every time.
    fn l5_exactly_max(driver) {
        let _alone = heavy();
        let (rounds, max) = (40, 250);
        let server = Server::start(driver);
        let stop = AtomicBool::new(false);
        let published = AtomicU64::new(0);
        thread::scope(|scope| {
            let _stop = StopAtEnd(&stop);
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut publisher = server.raw_client();
                    let batch = "PUB l5 5\r\nhello\r\n".repeat(50);
                    while !stop.load(Ordering::Relaxed) {
                        publisher.send(&batch);
                        publisher.ping();
                        published.fetch_add(50, Ordering::Relaxed);
                    }
                });
            }
            let mut client = server.raw_client();
            for round in 0..rounds {
                client.send(format!("SUB l5 {round}\r\nUNSUB {round} {max}\r\n"));
                for _ in 0..max {
                    let message = client.message();
                    assert_eq!(message.sid, round.to_string());
                }
                // One more would stand in front of the PONG.
                client.ping();
            }
            let all = published.load(Ordering::Relaxed);
            wait_until(LIMIT, "more messages that nobody may get", || {
                published.load(Ordering::Relaxed) > all + 10_000
            });
            client.ping();
        });
        println!(
            "L5 {}: {} deliveries in {rounds} rounds, exactly {max} each, of {} published",
            driver.name(),
            rounds * max,
            published.load(Ordering::Relaxed),
        );
    }

    /// L8: messages of the largest size at default limits.
    fn l8_large_messages(driver) {
        let _alone = heavy();
        let (count, bytes) = (500, MIB);
        let server = server(driver, "");
        let run = u64::from(server.pid());
        let mut client = reader(server.address(), "l8");
        let begin = Instant::now();
        let taken = thread::scope(|scope| {
            let reading = scope.spawn(|| read_all(&mut client, run, count, f64::INFINITY));
            publish_all(server.address(), run, "l8", count, bytes);
            reading.join().expect("the reader")
        });
        let took = begin.elapsed();
        let varz = server.varz();
        println!(
            "L8 {}: {count} x 1 MiB in {took:.2?}, server CPU {:.2?}, slow consumers {}, stalls {}, peak RSS {} KiB",
            driver.name(),
            server.cpu_time(),
            varz["slow_consumers"],
            varz["stalled_clients"],
            process::rss_peak_bytes(server.pid()) / 1024,
        );
        taken.payloads.finish().assert_six_zeros("L8");
        assert_eq!(varz["slow_consumers"], 0);
        assert!(took <= Duration::from_secs(10), "took {took:?}");
    }
}
