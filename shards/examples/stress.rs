//! Shards flood each other through lanes; every item is counted and checked to come in order.
//!
//! `cargo run --release -p gnatsd-shards --example stress -- ITEMS SHARDS [DRIVER]`, of most use
//! under ThreadSanitizer (see the crate's README). Runs in rounds and prints what was done so far.

use std::error::Error;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gnatsd_shards::{
    Config, DriverChoice, Io, LaneConfig, Lanes, LoopStats, Next, Service, ShardId, start,
};

/// Items of a round, about.
const ROUND: u64 = 10_000_000;

/// Longest time that a round may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(300);

/// One kind that is woken for late, and one always. An odd number of entries is nobody's habit.
const KINDS: [LaneConfig; 2] = [
    LaneConfig {
        entries: 64,
        wakes_at: 32,
    },
    LaneConfig {
        entries: 21,
        wakes_at: 1,
    },
];

/// What is in a slot: a number and something that depends on it, in plain memory. Zeros when empty.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
struct Item {
    number: u64,
    check: u64,
}

impl Item {
    fn new(number: u64) -> Self {
        let check = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { number, check }
    }
}

struct Stress {
    me: ShardId,
    lanes: Lanes<Item>,
    /// To send in each lane to each shard, and to receive.
    count: u64,
    sent: Vec<[u64; 2]>,
    received: Vec<[u64; 2]>,
    /// Decides how many at a time, and when to rest.
    random: u64,
    end: Sender<(u64, LoopStats)>,
}

impl Stress {
    fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let me = self.me;
        (0..self.lanes.shards())
            .map(ShardId)
            .filter(move |&id| id != me)
    }

    /// A random number below `bound`.
    fn random(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn receive(&mut self, from: ShardId, lane: usize) -> bool {
        let budget = self.random(100) + 1;
        let received = &mut self.received[from.index()][lane];
        let end = *received + budget;
        let mut item = Item::default();
        while *received < end && self.lanes.take(from, lane, &mut item) {
            assert_eq!(item, Item::new(*received), "from {from} in lane {lane}");
            item = Item::default();
            *received += 1;
        }
        *received + budget > end
    }

    fn send(&mut self, to: ShardId, lane: usize) -> bool {
        let [quiet, loud] = self.sent[to.index()];
        // The last loud item wakes for the last quiet ones.
        let (sent, limit) = [(quiet, self.count), (loud, quiet)][lane];
        let wanted = (limit - sent).min(self.random(40) + 1);
        let mut room = self.lanes.room(to, lane) as u64;
        if room == 0 && wanted > 0 {
            room = self.lanes.ask_room(to, lane) as u64;
        }
        let end = sent + wanted.min(room);
        for number in sent..end {
            let mut item = Item::new(number);
            self.lanes.push(to, lane, &mut item);
            assert_eq!(item, Item::default(), "the slot came back full");
        }
        self.sent[to.index()][lane] = end;
        end > sent
    }
}

impl Service for Stress {
    type Control = ();
    type Batch = Item;

    fn control(&mut self, _: &mut impl Io, (): ()) {}

    fn turn(&mut self, io: &mut impl Io) -> Next {
        let mut is_busy = false;
        let rests = self.random(200) == 0;
        for other in self.others() {
            for lane in [0, 1] {
                is_busy |= self.receive(other, lane);
                is_busy |= !rests && self.send(other, lane);
            }
        }
        self.lanes.publish();
        let all = [self.count; 2];
        let is_done =
            |shard: ShardId| self.sent[shard.index()] == all && self.received[shard.index()] == all;
        if self.others().all(is_done) {
            let received = self.received.iter().flatten().sum();
            self.end.send((received, io.stats())).expect("main waits");
            Next::Stop
        } else if rests {
            // For so long that the others run out of work, or of room, and sleep.
            Next::Park(Some(io.now() + Duration::from_micros(50)))
        } else if is_busy {
            Next::Again
        } else {
            Next::Park(None)
        }
    }

    fn has_inbound(&self) -> bool {
        self.lanes.has_inbound()
    }
}

/// One round. Answers the items received, the sleeps, and what the heartbeat rescued.
fn round(shards: usize, driver: DriverChoice, seed: u64) -> Result<[u64; 3], Box<dyn Error>> {
    let config = Config {
        shards,
        driver,
        lanes: KINDS.to_vec(),
        ..Config::default()
    };
    let (end, ends): (_, Receiver<(u64, LoopStats)>) = channel();
    let end = Arc::new(Mutex::new(end));
    let lanes = shards * (shards - 1) * KINDS.len();
    let runtime = start(config, move |me, ends| Stress {
        me,
        lanes: ends,
        count: ROUND / lanes as u64,
        sent: vec![[0; 2]; shards],
        received: vec![[0; 2]; shards],
        random: seed * 1000 + u64::from(me.0) + 1,
        end: end.lock().expect("nobody panics with it").clone(),
    })?;
    let mut figures = [0; 3];
    let begin = Instant::now();
    let mut missing = shards;
    while missing > 0 {
        match ends.recv_timeout(Duration::from_millis(100)) {
            Ok((received, stats)) => {
                missing -= 1;
                figures[0] += received;
                figures[1] += stats.parks;
                figures[2] += stats.rescues;
            }
            Err(RecvTimeoutError::Disconnected) => unreachable!("the runtime keeps a sender"),
            Err(RecvTimeoutError::Timeout) => {
                if let Ok(failure) = runtime.failures().try_recv() {
                    return Err(failure.into());
                }
                assert!(begin.elapsed() < PATIENCE, "{missing} shards are stuck");
            }
        }
    }
    runtime.join()?;
    Ok(figures)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let wanted: u64 = words.next().ok_or("how many items?")?.parse()?;
    let shards: usize = words.next().ok_or("on how many shards?")?.parse()?;
    let driver = words.next().unwrap_or("epoll".to_owned()).parse()?;
    let begin = Instant::now();
    let mut total = [0; 3];
    let mut seed = 0;
    while total[0] < wanted {
        seed += 1;
        let figures = round(shards, driver, seed)?;
        for (total, figure) in total.iter_mut().zip(figures) {
            *total += figure;
        }
        let [items, parks, rescues] = total;
        let seconds = begin.elapsed().as_secs();
        println!("{items} items in {seconds} s, {parks} sleeps, {rescues} rescues");
        if rescues > 0 {
            return Err("somebody slept on work".into());
        }
    }
    Ok(())
}
