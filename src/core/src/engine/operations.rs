//! What each operation of a client does. Step 3 (admit) of the PUB path.

use super::connection::Pause;
use super::deliver::Input;
use super::log::Level;
use super::records::Origin;
use super::rights;
use super::turn::{MATCH_WORK, SUBSCRIPTION_WORK};
use super::{Edge, Engine, Lane, Mutant};
use crate::client::CloseReason;
use crate::interest::{ConnKey, Inserted};
use crate::proto::quote::Printable;
use crate::proto::{Op, ParseError, ParseLimits, ProtocolError, Publish, connect, encode};
use crate::subject;

/// How a connection goes on after an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// With the next operation.
    Continue,
    /// Not before something has happened; the bytes behind the operation are kept.
    Pause,
    /// Not even with this operation, before there is room in that lane: it has not begun.
    Wait {
        /// Where the lane leads.
        shard: u16,
        /// Which one of the two.
        lane: Lane,
    },
    /// Not at all.
    Closed,
}

impl Engine {
    /// Any operation but a publish.
    #[inline(never)]
    pub(super) fn handle_op(&mut self, edge: &mut impl Edge, key: ConnKey, op: &Op<'_>) -> Flow {
        // K3: whatever was published before the peer sent this comes first.
        let is_unsubscribe = matches!(op, Op::Unsubscribe { .. });
        if (is_unsubscribe || matches!(op, Op::Ping | Op::Subscribe { .. }))
            && !self.is_without(Mutant::UnseenData)
            && !(is_unsubscribe && self.is_without(Mutant::UnsubBeforeData))
        {
            self.take_visible(edge);
            if !self.is_open(key) {
                return Flow::Closed;
            }
        }
        if is_unsubscribe || matches!(op, Op::Subscribe { .. }) {
            self.turn_work += SUBSCRIPTION_WORK;
        }
        let flow = match *op {
            Op::Publish(_) | Op::Okay => Flow::Continue,
            Op::Subscribe {
                subject,
                queue,
                sid,
            } => {
                let is_news = self.interest.is_news(subject, queue);
                match is_news.then(|| self.reserve_interest(edge)).flatten() {
                    Some(wait) => return wait,
                    None => self.handle_subscribe(key, subject, queue, sid),
                }
            }
            Op::Unsubscribe { sid, max } => self.handle_unsubscribe(key, sid, max),
            Op::Ping => self.handle_ping(key),
            Op::Pong => self.handle_pong(key),
            Op::Connect(json) => self.handle_connect(edge, key, json),
            Op::Info(json) => match connect::check_info(json) {
                Ok(()) => Flow::Continue,
                Err(error) => self.refuse_json(edge, key, &error),
            },
            Op::Error(text) => self.handle_error(edge, key, text),
        };
        self.cut_overfull(edge);
        if flow == Flow::Continue && !self.is_open(key) {
            Flow::Closed
        } else {
            flow
        }
    }

    pub(super) fn is_open(&self, key: ConnKey) -> bool {
        self.connections
            .find(key)
            .is_some_and(super::connection::Connection::is_open)
    }

    /// A publish, and with it those behind it that go to the same subject. Says how many
    /// bytes behind it that took.
    #[inline]
    pub(super) fn handle_publish(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        publish: &Publish<'_>,
        mut input: Input<'_>,
        limits: &ParseLimits,
    ) -> (usize, Flow) {
        let Some(publisher) = self.connections.find_mut(key) else {
            return (0, Flow::Closed);
        };
        let is_watched = publisher.is_watched;
        if !is_watched && !self.may_publish(key, publish.subject) {
            return self.drop_publish(key, publish);
        }
        let Some(publisher) = self.connections.find_mut(key) else {
            return (0, Flow::Closed);
        };
        // K1: what other shards are to get finds room with all of them, or the publish has to wait.
        let found = self
            .interest
            .match_subject(publish.subject, &mut publisher.hint);
        let shards = self.interest.shards(found);
        if !shards.is_empty()
            && let Some(wait) = self.reserve(edge, shards)
        {
            if self.is_without(Mutant::NotAllOrNothing) {
                input.rest = &[];
                self.deliver(edge, key, found, publish, input, limits);
            }
            return (0, wait);
        }
        // Who may answer once is asked last, when nothing else can hold the message up: asking uses the leave up.
        if is_watched && !self.may_publish(key, publish.subject) {
            return self.drop_publish(key, publish);
        }
        let Some(publisher) = self.connections.find_mut(key) else {
            return (0, Flow::Closed);
        };
        let is_remarkable =
            publisher.client.verbose | publisher.client.pedantic | publisher.is_watched;
        if is_remarkable {
            self.remark_publish(key, publish, true);
            input.rest = &[];
        } else if !input.stays_with_subject(publish) && self.deliver_alone(key, found, publish) {
            self.count_received(key, 1, publish.body.len() as u64);
            self.count_builds();
            return (0, Flow::Continue);
        }
        let delivered = self.deliver(edge, key, found, publish, input, limits);
        self.count_received(key, delivered.messages, delivered.body_bytes);
        self.count_builds();
        if !self.crossing.full.is_empty() {
            self.publish(edge);
        }
        if delivered.is_plain {
            return (delivered.run_len, Flow::Continue);
        }
        let flow = self.follow_up(edge, key, publish, &delivered);
        (delivered.run_len, flow)
    }

    /// A publish that is refused goes no further.
    #[cold]
    fn drop_publish(&mut self, key: ConnKey, publish: &Publish<'_>) -> (usize, Flow) {
        self.remark_publish(key, publish, false);
        self.count_received(key, 1, publish.body.len() as u64);
        self.count_builds();
        (0, Flow::Continue)
    }

    /// Matches that had to be built are work of this turn.
    #[inline]
    pub(super) fn count_builds(&mut self) {
        let builds = self.interest.builds();
        self.turn_work += (builds - self.builds_seen) as usize * MATCH_WORK;
        self.builds_seen = builds;
    }

    #[inline]
    fn count_received(&mut self, key: ConnKey, messages: u64, bytes: u64) {
        if let Some(publisher) = self.connections.find_mut(key) {
            publisher.traffic.in_msgs += messages;
            publisher.traffic.in_bytes += bytes;
            publisher.last_activity = self.now;
        }
        self.stats.in_msgs += messages;
        self.stats.in_bytes += bytes;
    }

    /// What some publishes need besides delivery, or instead of it: `+OK`, the pedantic check, a trace line, a
    /// refusal.
    #[inline(never)]
    fn remark_publish(&mut self, key: ConnKey, publish: &Publish<'_>, is_allowed: bool) {
        let Some(publisher) = self.connections.find_mut(key) else {
            return;
        };
        let was_announced = std::mem::take(&mut publisher.is_body_announced);
        let (pedantic, verbose) = (publisher.client.pedantic, publisher.client.verbose);
        if publisher.is_traced {
            self.trace_publish(key, publish);
        }
        if pedantic && !was_announced {
            self.check_publish_subject(key, publish.subject);
        }
        if !is_allowed {
            self.refuse_publish(key, publish.subject);
        } else if verbose {
            self.enqueue(key, encode::OK);
        }
    }

    /// The line of a publish is there, its body is not: what depends on the line alone is
    /// said now, and once.
    pub(super) fn announce_body(&mut self, key: ConnKey, subject: &[u8]) {
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        if connection.client.pedantic && !connection.is_body_announced {
            connection.is_body_announced = true;
            self.check_publish_subject(key, subject);
        }
    }

    fn check_publish_subject(&mut self, key: ConnKey, subject: &[u8]) {
        if !subject::is_valid_literal(subject) {
            self.enqueue_error(key, ProtocolError::InvalidPublishSubject.wire_text());
        }
    }

    /// The publisher waits for a reader that lags: until it has caught up, or for a moment.
    pub(super) fn slow_down(&mut self, key: ConnKey, reader: ConnKey) -> Flow {
        if !self.pause_briefly(key) {
            return Flow::Closed;
        }
        let shard = self.shard;
        self.await_reader(reader, Origin { shard, key });
        Flow::Pause
    }

    /// Pauses a publisher for a moment. False if there is none.
    pub(super) fn pause_briefly(&mut self, key: ConnKey) -> bool {
        let until = self.now + super::look::SLOWED_MAX;
        let Some(connection) = self.connections.find_mut(key) else {
            return false;
        };
        connection.pause = Some(Pause::Slowed { until });
        connection.stalls += 1;
        self.stats.stalled_clients += 1;
        self.look_by(key, until);
        true
    }

    /// Notes who waits for a reader to catch up.
    pub(super) fn await_reader(&mut self, reader: ConnKey, publisher: Origin) {
        if let Some(reader) = self.connections.find_mut(reader)
            && !reader.waiting.contains(&publisher)
        {
            reader.waiting.push(publisher);
        }
    }

    fn handle_subscribe(
        &mut self,
        key: ConnKey,
        subject: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
    ) -> Flow {
        let Some(connection) = self.connections.find_mut(key) else {
            return Flow::Closed;
        };
        connection.last_activity = self.now;
        if connection.is_traced {
            let queue = Printable(queue.unwrap_or_default());
            let gap = if queue.0.is_empty() { "" } else { " " };
            let text = format_args!(
                "->> [SUB {}{gap}{queue} {}]",
                Printable(subject),
                Printable(sid)
            );
            self.log.add(Level::Trace, &connection.peer, text);
        }
        let rights = connection.rights.as_deref();
        let Some(filter) = rights::subscription(rights, subject, queue) else {
            self.refuse_subscription(key, subject, queue, sid);
            return Flow::Continue;
        };
        let max = self.limits.subscriptions_max;
        if max > 0 && connection.subs.len() >= max {
            let text = ProtocolError::MaxSubscriptions.wire_text();
            self.log
                .add(Level::Error, &connection.peer, format_args!("{text}"));
            self.enqueue_error(key, text);
            return Flow::Continue;
        }
        let verbose = connection.client.verbose;
        match self.interest.subscribe_filtered(
            key,
            &mut connection.subs,
            subject,
            queue,
            sid,
            filter,
        ) {
            Ok(Inserted::New(_) | Inserted::Duplicate(_)) if verbose => {
                self.enqueue(key, encode::OK)
            }
            Ok(_) => {}
            Err(_) => self.enqueue_error(key, ProtocolError::InvalidSubject.wire_text()),
        }
        Flow::Continue
    }

    fn handle_unsubscribe(&mut self, key: ConnKey, sid: &[u8], max: u64) -> Flow {
        let Some(connection) = self.connections.find_mut(key) else {
            return Flow::Closed;
        };
        connection.last_activity = self.now;
        if connection.is_traced {
            let sid = Printable(sid);
            if max == 0 {
                self.log.add(
                    Level::Trace,
                    &connection.peer,
                    format_args!("->> [UNSUB {sid}]"),
                );
            } else {
                self.log.add(
                    Level::Trace,
                    &connection.peer,
                    format_args!("->> [UNSUB {sid} {max}]"),
                );
            }
        }
        if let Some(id) = self.interest.find(key, sid) {
            let sub = self.interest.sub_mut(id);
            if max > sub.delivered {
                sub.max = max;
                let subject = Printable(sub.subject());
                let text = format_args!(
                    "Deferring actual UNSUB({subject}): {max} max, {} received",
                    sub.delivered
                );
                self.log.add(Level::Debug, &connection.peer, text);
            } else {
                if connection.is_traced {
                    self.log.add(
                        Level::Trace,
                        &connection.peer,
                        format_args!("<-> [DELSUB {}]", Printable(sid)),
                    );
                }
                self.interest.remove(&mut connection.subs, id);
            }
        }
        if connection.client.verbose {
            self.enqueue(key, encode::OK);
        }
        Flow::Continue
    }

    fn handle_ping(&mut self, key: ConnKey) -> Flow {
        let info_changed_at = self.info_changed_at;
        let Some(connection) = self.connections.find_mut(key) else {
            return Flow::Closed;
        };
        if connection.is_traced {
            self.log
                .add(Level::Trace, &connection.peer, format_args!("->> [PING]"));
        }
        let is_first = connection.client.is_connected && !connection.client.had_first_pong;
        connection.client.had_first_pong |= is_first;
        let missed_info = is_first
            && connection.client.protocol >= 1
            && info_changed_at >= Some(connection.start);
        self.enqueue(key, encode::PONG);
        if self.lists.urgent.last() != Some(&key) {
            self.lists.urgent.push(key);
        }
        if missed_info {
            self.send_info(key);
        }
        Flow::Continue
    }

    fn handle_pong(&mut self, key: ConnKey) -> Flow {
        let Some(connection) = self.connections.find_mut(key) else {
            return Flow::Closed;
        };
        if connection.is_traced {
            self.log
                .add(Level::Trace, &connection.peer, format_args!("->> [PONG]"));
        }
        connection.ping.handle_pong(self.now);
        Flow::Continue
    }

    #[cold]
    pub(super) fn refuse_json(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        error: &serde_json::Error,
    ) -> Flow {
        if let Some(connection) = self.connections.find(key) {
            self.log.add(
                Level::Error,
                &connection.peer,
                format_args!("{}", connect::Fault(error)),
            );
        }
        self.end_lingering(edge, key, CloseReason::ProtocolViolation);
        Flow::Closed
    }

    #[cold]
    fn handle_error(&mut self, edge: &mut impl Edge, key: ConnKey, text: &[u8]) -> Flow {
        if let Some(connection) = self.connections.find(key) {
            self.log.add(
                Level::Error,
                &connection.peer,
                format_args!("Client Error {}", Printable(text)),
            );
        }
        self.end_lingering(edge, key, CloseReason::ParseError);
        Flow::Closed
    }

    #[cold]
    pub(super) fn end_with_parse_error(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        error: &ParseError,
    ) {
        if let Some(connection) = self.connections.find(key) {
            self.log
                .add(Level::Error, &connection.peer, format_args!("{error}"));
        }
        match error.wire_text() {
            Some(text) => self.end_with_error(edge, key, text, error.close_reason()),
            None => self.end_lingering(edge, key, error.close_reason()),
        }
    }

    #[cold]
    fn trace_publish(&mut self, key: ConnKey, publish: &Publish<'_>) {
        let Some(connection) = self.connections.find(key) else {
            return;
        };
        let reply = publish
            .reply
            .map(|r| format!(" {}", Printable(r)))
            .unwrap_or_default();
        let (subject, size) = (Printable(publish.subject), Printable(publish.size_text));
        let text = match publish.headers {
            None => format!("->> [PUB {subject}{reply} {size}]"),
            Some(h) => format!(
                "->> [HPUB {subject}{reply} {} {size}]",
                Printable(h.size_text)
            ),
        };
        self.log
            .add(Level::Trace, &connection.peer, format_args!("{text}"));
        let payload = Printable(publish.body);
        self.log.add(
            Level::Trace,
            &connection.peer,
            format_args!("->> MSG_PAYLOAD: [{payload}]"),
        );
    }
}
