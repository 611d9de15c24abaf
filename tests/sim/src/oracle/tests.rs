//! Histories written by hand: those that hold, and for each fault one that does not.

use super::judge;
use crate::history::{ConnId, ConnKind, Fault, History, MsgId, SubId};

/// A publisher and two subscribers of `foo`, all in force.
struct Scene {
    h: History,
    publisher: ConnId,
    readers: [ConnId; 2],
    subs: [SubId; 2],
}

impl Scene {
    fn new(queue: Option<&str>) -> Self {
        let mut h = History::default();
        let kind = ConnKind {
            headers: true,
            ..ConnKind::default()
        };
        let publisher = h.connect(kind);
        let readers = [0, 1].map(|_| h.connect(ConnKind::default()));
        let subs = readers.map(|conn| h.subscribe(conn, "foo", queue));
        let mut scene = Scene {
            h,
            publisher,
            readers,
            subs,
        };
        scene.round_trip(readers[0]);
        scene.round_trip(readers[1]);
        scene
    }

    fn round_trip(&mut self, conn: ConnId) {
        self.h.ping(conn);
        self.h.pong(conn);
    }

    /// Published, and not confirmed.
    fn say(&mut self) -> MsgId {
        self.h.publish(self.publisher, "foo", None)
    }

    /// Published and confirmed.
    fn publish(&mut self) -> MsgId {
        let msg = self.say();
        self.round_trip(self.publisher);
        msg
    }

    fn both_get(&mut self, msg: MsgId) {
        self.h.got(self.subs[0], msg);
        self.h.got(self.subs[1], msg);
    }

    #[track_caller]
    fn holds(&self) {
        assert_eq!(judge(&self.h), []);
    }

    #[track_caller]
    fn breaks(&self, fault: Fault) {
        let faults: Vec<Fault> = judge(&self.h).iter().map(|f| f.fault).collect();
        assert!(!faults.is_empty(), "{fault:?} was not found");
        assert!(faults.iter().all(|f| *f == fault), "{faults:?}");
    }
}

#[test]
fn a_history_without_fault_holds() {
    let mut s = Scene::new(None);
    for _ in 0..3 {
        let msg = s.publish();
        s.both_get(msg);
    }
    let late = s.say();
    s.h.got(s.subs[0], late);
    s.h.got(s.subs[1], late);
    s.round_trip(s.readers[0]);
    s.holds();
}

#[test]
fn a_confirmed_message_that_does_not_come_is_a_gap() {
    let mut s = Scene::new(None);
    let msg = s.publish();
    s.h.got(s.subs[0], msg);
    s.breaks(Fault::Gap);
    // Not if its reader has left.
    s.h.leave(s.readers[1]);
    s.holds();
}

#[test]
fn an_unconfirmed_message_may_be_lost_but_not_between_others() {
    let mut s = Scene::new(None);
    let [_, second] = [0; 2].map(|_| s.say());
    s.h.leave(s.publisher);
    s.holds();
    s.both_get(second);
    s.breaks(Fault::Gap);
    let mut s = Scene::new(None);
    let [first, second, third] = [0; 3].map(|_| s.say());
    s.both_get(first);
    s.h.got(s.subs[0], third);
    s.h.got(s.subs[1], second);
    s.h.got(s.subs[1], third);
    s.breaks(Fault::Gap);
    // Before the subscription is in force it may get some and not others.
    let mut s = Scene::new(None);
    let early = s.h.subscribe(s.readers[0], "foo", None);
    let msgs = [0; 3].map(|_| s.publish());
    for msg in msgs {
        s.both_get(msg);
        if msg != msgs[1] {
            s.h.got(early, msg);
        }
    }
    s.holds();
}

#[test]
fn a_message_read_by_one_confirms_it_and_those_before_it_for_all() {
    let mut s = Scene::new(None);
    let (first, second) = (s.say(), s.say());
    s.h.got(s.subs[0], first);
    s.h.got(s.subs[0], second);
    // Told of the second, the other one unsubscribes: both were there before.
    s.h.unsubscribe(s.subs[1], 0);
    s.breaks(Fault::Gap);
    s.h.got(s.subs[1], first);
    s.h.got(s.subs[1], second);
    s.holds();
}

#[test]
fn a_pong_does_not_overtake_what_was_confirmed_before_its_ping() {
    let mut s = Scene::new(None);
    let msg = s.publish();
    s.h.got(s.subs[0], msg);
    s.h.ping(s.readers[1]);
    s.h.pong(s.readers[1]);
    s.h.got(s.subs[1], msg);
    s.breaks(Fault::Gap);
}

#[test]
fn twice_is_a_duplicate() {
    let mut s = Scene::new(None);
    let msg = s.publish();
    s.both_get(msg);
    s.h.got(s.subs[0], msg);
    s.breaks(Fault::Duplicate);
}

#[test]
fn the_wrong_order_is_a_reorder_and_only_between_the_same_two() {
    let mut s = Scene::new(None);
    let other = s.h.connect(ConnKind::default());
    let (first, second) = (s.publish(), s.publish());
    let third = s.h.publish(other, "foo", None);
    s.h.got(s.subs[0], third);
    s.both_get(first);
    s.both_get(second);
    s.h.got(s.subs[1], third);
    s.holds();
    let mut s = Scene::new(None);
    let (first, second) = (s.publish(), s.publish());
    s.both_get(second);
    s.both_get(first);
    s.breaks(Fault::Reorder);
}

#[test]
fn what_does_not_match_or_is_ones_own_with_echo_off_is_a_stranger() {
    let mut s = Scene::new(None);
    let msg = s.h.publish(s.publisher, "bar", None);
    s.h.got(s.subs[0], msg);
    s.breaks(Fault::Stranger);
    let mut h = History::default();
    let conn = h.connect(ConnKind {
        no_echo: true,
        ..ConnKind::default()
    });
    let sub = h.subscribe(conn, "foo", None);
    let msg = h.publish(conn, "foo", None);
    assert_eq!(judge(&h), []);
    h.got(sub, msg);
    assert_eq!(judge(&h)[0].fault, Fault::Stranger);
}

#[test]
fn what_was_confirmed_before_a_sub_is_a_stranger_to_it() {
    let mut s = Scene::new(None);
    let msg = s.publish();
    s.both_get(msg);
    let late = s.h.subscribe(s.readers[0], "foo", None);
    s.holds();
    s.h.got(late, msg);
    s.breaks(Fault::Stranger);
}

#[test]
fn a_message_behind_the_pong_of_an_unsub_is_after_it() {
    let mut s = Scene::new(None);
    s.h.unsubscribe(s.subs[0], 0);
    s.h.ping(s.readers[0]);
    let msg = s.publish();
    s.h.got(s.subs[1], msg);
    s.h.got(s.subs[0], msg);
    s.h.pong(s.readers[0]);
    s.holds();
    let msg = s.publish();
    s.h.got(s.subs[1], msg);
    s.holds();
    s.h.got(s.subs[0], msg);
    s.breaks(Fault::AfterUnsub);
}

#[test]
fn an_unsub_holds_for_whoever_read_what_came_behind_it() {
    let mut s = Scene::new(None);
    s.h.unsubscribe(s.subs[0], 0);
    let go = s.h.publish(s.readers[0], "go", None);
    let ear = s.h.subscribe(s.publisher, "go", None);
    s.h.got(ear, go);
    let msg = s.publish();
    s.h.got(s.subs[1], msg);
    s.holds();
    s.h.got(s.subs[0], msg);
    s.breaks(Fault::AfterUnsub);
}

#[test]
fn a_maximum_is_reached_and_not_passed() {
    let mut s = Scene::new(None);
    s.h.unsubscribe(s.subs[0], 2);
    s.round_trip(s.readers[0]);
    let msgs = [0; 3].map(|_| s.publish());
    for msg in msgs {
        s.h.got(s.subs[1], msg);
    }
    s.h.got(s.subs[0], msgs[0]);
    s.breaks(Fault::Gap);
    s.h.got(s.subs[0], msgs[1]);
    s.holds();
    s.h.got(s.subs[0], msgs[2]);
    s.breaks(Fault::AfterUnsub);
}

#[test]
fn one_member_of_a_group_gets_it() {
    let mut s = Scene::new(Some("q"));
    let msg = s.publish();
    s.breaks(Fault::Gap);
    s.h.got(s.subs[0], msg);
    s.holds();
    s.h.got(s.subs[1], msg);
    s.breaks(Fault::Duplicate);
}

#[test]
fn who_is_alone_in_a_group_gets_all_of_it_before_its_pong() {
    let mut h = History::default();
    let [publisher, reader] = [0; 2].map(|_| h.connect(ConnKind::default()));
    let sub = h.subscribe(reader, "foo", Some("q"));
    h.ping(reader);
    h.pong(reader);
    let msg = h.publish(publisher, "foo", None);
    h.ping(publisher);
    h.pong(publisher);
    h.ping(reader);
    h.pong(reader);
    h.got(sub, msg);
    assert_eq!(judge(&h)[0].fault, Fault::Gap);
}

#[test]
fn a_group_loses_nothing_by_an_unsub_and_perhaps_something_by_a_client_that_leaves() {
    let mut s = Scene::new(Some("q"));
    s.h.unsubscribe(s.subs[0], 0);
    s.publish();
    s.breaks(Fault::Gap);
    let mut s = Scene::new(Some("q"));
    s.publish();
    s.h.leave(s.readers[0]);
    s.holds();
    // Not once the server knows.
    s.h.end(s.readers[0]);
    s.publish();
    s.breaks(Fault::Gap);
}

#[test]
fn a_message_given_to_a_second_member_may_be_late() {
    let mut s = Scene::new(Some("q"));
    let (first, second) = (s.publish(), s.publish());
    s.h.got(s.subs[0], second);
    s.h.got(s.subs[0], first);
    s.breaks(Fault::Reorder);
    let mut s = Scene::new(Some("q"));
    s.h.unsubscribe(s.subs[1], 0);
    let (first, second) = (s.publish(), s.publish());
    s.h.got(s.subs[0], second);
    s.h.got(s.subs[0], first);
    s.holds();
}

#[test]
fn nobody_is_told_that_nobody_listens_while_somebody_does() {
    let mut s = Scene::new(None);
    let conn = s.publisher;
    s.h.subscribe(conn, "_INBOX.*", None);
    let asked = s.h.publish(conn, "foo", Some("_INBOX.1"));
    s.round_trip(conn);
    s.both_get(asked);
    s.holds();
    s.h.status(asked);
    s.breaks(Fault::FalseNoResponders);
    // If all of them may just have gone, it may be true.
    let mut s = Scene::new(None);
    s.h.subscribe(conn, "_INBOX.*", None);
    s.h.unsubscribe(s.subs[0], 0);
    s.h.unsubscribe(s.subs[1], 0);
    let asked = s.h.publish(conn, "foo", Some("_INBOX.1"));
    s.h.status(asked);
    s.holds();
    s.h.status(asked);
    s.breaks(Fault::FalseNoResponders);
}

#[test]
fn who_asks_nobody_is_told_so() {
    let mut s = Scene::new(None);
    let conn = s.publisher;
    s.h.subscribe(conn, "_INBOX.*", None);
    let asked = s.h.publish(conn, "bar", Some("_INBOX.1"));
    s.round_trip(conn);
    s.breaks(Fault::NoStatus);
    s.h.status(asked);
    s.holds();
}

#[test]
fn a_ping_wants_its_pong_and_a_verbose_client_its_okays() {
    let mut s = Scene::new(None);
    s.h.ping(s.publisher);
    s.breaks(Fault::Unanswered);
    s.h.pong(s.publisher);
    s.holds();
    let mut h = History::default();
    let conn = h.connect(ConnKind {
        verbose: true,
        ..ConnKind::default()
    });
    h.subscribe(conn, "foo", None);
    h.okay(conn);
    assert_eq!(judge(&h)[0].fault, Fault::Unanswered);
    h.okay(conn);
    assert_eq!(judge(&h), []);
    h.pong(conn);
    assert_eq!(judge(&h)[0].fault, Fault::Stranger);
}
