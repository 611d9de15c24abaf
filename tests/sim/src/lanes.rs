//! Lanes between simulated shards: what the real rings do, one visible step at a time.
//!
//! Entries become visible by the number of the publish they belong to, all lanes of a shard at once.
//! Knows no scheduler: whoever calls decides what happens between two calls.

use std::collections::VecDeque;

/// Kinds of lanes between each ordered pair of shards, as [`gnatsd_core::engine::Lane`] counts them.
pub(crate) const KINDS: usize = 2;
/// Place of the interest lane.
const INTEREST: usize = 0;

/// One lane of one ordered pair.
#[derive(Debug, Default)]
struct Ring {
    /// Pushed and not taken: number of the publish, and the batch.
    entries: VecDeque<(u64, Vec<u8>)>,
    /// The sender sleeps, or is about to, until there is room.
    need_room: bool,
    /// Known to the sender alone: it has asked, and has not seen room since.
    is_asked: bool,
    /// Pushed to since the last publish.
    is_pushed: bool,
    /// Known to the receiver alone: taken from since its own last publish.
    is_taken: bool,
}

/// Whom to wake after a publish, if something holds then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The receiver of a lane, if enough is visible.
    Receiver { to: usize, kind: usize },
    /// The sender of a lane that was taken from, if it asked for room.
    Sender { from: usize, kind: usize },
}

/// All lanes of a world.
#[derive(Debug)]
pub(crate) struct Lanes {
    shards: usize,
    capacity: [usize; KINDS],
    wakes_at: [usize; KINDS],
    rings: Vec<Ring>,
    /// Publishes of each shard.
    epochs: Vec<u64>,
    /// By receiver and sender: the sender's epoch when its interest lane was last found empty.
    seen: Vec<u64>,
}

impl Lanes {
    /// Entries of the longest lane.
    pub(crate) fn entries(&self) -> usize {
        self.capacity.into_iter().max().unwrap_or(0)
    }

    pub(crate) fn new(shards: usize, capacity: [usize; KINDS]) -> Self {
        let mut rings = Vec::new();
        rings.resize_with(shards * shards * KINDS, Ring::default);
        Lanes {
            shards,
            capacity,
            // Interest alone wakes nobody before its lane is half full.
            wakes_at: [capacity[INTEREST].div_ceil(2), 1],
            rings,
            epochs: vec![0; shards],
            seen: vec![0; shards * shards],
        }
    }

    fn at(&self, from: usize, to: usize, kind: usize) -> usize {
        assert!(
            from != to && from < self.shards && to < self.shards,
            "lane {from} to {to}"
        );
        (from * self.shards + to) * KINDS + kind
    }

    fn ring(&mut self, from: usize, to: usize, kind: usize) -> &mut Ring {
        let at = self.at(from, to, kind);
        &mut self.rings[at]
    }

    fn visible(&self, from: usize, to: usize, kind: usize) -> usize {
        let entries = &self.rings[self.at(from, to, kind)].entries;
        entries
            .iter()
            .take_while(|(epoch, _)| *epoch <= self.epochs[from])
            .count()
    }

    /// Sender: free places.
    pub(crate) fn room(&mut self, from: usize, to: usize, kind: usize) -> usize {
        let capacity = self.capacity[kind];
        let ring = self.ring(from, to, kind);
        let room = capacity - ring.entries.len();
        if ring.is_asked && room > 0 {
            ring.is_asked = false;
            ring.need_room = false;
        }
        room
    }

    /// Sender: says that it waits for room. To be followed by [`room`](Self::room).
    pub(crate) fn ask(&mut self, from: usize, to: usize, kind: usize) {
        let ring = self.ring(from, to, kind);
        ring.need_room = true;
        ring.is_asked = true;
    }

    /// Sender: puts a batch in, invisible for now, and leaves an empty buffer for it.
    pub(crate) fn push(&mut self, from: usize, to: usize, kind: usize, batch: &mut Vec<u8>) {
        let epoch = self.epochs[from] + 1;
        let capacity = self.capacity[kind];
        let ring = self.ring(from, to, kind);
        assert!(
            ring.entries.len() < capacity,
            "push from {from} to {to} without room in lane {kind}"
        );
        ring.entries.push_back((epoch, std::mem::take(batch)));
        ring.is_pushed = true;
    }

    /// Whether a publish of this shard would do anything.
    pub(crate) fn has_unpublished(&self, shard: usize) -> bool {
        (0..self.shards).filter(|&peer| peer != shard).any(|peer| {
            (0..KINDS).any(|kind| {
                self.rings[self.at(shard, peer, kind)].is_pushed
                    || self.rings[self.at(peer, shard, kind)].is_taken
            })
        })
    }

    /// Makes everything pushed visible. The wakes to be looked at afterwards, one by one.
    pub(crate) fn publish(&mut self, shard: usize) -> Vec<Wake> {
        let mut wakes = Vec::new();
        let mut is_news = false;
        for peer in (0..self.shards).filter(|&peer| peer != shard) {
            for kind in 0..KINDS {
                if std::mem::take(&mut self.ring(shard, peer, kind).is_pushed) {
                    is_news = true;
                    wakes.push(Wake::Receiver { to: peer, kind });
                }
                if std::mem::take(&mut self.ring(peer, shard, kind).is_taken) {
                    wakes.push(Wake::Sender { from: peer, kind });
                }
            }
        }
        self.epochs[shard] += u64::from(is_news);
        wakes
    }

    /// Looks at one wake: the shard to be woken, if it is wanted.
    pub(crate) fn wanted(&mut self, shard: usize, wake: Wake) -> Option<usize> {
        match wake {
            Wake::Receiver { to, kind } => {
                (self.visible(shard, to, kind) >= self.wakes_at[kind]).then_some(to)
            }
            // The flag stays: the room that this is about may be full again, and who took the flag would
            // have woken for nothing somebody who is not asleep yet. Its owner takes it down.
            // And it is for those who find half of the lane empty.
            Wake::Sender { from, kind } => {
                let half = self.capacity[kind] / 2;
                let epoch = self.epochs[from];
                let ring = self.ring(from, shard, kind);
                let visible = ring.entries.iter().filter(|(e, _)| *e <= epoch);
                (ring.need_room && visible.count() <= half).then_some(from)
            }
        }
    }

    /// Receiver: somebody has published since their interest lane was last found empty.
    pub(crate) fn has_news(&self, shard: usize) -> bool {
        (0..self.shards)
            .filter(|&from| from != shard)
            .any(|from| self.epochs[from] != self.seen[shard * self.shards + from])
    }

    /// Receiver: the oldest visible batch.
    pub(crate) fn take(
        &mut self,
        from: usize,
        to: usize,
        kind: usize,
        batch: &mut Vec<u8>,
    ) -> bool {
        assert!(batch.is_empty(), "a buffer handed in must be empty");
        let epoch = self.epochs[from];
        let ring = self.ring(from, to, kind);
        if ring.entries.front().is_some_and(|(e, _)| *e <= epoch)
            && let Some((_, taken)) = ring.entries.pop_front()
        {
            *batch = taken;
            ring.is_taken = true;
            return true;
        }
        if kind == INTEREST {
            self.seen[to * self.shards + from] = epoch;
        }
        false
    }

    /// Whether a shard must not sleep.
    pub(crate) fn has_inbound(&self, shard: usize) -> bool {
        (0..self.shards).filter(|&peer| peer != shard).any(|peer| {
            (0..KINDS).any(|kind| {
                let out = &self.rings[self.at(shard, peer, kind)];
                self.visible(peer, shard, kind) >= self.wakes_at[kind]
                    || out.is_asked && out.entries.len() <= self.capacity[kind] / 2
            })
        })
    }

    /// Data that nobody has taken, from or to anybody.
    pub(crate) fn has_data(&self) -> bool {
        self.rings
            .iter()
            .skip(1)
            .step_by(KINDS)
            .any(|ring| !ring.entries.is_empty())
    }

    /// What is left in any lane, in words.
    pub(crate) fn leftover(&self) -> Option<String> {
        let at = self.rings.iter().position(|r| !r.entries.is_empty())?;
        let (pair, kind) = (at / KINDS, at % KINDS);
        let (from, to) = (pair / self.shards, pair % self.shards);
        Some(format!(
            "{} entries from {from} to {to} in lane {kind}",
            self.rings[at].entries.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_seen_after_their_publish_and_in_all_lanes_at_once() {
        let mut lanes = Lanes::new(3, [1, 2]);
        let mut out = Vec::new();
        lanes.push(0, 1, 0, &mut b"i".to_vec());
        lanes.push(0, 2, 1, &mut b"d".to_vec());
        assert!(!lanes.take(0, 1, 0, &mut out) && !lanes.take(0, 2, 1, &mut out));
        assert!(!lanes.has_news(1) && !lanes.has_inbound(2));
        let wakes = lanes.publish(0);
        assert_eq!(
            wakes,
            [
                Wake::Receiver { to: 1, kind: 0 },
                Wake::Receiver { to: 2, kind: 1 }
            ]
        );
        assert_eq!(lanes.wanted(0, wakes[0]), Some(1));
        assert!(
            lanes.has_news(1) && lanes.has_news(2) && lanes.has_inbound(1) && lanes.has_inbound(2)
        );
        assert!(lanes.take(0, 1, 0, &mut out) && out == b"i");
        out.clear();
        assert!(lanes.has_news(1), "not before the lane was found empty");
        assert!(!lanes.take(0, 1, 0, &mut out) && !lanes.has_news(1));
        assert!(lanes.take(0, 2, 1, &mut out) && out == b"d");
        assert!(!lanes.has_data() && lanes.leftover().is_none());
    }

    #[test]
    fn interest_wakes_nobody_before_its_lane_is_half_full() {
        let mut lanes = Lanes::new(2, [4, 4]);
        for n in 1..=2 {
            lanes.push(0, 1, 0, &mut b"i".to_vec());
            let wakes = lanes.publish(0);
            assert_eq!(lanes.wanted(0, wakes[0]), (n == 2).then_some(1));
            assert_eq!(lanes.has_inbound(1), n == 2);
        }
    }

    #[test]
    fn who_asked_for_room_is_woken_by_the_publish_behind_the_take() {
        let mut lanes = Lanes::new(2, [1, 1]);
        let mut out = Vec::new();
        lanes.push(0, 1, 1, &mut b"d".to_vec());
        lanes.publish(0);
        assert_eq!(lanes.room(0, 1, 1), 0);
        lanes.ask(0, 1, 1);
        assert!(!lanes.has_inbound(0) && !lanes.has_unpublished(1));
        assert!(lanes.take(0, 1, 1, &mut out));
        assert!(lanes.has_inbound(0), "room that was asked for is work");
        assert!(lanes.has_unpublished(1));
        let wakes = lanes.publish(1);
        assert_eq!(wakes, [Wake::Sender { from: 0, kind: 1 }]);
        assert_eq!(lanes.wanted(1, wakes[0]), Some(0));
        assert_eq!(
            lanes.wanted(1, wakes[0]),
            Some(0),
            "until its owner has seen the room"
        );
        assert_eq!(lanes.room(0, 1, 1), 1);
        assert_eq!(lanes.wanted(1, wakes[0]), None);
        assert!(!lanes.has_inbound(0));
    }

    #[test]
    #[should_panic(expected = "without room")]
    fn a_push_without_room_is_a_bug() {
        let mut lanes = Lanes::new(2, [1, 1]);
        lanes.push(0, 1, 1, &mut b"1".to_vec());
        lanes.push(0, 1, 1, &mut b"2".to_vec());
    }
}
