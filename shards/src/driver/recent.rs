//! A short wait on the few sockets that talked last, without the reactor.
//!
//! A way through glommio's reactor and into its sleep costs three rounds of its three rings: four system calls, nine
//! submissions and as many allocations, whatever comes of it. That is nothing beside a batch, and more than all the
//! rest for peers that send one message, wait for its answer and send the next. These are few at a time, and they
//! answer soon. So before it sleeps in the reactor, the driver waits for them with one `poll(2)`, and what they were
//! to be armed for is put off until the reactor is entered, which it is at least every [`PASS_INTERVAL`].
//!
//! Owns which sockets those are and whether waiting for them has paid lately. Knows no descriptor.

use std::time::{Duration, Instant};

use crate::Token;

/// Sockets waited for.
pub(super) const RECENT_MAX: usize = 8;

/// Longest wait. A peer on the same machine answers in a few dozen microseconds.
pub(super) const WAIT_MAX: Duration = Duration::from_micros(150);

/// How long the other sockets may go without a look.
const PASS_INTERVAL: Duration = Duration::from_millis(1);

/// Bounds of the score: how many waits that paid make up for waits in vain, and how long to go without.
const SCORE_MAX: i32 = 8;
const SCORE_MIN: i32 = -8;
/// A wait in vain counts as so many that paid.
const MISS: i32 = 2;

/// One of the sockets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recent {
    pub(super) token: Token,
    pub(super) generation: u32,
    /// Somebody wants to know when it is readable, and has not been told. One that is not wanted may have bytes that
    /// its owner does not read for now.
    is_wanted: bool,
    /// It is to be armed when the reactor is entered.
    is_deferred: bool,
}

/// The sockets that were ready last, and whether to wait for them.
#[derive(Debug)]
pub(super) struct Recents {
    /// Oldest first.
    sockets: Vec<Recent>,
    passed: Instant,
    /// Something was handed to the reactor that it has not seen.
    is_pass_due: bool,
    /// Grows with waits that paid.
    score: i32,
}

impl Recents {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            sockets: Vec::with_capacity(RECENT_MAX),
            passed: now,
            is_pass_due: false,
            score: 0,
        }
    }

    /// Those to wait for.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Recent> {
        self.sockets.iter().filter(|recent| recent.is_wanted)
    }

    /// A socket was found ready without the reactor, and its owner is told once.
    pub(super) fn tell(&mut self, token: Token) {
        if let Some(recent) = self.sockets.iter_mut().find(|r| r.token == token) {
            (recent.is_wanted, recent.is_deferred) = (false, false);
        }
    }

    /// The reactor has found a socket ready, which makes it the latest. Says whether its owner is to be told: not if
    /// it was told already, without the reactor, and has not asked again. Gives besides one that is no longer among
    /// the latest and has to be armed.
    pub(super) fn note(&mut self, token: Token, generation: u32) -> (bool, Option<Token>) {
        let mut is_news = true;
        let mut evicted = None;
        if let Some(at) = self.sockets.iter().position(|r| r.token == token) {
            let old = self.sockets.remove(at);
            is_news = old.generation != generation || old.is_wanted;
        } else if self.sockets.len() == RECENT_MAX {
            evicted = Some(self.sockets.remove(0));
        }
        self.sockets.push(Recent {
            token,
            generation,
            is_wanted: false,
            is_deferred: false,
        });
        let evicted = evicted.filter(|old| old.is_deferred);
        (is_news, evicted.map(|old| old.token))
    }

    /// Whether the socket, which is to be armed, is armed later. If not, the reactor must be entered soon.
    pub(super) fn defer(&mut self, token: Token, generation: u32) -> bool {
        let found = self
            .sockets
            .iter_mut()
            .find(|r| r.token == token && r.generation == generation);
        match found {
            Some(recent) => {
                (recent.is_wanted, recent.is_deferred) = (true, true);
                true
            }
            None => {
                self.is_pass_due = true;
                false
            }
        }
    }

    /// The reactor has something to do: it must not be put off.
    pub(super) fn want_pass(&mut self) {
        self.is_pass_due = true;
    }

    /// The reactor is entered now: gives the sockets to be armed.
    pub(super) fn pass(&mut self, now: Instant) -> impl Iterator<Item = Token> + use<> {
        self.passed = now;
        self.is_pass_due = false;
        let mut deferred = [None; RECENT_MAX];
        for (place, recent) in deferred.iter_mut().zip(&mut self.sockets) {
            *place = std::mem::take(&mut recent.is_deferred).then_some(recent.token);
        }
        deferred.into_iter().flatten()
    }

    /// Whether to wait for these sockets before the reactor is entered.
    pub(super) fn is_worth_it(&mut self, now: Instant) -> bool {
        let is_wanted = self.wanted().next().is_some();
        if self.is_pass_due || !is_wanted || now - self.passed >= PASS_INTERVAL {
            return false;
        }
        if self.score < 0 {
            self.score += 1;
            return false;
        }
        true
    }

    /// What came of a wait.
    pub(super) fn count(&mut self, has_paid: bool) {
        self.score = if has_paid {
            (self.score + 1).min(SCORE_MAX)
        } else if self.score > MISS {
            self.score - MISS
        } else {
            SCORE_MIN
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept_and_the_others_are_armed() {
        let now = Instant::now();
        let mut recents = Recents::new(now);
        for n in 0..8 {
            assert_eq!(recents.note(Token(n), 1), (true, None));
            assert!(recents.defer(Token(n), 1));
        }
        assert!(!recents.defer(Token(99), 1));
        // Another generation is another socket.
        assert!(!recents.defer(Token(3), 2));
        assert_eq!(recents.note(Token(0), 1), (true, None));
        assert_eq!(recents.note(Token(8), 1), (true, Some(Token(1))));
        let armed: Vec<Token> = recents.pass(now).collect();
        assert_eq!(armed, [2, 3, 4, 5, 6, 7].map(Token));
        assert_eq!(recents.pass(now).count(), 0);
        assert_eq!(recents.note(Token(9), 1), (true, None));
    }

    #[test]
    fn waits_stop_where_they_do_not_pay() {
        let now = Instant::now();
        let mut recents = Recents::new(now);
        assert!(!recents.is_worth_it(now));
        recents.note(Token(1), 0);
        // Its owner may not read it.
        assert!(!recents.is_worth_it(now));
        assert!(recents.defer(Token(1), 0));
        assert!(recents.is_worth_it(now));
        recents.count(false);
        let asked = (0..100).take_while(|_| !recents.is_worth_it(now)).count();
        assert_eq!(asked, 8);
        (0..20).for_each(|_| recents.count(true));
        recents.count(false);
        assert!(recents.is_worth_it(now));
    }

    #[test]
    fn the_reactor_is_not_put_off_for_long() {
        let now = Instant::now();
        let mut recents = Recents::new(now);
        recents.note(Token(1), 0);
        recents.defer(Token(1), 0);
        assert!(!recents.is_worth_it(now + PASS_INTERVAL));
        assert_eq!(recents.pass(now + PASS_INTERVAL).count(), 1);
        assert!(recents.is_worth_it(now + PASS_INTERVAL));
        recents.want_pass();
        assert!(!recents.is_worth_it(now + PASS_INTERVAL));
    }

    #[test]
    fn a_socket_is_told_of_once() {
        let now = Instant::now();
        let mut recents = Recents::new(now);
        recents.note(Token(1), 0);
        recents.defer(Token(1), 0);
        assert_eq!(recents.wanted().count(), 1);
        recents.tell(Token(1));
        assert_eq!(recents.wanted().count(), 0);
        assert_eq!(recents.pass(now).count(), 0);
        // Its poll was armed before, and has fired, too.
        assert_eq!(recents.note(Token(1), 0), (false, None));
        // A new socket has the slot.
        assert_eq!(recents.note(Token(1), 1), (true, None));
        recents.note(Token(1), 0);
        recents.defer(Token(1), 0);
        assert_eq!(recents.wanted().count(), 1);
    }
}
