//! Interest: who wants a subject, answered by a connection's last result, by the cache, by the tables, with
//! one subscription and with 100 000; and changes.

use std::hint::black_box;

use gnatsd_core::interest::{ConnKey, ConnSubs, Inserted, Interest, MatchHint, SubId};

use crate::frame::{Case, Measured, measure};

const MANY: usize = 100_000;
/// Connections that hold the subscriptions.
const CONNS: usize = 1000;
const HASH_SEED: u64 = 4711;
/// Subjects that fit the cache easily.
const WARM: usize = 64;
/// Subjects that are looked up once each.
const ONCE: usize = 20_000;

pub(crate) const CASES: [Case; 10] = [
    case("match/last/1", |n| last(n, 1)),
    case("match/cache/1", |n| cached(n, 1)),
    case("match/table/1", |n| table(n, 1)),
    case("match/nobody/1", |n| nobody(n, 1)),
    case("match/last/100k", |n| last(n, MANY)),
    case("match/cache/100k", |n| cached(n, MANY)),
    case("match/table/100k", |n| table(n, MANY)),
    case("match/nobody/100k", |n| nobody(n, MANY)),
    Case {
        unit: "SUB and UNSUB",
        ..case("interest/literal/100k", |n| pairs(n, ""))
    },
    Case {
        unit: "SUB and UNSUB",
        ..case("interest/wildcard/100k", |n| pairs(n, ".*"))
    },
];

const fn case(name: &'static str, run: fn(u32) -> Measured) -> Case {
    Case {
        name,
        unit: "look-up",
        repeats: 10_000,
        run,
    }
}

/// Subscriptions, one in ten with a wildcard; or one that wants all orders.
struct Table {
    interest: Interest,
    conns: Vec<ConnSubs>,
}

impl Table {
    fn filled(count: usize) -> Self {
        let mut table = Table {
            interest: Interest::new(HASH_SEED),
            conns: (0..CONNS).map(|_| ConnSubs::default()).collect(),
        };
        if count == 1 {
            table.subscribe(0, "orders.>");
            return table;
        }
        for n in 0..count {
            let subject = match n % 20 {
                0 => format!("_INBOX.{}.*", unique(n)),
                10 => format!("device.{n}.>"),
                _ => order(n),
            };
            table.subscribe(n, &subject);
        }
        table
    }

    fn subscribe(&mut self, n: usize, subject: &str) -> SubId {
        let sid = n.to_string();
        let at = n % CONNS;
        let (subs, key) = (&mut self.conns[at], ConnKey(at as u32));
        match self
            .interest
            .subscribe(key, subs, subject.as_bytes(), None, sid.as_bytes())
        {
            Ok(Inserted::New(id)) => id,
            other => panic!("SUB gave {other:?}"),
        }
    }

    /// The number of receivers.
    fn look_up(&mut self, subject: &str, hint: &mut MatchHint) -> usize {
        let subject = black_box(subject.as_bytes());
        let found = self.interest.match_subject(subject, hint);
        self.interest.matched(found).0.plain.len()
    }

    /// Looks all of them up, in turn.
    fn measure(&mut self, repeats: u32, subjects: &[String], receivers: usize) -> Measured {
        let mut hint = MatchHint::default();
        let took = measure(repeats, |n| {
            let subject = &subjects[n as usize % subjects.len()];
            let found = self.look_up(subject, &mut hint);
            assert_eq!(found, receivers, "{subject}");
        });
        Measured {
            ops: repeats.into(),
            took,
        }
    }
}

fn order(n: usize) -> String {
    format!("orders.eu.{n}.created")
}

/// 22 characters, as a NUID has.
fn unique(n: usize) -> String {
    let mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("NUID{mixed:018x}")
}

/// Orders that somebody wants, strewn over the table.
fn orders(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| n * 7919 % (MANY / 10) * 10 + 1 + n % 9)
        .map(order)
        .collect()
}

fn last(repeats: u32, held: usize) -> Measured {
    let subjects = orders(1);
    let mut table = Table::filled(held);
    table.look_up(&subjects[0], &mut MatchHint::default());
    table.look_up(&subjects[0], &mut MatchHint::default());
    table.measure(repeats, &subjects, 1)
}

fn cached(repeats: u32, held: usize) -> Measured {
    let subjects = orders(WARM);
    let mut table = Table::filled(held);
    let mut hint = MatchHint::default();
    for subject in subjects.iter().chain(&subjects) {
        table.look_up(subject, &mut hint);
    }
    table.measure(repeats, &subjects, 1)
}

/// Each subject once, which the cache does not keep.
fn table(repeats: u32, held: usize) -> Measured {
    Table::filled(held).measure(repeats, &orders(ONCE), 1)
}

/// The same for subjects that nobody wants.
fn nobody(repeats: u32, held: usize) -> Measured {
    let subjects: Vec<String> = (0..ONCE)
        .map(|n| format!("orphans.eu.{n}.created"))
        .collect();
    Table::filled(held).measure(repeats, &subjects, 0)
}

/// An inbox comes and goes.
fn pairs(repeats: u32, ending: &str) -> Measured {
    let inboxes: Vec<String> = (0..ONCE)
        .map(|n| format!("_INBOX.{}{ending}", unique(n + 7)))
        .collect();
    let mut table = Table::filled(MANY);
    let took = measure(repeats, |n| {
        let n = n as usize;
        let id = table.subscribe(MANY + n, &inboxes[n]);
        table.interest.remove(&mut table.conns[n % CONNS], id);
    });
    Measured {
        ops: repeats.into(),
        took,
    }
}
