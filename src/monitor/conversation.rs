//! One HTTP connection from its first byte to its last: heads in, answers out, all in bounds.
//!
//! Blocks its own thread and nothing else. Every wait has a deadline, every buffer a size.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::answer::{Recipient, refuse_head};
use super::desk::Desk;
use super::guard::Seat;
use super::head::{Body, HEAD_BYTES_MAX, Head, TOO_LARGE, find_end};
use super::line::Line;
use crate::tls::TlsServer;

/// Time for a head, from its first byte or from the start of the connection.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Time between two requests; long enough for a collector that comes every quarter minute.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// Time for a client to take a whole answer.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Time for a client to see the end before it is reset for what it had still been sending.
const LINGER_TIME: Duration = Duration::from_millis(500);
/// Longest body that is read and forgotten, in bytes; behind a longer one the connection ends.
const BODY_BYTES_MAX: u64 = 64 * 1024;

/// Serves a connection until one side has had enough.
///
/// # Errors
/// The connection broke, or took too long; there is nobody to be told.
pub(super) fn converse(
    stream: &TcpStream,
    tls: Option<&TlsServer>,
    seat: &Seat<'_>,
    accepted: Instant,
    desk: &Desk,
) -> io::Result<()> {
    let mut deadline = accepted + HEAD_TIME;
    let mut reader = Reader {
        line: Line::open(stream, tls, deadline)?,
        buffer: Vec::new(),
    };
    loop {
        seat.wait_from(Instant::now());
        let head = match reader.head(deadline)? {
            Found::End => return Ok(()),
            Found::TooLarge => Err(TOO_LARGE),
            Found::Head(length) => {
                let bytes: Vec<u8> = reader.buffer.drain(..length).collect();
                Head::parse(&bytes)
            }
        };
        let head = match head {
            Ok(head) => head,
            Err(status) => {
                reader
                    .line
                    .write(&refuse_head(status), Instant::now() + HEAD_TIME)?;
                return reader.linger();
            }
        };
        let is_body_read = match head.body {
            Body::Sized(length) if length <= BODY_BYTES_MAX => {
                reader.skip(length, Instant::now() + HEAD_TIME)?;
                true
            }
            _ => false,
        };
        let is_kept = head.wants_keep_alive && is_body_read;
        seat.work();
        let recipient = Recipient {
            is_http_1_0: head.is_http_1_0,
            wants_head_only: head.wants_head_only,
            is_kept,
        };
        let reply = desk.answer(&head, recipient)?;
        // Who takes an answer slowly keeps the place for a while, not for as long as it likes.
        seat.wait_from(Instant::now() + HEAD_TIME);
        reader
            .line
            .write(reply.bytes(), Instant::now() + ANSWER_TIME)?;
        drop(reply);
        if !is_kept {
            return if is_body_read {
                reader.line.finish()
            } else {
                reader.linger()
            };
        }
        deadline = Instant::now() + IDLE_TIME;
    }
}

/// What reading for a head has come to.
enum Found {
    /// A head of so many bytes.
    Head(usize),
    /// None within the bound.
    TooLarge,
    /// The client has ended.
    End,
}

struct Reader<'a> {
    line: Line<'a>,
    /// What was read and not yet used; never more than [`HEAD_BYTES_MAX`].
    buffer: Vec<u8>,
}

impl Reader<'_> {
    /// Reads until a head is whole: its first byte has to be here by `deadline`, the rest soon
    /// after it.
    fn head(&mut self, mut deadline: Instant) -> io::Result<Found> {
        let mut searched = 0;
        if !self.buffer.is_empty() {
            deadline = deadline.min(Instant::now() + HEAD_TIME);
        }
        loop {
            if let Some(length) = find_end(&self.buffer, searched) {
                return Ok(Found::Head(length));
            }
            searched = self.buffer.len();
            let Some(room) = HEAD_BYTES_MAX
                .checked_sub(searched)
                .filter(|&room| room > 0)
            else {
                return Ok(Found::TooLarge);
            };
            if self.read(room, deadline)? == 0 {
                return Ok(Found::End);
            }
            if searched == 0 {
                deadline = deadline.min(Instant::now() + HEAD_TIME);
            }
        }
    }

    /// Reads at most `room` bytes into the buffer.
    fn read(&mut self, room: usize, deadline: Instant) -> io::Result<usize> {
        let mut chunk = [0; 2048];
        let room = room.min(chunk.len());
        let count = self.line.read(&mut chunk[..room], deadline)?;
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    /// Passes over a body.
    fn skip(&mut self, length: u64, deadline: Instant) -> io::Result<()> {
        let here = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .min(self.buffer.len());
        self.buffer.drain(..here);
        let mut left = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .saturating_sub(here);
        let mut chunk = [0; 2048];
        while left > 0 {
            let room = left.min(chunk.len());
            match self.line.read(&mut chunk[..room], deadline)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => left -= count,
            }
        }
        Ok(())
    }

    /// Ends a connection on which the client may still be sending: closing it at once would
    /// reset it, and the answer could be lost with that.
    fn linger(&mut self) -> io::Result<()> {
        self.line.finish()?;
        let deadline = Instant::now() + LINGER_TIME;
        let mut chunk = [0; 2048];
        let mut left = BODY_BYTES_MAX;
        while left > 0 {
            match self.line.read(&mut chunk, deadline)? {
                0 => break,
                count => left = left.saturating_sub(count as u64),
            }
        }
        Ok(())
    }
}
