//! Subscriptions of one shard: an arena of records, and the list of each connection's own.
//!
//! Owns the texts and the counters. Knows no matching: where a subscription is filed is only noted here.

use std::ops::{Index, IndexMut};

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
/// `Sub::home` of a free record.
const HOME_FREE: u32 = u32::MAX - 1;
/// Records an arena can hold; the top bit of an id is taken by [`super::lists::Entry`].
const SUBS_MAX: usize = 1 << 31;

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
    /// Neighbours among the subscriptions of `conn`, in a ring; in a free record `conn_next` is the next free one.
    conn_prev: u32,
    conn_next: u32,
    /// Where the interest table files it: [`HOME_LITERAL`] or a trie node.
    pub(super) home: u32,
    /// Its place in the list there, if there is more than one.
    pub(super) place: u32,
    subject_len: u32,
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
        &self.text[self.subject_len as usize..][..self.sid_len as usize]
    }

    /// The queue group it is a member of.
    pub fn queue(&self) -> Option<&[u8]> {
        (self.queue_hash != 0).then(|| self.queue_name())
    }

    pub(super) fn queue_name(&self) -> &[u8] {
        &self.text[(self.subject_len + self.sid_len) as usize..]
    }

    pub(super) fn queue_hash(&self) -> u32 {
        self.queue_hash
    }

    /// Bytes on the heap beside the record.
    pub(super) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    fn free(next: u32) -> Self {
        Self {
            text: Box::default(),
            delivered: 0,
            max: 0,
            conn: ConnKey(NIL),
            conn_prev: NIL,
            conn_next: next,
            home: HOME_FREE,
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
#[derive(Debug)]
pub struct Subs {
    records: Vec<Sub>,
    free: u32,
    live: usize,
}

impl Index<SubId> for Subs {
    type Output = Sub;

    #[inline]
    fn index(&self, id: SubId) -> &Sub {
        &self.records[id.0 as usize]
    }
}

impl IndexMut<SubId> for Subs {
    #[inline]
    fn index_mut(&mut self, id: SubId) -> &mut Sub {
        &mut self.records[id.0 as usize]
    }
}

impl Subs {
    pub(super) fn new() -> Self {
        Self {
            records: Vec::new(),
            free: NIL,
            live: 0,
        }
    }

    /// Subscriptions held.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// Places in the arena, free ones included.
    pub(super) fn places(&self) -> u32 {
        u32::try_from(self.records.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn is_live(&self, id: SubId) -> bool {
        self.records
            .get(id.0 as usize)
            .is_some_and(|sub| sub.home != HOME_FREE)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SubId, &Sub)> {
        (0..)
            .zip(&self.records)
            .filter(|(_, sub)| sub.home != HOME_FREE)
            .map(|(index, sub)| (SubId(index), sub))
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
        let id = self.take_free();
        let sub = &mut self[id];
        sub.text = text.into_boxed_slice();
        sub.conn = conn;
        sub.home = HOME_LITERAL;
        sub.subject_len = subject.len() as u32;
        sub.sid_len = sid.len() as u32;
        sub.queue_hash = queue_hash;
        self.link(conn_subs, id);
        self.live += 1;
        id
    }

    /// Frees a record and gives its text to the caller, who has still to take it out of where it is filed.
    pub(super) fn remove(&mut self, conn_subs: &mut ConnSubs, id: SubId) -> Sub {
        debug_assert!(self.is_live(id), "{id:?} removed twice");
        self.unlink(conn_subs, id);
        let free = Sub::free(self.free);
        self.free = id.0;
        self.live -= 1;
        std::mem::replace(&mut self[id], free)
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

    fn take_free(&mut self) -> SubId {
        if self.free == NIL {
            assert!(self.records.len() < SUBS_MAX, "ids have 31 bits");
            self.records.push(Sub::free(NIL));
            return SubId(self.places() - 1);
        }
        let id = SubId(self.free);
        self.free = self[id].conn_next;
        id
    }

    fn link(&mut self, conn_subs: &mut ConnSubs, id: SubId) {
        if conn_subs.head == NIL {
            conn_subs.head = id.0;
            self[id].conn_prev = id.0;
            self[id].conn_next = id.0;
        } else {
            let head = SubId(conn_subs.head);
            let last = SubId(self[head].conn_prev);
            self[id].conn_prev = last.0;
            self[id].conn_next = head.0;
            self[last].conn_next = id.0;
            self[head].conn_prev = id.0;
        }
        conn_subs.len += 1;
    }

    fn unlink(&mut self, conn_subs: &mut ConnSubs, id: SubId) {
        debug_assert!(conn_subs.len > 0, "the list of another connection");
        let (prev, next) = (self[id].conn_prev, self[id].conn_next);
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

    /// Panics unless the rings and the free list hold together.
    pub(super) fn check_invariants(&self) {
        let mut free = 0;
        let mut next = self.free;
        while next != NIL {
            assert!(!self.is_live(SubId(next)), "a free record is in use");
            free += 1;
            next = self[SubId(next)].conn_next;
        }
        assert_eq!(
            free + self.live,
            self.records.len(),
            "every record is live or free"
        );
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
