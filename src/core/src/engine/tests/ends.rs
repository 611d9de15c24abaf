//! How connections end, what still reaches them, and what is left of them.

use super::world::{World, millis, setup};
use crate::client::CloseReason;
use crate::engine::snapshot::ConnQuery;
use crate::engine::{Limits, Setup};
use crate::interest::ConnKey;

/// Two peers, of which the first says something that is not the protocol.
fn offended(w: &mut World) -> ConnKey {
    let a = w.connect();
    w.put(a, "SUB foo 1\r\nPING\r\nNONSENSE\r\nPING\r\n");
    w.settle();
    a
}

#[test]
fn error_is_said_before_the_end() {
    let mut w = World::new();
    let a = offended(&mut w);
    assert_eq!(
        w.received(a),
        "PONG\r\n-ERR 'Unknown Protocol Operation'\r\n"
    );
    assert_eq!(w.ended(a), Some(CloseReason::ProtocolViolation));
    assert!(w.wire(a).is_sending_finished && !w.wire(a).is_cut);
    // Whoever has read it finds in the log why.
    assert_eq!(w.wire(a).lines_before_error, Some(2));
    assert_eq!(
        w.logged(
            "cid:1 - Client parser ERROR, state=0, i=17: proto='\"NONSENSE\\r\\nPING\\r\"...'"
        ),
        1
    );
    // It is gone for all others.
    let b = w.connect();
    w.send(b, "PUB foo 0\r\n\r\nPING\r\n");
    assert_eq!(
        (w.received(a).as_str(), w.received(b).as_str()),
        ("", "PONG\r\n")
    );
    assert_eq!(
        (
            w.engine.stats().connections,
            w.engine.stats().interest.subscriptions
        ),
        (1, 0)
    );
    // What it still sends is thrown away until it has read its error and closes.
    w.send(a, "PUB foo 100000\r\n");
    w.send(a, vec![b'x'; 300_000]);
    assert_eq!(w.wire(a).incoming.len(), 0);
    assert!(!w.wire(a).is_cut);
    w.finish(a);
    assert!(w.wire(a).is_released);
}

#[test]
fn lingering_has_an_end() {
    let mut w = World::new();
    let a = offended(&mut w);
    w.advance(millis(999));
    assert!(!w.wire(a).is_cut);
    w.advance(millis(1));
    assert!(w.wire(a).is_released);
    // Nor is more than so much read.
    let b = offended(&mut w);
    w.send(b, vec![b'x'; 5 << 20]);
    assert!(w.wire(b).is_released && !w.wire(b).incoming.is_empty());
    let c = offended(&mut w);
    w.wire(c).is_broken = true;
    w.settle();
    assert!(w.wire(c).is_released);
}

#[test]
fn last_words_wait_for_room_but_not_for_ever() {
    let mut w = World::new();
    let a = w.connect();
    w.set_room(a, 3);
    w.send(a, "NONSENSE\r\n");
    assert_eq!(w.ended(a), Some(CloseReason::ProtocolViolation));
    assert!(!w.wire(a).is_sending_finished);
    w.accept(a, usize::MAX);
    assert_eq!(w.received(a), "-ERR 'Unknown Protocol Operation'\r\n");
    assert!(w.wire(a).is_sending_finished);
    let b = w.connect();
    w.set_room(b, 3);
    w.send(b, "NONSENSE\r\n");
    w.advance(millis(1999));
    assert!(!w.wire(b).is_cut);
    w.advance(millis(1));
    assert!(w.wire(b).is_released);
    assert_eq!(w.engine.stats().slow_consumers, 0);
}

#[test]
fn refused_connection_is_told_so() {
    let mut w = World::new();
    let a = w.open_with(true);
    let got = w.received(a);
    assert!(
        got.starts_with("INFO {") && got.ends_with("} \r\n-ERR 'Maximum Connections Exceeded'\r\n"),
        "{got}"
    );
    assert_eq!(w.ended(a), Some(CloseReason::MaxConnectionsExceeded));
    assert!(w.wire(a).is_sending_finished);
    let stats = w.engine.stats();
    assert_eq!((stats.connections, stats.connections_total), (0, 1));
    assert_eq!(w.logged("cid:1 - Maximum Connections Exceeded"), 1);
    w.finish(a);
    assert!(w.wire(a).is_released);
}

#[test]
fn subscriptions_of_an_ended_connection_go_a_few_per_turn() {
    let mut w = World::new();
    let (a, b) = (w.connect(), w.connect());
    w.send(
        a,
        (0..10_000)
            .map(|n| format!("SUB foo.{n} {n}\r\n"))
            .collect::<String>(),
    );
    w.wire(a).is_finished = true;
    let mut left = vec![10_000];
    while *left.last().unwrap() > 0 {
        // The others are served meanwhile, and the ended one gets nothing.
        w.put(b, "PUB foo.9999 0\r\n\r\nPING\r\n");
        w.turn();
        let n = w.engine.stats().interest.subscriptions;
        assert!(left.last().unwrap() - n <= 2048, "{n} are left of {left:?}");
        left.push(n);
        assert_eq!(
            w.wire(a).is_released,
            n == 0,
            "the key is kept until all are gone"
        );
    }
    assert!(left.len() > 4);
    w.settle();
    assert_eq!(w.received(a), "");
    assert_eq!(w.received(b).matches("PONG").count(), left.len() - 1);
    assert_eq!(w.engine.stats().out_msgs, 0);
    assert_eq!(w.engine.stats().connections, 1);
}

#[test]
fn key_can_be_used_again() {
    let mut w = World::new();
    let p = w.connect();
    let mut keys = Vec::new();
    for round in 0..20 {
        let a = w.connect();
        keys.push(a);
        w.send(
            a,
            "SUB foo q 1\r\nSUB foo 2\r\nUNSUB 2 9\r\nPUB big 10\r\nhalf",
        );
        w.send(p, "PUB foo 0\r\n\r\n");
        assert_eq!(w.received(a).matches("MSG foo").count(), 2, "round {round}");
        match round % 3 {
            0 => w.finish(a),
            1 => {
                w.wire(a).is_broken = true;
                w.settle();
            }
            _ => {
                w.send(a, "12345\r\nNONSENSE\r\n");
                w.finish(a);
            }
        }
        assert!(w.wire(a).is_released);
    }
    assert!(keys.iter().all(|key| *key == keys[0]));
    // Looks that the ones before asked for concern nobody.
    let a = w.connect();
    w.send(a, "SUB foo 1\r\n");
    w.advance(millis(5000));
    assert_eq!(w.ended(a), None);
}

#[test]
fn connections_that_come_and_go_leave_no_looks_behind() {
    let mut w = World::new();
    w.connect();
    for _ in 0..5000 {
        let a = w.connect();
        w.finish(a);
    }
    let looks = w.engine.pings.len() + w.engine.looks.len();
    assert!(looks < 4096, "{looks} looks for one connection");
    w.advance(millis(120_000));
    assert_eq!(w.engine.pings.len(), 1);
}

#[test]
fn closed_ring_keeps_the_last_ones() {
    let mut w = World::from(Setup {
        closed_max: 3,
        ..setup(Limits::default())
    });
    for n in 0..5 {
        let a = w.connect_with(&format!("\"name\":\"client {n}\""));
        w.send(a, "SUB foo 1\r\n");
        w.finish(a);
    }
    assert_eq!(w.engine.stats().closed, 3);
    let mut none = World::from(Setup {
        closed_max: 0,
        ..setup(Limits::default())
    });
    let a = none.connect();
    none.finish(a);
    assert_eq!(none.engine.stats().closed, 0);
}

/// A list of a million subjects is neither copied when its connection ends nor kept.
#[test]
fn closed_ring_keeps_few_subjects() {
    let mut w = World::new();
    let a = w.connect();
    w.send(
        a,
        (0..20_000)
            .map(|n| format!("SUB a {n}\r\n"))
            .collect::<String>(),
    );
    w.finish(a);
    let query = ConnQuery {
        closed: true,
        subjects: true,
        limit: 10,
        ..ConnQuery::default()
    };
    let page = w.engine.connections_page(&query);
    assert_eq!((page.items.len(), page.items[0].subscriptions), (1, 20_000));
    let bytes: usize = page.items[0]
        .subjects
        .iter()
        .map(|s| s.len() + size_of_val(s))
        .sum();
    assert!(bytes <= 16 * 1024, "{bytes} bytes of subjects");
    let kept = page.items[0].subjects.len();
    assert!(kept > 100);
    for (subjects, count) in [(false, 0), (true, kept)] {
        let page = w.engine.connections_page(&ConnQuery { subjects, ..query });
        assert_eq!(page.items[0].subjects.len(), count);
    }
}

#[test]
fn an_end_waits_for_what_the_edge_has_kept_back() {
    let mut w = World::new();
    let a = w.connect();
    w.wire(a).has_unsent = true;
    w.send(a, "XYZ\r\n");
    assert_eq!(w.received(a), "-ERR 'Unknown Protocol Operation'\r\n");
    assert!(!w.wire(a).is_sending_finished && w.wire(a).is_write_armed);
    w.wire(a).has_unsent = false;
    w.accept(a, usize::MAX);
    assert!(w.wire(a).is_sending_finished);

    // Not for ever.
    let b = w.connect();
    w.wire(b).has_unsent = true;
    w.send(b, "XYZ\r\n");
    w.advance(Limits::default().write_deadline);
    assert!(w.wire(b).is_cut);
}
