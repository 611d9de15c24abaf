//! Unit tests of the interest table: the protocol's matching rules, and what the cache does with churn.
//! Histories at random are in `tests/interest_props.rs` of the crate.

use super::*;
use crate::engine::snapshot::InterestStats;
use crate::subject::tests::MATCHING;

/// A table with one connection per use, and one publisher.
struct Shard {
    interest: Interest,
    subs: ConnSubs,
    hint: MatchHint,
}

const CONN: ConnKey = ConnKey(7);

impl Shard {
    fn new() -> Self {
        Self::with_limits(CacheLimits::default())
    }

    fn with_limits(limits: CacheLimits) -> Self {
        Self {
            interest: Interest::with_limits(1, limits),
            subs: ConnSubs::default(),
            hint: MatchHint::default(),
        }
    }

    fn sub(&mut self, subject: &str, queue: Option<&str>, sid: &str) -> SubId {
        let queue = queue.map(str::as_bytes);
        match self.interest.subscribe(
            CONN,
            &mut self.subs,
            subject.as_bytes(),
            queue,
            sid.as_bytes(),
        ) {
            Ok(Inserted::New(id)) => id,
            other => panic!("SUB {subject} {sid} gave {other:?}"),
        }
    }

    fn unsub(&mut self, id: SubId) {
        self.interest.remove(&mut self.subs, id);
    }

    /// Receivers of a PUB: sids, or `queue:sid,sid`, sorted.
    fn publish(&mut self, subject: &str) -> String {
        let result = self
            .interest
            .match_subject(subject.as_bytes(), &mut self.hint);
        let (set, subs) = self.interest.matched(result);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let sids = |targets: &[Target]| {
            let mut sids: Vec<_> = targets
                .iter()
                .map(|target| text(subs[target.sub].sid()))
                .collect();
            sids.sort();
            sids
        };
        let mut all = sids(&set.plain);
        let group = |group: &Group| {
            format!(
                "{}:{}",
                text(set.group_name(group)),
                sids(&group.members).join(",")
            )
        };
        let mut groups: Vec<_> = set.groups.iter().map(group).collect();
        groups.sort();
        all.append(&mut groups);
        all.join(" ")
    }

    /// The same by another connection, past the hint.
    fn publish_elsewhere(&mut self, subject: &str) -> String {
        let hint = std::mem::take(&mut self.hint);
        let got = self.publish(subject);
        self.hint = hint;
        got
    }

    /// Publishes until the result is kept.
    fn keep(&mut self, subject: &str) {
        self.publish_elsewhere(subject);
        self.publish_elsewhere(subject);
        assert!(self.is_hit(subject), "{subject} is not kept");
    }

    fn is_hit(&mut self, subject: &str) -> bool {
        let before = self.interest.stats().cache_hits;
        self.publish_elsewhere(subject);
        self.interest.stats().cache_hits > before
    }
}

#[test]
fn matches_as_the_protocol_says() {
    for &(subject, pattern, expected) in MATCHING {
        let mut shard = Shard::new();
        shard.sub(pattern, None, "1");
        let expected = if expected { "1" } else { "" };
        for round in ["built", "kept", "hinted"] {
            assert_eq!(
                shard.publish(subject),
                expected,
                "PUB {subject:?}, SUB {pattern:?}, {round}"
            );
        }
        shard.interest.check_invariants();
    }
}

#[test]
fn refuses_malformed_subjects() {
    let mut shard = Shard::new();
    for subject in ["", ".", ".foo", "foo.", "a..b", ">.d", "a.>.b"] {
        let got = shard
            .interest
            .subscribe(CONN, &mut shard.subs, subject.as_bytes(), None, b"1");
        assert_eq!(got, Err(InvalidSubject), "SUB {subject:?}");
    }
    shard.sub("foo", None, "1");
    assert_eq!(shard.subs.len(), 1);
}

#[test]
fn first_subscription_keeps_its_sid() {
    let mut shard = Shard::new();
    let first = shard.sub("foo", None, "1");
    for subject in ["bar", "foo", "not..valid"] {
        let got = shard
            .interest
            .subscribe(CONN, &mut shard.subs, subject.as_bytes(), None, b"1");
        assert_eq!(got, Ok(Inserted::Duplicate(first)), "SUB {subject:?}");
    }
    assert_eq!(
        (shard.publish("foo"), shard.publish("bar")),
        ("1".into(), String::new())
    );
    // Another connection may use the same sid.
    let mut others = ConnSubs::default();
    let got = shard
        .interest
        .subscribe(ConnKey(8), &mut others, b"bar", None, b"1");
    assert!(matches!(got, Ok(Inserted::New(_))));
    shard.interest.check_invariants();
}

#[test]
fn merges_queue_groups_by_name() {
    let mut shard = Shard::new();
    shard.sub("foo.bar", Some("q"), "1");
    shard.sub("foo.*", Some("q"), "2");
    shard.sub(">", Some("r"), "3");
    shard.sub("foo.>", None, "4");
    shard.sub("foo.bar", None, "5");
    assert_eq!(shard.publish("foo.bar"), "4 5 q:1,2 r:3");
    assert_eq!(shard.publish("foo.baz"), "4 q:2 r:3");
}

#[test]
fn tells_many_queue_groups_apart() {
    let mut shard = Shard::new();
    for member in 0..3 {
        for group in 0..50 {
            let subject = ["foo", "*", ">"][member];
            shard.sub(
                subject,
                Some(&format!("g{group:02}")),
                &format!("{member}-{group}"),
            );
        }
    }
    let expected: Vec<_> = (0..50)
        .map(|g| format!("g{g:02}:0-{g},1-{g},2-{g}"))
        .collect();
    for _ in 0..3 {
        assert_eq!(shard.publish("foo"), expected.join(" "));
    }
    shard.interest.check_invariants();
}

#[test]
fn prefix_serves_both_kinds_of_message() {
    let mut shard = Shard::new();
    shard.sub("foo.*", None, "41");
    shard.sub("foo.bar", Some("q"), "x");
    let result = shard.interest.match_subject(b"foo.bar", &mut shard.hint);
    let (set, subs) = shard.interest.matched(result);
    assert_eq!(set.subject(), b"foo.bar");
    assert_eq!(set.prefix(&set.plain[0]), b"HMSG foo.bar 41 ");
    assert_eq!(&set.prefix(&set.plain[0])[1..], b"MSG foo.bar 41 ");
    assert_eq!(set.prefix(&set.groups[0].members[0]), b"HMSG foo.bar x ");
    let sub = set.plain[0].sub;
    subs[sub].delivered += 1;
    assert_eq!(shard.interest.sub(sub).delivered, 1);
}

#[test]
fn hint_sees_every_change() {
    let mut shard = Shard::new();
    let a = shard.sub("foo", None, "a");
    for _ in 0..3 {
        assert_eq!(shard.publish("foo"), "a");
    }
    shard.sub("foo", None, "b");
    assert_eq!(shard.publish("foo"), "a b");
    let c = shard.sub("*", None, "c");
    assert_eq!(shard.publish("foo"), "a b c");
    shard.unsub(c);
    assert_eq!(shard.publish("foo"), "a b");
    shard.unsub(a);
    assert_eq!(shard.publish("foo"), "b");
}

#[test]
fn hint_saves_the_look_up() {
    let mut shard = Shard::new();
    shard.sub("foo", None, "a");
    for _ in 0..10 {
        shard.publish("foo");
    }
    assert_eq!(shard.interest.stats().matches, 1);
    shard.publish_elsewhere("foo");
    shard.publish_elsewhere("foo");
    assert_eq!(
        (
            shard.interest.stats().matches,
            shard.interest.stats().cache_hits
        ),
        (3, 1)
    );
}

#[test]
fn subjects_seen_once_are_not_kept() {
    let mut shard = Shard::new();
    shard.sub("_INBOX.x.*", None, "1");
    shard.keep("foo");
    for reply in 0..10_000 {
        assert_eq!(shard.publish(&format!("_INBOX.x.{reply}")), "1");
    }
    assert!(
        shard.interest.stats().cache_entries < 20,
        "{:?}",
        shard.interest.stats()
    );
    assert!(shard.is_hit("foo"));
}

#[test]
fn churn_elsewhere_leaves_kept_results_alone() {
    let mut shard = Shard::new();
    shard.sub("orders.>", None, "all");
    let subjects: Vec<_> = (0..100).map(|n| format!("orders.{n}")).collect();
    for subject in &subjects {
        shard.keep(subject);
    }
    for round in 0..50 {
        for inbox in 0..4 {
            let wildcard = shard.sub(&format!("_INBOX.{round}.{inbox}.*"), None, "w");
            let literal = shard.sub(&format!("_INBOX.{round}.{inbox}"), None, "l");
            shard.unsub(wildcard);
            shard.unsub(literal);
        }
        for subject in &subjects {
            assert!(shard.is_hit(subject), "{subject} in round {round}");
        }
    }
    shard.interest.check_invariants();
}

#[test]
fn kept_results_are_patched_not_dropped() {
    let mut shard = Shard::new();
    shard.keep("foo.bar");
    let mut ids = Vec::new();
    for n in 0..200 {
        ids.push(shard.sub(["foo.bar", "foo.*", ">"][n % 3], None, &n.to_string()));
        assert!(shard.is_hit("foo.bar"), "after SUB {n}");
    }
    assert_eq!(shard.interest.stats().fanout_max, 200);
    let matches = shard.interest.stats().matches;
    let hits = shard.interest.stats().cache_hits;
    for id in ids {
        shard.unsub(id);
        shard.publish_elsewhere("foo.bar");
        shard.interest.check_invariants();
    }
    let stats = shard.interest.stats();
    let built = (stats.matches - matches) - (stats.cache_hits - hits);
    assert!(built <= 5, "built {built} times in 200 removals");
    assert_eq!(shard.publish("foo.bar"), "");
}

#[test]
fn removals_nobody_asks_about_end_the_patching() {
    let mut shard = Shard::new();
    let ids: Vec<_> = (0..1000)
        .map(|n| shard.sub("foo", None, &n.to_string()))
        .collect();
    shard.keep("foo");
    for &id in &ids[..900] {
        shard.unsub(id);
    }
    assert!(!shard.is_hit("foo"));
    assert!(shard.is_hit("foo"));
    assert_eq!(shard.publish("foo").split(' ').count(), 100);
}

#[test]
fn result_too_far_behind_is_built_anew() {
    let limits = CacheLimits {
        changes_max: 8,
        ..CacheLimits::default()
    };
    let mut shard = Shard::with_limits(limits);
    shard.keep("foo");
    for n in 0..8 {
        shard.sub(&format!("*.{n}"), None, &n.to_string());
    }
    assert!(shard.is_hit("foo"));
    for n in 8..17 {
        shard.sub("*", None, &n.to_string());
    }
    assert!(!shard.is_hit("foo"));
    assert_eq!(shard.publish("foo").split(' ').count(), 9);
    shard.interest.check_invariants();
}

#[test]
fn cache_is_bounded() {
    let limits = CacheLimits {
        sets_max: 10,
        bytes_max: 20_000,
        changes_max: 8,
    };
    let mut shard = Shard::with_limits(limits);
    for n in 0..100 {
        shard.sub("big.>", None, &n.to_string());
    }
    for n in 0..500 {
        shard.sub("huge", None, &format!("h{n}"));
    }
    shard.keep("hot");
    for n in 0..200 {
        let subject = format!("{}.{n}", ["big", "small"][n % 2]);
        shard.publish(&subject);
        shard.publish_elsewhere(&subject);
        shard.publish_elsewhere("hot");
        shard.interest.check_invariants();
    }
    assert!(shard.is_hit("hot"), "what is used stays");
    // Half of the bytes is the most for one result.
    for _ in 0..3 {
        assert_eq!(shard.publish_elsewhere("huge").split(' ').count(), 500);
        assert!(!shard.is_hit("huge"));
    }
    shard.interest.check_invariants();
}

#[test]
fn removes_a_connection_in_pieces() {
    let mut shard = Shard::new();
    let mut other = ConnSubs::default();
    for n in 0..1000 {
        let subject = ["foo".to_owned(), "foo.>".to_owned(), format!("inbox.{n}")][n % 3].clone();
        shard.sub(&subject, None, &n.to_string());
        let queue = Some(&b"q"[..]);
        let sid = n.to_string();
        let got = shard
            .interest
            .subscribe(ConnKey(9), &mut other, b"foo", queue, sid.as_bytes());
        assert!(matches!(got, Ok(Inserted::New(_))));
    }
    let mut calls = 1;
    while !shard.interest.remove_some(&mut shard.subs, 64) {
        calls += 1;
    }
    assert_eq!((calls, shard.subs.len(), other.len()), (16, 0, 1000));
    shard.interest.check_invariants();
    assert!(
        shard.interest.remove_some(&mut shard.subs, 64),
        "none left is no error"
    );
    assert!(!shard.interest.remove_some(&mut other, 0));
    assert!(shard.interest.remove_some(&mut other, usize::MAX));
    shard.interest.check_invariants();
}

#[test]
fn frees_what_it_made() {
    let mut shard = Shard::new();
    let patterns: Vec<_> = (0..500).map(|n| format!("a.{}.b{n}.*", n % 20)).collect();
    for round in 0..4 {
        let ids: Vec<_> = patterns
            .iter()
            .map(|p| shard.sub(p, None, &format!("{round}{p}")))
            .collect();
        assert_eq!(shard.interest.subs.places(), 500, "records are reused");
        for id in ids {
            shard.unsub(id);
        }
        shard.interest.check_invariants();
    }
    assert!(shard.interest.page(0, 10).0.is_empty());
}

#[test]
fn burst_of_subscriptions_leaves_no_memory() {
    // Of each kind, and the last ones are the first to go; another shard hears of them.
    const MANY: usize = 300_000;
    let (mut shard, mut other) = (Shard::new(), Shard::new());
    shard.interest.share();
    let mut tell = |shard: &mut Shard| {
        let outgoing = std::mem::take(shard.interest.outgoing().unwrap());
        other.interest.apply(0, &outgoing);
        (total(&other.interest.memory()), other.interest.stats())
    };
    let before = total(&shard.interest.memory());
    let (other_before, _) = tell(&mut shard);
    let ids: Vec<_> = (0..MANY)
        .map(|n| {
            let (subject, queue) = match n % 5 {
                0 => (format!("_INBOX.{n}.*"), None),
                1 => (format!("orders.{}", n % 1000), None),
                2 => (format!("pair.{}", n / 10), None),
                3 => (format!("work.{}", n / 10), Some("q")),
                _ => (format!("orders.{n}.created"), None),
            };
            shard.sub(&subject, queue, &n.to_string())
        })
        .collect();
    let (other_full, _) = tell(&mut shard);
    let full = total(&shard.interest.memory());
    assert!(full > before + MANY * 64, "{full} bytes for all");
    assert!(
        other_full > other_before + MANY * 8,
        "{other_full} bytes for all"
    );
    for &id in ids.iter().rev() {
        shard.unsub(id);
    }
    while shard.interest.untold() > 0 {
        shard.interest.tell_changes(2048);
        tell(&mut shard);
    }
    let (other_after, stats) = tell(&mut shard);
    assert_eq!(stats.subscriptions, 0);
    let after = total(&shard.interest.memory());
    let slack = 32 * 1024;
    assert!(after < before + slack, "{before} before, {after} after");
    assert!(
        other_after < other_before + slack,
        "{other_before} before, {other_after} after"
    );
}

#[test]
fn says_once_that_it_has_shrunk() {
    let mut shard = Shard::new();
    let mut said = Vec::new();
    for round in 0..3 {
        let ids: Vec<_> = (0..100)
            .map(|n| shard.sub("foo", None, &format!("{round}-{n}")))
            .collect();
        assert!(!shard.interest.has_shrunk(40), "it has grown");
        for (n, id) in ids.into_iter().enumerate() {
            shard.unsub(id);
            let churn = shard.sub("churn", None, "c");
            shard.unsub(churn);
            if shard.interest.has_shrunk(40) {
                said.push((round, n));
            }
        }
    }
    let each = |round| [(round, 39), (round, 79)];
    assert_eq!(said, [each(0), each(1), each(2)].concat());
}

/// Bytes of everything but match results, which have bounds of their own.
fn total(memory: &InterestMemory) -> usize {
    memory.subscriptions + memory.sids + memory.literals + memory.trie + memory.shared
}

#[test]
fn subject_of_many_tokens_needs_no_stack() {
    let mut shard = Shard::new();
    let deep = vec!["a"; 100_000].join(".");
    shard.sub(&format!("{deep}.>"), None, "1");
    shard.sub(&vec!["*"; 100_001].join("."), None, "2");
    assert_eq!(shard.publish(&format!("{deep}.b")), "1 2");
    assert_eq!(shard.publish(&deep), "");
}

#[test]
fn pages_through_all() {
    let mut shard = Shard::new();
    let ids: Vec<_> = (0..10)
        .map(|n| shard.sub("foo", None, &n.to_string()))
        .collect();
    for &n in &[0, 4, 9] {
        shard.unsub(ids[n]);
    }
    let (mut seen, mut from) = (Vec::new(), Some(0));
    while let Some(cursor) = from {
        let (page, next) = shard.interest.page(cursor, 3);
        assert!(page.len() <= 3);
        seen.extend(page);
        from = next;
    }
    let expected: Vec<_> = [1, 2, 3, 5, 6, 7, 8].map(|n: usize| ids[n]).to_vec();
    assert_eq!(seen, expected);
    assert_eq!(shard.interest.page(1_000_000, 3), (Vec::new(), None));
}

#[test]
fn counts_what_subsz_reports() {
    let mut shard = Shard::new();
    shard.sub("foo", None, "1");
    shard.sub("foo", Some("q"), "2");
    shard.sub("foo", Some("q"), "3");
    let id = shard.sub("bar", None, "4");
    shard.keep("foo");
    shard.keep("bar");
    shard.unsub(id);
    let stats = shard.interest.stats();
    let expected = InterestStats {
        subscriptions: 3,
        cache_entries: 2,
        inserts: 4,
        removes: 1,
        matches: 6,
        cache_hits: 2,
        fanout_max: 2,
        fanout_sum: 2,
    };
    assert_eq!(stats, expected);
}

#[test]
fn same_seed_same_order() {
    let order = || {
        let mut shard = Shard::new();
        for n in 0..100 {
            shard.sub(["*.b", "a.*", ">", "a.b"][n % 4], None, &n.to_string());
        }
        let result = shard.interest.match_subject(b"a.b", &mut shard.hint);
        let (set, _) = shard.interest.matched(result);
        set.plain
            .iter()
            .map(|target| target.sub)
            .collect::<Vec<_>>()
    };
    assert_eq!(order(), order());
}
