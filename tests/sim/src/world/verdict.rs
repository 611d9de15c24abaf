//! What is judged besides the history: shares, ways, and what there was in all.

use gnatsd_core::subject;

use super::World;
use crate::history::{Fault, Finding, Sub};
use crate::rng::Rng;

impl World {
    /// Choices in groups follow the weights, within five standard deviations.
    pub(super) fn check_shares(&mut self, findings: &mut Vec<Finding>) {
        for share in &self.cast.shares {
            let (Some((_, publisher)), queue) = (
                self.clients[share.publisher].link,
                self.history.number(&share.queue),
            ) else {
                continue;
            };
            let mut counts = vec![0u32; self.shards.len()];
            for client in &self.clients {
                let Some((_, conn)) = client.link else {
                    continue;
                };
                for &(sub, msg, _) in &self.history.conns[conn].got {
                    let is_member = self.history.subs[sub].queue == Some(queue);
                    if is_member && self.history.msgs[msg].conn == publisher {
                        counts[client.plan.shard] += 1;
                    }
                }
            }
            let all = f64::from(counts.iter().sum::<u32>());
            let weights: usize = share.weights.iter().sum();
            for (shard, &count) in counts.iter().enumerate() {
                let p = share.weights[shard] as f64 / weights as f64;
                let slack = 5.0 * (all * p * (1.0 - p)).sqrt();
                if (f64::from(count) - all * p).abs() > slack {
                    let text = format!(
                        "{} was shared as {counts:?} by shard, the weights are {:?}",
                        share.queue, share.weights
                    );
                    findings.push(Finding {
                        fault: Fault::Uneven,
                        text,
                    });
                    break;
                }
            }
        }
    }

    /// A message crosses to a shard once, and once more for each group it may have been given to again. One
    /// that was sent when all was at rest crosses only to where somebody listens.
    pub(super) fn check_visits(&mut self, findings: &mut Vec<Finding>) {
        let shared = self.shared.borrow();
        let history = &self.history;
        for (&(conn, seq), visits) in &shared.visits {
            let Some(&id) = history.conns[conn as usize].messages.get(seq as usize) else {
                continue;
            };
            let msg = &history.msgs[id];
            let most = visits.iter().copied().max().unwrap_or(0);
            if most < 2 && !msg.is_settled {
                continue;
            }
            let subject = history.name(msg.subject).as_bytes();
            let is_match = |s: &&Sub| subject::matches(history.name(s.pattern).as_bytes(), subject);
            let matching: Vec<&Sub> = history.subs.iter().filter(is_match).collect();
            let mut kinds: Vec<Option<usize>> = matching.iter().map(|s| s.queue).collect();
            kinds.sort_unstable();
            kinds.dedup();
            let what = format!("message {seq} of connection {conn} visits shards {visits:?} times");
            if usize::from(most) > kinds.len().max(1) {
                let fault = Fault::Wanders;
                let text = what.clone();
                findings.push(Finding { fault, text });
            }
            let listens = |shard: usize| {
                let mut there = matching.iter().filter(|s| self.homes[s.conn] == shard);
                there.any(|s| !history.is_over(s, msg.sent))
            };
            let mut visited = (0..self.shards.len()).filter(|&shard| visits[shard] > 0);
            if msg.is_settled
                && let Some(shard) = visited.find(|&shard| !listens(shard))
            {
                let fault = Fault::Stale;
                let text = format!("{what}; nobody listens on {shard}");
                findings.push(Finding { fault, text });
            }
        }
    }

    pub(super) fn count(&mut self) {
        self.tally.steps = self.shared.borrow().steps;
        self.tally.messages = self.history.msgs.len() as u64;
        let mut digest = self.tally.steps;
        for sub in &self.history.subs {
            self.tally.copies += sub.got.len() as u64;
            for &(msg, tick) in &sub.got {
                digest = Rng::new(digest ^ (msg as u64) << 32 ^ tick).next();
            }
        }
        self.tally.digest = digest;
    }
}
