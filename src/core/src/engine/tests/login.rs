//! The gate: what comes before CONNECT, how a login ends, and how long it may take.

use std::sync::Arc;
use std::time::Duration;

use super::world::{World, millis, setup};
use crate::auth::{AuthRules, Login, Refusal, Secret, User};
use crate::client::CloseReason;
use crate::engine::{Limits, Setup};
use crate::interest::ConnKey;

const VIOLATION: &str = "-ERR 'Authorization Violation'\r\n";
const LOGIN: &str = "CONNECT {\"verbose\":false,\"user\":\"u\",\"pass\":\"geheim\"}\r\n";

fn user(name: &str) -> Arc<User> {
    Arc::new(User {
        name: name.into(),
        permissions: None,
    })
}

fn guarded(login: Login, rules: AuthRules) -> World {
    let rules = AuthRules {
        is_required: true,
        timeout: Duration::from_secs(1),
        ..rules
    };
    let mut w = World::from(Setup {
        auth: rules,
        ..setup(Limits::default())
    });
    w.wires.login = login;
    w
}

/// A connection that has read INFO and said nothing.
fn opened(w: &mut World) -> ConnKey {
    let key = w.open();
    assert!(w.received(key).starts_with("INFO {"));
    key
}

fn log(w: &World) -> Vec<&str> {
    let lines = w.log.iter().chain(&w.wires.log);
    lines.map(|line| line.text.as_str()).collect()
}

#[test]
fn only_connect_opens_the_gate() {
    for first in [
        "PING\r\n",
        "SUB a 1\r\n",
        "PUB a 1\r\nx\r\n",
        "+OK\r\n",
        "INFO {}\r\n",
        "\r\n",
    ] {
        let mut w = guarded(Login::Granted(user("u")), AuthRules::default());
        let a = opened(&mut w);
        w.send(a, first);
        assert_eq!(w.received(a), VIOLATION, "{first:?}");
        assert_eq!(w.ended(a), Some(CloseReason::AuthenticationFailure));
        assert!(w.wires.logins.is_empty());
        assert_eq!(w.engine.stats().interest.subscriptions, 0);
    }
    let mut w = guarded(Login::Granted(user("u")), AuthRules::default());
    let a = opened(&mut w);
    w.send(a, "CX");
    assert_eq!(w.received(a), "-ERR 'Unknown Protocol Operation'\r\n");
}

#[test]
fn what_was_shown_is_checked_and_then_everything_works() {
    let mut w = guarded(Login::Granted(user("u")), AuthRules::default());
    let a = opened(&mut w);
    w.send(a, format!("{LOGIN}SUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n"));
    assert_eq!(w.received(a), "MSG a 1 1\r\nx\r\nPONG\r\n");
    let (_, shown, nonce) = &w.wires.logins[0];
    assert_eq!(shown.user.as_deref(), Some("u"));
    assert_eq!(shown.password, Some(Secret::new("geheim")));
    assert_eq!((w.wires.logins.len(), *nonce), (1, None));
    // Its time is over long ago.
    w.advance(Duration::from_secs(5));
    assert_eq!(w.ended(a), None);
}

#[test]
fn who_is_refused_is_told_and_named_only_if_there_is_a_list() {
    for (has_users, line) in [
        (false, "127.0.0.1:1000 - cid:1 - Authorization Error"),
        (
            true,
            "127.0.0.1:1000 - cid:1 - Authorization Error - User \"u\"",
        ),
    ] {
        let refusal = Refusal {
            detail: Some("Signature missing"),
            is_late: false,
        };
        let rules = AuthRules {
            has_users,
            ..AuthRules::default()
        };
        let mut w = guarded(Login::Refused(refusal), rules);
        let a = opened(&mut w);
        w.send(a, format!("{LOGIN}SUB a 1\r\nPING\r\n"));
        assert_eq!(w.received(a), VIOLATION);
        assert_eq!(w.ended(a), Some(CloseReason::AuthenticationFailure));
        let log = log(&w);
        let at = log.iter().position(|l| *l == line).expect("an error line");
        assert!(log[at - 1].ends_with("Signature missing"));
        assert!(!log.iter().any(|l| l.contains("geheim")));
    }
}

#[test]
fn credentials_are_checked_before_the_protocol() {
    let mut w = guarded(Login::Refused(Refusal::default()), AuthRules::default());
    let a = opened(&mut w);
    w.send(a, "CONNECT {\"protocol\":9}\r\n");
    assert_eq!(w.received(a), VIOLATION);
}

#[test]
fn connect_has_to_come_in_time() {
    let mut w = guarded(Login::Granted(user("u")), AuthRules::default());
    let silent = opened(&mut w);
    let dripping = opened(&mut w);
    for byte in "CONNECT {".bytes() {
        w.send(dripping, [byte]);
        w.advance(millis(100));
    }
    assert_eq!((w.ended(silent), w.ended(dripping)), (None, None));
    w.advance(millis(101));
    for key in [silent, dripping] {
        assert_eq!(w.received(key), "-ERR 'Authorization Timeout'\r\n");
        assert_eq!(w.ended(key), Some(CloseReason::AuthenticationTimeout));
    }
}

#[test]
fn a_login_that_takes_time_holds_back_what_follows() {
    let mut w = guarded(Login::Pending, AuthRules::default());
    let a = opened(&mut w);
    w.send(a, format!("{LOGIN}SUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n"));
    w.send(a, "PUB a 1\r\ny\r\n");
    w.advance(Duration::from_secs(2));
    assert_eq!((w.received(a).as_str(), w.ended(a)), ("", None));
    // An answer for another connection that had the key.
    w.decide(a, 77, Login::Refused(Refusal::default()));
    assert_eq!(w.ended(a), None);
    w.decide(a, 1, Login::Granted(user("u")));
    assert_eq!(
        w.received(a),
        "MSG a 1 1\r\nx\r\nPONG\r\nMSG a 1 1\r\ny\r\n"
    );
    // An answer nobody waits for any more.
    w.decide(a, 1, Login::Refused(Refusal::default()));
    assert_eq!(w.ended(a), None);

    let b = opened(&mut w);
    w.send(b, LOGIN);
    let late = Refusal {
        is_late: true,
        ..Refusal::default()
    };
    w.decide(b, 2, Login::Refused(late));
    assert_eq!(w.received(b), "-ERR 'Authorization Timeout'\r\n");
    assert_eq!(w.ended(b), Some(CloseReason::AuthenticationTimeout));
}

#[test]
fn who_shows_nothing_may_be_somebody() {
    let rules = || AuthRules {
        anonymous: Some(user("guest")),
        ..AuthRules::default()
    };
    let mut w = guarded(Login::Refused(Refusal::default()), rules());
    for first in [
        "",
        "CONNECT {\"verbose\":false}\r\n",
        "CONNECT {\"verbose\":false,\"user\":\"\"}\r\n",
    ] {
        let a = opened(&mut w);
        w.send(a, format!("{first}PING\r\n"));
        assert_eq!(w.received(a), "PONG\r\n");
        let name = w.engine.connections.find(a).unwrap().user_name();
        assert_eq!(name, "guest");
    }
    assert!(w.wires.logins.is_empty());
    let wrong = opened(&mut w);
    w.send(wrong, LOGIN);
    assert_eq!(w.received(wrong), VIOLATION);
}

#[test]
fn a_second_connect_is_another_login() {
    let mut w = guarded(Login::Granted(user("u")), AuthRules::default());
    let a = opened(&mut w);
    w.send(a, format!("{LOGIN}SUB a 1\r\nPING\r\n"));
    assert_eq!(w.received(a), "PONG\r\n");
    w.wires.login = Login::Refused(Refusal::default());
    w.send(a, "CONNECT {\"pass\":\"falsch\"}\r\n");
    assert_eq!(w.received(a), VIOLATION);
    let (_, shown, _) = &w.wires.logins[1];
    assert_eq!(shown.user.as_deref(), Some("u"));
    assert_eq!(shown.password, Some(Secret::new("falsch")));
}

#[test]
fn who_was_not_read_in_time_is_not_late() {
    let mut w = guarded(Login::Granted(user("u")), AuthRules::default());
    let a = opened(&mut w);
    w.put(a, format!("{LOGIN}PING\r\n"));
    // The process was stopped, and the deadline is looked at before the socket.
    w.jump_unread(Duration::from_secs(60));
    assert_eq!((w.received(a).as_str(), w.ended(a)), ("PONG\r\n", None));
}

#[test]
fn a_check_that_is_never_decided_ends() {
    let mut w = guarded(Login::Pending, AuthRules::default());
    let a = opened(&mut w);
    w.send(a, LOGIN);
    w.advance(Duration::from_secs(4));
    assert_eq!(w.received(a), "-ERR 'Authorization Timeout'\r\n");
    w.decide(a, 1, Login::Granted(user("u")));
    assert_eq!(w.ended(a), Some(CloseReason::AuthenticationTimeout));
}

#[test]
fn a_storm_of_logins_is_more_than_one_turn() {
    let mut w = guarded(Login::Granted(user("u")), AuthRules::default());
    let a = opened(&mut w);
    w.put(a, LOGIN.repeat(1000));
    w.turn();
    let handled = w.wires.logins.len();
    assert!((100..500).contains(&handled), "{handled}");
    w.settle();
    assert_eq!(w.wires.logins.len(), 1000);
}

#[test]
fn a_seed_in_the_wrong_place_is_not_logged() {
    let rules = AuthRules {
        has_users: true,
        ..AuthRules::default()
    };
    let mut w = guarded(Login::Refused(Refusal::default()), rules);
    let key = "UCNGL4W5QX66CFX6A6DCBVDH5VOHMI7B2UZZU7TXAUQQSI2JPHULCKBR";
    for (nkey, shown) in [
        (key, key),
        (&key.replacen('U', "S", 1), "[REDACTED]"),
        (
            "SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU",
            "[REDACTED]",
        ),
    ] {
        let a = opened(&mut w);
        w.send(
            a,
            format!("CONNECT {{\"nkey\":\"{nkey}\",\"sig\":\"x\"}}\r\n"),
        );
        assert_eq!(w.received(a), VIOLATION);
        assert!(w.logged(&format!("Authorization Error - Nkey \"{shown}\"")) >= 1);
    }
    let errors = w.logged("Authorization Error");
    assert_eq!((errors, w.logged("REDACTED")), (3, 2));
}
