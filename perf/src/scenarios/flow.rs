//! Messages in one direction: publishers at full speed, subscribers that count.
//!
//! One thread and one `poll` for all connections. A publisher is held back when it is a window ahead of the
//! slowest subscriber of its subject, so that no server ever has a slow consumer to deal with: what is
//! measured is the message path. Each stretch ends drained: every message has arrived, and every connection
//! has had its PONG.
//!
//! The warm-up looks at the start of every message. Later, unless everything is verified, the kernel throws
//! most of what arrives away instead of copying it here: the generator is to cost little, and the count is
//! the same.

mod publisher;
mod setup;

use std::time::Instant;

use rustix::event::PollFlags;

pub(super) use publisher::Publisher;

use super::meter::Meter;
use super::{Load, Scenario, Stop};
use crate::Result;
use crate::progress::Progress;
use crate::report::Outcome;
use crate::wire::{self, Peer, READ_BYTES};

/// Default window of one subscriber, in bytes: far below what any server calls a slow consumer.
const WINDOW_BYTES_MAX: usize = 8 * 1024 * 1024;

/// All windows together, in bytes: with many subscribers the server has to hold this much.
const WINDOW_SUM_BYTES: usize = 64 * 1024 * 1024;

/// Least default window, in bytes: below it, batches get shallow.
const WINDOW_BYTES_MIN: usize = 512 * 1024;

/// Who gets what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Every subscriber all of it.
    Each,
    /// Subscriber `i` what publisher `i` sends.
    Paired,
    /// One of the subscribers each message.
    Shared,
}

/// All connections of one run.
pub(super) struct Flow {
    publishers: Vec<Publisher>,
    subscribers: Vec<Peer>,
    /// Connections that only take places.
    fillers: Vec<Peer>,
    delivery: Delivery,
    /// How far publishers may be ahead, in messages.
    window_messages: u64,
    /// Most of what arrives is thrown away unseen.
    is_skimming: bool,
    buffer: Vec<u8>,
    progress: Option<Progress>,
}

/// Runs any shape with one subject, or one for each pair, that publishes without waiting for answers.
pub(super) fn run(scenario: &Scenario, load: &Load) -> Result<Outcome> {
    measure(Flow::open(scenario, load)?, scenario, load)
}

/// Warms a flow up and measures it.
pub(super) fn measure(mut flow: Flow, scenario: &Scenario, load: &Load) -> Result<Outcome> {
    flow.warm_up(load)?;
    flow.progress = load.progress.clone();
    let (sent, received) = (flow.sent(), flow.received());
    let meter = Meter::begin(load)?;
    flow.stretch(load.stop)?;
    let (sent, received) = (flow.sent() - sent, flow.received() - received);
    let counted = if flow.subscribers.is_empty() {
        sent
    } else {
        received
    };
    let outcome = meter.end(scenario, counted, sent)?;
    if let Some(progress) = &mut flow.progress {
        progress.finish();
    }
    Ok(outcome)
}

impl Flow {
    /// Connects for shapes with one subject, or one for each pair.
    ///
    /// # Errors
    /// No connection, or a refusal.
    pub(super) fn open(scenario: &Scenario, load: &Load) -> Result<Self> {
        setup::open(scenario, load)
    }

    /// A flow of connections that are ready; a message is `message_bytes` long where it arrives.
    pub(super) fn new(
        publishers: Vec<Publisher>,
        subscribers: Vec<Peer>,
        delivery: Delivery,
        message_bytes: usize,
        load: &Load,
    ) -> Self {
        let window = load.window_bytes.unwrap_or_else(|| {
            (WINDOW_SUM_BYTES / subscribers.len().max(1)).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX)
        });
        Self {
            publishers,
            subscribers,
            fillers: Vec::new(),
            delivery,
            window_messages: (window / message_bytes).max(1) as u64,
            is_skimming: false,
            buffer: vec![0; READ_BYTES],
            progress: None,
        }
    }

    /// Holds these as long as the flow is.
    pub(super) fn hold(&mut self, fillers: Vec<Peer>) {
        self.fillers = fillers;
    }

    /// Connections that take the places in front of a publisher, as many as the load says.
    ///
    /// # Errors
    /// No connection.
    pub(super) fn fillers(load: &Load) -> Result<Vec<Peer>> {
        let places = 0..load.fillers;
        places.map(|_| Peer::connect(&load.server)).collect()
    }

    /// The load before the measured one; from then on not everything is looked at.
    ///
    /// # Errors
    /// As those of a stretch.
    pub(super) fn warm_up(&mut self, load: &Load) -> Result<()> {
        self.stretch(load.warm_up())?;
        self.is_skimming = !load.is_verified;
        Ok(())
    }

    /// Messages sent so far, by all publishers.
    pub(super) fn sent(&self) -> u64 {
        self.publishers.iter().map(Publisher::sent_messages).sum()
    }

    /// Messages received so far, by all subscribers.
    pub(super) fn received(&self) -> u64 {
        let counts = self.subscribers.iter().map(|peer| peer.scanner.messages);
        counts.sum()
    }

    /// All connections, and what each waits for.
    pub(super) fn interests(&self) -> Vec<(&Peer, PollFlags)> {
        let publishers = self.publishers.iter().zip(self.rooms());
        let publishers = publishers.map(|(publisher, room)| {
            let peer = &publisher.peer;
            match room > 0 || peer.scanner.pings > 0 || peer.has_unsent() {
                true => (peer, PollFlags::IN | PollFlags::OUT),
                false => (peer, PollFlags::IN),
            }
        });
        let subscribers = self.subscribers.iter().map(|peer| (peer, PollFlags::IN));
        publishers.chain(subscribers).collect()
    }

    /// Publishes until `stop`, then waits for the last message and a PONG on every connection.
    fn stretch(&mut self, stop: Stop) -> Result<()> {
        self.go_on(stop);
        let deadline = match stop {
            Stop::After(time) => Some(Instant::now() + time),
            Stop::Messages(_) => None,
        };
        loop {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return self.finish();
            }
            if deadline.is_none() && self.publishers.iter().all(Publisher::is_done) {
                return self.finish();
            }
            self.turn()?;
            let counted = self.received();
            if let Some(progress) = &mut self.progress {
                progress.tick(counted);
            }
        }
    }

    /// Lets the publishers publish from now on, until [`Flow::finish`] or for so many messages.
    pub(super) fn go_on(&mut self, stop: Stop) {
        let count = self.publishers.len() as u64;
        for (index, publisher) in self.publishers.iter_mut().enumerate() {
            publisher.go_on(match stop {
                Stop::After(_) => None,
                Stop::Messages(messages) => {
                    Some(messages / count + u64::from((index as u64) < messages % count))
                }
            });
        }
    }

    /// Ends the stretch: waits for the last message and a PONG on every connection.
    ///
    /// # Errors
    /// A message is lost or one too many, or nothing moves for 20 s.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.publishers.iter_mut().for_each(Publisher::end);
        while !self.publishers.iter().all(Publisher::is_done) || self.missing() > 0 {
            self.turn()?;
            self.refuse_surplus()?;
        }
        for publisher in &mut self.publishers {
            publisher.peer.ping()?;
        }
        for peer in &mut self.subscribers {
            peer.ping()?;
        }
        self.refuse_surplus()
    }

    /// How many messages each subscriber has got, and how many it is to get of what was sent; for a queue
    /// group all its members together.
    fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        let sent = self.sent();
        let is_shared = self.delivery == Delivery::Shared;
        let together = is_shared.then(|| (self.received(), sent));
        let subscribers = self.subscribers.iter().enumerate();
        let each = subscribers
            .filter(move |_| !is_shared)
            .map(move |(index, peer)| {
                let expected = match self.delivery {
                    Delivery::Paired => self.publishers[index].sent_messages(),
                    _ => sent,
                };
                (peer.scanner.messages, expected)
            });
        together.into_iter().chain(each)
    }

    /// Messages on their way, over all subscribers.
    fn missing(&self) -> u64 {
        let missing = |(got, expected): (u64, u64)| expected.saturating_sub(got);
        self.counts().map(missing).sum()
    }

    fn refuse_surplus(&self) -> Result<()> {
        if self.counts().any(|(got, expected)| got > expected) {
            return Err("messages arrived that were never published".into());
        }
        Ok(())
    }

    /// How many bytes each publisher may send now.
    fn rooms(&self) -> Vec<u64> {
        let counts = || self.subscribers.iter().map(|peer| peer.scanner.messages);
        let sent = self.sent();
        // What the slowest has got of all that was sent; nobody is slow where nobody is.
        let got = match self.delivery {
            Delivery::Shared => counts().sum(),
            _ => counts().min().unwrap_or(sent),
        };
        // Those that share a window share it alike: whom the server reads faster does not crowd the others out.
        let slowest = self.publishers.iter().map(Publisher::sent_messages).min();
        let share = (self.window_messages / self.publishers.len() as u64).max(1);
        let room = |(index, publisher): (usize, &Publisher)| {
            let own = publisher.sent_messages();
            let messages = match self.delivery {
                _ if publisher.is_done() => 0,
                Delivery::Paired => {
                    let ahead = own.saturating_sub(self.subscribers[index].scanner.messages);
                    self.window_messages.saturating_sub(ahead)
                }
                _ => {
                    let lead = own - slowest.unwrap_or(own);
                    let ahead = sent.saturating_sub(got);
                    let room = self.window_messages.saturating_sub(ahead);
                    room.min(share.saturating_sub(lead))
                }
            };
            messages.saturating_mul(publisher.message_bytes())
        };
        self.publishers.iter().enumerate().map(room).collect()
    }

    /// One round: wait, then one write and one read for each connection that is ready.
    fn turn(&mut self) -> Result<()> {
        let rooms = self.rooms();
        let ready = wire::wait_for(&self.interests())
            .map_err(|e| format!("{e}, {} messages missing", self.missing()))?;
        let (publishers, subscribers) = ready.split_at(rooms.len());
        for ((publisher, ready), room) in self.publishers.iter_mut().zip(publishers).zip(rooms) {
            if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                publisher.peer.receive(&mut self.buffer)?;
            }
            if ready.contains(PollFlags::OUT) {
                publisher.write(room)?;
            }
        }
        for (index, ready) in subscribers.iter().enumerate() {
            if !ready.is_empty() {
                self.read(index)?;
            }
        }
        Ok(())
    }

    /// One write of at most `bytes_max` and one read for each connection, without waiting. False when
    /// nothing moved.
    ///
    /// # Errors
    /// As those of a connection.
    pub(super) fn step(&mut self, bytes_max: u64) -> Result<bool> {
        let before = (self.sent(), self.received());
        let rooms = self.rooms();
        for (publisher, room) in self.publishers.iter_mut().zip(rooms) {
            publisher.peer.receive(&mut self.buffer)?;
            publisher.write(room.min(bytes_max))?;
        }
        for index in 0..self.subscribers.len() {
            self.read(index)?;
        }
        Ok(before != (self.sent(), self.received()))
    }

    fn read(&mut self, index: usize) -> Result<()> {
        let peer = &mut self.subscribers[index];
        if self.is_skimming {
            peer.skim(&mut self.buffer)?;
        } else {
            peer.receive(&mut self.buffer)?;
        }
        peer.answer_pings()
    }
}

#[cfg(test)]
mod tests;
