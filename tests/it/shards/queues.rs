//! Queue groups whose members are on every shard: one choice for the whole server.

use std::time::{Duration, Instant};

use super::{LIMIT, run_of, server};
use crate::support::load::Publisher;
use crate::support::{Body, Case, Checker, RawClient, long, on_shards};

/// Members of each group of L4, all with one message to take, and the messages there are.
const MEMBERS: u64 = 200;

/// The groups of L4.
const GROUPS: [&str; 2] = ["one", "two"];

/// How far a member's share of L6 may be from the even one.
const SHARE_TOLERANCE: f64 = 0.2;

/// Every shard, once for each of `times`.
fn all_shards(cores: usize, times: usize) -> Vec<usize> {
    (0..cores * times).map(|at| at % cores).collect()
}

/// What a sum of squares like this exceeds once in a million times when the choice is fair, after
/// Wilson and Hilferty.
fn chi_square_limit(freedom: f64) -> f64 {
    let spread = 2.0 / (9.0 * freedom);
    freedom * (1.0 - spread + 4.75 * spread.sqrt()).powi(3)
}

/// How unevenly this is spread: the sum of squared differences from the mean, over the mean.
fn chi_square(counts: &[u64], mean: f64) -> f64 {
    let square = |count: &u64| (*count as f64 - mean).powi(2) / mean;
    counts.iter().map(square).sum()
}

#[test]
fn limits_are_those_of_the_tables() {
    for (freedom, expected) in [(3.0, 30.66), (7.0, 40.52), (15.0, 56.49)] {
        let limit: f64 = chi_square_limit(freedom);
        // The approximation errs to the lenient side, by 7 % at three degrees of freedom.
        assert!(
            limit >= expected * 0.99 && limit < expected * 1.1,
            "{freedom}: {limit}"
        );
    }
    assert_eq!(chi_square(&[90, 110], 100.0), 2.0);
}

on_shards! {
    /// L4: as many messages as members, each member with one to take, over all shards: every message
    /// finds the member that is left, wherever that is.
    fn l4_every_member_gets_its_one(driver, cores) on two, four {
        let rounds: u64 = long(5, 50);
        let server = server(driver, cores);
        let run = run_of(&server);
        let mut publishers = server.clients_on(&all_shards(cores, 1));
        let mut members: Vec<Vec<RawClient>> =
            GROUPS.iter().map(|_| server.clients_on(&all_shards(cores, 1))).collect();
        let mut checker = Checker::new(run);
        let mut worst = Duration::ZERO;
        let each = MEMBERS / cores as u64;
        for round in 0..rounds {
            let subject = format!("l4.{round}");
            // A member is a subscription here: which of them gets which message is open.
            let first = round * MEMBERS;
            for (group, clients) in GROUPS.iter().zip(&mut members) {
                for (shard, client) in (0..).zip(clients) {
                    let sids = first + shard * each..first + (shard + 1) * each;
                    let lines: String = sids
                        .map(|sid| format!("SUB {subject} {group} {sid}\r\nUNSUB {sid} 1\r\n"))
                        .collect();
                    client.send(lines);
                    client.ping();
                }
            }
            let bodies = (0..MEMBERS).map(|sequence| Body { run, publisher: 0, sequence: first + sequence });
            let lines: Vec<u8> = bodies.flat_map(|body| body.publish(&subject, 32)).collect();
            let publisher = &mut publishers[usize::try_from(round).unwrap_or(0) % cores];
            let begin = Instant::now();
            publisher.send(lines);
            publisher.ping();
            for (group, clients) in GROUPS.iter().zip(&mut members) {
                let watch = checker.watch(format!("group {group}, round {round}"));
                checker.must(watch, 0, first..first + MEMBERS);
                for client in clients {
                    let due = (0..each).map_while(|_| client.message_within(LIMIT));
                    let mut messages: Vec<_> = due.collect();
                    worst = worst.max(begin.elapsed());
                    messages.extend(client.messages_until_pong());
                    for message in &messages {
                        let sid = message.sid.parse().expect("a sid of ours");
                        checker.received(watch, sid, &message.payload);
                    }
                    let mut sids: Vec<_> = messages.iter().map(|message| &message.sid).collect();
                    sids.sort();
                    sids.dedup();
                    assert_eq!(sids.len(), messages.len(), "a member took more than its one");
                }
            }
        }
        let report = checker.finish();
        let inputs = rounds * MEMBERS * GROUPS.len() as u64;
        Case { id: "L4", driver, cores, inputs, worst }.finish(&server, &report);
        assert_eq!(report.received, inputs);
    }

    /// L6: members on every shard, publishers on every shard: each message once, to each member its
    /// share, wherever it was published.
    fn l6_shares_are_even(driver, cores) on two, four {
        let count: u64 = long(6_000, 50_000);
        let server = server(driver, cores);
        let run = run_of(&server);
        let mut members = server.clients_on(&all_shards(cores, 2));
        for member in &mut members {
            member.send("SUB l6 group 1\r\n");
            member.ping();
        }
        let publishers = server.clients_on(&all_shards(cores, 1));
        let mut checker = Checker::new(run);
        let watch = checker.watch("group");
        let mean = count as f64 / members.len() as f64;
        let limit = chi_square_limit((members.len() - 1) as f64);
        let mut worst = Duration::ZERO;
        let mut uneven = Vec::new();
        for (number, client) in (0..).zip(publishers) {
            let mut publisher = Publisher { client, run, number, bytes: 32 };
            worst = worst.max(publisher.publish("l6", 0..count));
            checker.must(watch, number, 0..count);
            let mut shares = Vec::new();
            for (at, member) in members.iter_mut().enumerate() {
                let messages = member.messages_until_pong();
                for message in &messages {
                    checker.received(watch, at, &message.payload);
                }
                shares.push(messages.len() as u64);
            }
            let sum = chi_square(&shares, mean);
            let farthest = shares.iter().map(|share| (*share as f64 / mean - 1.0).abs());
            let farthest = farthest.fold(0.0, f64::max);
            println!(
                "L6 {} x{cores}: from shard {number}: {shares:?}, farthest {:.1} % from even, \
                 chi square {sum:.1} (1 in a million is above {limit:.1})",
                driver.name(),
                farthest * 100.0,
            );
            if farthest > SHARE_TOLERANCE || sum > limit {
                uneven.push(shares);
            }
        }
        let report = checker.finish();
        Case { id: "L6", driver, cores, inputs: count * cores as u64, worst }.finish(&server, &report);
        assert!(uneven.is_empty(), "{uneven:?}, {mean} each would be even");
    }
}
