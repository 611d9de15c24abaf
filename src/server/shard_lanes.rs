//! A shard's lanes to the others: what the engine asks of them, over rings that exchange buffers,
//! and the memory of those buffers. Step 7 (send and take) of the PUB path.

use std::mem;
use std::time::{Duration, Instant};

use gnatsd_core::engine::{Lane, Lanes};
use gnatsd_shards::{self as rings, LaneConfig, ShardId};

/// Entries of each lane. An entry is a batch of about 32 KiB, so a lane of messages holds 256 KiB, which stays in
/// the caches of both shards; more would only let a publisher run further ahead of a shard, or of a reader, that
/// cannot keep up.
const ENTRIES: usize = 8;
/// Interest alone wakes nobody before its lane is half full: whoever sleeps looks at it when it wakes.
const INTEREST_WAKES_AT: usize = ENTRIES / 2;
/// Messages wake at once.
const DATA_WAKES_AT: usize = 1;
/// Time between two looks at the memory in the lanes.
const TRIM_INTERVAL: Duration = Duration::from_secs(1);
/// A buffer above this size was made for a single large message and is never kept for long.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// What the lanes between any two shards are like, in the order of [`Lane::index`].
pub(super) fn configs() -> Vec<LaneConfig> {
    let config = |lane| LaneConfig {
        entries: ENTRIES,
        wakes_at: match lane {
            Lane::Interest => INTEREST_WAKES_AT,
            Lane::Data => DATA_WAKES_AT,
        },
    };
    Lane::ALL.map(config).to_vec()
}

/// One shard's ends of all its lanes.
#[derive(Debug)]
pub(super) struct ShardLanes {
    /// The shard they belong to; no lane leads to it.
    own: u16,
    rings: rings::Lanes<Vec<u8>>,
    trim: Trim,
}

impl ShardLanes {
    /// Lanes of shard `own` that nobody has used.
    pub(super) fn new(own: u16, rings: rings::Lanes<Vec<u8>>) -> Self {
        ShardLanes {
            own,
            rings,
            trim: Trim::default(),
        }
    }

    /// Whether something is there that a shard must not sleep on.
    pub(super) fn has_inbound(&self) -> bool {
        self.rings.has_inbound()
    }

    /// Entries that the other shards have not taken yet.
    pub(super) fn depth(&self) -> usize {
        (0..self.rings.shards())
            .filter(|&to| to != self.own)
            .flat_map(|to| Lane::ALL.map(|lane| self.rings.depth(ShardId(to), lane.index())))
            .sum()
    }

    /// Gives back memory of buffers that lie unused in the lanes, if it is time to; call it in every
    /// turn. Gives the time of the next look, `None` if there will be nothing to look at.
    #[inline]
    pub(super) fn trim(&mut self, now: Instant) -> Option<Instant> {
        if let Some(kept_max) = self.trim.due(now) {
            let mut kept = 0;
            self.rings.trim(|buffer| {
                if buffer.capacity() > KEPT_BYTES_MAX || kept == kept_max {
                    *buffer = Vec::new();
                }
                kept += usize::from(buffer.capacity() > 0);
            });
            // What the others have not taken yet brings memory back when they do.
            self.trim.done(now, kept > 0 || self.depth() > 0);
        }
        self.trim.at
    }
}

impl Lanes for ShardLanes {
    #[inline]
    fn entries(&self) -> usize {
        ENTRIES
    }

    #[inline]
    fn room(&mut self, to: u16, lane: Lane) -> usize {
        self.rings.room(ShardId(to), lane.index())
    }

    #[inline]
    fn push(&mut self, to: u16, lane: Lane, batch: &mut Vec<u8>) {
        self.trim.pushes += 1;
        self.rings.push(ShardId(to), lane.index(), batch);
    }

    #[inline]
    fn publish(&mut self) {
        self.rings.publish();
    }

    #[inline]
    fn has_news(&self) -> bool {
        self.rings.has_news()
    }

    #[inline]
    fn take(&mut self, from: u16, lane: Lane, batch: &mut Vec<u8>) -> bool {
        self.rings.take(ShardId(from), lane.index(), batch)
    }

    #[inline]
    fn ask_room(&mut self, to: u16, lane: Lane) -> usize {
        self.rings.ask_room(ShardId(to), lane.index())
    }
}

/// When to look at the memory in the lanes, and how much of it to keep: as many buffers as were
/// needed since the last look. So a shard that has stopped sending keeps none, wakes once or twice
/// to give them back, and then no more; and one that was busy and now sends little keeps little.
#[derive(Debug, Default)]
struct Trim {
    /// Batches pushed since the last look.
    pushes: usize,
    /// The next look.
    at: Option<Instant>,
}

impl Trim {
    /// Buffers to keep, if it is time to look.
    #[inline]
    fn due(&mut self, now: Instant) -> Option<usize> {
        match self.at {
            Some(at) if at > now => None,
            Some(_) => Some(mem::take(&mut self.pushes)),
            None => {
                self.at = (self.pushes > 0).then(|| now + TRIM_INTERVAL);
                None
            }
        }
    }

    /// The look is over; there is something left for another.
    fn done(&mut self, now: Instant, is_wanted: bool) {
        self.at = is_wanted.then(|| now + TRIM_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;
    use gnatsd_shards::{Config, DriverChoice, Io, Next, Runtime, Service};

    #[test]
    fn memory_is_looked_at_each_second_of_use_and_once_more() {
        let mut trim = Trim::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!((trim.due(at(0)), trim.at), (None, None), "nothing was sent");
        trim.pushes = 5;
        assert_eq!((trim.due(at(10)), trim.at), (None, Some(at(1010))));
        assert_eq!(trim.due(at(1000)), None);
        assert_eq!(trim.due(at(1010)), Some(5));
        trim.done(at(1010), true);
        trim.pushes = 1;
        assert_eq!(trim.due(at(2010)), Some(1));
        trim.done(at(2010), true);
        // A second without use: everything goes.
        assert_eq!(trim.due(at(3010)), Some(0));
        trim.done(at(3010), false);
        assert_eq!((trim.due(at(9000)), trim.at), (None, None));
    }

    /// Work on a shard's lanes; `None` ends the shard.
    type Work = Option<Box<dyn FnOnce(&mut ShardLanes) + Send>>;

    /// A shard that lends its lanes to whoever has work for them.
    struct Lender {
        lanes: ShardLanes,
        is_stopping: bool,
    }

    impl Service for Lender {
        type Control = Work;
        type Batch = Vec<u8>;

        fn control(&mut self, _: &mut impl Io, work: Work) {
            match work {
                Some(work) => work(&mut self.lanes),
                None => self.is_stopping = true,
            }
        }

        fn turn(&mut self, _: &mut impl Io) -> Next {
            if self.is_stopping {
                Next::Stop
            } else {
                Next::Park(None)
            }
        }
    }

    fn start(shards: usize) -> Runtime<Work> {
        let config = Config {
            shards,
            driver: DriverChoice::Epoll,
            pin: false,
            thread_name: "lanes".to_owned(),
            lanes: configs(),
        };
        let make = |id: ShardId, rings| Lender {
            lanes: ShardLanes::new(id.0, rings),
            is_stopping: false,
        };
        rings::start(config, make).unwrap()
    }

    fn with<R: Send + 'static>(
        runtime: &Runtime<Work>,
        shard: usize,
        work: impl FnOnce(&mut ShardLanes) -> R + Send + 'static,
    ) -> R {
        let (to, result) = bounded(1);
        let work = Box::new(move |lanes: &mut ShardLanes| to.send(work(lanes)).unwrap());
        runtime.handles()[shard].send(Some(work)).unwrap();
        result.recv().unwrap()
    }

    fn stop(runtime: Runtime<Work>) {
        for shard in runtime.handles() {
            shard.send(None).unwrap();
        }
        runtime.join().unwrap();
    }

    /// Bytes that the buffers in the free slots of a shard's lanes can hold.
    fn held_bytes(lanes: &mut ShardLanes) -> usize {
        let mut held = 0;
        lanes.rings.trim(|buffer| held += buffer.capacity());
        held
    }

    #[test]
    fn batches_cross_and_their_memory_comes_back_and_goes() {
        const LARGE: usize = 2 * KEPT_BYTES_MAX;
        const SMALL: usize = 64;
        let runtime = start(3);
        let used = with(&runtime, 0, |lanes| {
            let start = Instant::now();
            assert_eq!((lanes.depth(), lanes.trim(start)), (0, None));
            assert_eq!(lanes.room(2, Lane::Interest), ENTRIES);
            lanes.push(1, Lane::Data, &mut b"message".to_vec());
            lanes.push(2, Lane::Interest, &mut b"interest".to_vec());
            lanes.publish();
            let next = lanes.trim(start).unwrap();
            assert_eq!((lanes.depth(), next), (2, start + TRIM_INTERVAL));
            next
        });
        // Each leaves a buffer for the one it takes.
        for (shard, lane, text, capacity) in [
            (1, Lane::Data, &b"message"[..], LARGE),
            (2, Lane::Interest, b"interest", SMALL),
        ] {
            with(&runtime, shard, move |lanes| {
                let mut batch = Vec::with_capacity(capacity);
                assert!(lanes.has_news() && lanes.take(0, lane, &mut batch));
                assert_eq!(batch, text);
                lanes.publish();
            });
        }
        with(&runtime, 0, move |lanes| {
            assert_eq!((lanes.depth(), held_bytes(lanes)), (0, LARGE + SMALL));
            let next = lanes.trim(used).unwrap();
            assert_eq!((held_bytes(lanes), next), (SMALL, used + TRIM_INTERVAL));
            assert_eq!(lanes.trim(next), None, "and nobody wakes for it any more");
            assert_eq!(held_bytes(lanes), 0);
        });
        stop(runtime);
    }

    #[test]
    fn who_sends_little_keeps_little() {
        const BYTES: usize = 64;
        let runtime = start(2);
        let mut at = with(&runtime, 0, |lanes| lanes.trim(Instant::now()));
        for (pushes, kept) in [(ENTRIES, ENTRIES), (1, 1), (3, 3), (0, 0)] {
            at = with(&runtime, 0, move |lanes| {
                for _ in 0..pushes {
                    lanes.push(1, Lane::Data, &mut Vec::with_capacity(BYTES));
                }
                lanes.publish();
                at.or_else(|| lanes.trim(Instant::now()))
            });
            with(&runtime, 1, move |lanes| {
                for _ in 0..pushes {
                    assert!(lanes.take(0, Lane::Data, &mut Vec::with_capacity(BYTES)));
                }
                lanes.publish();
            });
            at = with(&runtime, 0, move |lanes| {
                let next = at.and_then(|at| lanes.trim(at));
                assert_eq!(held_bytes(lanes), kept * BYTES, "{pushes}");
                next
            });
        }
        assert_eq!(at, None);
        stop(runtime);
    }

    #[test]
    fn what_is_still_to_be_taken_is_waited_for() {
        let runtime = start(2);
        let mut at = with(&runtime, 0, |lanes| {
            lanes.push(1, Lane::Data, &mut vec![1]);
            lanes.publish();
            lanes.trim(Instant::now()).unwrap()
        });
        for _ in 0..3 {
            at = with(&runtime, 0, move |lanes| lanes.trim(at).unwrap());
        }
        with(&runtime, 1, |lanes| {
            assert!(lanes.take(0, Lane::Data, &mut Vec::with_capacity(100)));
        });
        with(&runtime, 0, move |lanes| {
            assert_eq!((lanes.trim(at), held_bytes(lanes)), (None, 0));
        });
        stop(runtime);
    }

    #[test]
    fn messages_wake_and_interest_waits_for_company() {
        let configs = configs();
        let wakes_at = |lane: Lane| configs[lane.index()].wakes_at;
        assert_eq!(configs.len(), Lane::ALL.len());
        assert_eq!(
            (wakes_at(Lane::Data), wakes_at(Lane::Interest)),
            (1, ENTRIES / 2)
        );
    }
}
