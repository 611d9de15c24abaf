//! From the other shards to this one. Step 8 (take) of the PUB path, and rule K3.
//!
//! Taking never needs room anywhere: deliveries end in outboxes. The one exception is a queue message whose
//! chosen member has gone and has no stand-in here. It is chosen anew among the shards not tried yet, and if
//! there is no room, it waits in a list that is bounded in bytes.

use std::ops::Range;

use super::crossing::{BATCH_BYTES, RECHOSEN_BYTES_MAX};
use super::fanout::{Fanout, Wire};
use super::records::{self, GroupList, Message, Origin, Rechosen, Record};
use super::{Edge, Engine, Lane, Mutant};
use crate::interest::{ConnKey, MatchHint};
use crate::proto::Run;
use crate::shard_set::ShardSet;
use crate::time::Time;

/// Batches taken from one shard in one turn while others want to be served.
const BATCHES_PER_TURN: usize = 4;
/// How long a publisher minds what it was told of a lagging reader on another shard.
const LAG_MINDED: std::time::Duration = std::time::Duration::from_millis(20);

/// Batches that should come to the work of one turn: a lane of them is taken at once before a PING (K3).
const BATCHES_OF_A_TURN: usize = 8;
/// Bytes of a batch below which its own cost would count.
const BATCH_BYTES_MIN: usize = 256;

/// A batch from another shard, and how far it is delivered.
#[derive(Debug)]
pub(super) struct Inbound {
    bytes: Vec<u8>,
    /// Where the next record begins.
    at: usize,
    /// What is left of the run in front of it.
    run: Option<LeftRun>,
    /// Where the subject of the last message stands.
    subject: Range<usize>,
    publisher: ConnKey,
    /// Who was told last of a reader that lags.
    slowed: Option<ConnKey>,
    /// What delivering it has come to.
    work: usize,
}

impl Inbound {
    fn new(bytes: Vec<u8>) -> Self {
        Inbound {
            bytes,
            at: 0,
            run: None,
            subject: 0..0,
            publisher: ConnKey(u32::MAX),
            slowed: None,
            work: 0,
        }
    }

    fn is_done(&self) -> bool {
        self.run.is_none() && self.at == self.bytes.len()
    }
}

/// The rest of a run in a batch, whose tails lie side by side.
#[derive(Debug)]
struct LeftRun {
    at: usize,
    tail_len: usize,
    body_len: usize,
    count: usize,
}

impl LeftRun {
    /// What is left of a run that ends at `end`.
    fn new(run: &Run<'_>, end: usize) -> Self {
        LeftRun {
            at: end - run.count() * run.tail_len(),
            tail_len: run.tail_len(),
            body_len: run.body_len(),
            count: run.count(),
        }
    }

    fn of<'a>(&self, batch: &'a [u8]) -> Option<Run<'a>> {
        let tails = &batch[self.at..];
        Run::new(
            tails,
            self.tail_len,
            self.tail_len,
            self.body_len,
            self.count,
        )
    }
}

/// What became of a re-chosen message.
enum Sent {
    Yes,
    /// No shard is left to be tried.
    Nowhere,
    /// The chosen lane has no room.
    NoRoom(u16),
}

impl Engine {
    /// Takes in what other shards have published about their interest. One load for each tells whether
    /// there is anything.
    #[inline]
    pub(super) fn see_interest(&mut self, edge: &mut impl Edge) {
        if !self.crossing.others.is_empty() && edge.has_news() {
            self.apply_interest(edge);
        }
    }

    fn apply_interest(&mut self, edge: &mut impl Edge) {
        let mut batch = std::mem::take(&mut self.inbound);
        // What is published meanwhile is for the next look: its sender may be faster than this shard.
        let entries = edge.entries();
        for from in self.crossing.others.iter() {
            for _ in 0..entries + 1 {
                if !edge.take(from, Lane::Interest, &mut batch) {
                    break;
                }
                self.crossing.has_taken = true;
                self.interest.apply(from, &batch);
                batch.clear();
            }
        }
        self.inbound = batch;
        // Whoever published may have published messages.
        self.crossing.unread = self.crossing.others;
    }

    /// Takes every message that is visible now, and no more: a sender may be faster than this shard.
    pub(super) fn take_visible(&mut self, edge: &mut impl Edge) {
        if self.crossing.others.is_empty() {
            return;
        }
        self.see_interest(edge);
        for from in self.crossing.unread.iter() {
            let is_parked = self.crossing.parked[usize::from(from)].is_some();
            for _ in 0..edge.entries() + usize::from(is_parked) {
                if !self.take_batch(edge, from, usize::MAX) {
                    break;
                }
            }
        }
    }

    /// Takes a share of the messages that are visible.
    pub(super) fn take_some(&mut self, edge: &mut impl Edge) {
        self.see_interest(edge);
        let senders = self.crossing.unread.iter().count();
        for from in self.crossing.unread.iter() {
            // Each has a share of its own, however much there is of others and of what was received here.
            let work_max = self.turn_work + (self.limits.turn_work / 2 / senders.max(1)).max(1);
            for _ in 0..BATCHES_PER_TURN {
                if !self.take_batch(edge, from, work_max) || self.turn_work >= work_max {
                    break;
                }
            }
        }
    }

    /// Takes one batch of messages, or goes on with one that was parked, until the work of this turn comes to
    /// `work_max`. False if there is none.
    fn take_batch(&mut self, edge: &mut impl Edge, from: u16, work_max: usize) -> bool {
        let mut inbound = match self.crossing.parked[usize::from(from)].take() {
            Some(parked) => parked,
            None => {
                let mut bytes = std::mem::take(&mut self.inbound);
                if !edge.take(from, Lane::Data, &mut bytes) {
                    self.inbound = bytes;
                    self.crossing.unread.remove(from);
                    return false;
                }
                self.crossing.has_taken = true;
                Inbound::new(bytes)
            }
        };
        let work_before = self.turn_work;
        self.deliver_batch(edge, from, &mut inbound, work_max);
        self.count_builds();
        inbound.work += self.turn_work - work_before;
        if inbound.is_done() {
            self.set_pace(edge, from, &inbound);
            inbound.bytes.clear();
            self.inbound = inbound.bytes;
        } else {
            self.crossing.parked[usize::from(from)] = Some(inbound);
        }
        true
    }

    /// Tells the sender how large its batches should be for one of them, and so a lane of them, to be delivered
    /// in good time: what a message comes to depends on its receivers here, of whom the sender knows only that
    /// there are some.
    fn set_pace(&mut self, edge: &mut impl Edge, from: u16, inbound: &Inbound) {
        let told = self.crossing.told_bytes[usize::from(from)];
        let len = inbound.bytes.len();
        let batch_work = self.limits.turn_work / BATCHES_OF_A_TURN;
        let wanted = (len * batch_work / inbound.work.max(1)).clamp(BATCH_BYTES_MIN, BATCH_BYTES);
        // More only if the sender makes use of what it may.
        let is_news = wanted * 2 <= told || (wanted > told && len * 2 >= told);
        if is_news && self.crossing.has_room(edge, from) {
            self.crossing
                .push_record(from, |out| records::push_pace(out, wanted));
            self.crossing.told_bytes[usize::from(from)] = wanted;
        }
    }

    fn deliver_batch(
        &mut self,
        edge: &mut impl Edge,
        from: u16,
        inbound: &mut Inbound,
        work_max: usize,
    ) {
        let bytes = &inbound.bytes[..];
        let mut rest = &bytes[inbound.at..];
        let mut subject = &bytes[inbound.subject.clone()];
        let mut run = inbound.run.take().and_then(|left| left.of(bytes));
        let mut origin = Origin {
            shard: from,
            key: inbound.publisher,
        };
        while self.turn_work < work_max {
            let message = if let Some(run) = &run {
                Message::first_of(run, subject)
            } else {
                match Record::read(&mut rest, subject) {
                    None => break,
                    Some(Record::Message(message)) => message,
                    Some(Record::Run(some)) => {
                        run = Some(some);
                        continue;
                    }
                    Some(other) => {
                        self.take_note(&mut origin, other);
                        continue;
                    }
                }
            };
            if !message.is_same_subject {
                let end = bytes.len() - rest.len() - message.tail.len();
                inbound.subject = end - message.subject.len()..end;
                subject = message.subject;
            }
            let slowing =
                self.deliver_inbound(edge, origin, &message, &mut run, &mut rest, work_max);
            if let Some(reader) = slowing
                && message.rechosen.is_none()
                && inbound.slowed != Some(origin.key)
                && self.is_open(reader)
            {
                // Told once in a batch.
                inbound.slowed = Some(origin.key);
                self.await_reader(reader, origin);
                self.tell_publisher(edge, origin, true);
            }
            self.flush_large(edge);
        }
        let is_over = self.turn_work < work_max;
        debug_assert!(
            !is_over || rest.is_empty(),
            "a batch of messages is malformed"
        );
        inbound.at = if is_over {
            bytes.len()
        } else {
            bytes.len() - rest.len()
        };
        inbound.run = run.map(|run| LeftRun::new(&run, inbound.at));
        inbound.publisher = origin.key;
    }

    /// A record that is no message.
    fn take_note(&mut self, origin: &mut Origin, record: Record<'_>) {
        match record {
            Record::Publisher(key) => origin.key = key,
            Record::SlowDown(key) => self.mind_lag(key),
            Record::GoOn(key) => self.go_on(key),
            Record::Unanswered(key, reply) => self.tell_no_responders(key, reply),
            Record::Pace(bytes) => self.crossing.set_go_bytes(origin.shard, bytes),
            Record::Message(_) | Record::Run(_) => {}
        }
    }

    /// Delivers a message here, or instead of it as much of `run` as should go at once, and those behind it in
    /// `rest` that need no more than it does. Leaves in `run` what is left of one, and gives a reader that lags.
    fn deliver_inbound<'a>(
        &mut self,
        edge: &mut impl Edge,
        origin: Origin,
        message: &Message<'a>,
        run: &mut Option<Run<'a>>,
        rest: &mut &'a [u8],
        work_max: usize,
    ) -> Option<ConnKey> {
        let work_max = work_max.saturating_sub(self.turn_work);
        let hint = &mut self.peer_hints[usize::from(origin.shard)];
        let found = self.interest.match_subject(message.subject, hint);
        let own = self.shard;
        let no_echo_to = message
            .rechosen
            .filter(|way| message.is_no_echo && way.origin.shard == own)
            .map(|way| way.origin.key);
        let lag_bytes = self.limits.pending_bytes_max / 2;
        let mut fanout = self.fanout(found, origin.key, no_echo_to);
        fanout.lag_bytes = lag_bytes;
        let mut messages = 1;
        // Groups that nobody here can take the message for.
        let mut unserved = GroupList::default();
        let mut deliver = |fanout: &mut Fanout<'_>, wire: &mut Wire<'_>| {
            if message.to_plain {
                fanout.send_to_plain(wire);
            }
            let set = fanout.set;
            for name in message.groups.iter() {
                let group = set.group_named(name);
                if !group.is_some_and(|group| fanout.send_to_member(group, wire)) {
                    unserved.push(name);
                }
            }
        };
        if run.is_some() {
            messages = 0;
        } else if message.headers_len.is_some() {
            fanout.with_varied(&message.publish(), deliver);
        } else {
            let (tail, payload_len) = (message.tail, message.body_len);
            deliver(&mut fanout, &mut Wire::Plain { tail, payload_len });
        }
        if message.headers_len.is_none() {
            while fanout.is_plain() && !fanout.has_full_batch() && fanout.tally.work < work_max {
                if let Some(repeats) = run.take().or_else(|| records::read_run(rest)) {
                    let sent = fanout.send_some(&repeats, work_max);
                    messages += sent as u64;
                    *run = repeats.behind(sent);
                } else if let Some((tail, payload_len)) = records::read_repeat(rest) {
                    messages += 1;
                    fanout.send_to_plain(&mut Wire::Plain { tail, payload_len });
                } else {
                    break;
                }
            }
        }
        let is_plain = fanout.is_plain();
        let tally = fanout.tally;
        self.count(&tally);
        self.stats.crossed_in += messages;
        if !is_plain {
            self.note_deliveries(&message.publish());
            self.remove_expired(None);
            self.cut_overfull(edge);
        }
        let mut is_unanswered = message.wants_status && tally.copies == 0;
        let message = &Message {
            // Of several copies none can say that nobody got the message.
            wants_status: is_unanswered && unserved.len() == 1,
            ..*message
        };
        for name in unserved.groups().iter() {
            is_unanswered &= !self.rechoose(edge, origin, message, name);
        }
        if is_unanswered {
            let origin = message.rechosen.map_or(origin, |way| way.origin);
            self.report_unanswered(edge, origin, message);
        }
        tally.slowing
    }

    /// The publisher's shard knew of a receiver here, and there is none any more: it is told, if there is
    /// room.
    #[cold]
    fn report_unanswered(&mut self, edge: &mut impl Edge, to: Origin, message: &Message<'_>) {
        let publish = message.publish();
        let Some(reply) = publish.reply else { return };
        if to.shard == self.shard {
            self.tell_no_responders(to.key, reply);
        } else if self.crossing.has_room(edge, to.shard) {
            self.crossing.push_record(to.shard, |out| {
                records::push_unanswered(out, to.key, reply);
            });
        }
    }

    /// The member of a queue group that a message was chosen for has gone, and nobody here can stand in.
    /// False if nobody is left to be asked.
    #[cold]
    fn rechoose(
        &mut self,
        edge: &mut impl Edge,
        origin: Origin,
        message: &Message<'_>,
        name: &[u8],
    ) -> bool {
        if self.is_without(Mutant::NoRechoice) {
            return true;
        }
        // The message may have been taken before interest that was published with it or before it: whoever
        // counted on a member elsewhere knew of it.
        self.see_interest(edge);
        let mut way = message.rechosen.unwrap_or(Rechosen {
            tried: ShardSet::NONE,
            origin,
        });
        if self.is_without(Mutant::EndlessRechoice) {
            way.tried = ShardSet::NONE;
        }
        way.tried.insert(self.shard);
        let mut list = GroupList::default();
        list.push(name);
        let mut record = Vec::new();
        Message {
            to_plain: false,
            is_same_subject: false,
            rechosen: Some(way),
            groups: list.groups(),
            ..*message
        }
        .write(&mut record);
        let room = RECHOSEN_BYTES_MAX.saturating_sub(self.crossing.rechosen_bytes);
        match self.send_again(edge, &record) {
            Sent::Yes => self.stats.rechosen += 1,
            Sent::Nowhere => return false,
            Sent::NoRoom(shard) if record.len() <= room => {
                self.crossing.rechosen_lanes.insert(shard);
                self.crossing.rechosen_bytes += record.len();
                self.crossing.rechosen.push_back(record);
            }
            Sent::NoRoom(_) => self.stats.rechoice_dropped += 1,
        }
        true
    }

    /// Chooses among the shards that a re-chosen message has not been to, by weight.
    fn send_again(&mut self, edge: &mut impl Edge, record: &[u8]) -> Sent {
        let Some(Record::Message(message)) = Record::read(&mut &*record, &[]) else {
            return Sent::Nowhere;
        };
        let tried = message.rechosen.map_or(ShardSet::NONE, |way| way.tried);
        let name = message.groups.iter().next().unwrap_or_default();
        let found = self
            .interest
            .match_subject(message.subject, &mut MatchHint::default());
        let (set, _) = self.interest.matched(found);
        let Some(group) = set.group_named(name) else {
            return Sent::Nowhere;
        };
        let weight = group.untried(tried).map(|remote| remote.weight as usize);
        let pick = self.rng.below(weight.sum());
        let Some(shard) = group.pick_remote(pick, tried) else {
            return Sent::Nowhere;
        };
        if !self.crossing.has_room(edge, shard) {
            return Sent::NoRoom(shard);
        }
        self.crossing
            .push_record(shard, |out| out.extend_from_slice(record));
        self.stats.crossed_out += 1;
        if !self.crossing.full.is_empty() {
            self.publish(edge);
        }
        Sent::Yes
    }

    /// Tries once more with those re-chosen messages that found no room.
    pub(super) fn send_rechosen(&mut self, edge: &mut impl Edge) {
        if self.crossing.rechosen.is_empty() {
            return;
        }
        self.see_interest(edge);
        self.crossing.rechosen_lanes = ShardSet::NONE;
        for _ in 0..self.crossing.rechosen.len() {
            let Some(record) = self.crossing.rechosen.pop_front() else {
                break;
            };
            match self.send_again(edge, &record) {
                Sent::NoRoom(shard) => {
                    self.crossing.rechosen_lanes.insert(shard);
                    self.crossing.rechosen.push_back(record);
                    continue;
                }
                Sent::Yes => self.stats.rechosen += 1,
                Sent::Nowhere => {}
            }
            self.crossing.rechosen_bytes -= record.len();
        }
    }

    /// Another shard says that a reader of this publisher lags.
    fn mind_lag(&mut self, key: ConnKey) {
        let until = self.now + LAG_MINDED;
        let Some(publisher) = self.connections.find_mut(key).filter(|c| c.is_open()) else {
            return;
        };
        publisher.lagging_until = until;
        if publisher.pause.is_none() {
            publisher.slow_credit_bytes = 0;
            self.pause_briefly(key);
        }
    }

    /// The reader has caught up.
    fn go_on(&mut self, key: ConnKey) {
        if let Some(publisher) = self.connections.find_mut(key) {
            publisher.lagging_until = Time(0);
            self.resume(key);
        }
    }
}
