//! Sockets in memory: what a test lets them bring, take and do.
//!
//! They are strict: a call for a connection that was let go, a read of nothing, a write behind the end, a
//! second end all fail the test.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::client::CloseReason;
use crate::engine::{Edge, Lanes, LogLine, Ready, Received, Sent};
use crate::interest::ConnKey;

/// One socket, seen from the server and from the peer.
#[derive(Debug)]
pub(super) struct Wire {
    /// Sent by the peer, not yet read.
    pub(super) incoming: VecDeque<u8>,
    /// Bytes a read brings at most.
    pub(super) read_bytes_max: usize,
    /// The peer sends no more.
    pub(super) is_finished: bool,
    /// Reads and writes fail.
    pub(super) is_broken: bool,
    /// Writes fail, and reads do not know yet.
    pub(super) is_write_broken: bool,
    /// Bytes the socket still takes.
    pub(super) room: usize,
    /// Nobody is told of the room, as a kernel does not before much of its buffer is free.
    pub(super) is_room_secret: bool,
    /// Taken, and not yet looked at by the test.
    pub(super) outgoing: Vec<u8>,
    pub(super) is_read_armed: bool,
    pub(super) is_write_armed: bool,
    /// Bytes read in all.
    pub(super) read_bytes: usize,
    /// Log lines there were when the last error was written.
    pub(super) lines_before_error: Option<usize>,
    pub(super) ended: Option<CloseReason>,
    pub(super) is_sending_finished: bool,
    pub(super) is_cut: bool,
    pub(super) is_released: bool,
}

impl Wire {
    fn new() -> Self {
        Wire {
            incoming: VecDeque::new(),
            read_bytes_max: usize::MAX,
            is_finished: false,
            is_broken: false,
            is_write_broken: false,
            room: usize::MAX,
            is_room_secret: false,
            outgoing: Vec::new(),
            is_read_armed: false,
            is_write_armed: false,
            read_bytes: 0,
            lines_before_error: None,
            ended: None,
            is_sending_finished: false,
            is_cut: false,
            is_released: false,
        }
    }

    /// Whether there is something to read, and room to write, that was asked for.
    fn readiness(&self) -> (bool, bool) {
        let is_readable = !self.incoming.is_empty() || self.is_finished || self.is_broken;
        let is_writable =
            self.room > 0 && !self.is_room_secret || self.is_broken || self.is_write_broken;
        (
            !self.is_cut && self.is_read_armed && is_readable,
            !self.is_cut && self.is_write_armed && is_writable,
        )
    }
}

/// All sockets, by connection key.
#[derive(Debug, Default)]
pub(super) struct Wires {
    wires: Vec<Wire>,
    /// Log lines in the order in which they came, before what was written behind them.
    pub(super) log: Vec<LogLine>,
}

impl Wires {
    /// A socket with the lowest key that is free.
    pub(super) fn open(&mut self) -> ConnKey {
        let at = self
            .wires
            .iter()
            .position(|w| w.is_released)
            .unwrap_or(self.wires.len());
        if at == self.wires.len() {
            self.wires.push(Wire::new());
        } else {
            self.wires[at] = Wire::new();
        }
        ConnKey(u32::try_from(at).unwrap())
    }

    /// A socket, for the test.
    pub(super) fn peer(&mut self, key: ConnKey) -> &mut Wire {
        &mut self.wires[key.0 as usize]
    }

    /// Notifications that are due. Each is given once, as it was asked for.
    pub(super) fn take_ready(&mut self) -> Vec<Ready> {
        let mut ready = Vec::new();
        for (key, wire) in (0..).map(ConnKey).zip(&mut self.wires) {
            let (readable, writable) = wire.readiness();
            wire.is_read_armed &= !readable;
            wire.is_write_armed &= !writable;
            if readable || writable {
                ready.push(Ready {
                    key,
                    readable,
                    writable,
                });
            }
        }
        ready
    }

    /// Whether there is a notification to take.
    pub(super) fn are_some_ready(&self) -> bool {
        self.wires
            .iter()
            .any(|wire| wire.readiness() != (false, false))
    }

    /// A socket, for the engine.
    fn used(&mut self, key: ConnKey) -> &mut Wire {
        let wire = &mut self.wires[key.0 as usize];
        assert!(!wire.is_released, "{key:?} was let go");
        wire
    }
}

impl Lanes for Wires {}

impl Edge for Wires {
    fn receive(&mut self, key: ConnKey, into: &mut [u8]) -> Received {
        let wire = self.used(key);
        assert!(!wire.is_cut, "read behind a cut");
        assert!(!into.is_empty(), "read of nothing");
        if wire.is_broken {
            return Received::Failed;
        }
        let n = wire.incoming.len().min(into.len()).min(wire.read_bytes_max);
        if n == 0 {
            return if wire.is_finished {
                Received::Eof
            } else {
                Received::Blocked
            };
        }
        for (byte, sent) in into.iter_mut().zip(wire.incoming.drain(..n)) {
            *byte = sent;
        }
        wire.read_bytes += n;
        Received::Bytes(n)
    }

    fn send(&mut self, key: ConnKey, slices: &[IoSlice<'_>]) -> Sent {
        let lines = self.log.len();
        let wire = self.used(key);
        assert!(
            !wire.is_cut && !wire.is_sending_finished,
            "write behind the end"
        );
        assert!(slices.iter().any(|s| !s.is_empty()), "write of nothing");
        if wire.is_broken || wire.is_write_broken {
            return Sent::Failed;
        }
        let is_error = |s: &IoSlice<'_>| s.windows(5).any(|bytes| bytes == b"-ERR ");
        if slices.iter().any(is_error) {
            wire.lines_before_error = Some(lines);
        }
        let mut sent = 0;
        for slice in slices {
            let n = slice.len().min(wire.room);
            wire.outgoing.extend_from_slice(&slice[..n]);
            sent += n;
            if wire.room != usize::MAX {
                wire.room -= n;
            }
        }
        if sent == 0 {
            Sent::Blocked
        } else {
            Sent::Bytes(sent)
        }
    }

    fn arm_read(&mut self, key: ConnKey) {
        self.used(key).is_read_armed = true;
    }

    fn arm_write(&mut self, key: ConnKey) {
        self.used(key).is_write_armed = true;
    }

    fn ended(&mut self, key: ConnKey, reason: CloseReason) {
        let wire = self.used(key);
        assert_eq!(wire.ended, None, "a connection ends once");
        wire.ended = Some(reason);
    }

    fn finish_sending(&mut self, key: ConnKey) {
        let wire = self.used(key);
        assert!(
            wire.ended.is_some() && !wire.is_cut && !wire.is_sending_finished,
            "one end of sending"
        );
        wire.is_sending_finished = true;
    }

    fn cut(&mut self, key: ConnKey) {
        let wire = self.used(key);
        assert!(
            wire.ended.is_some() && !wire.is_cut,
            "one cut, of a connection that ended"
        );
        wire.is_cut = true;
    }

    fn log(&mut self, lines: &mut Vec<LogLine>) {
        self.log.append(lines);
    }

    fn release(&mut self, key: ConnKey) {
        let wire = self.used(key);
        assert!(wire.is_cut, "let go before the cut");
        wire.is_released = true;
    }
}
