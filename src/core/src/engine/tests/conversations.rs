//! Random conversations of several clients against the model.
//!
//! Nothing may be lost, doubled, out of order, changed, sent to the wrong one or left in the server;
//! and the same script against sockets that take everything gives the same bytes.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use super::model::{CLIENTS, CONNECTS, HEADERS, Model, Op};
use super::world::World;
use crate::interest::ConnKey;

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
    let mut is_finished = [false; CLIENTS];
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
            Step::Arrive(client, mut n) if !is_finished[client] => {
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
            Step::Finish(client) if !is_finished[client] => {
                is_finished[client] = true;
                model.finish(client);
                w.finish(keys[client]);
            }
            _ => {}
        }
        collect(&mut w, &mut got);
    }
    model.check_all(&got)?;
    let left = w.engine.stats().interest.subscriptions as usize;
    if left != model.subscriptions() {
        return Err(format!(
            "{left} subscriptions are left instead of {}",
            model.subscriptions()
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
