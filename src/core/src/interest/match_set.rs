//! Who receives a message on one subject.
//!
//! A set holds the receivers and, ready-made, the start of each one's delivery line. It is built once and
//! then patched as subscriptions come and go; what a removed receiver leaves in the text is garbage until
//! the next build.

use std::sync::Arc;

use hashbrown::HashTable;

use super::filters::Filters;
use super::hash::spread;
use super::remote::{key_of_shard, shard_of_key};
use super::subs::{ConnKey, Sub, SubId};
use crate::permissions::DeliveryFilter;
use crate::shard_set::ShardSet;

/// Where a delivery line begins, for a connection that takes headers; without its first byte it is the verb
/// of one without.
const VERB: &[u8] = b"HMSG ";
/// Up to so many groups are searched one by one; a build with more of them keeps an index.
const GROUPS_SEARCHED: usize = 8;
/// Member lists kept for the next build, and the longest worth keeping.
const SPARE_LISTS: usize = 64;
const SPARE_SLOTS: usize = 64;
/// The largest index worth keeping.
const SPARE_INDEX: usize = 4096;

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
    /// The members on this shard.
    pub members: Vec<Target>,
    /// The members on others. There is one at least, here or there.
    pub remote: Vec<Remote>,
    /// Sum of the weights in `remote`.
    pub remote_weight: u32,
    hash: u32,
    name_start: u32,
    name_len: u32,
}

impl Group {
    /// The shard of the `pick`-th of the members on other shards, those of `tried` left out.
    pub(crate) fn pick_remote(&self, mut pick: usize, tried: ShardSet) -> Option<u16> {
        for remote in self.untried(tried) {
            let weight = remote.weight as usize;
            if pick < weight {
                return Some(remote.shard);
            }
            pick -= weight;
        }
        None
    }

    /// Members on shards outside `tried`.
    pub(crate) fn untried(&self, tried: ShardSet) -> impl Iterator<Item = &Remote> {
        self.remote
            .iter()
            .filter(move |remote| !tried.contains(remote.shard))
    }
}

/// Members of a queue group on another shard, by one of the patterns they subscribed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Which shard.
    pub shard: u16,
    /// How many they are.
    pub weight: u32,
    sub: SubId,
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
    /// Members of all groups, here and records of others.
    members: u32,
    /// Keyed hash of the subject.
    pub(super) hash: u64,
    /// Shards with a plain subscription to exactly this subject.
    literal_shards: ShardSet,
    /// Plain patterns of other shards that match.
    patterns: Vec<(SubId, u16)>,
    /// Shards with a plain subscription that matches.
    plain_shards: ShardSet,
    /// Those, and shards with members of a group.
    shards: ShardSet,
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
    /// Members it stands for, if it is another shard's.
    pub(super) weight: u32,
    /// What is kept from it.
    pub(super) filter: Option<&'a Arc<DeliveryFilter>>,
}

impl<'a> Receiver<'a> {
    pub(super) fn new(id: SubId, sub: &'a Sub, filters: &'a Filters) -> Self {
        Self {
            sub: id,
            conn: sub.conn(),
            sid: sub.sid(),
            queue: sub.queue_name(),
            queue_hash: sub.queue_hash(),
            weight: shard_of_key(sub.conn()).map_or(0, |_| sub.max as u32),
            filter: filters.of(id, sub),
        }
    }

    /// Whether what is published to `subject` is kept from it.
    fn is_denied(&self, subject: &[u8]) -> bool {
        self.filter.is_some_and(|filter| filter.denies(subject))
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
    /// Whether nobody receives the message, on any shard.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.groups.is_empty() && self.shards.is_empty()
    }

    /// The only receiver, if it is a plain subscription of this shard.
    #[inline]
    pub fn alone(&self) -> Option<&Target> {
        match &self.plain[..] {
            [target] if self.groups.is_empty() && self.shards.is_empty() => Some(target),
            _ => None,
        }
    }

    /// Other shards whose plain subscriptions receive the message.
    #[inline]
    pub fn plain_shards(&self) -> ShardSet {
        self.plain_shards
    }

    /// Other shards that may receive the message: those, and those with members of its groups.
    #[inline]
    pub fn shards(&self) -> ShardSet {
        self.shards
    }

    /// The group with this name.
    pub fn group_named(&self, name: &[u8]) -> Option<&Group> {
        self.groups
            .iter()
            .find(|group| self.group_name(group) == name)
    }

    pub(super) fn set_literal_shards(&mut self, shards: ShardSet) {
        self.literal_shards = shards;
        self.note_shards();
    }

    fn note_shards(&mut self) {
        let mut shards = self.literal_shards;
        for &(_, shard) in &self.patterns {
            shards.insert(shard);
        }
        self.plain_shards = shards;
        for group in &self.groups {
            for remote in &group.remote {
                shards.insert(remote.shard);
            }
        }
        self.shards = shards;
    }

    /// The start of the delivery line to `target`, ready-made: `HMSG <subject> <sid> `. Without its first
    /// byte it is `MSG <subject> <sid> `.
    #[inline]
    pub fn prefix(&self, target: &Target) -> &[u8] {
        &self.text[target.prefix_start as usize..][..target.prefix_len as usize]
    }

    /// Bytes of a line in front of the sid, about.
    #[inline]
    pub fn prefix_len(&self) -> usize {
        VERB.len() + self.subject_len as usize
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
        self.plain.len() + self.patterns.len() + self.members as usize
    }

    /// Bytes on the heap, about.
    pub(super) fn bytes(&self) -> usize {
        (self.plain.capacity() + self.members as usize + self.patterns.capacity())
            * size_of::<Target>()
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
        if spare.index.capacity() > SPARE_INDEX {
            spare.index = HashTable::new();
        } else if !spare.index.is_empty() {
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
        self.literal_shards = ShardSet::NONE;
        self.patterns.clear();
        self.plain_shards = ShardSet::NONE;
        self.shards = ShardSet::NONE;
    }

    /// Adds a receiver to a set that is being built.
    pub(super) fn build_push(&mut self, receiver: Receiver<'_>, spare: &mut Spare) {
        if let Some(shard) = shard_of_key(receiver.conn) {
            if receiver.queue_hash == 0 {
                self.add_pattern(&receiver, shard);
            } else {
                let at = self.build_group(&receiver, spare);
                self.add_members(at, &receiver, shard);
            }
            return;
        }
        if receiver.is_denied(self.subject()) {
            return;
        }
        let Some(target) = self.add_prefix(&receiver) else {
            return;
        };
        if receiver.queue_hash == 0 {
            self.plain.push(target);
            return;
        }
        self.members += 1;
        let at = self.build_group(&receiver, spare);
        self.groups[at].members.push(target);
    }

    /// The receiver's group in a set that is being built.
    fn build_group(&mut self, receiver: &Receiver<'_>, spare: &mut Spare) -> usize {
        let found = if self.groups.len() <= GROUPS_SEARCHED {
            self.find_group(receiver)
        } else {
            let is_same = |&at: &u32| self.is_group(&self.groups[at as usize], receiver);
            spare
                .index
                .find(spread(receiver.queue_hash), is_same)
                .map(|&at| at as usize)
        };
        if let Some(at) = found {
            return at;
        }
        let members = spare.lists.pop().unwrap_or_default();
        self.add_group(receiver, members);
        let added = self.groups.len() - 1;
        // A crowd of groups must not make the build quadratic.
        let indexed = match self.groups.len() {
            0..=GROUPS_SEARCHED => return added,
            len if len == GROUPS_SEARCHED + 1 => 0,
            _ => added,
        };
        for at in indexed..self.groups.len() {
            let groups = &self.groups;
            let hash_of = |&at: &u32| spread(groups[at as usize].hash);
            spare
                .index
                .insert_unique(spread(groups[at].hash), at as u32, hash_of);
        }
        added
    }

    /// Adds a receiver to a finished set.
    pub(super) fn add(&mut self, receiver: &Receiver<'_>) {
        if let Some(shard) = shard_of_key(receiver.conn) {
            if receiver.queue_hash == 0 {
                self.add_pattern(receiver, shard);
                return;
            }
            let at = self.find_group(receiver).unwrap_or_else(|| {
                self.add_group(receiver, Vec::new());
                self.groups.len() - 1
            });
            self.add_members(at, receiver, shard);
            return;
        }
        if receiver.is_denied(self.subject()) {
            return;
        }
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

    /// Adds a pattern of another shard.
    fn add_pattern(&mut self, receiver: &Receiver<'_>, shard: u16) {
        self.patterns.push((receiver.sub, shard));
        self.plain_shards.insert(shard);
        self.shards.insert(shard);
    }

    /// Adds members on another shard to the group at `at`.
    fn add_members(&mut self, at: usize, receiver: &Receiver<'_>, shard: u16) {
        let group = &mut self.groups[at];
        group.remote.push(Remote {
            shard,
            weight: receiver.weight,
            sub: receiver.sub,
        });
        group.remote_weight = group.remote_weight.saturating_add(receiver.weight);
        self.members += 1;
        self.shards.insert(shard);
    }

    fn remove_remote(&mut self, sub: SubId, queue_hash: u32) {
        if queue_hash == 0 {
            self.patterns.retain(|&(pattern, _)| pattern != sub);
            self.note_shards();
            return;
        }
        for (at, group) in self.groups.iter_mut().enumerate() {
            let Some(place) = group.remote.iter().position(|remote| remote.sub == sub) else {
                continue;
            };
            group.remote.swap_remove(place);
            group.remote_weight = group
                .remote
                .iter()
                .fold(0, |sum, remote| sum.saturating_add(remote.weight));
            self.members -= 1;
            if group.members.is_empty() && group.remote.is_empty() {
                self.garbage += group.name_len;
                self.groups.swap_remove(at);
            }
            self.note_shards();
            return;
        }
    }

    /// Takes a receiver out, and its group if it was the last member.
    pub(super) fn remove(&mut self, receiver: &Receiver<'_>) {
        let (sub, queue_hash) = (receiver.sub, receiver.queue_hash);
        if shard_of_key(receiver.conn).is_some() {
            self.remove_remote(sub, queue_hash);
            return;
        }
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
            if group.members.is_empty() && group.remote.is_empty() {
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
            remote: Vec::new(),
            remote_weight: 0,
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
        let elsewhere = |name: &[u8], sub: SubId, shard: u16, weight: u32| {
            let target = Target {
                sub,
                conn: key_of_shard(shard),
                prefix_start: 0,
                prefix_len: 0,
            };
            (name.to_vec(), target, weight.to_le_bytes().to_vec())
        };
        let mut all: Vec<_> = self.plain.iter().map(|target| line(b"", target)).collect();
        let patterns = self.patterns.iter();
        all.extend(patterns.map(|&(sub, shard)| elsewhere(b"", sub, shard, 0)));
        let literal = self.literal_shards.iter();
        all.extend(literal.map(|shard| elsewhere(b"", SubId(u32::from(shard)), shard, 1)));
        let mut members = 0;
        for group in &self.groups {
            let named = group.members.len() + group.remote.len();
            assert!(named > 0, "a group without members");
            members += named;
            let name = self.group_name(group);
            let weight: u32 = group.remote.iter().map(|remote| remote.weight).sum();
            assert_eq!(weight, group.remote_weight, "weight of a group");
            all.extend(group.members.iter().map(|target| line(name, target)));
            let remote = group.remote.iter();
            all.extend(remote.map(|r| elsewhere(name, r.sub, r.shard, r.weight)));
        }
        assert_eq!(members, self.members as usize, "members of all groups");
        let mut noted = self.clone();
        noted.note_shards();
        assert_eq!(
            (noted.plain_shards, noted.shards),
            (self.plain_shards, self.shards),
            "shards of a set"
        );
        all.sort_by(|a, b| (&a.0, a.1.conn, a.1.sub).cmp(&(&b.0, b.1.conn, b.1.sub)));
        all
    }
}
