//! Who wants a subject: the subscriptions of one shard, and the results of matching against them.
//!
//! Owns the subscriptions of the shard's own connections. Knows no connection beyond its number, chooses no
//! member of a queue group and delivers nothing. Step "match" of the PUB path, and nothing in it allocates
//! once its buffers have grown.
//!
//! ```text
//!  match_subject ── hint ──> cache ──> literals + trie        subscribe / remove
//!                     │        │          │                     │
//!                     └────────┴── MatchSet <── patch: literal ──┤
//!                                     ^                         │
//!                                     └── changes <── wildcard ──┘
//! ```
//!
//! - `subs`: the records, one cache line each; `lists`: those with one subject together.
//! - `arena`, `split_table`, `queue`: what holds these. Each grows in small steps and gives memory back as it
//!   empties, so that no change stalls the shard and a burst of subscriptions leaves nothing behind.
//! - `literals` and `trie`: where a subscription is filed, by whether it has a wildcard.
//! - `match_set`: a result; `cache`: results kept, each in a `slot`; `doorkeeper`: which are worth it;
//!   `changes`: what kept results still have to learn.
//! - `filters`: what permissions keep from a subscription that is wider than they are.
//! - `inspect`: figures for monitoring, and the table's check of itself.

mod announced;
mod arena;
mod cache;
mod changes;
mod doorkeeper;
mod filters;
mod hash;
mod inspect;
mod lists;
mod literals;
mod match_set;
mod queue;
mod remote;
mod slot;
mod split_table;
mod subs;
#[cfg(test)]
mod tests;
mod token;
mod trie;

use std::fmt;
use std::sync::Arc;

use crate::permissions::DeliveryFilter;
use crate::shard_set::ShardSet;
use crate::subject;
use announced::Announced;
use cache::{Cache, SLOT_EMPTY, SLOT_LAST};
use changes::Changes;
use filters::Filters;
use hash::{Hashes, fold, spread};
use lists::Lists;
use literals::Literals;
use match_set::{Receiver, Spare};
use remote::Remotes;
use split_table::{Hashed, SplitTable};
use subs::HOME_LITERAL;
use trie::{Trie, Walk};

pub use cache::CacheLimits;
pub use inspect::InterestMemory;
pub use match_set::{Group, MatchSet, Remote, Target};
pub use subs::{ConnKey, ConnSubs, Sub, SubId, Subs};

/// Literal subjects of other shards that take the memory of one subscription, about.
const LITERALS_PER_SUBSCRIPTION: usize = 8;

/// What became of a SUB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// A new subscription.
    New(SubId),
    /// The connection has a subscription with this sid; it stays as it is.
    Duplicate(SubId),
}

/// The subject of a SUB has an empty token, or `>` before its last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSubject;

impl fmt::Display for InvalidSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid subject")
    }
}

impl std::error::Error for InvalidSubject {}

/// Remembers a connection's last match. Never wrong: at worst the table is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct MatchHint {
    slot: u32,
}

/// Names the result of a match. Good until the next match or change of a subscription.
#[derive(Clone, Copy, Debug)]
pub struct MatchRef {
    slot: u32,
}

#[derive(Debug)]
struct SidKey {
    hash: u32,
    sub: SubId,
}

impl Hashed for SidKey {
    fn hash(&self) -> u64 {
        spread(self.hash)
    }
}

#[derive(Debug, Default)]
struct Counts {
    inserts: u64,
    removes: u64,
    matches: u64,
    cache_hits: u64,
}

/// The subscriptions of one shard.
#[derive(Debug)]
pub struct Interest {
    hashes: Hashes,
    subs: Subs,
    filters: Filters,
    sids: SplitTable<SidKey>,
    lists: Lists,
    literals: Literals,
    trie: Trie,
    changes: Changes,
    cache: Cache,
    walk: Walk,
    spare: Spare,
    counts: Counts,
    remotes: Remotes,
    /// What the other shards know, if there are any.
    announced: Option<Announced>,
    /// What [`Interest::has_shrunk`] compares with.
    most_held: usize,
}

impl Interest {
    /// An empty table whose hashes are keyed by `seed`: random in a server, or clients could choose texts
    /// that collide.
    pub fn new(seed: u64) -> Self {
        Self::with_limits(seed, CacheLimits::default())
    }

    /// An empty table with other bounds for its match cache.
    pub fn with_limits(seed: u64, limits: CacheLimits) -> Self {
        Self {
            hashes: Hashes::new(seed),
            subs: Subs::default(),
            filters: Filters::default(),
            sids: SplitTable::default(),
            lists: Lists::default(),
            literals: Literals::default(),
            trie: Trie::new(),
            changes: Changes::new(limits.changes_max),
            cache: Cache::new(limits),
            walk: Walk::default(),
            spare: Spare::default(),
            counts: Counts::default(),
            remotes: Remotes::default(),
            announced: None,
            most_held: 0,
        }
    }

    /// Keeps account from now on of what other shards have to be told. Only for an empty table.
    pub fn share(&mut self) {
        debug_assert!(self.subs.len() == 0, "subscriptions would go untold");
        self.announced = Some(Announced::default());
    }

    /// Whether a subscription would be news for other shards.
    #[inline]
    pub fn is_news(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        let queue = queue.unwrap_or_default();
        self.announced
            .as_ref()
            .is_some_and(|announced| announced.is_news(&self.hashes, subject, queue))
    }

    /// What the other shards are to be told next, encoded for [`apply`](Self::apply). The caller empties
    /// it once it is sent.
    pub fn outgoing(&mut self) -> Option<&mut Vec<u8>> {
        self.announced.as_mut().map(Announced::outgoing)
    }

    /// Bytes of it.
    #[inline]
    pub fn outgoing_len(&self) -> usize {
        self.announced.as_ref().map_or(0, Announced::outgoing_len)
    }

    /// Changes that the other shards will be told of when there is room: removals and weights.
    #[inline]
    pub fn untold(&self) -> usize {
        self.announced.as_ref().map_or(0, Announced::dirty)
    }

    /// Adds at most `limit` of those to what goes out next.
    pub fn tell_changes(&mut self, limit: usize) {
        if let Some(announced) = &mut self.announced {
            announced.tell_dirty(limit);
        }
    }

    /// Forgets them untold.
    #[cfg(feature = "mutants")]
    pub fn forget_changes(&mut self) {
        if let Some(announced) = &mut self.announced {
            announced.forget_dirty();
        }
    }

    /// Adds a subscription of `conn`, whose others are `conn_subs`. An empty `queue` is no queue group.
    ///
    /// A sid in use wins over everything else, a malformed subject included (gnatsd 1.2.0).
    ///
    /// # Errors
    /// [`InvalidSubject`]; the sid stays free.
    ///
    /// # Cost
    /// One allocation for the texts. Independent of how many others want the subject, and of the cache.
    pub fn subscribe(
        &mut self,
        conn: ConnKey,
        conn_subs: &mut ConnSubs,
        subject: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
    ) -> Result<Inserted, InvalidSubject> {
        self.subscribe_filtered(conn, conn_subs, subject, queue, sid, None)
    }

    /// The same for a subscription that some of what it asks for is kept from. Only wildcards ask for more than
    /// they name: for others the filter is of no effect.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_filtered(
        &mut self,
        conn: ConnKey,
        conn_subs: &mut ConnSubs,
        subject: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
        filter: Option<Arc<DeliveryFilter>>,
    ) -> Result<Inserted, InvalidSubject> {
        let sid_hash = self.hashes.sid(conn.0, sid, b"");
        if let Some(id) = self.find_hashed(sid_hash, conn, sid) {
            return Ok(Inserted::Duplicate(id));
        }
        if !subject::is_valid_subscription(subject) {
            return Err(InvalidSubject);
        }
        let filter = filter.filter(|_| subject::has_wildcard(subject));
        let queue = queue.unwrap_or_default();
        let queue_hash = if queue.is_empty() {
            0
        } else {
            self.hashes.text_nonzero(queue)
        };
        let id = self
            .subs
            .insert(conn, conn_subs, subject, sid, queue, queue_hash);
        self.sids.insert(SidKey {
            hash: sid_hash,
            sub: id,
        });
        let receiver = Receiver {
            sub: id,
            conn,
            sid,
            queue,
            queue_hash,
            weight: 0,
            filter: filter.as_ref(),
        };
        self.file(id, subject, &receiver);
        self.filters.set(id, &mut self.subs[id], filter.clone());
        if let Some(announced) = &mut self.announced {
            announced.add(&self.hashes, subject, queue);
        }
        self.counts.inserts += 1;
        Ok(Inserted::New(id))
    }

    /// The subscription of `conn` with this sid.
    pub fn find(&self, conn: ConnKey, sid: &[u8]) -> Option<SubId> {
        self.find_hashed(self.hashes.sid(conn.0, sid, b""), conn, sid)
    }

    /// Removes a subscription. `conn_subs` are those of the connection it belongs to.
    ///
    /// # Cost
    /// Independent of how many others want the subject, but for the search of one cached result.
    pub fn remove(&mut self, conn_subs: &mut ConnSubs, id: SubId) {
        let sub = self.subs.remove(conn_subs, id);
        let sid_hash = self.hashes.sid(sub.conn().0, sub.sid(), b"");
        let key = self.sids.remove(spread(sid_hash), |key| key.sub == id);
        debug_assert!(key.is_some(), "{id:?} has no sid");
        self.unfile(id, &sub);
        if sub.is_filtered() {
            self.filters.forget(id);
        }
        if let Some(announced) = &mut self.announced {
            announced.remove(&self.hashes, sub.subject(), sub.queue_name());
        }
        self.counts.removes += 1;
    }

    /// Changes what is kept from a subscription, from the next match on.
    pub fn set_filter(&mut self, id: SubId, filter: Option<Arc<DeliveryFilter>>) {
        let sub = &self.subs[id];
        // What a literal subscription may not have at all it was not given.
        let is_concerned = subject::has_wildcard(sub.subject());
        if !is_concerned || (filter.is_none() && !sub.is_filtered()) {
            return;
        }
        let receiver = Receiver::new(id, sub, &self.filters);
        self.changes
            .note(&self.hashes, false, sub.subject(), &receiver);
        let receiver = Receiver {
            filter: filter.as_ref(),
            ..receiver
        };
        self.changes
            .note(&self.hashes, true, sub.subject(), &receiver);
        self.filters.set(id, &mut self.subs[id], filter.clone());
    }

    /// Removes at most `limit` subscriptions of a connection, oldest first; true when none is left.
    pub fn remove_some(&mut self, conn_subs: &mut ConnSubs, limit: usize) -> bool {
        for _ in 0..limit {
            let Some(id) = conn_subs.first() else { break };
            self.remove(conn_subs, id);
        }
        conn_subs.is_empty()
    }

    /// Whether the table has become smaller by at least `by` subscriptions since it last said so. Their memory,
    /// some 200 bytes each, is free then, and an allocator that keeps what is freed may be told to give it to
    /// the system. Churn alone is no reason for it. To be asked now and then, at best in each turn.
    pub fn has_shrunk(&mut self, by: usize) -> bool {
        let held = self.subs.len() + self.remotes.literals() / LITERALS_PER_SUBSCRIPTION;
        if held + by <= self.most_held {
            self.most_held = held;
            return true;
        }
        self.most_held = self.most_held.max(held);
        false
    }

    /// A subscription that exists.
    ///
    /// # Panics
    /// May panic, or give another subscription, if it was removed.
    pub fn sub(&self, id: SubId) -> &Sub {
        debug_assert!(self.subs.is_live(id), "{id:?} was removed");
        &self.subs[id]
    }

    /// The same, to change its counters.
    ///
    /// # Panics
    /// As [`Interest::sub`].
    pub fn sub_mut(&mut self, id: SubId) -> &mut Sub {
        debug_assert!(self.subs.is_live(id), "{id:?} was removed");
        &mut self.subs[id]
    }

    /// The subscriptions of one connection, oldest first.
    pub fn of_conn(&self, conn_subs: &ConnSubs) -> impl Iterator<Item = SubId> {
        self.subs.of_conn(conn_subs)
    }

    /// Finds who receives a message published to `subject`, taken token by token literally. `hint`
    /// belongs to the publishing connection. An empty subject, which no line can name, reaches nobody.
    ///
    /// # Cost
    /// A comparison if the connection published to the subject last; else a look into the cache; else
    /// the tables.
    #[inline]
    pub fn match_subject(&mut self, subject: &[u8], hint: &mut MatchHint) -> MatchRef {
        if !self.cache.is_current(hint.slot, subject, &self.changes) {
            hint.slot = self.match_cached(subject);
        }
        MatchRef { slot: hint.slot }
    }

    /// A result, and beside it the subscriptions, whose counters delivery changes.
    #[inline]
    pub fn matched(&mut self, result: MatchRef) -> (&MatchSet, &mut Subs) {
        (self.cache.set(result.slot), &mut self.subs)
    }

    /// Matches so far that no kept result has answered.
    #[inline]
    pub fn builds(&self) -> u64 {
        self.counts.matches - self.counts.cache_hits
    }

    /// Puts a record where matching finds it, and tells the results that are kept.
    fn file(&mut self, id: SubId, subject: &[u8], receiver: &Receiver<'_>) {
        if subject::has_wildcard(subject) {
            self.trie
                .insert(&self.hashes, subject, id, &mut self.lists, &mut self.subs);
            self.changes.note(&self.hashes, true, subject, receiver);
        } else {
            let hash = fold(self.hashes.text(subject));
            self.literals
                .insert(hash, subject, id, &mut self.lists, &mut self.subs);
            self.cache
                .patch(hash, subject, true, receiver, &self.changes);
        }
    }

    /// Takes a record that is free already out of there.
    fn unfile(&mut self, id: SubId, sub: &Sub) {
        let receiver = Receiver::new(id, sub, &self.filters);
        let subject = sub.subject();
        if sub.home == HOME_LITERAL {
            let hash = fold(self.hashes.text(subject));
            self.literals.remove(
                hash,
                subject,
                id,
                sub.place,
                &mut self.lists,
                &mut self.subs,
            );
            self.cache
                .patch(hash, subject, false, &receiver, &self.changes);
        } else {
            self.trie.remove(
                sub.home,
                subject,
                id,
                sub.place,
                &mut self.lists,
                &mut self.subs,
            );
            self.changes.note(&self.hashes, false, subject, &receiver);
        }
    }

    /// Other shards that a result concerns.
    #[inline]
    pub fn shards(&self, result: MatchRef) -> ShardSet {
        self.cache.set(result.slot).shards()
    }

    fn find_hashed(&self, hash: u32, conn: ConnKey, sid: &[u8]) -> Option<SubId> {
        self.sids
            .find(spread(hash), |key| {
                key.hash == hash && {
                    let sub = &self.subs[key.sub];
                    sub.conn() == conn && sub.sid() == sid
                }
            })
            .map(|key| key.sub)
    }

    /// The slot with the result for `subject`, from the cache or built.
    #[inline(never)]
    fn match_cached(&mut self, subject: &[u8]) -> u32 {
        if subject.is_empty() {
            return SLOT_EMPTY;
        }
        self.counts.matches += 1;
        let hash = self.hashes.text(subject);
        match self.cache.find(fold(hash), subject) {
            Some(slot) if self.cache.catch_up(slot, subject, &self.changes) => {
                self.counts.cache_hits += 1;
                slot
            }
            Some(slot) => {
                self.build(hash, subject);
                self.cache.replace(slot)
            }
            None => {
                self.build(hash, subject);
                self.cache.admit(hash, &self.hashes)
            }
        }
    }

    /// Builds the result for `subject` in [`SLOT_LAST`] from the tables.
    fn build(&mut self, hash: u64, subject: &[u8]) {
        let Self {
            hashes,
            subs,
            filters,
            lists,
            literals,
            trie,
            changes,
            cache,
            walk,
            spare,
            remotes,
            ..
        } = self;
        let set = cache.last_mut(subject, spare);
        let mut push = |members: &[SubId]| {
            for &id in members {
                set.build_push(Receiver::new(id, &subs[id], filters), spare);
            }
        };
        trie.walk(hashes, subject, walk, |entry| push(lists.members(entry)));
        push(literals.find(fold(hash), subject, lists, subs));
        set.hash = hash;
        let shards = remotes.literal(hash);
        if !shards.is_empty() {
            set.set_literal_shards(shards);
        }
        cache.built(fold(hash), changes);
    }
}

const _: () = assert!(
    SLOT_EMPTY == 0 && SLOT_LAST == 1,
    "a default hint names the empty slot"
);
