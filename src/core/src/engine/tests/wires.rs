//! Sockets in memory: what a test lets them bring, take and do.
//!
//! They are strict: a call for a connection that was let go, a read of nothing, a write behind the end, a
//! second end all fail the test.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

use crate::auth::{Credentials, Login, Nonce, Refusal};
use crate::client::CloseReason;
use crate::engine::{Edge, Lane, Lanes, LogLine, Ready, Received, Sent};
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
    /// Some of what was sent is still with the edge.
    pub(super) has_unsent: bool,
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
            has_unsent: false,
            is_sending_finished: false,
            is_cut: false,
            is_released: false,
        }
    }

    /// Whether there is something to read, and room to write, that was asked for.
    fn readiness(&self) -> (bool, bool) {
        let is_readable = !self.incoming.is_empty() || self.is_finished || self.is_broken;
        let is_writable = self.room > 0 && !self.is_room_secret && !self.has_unsent
            || self.is_broken
            || self.is_write_broken;
        (
            !self.is_cut && self.is_read_armed && is_readable,
            !self.is_cut && self.is_write_armed && is_writable,
        )
    }
}

/// All sockets, by connection key.
#[derive(Debug)]
pub(super) struct Wires {
    wires: Vec<Wire>,
    /// What comes of a login.
    pub(super) login: Login,
    /// Logins that were asked for.
    pub(super) logins: Vec<(ConnKey, Credentials, Option<Nonce>)>,
    /// Ends of the lanes to other engines, if there are any.
    pub(super) ends: Option<Ends>,
    /// Log lines in the order in which they came, before what was written behind them.
    pub(super) log: Vec<LogLine>,
}

impl Default for Wires {
    fn default() -> Self {
        Wires {
            wires: Vec::new(),
            login: Login::Refused(Refusal::default()),
            logins: Vec::new(),
            ends: None,
            log: Vec::new(),
        }
    }
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

/// Queues between the engines of one test, as they are all at once.
#[derive(Debug)]
pub(super) struct Mesh {
    /// Entries that are visible, by sender, receiver and kind.
    queues: Vec<Vec<[VecDeque<Vec<u8>>; 2]>>,
    capacity: usize,
    /// Entries published and taken, ever.
    moves: u64,
}

/// One engine's ends of them.
#[derive(Debug)]
pub(super) struct Ends {
    own: usize,
    mesh: Rc<RefCell<Mesh>>,
    /// Pushed and not published: receiver and kind.
    staged: Vec<(usize, usize, Vec<u8>)>,
}

impl Ends {
    /// The ends for so many engines.
    pub(super) fn all(shards: usize, capacity: usize) -> Vec<Ends> {
        let queues = || (0..shards).map(|_| Default::default()).collect();
        let mesh = Rc::new(RefCell::new(Mesh {
            queues: (0..shards).map(|_| queues()).collect(),
            capacity,
            moves: 0,
        }));
        (0..shards)
            .map(|own| Ends {
                own,
                mesh: Rc::clone(&mesh),
                staged: Vec::new(),
            })
            .collect()
    }

    /// Entries that were ever published, and those that were taken, by all.
    pub(super) fn moves(&self) -> u64 {
        self.mesh.borrow().moves
    }

    /// Whether anything is visible to this engine.
    pub(super) fn has_inbound(&self) -> bool {
        let mesh = self.mesh.borrow();
        mesh.queues
            .iter()
            .any(|to| to[self.own].iter().any(|queue| !queue.is_empty()))
    }
}

impl Lanes for Wires {
    fn entries(&self) -> usize {
        self.ends
            .as_ref()
            .map_or(0, |ends| ends.mesh.borrow().capacity)
    }

    fn room(&mut self, to: u16, lane: Lane) -> usize {
        let Some(ends) = &self.ends else { return 0 };
        let mesh = ends.mesh.borrow();
        let place = (usize::from(to), lane.index());
        let staged = ends.staged.iter().filter(|s| (s.0, s.1) == place);
        mesh.capacity - mesh.queues[ends.own][place.0][place.1].len() - staged.count()
    }

    fn push(&mut self, to: u16, lane: Lane, batch: &mut Vec<u8>) {
        assert!(self.room(to, lane) > 0, "a push without room");
        assert!(!batch.is_empty(), "a push of nothing");
        let ends = self.ends.as_mut().expect("a lane");
        let entry = std::mem::take(batch);
        ends.staged.push((usize::from(to), lane.index(), entry));
    }

    fn publish(&mut self) {
        let ends = self.ends.as_mut().expect("a lane");
        let mut mesh = ends.mesh.borrow_mut();
        for (to, lane, batch) in ends.staged.drain(..) {
            mesh.queues[ends.own][to][lane].push_back(batch);
            mesh.moves += 1;
        }
    }

    fn has_news(&self) -> bool {
        self.ends.as_ref().is_some_and(Ends::has_inbound)
    }

    fn take(&mut self, from: u16, lane: Lane, batch: &mut Vec<u8>) -> bool {
        assert!(batch.is_empty(), "a buffer that holds something");
        let ends = self.ends.as_ref().expect("a lane");
        let mut mesh = ends.mesh.borrow_mut();
        let taken = mesh.queues[usize::from(from)][ends.own][lane.index()].pop_front();
        mesh.moves += u64::from(taken.is_some());
        taken.map(|entry| *batch = entry).is_some()
    }
}

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
        let is_published = self.ends.as_ref().is_none_or(|ends| ends.staged.is_empty());
        assert!(is_published, "a write before a publish");
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

    fn take_hidden_work(&mut self) -> usize {
        0
    }

    fn hidden_progress(&self, _: ConnKey) -> u64 {
        0
    }

    fn log_in(&mut self, key: ConnKey, shown: &Credentials, nonce: Option<&Nonce>) -> Login {
        self.logins.push((key, shown.clone(), nonce.copied()));
        self.login.clone()
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

    fn has_unsent(&self, key: ConnKey) -> bool {
        self.wires[key.0 as usize].has_unsent
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
