//! Who is next, and who finds no room.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// Where a test's clients are.
fn address(number: usize) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap()).into()
}

/// What the jobs of a test say when they are answered or done: their names.
#[derive(Default)]
struct World {
    waiting: Waiting,
    answered: Arc<Mutex<Vec<(&'static str, bool)>>>,
    out: Vec<Job>,
    now: Option<Instant>,
}

impl World {
    fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(Instant::now)
    }

    fn job(&mut self, name: &'static str, from: IpAddr, presence: Presence) -> Job {
        let answered = Arc::clone(&self.answered);
        Job {
            takes: Duration::ZERO,
            work: Box::new(|| Login::Refused(Refusal::default())),
            deadline: self.now() + LONG,
            ip: from,
            presence: Box::new(move || presence),
            done: Box::new(move |login| {
                let Login::Refused(refusal) = login else {
                    unreachable!()
                };
                answered.lock().unwrap().push((name, refusal.is_late));
            }),
        }
    }

    fn push(&mut self, name: &'static str, from: usize, presence: Presence) -> Result<(), Full> {
        let job = self.job(name, address(from), presence);
        self.waiting.push(job, &mut self.out)
    }

    fn there(&mut self, name: &'static str, from: usize) {
        self.push(name, from, Presence::There).unwrap();
    }

    /// Who had to make room.
    fn put_out(&mut self) -> Vec<&'static str> {
        self.out.drain(..).for_each(Job::answer_late);
        let answered = std::mem::take(&mut *self.answered.lock().unwrap());
        answered.into_iter().map(|(name, _)| name).collect()
    }

    /// The next, and whether it is answered without work.
    fn next(&mut self) -> Option<(&'static str, bool)> {
        let now = self.now();
        let (job, is_late) = self.waiting.next(now)?;
        if is_late {
            job.answer_late();
        } else {
            job.answer();
        }
        let answered = self.answered.lock().unwrap().pop().unwrap();
        assert_eq!(answered.1, is_late);
        Some(answered)
    }

    /// The names of all that are done, in order.
    fn rest(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.next())
            .map(|(name, is_late)| {
                assert!(!is_late, "{name}");
                name
            })
            .collect()
    }
}

#[test]
fn within_an_address_the_newest_is_first() {
    let mut world = World::default();
    for name in ["a", "b", "c"] {
        world.there(name, 1);
    }
    assert_eq!(world.rest(), ["c", "b", "a"]);
}

#[test]
fn addresses_take_turns() {
    let mut world = World::default();
    for (name, from) in [
        ("a1", 1),
        ("a2", 1),
        ("a3", 1),
        ("b1", 2),
        ("b2", 2),
        ("c1", 3),
    ] {
        world.there(name, from);
    }
    assert_eq!(world.rest(), ["c1", "b2", "a3", "b1", "a2", "a1"]);
}

#[test]
fn a_flood_delays_another_address_by_one_turn() {
    let mut world = World::default();
    for round in 0..100 {
        while world.push("flood", 1, Presence::There).is_ok() {}
        assert_eq!(world.next(), Some(("flood", false)));
        world.there("other", 2);
        while world.push("flood", 1, Presence::There).is_ok() {}
        assert_eq!(world.next(), Some(("other", false)), "round {round}");
    }
}

/// An address that never has two jobs at once is not taken for new each time.
#[test]
fn turns_are_remembered() {
    let mut world = World::default();
    world.there("a", 1);
    world.there("b1", 2);
    world.there("b2", 2);
    assert_eq!(world.next(), Some(("b2", false)));
    assert_eq!(world.next(), Some(("a", false)));
    world.there("a", 1);
    assert_eq!(world.next(), Some(("b1", false)));
    assert_eq!(world.rest(), ["a"]);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut world = World::default();
    for number in 0..3 * SHARES_MAX {
        // Some have their turn, some leave before.
        let presence = if number % 3 == 0 {
            Presence::Gone
        } else {
            Presence::There
        };
        world.push("x", number, presence).unwrap();
        assert!(world.next().is_some());
        assert!(world.waiting.shares.len() <= SHARES_MAX);
    }
    // Those that never have one.
    let mut world = World::default();
    for number in 0..2 * SHARES_MAX {
        world.push("x", number, Presence::Gone).unwrap();
        assert_eq!(world.next(), Some(("x", true)));
        assert!(world.waiting.shares.len() <= SHARES_MAX);
    }
}

#[test]
fn an_address_has_its_share_and_no_more() {
    let mut world = World::default();
    for _ in 0..JOBS_PER_ADDRESS_MAX {
        world.there("a", 1);
    }
    assert_eq!(world.push("a", 1, Presence::There), Err(Full));
    world.there("b", 2);
    assert!(world.put_out().is_empty());
    assert_eq!(world.rest().len(), JOBS_PER_ADDRESS_MAX + 1);
    world.there("a", 1);
}

#[test]
fn those_that_have_gone_hold_no_place_of_their_address() {
    let mut world = World::default();
    for _ in 0..JOBS_PER_ADDRESS_MAX / 2 {
        world.push("gone", 1, Presence::Gone).unwrap();
        world.push("leaving", 1, Presence::Leaving).unwrap();
    }
    world.there("a", 1);
    assert_eq!(world.put_out(), ["gone"; JOBS_PER_ADDRESS_MAX / 2]);
    assert_eq!(world.waiting.len(), 1);
    assert_eq!(world.next(), Some(("a", false)));
    assert_eq!(world.rest(), ["leaving"; JOBS_PER_ADDRESS_MAX / 2]);
}

#[test]
fn many_addresses_that_fill_everything_make_room_for_others() {
    let mut world = World::default();
    let floods = JOBS_WAITING_MAX / JOBS_PER_ADDRESS_MAX;
    for number in 0..JOBS_WAITING_MAX {
        world.there("flood", number % floods);
    }
    for number in 0..floods {
        world.there("other", floods + number);
        assert_eq!(world.put_out(), ["flood"]);
        assert_eq!(world.waiting.len(), JOBS_WAITING_MAX);
    }
    for _ in 0..floods {
        assert_eq!(world.next(), Some(("other", false)));
    }
    assert!(world.rest().iter().all(|name| *name == "flood"));
    // As many addresses as there are places: then it is first come, first served.
    for number in 0..JOBS_WAITING_MAX {
        world.there("one", number);
    }
    assert_eq!(
        world.push("other", JOBS_WAITING_MAX, Presence::There),
        Err(Full)
    );
    assert!(world.put_out().is_empty());
}

#[test]
fn no_work_for_those_that_have_gone() {
    let mut world = World::default();
    world.there("a", 1);
    world.push("gone", 1, Presence::Gone).unwrap();
    assert_eq!(world.next(), Some(("gone", true)));
    // That was no turn.
    world.there("b", 2);
    world.there("a", 1);
    assert_eq!(world.rest(), ["a", "b", "a"]);
    assert!(world.waiting.jobs.is_empty() && world.waiting.leaving.is_empty());
}

#[test]
fn those_that_leave_are_last_and_few() {
    let mut world = World::default();
    world.there("a", 1);
    for name in ["first", "second"] {
        world.push(name, 1, Presence::Leaving).unwrap();
    }
    assert_eq!(world.rest(), ["a", "second", "first"]);
    for number in 0..JOBS_LEAVING_MAX + 2 {
        world.push("leaving", number, Presence::Leaving).unwrap();
    }
    let mut late = 0;
    while let Some((_, is_late)) = world.next() {
        late += usize::from(is_late);
    }
    assert_eq!(late, 2);
}

#[test]
fn the_late_ones_of_any_address_are_found() {
    let mut world = World::default();
    let begin = world.now();
    for (after, name) in ["a", "b", "leaving", "c", "d"].into_iter().enumerate() {
        let presence = if name == "leaving" {
            Presence::Leaving
        } else {
            Presence::There
        };
        let mut job = world.job(name, address(after), presence);
        job.deadline = begin + Duration::from_secs(after as u64);
        world.waiting.push(job, &mut Vec::new()).unwrap();
    }
    assert_eq!(world.next(), Some(("d", false)));
    assert_eq!(world.next(), Some(("c", false)));
    let limit = begin + Duration::from_secs(1);
    while let Some(job) = world.waiting.take_late(limit) {
        world.out.push(job);
    }
    assert_eq!(world.put_out(), ["a", "b"]);
    assert!(
        world
            .waiting
            .shares
            .values()
            .all(|share| share.jobs.len() <= 1)
    );
    world.now = Some(limit);
    let job = world.waiting.next(limit).unwrap();
    assert!(!job.1, "there is a second left for it");
    job.0.answer();
    assert_eq!(world.put_out(), ["leaving"]);
    assert_eq!(world.next(), None);
}

#[test]
fn those_that_leave_are_late_as_well() {
    let mut world = World::default();
    let mut job = world.job("leaving", address(1), Presence::Leaving);
    let limit = world.now() + Duration::from_secs(1);
    job.deadline = limit;
    world.waiting.set_aside(1, job);
    assert!(
        world
            .waiting
            .take_late(limit - Duration::from_millis(1))
            .is_none()
    );
    world.waiting.take_late(limit).unwrap().answer_late();
    assert_eq!(world.put_out(), ["leaving"]);
}

#[test]
fn a_network_has_one_share() {
    let of = |text: &str| neighbourhood(text.parse().unwrap());
    assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::2"));
    assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    let mut world = World::default();
    for number in 0..JOBS_PER_ADDRESS_MAX {
        let from = format!("2001:db8::{number:x}").parse().unwrap();
        let job = world.job("a", from, Presence::There);
        world.waiting.push(job, &mut Vec::new()).unwrap();
    }
    let job = world.job("a", "2001:db8::ffff:1".parse().unwrap(), Presence::There);
    assert_eq!(world.waiting.push(job, &mut Vec::new()), Err(Full));
}

#[test]
fn a_question_that_panics_is_no_answer() {
    let mut world = World::default();
    let mut job = world.job("a", address(1), Presence::Gone);
    job.presence = Box::new(|| panic!("planted in the question"));
    world.waiting.push(job, &mut Vec::new()).unwrap();
    assert_eq!(world.rest(), ["a"]);
}

#[test]
fn the_question_lets_go_of_its_socket_before_the_work() {
    let mut world = World::default();
    let held = Arc::new(());
    let (weak, in_question) = (Arc::downgrade(&held), held);
    let mut job = world.job("a", address(1), Presence::There);
    job.presence = Box::new(move || {
        assert_eq!(Arc::strong_count(&in_question), 1);
        Presence::There
    });
    job.work = Box::new(move || {
        assert!(weak.upgrade().is_none());
        Login::Granted(Arc::new(gnatsd_core::auth::User {
            name: "a".into(),
            permissions: None,
        }))
    });
    let (send, answer) = std::sync::mpsc::channel();
    job.done = Box::new(move |login| send.send(login).unwrap());
    job.answer();
    assert!(matches!(answer.recv().unwrap(), Login::Granted(_)));
}
