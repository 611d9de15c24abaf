//! The I/O edge of a shard: an engine, its sockets, and the loop's calls handed from one to
//! the other. Thin on purpose.

use std::fmt;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gnatsd_core::client::CloseReason;
use gnatsd_core::engine::{self, Engine, Opening};
use gnatsd_core::proto::info::ServerInfo;
use gnatsd_shards::{Io, Next, Ready, Service, Token};

use super::acceptor::OpenCounts;
use super::clock::Clock;
use super::control::{Accepted, Control, Decision, ShardReport};
use super::door::Door;
use super::handshakes::{self, Handshakes, Outcome};
use super::long_turns::LongTurns;
use super::planted::Planted;
use super::shard_lanes::ShardLanes;
use super::sockets::{Socket, SocketEdge, Sockets, Stage, key_of, write_log};
use crate::config::HandshakeFirst;

/// What runs on each shard.
#[derive(Debug)]
pub struct ShardIo {
    engine: Engine,
    sockets: Sockets,
    lanes: ShardLanes,
    handshakes: Handshakes,
    /// Handshakes that have come to an end in this turn.
    outcomes: Vec<Outcome>,
    /// What those are told that begin one.
    info: ServerInfo,
    clock: Clock,
    ready: Vec<Ready>,
    engine_ready: Vec<engine::Ready>,
    is_stopping: bool,
    long_turns: LongTurns,
    planted: Planted,
}

impl ShardIo {
    /// A shard without connections, whose clients are told `info`.
    pub fn new(
        engine: Engine,
        info: ServerInfo,
        lanes: gnatsd_shards::Lanes<Vec<u8>>,
        clock: Clock,
        counts: Arc<OpenCounts>,
        door: Arc<Door>,
    ) -> Self {
        let shard = usize::from(engine.shard());
        ShardIo {
            planted: Planted::in_shard(engine.shard()),
            lanes: ShardLanes::new(engine.shard(), lanes),
            engine,
            sockets: Sockets::new(counts, shard, door),
            handshakes: Handshakes::default(),
            outcomes: Vec::new(),
            info,
            clock,
            ready: Vec::new(),
            engine_ready: Vec::new(),
            is_stopping: false,
            long_turns: LongTurns::default(),
        }
    }

    fn open(&mut self, io: &mut impl Io, accepted: Accepted) {
        self.planted.count_connection();
        let Accepted {
            stream,
            cid,
            peer,
            is_refused,
        } = accepted;
        let stream = Rc::new(stream);
        let token = match io.attach(Rc::clone(&stream)) {
            Ok(token) => token,
            Err(error) => {
                log::error!("{peer} - cid:{cid} - cannot watch connection: {error}");
                if !is_refused {
                    self.sockets.counts.ended(self.sockets.shard);
                }
                return;
            }
        };
        let door = Arc::clone(&self.sockets.door);
        let nonce = door.nonce();
        let mut socket = Socket {
            stream,
            token,
            cid,
            is_counted: !is_refused,
            stage: Stage::Clear,
        };
        // One that is refused is told so in the clear: a handshake would only cost.
        let Some(tls) = door.tls().filter(|_| !is_refused) else {
            self.sockets.insert(socket);
            let opening = Opening {
                is_refused,
                nonce,
                ..Opening::new(cid, peer.ip(), peer.port())
            };
            self.enter(io, token, opening);
            return;
        };
        debug(peer, cid, format_args!("Client connection created"));
        let now = io.now();
        let handshake = self.handshakes.begin(tls, token, cid, peer, nonce, now);
        socket.stage = Stage::Handshake(Box::new(handshake));
        self.sockets.insert(socket);
        if tls.first == HandshakeFirst::No {
            handshakes::greet(&mut self.sockets, token, &self.info);
        }
        let text = format_args!("Starting TLS client connection handshake");
        debug(peer, cid, text);
        io.arm_read(token);
    }

    /// Hands a connection to the engine.
    fn enter(&mut self, io: &mut impl Io, token: Token, opening: Opening) {
        let now = self.clock.time_at(io.now());
        let mut edge = SocketEdge {
            io,
            sockets: &mut self.sockets,
            lanes: &mut self.lanes,
        };
        self.engine.open(&mut edge, key_of(token), opening, now);
    }

    /// A few steps of handshakes, and what came of them. True if there is more to do at once.
    fn shake_hands(&mut self, io: &mut impl Io) -> (bool, Option<Instant>) {
        if self.handshakes.rest() {
            return (false, None);
        }
        let mut outcomes = std::mem::take(&mut self.outcomes);
        self.handshakes.go_on(io, &mut self.sockets, &mut outcomes);
        let now = io.now();
        let next = self
            .handshakes
            .look(&mut self.sockets, &self.info, now, &mut outcomes);
        for outcome in outcomes.drain(..) {
            self.conclude(io, outcome);
        }
        self.outcomes = outcomes;
        (self.handshakes.has_ready(), next)
    }

    fn conclude(&mut self, io: &mut impl Io, outcome: Outcome) {
        let Outcome {
            token,
            handshake,
            result,
        } = outcome;
        let Some(socket) = self.sockets.find(token.index()) else {
            return;
        };
        let (cid, peer) = (socket.cid, handshake.peer);
        let opening = Opening {
            nonce: handshake.nonce,
            is_greeted: handshake.is_greeted,
            is_logged: true,
            ..Opening::new(cid, peer.ip(), peer.port())
        };
        match result {
            Ok(()) => {
                if let Stage::Tls(session) = &socket.stage {
                    debug(peer, cid, format_args!("TLS handshake complete"));
                    let (version, suite) = (session.version(), session.cipher());
                    let text = format_args!("TLS version {version}, cipher suite {suite}");
                    debug(peer, cid, text);
                    if session.has_unsent() {
                        io.arm_write(token);
                    }
                }
                self.enter(io, token, opening);
                // What came with the end of the handshake has been read from the socket already.
                self.engine_ready.push(readable(token));
            }
            Err(text) => {
                let (ip, port) = (peer.ip(), peer.port());
                log::error!("{ip}:{port} - cid:{cid} - TLS handshake error: {text}");
                debug(peer, cid, format_args!("Client connection closed"));
                let (start, now) = (handshake.start, io.now());
                let time = |at| self.clock.time_at(at);
                let reason = CloseReason::TlsHandshakeFailure;
                self.engine
                    .turn_away(&opening, reason, time(start), time(now));
                self.sockets.ended(key_of(token));
                if let Some(socket) = self.sockets.remove(token.index()) {
                    let _ = socket.stream.shutdown(Shutdown::Both);
                }
                io.detach(token);
            }
        }
    }

    fn decide(&mut self, io: &mut impl Io, decision: Decision) {
        let now = self.clock.time_at(io.now());
        let mut edge = SocketEdge {
            io,
            sockets: &mut self.sockets,
            lanes: &mut self.lanes,
        };
        let Decision { key, cid, login } = decision;
        self.engine.login_decided(&mut edge, key, cid, login, now);
    }

    /// Sorts what is ready, by the sockets or by what TLS has of them: handshakes and what TLS has kept back are the
    /// edge's, the rest is the engine's.
    fn sort_ready(&mut self, io: &mut impl Io) {
        io.take_ready(&mut self.ready);
        for token in self.sockets.unread.drain(..) {
            self.engine_ready.push(readable(token));
        }
        for ready in self.ready.drain(..) {
            let Some(socket) = self.sockets.find(ready.token.index()) else {
                continue;
            };
            match &socket.stage {
                Stage::Handshake(_) => {
                    self.handshakes.wake(&mut self.sockets, ready.token);
                    continue;
                }
                Stage::Tls(_) if ready.writable => {
                    if !self.sockets.flush_tls(ready.token.index()) {
                        io.arm_write(ready.token);
                    }
                }
                Stage::Tls(_) | Stage::Clear => {}
            }
            self.engine_ready.push(engine::Ready {
                key: key_of(ready.token),
                readable: ready.readable,
                writable: ready.writable,
            });
        }
    }

    fn report(&self, io: &impl Io) -> ShardReport {
        let mut engine = self.engine.stats();
        // Accepted is accepted: those in their handshakes count, too.
        engine.connections += self.handshakes.len() as u64;
        engine.connections_total += self.handshakes.len() as u64;
        ShardReport {
            shard: self.engine.shard(),
            engine,
            run: io.stats(),
            lane_depth: self.lanes.depth() as u64,
        }
    }
}

impl Service for ShardIo {
    type Control = Control;
    type Batch = Vec<u8>;

    fn control(&mut self, io: &mut impl Io, message: Control) {
        // Whoever asked may have given up waiting; then the answer is for nobody.
        match message {
            Control::Open(accepted) => self.open(io, accepted),
            Control::Decided(decision) => self.decide(io, decision),
            Control::Stats(to) => drop(to.try_send(self.report(io))),
            Control::Connections(query, to) => {
                drop(to.try_send(self.engine.connections_page(&query)))
            }
            Control::Subscriptions(from, limit, to) => {
                drop(to.try_send(self.engine.subscriptions_page(from, limit)));
            }
            Control::Stop => self.is_stopping = true,
        }
    }

    fn turn(&mut self, io: &mut impl Io) -> Next {
        self.sort_ready(io);
        let (has_more, look_at) = self.shake_hands(io);
        let now = self.clock.time_at(io.now());
        let mut edge = SocketEdge {
            io,
            sockets: &mut self.sockets,
            lanes: &mut self.lanes,
        };
        let next = self.engine.turn(&mut edge, &self.engine_ready, now);
        if self.engine.has_freed_much() | self.handshakes.has_freed_much() {
            gnatsd_shards::give_back();
        }
        self.engine_ready.clear();
        for line in self.engine.poll_log() {
            write_log(&line);
        }
        let trim_at = self.lanes.trim(io.now());
        match next {
            _ if self.is_stopping => Next::Stop,
            engine::Next::Again => Next::Again,
            engine::Next::Park(_) if has_more || !self.sockets.unread.is_empty() => Next::Again,
            engine::Next::Park(until) => {
                let until = until.map(|time| self.clock.instant_at(time));
                Next::Park(until.into_iter().chain(trim_at).chain(look_at).min())
            }
        }
    }

    fn has_inbound(&self) -> bool {
        self.lanes.has_inbound()
    }

    fn long_turn(&mut self, took: Duration) {
        let line = self
            .long_turns
            .line(self.engine.shard(), took, Instant::now());
        if let Some(line) = line {
            log::warn!("{line}");
        }
    }
}

/// There is something to read, though the socket may not say so.
fn readable(token: Token) -> engine::Ready {
    engine::Ready {
        key: key_of(token),
        readable: true,
        writable: false,
    }
}

/// A debug line about a connection that the engine does not have yet.
fn debug(peer: SocketAddr, cid: u64, text: fmt::Arguments<'_>) {
    log::debug!("{}:{} - cid:{cid} - {text}", peer.ip(), peer.port());
}
