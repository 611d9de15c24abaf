//! Request and reply, one in flight: the cost and the time of two wake-ups of the server.
//!
//! Requester and responder live on one thread, which blocks for each of the two messages.

use std::time::Instant;

use super::conversation::Conversation;
use super::latency::Times;
use super::meter::Meter;
use super::{Load, Scenario, Stop};
use crate::Result;
use crate::progress::Progress;
use crate::report::Outcome;

/// Runs `reqrep`.
pub(super) fn run(scenario: &Scenario, load: &Load) -> Result<Outcome> {
    let mut conversation = Conversation::connect(
        &load.server,
        &load.subject,
        scenario.payload_bytes,
        load.is_verified,
    )?;
    rounds(&mut conversation, load.warm_up(), &mut None)?;
    let mut progress = load.progress.clone();
    let meter = Meter::begin(load)?;
    let times = rounds(&mut conversation, load.stop, &mut progress)?;
    let counted = times.count();
    let mut outcome = meter.end(scenario, counted, 2 * counted)?;
    if let Some(progress) = &mut progress {
        progress.finish();
    }
    conversation.finish()?;
    outcome.latency = times.latency();
    Ok(outcome)
}

/// Requests until `stop`; the time of each.
fn rounds(
    conversation: &mut Conversation,
    stop: Stop,
    progress: &mut Option<Progress>,
) -> Result<Times> {
    let mut times = Times::new()?;
    let begin = Instant::now();
    let mut last = begin;
    loop {
        let is_enough = match stop {
            Stop::After(time) => last - begin >= time,
            Stop::Messages(count) => times.count() >= count,
        };
        if is_enough {
            return Ok(times);
        }
        conversation.request(1)?;
        // Waiting comes first: a read at once would find nothing.
        loop {
            conversation.wait_for_request()?;
            if conversation.respond()? == conversation.requests() {
                break;
            }
        }
        loop {
            conversation.wait_for_reply()?;
            if conversation.collect()? == conversation.requests() {
                break;
            }
        }
        let now = Instant::now();
        times.add(now - last)?;
        last = now;
        if let Some(progress) = progress {
            progress.tick(times.count());
        }
    }
}
