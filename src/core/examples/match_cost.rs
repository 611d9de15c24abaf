//! What a match costs: nanoseconds per look-up by where it is answered, per SUB and UNSUB, and bytes per
//! subscription, on a table of 100 000 subscriptions of which one in ten has a wildcard.
//!
//! `cargo run --release -p gnatsd-core --example match_cost [subscriptions]`

use std::hint::black_box;
use std::time::Instant;

use gnatsd_core::interest::{ConnKey, ConnSubs, Inserted, Interest, MatchHint, SubId};

const CONNS: usize = 1000;
/// Measurements of each figure; the fastest is printed, which is the least disturbed.
const ROUNDS: usize = 7;

fn main() {
    let count = std::env::args()
        .nth(1)
        .and_then(|arg| arg.parse().ok())
        .unwrap_or(100_000);
    let mut table = Table::fill(count);
    table.print_bytes();
    table.measure_look_ups();
    table.measure_changes();
    table.measure_fan_out();
}

struct Table {
    interest: Interest,
    conns: Vec<ConnSubs>,
    literals: Vec<Vec<u8>>,
    resident_before: usize,
}

impl Table {
    fn fill(count: usize) -> Self {
        let resident_before = resident_bytes();
        let mut table = Self {
            interest: Interest::new(4711),
            conns: (0..CONNS).map(|_| ConnSubs::default()).collect(),
            literals: Vec::new(),
            resident_before,
        };
        let start = Instant::now();
        let mut literals = Vec::new();
        for n in 0..count {
            let subject = match n % 20 {
                0 => format!("_INBOX.{}.*", unique(n)),
                10 => format!("device.{n}.>"),
                _ => format!("orders.eu.{n}.created"),
            };
            table.sub(n % CONNS, subject.as_bytes(), n);
            if n % 10 != 0 {
                literals.push(subject.into_bytes());
            }
        }
        report(
            "SUB while filling",
            start.elapsed().as_nanos() as f64 / count as f64,
        );
        // Out of order, or the processor guesses what comes next.
        for n in (1..literals.len()).rev() {
            literals.swap(n, (n * 7919 + 13) % (n + 1));
        }
        table.literals = literals;
        table
    }

    fn sub(&mut self, conn: usize, subject: &[u8], sid: usize) -> SubId {
        let mut text = [0; 20];
        let sid = decimal(sid, &mut text);
        let subs = &mut self.conns[conn];
        match self
            .interest
            .subscribe(ConnKey(conn as u32), subs, subject, None, sid)
        {
            Ok(Inserted::New(id)) => id,
            other => panic!("SUB gave {other:?}"),
        }
    }

    fn publish(&mut self, subject: &[u8], hint: &mut MatchHint) -> usize {
        let result = self.interest.match_subject(black_box(subject), hint);
        let (set, _) = self.interest.matched(result);
        set.plain.len()
    }

    fn print_bytes(&self) {
        let memory = self.interest.memory();
        let held = self.interest.stats().subscriptions as usize;
        let total = memory.subscriptions + memory.sids + memory.literals + memory.trie;
        println!("bytes per subscription: {} ({memory:?})", total / held);
        let resident = (resident_bytes() - self.resident_before) / held;
        println!("  resident, with the list of subjects kept here (about 60): {resident}");
    }

    fn measure_look_ups(&mut self) {
        let hot: Vec<Vec<u8>> = self.literals[..64].to_vec();
        let mut hint = MatchHint::default();
        self.publish(&hot[0], &mut hint);
        measure("hint hit", 1_000_000, |_| self.publish(&hot[0], &mut hint));

        for subject in hot.iter().chain(&hot) {
            self.publish(subject, &mut hint);
        }
        measure("cache hit, 64 subjects", 1_000_000, |n| {
            self.publish(&hot[n % 64], &mut hint)
        });

        let warm: Vec<Vec<u8>> = self.literals[..3000].to_vec();
        for subject in warm.iter().chain(&warm) {
            self.publish(subject, &mut hint);
        }
        measure("cache hit, 3000 subjects", 600_000, |n| {
            self.publish(&warm[n % 3000], &mut hint)
        });

        let cold = std::mem::take(&mut self.literals);
        measure("literal of all, mostly cold", cold.len(), |n| {
            self.publish(&cold[n], &mut hint)
        });
        self.literals = cold;

        // One subject each: replies, which the cache never keeps.
        let held = self.interest.stats().subscriptions as usize;
        let replies = |spread: usize| -> Vec<Vec<u8>> {
            (0..100_000)
                .map(|n| format!("_INBOX.{}.{n}", unique(n * 7919 % spread / 20 * 20)).into_bytes())
                .collect()
        };
        let same = replies(20);
        measure("reply, one inbox wildcard", same.len(), |n| {
            self.publish(&same[n], &mut hint)
        });
        let many = replies(held);
        measure("reply, all inbox wildcards", many.len(), |n| {
            self.publish(&many[n], &mut hint)
        });
    }

    fn measure_changes(&mut self) {
        let inboxes: Vec<_> = (0..20_000)
            .map(|n| format!("_INBOX.{}", unique(n + 7)).into_bytes())
            .collect();
        self.measure_pairs("SUB + UNSUB of an inbox", &inboxes);
        let wildcards: Vec<_> = (0..20_000)
            .map(|n| format!("_INBOX.{}.*", unique(n + 7)).into_bytes())
            .collect();
        self.measure_pairs("SUB + UNSUB of an inbox wildcard", &wildcards);

        // 3000 kept subjects, and between two publishes now and then a SUB and an UNSUB of a wildcard: at
        // a million messages a second, 20 000 pairs are one per 50.
        let warm: Vec<Vec<u8>> = self.literals[..3000].to_vec();
        let mut hint = MatchHint::default();
        for subject in warm.iter().chain(&warm) {
            self.publish(subject, &mut hint);
        }
        let before = self.interest.stats();
        let mut pair = 0;
        measure("cache hit, with 1 pair in 50", 600_000, |n| {
            if n % 50 == 0 {
                pair += 1;
                let id = self.sub(1, &wildcards[pair % wildcards.len()], 1 << 40);
                self.interest.remove(&mut self.conns[1], id);
            }
            self.publish(&warm[n % 3000], &mut hint)
        });
        let after = self.interest.stats();
        let share = (after.cache_hits - before.cache_hits) * 100 / (after.matches - before.matches);
        println!("  of these answered by the cache: {share} %");
    }

    fn measure_pairs(&mut self, what: &str, subjects: &[Vec<u8>]) {
        measure(what, subjects.len(), |n| {
            let id = self.sub(n % CONNS, &subjects[n], 1 << 40);
            self.interest.remove(&mut self.conns[n % CONNS], id);
            n
        });
    }

    fn measure_fan_out(&mut self) {
        let mut ids: Vec<_> = (0..1000)
            .map(|n| self.sub(n % CONNS, b"broadcast", (1 << 41) + n))
            .collect();
        let mut hint = MatchHint::default();
        let (a, b) = (b"broadcast.x".to_vec(), b"broadcast".to_vec());
        for _ in 0..3 {
            self.publish(&a, &mut hint);
            self.publish(&b, &mut hint);
        }
        measure("subscriber of 1000 leaves and comes", 10_000, |n| {
            let n = n * 7 % ids.len();
            self.interest.remove(&mut self.conns[n % CONNS], ids[n]);
            ids[n] = self.sub(n % CONNS, &b, (1 << 41) + n);
            self.publish(&b, &mut hint)
        });
    }
}

/// Prints the best of some rounds of `count` calls, in nanoseconds per call.
fn measure(what: &str, count: usize, mut call: impl FnMut(usize) -> usize) {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for n in 0..count {
            black_box(call(n));
        }
        best = best.min(start.elapsed().as_nanos() as f64 / count as f64);
    }
    report(what, best);
}

fn report(what: &str, nanos: f64) {
    println!("{what:<40} {nanos:>9.1} ns");
}

/// 22 characters, as a NUID has.
fn unique(n: usize) -> String {
    format!(
        "NUID{:018x}",
        (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    )
}

fn decimal(mut number: usize, text: &mut [u8; 20]) -> &[u8] {
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &text[at..];
        }
    }
}

/// Memory of this process, 0 where the system does not tell.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .map_or(0, |pages: usize| pages * 4096)
}
