//! What was decided of the subjects one connection published to lately.

use hashbrown::HashTable;

use crate::rng::Rng;

/// Subjects kept for one connection. Source: nats-server `server/client.go`, maxPermCacheSize.
pub(super) const DECISIONS_MAX: usize = 128;
/// Longer subjects are decided each time: the client chooses how long they are, and all of this together is
/// at most 16 KiB a connection.
pub(super) const SUBJECT_LEN_MAX: usize = 128;

/// A bounded cache: a new subject takes the place of any other, so that one more subject than there is room
/// for, published to in turn, does not make every look-up a miss.
#[derive(Debug)]
pub(super) struct Decisions {
    /// Places in `kept`, by the hash of their subject.
    table: HashTable<u8>,
    /// Invariant: at most [`DECISIONS_MAX`].
    kept: Vec<Decision>,
    rng: Rng,
}

#[derive(Debug)]
struct Decision {
    hash: u64,
    subject: Vec<u8>,
    is_allowed: bool,
}

const _: () = assert!(DECISIONS_MAX <= 1 << u8::BITS);

impl Decisions {
    /// Nothing decided; `seed` is for who has to go.
    pub(super) fn new(seed: u64) -> Self {
        Decisions {
            table: HashTable::new(),
            kept: Vec::new(),
            rng: Rng::new(seed),
        }
    }

    /// What was decided of `subject`.
    #[inline]
    pub(super) fn find(&self, hash: u64, subject: &[u8]) -> Option<bool> {
        let is_it = |&at: &u8| {
            let kept = &self.kept[usize::from(at)];
            kept.hash == hash && kept.subject == subject
        };
        let &at = self.table.find(hash, is_it)?;
        Some(self.kept[usize::from(at)].is_allowed)
    }

    /// Keeps a decision on a subject that is not kept, if it is short enough.
    pub(super) fn keep(&mut self, hash: u64, subject: &[u8], is_allowed: bool) {
        if subject.len() > SUBJECT_LEN_MAX {
            return;
        }
        let at = self.place();
        let kept = &mut self.kept[usize::from(at)];
        kept.hash = hash;
        kept.subject.clear();
        kept.subject.extend_from_slice(subject);
        kept.is_allowed = is_allowed;
        let kept = &self.kept;
        self.table
            .insert_unique(hash, at, |&at| kept[usize::from(at)].hash);
    }

    /// A place that is not in the table.
    fn place(&mut self) -> u8 {
        if self.kept.len() < DECISIONS_MAX {
            self.kept.push(Decision {
                hash: 0,
                subject: Vec::new(),
                is_allowed: false,
            });
            return (self.kept.len() - 1) as u8;
        }
        let at = self.rng.below(DECISIONS_MAX) as u8;
        let hash = self.kept[usize::from(at)].hash;
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == at) {
            entry.remove();
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_bounded_number_and_never_confuses_them() {
        let mut decisions = Decisions::new(1);
        for n in 0..10_000_u32 {
            let subject = n.to_be_bytes();
            // A poor hash on purpose.
            let hash = u64::from(n % 5);
            assert_eq!(decisions.find(hash, &subject), None);
            decisions.keep(hash, &subject, n % 3 == 0);
            assert_eq!(decisions.find(hash, &subject), Some(n % 3 == 0));
        }
        assert_eq!(decisions.kept.len(), DECISIONS_MAX);
        assert_eq!(decisions.table.len(), DECISIONS_MAX);
        let mut found = 0;
        for n in 0..10_000_u32 {
            if let Some(is_allowed) = decisions.find(u64::from(n % 5), &n.to_be_bytes()) {
                assert_eq!(is_allowed, n % 3 == 0);
                found += 1;
            }
        }
        assert_eq!(found, DECISIONS_MAX);
    }

    #[test]
    fn long_subjects_are_not_kept() {
        let mut decisions = Decisions::new(1);
        decisions.keep(7, &[b'x'; SUBJECT_LEN_MAX], true);
        decisions.keep(7, &[b'x'; SUBJECT_LEN_MAX + 1], true);
        assert_eq!(decisions.kept.len(), 1);
        assert_eq!(decisions.find(7, &[b'x'; SUBJECT_LEN_MAX + 1]), None);
    }

    #[test]
    fn a_few_subjects_too_many_still_hit() {
        let mut decisions = Decisions::new(1);
        let mut hits = 0;
        for round in 0..20 {
            for n in 0..DECISIONS_MAX as u32 + 8 {
                match decisions.find(u64::from(n), &n.to_be_bytes()) {
                    Some(_) => hits += usize::from(round > 0),
                    None => decisions.keep(u64::from(n), &n.to_be_bytes(), true),
                }
            }
        }
        let asked = 19 * (DECISIONS_MAX + 8);
        assert!(hits * 10 > asked * 8, "{hits} of {asked}");
    }
}
