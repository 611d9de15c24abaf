//! A connection that will not stay: it connects, shakes hands where the server asks for it, says who it is, gets
//! its PONG, and leaves. It never waits; whoever has it looks when there is something to read.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use crate::Result;
use crate::scanner::{LINE_BYTES_MAX, Scanner};
use crate::target::Target;
use crate::tls::{Handshake, Session};

/// What a guest waits for.
enum Phase {
    /// The server's first line.
    Info,
    /// The end of the handshake.
    Handshake(Box<Handshake>),
    /// The answer to its PING.
    Pong,
}

/// How it stands with a guest.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It waits for the server.
    Waiting,
    /// It has its PONG.
    Answered,
    /// It was not let in, and why.
    Refused(String),
}

/// A connection that will not stay.
pub(super) struct Guest {
    stream: TcpStream,
    phase: Phase,
    begin: Instant,
    /// The first line, as much as has come of it.
    line: Vec<u8>,
    tls: Option<Box<Session>>,
    scanner: Scanner,
}

impl Guest {
    /// Begins to connect.
    ///
    /// # Errors
    /// There is no socket or port for it here.
    pub(super) fn connect(address: SocketAddr) -> Result<Self> {
        let begin = Instant::now();
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(e) => return Err(format!("{address}: {e}").into()),
        }
        Ok(Self {
            stream: TcpStream::from(socket),
            phase: Phase::Info,
            begin,
            line: Vec::new(),
            tls: None,
            scanner: Scanner::default(),
        })
    }

    /// Time since it began to connect.
    pub(super) fn age(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Takes what has come and answers it. `buffer` has room for a record of TLS and more.
    ///
    /// # Errors
    /// The server is not one that this can be measured with. What the server has against the guest is none.
    pub(super) fn look(&mut self, target: &Target, buffer: &mut [u8]) -> Result<Standing> {
        match self.go_on(target, buffer) {
            Ok(()) if self.scanner.pongs > 0 => {
                if let Some(tls) = &mut self.tls {
                    tls.close(&self.stream);
                }
                Ok(Standing::Answered)
            }
            Ok(()) => Ok(Standing::Waiting),
            Err(Fault::Server(why)) => Ok(Standing::Refused(why)),
            Err(Fault::Measurement(why)) => Err(why.into()),
        }
    }

    fn go_on(&mut self, target: &Target, buffer: &mut [u8]) -> std::result::Result<(), Fault> {
        if let Some(tls) = &mut self.tls {
            return tls
                .receive(&self.stream, buffer, false, &mut self.scanner)
                .map_err(Fault::server);
        }
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err(Fault::Server("the server closed the connection".to_owned())),
            Ok(count) => count,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(e) => return Err(Fault::Server(format!("a new connection: {e}"))),
        };
        let bytes = &buffer[..count];
        match &mut self.phase {
            Phase::Info => self.take_info(bytes, target),
            Phase::Handshake(handshake) => {
                let is_over = handshake.take(bytes).map_err(Fault::server)?;
                self.send_handshake()?;
                if is_over { self.enter(target) } else { Ok(()) }
            }
            Phase::Pong => self.scanner.scan(bytes).map_err(Fault::server),
        }
    }

    fn take_info(&mut self, bytes: &[u8], target: &Target) -> std::result::Result<(), Fault> {
        self.line.extend_from_slice(bytes);
        let Some(end) = self.line.iter().position(|byte| *byte == b'\n') else {
            return match self.line.len() > LINE_BYTES_MAX {
                true => Err(Fault::Measurement("a first line without end".to_owned())),
                false => Ok(()),
            };
        };
        let behind = self.line.split_off(end + 1);
        let info = String::from_utf8_lossy(&self.line);
        if info.starts_with("-ERR") {
            return Err(Fault::Server(format!("the server sent {info:?}")));
        }
        let begins_tls = target.begins_tls(&info);
        if !begins_tls.map_err(|e| Fault::Measurement(e.to_string()))? {
            self.scanner.scan(&behind).map_err(Fault::server)?;
            return self.enter(target);
        }
        let handshake = Handshake::begin().map_err(|e| Fault::Measurement(e.to_string()))?;
        self.phase = Phase::Handshake(Box::new(handshake));
        self.send_handshake()
    }

    fn send_handshake(&mut self) -> std::result::Result<(), Fault> {
        let Phase::Handshake(handshake) = &mut self.phase else {
            return Ok(());
        };
        let bytes = std::mem::take(&mut handshake.outgoing);
        if bytes.is_empty() {
            return Ok(());
        }
        let sent = self.stream.write(&bytes);
        self.was_sent(sent, bytes.len())
    }

    /// Says who it is, and asks for the PONG.
    fn enter(&mut self, target: &Target) -> std::result::Result<(), Fault> {
        if let Phase::Handshake(handshake) = std::mem::replace(&mut self.phase, Phase::Pong) {
            let session = handshake.finish().map_err(Fault::server)?;
            self.tls = Some(Box::new(session));
        }
        let greeting = target.connect_line() + "PING\r\n";
        let sent = match &mut self.tls {
            Some(tls) => tls.send(&self.stream, greeting.as_bytes()),
            None => self.stream.write(greeting.as_bytes()),
        };
        self.was_sent(sent, greeting.len())
    }

    /// The socket is empty and takes these few bytes whole, unless the connection is over.
    fn was_sent(
        &self,
        sent: std::io::Result<usize>,
        count: usize,
    ) -> std::result::Result<(), Fault> {
        let sent = sent.map_err(|e| Fault::Server(format!("a new connection: {e}")))?;
        if sent < count || self.tls.as_ref().is_some_and(|tls| tls.has_unsent()) {
            let why = "a new connection does not take its greeting";
            return Err(Fault::Measurement(why.to_owned()));
        }
        Ok(())
    }
}

impl AsFd for Guest {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Who is to blame.
enum Fault {
    /// The server ends the connection, or does not want it.
    Server(String),
    /// What is measured is not what was to be.
    Measurement(String),
}

impl Fault {
    /// What the server said or did.
    fn server(why: Box<dyn std::error::Error>) -> Self {
        Self::Server(why.to_string())
    }
}
