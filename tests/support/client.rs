//! A client that speaks raw bytes: what a test sends and expects stands in the test as text.
//!
//! Owns one blocking socket, with or without TLS. Does nothing by itself: no CONNECT, no PONG, no reconnect.
//! (The one exception is [`RawClient::message`], which answers the server's PING.)

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ProtocolVersion};
use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

use super::message::{self, Message, Piece};
use super::wire::Wire;

/// How long an expected byte may stay away.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How much one read takes, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// How long a failing `expect` goes on collecting, so that the message shows what followed.
const AFTERMATH: Duration = Duration::from_millis(100);

/// What one wait for bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    Bytes,
    /// End of stream, or a reset.
    Closed,
    /// The time limit passed.
    Late,
}

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// None came in time.
    Late,
    /// The connection ended.
    Ended,
}

/// A raw connection to a server.
#[derive(Debug)]
pub(crate) struct RawClient {
    wire: Wire,
    /// Bytes read; those before `taken` have been handed out.
    ///
    /// Invariant: `taken <= buffer.len()`.
    buffer: Vec<u8>,
    taken: usize,
    info: Value,
    limit: Duration,
    /// See [`RawClient::bad_end`].
    end: Option<String>,
}

impl RawClient {
    /// Connects and reads INFO; sends nothing.
    ///
    /// # Panics
    /// When there is no connection, or no INFO line.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::connect_socket(address, None)
    }

    /// Like [`RawClient::connect`], with a receive buffer set before the connection is made: only then
    /// does it bound the window (in bytes; Linux doubles it).
    #[track_caller]
    pub(crate) fn connect_rcvbuf(address: SocketAddr, bytes: usize) -> Self {
        Self::connect_socket(address, Some(bytes))
    }

    /// Connects, reads INFO, does a TLS handshake; sends nothing of the protocol.
    ///
    /// # Panics
    /// When there is no connection, no INFO line, or the handshake fails.
    #[track_caller]
    pub(crate) fn connect_tls(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let client = Self::connect(address).start_tls(config);
        client.unwrap_or_else(|e| panic!("TLS handshake with {address}: {e}"))
    }

    /// Connects, does a TLS handshake, and reads INFO after it.
    ///
    /// # Errors
    /// The handshake fails.
    ///
    /// # Panics
    /// When there is no connection, or no INFO line.
    #[track_caller]
    pub(crate) fn connect_tls_first(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
    ) -> io::Result<Self> {
        let mut client = Self::connect_silent(address).start_tls(config)?;
        client.read_info();
        Ok(client)
    }

    /// Connects and waits for nothing.
    ///
    /// # Panics
    /// When there is no connection.
    #[track_caller]
    pub(crate) fn connect_silent(address: SocketAddr) -> Self {
        Self::open(address, None)
    }

    /// Goes on over TLS. What has come before must have been taken.
    ///
    /// # Errors
    /// The handshake fails, or takes longer than the limit.
    pub(crate) fn start_tls(self, config: &Arc<ClientConfig>) -> io::Result<Self> {
        self.start_tls_and_send(config, b"")
    }

    /// As [`RawClient::start_tls`], and sends these bytes together with the last of the handshake.
    ///
    /// # Errors
    /// The handshake fails, or takes longer than the limit.
    pub(crate) fn start_tls_and_send(
        mut self,
        config: &Arc<ClientConfig>,
        first: &[u8],
    ) -> io::Result<Self> {
        assert!(self.unread().is_empty(), "unread: {}", show(self.unread()));
        self.wire.stream.set_read_timeout(Some(self.limit))?;
        self.wire.start_tls(Arc::clone(config), first)?;
        Ok(self)
    }

    #[track_caller]
    fn connect_socket(address: SocketAddr, rcvbuf_bytes: Option<usize>) -> Self {
        let mut client = Self::open(address, rcvbuf_bytes);
        client.read_info();
        client
    }

    #[track_caller]
    fn open(address: SocketAddr, rcvbuf_bytes: Option<usize>) -> Self {
        let stream =
            open(address, rcvbuf_bytes).unwrap_or_else(|e| panic!("connect {address}: {e}"));
        Self {
            wire: Wire::new(stream),
            buffer: Vec::new(),
            taken: 0,
            info: Value::Null,
            limit: ANSWER_LIMIT,
            end: None,
        }
    }

    #[track_caller]
    fn read_info(&mut self) {
        let line = self.line();
        let json = line
            .strip_prefix("INFO ")
            .unwrap_or_else(|| panic!("no INFO but {line:?}"));
        self.info = serde_json::from_str(json).unwrap_or_else(|e| panic!("{line:?}: {e}"));
    }

    /// What the first INFO said.
    pub(crate) fn info(&self) -> &Value {
        &self.info
    }

    /// The `client_id` of the first INFO, which is the `cid` of `/connz`.
    #[track_caller]
    pub(crate) fn cid(&self) -> u64 {
        self.info["client_id"].as_u64().expect("client_id in INFO")
    }

    /// The socket, for what this type does not offer.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.wire.stream
    }

    /// Version and cipher suite of TLS, as rustls names them: `TLSv1_3`, `TLS13_AES_128_GCM_SHA256`.
    ///
    /// # Panics
    /// When there is no TLS.
    #[track_caller]
    pub(crate) fn tls_terms(&self) -> (ProtocolVersion, String) {
        let tls = self.wire.tls().expect("a connection with TLS");
        let version = tls.protocol_version().expect("a version");
        let suite = tls.negotiated_cipher_suite().expect("a cipher suite");
        (version, format!("{:?}", suite.suite()))
    }

    /// How the connection ended, if not as it should: by a reset, or with TLS without a farewell or with an alert.
    pub(crate) fn bad_end(&self) -> Option<&str> {
        self.end.as_deref()
    }

    /// Port of this end.
    pub(crate) fn local_port(&self) -> u16 {
        self.wire
            .stream
            .local_addr()
            .expect("a connected socket")
            .port()
    }

    /// Sets how long an expected byte may stay away; 10 s at first.
    pub(crate) fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Sets the receive buffer of the living connection, in bytes (Linux doubles it).
    pub(crate) fn set_rcvbuf(&self, bytes: usize) {
        SockRef::from(&self.wire.stream)
            .set_recv_buffer_size(bytes)
            .expect("set SO_RCVBUF");
    }

    /// CONNECT without +OK and without pedantic checks, then a PING barrier.
    #[track_caller]
    pub(crate) fn connect_quiet(&mut self) {
        self.connect_with(r#"{"verbose":false,"pedantic":false}"#);
    }

    /// CONNECT with this JSON (which should say `"verbose":false`), then a PING barrier.
    #[track_caller]
    pub(crate) fn connect_with(&mut self, json: &str) {
        self.send(format!("CONNECT {json}\r\n"));
        self.ping();
    }

    /// Sends all of `bytes`.
    ///
    /// # Panics
    /// When the connection does not take them.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        if let Err(e) = self.try_send(bytes) {
            panic!(
                "send of {} bytes: {e}; unread: {}",
                bytes.len(),
                show(self.unread())
            );
        }
    }

    /// Sends all of `bytes` to a server that may be closing.
    ///
    /// # Errors
    /// What the socket says: broken pipe, reset, or timed out.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.write_all(bytes.as_ref())
    }

    /// Sends `bytes` in pieces of `size`, each in a segment of its own as far as TCP allows.
    #[track_caller]
    pub(crate) fn send_dribbled(&mut self, bytes: impl AsRef<[u8]>, size: usize) {
        for piece in bytes.as_ref().chunks(size) {
            self.send(piece);
        }
    }

    /// Sends `bytes` in TLS records of `size` bytes of content each, in one go.
    ///
    /// # Panics
    /// When the connection does not take them, or has no TLS.
    #[track_caller]
    pub(crate) fn send_records(&mut self, bytes: impl AsRef<[u8]>, size: usize) {
        let sent = self.wire.write_records(bytes.as_ref(), size);
        sent.unwrap_or_else(|e| panic!("records of {size} bytes: {e}"));
    }

    /// Demands that exactly these bytes come next.
    ///
    /// # Panics
    /// When others come, or none within the limit, or the connection ends: prints both sides.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let deadline = Instant::now() + self.limit;
        loop {
            let unread = self.unread();
            let count = unread.len().min(expected.len());
            if unread[..count] != expected[..count] {
                self.fail(expected, "other bytes came");
            }
            if count == expected.len() {
                self.take(count);
                return;
            }
            match self.fill(deadline) {
                Arrival::Bytes => {}
                Arrival::Closed => {
                    let how = self.end.as_deref().unwrap_or("in order");
                    self.fail(expected, &format!("the connection ended ({how})"))
                }
                Arrival::Late => self.fail(expected, "too little came in time"),
            }
        }
    }

    /// Demands that the connection ends, and that no byte comes before that.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) {
        let rest = self.read_to_end();
        assert!(
            rest.is_empty(),
            "bytes before the end of the connection: {}",
            show(&rest)
        );
    }

    /// Demands these bytes and then the end of the connection.
    #[track_caller]
    pub(crate) fn expect_last(&mut self, expected: impl AsRef<[u8]>) {
        self.expect(expected);
        self.expect_closed();
    }

    /// Everything up to the end of the connection. A reset is an end, too.
    ///
    /// # Panics
    /// When it does not end within the limit.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + self.limit;
        loop {
            match self.fill(deadline) {
                Arrival::Bytes => {}
                Arrival::Closed => return self.take(self.buffer.len() - self.taken),
                Arrival::Late => panic!(
                    "still open after {:?}; unread: {}",
                    self.limit,
                    show(self.unread())
                ),
            }
        }
    }

    /// The next line, without its line end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        match self.piece() {
            Piece::Line(line, _) => line,
            other => panic!("a line was expected, not {other:?}"),
        }
    }

    /// The next message. The server's PING is answered on the way.
    ///
    /// # Panics
    /// When another line comes first, or nothing within the limit.
    #[track_caller]
    pub(crate) fn message(&mut self) -> Message {
        loop {
            match self.piece() {
                Piece::Message(message, _) => return message,
                Piece::Line(line, _) if line == "PING" => self.send("PONG\r\n"),
                other => panic!("a message was expected, not {other:?}"),
            }
        }
    }

    /// The next message, or `None` when it does not come within `limit`. The server's PING is answered
    /// on the way; nothing is sent that could wake a server which slept through a message.
    ///
    /// # Panics
    /// When another line comes, or the connection ends.
    #[track_caller]
    pub(crate) fn message_within(&mut self, limit: Duration) -> Option<Message> {
        match self.try_message(limit) {
            Ok(message) => Some(message),
            Err(Absent::Late) => None,
            Err(Absent::Ended) => panic!("closed; unread: {}", show(self.unread())),
        }
    }

    /// As [`RawClient::message_within`], for a connection that the server may end.
    ///
    /// # Errors
    /// Why there is no message.
    #[track_caller]
    pub(crate) fn try_message(&mut self, limit: Duration) -> Result<Message, Absent> {
        let deadline = Instant::now() + limit;
        loop {
            match message::cut(self.unread()) {
                Piece::Message(message, count) => {
                    self.taken += count;
                    return Ok(message);
                }
                Piece::Line(line, count) if line == "PING" => {
                    self.taken += count;
                    // Where the connection has ended, the next read says so.
                    let _ = self.try_send("PONG\r\n");
                }
                Piece::Line(line, _) => panic!("a message was expected, not {line:?}"),
                Piece::Partial => match self.fill(deadline) {
                    Arrival::Bytes => {}
                    Arrival::Late => return Err(Absent::Late),
                    Arrival::Closed => return Err(Absent::Ended),
                },
            }
        }
    }

    /// SUB, then a PING barrier: the subscription holds for everyone.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, subject: &str, sid: u64) {
        self.send(format!("SUB {subject} {sid}\r\n"));
        self.ping();
    }

    /// A barrier: PING, and PONG must be the very next thing that comes.
    #[track_caller]
    pub(crate) fn ping(&mut self) {
        self.send("PING\r\n");
        self.expect("PONG\r\n");
    }

    /// PING, and all messages up to its PONG.
    #[track_caller]
    pub(crate) fn messages_until_pong(&mut self) -> Vec<Message> {
        self.send("PING\r\n");
        let mut messages = Vec::new();
        loop {
            match self.piece() {
                Piece::Message(message, _) => messages.push(message),
                Piece::Line(line, _) if line == "PONG" => return messages,
                Piece::Line(line, _) if line == "PING" => self.send("PONG\r\n"),
                other => panic!("a message or PONG was expected, not {other:?}"),
            }
        }
    }

    /// PING, and everything up to its PONG, which is left out.
    #[track_caller]
    pub(crate) fn until_pong(&mut self) -> String {
        self.send("PING\r\n");
        self.up_to_pong()
    }

    /// Everything up to a PONG that is the last of what has come; it is left out.
    #[track_caller]
    pub(crate) fn up_to_pong(&mut self) -> String {
        const PONG: &[u8] = b"PONG\r\n";
        let deadline = Instant::now() + self.limit;
        while !self.unread().ends_with(PONG) {
            let arrival = self.fill(deadline);
            let unread = self.unread();
            assert_eq!(arrival, Arrival::Bytes, "no PONG in {}", show(unread));
        }
        let bytes = self.take(self.buffer.len() - self.taken);
        String::from_utf8_lossy(&bytes[..bytes.len() - PONG.len()]).into_owned()
    }

    /// Waits up to `limit` for anything to come, the end of the connection included; gives whether it did.
    #[track_caller]
    pub(crate) fn has_more(&mut self, limit: Duration) -> bool {
        !self.unread().is_empty() || self.fill(Instant::now() + limit) != Arrival::Late
    }

    /// Demands that nothing comes for `duration`. Where the connection may send, [`RawClient::ping`]
    /// shows the same at once and for certain.
    #[track_caller]
    pub(crate) fn quiet(&mut self, duration: Duration) {
        let arrival = match self.unread() {
            [] => self.fill(Instant::now() + duration),
            _ => Arrival::Bytes,
        };
        assert_eq!(arrival, Arrival::Late, "not quiet: {}", show(self.unread()));
    }

    /// Ends the sending direction; the other one stays.
    pub(crate) fn half_close(&self) {
        self.wire
            .stream
            .shutdown(Shutdown::Write)
            .expect("shut down the sending side");
    }

    /// Ends the connection with a reset instead of an orderly end.
    pub(crate) fn reset(self) {
        SockRef::from(&self.wire.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("set SO_LINGER");
    }

    #[track_caller]
    fn piece(&mut self) -> Piece {
        let deadline = Instant::now() + self.limit;
        loop {
            let piece = message::cut(self.unread());
            match piece {
                Piece::Message(_, count) | Piece::Line(_, count) => {
                    self.taken += count;
                    return piece;
                }
                Piece::Partial => {}
            }
            let arrival = self.fill(deadline);
            let unread = self.unread();
            assert_eq!(
                arrival,
                Arrival::Bytes,
                "no whole line or message; unread: {}",
                show(unread)
            );
        }
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let bytes = self.unread()[..count].to_vec();
        self.taken += count;
        bytes
    }

    /// Waits until the deadline for more bytes.
    #[track_caller]
    fn fill(&mut self, deadline: Instant) -> Arrival {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let length = self.buffer.len();
        // A timeout of zero means none at all to the system.
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        self.wire
            .stream
            .set_read_timeout(Some(left))
            .expect("set a read timeout");
        self.buffer.resize(length + READ_BYTES, 0);
        let outcome = self.wire.read(&mut self.buffer[length..]);
        self.buffer
            .truncate(length + outcome.as_ref().copied().unwrap_or(0));
        match outcome {
            Ok(0) => Arrival::Closed,
            Ok(_) => Arrival::Bytes,
            Err(e) => match e.kind() {
                ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
                | ErrorKind::Other => {
                    self.end = Some(e.to_string());
                    Arrival::Closed
                }
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Arrival::Late,
                ErrorKind::Interrupted => Arrival::Bytes,
                _ => panic!("read: {e}"),
            },
        }
    }

    #[track_caller]
    fn fail(&mut self, expected: &[u8], why: &str) -> ! {
        let deadline = Instant::now() + AFTERMATH;
        while self.unread().len() < 4096 && self.fill(deadline) == Arrival::Bytes {}
        panic!(
            "{why}\n--- expected\n{}\n--- received\n{}",
            show(expected),
            show(self.unread())
        );
    }
}

fn open(address: SocketAddr, rcvbuf_bytes: Option<usize>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let Some(bytes) = rcvbuf_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.connect_timeout(&address.into(), ANSWER_LIMIT)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_write_timeout(Some(ANSWER_LIMIT))?;
    Ok(socket.into())
}

/// Bytes for a failure text: escaped, a line for each line.
fn show(bytes: &[u8]) -> String {
    let lines: Vec<String> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.escape_ascii().to_string())
        .collect();
    if lines.is_empty() {
        "(nothing)".to_owned()
    } else {
        lines.join("\n")
    }
}
