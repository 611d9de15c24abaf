//! The I/O edge of a shard: an engine, its sockets, and the loop's calls handed from one to
//! the other. Steps 1 (receive) and 9 (flush) of the PUB path; thin on purpose.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gnatsd_core::client::CloseReason;
use gnatsd_core::engine::{
    self, Edge, Engine, Lane, Lanes, Level, LogLine, Opening, Received, Sent,
};
use gnatsd_core::interest::ConnKey;
use gnatsd_shards::{Io, Next, Ready, Service, Token};

use super::acceptor::OpenCounts;
use super::clock::Clock;
use super::control::{Accepted, Control, ShardReport};
use super::log::settle;
use super::long_turns::LongTurns;
use super::planted::Planted;
use super::shard_lanes::ShardLanes;

/// What runs on each shard.
#[derive(Debug)]
pub struct ShardIo {
    engine: Engine,
    sockets: Sockets,
    lanes: ShardLanes,
    clock: Clock,
    ready: Vec<Ready>,
    engine_ready: Vec<engine::Ready>,
    is_stopping: bool,
    long_turns: LongTurns,
    planted: Planted,
}

#[derive(Debug)]
struct Sockets {
    slots: Vec<Option<Socket>>,
    counts: Arc<OpenCounts>,
    shard: usize,
}

#[derive(Debug)]
struct Socket {
    stream: Rc<TcpStream>,
    token: Token,
    /// Counted by the acceptor; a refused connection is not.
    is_counted: bool,
}

impl ShardIo {
    /// A shard without connections.
    pub fn new(
        engine: Engine,
        lanes: gnatsd_shards::Lanes<Vec<u8>>,
        clock: Clock,
        counts: Arc<OpenCounts>,
    ) -> Self {
        let shard = usize::from(engine.shard());
        ShardIo {
            planted: Planted::in_shard(engine.shard()),
            lanes: ShardLanes::new(engine.shard(), lanes),
            engine,
            sockets: Sockets {
                slots: Vec::new(),
                counts,
                shard,
            },
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
        let key = key_of(token);
        if self.sockets.slots.len() <= token.index() {
            self.sockets.slots.resize_with(token.index() + 1, || None);
        }
        self.sockets.slots[token.index()] = Some(Socket {
            stream,
            token,
            is_counted: !is_refused,
        });
        let opening = Opening {
            cid,
            ip: peer.ip(),
            port: peer.port(),
            is_refused,
        };
        let now = self.clock.time_at(io.now());
        let mut edge = SocketEdge {
            io,
            sockets: &mut self.sockets,
            lanes: &mut self.lanes,
        };
        self.engine.open(&mut edge, key, opening, now);
    }

    fn report(&self, io: &impl Io) -> ShardReport {
        ShardReport {
            shard: self.engine.shard(),
            engine: self.engine.stats(),
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
        io.take_ready(&mut self.ready);
        self.engine_ready
            .extend(self.ready.drain(..).map(|ready| engine::Ready {
                key: key_of(ready.token),
                readable: ready.readable,
                writable: ready.writable,
            }));
        let now = self.clock.time_at(io.now());
        let mut edge = SocketEdge {
            io,
            sockets: &mut self.sockets,
            lanes: &mut self.lanes,
        };
        let next = self.engine.turn(&mut edge, &self.engine_ready, now);
        if self.engine.has_freed_much() {
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
            engine::Next::Park(until) => {
                let until = until.map(|time| self.clock.instant_at(time));
                Next::Park(until.into_iter().chain(trim_at).min())
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

fn write_log(line: &LogLine) {
    let level = match line.level {
        Level::Error => log::Level::Error,
        Level::Warn => log::Level::Warn,
        Level::Info => log::Level::Info,
        Level::Debug => log::Level::Debug,
        Level::Trace => log::Level::Trace,
    };
    log::log!(level, "{}", line.text);
}

/// The engine names a connection by the place of its socket.
fn key_of(token: Token) -> ConnKey {
    // A token is a u32; the shards crate shows it as an index.
    ConnKey(u32::try_from(token.index()).unwrap_or(u32::MAX))
}

struct SocketEdge<'a, I> {
    io: &'a mut I,
    sockets: &'a mut Sockets,
    lanes: &'a mut ShardLanes,
}

impl<I: Io> SocketEdge<'_, I> {
    #[inline]
    fn socket(&self, key: ConnKey) -> Option<&Socket> {
        self.sockets.slots.get(key.0 as usize)?.as_ref()
    }
}

impl<I: Io> Lanes for SocketEdge<'_, I> {
    #[inline]
    fn entries(&self) -> usize {
        self.lanes.entries()
    }

    #[inline]
    fn room(&mut self, to: u16, lane: Lane) -> usize {
        self.lanes.room(to, lane)
    }

    #[inline]
    fn push(&mut self, to: u16, lane: Lane, batch: &mut Vec<u8>) {
        self.lanes.push(to, lane, batch);
    }

    #[inline]
    fn publish(&mut self) {
        self.lanes.publish();
    }

    #[inline]
    fn has_news(&self) -> bool {
        self.lanes.has_news()
    }

    #[inline]
    fn take(&mut self, from: u16, lane: Lane, batch: &mut Vec<u8>) -> bool {
        self.lanes.take(from, lane, batch)
    }

    #[inline]
    fn ask_room(&mut self, to: u16, lane: Lane) -> usize {
        self.lanes.ask_room(to, lane)
    }
}

impl<I: Io> Edge for SocketEdge<'_, I> {
    #[inline]
    fn receive(&mut self, key: ConnKey, into: &mut [u8]) -> Received {
        let Some(socket) = self.socket(key) else {
            return Received::Failed;
        };
        loop {
            return match (&*socket.stream).read(into) {
                Ok(0) => Received::Eof,
                Ok(n) => Received::Bytes(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Received::Blocked,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Received::Failed,
            };
        }
    }

    #[inline]
    fn send(&mut self, key: ConnKey, slices: &[IoSlice<'_>]) -> Sent {
        let Some(socket) = self.socket(key) else {
            return Sent::Failed;
        };
        loop {
            return match (&*socket.stream).write_vectored(slices) {
                Ok(n) => Sent::Bytes(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Sent::Failed,
            };
        }
    }

    fn arm_read(&mut self, key: ConnKey) {
        if let Some(token) = self.socket(key).map(|s| s.token) {
            self.io.arm_read(token);
        }
    }

    fn arm_write(&mut self, key: ConnKey) {
        if let Some(token) = self.socket(key).map(|s| s.token) {
            self.io.arm_write(token);
        }
    }

    fn ended(&mut self, key: ConnKey, _reason: CloseReason) {
        if self.socket(key).is_some_and(|s| s.is_counted) {
            self.sockets.counts.ended(self.sockets.shard);
        }
    }

    fn finish_sending(&mut self, key: ConnKey) {
        if let Some(socket) = self.socket(key) {
            // Fails if the peer has gone already, which is as good.
            let _ = socket.stream.shutdown(Shutdown::Write);
        }
    }

    fn cut(&mut self, key: ConnKey) {
        if let Some(socket) = self.socket(key) {
            let _ = socket.stream.shutdown(Shutdown::Both);
        }
    }

    fn log(&mut self, lines: &mut Vec<LogLine>) {
        for line in lines.drain(..) {
            write_log(&line);
        }
        settle();
    }

    fn release(&mut self, key: ConnKey) {
        if let Some(socket) = self
            .sockets
            .slots
            .get_mut(key.0 as usize)
            .and_then(Option::take)
        {
            self.io.detach(socket.token);
        }
    }
}
