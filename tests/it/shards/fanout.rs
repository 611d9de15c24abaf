//! L2: many connections with many subscriptions each, publishers on every shard.

use std::thread;
use std::time::{Duration, Instant};

use super::{run_of, server};
use crate::support::load::Publisher;
use crate::support::{Case, Checker, RawClient, Report, heavy, long, on_shards};

const CONNECTIONS: usize = 100;

/// Subscriptions of each connection.
const SUBS: usize = 100;

/// Threads that read.
const READERS: usize = 4;

/// Reads `count` messages for each subscription of each of these, in lockstep, so that none of them
/// lags behind the others by more than one message.
fn read_lockstep(clients: &mut [RawClient], run: u64, shares: &[u64]) -> Report {
    let count: u64 = shares.iter().sum();
    let mut checker = Checker::new(run);
    let mut watches = Vec::new();
    for client in clients.iter_mut() {
        client.set_limit(Duration::from_secs(60));
        for sid in 0..SUBS {
            let watch = checker.watch(format!("cid {} sid {sid}", client.cid()));
            for (publisher, share) in (0..).zip(shares) {
                checker.must(watch, publisher, 0..*share);
            }
            watches.push(watch);
        }
    }
    for _ in 0..count {
        for (client, watches) in clients.iter_mut().zip(watches.chunks(SUBS)) {
            for _ in 0..SUBS {
                let message = client.message();
                let sid: usize = message.sid.parse().expect("a sid of ours");
                checker.received(watches[sid], 0, &message.payload);
            }
        }
    }
    checker.finish()
}

on_shards! {
    fn l2_fanout_in_order(driver, cores) on two, four {
        let _alone = heavy();
        let count: u64 = long(10, 500);
        let server = server(driver, cores);
        let run = run_of(&server);
        let mut clients: Vec<RawClient> = (0..CONNECTIONS).map(|_| server.raw_client()).collect();
        let lines: String = (0..SUBS).map(|sid| format!("SUB l2 {sid}\r\n")).collect();
        for client in &mut clients {
            client.send(&lines);
            client.ping();
        }
        let share = |shard: usize| (count + (cores - 1 - shard) as u64) / cores as u64;
        let shares: Vec<u64> = (0..cores).map(share).collect();
        assert_eq!(shares.iter().sum::<u64>(), count);
        let publishers = server.clients_on(&(0..cores).collect::<Vec<_>>());
        let begin = Instant::now();
        let report = thread::scope(|scope| {
            let shares = &shares;
            let reading: Vec<_> = clients
                .chunks_mut(CONNECTIONS / READERS)
                .map(|chunk| scope.spawn(move || read_lockstep(chunk, run, shares)))
                .collect();
            for ((number, client), share) in (0..).zip(publishers).zip(shares) {
                let mut publisher = Publisher { client, run, number, bytes: 64 };
                publisher.client.set_limit(Duration::from_secs(60));
                scope.spawn(move || publisher.publish("l2", 0..*share));
            }
            Report::sum(reading.into_iter().map(|reader| reader.join().expect("a reader")))
        });
        let worst = begin.elapsed();
        for client in &mut clients {
            client.ping();
        }
        let inputs = count * (CONNECTIONS * SUBS) as u64;
        Case { id: "L2", driver, cores, inputs, worst }.finish(&server, &report);
        assert_eq!(report.received, inputs);
    }
}
