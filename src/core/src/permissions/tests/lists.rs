//! What the lists say, of publishes, subscriptions and deliveries.

use std::sync::Arc;

use proptest::prelude::*;

use super::{pattern, side};
use crate::permissions::{Permissions, PublishGate, Rules};
use crate::subject;
use crate::time::Time;

fn publisher(allow: Option<&[&str]>, deny: &[&str]) -> Permissions {
    Permissions::new(Rules {
        publish: side(allow, deny),
        ..Rules::default()
    })
}

fn subscriber(allow: Option<&[&str]>, deny: &[&str]) -> Permissions {
    Permissions::new(Rules {
        subscribe: side(allow, deny),
        ..Rules::default()
    })
}

fn may_subscribe(permissions: &Permissions, subject: &str, queue: &str) -> bool {
    let queue = Some(queue.as_bytes()).filter(|queue| !queue.is_empty());
    permissions.may_subscribe(subject.as_bytes(), queue)
}

#[test]
fn an_allowance_matches_what_a_subscription_would() {
    for &(published, pattern, expected) in subject::tests::MATCHING {
        let permissions = publisher(Some(&[pattern]), &[]);
        assert_eq!(
            permissions.may_publish(published.as_bytes()),
            expected,
            "published {published:?}, allowed {pattern:?}"
        );
        let permissions = publisher(None, &[pattern]);
        assert_ne!(
            permissions.may_publish(published.as_bytes()),
            expected,
            "published {published:?}, denied {pattern:?}"
        );
    }
}

#[test]
fn many_branches_are_all_looked_at() {
    const MIXES: u32 = 1 << 9;
    // Every mix of `a` and `*`, and only one of them ends right.
    let may_publish = |right: u32| {
        let entry = |mix: u32| -> String {
            let token = |at| if (mix >> at) & 1 == 0 { "a." } else { "*." };
            let tokens: String = (0..MIXES.ilog2()).map(token).collect();
            tokens + if mix == right { "x" } else { "y" }
        };
        let entries: Vec<String> = (0..MIXES).map(entry).collect();
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        publisher(Some(&entries), &[]).may_publish(b"a.a.a.a.a.a.a.a.a.x")
    };
    assert!(!may_publish(MIXES), "none ends right");
    for at in 0..MIXES.ilog2() {
        assert!(may_publish(1 << at), "a `*` as token {at}");
    }
    assert!(may_publish(0) && may_publish(MIXES - 1));
}

#[test]
fn no_list_is_everything_and_an_empty_one_nothing() {
    assert!(publisher(None, &[]).may_publish(b"foo"));
    assert!(!publisher(Some(&[]), &[]).may_publish(b"foo"));
    assert!(may_subscribe(&subscriber(None, &[]), ">", ""));
    assert!(!may_subscribe(&subscriber(Some(&[]), &[]), "foo", ""));
    assert!(!may_subscribe(&subscriber(Some(&[]), &[]), "foo", "q"));
}

#[test]
fn an_allowance_covers_all_of_a_subscription_or_none() {
    // (allowed, subscribed, let in): gnatsd 1.2.0's table, with its two gaps closed.
    let table: &[(&str, &str, bool)] = &[
        ("foo.bar", "foo.bar", true),
        ("foo.bar", "foo.*", false),
        ("foo.bar", "foo.>", false),
        ("foo.*", "foo.*", true),
        ("foo.*", "foo.a", true),
        ("foo.*", "foo.>", false),
        ("*", ">", false),
        ("*", "*", true),
        ("*.*", "*.>", false),
        ("foo.*", "*.bar", false),
        ("foo.*", ">", false),
        ("foo.*", "foo", false),
        ("foo.*", "foo.a.b", false),
        ("x.>", "x.>", true),
        ("x.>", "x.*", true),
        ("x.>", "x.*.>", true),
        ("x.>", "x", false),
        ("x.>", ">", false),
        ("x.>", "*.>", false),
        (">", ">", true),
        (">", "a.*.>", true),
        ("*.>", ">", false),
        ("*.b", "a.b", true),
        ("*.b", "*.*", false),
        ("foo*", "foo*", true),
        ("foo*", "foobar", false),
    ];
    for &(allowed, subscribed, expected) in table {
        let permissions = subscriber(Some(&[allowed]), &[]);
        assert_eq!(
            may_subscribe(&permissions, subscribed, ""),
            expected,
            "allowed {allowed:?}, subscribed {subscribed:?}"
        );
    }
}

#[test]
fn a_denial_refuses_or_filters() {
    // (denied, subscribed, let in, a subject the subscription matches, delivered)
    let table: &[(&str, &str, bool, &str, bool)] = &[
        ("foo.bar", "foo.bar", false, "", false),
        ("foo.*", "foo.>", false, "", false),
        ("foo.>", "foo.*", false, "", false),
        (">", "foo", false, "", false),
        ("foo.bar", "foo.*", true, "foo.bar", false),
        ("foo.bar", "foo.*", true, "foo.baz", true),
        ("foo.bar", ">", true, "foo.bar", false),
        ("foo.bar", ">", true, "foo", true),
        ("*.bar", "foo.*", true, "foo.bar", false),
        ("foo.*", ">", true, "foo.a", false),
        ("foo.*", ">", true, "foo.a.b", true),
        ("foo.a.b", "foo.>", true, "foo.a.b", false),
        ("foo.*.b", "foo.a.>", true, "foo.a.b", false),
    ];
    for &(denied, subscribed, is_let_in, published, is_delivered) in table {
        let permissions = subscriber(None, &[denied]);
        let about = format!("denied {denied:?}, subscribed {subscribed:?}");
        assert_eq!(
            may_subscribe(&permissions, subscribed, ""),
            is_let_in,
            "{about}"
        );
        if is_let_in {
            let filter = permissions.filter_for(subscribed.as_bytes(), None);
            let filter = filter.expect(&about);
            assert_ne!(filter.denies(published.as_bytes()), is_delivered, "{about}");
        }
    }
    let permissions = subscriber(None, &["foo.bar", "a.*.c"]);
    for subscribed in ["foo", "foo.b*", "a.b", "a.*.*.>", "*", "a.*.d"] {
        assert!(may_subscribe(&permissions, subscribed, ""));
        let filter = permissions.filter_for(subscribed.as_bytes(), None);
        assert!(filter.is_none(), "{subscribed:?}");
    }
}

#[test]
fn queues_in_an_allow_list() {
    let permissions = subscriber(
        Some(&["q v1", "q v2.>", "plain", "both", "both w.*", "wide.> x"]),
        &[],
    );
    let table = [
        ("q", "v1", true),
        ("q", "v2.a", true),
        ("q", "v2", false),
        ("q", "v3", false),
        ("q", "", false),
        ("plain", "", true),
        ("plain", "any", true),
        ("both", "", true),
        ("both", "w.1", true),
        ("both", "w.>", false),
        ("both", "any", false),
        ("wide.*", "x", true),
        ("wide.>", "x", true),
        ("wide.>", "y", false),
        ("wide.>", "", false),
    ];
    for (subscribed, queue, expected) in table {
        assert_eq!(
            may_subscribe(&permissions, subscribed, queue),
            expected,
            "{subscribed:?} {queue:?}"
        );
    }
}

#[test]
fn queues_in_a_deny_list() {
    let permissions = subscriber(None, &["a v*", "b v.*", "c", "c none", "d.x dev"]);
    let table = [
        ("a", "", true),
        ("a", "v1", true),
        ("a", "v*", false),
        ("b", "v.1", false),
        ("b", "v.>", false),
        ("b", "v.1.2", true),
        ("c", "", false),
        ("c", "any", false),
        ("d.x", "dev", false),
        ("d.*", "dev", true),
    ];
    for (subscribed, queue, expected) in table {
        assert_eq!(
            may_subscribe(&permissions, subscribed, queue),
            expected,
            "{subscribed:?} {queue:?}"
        );
    }
    let filter = |queue| permissions.filter_for(b"d.*", queue);
    assert!(filter(None).is_none());
    assert!(filter(Some(&b"other"[..])).is_none());
    let filter = filter(Some(b"dev")).expect("d.x overlaps");
    assert!(filter.denies(b"d.x") && !filter.denies(b"d.y"));
}

#[test]
fn subscriptions_share_a_filter() {
    let permissions = subscriber(None, &["foo.bar"]);
    let one = permissions.filter_for(b"foo.*", None).expect("overlaps");
    let other = permissions.filter_for(b">", Some(b"q")).expect("overlaps");
    assert!(Arc::ptr_eq(&one, &other));
}

#[test]
fn a_search_for_an_overlap_ends() {
    let names: Vec<String> = (0..5000).map(|n| format!("x{n}.y.z")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let permissions = subscriber(None, &names);
    // Too many places to look at: filtered for nothing, and rightly.
    let filter = permissions.filter_for(b"*.*.a", None).expect("given up");
    assert!(!filter.denies(b"x1.y.a") && filter.denies(b"x4999.y.z"));
    assert!(permissions.filter_for(b"x1.*.a", None).is_none());
}

#[test]
fn permissions_are_equal_by_their_rules_and_show_only_them() {
    let one = publisher(Some(&["foo"]), &[]);
    assert_eq!(one, Permissions::new(one.rules().clone()));
    assert_ne!(one, publisher(Some(&["bar"]), &[]));
    let shown = format!("{one:?}");
    assert!(
        shown.contains("\"foo\"") && !shown.contains("nodes"),
        "{shown}"
    );
}

proptest! {
    /// Against a look at each entry; one entry in many may be the one that counts.
    #[test]
    fn long_lists_are_as_good_as_their_entries(
        entries in prop::collection::vec(pattern(), 0..200),
        published in prop::collection::vec((pattern(), any::<bool>()), 1..20),
    ) {
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let permissions = publisher(Some(&entries), &[]);
        let mut gate = PublishGate::new(Arc::new(publisher(Some(&entries), &[])), 1);
        for (subject, _) in published.iter().chain(&published) {
            let expected = entries.iter()
                .any(|entry| subject::matches(entry.as_bytes(), subject.as_bytes()));
            prop_assert_eq!(permissions.may_publish(subject.as_bytes()), expected);
            prop_assert_eq!(gate.allows(subject.as_bytes(), Time::ZERO), expected);
        }
        let permissions = subscriber(None, &entries);
        for (subscribed, _) in &published {
            if !may_subscribe(&permissions, subscribed, "") {
                continue;
            }
            let filter = permissions.filter_for(subscribed.as_bytes(), None);
            for (subject, _) in published.iter().filter(|(subject, _)| {
                subject::matches(subscribed.as_bytes(), subject.as_bytes())
            }) {
                let expected = entries.iter()
                    .any(|entry| subject::matches(entry.as_bytes(), subject.as_bytes()));
                let is_denied = filter.as_ref().is_some_and(|it| it.denies(subject.as_bytes()));
                prop_assert_eq!(is_denied, expected);
            }
        }
    }
}
