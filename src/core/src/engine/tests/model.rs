//! Random conversations of several clients against a plain list of subscriptions.
//!
//! What each client receives is foretold but for the order of the copies of one message and the
//! choice in a queue group. So nothing may be lost, doubled, out of order, changed, sent to the wrong
//! one or left in the server; and the same script against sockets that take everything gives the same bytes.

use std::collections::{HashMap, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;

use super::world::World;
use crate::interest::ConnKey;
use crate::subject;

const CLIENTS: usize = 4;
/// What each client says first: they differ in all that changes an answer.
const CONNECTS: [&str; CLIENTS] = [
    "",
    "\"verbose\":true",
    "\"echo\":false,\"headers\":true,\"no_responders\":true",
    "\"headers\":true,\"no_responders\":true",
];
const HEADERS: [bool; CLIENTS] = [false, false, true, true];
const QUIET: [bool; CLIENTS] = [true, false, true, true];
const ECHO: [bool; CLIENTS] = [true, true, false, true];
const STATUS: [bool; CLIENTS] = [false, false, true, true];

#[derive(Clone, Debug)]
enum Op {
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

#[derive(Clone, Debug)]
enum Step {
    /// A client has an operation more to say.
    Say(usize, Op),
    /// The next bytes of a client arrive, that many at most.
    Arrive(usize, usize),
    /// A client's socket takes so many bytes.
    Accept(usize, usize),
    /// A client says no more.
    Finish(usize),
}

fn subjects() -> impl Strategy<Value = String> {
    vec(
        prop_oneof![4 => Just("a"), 3 => Just("b"), 1 => Just("*"), 1 => Just(">")],
        1..4,
    )
    .prop_map(|tokens| tokens.join("."))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Sids tell what a subscription is: a limit on a member of a group would make what follows depend
    // on choices.
    let queue = |sid: u8| [None, None, None, Some("q"), Some("q"), Some("r")][usize::from(sid)];
    let size = prop_oneof![4 => 0..40usize, 1 => 3000..5000usize, 1 => 60_000..70_000usize];
    let op = prop_oneof![
        4 => (subjects(), 0..6u8).prop_map(move |(subject, sid)| Op::Sub { subject, queue: queue(sid), sid }),
        2 => (0..6u8, prop::option::of(0..4u8))
            .prop_map(move |(sid, max)| Op::Unsub { sid, max: max.filter(|_| queue(sid).is_none()) }),
        8 => (subjects(), prop::option::of(subjects()), any::<bool>(), size)
            .prop_map(|(subject, reply, headers, size)| Op::Publish { subject, reply, headers, size }),
        1 => Just(Op::Ping),
    ];
    let bytes = prop_oneof![2 => 1..20usize, 2 => 20..200usize, 3 => Just(100_000usize)];
    let room = prop_oneof![1 => 0..10usize, 1 => 10..1000usize, 1 => Just(100_000usize)];
    let step = prop_oneof![
        8 => (0..CLIENTS, op).prop_map(|(client, op)| Step::Say(client, op)),
        10 => (0..CLIENTS, bytes).prop_map(|(client, n)| Step::Arrive(client, n)),
        4 => (0..CLIENTS, room).prop_map(|(client, n)| Step::Accept(client, n)),
        1 => (0..CLIENTS).prop_map(Step::Finish),
    ];
    vec(step, 1..100)
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
    /// The copies of one message in any order: `always` all of them, of `maybe` as chosen in groups.
    Copies {
        message: usize,
        always: Vec<Vec<u8>>,
        maybe: Vec<(&'static str, Vec<u8>)>,
    },
}

#[derive(Default)]
struct Model {
    subs: Vec<Sub>,
    expected: [Vec<Expected>; CLIENTS],
    messages: usize,
    /// Groups that must have chosen somebody, by message.
    groups: HashMap<(usize, &'static str), usize>,
    finished: [bool; CLIENTS],
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

    fn apply(&mut self, client: usize, op: &Op, body: &[u8]) {
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
        let mut copies: [(Vec<Vec<u8>>, Vec<(&'static str, Vec<u8>)>); CLIENTS] =
            Default::default();
        let mut is_answered = false;
        for sub in &mut self.subs {
            let is_echo = sub.client == client && !ECHO[client];
            if is_echo || !subject::matches(sub.subject.as_bytes(), subject.as_bytes()) {
                continue;
            }
            is_answered = true;
            let line = line_to(sub.client, sub.sid);
            if let Some(queue) = sub.queue {
                copies[sub.client].1.push((queue, line));
                self.groups.insert((message, queue), 0);
            } else {
                sub.delivered += 1;
                copies[sub.client].0.push(line);
            }
        }
        self.subs.retain(|s| s.max == 0 || s.delivered < s.max);
        for (receiver, (always, maybe)) in copies.into_iter().enumerate() {
            if !always.is_empty() || !maybe.is_empty() {
                self.expected[receiver].push(Expected::Copies {
                    message,
                    always,
                    maybe,
                });
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
                Expected::Copies {
                    message,
                    always,
                    maybe,
                } => {
                    let (mut always, mut maybe) = (always.clone(), maybe.clone());
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

/// An operation on its way.
struct Underway {
    op: Op,
    body: Vec<u8>,
    bytes: Vec<u8>,
    /// Bytes of it that have arrived.
    arrived: usize,
}

/// Operation as bytes, and its body.
fn encode(client: usize, op: &Op, message: usize) -> (Vec<u8>, Vec<u8>) {
    match op {
        Op::Ping => (b"PING\r\n".to_vec(), Vec::new()),
        Op::Sub {
            subject,
            queue,
            sid,
        } => {
            let queue = queue.map(|q| format!("{q} ")).unwrap_or_default();
            (
                format!("SUB {subject} {queue}{sid}\r\n").into_bytes(),
                Vec::new(),
            )
        }
        Op::Unsub {
            sid,
            max: Some(max),
        } => (format!("UNSUB {sid} {max}\r\n").into_bytes(), Vec::new()),
        Op::Unsub { sid, max: None } => (format!("UNSUB {sid}\r\n").into_bytes(), Vec::new()),
        Op::Publish {
            subject,
            reply,
            headers,
            size,
        } => {
            let headers = *headers && HEADERS[client];
            let mut body = if headers {
                b"NATS/1.0\r\n\r\n".to_vec()
            } else {
                Vec::new()
            };
            // No two messages are alike.
            body.extend(format!("{message}:{}", "x".repeat(*size)).bytes());
            let reply = reply.as_ref().map(|r| format!("{r} ")).unwrap_or_default();
            let mut bytes = if headers {
                format!("HPUB {subject} {reply}12 {}\r\n", body.len())
            } else {
                format!("PUB {subject} {reply}{}\r\n", body.len())
            }
            .into_bytes();
            bytes.extend_from_slice(&body);
            bytes.extend_from_slice(b"\r\n");
            (bytes, body)
        }
    }
}

/// Plays a script. With `whole` every operation arrives in one piece and every socket takes all there is.
fn play(steps: &[Step], whole: bool) -> Result<[Vec<u8>; CLIENTS], String> {
    let mut w = World::new();
    let mut model = Model::default();
    let mut underway: [VecDeque<Underway>; CLIENTS] = Default::default();
    let mut got: [Vec<u8>; CLIENTS] = Default::default();
    let keys: Vec<ConnKey> = CONNECTS
        .iter()
        .map(|members| w.connect_with(members))
        .collect();
    let mut said = 0;
    if !whole {
        keys.iter().for_each(|&key| w.set_room(key, 0));
    }
    let collect = |w: &mut World, got: &mut [Vec<u8>; CLIENTS]| {
        for (got, &key) in got.iter_mut().zip(&keys) {
            got.extend(w.received_bytes(key));
        }
    };
    let end = (0..CLIENTS).flat_map(|client| {
        [
            Step::Arrive(client, usize::MAX),
            Step::Accept(client, usize::MAX),
        ]
    });
    for step in steps.iter().cloned().chain(end) {
        match step {
            Step::Say(client, op) => {
                let (bytes, body) = encode(client, &op, said);
                said += 1;
                underway[client].push_back(Underway {
                    op,
                    body,
                    bytes,
                    arrived: 0,
                });
            }
            Step::Arrive(client, mut n) if !model.finished[client] => {
                let mut arriving = Vec::new();
                while let Some(next) = underway[client].front_mut() {
                    let upto = next.bytes.len().min(next.arrived.saturating_add(n));
                    n -= upto - next.arrived;
                    if !whole {
                        arriving.extend_from_slice(&next.bytes[next.arrived..upto]);
                    }
                    next.arrived = upto;
                    if upto < next.bytes.len() {
                        break;
                    }
                    if whole {
                        arriving.extend_from_slice(&next.bytes);
                    }
                    model.apply(client, &next.op, &next.body);
                    underway[client].pop_front();
                }
                w.send(keys[client], arriving);
            }
            Step::Accept(client, n) if !whole => w.accept(keys[client], n),
            Step::Finish(client) if !model.finished[client] => {
                model.finished[client] = true;
                model.subs.retain(|s| s.client != client);
                w.finish(keys[client]);
            }
            _ => {}
        }
        collect(&mut w, &mut got);
    }
    for client in 0..CLIENTS {
        model.check(client, &got[client])?;
    }
    if let Some(((message, queue), n)) = model.groups.iter().find(|(_, n)| **n != 1) {
        return Err(format!(
            "message {message} was given to {n} members of {queue}"
        ));
    }
    let left = w.engine.stats().interest.subscriptions as usize;
    if left != model.subs.len() {
        return Err(format!(
            "{left} subscriptions are left instead of {}",
            model.subs.len()
        ));
    }
    Ok(got)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn everyone_receives_what_is_theirs(steps in steps()) {
        let slow = play(&steps, false).map_err(TestCaseError::fail)?;
        let fast = play(&steps, true).map_err(TestCaseError::fail)?;
        for (client, (slow, fast)) in slow.iter().zip(&fast).enumerate() {
            prop_assert!(slow == fast, "client {client}: slow sockets change what it receives");
        }
    }
}
