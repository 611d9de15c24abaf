//! What a plain list of subscriptions says that several clients must receive.
//!
//! Everything is foretold but the order of the copies of one message and the choice in a queue group.

use std::collections::HashMap;

use crate::subject;

pub(super) const CLIENTS: usize = 4;
/// What each client says first: they differ in all that changes an answer.
pub(super) const CONNECTS: [&str; CLIENTS] = [
    "",
    "\"verbose\":true",
    "\"echo\":false,\"headers\":true,\"no_responders\":true",
    "\"headers\":true,\"no_responders\":true",
];
pub(super) const HEADERS: [bool; CLIENTS] = [false, false, true, true];
const QUIET: [bool; CLIENTS] = [true, false, true, true];
const ECHO: [bool; CLIENTS] = [true, true, false, true];
const STATUS: [bool; CLIENTS] = [false, false, true, true];

#[derive(Clone, Debug)]
pub(super) enum Op {
    Sub {
        subject: String,
        queue: Option<&'static str>,
        sid: u8,
    },
    Unsub {
        sid: u8,
        max: Option<u8>,
    },
    Publish {
        subject: String,
        reply: Option<String>,
        headers: bool,
        size: usize,
    },
    Ping,
}

/// A subscription of the model.
#[derive(Clone, Debug)]
struct Sub {
    client: usize,
    sid: u8,
    subject: String,
    queue: Option<&'static str>,
    delivered: u64,
    max: u64,
}

/// What a client must receive next.
#[derive(Debug)]
enum Expected {
    /// Exactly this.
    Line(Vec<u8>),
    /// One of these.
    OneOf(Vec<Vec<u8>>),
    /// The copies of one message.
    Copies { message: usize, copies: Copies },
}

/// Copies of one message for one client, in any order.
#[derive(Clone, Debug, Default)]
struct Copies {
    /// All of these.
    always: Vec<Vec<u8>>,
    /// Of these, those that were chosen in their groups.
    maybe: Vec<(&'static str, Vec<u8>)>,
}

#[derive(Default)]
pub(super) struct Model {
    subs: Vec<Sub>,
    expected: [Vec<Expected>; CLIENTS],
    messages: usize,
    /// Members that were chosen, by message and group.
    groups: HashMap<(usize, &'static str), usize>,
}

impl Model {
    fn say(&mut self, client: usize, line: &str) {
        self.expected[client].push(Expected::Line(line.as_bytes().to_vec()));
    }

    fn okay(&mut self, client: usize) {
        if !QUIET[client] {
            self.say(client, "+OK\r\n");
        }
    }

    pub(super) fn apply(&mut self, client: usize, op: &Op, body: &[u8]) {
        match op {
            Op::Ping => self.say(client, "PONG\r\n"),
            Op::Sub {
                subject,
                queue,
                sid,
            } => {
                if self
                    .subs
                    .iter()
                    .any(|s| s.client == client && s.sid == *sid)
                {
                    self.okay(client);
                } else if subject::is_valid_subscription(subject.as_bytes()) {
                    let (subject, queue) = (subject.clone(), *queue);
                    self.subs.push(Sub {
                        client,
                        sid: *sid,
                        subject,
                        queue,
                        delivered: 0,
                        max: 0,
                    });
                    self.okay(client);
                } else {
                    self.say(client, "-ERR 'Invalid Subject'\r\n");
                }
            }
            Op::Unsub { sid, max } => {
                let max = u64::from(max.unwrap_or(0));
                self.subs.retain_mut(|s| {
                    if s.client != client || s.sid != *sid {
                        return true;
                    }
                    s.max = max;
                    max > s.delivered
                });
                self.okay(client);
            }
            Op::Publish {
                subject,
                reply,
                headers,
                ..
            } => {
                self.okay(client);
                self.publish(
                    client,
                    subject,
                    reply.as_deref(),
                    *headers && HEADERS[client],
                    body,
                );
            }
        }
    }

    fn publish(
        &mut self,
        client: usize,
        subject: &str,
        reply: Option<&str>,
        headers: bool,
        body: &[u8],
    ) {
        let message = self.messages;
        self.messages += 1;
        let line_to = |receiver: usize, sid: u8| {
            let reply = reply.map(|r| format!("{r} ")).unwrap_or_default();
            let payload = body.len().saturating_sub(12);
            let mut line = match (headers, HEADERS[receiver]) {
                (true, true) => format!("HMSG {subject} {sid} {reply}12 {}\r\n", body.len()),
                (true, false) => format!("MSG {subject} {sid} {reply}{payload}\r\n"),
                (false, _) => format!("MSG {subject} {sid} {reply}{}\r\n", body.len()),
            }
            .into_bytes();
            line.extend_from_slice(if headers && !HEADERS[receiver] {
                &body[12..]
            } else {
                body
            });
            line.extend_from_slice(b"\r\n");
            line
        };
        let mut copies: [Copies; CLIENTS] = Default::default();
        let mut is_answered = false;
        for sub in &mut self.subs {
            let is_echo = sub.client == client && !ECHO[client];
            if is_echo || !subject::matches(sub.subject.as_bytes(), subject.as_bytes()) {
                continue;
            }
            is_answered = true;
            let line = line_to(sub.client, sub.sid);
            if let Some(queue) = sub.queue {
                copies[sub.client].maybe.push((queue, line));
                self.groups.insert((message, queue), 0);
            } else {
                sub.delivered += 1;
                copies[sub.client].always.push(line);
            }
        }
        self.subs.retain(|s| s.max == 0 || s.delivered < s.max);
        for (receiver, copies) in copies.into_iter().enumerate() {
            if !copies.always.is_empty() || !copies.maybe.is_empty() {
                self.expected[receiver].push(Expected::Copies { message, copies });
            }
        }
        let Some(reply) = reply.filter(|_| !is_answered && STATUS[client]) else {
            return;
        };
        let listens = |s: &&Sub| {
            s.client == client
                && s.queue.is_none()
                && subject::matches(s.subject.as_bytes(), reply.as_bytes())
        };
        let lines: Vec<Vec<u8>> = self
            .subs
            .iter()
            .filter(listens)
            .map(|s| {
                format!("HMSG {reply} {} 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", s.sid).into_bytes()
            })
            .collect();
        if !lines.is_empty() {
            self.expected[client].push(Expected::OneOf(lines));
        }
    }

    /// A client says no more.
    pub(super) fn finish(&mut self, client: usize) {
        self.subs.retain(|s| s.client != client);
    }

    /// Subscriptions there should be now.
    pub(super) fn subscriptions(&self) -> usize {
        self.subs.len()
    }

    /// Compares all that the clients received with what was foretold.
    pub(super) fn check_all(&mut self, got: &[Vec<u8>; CLIENTS]) -> Result<(), String> {
        for (client, got) in got.iter().enumerate() {
            self.check(client, got)?;
        }
        match self.groups.iter().find(|(_, chosen)| **chosen != 1) {
            None => Ok(()),
            Some(((message, queue), chosen)) => Err(format!(
                "message {message} was given to {chosen} members of {queue}"
            )),
        }
    }

    /// Compares what a client received with what was foretold.
    fn check(&mut self, client: usize, mut got: &[u8]) -> Result<(), String> {
        let take = |got: &mut &[u8], line: &[u8]| {
            let rest = got.strip_prefix(line);
            *got = rest.unwrap_or(got);
            rest.is_some()
        };
        let wrong = |got: &[u8], what: &dyn std::fmt::Debug| {
            let got = got[..got.len().min(100)].escape_ascii();
            Err(format!(
                "client {client} got {got} and should have {what:?}"
            ))
        };
        for expected in &self.expected[client] {
            match expected {
                Expected::Line(line) => {
                    if !take(&mut got, line) {
                        return wrong(got, expected);
                    }
                }
                Expected::OneOf(lines) => {
                    if !lines.iter().any(|line| take(&mut got, line)) {
                        return wrong(got, expected);
                    }
                }
                Expected::Copies { message, copies } => {
                    let Copies {
                        mut always,
                        mut maybe,
                    } = copies.clone();
                    loop {
                        if let Some(at) = always.iter().position(|line| take(&mut got, line)) {
                            always.swap_remove(at);
                        } else if let Some(at) =
                            maybe.iter().position(|(_, line)| take(&mut got, line))
                        {
                            let (queue, _) = maybe.swap_remove(at);
                            *self.groups.entry((*message, queue)).or_default() += 1;
                        } else {
                            break;
                        }
                    }
                    if !always.is_empty() {
                        return wrong(got, &always.len());
                    }
                }
            }
        }
        if got.is_empty() {
            Ok(())
        } else {
            wrong(got, &"nothing more")
        }
    }
}
