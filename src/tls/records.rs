//! Between a session and the library: records handed over, and what comes of them put where it belongs.

use std::io::{self, ErrorKind};

use rustls::Error;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus, WriteTraffic,
};

use super::failure::{self, HEADER_BYTES};
use super::session::{End, Session};

/// What a record takes, however little is in it: see [`Session::take_work`].
const RECORD_WORK: usize = 256;

/// What came of a look at ciphertext.
pub(super) struct Look {
    /// Bytes at the front that are done with.
    pub(super) consumed: usize,
    /// Bytes of plaintext handed out.
    pub(super) filled: usize,
    pub(super) error: Option<Error>,
}

impl Session {
    /// Hands ciphertext to the library until it needs more of it or `into` is full, or, `to_the_end`, only until
    /// it needs more. Plaintext goes to `into` and, what has no room, to `spare`; what is to be sent to `unsent`.
    pub(super) fn look(&mut self, received: &mut [u8], into: &mut [u8], to_the_end: bool) -> Look {
        let mut look = Look {
            consumed: 0,
            filled: 0,
            error: None,
        };
        let mut has_encoded = false;
        loop {
            let mut lacks_room = false;
            let UnbufferedStatus { discard, state, .. } =
                self.tls.process_tls_records(&mut received[look.consumed..]);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                self.work += RECORD_WORK;
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
                    let is_full = look.filled == into.len() && !into.is_empty();
                    lacks_room = (is_full || !self.spare.is_empty()) && !to_the_end;
                    !lacks_room
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    append(data, &mut self.unsent);
                    has_encoded = true;
                    true
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    has_encoded = false;
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
            // What the library has to say goes out first, or it lets nobody send: tickets, for example, behind which
            // data came with the end of the handshake.
            let goes_on = goes_on || has_encoded;
            if !goes_on || look.error.is_some() {
                let rest = received.get(look.consumed..).unwrap_or_default();
                self.has_records = lacks_room && holds_record(rest);
                break;
            }
        }
        if self.end.is_some() {
            // "Any data received after a closure alert has been received MUST be ignored": RFC 8446 6.1.
            look.consumed = received.len();
            self.has_records = false;
        }
        look
    }

    /// Lets go of records that wait for room: the library looks at what it is given before it lets one send.
    pub(super) fn settle_held(&mut self) -> io::Result<()> {
        if let Some(End::Failed(text)) = &self.end {
            return Err(io::Error::new(ErrorKind::InvalidData, text.clone()));
        }
        if !self.has_records {
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
    pub(super) fn queue_alert(&mut self, rest: &mut [u8]) {
        while self.tls.wants_write() {
            match self.tls.process_tls_records(rest).state {
                Ok(ConnectionState::EncodeTlsData(data)) => append(data, &mut self.unsent),
                _ => break,
            }
        }
    }

    pub(super) fn hold(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.held = Vec::new();
        } else {
            self.held.clear();
            self.held.extend_from_slice(rest);
        }
    }
}

/// The library's leave to send. It wants to see what it was last shown and did not consume: there may be the
/// beginning of a message in it.
pub(super) fn writer<'a>(
    tls: &'a mut UnbufferedServerConnection,
    held: &'a mut [u8],
) -> io::Result<WriteTraffic<'a, ServerConnectionData>> {
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
