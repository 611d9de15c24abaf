//! What a shard tells about itself, and INFO that changes.

use super::world::{World, info, millis};
use crate::engine::snapshot::ConnQuery;
use crate::interest::ConnKey;
use crate::proto::info::ServerInfo;

fn other_info() -> ServerInfo {
    ServerInfo {
        connect_urls: vec!["a:1".into()],
        ..info()
    }
}

fn change_info(w: &mut World) {
    w.engine.update_info(other_info(), w.now);
    w.settle();
}

#[test]
fn changed_info_reaches_those_that_take_it() {
    let mut w = World::new();
    let old = w.connect();
    w.send(old, "PING\r\n");
    let new = w.connect_with("\"protocol\":1");
    w.send(new, "PING\r\n");
    for key in [old, new] {
        assert_eq!(w.received(key), "PONG\r\n");
    }
    change_info(&mut w);
    assert_eq!(w.received(old), "");
    let got = w.received(new);
    assert!(
        got.starts_with("INFO {") && got.contains("\"connect_urls\":[\"a:1\"],\"client_id\":2"),
        "{got}"
    );
}

#[test]
fn before_the_first_pong_changed_info_waits() {
    let mut w = World::new();
    let a = w.open();
    w.received(a);
    // A PING before CONNECT is answered and does not count.
    w.send(a, "PING\r\n");
    w.send(a, "CONNECT {\"verbose\":false,\"protocol\":1}\r\n");
    // At the same time it was accepted, which is not before.
    change_info(&mut w);
    assert_eq!(w.received(a), "PONG\r\n");
    w.send(a, "PING\r\nPING\r\n");
    let got = w.received(a);
    assert!(
        got.starts_with("PONG\r\nINFO {") && got.ends_with("} \r\nPONG\r\n"),
        "{got}"
    );
    // Who comes later has read it in the first INFO.
    w.advance(millis(1));
    let b = w.open();
    assert!(w.received(b).contains("a:1"));
    w.send(b, "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    assert_eq!(w.received(b), "PONG\r\n");
    // Protocol 0 never.
    let c = w.connect();
    change_info(&mut w);
    w.send(c, "PING\r\n");
    assert_eq!(w.received(c), "PONG\r\n");
}

fn cids(w: &mut World, query: ConnQuery) -> (Vec<u64>, usize) {
    let (mut cids, mut pages, mut from) = (Vec::new(), 0, Some(0));
    while let Some(at) = from {
        let page = w.engine.connections_page(&ConnQuery { from: at, ..query });
        assert!(page.items.len() <= query.limit as usize);
        cids.extend(page.items.iter().map(|c| c.cid));
        from = page.next;
        pages += 1;
        assert!(pages < 100);
    }
    (cids, pages)
}

#[test]
fn connections_come_in_pages() {
    let mut w = World::new();
    let keys: Vec<ConnKey> = (0..10).map(|_| w.connect()).collect();
    w.send(keys[3], "SUB foo 1\r\nSUB bar q 2\r\n");
    w.finish(keys[4]);
    for limit in [1, 3, 4, 100] {
        let query = ConnQuery {
            limit,
            ..ConnQuery::default()
        };
        let (open, _) = cids(&mut w, query);
        assert_eq!(open, [1, 2, 3, 4, 6, 7, 8, 9, 10]);
        assert_eq!(
            cids(
                &mut w,
                ConnQuery {
                    cid: Some(4),
                    ..query
                }
            )
            .0,
            [4]
        );
        assert_eq!(
            cids(
                &mut w,
                ConnQuery {
                    cid: Some(5),
                    ..query
                }
            )
            .0,
            [0u64; 0]
        );
        assert_eq!(
            cids(
                &mut w,
                ConnQuery {
                    closed: true,
                    ..query
                }
            )
            .0,
            [5]
        );
        assert_eq!(
            cids(
                &mut w,
                ConnQuery {
                    closed: true,
                    cid: Some(4),
                    ..query
                }
            )
            .0,
            [0u64; 0]
        );
    }
    for (subjects, count) in [(true, 2), (false, 0)] {
        let query = ConnQuery {
            cid: Some(4),
            subjects,
            limit: 100,
            ..ConnQuery::default()
        };
        let page = w.engine.connections_page(&query);
        assert_eq!(
            (page.items[0].subscriptions, page.items[0].subjects.len()),
            (2, count)
        );
    }
    w.finish(keys[0]);
    w.finish(keys[1]);
    w.finish(keys[2]);
    w.finish(keys[3]);
    let query = ConnQuery {
        closed: true,
        limit: 3,
        ..ConnQuery::default()
    };
    assert_eq!(
        cids(&mut w, query),
        (vec![1, 2, 3, 4], 2),
        "the last four, oldest first"
    );
}

#[test]
fn connection_is_described() {
    let mut w = World::new();
    let a = w.connect_with("\"name\":\"n\",\"lang\":\"go\",\"version\":\"1\",\"user\":\"u\"");
    w.send(a, "SUB foo 1\r\nPUB foo 3\r\nabc\r\nPUB bar 1\r\nx\r\n");
    w.set_room(a, 0);
    w.send(a, "PING\r\n");
    let query = ConnQuery {
        measure_rtt: true,
        limit: 1,
        ..ConnQuery::default()
    };
    let c = w.engine.connections_page(&query).items.remove(0);
    assert_eq!(
        (&*c.name, &*c.lang, &*c.version, &*c.user),
        ("n", "go", "1", "u")
    );
    assert_eq!(
        (
            c.in_msgs,
            c.in_bytes,
            c.out_msgs,
            c.out_bytes,
            c.pending_bytes
        ),
        (2, 4, 1, 3, 6)
    );
    assert_eq!((c.cid, c.port, c.rtt), (1, 1000, None));
    // Being asked for made it measure, once.
    w.engine.connections_page(&query);
    w.accept(a, usize::MAX);
    assert!(w.received(a).ends_with("PONG\r\nPING\r\n"));
    w.advance(millis(5));
    w.send(a, "PONG\r\n");
    let c = w.engine.connections_page(&query).items.remove(0);
    assert_eq!(c.rtt, Some(millis(5)));
    w.settle();
    assert_eq!(w.received(a), "");
}

#[test]
fn subscriptions_come_in_pages() {
    let mut w = World::new();
    let (a, b) = (w.connect(), w.connect());
    for n in 0..20 {
        w.send(a, format!("SUB foo.{n} {n}\r\n"));
        w.send(b, format!("SUB foo.{n} q {n}\r\nUNSUB {n} 7\r\n"));
    }
    w.send(a, "UNSUB 3\r\nPUB foo.4 0\r\n\r\n");
    for limit in [1, 7, 1000] {
        let (mut all, mut from) = (Vec::new(), Some(0));
        while let Some(at) = from {
            let page = w.engine.subscriptions_page(at, limit);
            assert!(page.items.len() <= limit as usize);
            all.extend(page.items);
            from = page.next;
        }
        assert_eq!(all.len(), 39);
        let of = |cid, sid: &[u8]| all.iter().find(|s| s.cid == cid && *s.sid == *sid);
        assert!(of(1, b"3").is_none());
        let sub = of(2, b"4").unwrap();
        assert_eq!(
            (&*sub.subject, sub.queue.as_deref(), sub.msgs, sub.max),
            (&b"foo.4"[..], Some(&b"q"[..]), 1, 7)
        );
    }
}
