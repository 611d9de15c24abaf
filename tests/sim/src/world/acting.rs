//! What the clients of a world do: the network moves their bytes, they read, act and react.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

use gnatsd_core::engine::Opening;

use super::World;
use crate::body;
use crate::cast::{Act, ClientId, Trigger};
use crate::client::note_message;
use crate::history::Fault;
use crate::reader::Said;
use crate::shared::Control;
use crate::sockets::Socket;

impl World {
    /// Something a client can do, or that the network does for it.
    pub(super) fn step_client(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let mut shared = self.shared.borrow_mut();
        let sockets = &mut shared.sockets.all;
        client.fading.retain(|&id| !sockets[id].is_done());
        let fading = client.fading.iter().find(|&&id| sockets[id].can_arrive());
        if let Some(&id) = fading
            && self.rng.once_in(2)
        {
            let n = self.rng.between(1, sockets[id].outgoing.len().max(1));
            sockets[id].arrive(n);
            return;
        }
        let mut options = [0u8; 3];
        let mut len = 0;
        let mut offer = |option: u8| {
            options[len] = option;
            len += 1;
        };
        if let Some((id, _)) = client.link {
            let socket = &shared.sockets.all[id];
            if socket.can_arrive() {
                offer(0);
            }
            if client.is_stopped || !socket.to_client.is_empty() {
                offer(1);
            }
        }
        if !client.is_blocked(&self.history) {
            offer(2);
        }
        if len == 0 {
            return;
        }
        match (options[self.rng.below(len)], client.link) {
            (0, Some((id, _))) => {
                let socket = &mut shared.sockets.all[id];
                let n = socket.arrivals();
                let n = if self.rng.once_in(3) {
                    self.rng.between(1, n.max(1))
                } else {
                    n
                };
                socket.arrive(n);
                shared.trace(format_args!("client {at}: {n} bytes arrive"));
            }
            (1, Some((id, _))) => {
                if client.is_stopped {
                    client.is_stopped = !self.rng.once_in(20);
                    return;
                }
                let socket = &mut shared.sockets.all[id];
                let n = socket.to_client.len();
                let n = if self.rng.once_in(4) {
                    self.rng.between(1, n)
                } else {
                    n
                };
                socket.read(n, &mut client.reader.bytes);
                drop(shared);
                self.read(at);
            }
            _ => {
                drop(shared);
                for _ in 0..self.rng.between(1, 4) {
                    if self.clients[at].is_blocked(&self.history) {
                        break;
                    }
                    let Some(act) = self.clients[at].plan.script.pop_front() else {
                        break;
                    };
                    self.act(at, &act);
                }
            }
        }
    }

    /// A client does something, at once.
    pub(super) fn act(&mut self, at: ClientId, act: &Act) {
        let mut shared = self.shared.borrow_mut();
        let shared = &mut *shared;
        let client = &mut self.clients[at];
        shared.trace(format_args!(
            "client {at}: {act:?} at tick {}",
            self.history.now()
        ));
        match (act, client.link) {
            (Act::Connect, None) => {
                let id = shared.sockets.all.len();
                let (arrived_max, to_client_max) = (
                    *self.rng.pick(&self.socket_sizes),
                    *self.rng.pick(&self.socket_sizes),
                );
                let mut socket = Socket::new(arrived_max, to_client_max);
                client.connect(&mut self.history, id, &mut socket.outgoing);
                shared.sockets.all.push(socket);
                self.conns.push(self.history.conns.len() - 1);
                self.homes.push(client.plan.shard);
                let opening = Opening::new(id as u64 + 1, IpAddr::V4(Ipv4Addr::LOCALHOST), 1000);
                let shard = client.plan.shard;
                shared.trace(format_args!(
                    "client {at}: is connection {id} on shard {shard}"
                ));
                shared.control[shard].push_back(Control::Open(id, opening));
                shared.wake(shard);
            }
            (Act::Close | Act::Kill, Some((id, conn))) => {
                client.link = None;
                client.is_stopped = false;
                self.history.leave(conn);
                if *act == Act::Kill {
                    shared.sockets.all[id].kill();
                } else {
                    shared.sockets.all[id].is_closed = true;
                    client.fading.push(id);
                }
            }
            (Act::Stop, Some(_)) => client.is_stopped = true,
            (_, Some((id, _))) => {
                let socket = &mut shared.sockets.all[id];
                client.say(&mut self.history, act, &mut socket.outgoing);
                if self.rng.once_in(self.instant_in) {
                    socket.arrive(usize::MAX);
                }
            }
            (_, None) => {}
        }
    }

    /// A client understands what it has read, and reacts.
    fn read(&mut self, at: ClientId) {
        while let Some((id, conn)) = self.clients[at].link
            && let Some(said) = self.clients[at].reader.next()
        {
            let mut trigger = None;
            if self.shared.borrow().is_traced {
                let text = format!(
                    "client {at}: got {} at tick {}",
                    brief(&said),
                    self.history.now()
                );
                self.shared.borrow().trace(format_args!("{text}"));
            }
            match said {
                Said::Info => {}
                Said::Okay => self.history.okay(conn),
                Said::Ping => self.shared.borrow_mut().sockets.all[id]
                    .outgoing
                    .extend(b"PONG\r\n"),
                Said::Pong => {
                    let tag = self
                        .history
                        .pong(conn)
                        .and_then(|n| self.clients[at].tags.get(n));
                    trigger = tag.map(|&tag| Trigger::Pong(tag));
                }
                Said::Error(text) | Said::Nonsense(text) => {
                    self.find(Fault::Cut, format!("connection {conn} was told {text}"));
                }
                Said::Message {
                    subject,
                    sid,
                    headers,
                    payload,
                    ..
                } if payload.is_empty() && headers.starts_with(b"NATS/1.0 503") => {
                    self.note_status(conn, &subject, sid);
                }
                Said::Message {
                    subject,
                    sid,
                    reply,
                    headers,
                    payload,
                } => {
                    let reply = reply.as_deref();
                    let history = &mut self.history;
                    if note_message(history, conn, &subject, sid, reply, &headers, &payload) {
                        if let Some(reply) = reply.filter(|_| self.clients[at].plan.responds) {
                            let act = Act::Publish {
                                subject: reply.to_owned(),
                                len: 0,
                            };
                            self.act(at, &act);
                        }
                        trigger = Some(Trigger::Message(subject));
                    }
                }
            }
            if let Some(trigger) = trigger
                && let Some(acts) = self
                    .cast
                    .rules
                    .get_mut(&(at, trigger))
                    .and_then(VecDeque::pop_front)
            {
                for (who, act) in acts {
                    self.act(who, &act);
                }
            }
        }
    }

    fn note_status(&mut self, conn: usize, subject: &str, sid: usize) {
        let reply = self.history.number(subject);
        let of_conn = &self.history.conns[conn].messages;
        let request = of_conn
            .iter()
            .copied()
            .find(|&m| self.history.msgs[m].reply == Some(reply));
        match request {
            Some(msg) => self.history.status(msg),
            None => self.find(
                Fault::Stranger,
                format!("connection {conn} got a status for {subject} {sid}"),
            ),
        }
    }
}

fn brief(said: &Said) -> String {
    let text = format!("{said:?}");
    match said {
        Said::Message {
            subject,
            sid,
            reply,
            payload,
            ..
        } => {
            format!("{subject} {sid} {reply:?} {}", body::excerpt(payload))
        }
        _ => text,
    }
}
