//! Who gets which message, and in which form.

use super::world::World;
use crate::interest::ConnKey;

/// `PUB <subject> 1␍␊x␍␊`, so many times.
fn publish(subject: &str, times: usize) -> String {
    format!("PUB {subject} 1\r\nx\r\n").repeat(times)
}

fn count(w: &mut World, key: ConnKey) -> usize {
    w.received(key).matches("MSG ").count()
}

#[test]
fn every_plain_subscription_gets_its_copy() {
    let mut w = World::new();
    let (a, b, c) = (w.connect(), w.connect(), w.connect());
    w.send(a, "SUB foo.bar 1\r\nSUB foo.* 2\r\nSUB bar 3\r\n");
    w.send(b, "SUB > b\r\n");
    w.send(c, "PUB foo.bar reply 005\r\nhello\r\n");
    let got = w.received(a);
    assert!(
        got.contains("MSG foo.bar 1 reply 005\r\nhello\r\n"),
        "{got}"
    );
    assert!(
        got.contains("MSG foo.bar 2 reply 005\r\nhello\r\n"),
        "{got}"
    );
    assert_eq!(got.matches("MSG").count(), 2);
    assert_eq!(w.received(b), "MSG foo.bar b reply 005\r\nhello\r\n");
    assert_eq!(w.received(c), "");
    let stats = w.engine.stats();
    assert_eq!(
        (
            stats.in_msgs,
            stats.in_bytes,
            stats.out_msgs,
            stats.out_bytes
        ),
        (1, 5, 3, 15)
    );
}

#[test]
fn queue_group_shares_evenly_over_all_patterns() {
    let mut w = World::new();
    let (a, b, c) = (w.connect(), w.connect(), w.connect());
    w.send(a, "SUB foo.bar q 1\r\n");
    w.send(b, "SUB foo.* q 1\r\n");
    w.send(c, "SUB foo.bar other 1\r\nSUB foo.bar 2\r\n");
    w.send(c, publish("foo.bar", 1000));
    let (of_a, of_b, of_c) = (count(&mut w, a), count(&mut w, b), count(&mut w, c));
    assert_eq!((of_a + of_b, of_c), (1000, 2000));
    assert!((400..600).contains(&of_a), "{of_a} and {of_b}");
}

#[test]
fn queue_group_passes_over_members_that_cannot_take_it() {
    let mut w = World::new();
    let (a, b, c) = (w.connect_with("\"echo\":false"), w.connect(), w.connect());
    w.send(a, "SUB foo q 1\r\n");
    w.send(b, "SUB foo q 1\r\nUNSUB 1 3\r\n");
    w.send(c, "SUB foo q 1\r\n");
    // Not the publisher, and the limited one no more than it may.
    w.send(a, publish("foo", 50));
    assert_eq!(count(&mut w, a), 0);
    let of_b = count(&mut w, b);
    assert!(of_b <= 3, "{of_b}");
    assert_eq!(count(&mut w, c), 50 - of_b);
    // Not one that has ended and whose subscriptions are still there.
    w.send(
        c,
        (2..9000)
            .map(|sid| format!("SUB many {sid}\r\n"))
            .collect::<String>(),
    );
    // The youngest goes last.
    w.send(c, "UNSUB 1\r\nSUB foo q 9000\r\n");
    w.send(b, "UNSUB 1\r\nSUB foo q 2\r\n");
    w.wire(c).is_broken = true;
    w.turn();
    w.put(b, publish("foo", 20));
    w.turn();
    assert!(w.engine.stats().interest.subscriptions > 1000);
    assert_eq!(count(&mut w, a) + count(&mut w, b), 20);
    w.settle();
}

#[test]
fn queue_messages_with_a_limit_each_are_not_lost() {
    let mut w = World::new();
    let (a, p) = (w.connect(), w.connect());
    let subs: String = (0..1000)
        .map(|n| format!("SUB foo g{} {n}\r\nUNSUB {n} 1\r\n", n % 2))
        .collect();
    w.send(a, subs);
    w.send(p, publish("foo", 1000));
    assert_eq!(count(&mut w, a), 1000);
    assert_eq!(w.engine.stats().interest.subscriptions, 0);
}

#[test]
fn unsubscribe_and_its_limit() {
    let mut w = World::new();
    let (a, p) = (w.connect(), w.connect());
    // (said before, messages, said then, messages, of which come)
    for (before, first, then, second, come) in [
        ("", 2, "UNSUB 1\r\n", 2, 2),
        ("", 2, "UNSUB 1 0\r\n", 2, 2),
        ("", 2, "UNSUB 1 abc\r\n", 2, 2),
        ("", 2, "UNSUB 1 -1\r\n", 2, 2),
        ("", 2, "UNSUB 1 5\r\n", 9, 5),
        ("", 2, "UNSUB 1 2\r\n", 9, 2),
        ("", 2, "UNSUB 1 1\r\n", 9, 2),
        ("UNSUB 1 2\r\n", 1, "UNSUB 1 4\r\n", 9, 4),
        ("UNSUB 1 4\r\n", 1, "UNSUB 1 2\r\n", 9, 2),
        ("UNSUB 1 4\r\n", 1, "UNSUB 1\r\n", 9, 1),
        ("UNSUB 2\r\n", 1, "UNSUB 2 7\r\n", 2, 3),
    ] {
        w.send(a, format!("SUB foo 1\r\n{before}"));
        w.send(p, publish("foo", first));
        w.send(a, then);
        w.send(p, publish("foo", second));
        assert_eq!(
            count(&mut w, a),
            come,
            "{before:?} {first} {then:?} {second}"
        );
        let is_left = come == first + second;
        assert_eq!(w.engine.stats().interest.subscriptions, u64::from(is_left));
        w.send(a, "UNSUB 1\r\n");
    }
}

#[test]
fn subscription_goes_with_its_last_delivery() {
    let mut w = World::new();
    let (a, p) = (w.connect(), w.connect());
    w.send(a, "SUB foo 1\r\nUNSUB 1 2\r\n");
    assert_eq!(
        w.logged("Deferring actual UNSUB(foo): 2 max, 0 received"),
        1
    );
    w.send(p, publish("foo", 1));
    assert_eq!(w.engine.stats().interest.subscriptions, 1);
    w.send(p, publish("foo", 1));
    assert_eq!(w.engine.stats().interest.subscriptions, 0);
    assert_eq!(
        w.logged("cid:2 - Auto-unsubscribe limit of 2 reached for sid '1'"),
        1
    );
    // The sid is free, and counts from nothing.
    w.send(a, "SUB foo 1\r\nUNSUB 1 2\r\n");
    w.send(p, publish("foo", 3));
    assert_eq!(count(&mut w, a), 4);
}

#[test]
fn nobody_there_is_said_once_and_counts_nowhere() {
    let mut w = World::new();
    let a = w.connect_with("\"headers\":true,\"no_responders\":true,\"verbose\":true");
    let plain = w.connect();
    w.received(a);
    w.send(
        a,
        "SUB r.* 1\r\nSUB r.* 2\r\nUNSUB 1 1\r\nUNSUB 2 1\r\nSUB r.* q 3\r\n",
    );
    w.received(a);
    for round in 0..3 {
        w.send(a, "PUB nobody r.x 2\r\nhi\r\n");
        let got = w.received(a);
        let status = |sid| format!("+OK\r\nHMSG r.x {sid} 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
        assert!(got == status(1) || got == status(2), "round {round}: {got}");
    }
    w.send(a, "HPUB nobody r.x 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    assert!(w.received(a).contains(" 16 16\r\nNATS/1.0 503\r\n"));
    // Each of several in one read is answered at its own reply subject.
    w.send(a, "CONNECT {\"verbose\":false}\r\nUNSUB 2\r\n");
    w.received(a);
    w.send(
        a,
        "PUB nobody 0\r\n\r\nPUB nobody r.1 0\r\n\r\nPUB nobody r.2 0\r\n\r\n",
    );
    let status = |n| format!("HMSG r.{n} 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
    assert_eq!(w.received(a), status(1) + &status(2));
    w.send(a, "CONNECT {\"verbose\":true}\r\n");
    w.received(a);
    // No reply subject, no subscription for it, a refusal, somebody there, or no wish to know: nothing.
    for line in ["PUB nobody 0\r\n\r\n", "PUB nobody s.x 0\r\n\r\n"] {
        w.send(a, line);
        assert_eq!(w.received(a), "+OK\r\n", "{line}");
    }
    w.send(a, "PUB _SYS.a r.x 0\r\n\r\n");
    assert!(!w.received(a).contains("503"));
    w.send(plain, "SUB nobody 1\r\nSUB r.x 2\r\nPUB void r.x 0\r\n\r\n");
    assert_eq!(w.received(plain), "");
    w.send(a, "PUB nobody r.x 0\r\n\r\n");
    assert_eq!(w.received(a), "+OK\r\n");
    assert_eq!(w.received(plain), "MSG nobody 1 r.x 0\r\n\r\n");
}

#[test]
fn own_subscription_without_echo_is_nobody() {
    let mut w = World::new();
    let a = w.connect_with("\"headers\":true,\"no_responders\":true,\"echo\":false");
    w.send(
        a,
        "SUB r 1\r\nSUB service 2\r\nSUB service q 3\r\nPUB service r 0\r\n\r\n",
    );
    assert_eq!(w.received(a), "HMSG r 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
}

#[test]
fn header_block_goes_to_those_that_take_it() {
    let mut w = World::new();
    let (h, plain) = (w.connect_with("\"headers\":true"), w.connect());
    for key in [h, plain] {
        w.send(key, "SUB a 1\r\n");
    }
    for (sent, with, without) in [
        (
            "HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
            "HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
            "MSG a 1 r 2\r\nhi\r\n",
        ),
        // Sizes as the publisher wrote them where nothing is cut off.
        (
            "HPUB a 012 0012\r\nNATS/1.0\r\n\r\n\r\n",
            "HMSG a 1 012 0012\r\nNATS/1.0\r\n\r\n\r\n",
            "MSG a 1 0\r\n\r\n",
        ),
        (
            "HPUB a 0 02\r\nhi\r\n",
            "MSG a 1 02\r\nhi\r\n",
            "MSG a 1 02\r\nhi\r\n",
        ),
        (
            "PUB a 2\r\nhi\r\n",
            "MSG a 1 2\r\nhi\r\n",
            "MSG a 1 2\r\nhi\r\n",
        ),
    ] {
        w.send(h, sent);
        assert_eq!(
            (w.received(h).as_str(), w.received(plain).as_str()),
            (with, without),
            "{sent}"
        );
    }
    let stats = w.engine.stats();
    assert_eq!(
        (stats.in_bytes, stats.out_bytes),
        (14 + 12 + 2 + 2, 14 + 2 + 12 + 2 + 2 + 2 + 2)
    );
}

/// However a line is written, its receivers get the same bytes.
#[test]
fn canonical_and_other_lines_are_delivered_alike() {
    let mut w = World::new();
    let (h, plain) = (w.connect_with("\"headers\":true"), w.connect());
    for key in [h, plain] {
        w.send(key, "SUB a.b 1\r\n");
    }
    for (canonical, others) in [
        (
            "PUB a.b 2\r\nhi\r\n",
            &[
                "pub a.b 2\r\nhi\r\n",
                "PUB  a.b\t2 \r\nhi\r\n",
                "PuB a.b   2\nhi\r\n",
                "HPUB a.b 0 2\r\nhi\r\n",
            ][..],
        ),
        (
            "PUB a.b r 2\r\nhi\r\n",
            &[
                "PUB a.b  r 2\r\nhi\r\n",
                "PUB a.b r\t2\r\nhi\r\n",
                "pub\ta.b\tr\t2\t\nhi\r\n",
            ],
        ),
        (
            "HPUB a.b r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
            &[
                "hpub a.b r  12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
                "HPUB\ta.b r 12 14 \nNATS/1.0\r\n\r\nhi\r\n",
            ],
        ),
    ] {
        let mut got = |line: &str| {
            w.send(h, line);
            (w.received(h), w.received(plain))
        };
        let want = got(canonical);
        assert!(
            want.0.contains("MSG a.b 1 ") && want.1.starts_with("MSG a.b 1 "),
            "{want:?}"
        );
        for line in others {
            assert_eq!(got(line), want, "{line:?}");
        }
    }
}
