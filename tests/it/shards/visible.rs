//! D8 over shards: what a PONG or a message vouches for holds for everyone who acts because of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{LIMIT, run_of, server};
use crate::support::load::StopAtEnd;
use crate::support::shards::ordered_pairs;
use crate::support::{Body, Case, Checker, RawClient, Report, Server, long, on_shards};

/// CONNECT of a client that wants to be told when nobody listens.
const MODERN: &str = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;

/// Time between two looks at whether it is over.
const GLANCE: Duration = Duration::from_millis(50);

/// L1 for one pair of shards: the longest time from PUB to message, and what arrived.
fn subscribe_and_be_served(
    subscriber: &mut RawClient,
    publisher: &mut RawClient,
    run: u64,
    pair: u32,
    rounds: u64,
) -> (Duration, Report) {
    let mut checker = Checker::new(run);
    let watch = checker.watch(format!("pair {pair}"));
    let mut worst = Duration::ZERO;
    for sequence in 0..rounds {
        // New subjects, one with a wildcard, a queue group; and one that comes and goes.
        let subject = match sequence % 4 {
            3 => format!("l1.{pair}.again"),
            _ => format!("l1.{pair}.{sequence}"),
        };
        let pattern = match sequence % 4 {
            1 => format!("l1.{pair}.{sequence}.>"),
            2 => format!("{subject} q"),
            _ => subject.clone(),
        };
        let subject = match sequence % 4 {
            1 => format!("{subject}.x"),
            _ => subject,
        };
        let max = if sequence % 2 == 0 { " 1" } else { "" };
        let mut lines = format!("SUB {pattern} {sequence}\r\n");
        if !max.is_empty() {
            lines += &format!("UNSUB {sequence}{max}\r\n");
        }
        subscriber.send(lines + "PING\r\n");
        let body = Body {
            run,
            publisher: pair,
            sequence,
        };
        let publish = body.publish(&subject, Body::BYTES_MIN);
        subscriber.expect("PONG\r\n");
        let begin = Instant::now();
        publisher.send(publish);
        checker.must(watch, pair, sequence..sequence + 1);
        if let Some(message) = subscriber.message_within(LIMIT) {
            worst = worst.max(begin.elapsed());
            checker.received(watch, 0, &message.payload);
        }
        if max.is_empty() {
            // Not waited for: its last effects meet the next SUB.
            subscriber.send(format!("UNSUB {sequence}\r\n"));
        }
    }
    // Nothing else was on its way.
    for message in subscriber.messages_until_pong() {
        checker.received(watch, 0, &message.payload);
    }
    (worst, checker.finish())
}

/// What the requesters of L7 share.
struct Asking {
    run: u64,
    rounds: u64,
    /// Requests that were told nobody listens, though somebody did.
    refused: AtomicU64,
}

impl Asking {
    /// L7 for one pair of shards: one request after the other, each with an inbox of its own.
    fn ask(&self, requester: &mut RawClient, pair: u32) -> (Duration, Report) {
        let mut checker = Checker::new(self.run);
        let replies = checker.watch(format!("replies to pair {pair}"));
        checker.must(replies, pair, 0..self.rounds);
        let mut worst = Duration::ZERO;
        for sequence in 0..self.rounds {
            let inbox = format!("_INBOX.{}.{pair}.{sequence}", self.run);
            let service = match sequence % 2 {
                0 => format!("l7.{pair}"),
                _ => "l7.any".to_owned(),
            };
            let body = Body {
                run: self.run,
                publisher: pair,
                sequence,
            };
            let lines = format!("SUB {inbox} {sequence}\r\nUNSUB {sequence} 1\r\n");
            let mut out = lines.into_bytes();
            out.extend(body.publish(&format!("{service} {inbox}"), Body::BYTES_MIN));
            let begin = Instant::now();
            requester.send(out);
            let Some(reply) = requester.message_within(LIMIT) else {
                continue;
            };
            worst = worst.max(begin.elapsed());
            if reply.headers.starts_with(b"NATS/1.0 503") {
                self.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            assert_eq!((reply.subject, reply.sid), (inbox, sequence.to_string()));
            checker.received(replies, 0, &reply.payload);
        }
        requester.ping();
        (worst, checker.finish())
    }
}

/// Answers requests with their own payload until told to stop.
fn answer(responder: &mut RawClient, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let Some(request) = responder.message_within(GLANCE) else {
            continue;
        };
        let reply = request.reply.expect("a request has a reply subject");
        let mut out = format!("PUB {reply} {}\r\n", request.payload.len()).into_bytes();
        out.extend(request.payload);
        out.extend(b"\r\n");
        responder.send(out);
    }
}

/// A connection that is told when nobody listens.
fn modern_client(server: &Server) -> RawClient {
    let mut client = server.bare_client();
    client.connect_with(MODERN);
    client
}

/// The longest time and the sum of the reports.
fn joined(parts: Vec<(Duration, Report)>) -> (Duration, Report) {
    let worst = parts.iter().map(|(worst, _)| *worst).max();
    let reports = parts.into_iter().map(|(_, report)| report);
    (worst.unwrap_or_default(), Report::sum(reports))
}

on_shards! {
    /// L1: SUB, PING and PONG on one shard; at once, a PUB from another. All pairs at the same time.
    fn l1_sub_holds_after_pong(driver, cores) on two, four {
        let rounds = long(4_000, 100_000);
        let server = server(driver, cores);
        let run = run_of(&server);
        let pairs = ordered_pairs(cores);
        let (from, to): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let mut publishers = server.clients_on(&from);
        let mut subscribers = server.clients_on(&to);
        let each = rounds / pairs.len() as u64;
        let (worst, report) = thread::scope(|scope| {
            let ends = subscribers.iter_mut().zip(&mut publishers);
            let threads: Vec<_> = (0..)
                .zip(ends)
                .map(|(pair, (subscriber, publisher))| {
                    scope.spawn(move || subscribe_and_be_served(subscriber, publisher, run, pair, each))
                })
                .collect();
            joined(threads.into_iter().map(|thread| thread.join().expect("a pair")).collect())
        });
        let inputs = each * pairs.len() as u64;
        Case { id: "L1", driver, cores, inputs, worst }.finish(&server, &report);
    }

    /// L7: a request whose inbox is made in the same write, answered from another shard, by the one
    /// responder there is or by any member of a group on all shards.
    fn l7_inbox_made_and_used_at_once(driver, cores) on two, four {
        let rounds = long(5_000, 100_000);
        let server = server(driver, cores);
        let pairs = ordered_pairs(cores);
        let (from, to): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let mut requesters = server.made_on(&from, || modern_client(&server));
        let mut responders = server.clients_on(&to);
        for (pair, responder) in responders.iter_mut().enumerate() {
            responder.send(format!("SUB l7.{pair} 1\r\nSUB l7.any all 2\r\n"));
            responder.ping();
        }
        let asking = Asking {
            run: run_of(&server),
            rounds: rounds / pairs.len() as u64,
            refused: AtomicU64::new(0),
        };
        let stop = AtomicBool::new(false);
        let (worst, report) = thread::scope(|scope| {
            let (asking, stop) = (&asking, &stop);
            let _stop = StopAtEnd(stop);
            for responder in &mut responders {
                scope.spawn(move || answer(responder, stop));
            }
            let threads: Vec<_> = (0..)
                .zip(&mut requesters)
                .map(|(pair, requester)| scope.spawn(move || asking.ask(requester, pair)))
                .collect();
            joined(threads.into_iter().map(|thread| thread.join().expect("a requester")).collect())
        });
        let refused = asking.refused.into_inner();
        let inputs = asking.rounds * pairs.len() as u64;
        println!("L7 {} x{cores}: {refused} false no-responders", driver.name());
        Case { id: "L7", driver, cores, inputs, worst }.finish(&server, &report);
        assert_eq!(refused, 0);
    }
}
