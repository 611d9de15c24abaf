//! Permissions at work: refusals, what is kept from wide subscriptions, answers, and a change of rights.

use std::sync::Arc;
use std::time::Duration;

use super::world::{World, setup};
use crate::auth::{AuthRules, Login, User};
use crate::engine::{Limits, Setup};
use crate::interest::ConnKey;
use crate::permissions::tests::list;
use crate::permissions::{Permissions, Responses, Rules, Side};

fn user(rules: Rules) -> Login {
    Login::Granted(Arc::new(User {
        name: "u".into(),
        permissions: Some(Arc::new(Permissions::new(rules))),
    }))
}

fn world() -> World {
    World::from(Setup {
        auth: AuthRules {
            is_required: true,
            has_users: true,
            timeout: Duration::from_secs(1),
            anonymous: None,
        },
        ..setup(Limits::default())
    })
}

/// A client with these rights.
fn log_in(w: &mut World, rules: Option<Rules>) -> ConnKey {
    w.wires.login = match rules {
        Some(rules) => user(rules),
        None => Login::Granted(Arc::new(User {
            name: "admin".into(),
            permissions: None,
        })),
    };
    w.connect_with("\"headers\":true,\"no_responders\":true")
}

fn only(publish: &[&str], subscribe: &[&str]) -> Rules {
    let side = |subjects: &[&str]| Side {
        allow: Some(list(subjects)),
        deny: Vec::new(),
    };
    Rules {
        publish: side(publish),
        subscribe: side(subscribe),
        ..Rules::default()
    }
}

fn all_but(publish: &[&str], subscribe: &[&str]) -> Rules {
    let side = |subjects: &[&str]| Side {
        allow: None,
        deny: list(subjects),
    };
    Rules {
        publish: side(publish),
        subscribe: side(subscribe),
        ..Rules::default()
    }
}

fn said(w: &World, text: &str) -> bool {
    w.log
        .iter()
        .chain(&w.wires.log)
        .any(|line| line.text.ends_with(text))
}

#[test]
fn what_may_not_be_published_goes_nowhere() {
    let mut w = world();
    let reader = log_in(&mut w, None);
    w.send(reader, "SUB > 1\r\n");
    let writer = log_in(&mut w, Some(only(&["a", "b.*"], &[])));
    w.send(
        writer,
        "PUB a 1\r\nx\r\nPUB c 1\r\ny\r\nPUB c 1\r\ny\r\nPUB b.x 1\r\nz\r\nPING\r\n",
    );
    let refused = "-ERR 'Permissions Violation for Publish to \"c\"'\r\n";
    assert_eq!(w.received(writer), format!("{refused}{refused}PONG\r\n"));
    assert_eq!(w.received(reader), "MSG a 1 1\r\nx\r\nMSG b.x 1 1\r\nz\r\n");
    assert!(said(
        &w,
        "cid:2 - Publish Violation - User \"u\", Subject \"c\""
    ));
}

#[test]
fn what_may_not_be_subscribed_to_is_not() {
    let mut w = world();
    let reader = log_in(&mut w, Some(only(&[], &["a", "b.>", "q v.*"])));
    w.send(
        reader,
        "SUB a 1\r\nSUB > 2\r\nSUB b.> 3\r\nSUB q v.1 4\r\nSUB q w 5\r\nSUB q 6\r\nPING\r\n",
    );
    assert_eq!(
        w.received(reader),
        "-ERR 'Permissions Violation for Subscription to \">\"'\r\n\
         -ERR 'Permissions Violation for Subscription to \"q\" using queue \"w\"'\r\n\
         -ERR 'Permissions Violation for Subscription to \"q\"'\r\nPONG\r\n"
    );
    assert!(said(
        &w,
        "Subscription Violation - User \"u\", Subject \">\", SID 2"
    ));
    assert_eq!(w.engine.stats().interest.subscriptions, 3);

    let denied = log_in(&mut w, Some(all_but(&[], &["q w"])));
    w.send(denied, "SUB q w 1\r\nSUB q 2\r\nPING\r\n");
    assert_eq!(
        w.received(denied),
        "-ERR 'Permissions Violation for Subscription to \"q\" using queue \"w\"'\r\nPONG\r\n"
    );
}

#[test]
fn a_denial_inside_a_wildcard_holds_at_delivery() {
    let mut w = world();
    let admin = log_in(&mut w, None);
    let early = log_in(&mut w, Some(all_but(&[], &["a.secret", "b.*.x"])));
    // Results are kept from here on, and have to learn of what follows.
    for subject in ["a.open", "a.secret", "b.1.x", "b.1.y"] {
        w.send(admin, format!("PUB {subject} 0\r\n\r\n").repeat(3));
    }
    w.send(early, "SUB > 1\r\nSUB a.* 2\r\nSUB b.1.* q 3\r\n");
    let publish_all = |w: &mut World| {
        for subject in ["a.open", "a.secret", "b.1.x", "b.1.y"] {
            w.send(admin, format!("PUB {subject} 1\r\n-\r\n"));
        }
    };
    let all_of = "MSG a.open 1 1\r\n-\r\nMSG a.open 2 1\r\n-\r\nMSG b.1.y 1 1\r\n-\r\nMSG b.1.y 3 1\r\n-\r\n";
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.split("-\r\n").map(str::to_owned).collect();
        lines.sort();
        lines
    };
    publish_all(&mut w);
    assert_eq!(sorted(&w.received(early)), sorted(all_of));
    w.engine.check_invariants();
    w.send(early, "UNSUB 1\r\nUNSUB 2\r\nUNSUB 3\r\n");
    publish_all(&mut w);
    assert_eq!(w.received(early), "");
    w.engine.check_invariants();
}

#[test]
fn a_denied_member_swallows_nothing() {
    let mut w = world();
    let admin = log_in(&mut w, None);
    let denied = log_in(&mut w, Some(all_but(&[], &["a.secret"])));
    let open = log_in(&mut w, None);
    w.send(denied, "SUB a.* q 1\r\n");
    w.send(open, "SUB a.secret q 1\r\n");
    w.send(admin, "PUB a.secret 1\r\nx\r\n".repeat(50));
    assert_eq!(w.received(open).matches("MSG").count(), 50);
    assert_eq!(w.received(denied), "");
    w.send(open, "UNSUB 1\r\n");
    w.send(admin, "SUB r 9\r\nPUB a.secret r 1\r\nx\r\n");
    assert!(w.received(admin).starts_with("HMSG r 9 "), "nobody got it");
}

#[test]
fn an_answer_is_allowed_once_for_each_request() {
    let mut w = world();
    let admin = log_in(&mut w, None);
    w.send(admin, "SUB inbox.> 1\r\n");
    let rules = Rules {
        responses: Some(Responses::default()),
        ..only(&[], &["service"])
    };
    let service = log_in(&mut w, Some(rules));
    w.send(service, "SUB service 1\r\n");
    let answer = |w: &mut World, n: u32| {
        w.send(service, format!("PUB inbox.{n} 1\r\n-\r\n").repeat(3));
        let got = w.received(service);
        let refused = "-ERR 'Permissions Violation for Publish to";
        (
            w.received(admin).matches("MSG inbox").count(),
            got.matches(refused).count(),
        )
    };
    assert_eq!(answer(&mut w, 1), (0, 3));
    w.send(admin, "PUB service inbox.2 1\r\n?\r\n");
    assert!(w.received(service).starts_with("MSG service 1 inbox.2 1"));
    assert_eq!(answer(&mut w, 2), (1, 2));
    w.send(admin, "PUB service inbox.3 1\r\n?\r\n");
    w.received(service);
    w.advance(Duration::from_secs(121));
    assert_eq!(answer(&mut w, 3), (0, 3), "too late");
    // A run of requests is leave for each of them.
    let requests: String = (10..20)
        .map(|n| format!("PUB service inbox.{n} 1\r\n?\r\n"))
        .collect();
    w.send(admin, requests);
    w.received(service);
    for n in 10..20 {
        assert_eq!(answer(&mut w, n), (1, 2), "{n}");
    }
}

#[test]
fn other_rights_end_what_they_do_not_cover() {
    let mut w = world();
    let reader = log_in(&mut w, None);
    w.send(reader, "SUB a 1\r\nSUB b.> 2\r\nSUB > 3\r\n");
    w.wires.login = user(Rules {
        subscribe: Side {
            allow: Some(list(&["b.>"])),
            deny: list(&["b.secret"]),
        },
        ..Rules::default()
    });
    w.send(reader, "CONNECT {}\r\nPING\r\n");
    assert_eq!(
        w.received(reader),
        "-ERR 'Permissions Violation for Subscription to \"a\" (sid 1)'\r\n\
         -ERR 'Permissions Violation for Subscription to \">\" (sid 3)'\r\nPONG\r\n"
    );
    assert!(said(
        &w,
        "Removed sub \"a\" for user \"u\" - not authorized"
    ));
    let admin = log_in(&mut w, None);
    w.send(
        admin,
        "PUB a 0\r\n\r\nPUB b.secret 0\r\n\r\nPUB b.open 0\r\n\r\n",
    );
    assert_eq!(w.received(reader), "MSG b.open 2 0\r\n\r\n");
    w.engine.check_invariants();
}
