//! The server side of one connection: handshake, then plaintext in and out.
//!
//! Built on rustls's unbuffered connection: records are decrypted where the socket's bytes were read to, and
//! encrypted in large pieces that one write takes. Between calls a session keeps only what cannot be left
//! elsewhere: the beginning of a record whose end has not come, plaintext that found no room, ciphertext that the
//! socket did not take. An idle session keeps nothing of it, not even empty memory.
//!
//! ```text
//!   socket -> scratch -> decrypted in place -> into        held: the rest of scratch; spare: what into had no room for
//!   slices -> 16 KiB -> encrypted -> scratch -> socket     unsent: what the socket did not take
//! ```

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus, WriteTraffic,
};
use rustls::{Error, ProtocolVersion};

use super::failure::{self, HEADER_BYTES, RECORD_BYTES_MAX};
use super::identity::{self, PeerNames};
use super::names;
use super::scratch::{OUT_BYTES, Pieces, Scratch};
use super::server::{Trust, system_text};

/// Bytes that encryption may add to a record: header, explicit nonce, type and tag, with room to spare.
const RECORD_EXTRA: usize = 64;

/// Room for what the library sends of its own accord in front of data: a key update, an alert.
const CONTROL_BYTES: usize = 512;

/// Bytes of a close_notify alert, encrypted, with whatever precedes it.
const FAREWELL_BYTES: usize = 512;

/// The server side of one TLS connection. Large: a caller with many sockets keeps it in a box.
pub struct Session {
    tls: UnbufferedServerConnection,
    trust: Arc<Trust>,
    /// Ciphertext received: usually the beginning of one record, or records that wait for room. During a
    /// handshake it may have been changed by the library, which expects it back at the front.
    held: Vec<u8>,
    /// Plaintext that found no room, from `spare_at`.
    spare: Vec<u8>,
    spare_at: usize,
    /// Ciphertext that the socket did not take, from `unsent_at`.
    unsent: Vec<u8>,
    unsent_at: usize,
    /// The first bytes have been looked at and may be TLS.
    may_be_tls: bool,
    end: Option<End>,
}

/// How receiving ended, told once all plaintext has been handed out.
#[derive(Clone, Debug)]
enum End {
    /// The peer said that it sends no more.
    Closed,
    /// The peer sent nonsense.
    Failed(String),
}

/// Where a handshake stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Over, and all of it sent. What came after it is kept for `receive`; see [`Session::has_plaintext`].
    Done,
    /// Wait for the socket: to take the rest of what is to be sent, or to bring more.
    Blocked {
        /// To take more.
        wants_write: bool,
    },
    /// Over without a connection; what there is to say to the peer has been handed to the socket. The text goes
    /// behind `TLS handshake error: `.
    Failed(String),
}

/// What came of a look at ciphertext.
struct Look {
    /// Bytes at the front that are done with.
    consumed: usize,
    /// Bytes of plaintext handed out.
    filled: usize,
    error: Option<Error>,
}

impl Session {
    pub(super) fn new(tls: UnbufferedServerConnection, trust: Arc<Trust>) -> Session {
        Session {
            tls,
            trust,
            held: Vec::new(),
            spare: Vec::new(),
            spare_at: 0,
            unsent: Vec::new(),
            unsent_at: 0,
            may_be_tls: false,
            end: None,
        }
    }

    /// Goes on with the handshake: at most one read, the answer to it, and one write. To be called when the
    /// socket is ready for what the last step waits for, and once at the beginning.
    pub fn handshake(&mut self, socket: &mut (impl Read + Write), scratch: &mut Scratch) -> Step {
        match self.advance(socket, scratch) {
            Ok(step) => step,
            Err(text) => {
                // Who does not take the alert now does without.
                let _ = self.flush(socket);
                Step::Failed(text)
            }
        }
    }

    fn advance(
        &mut self,
        socket: &mut (impl Read + Write),
        scratch: &mut Scratch,
    ) -> Result<Step, String> {
        let blocked = |wants_write| Ok(Step::Blocked { wants_write });
        if !self
            .flush(socket)
            .map_err(|error| io_text("write", &error))?
        {
            return blocked(true);
        }
        if self.tls.is_handshaking() {
            let inbound = &mut *scratch.inbound;
            let len = match self.read(socket, inbound, usize::MAX) {
                Ok(Some(len)) => len,
                Ok(None) if self.held.is_empty() => return Err("EOF".to_owned()),
                Ok(None) => return Err("unexpected EOF".to_owned()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return blocked(false),
                Err(error) => return Err(io_text("read", &error)),
            };
            let received = &mut inbound[..len];
            if !self.may_be_tls {
                if let Some(text) = failure::first_bytes(received) {
                    return Err(text);
                }
                self.may_be_tls = len >= HEADER_BYTES;
            }
            let look = self.look(received, &mut [], false);
            if let Some(error) = look.error {
                self.queue_alert(&mut received[look.consumed..]);
                return Err(failure::text(&error, received));
            }
            self.hold(&received[look.consumed..]);
            if self.tls.is_handshaking() && self.held.len() >= scratch.inbound.len() {
                return Err("tls: handshake message too large".to_owned());
            }
            if !self
                .flush(socket)
                .map_err(|error| io_text("write", &error))?
            {
                return blocked(true);
            }
        }
        if self.tls.is_handshaking() {
            return blocked(false);
        }
        self.check_pinned()?;
        Ok(Step::Done)
    }

    fn check_pinned(&self) -> Result<(), String> {
        if self.trust.pinned.is_empty() {
            return Ok(());
        }
        let key = self.certificate().and_then(|der| identity::key_digest(der));
        match key {
            Some(key) if self.trust.pinned.contains(&key) => Ok(()),
            // The words of nats-server 2.x.
            _ => Err("certificate not pinned".to_owned()),
        }
    }

    /// Receives plaintext: what is left over, or what one read of at most `into.len()` bytes of ciphertext (and
    /// at least one record) decrypts to. `Ok(0)` is the end of it.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if no record is whole yet; what the socket says; `InvalidData` with the text for what cannot
    /// be decrypted, after all that could be.
    ///
    /// # Panics
    ///
    /// If `into` is empty and debug assertions are on.
    pub fn receive(
        &mut self,
        socket: &mut impl Read,
        into: &mut [u8],
        scratch: &mut Scratch,
    ) -> io::Result<usize> {
        debug_assert!(!into.is_empty());
        if !self.spare.is_empty() {
            return Ok(self.take_spare(into));
        }
        match &self.end {
            None => {}
            Some(End::Closed) => return Ok(0),
            Some(End::Failed(text)) => {
                return Err(io::Error::new(ErrorKind::InvalidData, text.clone()));
            }
        }
        let inbound = &mut *scratch.inbound;
        let len = if holds_record(&self.held) {
            let len = self.held.len();
            inbound[..len].copy_from_slice(&self.held);
            len
        } else {
            // As much ciphertext as decrypts to no more than there is room for.
            let len_max = into.len().max(HEADER_BYTES + RECORD_BYTES_MAX);
            match self.read(socket, inbound, len_max)? {
                Some(len) => len,
                None => return Ok(0),
            }
        };
        let received = &mut inbound[..len];
        let look = self.look(received, into, false);
        if let Some(error) = look.error {
            self.queue_alert(&mut received[look.consumed..]);
            self.end = Some(End::Failed(failure::text(&error, received)));
        }
        self.hold(&received[look.consumed..]);
        match &self.end {
            _ if look.filled > 0 => Ok(look.filled),
            None => Err(ErrorKind::WouldBlock.into()),
            Some(End::Closed) => Ok(0),
            Some(End::Failed(text)) => Err(io::Error::new(ErrorKind::InvalidData, text.clone())),
        }
    }

    /// Whether `receive` has something to tell without the socket having more.
    pub fn has_plaintext(&self) -> bool {
        !self.spare.is_empty() || self.end.is_some() || holds_record(&self.held)
    }

    /// Sends plaintext in as few records as it takes: gives the bytes accepted, which is all of them or up to
    /// [`SEND_BYTES_MAX`](super::SEND_BYTES_MAX). What the socket did not take of the ciphertext is kept, and
    /// nothing more is accepted until it has gone; see [`Session::has_unsent`].
    ///
    /// # Errors
    ///
    /// `WouldBlock` if ciphertext of before is still unsent; what the socket says; `InvalidData` if the peer has
    /// broken the connection.
    pub fn send(
        &mut self,
        socket: &mut impl Write,
        slices: &[IoSlice<'_>],
        scratch: &mut Scratch,
    ) -> io::Result<usize> {
        self.settle_held()?;
        if !self.flush(socket)? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let Scratch {
            outbound, plain, ..
        } = scratch;
        let mut writer = writer(&mut self.tls, &mut self.held)?;
        let mut pieces = Pieces::new(slices);
        let mut encrypted = 0;
        let mut accepted = 0;
        while OUT_BYTES - encrypted >= plain.len() + RECORD_EXTRA + CONTROL_BYTES {
            let piece = pieces.next(plain);
            if piece.is_empty() {
                break;
            }
            encrypted += writer
                .encrypt(piece, &mut outbound[encrypted..])
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            accepted += piece.len();
        }
        let sent = match write(socket, &outbound[..encrypted]) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.unsent.extend_from_slice(&outbound[sent..encrypted]);
        Ok(accepted)
    }

    /// Whether the socket has to take ciphertext before more plaintext is accepted.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Offers the socket what is unsent. Gives whether nothing is left.
    ///
    /// # Errors
    ///
    /// What the socket says, other than `WouldBlock`.
    pub fn flush(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        while self.unsent_at < self.unsent.len() {
            match write(socket, &self.unsent[self.unsent_at..]) {
                Ok(sent) => self.unsent_at += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.unsent = Vec::new();
        self.unsent_at = 0;
        Ok(true)
    }

    /// Tells the peer that nothing more comes, if the handshake is over, and offers it to the socket with all
    /// that is unsent. What the socket does not take is lost if nobody calls `flush`.
    pub fn close_notify(&mut self, socket: &mut impl Write) {
        if !self.tls.is_handshaking() && self.settle_held().is_ok() {
            let mut farewell = [0; FAREWELL_BYTES];
            if let Ok(mut writer) = writer(&mut self.tls, &mut self.held)
                && let Ok(len) = writer.queue_close_notify(&mut farewell)
            {
                self.unsent.extend_from_slice(&farewell[..len]);
            }
        }
        // Whoever is gone misses nothing.
        let _ = self.flush(socket);
    }

    /// The version spoken, `1.3` or `1.2`; empty before it is agreed on.
    pub fn version(&self) -> &'static str {
        match self.tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "",
        }
    }

    /// Go's name of the cipher suite, `TLS_AES_128_GCM_SHA256`; empty before it is agreed on.
    pub fn cipher(&self) -> String {
        match self.tls.negotiated_cipher_suite() {
            Some(suite) => names::name_of(suite),
            None => String::new(),
        }
    }

    /// The names in the client's certificate, if the listener maps certificates to users.
    pub fn peer_names(&self) -> Option<PeerNames> {
        if !self.trust.maps {
            return None;
        }
        PeerNames::of(self.certificate()?)
    }

    /// Bytes of memory held for data on its way, which is nothing while a session is idle.
    pub fn kept(&self) -> usize {
        self.held.capacity() + self.spare.capacity() + self.unsent.capacity()
    }

    fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.tls.peer_certificates()?.first()
    }

    /// Reads behind what is held, up to `len_max` bytes together, and puts that in front. Gives the bytes there
    /// are, or `None` at the end of the stream; what is held stays so if there is nothing new.
    fn read(
        &self,
        socket: &mut impl Read,
        inbound: &mut [u8],
        len_max: usize,
    ) -> io::Result<Option<usize>> {
        let held = self.held.len();
        let end = inbound.len().min(len_max.max(held + HEADER_BYTES));
        loop {
            match socket.read(&mut inbound[held..end]) {
                Ok(0) => return Ok(None),
                Ok(len) => {
                    inbound[..held].copy_from_slice(&self.held);
                    return Ok(Some(held + len));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands ciphertext to the library until it needs more of it or `into` is full, or, `to_the_end`, only until
    /// it needs more. Plaintext goes to `into` and, what has no room, to `spare`; what is to be sent to `unsent`.
    fn look(&mut self, received: &mut [u8], into: &mut [u8], to_the_end: bool) -> Look {
        let mut look = Look {
            consumed: 0,
            filled: 0,
            error: None,
        };
        loop {
            let UnbufferedStatus { discard, state, .. } =
                self.tls.process_tls_records(&mut received[look.consumed..]);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                let room = into.len() - look.filled;
                                let (fits, rest) =
                                    record.payload.split_at(room.min(record.payload.len()));
                                into[look.filled..][..fits.len()].copy_from_slice(fits);
                                look.filled += fits.len();
                                self.spare.extend_from_slice(rest);
                                look.consumed += record.discard;
                            }
                            Err(error) => look.error = Some(error),
                        }
                    }
                    let has_room = look.filled < into.len() || into.is_empty();
                    to_the_end || (self.spare.is_empty() && has_room)
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    append(data, &mut self.unsent);
                    true
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It is in `unsent` and will be sent before anything else.
                    data.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.end = Some(End::Closed);
                    true
                }
                // Early data is never accepted.
                Ok(_) => false,
                Err(error) => {
                    look.error = Some(error);
                    false
                }
            };
            look.consumed += discard;
            if !goes_on || look.error.is_some() {
                break;
            }
        }
        if self.end.is_some() {
            // "Any data received after a closure alert has been received MUST be ignored": RFC 8446 6.1.
            look.consumed = received.len();
        }
        look
    }

    /// Lets go of records that wait for room: the library looks at what it is given before it lets one send.
    fn settle_held(&mut self) -> io::Result<()> {
        if let Some(End::Failed(text)) = &self.end {
            return Err(io::Error::new(ErrorKind::InvalidData, text.clone()));
        }
        if !holds_record(&self.held) {
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        let look = self.look(&mut held, &mut [], true);
        if let Some(error) = look.error {
            self.queue_alert(&mut held[look.consumed..]);
            self.end = Some(End::Failed(failure::text(&error, &held)));
            return Ok(());
        }
        self.hold(&held[look.consumed..]);
        Ok(())
    }

    /// Puts the alerts for an error behind what is to be sent. `rest` is what the library has not consumed.
    fn queue_alert(&mut self, rest: &mut [u8]) {
        while self.tls.wants_write() {
            match self.tls.process_tls_records(rest).state {
                Ok(ConnectionState::EncodeTlsData(data)) => append(data, &mut self.unsent),
                _ => break,
            }
        }
    }

    fn hold(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.held = Vec::new();
        } else {
            self.held.clear();
            self.held.extend_from_slice(rest);
        }
    }

    fn take_spare(&mut self, into: &mut [u8]) -> usize {
        let left = &self.spare[self.spare_at..];
        let len = left.len().min(into.len());
        into[..len].copy_from_slice(&left[..len]);
        self.spare_at += len;
        if self.spare_at == self.spare.len() {
            self.spare = Vec::new();
            self.spare_at = 0;
        }
        len
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("version", &self.version())
            .field("held", &self.held.len())
            .field("spare", &(self.spare.len() - self.spare_at))
            .field("unsent", &(self.unsent.len() - self.unsent_at))
            .finish_non_exhaustive()
    }
}

/// The library's leave to send. It wants to see what it was last shown and did not consume: there may be the
/// beginning of a message in it.
fn writer<'a>(
    tls: &'a mut UnbufferedServerConnection,
    held: &'a mut [u8],
) -> io::Result<WriteTraffic<'a, rustls::server::ServerConnectionData>> {
    match tls.process_tls_records(held).state {
        Ok(ConnectionState::WriteTraffic(writer)) => Ok(writer),
        Ok(_) => Err(ErrorKind::BrokenPipe.into()),
        Err(error) => Err(io::Error::new(ErrorKind::InvalidData, error)),
    }
}

fn append<Data>(mut data: EncodeTlsData<'_, Data>, unsent: &mut Vec<u8>) {
    let from = unsent.len();
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
        unsent.resize(from + size.required_size, 0);
        // Fits now, and is encoded once only.
        let _ = data.encode(&mut unsent[from..]);
    }
}

/// Whether the first record is whole.
fn holds_record(bytes: &[u8]) -> bool {
    failure::content_len(bytes).is_some_and(|len| bytes.len() >= HEADER_BYTES + len)
}

fn write(socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    loop {
        match socket.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// As Go ends such texts, whose beginnings name the addresses.
fn io_text(operation: &str, error: &io::Error) -> String {
    format!("{operation}: {}", system_text(error))
}
