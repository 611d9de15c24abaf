//! One connection of the generator: prepared bytes out, what comes back handed to its scanner.
//!
//! Owns the socket and the little of the protocol a generator has to say.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Result;
use crate::scanner::{LINE_BYTES_MAX, Scanner};

/// How long a connection may make no progress before the run is given up.
pub(crate) const STALL_LIMIT: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};

/// Least length of a prepared batch, in bytes. Larger ones cost cache and bring nothing.
const BATCH_BYTES_MIN: usize = 128 * 1024;

/// How much one read takes, in bytes.
pub(crate) const READ_BYTES: usize = 256 * 1024;

/// The answer to a server's PING.
pub(crate) const PONG: &[u8] = b"PONG\r\n";

/// A stream of equal messages, prepared.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Whole messages, one after the other.
    pub(crate) bytes: Vec<u8>,
    /// Length of each.
    pub(crate) message_bytes: usize,
}

impl Batch {
    /// `PUB` messages; for the floor peer, which relays what it gets, the `MSG` a server would make of it.
    pub(crate) fn publish(subject: &str, payload_bytes: usize, is_floor: bool) -> Self {
        let head = if is_floor {
            format!("MSG {subject} 1 {payload_bytes}\r\n")
        } else {
            format!("PUB {subject} {payload_bytes}\r\n")
        };
        Self::of(&framed(&head, payload_bytes), BATCH_BYTES_MIN)
    }

    /// One message with a reply subject.
    pub(crate) fn request(subject: &str, reply: &str, payload_bytes: usize) -> Self {
        Self::of(
            &framed(
                &format!("PUB {subject} {reply} {payload_bytes}\r\n"),
                payload_bytes,
            ),
            1,
        )
    }

    fn of(message: &[u8], bytes_min: usize) -> Self {
        let count = bytes_min.div_ceil(message.len());
        Self {
            bytes: message.repeat(count),
            message_bytes: message.len(),
        }
    }
}

/// Length of the `MSG` that a subscriber with sid 1 gets, in bytes.
pub(crate) fn delivered_bytes(subject: &str, reply: Option<&str>, payload_bytes: usize) -> usize {
    let reply = reply.map_or_else(String::new, |reply| format!(" {reply}"));
    format!("MSG {subject} 1{reply} {payload_bytes}\r\n").len() + payload_bytes + 2
}

fn framed(head: &str, payload_bytes: usize) -> Vec<u8> {
    let mut message = head.as_bytes().to_vec();
    message.resize(message.len() + payload_bytes, b'x');
    message.extend_from_slice(b"\r\n");
    message
}

/// A connection to the server, non-blocking.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: TcpStream,
    /// What came in.
    pub(crate) scanner: Scanner,
    /// Whether the other end is the floor peer.
    pub(crate) is_floor: bool,
}

impl Peer {
    /// Connects, reads INFO, sends CONNECT and waits for the answer to a PING.
    ///
    /// # Errors
    /// No connection, no INFO, or a refusal.
    pub(crate) fn connect(server: &str) -> Result<Self> {
        let mut stream = dial(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let info = read_line(&mut stream).map_err(|e| format!("{server}: no INFO: {e}"))?;
        if !info.starts_with("INFO ") {
            return Err(format!("{server}: no INFO but {info:?}").into());
        }
        stream.set_nonblocking(true)?;
        let is_floor = info.contains(r#""floor":true"#);
        let mut peer = Self {
            stream,
            scanner: Scanner::default(),
            is_floor,
        };
        peer.send(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"perf\",\"lang\":\"rust\"}\r\n")?;
        peer.ping()?;
        Ok(peer)
    }

    /// Subscribes with sid 1 and waits until the server has done so. Messages must have this length.
    ///
    /// # Errors
    /// A refusal, or the end of the connection.
    pub(crate) fn subscribe(&mut self, subject: &str, message_bytes: usize) -> Result<()> {
        self.scanner.expect_messages_of(message_bytes);
        self.send(format!("SUB {subject} 1\r\n").as_bytes())?;
        self.ping()
    }

    /// A barrier: PING and wait for its PONG, so that all sent before has been handled.
    ///
    /// # Errors
    /// The end of the connection, or no PONG in time.
    pub(crate) fn ping(&mut self) -> Result<()> {
        let pongs = self.scanner.pongs;
        self.send(b"PING\r\n")?;
        let mut buffer = vec![0; 64 * 1024];
        while self.scanner.pongs == pongs {
            self.receive_some(&mut buffer)?;
        }
        Ok(())
    }

    /// Sends all of `bytes`, waiting as long as the socket takes some.
    ///
    /// # Errors
    /// The end of the connection, or no progress in time.
    pub(crate) fn send(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let count = self.try_send(bytes)?;
            bytes = &bytes[count..];
            if !bytes.is_empty() {
                self.wait(PollFlags::OUT)?;
            }
        }
        Ok(())
    }

    /// Sends what the socket takes now, and says how much that was.
    ///
    /// # Errors
    /// The end of the connection.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> Result<usize> {
        match self.stream.write(bytes) {
            Ok(count) => Ok(count),
            Err(e) if is_transient(e.kind()) => Ok(0),
            Err(e) => Err(self.end_reason(&format!("send: {e}"))),
        }
    }

    /// Waits for bytes and counts what one read gives.
    ///
    /// # Errors
    /// The end of the connection, `-ERR`, or nothing in time.
    pub(crate) fn receive_some(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.wait(PollFlags::IN)?;
        self.receive(buffer)?;
        self.answer_pings()
    }

    /// Answers the PINGs that came. Only for a connection that is not in the middle of a message.
    ///
    /// # Errors
    /// The end of the connection.
    pub(crate) fn answer_pings(&mut self) -> Result<()> {
        while self.scanner.pings > 0 {
            self.scanner.pings -= 1;
            self.send(PONG)?;
        }
        Ok(())
    }

    /// Counts what one read gives now.
    ///
    /// # Errors
    /// The end of the connection, or `-ERR`.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<()> {
        match self.stream.read(buffer) {
            Ok(0) => Err("the server closed the connection".into()),
            Ok(count) => self.scanner.scan(&buffer[..count]),
            Err(e) if is_transient(e.kind()) => Ok(()),
            Err(e) => Err(format!("receive: {e}").into()),
        }
    }

    fn wait(&self, flags: PollFlags) -> Result<()> {
        let mut entry = [PollFd::new(&self.stream, flags)];
        match poll(&mut entry, Some(&STALL_LIMIT)) {
            Ok(0) => Err("no progress for 20 s".into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(format!("poll: {e}").into()),
        }
    }

    /// A failed send often means that the server said why and closed: look for its last words.
    fn end_reason(&mut self, failure: &str) -> Box<dyn std::error::Error> {
        let mut buffer = vec![0; 4096];
        match self.receive(&mut buffer) {
            Err(e) => format!("{failure}; {e}").into(),
            Ok(()) => failure.into(),
        }
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn dial(server: &str) -> Result<TcpStream> {
    let mut last = format!("{server}: no address");
    for address in server
        .to_socket_addrs()
        .map_err(|e| format!("{server}: {e}"))?
    {
        match TcpStream::connect(address) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = format!("{address}: {e}"),
        }
    }
    Err(last.into())
}

/// Reads one line byte by byte, so that nothing behind it is taken.
fn read_line(stream: &mut TcpStream) -> Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        if line.len() > LINE_BYTES_MAX {
            return Err("line too long".into());
        }
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn is_transient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_whole_messages_and_long() {
        for payload_bytes in [0, 16, 1000, 300_000] {
            let batch = Batch::publish("foo", payload_bytes, false);
            assert_eq!(batch.bytes.len() % batch.message_bytes, 0);
            assert!(batch.bytes.len() >= BATCH_BYTES_MIN);
            assert!(
                batch
                    .bytes
                    .starts_with(format!("PUB foo {payload_bytes}\r\n").as_bytes())
            );
        }
        let floor = Batch::publish("foo", 16, true);
        assert_eq!(floor.message_bytes, delivered_bytes("foo", None, 16));
        assert_eq!(Batch::request("a", "b", 2).bytes, b"PUB a b 2\r\nxx\r\n");
        assert_eq!(
            delivered_bytes("a", Some("b"), 2),
            b"MSG a 1 b 2\r\nxx\r\n".len()
        );
    }
}
