//! Reply subjects that one connection may publish to because it was sent them (`allow_responses`).
//!
//! Owns how often and how long, and the bound on how many there are. Knows no list.

use hashbrown::HashTable;

use super::rules::Responses;
use crate::time::Time;

/// Reply subjects remembered for one connection. Source: nats-server `server/client.go`, replyPermLimit,
/// which is where it starts to prune; here nothing is kept beyond it.
pub(super) const PERMITS_MAX: usize = 4096;
/// Bytes of all of them: who asks chooses how long they are.
pub(super) const PERMIT_BYTES_MAX: usize = PERMITS_MAX * 128;
/// Outdated permits that one new one removes: more than it adds, so that they go, and few, so that no
/// message pays for thousands.
const PRUNED_AT_ONCE: usize = 2;
/// A longer text is freed with its permit, a shorter one kept for the next.
const KEPT_TEXT_MAX: usize = 64;
/// More slots than these are freed when none is in use.
const KEPT_SLOTS_MAX: usize = 64;

/// No slot.
const NONE: u32 = u32::MAX;

/// The permits of one connection, the oldest first.
#[derive(Debug)]
pub(super) struct Permits {
    responses: Responses,
    /// The slots in use, by the hash of their text.
    table: HashTable<u32>,
    slots: Vec<Slot>,
    /// Slots in use from the oldest to the newest, and those that are free.
    oldest: u32,
    newest: u32,
    free: u32,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    hash: u64,
    text: Vec<u8>,
    granted: Time,
    /// Answers left; `None` for no limit.
    left: Option<u64>,
    older: u32,
    /// For a free slot the next free one.
    newer: u32,
}

impl Permits {
    pub(super) fn new(responses: Responses) -> Self {
        Permits {
            responses,
            table: HashTable::new(),
            slots: Vec::new(),
            oldest: NONE,
            newest: NONE,
            free: NONE,
            bytes: 0,
        }
    }

    /// Grants answers to `reply`, besides those it may have left: each message may be answered.
    ///
    /// # Cost
    /// No allocation if a permit was used up before and its text was short.
    pub(super) fn grant(&mut self, hash: u64, reply: &[u8], now: Time) {
        for _ in 0..PRUNED_AT_ONCE {
            match self.slots.get(self.oldest as usize) {
                Some(slot) if !self.is_current(slot, now) => self.remove(self.oldest),
                _ => break,
            }
        }
        let mut left = self.responses.max;
        if let Some(at) = self.find(hash, reply) {
            let slot = &self.slots[at as usize];
            if self.is_current(slot, now) {
                left = left
                    .zip(slot.left)
                    .map(|(more, left)| more.saturating_add(left));
            }
            self.remove(at);
        }
        if left == Some(0) || reply.len() > PERMIT_BYTES_MAX {
            return;
        }
        while self.table.len() >= PERMITS_MAX || self.bytes + reply.len() > PERMIT_BYTES_MAX {
            self.remove(self.oldest);
        }
        self.insert(hash, reply, now, left);
    }

    /// Takes one answer to `subject`; false if there is none.
    pub(super) fn take(&mut self, hash: u64, subject: &[u8], now: Time) -> bool {
        let Some(at) = self.find(hash, subject) else {
            return false;
        };
        let is_current = self.is_current(&self.slots[at as usize], now);
        let is_last = match &mut self.slots[at as usize].left {
            Some(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            None => false,
        };
        if is_last || !is_current {
            self.remove(at);
        }
        is_current
    }

    fn is_current(&self, slot: &Slot, now: Time) -> bool {
        let expires = self.responses.expires;
        expires.is_none_or(|expires| now.since(slot.granted) <= expires)
    }

    fn find(&self, hash: u64, text: &[u8]) -> Option<u32> {
        let is_it = |&at: &u32| {
            let slot = &self.slots[at as usize];
            slot.hash == hash && slot.text == text
        };
        self.table.find(hash, is_it).copied()
    }

    fn insert(&mut self, hash: u64, text: &[u8], now: Time, left: Option<u64>) {
        if self.free == NONE {
            self.free = self.slots.len() as u32;
            self.slots.push(Slot {
                hash: 0,
                text: Vec::new(),
                granted: now,
                left: None,
                older: NONE,
                newer: NONE,
            });
        }
        let at = self.free;
        let slot = &mut self.slots[at as usize];
        self.free = slot.newer;
        slot.hash = hash;
        slot.text.extend_from_slice(text);
        slot.granted = now;
        slot.left = left;
        slot.older = self.newest;
        slot.newer = NONE;
        match self.slots.get_mut(self.newest as usize) {
            Some(before) => before.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
        self.bytes += text.len();
        let slots = &self.slots;
        self.table
            .insert_unique(hash, at, |&at| slots[at as usize].hash);
    }

    fn remove(&mut self, at: u32) {
        let slot = &mut self.slots[at as usize];
        let (hash, older, newer) = (slot.hash, slot.older, slot.newer);
        self.bytes -= slot.text.len();
        if slot.text.capacity() > KEPT_TEXT_MAX {
            slot.text = Vec::new();
        }
        slot.text.clear();
        slot.newer = self.free;
        self.free = at;
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == at) {
            entry.remove();
        }
        if self.table.is_empty() && self.slots.len() > KEPT_SLOTS_MAX {
            *self = Permits::new(self.responses);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn permits(max: Option<u64>, expires_s: Option<u64>) -> Permits {
        Permits::new(Responses {
            max,
            expires: expires_s.map(Duration::from_secs),
        })
    }

    /// A poor hash on purpose: many texts share one.
    fn hash(text: &[u8]) -> u64 {
        text.iter().map(|&byte| u64::from(byte)).sum::<u64>() % 7
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    impl Permits {
        fn check_invariants(&self) {
            let (mut count, mut bytes, mut at, mut older) = (0, 0, self.oldest, NONE);
            while let Some(slot) = self.slots.get(at as usize) {
                assert_eq!(slot.older, older);
                assert_eq!(self.find(slot.hash, &slot.text), Some(at));
                (count, bytes) = (count + 1, bytes + slot.text.len());
                (older, at) = (at, slot.newer);
            }
            assert_eq!(self.newest, older);
            assert_eq!((count, bytes), (self.table.len(), self.bytes));
            let (mut free, mut at) = (0, self.free);
            while let Some(slot) = self.slots.get(at as usize) {
                assert!(slot.text.is_empty());
                (free, at) = (free + 1, slot.newer);
            }
            assert_eq!(count + free, self.slots.len());
        }
    }

    #[test]
    fn each_message_is_worth_its_answers_until_they_expire() {
        let mut permits = permits(Some(2), Some(10));
        permits.grant(1, b"r", at(0));
        assert!(permits.take(1, b"r", at(10)));
        assert!(!permits.take(1, b"r", at(11)), "expired");
        permits.grant(1, b"r", at(20));
        permits.grant(1, b"r", at(21));
        for _ in 0..4 {
            assert!(permits.take(1, b"r", at(30)));
        }
        assert!(!permits.take(1, b"r", at(30)), "used up");
        permits.check_invariants();
    }

    #[test]
    fn no_limits() {
        let mut permits = permits(None, None);
        permits.grant(1, b"r", at(0));
        for _ in 0..100 {
            assert!(permits.take(1, b"r", at(1 << 30)));
        }
        assert!(!permits.take(1, b"s", at(0)));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut permits = permits(Some(1), None);
        let subject = |n: usize| format!("reply.{n}").into_bytes();
        for n in 0..PERMITS_MAX + 3 {
            permits.grant(hash(&subject(n)), &subject(n), at(0));
        }
        assert_eq!(permits.table.len(), PERMITS_MAX);
        assert!(!permits.take(hash(&subject(2)), &subject(2), at(0)));
        assert!(permits.take(hash(&subject(3)), &subject(3), at(0)));
        permits.check_invariants();
    }

    #[test]
    fn long_subjects_are_bounded_in_bytes() {
        let mut permits = permits(Some(1), None);
        let subject = |n: u32| [&n.to_be_bytes()[..], &[b'x'; 4000]].concat();
        for n in 0..500 {
            permits.grant(1, &subject(n), at(0));
            assert!(permits.bytes <= PERMIT_BYTES_MAX);
        }
        assert_eq!(permits.table.len(), PERMIT_BYTES_MAX / 4004);
        permits.grant(1, &vec![b'y'; PERMIT_BYTES_MAX + 1], at(0));
        assert!(permits.take(1, &subject(499), at(0)));
        permits.check_invariants();
    }

    #[test]
    fn a_burst_gives_its_memory_back() {
        let mut permits = permits(Some(1), Some(1));
        for n in 0..1000_u32 {
            permits.grant(u64::from(n), &n.to_be_bytes(), at(0));
        }
        for n in 0..1000_u32 {
            permits.take(u64::from(n), &n.to_be_bytes(), at(0));
        }
        assert!(permits.slots.len() <= KEPT_SLOTS_MAX);
    }

    proptest! {
        /// Against a queue that is searched.
        #[test]
        fn like_a_list(
            max in prop_oneof![Just(None), (0_u64..4).prop_map(Some)],
            expires in prop_oneof![Just(None), (0_u64..20).prop_map(Some)],
            steps in proptest::collection::vec((any::<bool>(), 0_u8..12, 0_u64..4), 0..200),
        ) {
            let mut permits = permits(max, expires);
            let mut model: VecDeque<(u8, u64, Option<u64>)> = VecDeque::new();
            let mut now = 0;
            for (is_grant, name, pause) in steps {
                now += pause;
                let text = vec![b'a' + name; usize::from(name) * 9];
                model.retain(|&(_, granted, left)| {
                    left != Some(0) && expires.is_none_or(|expires| now - granted <= expires)
                });
                let found = model.iter_mut().find(|permit| permit.0 == name);
                if is_grant {
                    permits.grant(hash(&text), &text, at(now));
                    match found {
                        Some((_, granted, left)) => {
                            *granted = now;
                            *left = left.map(|left| left + max.unwrap_or_default());
                        }
                        None => model.push_back((name, now, max)),
                    }
                } else {
                    let expected = found.is_some();
                    if let Some((_, _, Some(left))) = found {
                        *left -= 1;
                    }
                    prop_assert_eq!(permits.take(hash(&text), &text, at(now)), expected);
                }
                permits.check_invariants();
            }
        }
    }
}
