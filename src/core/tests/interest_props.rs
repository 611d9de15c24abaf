//! Property: whatever the history of SUB, UNSUB, disconnect and PUB, a match finds who a plain list of
//! subscriptions, asked one by one, says must receive the message; those that permissions keep it from do not.
//!
//! Tokens come from a tiny alphabet, so that subjects meet often; every connection keeps its hint all along;
//! small cache limits make results be evicted, replayed and rebuilt. The table checks itself after each step.

use std::sync::Arc;

use gnatsd_core::interest::{CacheLimits, ConnKey, ConnSubs, Inserted, Interest, MatchHint, SubId};
use gnatsd_core::permissions::{DeliveryFilter, Entry, Permissions, Rules, Side};
use gnatsd_core::subject;
use proptest::collection::vec;
use proptest::prelude::*;

const CONNS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Sub {
        conn: usize,
        subject: String,
        queue: Option<&'static str>,
        sid: u8,
        denied: Option<String>,
    },
    Filter {
        conn: usize,
        sid: u8,
        denied: Option<String>,
    },
    Unsub {
        conn: usize,
        sid: u8,
    },
    RemoveSome {
        conn: usize,
        limit: usize,
    },
    Publish {
        conn: usize,
        subject: String,
    },
}

/// One subscription of the model.
#[derive(Clone, Debug)]
struct Wanted {
    conn: usize,
    sid: String,
    subject: String,
    queue: Option<&'static str>,
    id: SubId,
    denied: Option<String>,
}

impl Wanted {
    /// Only what a subscription asks for besides can be kept from it: what it names it was given or not.
    fn gets(&self, published: &str) -> bool {
        let is_denied = |denied: &String| {
            subject::has_wildcard(self.subject.as_bytes())
                && subject::matches(denied.as_bytes(), published.as_bytes())
        };
        subject::matches(self.subject.as_bytes(), published.as_bytes())
            && !self.denied.as_ref().is_some_and(is_denied)
    }
}

fn filter(
    denied: Option<&String>,
    subject: &str,
    queue: Option<&str>,
) -> Option<Arc<DeliveryFilter>> {
    let deny = denied.map(|subject| Entry {
        subject: subject.as_str().into(),
        queue: None,
    });
    let rules = Rules {
        subscribe: Side {
            allow: None,
            deny: deny.into_iter().collect(),
        },
        ..Rules::default()
    };
    Permissions::new(rules).filter_for(subject.as_bytes(), queue.map(str::as_bytes))
}

fn subjects() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        6 => Just("a"), 4 => Just("b"), 3 => Just("*"), 2 => Just(">"), 1 => Just("a*"), 1 => Just(""),
        1 => Just("a-token-that-does-not-fit-inside-its-node"),
    ];
    vec(token, 1..4).prop_map(|tokens| tokens.join("."))
}

fn denials() -> impl Strategy<Value = Option<String>> {
    let valid = subjects().prop_filter("valid", |subject| {
        subject::is_valid_subscription(subject.as_bytes())
    });
    prop_oneof![2 => Just(None), 1 => valid.prop_map(Some)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let queue = prop_oneof![4 => Just(None), 1 => Just(Some("q")), 1 => Just(Some("r"))];
    let step = prop_oneof![
        4 => (0..CONNS, subjects(), queue, 0..6_u8, denials())
            .prop_map(|(conn, subject, queue, sid, denied)| Step::Sub { conn, subject, queue, sid, denied }),
        1 => (0..CONNS, 0..6_u8, denials())
            .prop_map(|(conn, sid, denied)| Step::Filter { conn, sid, denied }),
        3 => (0..CONNS, 0..6_u8).prop_map(|(conn, sid)| Step::Unsub { conn, sid }),
        1 => (0..CONNS, 0..5_usize).prop_map(|(conn, limit)| Step::RemoveSome { conn, limit }),
        6 => (0..CONNS, subjects()).prop_map(|(conn, subject)| Step::Publish { conn, subject }),
    ];
    vec(step, 1..120)
}

fn limits() -> impl Strategy<Value = CacheLimits> {
    prop_oneof![
        Just(CacheLimits::default()),
        Just(CacheLimits {
            sets_max: 3,
            bytes_max: 900,
            changes_max: 3
        }),
        Just(CacheLimits {
            sets_max: 6,
            bytes_max: 1 << 20,
            changes_max: 1
        }),
        Just(CacheLimits {
            sets_max: 0,
            bytes_max: 0,
            changes_max: 0
        }),
    ]
}

/// The table under test, its connections, and the list it is compared with.
struct World {
    interest: Interest,
    conns: [ConnSubs; CONNS],
    hints: [MatchHint; CONNS],
    model: Vec<Wanted>,
}

impl World {
    fn new(seed: u64, limits: CacheLimits) -> Self {
        Self {
            interest: Interest::with_limits(seed, limits),
            conns: Default::default(),
            hints: Default::default(),
            model: Vec::new(),
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Sub {
                conn,
                subject,
                queue,
                sid,
                denied,
            } => self.subscribe(*conn, subject, *queue, *sid, denied.as_ref()),
            Step::Filter { conn, sid, denied } => self.filter(*conn, *sid, denied.as_ref()),
            Step::Unsub { conn, sid } => self.unsubscribe(*conn, *sid),
            Step::RemoveSome { conn, limit } => self.remove_some(*conn, *limit),
            Step::Publish { conn, subject } => self.publish(*conn, subject),
        }
        self.interest.check_invariants();
    }

    fn filter(&mut self, conn: usize, sid: u8, denied: Option<&String>) {
        let sid = sid.to_string();
        let is_it = |sub: &&mut Wanted| sub.conn == conn && sub.sid == sid;
        if let Some(known) = self.model.iter_mut().find(is_it) {
            known.denied = denied.cloned();
            let filter = filter(denied, &known.subject, known.queue);
            self.interest.set_filter(known.id, filter);
        }
    }

    fn subscribe(
        &mut self,
        conn: usize,
        subject: &str,
        queue: Option<&'static str>,
        sid: u8,
        denied: Option<&String>,
    ) {
        let sid = sid.to_string();
        let filter = if subject::is_valid_subscription(subject.as_bytes()) {
            filter(denied, subject, queue)
        } else {
            None
        };
        let got = self.interest.subscribe_filtered(
            ConnKey(conn as u32),
            &mut self.conns[conn],
            subject.as_bytes(),
            queue.map(str::as_bytes),
            sid.as_bytes(),
            filter,
        );
        let known = self
            .model
            .iter()
            .find(|sub| sub.conn == conn && sub.sid == sid);
        match (got, known) {
            (Ok(Inserted::Duplicate(id)), Some(known)) => assert_eq!(id, known.id),
            (Ok(Inserted::New(id)), None) => {
                assert!(
                    subject::is_valid_subscription(subject.as_bytes()),
                    "{subject:?}"
                );
                let sub = self.interest.sub(id);
                assert_eq!(
                    (sub.subject(), sub.sid()),
                    (subject.as_bytes(), sid.as_bytes())
                );
                assert_eq!(sub.queue(), queue.map(str::as_bytes));
                assert_eq!(
                    (sub.conn(), sub.delivered, sub.max),
                    (ConnKey(conn as u32), 0, 0)
                );
                self.model.push(Wanted {
                    conn,
                    sid,
                    subject: subject.to_owned(),
                    queue,
                    id,
                    denied: denied.cloned(),
                });
            }
            (Err(_), None) => assert!(!subject::is_valid_subscription(subject.as_bytes())),
            (got, known) => panic!("SUB gave {got:?}, known was {known:?}"),
        }
    }

    fn unsubscribe(&mut self, conn: usize, sid: u8) {
        let sid = sid.to_string();
        let known = self
            .model
            .iter()
            .position(|sub| sub.conn == conn && sub.sid == sid);
        let found = self.interest.find(ConnKey(conn as u32), sid.as_bytes());
        assert_eq!(found, known.map(|at| self.model[at].id));
        if let Some(at) = known {
            let id = self.model.remove(at).id;
            self.interest.remove(&mut self.conns[conn], id);
        }
    }

    fn remove_some(&mut self, conn: usize, limit: usize) {
        let is_empty = self.interest.remove_some(&mut self.conns[conn], limit);
        let mut left = limit;
        // The oldest go first, which the model's order is.
        self.model.retain(|sub| {
            let goes = sub.conn == conn && left > 0;
            left -= usize::from(goes);
            !goes
        });
        let kept: Vec<SubId> = self.interest.of_conn(&self.conns[conn]).collect();
        let expected: Vec<SubId> = self
            .model
            .iter()
            .filter(|sub| sub.conn == conn)
            .map(|sub| sub.id)
            .collect();
        assert_eq!(
            kept, expected,
            "subscriptions of the connection, oldest first"
        );
        assert_eq!(self.conns[conn].len(), kept.len());
        assert_eq!(is_empty, kept.is_empty());
    }

    fn publish(&mut self, conn: usize, subject: &str) {
        let result = self
            .interest
            .match_subject(subject.as_bytes(), &mut self.hints[conn]);
        let (set, subs) = self.interest.matched(result);
        let mut got = Vec::new();
        for target in &set.plain {
            got.push((None, target.sub, target.conn, set.prefix(target).to_vec()));
        }
        let mut names = Vec::new();
        for group in &set.groups {
            names.push(set.group_name(group));
            for target in &group.members {
                let queue = subs[target.sub].queue().map(<[u8]>::to_vec);
                assert_eq!(queue.as_deref(), Some(set.group_name(group)));
                got.push((queue, target.sub, target.conn, set.prefix(target).to_vec()));
            }
        }
        names.sort_unstable();
        assert!(
            names.windows(2).all(|two| two[0] != two[1]),
            "each group once: {names:?}"
        );
        let mut expected: Vec<_> = self
            .model
            .iter()
            .filter(|sub| sub.gets(subject))
            .map(|sub| {
                let prefix = format!("HMSG {subject} {} ", sub.sid).into_bytes();
                let queue = sub.queue.map(|queue| queue.as_bytes().to_vec());
                (queue, sub.id, ConnKey(sub.conn as u32), prefix)
            })
            .collect();
        got.sort();
        expected.sort();
        assert_eq!(got, expected, "PUB {subject:?}");
        assert_eq!(set.is_empty(), expected.is_empty());
        let plain = expected
            .iter()
            .filter(|(queue, ..)| queue.is_none())
            .count();
        assert_eq!(set.receivers(), plain + names.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_plain_list(seed: u64, limits in limits(), steps in steps()) {
        let mut world = World::new(seed, limits);
        for step in &steps {
            world.apply(step);
        }
        for conn in 0..CONNS {
            world.remove_some(conn, usize::MAX);
        }
        world.interest.check_invariants();
        let stats = world.interest.stats();
        prop_assert_eq!(stats.subscriptions, 0);
        prop_assert_eq!(stats.inserts, stats.removes);
        prop_assert!(stats.cache_hits <= stats.matches);
    }
}
