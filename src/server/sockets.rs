//! The sockets of a shard, clear or under TLS, as its engine sees them. Steps 1 (receive) and 9 (flush) of the
//! PUB path.

use std::io::{self, IoSlice, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::sync::Arc;

use gnatsd_core::auth::{Credentials, Login, Nonce};
use gnatsd_core::client::CloseReason;
use gnatsd_core::engine::{Edge, Lane, Lanes, Level, LogLine, Received, Sent};
use gnatsd_core::interest::ConnKey;
use gnatsd_shards::{Io, Token};

use super::acceptor::OpenCounts;
use super::door::{Applicant, Door};
use super::handshakes::Handshake;
use super::log::settle;
use super::shard_lanes::ShardLanes;
use crate::tls::{Scratch, Session};

/// Every socket of a shard, by the place its token names.
#[derive(Debug)]
pub(super) struct Sockets {
    slots: Vec<Option<Socket>>,
    pub(super) counts: Arc<OpenCounts>,
    pub(super) shard: usize,
    pub(super) door: Arc<Door>,
    /// What TLS works in; none of it is anyone's between two calls.
    pub(super) scratch: Scratch,
    /// Those whose TLS has more to tell than their sockets: nobody would say that they are ready.
    pub(super) unread: Vec<Token>,
    /// What TLS has done since the engine last asked, in its measure.
    hidden_work: usize,
}

/// One socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: Rc<TcpStream>,
    pub(super) token: Token,
    /// Connection id.
    pub(super) cid: u64,
    /// Counted by the acceptor; a refused connection is not.
    pub(super) is_counted: bool,
    pub(super) stage: Stage,
}

/// What is spoken on a socket.
#[derive(Debug)]
pub(super) enum Stage {
    /// The protocol.
    Clear,
    /// Nothing the engine should see yet.
    Handshake(Box<Handshake>),
    /// The protocol, under TLS.
    Tls(Box<Session>),
}

impl Sockets {
    pub(super) fn new(counts: Arc<OpenCounts>, shard: usize, door: Arc<Door>) -> Self {
        Sockets {
            slots: Vec::new(),
            counts,
            shard,
            door,
            scratch: Scratch::default(),
            unread: Vec::new(),
            hidden_work: 0,
        }
    }

    pub(super) fn insert(&mut self, socket: Socket) {
        let at = socket.token.index();
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        self.slots[at] = Some(socket);
    }

    #[inline]
    pub(super) fn find(&self, at: usize) -> Option<&Socket> {
        self.slots.get(at)?.as_ref()
    }

    #[inline]
    pub(super) fn find_mut(&mut self, at: usize) -> Option<&mut Socket> {
        self.slots.get_mut(at)?.as_mut()
    }

    pub(super) fn remove(&mut self, at: usize) -> Option<Socket> {
        self.slots.get_mut(at).and_then(Option::take)
    }

    /// A socket and what TLS on it works in.
    #[inline]
    pub(super) fn with_scratch(&mut self, at: usize) -> Option<(&mut Socket, &mut Scratch)> {
        let socket = self.slots.get_mut(at)?.as_mut()?;
        Some((socket, &mut self.scratch))
    }

    /// A socket of `key` that counts no more.
    pub(super) fn ended(&self, key: ConnKey) {
        if self.find(key.0 as usize).is_some_and(|s| s.is_counted) {
            self.counts.ended(self.shard);
        }
    }

    /// Writes what TLS has kept back on a socket that has room again. False while some of it is left, and the
    /// socket is to be armed again.
    pub(super) fn flush_tls(&mut self, at: usize) -> bool {
        let Some(socket) = self.find_mut(at) else {
            return true;
        };
        match &mut socket.stage {
            // A broken socket says so at the next read or write.
            Stage::Tls(session) if session.has_unsent() => {
                session.flush(&mut &*socket.stream).unwrap_or(true)
            }
            _ => true,
        }
    }
}

/// The engine names a connection by the place of its socket.
pub(super) fn key_of(token: Token) -> ConnKey {
    // A token is a u32; the shards crate shows it as an index.
    ConnKey(u32::try_from(token.index()).unwrap_or(u32::MAX))
}

pub(super) fn write_log(line: &LogLine) {
    let level = match line.level {
        Level::Error => log::Level::Error,
        Level::Warn => log::Level::Warn,
        Level::Info => log::Level::Info,
        Level::Debug => log::Level::Debug,
        Level::Trace => log::Level::Trace,
    };
    log::log!(level, "{}", line.text);
}

/// What an engine asks of the world, on one shard.
pub(super) struct SocketEdge<'a, I> {
    pub(super) io: &'a mut I,
    pub(super) sockets: &'a mut Sockets,
    pub(super) lanes: &'a mut ShardLanes,
}

impl<I: Io> SocketEdge<'_, I> {
    #[inline]
    fn socket(&self, key: ConnKey) -> Option<&Socket> {
        self.sockets.find(key.0 as usize)
    }

    /// As much as there is room for, or as there is: a read that is short says that the socket has no more.
    fn receive_under_tls(&mut self, key: ConnKey, into: &mut [u8]) -> Received {
        let unread = &mut self.sockets.unread;
        let Some(Some(socket)) = self.sockets.slots.get_mut(key.0 as usize) else {
            return Received::Failed;
        };
        let Stage::Tls(session) = &mut socket.stage else {
            return Received::Blocked;
        };
        let scratch = &mut self.sockets.scratch;
        let mut filled = 0;
        let result = loop {
            match session.receive(&mut &*socket.stream, &mut into[filled..], scratch) {
                Ok(0) => break Received::Eof,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Received::Blocked,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break Received::Failed,
            }
            if filled == into.len() || !session.has_plaintext() {
                break Received::Bytes(filled);
            }
        };
        self.sockets.hidden_work += session.take_work();
        if filled == 0 {
            return result;
        }
        // How it ended is told by the next read.
        if session.has_plaintext() || matches!(result, Received::Eof | Received::Failed) {
            unread.push(socket.token);
        }
        Received::Bytes(filled)
    }

    fn send_under_tls(&mut self, key: ConnKey, slices: &[IoSlice<'_>]) -> Sent {
        let Some((socket, scratch)) = self.sockets.with_scratch(key.0 as usize) else {
            return Sent::Failed;
        };
        let Stage::Tls(session) = &mut socket.stage else {
            return Sent::Blocked;
        };
        let sent = loop {
            match session.send(&mut &*socket.stream, slices, scratch) {
                Ok(n) => break Sent::Bytes(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Sent::Blocked,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break Sent::Failed,
            }
        };
        if session.has_unsent() {
            self.io.arm_write(socket.token);
        }
        sent
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
        if !matches!(socket.stage, Stage::Clear) {
            return self.receive_under_tls(key, into);
        }
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
        if !matches!(socket.stage, Stage::Clear) {
            return self.send_under_tls(key, slices);
        }
        loop {
            return match (&*socket.stream).write_vectored(slices) {
                Ok(n) => Sent::Bytes(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Sent::Failed,
            };
        }
    }

    #[inline]
    fn take_hidden_work(&mut self) -> usize {
        mem::take(&mut self.sockets.hidden_work)
    }

    fn hidden_progress(&self, key: ConnKey) -> u64 {
        match self.socket(key).map(|socket| &socket.stage) {
            Some(Stage::Tls(session)) => session.sent_bytes(),
            _ => 0,
        }
    }

    fn log_in(&mut self, key: ConnKey, shown: &Credentials, nonce: Option<&Nonce>) -> Login {
        let Some(socket) = self.sockets.find(key.0 as usize) else {
            return Login::Refused(Default::default());
        };
        let names = match &socket.stage {
            Stage::Tls(session) if self.sockets.door.maps_certificates() => session.peer_names(),
            _ => None,
        };
        let applicant = Applicant {
            stream: &socket.stream,
            shard: self.sockets.shard,
            key,
            cid: socket.cid,
        };
        self.sockets
            .door
            .log_in(applicant, shown, nonce, names.as_ref())
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
        self.sockets.ended(key);
    }

    fn has_unsent(&self, key: ConnKey) -> bool {
        match self.socket(key).map(|socket| &socket.stage) {
            Some(Stage::Tls(session)) => session.has_unsent(),
            _ => false,
        }
    }

    fn finish_sending(&mut self, key: ConnKey) {
        if let Some(socket) = self.sockets.find_mut(key.0 as usize) {
            if let Stage::Tls(session) = &mut socket.stage {
                session.close_notify(&mut &*socket.stream);
            }
            // Fails if the peer has gone already, which is as good.
            let _ = socket.stream.shutdown(Shutdown::Write);
        }
    }

    fn cut(&mut self, key: ConnKey) {
        if let Some(socket) = self.sockets.find_mut(key.0 as usize) {
            // So that the peer can tell an end from a cut, unless it is one.
            if let Stage::Tls(session) = &mut socket.stage
                && !session.has_unsent()
            {
                session.close_notify(&mut &*socket.stream);
            }
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
        if let Some(socket) = self.sockets.remove(key.0 as usize) {
            self.io.detach(socket.token);
        }
    }
}
