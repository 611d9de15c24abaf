//! Connections between their accept and the protocol: TLS handshakes, their time, and how many at once.
//!
//! A handshake costs as much as a few thousand messages. So a shard takes a few steps of them in a turn, in the
//! order in which their peers have sent something, and lets only so many be under way: a storm of them makes each
//! take longer, and everybody else next to nothing. A peer that sends nothing costs no more than its socket, and one
//! that sends less than a hello no more than what it sends.
//!
//! Nobody is judged by the clock alone: what a peer sent in time counts, even if this process was stopped or busy
//! when the time was over.

mod hello;
mod places;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gnatsd_core::auth::Nonce;
use gnatsd_core::proto::info::ServerInfo;
use gnatsd_shards::{Io, Token};

use self::hello::{First, Hello, Wire, is_silent};
use self::places::{Places, Turn};
use super::door::TlsDoor;
use super::sockets::{Sockets, Stage};
use crate::config::HandshakeFirst;
use crate::tls::{Scratch, Session, Step};

/// Steps taken in one turn: about 0.5 ms with ECDSA keys.
const STEPS_PER_TURN: usize = 4;
/// Time after which none is begun: a signature with a large RSA key takes longer than four others.
const STEPS_TIME: Duration = Duration::from_micros(500);
/// Longest time beyond its own that a handshake is given, from when it is found to be over: for what had come by then,
/// and a round trip.
const GRACE: Duration = Duration::from_secs(1);
/// Memory of a handshake that failed, in bytes, beside what it held of records.
const FAILED_BYTES: usize = 4096;
/// Memory of handshakes that failed, in bytes, that is worth giving back.
const FREED_BYTES: usize = 8 * 1024 * 1024;
/// How a handshake ends whose time is over.
const TIMED_OUT: &str = "i/o timeout";
/// How a handshake ends that has sent half of something where others wait for its place.
const GIVEN_UP: &str = "too slow, and others are waiting";

/// A connection that has not come to the protocol yet.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) peer: SocketAddr,
    pub(super) nonce: Option<Nonce>,
    pub(super) start: Instant,
    /// INFO has been sent in the clear.
    pub(super) is_greeted: bool,
    /// On the list of those to go on with, or of those that wait for a place.
    is_ready: bool,
    /// The peer has begun TLS.
    is_tls: bool,
    /// Its time is over, and a step that finds nothing new is the last. One that finds something is not, and then
    /// only its grace counts.
    is_late: bool,
    /// Counted among those under way.
    has_place: bool,
    hello: Hello,
    /// Once the first record is there.
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
    /// When those end whose time is over, whatever they send; in order.
    late: VecDeque<(Instant, Token, u64)>,
    /// When those are to be greeted in the clear that have not begun by themselves; in order, too.
    greetings: VecDeque<(Instant, Token, u64)>,
    places: Places,
    /// All of them.
    count: usize,
    /// Bytes of memory freed since it was last given back.
    freed: usize,
}

impl Handshakes {
    /// Connections that are not the engine's yet.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether there is nothing to do. Then nothing is left of those that have ended, either.
    pub(super) fn rest(&mut self) -> bool {
        let rests = self.count == 0;
        if rests && !self.deadlines.is_empty() {
            *self = Handshakes {
                freed: self.freed,
                ..Handshakes::default()
            };
        }
        rests
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
            is_tls: false,
            is_late: false,
            has_place: false,
            hello: Hello::default(),
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

    /// Whether there is more to do at once.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether much memory has been freed since this was last true, and should be given back.
    pub(super) fn has_freed_much(&mut self) -> bool {
        let has = self.freed >= FREED_BYTES;
        if has {
            self.freed = 0;
        }
        has
    }

    /// Takes some steps; `done` gets each connection that has come to an end of its handshake.
    pub(super) fn go_on(
        &mut self,
        io: &mut impl Io,
        sockets: &mut Sockets,
        done: &mut Vec<Outcome>,
    ) {
        self.find_late(sockets, io.now());
        let begin = Instant::now();
        for _ in 0..STEPS_PER_TURN {
            let Some(token) = self.ready.pop_front() else {
                return;
            };
            if let Some(result) = self.step(io, sockets, token) {
                self.end(sockets, token, result, done);
            }
            if begin.elapsed() >= STEPS_TIME {
                return;
            }
        }
    }

    /// Gives those whose time is over a last step.
    fn find_late(&mut self, sockets: &mut Sockets, now: Instant) {
        while let Some(&(at, token, cid)) = self.deadlines.front() {
            let handshake = find(sockets, token, cid);
            if handshake.is_some() && at > now {
                break;
            }
            self.deadlines.pop_front();
            let Some(handshake) = handshake else { continue };
            handshake.is_late = true;
            self.late.push_back((now + GRACE, token, cid));
            self.wake(sockets, token);
        }
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
        let socket = sockets.find(token.index())?;
        let (stream, cid) = (Rc::clone(&socket.stream), socket.cid);
        let (handshake, scratch) = with_scratch(sockets, token.index())?;
        handshake.is_ready = false;
        if handshake.session.is_none() {
            match handshake.hello.look(&stream) {
                First::Nothing if handshake.is_late => {
                    return Some(handshake.out_of_time(tls.is_optional));
                }
                First::Nothing => {
                    io.arm_read(token);
                    return None;
                }
                First::Part => {
                    handshake.is_tls = true;
                    handshake.is_late = false;
                    io.arm_read(token);
                    return None;
                }
                First::Ready => {
                    handshake.is_tls = true;
                    if !self.places.take(handshake, token, cid, io.now()) {
                        handshake.is_ready = true;
                        return None;
                    }
                    handshake.session = Some(Box::new(tls.server.session()));
                }
                First::End if handshake.is_tls => return Some(Err("unexpected EOF".to_owned())),
                First::End => return Some(Err("EOF".to_owned())),
                First::Clear if tls.is_optional => return Some(Ok(())),
                First::Clear => {
                    // What lies unread would turn the end into a reset.
                    let _ = (&*stream).read(&mut [0; 4096]);
                    let text = "tls: first record does not look like a TLS handshake";
                    return Some(Err(text.to_owned()));
                }
            }
        }
        let session = handshake.session.as_mut()?;
        let mut wire = Wire {
            hello: &mut handshake.hello,
            stream: &stream,
            has_moved: false,
        };
        let step = session.handshake(&mut wire, scratch);
        handshake.is_late &= !wire.has_moved;
        match step {
            Step::Done => return Some(Ok(())),
            Step::Failed(text) => return Some(Err(text)),
            Step::Blocked { .. } if handshake.is_late => {
                return Some(handshake.out_of_time(tls.is_optional));
            }
            Step::Blocked { wants_write: true } => io.arm_write(token),
            Step::Blocked { wants_write: false } => io.arm_read(token),
        }
        None
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
        let session = handshake.session.take();
        if result.is_err() {
            let kept = session.as_ref().map(|s| s.kept() + FAILED_BYTES);
            self.freed += handshake.hello.kept() + kept.unwrap_or(0);
        } else if let Some(session) = session {
            socket.stage = Stage::Tls(session);
        }
        if handshake.has_place {
            self.ready.extend(self.places.pass_on(sockets));
        }
        done.push(Outcome {
            token,
            handshake,
            result,
        });
    }

    /// Looks at what is due: INFO for those that wait for it, an end for those whose time is over, and places for
    /// those that wait. Gives the time of the next look.
    pub(super) fn look(
        &mut self,
        sockets: &mut Sockets,
        info: &ServerInfo,
        now: Instant,
        done: &mut Vec<Outcome>,
    ) -> Option<Instant> {
        while let Some(&(at, token, cid)) = self.greetings.front() {
            let is_waiting = |h: &mut Handshake| !h.is_tls && !h.is_greeted;
            let waits = find(sockets, token, cid).is_some_and(is_waiting);
            if waits && at > now {
                break;
            }
            self.greetings.pop_front();
            // One that has sent something has begun, even if nobody has looked at it yet.
            let is_silent = sockets
                .find(token.index())
                .is_some_and(|s| is_silent(&s.stream));
            if waits && is_silent {
                greet(sockets, token, info);
            }
        }
        let is_optional = sockets.door.tls().is_some_and(|tls| tls.is_optional);
        while let Some(&(at, token, cid)) = self.late.front() {
            let result = find(sockets, token, cid).map(|h| h.out_of_time(is_optional));
            if result.is_some() && at > now {
                break;
            }
            self.late.pop_front();
            let Some(result) = result else { continue };
            self.end(sockets, token, result, done);
        }
        let place_at = loop {
            match self.places.turn(sockets, now) {
                Turn::Stays(until) => break until,
                Turn::Passes => self.ready.extend(self.places.pass_on(sockets)),
                Turn::Ends(token) => self.end(sockets, token, Err(GIVEN_UP.to_owned()), done),
            }
        };
        let lists = [&self.deadlines, &self.greetings, &self.late];
        let next = lists.into_iter().filter_map(VecDeque::front);
        next.map(|&(at, ..)| at).chain(place_at).min()
    }
}

impl Handshake {
    /// How it ends when its time is over.
    fn out_of_time(&self, is_optional: bool) -> Result<(), String> {
        // A client that has been greeted may say nothing for a while, if it need not begin TLS.
        if is_optional && !self.is_tls {
            Ok(())
        } else {
            Err(TIMED_OUT.to_owned())
        }
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
