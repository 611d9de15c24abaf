//! One connection of the generator: bytes out, what comes back handed to its scanner.
//!
//! Owns the socket and the little of the protocol a generator has to say.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::Result;
use crate::lengths::Lengths;
use crate::scanner::{LINE_BYTES_MAX, Scanner};
use crate::target::Target;
use crate::tls::{Handshake, Session};

/// How long a connection may make no progress before the run is given up.
pub(crate) const STALL_LIMIT: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};

/// How much one read takes, in bytes.
pub(crate) const READ_BYTES: usize = 256 * 1024;

/// The same where little comes; with TLS it is room for more than three records.
pub(crate) const SMALL_READ_BYTES: usize = 64 * 1024;

/// The answer to a server's PING.
pub(crate) const PONG: &[u8] = b"PONG\r\n";

/// A connection to the server, non-blocking.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: TcpStream,
    /// What is between socket and protocol, if the server wants that.
    tls: Option<Box<Session>>,
    /// What came in.
    pub(crate) scanner: Scanner,
    /// Whether the other end is the floor peer.
    pub(crate) is_floor: bool,
}

impl Peer {
    /// Connects, reads INFO, begins TLS if that asks for it, sends CONNECT and waits for the answer to a PING.
    ///
    /// # Errors
    /// No connection, no INFO, no TLS where it is wanted, or a refusal.
    pub(crate) fn connect(server: &Target) -> Result<Self> {
        let mut stream = dial(&server.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let info = read_line(&mut stream).map_err(|e| format!("{server}: no INFO: {e}"))?;
        let tls = match server.begins_tls(&info)? {
            true => Some(Box::new(Handshake::shake(&mut stream)?)),
            false => None,
        };
        stream.set_nonblocking(true)?;
        let is_floor = info.contains(r#""floor":true"#);
        let mut peer = Self {
            stream,
            tls,
            scanner: Scanner::default(),
            is_floor,
        };
        peer.send(server.connect_line().as_bytes())?;
        peer.ping()?;
        Ok(peer)
    }

    /// Subscribes with sid 1 and waits until the server has done so. Messages must have these lengths; with
    /// `None` no message may come.
    ///
    /// # Errors
    /// A refusal, or the end of the connection.
    pub(crate) fn subscribe(&mut self, subject: &str, lengths: Option<Lengths>) -> Result<()> {
        if let Some(lengths) = lengths {
            self.scanner.expect(lengths);
        }
        self.send(format!("SUB {subject} 1\r\n").as_bytes())?;
        self.ping()
    }

    /// Joins a queue group with sid 1, as [`Peer::subscribe`].
    ///
    /// # Errors
    /// A refusal, or the end of the connection.
    pub(crate) fn join(&mut self, subject: &str, queue: &str, lengths: Lengths) -> Result<()> {
        self.scanner.expect(lengths);
        self.send(format!("SUB {subject} {queue} 1\r\n").as_bytes())?;
        self.ping()
    }

    /// A barrier: PING and wait for its PONG, so that all sent before has been handled.
    ///
    /// # Errors
    /// The end of the connection, or no PONG in time.
    pub(crate) fn ping(&mut self) -> Result<()> {
        let pongs = self.scanner.pongs;
        self.send(b"PING\r\n")?;
        let mut buffer = vec![0; SMALL_READ_BYTES];
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
        while !bytes.is_empty() || self.has_unsent() {
            let count = self.try_send(bytes)?;
            bytes = &bytes[count..];
            if !bytes.is_empty() || self.has_unsent() {
                self.wait(PollFlags::OUT)?;
            }
        }
        Ok(())
    }

    /// Sends what the socket takes now, and says how much that was. With TLS some of that may be kept, until
    /// this is called again.
    ///
    /// # Errors
    /// The end of the connection.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> Result<usize> {
        let sent = match &mut self.tls {
            Some(tls) => tls.send(&self.stream, bytes),
            None => self.stream.write(bytes),
        };
        match sent {
            Ok(count) => Ok(count),
            Err(e) if is_transient(e.kind()) => Ok(0),
            Err(e) => Err(self.end_reason(&format!("send: {e}"))),
        }
    }

    /// Whether bytes are kept that the socket has not taken: only with TLS, and until [`Peer::try_send`] is
    /// called again, with nothing more if need be.
    pub(crate) fn has_unsent(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_unsent())
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
        if let Some(tls) = &mut self.tls {
            return tls.receive(&self.stream, buffer, false, &mut self.scanner);
        }
        let count = self.read(buffer)?;
        self.scanner.scan(&buffer[..count])
    }

    /// Like [`Peer::receive`], but looks at the start of the next message only and lets the kernel throw
    /// away what is behind it. What is counted is the same; it is not copied to here. With TLS it is copied, but
    /// not opened.
    ///
    /// # Errors
    /// The end of the connection, or bytes that are neither a message nor a control line where they are
    /// looked at.
    pub(crate) fn skim(&mut self, buffer: &mut [u8]) -> Result<()> {
        if let Some(tls) = &mut self.tls {
            return tls.receive(&self.stream, buffer, true, &mut self.scanner);
        }
        let look = self.scanner.bytes_to_look_at();
        let Some(look) = look.filter(|look| *look <= buffer.len()) else {
            return self.receive(buffer);
        };
        let count = self.read(&mut buffer[..look])?;
        self.scanner.scan(&buffer[..count])?;
        let skip = self.scanner.bytes_to_skip(buffer.len());
        let Some(skip) = skip.filter(|_| count == look) else {
            return Ok(());
        };
        match recv(&self.stream, &mut buffer[..skip], RecvFlags::TRUNC) {
            Ok((_, 0)) => Err("the server closed the connection".into()),
            Ok((_, count)) => {
                self.scanner.skip(count);
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(e) => Err(format!("receive: {e}").into()),
        }
    }

    /// One read into `buffer`; 0 when nothing is there.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self.stream.read(buffer) {
            Ok(0) => Err("the server closed the connection".into()),
            Ok(count) => Ok(count),
            Err(e) if is_transient(e.kind()) => Ok(0),
            Err(e) => Err(format!("receive: {e}").into()),
        }
    }

    fn wait(&self, flags: PollFlags) -> Result<()> {
        wait_for(&[(self, flags)]).map(drop)
    }

    /// A failed send often means that the server said why and closed: look for its last words.
    fn end_reason(&mut self, failure: &str) -> Box<dyn std::error::Error> {
        let mut buffer = vec![0; SMALL_READ_BYTES];
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

/// Waits until one of these is ready, and says what each is ready for.
///
/// # Errors
/// None is within [`STALL_LIMIT`].
pub(crate) fn wait_for(peers: &[(&Peer, PollFlags)]) -> Result<Vec<PollFlags>> {
    let ready = wait_until(peers, &STALL_LIMIT)?;
    ready.ok_or_else(|| format!("no progress for {} s", STALL_LIMIT.tv_sec).into())
}

/// The same, for at most `limit`; `None` when none is ready by then. After an interruption nothing is ready.
///
/// # Errors
/// Those of the system call.
pub(crate) fn wait_until(
    peers: &[(&Peer, PollFlags)],
    limit: &Timespec,
) -> Result<Option<Vec<PollFlags>>> {
    let entries = peers.iter().map(|(peer, flags)| PollFd::new(*peer, *flags));
    let mut entries: Vec<PollFd<'_>> = entries.collect();
    match poll(&mut entries, Some(limit)) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(entries.iter().map(PollFd::revents).collect())),
        Err(Errno::INTR) => Ok(Some(vec![PollFlags::empty(); entries.len()])),
        Err(e) => Err(format!("poll: {e}").into()),
    }
}

/// Bytes on their way to a connection that does not take all at once.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// Puts bytes behind the others.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether the connection is to be asked when it can be written to.
    pub(crate) fn is_waiting(&self, peer: &Peer) -> bool {
        self.len() > 0 || peer.has_unsent()
    }

    /// Bytes that have not been sent.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Sends what the socket takes now.
    ///
    /// # Errors
    /// The end of the connection.
    pub(crate) fn flush(&mut self, peer: &mut Peer) -> Result<()> {
        if self.is_waiting(peer) {
            self.sent += peer.try_send(&self.bytes[self.sent..])?;
        }
        if self.len() == 0 {
            self.bytes.clear();
            self.sent = 0;
        }
        Ok(())
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
