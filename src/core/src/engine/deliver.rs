//! What a publish brings about: steps 4 (match) and 5 (split) of the PUB path, and what a delivery leaves
//! to be done.
//!
//! Nothing here allocates per message: the match result is cached with ready-made line
//! prefixes, a delivery is a prefix and one copy of the message's tail.

use super::fanout::Wire;
use super::log::Level;
use super::operations::Flow;
use super::runs::LastOp;
use super::turn::early_flush_bytes;
use super::{Edge, Engine};
use crate::client::CloseReason;
use crate::interest::{ConnKey, MatchHint, MatchRef};
use crate::proto::quote::Printable;
use crate::proto::{ParseLimits, Publish, encode, is_same, parse_repeat};

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

/// The bytes of a publish, and those behind them.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) op: &'a [u8],
    /// Empty if each message needs a look of its own.
    pub(super) rest: &'a [u8],
}

impl Input<'_> {
    /// Whether what lies behind the publish goes to the same subject: then one match serves both.
    #[inline]
    pub(super) fn stays_with_subject(&self, publish: &Publish<'_>) -> bool {
        // `PUB `, the subject, and a blank; of other lines some bytes that are the same only if they are alike.
        let len = 4 + publish.subject.len() + 1;
        match (self.op.get(..len), self.rest.get(..len)) {
            (Some(this), Some(next)) => is_same(this, next),
            _ => false,
        }
    }
}

impl Engine {
    /// Hands a message to the one who wants it, if that is one subscription of this shard and nothing has to be
    /// looked at besides: what most messages need that are not like the one before. False if nothing was done.
    #[inline]
    pub(super) fn deliver_alone(
        &mut self,
        key: ConnKey,
        found: MatchRef,
        publish: &Publish<'_>,
    ) -> bool {
        let Some(tail) = publish.tail.filter(|_| publish.headers.is_none()) else {
            return false;
        };
        let (set, subs) = self.interest.matched(found);
        let Some(target) = set.alone() else {
            return false;
        };
        let Some(connection) = self.connections.find_mut(target.conn) else {
            return false;
        };
        let sub = &mut subs[target.sub];
        let prefix = &set.prefix(target)[1..];
        let len = prefix.len() + tail.len();
        let is_special = !connection.is_open()
            | connection.is_watched
            | (sub.max != 0)
            | (target.conn == key)
            | (connection.outbox.pending_bytes() + len >= early_flush_bytes(&self.limits));
        if is_special {
            return false;
        }
        sub.delivered += 1;
        connection.outbox.push(&mut self.pool, prefix, tail);
        connection.traffic.out_msgs += 1;
        connection.traffic.out_bytes += publish.body.len() as u64;
        connection.last_activity = self.now;
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.lists.dirty.push_back(target.conn);
        }
        self.stats.out_msgs += 1;
        self.stats.out_bytes += publish.body.len() as u64;
        self.turn_work += len;
        true
    }

    /// Hands a message to everyone who wants it, and then those behind it as long as they go to the same
    /// subject and leave nothing to be done: one match serves them all.
    #[inline]
    pub(super) fn deliver<'a>(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        found: MatchRef,
        publish: &Publish<'a>,
        input: Input<'a>,
        limits: &ParseLimits,
    ) -> Delivered<'a> {
        let Input { op, rest } = input;
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
        let mut work_max = self.limits.turn_work.saturating_sub(self.turn_work);
        if is_slowed {
            // One at a time.
            (work_max, run.is_plain) = (0, false);
        }
        // K2, and log lines go before what they explain.
        let may_write = !self.has_unpublished() && self.log.lines.is_empty();
        let mut fanout = self.fanout(found, key, no_echo_to);
        fanout.wants_status = wants_status && publish.reply.is_some();
        let mut reply = publish.reply;
        let are_headed = publish.has_headers();
        match (publish.headers, publish.tail) {
            (None, Some(tail)) => {
                fanout.send(&mut Wire::Plain {
                    tail,
                    payload_len: publish.body.len(),
                });
            }
            _ => fanout.send_varied(publish),
        }
        let may_repeat = publish.tail.is_some() && fanout.set.groups.is_empty();
        // Those behind it are compared with an operation that has the same lengths as the one before it, so that
        // publishers whose sizes vary pay next to nothing.
        let mut last_lens = (op.len(), publish.body.len());
        let mut repeated = (may_repeat && are_headed).then(|| LastOp {
            op,
            tail_len: publish.tail.map_or(0, <[u8]>::len),
            body_len: publish.body.len(),
            is_headed: are_headed,
        });
        let mut sent_before = 0;
        loop {
            let is_unanswered = wants_status && fanout.tally.sent() == sent_before;
            run.unanswered = reply.filter(|_| is_unanswered);
            if run.unanswered.is_some() || !fanout.is_plain() {
                run.is_plain = false;
                break;
            }
            if fanout.tally.work >= work_max || fanout.has_full_batch() {
                break;
            }
            let behind = &rest[run.run_len..];
            if let Some(last) = &repeated {
                if !fanout.wants_status
                    && let Some(count) =
                        fanout.send_repeats(last, behind, work_max, may_write.then_some(&mut *edge))
                {
                    run.run_len += last.op.len() * count;
                    run.messages += count as u64;
                    run.body_bytes += (last.body_len * count) as u64;
                    continue;
                }
                repeated = None;
            }
            if are_headed {
                break;
            }
            let Some(next) = parse_repeat(behind, publish.subject, limits) else {
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
            let lens = (next.len, next.body_len);
            if lens == last_lens && may_repeat {
                repeated = Some(LastOp {
                    op: &behind[..next.len],
                    tail_len: next.tail.len(),
                    body_len: next.body_len,
                    is_headed: false,
                });
            }
            last_lens = lens;
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

    /// The rest of a publish whose delivery was not plain.
    #[inline(never)]
    pub(super) fn follow_up(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        publish: &Publish<'_>,
        run: &Delivered<'_>,
    ) -> Flow {
        self.note_deliveries(publish);
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

    /// `<<- [MSG foo 1 5]` for those receivers whose lines are traced, and leave to answer for those who need it.
    pub(super) fn note_deliveries(&mut self, publish: &Publish<'_>) {
        let mut watched = std::mem::take(&mut self.lists.watched);
        // However many subscriptions of a connection it reaches, it is one request.
        self.lists.round += 1;
        let round = self.lists.round;
        for id in watched.drain(..) {
            let sub = self.interest.sub(id);
            let receiver = self.connections.find_mut(sub.conn());
            if let Some(reply) = publish.reply
                && let Some(receiver) = receiver.filter(|c| c.run_round != round)
                && let Some(rights) = receiver.rights.as_mut()
            {
                receiver.run_round = round;
                rights.note_reply(reply, self.now);
            }
            let Some(connection) = self.connections.find(sub.conn()).filter(|c| c.is_traced) else {
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
        self.lists.watched = watched;
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
