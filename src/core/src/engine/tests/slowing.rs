//! Publishers wait a little for readers that lag but read.

use super::world::{World, millis};
use crate::client::CloseReason;
use crate::engine::Limits;
use crate::interest::ConnKey;

const MAX: usize = 1_000_000;
const HIGH: usize = MAX / 4 * 3;
const LOW: usize = MAX / 2;

fn world() -> World {
    World::with(Limits {
        pending_bytes_max: MAX,
        ..Limits::default()
    })
}

fn publish(bytes: usize, times: usize) -> String {
    format!("PUB foo {bytes}\r\n{}\r\n", "x".repeat(bytes)).repeat(times)
}

/// A reader that takes nothing for the moment, and a publisher that waits for it.
fn waiting(w: &mut World) -> (ConnKey, ConnKey) {
    let (reader, p) = (w.connect(), w.connect());
    w.send(reader, "SUB foo 1\r\n");
    w.set_room(reader, 0);
    w.send(p, publish(10_000, 200) + "PING\r\n");
    assert!(w.connection(p).pause.is_some());
    assert_eq!(w.received(p), "");
    (reader, p)
}

#[test]
fn publisher_waits_and_is_not_read() {
    let mut w = world();
    let (reader, p) = waiting(&mut w);
    let pending = w.pending(reader);
    assert!(pending > HIGH && pending < HIGH + 20_000, "{pending}");
    assert_eq!(
        (w.engine.stats().stalled_clients, w.connection(p).stalls),
        (1, 1)
    );
    let read = w.wire(p).read_bytes;
    w.put(p, publish(10, 1000));
    w.advance(millis(9));
    assert_eq!((w.wire(p).read_bytes, w.pending(reader)), (read, pending));
}

#[test]
fn publisher_goes_on_when_the_reader_has_caught_up() {
    let mut w = world();
    let (reader, p) = waiting(&mut w);
    let pending = w.pending(reader);
    w.accept(reader, pending - LOW - 1);
    assert_eq!(w.pending(reader), LOW + 1);
    w.accept(reader, 2);
    // It has been let go on, and waits again.
    assert!(w.pending(reader) > HIGH);
    assert_eq!(w.connection(p).stalls, 2);
    w.accept(reader, usize::MAX);
    assert_eq!(w.received(p), "PONG\r\n");
    assert_eq!(w.received(reader).matches("MSG").count(), 200);
    assert_eq!(w.engine.stats().slow_consumers, 0);
}

#[test]
fn publisher_goes_on_after_a_moment_within_its_credit() {
    let mut w = world();
    let (reader, p) = waiting(&mut w);
    let pending = w.pending(reader);
    w.set_room(reader, 1);
    w.advance(millis(10));
    let grown = w.pending(reader) - pending;
    assert!(grown > 16 * 1024 && grown <= 2 * 10_100, "{grown}");
    assert!(w.connection(p).pause.is_some());
    w.set_room(reader, 1);
    w.advance(millis(10));
    assert!(w.pending(reader) > pending + grown);
    assert_eq!(w.connection(p).stalls, 3);
}

/// What a message adds is counted, not its payload alone.
#[test]
fn empty_messages_use_up_credit_too() {
    let mut w = world();
    let (reader, p) = waiting(&mut w);
    w.accept(reader, usize::MAX);
    w.received(p);
    w.set_room(reader, 0);
    w.send(p, publish(10_000, 74));
    w.put(p, publish(0, 40_000));
    let mut before = w.pending(reader);
    for round in 0..10 {
        w.set_room(reader, 1);
        w.advance(millis(10));
        let grown = w.pending(reader).saturating_sub(before);
        assert!(round == 0 || grown < 40_000, "{grown} bytes in 10 ms");
        before = w.pending(reader);
    }
    assert_eq!(w.ended(reader), None);
    assert!(w.connection(p).stalls >= 10);
}

#[test]
fn stuck_reader_slows_nobody() {
    let mut w = world();
    let (reader, p) = waiting(&mut w);
    w.advance(millis(100));
    assert_eq!(w.ended(reader), Some(CloseReason::SlowConsumerPending));
    assert_eq!(w.received(p), "PONG\r\n");
    assert_eq!(w.engine.stats().slow_consumers, 1);
    // One that was stuck before the flood does not even once.
    let stuck = w.connect();
    w.send(stuck, "SUB foo 1\r\n");
    w.set_room(stuck, 0);
    w.send(p, publish(1, 1));
    w.advance(millis(51));
    let stalls = w.engine.stats().stalled_clients;
    w.send(p, publish(10_000, 200) + "PING\r\n");
    assert_eq!(w.received(p), "PONG\r\n");
    assert_eq!(w.ended(stuck), Some(CloseReason::SlowConsumerPending));
    assert_eq!(w.engine.stats().stalled_clients, stalls);
}

#[test]
fn switched_off_nobody_waits() {
    let mut w = World::with(Limits {
        pending_bytes_max: MAX,
        slow_fast_publishers: false,
        ..Limits::default()
    });
    let (reader, p) = (w.connect(), w.connect());
    w.send(reader, "SUB foo 1\r\n");
    w.set_room(reader, 0);
    w.send(p, publish(10_000, 200) + "PING\r\n");
    assert_eq!(w.received(p), "PONG\r\n");
    assert_eq!(w.ended(reader), Some(CloseReason::SlowConsumerPending));
    assert_eq!(w.engine.stats().stalled_clients, 0);
}

#[test]
fn waiting_ends_with_the_reader() {
    for is_broken in [true, false] {
        let mut w = world();
        let (reader, p) = waiting(&mut w);
        if is_broken {
            w.wire(reader).is_broken = true;
            w.settle();
        } else {
            w.finish(reader);
        }
        assert!(w.ended(reader).is_some());
        assert_eq!(w.received(p), "PONG\r\n", "at once");
    }
}

#[test]
fn reader_that_is_cut_is_not_waited_for() {
    let mut w = world();
    let (reader, p) = (w.connect(), w.connect());
    // Two copies of one message: the first brings it over the height for slowing, the second over the limit.
    w.send(reader, "SUB foo 1\r\nSUB foo 2\r\n");
    w.set_room(reader, 0);
    w.send(
        p,
        format!(
            "{}PUB foo 300000\r\n{}\r\nPING\r\n",
            publish(100_000, 3),
            "x".repeat(300_000)
        ),
    );
    assert_eq!(w.ended(reader), Some(CloseReason::SlowConsumerPending));
    assert_eq!(w.received(p), "PONG\r\n");
    assert_eq!(w.engine.stats().stalled_clients, 0);
}

#[test]
fn publisher_may_end_while_it_waits() {
    let mut w = world();
    let (reader, p) = waiting(&mut w);
    w.finish(p);
    assert_eq!(w.ended(p), None, "its input is still to be handled");
    w.accept(reader, usize::MAX);
    assert_eq!(w.ended(p), Some(CloseReason::ClientClosed));
    assert_eq!(w.received(reader).matches("MSG").count(), 200);
    // Or be cut: whoever has its key then is not concerned.
    let mut w = world();
    let (reader, p) = waiting(&mut w);
    w.wire(p).is_write_broken = true;
    w.advance(millis(10));
    w.wire(p).is_broken = true;
    w.accept(reader, usize::MAX);
    assert!(w.wire(p).is_released);
    let next = w.connect();
    assert_eq!(next, p);
    w.send(next, "PING\r\n");
    assert_eq!(w.received(next), "PONG\r\n");
}

/// The end of a backlog may be the end of what may be done now.
#[test]
fn pause_at_the_end_of_a_backlog_holds() {
    let mut w = world();
    let (reader, p) = (w.connect(), w.connect());
    w.send(reader, "SUB foo 1\r\n");
    w.set_room(reader, 0);
    w.send(p, publish(10_000, 74));
    w.put(p, publish(20_000, 2));
    w.settle();
    assert!(w.connection(p).has_backlog && w.connection(p).pause.is_some());
    w.put(p, publish(10, 10));
    let read = w.wire(p).read_bytes;
    w.set_room(reader, 1);
    w.advance(millis(10));
    assert!(!w.connection(p).has_backlog && w.connection(p).pause.is_some());
    assert_eq!(
        w.wire(p).read_bytes,
        read,
        "a paused connection is not read"
    );
}

#[test]
fn many_publishers_wait_for_one_reader() {
    let mut w = world();
    let reader = w.connect();
    w.send(reader, "SUB foo 1\r\n");
    w.set_room(reader, 0);
    let publishers: Vec<ConnKey> = (0..20).map(|_| w.connect()).collect();
    for &p in &publishers {
        w.put(p, publish(10_000, 20) + "PING\r\n");
    }
    w.settle();
    assert!(w.pending(reader) < MAX);
    for _ in 0..1000 {
        w.accept(reader, 100_000);
        w.advance(millis(1));
    }
    assert_eq!(w.received(reader).matches("MSG").count(), 400);
    assert_eq!(
        (
            w.engine.stats().slow_consumers,
            w.connection(reader).waiting.len()
        ),
        (0, 0)
    );
    for &p in &publishers {
        assert_eq!(w.received(p), "PONG\r\n");
    }
}

/// A reader slower than the kernel's notice of room: what it takes is found out by trying.
#[test]
fn reader_that_takes_bytes_in_secret_slows_its_publishers() {
    let mut w = world();
    let (reader, p) = (w.connect(), w.connect());
    w.send(reader, "SUB foo 1\r\n");
    w.set_room(reader, 0);
    w.wire(reader).is_room_secret = true;
    w.put(p, publish(10_000, 300) + "PING\r\n");
    w.settle();
    for _ in 0..1000 {
        // 3 MB/s, as they come.
        w.wire(reader).room += 30_000;
        w.advance(millis(10));
    }
    assert_eq!(w.ended(reader), None);
    assert!(w.engine.stats().stalled_clients > 10);
    w.wire(reader).is_room_secret = false;
    w.accept(reader, usize::MAX);
    assert_eq!(w.received(p), "PONG\r\n");
    assert_eq!(w.received(reader).matches("MSG").count(), 300);
}
