//! Requests and replies, with inboxes made and used in one write, and requests nobody answers.

use super::Plot;
use crate::cast::{Act, queue_sub, some_kind, sub, unsub};
use crate::history::ConnKind;

impl Plot<'_> {
    pub(super) fn requests(&mut self) -> &'static str {
        let mut everybody = Vec::new();
        let services = self.rng.between(1, 3);
        for service in 0..services {
            let subject = self.name(&format!("service{service}"));
            let group = self.name("responders");
            for n in 0..self.rng.between(1, 3) {
                let kind = some_kind(self.rng);
                let client = self.client(kind);
                self.cast.plans[client].responds = true;
                everybody.push(client);
                // The first stays; the others may go, and come again.
                let acts = if self.rng.once_in(2) {
                    queue_sub("0", subject.as_str(), &group)
                } else {
                    Act::Sub {
                        slot: "0".into(),
                        pattern: subject.clone(),
                        queue: None,
                    }
                };
                self.say(client, acts.clone());
                if n > 0 {
                    for _ in 0..self.rng.below(5) {
                        self.say(client, unsub("0"));
                        self.ping(client);
                        self.say(client, Act::AwaitPongs);
                        self.say(client, acts.clone());
                    }
                }
            }
        }
        if self.rng.once_in(2) {
            self.settle(&everybody);
        }
        for _ in 0..self.rng.between(1, 3) {
            let kind = ConnKind {
                headers: true,
                ..some_kind(self.rng)
            };
            let client = self.client(kind);
            for _ in 0..self.rng.between(4, 15) {
                // One service more than there are.
                let service = self.rng.below(services + 1);
                let subject = self.name(&format!("service{service}"));
                let is_inbox_new = self.rng.once_in(2);
                self.say(
                    client,
                    Act::Request {
                        subject,
                        is_inbox_new,
                    },
                );
                if self.rng.once_in(3) {
                    self.ping(client);
                }
                if self.rng.once_in(4) {
                    self.say(client, Act::AwaitPongs);
                }
            }
            self.ping(client);
            if self.rng.once_in(3) {
                let subject = self.name("service0");
                self.say(client, sub(subject));
            }
        }
        "requests"
    }
}
