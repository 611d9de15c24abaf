//! L5: UNSUB with a maximum while others publish at full speed on other shards.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{LIMIT, run_of, server};
use crate::support::load::{Publisher, StopAtEnd};
use crate::support::{Case, Checker, heavy, long, on_shards, wait_until};

/// Connections that publish.
const PUBLISHERS: usize = 8;

/// Messages that each subscription is to get.
const MAX: u64 = 250;

/// Messages between two barriers of a publisher.
const BATCH: u64 = 50;

on_shards! {
    fn l5_exactly_max(driver, cores) on two, four {
        let _alone = heavy();
        let rounds = long(40, 400);
        let server = server(driver, cores);
        let run = run_of(&server);
        let mut client = server.client_on(0);
        let elsewhere: Vec<usize> = (0..PUBLISHERS).map(|at| 1 + at % (cores - 1)).collect();
        let publishers = server.clients_on(&elsewhere);
        let mut checker = Checker::new(run);
        let stop = AtomicBool::new(false);
        let published = AtomicU64::new(0);
        let worst = thread::scope(|scope| {
            let (stop, published) = (&stop, &published);
            let _stop = StopAtEnd(stop);
            for (number, client) in (0..).zip(publishers) {
                let mut publisher = Publisher { client, run, number, bytes: 32 };
                scope.spawn(move || {
                    let mut next = 0;
                    while !stop.load(Ordering::Relaxed) {
                        publisher.publish("l5", next..next + BATCH);
                        next += BATCH;
                        published.fetch_add(BATCH, Ordering::Relaxed);
                    }
                });
            }
            let mut worst = Duration::ZERO;
            for round in 0..rounds {
                let watch = checker.watch(format!("sid {round}"));
                for publisher in 0..PUBLISHERS as u32 {
                    checker.may(watch, publisher, 0..u64::MAX);
                }
                let begin = Instant::now();
                client.send(format!("SUB l5 {round}\r\nUNSUB {round} {MAX}\r\n"));
                for _ in 0..MAX {
                    let message = client.message();
                    assert_eq!(message.sid, round.to_string());
                    checker.received(watch, 0, &message.payload);
                }
                worst = worst.max(begin.elapsed());
                // One more would stand in front of the PONG.
                client.ping();
            }
            let all = published.load(Ordering::Relaxed);
            wait_until(LIMIT, "more messages that nobody may get", || {
                published.load(Ordering::Relaxed) > all + 10_000
            });
            client.ping();
            worst
        });
        println!(
            "L5 {} x{cores}: exactly {MAX} in each of {rounds} rounds, of {} published",
            driver.name(),
            published.load(Ordering::Relaxed),
        );
        let report = checker.finish();
        Case { id: "L5", driver, cores, inputs: rounds * MAX, worst }.finish(&server, &report);
        assert_eq!(report.received, rounds * MAX);
    }
}
