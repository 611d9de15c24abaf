//! Connections between their accept and the protocol: TLS handshakes, their time, and how many at once.
//!
//! A handshake costs as much as a few thousand messages. So a shard takes a few steps of them in a turn, in the
//! order in which their peers have sent something, and lets only so many be under way: a storm of them makes each
//! take longer, and everybody else next to nothing. A peer that sends nothing costs no more than its socket.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use gnatsd_core::auth::Nonce;
use gnatsd_core::proto::info::ServerInfo;
use gnatsd_shards::{Io, Token};

use super::door::TlsDoor;
use super::sockets::{Sockets, Stage};
use crate::config::HandshakeFirst;
use crate::tls::{Scratch, Session, Step};

/// Steps taken in one turn: about 0.5 ms with ECDSA keys.
const STEPS_PER_TURN: usize = 4;
/// Handshakes under way on one shard. More wait until one of these has ended; none takes longer than the time limit.
const UNDER_WAY_MAX: usize = 1024;
/// First byte of a TLS handshake record.
const RECORD_HANDSHAKE: u8 = 0x16;

/// A connection that has not come to the protocol yet.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) peer: SocketAddr,
    pub(super) nonce: Option<Nonce>,
    pub(super) start: Instant,
    /// INFO has been sent in the clear.
    pub(super) is_greeted: bool,
    /// On the list of those to go on with.
    is_ready: bool,
    /// Once the peer has begun.
    session: Option<Box<Session>>,
}

/// What became of a connection: on to the protocol, with [`Stage::Tls`] or [`Stage::Clear`] in its place, or over
/// for a reason.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) token: Token,
    pub(super) handshake: Box<Handshake>,
    pub(super) result: Result<(), String>,
}

/// The handshakes of one shard.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    /// Those to go on with, oldest first.
    ready: VecDeque<Token>,
    /// When each has to be over. All have the same time, so these are in order.
    deadlines: VecDeque<(Instant, Token, u64)>,
    /// When those are to be greeted in the clear that have not begun by themselves; in order, too.
    greetings: VecDeque<(Instant, Token, u64)>,
    /// Those that begin when another has ended.
    held: VecDeque<Token>,
    /// All of them.
    count: usize,
    /// Those that have begun.
    under_way: usize,
}

impl Handshakes {
    /// Connections that are not the engine's yet.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Takes a connection whose socket is attached and in `sockets`. Gives what is to be put in its place.
    pub(super) fn begin(
        &mut self,
        tls: &TlsDoor,
        token: Token,
        cid: u64,
        peer: SocketAddr,
        nonce: Option<Nonce>,
        now: Instant,
    ) -> Handshake {
        self.count += 1;
        self.deadlines.push_back((now + tls.timeout, token, cid));
        if let HandshakeFirst::After(wait) = tls.first {
            self.greetings.push_back((now + wait, token, cid));
        }
        Handshake {
            peer,
            nonce,
            start: now,
            is_greeted: false,
            is_ready: false,
            session: None,
        }
    }

    /// Something happened on a socket in its handshake.
    pub(super) fn wake(&mut self, sockets: &mut Sockets, token: Token) {
        if let Some(handshake) = of(sockets, token.index())
            && !handshake.is_ready
        {
            handshake.is_ready = true;
            self.ready.push_back(token);
        }
    }

    /// Takes some steps; `done` gets each connection that has come to an end of its handshake. True if there is more
    /// to do at once.
    pub(super) fn go_on(
        &mut self,
        io: &mut impl Io,
        sockets: &mut Sockets,
        done: &mut Vec<Outcome>,
    ) -> bool {
        for _ in 0..STEPS_PER_TURN {
            let Some(token) = self.ready.pop_front() else {
                return false;
            };
            if let Some(result) = self.step(io, sockets, token) {
                self.end(sockets, token, result, done);
            }
        }
        !self.ready.is_empty()
    }

    /// One step; gives how it ended, if it did.
    fn step(
        &mut self,
        io: &mut impl Io,
        sockets: &mut Sockets,
        token: Token,
    ) -> Option<Result<(), String>> {
        let door = Arc::clone(&sockets.door);
        let tls = door.tls()?;
        let stream = Rc::clone(&sockets.find(token.index())?.stream);
        let (handshake, scratch) = with_scratch(sockets, token.index())?;
        handshake.is_ready = false;
        if handshake.session.is_none() {
            match first_byte(&stream) {
                First::Nothing => {
                    io.arm_read(token);
                    return None;
                }
                First::End => return Some(Err("EOF".to_owned())),
                First::Byte(RECORD_HANDSHAKE) if self.under_way >= UNDER_WAY_MAX => {
                    handshake.is_ready = true;
                    self.held.push_back(token);
                    return None;
                }
                First::Byte(RECORD_HANDSHAKE) => {
                    handshake.session = Some(Box::new(tls.server.session()));
                    self.under_way += 1;
                }
                First::Byte(_) if tls.is_optional => return Some(Ok(())),
                First::Byte(_) => {
                    // What lies unread would turn the end into a reset.
                    let _ = (&*stream).read(&mut [0; 4096]);
                    let text = "tls: first record does not look like a TLS handshake";
                    return Some(Err(text.to_owned()));
                }
            }
        }
        let session = handshake.session.as_mut()?;
        match session.handshake(&mut &*stream, scratch) {
            Step::Blocked { wants_write: true } => {
                io.arm_write(token);
                None
            }
            Step::Blocked { wants_write: false } => {
                io.arm_read(token);
                None
            }
            Step::Done => Some(Ok(())),
            Step::Failed(text) => Some(Err(text)),
        }
    }

    /// Takes a connection out of its handshake, and lets another begin.
    fn end(
        &mut self,
        sockets: &mut Sockets,
        token: Token,
        result: Result<(), String>,
        done: &mut Vec<Outcome>,
    ) {
        let Some(socket) = sockets.find_mut(token.index()) else {
            return;
        };
        let mut handshake = match mem::replace(&mut socket.stage, Stage::Clear) {
            Stage::Handshake(handshake) => handshake,
            other => {
                socket.stage = other;
                return;
            }
        };
        self.count = self.count.saturating_sub(1);
        if let Some(session) = handshake.session.take() {
            self.under_way = self.under_way.saturating_sub(1);
            self.ready.extend(self.held.pop_front());
            if result.is_ok() {
                socket.stage = Stage::Tls(session);
            }
        }
        done.push(Outcome {
            token,
            handshake,
            result,
        });
    }

    /// Looks at what is due: INFO for those that wait for it, an end for those whose time is over. Gives the time of
    /// the next look.
    pub(super) fn look(
        &mut self,
        sockets: &mut Sockets,
        info: &ServerInfo,
        now: Instant,
        done: &mut Vec<Outcome>,
    ) -> Option<Instant> {
        while let Some(&(at, token, cid)) = self.greetings.front() {
            let is_waiting = |h: &mut Handshake| h.session.is_none() && !h.is_greeted;
            let waits = find(sockets, token, cid).is_some_and(is_waiting);
            if waits && at > now {
                break;
            }
            self.greetings.pop_front();
            if waits {
                greet(sockets, token, info);
            }
        }
        while let Some(&(at, token, cid)) = self.deadlines.front() {
            let session = find(sockets, token, cid).map(|handshake| handshake.session.is_some());
            if session.is_some() && at > now {
                break;
            }
            self.deadlines.pop_front();
            let Some(has_begun) = session else { continue };
            let is_optional = sockets.door.tls().is_some_and(|tls| tls.is_optional);
            // A client that has been greeted may say nothing for a while, if it need not begin TLS.
            let result = if is_optional && !has_begun {
                Ok(())
            } else {
                Err("i/o timeout".to_owned())
            };
            self.end(sockets, token, result, done);
        }
        let next = [self.deadlines.front(), self.greetings.front()];
        next.into_iter().flatten().map(|&(at, ..)| at).min()
    }
}

/// Sends INFO in the clear. A socket that was just accepted has room for it.
pub(super) fn greet(sockets: &mut Sockets, token: Token, info: &ServerInfo) {
    let Some(socket) = sockets.find_mut(token.index()) else {
        return;
    };
    let cid = socket.cid;
    let Stage::Handshake(handshake) = &mut socket.stage else {
        return;
    };
    handshake.is_greeted = true;
    let line = info.line(cid, handshake.peer.ip(), handshake.nonce.as_ref());
    if !matches!((&*socket.stream).write(&line), Ok(n) if n == line.len()) {
        let _ = socket.stream.shutdown(Shutdown::Both);
    }
}

fn of(sockets: &mut Sockets, at: usize) -> Option<&mut Handshake> {
    with_scratch(sockets, at).map(|(handshake, _)| handshake)
}

fn with_scratch(sockets: &mut Sockets, at: usize) -> Option<(&mut Handshake, &mut Scratch)> {
    let (socket, scratch) = sockets.with_scratch(at)?;
    match &mut socket.stage {
        Stage::Handshake(handshake) => Some((handshake, scratch)),
        Stage::Clear | Stage::Tls(_) => None,
    }
}

/// The same, if the place has not passed to another connection.
fn find(sockets: &mut Sockets, token: Token, cid: u64) -> Option<&mut Handshake> {
    let is_same = sockets.find(token.index()).is_some_and(|s| s.cid == cid);
    if is_same {
        of(sockets, token.index())
    } else {
        None
    }
}

enum First {
    Nothing,
    End,
    Byte(u8),
}

/// What a peer has sent first, left where it is.
fn first_byte(stream: &TcpStream) -> First {
    let mut byte = [0];
    match stream.peek(&mut byte) {
        Ok(0) => First::End,
        Ok(_) => First::Byte(byte[0]),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            First::Nothing
        }
        Err(_) => First::End,
    }
}
