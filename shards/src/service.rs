//! The contract between a shard and the service that runs on it.
//!
//! Owns the traits and the small values that cross them. Knows no driver and no thread.

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A turn that takes longer is counted and told to the service: who had something on that shard
/// waited for it.
pub const LONG_TURN: Duration = Duration::from_millis(50);

/// Number of a shard, counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The number as an index into per-shard tables.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A socket attached to this shard's driver.
///
/// A small index, so that a service can keep its connections in a `Vec`. It is given to another
/// socket after [`Io::detach`]; readiness of the old socket never shows up under the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub(crate) u32);

impl Token {
    /// The token as an index. Small: freed tokens are given out again before new ones are made.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One notification: a direction that was armed and can be tried now.
///
/// Also given when the peer hung up or the socket failed: the next read or write tells which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The socket.
    pub token: Token,
    /// A read will not say `WouldBlock`, as far as the kernel knew.
    pub readable: bool,
    /// A write will not say `WouldBlock`, as far as the kernel knew.
    pub writable: bool,
}

/// Readiness and clock of a shard, lent to its service in each call.
///
/// Notifications are one-shot: each `arm` buys one. Arming a direction that can be tried at once
/// notifies at once, so nothing is lost between a `WouldBlock` and the `arm`.
pub trait Io {
    /// Time at the start of this turn. Costs a load; the clock is read by the loop, at the start and at
    /// the end of a turn.
    fn now(&self) -> Instant;

    /// Registers a non-blocking stream; nothing is armed yet.
    ///
    /// The driver keeps its clone of the `Rc` until [`detach`](Self::detach), so the descriptor
    /// cannot be closed, and its number not reused, while the kernel watches it.
    ///
    /// # Errors
    /// What the kernel says when it refuses another registration.
    fn attach(&mut self, stream: Rc<TcpStream>) -> io::Result<Token>;

    /// Drops everything armed for `token`, and the driver's clone of the stream, at once.
    ///
    /// Shut the stream down before: an armed poll in io_uring keeps the socket open until the
    /// kernel has seen its cancellation, so without `shutdown(2)` the peer would see the end late.
    /// A token that is not attached is ignored.
    fn detach(&mut self, token: Token);

    /// Asks for one notification when `token` can be read. Asking twice is asking once.
    fn arm_read(&mut self, token: Token);

    /// Asks for one notification when `token` can be written. Asking twice is asking once.
    fn arm_write(&mut self, token: Token);

    /// Moves all notifications that have come in to the end of `out`.
    ///
    /// A socket ready in both directions may appear once or twice.
    fn take_ready(&mut self, out: &mut Vec<Ready>);

    /// What the loop has counted since it began. A turn is counted when it is over.
    fn stats(&self) -> LoopStats;
}

/// What a shard's loop counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopStats {
    /// Turns of the service.
    pub turns: u64,
    /// Sleeps.
    pub parks: u64,
    /// Time slept.
    pub parked: Duration,
    /// The longest turn, with the control messages taken before it.
    pub longest_turn: Duration,
    /// Turns longer than [`LONG_TURN`].
    pub long_turns: u64,
    /// How often the heartbeat found work that nobody had woken this shard for. Anything but zero
    /// is a bug in a wake protocol.
    pub rescues: u64,
}

/// What the shard does after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More work is at hand: look at I/O without waiting, then turn again.
    Again,
    /// Nothing to do until a notification, a wake or this time. A time that has passed is as
    /// [`Again`](Self::Again).
    Park(Option<Instant>),
    /// Leave the loop; the service is dropped on its own thread.
    Stop,
}

/// What runs on a shard. Built on the shard's thread and never leaves it.
pub trait Service: 'static {
    /// Messages from other threads.
    type Control: Send + 'static;

    /// What the lanes between shards carry; see [`Lanes`](crate::Lanes). `()` where there are none.
    type Batch: Default + Send + 'static;

    /// Takes one control message. Messages of one sender arrive in order.
    fn control(&mut self, io: &mut impl Io, message: Self::Control);

    /// Does a bounded amount of work.
    fn turn(&mut self, io: &mut impl Io) -> Next;

    /// Whether work from other threads is visible that did not come as a control message, such as
    /// entries in lanes: a service with lanes answers
    /// [`Lanes::has_inbound`](crate::Lanes::has_inbound).
    ///
    /// Asked after this shard has announced its sleep and fenced, and over and over before that while
    /// it waits awake. Who puts in such work by other means than lanes must make it visible first
    /// and call `Handle::wake` then.
    fn has_inbound(&self) -> bool {
        false
    }

    /// A turn took longer than [`LONG_TURN`]: the place to log it.
    fn long_turn(&mut self, took: Duration) {
        let _ = took;
    }
}
