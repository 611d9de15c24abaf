//! What a service can rely on in its lanes: everything arrives, in order, and nobody sleeps on it.
//! Each test runs on each driver.

mod support;

use std::sync::mpsc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use gnatsd_shards::{
    Config, DriverChoice, Io, LaneConfig, Lanes, LoopStats, Next, Service, ShardId, start,
};
use support::{PATIENCE, config};

support::on_both_drivers!(
    a_token_goes_round_sleeping_shards,
    three_shards_flood_each_other,
    more_shards_than_cpus_flood_each_other,
    lanes_of_one_entry_flood,
);

/// The kinds: one that wakes nobody before it is half full, and one that always does. Small, so
/// that room is short all the time.
const KINDS: [LaneConfig; 2] = [
    LaneConfig {
        entries: 4,
        wakes_at: 2,
    },
    LaneConfig {
        entries: 2,
        wakes_at: 1,
    },
];
const QUIET: usize = 0;
const LOUD: usize = 1;

/// What travels in a lane.
type Batch = Vec<Word>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// The number of the round, as the sender counts.
    Round(u64),
    /// The token, which has made this many hops.
    Token(u64),
}

/// What each shard has to do before it stops.
#[derive(Clone, Copy)]
struct Plan {
    /// Rounds sent to each other shard, and received from each.
    rounds: u64,
    /// Visits of the token to each shard.
    visits: u64,
}

/// Sends rounds to all others while it receives theirs, and passes the token on.
struct Flooder {
    me: ShardId,
    lanes: Lanes<Batch>,
    plan: Plan,
    /// Rounds sent, by shard.
    sent: Vec<u64>,
    /// Rounds received, by shard and lane.
    received: Vec<[u64; 2]>,
    /// The token is here and has made this many hops.
    token: Option<u64>,
    visits: u64,
    buffer: Batch,
    /// Where the figures go at the end.
    end: mpsc::Sender<LoopStats>,
}

impl Flooder {
    fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let me = self.me;
        (0..self.lanes.shards())
            .map(ShardId)
            .filter(move |&id| id != me)
    }

    /// A few entries of each lane. Whether there were any.
    fn receive(&mut self) -> bool {
        let mut has_received = false;
        for from in self.others() {
            has_received |= self.take(from, QUIET, 1);
            has_received |= self.take(from, LOUD, 3);
            // What was published together with a loud entry is there by now.
            has_received |= self.take(from, QUIET, KINDS[QUIET].entries);
            let [quiet, loud] = self.received[from.index()];
            assert!(quiet >= loud, "half an epoch from {from}");
        }
        has_received
    }

    fn take(&mut self, from: ShardId, lane: usize, budget: usize) -> bool {
        let mut taken = 0;
        while taken < budget && self.lanes.take(from, lane, &mut self.buffer) {
            taken += 1;
            for word in self.buffer.drain(..) {
                match word {
                    Word::Round(number) => {
                        let expected = &mut self.received[from.index()][lane];
                        assert_eq!(number, *expected, "order from {from} in {lane}");
                        *expected += 1;
                    }
                    Word::Token(hops) => {
                        assert_eq!(self.token.replace(hops), None);
                        self.visits += 1;
                    }
                }
            }
        }
        taken > 0
    }

    /// Sends a round, an entry in each lane, if there is room for all of it.
    fn send_round(&mut self, to: ShardId) -> bool {
        let number = self.sent[to.index()];
        if number == self.plan.rounds || !self.has_room(to, QUIET) || !self.has_room(to, LOUD) {
            return false;
        }
        for lane in [QUIET, LOUD] {
            self.push(to, lane, Word::Round(number));
        }
        self.sent[to.index()] += 1;
        true
    }

    fn pass_token(&mut self) -> bool {
        let to = ShardId((self.me.0 + 1) % self.lanes.shards());
        let Some(hops) = self.token else { return false };
        if hops == self.last_hop() || !self.has_room(to, LOUD) {
            return false;
        }
        self.token = None;
        self.push(to, LOUD, Word::Token(hops + 1));
        true
    }

    fn has_room(&mut self, to: ShardId, lane: usize) -> bool {
        self.lanes.room(to, lane) > 0 || self.lanes.ask_room(to, lane) > 0
    }

    fn push(&mut self, to: ShardId, lane: usize, word: Word) {
        self.buffer.push(word);
        self.lanes.push(to, lane, &mut self.buffer);
        assert_eq!(self.buffer, [], "the slot came back full");
    }

    fn last_hop(&self) -> u64 {
        self.plan.visits * u64::from(self.lanes.shards())
    }

    fn is_done(&self) -> bool {
        let rounds = self.plan.rounds;
        self.visits == self.plan.visits
            && self.token.is_none_or(|hops| hops == self.last_hop())
            && self.others().all(|other| {
                self.sent[other.index()] == rounds && self.received[other.index()] == [rounds; 2]
            })
    }
}

impl Service for Flooder {
    type Control = ();
    type Batch = Batch;

    fn control(&mut self, _: &mut impl Io, (): ()) {}

    fn turn(&mut self, io: &mut impl Io) -> Next {
        let mut is_busy = self.receive();
        for to in self.others() {
            is_busy |= self.send_round(to);
        }
        is_busy |= self.pass_token();
        self.lanes.publish();
        if self.is_done() {
            self.end.send(io.stats()).unwrap();
            Next::Stop
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

/// Runs shards to the end of the plan and answers what their loops counted.
fn flood(config: Config, plan: Plan) -> Vec<LoopStats> {
    let shards = config.shards;
    let (end, stats) = mpsc::channel();
    let end = std::sync::Mutex::new(end);
    let runtime = start(config, move |me, lanes| Flooder {
        me,
        lanes,
        plan,
        sent: vec![0; shards],
        received: vec![[0; 2]; shards],
        // It starts at the first shard, which it will visit once more at the end.
        token: (me == ShardId(0)).then_some(0),
        visits: 0,
        buffer: Vec::new(),
        end: end.lock().unwrap().clone(),
    })
    .unwrap();
    let mut all = Vec::new();
    let begin = Instant::now();
    while all.len() < shards {
        match stats.recv_timeout(Duration::from_millis(100)) {
            Ok(figures) => all.push(figures),
            Err(_) => {
                assert_eq!(runtime.failures().try_recv().ok(), None);
                assert!(begin.elapsed() < PATIENCE * 3, "some shards are stuck");
            }
        }
    }
    runtime.join().unwrap();
    for figures in &all {
        assert_eq!(figures.rescues, 0, "{figures:?}");
    }
    all
}

fn with_lanes(shards: usize, driver: DriverChoice, lanes: &[LaneConfig]) -> Config {
    Config {
        lanes: lanes.to_vec(),
        ..config(shards, driver)
    }
}

fn a_token_goes_round_sleeping_shards(driver: DriverChoice) {
    let plan = Plan {
        rounds: 0,
        visits: 2_000,
    };
    let stats = flood(with_lanes(3, driver, &KINDS), plan);
    eprintln!("{driver:?}: {stats:?}");
    // While one has it the others sleep, or are about to.
    assert!(stats.iter().map(|figures| figures.parks).sum::<u64>() > 2_000);
}

fn three_shards_flood_each_other(driver: DriverChoice) {
    let plan = Plan {
        rounds: 20_000,
        visits: 500,
    };
    flood(with_lanes(3, driver, &KINDS), plan);
}

fn more_shards_than_cpus_flood_each_other(driver: DriverChoice) {
    let cpus = available_parallelism().unwrap().get();
    let shards = (2 * cpus + 1).min(16);
    let plan = Plan {
        rounds: 2_000,
        visits: 100,
    };
    flood(with_lanes(shards, driver, &KINDS), plan);
}

fn lanes_of_one_entry_flood(driver: DriverChoice) {
    let one = LaneConfig {
        entries: 1,
        wakes_at: 1,
    };
    let plan = Plan {
        rounds: 5_000,
        visits: 100,
    };
    flood(with_lanes(3, driver, &[one, one]), plan);
}
