//! What the loop asks of a driver, and the pieces both drivers share.
//!
//! Knows no thread and no control channel; a driver is told the shard's [`Wake`](crate::wake::Wake)
//! only to end a park when its eventfd is written.

pub(crate) mod epoll;
mod recent;
mod slab;
pub(crate) mod uring;
mod waker;

use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Instant;

use crate::{Ready, Token};

/// Why a park ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Notifications came in.
    Ready,
    /// Somebody wrote the eventfd.
    Signal,
    /// Neither; time is up.
    Deadline,
}

/// Readiness for one shard. The first five calls are those of [`Io`](crate::Io).
pub(crate) trait Driver {
    fn attach(&mut self, stream: Rc<TcpStream>) -> io::Result<Token>;
    fn detach(&mut self, token: Token);
    fn arm_read(&mut self, token: Token);
    fn arm_write(&mut self, token: Token);
    fn take_ready(&mut self, out: &mut Vec<Ready>);

    /// Whether there is anything to take. Costs no system call.
    fn has_ready(&self) -> bool;

    /// Hands what was armed to the kernel and takes what is ready, without waiting.
    async fn turn(&mut self) -> io::Result<()>;

    /// Waits for a notification, the eventfd or `until`; at once if notifications lie ready.
    async fn park(&mut self, until: Instant) -> io::Result<Woken>;

    /// Detaches whatever is left and gives it back to the kernel.
    async fn close(self) -> io::Result<()>;
}

/// One of the two things that can be armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Ready {
    fn one(token: Token, direction: Direction) -> Self {
        Self {
            token,
            readable: direction == Direction::Read,
            writable: direction == Direction::Write,
        }
    }
}
