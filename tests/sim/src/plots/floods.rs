//! Much at once: publishers that do not wait, both ways, and readers that stop for a while.

use super::Plot;
use crate::cast::{Act, some_kind, sub};

impl Plot<'_> {
    /// Publishers flood some readers that stop now and then.
    pub(super) fn flood(&mut self) -> &'static str {
        let mut everybody = Vec::new();
        let readers = self.rng.between(1, 4);
        for _ in 0..readers {
            let kind = some_kind(self.rng);
            let client = self.client(kind);
            everybody.push(client);
            let pattern = if self.rng.once_in(2) {
                self.name(">")
            } else {
                self.name("f.*")
            };
            self.say(client, sub(pattern));
        }
        self.settle(&everybody);
        for &client in &everybody {
            for _ in 0..self.rng.below(4) {
                self.say(client, Act::Stop);
                self.ping(client);
                self.say(client, Act::AwaitPongs);
            }
        }
        // Few of these fill a batch.
        let is_large = self.rng.once_in(3);
        for n in 0..self.rng.between(1, 3) {
            let kind = some_kind(self.rng);
            let client = self.client(kind);
            let messages = if is_large {
                self.rng.between(3, 8)
            } else {
                self.rng.between(20, 80)
            };
            for m in 0..messages {
                let subject = self.name(&format!("f.{}", (n + m) % 4));
                if is_large {
                    let len = self.rng.between(1_000, 40_000);
                    self.say(client, Act::Publish { subject, len });
                } else {
                    self.publish(client, &subject);
                }
                if self.rng.once_in(12) {
                    self.ping(client);
                }
            }
            self.ping(client);
        }
        "flood"
    }

    /// Readers that stop now and then, and may have little pending: publishers are slowed, and who lags too
    /// much is cut. Nobody else notices.
    pub(super) fn slow_readers(&mut self) -> &'static str {
        let max = self.rng.between(4, 40) * 1_000;
        self.cast.pending_bytes_max = Some(max);
        let mut readers = Vec::new();
        for _ in 0..self.rng.between(1, 4) {
            let mut kind = some_kind(self.rng);
            kind.may_be_cut = true;
            let client = self.client(kind);
            readers.push(client);
            let pattern = self.name("f.*");
            self.say(client, sub(pattern));
        }
        self.settle(&readers);
        for &client in &readers {
            for _ in 0..self.rng.below(8) {
                self.say(client, Act::Stop);
                self.ping(client);
                self.say(client, Act::AwaitPongs);
            }
        }
        for n in 0..self.rng.between(1, 3) {
            let mut kind = some_kind(self.rng);
            kind.verbose = false;
            let client = self.client(kind);
            for _ in 0..self.rng.between(20, 100) {
                let len = self.rng.between(50, max / 8);
                let subject = self.name(&format!("f.{n}"));
                self.say(client, Act::Publish { subject, len });
                if self.rng.once_in(12) {
                    self.ping(client);
                }
            }
            self.ping(client);
        }
        "slow-readers"
    }

    /// Two shards flood each other.
    pub(super) fn both_flood(&mut self) -> &'static str {
        let first = self.rng.below(self.shards);
        let mut everybody = Vec::new();
        for n in 0..2 {
            let kind = some_kind(self.rng);
            let client = self.cast.add((first + n) % self.shards, kind);
            everybody.push(client);
            let pattern = self.name(&format!("to{n}"));
            self.say(client, sub(pattern));
        }
        self.settle(&everybody);
        for _ in 0..self.rng.between(5, 40) {
            for (n, &client) in everybody.iter().enumerate() {
                let subject = self.name(&format!("to{}", 1 - n));
                for _ in 0..self.rng.between(1, 4) {
                    self.publish(client, &subject);
                }
                if self.rng.once_in(4) {
                    self.ping(client);
                }
            }
        }
        "both-flood"
    }
}
