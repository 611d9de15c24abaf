//! The socket of one HTTP connection, clear or under TLS. Every wait has a deadline.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::tls::{Scratch, Session, Step, TlsServer};

/// First byte of a TLS handshake record.
const RECORD_HANDSHAKE: u8 = 0x16;
/// What a client is told that speaks HTTP where HTTPS is spoken. Source: Go's net/http.
const NOT_HTTPS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// One connection to a client.
pub(super) struct Line<'a> {
    stream: &'a TcpStream,
    tls: Option<Box<Tls>>,
}

struct Tls {
    session: Session,
    scratch: Scratch,
}

impl<'a> Line<'a> {
    /// Makes a connection ready, by a handshake if `tls` says so.
    ///
    /// # Errors
    /// The client does not speak TLS, and has been told; or the handshake failed, or took too long.
    pub(super) fn open(
        stream: &'a TcpStream,
        tls: Option<&TlsServer>,
        deadline: Instant,
    ) -> io::Result<Self> {
        let mut line = Line { stream, tls: None };
        let Some(server) = tls else { return Ok(line) };
        let mut first = [0];
        stream.set_read_timeout(time_left(deadline)?)?;
        if stream.peek(&mut first)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if first[0] != RECORD_HANDSHAKE {
            line.write(NOT_HTTPS, deadline)?;
            return Err(ErrorKind::InvalidData.into());
        }
        let mut tls = Box::new(Tls {
            session: server.session(),
            scratch: Scratch::default(),
        });
        loop {
            stream.set_read_timeout(time_left(deadline)?)?;
            stream.set_write_timeout(time_left(deadline)?)?;
            let mut socket = stream;
            match tls.session.handshake(&mut socket, &mut tls.scratch) {
                Step::Done => break,
                Step::Blocked { .. } => {}
                Step::Failed(text) => return Err(io::Error::other(text)),
            }
        }
        line.tls = Some(tls);
        Ok(line)
    }

    /// Reads what there is, at least one byte by `deadline`; 0 is the end.
    ///
    /// # Errors
    /// The connection broke, or nothing came in time.
    pub(super) fn read(&mut self, into: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(time_left(deadline)?)?;
            let mut socket = self.stream;
            let read = match &mut self.tls {
                None => socket.read(into),
                Some(tls) => tls.session.receive(&mut socket, into, &mut tls.scratch),
            };
            match read {
                Err(e) if is_passing(&e) => {}
                result => return result,
            }
        }
    }

    /// Writes everything by `deadline`.
    ///
    /// # Errors
    /// The connection broke, or the client took too long.
    pub(super) fn write(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() || self.tls.as_ref().is_some_and(|t| t.session.has_unsent()) {
            self.stream.set_write_timeout(time_left(deadline)?)?;
            let mut socket = self.stream;
            let written = match &mut self.tls {
                None => socket.write(bytes),
                Some(tls) if bytes.is_empty() => tls.session.flush(&mut socket).map(|_| 0),
                Some(tls) => {
                    let slices = [IoSlice::new(bytes)];
                    tls.session.send(&mut socket, &slices, &mut tls.scratch)
                }
            };
            match written {
                Ok(0) if !bytes.is_empty() => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(e) if is_passing(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Ends this side: what was written still arrives.
    ///
    /// # Errors
    /// The connection is broken already.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let mut socket = self.stream;
        if let Some(tls) = &mut self.tls {
            tls.session.close_notify(&mut socket);
        }
        self.stream.shutdown(Shutdown::Write)
    }
}

/// Whether to try again: the deadline decides, not a socket's own clock.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut
    )
}

/// Time until `deadline`.
fn time_left(deadline: Instant) -> io::Result<Option<Duration>> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(ErrorKind::TimedOut.into())
    } else {
        Ok(Some(left))
    }
}
