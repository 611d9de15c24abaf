//! The interest table seen from outside: figures and pages for monitoring, and a check of itself.
//!
//! Reads everything, changes nothing; no message waits for it.

use super::Interest;
use super::announced::Announced;
use super::hash::fold;
use super::match_set::{MatchSet, Receiver, Spare};
use super::remote::shard_of_key;
use super::subs::{HOME_LITERAL, SubId};
use crate::engine::snapshot::InterestStats;
use crate::subject;

/// Places that [`Interest::page`] looks at in one call: a page of a table that once was large must not
/// hold up its shard.
const PAGE_PLACES_MAX: u32 = 64 * 1024;

/// Heap bytes of an interest table, by what they are for; see [`Interest::memory`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterestMemory {
    /// Records and texts of the subscriptions.
    pub subscriptions: usize,
    /// From connection and sid to subscription.
    pub sids: usize,
    /// Literal subjects and lists of equal subjects.
    pub literals: usize,
    /// Patterns.
    pub trie: usize,
    /// What other shards want, and what they were told; their patterns count as patterns here.
    pub shared: usize,
    /// Match results and what keeps them current.
    pub cache: usize,
}

impl Interest {
    /// Figures for `/subsz`.
    ///
    /// # Cost
    /// Visits the cached results.
    pub fn stats(&self) -> InterestStats {
        let receivers = || self.cache.iter().map(|set| set.receivers() as u64);
        InterestStats {
            subscriptions: (self.subs.len() - self.remotes.len()) as u64,
            cache_entries: self.cache.len() as u64,
            inserts: self.counts.inserts,
            removes: self.counts.removes,
            matches: self.counts.matches,
            cache_hits: self.counts.cache_hits,
            fanout_max: receivers().max().unwrap_or_default(),
            fanout_sum: receivers().sum(),
        }
    }

    /// Subscriptions from place `from` on, at most `limit`, and where the next page begins. A page may be
    /// short, even empty, and still have a next one.
    pub fn page(&self, from: u32, limit: u32) -> (Vec<SubId>, Option<u32>) {
        let end = self.subs.places().min(from.saturating_add(PAGE_PLACES_MAX));
        let mut page = Vec::new();
        let mut place = from;
        while place < end && page.len() < limit as usize {
            page.extend(Some(SubId(place)).filter(|&id| self.is_own(id)));
            place += 1;
        }
        (page, (place < self.subs.places()).then_some(place))
    }

    /// Whether a record is a subscription of this shard, and not another's interest.
    fn is_own(&self, id: SubId) -> bool {
        self.subs.is_live(id) && shard_of_key(self.subs[id].conn()).is_none()
    }

    /// Heap bytes held.
    ///
    /// # Cost
    /// Visits every subscription.
    pub fn memory(&self) -> InterestMemory {
        let texts: usize = self.subs.iter().map(|(_, sub)| sub.text_bytes()).sum();
        InterestMemory {
            subscriptions: self.subs.record_bytes() + texts,
            sids: self.sids.bytes(),
            literals: self.literals.bytes() + self.lists.bytes(),
            trie: self.trie.bytes(),
            shared: self.remotes.bytes() + self.announced.as_ref().map_or(0, Announced::bytes),
            cache: self.cache.bytes() + self.changes.bytes(),
        }
    }

    /// Panics if anything in the table contradicts something else.
    ///
    /// # Cost
    /// Rebuilds every cached result, and worse: for debug builds and tests with small tables.
    pub fn check_invariants(&self) {
        self.subs.check_invariants();
        self.lists.check_invariants();
        self.sids.check_invariants();
        self.remotes.check_invariants();
        assert_eq!(
            self.sids.len() + self.remotes.len(),
            self.subs.len(),
            "a sid for each subscription"
        );
        for (id, sub) in self.subs.iter().filter(|&(id, _)| self.is_own(id)) {
            assert_eq!(
                self.find(sub.conn(), sub.sid()),
                Some(id),
                "found by its sid"
            );
            assert!(
                sub.max == 0 || sub.delivered <= sub.max,
                "{id:?} got more than it asked for"
            );
            assert_eq!(
                sub.home == HOME_LITERAL,
                !subject::has_wildcard(sub.subject()),
                "home of {id:?}"
            );
        }
        let filtered = self.subs.iter().filter(|(_, sub)| sub.is_filtered());
        assert_eq!(filtered.count(), self.filters.len(), "filters are of some");
        let hash_of = |subject: &[u8]| fold(self.hashes.text(subject));
        let literals = self
            .literals
            .check_invariants(&self.lists, &self.subs, hash_of);
        let patterns = self
            .trie
            .check_invariants(&self.hashes, &self.lists, &self.subs);
        assert_eq!(
            literals + patterns,
            self.subs.len(),
            "every subscription is filed once"
        );
        assert_eq!(
            self.counts.inserts - self.counts.removes,
            (self.subs.len() - self.remotes.len()) as u64,
            "counts"
        );
        self.cache.check_invariants(&self.changes, |subject| {
            let (mut set, mut spare) = (MatchSet::default(), Spare::default());
            set.begin(subject, &mut spare);
            for (id, sub) in self
                .subs
                .iter()
                .filter(|(_, sub)| subject::matches(sub.subject(), subject))
            {
                set.build_push(Receiver::new(id, sub, &self.filters), &mut spare);
            }
            set.hash = self.hashes.text(subject);
            set.set_literal_shards(self.remotes.literal(set.hash));
            (hash_of(subject), set)
        });
        if let Some(announced) = &self.announced {
            let own = self.subs.iter().filter(|&(id, _)| self.is_own(id));
            let wanted = own.map(|(_, sub)| (sub.subject(), sub.queue_name()));
            announced.check_invariants(&self.hashes, wanted);
        }
    }
}
