//! The records of a TLS 1.3 connection (RFC 8446, 5): sealed in one pass, opened in place, or not at all.
//!
//! The keys are those of a handshake that rustls did. Records are done here, because the generator may not become
//! the bottleneck: a library that hands out plaintext has to open all of it, and to copy it. What a subscriber
//! gets is known beforehand. So, as without TLS, the start of every read is looked at and the rest counted: the
//! length of a record says how much is in it. What is opened next must be where the count says that it is.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets};

use super::RECORD_BYTES_MAX;
use crate::Result;
use crate::scanner::Scanner;

/// Type, version and length in front of each record.
const HEADER_BYTES: usize = 5;

/// The type within, and the tag, behind what is carried.
const TRAILER_BYTES: usize = 1 + 16;

/// Most that one record carries.
const CARRIED_BYTES_MAX: usize = 16 * 1024;

/// Most that is sealed for one write.
const SEALED_BYTES_MAX: usize = 128 * 1024;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Message of a handshake that may follow it and changes nothing: the server offers to resume.
const NEW_SESSION_TICKET: u8 = 4;

/// "I am done", as a warning.
const CLOSE_NOTIFY: [u8; 2] = [1, 0];

/// Key of one direction, and the number of the next record.
struct Direction {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Direction {
    fn new((sequence, secrets): &(u64, ConnectionTrafficSecrets)) -> Result<Self> {
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
            return Err("the server took a cipher that was not offered".into());
        };
        let key = UnboundKey::new(&AES_128_GCM, key.as_ref()).map_err(|_| "no AES-128 key")?;
        Ok(Self {
            key: LessSafeKey::new(key),
            iv: iv.as_ref().try_into()?,
            sequence: *sequence,
        })
    }

    /// RFC 8446, 5.3: the number of the record in the last eight bytes.
    fn next_nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, of_sequence) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= of_sequence;
        }
        self.sequence += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// A connection behind its handshake.
pub(crate) struct Session {
    sealing: Direction,
    opening: Direction,
    /// Sealed records, of which the first `sent` bytes have gone out.
    outgoing: Vec<u8>,
    sent: usize,
    /// The beginning of a record of which the end has not come.
    partial: Vec<u8>,
}

impl std::fmt::Debug for Session {
    /// Without keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// With these keys; `incoming` has come behind the handshake.
    pub(super) fn new(secrets: &ExtractedSecrets, incoming: Vec<u8>) -> Result<Self> {
        Ok(Self {
            sealing: Direction::new(&secrets.tx)?,
            opening: Direction::new(&secrets.rx)?,
            outgoing: Vec::new(),
            sent: 0,
            partial: incoming,
        })
    }

    /// Whether something is sealed that the socket has not taken.
    pub(crate) fn has_unsent(&self) -> bool {
        self.sent < self.outgoing.len()
    }

    /// Seals and sends what one write may take, unless something of before is still waiting; how many of these
    /// bytes were sealed. Some of them may be kept then: [`Session::has_unsent`].
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn send(&mut self, socket: &TcpStream, bytes: &[u8]) -> std::io::Result<usize> {
        if self.has_unsent() {
            self.flush(socket)?;
        }
        if self.has_unsent() || bytes.is_empty() {
            return Ok(0);
        }
        let bytes = &bytes[..bytes.len().min(SEALED_BYTES_MAX)];
        for carried in bytes.chunks(CARRIED_BYTES_MAX) {
            self.seal(APPLICATION_DATA, carried)?;
        }
        self.flush(socket)?;
        Ok(bytes.len())
    }

    /// Says good-bye, if the socket takes that now.
    pub(crate) fn close(&mut self, socket: &TcpStream) {
        // Whoever leaves does not care how.
        let _ = self.seal(ALERT, &CLOSE_NOTIFY);
        let _ = self.flush(socket);
    }

    /// One write, as much as the socket takes.
    fn flush(&mut self, mut socket: &TcpStream) -> std::io::Result<()> {
        match socket.write(&self.outgoing[self.sent..]) {
            Ok(count) => self.sent += count,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(e) => return Err(e),
        }
        if !self.has_unsent() {
            self.outgoing.clear();
            self.sent = 0;
        }
        Ok(())
    }

    /// Puts a record behind the others.
    fn seal(&mut self, kind: u8, carried: &[u8]) -> std::io::Result<()> {
        let length = u16::try_from(carried.len() + TRAILER_BYTES).map_err(std::io::Error::other)?;
        let [high, low] = length.to_be_bytes();
        let header = [APPLICATION_DATA, 3, 3, high, low];
        self.outgoing.extend_from_slice(&header);
        let start = self.outgoing.len();
        self.outgoing.extend_from_slice(carried);
        self.outgoing.push(kind);
        let nonce = self.sealing.next_nonce();
        let (key, text) = (&self.sealing.key, &mut self.outgoing[start..]);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(header), text)
            .map_err(|_| std::io::Error::other("a record that cannot be sealed"))?;
        self.outgoing.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Hands what one read gives to `scanner`; nothing when nothing is there. With `is_skimming` only as much is
    /// opened as the scanner has to look at.
    ///
    /// `buffer` is scratch, and has room for several records at least.
    ///
    /// # Errors
    /// The end of the connection, a record that is none or was changed, what the scanner says.
    pub(crate) fn receive(
        &mut self,
        mut socket: &TcpStream,
        buffer: &mut [u8],
        is_skimming: bool,
        scanner: &mut Scanner,
    ) -> Result<()> {
        let held = self.partial.len();
        if buffer.len() < held + RECORD_BYTES_MAX {
            return Err("no room for a record".into());
        }
        buffer[..held].copy_from_slice(&self.partial);
        let count = match socket.read(&mut buffer[held..]) {
            Ok(0) => return Err("the server closed the connection".into()),
            Ok(count) => count,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(e) => return Err(format!("receive: {e}").into()),
        };
        self.partial.clear();
        self.take(&mut buffer[..held + count], is_skimming, scanner)
    }

    /// Takes whole records, and keeps the rest.
    fn take(&mut self, bytes: &mut [u8], is_skimming: bool, scanner: &mut Scanner) -> Result<()> {
        let mut rest = bytes;
        // Until something was looked at in this read, and what was seen is where it should be.
        let mut is_aligned = false;
        while let Some(record) = first_record(rest)? {
            let (record, behind) = rest.split_at_mut(record);
            rest = behind;
            let carried = record.len().checked_sub(HEADER_BYTES + TRAILER_BYTES);
            match (record[0], carried) {
                (CHANGE_CIPHER_SPEC, _) => {}
                (APPLICATION_DATA, Some(carried)) if is_skimming && is_aligned => {
                    self.opening.sequence += 1;
                    scanner.skip(carried);
                }
                (APPLICATION_DATA, Some(_)) => {
                    self.open(record, scanner)?;
                    is_aligned = scanner.is_aligned();
                }
                _ => return Err("TLS: a record that does not belong here".into()),
            }
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    /// Opens one record and hands on what is in it.
    fn open(&mut self, record: &mut [u8], scanner: &mut Scanner) -> Result<()> {
        let (header, sealed) = record.split_at_mut(HEADER_BYTES);
        let nonce = self.opening.next_nonce();
        let opened = self
            .opening
            .key
            .open_in_place(nonce, Aad::from(header), sealed);
        let opened = opened.map_err(|_| "TLS: a record does not open")?;
        // Behind what is carried comes its type, and then zeros, if any.
        let end = opened.iter().rposition(|byte| *byte != 0);
        let (carried, kind) = opened.split_at(end.ok_or("TLS: a record of nothing")?);
        match (kind[0], carried) {
            (APPLICATION_DATA, carried) => scanner.scan(carried),
            (HANDSHAKE, [NEW_SESSION_TICKET, ..]) => Ok(()),
            (HANDSHAKE, _) => {
                Err("TLS: the server wants other keys, which is not provided for".into())
            }
            (ALERT, carried) if *carried == CLOSE_NOTIFY => {
                Err("the server closed the connection".into())
            }
            (ALERT, [_, alert]) => Err(format!("the server sent TLS alert {alert}").into()),
            _ => Err("TLS: a record of an unknown kind".into()),
        }
    }
}

/// Length of the record that these bytes begin with; `None` when it has not come whole.
fn first_record(bytes: &[u8]) -> Result<Option<usize>> {
    let Some([_, _, _, high, low]) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    if length > RECORD_BYTES_MAX {
        return Err("TLS: a record longer than there are".into());
    }
    Ok((length <= bytes.len()).then_some(length))
}
