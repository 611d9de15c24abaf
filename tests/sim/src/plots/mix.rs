//! A bit of everything: clients that subscribe, publish, tell each other, come and go as it happens.

use super::Plot;
use crate::cast::{Act, ClientId, Trigger, publish, queue_sub, some_kind, sub, unsub};

const SUBJECTS: [&str; 6] = ["a", "b", "a.x", "a.y", "b.x.y", "c"];
const PATTERNS: [&str; 11] = [
    "a", "b", "a.x", "a.y", "b.x.y", "c", "a.*", "a.>", "*.x.*", "*", ">",
];

impl Plot<'_> {
    pub(super) fn mix(&mut self) -> &'static str {
        let count = self.rng.between(3, 6);
        let mut clients = Vec::new();
        for _ in 0..count {
            let kind = some_kind(self.rng);
            clients.push(self.client(kind));
        }
        let mut tag = 1;
        for &client in &clients {
            let steps = self.rng.between(8, 40);
            for _ in 0..steps {
                self.some_act(client, &clients, &mut tag);
            }
        }
        "mix"
    }

    fn some_act(&mut self, client: ClientId, clients: &[ClientId], tag: &mut u32) {
        let subject = self.some_subject();
        let slot = self.rng.below(4).to_string();
        match self.rng.below(22) {
            0..=4 => {
                let act = self.some_sub(slot);
                self.say(client, act);
            }
            5..=6 => self.say(client, unsub(slot)),
            7 => {
                let max = self.rng.between(1, 5);
                self.say(client, Act::Unsub { slot, max });
            }
            8..=13 => {
                for _ in 0..self.rng.between(1, 5) {
                    let subject = self.some_subject();
                    self.publish(client, &subject);
                }
            }
            14 => {
                let is_inbox_new = self.rng.once_in(2);
                self.say(
                    client,
                    Act::Request {
                        subject,
                        is_inbox_new,
                    },
                );
            }
            15..=17 => {
                *tag += 1;
                self.say(client, Act::Ping(*tag));
                if self.rng.once_in(2) {
                    self.some_tale(client, Trigger::Pong(*tag), clients, tag);
                }
            }
            18 => {
                self.some_tale(client, Trigger::Message(subject), clients, tag);
            }
            19 => {
                self.ping(client);
                self.say(client, Act::AwaitPongs);
            }
            20 => self.say(client, Act::Stop),
            _ => {
                if self.rng.once_in(3) {
                    let act = if self.rng.once_in(2) {
                        Act::Close
                    } else {
                        Act::Kill
                    };
                    self.say(client, act);
                    self.say(client, Act::Connect);
                    let act = self.some_sub(slot);
                    self.say(client, act);
                }
            }
        }
    }

    fn some_subject(&mut self) -> String {
        let subject = *self.rng.pick(&SUBJECTS);
        self.name(subject)
    }

    fn some_sub(&mut self, slot: String) -> Act {
        let pattern = *self.rng.pick(&PATTERNS);
        let pattern = self.name(pattern);
        if self.rng.once_in(4) {
            let queue = if self.rng.once_in(2) { "q" } else { "r" };
            let queue = self.name(queue);
            queue_sub(slot, pattern, &queue)
        } else {
            Act::Sub {
                slot,
                pattern,
                queue: None,
            }
        }
    }

    /// What somebody has read makes somebody else act.
    fn some_tale(
        &mut self,
        client: ClientId,
        trigger: Trigger,
        clients: &[ClientId],
        tag: &mut u32,
    ) {
        let other = *self.rng.pick(clients);
        let subject = self.some_subject();
        let first = match self.rng.below(4) {
            0 => sub(subject),
            1 => unsub(self.rng.below(4).to_string()),
            _ => publish(self.rng, subject),
        };
        *tag += 1;
        self.cast.react(
            client,
            trigger,
            vec![(other, first), (other, Act::Ping(*tag))],
        );
    }
}
