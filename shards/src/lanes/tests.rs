//! What lanes promise, on one thread: order, visibility, room and who is woken. What threads can do
//! to each other is in `models.rs` and in `tests/lanes.rs`.

use super::*;

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);

/// Kinds of lanes: one that wakes when half full, and one that always does.
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
const HALF: usize = 0;
const ALWAYS: usize = 1;

struct World {
    wakes: Vec<Arc<Wake>>,
    lanes: Vec<Lanes<u32>>,
}

impl World {
    fn new(shards: usize) -> Self {
        let wakes: Vec<_> = (0..shards)
            .map(|_| Arc::new(Wake::new().unwrap()))
            .collect();
        let lanes = mesh(&wakes, &KINDS);
        Self { wakes, lanes }
    }

    fn at(&mut self, shard: ShardId) -> &mut Lanes<u32> {
        &mut self.lanes[shard.index()]
    }

    fn push(&mut self, from: ShardId, to: ShardId, lane: usize, value: u32) {
        self.at(from).push(to, lane, &mut value.clone());
    }

    fn take(&mut self, from: ShardId, to: ShardId, lane: usize) -> Option<u32> {
        let mut value = 0;
        self.at(to).take(from, lane, &mut value).then_some(value)
    }

    /// Whether anybody woke the shard since it announced its sleep.
    fn is_woken(&self, shard: ShardId) -> bool {
        let wake = &self.wakes[shard.index()];
        assert_eq!(wake.is_asleep(), !wake.signal().drain());
        !wake.is_asleep()
    }

    fn sleep(&mut self, shard: ShardId) {
        self.wakes[shard.index()].announce();
    }
}

#[test]
fn nothing_is_seen_before_it_is_published_and_then_all_is() {
    let mut w = World::new(3);
    w.push(A, B, HALF, 1);
    w.push(A, B, ALWAYS, 2);
    w.push(A, C, HALF, 3);
    for to in [B, C] {
        assert!(!w.at(to).has_news());
        assert!(!w.at(to).has_inbound());
        assert_eq!(w.take(A, to, HALF), None);
    }
    w.at(A).publish();
    assert!(w.at(B).has_news() && w.at(C).has_news());
    assert_eq!(w.take(A, C, HALF), Some(3));
    assert_eq!(w.take(A, B, ALWAYS), Some(2));
    assert_eq!(w.take(A, B, HALF), Some(1));
    assert_eq!(w.take(A, B, HALF), None);
    assert_eq!(w.take(B, A, HALF), None);
}

#[test]
fn an_entry_of_the_next_epoch_stays_behind_its_tail() {
    let mut w = World::new(2);
    w.push(A, B, ALWAYS, 1);
    w.at(A).publish();
    // What another thread can see in the middle of a publish: the tail, but not the epoch.
    w.push(A, B, ALWAYS, 2);
    w.at(A).peer(B.index()).outbound[ALWAYS].ring.publish();
    assert_eq!(w.take(A, B, ALWAYS), Some(1));
    assert_eq!(w.take(A, B, ALWAYS), None);
    assert!(!w.at(B).has_inbound());
    w.at(A).publish();
    assert!(w.at(B).has_inbound());
    assert_eq!(w.take(A, B, ALWAYS), Some(2));
}

#[test]
fn news_last_until_the_first_lane_is_found_empty() {
    let mut w = World::new(2);
    w.push(A, B, ALWAYS, 1);
    w.at(A).publish();
    assert_eq!(w.take(A, B, ALWAYS), Some(1));
    assert_eq!(w.take(A, B, ALWAYS), None);
    assert!(w.at(B).has_news());
    assert_eq!(w.take(A, B, HALF), None);
    assert!(!w.at(B).has_news());
    w.push(A, B, HALF, 2);
    w.at(A).publish();
    assert_eq!(w.take(A, B, HALF), Some(2));
    assert!(w.at(B).has_news());
}

#[test]
fn order_holds_in_each_lane_over_many_epochs() {
    let mut w = World::new(2);
    let mut next = 0;
    for round in 0..100 {
        for _ in 0..=round % 4 {
            w.push(A, B, HALF, next);
            next += 1;
            if next % 3 == 0 {
                w.at(A).publish();
            }
        }
        w.at(A).publish();
        let expected = next - round % 4 - 1;
        let taken: Vec<_> = std::iter::from_fn(|| w.take(A, B, HALF)).collect();
        assert_eq!(taken, (expected..next).collect::<Vec<_>>());
    }
}

#[test]
fn room_follows_what_is_taken_and_depth_what_is_pushed() {
    let mut w = World::new(2);
    assert_eq!(w.at(A).shards(), 2);
    assert_eq!(w.at(A).room(B, ALWAYS), 2);
    w.push(A, B, ALWAYS, 1);
    w.push(A, B, ALWAYS, 2);
    assert_eq!(w.at(A).room(B, ALWAYS), 0);
    assert_eq!(w.at(A).depth(B, ALWAYS), 2);
    assert_eq!(w.at(A).depth(B, HALF), 0);
    w.at(A).publish();
    w.take(A, B, ALWAYS);
    assert_eq!(w.at(A).room(B, ALWAYS), 1);
    assert_eq!(w.at(A).depth(B, ALWAYS), 1);
}

#[test]
#[should_panic(expected = "no room")]
fn a_push_without_room_is_a_bug() {
    let mut w = World::new(2);
    (0..3).for_each(|value| w.push(A, B, ALWAYS, value));
}

#[test]
#[should_panic(expected = "no lane to oneself")]
fn no_lane_leads_to_oneself() {
    World::new(2).push(A, A, HALF, 1);
}

#[test]
#[should_panic(expected = "can be more than half full without a wake")]
fn a_lane_must_wake_before_it_is_more_than_half_full() {
    let kind = LaneConfig {
        entries: 4,
        wakes_at: 4,
    };
    mesh::<u8>(&[], &[kind]);
}

#[test]
fn a_shard_alone_has_no_lanes() {
    let mut w = World::new(1);
    assert!(!w.at(A).has_news() && !w.at(A).has_inbound());
    w.at(A).publish();
    w.at(A).trim(|_| unreachable!("there are no slots"));
}

#[test]
fn a_sleeper_is_woken_by_as_many_entries_as_its_lane_says() {
    let mut w = World::new(3);
    w.sleep(B);
    w.sleep(C);
    w.push(A, B, HALF, 1);
    w.at(A).publish();
    assert!(!w.is_woken(B));
    assert!(!w.at(B).has_inbound());
    w.push(A, B, HALF, 2);
    assert!(!w.is_woken(B));
    w.at(A).publish();
    assert!(w.is_woken(B));
    assert!(w.at(B).has_inbound());
    assert!(!w.is_woken(C));

    w.push(A, C, ALWAYS, 3);
    w.at(A).publish();
    assert!(w.is_woken(C));
    assert!(w.at(C).has_inbound());
    assert!(!w.at(A).has_inbound());
}

#[test]
fn what_was_taken_does_not_count_for_a_wake() {
    let mut w = World::new(2);
    w.push(A, B, HALF, 1);
    w.at(A).publish();
    w.take(A, B, HALF);
    w.sleep(B);
    w.push(A, B, HALF, 2);
    w.at(A).publish();
    assert!(!w.is_woken(B));
    assert!(!w.at(B).has_inbound());
}

#[test]
fn publishing_nothing_does_nothing() {
    let mut w = World::new(2);
    w.push(A, B, HALF, 1);
    w.at(A).publish();
    while w.take(A, B, HALF).is_some() {}
    w.at(B).publish();
    w.sleep(B);
    w.at(A).publish();
    assert!(!w.at(B).has_news());
    assert!(!w.is_woken(B));
}

#[test]
fn who_asked_for_room_is_woken_when_the_taking_is_published() {
    let mut w = World::new(2);
    w.push(A, B, ALWAYS, 1);
    w.push(A, B, ALWAYS, 2);
    w.at(A).publish();
    assert_eq!(w.at(A).ask_room(B, ALWAYS), 0);
    assert!(!w.at(A).has_inbound());
    w.sleep(A);
    assert_eq!(w.take(A, B, ALWAYS), Some(1));
    // Room there is; the wake comes with the publish.
    assert!(w.at(A).has_inbound());
    assert!(!w.is_woken(A));
    w.at(B).publish();
    assert!(w.is_woken(A));
    assert_eq!(w.at(A).room(B, ALWAYS), 1);
    assert!(!w.at(A).has_inbound());

    // Asked once, woken once.
    w.sleep(A);
    assert_eq!(w.take(A, B, ALWAYS), Some(2));
    w.at(B).publish();
    assert!(!w.is_woken(A));
}

#[test]
fn asking_where_there_is_room_leaves_no_trace() {
    let mut w = World::new(2);
    w.push(A, B, ALWAYS, 1);
    w.at(A).publish();
    assert_eq!(w.at(A).ask_room(B, ALWAYS), 1);
    assert!(!w.at(A).has_inbound());
    w.sleep(A);
    w.take(A, B, ALWAYS);
    w.at(B).publish();
    assert!(!w.is_woken(A));
}

#[test]
fn several_lanes_can_be_asked() {
    let mut w = World::new(3);
    for to in [B, C] {
        (0..4).for_each(|value| w.push(A, to, HALF, value));
    }
    w.at(A).publish();
    for to in [B, C, C] {
        assert_eq!(w.at(A).ask_room(to, HALF), 0);
    }
    for (from, room) in [(C, 1), (B, 2)] {
        w.take(A, from, HALF);
        w.at(from).publish();
        assert!(!w.at(A).has_inbound(), "not before half of it is empty");
        if room == 1 {
            assert_eq!(w.at(A).ask_room(from, HALF), 1);
            assert_eq!(w.at(A).ask_room(from, HALF), 1);
        }
        w.take(A, from, HALF);
        assert_eq!(w.at(A).has_inbound(), room == 2);
        assert_eq!(w.at(A).room(from, HALF), 2);
        assert!(!w.at(A).has_inbound());
    }
}

#[test]
fn buffers_are_exchanged_and_can_be_trimmed() {
    let wakes = [Wake::new().unwrap(), Wake::new().unwrap()].map(Arc::new);
    let mut lanes = mesh::<Vec<u8>>(&wakes, &KINDS);
    let [a, b] = &mut lanes[..] else {
        unreachable!("two shards");
    };
    let mut buffer = b"full".to_vec();
    let ours = buffer.as_ptr();
    a.push(B, ALWAYS, &mut buffer);
    assert!(buffer.is_empty());
    a.publish();
    let mut taken = Vec::new();
    assert!(b.take(A, ALWAYS, &mut taken));
    assert_eq!(taken, b"full");
    // The receiver is done with it and exchanges it for the next.
    taken.clear();
    a.push(B, ALWAYS, &mut buffer);
    a.publish();
    assert!(b.take(A, ALWAYS, &mut taken));
    let mut visited = 0;
    let mut found = false;
    a.trim(|buffer| {
        visited += 1;
        found |= buffer.as_ptr() == ours && buffer.capacity() >= 4;
        *buffer = Vec::new();
    });
    assert_eq!(visited, 6);
    assert!(found);
}

#[test]
fn lanes_may_go_to_their_thread() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&World::new(2).lanes);
}

/// No assertion but that they can be taken: the figures for the README.
#[test]
fn figures_of_a_crossing() {
    let wakes: Vec<_> = (0..4).map(|_| Arc::new(Wake::new().unwrap())).collect();
    let mut lanes = mesh::<Vec<u8>>(&wakes, &KINDS);
    let [a, b, ..] = &mut lanes[..] else {
        unreachable!("four shards");
    };
    let mut item = vec![1];
    let across = time(|| {
        a.push(B, ALWAYS, &mut item);
        a.publish();
        assert!(b.take(A, ALWAYS, &mut item));
    });
    let turns = time(|| {
        assert!(a.room(B, ALWAYS) > 0);
        a.push(B, ALWAYS, &mut item);
        a.publish();
        assert!(b.has_news());
        while b.take(A, HALF, &mut item) {}
        while b.take(A, ALWAYS, &mut item) {}
        b.publish();
    });
    let looks = time(|| assert!(!std::hint::black_box(&*b).has_news()));
    let parks = time(|| assert!(!std::hint::black_box(&*b).has_inbound()));
    eprintln!("a batch across {across:?}, with all of two turns {turns:?}");
    eprintln!("beside three shards: has_news {looks:?}, has_inbound {parks:?}");
}

/// Time that one run takes, at best.
fn time(mut run: impl FnMut()) -> std::time::Duration {
    const RUNS: u32 = 10_000;
    let lots = (0..20).map(|_| {
        let begin = std::time::Instant::now();
        (0..RUNS).for_each(|_| run());
        begin.elapsed() / RUNS
    });
    lots.min().unwrap()
}
