//! Queue groups: members that come and go, maxima, and weights.

use super::Plot;
use crate::cast::{Act, Share, Trigger, queue_sub, some_kind, unsub};
use crate::history::ConnKind;

impl Plot<'_> {
    /// A group whose members change while messages are on their way.
    pub(super) fn group(&mut self) -> &'static str {
        let (group, subject) = (self.name("group"), self.name("work"));
        let mut everybody = Vec::new();
        let publishers = self.rng.between(1, 2);
        for _ in 0..publishers {
            let mut kind = some_kind(self.rng);
            kind.no_echo &= self.rng.once_in(2);
            everybody.push(self.client(kind));
        }
        let has_stayer = !self.rng.once_in(4);
        let members = self.rng.between(2, 5);
        for n in 0..members {
            let kind = some_kind(self.rng);
            let client = self.client(kind);
            everybody.push(client);
            let pattern = if self.rng.once_in(4) {
                self.name("*")
            } else {
                subject.clone()
            };
            self.say(client, queue_sub("0", pattern.as_str(), &group));
            if self.rng.once_in(4) {
                self.say(client, queue_sub("1", subject.as_str(), &group));
            }
            if n == 0 && has_stayer {
                continue;
            }
            match self.rng.below(4) {
                0 => {
                    let max = self.rng.between(1, 8);
                    self.say(
                        client,
                        Act::Unsub {
                            slot: "0".into(),
                            max,
                        },
                    );
                }
                1 => {
                    // Leaves when it has got something.
                    let trigger = Trigger::Message(subject.clone());
                    self.cast.react(client, trigger, vec![(client, unsub("0"))]);
                }
                _ => {}
            }
        }
        if self.rng.once_in(2) {
            // A publisher that is a member, too.
            self.say(everybody[0], queue_sub("0", subject.as_str(), &group));
        }
        self.settle(&everybody);
        for &publisher in &everybody[..publishers] {
            for n in 0..self.rng.between(20, 60) {
                self.publish(publisher, &subject);
                if self.rng.once_in(5) {
                    self.ping(publisher);
                }
                if n % 8 == 7 && self.rng.once_in(3) {
                    self.say(publisher, Act::AwaitPongs);
                }
            }
            self.ping(publisher);
        }
        // Clients that leave may take messages with them: mostly they only unsubscribe.
        let is_calm = !self.rng.once_in(4);
        for &client in &everybody[publishers + usize::from(has_stayer)..] {
            for _ in 0..self.rng.below(16) {
                self.say(client, unsub("0"));
                if self.rng.once_in(2) {
                    self.ping(client);
                }
                if self.rng.once_in(3) {
                    self.say(client, Act::AwaitPongs);
                }
                self.say(client, queue_sub("0", subject.as_str(), &group));
            }
            if !is_calm && self.rng.once_in(3) {
                self.say(client, Act::Close);
            } else if !is_calm && self.rng.once_in(3) {
                self.say(client, Act::Kill);
            } else if self.rng.once_in(3) {
                self.say(client, unsub("0"));
            }
        }
        "group"
    }

    /// Members come and go while a shard that does not take part lags behind, so that the lanes to it are
    /// full and nobody is told: every shard believes in members of others that are gone.
    pub(super) fn exodus(&mut self) -> &'static str {
        let (group, subject) = (self.name("group"), self.name("work"));
        let laggard = self.rng.below(self.shards);
        self.cast.laggard = Some(laggard);
        let others = (self.shards - 1).max(1);
        let first = self.rng.below(others);
        let shards = self.shards;
        let home = |n: usize| (laggard + 1 + (first + n) % others) % shards;
        let kind = some_kind(self.rng);
        let publisher = self.cast.add(home(0), kind);
        let mut everybody = vec![publisher];
        for n in 0..self.rng.between(2, 4) {
            let kind = some_kind(self.rng);
            let client = self.cast.add(home(n), kind);
            everybody.push(client);
            self.say(client, queue_sub("0", subject.as_str(), &group));
        }
        let members = everybody.len();
        for shard in 0..self.shards {
            everybody.push(self.cast.add(shard, ConnKind::default()));
        }
        if self.rng.once_in(2) {
            let stayer = self.client(ConnKind::default());
            everybody.push(stayer);
            self.say(stayer, queue_sub("0", subject.as_str(), &group));
        }
        self.settle(&everybody);
        for _ in 0..self.rng.between(30, 80) {
            self.publish(publisher, &subject);
            if self.rng.once_in(2) {
                self.ping(publisher);
                self.say(publisher, Act::AwaitPongs);
            }
        }
        self.ping(publisher);
        for &member in &everybody[1..members] {
            for _ in 0..self.rng.between(20, 60) {
                self.say(member, unsub("0"));
                for _ in 0..self.rng.below(5) {
                    self.ping(member);
                    self.say(member, Act::AwaitPongs);
                }
                self.say(member, queue_sub("0", subject.as_str(), &group));
            }
            if self.rng.once_in(2) {
                self.say(member, unsub("0"));
            }
        }
        for shard in 0..self.shards {
            let churner = everybody[members + shard];
            for n in 0..self.rng.between(40, 120) {
                let pattern = self.name(&format!("churn.{n}"));
                self.say(churner, crate::cast::sub(pattern.as_str()));
                self.say(churner, unsub(pattern));
            }
        }
        "exodus"
    }

    /// A publisher is a member of the group: with its echo off the others share as if it was not.
    pub(super) fn weights(&mut self) -> &'static str {
        let (group, subject) = (self.name("group"), self.name("work"));
        let no_echo = !self.rng.once_in(3);
        let kind = ConnKind {
            no_echo,
            ..ConnKind::default()
        };
        let shard = self.rng.below(self.shards);
        let publisher = self.cast.add(shard, kind);
        let mut weights = vec![0; self.shards];
        let mut everybody = vec![publisher];
        let own = self.rng.between(3, 6);
        for n in 0..own {
            self.say(
                publisher,
                queue_sub(format!("own{n}"), subject.as_str(), &group),
            );
        }
        for (at, weight) in weights.iter_mut().enumerate() {
            // At most one member beside it, some elsewhere.
            *weight = self.rng.below(if at == shard { 2 } else { 3 });
        }
        let other = (shard + 1) % self.shards;
        weights[other] = weights[other].max(1);
        for (at, &members) in weights.iter().enumerate() {
            for _ in 0..members {
                let client = self.cast.add(at, ConnKind::default());
                everybody.push(client);
                self.say(client, queue_sub("0", subject.as_str(), &group));
            }
        }
        if !no_echo {
            weights[shard] += own;
        }
        self.settle(&everybody);
        // Weights go out as room allows.
        self.settle(&everybody);
        for _ in 0..250 {
            self.say(
                publisher,
                Act::Publish {
                    subject: subject.clone(),
                    len: 0,
                },
            );
            if self.rng.once_in(20) {
                self.ping(publisher);
                self.say(publisher, Act::AwaitPongs);
            }
        }
        self.ping(publisher);
        self.cast.shares.push(Share {
            queue: group,
            publisher,
            weights,
        });
        "weights"
    }

    /// Subscriptions that end after so many messages, from several publishers.
    pub(super) fn maxima(&mut self) -> &'static str {
        let subject = self.name("m");
        let mut everybody = Vec::new();
        for _ in 0..self.rng.between(2, 3) {
            let kind = some_kind(self.rng);
            everybody.push(self.client(kind));
        }
        let publishers = everybody.len();
        for _ in 0..self.rng.between(1, 4) {
            let kind = some_kind(self.rng);
            let client = self.client(kind);
            everybody.push(client);
            for n in 0..self.rng.between(1, 3) {
                let slot = n.to_string();
                self.say(client, crate::cast::sub(subject.as_str()));
                self.say(
                    client,
                    Act::Sub {
                        slot: slot.clone(),
                        pattern: subject.clone(),
                        queue: None,
                    },
                );
                let max = self.rng.between(1, 12);
                if self.rng.once_in(2) {
                    self.say(client, Act::Unsub { slot, max });
                } else {
                    let trigger = Trigger::Message(subject.clone());
                    self.cast
                        .react(client, trigger, vec![(client, Act::Unsub { slot, max })]);
                }
            }
        }
        self.settle(&everybody);
        for &publisher in &everybody[..publishers] {
            for _ in 0..self.rng.between(5, 20) {
                self.publish(publisher, &subject);
                if self.rng.once_in(6) {
                    self.ping(publisher);
                }
            }
            self.ping(publisher);
        }
        "maxima"
    }
}
