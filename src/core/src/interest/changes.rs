//! The latest changes among wildcard subscriptions, for match results to catch up with.
//!
//! A wildcard may concern any number of cached results. Visiting them at each SUB would make a SUB as
//! expensive as the cache is large, and emptying the cache would make each publish pay. So a change is only
//! noted here, and a result catches up when it is next asked for: changes are applied to it in order, and most
//! are ruled out by comparing a 32-bit print. A result that fell behind by more than the log holds is
//! built anew.

use std::sync::Arc;

use super::hash::Hashes;
use super::match_set::Receiver;
use super::subs::{ConnKey, SubId};
use crate::permissions::DeliveryFilter;
use crate::subject;

/// The print of a pattern that begins with a wildcard: it may concern any subject.
const PRINT_ANY: u32 = 0;

/// What a pattern must share with a subject to match it: the print of its first literal tokens, two at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prints {
    one: u32,
    two: u32,
}

impl Prints {
    /// The prints of a published subject.
    pub(super) fn of_subject(hashes: &Hashes, subject: &[u8]) -> Self {
        let mut dots = memchr::memchr_iter(subject::TOKEN_SEPARATOR, subject);
        let Some(first) = dots.next() else {
            let print = hashes.text_nonzero(subject);
            return Self {
                one: print,
                two: print,
            };
        };
        let second = dots.next().unwrap_or(subject.len());
        Self {
            one: hashes.text_nonzero(&subject[..first]),
            two: hashes.text_nonzero(&subject[..second]),
        }
    }

    /// The print of a valid pattern.
    fn of_pattern(hashes: &Hashes, pattern: &[u8]) -> u32 {
        let mut literal = 0;
        for token in subject::tokens(pattern).take(2) {
            if token == b"*" || token == b">" {
                break;
            }
            literal += token.len() + 1;
        }
        match literal {
            0 => PRINT_ANY,
            _ => hashes.text_nonzero(&pattern[..literal - 1]),
        }
    }
}

/// One wildcard subscription that came or went. Holds its texts: the record may be someone else's by now.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) added: bool,
    sub: SubId,
    conn: ConnKey,
    queue_hash: u32,
    weight: u32,
    subject_len: u32,
    sid_len: u32,
    filter: Option<Arc<DeliveryFilter>>,
    text: Vec<u8>,
}

impl Change {
    fn pattern(&self) -> &[u8] {
        &self.text[..self.subject_len as usize]
    }

    pub(super) fn receiver(&self) -> Receiver<'_> {
        let (sid, queue) = self.text[self.subject_len as usize..].split_at(self.sid_len as usize);
        Receiver {
            sub: self.sub,
            conn: self.conn,
            sid,
            queue,
            queue_hash: self.queue_hash,
            weight: self.weight,
            filter: self.filter.as_ref(),
        }
    }
}

/// A ring of the latest changes. `prints` and `changes` are parallel: most are ruled out by their print,
/// which is why those lie side by side.
#[derive(Debug)]
pub(super) struct Changes {
    /// Changes ever noted.
    count: u64,
    capacity: usize,
    prints: Vec<u32>,
    changes: Vec<Change>,
}

impl Changes {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            count: 0,
            capacity: capacity.max(1),
            prints: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Changes ever noted: a result that saw that many is current.
    #[inline]
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Notes a change. Allocates only until each place of the ring has held a text as long.
    pub(super) fn note(
        &mut self,
        hashes: &Hashes,
        added: bool,
        pattern: &[u8],
        receiver: &Receiver<'_>,
    ) {
        let at = (self.count % self.capacity as u64) as usize;
        let print = Prints::of_pattern(hashes, pattern);
        let change = Change {
            added,
            sub: receiver.sub,
            conn: receiver.conn,
            queue_hash: receiver.queue_hash,
            weight: receiver.weight,
            subject_len: pattern.len() as u32,
            sid_len: receiver.sid.len() as u32,
            filter: receiver.filter.cloned(),
            text: self
                .changes
                .get_mut(at)
                .map(|old| std::mem::take(&mut old.text))
                .unwrap_or_default(),
        };
        if at == self.changes.len() {
            self.changes.push(change);
            self.prints.push(print);
        } else {
            self.changes[at] = change;
            self.prints[at] = print;
        }
        let text = &mut self.changes[at].text;
        text.clear();
        text.extend_from_slice(pattern);
        text.extend_from_slice(receiver.sid);
        text.extend_from_slice(receiver.queue);
        self.count += 1;
    }

    /// Gives to `apply`, in order, the changes that concern `subject` and came after the first `seen`.
    /// False if they are not all here any more, or more than `candidates_max` had to be compared: the
    /// result is then of no use.
    pub(super) fn replay(
        &self,
        seen: u64,
        subject: &[u8],
        prints: Prints,
        candidates_max: usize,
        mut apply: impl FnMut(&Change),
    ) -> bool {
        let Some(behind) = self
            .count
            .checked_sub(seen)
            .filter(|&behind| behind <= self.capacity as u64)
        else {
            return false;
        };
        let start = (seen % self.capacity as u64) as usize;
        let end = start + behind as usize;
        let wrapped = end.saturating_sub(self.capacity);
        let mut budget = candidates_max;
        let mut each = |at: usize| -> bool {
            let change = &self.changes[at];
            if budget == 0 {
                return false;
            }
            budget -= 1;
            if subject::matches(change.pattern(), subject) {
                apply(change);
            }
            true
        };
        for range in [start..end - wrapped, 0..wrapped] {
            let mut at = range.start;
            for chunk in self.prints[range].chunks(PRINTS_COMPARED) {
                // Without a branch inside, so that it compiles to vector compares.
                let possible = chunk
                    .iter()
                    .fold(false, |any, &print| any | prints.admit(print));
                if possible {
                    for (offset, &print) in chunk.iter().enumerate() {
                        if prints.admit(print) && !each(at + offset) {
                            return false;
                        }
                    }
                }
                at += chunk.len();
            }
        }
        true
    }

    pub(super) fn bytes(&self) -> usize {
        let texts: usize = self
            .changes
            .iter()
            .map(|change| change.text.capacity())
            .sum();
        self.changes.capacity() * size_of::<Change>() + self.prints.capacity() * 4 + texts
    }
}

/// Prints compared before looking at whether one was admitted.
const PRINTS_COMPARED: usize = 32;

impl Prints {
    #[inline]
    fn admit(self, print: u32) -> bool {
        (print == PRINT_ANY) | (print == self.one) | (print == self.two)
    }
}
