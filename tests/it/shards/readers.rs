//! Slow, lagging and dead readers on other shards than those who publish to them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{LIMIT, run_of, server_with};
use crate::support::client::Absent;
use crate::support::load::{Publisher, TINY_RCVBUF, closed_entry};
use crate::support::message::Message;
use crate::support::{
    Body, Case, Checker, Driver, RawClient, Report, Server, heavy, long, on_shards, process,
    wait_until,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

/// Memory that a server may use on top of its base and of what is pending.
const SLACK_BYTES: u64 = 64 * MIB as u64;

/// Longest time that a dead reader may cost a publisher.
const STALL_MAX: Duration = Duration::from_millis(50);

/// With other tests beside it, one wait in so many may be longer: it is one for a processor then. A soak
/// run has the machine for itself.
const WAITS_PER_LATE_ONE: usize = 50;

/// Bytes of the bodies of S1 and S2.
const BODY_BYTES: usize = 64 * KIB;

/// Messages of S1 and S2 that a healthy reader may be behind: a quarter of `max_pending`.
const AHEAD_MAX: u64 = 4;

/// A reader that accepts nothing for 50 ms is stuck, and slows nobody down; so is one that the machine
/// does not let run for almost as long.
const AWAY_MAX: Duration = Duration::from_millis(40);

/// Runs of S9 until one had a publisher and readers worth the name.
const ATTEMPTS: usize = 5;

/// Dead readers of S2, and as many healthy ones.
const READERS: usize = 16;

/// Connections subscribed to `subject` under sid 1 on these shards, that will never read again.
fn dead_readers(server: &Server, shards: &[usize], subject: &str) -> Vec<RawClient> {
    let mut clients = server.made_on(shards, || {
        let mut client = RawClient::connect_rcvbuf(server.address(), TINY_RCVBUF);
        client.connect_quiet();
        client
    });
    for client in &mut clients {
        client.subscribe(subject, 1);
    }
    clients
}

fn readers(server: &Server, shards: &[usize], subject: &str) -> Vec<RawClient> {
    let mut clients = server.clients_on(shards);
    for client in &mut clients {
        client.subscribe(subject, 1);
    }
    clients
}

/// Reads as fast as it comes, counting in `taken`, and judges afterwards.
fn read_then_judge(
    client: &mut RawClient,
    run: u64,
    publishers: u32,
    each: u64,
    taken: &AtomicU64,
) -> Report {
    let count = u64::from(publishers) * each;
    let due = (0..count).map_while(|_| {
        let message = client.message_within(LIMIT);
        taken.fetch_add(1, Ordering::Relaxed);
        message
    });
    let messages: Vec<Message> = due.collect();
    let mut checker = Checker::new(run);
    let watch = checker.watch(format!("reader {}", client.cid()));
    for publisher in 0..publishers {
        checker.must(watch, publisher, 0..each);
    }
    for message in messages {
        checker.received(watch, 0, &message.payload);
    }
    checker.finish()
}

/// Waits until each reader has taken all but a few of `published` messages: a reader that the machine
/// leaves no time to read is none of the healthy ones.
fn let_catch_up(taken: &[AtomicU64], published: u64) {
    wait_until(LIMIT, "healthy readers that keep up", || {
        let slowest = taken
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .min();
        slowest.is_none_or(|slowest| slowest + AHEAD_MAX >= published)
    });
}

/// Sends the body of each of these publishers in turn, `each` times, with a PING whose PONG is waited
/// for; gives all these waits.
fn publish_in_turn(
    publishers: &mut [RawClient],
    run: u64,
    subject: &str,
    each: u64,
    taken: &[AtomicU64],
) -> Vec<Duration> {
    let mut waits = Vec::new();
    for sequence in 0..each {
        for (number, publisher) in (0..).zip(&mut *publishers) {
            let body = Body {
                run,
                publisher: number,
                sequence,
            };
            let mut out = body.publish(subject, BODY_BYTES);
            out.extend(b"PING\r\n");
            let begin = Instant::now();
            publisher.send(out);
            publisher.expect("PONG\r\n");
            waits.push(begin.elapsed());
            let_catch_up(taken, waits.len() as u64);
        }
    }
    waits
}

/// Asserts that no publisher waited too long; `waits` are all its waits.
fn assert_not_stalled(waits: &[Duration]) {
    let late = waits.iter().filter(|wait| **wait > STALL_MAX).count();
    let allowed = long(waits.len() / WAITS_PER_LATE_ONE, 0);
    let worst = waits.iter().copied().max().unwrap_or_default();
    assert!(
        late <= allowed,
        "a publisher waited {worst:?}, and {late} times over {STALL_MAX:?}"
    );
}

/// Asserts that each of these was cut, and that this was counted and logged once. For what was pending, as a
/// rule; on a machine that is so busy that the publisher takes longer than `write_deadline`, for that.
fn assert_cut(server: &Server, dead: &[RawClient]) {
    for client in dead {
        let entry = closed_entry(server, client.cid());
        let reason = entry["reason"].as_str().unwrap_or_default();
        assert!(
            [
                "Slow Consumer (Pending Bytes)",
                "Slow Consumer (Write Deadline)"
            ]
            .contains(&reason),
            "{reason}"
        );
    }
    assert_eq!(server.varz()["slow_consumers"], dead.len());
    let text = "Slow Consumer Detected: ";
    let lines = || server.log().matches(text).count();
    wait_until(LIMIT, "a log line for each", || lines() >= dead.len());
    assert_eq!(
        lines(),
        dead.len(),
        "logged once for each:\n{}",
        server.log()
    );
}

/// What came of a reader that keeps to a pace.
struct Paced {
    report: Report,
    /// The longest time between two reads.
    away: Duration,
    is_cut: bool,
}

/// Reads `count` messages of publisher 0, no faster than `pace` bytes per second.
fn read_paced(client: &mut RawClient, run: u64, count: u64, pace: f64) -> Paced {
    let mut checker = Checker::new(run);
    let watch = checker.watch(format!("reader {}", client.cid()));
    checker.must(watch, 0, 0..count);
    let (begin, mut bytes) = (Instant::now(), 0.0);
    let (mut last, mut away) = (begin, Duration::ZERO);
    let mut is_cut = false;
    for _ in 0..count {
        away = away.max(last.elapsed());
        let message = client.try_message(LIMIT);
        last = Instant::now();
        let Ok(message) = message else {
            is_cut = message == Err(Absent::Ended);
            break;
        };
        bytes += message.payload.len() as f64;
        checker.received(watch, 0, &message.payload);
        let early = Duration::from_secs_f64(bytes / pace).saturating_sub(begin.elapsed());
        // The pace is the input here, so this waits for no condition. Short waits are saved up.
        if early > Duration::from_millis(2) {
            thread::sleep(early);
        }
    }
    Paced {
        report: checker.finish(),
        away,
        is_cut,
    }
}

/// S9 over shards: publisher on the first shard, a reader on each other one at `pace_max` bytes per
/// second or half of what the publisher does alone. Gives how often a publisher was slowed; `None` if
/// the machine left a reader no time to read, so that it was rightly taken for a stuck one.
fn s9(driver: Driver, cores: usize, pace_max: f64) -> Option<u64> {
    let (bytes, max_pending) = (4 * KIB, 8 * MIB);
    let server = server_with(driver, cores, &format!("max_pending: {max_pending}"));
    let run = run_of(&server);
    let elsewhere: Vec<usize> = (1..cores).collect();
    let mut readers = readers(&server, &elsewhere, "s9");
    let client = server.client_on(0);
    let mut publisher = Publisher {
        client,
        run,
        number: 0,
        bytes,
    };
    publisher.client.set_limit(Duration::from_secs(60));
    let alone = 16 * 1024;
    let free = publisher.publish("nobody", 0..alone);
    let speed = (alone as usize * bytes) as f64 / free.as_secs_f64();
    let pace = (speed / 2.0).min(pace_max);
    let count = (long(64, 512) * MIB / bytes) as u64;
    let base = server.rss_bytes();
    let begin = Instant::now();
    let paced: Vec<Paced> = thread::scope(|scope| {
        let reading: Vec<_> = readers
            .iter_mut()
            .map(|client| scope.spawn(move || read_paced(client, run, count, pace)))
            .collect();
        publisher.publish("s9", 0..count);
        reading
            .into_iter()
            .map(|reader| reader.join().expect("a reader"))
            .collect()
    });
    let peak = process::rss_peak_bytes(server.pid());
    let varz = server.varz();
    let away = paced
        .iter()
        .map(|reader| reader.away)
        .max()
        .unwrap_or_default();
    println!(
        "S9 {} x{cores}: publisher alone {:.0} MiB/s, readers {:.0} MiB/s and {away:.0?} away at most, \
         stalls {}, slow consumers {}, RSS {} KiB + {} KiB",
        driver.name(),
        speed / MIB as f64,
        pace / MIB as f64,
        varz["stalled_clients"],
        varz["slow_consumers"],
        base / 1024,
        peak.saturating_sub(base) / 1024,
    );
    let allowed = base + (elsewhere.len() * max_pending) as u64 + SLACK_BYTES;
    assert!(peak <= allowed, "{peak} bytes of memory, {allowed} allowed");
    if paced
        .iter()
        .any(|reader| reader.is_cut && reader.away >= AWAY_MAX)
    {
        return None;
    }
    let report = Report::sum(paced.into_iter().map(|reader| reader.report));
    let inputs = count * elsewhere.len() as u64;
    Case {
        id: "S9",
        driver,
        cores,
        inputs,
        worst: begin.elapsed(),
    }
    .finish(&server, &report);
    assert_eq!(varz["slow_consumers"], 0);
    varz["stalled_clients"].as_u64()
}

on_shards! {
    /// S1: a dead reader and a healthy one on other shards than the publisher, and the other way round.
    fn s1_one_dead_one_healthy(driver, cores) on two, four {
        let _alone = heavy();
        let count = 200;
        for (dead_on, healthy_on, publisher_on) in [(0, 1, cores - 1), (1, 0, 0), (1, 1, 0)] {
            let server = server_with(driver, cores, "max_pending: 1048576");
            let run = run_of(&server);
            let dead = dead_readers(&server, &[dead_on], "s1");
            let mut healthy = readers(&server, &[healthy_on], "s1");
            let mut publishers = server.clients_on(&[publisher_on]);
            let taken = [AtomicU64::new(0)];
            let (report, waits) = thread::scope(|scope| {
                let reading =
                    scope.spawn(|| read_then_judge(&mut healthy[0], run, 1, count, &taken[0]));
                let waits = publish_in_turn(&mut publishers, run, "s1", count, &taken);
                (reading.join().expect("the healthy reader"), waits)
            });
            assert_cut(&server, &dead);
            let worst = waits.iter().copied().max().unwrap_or_default();
            Case { id: "S1", driver, cores, inputs: count, worst }.finish(&server, &report);
            assert_not_stalled(&waits);
            healthy[0].ping();
        }
    }

    /// S2: dead and healthy readers on all shards, a publisher on every shard.
    fn s2_many_dead_many_healthy(driver, cores) on two, four {
        let _alone = heavy();
        let each = long(128, 400) / cores as u64;
        let server = server_with(driver, cores, "max_pending: 1048576");
        let run = run_of(&server);
        let everywhere: Vec<usize> = (0..READERS).map(|at| at % cores).collect();
        let dead = dead_readers(&server, &everywhere, "s2");
        let mut healthy = readers(&server, &everywhere, "s2");
        let mut publishers = server.clients_on(&(0..cores).collect::<Vec<_>>());
        let taken: Vec<AtomicU64> = healthy.iter().map(|_| AtomicU64::new(0)).collect();
        let (reports, waits) = thread::scope(|scope| {
            let number = u32::try_from(cores).unwrap_or(u32::MAX);
            let reading: Vec<_> = healthy
                .iter_mut()
                .zip(&taken)
                .map(|(client, taken)| {
                    scope.spawn(move || read_then_judge(client, run, number, each, taken))
                })
                .collect();
            let waits = publish_in_turn(&mut publishers, run, "s2", each, &taken);
            let reports = reading.into_iter().map(|reader| reader.join().expect("a reader"));
            (reports.collect::<Vec<_>>(), waits)
        });
        assert_cut(&server, &dead);
        let worst = waits.iter().copied().max().unwrap_or_default();
        let inputs = each * cores as u64;
        Case { id: "S2", driver, cores, inputs, worst }.finish(&server, &Report::sum(reports));
        assert_not_stalled(&waits);
        for client in &mut healthy {
            client.ping();
        }
    }

    /// S9: readers on other shards far below the publisher's speed: it is slowed, nobody is cut.
    fn s9_publisher_is_slowed_from_afar(driver, cores) on two, four {
        let _alone = heavy();
        // Neither publisher nor readers are what they should be on a machine that is too busy.
        let failed: Vec<Option<u64>> = (0..ATTEMPTS)
            .map(|_| s9(driver, cores, 40.0 * MIB as f64))
            .take_while(|stalls| stalls.is_none_or(|stalls| stalls == 0))
            .collect();
        assert!(failed.len() < ATTEMPTS, "the publisher was never slowed: {failed:?}");
    }

    /// S9 with readers at half the publisher's speed.
    fn s9_readers_at_half_speed(driver, cores) on two {
        let _alone = heavy();
        let stalls = (0..ATTEMPTS).find_map(|_| s9(driver, cores, f64::INFINITY));
        assert!(stalls.is_some(), "no reader had the time to read");
    }
}
