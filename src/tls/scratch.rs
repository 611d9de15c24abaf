//! Memory for one call, shared by all sessions of a shard.

use std::fmt;
use std::io::IoSlice;

/// Most plaintext in one record. Source: RFC 8446 5.1.
pub(super) const PLAIN_BYTES: usize = 16 * 1024;

/// Records that one write may take.
const OUT_RECORDS: usize = 8;

/// Bytes that encryption may add to a record: header, explicit nonce, type and tag, with room to spare.
pub(super) const RECORD_EXTRA: usize = 64;

/// Room for what the library sends of its own accord in front of data: a key update, an alert.
pub(super) const CONTROL_BYTES: usize = 512;

/// Most plaintext in one write, and so most that is encrypted and waits for the socket.
pub const SEND_BYTES_MAX: usize = OUT_RECORDS * PLAIN_BYTES;

/// Ciphertext of one write.
const OUT_BYTES: usize = SEND_BYTES_MAX + OUT_RECORDS * RECORD_EXTRA + CONTROL_BYTES;

/// Ciphertext of one read: eight full records. More than the 64 KiB that the longest message of a handshake may
/// have.
const IN_BYTES: usize = 8 * (PLAIN_BYTES + RECORD_EXTRA);

/// The memory that sessions work in; nothing in it outlives a call. One for each shard.
pub struct Scratch {
    /// Ciphertext as it was received, decrypted in place.
    pub(super) inbound: Box<[u8]>,
    /// Ciphertext to be sent.
    pub(super) outbound: Box<[u8]>,
    /// Plaintext for one record, gathered from several slices.
    pub(super) plain: Box<[u8]>,
}

impl Scratch {
    /// Takes about 272 KiB.
    pub fn new() -> Scratch {
        Scratch {
            inbound: vec![0; IN_BYTES].into(),
            outbound: vec![0; OUT_BYTES].into(),
            plain: vec![0; PLAIN_BYTES].into(),
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in it is other people's plaintext.
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// Slices cut and joined to the size of records.
pub(super) struct Pieces<'a> {
    slices: std::slice::Iter<'a, IoSlice<'a>>,
    rest: &'a [u8],
}

impl<'a> Pieces<'a> {
    pub(super) fn new(slices: &'a [IoSlice<'a>]) -> Self {
        Pieces {
            slices: slices.iter(),
            rest: &[],
        }
    }

    /// The next bytes, as many as `plain` has room for if there are as many. They are copied there only if they
    /// are not together already. Empty at the end.
    pub(super) fn next<'p>(&mut self, plain: &'p mut [u8]) -> &'p [u8]
    where
        'a: 'p,
    {
        if !self.refill() {
            return &[];
        }
        if self.rest.len() >= plain.len() || self.slices.as_slice().is_empty() {
            let (piece, rest) = self.rest.split_at(self.rest.len().min(plain.len()));
            self.rest = rest;
            return piece;
        }
        let mut filled = 0;
        while filled < plain.len() && self.refill() {
            let (piece, rest) = self
                .rest
                .split_at(self.rest.len().min(plain.len() - filled));
            plain[filled..][..piece.len()].copy_from_slice(piece);
            filled += piece.len();
            self.rest = rest;
        }
        &plain[..filled]
    }

    /// Whether there is a byte left in `rest`.
    fn refill(&mut self) -> bool {
        while self.rest.is_empty() {
            match self.slices.next() {
                Some(slice) => self.rest = slice,
                None => return false,
            }
        }
        true
    }
}
