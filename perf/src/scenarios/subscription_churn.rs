//! Subscriptions that come and go, beside requests that others exchange: what does the churn cost them?
//!
//! Fifty connections subscribe to ever new subjects and give them up again, by the clock; a requester and a
//! responder talk at a fixed rate. `subchurn0` is the same without the fifty doing anything, for comparison.
//! Churn goes out in small writes, one connection at a time, and the conversation is looked after between any
//! two of them: what is measured is the server.

use std::collections::VecDeque;
use std::time::Instant;

use rustix::event::PollFlags;

use super::conversation::Conversation;
use super::latency::Times;
use super::meter::Meter;
use super::open_loop::OpenLoop;
use super::pace::Pace;
use super::{Load, OTHER_DESCRIPTORS, Scenario, Stop};
use crate::Result;
use crate::cpu;
use crate::report::Outcome;
use crate::wire::{self, Outgoing, Peer, SMALL_READ_BYTES};

/// Connections that subscribe.
const CONNECTIONS: usize = 50;

/// Subscriptions that each of them holds at a time.
const HELD: usize = 10;

/// Writes per second, over all connections. It has no common measure with the rate of the requests, so that
/// they do not always meet.
const WRITES_PER_SECOND: f64 = 4219.0;

/// Requests per second.
const REQUESTS_PER_SECOND: f64 = 1000.0;

/// Runs `subchurn`: `per_second` SUB and as many UNSUB, over all connections.
pub(super) fn run(scenario: &Scenario, per_second: f64, load: &Load) -> Result<Outcome> {
    cpu::allow_descriptors(CONNECTIONS as u64 + OTHER_DESCRIPTORS)?;
    let conversation = Conversation::connect(
        &load.server,
        &load.subject,
        scenario.payload_bytes,
        load.is_verified,
    )?;
    let mut churn = Churn::connect(load, per_second)?;
    let (_, conversation) = churn.stretch(conversation, load.warm_up(), load)?;
    let meter = Meter::begin(load)?;
    let (times, mut conversation) = churn.stretch(conversation, load.stop, load)?;
    churn.barrier()?;
    let mut outcome = meter.end(scenario, times.count(), 2 * times.count())?;
    conversation.finish()?;
    outcome.latency = times.latency();
    Ok(outcome)
}

/// The connections that subscribe and unsubscribe.
struct Churn {
    members: Vec<Member>,
    /// Subscriptions and as many ends of one per second.
    per_second: f64,
    /// How many there were so far.
    changes: u64,
    subject: String,
    buffer: Vec<u8>,
}

/// One of them.
struct Member {
    peer: Peer,
    outgoing: Outgoing,
    /// Sids that it holds, oldest first.
    held: VecDeque<u64>,
    next_sid: u64,
}

impl Churn {
    fn connect(load: &Load, per_second: f64) -> Result<Self> {
        let mut churn = Self {
            members: Vec::new(),
            per_second,
            changes: 0,
            subject: format!("churn.{}", load.subject),
            buffer: vec![0; SMALL_READ_BYTES],
        };
        for index in 0..CONNECTIONS {
            let peer = Peer::connect(&load.server)?;
            if peer.is_floor {
                return Err("the floor peer knows no subjects: no subchurn".into());
            }
            churn.members.push(Member {
                peer,
                outgoing: Outgoing::default(),
                held: VecDeque::new(),
                next_sid: 1,
            });
            for _ in 0..HELD {
                churn.subscribe(index);
            }
        }
        churn.barrier()?;
        Ok(churn)
    }

    /// Requests and churn until `stop`.
    fn stretch(
        &mut self,
        conversation: Conversation,
        stop: Stop,
        load: &Load,
    ) -> Result<(Times, Conversation)> {
        let mut requests = OpenLoop::begin(conversation, REQUESTS_PER_SECOND, stop)?;
        let begin = Instant::now();
        let paces = (self.per_second > 0.0).then(|| {
            let pace = |per_second| Pace::new(begin, per_second, u64::MAX);
            (pace(WRITES_PER_SECOND), pace(self.per_second))
        });
        let before = self.changes;
        let mut written = 0;
        let mut progress = load.progress.clone();
        loop {
            let now = Instant::now();
            requests.turn(now)?;
            if requests.is_done() {
                break;
            }
            if let Some((writes, changes)) = &paces
                && writes.due(now) > written
            {
                let due = changes.due(now) - (self.changes - before);
                self.write(written, due)?;
                written += 1;
            }
            if let Some(progress) = &mut progress {
                progress.tick(self.changes - before);
            }
            let next = paces.as_ref().map(|(writes, _)| writes.instant(written));
            let next_due = [requests.next_due(), next].into_iter().flatten().min();
            requests.wait(next_due)?;
        }
        if let Some(progress) = &mut progress {
            progress.finish();
        }
        if let Some((_, changes)) = &paces {
            let (due, done) = (changes.due(Instant::now()), self.changes - before);
            if done < due / 10 * 9 {
                return Err(format!("only {done} of {due} subscriptions came and went").into());
            }
        }
        Ok(requests.into_parts())
    }

    /// One write of one connection: so many new subscriptions, and the end of as many old ones.
    fn write(&mut self, turn: u64, changes: u64) -> Result<()> {
        let index = usize::try_from(turn % CONNECTIONS as u64)?;
        for _ in 0..changes {
            self.subscribe(index);
            let member = &mut self.members[index];
            if let Some(sid) = member.held.pop_front() {
                member.outgoing.push(format!("UNSUB {sid}\r\n").as_bytes());
            }
        }
        self.changes += changes;
        let member = &mut self.members[index];
        member.peer.receive(&mut self.buffer)?;
        for _ in 0..std::mem::take(&mut member.peer.scanner.pings) {
            member.outgoing.push(wire::PONG);
        }
        member.outgoing.flush(&mut member.peer)
    }

    fn subscribe(&mut self, index: usize) {
        let member = &mut self.members[index];
        let sid = member.next_sid;
        let line = format!("SUB {}.{index}.{sid} {sid}\r\n", self.subject);
        member.outgoing.push(line.as_bytes());
        member.held.push_back(sid);
        member.next_sid += 1;
    }

    /// Waits until the server has done all that was asked.
    fn barrier(&mut self) -> Result<()> {
        for member in &mut self.members {
            while member.outgoing.is_waiting(&member.peer) {
                wire::wait_for(&[(&member.peer, PollFlags::OUT)])?;
                member.outgoing.flush(&mut member.peer)?;
            }
            member.peer.ping()?;
        }
        Ok(())
    }
}
