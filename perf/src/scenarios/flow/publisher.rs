//! One publishing connection of a flow: where it is in its stream of prepared messages.

use std::collections::HashMap;

use crate::Result;
use crate::scenarios::Stamp;
use crate::scenarios::batch::Batch;
use crate::wire::{PONG, Peer};

/// A publishing connection and where it is in its stream.
pub(in crate::scenarios) struct Publisher {
    pub(super) peer: Peer,
    batch: Batch,
    /// Bytes of messages sent since the start. Invariant: never beyond `end_bytes`.
    sent_bytes: u64,
    /// Where the current stretch ends; the end of a message once it is known.
    end_bytes: u64,
    /// Rest of an answer to the server's PING.
    reply: &'static [u8],
    stamps: Option<Stamps>,
}

/// What the messages of a batch are stamped with, each time it is sent anew.
struct Stamps {
    /// The stream of each message of the batch.
    streams: Vec<u32>,
    /// The next sequence of each stream.
    next: HashMap<u32, u64>,
    /// The value of `sent_bytes` for which the batch has been stamped.
    done_at: Option<u64>,
}

impl Publisher {
    /// Sends this batch again and again.
    pub(in crate::scenarios) fn new(peer: Peer, batch: Batch) -> Self {
        Self {
            peer,
            batch,
            sent_bytes: 0,
            end_bytes: 0,
            reply: &[],
            stamps: None,
        }
    }

    /// Stamps what is sent; `streams` has one for each message of the batch.
    pub(in crate::scenarios) fn stamp_with(&mut self, streams: Vec<u32>) {
        self.stamps = Some(Stamps {
            streams,
            next: HashMap::new(),
            done_at: None,
        });
    }

    /// Messages that have been sent whole.
    pub(super) fn sent_messages(&self) -> u64 {
        self.batch.lengths.count_at(self.sent_bytes)
    }

    /// Length of a message, in bytes; where they differ, their mean.
    pub(super) fn message_bytes(&self) -> u64 {
        self.batch.lengths.mean()
    }

    /// From now on sends without end, or so many messages more.
    pub(super) fn go_on(&mut self, messages: Option<u64>) {
        self.end_bytes = messages.map_or(u64::MAX, |messages| {
            self.batch.lengths.end_of(self.sent_messages() + messages)
        });
    }

    /// Ends with the message that is being sent.
    pub(super) fn end(&mut self) {
        self.end_bytes = self.end_bytes.min(self.next_boundary());
    }

    /// Whether all of the stretch has been sent.
    pub(super) fn is_done(&self) -> bool {
        self.sent_bytes == self.end_bytes
    }

    /// The end of the message that is being sent.
    fn next_boundary(&self) -> u64 {
        self.batch.lengths.boundary_from(self.sent_bytes)
    }

    /// One write: as much as the socket takes, at most `room_bytes`. A PING of the server is answered
    /// between two messages.
    pub(super) fn write(&mut self, room_bytes: u64) -> Result<()> {
        let is_between = self.sent_bytes == self.next_boundary();
        if is_between && self.reply.is_empty() && self.peer.scanner.pings > 0 {
            self.peer.scanner.pings -= 1;
            self.reply = PONG;
        }
        if !self.reply.is_empty() {
            let count = self.peer.try_send(self.reply)?;
            self.reply = &self.reply[count..];
            return Ok(());
        }
        let mut end = self
            .end_bytes
            .min(self.sent_bytes.saturating_add(room_bytes));
        if self.peer.scanner.pings > 0 {
            end = end.min(self.next_boundary());
        }
        let length = self.batch.bytes.len() as u64;
        let start = self.sent_bytes % length;
        if start == 0 {
            self.stamp();
        }
        let rest =
            &self.batch.bytes[index(start)..index(length.min(start + (end - self.sent_bytes)))];
        self.sent_bytes += self.peer.try_send(rest)? as u64;
        Ok(())
    }

    /// Stamps the batch, once for each time that it is sent.
    fn stamp(&mut self) {
        let Some(stamps) = &mut self.stamps else {
            return;
        };
        if stamps.done_at.replace(self.sent_bytes) == Some(self.sent_bytes) {
            return;
        }
        let Stamps { streams, next, .. } = stamps;
        self.batch.stamp_all(|index| {
            let stream = streams[index];
            let sequence = next.entry(stream).or_default();
            *sequence += 1;
            Stamp {
                stream,
                sequence: *sequence - 1,
            }
        });
    }
}

/// A position within a batch, which is far below 4 GiB.
fn index(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
