//! One world: shards, clients, a clock and a schedule, all from one seed.

mod acting;
mod resting;
mod verdict;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use corosensei::stack::DefaultStack;
use gnatsd_core::auth::AuthRules;
use gnatsd_core::engine::{Limits, Mutant, Setup};
use gnatsd_core::proto::info::ServerInfo;
use gnatsd_core::time::Time;

use crate::cast::{Cast, Plan};
use crate::client::Client;
use crate::history::{ConnKind, Fault, Finding, History, NEVER};
use crate::lanes::Lanes;
use crate::rng::Rng;
use crate::schedule::{Actor, Schedule};
use crate::shard::{STACK_BYTES, Shard};
use crate::shared::{Pause, Shared, Sleep, Step};
use crate::sockets::Sockets;
use crate::{oracle, plots};

/// Steps after which a world that has not come to rest never will.
const STEPS_MAX: u64 = 2_000_000;
/// Time that passes with each step.
const STEP: Duration = Duration::from_nanos(500);

/// What a world is made from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// A rule to leave out.
    pub mutant: Option<Mutant>,
    /// Prints every step.
    pub trace: bool,
    /// Shards instead of what the seed says.
    pub shards: Option<usize>,
}

/// What happened in a world that held its promises.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Steps taken.
    pub steps: u64,
    /// Messages published.
    pub messages: u64,
    /// Copies delivered.
    pub copies: u64,
    /// Messages sent from one shard to another.
    pub crossed: u64,
    /// Times a connection waited for room in a lane.
    pub lane_stalls: u64,
    /// Queue messages that were given to a second member.
    pub rechosen: u64,
    /// Times a publisher was slowed.
    pub slowed: u64,
    /// Digest of everything the clients saw.
    pub digest: u64,
}

impl Tally {
    /// Adds what another world did.
    pub fn add(&mut self, other: &Tally) {
        self.steps += other.steps;
        self.messages += other.messages;
        self.copies += other.copies;
        self.crossed += other.crossed;
        self.lane_stalls += other.lane_stalls;
        self.rechosen += other.rechosen;
        self.slowed += other.slowed;
        self.digest ^= other.digest;
    }
}

/// How far a world has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Clients follow their scripts.
    Active,
    /// Everybody has said a last PING.
    Quiet,
    /// So many heartbeats have passed since.
    Idle(usize),
    /// Every shard is asked who listens.
    Probed,
    /// So many heartbeats have passed since.
    Over(usize),
}

pub(crate) struct World {
    rng: Rng,
    shared: Rc<RefCell<Shared>>,
    shards: Vec<Shard>,
    clients: Vec<Client>,
    cast: Cast,
    history: History,
    schedule: Schedule,
    phase: Phase,
    /// By socket: its connection.
    conns: Vec<usize>,
    /// By connection: its shard.
    homes: Vec<usize>,
    /// What clients send arrives at once, once in so many times.
    instant_in: usize,
    socket_sizes: Vec<usize>,
    findings: Vec<Finding>,
    tally: Tally,
}

impl World {
    pub(crate) fn new(seed: u64, options: &Options, stacks: &mut Vec<DefaultStack>) -> Self {
        let mut rng = Rng::new(seed);
        let few = [1, 1, 1, 2, 2, 3, 4];
        let mut count = *rng.pick(&[2, 2, 3, 3, 3, 4]);
        count = options.shards.unwrap_or(count);
        let mut capacity = [*rng.pick(&few), *rng.pick(&few)];
        let mut cast = Cast::default();
        plots::fill(&mut cast, &mut rng.split(), count);
        if cast.laggard.is_some() {
            // So that it is told late.
            capacity[0] = 1;
        }
        let now = Time(1_000_000_000_000);
        let shared = Rc::new(RefCell::new(Shared {
            now,
            lanes: Lanes::new(count, capacity),
            sockets: Sockets::new(count, rng.split()),
            control: (0..count).map(|_| VecDeque::new()).collect(),
            sleep: (0..count).map(|_| Sleep::default()).collect(),
            ended: Vec::new(),
            visits: std::collections::BTreeMap::new(),
            steps: 0,
            is_traced: options.trace,
        }));
        shared.borrow().trace(format_args!(
            "seed {seed}: {count} shards, lanes of {capacity:?}, plots {:?}",
            cast.plots
        ));
        let hash_seed = rng.next();
        let shards = (0..count)
            .map(|shard| {
                let mut setup = setup(shard, count, rng.next(), hash_seed);
                if let Some(max) = cast.pending_bytes_max {
                    setup.limits.pending_bytes_max = max;
                }
                let stack = stacks
                    .pop()
                    .unwrap_or_else(|| DefaultStack::new(STACK_BYTES).expect("memory for a stack"));
                Shard::new(setup, options.mutant, &shared, stack)
            })
            .collect();
        // Probes, one for each shard, come last.
        for shard in 0..count {
            let headers = true;
            let kind = ConnKind {
                headers,
                ..ConnKind::default()
            };
            cast.plans.push(Plan {
                shard,
                kind,
                ..Plan::default()
            });
        }
        let clients: Vec<Client> = std::mem::take(&mut cast.plans)
            .into_iter()
            .enumerate()
            .map(|(id, plan)| Client::new(id, plan))
            .collect();
        World {
            schedule: Schedule::new(rng.split(), count, clients.len(), cast.laggard),
            instant_in: *rng.pick(&[1, 1, 2, 8]),
            socket_sizes: rng
                .pick(&[vec![70_000], vec![200, 2_000, 70_000], vec![60, 300]])
                .clone(),
            rng,
            shared,
            shards,
            clients,
            cast,
            history: History::default(),
            phase: Phase::Active,
            conns: Vec::new(),
            homes: Vec::new(),
            findings: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Runs to the end. What was wrong, if anything was; stacks go back to where they came from.
    pub(crate) fn run(mut self, stacks: &mut Vec<DefaultStack>) -> Result<Tally, Vec<Finding>> {
        self.play();
        let mut findings = oracle::judge(&self.history);
        findings.append(&mut self.findings);
        self.check_shares(&mut findings);
        self.check_visits(&mut findings);
        self.count();
        stacks.extend(self.shards.into_iter().filter_map(Shard::into_stack));
        if findings.is_empty() {
            Ok(self.tally)
        } else {
            Err(findings)
        }
    }

    fn play(&mut self) {
        let mut actors = Vec::new();
        while self.findings.is_empty() {
            self.find_actors(&mut actors);
            if actors.is_empty() {
                if !self.rest() {
                    return;
                }
                continue;
            }
            let actor = self.schedule.pick(&actors);
            let steps = {
                let mut shared = self.shared.borrow_mut();
                shared.steps += 1;
                shared.now = shared.now + STEP;
                shared.steps
            };
            if steps > STEPS_MAX {
                self.find(Fault::Endless, format!("no rest after {steps} steps"));
                return;
            }
            if self.rng.once_in(3_000) {
                let millis = self.rng.between(1, 4) as u64;
                self.pass(Duration::from_millis(millis));
            }
            match actor {
                Actor::Shard(shard) => self.step_shard(shard),
                Actor::Client(client) => self.step_client(client),
            }
        }
    }

    fn find(&mut self, fault: Fault, text: String) {
        self.findings.push(Finding { fault, text });
    }

    fn pass(&mut self, time: Duration) {
        let mut shared = self.shared.borrow_mut();
        shared.now = shared.now + time;
    }

    fn find_actors(&self, actors: &mut Vec<Actor>) {
        actors.clear();
        let shared = self.shared.borrow();
        for (at, shard) in self.shards.iter().enumerate() {
            let can_go = match shard.pause {
                None => false,
                Some(Pause::Step(_)) => true,
                Some(Pause::Sleep { asked, heartbeat }) => {
                    shared.sleep[at].is_woken
                        || shared.sockets.are_some_ready(at)
                        || asked.unwrap_or(heartbeat).min(heartbeat) <= shared.now
                }
            };
            if can_go {
                actors.push(Actor::Shard(at));
            }
        }
        for (at, client) in self.clients.iter().enumerate() {
            let socket = client.link.map(|(id, _)| &shared.sockets.all[id]);
            let can_go = socket
                .is_some_and(|s| s.can_arrive() || client.is_stopped || !s.to_client.is_empty())
                || client
                    .fading
                    .iter()
                    .any(|&id| shared.sockets.all[id].can_arrive())
                || !client.is_blocked(&self.history);
            if can_go {
                actors.push(Actor::Client(at));
            }
        }
    }

    fn step_shard(&mut self, at: usize) {
        if let Some(Pause::Step(step)) = self.shards[at].pause
            && !matches!(step, Step::Room(..) | Step::Take(..) | Step::News)
        {
            self.shared
                .borrow()
                .trace(format_args!("shard {at}: {step:?}"));
        }
        let shard = &mut self.shards[at];
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| shard.step())) {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            let text = text.unwrap_or_else(|| "a panic without a text".to_owned());
            self.shards[at].pause = None;
            self.find(Fault::Panic, format!("shard {at}: {text}"));
        }
        let ended = std::mem::take(&mut self.shared.borrow_mut().ended);
        for socket in ended {
            let conn = self.conns[socket];
            self.history.end(conn);
            let c = &self.history.conns[conn];
            if c.kind.may_be_cut {
                // The client sees it.
                let is_it = |c: &&mut Client| c.link.is_some_and(|(id, _)| id == socket);
                if let Some(client) = self.clients.iter_mut().find(is_it) {
                    client.link = None;
                }
            } else if c.left == NEVER {
                let reason = self.shared.borrow().sockets.all[socket].ended;
                self.find(Fault::Cut, format!("connection {conn} was cut: {reason:?}"));
            }
        }
    }
}

/// Turns of some shards end in the middle of a batch, of others never.
const TURN_WORKS: [usize; 4] = [2 * 1024 * 1024, 64, 500, 4000];

fn setup(shard: usize, shards: usize, seed: u64, hash_seed: u64) -> Setup {
    let number = |n: usize| u16::try_from(n).expect("few shards");
    Setup {
        shard: number(shard),
        shards: number(shards),
        limits: Limits {
            // Readers may stop for as long as the schedule likes.
            write_deadline: Duration::from_secs(3_600),
            turn_work: TURN_WORKS[(seed % 4) as usize],
            ..Limits::default()
        },
        auth: AuthRules::default(),
        info: ServerInfo {
            server_id: "S".into(),
            server_name: "S".into(),
            version: "2.0.0".into(),
            proto: 1,
            go: "rust".into(),
            host: "127.0.0.1".into(),
            port: 4222,
            headers: true,
            max_payload: 1024 * 1024,
            ..ServerInfo::default()
        },
        seed,
        hash_seed,
        closed_max: 4,
        debug: false,
        trace: false,
    }
}
