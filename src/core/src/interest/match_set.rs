//! Who receives a message on one subject.
//!
//! A set holds the receivers and, ready-made, the start of each one's delivery line. It is built once and
//! then patched as subscriptions come and go; what a removed receiver leaves in the text is garbage until
//! the next build.

use hashbrown::HashTable;

use super::hash::spread;
use super::subs::{ConnKey, Sub, SubId};

/// Where a delivery line begins, for a connection that takes headers; without its first byte it is the verb
/// of one without.
const VERB: &[u8] = b"HMSG ";
/// Up to so many groups are searched one by one; a build with more of them keeps an index.
const GROUPS_SEARCHED: usize = 8;
/// Member lists kept for the next build, and the longest worth keeping.
const SPARE_LISTS: usize = 64;
const SPARE_SLOTS: usize = 64;

/// One subscription that receives the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The subscription.
    pub sub: SubId,
    /// Its connection.
    pub conn: ConnKey,
    prefix_start: u32,
    prefix_len: u32,
}

const _: () = assert!(size_of::<Target>() == 16);

/// A queue group: one of its members receives the message, whichever pattern it subscribed with.
#[derive(Clone, Debug)]
pub struct Group {
    /// The members, never none.
    pub members: Vec<Target>,
    hash: u32,
    name_start: u32,
    name_len: u32,
}

/// The receivers of one subject.
#[derive(Clone, Debug, Default)]
pub struct MatchSet {
    /// Those outside any queue group; each receives the message.
    pub plain: Vec<Target>,
    /// The queue groups, each name once.
    pub groups: Vec<Group>,
    /// `HMSG <subject> `, then prefixes and group names. The first prefix begins at 0 and so uses the
    /// start it shares; connections then find the subject they compare and the line they send side by side.
    text: Vec<u8>,
    subject_len: u32,
    /// Bytes of `text` that nothing refers to any more.
    garbage: u32,
    /// Members of all groups.
    members: u32,
}

/// What a set needs to know of a subscription.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receiver<'a> {
    pub(super) sub: SubId,
    pub(super) conn: ConnKey,
    pub(super) sid: &'a [u8],
    pub(super) queue: &'a [u8],
    /// Keyed hash of `queue`, 0 outside a group.
    pub(super) queue_hash: u32,
}

impl<'a> Receiver<'a> {
    pub(super) fn new(id: SubId, sub: &'a Sub) -> Self {
        Self {
            sub: id,
            conn: sub.conn(),
            sid: sub.sid(),
            queue: sub.queue_name(),
            queue_hash: sub.queue_hash(),
        }
    }
}

/// Memory that building reuses.
#[derive(Debug, Default)]
pub(super) struct Spare {
    lists: Vec<Vec<Target>>,
    /// Positions in `groups` of the set being built, once there are many.
    index: HashTable<u32>,
}

impl MatchSet {
    /// Whether nobody receives the message.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.groups.is_empty()
    }

    /// The start of the delivery line to `target`, ready-made: `HMSG <subject> <sid> `. Without its first
    /// byte it is `MSG <subject> <sid> `.
    #[inline]
    pub fn prefix(&self, target: &Target) -> &[u8] {
        &self.text[target.prefix_start as usize..][..target.prefix_len as usize]
    }

    /// The name of a group of this set.
    pub fn group_name(&self, group: &Group) -> &[u8] {
        &self.text[group.name_start as usize..][..group.name_len as usize]
    }

    /// The published subject; empty in a set that was never built.
    #[inline]
    pub fn subject(&self) -> &[u8] {
        self.text
            .get(VERB.len()..VERB.len() + self.subject_len as usize)
            .unwrap_or_default()
    }

    /// Number of copies that would be delivered: a group counts once.
    pub fn receivers(&self) -> usize {
        self.plain.len() + self.groups.len()
    }

    /// Subscriptions in the set, those of groups included.
    pub(super) fn targets(&self) -> usize {
        self.plain.len() + self.members as usize
    }

    /// Bytes on the heap, about.
    pub(super) fn bytes(&self) -> usize {
        (self.plain.capacity() + self.members as usize) * size_of::<Target>()
            + self.groups.capacity() * size_of::<Group>()
            + self.text.capacity()
    }

    /// Whether a build is due to get rid of what removed receivers left behind.
    pub(super) fn is_mostly_garbage(&self) -> bool {
        self.garbage as usize > 256 + self.text.len() / 2
    }

    /// Begins the set of `subject` in the memory of the one before.
    pub(super) fn begin(&mut self, subject: &[u8], spare: &mut Spare) {
        for mut group in self.groups.drain(..) {
            if spare.lists.len() < SPARE_LISTS && group.members.capacity() <= SPARE_SLOTS {
                group.members.clear();
                spare.lists.push(group.members);
            }
        }
        if !spare.index.is_empty() {
            spare.index.clear();
        }
        self.plain.clear();
        self.text.clear();
        self.text.extend_from_slice(VERB);
        self.text.extend_from_slice(subject);
        self.text.push(b' ');
        // A subject is part of a control line, far below 4 GiB.
        self.subject_len = subject.len() as u32;
        self.garbage = 0;
        self.members = 0;
    }

    /// Adds a receiver to a set that is being built.
    pub(super) fn build_push(&mut self, receiver: Receiver<'_>, spare: &mut Spare) {
        let Some(target) = self.add_prefix(&receiver) else {
            return;
        };
        if receiver.queue_hash == 0 {
            self.plain.push(target);
            return;
        }
        self.members += 1;
        let found = if self.groups.len() <= GROUPS_SEARCHED {
            self.find_group(&receiver)
        } else {
            let is_same = |&at: &u32| self.is_group(&self.groups[at as usize], &receiver);
            spare
                .index
                .find(spread(receiver.queue_hash), is_same)
                .map(|&at| at as usize)
        };
        if let Some(at) = found {
            self.groups[at].members.push(target);
            return;
        }
        let mut members = spare.lists.pop().unwrap_or_default();
        members.push(target);
        self.add_group(&receiver, members);
        // A crowd of groups must not make the build quadratic.
        let indexed = match self.groups.len() {
            0..=GROUPS_SEARCHED => return,
            len if len == GROUPS_SEARCHED + 1 => 0,
            len => len - 1,
        };
        for at in indexed..self.groups.len() {
            let groups = &self.groups;
            let hash_of = |&at: &u32| spread(groups[at as usize].hash);
            spare
                .index
                .insert_unique(spread(groups[at].hash), at as u32, hash_of);
        }
    }

    /// Adds a receiver to a finished set.
    pub(super) fn add(&mut self, receiver: &Receiver<'_>) {
        let Some(target) = self.add_prefix(receiver) else {
            return;
        };
        if receiver.queue_hash == 0 {
            self.plain.push(target);
            return;
        }
        self.members += 1;
        match self.find_group(receiver) {
            Some(at) => self.groups[at].members.push(target),
            None => self.add_group(receiver, vec![target]),
        }
    }

    /// Takes a receiver out, and its group if it was the last member.
    pub(super) fn remove(&mut self, sub: SubId, queue_hash: u32) {
        if queue_hash == 0 {
            if let Some(at) = self.plain.iter().position(|target| target.sub == sub) {
                self.garbage += self.plain.swap_remove(at).prefix_len;
            }
            return;
        }
        for (at, group) in self.groups.iter_mut().enumerate() {
            if group.hash != queue_hash {
                continue;
            }
            let Some(member) = group.members.iter().position(|target| target.sub == sub) else {
                continue;
            };
            self.garbage += group.members.swap_remove(member).prefix_len;
            self.members -= 1;
            if group.members.is_empty() {
                self.garbage += group.name_len;
                self.groups.swap_remove(at);
            }
            return;
        }
    }

    /// Writes the receiver's prefix. `None`, and the receiver goes without, if the prefixes of this one
    /// subject passed 4 GiB: its copies would pass that as well, in one turn.
    fn add_prefix(&mut self, receiver: &Receiver<'_>) -> Option<Target> {
        let shared = VERB.len() + self.subject_len as usize + 1;
        let grown = self.text.len() + shared + receiver.sid.len() + 1 + receiver.queue.len();
        if grown > u32::MAX as usize {
            return None;
        }
        let mut start = 0;
        if self.text.len() > shared {
            start = self.text.len();
            self.text.extend_from_within(..shared);
        }
        self.text.extend_from_slice(receiver.sid);
        self.text.push(b' ');
        Some(Target {
            sub: receiver.sub,
            conn: receiver.conn,
            prefix_start: start as u32,
            prefix_len: (self.text.len() - start) as u32,
        })
    }

    fn add_group(&mut self, receiver: &Receiver<'_>, members: Vec<Target>) {
        self.groups.push(Group {
            members,
            hash: receiver.queue_hash,
            name_start: self.text.len() as u32,
            name_len: receiver.queue.len() as u32,
        });
        self.text.extend_from_slice(receiver.queue);
    }

    fn is_group(&self, group: &Group, receiver: &Receiver<'_>) -> bool {
        group.hash == receiver.queue_hash && self.group_name(group) == receiver.queue
    }

    fn find_group(&self, receiver: &Receiver<'_>) -> Option<usize> {
        self.groups
            .iter()
            .position(|group| self.is_group(group, receiver))
    }

    /// Gives back what a set of unusual size holds beyond its need.
    pub(super) fn shrink(&mut self) {
        if self.text.capacity() > 2 * self.text.len() + 256 {
            self.text.shrink_to_fit();
        }
        if self.plain.capacity() > 2 * self.plain.len() + 16 {
            self.plain.shrink_to_fit();
        }
        if self.groups.capacity() > 2 * self.groups.len() + 4 {
            self.groups.shrink_to_fit();
        }
        for group in &mut self.groups {
            if group.members.capacity() > 2 * group.members.len() + 4 {
                group.members.shrink_to_fit();
            }
        }
    }

    /// Everything a delivery could see, in an order that two equal sets share; the name of a plain
    /// subscription's group is empty.
    pub(super) fn receivers_sorted(&self) -> Vec<(Vec<u8>, Target, Vec<u8>)> {
        // Where a prefix lies differs from set to set.
        let anywhere = |target: &Target| Target {
            prefix_start: 0,
            ..*target
        };
        let line = |name: &[u8], target: &Target| {
            (
                name.to_vec(),
                anywhere(target),
                self.prefix(target).to_vec(),
            )
        };
        let mut all: Vec<_> = self.plain.iter().map(|target| line(b"", target)).collect();
        let mut members = 0;
        for group in &self.groups {
            assert!(!group.members.is_empty(), "a group without members");
            members += group.members.len();
            let name = self.group_name(group);
            all.extend(group.members.iter().map(|target| line(name, target)));
        }
        assert_eq!(members, self.members as usize, "members of all groups");
        all.sort_by(|a, b| (&a.0, a.1.sub).cmp(&(&b.0, b.1.sub)));
        all
    }
}
