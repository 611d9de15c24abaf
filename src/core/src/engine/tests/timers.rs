//! The server's PINGs, and whom it gives up.

use std::time::Duration;

use super::world::{World, millis};
use crate::client::CloseReason;
use crate::engine::Limits;
use crate::engine::connection::LastChance;

fn world() -> World {
    World::with(Limits {
        ping_interval: Duration::from_secs(1),
        ..Limits::default()
    })
}

#[test]
fn silent_client_is_asked_twice() {
    let mut w = world();
    let a = w.open();
    w.received(a);
    w.advance(millis(999));
    assert_eq!(w.received(a), "");
    w.advance(millis(1));
    assert_eq!(w.received(a), "PING\r\n");
    w.advance(millis(1000));
    assert_eq!(w.received(a), "PING\r\n");
    w.advance(millis(1010));
    assert_eq!(w.received(a), "-ERR 'Stale Connection'\r\n");
    assert_eq!(w.ended(a), Some(CloseReason::StaleConnection));
    assert_eq!(
        (
            w.engine.stats().stale_connections,
            w.logged("Stale Client Connection - Closing")
        ),
        (1, 1)
    );
}

#[test]
fn pong_is_an_answer_and_ping_is_none() {
    let mut w = world();
    let a = w.connect();
    for _ in 0..10 {
        w.advance(millis(1000));
        w.received(a);
        w.send(a, "PONG\r\n");
    }
    assert_eq!(w.ended(a), None);
    for _ in 0..3 {
        w.send(a, "PING\r\n");
        w.advance(millis(1010));
    }
    assert_eq!(w.ended(a), Some(CloseReason::StaleConnection));
}

#[test]
fn activity_spares_the_ping_but_answers_none() {
    let mut w = world();
    let (a, b) = (w.connect(), w.connect());
    w.send(b, "SUB foo 1\r\n");
    for _ in 0..10 {
        w.advance(millis(500));
        w.send(a, "PUB foo 0\r\n\r\n");
    }
    assert_eq!(w.received(a), "");
    assert!(!w.received(b).contains("PING"), "a delivery is activity");
    // Two PINGs unanswered end it, whatever else it sends.
    w.advance(millis(2000));
    assert_eq!(w.received(a), "PING\r\nPING\r\n");
    w.send(a, "PUB foo 0\r\n\r\n");
    w.advance(millis(1010));
    assert_eq!(w.received(a), "-ERR 'Stale Connection'\r\n");
}

#[test]
fn pong_that_lies_unread_counts() {
    let mut w = world();
    let a = w.connect();
    w.advance(millis(2000));
    w.put(a, "PONG\r\n");
    // The notification may come later than the deadline, too.
    w.wire(a).is_read_armed = false;
    w.jump(millis(5000));
    w.advance(millis(100));
    assert_eq!(w.ended(a), None);
    assert_eq!(w.received(a), "PING\r\nPING\r\nPING\r\n");
}

/// After a stop of the process a PONG may lie behind much else.
#[test]
fn pong_behind_much_else_counts_after_a_stop() {
    let mut w = world();
    let (a, b) = (w.connect(), w.connect());
    w.advance(millis(2000));
    w.put(
        a,
        format!("PUB foo 1000\r\n{}\r\n", "x".repeat(1000)).repeat(1000),
    );
    w.put(a, "PONG\r\n");
    // Another one keeps it from being read alone, and so at once.
    w.put(
        b,
        format!(
            "PONG\r\n{}",
            format!("PUB foo 1000\r\n{}\r\n", "x".repeat(1000)).repeat(1000)
        ),
    );
    w.now = w.now + millis(5000);
    for _ in 0..3 {
        w.turn();
        w.now = w.now + millis(1);
    }
    w.advance(millis(500));
    assert_eq!((w.ended(a), w.ended(b)), (None, None));
}

#[test]
fn flooder_that_never_answers_is_judged_all_the_same() {
    let mut w = world();
    let a = w.connect();
    w.advance(millis(2000));
    let flood = "PUB foo 1000\r\n".to_owned() + &"x".repeat(1000) + "\r\n";
    let flood = flood.repeat(600);
    let mut passed = 1000;
    w.now = w.now + millis(1000);
    while w.ended(a).is_none() {
        assert!(passed < 2500, "{passed} ms after the last PING");
        // There is always more than one read takes.
        while w.wire(a).incoming.len() < 1 << 20 {
            w.put(a, &flood);
        }
        w.turn();
        w.now = w.now + millis(20);
        passed += 20;
    }
    assert_eq!(w.ended(a), Some(CloseReason::StaleConnection));
    assert!(passed >= 1900, "not before it had its chance: {passed} ms");
}

/// Not read to the end, it may have answered.
#[test]
fn paused_publisher_is_not_stale() {
    let mut w = World::with(Limits {
        ping_interval: Duration::from_secs(1),
        pending_bytes_max: 1_000_000,
        ..Limits::default()
    });
    let (reader, p) = (w.connect(), w.connect());
    w.send(reader, "SUB foo 1\r\n");
    w.advance(millis(2000));
    w.send(reader, "PONG\r\n");
    w.set_room(reader, 0);
    w.advance(millis(999));
    w.now = w.now + millis(1);
    let line = format!("PUB foo 10000\r\n{}\r\n", "x".repeat(10_000));
    w.put(p, line.repeat(100));
    w.put(p, "PONG\r\n");
    // It is read, and paused before it has said its last.
    while w.connection(p).pause.is_none() {
        w.turn();
        w.now = w.now + millis(1);
    }
    assert!(matches!(
        w.connection(p).last_chance,
        LastChance::Taken { .. }
    ));
    for _ in 0..5 {
        w.turn();
        w.now = w.now + millis(1);
    }
    assert!(w.connection(p).pause.is_some());
    assert_eq!(w.ended(p), None);
    w.set_room(reader, usize::MAX);
    w.advance(millis(100));
    assert_eq!((w.ended(reader), w.ended(p)), (None, None));
}

#[test]
fn round_trip_is_measured() {
    let mut w = world();
    let a = w.connect();
    w.advance(millis(1000));
    w.advance(millis(30));
    w.send(a, "PONG\r\n");
    assert_eq!(w.connection(a).ping.rtt(), Some(millis(30)));
}
