//! What permissions cost: nanoseconds per publish asked for, by where it is answered, and per message kept
//! from or let through to a filtered subscription; with 20 entries, and with 10 000.
//!
//! `cargo run --release -p gnatsd-core --example permission_cost`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use gnatsd_core::permissions::{Entry, Permissions, PublishGate, Responses, Rules, Side};
use gnatsd_core::time::Time;

/// Measurements of each figure; the fastest is printed, which is the least disturbed.
const ROUNDS: usize = 201;
/// Questions in each: so few that most rounds are not interrupted, and many more than a gate keeps.
const ASKED: usize = 4096;

fn main() {
    for entries in [20, 10_000] {
        println!("{entries} entries in each list");
        let permissions = Arc::new(policy(entries));
        let subjects = |count: usize| -> Vec<Vec<u8>> {
            let subject = |n| format!("orders.eu.{}.created", spread(n) % count).into_bytes();
            (0..ASKED.min(count * 64)).map(subject).collect()
        };
        gate("the same subject again", &permissions, &subjects(1));
        gate("one of 2 subjects", &permissions, &subjects(2));
        gate("one of 100 subjects", &permissions, &subjects(100));
        gate("a new subject each time", &permissions, &subjects(1 << 20));
        answers(&permissions);

        let some = subjects(1 << 20);
        measure("the lists alone, by a wildcard", some.len(), || {
            some.iter().filter(|it| permissions.may_publish(it)).count()
        });
        let named: Vec<Vec<u8>> = (0..entries).map(|n| named(n).into_bytes()).collect();
        measure("the lists alone, by name", named.len(), || {
            named
                .iter()
                .filter(|it| permissions.may_publish(it))
                .count()
        });
        measure("a SUB with a wildcard", some.len(), || {
            let is_let_in = |it: &&Vec<u8>| {
                let wide = &it[..it.len() - "created".len() - 1];
                permissions.may_subscribe(wide, None)
                    && permissions.filter_for(wide, None).is_none()
            };
            some.iter().filter(is_let_in).count()
        });
        let filter = permissions.filter_for(b"orders.>", None).expect("overlaps");
        measure("a message to a filtered subscription", some.len(), || {
            some.iter().filter(|it| filter.denies(it)).count()
        });
    }
}

/// A tenth of the allowances has wildcards.
fn policy(entries: usize) -> Permissions {
    let entry = |subject: String| Entry {
        subject: subject.into(),
        queue: None,
    };
    let allow = |n: usize| match n {
        0 => "orders.eu.*.created".into(),
        n if n % 10 == 0 => format!("devices.{n}.>"),
        n => named(n),
    };
    let deny = |n: usize| format!("orders.us.{n}.deleted");
    let side = Side {
        allow: Some((0..entries).map(allow).map(entry).collect()),
        deny: (0..entries).map(deny).map(entry).collect(),
    };
    let subscribe = Side {
        allow: None,
        ..side.clone()
    };
    Permissions::new(Rules {
        publish: side,
        subscribe,
        responses: Some(Responses::default()),
        ..Rules::default()
    })
}

fn named(n: usize) -> String {
    format!("inventory.{n}.changed")
}

fn gate(what: &str, permissions: &Arc<Permissions>, subjects: &[Vec<u8>]) {
    let mut gate = PublishGate::new(Arc::clone(permissions), 7);
    measure(what, subjects.len(), || {
        let allowed = |it: &&Vec<u8>| gate.allows(black_box(it), Time::ZERO);
        subjects.iter().filter(allowed).count()
    });
}

/// A message with a reply subject of its own, and the answer.
fn answers(permissions: &Arc<Permissions>) {
    let mut gate = PublishGate::new(Arc::clone(permissions), 7);
    let inbox = |n| format!("_INBOX.{:016x}.{n}", spread(n)).into_bytes();
    let inboxes: Vec<Vec<u8>> = (0..ASKED).map(inbox).collect();
    measure("a reply noted and answered", inboxes.len(), || {
        let answered = |it: &&Vec<u8>| {
            gate.note_reply(it, Time::ZERO);
            gate.allows(it, Time::ZERO)
        };
        inboxes.iter().filter(answered).count()
    });
}

/// Out of order, or the processor guesses what comes next.
fn spread(n: usize) -> usize {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn measure(what: &str, count: usize, mut run: impl FnMut() -> usize) {
    let mut fastest = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut asked = 0;
        while asked < ASKED {
            black_box(run());
            asked += count;
        }
        fastest = fastest.min(start.elapsed().as_nanos() as f64 / asked as f64);
    }
    println!("  {fastest:>8.1} ns  {what}");
}
