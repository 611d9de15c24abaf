//! S7: subscriptions that come and go, thousands a second on fifty connections, and what others notice.
//!
//! Quiet and churned stretches take turns, so that a machine that changes its pace does so for both.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{LIMIT, server};
use crate::support::load::StopAtEnd;
use crate::support::times::ask_until;
use crate::support::{
    Case, Driver, RawClient, Report, Server, Times, heavy, is_long, long, on_shards, wait_until,
};

/// Connections that make and end subscriptions.
const CONNECTIONS: usize = 50;

/// Subscriptions held on each of them all the time.
const HELD: u64 = 20;

/// Time between two connections getting their turn.
const TICK: Duration = Duration::from_millis(1);

/// How much worse the others' 99th percentile may become.
const P99_MAX: f64 = 1.2;

/// How often the responder looks whether it is over.
const GLANCE: Duration = Duration::from_millis(50);

/// Connections that churn, and the number of the next subscription.
struct Churn {
    clients: Vec<RawClient>,
    next: u64,
}

impl Churn {
    /// Makes and ends `per_second` subscriptions in all for that long, one connection after the other;
    /// then waits until all is handled. Gives how many.
    fn run(&mut self, per_second: u64, time: Duration) -> u64 {
        let (begin, first) = (Instant::now(), self.next);
        let mut turn = 0;
        loop {
            let passed = begin.elapsed().min(time);
            let due = first + (passed.as_secs_f64() * per_second as f64) as u64;
            let lines: String = (self.next..due)
                .map(|sid| {
                    // One in ten is a pattern, one in ten is of a queue group.
                    let subject = match sid % 10 {
                        0 => format!("churn.*.{sid}"),
                        1 => format!("churn.{sid} group"),
                        _ => format!("churn.{sid}"),
                    };
                    format!("SUB {subject} {sid}\r\nUNSUB {sid}\r\n")
                })
                .collect();
            self.next = due;
            self.clients[turn % CONNECTIONS].send(lines);
            turn += 1;
            if passed == time {
                break;
            }
            thread::sleep(TICK);
        }
        for client in &mut self.clients {
            client.ping();
        }
        self.next - first
    }
}

/// Answers each request on its subject with `ok`, until told to stop.
fn answer(client: &mut RawClient, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if let Some(request) = client.message_within(GLANCE) {
            let reply = request.reply.expect("a request has a reply subject");
            client.send(format!("PUB {reply} 2\r\nok\r\n"));
        }
    }
}

/// One who asks from shard 0, one who answers on the last shard.
struct Pair {
    asking: RawClient,
    answering: RawClient,
}

impl Pair {
    fn new(server: &Server, cores: usize) -> Self {
        let mut asking = server.client_on(0);
        let mut answering = server.client_on(cores - 1);
        asking.subscribe("inbox", 1);
        answering.subscribe("service", 1);
        Self { asking, answering }
    }

    /// Round trips for as long as `meanwhile` takes.
    fn measure<T>(&mut self, meanwhile: impl FnOnce() -> T) -> (Times, T) {
        let (stop, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        let Self { asking, answering } = self;
        thread::scope(|scope| {
            let _over = StopAtEnd(&is_over);
            let _stop = StopAtEnd(&stop);
            scope.spawn(|| answer(answering, &is_over));
            let asked = scope.spawn(|| {
                ask_until(&stop, || {
                    asking.send("PUB service inbox 2\r\nhi\r\n");
                    asking.expect("MSG inbox 1 2\r\nok\r\n");
                })
            });
            let result = meanwhile();
            stop.store(true, Ordering::Relaxed);
            (asked.join().expect("who asks"), result)
        })
    }
}

fn s7(driver: Driver, cores: usize, per_second: u64) {
    let _alone = heavy();
    let server = server(driver, cores);
    let clients = (0..CONNECTIONS).map(|_| server.raw_client()).collect();
    let mut churn = Churn {
        clients,
        next: HELD,
    };
    for (number, client) in churn.clients.iter_mut().enumerate() {
        let lines = (0..HELD).map(|sid| format!("SUB held.{number}.{sid} {sid}\r\n"));
        client.send(lines.collect::<String>());
        client.ping();
    }
    let mut pair = Pair::new(&server, cores);
    let subscriptions = || server.subsz("")["num_subscriptions"].as_u64();
    let held = subscriptions();
    assert_eq!(held, Some(CONNECTIONS as u64 * HELD + 2));
    // Tables and buffers reach the size they need once.
    let warm_up = long(Duration::from_millis(500), Duration::from_secs(5));
    churn.run(per_second, warm_up);
    wait_until(LIMIT, "the first ones gone", || subscriptions() == held);
    let base = server.rss_bytes();

    let (mut quiet, mut churned) = (Times::default(), Times::default());
    let (mut count, mut peak) = (0, base);
    let (rounds, pause, time) = long(
        (1, Duration::from_millis(500), Duration::from_millis(1500)),
        (12, Duration::from_secs(5), Duration::from_secs(5)),
    );
    for _ in 0..rounds {
        // Nothing going on is the input.
        let (times, ()) = pair.measure(|| thread::sleep(pause));
        quiet.join(times);
        let (times, made) = pair.measure(|| churn.run(per_second, time));
        churned.join(times);
        count += made;
        peak = peak.max(server.rss_bytes());
    }
    let back = wait_until(LIMIT, "interest at its base", || subscriptions() == held);
    let ratio = churned.quantile(0.99).as_secs_f64() / quiet.quantile(0.99).as_secs_f64();
    println!(
        "S7 {} x{cores}: {:.0} SUB+UNSUB/s, interest at its base after {back:.1?}, RSS {} KiB, {} KiB at most, then {} KiB; \
         request and reply: quiet {quiet}; churned {churned}; p99 {ratio:.2} times",
        driver.name(),
        count as f64 / (time.as_secs_f64() * f64::from(rounds)),
        base / 1024,
        peak / 1024,
        server.rss_bytes() / 1024,
    );
    let worst = churned.worst();
    Case {
        id: "S7",
        driver,
        cores,
        inputs: count,
        worst,
    }
    .finish(&server, &Report::default());
    assert_eq!(server.varz()["subscriptions"].as_u64(), held);
    // In the short form the server is 8 MiB small, and a page more here and there is more than 5 % of it.
    let slack = if is_long() { 0 } else { 2 << 20 };
    let allowed = base + (base / 20).max(slack);
    wait_until(LIMIT, "memory at its base", || {
        server.rss_bytes() <= allowed
    });
    if is_long() && per_second <= 20_000 {
        assert!(
            ratio <= P99_MAX,
            "p99 of others {ratio} times that without churn"
        );
    }
}

on_shards! {
    fn s7_twenty_thousand(driver, cores) on one, two {
        s7(driver, cores, 20_000);
    }

    fn s7_hundred_thousand(driver, cores) on one, two {
        s7(driver, cores, 100_000);
    }
}
