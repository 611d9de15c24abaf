//! From the other shards to this one. Step 8 (take) of the PUB path, and rule K3.
//!
//! Taking never needs room anywhere: deliveries end in outboxes. The one exception is a queue message whose
//! chosen member has gone and has no stand-in here. It is chosen anew among the shards not tried yet, and if
//! there is no room, it waits in a list that is bounded in bytes.

use super::crossing::RECHOSEN_BYTES_MAX;
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
        for from in self.crossing.others.iter() {
            while edge.take(from, Lane::Interest, &mut batch) {
                self.crossing.has_taken = true;
                self.interest.apply(from, &batch);
                batch.clear();
            }
        }
        self.inbound = batch;
        // Whoever published may have published messages.
        self.crossing.unread = self.crossing.others;
    }

    /// Takes every message that is visible now.
    pub(super) fn take_visible(&mut self, edge: &mut impl Edge) {
        if self.crossing.others.is_empty() {
            return;
        }
        self.see_interest(edge);
        for from in self.crossing.unread.iter() {
            while self.take_batch(edge, from) {}
        }
    }

    /// Takes a share of the messages that are visible.
    pub(super) fn take_some(&mut self, edge: &mut impl Edge) {
        self.see_interest(edge);
        for from in self.crossing.unread.iter() {
            for _ in 0..BATCHES_PER_TURN {
                if !self.take_batch(edge, from) || self.is_turn_full() {
                    break;
                }
            }
        }
    }

    /// Takes one batch of messages. False if there is none.
    fn take_batch(&mut self, edge: &mut impl Edge, from: u16) -> bool {
        let mut batch = std::mem::take(&mut self.inbound);
        let is_taken = edge.take(from, Lane::Data, &mut batch);
        if is_taken {
            self.crossing.has_taken = true;
            self.deliver_batch(edge, from, &batch);
            batch.clear();
        } else {
            self.crossing.unread.remove(from);
        }
        self.inbound = batch;
        is_taken
    }

    fn deliver_batch(&mut self, edge: &mut impl Edge, from: u16, batch: &[u8]) {
        let mut rest = batch;
        let mut subject: &[u8] = &[];
        let mut origin = Origin {
            shard: from,
            key: ConnKey(u32::MAX),
        };
        // Told once in a batch.
        let mut slowed = None;
        while let Some(record) = Record::read(&mut rest, subject) {
            let (message, mut run) = match record {
                Record::Publisher(key) => {
                    origin.key = key;
                    continue;
                }
                Record::SlowDown(key) => {
                    self.mind_lag(key);
                    continue;
                }
                Record::GoOn(key) => {
                    self.go_on(key);
                    continue;
                }
                Record::Unanswered(key, reply) => {
                    self.tell_no_responders(key, reply);
                    continue;
                }
                Record::Message(message) => (message, None),
                Record::Run(run) => (Message::first_of(&run, subject), Some(run)),
            };
            subject = message.subject;
            loop {
                let slowing = self.deliver_inbound(edge, origin, &message, &mut run, &mut rest);
                if let Some(reader) = slowing
                    && message.rechosen.is_none()
                    && slowed != Some(origin.key)
                    && self.is_open(reader)
                {
                    slowed = Some(origin.key);
                    self.await_reader(reader, origin);
                    self.tell_publisher(edge, origin, true);
                }
                self.flush_large(edge);
                if run.is_none() {
                    break;
                }
            }
        }
        debug_assert!(rest.is_empty(), "a batch of messages is malformed");
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
    ) -> Option<ConnKey> {
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
            while fanout.is_plain() && !fanout.has_full_batch() {
                if let Some(repeats) = run.take().or_else(|| records::read_run(rest)) {
                    let sent = fanout.send_some(&repeats);
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
            self.trace_deliveries(&message.publish());
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
