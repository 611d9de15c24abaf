//! Subscriptions of one shard: an arena of records, and the list of each connection's own.
//!
//! Owns the texts and the counters. Knows no matching: where a subscription is filed is only noted here.

use std::ops::{Index, IndexMut};

use super::arena::Arena;

/// Index of a connection on its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnKey(pub u32);

/// Names a subscription of this shard. Reused after removal: keep none across one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubId(pub(super) u32);

impl SubId {
    /// Position in the shard's arena; what a paging cursor counts in.
    pub fn index(self) -> u32 {
        self.0
    }
}

/// "No subscription" in links between records.
const NIL: u32 = u32::MAX;
/// `Sub::home` of a literal subscription; any other value is a node of the trie.
pub(super) const HOME_LITERAL: u32 = u32::MAX;

/// Bit of `Sub::sid_len`: the table keeps a filter for the subscription. A sid is part of a control line, far below.
const FILTERED: u32 = 1 << 31;

/// One subscription.
///
/// Exactly one cache line, so that counting a delivery touches one. The three texts share one allocation.
#[derive(Debug)]
#[repr(align(64))]
pub struct Sub {
    /// Subject, sid and queue group name, back to back.
    text: Box<[u8]>,
    /// Messages delivered since the SUB; an UNSUB does not reset it.
    pub delivered: u64,
    /// Deliveries after which the subscription ends; 0 is no limit.
    pub max: u64,
    conn: ConnKey,
    /// Neighbours among the subscriptions of `conn`, in a ring.
    conn_prev: u32,
    conn_next: u32,
    /// Where the interest table files it: [`HOME_LITERAL`] or a trie node.
    pub(super) home: u32,
    /// Its place in the list there, if there is more than one.
    pub(super) place: u32,
    subject_len: u32,
    /// And [`FILTERED`].
    sid_len: u32,
    /// Keyed hash of the queue group name, 0 without a group.
    queue_hash: u32,
}

const _: () = assert!(size_of::<Sub>() == 64);

impl Sub {
    /// The connection it belongs to.
    pub fn conn(&self) -> ConnKey {
        self.conn
    }

    /// The subject subscribed to.
    pub fn subject(&self) -> &[u8] {
        &self.text[..self.subject_len as usize]
    }

    /// The client's own name for it.
    pub fn sid(&self) -> &[u8] {
        &self.text[self.subject_len as usize..][..self.sid_bytes() as usize]
    }

    fn sid_bytes(&self) -> u32 {
        self.sid_len & !FILTERED
    }

    /// Whether some messages are kept from it.
    pub(super) fn is_filtered(&self) -> bool {
        self.sid_len & FILTERED != 0
    }

    pub(super) fn set_filtered(&mut self, is_filtered: bool) {
        self.sid_len = self.sid_bytes() | if is_filtered { FILTERED } else { 0 };
    }

    /// The queue group it is a member of.
    pub fn queue(&self) -> Option<&[u8]> {
        (self.queue_hash != 0).then(|| self.queue_name())
    }

    pub(super) fn queue_name(&self) -> &[u8] {
        &self.text[(self.subject_len + self.sid_bytes()) as usize..]
    }

    pub(super) fn queue_hash(&self) -> u32 {
        self.queue_hash
    }

    /// Bytes on the heap beside the record.
    pub(super) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// What stays in the place of a record that has gone.
    fn gone() -> Self {
        Self {
            text: Box::default(),
            delivered: 0,
            max: 0,
            conn: ConnKey(NIL),
            conn_prev: NIL,
            conn_next: NIL,
            home: HOME_LITERAL,
            place: 0,
            subject_len: 0,
            sid_len: 0,
            queue_hash: 0,
        }
    }
}

/// The subscriptions of one connection: head of a ring through their records, oldest first.
#[derive(Debug)]
pub struct ConnSubs {
    head: u32,
    len: u32,
}

impl Default for ConnSubs {
    fn default() -> Self {
        Self { head: NIL, len: 0 }
    }
}

impl ConnSubs {
    /// Number of subscriptions.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The oldest one.
    pub fn first(&self) -> Option<SubId> {
        (self.head != NIL).then_some(SubId(self.head))
    }
}

/// All subscriptions of a shard.
#[derive(Debug, Default)]
pub struct Subs {
    records: Arena<Sub>,
}

impl Index<SubId> for Subs {
    type Output = Sub;

    #[inline]
    fn index(&self, id: SubId) -> &Sub {
        &self.records[id.0]
    }
}

impl IndexMut<SubId> for Subs {
    #[inline]
    fn index_mut(&mut self, id: SubId) -> &mut Sub {
        &mut self.records[id.0]
    }
}

impl Subs {
    /// Subscriptions held.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Places in the arena up to the last one used, free ones included.
    pub(super) fn places(&self) -> u32 {
        self.records.end()
    }

    /// Heap bytes of the records; the texts are beside them.
    pub(super) fn record_bytes(&self) -> usize {
        self.records.bytes()
    }

    pub(super) fn is_live(&self, id: SubId) -> bool {
        self.records.has(id.0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SubId, &Sub)> {
        self.records.iter().map(|(at, sub)| (SubId(at), sub))
    }

    /// Adds a record and links it to its connection's others. The caller files it.
    pub(super) fn insert(
        &mut self,
        conn: ConnKey,
        conn_subs: &mut ConnSubs,
        subject: &[u8],
        sid: &[u8],
        queue: &[u8],
        queue_hash: u32,
    ) -> SubId {
        let mut text = Vec::with_capacity(subject.len() + sid.len() + queue.len());
        text.extend_from_slice(subject);
        text.extend_from_slice(sid);
        text.extend_from_slice(queue);
        assert!(
            u32::try_from(text.len()).is_ok(),
            "a control line is far below 4 GiB"
        );
        let (prev, next) = match conn_subs.first() {
            Some(first) => (self[first].conn_prev, first.0),
            None => (NIL, NIL),
        };
        let id = SubId(self.records.insert(Sub {
            text: text.into_boxed_slice(),
            conn,
            conn_prev: prev,
            conn_next: next,
            subject_len: subject.len() as u32,
            sid_len: sid.len() as u32,
            queue_hash,
            ..Sub::gone()
        }));
        self.link(conn_subs, id, prev);
        id
    }

    /// Frees a record and gives it to the caller, who has still to take it out of where it is filed.
    pub(super) fn remove(&mut self, conn_subs: &mut ConnSubs, id: SubId) -> Sub {
        debug_assert!(self.is_live(id), "{id:?} removed twice");
        let sub = self.records.remove(id.0, Sub::gone());
        self.unlink(conn_subs, id, &sub);
        sub
    }

    /// The subscriptions of one connection, oldest first.
    pub(super) fn of_conn(&self, conn_subs: &ConnSubs) -> impl Iterator<Item = SubId> {
        let mut next = conn_subs.head;
        (0..conn_subs.len).map(move |_| {
            let id = SubId(next);
            next = self[id].conn_next;
            id
        })
    }

    /// Ties the ring to a record that names its neighbours, the last of which is `prev`.
    fn link(&mut self, conn_subs: &mut ConnSubs, id: SubId, prev: u32) {
        match conn_subs.first() {
            Some(first) => {
                self[SubId(prev)].conn_next = id.0;
                self[first].conn_prev = id.0;
            }
            None => {
                conn_subs.head = id.0;
                let sub = &mut self[id];
                (sub.conn_prev, sub.conn_next) = (id.0, id.0);
            }
        }
        conn_subs.len += 1;
    }

    /// Closes the ring over a record that has gone.
    fn unlink(&mut self, conn_subs: &mut ConnSubs, id: SubId, sub: &Sub) {
        debug_assert!(conn_subs.len > 0, "the list of another connection");
        let (prev, next) = (sub.conn_prev, sub.conn_next);
        if next == id.0 {
            conn_subs.head = NIL;
        } else {
            self[SubId(prev)].conn_next = next;
            self[SubId(next)].conn_prev = prev;
            if conn_subs.head == id.0 {
                conn_subs.head = next;
            }
        }
        conn_subs.len -= 1;
    }

    /// Panics unless the arena and the rings hold together.
    pub(super) fn check_invariants(&self) {
        self.records.check_invariants();
        for (id, sub) in self.iter() {
            let (prev, next) = (&self[SubId(sub.conn_prev)], &self[SubId(sub.conn_next)]);
            assert_eq!(
                (prev.conn_next, next.conn_prev),
                (id.0, id.0),
                "neighbours of {id:?}"
            );
            assert_eq!(
                (prev.conn, next.conn),
                (sub.conn, sub.conn),
                "a ring is one connection's"
            );
        }
    }
}
