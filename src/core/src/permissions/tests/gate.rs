//! What a gate remembers: the last subject, decisions, and answers due.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{pattern, side};
use crate::permissions::permits::PERMITS_MAX;
use crate::permissions::{Permissions, PublishGate, Responses, Rules};
use crate::time::Time;

fn gate(allow: Option<&[&str]>, deny: &[&str], responses: Option<Responses>) -> PublishGate {
    let rules = Rules {
        publish: side(allow, deny),
        responses,
        ..Rules::default()
    };
    PublishGate::new(Arc::new(Permissions::new(rules)), 1)
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

#[test]
fn a_gate_takes_no_subject_for_the_last_one() {
    let mut gate = gate(Some(&["foo.>"]), &["foo.no"], None);
    assert!(!gate.allows(b"", Time::ZERO));
    for _ in 0..3 {
        assert!(gate.allows(b"foo.bar", Time::ZERO));
        for refused in ["foo.no", "foo", "", "foo.", "bar.bar"] {
            let is_allowed = refused == "foo.";
            assert_eq!(
                gate.allows(refused.as_bytes(), Time::ZERO),
                is_allowed,
                "{refused:?}"
            );
        }
    }
    let long = |byte| [b"foo.".to_vec(), vec![byte; 4000]].concat();
    assert!(gate.allows(&long(b'x'), Time::ZERO));
    assert!(gate.allows(b"foo.bar", Time::ZERO));
    assert!(gate.allows(&long(b'y'), Time::ZERO));
    assert!(!gate.allows(&long(b'y')[1..], Time::ZERO));
}

#[test]
fn an_answer_is_due_once() {
    let mut gate = gate(Some(&["foo"]), &["no"], Some(Responses::default()));
    assert!(!gate.allows(b"_INBOX.1", at(0)));
    gate.note_reply(b"_INBOX.1", at(0));
    gate.note_reply(b"no", at(0));
    gate.note_reply(b"", at(0));
    assert!(gate.allows(b"foo", at(1)));
    assert!(gate.allows(b"_INBOX.1", at(1)));
    assert!(!gate.allows(b"_INBOX.1", at(1)));
    assert!(!gate.allows(b"_INBOX.2", at(1)));
    assert!(
        gate.allows(b"no", at(1)),
        "nats-server 2.x lets it be answered"
    );
    assert!(!gate.allows(b"no", at(1)));
    assert!(!gate.allows(b"", at(1)));
    gate.note_reply(b"_INBOX.3", at(1));
    assert!(!gate.allows(b"_INBOX.3", at(122)), "expired");
}

#[test]
fn what_may_be_published_anyway_uses_no_answer_up() {
    let responses = Responses {
        max: Some(0),
        expires: None,
    };
    let mut gate = gate(Some(&["_INBOX.>"]), &[], Some(responses));
    gate.note_reply(b"_INBOX.1", at(0));
    for _ in 0..3 {
        assert!(gate.allows(b"_INBOX.1", at(0)));
    }
}

#[test]
fn what_may_be_published_anyway_pushes_no_answer_out() {
    let mut gate = gate(Some(&["_INBOX.>"]), &[], Some(Responses::default()));
    gate.note_reply(b"due", at(0));
    for n in 0..2 * PERMITS_MAX {
        gate.note_reply(format!("_INBOX.{n}").as_bytes(), at(0));
    }
    assert!(gate.allows(b"due", at(0)));
}

#[test]
fn nobody_answers_without_leave() {
    let mut gate = gate(Some(&[]), &[], None);
    gate.note_reply(b"_INBOX.1", at(0));
    assert!(!gate.allows(b"_INBOX.1", at(0)));
}

proptest! {
    /// A gate, with all it remembers, against the lists and a plain list of answers due.
    #[test]
    fn a_gate_remembers_right(
        allow in prop::collection::vec(pattern(), 0..4),
        max in 1_u64..4,
        steps in prop::collection::vec((0_usize..300, any::<bool>(), 0_u64..3), 1..600),
    ) {
        let responses = Responses { max: Some(max), expires: Some(Duration::from_secs(5)) };
        let allow: Vec<&str> = allow.iter().map(String::as_str).collect();
        let mut gate = gate(Some(&allow), &[], Some(responses));
        let mut due: Vec<(String, u64, u64)> = Vec::new();
        let mut now = 0;
        for (number, is_note, pause) in steps {
            now += pause;
            let subject = format!("orders.{}.{}", ["a", "b", "orders-of-today"][number % 3], number % 7);
            let may_anyway = gate.permissions().may_publish(subject.as_bytes());
            due.retain(|&(_, left, since)| left > 0 && now - since <= 5);
            let place = due.iter().position(|(name, ..)| *name == subject);
            if is_note {
                gate.note_reply(subject.as_bytes(), at(now));
                match place {
                    _ if may_anyway => {}
                    Some(place) => due[place] = (subject, due[place].1 + max, now),
                    None => due.push((subject, max, now)),
                }
            } else {
                let expected = may_anyway || place.is_some();
                if let (false, Some(place)) = (may_anyway, place) {
                    due[place].1 -= 1;
                }
                prop_assert_eq!(gate.allows(subject.as_bytes(), at(now)), expected);
            }
        }
    }

    /// More subjects than are kept.
    #[test]
    fn a_gate_forgets_right(numbers in prop::collection::vec(0_u32..400, 1..2000)) {
        let mut gate = gate(Some(&["a.*"]), &["a.7", "a.77"], None);
        for number in numbers {
            for (subject, expected) in [
                (format!("a.{number}"), number != 7 && number != 77),
                (format!("b.{number}"), false),
            ] {
                prop_assert_eq!(gate.allows(subject.as_bytes(), Time::ZERO), expected);
            }
        }
    }
}
