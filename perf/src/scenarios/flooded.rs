//! A request at a time, beside a flood: how long those wait who send little when others send all they can.
//!
//! The flood is `1to1` on connections of its own, so a request waits in the server only. One thread does both.
//! It looks after the conversation between any two system calls of the flood, and these are small: a request
//! waits for the generator some 20 µs at most, a hundredth of what it waits for in a server under flood. A
//! second thread would be worse: on the generator's one CPU it would wait for its turn of milliseconds.

use std::time::Instant;

use super::conversation::Conversation;
use super::flow::Flow;
use super::latency::Times;
use super::meter::Meter;
use super::{Load, Scenario, Stop};
use crate::Result;
use crate::progress::Progress;
use crate::report::Outcome;
use crate::wire;

/// Payload of a request and of a reply, in bytes. That of the scenario is the flood's.
const REQUEST_BYTES: usize = 16;

/// One write of the flood, in bytes.
const WRITE_BYTES: u64 = 16 * 1024;

/// Runs `flooded`: what is counted is what the flood delivers, the latency is that of the requests.
pub(super) fn run(scenario: &Scenario, load: &Load) -> Result<Outcome> {
    let mut flow = Flow::open(scenario, load)?;
    let subject = format!("{}.requests", load.subject);
    let mut conversation =
        Conversation::connect(&load.server, &subject, REQUEST_BYTES, load.is_verified)?;
    flow.warm_up(load)?;
    let (sent, received) = (flow.sent(), flow.received());
    let mut progress = load.progress.clone();
    let meter = Meter::begin(load)?;
    let times = both(&mut flow, &mut conversation, load.stop, &mut progress)?;
    flow.finish()?;
    let published = flow.sent() - sent + 2 * times.count();
    let mut outcome = meter.end(scenario, flow.received() - received, published)?;
    if let Some(progress) = &mut progress {
        progress.finish();
    }
    conversation.finish()?;
    outcome.latency = times.latency();
    Ok(outcome)
}

/// Floods until `stop`, and requests beside it; the times of the requests, the last of them answered.
fn both(
    flow: &mut Flow,
    conversation: &mut Conversation,
    stop: Stop,
    progress: &mut Option<Progress>,
) -> Result<Times> {
    let mut times = Times::new()?;
    flow.go_on(stop);
    let begin = Instant::now();
    let flooded = flow.sent();
    let mut last = begin;
    let mut is_last = false;
    conversation.request(1)?;
    loop {
        conversation.respond()?;
        let is_answered = conversation.collect()? == conversation.requests();
        if is_answered {
            let now = Instant::now();
            times.add(now - last)?;
            if is_last {
                return Ok(times);
            }
            last = now;
            conversation.request(1)?;
        }
        is_last = match stop {
            Stop::After(time) => begin.elapsed() >= time,
            Stop::Messages(count) => flow.sent() - flooded >= count,
        };
        let has_moved = flow.step(WRITE_BYTES)?;
        if !has_moved && !is_answered {
            let mut peers = flow.interests();
            peers.extend(conversation.interests());
            wire::wait_for(&peers)?;
        }
        if let Some(progress) = progress {
            progress.tick(flow.received());
        }
    }
}
