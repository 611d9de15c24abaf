//! What a world does when nobody can go on: it looks whether that is as it should be, and starts what comes
//! next, up to the end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::{Phase, World};
use crate::cast::Act;
use crate::history::Fault;
use crate::shared::{Control, HEARTBEAT, Pause};

/// A pause that an engine may end by itself: publishers that are slowed.
const SHORT_PAUSE: Duration = Duration::from_millis(20);
/// Heartbeats within which everything that need not hurry is done.
const HEARTBEATS: usize = 4;
/// Subjects tried at the end.
const PROBES_MAX: usize = 40;

impl World {
    /// Nobody can go on. Looks whether that is as it should be, and starts what comes next. False at the end.
    pub(super) fn rest(&mut self) -> bool {
        if let Some(text) = self.find_sleeper() {
            self.find(Fault::Slept, text);
            return false;
        }
        if let Some(text) = self.find_undone() {
            let now = self.shared.borrow().now;
            let asked = self.shards.iter().filter_map(|s| match s.pause {
                Some(Pause::Sleep { asked, .. }) => asked,
                _ => None,
            });
            if let Some(at) = asked.min().filter(|at| *at <= now + SHORT_PAUSE) {
                self.shared.borrow_mut().now = at;
                return true;
            }
            self.find(Fault::Slept, format!("everybody sleeps while {text}"));
            return false;
        }
        let mut is_released = false;
        for client in &mut self.clients {
            if client.plan.script.front() == Some(&Act::AwaitRest) {
                client.plan.script.pop_front();
                is_released = true;
            }
        }
        if is_released {
            self.schedule.change();
            return true;
        }
        match self.phase {
            Phase::Active => {
                self.ping_all();
                self.phase = Phase::Quiet;
            }
            Phase::Quiet => self.phase = Phase::Idle(0),
            Phase::Idle(HEARTBEATS) => {
                self.probe();
                self.phase = Phase::Probed;
            }
            Phase::Probed => self.phase = Phase::Over(0),
            Phase::Over(HEARTBEATS) => return self.stop(),
            Phase::Idle(n) => {
                self.pass(HEARTBEAT);
                self.phase = Phase::Idle(n + 1);
            }
            Phase::Over(n) => {
                self.pass(HEARTBEAT);
                self.phase = Phase::Over(n + 1);
            }
        }
        true
    }

    /// A shard that sleeps though there is work for it that somebody should have woken it for.
    fn find_sleeper(&self) -> Option<String> {
        let shared = self.shared.borrow();
        let is_asleep = |s: &&usize| matches!(self.shards[**s].pause, Some(Pause::Sleep { .. }));
        let all: Vec<usize> = (0..self.shards.len()).collect();
        let sleeper = all.iter().filter(is_asleep).find(|&&s| shared.has_work(s));
        sleeper.map(|s| format!("shard {s} sleeps, and nobody woke it for the work it has"))
    }

    /// Something that somebody waits for.
    fn find_undone(&self) -> Option<String> {
        let shared = self.shared.borrow();
        if shared.lanes.has_data() {
            return shared.lanes.leftover();
        }
        for (at, client) in self.clients.iter().enumerate() {
            let Some((id, conn)) = client.link else {
                continue;
            };
            if shared.sockets.all[id].has_unread() {
                return Some(format!("connection {conn} of client {at} is not read"));
            }
            if client.is_owed_pongs(&self.history) {
                return Some(format!("connection {conn} of client {at} waits for a PONG"));
            }
        }
        None
    }

    fn ping_all(&mut self) {
        for at in 0..self.clients.len() {
            if self.clients[at].link.is_some() {
                self.act(at, &Act::Ping(u32::MAX));
            }
        }
    }

    /// Every shard is asked who listens to what was spoken of. By now it knows.
    fn probe(&mut self) {
        let mut subjects: Vec<usize> = self.history.msgs.iter().map(|m| m.subject).collect();
        subjects.extend(self.history.subs.iter().map(|s| s.pattern));
        subjects.sort_unstable();
        subjects.dedup();
        let history = &self.history;
        let is_literal = |n: &usize| {
            !history.name(*n).contains(['*', '>']) && !history.name(*n).starts_with('_')
        };
        subjects.retain(is_literal);
        let at = self.rng.below(subjects.len());
        subjects.rotate_left(at);
        subjects.truncate(PROBES_MAX);
        let probes = self.clients.len() - self.shards.len()..self.clients.len();
        for client in probes {
            self.act(client, &Act::Connect);
            for &subject in &subjects {
                let subject = self.history.name(subject).to_owned();
                self.act(
                    client,
                    &Act::Request {
                        subject,
                        is_inbox_new: false,
                    },
                );
                if let Some(msg) = self.history.msgs.last_mut() {
                    msg.is_settled = true;
                }
            }
            self.act(client, &Act::Ping(u32::MAX));
        }
        // Answers to these may come from anybody: a last PING for all is sent when they have.
        for client in &mut self.clients {
            if client.link.is_some() {
                client
                    .plan
                    .script
                    .extend([Act::AwaitRest, Act::Ping(u32::MAX)]);
            }
        }
    }

    /// Ends all loops and looks at what is left.
    fn stop(&mut self) -> bool {
        let leftover = self.shared.borrow().lanes.leftover();
        if let Some(text) = leftover {
            self.find(Fault::Leftover, text);
        }
        for shard in 0..self.shards.len() {
            if self.shared.borrow().lanes.has_unpublished(shard) {
                self.find(
                    Fault::Leftover,
                    format!("shard {shard} parks with something unpublished"),
                );
            }
            self.shared.borrow_mut().control[shard].push_back(Control::Stop);
            self.shared.borrow_mut().wake(shard);
            while self.shards[shard].pause.is_some() {
                self.step_shard(shard);
            }
        }
        for shard in 0..self.shards.len() {
            let Some(engine) = &self.shards[shard].engine else {
                continue;
            };
            let checked = catch_unwind(AssertUnwindSafe(|| engine.check_invariants()));
            let stats = engine.stats();
            self.tally.crossed += stats.crossed_out;
            self.tally.lane_stalls += stats.lane_stalls;
            self.tally.rechosen += stats.rechosen;
            self.tally.slowed += stats.stalled_clients;
            if checked.is_err() {
                self.find(
                    Fault::Panic,
                    format!("shard {shard}: an invariant does not hold"),
                );
            }
            if stats.rechoice_dropped > 0 {
                let text = format!("shard {shard} dropped {} messages", stats.rechoice_dropped);
                self.find(Fault::Leftover, text);
            }
        }
        false
    }
}
