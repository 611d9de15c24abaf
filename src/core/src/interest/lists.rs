//! Lists of subscriptions with the same subject.
//!
//! Nearly all lists have one member (an inbox); that one costs no memory beyond the four bytes that name
//! it. Longer ones are vectors in an arena: building a match set then reads independent records side by
//! side, which a linked list would fetch one after the other. Adding and removing are O(1) however long the
//! list is, because each record knows its place.

use super::arena::Arena;
use super::subs::{SubId, Subs};

/// No subscription, one, or a list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(SubId);

/// Set in an [`Entry`] that names a list.
const LIST: u32 = 1 << 31;
/// A list of fewer slots is not worth shrinking.
const SLOTS_KEPT: usize = 16;

impl Entry {
    pub(super) const NONE: Self = Self(SubId(u32::MAX));

    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }

    fn list(self) -> Option<u32> {
        (self.0.0 & LIST != 0 && !self.is_none()).then_some(self.0.0 & !LIST)
    }
}

/// The lists of more than one subscription.
#[derive(Debug, Default)]
pub(super) struct Lists {
    vecs: Arena<Vec<SubId>>,
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
                // Each list has two members at least, so there are fewer than 2^30.
                let list = self.vecs.insert(vec![entry.0]);
                subs[entry.0].place = 0;
                *entry = Entry(SubId(list | LIST));
                list
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
            self.vecs.remove(list, Vec::new());
        } else if vec.capacity() > SLOTS_KEPT && vec.len() < vec.capacity() / 4 {
            vec.shrink_to(vec.len() * 2);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let slots: usize = self.vecs.iter().map(|(_, vec)| vec.capacity()).sum();
        self.vecs.bytes() + slots * size_of::<SubId>()
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

    /// Panics unless the arena holds together and every list has members.
    pub(super) fn check_invariants(&self) {
        self.vecs.check_invariants();
        for (list, vec) in self.vecs.iter() {
            assert!(vec.len() > 1, "list {list} has {} members", vec.len());
        }
    }
}
