//! Plaintext in and out of a connection whose handshake is over, and the socket's side of both.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

#[cfg(doc)]
use super::SEND_BYTES_MAX;
use super::failure::{self, HEADER_BYTES, RECORD_BYTES_MAX};
use super::records::writer;
use super::scratch::{CONTROL_BYTES, PLAIN_BYTES, Pieces, RECORD_EXTRA, Scratch};
use super::session::{End, Session};

/// Most bytes of a record with its header.
pub(super) const RECORD_MAX: usize = HEADER_BYTES + RECORD_BYTES_MAX;

/// Bytes that encryption adds to a record of TLS 1.3, and about the least of all.
const RECORD_EXTRA_MIN: usize = 22;

/// Most bytes of ciphertext that are kept for the sake of a message of the library's own, of which there is
/// one of five bytes, and no more of the next record than is not whole.
const HELD_MAX: usize = 2 * RECORD_MAX;

/// Bytes of a close_notify alert, encrypted, with whatever precedes it.
const FAREWELL_BYTES: usize = 512;

impl Session {
    /// Receives plaintext: what is left over, and what the socket has, as long as it fills what it is asked for
    /// and there is room for another record, and up to as much ciphertext as [`Scratch`] holds: records may be empty
    /// but for a byte. `Ok(0)` is the end of it. Less than `into` has room for means that what is kept is not a whole
    /// record, or is the end; the socket may have more.
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
        socket: &mut (impl Read + Write),
        into: &mut [u8],
        scratch: &mut Scratch,
    ) -> io::Result<usize> {
        debug_assert!(!into.is_empty());
        let mut filled = self.take_spare(into);
        let inbound = &mut *scratch.inbound;
        let mut left = inbound.len();
        while self.end.is_none() && filled < into.len() && left > 0 {
            let room = &mut into[filled..];
            let (len, goes_on) = if self.has_records {
                let len = self.held.len();
                inbound[..len].copy_from_slice(&self.held);
                (len, true)
            } else if filled > 0 && room.len() < RECORD_MAX {
                break;
            } else {
                // As much ciphertext as decrypts to no more than there is room for. Counted in records, so that a
                // stream of full ones is read in whole ones and nothing has to be held.
                let extra = room.len() / PLAIN_BYTES * RECORD_EXTRA_MIN;
                let len_max = (room.len() + extra).max(RECORD_MAX).min(inbound.len());
                match self.read(socket, inbound, len_max) {
                    Ok(Some(len)) => (len, len == len_max),
                    // Told at the next call, by the socket.
                    Ok(None) | Err(_) if filled > 0 => break,
                    Ok(None) => return Ok(0),
                    Err(error) => return Err(error),
                }
            };
            left = left.saturating_sub(len);
            let received = &mut inbound[..len];
            let look = self.look(received, room, false);
            filled += look.filled;
            if let Some(error) = look.error {
                self.queue_alert(&mut received[look.consumed..]);
                self.end = Some(End::Failed(failure::text(&error, received)));
            }
            self.hold(&received[look.consumed..]);
            if !self.has_records && self.held.len() > HELD_MAX {
                self.end = Some(End::Failed("tls: handshake message too large".to_owned()));
            }
            if !self.unsent.is_empty() {
                // An alert, for example. Who does not take it now gets it in front of data.
                let _ = self.flush(socket);
            }
            if !goes_on {
                break;
            }
        }
        match &self.end {
            _ if filled > 0 => Ok(filled),
            None => Err(ErrorKind::WouldBlock.into()),
            Some(End::Closed) => Ok(0),
            Some(End::Failed(text)) => Err(io::Error::new(ErrorKind::InvalidData, text.clone())),
        }
    }

    /// Whether `receive` has something to tell without the socket having more.
    pub fn has_plaintext(&self) -> bool {
        !self.spare.is_empty() || self.end.is_some() || self.has_records
    }

    /// Sends plaintext in as few records as it takes, until the socket does not take the ciphertext: gives the
    /// bytes accepted. Ciphertext that the socket did not take, of less than [`SEND_BYTES_MAX`] bytes of
    /// plaintext, is kept, and nothing more is accepted until it has gone; see [`Session::has_unsent`].
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
        let outbound = &mut *scratch.outbound;
        let plain = &mut *scratch.plain;
        let mut writer = writer(&mut self.tls, &mut self.held)?;
        let mut pieces = Pieces::new(slices);
        let mut accepted = 0;
        loop {
            let mut encrypted = 0;
            while outbound.len() - encrypted >= plain.len() + RECORD_EXTRA + CONTROL_BYTES {
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
                Ok(sent) => {
                    self.sent_bytes += sent as u64;
                    sent
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            if sent < encrypted {
                self.unsent.extend_from_slice(&outbound[sent..encrypted]);
                return Ok(accepted);
            }
            if encrypted == 0 {
                return Ok(accepted);
            }
        }
    }

    /// Bytes of ciphertext that the socket has taken so far.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// What receiving has taken since this was last asked, beyond what a copy would: in bytes that could have been
    /// copied instead, about 1 ns each.
    pub fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.work)
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
                Ok(sent) => {
                    self.unsent_at += sent;
                    self.sent_bytes += sent as u64;
                }
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

    /// Reads behind what is held, up to `len_max` bytes together, and puts that in front. Gives the bytes there
    /// are, or `None` at the end of the stream; what is held stays so if there is nothing new.
    pub(super) fn read(
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

    fn take_spare(&mut self, into: &mut [u8]) -> usize {
        if self.spare.is_empty() {
            return 0;
        }
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
