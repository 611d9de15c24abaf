//! From one message to its receivers' outboxes. Steps 4 (match), 5 (split) and 6 (enqueue)
//! of the PUB path.
//!
//! Nothing here allocates per message: the match result is cached with ready-made line
//! prefixes, a delivery is a prefix and one copy of the message's tail.

use super::connection::{Connection, Connections};
use super::crossing::Crossing;
use super::log::Level;
use super::operations::Flow;
use super::records::Message;
use super::turn::{TURN_OUT_BYTES, early_flush_bytes};
use super::{Edge, Engine, Limits, Lists, Mutant};
use crate::client::{ChunkPool, CloseReason};
use crate::interest::{ConnKey, Group, MatchHint, MatchRef, MatchSet, Subs, Target};
use crate::proto::quote::Printable;
use crate::proto::{ParseLimits, Publish, encode, parse_repeat};
use crate::rng::Rng;
use crate::shard_set::ShardSet;
use crate::time::Time;

/// What receivers get of one message.
pub(super) enum Wire<'a> {
    /// The same for all: the tail as the publisher wrote it.
    Plain { tail: &'a [u8], payload_len: usize },
    /// A line that was not canonical, or one with headers, which not everyone takes.
    Varied(Varied<'a>),
}

/// A message that has to be written anew for some of its receivers, or for all.
pub(super) struct Varied<'a> {
    publish: &'a Publish<'a>,
    /// Tail of an HMSG; empty for a message without headers.
    headed: &'a [u8],
    /// Tail of a MSG, once somebody has needed it.
    plain: &'a mut Vec<u8>,
    is_plain_written: bool,
}

/// Where messages of one publisher to one subject go, and all that a delivery touches.
pub(super) struct Fanout<'a> {
    connections: &'a mut Connections,
    subs: &'a mut Subs,
    pub(super) set: &'a MatchSet,
    rng: &'a mut Rng,
    pool: &'a mut ChunkPool,
    pub(super) lists: &'a mut Lists,
    pub(super) crossing: &'a mut Crossing,
    scratch: &'a mut Vec<u8>,
    limits: &'a Limits,
    early_flush_bytes: usize,
    /// Pending bytes above which a reader lags. Less for what comes from another shard: more of it is on
    /// its way when its publisher is told.
    pub(super) lag_bytes: usize,
    /// The publisher, as the other shards will know it.
    publisher: ConnKey,
    /// The publisher, if its own messages do not come back to it.
    no_echo_to: Option<ConnKey>,
    /// The publisher wants to know if nobody gets its message.
    wants_status: bool,
    /// Its own members of a queue group have no part in the choice.
    is_own_left_out: bool,
    now: Time,
    /// The set has receivers on this shard only.
    is_local: bool,
    /// Not the first message of a run.
    is_run: bool,
    /// A batch for another shard has the size to go.
    is_batch_full: bool,
    pub(super) tally: Tally,
}

/// What deliveries came to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// A reader that lags but reads.
    pub(super) slowing: Option<ConnKey>,
    pub(super) copies: u64,
    payload_bytes: u64,
    pub(super) out_bytes: usize,
    /// Messages written to batches for other shards.
    crossed: u64,
}

/// What a run of publishes did, and what it leaves to be done.
pub(super) struct Delivered<'a> {
    /// Bytes behind the first message that belong to the run.
    pub(super) run_len: usize,
    /// Messages of the run.
    pub(super) messages: u64,
    /// Their header blocks and payloads.
    pub(super) body_bytes: u64,
    /// Nothing is left to be done.
    pub(super) is_plain: bool,
    /// A reader that lags but reads: its publisher should wait for it.
    slowing: Option<ConnKey>,
    /// Reply subject of the last message, if nobody got it and its sender wants to know.
    unanswered: Option<&'a [u8]>,
    /// Header block and payload of the last message.
    last_len: usize,
}

impl Engine {
    /// Hands a message to everyone who wants it, and then those behind it in `rest` as long as
    /// they go to the same subject and leave nothing to be done: one match serves them all.
    #[inline]
    pub(super) fn deliver<'a>(
        &mut self,
        key: ConnKey,
        found: MatchRef,
        publish: &Publish<'a>,
        rest: &'a [u8],
        limits: &ParseLimits,
    ) -> Delivered<'a> {
        let mut run = Delivered {
            run_len: 0,
            messages: 1,
            body_bytes: publish.body.len() as u64,
            is_plain: true,
            slowing: None,
            unanswered: None,
            last_len: publish.body.len(),
        };
        let Some(publisher) = self.connections.find_mut(key) else {
            return run;
        };
        let wants_status = publisher.client.no_responders;
        let no_echo_to = (!publisher.client.echo).then_some(key);
        let is_slowed = publisher.lagging_until > self.now;
        let mut out_bytes_max = TURN_OUT_BYTES.saturating_sub(self.turn_out_bytes);
        if is_slowed {
            // One at a time.
            (out_bytes_max, run.is_plain) = (0, false);
        }
        let mut fanout = self.fanout(found, key, no_echo_to);
        fanout.wants_status = wants_status && publish.reply.is_some();
        let mut reply = publish.reply;
        match (publish.headers, publish.tail) {
            (None, Some(tail)) => {
                fanout.send(&mut Wire::Plain {
                    tail,
                    payload_len: publish.body.len(),
                });
            }
            _ => fanout.send_varied(publish),
        }
        let mut sent_before = 0;
        loop {
            let is_unanswered = wants_status && fanout.tally.sent() == sent_before;
            run.unanswered = reply.filter(|_| is_unanswered);
            if run.unanswered.is_some() || !fanout.is_plain() {
                run.is_plain = false;
                break;
            }
            if fanout.tally.out_bytes >= out_bytes_max || fanout.has_full_batch() {
                break;
            }
            let Some(next) = parse_repeat(&rest[run.run_len..], publish.subject, limits) else {
                break;
            };
            if wants_status {
                sent_before = fanout.tally.sent();
                fanout.wants_status = next.reply.is_some();
            }
            fanout.is_run = true;
            fanout.send(&mut Wire::Plain {
                tail: next.tail,
                payload_len: next.body_len,
            });
            reply = next.reply;
            run.run_len += next.len;
            run.messages += 1;
            run.body_bytes += next.body_len as u64;
            run.last_len = next.body_len;
        }
        let tally = fanout.tally;
        run.slowing = tally.slowing;
        self.count(&tally);
        run
    }

    /// All that a delivery of what `publisher` sent to the subject of `found` touches.
    #[inline]
    pub(super) fn fanout(
        &mut self,
        found: MatchRef,
        publisher: ConnKey,
        no_echo_to: Option<ConnKey>,
    ) -> Fanout<'_> {
        let is_own_left_out = !self.is_without(Mutant::EchoOffWeights);
        let (set, subs) = self.interest.matched(found);
        Fanout {
            connections: &mut self.connections,
            subs,
            set,
            rng: &mut self.rng,
            pool: &mut self.pool,
            lists: &mut self.lists,
            crossing: &mut self.crossing,
            scratch: &mut self.scratch,
            limits: &self.limits,
            early_flush_bytes: early_flush_bytes(&self.limits),
            lag_bytes: self.limits.pending_bytes_max / 4 * 3,
            publisher,
            no_echo_to,
            wants_status: false,
            is_own_left_out,
            now: self.now,
            is_local: set.shards().is_empty(),
            is_run: false,
            is_batch_full: false,
            tally: Tally::default(),
        }
    }

    #[inline]
    pub(super) fn count(&mut self, tally: &Tally) {
        self.stats.out_msgs += tally.copies;
        self.stats.out_bytes += tally.payload_bytes;
        self.stats.crossed_out += tally.crossed;
        self.turn_out_bytes += tally.out_bytes;
    }

    /// The rest of a publish whose delivery was not plain.
    #[inline(never)]
    pub(super) fn follow_up(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        publish: &Publish<'_>,
        run: &Delivered<'_>,
    ) -> Flow {
        self.trace_deliveries(publish);
        self.remove_expired(Some(key));
        self.cut_overfull(edge);
        if let Some(reply) = run.unanswered {
            self.tell_no_responders(key, reply);
        }
        if !self.is_open(key) {
            return Flow::Closed;
        }
        // Its line counts, too: else empty messages would never use up any credit.
        let op_len = b"PUB  9\r\n\r\n".len() + publish.subject.len() + run.last_len;
        match run.slowing {
            // Not for one that was cut for the second copy of this message.
            Some(reader) if self.is_open(reader) && self.spend_credit(key, op_len) => {
                self.slow_down(key, reader)
            }
            None if self.is_lagging_elsewhere(key) && self.spend_credit(key, op_len) => {
                self.pause_briefly(key);
                Flow::Pause
            }
            _ => Flow::Continue,
        }
    }

    /// `<<- [MSG foo 1 5]` for those receivers whose lines are traced.
    pub(super) fn trace_deliveries(&mut self, publish: &Publish<'_>) {
        let mut traced = std::mem::take(&mut self.lists.traced);
        for id in traced.drain(..) {
            let sub = self.interest.sub(id);
            let Some(connection) = self.connections.find(sub.conn()) else {
                continue;
            };
            let verb = if publish.has_headers() && connection.client.headers {
                "HMSG"
            } else {
                "MSG"
            };
            let reply = publish
                .reply
                .map(|r| format!("{} ", Printable(r)))
                .unwrap_or_default();
            let (subject, sid) = (Printable(publish.subject), Printable(sub.sid()));
            let text = format_args!(
                "<<- [{verb} {subject} {sid} {reply}{}]",
                Printable(publish.size_text)
            );
            self.log.add(Level::Trace, &connection.peer, text);
        }
        self.lists.traced = traced;
    }

    /// Whether a reader on another shard is known to lag behind this publisher.
    fn is_lagging_elsewhere(&self, key: ConnKey) -> bool {
        self.connections
            .find(key)
            .is_some_and(|publisher| publisher.lagging_until > self.now)
    }

    /// Whether a publisher that should wait has used up what it may send between two waits.
    fn spend_credit(&mut self, key: ConnKey, bytes: usize) -> bool {
        let Some(publisher) = self.connections.find_mut(key) else {
            return false;
        };
        let is_spent = publisher.slow_credit_bytes <= bytes;
        publisher.slow_credit_bytes = publisher.slow_credit_bytes.saturating_sub(bytes);
        is_spent
    }

    /// Auto-unsubscribe: the last delivery of each has just been made.
    pub(super) fn remove_expired(&mut self, publisher: Option<ConnKey>) {
        let mut expired = std::mem::take(&mut self.lists.expired);
        for id in expired.drain(..) {
            let sub = self.interest.sub(id);
            if let Some(publisher) = publisher.and_then(|key| self.connections.find(key)) {
                let sid = Printable(sub.sid());
                let text = format_args!(
                    "Auto-unsubscribe limit of {} reached for sid '{sid}'",
                    sub.max
                );
                self.log.add(Level::Debug, &publisher.peer, text);
            }
            let Some(connection) = self.connections.find_mut(sub.conn()) else {
                continue;
            };
            if connection.is_traced {
                let text = format_args!("<-> [DELSUB {}]", Printable(sub.sid()));
                self.log.add(Level::Trace, &connection.peer, text);
            }
            self.interest.remove(&mut connection.subs, id);
        }
        self.lists.expired = expired;
    }

    /// Ends connections that were given more than they may have pending: slow consumers,
    /// counted and logged once.
    pub(super) fn cut_overfull(&mut self, edge: &mut impl Edge) {
        let mut overfull = std::mem::take(&mut self.lists.overfull);
        for key in overfull.drain(..) {
            let Some(connection) = self.connections.find(key).filter(|c| c.is_open()) else {
                continue;
            };
            self.stats.slow_consumers += 1;
            let max = self.limits.pending_bytes_max;
            let text = format_args!("Slow Consumer Detected: MaxPending of {max} Exceeded");
            self.log.add(Level::Info, &connection.peer, text);
            self.end_at_once(edge, key, CloseReason::SlowConsumerPending);
        }
        self.lists.overfull = overfull;
    }

    /// A request reached nobody: its sender gets a status message, if it listens for the reply.
    /// It counts for no maximum (nats-server 2.9 to 2.15).
    #[cold]
    pub(super) fn tell_no_responders(&mut self, key: ConnKey, reply: &[u8]) {
        let found = self
            .interest
            .match_subject(reply, &mut MatchHint::default());
        let (set, _) = self.interest.matched(found);
        let Some(target) = set.plain.iter().find(|t| t.conn == key) else {
            return;
        };
        let line = [set.prefix(target), encode::NO_RESPONDERS].concat();
        self.enqueue(key, &line);
    }
}

impl Tally {
    /// Copies made, those for other shards included.
    #[inline]
    fn sent(&self) -> u64 {
        self.copies + self.crossed
    }
}

impl Fanout<'_> {
    /// Nothing came up that has to be seen to before the next message.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.tally.slowing.is_none()
            && self.lists.expired.is_empty()
            && self.lists.overfull.is_empty()
            && self.lists.traced.is_empty()
    }

    /// A batch, for a connection or for a shard, is large enough to go.
    #[inline]
    pub(super) fn has_full_batch(&self) -> bool {
        !self.lists.large.is_empty() | self.is_batch_full
    }

    /// One message to every plain subscription and to one member of each queue group.
    #[inline(always)]
    fn send(&mut self, wire: &mut Wire<'_>) {
        let set = self.set;
        for target in &set.plain {
            self.enqueue(target, wire);
        }
        if self.is_local {
            for group in &set.groups {
                self.send_to_member(group, wire);
            }
        } else {
            self.send_across(wire);
        }
    }

    /// To the plain subscriptions of this shard.
    #[inline]
    pub(super) fn send_to_plain(&mut self, wire: &mut Wire<'_>) {
        let set = self.set;
        for target in &set.plain {
            self.enqueue(target, wire);
        }
    }

    /// To one member of a group, from a random one on the first that can take it. False if none can.
    #[inline(never)]
    pub(super) fn send_to_member(&mut self, group: &Group, wire: &mut Wire<'_>) -> bool {
        let start = match self.no_echo_to {
            None => self.rng.below(group.members.len()),
            Some(own) => self.start_past(group, own),
        };
        let (before, from) = group.members.split_at(start);
        from.iter()
            .chain(before)
            .any(|member| self.enqueue(member, wire))
    }

    /// A random member that is not the publisher's own: each has the same share.
    fn start_past(&mut self, group: &Group, own: ConnKey) -> usize {
        let others = || (0..).zip(&group.members).filter(|(_, m)| m.conn != own);
        let pick = self.rng.below(others().count());
        others().nth(pick).map_or(0, |(at, _)| at)
    }

    /// The rest of a message that may concern other shards: one choice for each queue group, and one
    /// record for each shard.
    #[inline(never)]
    fn send_across(&mut self, wire: &mut Wire<'_>) {
        let set = self.set;
        let mut shards = set.plain_shards();
        let copies_before = self.tally.copies;
        if let Wire::Plain { tail, payload_len } = wire
            && set.groups.is_empty()
            && !self.wants_status
        {
            for shard in shards.iter() {
                self.tally.out_bytes += self.crossing.push_plain(
                    shard,
                    self.publisher,
                    set.subject(),
                    tail,
                    *payload_len,
                    self.is_run,
                );
                self.tally.crossed += 1;
            }
            self.is_batch_full |= !self.crossing.full.is_empty();
            return;
        }
        self.crossing.picks.clear();
        for (at, group) in (0..).zip(&set.groups) {
            if let Some(shard) = self.choose(group, wire) {
                self.crossing.picks.push((shard, at));
                shards.insert(shard);
            }
        }
        // Only one shard can say that nobody got it, and only if nobody got it here.
        let was_here = !set.plain.is_empty() || self.tally.copies > copies_before;
        let wants_status = self.wants_status && !was_here && shards.is_one();
        for shard in shards.iter() {
            self.cross(shard, wire, wants_status);
        }
    }

    /// Chooses a member of a group among those of all shards. One of this shard gets the message; of
    /// another the shard is given.
    fn choose(&mut self, group: &Group, wire: &mut Wire<'_>) -> Option<u16> {
        let own = match self.no_echo_to {
            Some(own) if self.is_own_left_out => {
                group.members.iter().filter(|m| m.conn == own).count()
            }
            _ => 0,
        };
        let here = group.members.len() - own;
        let elsewhere = group.remote_weight as usize;
        let pick = self.rng.below(here + elsewhere);
        let pick = if pick < here {
            if self.send_to_member(group, wire) {
                return None;
            }
            self.rng.below(elsewhere)
        } else {
            pick - here
        };
        group.pick_remote(pick, ShardSet::NONE)
    }

    /// Writes a message to the batch for a shard.
    fn cross(&mut self, shard: u16, wire: &mut Wire<'_>, wants_status: bool) {
        let (tail, body_len, headers_len) = match wire {
            Wire::Plain { tail, payload_len } => (*tail, *payload_len, None),
            Wire::Varied(varied) => {
                let body_len = varied.publish.body.len();
                let headers_len = varied.publish.headers.map_or(0, |h| h.len);
                if varied.headed.is_empty() {
                    (varied.plain_tail(), body_len, None)
                } else {
                    (varied.headed, body_len, Some(headers_len))
                }
            }
        };
        let mut list = std::mem::take(&mut self.crossing.list);
        list.clear();
        for &(picked, at) in &self.crossing.picks {
            if picked == shard {
                list.push(self.set.group_name(&self.set.groups[at as usize]));
            }
        }
        let message = Message {
            to_plain: self.set.plain_shards().contains(shard),
            is_same_subject: false,
            is_no_echo: self.no_echo_to.is_some(),
            wants_status,
            rechosen: None,
            headers_len,
            groups: list.groups(),
            subject: self.set.subject(),
            tail,
            body_len,
        };
        self.tally.out_bytes += self.crossing.push_message(shard, self.publisher, &message);
        self.tally.crossed += 1;
        self.is_batch_full |= self.crossing.full.contains(shard);
        self.crossing.list = list;
    }

    /// Hands a message that is not the same for all to `send`.
    #[inline(never)]
    pub(super) fn with_varied(
        &mut self,
        publish: &Publish<'_>,
        send: impl FnOnce(&mut Self, &mut Wire<'_>),
    ) {
        let mut written = Vec::new();
        let headed = match (publish.has_headers(), publish.tail) {
            (false, _) => &[],
            (true, Some(tail)) => tail,
            (true, None) => {
                write_tail(&mut written, publish, true);
                &written[..]
            }
        };
        let mut plain = std::mem::take(self.scratch);
        let mut wire = Wire::Varied(Varied {
            publish,
            headed,
            plain: &mut plain,
            is_plain_written: false,
        });
        send(self, &mut wire);
        *self.scratch = plain;
    }

    fn send_varied(&mut self, publish: &Publish<'_>) {
        self.with_varied(publish, |fanout, wire| fanout.send(wire));
    }

    /// One copy for one subscription; false if it cannot take it.
    #[inline]
    fn enqueue(&mut self, target: &Target, wire: &mut Wire<'_>) -> bool {
        let Some(connection) = self.connections.find_mut(target.conn) else {
            return false;
        };
        if !connection.is_open() || self.no_echo_to == Some(target.conn) {
            return false;
        }
        let sub = &mut self.subs[target.sub];
        if sub.max != 0 && sub.delivered >= sub.max {
            return false;
        }
        sub.delivered += 1;
        if sub.delivered == sub.max {
            self.lists.expired.push(target.sub);
        }
        let prefix = self.set.prefix(target);
        let before = connection.outbox.pending_bytes();
        // `HMSG …` without its first letter is `MSG …`.
        let payload_len = match wire {
            Wire::Plain { tail, payload_len } => {
                connection.outbox.push(self.pool, &prefix[1..], tail);
                *payload_len
            }
            Wire::Varied(varied) if connection.client.headers && !varied.headed.is_empty() => {
                connection.outbox.push(self.pool, prefix, varied.headed);
                varied.publish.body.len()
            }
            Wire::Varied(varied) => {
                connection
                    .outbox
                    .push(self.pool, &prefix[1..], varied.plain_tail());
                varied.publish.body.len() - varied.publish.headers.map_or(0, |h| h.len)
            }
        };
        connection.traffic.out_msgs += 1;
        connection.traffic.out_bytes += payload_len as u64;
        connection.last_activity = self.now;
        self.tally.copies += 1;
        self.tally.payload_bytes += payload_len as u64;
        let pending = connection.outbox.pending_bytes();
        self.tally.out_bytes += pending - before;
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.lists.dirty.push(target.conn);
        }
        if connection.is_traced {
            self.lists.traced.push(target.sub);
        }
        if pending >= self.early_flush_bytes {
            self.note_large(target.conn, before, pending);
        }
        true
    }

    /// A batch that is worth a write of its own, or a reader that lags or is too slow.
    #[inline(never)]
    fn note_large(&mut self, key: ConnKey, before: usize, pending: usize) {
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        let max = self.limits.pending_bytes_max;
        let lags = self.limits.slow_fast_publishers && pending > self.lag_bytes;
        if pending > max {
            if before <= max {
                self.lists.overfull.push(key);
            }
        } else if lags && connection.is_blocked {
            if reads(connection, self.now) {
                self.tally.slowing = Some(key);
            } else if connection.last_try != self.now {
                // A socket tells of room when a third of its buffer is free, for a slow reader long
                // after it began to read. So it is tried, once per turn.
                connection.last_try = self.now;
                connection.is_blocked = false;
            }
        }
        // What was not even offered to the socket does not lag.
        if !connection.is_blocked {
            self.lists.large.push(key);
        }
    }
}

impl Varied<'_> {
    fn plain_tail(&mut self) -> &[u8] {
        if !self.is_plain_written {
            write_tail(self.plain, self.publish, false);
            self.is_plain_written = true;
        }
        self.plain
    }
}

/// Whether a connection with bytes pending accepted some lately. One that is stuck slows nobody.
fn reads(connection: &Connection, now: Time) -> bool {
    now.since(connection.last_progress) <= super::look::STUCK_AFTER
}

/// `[reply ][hdr ]size␍␊body␍␊`, with the header block or without it.
#[cold]
fn write_tail(out: &mut Vec<u8>, publish: &Publish<'_>, with_headers: bool) {
    out.clear();
    if let Some(reply) = publish.reply {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    let body = match publish.headers {
        Some(headers) if with_headers => {
            out.extend_from_slice(headers.size_text);
            out.push(b' ');
            out.extend_from_slice(publish.size_text);
            publish.body
        }
        Some(headers) if headers.len > 0 => {
            let payload = &publish.body[headers.len..];
            encode::push_decimal(out, payload.len());
            payload
        }
        _ => {
            out.extend_from_slice(publish.size_text);
            publish.body
        }
    };
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}
