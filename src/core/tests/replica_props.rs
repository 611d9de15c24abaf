//! Property: what a shard tells of its interest, and what the others make of it. Whatever the history of SUB,
//! UNSUB, disconnect and of removals told late, the others never lack interest that exists, and know exactly
//! what exists once everything is told.

use std::collections::BTreeMap;

use gnatsd_core::interest::{ConnKey, ConnSubs, Inserted, Interest, MatchHint, SubId};
use gnatsd_core::subject;
use proptest::collection::vec;
use proptest::prelude::*;

const SHARDS: u16 = 3;
const SUBJECTS: [&str; 6] = ["a", "b", "a.b", "b.a", "a.a.b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Sub {
        shard: u16,
        subject: String,
        queue: &'static str,
    },
    Unsub {
        shard: u16,
        at: usize,
    },
    Leave {
        shard: u16,
    },
    /// Removals and weights go out, so many at a time.
    Tell {
        shard: u16,
        limit: usize,
    },
    Publish {
        shard: u16,
        subject: &'static str,
    },
}

/// One subscription.
#[derive(Clone, Debug)]
struct Wanted {
    subject: String,
    queue: &'static str,
    id: SubId,
}

struct Shard {
    table: Interest,
    subs: ConnSubs,
    hint: MatchHint,
    wanted: Vec<Wanted>,
}

/// Weight for each shard and queue group; a plain subscription has the group "".
type View = BTreeMap<(u16, String), u64>;

struct Server(Vec<Shard>);

impl Server {
    fn new() -> Self {
        let shard = |_| {
            let mut table = Interest::new(1);
            table.share();
            Shard {
                table,
                subs: ConnSubs::default(),
                hint: MatchHint::default(),
                wanted: Vec::new(),
            }
        };
        Server((0..SHARDS).map(shard).collect())
    }

    /// Sends what a shard has for the others.
    fn publish(&mut self, from: u16) {
        let outgoing = self.0[usize::from(from)].table.outgoing();
        let batch = std::mem::take(outgoing.expect("it is shared"));
        for (to, shard) in (0..).zip(&mut self.0) {
            if to != from {
                shard.table.apply(from, &batch);
            }
        }
    }

    fn step(&mut self, sids: &mut u32, step: Step) {
        match step {
            Step::Sub {
                shard,
                subject,
                queue,
            } => {
                *sids += 1;
                let sid = sids.to_string();
                let Shard {
                    table,
                    subs,
                    wanted,
                    ..
                } = &mut self.0[usize::from(shard)];
                let group = (!queue.is_empty()).then_some(queue.as_bytes());
                let is_news = table.is_news(subject.as_bytes(), group);
                let before = table.outgoing_len();
                let inserted =
                    table.subscribe(ConnKey(1), subs, subject.as_bytes(), group, sid.as_bytes());
                if let Ok(Inserted::New(id)) = inserted {
                    assert_eq!(
                        table.outgoing_len() > before,
                        is_news,
                        "news goes out at once"
                    );
                    wanted.push(Wanted { subject, queue, id });
                }
                self.publish(shard);
            }
            Step::Unsub { shard, at } => {
                let Shard {
                    table,
                    subs,
                    wanted,
                    ..
                } = &mut self.0[usize::from(shard)];
                if !wanted.is_empty() {
                    let gone = wanted.swap_remove(at % wanted.len());
                    table.remove(subs, gone.id);
                }
            }
            Step::Leave { shard } => {
                let Shard {
                    table,
                    subs,
                    wanted,
                    ..
                } = &mut self.0[usize::from(shard)];
                assert!(table.remove_some(subs, usize::MAX));
                wanted.clear();
            }
            Step::Tell { shard, limit } => {
                self.0[usize::from(shard)].table.tell_changes(limit);
                self.publish(shard);
            }
            Step::Publish { shard, subject } => {
                let (seen, wanted) = (self.seen(shard, subject), self.wanted(shard, subject));
                for (key, weight) in wanted {
                    let told = seen.get(&key).copied().unwrap_or_default();
                    assert!(told > 0, "{key:?} of weight {weight} is unknown to {shard}");
                }
            }
        }
    }

    /// What a shard knows of the others' interest in a subject.
    fn seen(&mut self, shard: u16, subject: &str) -> View {
        let Shard { table, hint, .. } = &mut self.0[usize::from(shard)];
        let found = table.match_subject(subject.as_bytes(), hint);
        let shards = table.shards(found);
        let (set, _) = table.matched(found);
        let mut view = View::new();
        for other in set.plain_shards().iter() {
            view.insert((other, String::new()), 1);
        }
        for group in &set.groups {
            let name = String::from_utf8_lossy(set.group_name(group)).into_owned();
            for remote in &group.remote {
                *view.entry((remote.shard, name.clone())).or_default() += u64::from(remote.weight);
            }
        }
        for &(other, _) in view.keys() {
            assert!(shards.contains(other), "a receiver needs room in its lane");
        }
        view
    }

    /// What there is.
    fn wanted(&self, shard: u16, subject: &str) -> View {
        let mut view = View::new();
        for (other, of) in (0..).zip(&self.0).filter(|&(other, _)| other != shard) {
            for sub in &of.wanted {
                if subject::matches(sub.subject.as_bytes(), subject.as_bytes()) {
                    let weight = view.entry((other, sub.queue.to_owned())).or_default();
                    *weight = if sub.queue.is_empty() { 1 } else { *weight + 1 };
                }
            }
        }
        view
    }
}

fn patterns() -> impl Strategy<Value = String> {
    let token = prop_oneof![5 => Just("a"), 4 => Just("b"), 2 => Just("*"), 1 => Just(">")];
    vec(token, 1..4).prop_map(|tokens| tokens.join("."))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let queue = prop_oneof![3 => Just(""), 2 => Just("q"), 1 => Just("r")];
    let step = prop_oneof![
        5 => (0..SHARDS, patterns(), queue)
            .prop_map(|(shard, subject, queue)| Step::Sub { shard, subject, queue }),
        4 => (0..SHARDS, 0..50_usize).prop_map(|(shard, at)| Step::Unsub { shard, at }),
        1 => (0..SHARDS).prop_map(|shard| Step::Leave { shard }),
        2 => (0..SHARDS, 0..4_usize).prop_map(|(shard, limit)| Step::Tell { shard, limit }),
        5 => (0..SHARDS, prop::sample::select(&SUBJECTS[..]))
            .prop_map(|(shard, subject)| Step::Publish { shard, subject }),
    ];
    vec(step, 1..100)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn others_know_what_is_wanted(steps in steps()) {
        let (mut server, mut sids) = (Server::new(), 0);
        for step in steps {
            server.step(&mut sids, step);
        }
        for shard in 0..SHARDS {
            server.step(&mut sids, Step::Tell { shard, limit: usize::MAX });
            prop_assert_eq!(server.0[usize::from(shard)].table.untold(), 0);
        }
        for shard in 0..SHARDS {
            for subject in SUBJECTS {
                prop_assert_eq!(server.seen(shard, subject), server.wanted(shard, subject));
            }
            server.0[usize::from(shard)].table.check_invariants();
        }
    }
}
