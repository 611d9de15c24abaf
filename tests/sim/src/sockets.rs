//! Sockets between simulated clients and shards: two byte queues with limits, split and delayed by chance.
//!
//! Strict towards the engine: a call for a connection that was let go, a write behind the end, a second end
//! are all bugs.

use std::collections::VecDeque;
use std::io::IoSlice;

use gnatsd_core::client::CloseReason;
use gnatsd_core::engine::{Ready, Received, Sent};
use gnatsd_core::interest::ConnKey;

use crate::rng::Rng;

/// Place of a socket in its world. Never given to another.
pub(crate) type SocketId = usize;

/// One connection, seen from both sides.
#[derive(Debug, Default)]
pub(crate) struct Socket {
    /// Sent by the client, on its way.
    pub(crate) outgoing: VecDeque<u8>,
    /// The client sends no more than that.
    pub(crate) is_closed: bool,
    /// Arrived, not read by the server.
    pub(crate) arrived: VecDeque<u8>,
    arrived_max: usize,
    /// The end of what the client sends has arrived.
    is_finished: bool,
    /// Reset: reads and writes fail.
    is_broken: bool,
    /// Written by the server, not read by the client.
    pub(crate) to_client: VecDeque<u8>,
    to_client_max: usize,
    is_read_armed: bool,
    is_write_armed: bool,
    pub(crate) ended: Option<CloseReason>,
    is_sending_finished: bool,
    is_cut: bool,
    is_released: bool,
}

impl Socket {
    /// An open one that holds so many bytes in each direction.
    pub(crate) fn new(arrived_max: usize, to_client_max: usize) -> Self {
        Socket {
            arrived_max,
            to_client_max,
            ..Socket::default()
        }
    }

    /// Bytes that can arrive now.
    pub(crate) fn arrivals(&self) -> usize {
        let room = self.arrived_max.saturating_sub(self.arrived.len());
        self.outgoing.len().min(room)
    }

    /// Whether the network has something to do.
    pub(crate) fn can_arrive(&self) -> bool {
        !self.is_broken
            && !self.is_cut
            && (self.arrivals() > 0
                || self.is_closed && !self.is_finished && self.outgoing.is_empty())
    }

    /// Nothing that the client sent is on its way.
    pub(crate) fn is_done(&self) -> bool {
        self.is_broken || self.is_cut || self.is_finished
    }

    /// Some bytes arrive, or the end does.
    pub(crate) fn arrive(&mut self, bytes: usize) {
        let n = bytes.min(self.arrivals());
        self.arrived.extend(self.outgoing.drain(..n));
        self.is_finished |= self.is_closed && self.outgoing.is_empty();
    }

    /// The client takes some bytes.
    pub(crate) fn read(&mut self, bytes: usize, into: &mut Vec<u8>) {
        let n = bytes.min(self.to_client.len());
        into.extend(self.to_client.drain(..n));
    }

    /// The connection is reset.
    pub(crate) fn kill(&mut self) {
        self.is_broken = true;
        self.outgoing.clear();
        self.arrived.clear();
        self.to_client.clear();
    }

    /// Something was sent that the server has not read, and it is not for want of the client's reading.
    pub(crate) fn has_unread(&self) -> bool {
        !self.is_cut && (!self.arrived.is_empty() || !self.outgoing.is_empty())
    }

    fn readiness(&self) -> (bool, bool) {
        let is_readable = !self.arrived.is_empty() || self.is_finished || self.is_broken;
        // As a kernel, it tells of room when a third of it is free.
        let room = self.to_client_max.saturating_sub(self.to_client.len());
        let is_writable = room > self.to_client_max / 3 || self.is_broken || self.is_closed;
        (
            !self.is_cut && self.is_read_armed && is_readable,
            !self.is_cut && self.is_write_armed && is_writable,
        )
    }

    fn receive(&mut self, into: &mut [u8]) -> Received {
        assert!(!self.is_cut, "read behind a cut");
        assert!(!into.is_empty(), "read of nothing");
        if self.is_broken {
            return Received::Failed;
        }
        let n = self.arrived.len().min(into.len());
        if n == 0 {
            return if self.is_finished {
                Received::Eof
            } else {
                Received::Blocked
            };
        }
        for (byte, sent) in into.iter_mut().zip(self.arrived.drain(..n)) {
            *byte = sent;
        }
        Received::Bytes(n)
    }

    fn send(&mut self, slices: &[IoSlice<'_>], rng: &mut Rng) -> Sent {
        assert!(
            !self.is_cut && !self.is_sending_finished,
            "write behind the end"
        );
        let offered: usize = slices.iter().map(|s| s.len()).sum();
        assert!(offered > 0, "write of nothing");
        if self.is_broken {
            return Sent::Failed;
        }
        if self.is_closed {
            return Sent::Bytes(offered);
        }
        let room = self.to_client_max.saturating_sub(self.to_client.len());
        let mut n = offered.min(room);
        if n > 1 && rng.once_in(12) {
            n = rng.between(1, n);
        }
        let mut left = n;
        for slice in slices {
            let part = slice.len().min(left);
            self.to_client.extend(&slice[..part]);
            left -= part;
        }
        if n == 0 {
            Sent::Blocked
        } else {
            Sent::Bytes(n)
        }
    }
}

/// All sockets of a world.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) all: Vec<Socket>,
    /// By shard and connection key.
    keys: Vec<Vec<Option<SocketId>>>,
    rng: Rng,
}

impl Sockets {
    pub(crate) fn new(shards: usize, rng: Rng) -> Self {
        Sockets {
            all: Vec::new(),
            keys: vec![Vec::new(); shards],
            rng,
        }
    }

    /// Gives a socket the lowest key that is free on its shard.
    pub(crate) fn attach(&mut self, shard: usize, socket: SocketId) -> ConnKey {
        let keys = &mut self.keys[shard];
        let at = keys.iter().position(Option::is_none).unwrap_or(keys.len());
        if at == keys.len() {
            keys.push(None);
        }
        keys[at] = Some(socket);
        ConnKey(u32::try_from(at).expect("few connections"))
    }

    /// The socket behind a key.
    pub(crate) fn id(&self, shard: usize, key: ConnKey) -> SocketId {
        let id = self.keys[shard].get(key.0 as usize).copied().flatten();
        id.unwrap_or_else(|| panic!("{key:?} of shard {shard} was let go"))
    }

    fn used(&mut self, shard: usize, key: ConnKey) -> &mut Socket {
        let id = self.id(shard, key);
        &mut self.all[id]
    }

    /// Whether a shard has a notification to take.
    pub(crate) fn are_some_ready(&self, shard: usize) -> bool {
        let mut used = self.keys[shard].iter().flatten();
        used.any(|&id| self.all[id].readiness() != (false, false))
    }

    /// Notifications that are due. Each is given once, as it was asked for.
    pub(crate) fn take_ready(&mut self, shard: usize, ready: &mut Vec<Ready>) {
        for (key, id) in (0..).map(ConnKey).zip(&self.keys[shard]) {
            let Some(id) = *id else {
                continue;
            };
            let socket = &mut self.all[id];
            let (readable, writable) = socket.readiness();
            socket.is_read_armed &= !readable;
            socket.is_write_armed &= !writable;
            if readable || writable {
                ready.push(Ready {
                    key,
                    readable,
                    writable,
                });
            }
        }
    }

    pub(crate) fn receive(&mut self, shard: usize, key: ConnKey, into: &mut [u8]) -> Received {
        self.used(shard, key).receive(into)
    }

    pub(crate) fn send(&mut self, shard: usize, key: ConnKey, slices: &[IoSlice<'_>]) -> Sent {
        let id = self.id(shard, key);
        self.all[id].send(slices, &mut self.rng)
    }

    pub(crate) fn arm_read(&mut self, shard: usize, key: ConnKey) {
        self.used(shard, key).is_read_armed = true;
    }

    pub(crate) fn arm_write(&mut self, shard: usize, key: ConnKey) {
        self.used(shard, key).is_write_armed = true;
    }

    pub(crate) fn ended(&mut self, shard: usize, key: ConnKey, reason: CloseReason) {
        let socket = self.used(shard, key);
        assert_eq!(socket.ended, None, "a connection ends once");
        socket.ended = Some(reason);
    }

    pub(crate) fn finish_sending(&mut self, shard: usize, key: ConnKey) {
        let socket = self.used(shard, key);
        assert!(
            socket.ended.is_some() && !socket.is_cut && !socket.is_sending_finished,
            "one end of sending"
        );
        socket.is_sending_finished = true;
    }

    pub(crate) fn cut(&mut self, shard: usize, key: ConnKey) {
        let socket = self.used(shard, key);
        assert!(
            socket.ended.is_some() && !socket.is_cut,
            "one cut, of a connection that ended"
        );
        socket.is_cut = true;
    }

    pub(crate) fn release(&mut self, shard: usize, key: ConnKey) {
        let socket = self.used(shard, key);
        assert!(
            socket.is_cut && !socket.is_released,
            "let go before the cut"
        );
        socket.is_released = true;
        self.keys[shard][key.0 as usize] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(to_client_max: usize) -> (Sockets, ConnKey) {
        let mut sockets = Sockets::new(1, Rng::new(1));
        sockets.all.push(Socket::new(4, to_client_max));
        let key = sockets.attach(0, 0);
        (sockets, key)
    }

    #[test]
    fn bytes_arrive_in_pieces_and_notify_once_for_each_arming() {
        let (mut sockets, key) = sockets(9);
        sockets.arm_read(0, key);
        sockets.all[0].outgoing.extend(b"abcdef");
        assert!(!sockets.are_some_ready(0) && sockets.all[0].can_arrive());
        sockets.all[0].arrive(9);
        let mut ready = Vec::new();
        sockets.take_ready(0, &mut ready);
        assert!(ready.len() == 1 && ready[0].readable && !sockets.are_some_ready(0));
        let mut into = [0; 8];
        assert_eq!(sockets.receive(0, key, &mut into), Received::Bytes(4));
        assert_eq!(sockets.receive(0, key, &mut into), Received::Blocked);
        sockets.all[0].is_closed = true;
        sockets.all[0].arrive(2);
        assert_eq!(sockets.receive(0, key, &mut into), Received::Bytes(2));
        assert_eq!(sockets.receive(0, key, &mut into), Received::Eof);
    }

    #[test]
    fn writes_block_until_enough_was_read() {
        let (mut sockets, key) = sockets(9);
        let mut written = 0;
        loop {
            match sockets.send(0, key, &[IoSlice::new(b"01234567")]) {
                Sent::Bytes(n) => written += n,
                sent => break assert_eq!(sent, Sent::Blocked),
            }
        }
        assert_eq!(written, 9);
        sockets.arm_write(0, key);
        let mut read = Vec::new();
        sockets.all[0].read(3, &mut read);
        assert!(!sockets.are_some_ready(0));
        sockets.all[0].read(1, &mut read);
        assert!(sockets.are_some_ready(0));
        sockets.all[0].kill();
        assert_eq!(sockets.send(0, key, &[IoSlice::new(b"0")]), Sent::Failed);
    }
}
