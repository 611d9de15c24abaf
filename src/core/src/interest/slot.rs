//! One match result and how it stays current.
//!
//! Knows no table and no other result: `cache` decides which results there are.

use super::changes::{Changes, Prints};
use super::match_set::{MatchSet, Receiver};

/// `Slot::seen` of a result that must be built anew.
pub(super) const SEEN_STALE: u64 = u64::MAX;
/// Removals and new groups patched into a result without a use in between. Each costs a search of the set; a
/// result that nobody asks for is not worth more of them.
const PATCHES_UNUSED_MAX: u8 = 16;
/// Changes of wildcards compared with a subject one by one, plus one per target, before building anew is cheaper.
const CANDIDATES_MIN: usize = 32;

/// A result and what says whether it is current.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) set: MatchSet,
    /// Wildcard changes it has seen, or [`SEEN_STALE`].
    pub(super) seen: u64,
    pub(super) hash: u32,
    pub(super) prints: Prints,
    /// What it counts for in `Cache::bytes`.
    pub(super) bytes: usize,
    pub(super) patches_unused: u8,
    pub(super) used: bool,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            set: MatchSet::default(),
            seen: SEEN_STALE,
            hash: 0,
            prints: Prints::default(),
            bytes: 0,
            patches_unused: 0,
            used: false,
        }
    }

    /// Applies the wildcard changes it has not seen; false, and stale, if that is not possible or not worth it.
    pub(super) fn catch_up(&mut self, subject: &[u8], changes: &Changes) -> bool {
        if self.seen == changes.count() {
            return true;
        }
        if self.seen == SEEN_STALE {
            return false;
        }
        let set = &mut self.set;
        let candidates_max = CANDIDATES_MIN + set.targets();
        let complete = changes.replay(self.seen, subject, self.prints, candidates_max, |change| {
            let receiver = change.receiver();
            if change.added {
                set.add(&receiver);
            } else {
                set.remove(&receiver);
            }
        });
        let is_current = complete && !self.set.is_mostly_garbage();
        self.seen = if is_current {
            changes.count()
        } else {
            SEEN_STALE
        };
        is_current
    }

    /// Applies the gain (`added`) or loss of a literal subscription to the subject.
    pub(super) fn patch(
        &mut self,
        subject: &[u8],
        added: bool,
        receiver: &Receiver<'_>,
        changes: &Changes,
    ) {
        // First what happened before, or a reused subscription id could be mistaken for its predecessor.
        if !self.catch_up(subject, changes) {
            return;
        }
        if added {
            self.set.add(receiver);
        } else {
            self.set.remove(receiver);
        }
        if !added || receiver.queue_hash != 0 {
            self.patches_unused += 1;
        }
        if self.patches_unused > PATCHES_UNUSED_MAX || self.set.is_mostly_garbage() {
            self.seen = SEEN_STALE;
        }
    }

    #[inline]
    pub(super) fn mark_used(&mut self) {
        self.used = true;
        self.patches_unused = 0;
    }
}
