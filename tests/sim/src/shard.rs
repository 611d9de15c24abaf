//! One simulated shard: the real engine in the real loop, on a stack of its own.
//!
//! The edge suspends the stack before every step that others can see or that sees what others do, so the
//! scheduler decides what happens in between.

use std::cell::{Ref, RefCell, RefMut};
use std::io::IoSlice;
use std::rc::Rc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use gnatsd_core::auth::{Credentials, Login, Nonce, Refusal};
use gnatsd_core::client::CloseReason;
use gnatsd_core::engine::{Edge, Engine, Lane, Lanes, Mutant, Next, Received, Sent, Setup};
use gnatsd_core::interest::ConnKey;

use crate::body;
use crate::shared::{Control, HEARTBEAT, Pause, Shared, Step};

/// Stack of a shard, in bytes. An engine keeps its buffers elsewhere.
pub(crate) const STACK_BYTES: usize = 256 * 1024;

type Stack = Coroutine<(), Pause, Box<Engine>, DefaultStack>;

/// A shard, as the scheduler sees it.
pub(crate) struct Shard {
    stack: Stack,
    /// What it does when it goes on; `None` once it has left its loop.
    pub(crate) pause: Option<Pause>,
    /// What it left behind.
    pub(crate) engine: Option<Box<Engine>>,
}

impl Shard {
    pub(crate) fn new(
        setup: Setup,
        mutant: Option<Mutant>,
        shared: &Rc<RefCell<Shared>>,
        stack: DefaultStack,
    ) -> Self {
        let shared = Rc::clone(shared);
        Shard {
            stack: Coroutine::with_stack(stack, move |yielder, ()| {
                run_loop(setup, mutant, &shared, yielder)
            }),
            pause: Some(Pause::Step(Step::Loop)),
            engine: None,
        }
    }

    /// Does its next step and what follows, up to the step after it.
    pub(crate) fn step(&mut self) {
        match self.stack.resume(()) {
            CoroutineResult::Yield(pause) => self.pause = Some(pause),
            CoroutineResult::Return(engine) => {
                self.pause = None;
                self.engine = Some(engine);
            }
        }
    }

    /// The stack, to be used again.
    pub(crate) fn into_stack(self) -> Option<DefaultStack> {
        self.engine.is_some().then(|| self.stack.into_stack())
    }
}

/// The loop of a shard, as in the `shards` crate.
fn run_loop(
    setup: Setup,
    mutant: Option<Mutant>,
    shared: &Rc<RefCell<Shared>>,
    yielder: &Yielder<(), Pause>,
) -> Box<Engine> {
    let shard = usize::from(setup.shard);
    let now = shared.borrow().now;
    let mut engine = Box::new(Engine::new(setup, now));
    if let Some(mutant) = mutant {
        engine.leave_out(mutant);
    }
    let mut edge = ShardEdge {
        shard,
        shared,
        yielder,
    };
    let mut ready = Vec::new();
    loop {
        let now = edge.shared.borrow().now;
        loop {
            let control = edge.shared_mut().control[shard].pop_front();
            match control {
                Some(Control::Open(socket, opening)) => {
                    let key = edge.shared_mut().sockets.attach(shard, socket);
                    engine.open(&mut edge, key, opening, now);
                }
                Some(Control::Stop) => return engine,
                None => break,
            }
        }
        edge.shared_mut().sockets.take_ready(shard, &mut ready);
        let next = engine.turn(&mut edge, &ready, now);
        ready.clear();
        for line in engine.poll_log() {
            edge.shared()
                .trace(format_args!("shard {shard}: log {}", line.text));
        }
        match next {
            Next::Again => edge.step(Step::Loop),
            Next::Park(until) => edge.park(until),
        }
    }
}

/// Sockets and lanes of one shard, for its engine.
struct ShardEdge<'a> {
    shard: usize,
    shared: &'a Rc<RefCell<Shared>>,
    yielder: &'a Yielder<(), Pause>,
}

impl ShardEdge<'_> {
    fn shared(&self) -> Ref<'_, Shared> {
        self.shared.borrow()
    }

    fn shared_mut(&self) -> RefMut<'_, Shared> {
        self.shared.borrow_mut()
    }

    /// Lets others go before this step.
    fn step(&self, step: Step) {
        self.yielder.suspend(Pause::Step(step));
    }

    /// Sleeps unless there is something to do: announce, look again, sleep.
    fn park(&mut self, until: Option<gnatsd_core::time::Time>) {
        let shard = self.shard;
        let now = self.shared().now;
        if until.is_some_and(|until| until <= now) {
            self.step(Step::Loop);
            return;
        }
        self.shared_mut().sleep[shard].is_announced = true;
        self.step(Step::LookAgain);
        if self.shared().has_work(shard) {
            self.shared_mut().sleep[shard].is_announced = false;
            self.step(Step::Loop);
            return;
        }
        let heartbeat = self.shared().now + HEARTBEAT;
        self.shared()
            .trace(format_args!("shard {shard}: parks until {until:?}"));
        self.yielder.suspend(Pause::Sleep {
            asked: until,
            heartbeat,
        });
        let sleep = &mut self.shared_mut().sleep[shard];
        sleep.is_announced = false;
        sleep.is_woken = false;
    }
}

impl Lanes for ShardEdge<'_> {
    fn entries(&self) -> usize {
        self.shared_mut().lanes.entries()
    }

    fn room(&mut self, to: u16, lane: Lane) -> usize {
        let (to, kind) = (usize::from(to), lane.index());
        self.step(Step::Room(to, kind));
        self.shared_mut().lanes.room(self.shard, to, kind)
    }

    fn push(&mut self, to: u16, lane: Lane, batch: &mut Vec<u8>) {
        let mut shared = self.shared_mut();
        let (shard, to, kind) = (self.shard, usize::from(to), lane.index());
        if shared.is_traced {
            let what = body::describe(batch, lane == Lane::Data);
            shared.trace(format_args!(
                "shard {shard}: pushes to {to} in {lane:?}: {what}"
            ));
        }
        if lane == Lane::Data {
            for mark in body::marks(batch) {
                let visits = &mut shared.visits.entry(mark).or_default()[to];
                *visits = visits.saturating_add(1);
            }
        }
        shared.lanes.push(shard, to, kind, batch);
    }

    fn publish(&mut self) {
        if !self.shared().lanes.has_unpublished(self.shard) {
            return;
        }
        self.step(Step::Publish);
        let wakes = self.shared_mut().lanes.publish(self.shard);
        for wake in wakes {
            let whom = match wake {
                crate::lanes::Wake::Receiver { to, .. } => to,
                crate::lanes::Wake::Sender { from, .. } => from,
            };
            self.step(Step::Wake(whom));
            let mut shared = self.shared_mut();
            if let Some(whom) = shared.lanes.wanted(self.shard, wake) {
                shared.wake(whom);
            }
        }
    }

    fn has_news(&self) -> bool {
        self.step(Step::News);
        self.shared().lanes.has_news(self.shard)
    }

    fn take(&mut self, from: u16, lane: Lane, batch: &mut Vec<u8>) -> bool {
        let (from, kind) = (usize::from(from), lane.index());
        self.step(Step::Take(from, kind));
        let mut shared = self.shared_mut();
        let is_taken = shared.lanes.take(from, self.shard, kind, batch);
        if is_taken && shared.is_traced {
            let (shard, what) = (self.shard, body::describe(batch, lane == Lane::Data));
            shared.trace(format_args!(
                "shard {shard}: took from {from} in {lane:?}: {what}"
            ));
        }
        is_taken
    }

    fn ask_room(&mut self, to: u16, lane: Lane) -> usize {
        let (to, kind) = (usize::from(to), lane.index());
        self.step(Step::Ask(to, kind));
        self.shared_mut().lanes.ask(self.shard, to, kind);
        self.step(Step::Room(to, kind));
        self.shared_mut().lanes.room(self.shard, to, kind)
    }
}

impl Edge for ShardEdge<'_> {
    fn receive(&mut self, key: ConnKey, into: &mut [u8]) -> Received {
        self.step(Step::Receive(key.0));
        let mut shared = self.shared_mut();
        let received = shared.sockets.receive(self.shard, key, into);
        if shared.is_traced {
            let text = match received {
                Received::Bytes(n) => body::excerpt(&into[..n]),
                other => format!("{other:?}"),
            };
            let (shard, id) = (self.shard, shared.sockets.id(self.shard, key));
            shared.trace(format_args!("shard {shard}: read connection {id}: {text}"));
        }
        received
    }

    fn send(&mut self, key: ConnKey, slices: &[IoSlice<'_>]) -> Sent {
        self.step(Step::Send(key.0));
        let mut shared = self.shared_mut();
        let sent = shared.sockets.send(self.shard, key, slices);
        if shared.is_traced {
            let all: Vec<u8> = slices.iter().flat_map(|s| s.iter().copied()).collect();
            let (shard, id, text) = (
                self.shard,
                shared.sockets.id(self.shard, key),
                body::excerpt(&all),
            );
            shared.trace(format_args!(
                "shard {shard}: wrote connection {id}: {sent:?} of {text}"
            ));
        }
        sent
    }

    fn take_hidden_work(&mut self) -> usize {
        0
    }

    fn hidden_progress(&self, _: ConnKey) -> u64 {
        0
    }

    fn log_in(&mut self, _: ConnKey, _: &Credentials, _: Option<&Nonce>) -> Login {
        Login::Refused(Refusal::default())
    }

    fn arm_read(&mut self, key: ConnKey) {
        self.shared_mut().sockets.arm_read(self.shard, key);
    }

    fn arm_write(&mut self, key: ConnKey) {
        self.shared_mut().sockets.arm_write(self.shard, key);
    }

    fn ended(&mut self, key: ConnKey, reason: CloseReason) {
        let mut shared = self.shared_mut();
        let id = shared.sockets.id(self.shard, key);
        let shard = self.shard;
        shared.trace(format_args!(
            "shard {shard}: connection {id} ended: {reason:?}"
        ));
        shared.sockets.ended(shard, key, reason);
        shared.ended.push(id);
    }

    fn has_unsent(&self, _: ConnKey) -> bool {
        false
    }

    fn finish_sending(&mut self, key: ConnKey) {
        self.shared_mut().sockets.finish_sending(self.shard, key);
    }

    fn cut(&mut self, key: ConnKey) {
        self.shared_mut().sockets.cut(self.shard, key);
    }

    fn release(&mut self, key: ConnKey) {
        self.shared_mut().sockets.release(self.shard, key);
    }
}
