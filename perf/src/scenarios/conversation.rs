//! A requester and a responder, each on a connection of its own, and what they say to each other.

use rustix::event::PollFlags;

use crate::Result;
use crate::lengths::Lengths;
use crate::scenarios::Stamp;
use crate::scenarios::batch::{self, Batch};
use crate::scenarios::verify::Checker;
use crate::target::Target;
use crate::wire::{self, Outgoing, Peer, SMALL_READ_BYTES};

/// One side: it sends one kind of message and gets the other.
struct Side {
    peer: Peer,
    message: Batch,
    outgoing: Outgoing,
    /// Messages sent, or waiting in `outgoing`.
    sent: u64,
    is_stamping: bool,
}

impl Side {
    /// Puts so many messages behind what waits, and sends what the socket takes.
    fn send(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            if self.is_stamping {
                let stamp = Stamp {
                    stream: 0,
                    sequence: self.sent,
                };
                self.message.stamp_all(|_| stamp);
            }
            self.outgoing.push(&self.message.bytes);
            self.sent += 1;
        }
        self.outgoing.flush(&mut self.peer)
    }

    /// Takes what is there, answers the server's PINGs, and returns how many messages came so far.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<u64> {
        self.peer.receive(buffer)?;
        // They go behind whole messages, for those that wait are whole or have begun before.
        for _ in 0..std::mem::take(&mut self.peer.scanner.pings) {
            self.outgoing.push(wire::PONG);
        }
        self.outgoing.flush(&mut self.peer)?;
        Ok(self.peer.scanner.messages)
    }
}

/// Both ends.
pub(super) struct Conversation {
    requester: Side,
    responder: Side,
    buffer: Vec<u8>,
}

impl Conversation {
    /// Connects both sides and waits until both have subscribed. The requester listens on
    /// `_INBOX.<subject>`.
    ///
    /// # Errors
    /// No connection, a refusal, or the floor peer, which knows no subjects.
    pub(super) fn connect(
        server: &Target,
        subject: &str,
        payload_bytes: usize,
        is_verified: bool,
    ) -> Result<Self> {
        let mut requester = Peer::connect(server)?;
        let mut responder = Peer::connect(server)?;
        if requester.is_floor {
            return Err("the floor peer knows no subjects: no request/reply".into());
        }
        let inbox = format!("_INBOX.{subject}");
        let arriving = |subject: &str, reply| {
            let message_bytes = batch::delivered_bytes(subject, reply, payload_bytes);
            Some(Lengths::alike(message_bytes))
        };
        requester.subscribe(&inbox, arriving(&inbox, None))?;
        responder.subscribe(subject, arriving(subject, Some(&*inbox)))?;
        let side = |mut peer: Peer, message| {
            if is_verified {
                peer.scanner.check_with(Checker::complete());
            }
            Side {
                peer,
                message,
                outgoing: Outgoing::default(),
                sent: 0,
                is_stamping: is_verified,
            }
        };
        let request = Batch::request(subject, &inbox, payload_bytes);
        Ok(Self {
            requester: side(requester, request),
            responder: side(responder, Batch::reply(&inbox, payload_bytes)),
            buffer: vec![0; SMALL_READ_BYTES],
        })
    }

    /// Sends so many requests.
    ///
    /// # Errors
    /// The end of the connection.
    pub(super) fn request(&mut self, count: u64) -> Result<()> {
        self.requester.send(count)
    }

    /// Answers the requests that have come, all in one write; how many have been answered so far.
    ///
    /// # Errors
    /// The end of the connection, or what a checker finds.
    pub(super) fn respond(&mut self) -> Result<u64> {
        let requests = self.responder.receive(&mut self.buffer)?;
        if requests > self.responder.sent {
            self.responder.send(requests - self.responder.sent)?;
        }
        Ok(self.responder.sent)
    }

    /// Takes the replies that have come; how many in all.
    ///
    /// # Errors
    /// The end of the connection, or what a checker finds.
    pub(super) fn collect(&mut self) -> Result<u64> {
        self.requester.receive(&mut self.buffer)
    }

    /// Requests sent so far.
    pub(super) fn requests(&self) -> u64 {
        self.requester.sent
    }

    /// Replies received so far.
    pub(super) fn replies(&self) -> u64 {
        self.requester.peer.scanner.messages
    }

    /// Bytes of requests that the socket has not taken.
    pub(super) fn backlog_bytes(&self) -> usize {
        self.requester.outgoing.len()
    }

    /// The connections and what each waits for: requester, responder.
    pub(super) fn interests(&self) -> [(&Peer, PollFlags); 2] {
        [&self.requester, &self.responder].map(|side| (&side.peer, side.interest()))
    }

    /// Waits until the responder has something to do.
    ///
    /// # Errors
    /// Nothing comes for 20 s.
    pub(super) fn wait_for_request(&self) -> Result<()> {
        wire::wait_for(&[(&self.responder.peer, self.responder.interest())]).map(drop)
    }

    /// Waits until the requester has something to do.
    ///
    /// # Errors
    /// Nothing comes for 20 s.
    pub(super) fn wait_for_reply(&self) -> Result<()> {
        wire::wait_for(&[(&self.requester.peer, self.requester.interest())]).map(drop)
    }

    /// A barrier on both connections, when nothing is on its way.
    ///
    /// # Errors
    /// A message more came than was asked for, or no PONG.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.requester.peer.ping()?;
        self.responder.peer.ping()?;
        let counts = (self.responder.sent, self.replies());
        if counts != (self.requests(), self.requests()) {
            return Err("more requests or replies came than were sent".into());
        }
        Ok(())
    }
}

impl Side {
    fn interest(&self) -> PollFlags {
        let out = if self.outgoing.is_waiting(&self.peer) {
            PollFlags::OUT
        } else {
            PollFlags::empty()
        };
        PollFlags::IN | out
    }
}
