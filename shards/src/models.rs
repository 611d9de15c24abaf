//! Loom models of what shards share: every interleaving, and every value a load may see.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p gnatsd-shards --lib --release`
//!
//! A wake-up that gets lost shows as a deadlock, a slot used by both sides as a causality
//! violation. Loom takes `SeqCst` loads and stores for weaker ones, but `SeqCst` fences for what
//! they are, which is why the code under test uses only these. What it cannot see, the sockets, is
//! argued in `lanes.rs`.

use loom::model::Builder;
use loom::thread;

use crate::lanes::{self, Lanes};
use crate::ring::ring;
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::wake::Wake;
use crate::{LaneConfig, ShardId};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);

/// Explores all executions with at most this many preemptions, which bounds the time. Two suffice
/// for each bug that was planted; the models use three where they are small enough.
fn model(preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

/// Shards with one kind of lane.
struct World {
    wakes: Vec<Arc<Wake>>,
    lanes: std::vec::IntoIter<Lanes<u32>>,
}

impl World {
    fn new(shards: usize, entries: usize, wakes_at: usize) -> Self {
        let wakes: Vec<_> = (0..shards)
            .map(|_| Arc::new(Wake::new().unwrap()))
            .collect();
        let lanes = lanes::mesh(&wakes, &[LaneConfig { entries, wakes_at }]).into_iter();
        Self { wakes, lanes }
    }

    /// The next shard's ends and its wake.
    fn next(&mut self) -> Shard {
        let lanes = self.lanes.next().unwrap();
        let wake = self.wakes.remove(0);
        Shard { lanes, wake }
    }
}

struct Shard {
    lanes: Lanes<u32>,
    wake: Arc<Wake>,
}

impl Shard {
    fn send(&mut self, to: ShardId, value: u32) {
        let mut item = value;
        self.lanes.push(to, 0, &mut item);
        assert_eq!(item, 0, "the slot was not given back empty");
    }

    fn take(&mut self, from: ShardId) -> Option<u32> {
        let mut item = 0;
        self.lanes.take(from, 0, &mut item).then_some(item)
    }

    /// The sleep of `run_loop.rs`.
    fn park(&self) {
        park(&self.wake, || self.lanes.has_inbound());
    }
}

fn park(wake: &Wake, has_work: impl Fn() -> bool) {
    wake.announce();
    if !has_work() {
        wake.signal().wait();
    }
    wake.retract();
}

fn values_cross_a_ring(entries: usize, count: u32) {
    model(3, move || {
        let (mut sender, mut receiver) = ring::<u32>(entries);
        let filling = thread::spawn(move || {
            for value in 1..=count {
                while sender.room(1) == 0 {
                    thread::yield_now();
                }
                sender.fill(|slot| {
                    assert_eq!(*slot, 0);
                    *slot = value;
                });
                sender.publish();
            }
        });
        for value in 1..=count {
            loop {
                receiver.refresh();
                if receiver.empty_if(|slot| {
                    assert_eq!(*slot, value);
                    *slot = 0;
                    true
                }) {
                    break;
                }
                thread::yield_now();
            }
        }
        filling.join().unwrap();
    });
}

#[test]
fn values_cross_a_ring_of_one() {
    values_cross_a_ring(1, 3);
}

#[test]
fn values_cross_a_ring_of_two() {
    values_cross_a_ring(2, 4);
}

/// A publishes an entry to each of two shards at once. One sees its entry and says so to the other;
/// then the other's must be there.
fn who_is_told_of_an_epoch_sees_it(teller: ShardId, told: ShardId) {
    model(3, move || {
        let mut world = World::new(3, 1, 1);
        let mut shards = [world.next(), world.next(), world.next()].map(Some);
        let mut a = shards[A.index()].take().unwrap();
        let mut teller = shards[teller.index()].take().unwrap();
        let mut told = shards[told.index()].take().unwrap();
        let has_seen = Arc::new(AtomicBool::new(false));
        let tells = Arc::clone(&has_seen);
        let publishing = thread::spawn(move || {
            a.send(B, 1);
            a.send(C, 1);
            a.lanes.publish();
        });
        let telling = thread::spawn(move || {
            if teller.take(A).is_some() {
                tells.store(true, Ordering::Release);
            }
        });
        // May see it before it is told, or may not.
        let before = told.take(A);
        if has_seen.load(Ordering::Acquire) {
            let has_news = told.lanes.has_news();
            let after = before.or_else(|| told.take(A));
            assert_eq!(after, Some(1), "half an epoch");
            assert!(has_news, "no news of it");
        }
        publishing.join().unwrap();
        telling.join().unwrap();
    });
}

#[test]
fn an_epoch_is_seen_as_one_by_the_second_receiver() {
    who_is_told_of_an_epoch_sees_it(B, C);
}

#[test]
fn an_epoch_is_seen_as_one_by_the_first_receiver() {
    who_is_told_of_an_epoch_sees_it(C, B);
}

#[test]
fn no_wake_up_is_lost() {
    model(3, || {
        let mut world = World::new(2, 2, 1);
        let (mut a, mut b) = (world.next(), world.next());
        let sending = thread::spawn(move || {
            for value in 1..=2 {
                a.send(B, value);
                a.lanes.publish();
            }
        });
        for value in 1..=2 {
            loop {
                match b.take(A) {
                    Some(taken) => break assert_eq!(taken, value),
                    None => b.park(),
                }
            }
        }
        sending.join().unwrap();
    });
}

/// The lane wakes at two entries, which come one by one.
#[test]
fn no_wake_up_is_lost_that_takes_two_entries() {
    model(3, || {
        let mut world = World::new(2, 2, 2);
        let (mut a, mut b) = (world.next(), world.next());
        let sending = thread::spawn(move || {
            for value in 1..=2 {
                a.send(B, value);
                a.lanes.publish();
            }
        });
        while !b.lanes.has_inbound() {
            b.park();
        }
        assert_eq!((b.take(A), b.take(A)), (Some(1), Some(2)));
        sending.join().unwrap();
    });
}

/// Work that is no entry in a lane: a control message.
#[test]
fn no_wake_up_is_lost_that_comes_by_a_handle() {
    model(3, || {
        let wake = Arc::new(Wake::new().unwrap());
        let message = Arc::new(AtomicBool::new(false));
        let sending = thread::spawn({
            let (wake, message) = (Arc::clone(&wake), Arc::clone(&message));
            move || {
                message.store(true, Ordering::Release);
                wake.wake();
            }
        });
        while !message.load(Ordering::Acquire) {
            park(&wake, || message.load(Ordering::Acquire));
        }
        sending.join().unwrap();
    });
}

/// Three entries through a lane of one: the sender sleeps for room, a second time perhaps while the receiver is
/// still at the wake-up for the first.
fn no_wake_up_for_room_is_lost(receiver_sleeps: bool) {
    model(2, move || {
        let mut world = World::new(2, 1, 1);
        let (mut a, mut b) = (world.next(), world.next());
        let sending = thread::spawn(move || {
            for value in 1..=3 {
                while a.lanes.room(B, 0) == 0 {
                    if a.lanes.ask_room(B, 0) == 0 {
                        a.park();
                    }
                }
                a.send(B, value);
                a.lanes.publish();
            }
        });
        for value in 1..=3 {
            loop {
                match b.take(A) {
                    Some(taken) => break assert_eq!(taken, value),
                    None if receiver_sleeps => b.park(),
                    None => thread::yield_now(),
                }
            }
            b.lanes.publish();
        }
        sending.join().unwrap();
    });
}

#[test]
fn no_wake_up_for_room_is_lost_to_a_receiver_awake() {
    no_wake_up_for_room_is_lost(false);
}

#[test]
fn no_wake_up_for_room_is_lost_to_a_receiver_that_sleeps_too() {
    no_wake_up_for_room_is_lost(true);
}

/// Even who does not look again when it goes to sleep: no room means a wake is to come.
#[test]
fn who_is_told_there_is_no_room_is_woken() {
    model(3, || {
        let mut world = World::new(2, 1, 1);
        let (mut a, mut b) = (world.next(), world.next());
        a.send(B, 1);
        a.lanes.publish();
        a.wake.announce();
        let taking = thread::spawn(move || {
            assert_eq!(b.take(A), Some(1));
            b.lanes.publish();
        });
        let room = a.lanes.ask_room(B, 0);
        taking.join().unwrap();
        assert!(room == 1 || !a.wake.is_asleep(), "neither room nor a wake");
        assert_eq!(a.lanes.room(B, 0), 1);
    });
}
