//! Subscriptions without a wildcard: from subject to those who want exactly it.
//!
//! Eight bytes per subject: the subject's text is read from the first subscription to it.

use super::hash::spread;
use super::lists::{Entry, Lists};
use super::split_table::{Hashed, SplitTable};
use super::subs::{HOME_LITERAL, SubId, Subs};

#[derive(Debug)]
struct Bucket {
    hash: u32,
    entry: Entry,
}

impl Hashed for Bucket {
    fn hash(&self) -> u64 {
        spread(self.hash)
    }
}

/// The literal subjects with a subscription.
#[derive(Debug, Default)]
pub(super) struct Literals {
    table: SplitTable<Bucket>,
}

impl Literals {
    /// The subscriptions to `subject`, whose hash is `hash`.
    pub(super) fn find<'a>(
        &'a self,
        hash: u32,
        subject: &[u8],
        lists: &'a Lists,
        subs: &Subs,
    ) -> &'a [SubId] {
        self.table
            .find(spread(hash), |bucket| {
                bucket.hash == hash && subs[lists.first(bucket.entry)].subject() == subject
            })
            .map_or(&[], |bucket| lists.members(&bucket.entry))
    }

    pub(super) fn insert(
        &mut self,
        hash: u32,
        subject: &[u8],
        id: SubId,
        lists: &mut Lists,
        subs: &mut Subs,
    ) {
        let found = self.table.find_mut(spread(hash), |bucket| {
            bucket.hash == hash && subs[lists.first(bucket.entry)].subject() == subject
        });
        if let Some(bucket) = found {
            lists.push(&mut bucket.entry, id, subs);
        } else {
            let mut entry = Entry::NONE;
            lists.push(&mut entry, id, subs);
            self.table.insert(Bucket { hash, entry });
        }
    }

    /// Takes out `id`, whose record is already free and had `place` in its list.
    pub(super) fn remove(
        &mut self,
        hash: u32,
        subject: &[u8],
        id: SubId,
        place: u32,
        lists: &mut Lists,
        subs: &mut Subs,
    ) {
        let spot = self.table.locate(spread(hash), |bucket| {
            let first = lists.first(bucket.entry);
            bucket.hash == hash && (first == id || subs[first].subject() == subject)
        });
        let bucket = spot.and_then(|spot| Some((spot, self.table.get_mut(spot)?)));
        let Some((spot, bucket)) = bucket else {
            debug_assert!(false, "{id:?} is not filed");
            return;
        };
        lists.remove(&mut bucket.entry, id, place, subs);
        if bucket.entry.is_none() {
            self.table.take(spot);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// Panics unless every entry is what it should be; gives the number of subscriptions.
    pub(super) fn check_invariants(
        &self,
        lists: &Lists,
        subs: &Subs,
        hash_of: impl Fn(&[u8]) -> u32,
    ) -> usize {
        self.table.check_invariants();
        let mut count = 0;
        for bucket in self.table.iter() {
            count += lists.check_entry(bucket.entry, HOME_LITERAL, subs);
            let subject = subs[lists.first(bucket.entry)].subject();
            assert_eq!(bucket.hash, hash_of(subject), "hash of a literal");
            for &id in lists.members(&bucket.entry) {
                assert_eq!(subs[id].subject(), subject, "one list, one subject");
            }
        }
        count
    }
}
