//! Chains of causes over two and three shards: what one client reads makes another act.
//!
//! The scenarios are those of the explicit-state model of the lanes, here many times over, on real engines and
//! among other traffic.

use super::Plot;
use crate::cast::{Act, ClientId, Trigger, publish, some_kind, sub, unsub};
use crate::history::ConnKind;

/// Operations of a scenario.
#[derive(Clone, Copy, Debug)]
enum Op {
    Sub(&'static str),
    Pub(&'static str),
    Unsub(&'static str),
    Ping,
}

use Op::{Ping, Pub, Sub, Unsub};

/// How the subscriptions of a plot look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Literal,
    Pattern,
    Group,
}

/// What somebody reads: a message, or a PONG.
const PONG: &str = "PONG";

/// Client and message.
type Read = (char, &'static str);

/// One scenario; clients are named by letters.
struct Chain {
    name: &'static str,
    /// Client and shard, counted from one that is drawn.
    homes: &'static [(char, usize)],
    /// Subscriptions in force at the start.
    subs: &'static [(char, &'static str)],
    start: &'static [(char, &'static [Op])],
    /// Who reads what, and what is done then.
    react: &'static [(Read, &'static [(char, Op)])],
}

const CHAINS: &[Chain] = &[
    Chain {
        name: "sub-then-pub-two",
        homes: &[('x', 0), ('y', 1)],
        subs: &[('y', "bar")],
        start: &[('x', &[Sub("foo"), Pub("bar")])],
        react: &[(('y', "bar"), &[('y', Pub("foo"))])],
    },
    Chain {
        name: "sub-then-pub-three",
        homes: &[('x', 0), ('y', 1), ('z', 2)],
        subs: &[('y', "bar"), ('z', "tell")],
        start: &[('x', &[Sub("foo"), Pub("bar")])],
        react: &[
            (('y', "bar"), &[('y', Pub("tell"))]),
            (('z', "tell"), &[('z', Pub("foo"))]),
        ],
    },
    Chain {
        name: "sub-pong-other-publishes",
        homes: &[('x', 0), ('z', 1)],
        subs: &[],
        start: &[('x', &[Sub("foo"), Ping])],
        react: &[(('x', PONG), &[('z', Pub("foo"))])],
    },
    Chain {
        name: "pub-pong-then-unsub",
        homes: &[('p', 0), ('s', 1)],
        subs: &[('s', "foo")],
        start: &[('p', &[Pub("foo"), Ping])],
        react: &[(('p', PONG), &[('s', Unsub("foo")), ('s', Ping)])],
    },
    Chain {
        name: "pub-pong-then-sub",
        homes: &[('p', 0), ('s', 1), ('o', 1)],
        subs: &[('o', "foo")],
        start: &[('p', &[Pub("foo"), Ping])],
        react: &[(('p', PONG), &[('s', Sub("foo")), ('s', Ping)])],
    },
    Chain {
        name: "pub-pong-then-ping",
        homes: &[('p', 0), ('s', 1)],
        subs: &[('s', "foo")],
        start: &[('p', &[Pub("foo"), Ping])],
        react: &[(('p', PONG), &[('s', Ping)])],
    },
    Chain {
        name: "unsub-pong-then-pub",
        homes: &[('s', 0), ('p', 1)],
        subs: &[('s', "foo")],
        start: &[('s', &[Unsub("foo"), Ping])],
        react: &[(('s', PONG), &[('p', Pub("foo"))])],
    },
    Chain {
        name: "order-and-once",
        homes: &[('p', 0), ('a', 1), ('b', 2), ('l', 0)],
        subs: &[
            ('a', "m1"),
            ('a', "m2"),
            ('a', "m3"),
            ('b', "m1"),
            ('b', "m2"),
            ('b', "m3"),
            ('l', "m1"),
            ('l', "m2"),
            ('l', "m3"),
        ],
        start: &[('p', &[Pub("m1"), Pub("m2"), Pub("m3")])],
        react: &[],
    },
    Chain {
        name: "both-ways",
        homes: &[('a', 0), ('b', 1)],
        subs: &[('a', "a"), ('b', "b")],
        start: &[
            ('a', &[Pub("b"), Pub("b"), Pub("b"), Ping]),
            ('b', &[Pub("a"), Pub("a"), Pub("a"), Ping]),
        ],
        react: &[],
    },
    Chain {
        name: "churn-full-interest",
        homes: &[('x', 0), ('y', 1)],
        subs: &[('y', "go")],
        start: &[('x', &[Sub("a"), Unsub("a"), Sub("b"), Sub("a"), Pub("go")])],
        react: &[(('y', "go"), &[('y', Pub("a")), ('y', Pub("b"))])],
    },
    Chain {
        name: "three-with-noise",
        homes: &[('x', 0), ('n', 0), ('y', 1), ('f', 1), ('z', 2), ('g', 2)],
        subs: &[('y', "bar"), ('z', "tell"), ('g', "noise")],
        start: &[
            ('x', &[Sub("foo"), Pub("bar")]),
            ('n', &[Sub("q"), Unsub("q")]),
            ('f', &[Pub("noise"), Pub("noise")]),
        ],
        react: &[
            (('y', "bar"), &[('y', Pub("tell"))]),
            (('z', "tell"), &[('z', Pub("foo"))]),
        ],
    },
    Chain {
        name: "confirmed-then-unsub-noise",
        homes: &[('p', 0), ('n', 0), ('s', 1), ('f', 2), ('t', 1)],
        subs: &[('s', "foo"), ('t', "noise"), ('t', "foo")],
        start: &[
            ('p', &[Pub("foo"), Ping]),
            ('n', &[Pub("noise"), Sub("q")]),
            ('f', &[Pub("noise"), Pub("foo")]),
        ],
        react: &[(('p', PONG), &[('s', Unsub("foo")), ('s', Ping)])],
    },
    Chain {
        name: "message-then-unsub",
        homes: &[('p', 0), ('s', 1), ('t', 2)],
        subs: &[('s', "foo"), ('t', "foo")],
        start: &[('p', &[Pub("foo")])],
        react: &[(('t', "foo"), &[('s', Unsub("foo")), ('s', Ping)])],
    },
    Chain {
        name: "unsub-then-pub-three",
        homes: &[('x', 0), ('y', 1), ('z', 2)],
        subs: &[('x', "foo"), ('y', "bar"), ('z', "tell")],
        start: &[('x', &[Unsub("foo"), Pub("bar")])],
        react: &[
            (('y', "bar"), &[('y', Pub("tell"))]),
            (('z', "tell"), &[('z', Pub("foo"))]),
        ],
    },
];

impl Plot<'_> {
    /// Who hears that a subscription is in force publishes at once, on a shard that is busy with several of
    /// the kind: what they say is read in the middle of a turn.
    pub(super) fn eager(&mut self) -> &'static str {
        let first = self.rng.below(self.shards);
        let kind = some_kind(self.rng);
        let x = self.cast.add(
            first,
            ConnKind {
                no_echo: false,
                ..kind
            },
        );
        let mut everybody = vec![x];
        for _ in 0..self.rng.between(2, 4) {
            let kind = some_kind(self.rng);
            everybody.push(self.cast.add((first + 1) % self.shards, kind));
        }
        self.settle(&everybody);
        for round in 1..self.rng.between(10, 40) {
            let wanted = self.name(&format!("foo.{round}"));
            let tag = u32::try_from(round).unwrap_or(0);
            self.say(x, sub(wanted.as_str()));
            self.say(x, Act::Ping(tag));
            let mut acts = Vec::new();
            for &z in &everybody[1..] {
                acts.push((z, publish(self.rng, wanted.as_str())));
            }
            self.cast.react(x, Trigger::Pong(tag), acts);
            self.say(x, Act::AwaitPongs);
            if round > 4 && self.rng.once_in(2) {
                self.say(x, unsub(self.name(&format!("foo.{}", round - 4))));
            }
            for &z in &everybody[1..] {
                if self.rng.once_in(2) {
                    self.publish(z, "noise");
                }
            }
        }
        "eager"
    }

    /// One scenario, in several rounds.
    pub(super) fn chain(&mut self) -> &'static str {
        let chain = self.rng.pick(CHAINS);
        let first = self.rng.below(self.shards);
        let mut clients: Vec<(char, ClientId)> = Vec::new();
        for &(name, shard) in chain.homes {
            let mut kind = some_kind(self.rng);
            kind.no_echo = false;
            let shard = (first + shard) % self.shards;
            clients.push((name, self.cast.add(shard, kind)));
        }
        let client = |name: char| {
            clients
                .iter()
                .find(|(n, _)| *n == name)
                .map_or(0, |(_, client)| *client)
        };
        let rounds = self.rng.between(4, 24);
        // Subjects of each round, or the same in all: interest that comes and goes.
        let is_same = self.rng.once_in(3);
        let prefix = self.prefix.clone();
        // Told to the other shards as hashes, as patterns, or with a group for each subscription.
        let form = *self
            .rng
            .pick(&[Form::Literal, Form::Literal, Form::Pattern, Form::Group]);
        let stem = |name: &str, round: usize| {
            if is_same {
                format!("{prefix}.{name}")
            } else {
                format!("{prefix}.{name}.{round}")
            }
        };
        let subject = |name: &str, round: usize| match form {
            Form::Pattern => stem(name, round) + ".x",
            _ => stem(name, round),
        };
        let listen = |who: char, name: &str, round: usize| Act::Sub {
            slot: stem(name, round),
            pattern: match form {
                Form::Pattern => stem(name, round) + ".*",
                _ => stem(name, round),
            },
            queue: (form == Form::Group).then(|| format!("{prefix}.{who}.{name}")),
        };
        for round in 0..if is_same { 1 } else { rounds } {
            for &(name, what) in chain.subs {
                self.say(client(name), listen(name, what, round));
            }
        }
        let everybody: Vec<ClientId> = clients.iter().map(|(_, client)| *client).collect();
        self.settle(&everybody);
        let pause = self.rng.below(3);
        // Clients that say something all the time are in the middle of being served when something happens.
        let noise = *self.rng.pick(&[0, 0, 1, 3]);
        for round in 0..rounds {
            for &client in &everybody {
                for _ in 0..self.rng.between(0, noise) {
                    let subject = self.name("n");
                    self.publish(client, &subject);
                }
            }
            let tag = u32::try_from(round).unwrap_or(0) + 1;
            let act = |plot: &mut Self, who: char, op: Op| match op {
                Sub(name) => listen(who, name, round),
                Pub(name) => publish(plot.rng, subject(name, round)),
                Unsub(name) => unsub(stem(name, round)),
                Ping => Act::Ping(tag),
            };
            for &((name, what), then) in chain.react {
                let trigger = match what {
                    PONG => Trigger::Pong(tag),
                    _ => Trigger::Message(subject(what, round)),
                };
                let acts = then
                    .iter()
                    .map(|&(who, op)| (client(who), act(self, who, op)))
                    .collect();
                self.cast.react(client(name), trigger, acts);
            }
            for &(name, ops) in chain.start {
                for &op in ops {
                    let act = act(self, name, op);
                    self.say(client(name), act);
                }
                match pause {
                    0 => self.say(client(name), Act::AwaitRest),
                    1 => {
                        self.say(client(name), Act::Ping(0));
                        self.say(client(name), Act::AwaitPongs);
                    }
                    _ => {}
                }
            }
            // What a round ended begins anew in the next, if it is about the same subjects.
            if is_same && pause == 0 {
                for &(name, what) in chain.subs {
                    if let Some(Unsub(_)) = unsubs(chain, name, what) {
                        self.say(client(name), listen(name, what, round));
                        self.say(client(name), Act::Ping(0));
                        self.say(client(name), Act::AwaitPongs);
                    }
                }
            }
        }
        chain.name
    }
}

/// The UNSUB of a scenario for one of its first subscriptions.
fn unsubs(chain: &Chain, client: char, subject: &str) -> Option<Op> {
    let is_it = |op: &Op| matches!(op, Unsub(s) if *s == subject);
    let started = chain
        .start
        .iter()
        .filter(|(who, _)| *who == client)
        .flat_map(|(_, ops)| ops.iter());
    let reacted = chain.react.iter().flat_map(|(_, acts)| acts.iter());
    let reacted = reacted.filter(|(who, _)| *who == client).map(|(_, op)| op);
    started.chain(reacted).copied().find(is_it)
}
