//! What a shard has told the others about its interest, and what it still has to tell.
//!
//! The others need little: of a literal subject a hash and whether anybody here wants it, of a pattern the
//! same with its text, of a queue group how many members it has here. Interest that is new is told at once
//! (whoever subscribes may rely on it: rule K1); everything else, removals above all, is state (K4): an entry
//! is marked, and its latest value goes out when there is room.

use super::arena::Arena;
use super::hash::{Hashes, fold, spread};
use super::queue::Queue;
use super::split_table::{Hashed, SplitTable};
use crate::bytes::take;
use crate::subject;

/// A literal subject that somebody here wants outside any queue group is gone.
const LITERAL_OFF: u8 = 0;
/// Somebody here wants it.
const LITERAL_ON: u8 = 1;
/// A pattern, or a subject with a queue group: weight, lengths, texts.
const TEXT: u8 = 2;

/// A change of another shard's interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// Whether a literal subject is wanted outside any queue group.
    Literal { hash: u64, is_wanted: bool },
    /// How many members a queue group has there for this subject or pattern; without a group, whether the
    /// pattern is wanted.
    Text {
        subject: &'a [u8],
        queue: &'a [u8],
        weight: u32,
    },
}

impl<'a> Change<'a> {
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Change::Literal { hash, is_wanted } => {
                out.push(if is_wanted { LITERAL_ON } else { LITERAL_OFF });
                out.extend_from_slice(&hash.to_le_bytes());
            }
            Change::Text {
                subject,
                queue,
                weight,
            } => {
                out.push(TEXT);
                // Parts of one control line, far below 4 GiB.
                for number in [weight, subject.len() as u32, queue.len() as u32] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                out.extend_from_slice(subject);
                out.extend_from_slice(queue);
            }
        }
    }

    /// Takes the first change off a batch; `None` at its end.
    pub(super) fn read(batch: &mut &'a [u8]) -> Option<Self> {
        let kind = *take(batch, 1)?.first()?;
        if kind != TEXT {
            let hash = u64::from_le_bytes(take(batch, 8)?.try_into().ok()?);
            let is_wanted = kind == LITERAL_ON;
            return Some(Change::Literal { hash, is_wanted });
        }
        let mut number = || Some(u32::from_le_bytes(take(batch, 4)?.try_into().ok()?));
        let (weight, subject_len, queue_len) = (number()?, number()?, number()?);
        Some(Change::Text {
            weight,
            subject: take(batch, subject_len as usize)?,
            queue: take(batch, queue_len as usize)?,
        })
    }
}

/// A literal subject outside any queue group.
#[derive(Debug)]
struct Literal {
    hash: u64,
    /// Subscriptions here.
    count: u32,
    /// The others believe that it is wanted.
    is_told: bool,
    /// Waits in `Announced::dirty`.
    is_dirty: bool,
}

impl Hashed for Literal {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// A pattern, or a subject or pattern with a queue group.
#[derive(Debug, Default)]
struct Text {
    /// Subject and queue group name, back to back.
    text: Box<[u8]>,
    subject_len: u32,
    hash: u32,
    count: u32,
    /// Weight that the others know.
    told: u32,
    is_dirty: bool,
}

impl Text {
    fn parts(&self) -> (&[u8], &[u8]) {
        self.text.split_at(self.subject_len as usize)
    }

    /// The weight that the others should know.
    fn weight(&self) -> u32 {
        if self.text.len() == self.subject_len as usize {
            self.count.min(1)
        } else {
            self.count
        }
    }
}

#[derive(Debug)]
struct TextKey {
    hash: u32,
    at: u32,
}

impl Hashed for TextKey {
    fn hash(&self) -> u64 {
        spread(self.hash)
    }
}

#[derive(Clone, Copy, Debug)]
enum Dirty {
    Literal(u64),
    Text(u32),
}

/// This shard's interest as the others know it.
#[derive(Debug, Default)]
pub(super) struct Announced {
    literals: SplitTable<Literal>,
    table: SplitTable<TextKey>,
    texts: Arena<Text>,
    dirty: Queue<Dirty>,
    /// Changes to be sent, encoded.
    outgoing: Vec<u8>,
}

/// What names an entry.
#[derive(Clone, Copy)]
enum Name<'a> {
    Literal(u64),
    Text(&'a [u8], &'a [u8], u32),
}

impl<'a> Name<'a> {
    fn new(hashes: &Hashes, subject: &'a [u8], queue: &'a [u8]) -> Self {
        if queue.is_empty() && !subject::has_wildcard(subject) {
            Name::Literal(hashes.text(subject))
        } else {
            Name::Text(subject, queue, fold(hashes.pair(subject, queue)))
        }
    }
}

impl Announced {
    /// Whether a subscription would be news for the others, so that it needs room in every lane.
    pub(super) fn is_news(&self, hashes: &Hashes, subject: &[u8], queue: &[u8]) -> bool {
        match Name::new(hashes, subject, queue) {
            Name::Literal(hash) => !self
                .literals
                .find(hash, |literal| literal.hash == hash)
                .is_some_and(|literal| literal.is_told),
            Name::Text(subject, queue, hash) => self
                .find(subject, queue, hash)
                .is_none_or(|at| self.texts[at].told == 0),
        }
    }

    /// Counts a new subscription.
    pub(super) fn add(&mut self, hashes: &Hashes, subject: &[u8], queue: &[u8]) {
        match Name::new(hashes, subject, queue) {
            Name::Literal(hash) => {
                let fresh = || Literal {
                    hash,
                    count: 0,
                    is_told: false,
                    is_dirty: false,
                };
                let is_it = |literal: &Literal| literal.hash == hash;
                let literal = self.literals.find_or_insert(hash, is_it, fresh);
                literal.count += 1;
                if !literal.is_told {
                    literal.is_told = true;
                    let is_wanted = true;
                    Change::Literal { hash, is_wanted }.write(&mut self.outgoing);
                }
            }
            Name::Text(subject, queue, hash) => {
                let at = self
                    .find(subject, queue, hash)
                    .unwrap_or_else(|| self.insert(subject, queue, hash));
                let text = &mut self.texts[at];
                text.count += 1;
                if text.told == 0 {
                    let weight = text.weight();
                    text.told = weight;
                    Change::Text {
                        subject,
                        queue,
                        weight,
                    }
                    .write(&mut self.outgoing);
                } else if text.weight() != text.told && !text.is_dirty {
                    text.is_dirty = true;
                    self.dirty.push(Dirty::Text(at));
                }
            }
        }
    }

    /// Counts a subscription that has gone.
    pub(super) fn remove(&mut self, hashes: &Hashes, subject: &[u8], queue: &[u8]) {
        match Name::new(hashes, subject, queue) {
            Name::Literal(hash) => {
                let Some(literal) = self.literals.find_mut(hash, |l| l.hash == hash) else {
                    debug_assert!(false, "a subscription was not counted");
                    return;
                };
                literal.count -= 1;
                if literal.count == 0 && !literal.is_dirty {
                    literal.is_dirty = true;
                    self.dirty.push(Dirty::Literal(hash));
                }
            }
            Name::Text(subject, queue, hash) => {
                let Some(at) = self.find(subject, queue, hash) else {
                    debug_assert!(false, "a subscription was not counted");
                    return;
                };
                let text = &mut self.texts[at];
                text.count -= 1;
                if text.weight() != text.told && !text.is_dirty {
                    text.is_dirty = true;
                    self.dirty.push(Dirty::Text(at));
                }
            }
        }
    }

    /// Changes that wait for room.
    pub(super) fn dirty(&self) -> usize {
        self.dirty.len()
    }

    /// Encodes at most `limit` of the changes that waited, each with its latest value.
    pub(super) fn tell_dirty(&mut self, limit: usize) {
        for _ in 0..limit {
            let Some(dirty) = self.dirty.pop() else {
                return;
            };
            match dirty {
                Dirty::Literal(hash) => self.tell_literal(hash),
                Dirty::Text(at) => self.tell_text(at),
            }
        }
    }

    /// Forgets `limit` of them untold: what rule K4 forbids.
    #[cfg(feature = "mutants")]
    pub(super) fn forget_dirty(&mut self) {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        self.tell_dirty(usize::MAX);
        std::mem::swap(&mut self.outgoing, &mut outgoing);
    }

    fn tell_literal(&mut self, hash: u64) {
        let spot = self.literals.locate(hash, |literal| literal.hash == hash);
        let literal = spot.and_then(|spot| Some((spot, self.literals.get_mut(spot)?)));
        let Some((spot, literal)) = literal else {
            debug_assert!(false, "a change of nothing");
            return;
        };
        literal.is_dirty = false;
        if literal.count > 0 {
            return;
        }
        if literal.is_told {
            let is_wanted = false;
            Change::Literal { hash, is_wanted }.write(&mut self.outgoing);
        }
        self.literals.take(spot);
    }

    fn tell_text(&mut self, at: u32) {
        let text = &mut self.texts[at];
        text.is_dirty = false;
        let weight = text.weight();
        if weight != text.told {
            text.told = weight;
            let (subject, queue) = text.parts();
            Change::Text {
                subject,
                queue,
                weight,
            }
            .write(&mut self.outgoing);
        }
        if weight > 0 {
            return;
        }
        let hash = text.hash;
        let key = self.table.remove(spread(hash), |key| key.at == at);
        debug_assert!(key.is_some(), "an entry is not in its table");
        self.texts.remove(at, Text::default());
    }

    /// Encoded changes that have not been taken.
    pub(super) fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    pub(super) fn outgoing_len(&self) -> usize {
        self.outgoing.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let texts: usize = self.texts.iter().map(|(_, text)| text.text.len()).sum();
        self.literals.bytes()
            + self.table.bytes()
            + self.texts.bytes()
            + texts
            + self.dirty.bytes()
            + self.outgoing.capacity()
    }

    fn find(&self, subject: &[u8], queue: &[u8], hash: u32) -> Option<u32> {
        self.table
            .find(spread(hash), |key| {
                key.hash == hash && self.texts[key.at].parts() == (subject, queue)
            })
            .map(|key| key.at)
    }

    fn insert(&mut self, subject: &[u8], queue: &[u8], hash: u32) -> u32 {
        let text = Text {
            text: [subject, queue].concat().into(),
            subject_len: subject.len() as u32,
            hash,
            ..Text::default()
        };
        let at = self.texts.insert(text);
        self.table.insert(TextKey { hash, at });
        at
    }

    /// Panics unless each subscription in `wanted` is counted, and nothing else.
    pub(super) fn check_invariants<'a>(
        &self,
        hashes: &Hashes,
        wanted: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) {
        self.literals.check_invariants();
        self.table.check_invariants();
        self.texts.check_invariants();
        let mut left: u64 = self.literals.iter().map(|l| u64::from(l.count)).sum();
        let texts = self.texts.iter();
        left += texts.map(|(_, t)| u64::from(t.count)).sum::<u64>();
        for (subject, queue) in wanted {
            left = left.checked_sub(1).expect("a subscription is not counted");
            match Name::new(hashes, subject, queue) {
                Name::Literal(hash) => {
                    let literal = self.literals.find(hash, |l| l.hash == hash);
                    assert!(
                        literal.is_some_and(|l| l.count > 0 && l.is_told),
                        "a wanted literal was not told"
                    );
                }
                Name::Text(subject, queue, hash) => {
                    let at = self
                        .find(subject, queue, hash)
                        .expect("a pattern is counted");
                    let text = &self.texts[at];
                    assert!(
                        text.count > 0 && text.told > 0,
                        "a wanted pattern was not told"
                    );
                }
            }
        }
        assert_eq!(left, 0, "counted and not there");
    }
}
