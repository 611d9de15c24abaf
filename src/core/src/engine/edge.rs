//! What an engine asks of the world: sockets that never block.
//!
//! The I/O edge of the server implements it over real sockets, the simulator over
//! queues. The engine calls nothing else that could touch the outside.

use std::io::IoSlice;

use super::lanes::Lanes;
use super::log::LogLine;
use crate::auth::{Credentials, Login, Nonce};
use crate::client::CloseReason;
use crate::interest::ConnKey;

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing there now.
    Blocked,
    /// The peer closed its side.
    Eof,
    /// The connection is broken.
    Failed,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// So many bytes were accepted; fewer than offered means that there is no more room.
    Bytes(usize),
    /// No room now.
    Blocked,
    /// The connection is broken.
    Failed,
}

/// Readiness of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Which connection.
    pub key: ConnKey,
    /// There may be something to read.
    pub readable: bool,
    /// There may be room to write.
    pub writable: bool,
}

/// Sockets of a shard, and its lanes. Connections are named by the key the edge gave them at `open`.
pub trait Edge: Lanes {
    /// Reads once.
    fn receive(&mut self, key: ConnKey, into: &mut [u8]) -> Received;
    /// Writes once.
    fn send(&mut self, key: ConnKey, slices: &[IoSlice<'_>]) -> Sent;
    /// What reading has taken since this was last asked, beyond what its results say, in bytes that could have been
    /// copied instead.
    fn take_hidden_work(&mut self) -> usize;
    /// Bytes that the system has taken for a connection besides those that `send` has told of: of what was accepted
    /// before. Only ever grows.
    fn hidden_progress(&self, key: ConnKey) -> u64;
    /// Checks what a client has shown of itself, if a login is required; `nonce` is what INFO gave it to sign.
    /// An answer of `Pending` is followed by one [`Engine::login_decided`](super::Engine::login_decided).
    fn log_in(&mut self, key: ConnKey, shown: &Credentials, nonce: Option<&Nonce>) -> Login;
    /// Asks for one readable notification.
    fn arm_read(&mut self, key: ConnKey);
    /// Asks for one writable notification.
    fn arm_write(&mut self, key: ConnKey);
    /// The connection has ended for everyone but its socket: it counts no more.
    fn ended(&mut self, key: ConnKey, reason: CloseReason);
    /// Whether something that was accepted has not been handed to the system yet. If so, a writable notification
    /// comes when it has been, or when there is room again for the rest of it.
    fn has_unsent(&self, key: ConnKey) -> bool;
    /// Ends the write side: what was sent before still arrives.
    fn finish_sending(&mut self, key: ConnKey);
    /// Ends both sides at once.
    fn cut(&mut self, key: ConnKey);
    /// Takes log lines, before the answers they explain are written. What is left stays for
    /// `poll_log`.
    fn log(&mut self, lines: &mut Vec<LogLine>) {
        let _ = lines;
    }
    /// Forgets the connection; its key may be given to another.
    fn release(&mut self, key: ConnKey);
}
