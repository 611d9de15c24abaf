//! Mixed load on four shards, and a probe on each: a request to another shard, again and again, none of
//! which may stay without its reply.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{LIMIT, run_of, server};
use crate::support::load::{Publisher, StopAtEnd};
use crate::support::soak::long_time;
use crate::support::{Body, Case, Checker, RawClient, Report, Server, heavy, on_shards};

/// Messages between two barriers of a publisher.
const BATCH: u64 = 200;

/// Time between two requests of a probe.
const PAUSE: Duration = Duration::from_millis(1);

/// Time between two looks at whether it is over.
const GLANCE: Duration = Duration::from_millis(50);

/// What all threads share.
struct Mix<'a> {
    server: &'a Server,
    run: u64,
    stop: AtomicBool,
    /// Messages of each publisher that all subscriptions must get.
    published: Vec<AtomicU64>,
    is_over: AtomicBool,
}

/// What probes saw.
#[derive(Default)]
struct Seen {
    requests: u64,
    unanswered: u64,
    times: Vec<Duration>,
}

impl Mix<'_> {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Publishes to everybody, as fast as the server takes it.
    fn publish(&self, client: RawClient, number: u32) {
        let mut publisher = Publisher {
            client,
            run: self.run,
            number,
            bytes: 100,
        };
        let count = &self.published[number as usize];
        while !self.is_stopped() {
            let next = count.load(Ordering::Relaxed);
            publisher.publish(&format!("mix.{number}.x"), next..next + BATCH);
            count.store(next + BATCH, Ordering::Release);
            thread::sleep(PAUSE);
        }
    }

    /// Reads everything that is published, by wildcard.
    fn read(&self, client: &mut RawClient) -> Report {
        let mut checker = Checker::new(self.run);
        let watch = checker.watch(format!("reader {}", client.cid()));
        let due = || {
            self.published
                .iter()
                .map(|n| n.load(Ordering::Acquire))
                .sum::<u64>()
        };
        let mut last = Instant::now();
        loop {
            let was_over = self.is_over.load(Ordering::Acquire);
            if let Some(message) = client.message_within(GLANCE) {
                checker.received(watch, 0, &message.payload);
                last = Instant::now();
            } else if was_over && (checker.received_count() >= due() || last.elapsed() > LIMIT) {
                break;
            }
        }
        for (publisher, count) in (0..).zip(&self.published) {
            checker.must(watch, publisher, 0..count.load(Ordering::Acquire));
        }
        checker.finish()
    }

    /// Connections that come, subscribe to a part of it all, also in groups, read a little, and go.
    fn churn(&self) {
        let mut round = 0_u64;
        while !self.is_stopped() {
            let mut client = self.server.raw_client();
            let lines: String = (0..20)
                .map(|sid| match sid % 4 {
                    0 => format!("SUB mix.{}.> {sid}\r\n", round % 4),
                    1 => format!("SUB mix.* group{round} {sid}\r\nUNSUB {sid} 3\r\n"),
                    2 => format!("SUB churn.{round}.{sid} {sid}\r\n"),
                    _ => format!("SUB mix.*.x group {sid}\r\n"),
                })
                .collect();
            client.send(lines + &format!("PUB churn.{round}.2 2\r\nhi\r\nPUB nobody 0\r\n\r\n"));
            let messages = client.messages_until_pong();
            let own = messages
                .iter()
                .filter(|message| message.subject.starts_with("churn."));
            assert_eq!(own.count(), 1, "its own message, published behind its SUB");
            client.send(
                (0..20)
                    .map(|sid| format!("UNSUB {sid}\r\n"))
                    .collect::<String>(),
            );
            client.messages_until_pong();
            if round.is_multiple_of(3) {
                client.reset();
            }
            round += 1;
        }
    }

    /// Answers requests with their own payload.
    fn answer(&self, client: &mut RawClient) {
        while !self.is_stopped() {
            if let Some(request) = client.message_within(GLANCE) {
                let reply = request.reply.expect("a request has a reply subject");
                let mut out = format!("PUB {reply} {}\r\n", request.payload.len()).into_bytes();
                out.extend(request.payload);
                out.extend(b"\r\n");
                client.send(out);
            }
        }
    }

    /// Requests of one probe to the responder of another shard. Every other one makes an inbox.
    fn ask(&self, client: &mut RawClient, probe: u32) -> Seen {
        client.subscribe(&format!("_INBOX.{probe}.>"), 0);
        let mut seen = Seen::default();
        while !self.is_stopped() {
            let sequence = seen.requests + 1;
            let (inbox, lines) = if sequence % 2 == 0 {
                let inbox = format!("_ONCE.{probe}.{sequence}");
                let lines = format!("SUB {inbox} {sequence}\r\nUNSUB {sequence} 1\r\n");
                (inbox, lines)
            } else {
                (format!("_INBOX.{probe}.{sequence}"), String::new())
            };
            let body = Body {
                run: self.run,
                publisher: probe,
                sequence,
            };
            let mut out = lines.into_bytes();
            out.extend(body.publish(&format!("probe.{probe} {inbox}"), Body::BYTES_MIN));
            let begin = Instant::now();
            client.send(out);
            seen.requests += 1;
            match client.message_within(LIMIT) {
                Some(reply)
                    if reply.subject == inbox && Body::decode(&reply.payload) == Some(body) =>
                {
                    seen.times.push(begin.elapsed());
                }
                _ => seen.unanswered += 1,
            }
            thread::sleep(PAUSE);
        }
        seen
    }
}

on_shards! {
    fn probe_under_mixed_load(driver, cores) on four {
        let _alone = heavy();
        let time = long_time(Duration::from_secs(3), 10.0);
        let server = server(driver, cores);
        let shards: Vec<usize> = (0..cores).collect();
        let next: Vec<usize> = shards.iter().map(|shard| (shard + 1) % cores).collect();
        let publishers = server.clients_on(&shards);
        let mut readers = server.clients_on(&shards);
        let mut responders = server.clients_on(&next);
        let mut probes = server.clients_on(&shards);
        for reader in &mut readers {
            reader.subscribe("mix.>", 1);
        }
        for (probe, responder) in responders.iter_mut().enumerate() {
            responder.subscribe(&format!("probe.{probe}"), 1);
        }
        let mix = Mix {
            server: &server,
            run: run_of(&server),
            stop: AtomicBool::new(false),
            published: shards.iter().map(|_| AtomicU64::new(0)).collect(),
            is_over: AtomicBool::new(false),
        };
        let (report, seen) = thread::scope(|scope| {
            let mix = &mix;
            let _over = StopAtEnd(&mix.is_over);
            let _stop = StopAtEnd(&mix.stop);
            let publishing: Vec<_> = (0..)
                .zip(publishers)
                .map(|(number, client)| scope.spawn(move || mix.publish(client, number)))
                .collect();
            let reading: Vec<_> =
                readers.iter_mut().map(|client| scope.spawn(move || mix.read(client))).collect();
            for client in &mut responders {
                scope.spawn(move || mix.answer(client));
            }
            let churning = scope.spawn(move || mix.churn());
            let asking: Vec<_> = (0..)
                .zip(&mut probes)
                .map(|(probe, client)| scope.spawn(move || mix.ask(client, probe)))
                .collect();
            // How long it runs is the input; whoever fails ends it early.
            let begin = Instant::now();
            while begin.elapsed() < time && !asking.iter().any(|probe| probe.is_finished()) {
                thread::sleep(GLANCE);
            }
            mix.stop.store(true, Ordering::Relaxed);
            for publisher in publishing {
                publisher.join().expect("a publisher");
            }
            mix.is_over.store(true, Ordering::Release);
            churning.join().expect("connections that come and go");
            let mut seen = Seen::default();
            for probe in asking {
                let probe = probe.join().expect("a probe");
                seen.requests += probe.requests;
                seen.unanswered += probe.unanswered;
                seen.times.extend(probe.times);
            }
            let reports = reading.into_iter().map(|reader| reader.join().expect("a reader"));
            (Report::sum(reports), seen)
        });
        let mut times = seen.times;
        times.sort_unstable();
        let quantile = |per_mille: usize| {
            let at = times.len().saturating_sub(1) * per_mille / 1000;
            times.get(at).copied().unwrap_or_default()
        };
        println!(
            "probe {} x{cores}: {time:.0?}, {} requests, {} without a reply, p50 {:.1?}, p99 {:.1?}, \
             p99.9 {:.1?}, slow consumers {}",
            driver.name(),
            seen.requests,
            seen.unanswered,
            quantile(500),
            quantile(990),
            quantile(999),
            server.varz()["slow_consumers"],
        );
        let case = Case { id: "probe", driver, cores, inputs: seen.requests, worst: quantile(1000) };
        case.finish(&server, &report);
        assert_eq!(seen.unanswered, 0);
        assert!(seen.requests > 0);
    }
}
