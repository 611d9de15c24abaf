//! Who may be under way: a bounded number of handshakes, of which none keeps others waiting for long.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gnatsd_shards::Token;

use super::{Handshake, Sockets, find};

/// Places of one shard.
const PLACES: usize = 1024;
/// How long a handshake keeps a place that others wait for. In this time a shard can begin about as many as there
/// are places, so that its CPU is what there is not enough of, whatever the clients do.
const PLACE_TIME: Duration = Duration::from_millis(200);

/// The places of one shard. Who has one does not need it to go on, only to begin: it holds back those that come
/// later, so that those that have begun come to an end in a storm.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Those that have begun on a place, with the time; oldest first. Some have left it.
    taken: VecDeque<(Instant, Token, u64)>,
    /// Those that wait for a place. Some have ended. None while a place is free.
    waiting: VecDeque<(Token, u64)>,
    /// Places that are taken.
    count: usize,
}

/// What is to become of the oldest of those that have begun.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing before this time, or before somebody waits.
    Stays(Option<Instant>),
    /// Its place passes to another; it goes on without.
    Passes,
    /// It has sent a part of something and holds memory; it has to go.
    Ends(Token),
}

impl Places {
    /// Gives `handshake` a place to begin on, unless it has one. False if there is none: then it waits for it, and
    /// is given one by [`pass_on`](Self::pass_on).
    pub(super) fn take(
        &mut self,
        handshake: &mut Handshake,
        token: Token,
        cid: u64,
        now: Instant,
    ) -> bool {
        if !handshake.has_place {
            if self.count >= PLACES {
                self.waiting.push_back((token, cid));
                return false;
            }
            self.count += 1;
            handshake.has_place = true;
        }
        self.taken.push_back((now, token, cid));
        true
    }

    /// A place is free: gives it to the first of those that wait and still are there.
    pub(super) fn pass_on(&mut self, sockets: &mut Sockets) -> Option<Token> {
        self.count = self.count.saturating_sub(1);
        while let Some((token, cid)) = self.waiting.pop_front() {
            if let Some(handshake) = find(sockets, token, cid) {
                handshake.has_place = true;
                self.count += 1;
                return Some(token);
            }
        }
        None
    }

    /// Looks at the oldest of those that have begun. To be asked until it stays.
    pub(super) fn turn(&mut self, sockets: &mut Sockets, now: Instant) -> Turn {
        while let Some(&(at, token, cid)) = self.taken.front() {
            let Some(handshake) = find(sockets, token, cid).filter(|h| h.has_place) else {
                self.taken.pop_front();
                continue;
            };
            if self.waiting.is_empty() {
                return Turn::Stays(None);
            }
            if at + PLACE_TIME > now {
                return Turn::Stays(Some(at + PLACE_TIME));
            }
            self.taken.pop_front();
            // One that is ready has sent something that nobody has looked at yet.
            let holds = handshake.session.as_ref().is_some_and(|s| s.kept() > 0);
            if holds && !handshake.is_ready {
                return Turn::Ends(token);
            }
            handshake.has_place = false;
            return Turn::Passes;
        }
        Turn::Stays(None)
    }
}
