//! The longest single change of a large interest table, and what a burst of subscriptions leaves behind.
//!
//! ```sh
//! cargo run --release -p gnatsd-core --example table_pauses -- [SUBSCRIPTIONS] [ROUNDS]
//! ```
//!
//! All subscriptions are one connection's, one in ten has a wildcard and one in ten shares its subject; another
//! table hears of them as another shard would. Each round does the same, and of each change the shortest time
//! counts: the machine can only add to it.

use std::time::Instant;

use gnatsd_core::interest::{ConnKey, ConnSubs, Inserted, Interest};

const HASH_SEED: u64 = 4711;
/// Removals told at a time.
const TOLD: usize = 64;

/// What each change took, in order, in nanoseconds.
#[derive(Default)]
struct Times(Vec<u32>);

impl Times {
    fn time<T>(&mut self, change: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = change();
        let nanos = start.elapsed().as_nanos();
        self.0.push(nanos.try_into().unwrap_or(u32::MAX));
        result
    }

    /// Keeps the shorter time of each change.
    fn keep_shorter(&mut self, again: &Times) {
        if self.0.is_empty() {
            self.0.clone_from(&again.0);
        }
        assert_eq!(self.0.len(), again.0.len(), "each round does the same");
        for (time, &again) in self.0.iter_mut().zip(&again.0) {
            *time = again.min(*time);
        }
    }

    fn print(&mut self, what: &str) {
        let sum: u64 = self.0.iter().map(|&nanos| u64::from(nanos)).sum();
        let mean = sum as f64 / self.0.len().max(1) as f64;
        self.0.sort_unstable();
        let micros = |at: usize| self.0.get(at).map_or(0.0, |&nanos| f64::from(nanos) / 1e3);
        let last = self.0.len().saturating_sub(1);
        let (longest, tenth) = (micros(last), micros(last.saturating_sub(10)));
        println!(
            "{what:24} longest {longest:9.1} us, 10 longer than {tenth:9.1} us, mean {mean:6.0} ns"
        );
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| match args.next() {
        Some(text) => text.parse().expect("a number"),
        None => default,
    };
    let (count, rounds) = (number(1_000_000), number(3));
    let mut best: [Times; 4] = Default::default();
    for round in 0..rounds {
        let times = run(count, round == 0);
        for (best, times) in best.iter_mut().zip(&times) {
            best.keep_shorter(times);
        }
    }
    let names = [
        "SUB",
        "UNSUB",
        "told to another shard",
        "removals told, by 64",
    ];
    for (name, mut best) in names.into_iter().zip(best) {
        best.print(name);
    }
}

fn run(count: usize, is_first: bool) -> [Times; 4] {
    let mut times: [Times; 4] = Default::default();
    let [subscribe, remove, hear, forget] = &mut times;
    let (mut table, mut other) = (Interest::new(HASH_SEED), Interest::new(HASH_SEED));
    table.share();
    let mut subs = ConnSubs::default();
    let sizes = |what: &str, table: &Interest, other: &Interest| {
        if is_first {
            let [own, others] = [table, other].map(|table| size(table) / 1024);
            println!(
                "{what:8} table {own:7} KiB, another shard's {others:7} KiB, RSS {} KiB",
                rss()
            );
        }
    };
    sizes("before", &table, &other);
    for n in 0..count {
        let subject = match n % 10 {
            0 => format!("_INBOX.{n}.*"),
            5 => format!("orders.{}", n / 100),
            _ => format!("orders.{n}.created"),
        };
        let sid = n.to_string();
        let added = subscribe.time(|| {
            table.subscribe(
                ConnKey(1),
                &mut subs,
                subject.as_bytes(),
                None,
                sid.as_bytes(),
            )
        });
        assert!(matches!(added, Ok(Inserted::New(_))), "{subject}");
        send(&mut table, &mut other, hear);
    }
    sizes("full", &table, &other);
    for n in 0..count {
        // From both ends.
        let n = if n % 2 == 0 { n / 2 } else { count - 1 - n / 2 };
        let id = table.find(ConnKey(1), n.to_string().as_bytes());
        let id = id.expect("it is there");
        remove.time(|| table.remove(&mut subs, id));
    }
    while table.untold() > 0 {
        table.tell_changes(TOLD);
        send(&mut table, &mut other, forget);
    }
    sizes("after", &table, &other);
    times
}

/// Tells the other table what the first one has for it.
fn send(table: &mut Interest, other: &mut Interest, times: &mut Times) {
    let Some(outgoing) = table.outgoing().filter(|outgoing| !outgoing.is_empty()) else {
        return;
    };
    times.time(|| other.apply(0, outgoing));
    outgoing.clear();
}

fn size(table: &Interest) -> usize {
    let memory = table.memory();
    memory.subscriptions + memory.sids + memory.literals + memory.trie + memory.shared
}

/// Memory that the process holds, in KiB; 0 if the system does not say.
fn rss() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<usize> = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or_default() * 4
}
