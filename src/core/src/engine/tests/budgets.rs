//! Nobody waits long behind somebody else's flood, and nothing gets lost or out of order by it.

use super::world::World;
use crate::engine::Next;
use crate::interest::ConnKey;

#[test]
fn large_fan_out_is_spread_over_turns() {
    let mut w = World::new();
    let readers: Vec<ConnKey> = (0..1000).map(|_| w.connect()).collect();
    for &key in &readers {
        w.put(key, "SUB n 1\r\n");
    }
    w.settle();
    let (p, other) = (w.connect(), w.connect());
    // One read of the publisher: 16 bytes for each of a thousand, some thousand times.
    let messages = 64 * 1024 / 26;
    w.put(
        p,
        (0..messages)
            .map(|n| format!("PUB n 16\r\n{n:016}\r\n"))
            .collect::<String>()
            + "PING\r\n",
    );
    let (mut turns, mut pongs) = (0, 0);
    let mut out_before = w.engine.stats().out_bytes;
    loop {
        w.put(other, "PING\r\n");
        let next = w.turn();
        turns += 1;
        pongs += w.received(other).matches("PONG").count();
        assert!(pongs + 1 >= turns, "{pongs} answers in {turns} turns");
        let out = w.engine.stats().out_bytes;
        assert!(
            out - out_before < 2 << 20,
            "{} bytes in a turn",
            out - out_before
        );
        out_before = out;
        if next != Next::Again && w.received(p) == "PONG\r\n" {
            break;
        }
        assert!(turns < 1000);
    }
    assert!(turns > 20, "{turns} turns");
    let want: String = (0..messages)
        .map(|n| format!("MSG n 1 16\r\n{n:016}\r\n"))
        .collect();
    for &key in &readers {
        assert!(w.received(key) == want);
    }
}

#[test]
fn flood_of_one_leaves_room_for_the_others() {
    let mut w = World::new();
    let (flooder, other, reader) = (w.connect(), w.connect(), w.connect());
    w.send(reader, "SUB foo 1\r\n");
    let line = format!("PUB foo 100\r\n{}\r\n", "x".repeat(100));
    w.put(flooder, line.repeat(200_000));
    for turn in 0..50 {
        w.put(other, "PING\r\n");
        w.turn();
        if turn > 0 {
            assert!(w.received(other).contains("PONG"), "turn {turn}");
        }
    }
    w.settle();
    assert_eq!(w.received(reader).matches("MSG").count(), 200_000);
}

/// What is read in one turn is bounded for all of them together, and each gets its turn.
#[test]
fn many_flooders_are_served_by_turns() {
    let mut w = World::new();
    let flooders: Vec<ConnKey> = (0..64).map(|_| w.connect()).collect();
    let line = format!("PUB foo 1000\r\n{}\r\n", "x".repeat(1000));
    for &key in &flooders {
        w.put(key, line.repeat(1000));
    }
    let before: usize = flooders.iter().map(|&key| w.wire(key).read_bytes).sum();
    for turn in 1..=8 {
        w.turn();
        let total: usize = flooders.iter().map(|&key| w.wire(key).read_bytes).sum();
        assert!(total - before <= turn * ((1 << 20) + 64 * 1024));
    }
    let read: Vec<usize> = flooders.iter().map(|&key| w.wire(key).read_bytes).collect();
    let (least, most) = (read.iter().min().unwrap(), read.iter().max().unwrap());
    assert!(most - least <= 64 * 1024, "{least} to {most}");
    w.settle();
    assert_eq!(w.engine.stats().in_msgs, 64_000);
}

#[test]
fn connection_alone_reads_more_at_once() {
    let mut w = World::new();
    let a = w.connect();
    let before = w.wire(a).read_bytes;
    w.put(a, "PING\r\n".repeat(100_000));
    w.turn();
    assert_eq!(w.wire(a).read_bytes - before, 256 * 1024);
    w.settle();
    assert_eq!(w.received(a).matches("PONG").count(), 100_000);
}

#[test]
fn memory_of_a_cut_reader_is_freed_by_turns() {
    let mut w = World::new();
    let (reader, p) = (w.connect(), w.connect());
    w.send(reader, "SUB foo 1\r\n");
    w.set_room(reader, 0);
    let payload = "x".repeat(1 << 20);
    for _ in 0..40 {
        w.send(p, format!("PUB foo {}\r\n{payload}\r\n", payload.len()));
    }
    w.wire(reader).is_broken = true;
    let mut turns = 0;
    while w.turn() == Next::Again || w.ended(reader).is_none() {
        turns += 1;
        assert!(turns < 1000);
    }
    assert!(turns >= 40 * 16 / 64 - 3, "{turns} turns");
}

#[test]
fn writes_are_spread_over_turns_and_a_pong_goes_first() {
    let mut w = World::new();
    let readers: Vec<ConnKey> = (0..1000).map(|_| w.connect()).collect();
    for &key in &readers {
        w.put(key, "SUB n 1\r\n");
    }
    w.settle();
    let (p, other) = (w.connect(), w.connect());
    w.put(p, "PUB n 2\r\nhi\r\n");
    w.put(other, "PING\r\n");
    w.turn();
    assert_eq!(w.received(other), "PONG\r\n");
    let mut waiting: Vec<ConnKey> = readers;
    let mut turns = 1;
    while !waiting.is_empty() {
        let before = waiting.len();
        waiting.retain(|&key| w.received(key).is_empty());
        let written = before - waiting.len();
        assert!((1..=600).contains(&written), "{written} writes in a turn");
        w.turn();
        turns += 1;
    }
    assert!(turns > 2);
}

#[test]
fn a_reader_that_catches_up_does_not_take_a_whole_turn() {
    let mut w = World::new();
    let (p, reader, other) = (w.connect(), w.connect(), w.connect());
    w.send(reader, "SUB n 1\r\n");
    w.set_room(reader, 0);
    let line = format!("PUB n 1000\r\n{}\r\n", "x".repeat(1000));
    w.send(p, line.repeat(20_000));
    assert!(w.pending(reader) > 20_000_000);
    w.set_room(reader, usize::MAX);
    let mut turns = 0;
    while w.pending(reader) > 0 {
        w.put(other, "PING\r\n");
        let before = w.pending(reader);
        w.turn();
        turns += 1;
        assert_eq!(w.received(other), "PONG\r\n");
        assert!(
            before - w.pending(reader) <= 8 << 20,
            "{} bytes",
            before - w.pending(reader)
        );
    }
    assert!(turns > 2, "{turns} turns");
}
