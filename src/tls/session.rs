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
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;

use super::failure::{self, HEADER_BYTES};
use super::identity::{self, PeerNames};
use super::names;
use super::scratch::Scratch;
use super::server::{Trust, system_text};
use super::traffic::RECORD_MAX;

/// Bytes of other records that may be held of a handshake with a record of the greatest length.
const MESSAGE_EXTRA: usize = 1024;

/// The server side of one TLS connection. Large: a caller with many sockets keeps it in a box.
pub struct Session {
    pub(super) tls: UnbufferedServerConnection,
    pub(super) trust: Arc<Trust>,
    /// Ciphertext received: usually the beginning of one record, or records that wait for room. During a
    /// handshake it may have been changed by the library, which expects it back at the front.
    pub(super) held: Vec<u8>,
    /// What is held begins with a record that the library has not seen, for want of room for plaintext.
    pub(super) has_records: bool,
    /// Plaintext that found no room, from `spare_at`.
    pub(super) spare: Vec<u8>,
    pub(super) spare_at: usize,
    /// Ciphertext that the socket did not take, from `unsent_at`.
    pub(super) unsent: Vec<u8>,
    pub(super) unsent_at: usize,
    pub(super) sent_bytes: u64,
    pub(super) work: usize,
    /// The first bytes have been looked at and may be TLS.
    pub(super) may_be_tls: bool,
    pub(super) end: Option<End>,
}

/// How receiving ended, told once all plaintext has been handed out.
#[derive(Clone, Debug)]
pub(super) enum End {
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

impl Session {
    pub(super) fn new(tls: UnbufferedServerConnection, trust: Arc<Trust>) -> Session {
        Session {
            tls,
            trust,
            held: Vec::new(),
            has_records: false,
            spare: Vec::new(),
            spare_at: 0,
            unsent: Vec::new(),
            unsent_at: 0,
            sent_bytes: 0,
            work: 0,
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
            if self.tls.is_handshaking() && self.held.len() > self.held_max(scratch) {
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

    /// Most bytes that may be held of a handshake: a record and a little. Certificates may be longer; they come
    /// behind the hello, whose sender has made an effort.
    fn held_max(&self, scratch: &Scratch) -> usize {
        if self.trust.wants_certificate && self.tls.protocol_version().is_some() {
            scratch.inbound.len() - RECORD_MAX
        } else {
            RECORD_MAX + HEADER_BYTES + MESSAGE_EXTRA
        }
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

/// As Go ends such texts, whose beginnings name the addresses.
fn io_text(operation: &str, error: &io::Error) -> String {
    format!("{operation}: {}", system_text(error))
}
