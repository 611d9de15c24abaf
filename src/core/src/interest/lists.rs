//! Lists of subscriptions with the same subject.
//!
//! Nearly all lists have one member (an inbox); that one costs no memory beyond the four bytes that name
//! it. Longer ones are vectors in an arena: building a match set then reads independent records side by
//! side, which a linked list would fetch one after the other. Adding and removing are O(1) however long the
//! list is, because each record knows its place.

use super::subs::{SubId, Subs};

/// No subscription, one, or a list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(SubId);

/// Set in an [`Entry`] that names a list.
const LIST: u32 = 1 << 31;
/// A list of fewer slots is not worth shrinking, and is kept for reuse when it ends.
const SLOTS_KEPT: usize = 64;

impl Entry {
    pub(super) const NONE: Self = Self(SubId(u32::MAX));

    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }

    fn list(self) -> Option<usize> {
        (self.0.0 & LIST != 0 && !self.is_none()).then_some((self.0.0 & !LIST) as usize)
    }
}

/// The lists of more than one subscription.
#[derive(Debug, Default)]
pub(super) struct Lists {
    vecs: Vec<Vec<SubId>>,
    free: Vec<u32>,
}

impl Lists {
    /// The members, in no order that means anything.
    #[inline]
    pub(super) fn members<'a>(&'a self, entry: &'a Entry) -> &'a [SubId] {
        match entry.list() {
            Some(list) => &self.vecs[list],
            None if entry.is_none() => &[],
            None => std::slice::from_ref(&entry.0),
        }
    }

    /// Any member of an entry that has one.
    #[inline]
    pub(super) fn first(&self, entry: Entry) -> SubId {
        entry.list().map_or(entry.0, |list| self.vecs[list][0])
    }

    pub(super) fn push(&mut self, entry: &mut Entry, id: SubId, subs: &mut Subs) {
        let list = match entry.list() {
            Some(list) => list,
            None if entry.is_none() => {
                *entry = Entry(id);
                return;
            }
            None => {
                let list = self.free.pop().unwrap_or_else(|| {
                    self.vecs.push(Vec::new());
                    // Each list has two members at least, so there are fewer than 2^30.
                    (self.vecs.len() - 1) as u32
                });
                subs[entry.0].place = 0;
                self.vecs[list as usize].push(entry.0);
                *entry = Entry(SubId(list | LIST));
                list as usize
            }
        };
        let vec = &mut self.vecs[list];
        subs[id].place = vec.len() as u32;
        vec.push(id);
    }

    /// Takes out `id`, which had `place` in the list.
    pub(super) fn remove(&mut self, entry: &mut Entry, id: SubId, place: u32, subs: &mut Subs) {
        let Some(list) = entry.list() else {
            debug_assert_eq!(*entry, Entry(id), "removed from where it is not");
            *entry = Entry::NONE;
            return;
        };
        let vec = &mut self.vecs[list];
        let removed = vec.swap_remove(place as usize);
        debug_assert_eq!(removed, id, "a record has lost its place");
        if let Some(&moved) = vec.get(place as usize) {
            subs[moved].place = place;
        }
        if let [last] = vec[..] {
            *entry = Entry(last);
            vec.clear();
            vec.shrink_to(SLOTS_KEPT);
            self.free.push(list as u32);
        } else if vec.capacity() > SLOTS_KEPT && vec.len() < vec.capacity() / 4 {
            vec.shrink_to(vec.len() * 2);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let slots: usize = self.vecs.iter().map(Vec::capacity).sum();
        self.vecs.capacity() * size_of::<Vec<SubId>>()
            + slots * size_of::<SubId>()
            + self.free.capacity() * 4
    }

    /// Panics unless each member of `entry` knows its place; gives the number of members.
    pub(super) fn check_entry(&self, entry: Entry, home: u32, subs: &Subs) -> usize {
        let members = self.members(&entry);
        for (place, &id) in members.iter().enumerate() {
            assert!(subs.is_live(id), "{id:?} is filed and not live");
            assert_eq!(subs[id].home, home, "{id:?} is filed elsewhere");
            assert!(
                members.len() == 1 || subs[id].place as usize == place,
                "place of {id:?}"
            );
        }
        assert!(
            entry.list().is_none() || members.len() > 1,
            "a list of {}",
            members.len()
        );
        members.len()
    }

    /// Lists in use.
    pub(super) fn check_free(&self) {
        for &list in &self.free {
            assert!(
                self.vecs[list as usize].is_empty(),
                "a free list has members"
            );
        }
    }
}
