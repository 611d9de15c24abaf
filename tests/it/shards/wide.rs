//! X2: a fan-out of 1000 at full speed, and what others on its shards notice of it.
//!
//! ```text
//!   shard 0:    publisher --x2--> 1000 subscriptions on the last shard, or on all
//!   each shard: an idle client that only PINGs
//! ```

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::LIMIT;
use crate::support::load::{StopAtEnd, flood, publication};
use crate::support::sink::sink;
use crate::support::soak::long_time;
use crate::support::times::probe_until;
use crate::support::{
    Case, Driver, Report, Server, Times, heavy, is_long, long, on_shards, process, wait_until,
};

/// Subscriptions that get every message.
const WIDTH: usize = 1000;

/// How long the flood goes on.
fn time() -> Duration {
    long_time(Duration::from_millis(700), 1.0)
}

/// Bytes that a connection with these sids gets for one message.
fn bytes_of(sids: Range<usize>, payload: usize) -> u64 {
    let lines = sids.map(|sid| format!("MSG x2 {sid} {payload}\r\n").len());
    lines.map(|line| (line + payload + 2) as u64).sum()
}

/// Runs the flood into `readers`, with the subscriptions `sids` each; every byte has to come.
fn x2(driver: Driver, cores: usize, connections: usize, payload: usize) {
    let _alone = heavy();
    process::raise_nofile();
    let server = Server::with(driver).cores(cores).ulimit_nofile(4096);
    let server = server.monitor().start();
    let sids = WIDTH / connections;
    let mut readers = if connections == 1 {
        server.clients_on(&[cores - 1])
    } else {
        (0..connections).map(|_| server.raw_client()).collect()
    };
    let lines: String = (0..sids).map(|sid| format!("SUB x2 {sid}\r\n")).collect();
    for reader in &mut readers {
        reader.send(&lines);
        reader.ping();
    }
    let mut publisher = server.client_on(0);
    let mut probes = server.clients_on(&(0..cores).collect::<Vec<_>>());
    let message = publication("x2", payload);
    // More than the lanes hold, and more than a turn reads.
    let ahead = long(128, 1024) * 1024;
    let bytes_each = bytes_of(0..sids, payload) * connections as u64;
    let (stop, is_read, taken) = (
        AtomicBool::new(false),
        AtomicBool::new(false),
        AtomicU64::new(0),
    );
    let (published, took, times) = thread::scope(|scope| {
        let (stop, is_read, taken, readers) = (&stop, &is_read, &taken, &readers);
        let _read = StopAtEnd(is_read);
        let _stop = StopAtEnd(stop);
        scope.spawn(move || sink(readers, taken, is_read));
        let begin = Instant::now();
        let flooding = scope.spawn(move || flood(&mut publisher, &message, ahead, stop));
        let probing: Vec<_> = probes
            .iter_mut()
            .map(|probe| scope.spawn(move || probe_until(stop, probe)))
            .collect();
        // How long it goes on is the input.
        thread::sleep(time());
        stop.store(true, Ordering::Relaxed);
        let times: Vec<Times> = probing
            .into_iter()
            .map(|probe| probe.join().expect("a probe"))
            .collect();
        let published = flooding.join().expect("the publisher");
        wait_until(LIMIT, "every byte of the fan-out", || {
            taken.load(Ordering::Relaxed) >= published * bytes_each
        });
        (published, begin.elapsed(), times)
    });
    assert_eq!(
        taken.load(Ordering::Relaxed),
        published * bytes_each,
        "bytes of {published} messages"
    );
    for reader in &mut readers {
        // One byte too many would stand in front of the PONG.
        reader.ping();
    }
    let deliveries = published * WIDTH as u64;
    for (shard, times) in times.iter().enumerate() {
        println!(
            "X2 {} x{cores}: {connections} connections x {sids} subscriptions, {payload} B, {:.1} M \
             deliveries/s; PING on shard {shard}: {times}",
            driver.name(),
            deliveries as f64 / took.as_secs_f64() / 1e6,
        );
    }
    let worst = times.iter().map(Times::worst).max().unwrap_or_default();
    let report = Report {
        received: deliveries,
        ..Report::default()
    };
    Case {
        id: "X2",
        driver,
        cores,
        inputs: published,
        worst,
    }
    .finish(&server, &report);
    assert_eq!(server.varz()["slow_consumers"], 0);
    for (shard, times) in times.iter().enumerate() {
        // Beside other tests, and in a build that is not optimised, this is about seconds.
        // A thousand readers are as many system calls before each has its own: their bound is for that.
        let (p99, p999) = match connections {
            _ if !is_long() => (250, 1000),
            1 => (10, 50),
            _ => (40, 80),
        };
        let (p99, p999) = (Duration::from_millis(p99), Duration::from_millis(p999));
        assert!(times.quantile(0.99) <= p99, "shard {shard}: {times}");
        assert!(times.quantile(0.999) <= p999, "shard {shard}: {times}");
    }
}

on_shards! {
    fn x2_one_connection(driver, cores) on one, two {
        x2(driver, cores, 1, 16);
    }

    fn x2_one_connection_1_kib(driver, cores) on one, two {
        x2(driver, cores, 1, 1024);
    }

    fn x2_many_connections(driver, cores) on one, two {
        x2(driver, cores, WIDTH, 16);
    }

    fn x2_many_connections_1_kib(driver, cores) on one, two {
        x2(driver, cores, WIDTH, 1024);
    }
}
