//! Messages in one direction: publishers at full speed, subscribers that count.
//!
//! One thread and one `poll` for all connections. A publisher is held back when it is a window ahead of the
//! slowest subscriber of its subject, so that no server ever has a slow consumer to deal with: what is
//! measured is the message path. Each stretch ends drained: every message has arrived, and every connection
//! has had its PONG.

use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};

use super::{Load, Scenario, Shape, Stop};
use crate::Result;
use crate::cpu;
use crate::report::Outcome;
use crate::wire::{self, Batch, PONG, Peer, READ_BYTES};

/// Default window of one subscriber, in bytes: far below what any server calls a slow consumer.
const WINDOW_BYTES_MAX: usize = 8 * 1024 * 1024;

/// All windows together, in bytes: with many subscribers the server has to hold this much.
const WINDOW_SUM_BYTES: usize = 64 * 1024 * 1024;

/// Least default window, in bytes: below it, batches get shallow.
const WINDOW_BYTES_MIN: usize = 512 * 1024;

/// A publishing connection and where it is in its stream.
struct Publisher {
    peer: Peer,
    batch: Batch,
    /// Bytes of messages sent since the start. Invariant: never beyond `end_bytes`.
    sent_bytes: u64,
    /// Where the current stretch ends; a multiple of the message length once it is known.
    end_bytes: u64,
    /// Rest of an answer to the server's PING.
    reply: &'static [u8],
}

impl Publisher {
    fn sent_messages(&self) -> u64 {
        self.sent_bytes / self.message_bytes()
    }

    fn message_bytes(&self) -> u64 {
        self.batch.message_bytes as u64
    }

    /// The end of the message that is being sent.
    fn next_boundary(&self) -> u64 {
        self.sent_bytes.next_multiple_of(self.message_bytes())
    }

    fn is_done(&self) -> bool {
        self.sent_bytes == self.end_bytes
    }

    /// One write: as much as the socket takes, at most `room_bytes`. A PING of the server is answered
    /// between two messages.
    fn write(&mut self, room_bytes: u64) -> Result<()> {
        let is_between = self.sent_bytes == self.next_boundary();
        if is_between && self.reply.is_empty() && self.peer.scanner.pings > 0 {
            self.peer.scanner.pings -= 1;
            self.reply = PONG;
        }
        if !self.reply.is_empty() {
            let count = self.peer.try_send(self.reply)?;
            self.reply = &self.reply[count..];
            return Ok(());
        }
        let mut end = self
            .end_bytes
            .min(self.sent_bytes.saturating_add(room_bytes));
        if self.peer.scanner.pings > 0 {
            end = end.min(self.next_boundary());
        }
        let length = self.batch.bytes.len() as u64;
        let start = self.sent_bytes % length;
        let rest =
            &self.batch.bytes[index(start)..index(length.min(start + (end - self.sent_bytes)))];
        self.sent_bytes += self.peer.try_send(rest)? as u64;
        Ok(())
    }
}

/// All connections of one run.
struct Flow {
    publishers: Vec<Publisher>,
    subscribers: Vec<Peer>,
    /// Connections that only take places.
    fillers: Vec<Peer>,
    /// Publisher `i` and subscriber `i` have a subject of their own; otherwise all share one.
    is_paired: bool,
    /// How far publishers may be ahead, in messages.
    window_messages: u64,
    buffer: Vec<u8>,
}

/// Runs any shape that publishes without waiting for answers.
pub(super) fn run(scenario: &Scenario, load: &Load) -> Result<Outcome> {
    let mut flow = Flow::connect(scenario, load)?;
    flow.stretch(match load.stop {
        Stop::After(_) => Stop::After(load.warmup),
        Stop::Messages(count) => Stop::Messages(count / 10),
    })?;

    let (sent, received) = flow.totals();
    let server_before = load.server_time()?;
    let own_before = cpu::time_of(std::process::id())?;
    let begin = Instant::now();
    flow.stretch(load.stop)?;
    let elapsed = begin.elapsed();
    let server_after = load.server_time()?;
    let own_after = cpu::time_of(std::process::id())?;

    let (sent, received) = (flow.totals().0 - sent, flow.totals().1 - received);
    let counted = if flow.subscribers.is_empty() {
        sent
    } else {
        received
    };
    let mut outcome = Outcome::new(scenario, counted, elapsed);
    outcome.published = sent;
    outcome.server_time = server_after
        .zip(server_before)
        .map(|(after, before)| after.saturating_sub(before));
    outcome.generator_time = own_after.saturating_sub(own_before);
    Ok(outcome)
}

impl Flow {
    fn connect(scenario: &Scenario, load: &Load) -> Result<Self> {
        let (publishers, subscribers) = match scenario.shape {
            Shape::FanOut(count) => (1, count),
            Shape::FanIn(count) => (count, 1),
            Shape::Pairs(count) => (count, count),
            Shape::OneToOne => (1, 1),
            _ => (1, 0),
        };
        cpu::allow_descriptors(publishers as u64 + subscribers as u64 + 32)?;
        let is_paired = matches!(scenario.shape, Shape::Pairs(_));
        let subject = |index: usize| {
            if is_paired {
                format!("{}.{index}", load.subject)
            } else {
                load.subject.clone()
            }
        };
        let bytes = scenario.payload_bytes;
        let mut flow = Self {
            publishers: Vec::new(),
            subscribers: Vec::new(),
            fillers: Vec::new(),
            is_paired,
            window_messages: 0,
            buffer: vec![0; READ_BYTES],
        };
        for index in 0..subscribers {
            let mut peer = Peer::connect(&load.server)?;
            let subject = subject(index);
            peer.subscribe(&subject, wire::delivered_bytes(&subject, None, bytes))?;
            flow.subscribers.push(peer);
        }
        for _ in 0..load.fillers {
            flow.fillers.push(Peer::connect(&load.server)?);
        }
        for index in 0..publishers {
            let peer = Peer::connect(&load.server)?;
            if peer.is_floor && publishers > 1 {
                return Err("the floor peer knows no messages: one publisher only".into());
            }
            let batch = Batch::publish(&subject(index), bytes, peer.is_floor);
            flow.publishers.push(Publisher {
                peer,
                batch,
                sent_bytes: 0,
                end_bytes: 0,
                reply: &[],
            });
        }
        let window = load.window_bytes.unwrap_or_else(|| {
            (WINDOW_SUM_BYTES / subscribers.max(1)).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX)
        });
        let message_bytes = wire::delivered_bytes(&subject(0), None, bytes);
        flow.window_messages = (window / message_bytes).max(1) as u64;
        Ok(flow)
    }

    /// Messages sent and messages received so far, over all connections.
    fn totals(&self) -> (u64, u64) {
        let sent = self.publishers.iter().map(Publisher::sent_messages).sum();
        let received = self
            .subscribers
            .iter()
            .map(|peer| peer.scanner.messages)
            .sum();
        (sent, received)
    }

    /// Publishes until `stop`, then waits for the last message and a PONG on every connection.
    fn stretch(&mut self, stop: Stop) -> Result<()> {
        let count = self.publishers.len() as u64;
        let deadline = match stop {
            Stop::After(time) => Some(Instant::now() + time),
            Stop::Messages(_) => None,
        };
        for (index, publisher) in self.publishers.iter_mut().enumerate() {
            publisher.end_bytes = match stop {
                Stop::After(_) => u64::MAX,
                Stop::Messages(messages) => {
                    let share = messages / count + u64::from((index as u64) < messages % count);
                    publisher.sent_bytes + share * publisher.message_bytes()
                }
            };
        }
        loop {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                for publisher in &mut self.publishers {
                    publisher.end_bytes = publisher.end_bytes.min(publisher.next_boundary());
                }
            }
            if self.publishers.iter().all(Publisher::is_done) && self.missing() == 0 {
                break;
            }
            self.turn()?;
        }
        for peer in self
            .publishers
            .iter_mut()
            .map(|publisher| &mut publisher.peer)
        {
            peer.ping()?;
        }
        for peer in &mut self.subscribers {
            peer.ping()?;
        }
        if self.missing() != 0 {
            return Err("messages arrived that were never published".into());
        }
        Ok(())
    }

    /// Messages on their way, over all subscribers; not 0 either when too many came.
    fn missing(&self) -> u64 {
        let expected = self.totals().0;
        self.subscribers
            .iter()
            .enumerate()
            .map(|(index, peer)| {
                let expected = if self.is_paired {
                    self.publishers[index].sent_messages()
                } else {
                    expected
                };
                expected.abs_diff(peer.scanner.messages)
            })
            .sum()
    }

    /// How many bytes each publisher may send now.
    fn rooms(&self) -> Vec<u64> {
        let slowest = self
            .subscribers
            .iter()
            .map(|peer| peer.scanner.messages)
            .min();
        let sent = self.totals().0;
        let rooms = self
            .publishers
            .iter()
            .enumerate()
            .map(|(index, publisher)| {
                if publisher.is_done() {
                    return 0;
                }
                let ahead = match slowest {
                    None => return u64::MAX,
                    Some(_) if self.is_paired => publisher
                        .sent_messages()
                        .saturating_sub(self.subscribers[index].scanner.messages),
                    Some(slowest) => sent.saturating_sub(slowest),
                };
                self.window_messages.saturating_sub(ahead) * publisher.message_bytes()
            });
        rooms.collect()
    }

    /// One round: wait, then one write and one read for each connection that is ready.
    fn turn(&mut self) -> Result<()> {
        let rooms = self.rooms();
        let wanted = |room: &u64| {
            if *room > 0 {
                PollFlags::IN | PollFlags::OUT
            } else {
                PollFlags::IN
            }
        };
        let publishers = self.publishers.iter().zip(&rooms);
        let mut entries: Vec<PollFd<'_>> = publishers
            .map(|(publisher, room)| PollFd::new(&publisher.peer, wanted(room)))
            .chain(
                self.subscribers
                    .iter()
                    .map(|peer| PollFd::new(peer, PollFlags::IN)),
            )
            .collect();
        match poll(&mut entries, Some(&wire::STALL_LIMIT)) {
            Ok(0) => {
                return Err(
                    format!("no progress for 20 s, {} messages missing", self.missing()).into(),
                );
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(format!("poll: {e}").into()),
        }
        let ready: Vec<PollFlags> = entries.iter().map(PollFd::revents).collect();
        let (publishers, subscribers) = ready.split_at(self.publishers.len());
        for ((publisher, ready), room) in self.publishers.iter_mut().zip(publishers).zip(rooms) {
            if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                publisher.peer.receive(&mut self.buffer)?;
            }
            if ready.contains(PollFlags::OUT) {
                publisher.write(room)?;
            }
        }
        for (peer, ready) in self.subscribers.iter_mut().zip(subscribers) {
            if !ready.is_empty() {
                peer.receive(&mut self.buffer)?;
                peer.answer_pings()?;
            }
        }
        Ok(())
    }
}

/// A position within a batch, which is far below 4 GiB.
fn index(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
