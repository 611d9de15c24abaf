//! S5: fifty stalled subscribers at a time and a flood, in 512 MiB.
//!
//! Who is cut for being stalled is replaced, so that there is as much pending as there can be, all the time.

use std::collections::VecDeque;
use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{LIMIT, SLACK_BYTES};
use crate::support::load::{StopAtEnd, TINY_RCVBUF, flood, publication};
use crate::support::soak::long_time;
use crate::support::{
    Case, Driver, RawClient, Report, Server, heavy, long, on_shards, process, wait_until,
};

const MIB: usize = 1024 * 1024;

/// All the private memory the server may ask the system for, in KiB. It dies of asking for more.
const DATA_MAX_KIB: u32 = 512 * 1024;

/// Subscribers that do not read.
const STALLED: usize = 50;

/// Those of them and of their predecessors that are kept open here. The server cuts the oldest first,
/// which have most pending, so the last few hundred hold all that it has not cut.
const KEPT_MAX: usize = 400;

/// Time between two looks at who was cut.
const GLANCE: Duration = Duration::from_millis(10);

/// Directory of a control group with the memory limit of the case, if whoever runs it has one.
const CGROUP: &str = "GNATSD_SOAK_CGROUP";

fn stalled(server: &Server) -> RawClient {
    let mut client = RawClient::connect_rcvbuf(server.address(), TINY_RCVBUF);
    client.connect_quiet();
    client.send("SUB s5 1\r\n");
    client
}

fn s5(driver: Driver, cores: usize, bytes: usize) {
    let _alone = heavy();
    let max_pending = long(1, 4) * MIB;
    process::raise_nofile();
    let builder = Server::with(driver)
        .cores(cores)
        .monitor()
        .ulimit_nofile(4096);
    let builder = builder.conf(&format!("max_pending: {max_pending}"));
    let builder = builder.ulimit_data_kib(DATA_MAX_KIB);
    let server = match env::var(CGROUP) {
        Ok(directory) => builder.cgroup(&directory).start(),
        Err(_) => builder.start(),
    };
    let base = server.rss_bytes();
    let mut publishers = server.clients_on(&(0..cores).collect::<Vec<_>>());
    let mut healthy = server.raw_client();
    let others = server.shard_connections().iter().sum::<u64>() as usize;
    let time = long_time(Duration::from_millis(1500), 1.0);
    let message = publication("s5", bytes);
    let mut clients: VecDeque<RawClient> = VecDeque::new();
    let stop = AtomicBool::new(false);
    let (published, longest) = thread::scope(|scope| {
        let (stop, message) = (&stop, &message);
        let _stop = StopAtEnd(stop);
        let flooding: Vec<_> = publishers
            .iter_mut()
            .map(|publisher| scope.spawn(move || flood(publisher, message, MIB, stop)))
            .collect();
        let begin = Instant::now();
        let mut longest = Duration::ZERO;
        while begin.elapsed() < time {
            let alive = server.varz()["connections"].as_u64().expect("a number") as usize;
            for _ in alive..others + STALLED {
                clients.push_back(stalled(&server));
            }
            while clients.len() > KEPT_MAX {
                clients.pop_front();
            }
            let sent = Instant::now();
            healthy.ping();
            longest = longest.max(sent.elapsed());
            thread::sleep(GLANCE);
        }
        stop.store(true, Ordering::Relaxed);
        let published = flooding
            .into_iter()
            .map(|flood| flood.join().expect("a publisher"));
        (published.sum::<u64>(), longest)
    });
    let peak = process::rss_peak_bytes(server.pid());
    let cut = server.varz()["slow_consumers"].as_u64().expect("a number");
    drop(clients);
    wait_until(LIMIT, "the stalled ones gone", || {
        server.varz()["connections"] == others
    });
    let allowed = base + SLACK_BYTES / 2;
    let back = wait_until(LIMIT, "memory given back", || server.rss_bytes() <= allowed);
    println!(
        "S5 {} x{cores}: {STALLED} stalled x {} MiB, {bytes} B for {time:.1?}: {cut} cut, RSS {} KiB, peak + {} KiB, \
         afterwards + {} KiB after {back:.1?}",
        driver.name(),
        max_pending / MIB,
        base / 1024,
        peak.saturating_sub(base) / 1024,
        server.rss_bytes().saturating_sub(base) / 1024,
    );
    let report = Report {
        received: published,
        ..Report::default()
    };
    Case {
        id: "S5",
        driver,
        cores,
        inputs: published,
        worst: longest,
    }
    .finish(&server, &report);
    assert!(cut >= STALLED as u64, "only {cut} were ever full");
    let allowed = base + (STALLED * max_pending) as u64 + SLACK_BYTES;
    assert!(peak <= allowed, "{peak} bytes of memory, {allowed} allowed");
    healthy.ping();
}

on_shards! {
    fn s5_small_messages(driver, cores) on one, two {
        s5(driver, cores, 16);
    }

    fn s5_larger_messages(driver, cores) on one, two {
        s5(driver, cores, 1024);
    }
}
