//! Request and reply, one in flight: the cost and the time of two wake-ups of the server.
//!
//! Requester and responder live on one thread, which blocks for each of the two messages.

use std::time::{Duration, Instant};

use super::{Load, Scenario, Stop};
use crate::Result;
use crate::cpu;
use crate::report::{Latency, Outcome};
use crate::wire::{self, Batch, Peer};

/// Bytes of one read: one message, or a little more.
const READ_BYTES: usize = 64 * 1024;

/// Both ends of the conversation.
struct Conversation {
    requester: Peer,
    responder: Peer,
    request: Batch,
    reply: Batch,
    buffer: Vec<u8>,
}

/// Runs `reqrep`.
pub(super) fn run(scenario: &Scenario, load: &Load) -> Result<Outcome> {
    let mut conversation =
        Conversation::connect(scenario.payload_bytes, &load.subject, &load.server)?;
    conversation.rounds(match load.stop {
        Stop::After(_) => Stop::After(load.warmup),
        Stop::Messages(count) => Stop::Messages(count / 10),
    })?;

    let server_before = load.server_time()?;
    let own_before = cpu::time_of(std::process::id())?;
    let begin = Instant::now();
    let times = conversation.rounds(load.stop)?;
    let elapsed = begin.elapsed();
    let server_after = load.server_time()?;
    let own_after = cpu::time_of(std::process::id())?;

    let mut outcome = Outcome::new(scenario, times.len() as u64, elapsed);
    outcome.published = 2 * outcome.counted;
    outcome.server_time = server_after
        .zip(server_before)
        .map(|(after, before)| after.saturating_sub(before));
    outcome.generator_time = own_after.saturating_sub(own_before);
    outcome.latency = Latency::of(times);
    Ok(outcome)
}

impl Conversation {
    fn connect(payload_bytes: usize, subject: &str, server: &str) -> Result<Self> {
        let mut requester = Peer::connect(server)?;
        let mut responder = Peer::connect(server)?;
        if requester.is_floor {
            return Err("the floor peer knows no subjects: no request/reply".into());
        }
        let inbox = format!("_INBOX.{subject}");
        requester.subscribe(&inbox, wire::delivered_bytes(&inbox, None, payload_bytes))?;
        responder.subscribe(
            subject,
            wire::delivered_bytes(subject, Some(&inbox), payload_bytes),
        )?;
        let mut reply = Batch::publish(&inbox, payload_bytes, false);
        reply.bytes.truncate(reply.message_bytes);
        Ok(Self {
            requester,
            responder,
            request: Batch::request(subject, &inbox, payload_bytes),
            reply,
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Requests until `stop`; the time of each.
    fn rounds(&mut self, stop: Stop) -> Result<Vec<Duration>> {
        let begin = Instant::now();
        let mut times = Vec::new();
        let mut last = begin;
        loop {
            let is_enough = match stop {
                Stop::After(time) => last - begin >= time,
                Stop::Messages(count) => times.len() as u64 >= count,
            };
            if is_enough {
                return Ok(times);
            }
            self.requester.send(&self.request.bytes)?;
            wait_for_message(&mut self.responder, &mut self.buffer)?;
            self.responder.send(&self.reply.bytes)?;
            wait_for_message(&mut self.requester, &mut self.buffer)?;
            let now = Instant::now();
            times.push(now - last);
            last = now;
        }
    }
}

fn wait_for_message(peer: &mut Peer, buffer: &mut [u8]) -> Result<()> {
    let count = peer.scanner.messages;
    while peer.scanner.messages == count {
        peer.receive_some(buffer)?;
    }
    Ok(())
}
