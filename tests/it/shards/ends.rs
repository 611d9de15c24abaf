//! Whole processes: started, stopped, stood still, and ended by a fault of one shard.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{LIMIT, run_of, server_with};
use crate::support::load::{Publisher, StopAtEnd};
use crate::support::{
    Case, Checker, RawClient, Report, Server, heavy, long, on_shards, wait_until,
};

/// How long a start may take, and an end.
const ONE_SECOND: Duration = Duration::from_secs(1);

/// Messages between two barriers of a publisher.
const BATCH: u64 = 500;

/// Reads until everything that was published has arrived, or nothing comes any more.
fn read_until_all(
    client: &mut RawClient,
    run: u64,
    published: &[AtomicU64],
    is_over: &AtomicBool,
) -> Report {
    let mut checker = Checker::new(run);
    let watch = checker.watch(format!("reader {}", client.cid()));
    let due = || {
        published
            .iter()
            .map(|count| count.load(Ordering::Acquire))
            .sum::<u64>()
    };
    let mut last = Instant::now();
    loop {
        // Read first: what was published after that is not in question yet.
        let was_over = is_over.load(Ordering::Acquire);
        match client.message_within(Duration::from_millis(100)) {
            Some(message) => {
                checker.received(watch, 0, &message.payload);
                last = Instant::now();
            }
            None if was_over && checker.received_count() >= due() => break,
            None if was_over && last.elapsed() > LIMIT => break,
            None => {}
        }
    }
    for (publisher, count) in (0..).zip(published) {
        checker.must(watch, publisher, 0..count.load(Ordering::Acquire));
    }
    checker.finish()
}

on_shards! {
    /// X8: a panic on one shard ends the process, at once and with its reason.
    fn x8_a_fault_of_one_shard_ends_all(driver, cores) on two, four {
        if !cfg!(debug_assertions) {
            println!("X8 skipped: a release build has no planted panic");
            return;
        }
        let times: u64 = long(5, 20);
        let mut worst = Duration::ZERO;
        for round in 0..times {
            let (shard, nth) = (round as usize % cores, 1 + round as usize / 2);
            let builder = Server::with(driver).cores(cores).own_build();
            let mut server = builder.env("GNATSD_PLANTED_PANIC", format!("{shard}:{nth}")).start();
            // They come in turn.
            let harmless = (nth - 1) * cores + shard;
            let mut clients: Vec<RawClient> = (0..harmless).map(|_| server.raw_client()).collect();
            for client in &mut clients {
                client.ping();
            }
            assert_eq!(server.wait_exit(Duration::ZERO), None, "ended too early:\n{}", server.log());
            let begin = Instant::now();
            let last = std::net::TcpStream::connect(server.address()).expect("connect");
            let code = server.wait_exit(LIMIT);
            let took = begin.elapsed();
            worst = worst.max(took);
            assert!(code.is_some_and(|code| code > 0), "exit code {code:?}\n{}", server.log());
            assert!(took <= ONE_SECOND, "ended only after {took:?}\n{}", server.log());
            server.wait_log("planted by GNATSD_PLANTED_PANIC", LIMIT);
            for client in &mut clients {
                client.expect_closed();
            }
            drop(last);
        }
        println!("X8 {} x{cores}: {times} inputs, longest {worst:.1?}", driver.name());
    }

    /// X10: started and stopped, with clients or without, at once or after a message over all shards.
    fn x10_starts_and_stops(driver, cores) on four {
        let times: usize = long(20, 500);
        let (mut start_max, mut stop_max) = (Duration::ZERO, Duration::ZERO);
        for round in 0..times {
            let begin = Instant::now();
            let mut server = Server::with(driver).cores(cores).start();
            start_max = start_max.max(begin.elapsed());
            let mut clients: Vec<RawClient> =
                (0..round % 4 * cores / 2).map(|_| server.raw_client()).collect();
            for client in &mut clients {
                client.subscribe("x10", 1);
            }
            if let [first, ..] = &mut clients[..] {
                first.send("PUB x10 2\r\nhi\r\n");
                for client in &mut clients {
                    client.expect("MSG x10 1 2\r\nhi\r\n");
                }
            }
            let begin = Instant::now();
            server.signal(if round % 2 == 0 { Signal::TERM } else { Signal::INT });
            let code = server.wait_exit(LIMIT);
            let took = begin.elapsed();
            stop_max = stop_max.max(took);
            assert_eq!(code, Some(0), "round {round}\n{}", server.log());
            assert!(took <= ONE_SECOND, "round {round}: ended after {took:?}\n{}", server.log());
            for client in &mut clients {
                client.expect_closed();
            }
        }
        println!(
            "X10 {} x{cores}: {times} inputs, longest start {start_max:.1?}, longest end {stop_max:.1?}",
            driver.name()
        );
        assert!(start_max <= ONE_SECOND, "a start took {start_max:?}");
    }

    /// E3: the process stands still under load for longer than every deadline. Nobody is cut for that.
    fn e3_stands_still_under_load(driver, cores) on four {
        let _alone = heavy();
        let still = long(Duration::from_secs(2), Duration::from_secs(5));
        let server = server_with(
            driver,
            cores,
            "write_deadline: \"1s\"\nping_interval: \"500ms\"\nping_max: 2",
        );
        let run = run_of(&server);
        let everywhere: Vec<usize> = (0..cores).collect();
        let mut readers = server.clients_on(&everywhere);
        for reader in &mut readers {
            reader.subscribe("e3", 1);
        }
        let publishers = server.made_on(&everywhere, || {
            let mut client = server.raw_client();
            client.set_limit(Duration::from_secs(60));
            client
        });
        let published: Vec<AtomicU64> = publishers.iter().map(|_| AtomicU64::new(0)).collect();
        let (stop, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        let (report, resumed) = thread::scope(|scope| {
            let (stop, is_over, published) = (&stop, &is_over, &published[..]);
            let _over = StopAtEnd(is_over);
            let _stop = StopAtEnd(stop);
            let reading: Vec<_> = readers
                .iter_mut()
                .map(|client| scope.spawn(move || read_until_all(client, run, published, is_over)))
                .collect();
            let publishing: Vec<_> = (0..)
                .zip(publishers)
                .zip(published)
                .map(|((number, client), count)| {
                    let mut publisher = Publisher { client, run, number, bytes: 100 };
                    scope.spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            let next = count.load(Ordering::Relaxed);
                            publisher.publish("e3", next..next + BATCH);
                            count.store(next + BATCH, Ordering::Release);
                        }
                    })
                })
                .collect();
            let due = || published.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
            wait_until(LIMIT, "load", || due() > 20 * BATCH);
            server.signal(Signal::STOP);
            // Standing still is the input.
            thread::sleep(still);
            let before = due();
            server.signal(Signal::CONT);
            let resumed = wait_until(LIMIT, "load again", || due() > before + 20 * BATCH);
            stop.store(true, Ordering::Relaxed);
            for publisher in publishing {
                publisher.join().expect("a publisher");
            }
            is_over.store(true, Ordering::Release);
            let reports = reading.into_iter().map(|reader| reader.join().expect("a reader"));
            (Report::sum(reports), resumed)
        });
        let varz = server.varz();
        let closed = server.connz("state=closed&limit=10000");
        println!(
            "E3 {} x{cores}: still for {still:?}, under load again after {resumed:.1?}, slow consumers {}",
            driver.name(),
            varz["slow_consumers"],
        );
        assert_eq!(varz["slow_consumers"], 0, "{closed}");
        for client in &mut readers {
            assert_eq!(client.messages_until_pong(), []);
        }
        let inputs = published.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        Case { id: "E3", driver, cores, inputs, worst: resumed }.finish(&server, &report);
    }
}
