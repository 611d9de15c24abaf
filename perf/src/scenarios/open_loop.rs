//! Request and reply at a fixed rate: what a client sees that does not wait for the server to be ready.
//!
//! A request has a time at which it is due. It is sent then, or as soon as the generator can, whether earlier
//! ones were answered or not, and its latency counts from when it was *due*. A server that stands still for
//! 10 ms so shows up with every request of those 10 ms, not with the one that a closed loop would have had in
//! flight: coordinated omission cannot happen.
//!
//! The generator does not sleep when the next request is near, since a timer would wake it some 50 µs late.

use std::time::{Duration, Instant};

use rustix::event::Timespec;

use super::conversation::Conversation;
use super::latency::Times;
use super::meter::Meter;
use super::pace::Pace;
use super::{Load, Scenario, Stop};
use crate::Result;
use crate::progress::Progress;
use crate::report::Outcome;
use crate::wire;

/// How long before something is due the generator stops sleeping.
pub(super) const AWAKE_BEFORE: Duration = Duration::from_micros(200);

/// How long requests may stay unanswered.
const STALL_LIMIT: Duration = Duration::from_secs(20);

/// Requests that wait for the socket, in bytes: beyond, the rate is no rate of this server.
const BACKLOG_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A conversation that goes by the clock.
pub(super) struct OpenLoop {
    conversation: Conversation,
    pace: Pace,
    /// Requests and replies before this stretch.
    before: u64,
    times: Times,
    last_reply: Instant,
}

/// Runs `open`.
pub(super) fn run(scenario: &Scenario, per_second: f64, load: &Load) -> Result<Outcome> {
    let conversation = Conversation::connect(
        &load.server,
        &load.subject,
        scenario.payload_bytes,
        load.is_verified,
    )?;
    let mut open_loop = OpenLoop::begin(conversation, per_second, load.warm_up())?;
    open_loop.run(&mut None)?;
    let meter = Meter::begin(load)?;
    let mut open_loop = OpenLoop::begin(open_loop.conversation, per_second, load.stop)?;
    let mut progress = load.progress.clone();
    open_loop.run(&mut progress)?;
    let counted = open_loop.times.count();
    let mut outcome = meter.end(scenario, counted, 2 * counted)?;
    if let Some(progress) = &mut progress {
        progress.finish();
    }
    open_loop.conversation.finish()?;
    outcome.latency = open_loop.times.latency();
    Ok(outcome)
}

impl OpenLoop {
    /// Starts the clock now: requests at `per_second` until `stop`.
    ///
    /// # Errors
    /// A rate that is none.
    pub(super) fn begin(conversation: Conversation, per_second: f64, stop: Stop) -> Result<Self> {
        if !(per_second.is_finite() && per_second > 0.0) {
            return Err(format!("{per_second} per second is no rate").into());
        }
        let count = match stop {
            Stop::After(time) => (time.as_secs_f64() * per_second).ceil() as u64,
            Stop::Messages(count) => count,
        };
        let now = Instant::now();
        Ok(Self {
            before: conversation.requests(),
            conversation,
            pace: Pace::new(now, per_second, count),
            times: Times::new()?,
            last_reply: now,
        })
    }

    /// Goes on until every request has been sent and answered.
    fn run(&mut self, progress: &mut Option<Progress>) -> Result<()> {
        loop {
            self.turn(Instant::now())?;
            if self.is_done() {
                return Ok(());
            }
            if let Some(progress) = progress {
                progress.tick(self.times.count());
            }
            self.wait(self.next_due())?;
        }
    }

    /// Sends what is due, answers what has come and takes the replies, without waiting.
    ///
    /// # Errors
    /// The end of a connection, what a checker finds, no reply for 20 s, or a server that is too slow by far.
    pub(super) fn turn(&mut self, now: Instant) -> Result<()> {
        let sent = self.conversation.requests() - self.before;
        let due = self.pace.due(now) - sent;
        if sent == self.times.count() {
            self.last_reply = now;
        }
        if due > 0 || self.conversation.backlog_bytes() > 0 {
            self.conversation.request(due)?;
        }
        if self.conversation.backlog_bytes() > BACKLOG_BYTES_MAX {
            return Err("the server takes requests more slowly than they are due".into());
        }
        self.conversation.respond()?;
        let replies = self.conversation.collect()? - self.before;
        if replies > self.times.count() {
            let now = Instant::now();
            for index in self.times.count()..replies {
                self.times
                    .add(now.saturating_duration_since(self.pace.instant(index)))?;
            }
            self.last_reply = now;
        } else if now.saturating_duration_since(self.last_reply) > STALL_LIMIT {
            let missing = self.conversation.requests() - self.conversation.replies();
            return Err(format!("no reply for 20 s, {missing} missing").into());
        }
        Ok(())
    }

    /// Sleeps until one of the two connections is ready, or until something is nearly due.
    ///
    /// # Errors
    /// Those of the system call.
    pub(super) fn wait(&self, next_due: Option<Instant>) -> Result<()> {
        let left = next_due.map_or(Duration::from_secs(1), |due| {
            due.saturating_duration_since(Instant::now())
        });
        let Some(left) = left.checked_sub(AWAKE_BEFORE) else {
            return Ok(());
        };
        let limit = Timespec::try_from(left)?;
        wire::wait_until(&self.conversation.interests(), &limit).map(drop)
    }

    /// When the next request is due; `None` when all have been sent.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let sent = self.conversation.requests() - self.before;
        (sent < self.pace.count()).then(|| self.pace.instant(sent))
    }

    /// Whether every request has been sent and answered.
    pub(super) fn is_done(&self) -> bool {
        self.times.count() == self.pace.count()
    }

    /// The times so far, and the conversation for what comes next.
    pub(super) fn into_parts(self) -> (Times, Conversation) {
        (self.times, self.conversation)
    }
}

#[cfg(test)]
mod tests;
