//! Several engines and the lanes between them, at rest between any two steps: what crosses, and how.
//! Interleavings are the simulator's.

use super::wires::Ends;
use super::world::{World, millis, setup};
use crate::engine::{Limits, Setup};
use crate::interest::ConnKey;

/// Rounds after which engines that have not come to rest never will.
const ROUNDS_MAX: usize = 10_000;

/// A server of several shards.
pub(super) struct Shards(Vec<World>);

/// A connection: shard and key.
pub(super) type Conn = (usize, ConnKey);

impl Shards {
    pub(super) fn new(shards: u16, capacity: usize) -> Self {
        Shards::with(shards, capacity, Limits::default())
    }

    fn with(shards: u16, capacity: usize, limits: Limits) -> Self {
        let ends = Ends::all(usize::from(shards), capacity);
        let worlds = (0..).zip(ends).map(|(shard, ends)| {
            let mut world = World::from(Setup {
                shard,
                shards,
                seed: 7 + u64::from(shard),
                ..setup(limits.clone())
            });
            world.wires.ends = Some(ends);
            world
        });
        Shards(worlds.collect())
    }

    pub(super) fn connect(&mut self, shard: usize, members: &str) -> Conn {
        (shard, self.0[shard].connect_with(members))
    }

    /// Runs every engine until nothing more happens anywhere.
    pub(super) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let before = self.moves();
            for world in &mut self.0 {
                world.settle();
            }
            // Whoever waited for room goes on in the round after the one that made it.
            if self.moves() == before {
                return;
            }
        }
        panic!("the engines do not come to rest");
    }

    pub(super) fn worlds(&self) -> &[World] {
        &self.0
    }

    fn moves(&self) -> u64 {
        self.0[0].wires.ends.as_ref().map_or(0, Ends::moves)
    }

    pub(super) fn send(&mut self, to: Conn, text: impl AsRef<[u8]>) {
        self.0[to.0].put(to.1, text);
        self.settle();
    }

    /// The connection breaks, and its shard sees that before it takes anything from the others.
    fn break_off(&mut self, conn: Conn) {
        let world = &mut self.0[conn.0];
        world.wire(conn.1).is_broken = true;
        world.settle();
    }

    pub(super) fn set_room(&mut self, conn: Conn, bytes: usize) {
        self.0[conn.0].set_room(conn.1, bytes);
    }

    pub(super) fn received(&mut self, from: Conn) -> String {
        self.0[from.0].received(from.1)
    }
}

#[test]
fn a_message_crosses_once_to_each_shard_that_wants_it() {
    let mut s = Shards::new(3, 2);
    let publisher = s.connect(0, "");
    let here = s.connect(0, "");
    let (a, b) = (s.connect(1, ""), s.connect(1, ""));
    s.send(here, "SUB foo 1\r\n");
    s.send(a, "SUB foo 1\r\nSUB > 3\r\n");
    s.send(b, "SUB *.x 1\r\n");
    s.send(
        publisher,
        "PUB foo 2\r\nhi\r\nPUB foo re.ply 3\r\nyou\r\nPUB a.x 1\r\n!\r\nPUB bar 0\r\n\r\n",
    );
    assert_eq!(
        s.received(here),
        "MSG foo 1 2\r\nhi\r\nMSG foo 1 re.ply 3\r\nyou\r\n"
    );
    let got = s.received(a);
    assert_eq!(got.matches("MSG foo 1 2\r\nhi\r\n").count(), 1, "{got}");
    assert_eq!(
        got.matches("MSG foo 3 re.ply 3\r\nyou\r\n").count(),
        1,
        "{got}"
    );
    assert_eq!(got.matches("MSG").count(), 6, "{got}");
    assert_eq!(s.received(b), "MSG a.x 1 1\r\n!\r\n");
    assert_eq!(s.0[0].engine.stats().crossed_out, 4);
    assert_eq!(s.0[1].engine.stats().crossed_in, 4);
    assert_eq!(s.0[2].engine.stats().crossed_in, 0);
}

#[test]
fn interest_that_ends_is_taken_back() {
    let mut s = Shards::new(2, 1);
    let publisher = s.connect(0, "");
    let reader = s.connect(1, "");
    for subject in ["foo", "*"] {
        s.send(
            reader,
            format!("SUB {subject} 1\r\nSUB {subject} 2\r\nUNSUB 1\r\n"),
        );
        s.send(publisher, "PUB foo 0\r\n\r\n");
        assert_eq!(s.received(reader), "MSG foo 2 0\r\n\r\n");
        s.send(reader, "UNSUB 2\r\n");
        let before = s.0[0].engine.stats().crossed_out;
        s.send(publisher, "PUB foo 0\r\n\r\n");
        assert_eq!(s.0[0].engine.stats().crossed_out, before, "{subject}");
    }
    s.send(reader, "SUB foo 1\r\nSUB a.> q 2\r\n");
    s.0[1].finish(reader.1);
    s.settle();
    let before = s.0[0].engine.stats().crossed_out;
    s.send(publisher, "PUB foo 0\r\n\r\nPUB a.b 0\r\n\r\n");
    assert_eq!(s.0[0].engine.stats().crossed_out, before);
}

#[test]
fn headers_and_odd_lines_cross_as_they_are() {
    let mut s = Shards::new(2, 4);
    let publisher = s.connect(0, "\"headers\":true");
    let with = s.connect(1, "\"headers\":true");
    let without = s.connect(1, "");
    s.send(with, "SUB foo 1\r\n");
    s.send(without, "SUB foo 1\r\n");
    s.send(
        publisher,
        "HPUB foo re 12 14\r\nNATS/1.0\r\n\r\nhi\r\npub   foo  02\nyo\r\nHPUB foo 0 1\r\nx\r\n",
    );
    assert_eq!(
        s.received(with),
        "HMSG foo 1 re 12 14\r\nNATS/1.0\r\n\r\nhi\r\nMSG foo 1 02\r\nyo\r\nMSG foo 1 1\r\nx\r\n"
    );
    assert_eq!(
        s.received(without),
        "MSG foo 1 re 2\r\nhi\r\nMSG foo 1 02\r\nyo\r\nMSG foo 1 1\r\nx\r\n"
    );
}

#[test]
fn a_queue_group_is_one_over_all_shards() {
    let mut s = Shards::new(3, 4);
    let publisher = s.connect(0, "");
    // Four members on shard 1 by two patterns, two on shard 2, two here.
    let members = [(0, 2), (1, 4), (2, 2)].map(|(shard, n)| (s.connect(shard, ""), n));
    for (member, n) in members {
        for sid in 0..n {
            let subject = if sid % 2 == 0 { "foo" } else { "*" };
            s.send(member, format!("SUB {subject} q {sid}\r\n"));
        }
    }
    let rounds = 4000;
    for _ in 0..rounds / 100 {
        s.send(publisher, "PUB foo 0\r\n\r\n".repeat(100));
    }
    let counts = members.map(|(member, _)| s.received(member).matches("MSG").count());
    assert_eq!(counts.iter().sum::<usize>(), rounds);
    for ((_, n), count) in members.iter().zip(counts) {
        let share = rounds * n / 8;
        assert!(count.abs_diff(share) < share / 5, "{counts:?}");
    }
}

#[test]
fn own_members_do_not_weigh_with_echo_off() {
    let mut s = Shards::new(2, 4);
    let publisher = s.connect(0, "\"echo\":false");
    s.send(
        publisher,
        "SUB foo q 1\r\nSUB foo q 2\r\nSUB foo q 3\r\nSUB foo q 4\r\n",
    );
    let (here, there) = (s.connect(0, ""), s.connect(1, ""));
    s.send(here, "SUB foo q 1\r\n");
    s.send(there, "SUB foo q 1\r\n");
    s.send(publisher, "PUB foo 0\r\n\r\n".repeat(2000));
    let counts = [here, there].map(|c| s.received(c).matches("MSG").count());
    assert_eq!(counts[0] + counts[1], 2000);
    assert!(counts[0].abs_diff(1000) < 150, "{counts:?}");
    assert_eq!(s.received(publisher), "");
}

#[test]
fn no_responders_looks_at_all_shards() {
    let mut s = Shards::new(2, 4);
    let options = "\"headers\":true,\"no_responders\":true";
    let requester = s.connect(0, options);
    let responder = s.connect(1, "");
    s.send(requester, "SUB inbox 1\r\nPUB svc inbox 0\r\n\r\n");
    assert_eq!(
        s.received(requester),
        "HMSG inbox 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
    );
    s.send(responder, "SUB svc q 1\r\n");
    s.send(requester, "PUB svc inbox 0\r\n\r\n");
    assert_eq!(s.received(requester), "");
    assert_eq!(s.received(responder), "MSG svc 1 inbox 0\r\n\r\n");
    s.send(responder, "PUB inbox 2\r\nok\r\n");
    assert_eq!(s.received(requester), "MSG inbox 1 2\r\nok\r\n");
}

#[test]
fn a_responder_that_has_just_gone_is_reported() {
    let options = "\"headers\":true,\"no_responders\":true";
    let status = "HMSG inbox 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n";
    for (queue, shards) in [("", 2), ("q ", 2), ("q ", 3)] {
        let mut s = Shards::new(3, 4);
        let requester = s.connect(0, options);
        s.send(requester, "SUB inbox 1\r\n");
        let responders: Vec<Conn> = (1..shards).map(|shard| s.connect(shard, "")).collect();
        for &responder in &responders {
            s.send(responder, format!("SUB svc {queue}1\r\n"));
        }
        s.0[0].put(requester.1, "PUB svc inbox 0\r\n\r\n");
        s.0[0].settle();
        for responder in responders {
            s.break_off(responder);
        }
        s.settle();
        assert_eq!(s.received(requester), status, "{queue}{shards}");
    }
}

#[test]
fn a_vanished_member_has_its_message_chosen_anew() {
    let mut s = Shards::new(3, 4);
    let publisher = s.connect(0, "");
    let (gone, left) = (s.connect(1, ""), s.connect(2, ""));
    s.send(gone, "SUB foo q 1\r\n");
    s.send(left, "SUB foo q 1\r\nSUB foo plain\r\n");
    let n = 200;
    // What was published is on its way to both when one of them leaves.
    s.0[0].put(publisher.1, "PUB foo 0\r\n\r\n".repeat(n));
    s.0[0].settle();
    s.break_off(gone);
    s.settle();
    let got = s.received(left);
    assert_eq!(got.matches("MSG foo 1 ").count(), n);
    assert_eq!(got.matches("MSG foo plain ").count(), n);
    assert!(s.0[1].engine.stats().rechosen > 0);
    // Nobody left at all: it ends.
    s.0[0].put(publisher.1, "PUB foo 0\r\n\r\n");
    s.0[0].settle();
    s.break_off(left);
    s.settle();
}

#[test]
fn full_lanes_pause_and_lose_nothing() {
    let mut s = Shards::new(2, 1);
    let publishers = [s.connect(0, ""), s.connect(0, "")];
    let other = s.connect(0, "");
    let reader = s.connect(1, "");
    s.send(reader, "SUB foo 1\r\n");
    let body = "x".repeat(1000);
    let n = 300;
    for publisher in publishers {
        let text = format!("PUB foo 1000\r\n{body}\r\n").repeat(n) + "PING\r\n";
        s.0[0].put(publisher.1, text);
    }
    s.0[0].settle();
    // The lane holds 64 KiB, and nobody has taken from it.
    assert_eq!(s.received(publishers[0]), "");
    assert!(s.0[0].engine.stats().lane_stalls > 0);
    s.0[0].send(other.1, "PING\r\n");
    assert_eq!(s.received(other), "PONG\r\n");
    s.settle();
    assert_eq!(
        s.received(reader).matches("MSG foo 1 1000\r\n").count(),
        2 * n
    );
    for publisher in publishers {
        assert_eq!(s.received(publisher), "PONG\r\n");
    }
    // Interest that is news waits likewise.
    s.0[1].put(reader.1, "SUB a 2\r\nPING\r\n");
    s.0[1].settle();
    s.0[1].put(reader.1, "SUB b 3\r\nPING\r\n");
    s.0[1].settle();
    assert_eq!(s.received(reader), "PONG\r\n");
    s.settle();
    assert_eq!(s.received(reader), "PONG\r\n");
}

#[test]
fn a_reader_that_lags_slows_publishers_elsewhere() {
    let limits = Limits {
        pending_bytes_max: 400_000,
        ..Limits::default()
    };
    let mut s = Shards::with(2, 4, limits);
    let publisher = s.connect(0, "");
    let reader = s.connect(1, "");
    s.send(reader, "SUB foo 1\r\n");
    s.0[1].set_room(reader.1, 1000);
    let text = format!("PUB foo 1000\r\n{}\r\n", "x".repeat(1000));
    // Until it lags, and is offered a little more room, so that it counts as one that reads.
    let mut stalled = 0;
    for _ in 0..340 {
        s.send(publisher, &text);
        s.0[1].accept(reader.1, 100);
        s.settle();
        stalled = s.0[0].engine.stats().stalled_clients;
        if stalled > 0 {
            break;
        }
    }
    assert!(stalled > 0, "{} pending", s.0[1].pending(reader.1));
    s.0[0].put(publisher.1, "PING\r\n");
    s.0[0].settle();
    assert_eq!(s.received(publisher), "", "it waits");
    s.0[1].accept(reader.1, usize::MAX);
    s.settle();
    assert_eq!(s.received(publisher), "PONG\r\n", "it is told to go on");
    for world in &mut s.0 {
        world.advance(millis(100));
    }
    assert_eq!(s.0[1].engine.stats().slow_consumers, 0);
}

#[test]
fn what_was_published_before_an_end_comes_first() {
    let mut s = Shards::new(2, 4);
    let (publisher, reader) = (s.connect(0, ""), s.connect(1, ""));
    s.send(reader, "SUB foo 1\r\n");
    s.0[0].put(publisher.1, "PUB foo 2\r\nhi\r\nPING\r\n");
    s.0[0].settle();
    assert_eq!(s.received(publisher), "PONG\r\n");
    // Its peer closes its side, perhaps because of that PONG, and reads on.
    s.0[1].finish(reader.1);
    assert_eq!(s.received(reader), "MSG foo 1 2\r\nhi\r\n");
}

/// One connection with 300 subscriptions, so that a few KiB in a lane come to a hundred times as much.
fn wide_reader(s: &mut Shards, shard: usize) -> Conn {
    let reader = s.connect(shard, "");
    let subs: String = (0..300).map(|n| format!("SUB foo {n}\r\n")).collect();
    s.send(reader, subs);
    reader
}

#[test]
fn a_batch_that_comes_to_much_is_delivered_over_several_turns() {
    let limits = Limits {
        turn_work: 100_000,
        ..Limits::default()
    };
    let mut s = Shards::with(2, 8, limits);
    let (publisher, other) = (s.connect(0, ""), s.connect(1, ""));
    let reader = wide_reader(&mut s, 1);
    let publishes: String = (0..60)
        .map(|n| format!("PUB foo 2\r\n{n:02}\r\n"))
        .collect();
    s.0[0].put(publisher.1, publishes + "PING\r\n");
    s.0[0].settle();
    assert_eq!(s.received(publisher), "PONG\r\n");
    // A message of its own does not wait for all of that.
    s.0[1].put(other.1, "SUB x 1\r\n");
    s.0[1].settle();
    let got = s.received(reader);
    assert_eq!(
        got.matches("MSG").count(),
        60 * 300,
        "SUB takes what is visible"
    );

    let publishes: String = (0..60)
        .map(|n| format!("PUB foo 2\r\n{n:02}\r\n"))
        .collect();
    s.0[0].put(publisher.1, publishes + "PING\r\n");
    s.0[0].settle();
    let (mut turns, mut most, mut before) = (0, 0, s.0[1].engine.stats().out_msgs);
    let mut answered_after = 0;
    while s.0[1].engine.stats().crossed_in < 120 {
        s.0[1].put(other.1, "PUB x 2\r\nme\r\n");
        s.0[1].turn();
        turns += 1;
        answered_after += usize::from(s.received(other).contains("MSG x 1 2"));
        let out = s.0[1].engine.stats().out_msgs;
        most = most.max(out - before);
        before = out;
        assert!(turns < 1000, "no end");
    }
    // Half of a turn's work, and a message to all of them that is not split, in some 17 bytes each.
    assert!(most < 50_000 / 14 + 600, "{most} deliveries in one turn");
    assert!(turns > 3, "{turns} turns");
    assert!(answered_after + 1 >= turns, "{answered_after} of {turns}");
    s.settle();
    let got = s.received(reader);
    for n in 0..300 {
        let line = format!("MSG foo {n} 2\r\n");
        let bodies: Vec<&str> = got
            .match_indices(&line)
            .map(|(at, _)| &got[at + line.len()..][..2])
            .collect();
        let want: Vec<String> = (0..60).map(|n| format!("{n:02}")).collect();
        assert_eq!(bodies, want, "sid {n}");
    }
}

#[test]
fn a_receiver_says_how_large_batches_should_be() {
    let mut s = Shards::new(2, 8);
    let publisher = s.connect(0, "");
    let go_bytes = |s: &Shards| s.0[0].engine.crossing.go_bytes(1);
    let first = go_bytes(&s);
    // One plain reader: more than lanes begin with.
    let narrow = s.connect(1, "");
    s.send(narrow, "SUB bar 1\r\n");
    let publishes = |subject: &str, count: usize| {
        format!("PUB {subject} 16\r\n{}\r\n", "x".repeat(16)).repeat(count)
    };
    s.send(publisher, publishes("bar", 1000));
    let grown = go_bytes(&s);
    assert!(grown > first, "{grown}");
    let wide: Vec<Conn> = (0..8).map(|_| wide_reader(&mut s, 1)).collect();
    s.send(publisher, publishes("foo", 1000));
    let shrunk = go_bytes(&s);
    assert!(shrunk < first / 2, "{shrunk}");
    assert_eq!(s.received(wide[0]).matches("MSG").count(), 300 * 1000);
    assert_eq!(s.received(narrow).matches("MSG").count(), 1000);
    s.send(publisher, publishes("bar", 1000));
    assert!(go_bytes(&s) > first);
}
