//! One message, or a run to one subject, into the outboxes and batches of all who want it. Step 6 (enqueue) of
//! the PUB path, and the choice of a queue group's member.

use super::connection::{Connection, Connections};
use super::crossing::Crossing;
use super::records::Message;
use super::runs;
use super::turn::early_flush_bytes;
use super::{Engine, Limits, Lists, Mutant};
use crate::client::ChunkPool;
use crate::interest::{ConnKey, Group, MatchRef, MatchSet, Subs, Target};
use crate::proto::{Publish, encode};
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
    pub(super) connections: &'a mut Connections,
    subs: &'a mut Subs,
    pub(super) set: &'a MatchSet,
    rng: &'a mut Rng,
    pool: &'a mut ChunkPool,
    pub(super) lists: &'a mut Lists,
    pub(super) crossing: &'a mut Crossing,
    pub(super) scratch: &'a mut Vec<u8>,
    limits: &'a Limits,
    early_flush_bytes: usize,
    /// Pending bytes above which a reader lags. Less for what comes from another shard: more of it is on
    /// its way when its publisher is told.
    pub(super) lag_bytes: usize,
    /// The publisher, as the other shards will know it.
    pub(super) publisher: ConnKey,
    /// The publisher, if its own messages do not come back to it.
    no_echo_to: Option<ConnKey>,
    /// The publisher wants to know if nobody gets its message.
    pub(super) wants_status: bool,
    /// Its own members of a queue group have no part in the choice.
    is_own_left_out: bool,
    pub(super) now: Time,
    /// The set has receivers on this shard only.
    pub(super) is_local: bool,
    /// Not the first message of a run.
    pub(super) is_run: bool,
    /// A batch for another shard has the size to go.
    pub(super) is_batch_full: bool,
    /// Whether the plain receivers take runs; found out when there is one.
    pub(super) are_runs_taken: Option<bool>,
    /// Bytes of a run that one receiver gets at a time.
    pub(super) run_bytes_max: usize,
    pub(super) tally: Tally,
}

/// What deliveries came to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// A reader that lags but reads.
    pub(super) slowing: Option<ConnKey>,
    pub(super) copies: u64,
    payload_bytes: u64,
    pub(super) work: usize,
    /// Messages written to batches for other shards.
    pub(super) crossed: u64,
}

impl Engine {
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
            are_runs_taken: None,
            run_bytes_max: runs::RUN_BYTES_MAX.min(self.limits.pending_bytes_max / 8),
            tally: Tally::default(),
        }
    }

    #[inline]
    pub(super) fn count(&mut self, tally: &Tally) {
        self.stats.out_msgs += tally.copies;
        self.stats.out_bytes += tally.payload_bytes;
        self.stats.crossed_out += tally.crossed;
        self.turn_work += tally.work;
    }
}

impl Tally {
    /// Copies made, those for other shards included.
    #[inline]
    pub(super) fn sent(&self) -> u64 {
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
            && self.lists.watched.is_empty()
    }

    /// A batch, for a connection or for a shard, is large enough to go.
    #[inline]
    pub(super) fn has_full_batch(&self) -> bool {
        !self.lists.large.is_empty() | self.is_batch_full
    }

    /// One message to every plain subscription and to one member of each queue group.
    #[inline(always)]
    pub(super) fn send(&mut self, wire: &mut Wire<'_>) {
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
                self.tally.work += self.crossing.push_plain(
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
        self.tally.work += self.crossing.push_message(shard, self.publisher, &message);
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

    pub(super) fn send_varied(&mut self, publish: &Publish<'_>) {
        self.with_varied(publish, |fanout, wire| fanout.send(wire));
    }

    /// One copy for one subscription; false if it cannot take it.
    #[inline]
    fn enqueue(&mut self, target: &Target, wire: &mut Wire<'_>) -> bool {
        // `HMSG …` without its first letter is `MSG …`.
        self.enqueue_some(target, 1, |connection, pool, prefix, _| match wire {
            Wire::Plain { tail, payload_len } => {
                connection.outbox.push(pool, &prefix[1..], tail);
                *payload_len
            }
            Wire::Varied(varied) if connection.client.headers && !varied.headed.is_empty() => {
                connection.outbox.push(pool, prefix, varied.headed);
                varied.publish.body.len()
            }
            Wire::Varied(varied) => {
                connection
                    .outbox
                    .push(pool, &prefix[1..], varied.plain_tail());
                varied.publish.body.len() - varied.publish.headers.map_or(0, |h| h.len)
            }
        })
    }

    /// Messages for one subscription: as many of `count` as it still takes, which `push` puts into its outbox.
    /// That gives the bytes of each payload. False if it takes none.
    #[inline(always)]
    pub(super) fn enqueue_some(
        &mut self,
        target: &Target,
        count: u64,
        push: impl FnOnce(&mut Connection, &mut ChunkPool, &[u8], u64) -> usize,
    ) -> bool {
        let Some(connection) = self.connections.find_mut(target.conn) else {
            return false;
        };
        if !connection.is_open() || self.no_echo_to == Some(target.conn) {
            return false;
        }
        let sub = &mut self.subs[target.sub];
        let mut count = count;
        if sub.max != 0 {
            count = count.min(sub.max.saturating_sub(sub.delivered));
            if count == 0 {
                return false;
            }
        }
        sub.delivered += count;
        if sub.delivered == sub.max {
            self.lists.expired.push(target.sub);
        }
        let before = connection.outbox.pending_bytes();
        let payload_len = push(connection, self.pool, self.set.prefix(target), count);
        let payload_bytes = payload_len as u64 * count;
        connection.traffic.out_msgs += count;
        connection.traffic.out_bytes += payload_bytes;
        connection.last_activity = self.now;
        self.tally.copies += count;
        self.tally.payload_bytes += payload_bytes;
        let pending = connection.outbox.pending_bytes();
        self.tally.work += pending.saturating_sub(before);
        if !connection.is_dirty && pending > 0 {
            connection.is_dirty = true;
            self.lists.dirty.push_back(target.conn);
        }
        if connection.is_watched {
            self.lists.watched.push(target.sub);
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
