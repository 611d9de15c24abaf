//! S8: one connection with very many subscriptions: how they come, and how they go, at once or one by one.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{LIMIT, SLACK_BYTES, server};
use crate::support::load::StopAtEnd;
use crate::support::times::probe_until;
use crate::support::{
    Case, Driver, RawClient, Report, Server, Times, heavy, is_long, long, on_shards, process,
    wait_until,
};

/// How long a subscription may be remembered after its end.
const GONE_MAX: Duration = Duration::from_secs(2);

/// Memory for one subscription on each shard, in bytes.
const BYTES_EACH: u64 = 512;

/// Bytes handed to the socket at once.
const BATCH_BYTES: usize = 64 * 1024;

/// Sends a line for each sid, then waits until all are handled.
fn send_lines(client: &mut RawClient, count: u64, line: impl Fn(&mut String, u64)) {
    client.set_limit(Duration::from_secs(60));
    let mut batch = String::new();
    for sid in 0..count {
        line(&mut batch, sid);
        if batch.len() >= BATCH_BYTES {
            client.send(&batch);
            batch.clear();
        }
    }
    client.send(&batch);
    client.ping();
}

fn subscribe(client: &mut RawClient, count: u64) {
    send_lines(client, count, |batch, sid| {
        let written = write!(batch, "SUB rich.{}.{sid} {sid}\r\n", sid % 100);
        written.expect("a string takes it");
    });
}

fn unsubscribe(client: &mut RawClient, count: u64) {
    send_lines(client, count, |batch, sid| {
        let written = write!(batch, "UNSUB {sid}\r\n");
        written.expect("a string takes it");
    });
}

/// Does `what` beside an idle client on each shard that PINGs; gives its times, and how long it took.
fn beside(probes: &mut [RawClient], what: impl FnOnce()) -> (Vec<Times>, Duration) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stop = &stop;
        let _stop = StopAtEnd(stop);
        let probing: Vec<_> = probes
            .iter_mut()
            .map(|probe| scope.spawn(move || probe_until(stop, probe)))
            .collect();
        let begin = Instant::now();
        what();
        let took = begin.elapsed();
        stop.store(true, Ordering::Relaxed);
        let times = probing
            .into_iter()
            .map(|probe| probe.join().expect("a probe"));
        (times.collect(), took)
    })
}

/// Prints the times of each shard and holds them against a limit: 99 % of them, and in a soak run
/// all but one in a thousand.
fn judge(what: &str, took: Duration, times: &[Times], p99: Duration) -> Duration {
    for (shard, times) in times.iter().enumerate() {
        println!("S8 {what} in {took:.2?}: PING on shard {shard}: {times}");
    }
    for times in times {
        assert!(times.quantile(0.99) <= p99, "{what}: {times}");
        if is_long() {
            assert!(
                times.quantile(0.999) <= Duration::from_millis(50),
                "{what}: {times}"
            );
        }
    }
    times.iter().map(Times::worst).max().unwrap_or_default()
}

/// Makes the subscriptions of a connection on shard 0, and lets `end` end them.
fn s8(
    driver: Driver,
    cores: usize,
    how: &str,
    end: impl FnOnce(RawClient, u64) -> Option<RawClient>,
) {
    let _alone = heavy();
    let count: u64 = long(200_000, 1_000_000);
    let server = server(driver, cores);
    let mut rich = server.client_on(0);
    let mut probes = server.clients_on(&(0..cores).collect::<Vec<_>>());
    let base = server.rss_bytes();
    // Nothing that arrives may stall a shard for over 50 ms. Beside other tests, and in a build that is
    // not optimised, only what is out of all proportion shows.
    let lenient = long(Duration::from_millis(250), Duration::from_millis(50));
    let (times, took) = beside(&mut probes, || subscribe(&mut rich, count));
    let what = format!("{} x{cores}: {count} subscriptions made", driver.name());
    judge(&what, took, &times, lenient);
    assert_eq!(subscriptions(&server), Some(count));
    let full = process::rss_peak_bytes(server.pid());
    let mut kept = None;
    let (times, took) = beside(&mut probes, || {
        kept = end(rich, count);
        wait_until(LIMIT, "all of them gone", || {
            subscriptions(&server) == Some(0)
        });
    });
    let what = format!("{} x{cores}: {count} subscriptions {how}", driver.name());
    let limit = match kept {
        Some(_) => lenient,
        None => long(Duration::from_millis(100), Duration::from_millis(10)),
    };
    let worst = judge(&what, took, &times, limit);
    // Memory goes back bit by bit; what it has to come to is the promise for no subscription.
    wait_until(LIMIT, "memory given back", || {
        server.rss_bytes() <= base + SLACK_BYTES
    });
    println!(
        "S8 {} x{cores}: RSS {} KiB, full + {} KiB, afterwards + {} KiB",
        driver.name(),
        base / 1024,
        (full - base) / 1024,
        server.rss_bytes().saturating_sub(base) / 1024,
    );
    Case {
        id: "S8",
        driver,
        cores,
        inputs: count,
        worst,
    }
    .finish(&server, &Report::default());
    let allowed = base + BYTES_EACH * count * cores as u64 + SLACK_BYTES;
    assert!(full <= allowed, "{full} bytes of memory, {allowed} allowed");
    if kept.is_none() {
        assert!(took <= GONE_MAX, "gone only after {took:?}");
    }
    for probe in &mut probes {
        probe.ping();
    }
}

fn subscriptions(server: &Server) -> Option<u64> {
    server.subsz("")["num_subscriptions"].as_u64()
}

on_shards! {
    fn s8_cut(driver, cores) on one, two {
        s8(driver, cores, "cut", |rich, _| {
            rich.reset();
            None
        });
    }

    fn s8_ended_one_by_one(driver, cores) on one, two {
        s8(driver, cores, "ended", |mut rich, count| {
            unsubscribe(&mut rich, count);
            Some(rich)
        });
    }
}
