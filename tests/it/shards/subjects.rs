//! S6: messages on subjects that were never seen before, and never are again: what is kept of them.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{LIMIT, SLACK_BYTES, server};
use crate::support::load::StopAtEnd;
use crate::support::sink::sink;
use crate::support::times::probe_until;
use crate::support::{
    Case, RawClient, Report, Times, heavy, is_long, long, on_shards, process, wait_until,
};

/// Bytes handed to the socket at once.
const BATCH_BYTES: usize = 64 * 1024;

/// Publishes once on each of `count` subjects that begin with `prefix`; gives the bytes that a subscriber
/// of them all gets.
fn publish_once_each(client: &mut RawClient, prefix: &str, count: u64) -> u64 {
    client.set_limit(Duration::from_secs(60));
    let (mut batch, mut bytes) = (String::new(), 0);
    for number in 0..count {
        // Two tokens that vary: a subject of every kind that a table could keep.
        let from = batch.len();
        let written = write!(batch, "PUB {prefix}.{}.{number} 2\r\nhi\r\n", number % 1000);
        written.expect("a string takes it");
        // `MSG subject 1 2` for `PUB subject 2`.
        bytes += (batch.len() - from + 2) as u64;
        if batch.len() >= BATCH_BYTES {
            client.send(&batch);
            batch.clear();
        }
    }
    client.send(&batch);
    client.ping();
    bytes
}

on_shards! {
    fn s6_distinct_subjects(driver, cores) on one, two {
        let _alone = heavy();
        let count: u64 = long(1_000_000, 10_000_000);
        let server = server(driver, cores);
        let mut publisher = server.client_on(0);
        let mut probe = server.client_on(0);
        let mut readers = server.clients_on(&(0..cores).collect::<Vec<_>>());
        let base = server.rss_bytes();
        let begin = Instant::now();
        publish_once_each(&mut publisher, "nobody", count);
        let (alone, unheard) = (begin.elapsed(), process::rss_peak_bytes(server.pid()));
        for reader in &mut readers {
            reader.subscribe(">", 1);
        }
        let begin = Instant::now();
        let (is_published, is_read) = (AtomicBool::new(false), AtomicBool::new(false));
        let taken = AtomicU64::new(0);
        let times: Times = thread::scope(|scope| {
            let (readers, taken, is_read) = (&readers, &taken, &is_read);
            let _read = StopAtEnd(is_read);
            let _published = StopAtEnd(&is_published);
            scope.spawn(move || sink(readers, taken, is_read));
            let probing = scope.spawn(|| probe_until(&is_published, &mut probe));
            let due = publish_once_each(&mut publisher, "somebody", count) * cores as u64;
            is_published.store(true, Ordering::Relaxed);
            wait_until(LIMIT, "every byte", || taken.load(Ordering::Relaxed) >= due);
            assert_eq!(taken.load(Ordering::Relaxed), due);
            probing.join().expect("the probe")
        });
        for reader in &mut readers {
            reader.ping();
        }
        let peak = process::rss_peak_bytes(server.pid());
        println!(
            "S6 {} x{cores}: {count} subjects in {alone:.2?} for nobody, {:.2?} for `>`; RSS {} KiB, + {} KiB, \
             then + {} KiB, {} KiB afterwards; PING beside it {times}",
            driver.name(),
            begin.elapsed(),
            base / 1024,
            (unheard - base) / 1024,
            (peak - base) / 1024,
            server.rss_bytes() / 1024,
        );
        let report = Report { received: count * cores as u64, ..Report::default() };
        let worst = times.worst();
        Case { id: "S6", driver, cores, inputs: 2 * count, worst }.finish(&server, &report);
        assert!(peak - base <= SLACK_BYTES, "{} bytes more", peak - base);
        // Nothing that arrives may stall a shard for longer. Beside other tests this cannot be told.
        if is_long() {
            assert!(times.quantile(0.999) <= Duration::from_millis(50), "{times}");
        }
    }
}
