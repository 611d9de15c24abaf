//! Peers that do not read: cut alone, counted once, and nobody else notices.

use super::world::{World, millis};
use crate::client::CloseReason;
use crate::engine::{Limits, Ready};
use crate::interest::ConnKey;

fn world(pending_bytes_max: usize, slow_fast_publishers: bool) -> World {
    World::with(Limits {
        pending_bytes_max,
        slow_fast_publishers,
        ..Limits::default()
    })
}

/// `PUB foo`, so many bytes, so many times.
fn publish(bytes: usize, times: usize) -> String {
    format!("PUB foo {bytes}\r\n{}\r\n", "x".repeat(bytes)).repeat(times)
}

fn reader(w: &mut World, room: usize) -> ConnKey {
    let key = w.connect();
    w.send(key, "SUB foo 1\r\nSUB foo 2\r\n");
    w.set_room(key, room);
    key
}

#[test]
fn more_than_max_pending_cuts_the_reader_alone() {
    for pending_bytes_max in [5_000, 50_000, 500_000] {
        let mut w = world(pending_bytes_max, false);
        let (stuck, well, p) = (reader(&mut w, 0), reader(&mut w, usize::MAX), w.connect());
        // Each message comes twice, so less than half as many fit.
        let fitting = pending_bytes_max / 2 / (1000 + 20) - 1;
        w.send(p, publish(1000, fitting) + "PING\r\n");
        assert_eq!(w.ended(stuck), None, "{pending_bytes_max}");
        w.send(p, publish(1000, 30) + "PING\r\n");
        assert_eq!(w.received(p), "PONG\r\nPONG\r\n");
        assert_eq!(
            w.ended(stuck),
            Some(CloseReason::SlowConsumerPending),
            "{pending_bytes_max}"
        );
        assert!(w.wire(stuck).is_released);
        assert_eq!(w.received(stuck), "", "no -ERR");
        assert_eq!(w.received(well).matches("MSG").count(), 2 * (fitting + 30));
        assert_eq!(w.engine.stats().slow_consumers, 1);
        let text = format!("Slow Consumer Detected: MaxPending of {pending_bytes_max} Exceeded");
        assert_eq!((w.logged("Slow Consumer"), w.logged(&text)), (1, 1));
    }
}

/// A burst is not more than it is because it came in one read.
#[test]
fn reader_that_keeps_up_is_never_cut() {
    // In the second case one message is more than what slows publishers.
    for (pending_bytes_max, bytes) in [(3_000, 1_000), (3_000, 1_300), (100_000, 1_000)] {
        let mut w = world(pending_bytes_max, true);
        let (well, p) = (reader(&mut w, usize::MAX), w.connect());
        w.send(p, publish(bytes, 2000));
        assert_eq!(w.received(well).matches("MSG").count(), 4000);
        w.send(well, "PING\r\n".repeat(20_000));
        assert_eq!(w.received(well).matches("PONG").count(), 20_000);
        assert_eq!(w.ended(well), None);
        assert_eq!(w.engine.stats().stalled_clients, 0);
    }
}

#[test]
fn own_lines_count_as_pending_too() {
    let mut w = world(10_000, true);
    let a = reader(&mut w, 0);
    w.send(a, "PING\r\n".repeat(2000));
    assert_eq!(w.ended(a), Some(CloseReason::SlowConsumerPending));
    assert_eq!(w.engine.stats().slow_consumers, 1);
}

#[test]
fn publisher_that_is_its_own_slow_reader_stops_there() {
    let mut w = world(10_000, false);
    let (a, b) = (reader(&mut w, 0), w.connect());
    w.send(b, "SUB after 1\r\n");
    w.send(a, publish(1000, 20) + "PUB after 0\r\n\r\n");
    assert_eq!(w.ended(a), Some(CloseReason::SlowConsumerPending));
    assert_eq!(w.received(b), "");
}

#[test]
fn nothing_accepted_for_the_write_deadline_cuts() {
    let mut w = world(1 << 20, true);
    let (stuck, well, p) = (reader(&mut w, 100), reader(&mut w, usize::MAX), w.connect());
    w.send(p, publish(1000, 1));
    w.advance(millis(1000));
    // A notification without room behind it is no progress,
    let ready = Ready {
        key: stuck,
        readable: false,
        writable: true,
    };
    w.engine.turn(&mut w.wires, &[ready], w.now);
    w.advance(millis(999));
    assert_eq!(w.ended(stuck), None);
    // nor is more to write.
    w.send(p, publish(1000, 1));
    w.advance(millis(1));
    assert_eq!(w.ended(stuck), Some(CloseReason::SlowConsumerDeadline));
    assert!(w.wire(stuck).is_released);
    assert_eq!(w.received(stuck).len(), 100, "no -ERR");
    assert_eq!(
        w.logged("Slow Consumer Detected: WriteDeadline of 2s Exceeded"),
        1
    );
    assert_eq!(
        (w.logged("Slow Consumer"), w.engine.stats().slow_consumers),
        (1, 1)
    );
    assert_eq!(w.ended(well), None);
}

#[test]
fn any_progress_moves_the_write_deadline() {
    let mut w = world(1 << 20, true);
    let (slow, p) = (reader(&mut w, 100), w.connect());
    w.send(p, publish(1000, 20));
    for _ in 0..20 {
        w.advance(millis(1900));
        w.accept(slow, 1);
        assert_eq!(w.ended(slow), None);
    }
    // Late: room comes in the moment of judgement, or after a stop of the process.
    w.advance(millis(1999));
    w.set_room(slow, 1);
    w.advance(millis(1));
    assert_eq!(w.ended(slow), None);
    w.set_room(slow, 1);
    w.jump(millis(5000));
    assert_eq!(w.ended(slow), None);
    // Room that nobody has told of is tried.
    w.set_room(slow, usize::MAX);
    w.wire(slow).is_write_armed = false;
    w.jump(millis(5000));
    assert_eq!(w.ended(slow), None);
    assert_eq!(w.received(slow).matches("MSG").count(), 40);
    w.advance(millis(10_000));
    assert_eq!((w.ended(slow), w.engine.stats().slow_consumers), (None, 0));
}

#[test]
fn stop_of_the_process_costs_nobody_but_the_stuck() {
    let mut w = world(1 << 20, true);
    let (stuck, slow, p) = (reader(&mut w, 100), reader(&mut w, 100), w.connect());
    w.send(p, publish(1000, 20));
    w.set_room(slow, 10_000);
    w.jump(millis(5000));
    assert_eq!(w.ended(stuck), Some(CloseReason::SlowConsumerDeadline));
    assert_eq!(w.ended(slow), None);
    assert_eq!(w.received(slow).len(), 10_100);
}

/// A trickle that the socket takes at the deadline does not save its peer, a real write does.
#[test]
fn trickle_is_no_progress_at_the_write_deadline() {
    for (room, is_saved) in [(2_000, false), (70_000, true)] {
        let mut w = world(1_000_000, false);
        let (stuck, p) = (reader(&mut w, 0), w.connect());
        w.wire(stuck).is_room_secret = true;
        w.send(p, publish(10_000, 20));
        w.set_room(stuck, room);
        w.advance(millis(2001));
        let reason = CloseReason::SlowConsumerDeadline;
        assert_eq!(w.ended(stuck), (!is_saved).then_some(reason), "{room}");
    }
}
