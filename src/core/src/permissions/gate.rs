//! What one connection may publish: the lists, what was decided lately, and answers it owes.
//!
//! Step 3 (admit) of the PUB path. A run of publishes to one subject costs one comparison each.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use ahash::RandomState;

use super::Permissions;
use super::decisions::{Decisions, SUBJECT_LEN_MAX};
use super::permits::Permits;
use crate::time::Time;

/// Decides what one connection may publish.
#[derive(Debug)]
pub struct PublishGate {
    /// The first `last_len` bytes are the subject asked for last that the lists allow.
    last: [u8; SUBJECT_LEN_MAX],
    /// More than there are if there is none. An answer by permit never gets here: each counts.
    last_len: usize,
    permissions: Arc<Permissions>,
    decisions: Decisions,
    /// `None` without `allow_responses`.
    permits: Option<Permits>,
    hashes: RandomState,
}

impl PublishGate {
    /// The gate of a connection that is bound by `permissions`.
    ///
    /// Subjects come from clients, so hashes are keyed by `seed`: random in a server, fixed in a simulation.
    pub fn new(permissions: Arc<Permissions>, seed: u64) -> Self {
        PublishGate {
            last: [0; SUBJECT_LEN_MAX],
            last_len: usize::MAX,
            decisions: Decisions::new(seed),
            permits: permissions.responses().map(Permits::new),
            hashes: keys(seed),
            permissions,
        }
    }

    /// What binds the connection.
    pub fn permissions(&self) -> &Arc<Permissions> {
        &self.permissions
    }

    /// Whether one message may be published to `subject`, which is taken literally.
    ///
    /// Without [`Permissions::responses`] the answer is the same for each message, so that a run of them
    /// needs one call; with them each message needs its own, for an answer by permit uses one up.
    ///
    /// # Cost
    /// 2 ns for the subject asked for last, 15 ns for one of the 128 kept, 65 ns for a new one with 20 or
    /// 10 000 entries (`examples/permission_cost.rs`). No allocation for a subject that is kept.
    #[inline]
    pub fn allows(&mut self, subject: &[u8], now: Time) -> bool {
        self.last.get(..self.last_len) == Some(subject) || self.decide(subject, now)
    }

    /// Notes that the connection was sent a message with this reply subject, `now`.
    ///
    /// With `allow_responses` it may answer then, even to a subject that is denied (nats-server 2.x); nothing
    /// is noted if it may publish there anyway.
    pub fn note_reply(&mut self, reply: &[u8], now: Time) {
        if let Some(permits) = &mut self.permits
            && !reply.is_empty()
            && !self.permissions.may_publish(reply)
        {
            permits.grant(hash(&self.hashes, reply), reply, now);
        }
    }

    #[inline(never)]
    fn decide(&mut self, subject: &[u8], now: Time) -> bool {
        let hash = hash(&self.hashes, subject);
        let is_allowed = match self.decisions.find(hash, subject) {
            Some(is_allowed) => is_allowed,
            None => {
                // Only what the lists do not allow has a permit, so they need no asking.
                if let Some(permits) = &mut self.permits
                    && permits.take(hash, subject, now)
                {
                    return true;
                }
                let is_allowed = self.permissions.may_publish(subject);
                // What is refused now may have a permit later.
                if is_allowed || self.permits.is_none() {
                    self.decisions.keep(hash, subject, is_allowed);
                }
                is_allowed
            }
        };
        if is_allowed && let Some(last) = self.last.get_mut(..subject.len()) {
            last.copy_from_slice(subject);
            self.last_len = subject.len();
        }
        is_allowed
    }
}

#[inline]
fn hash(hashes: &RandomState, text: &[u8]) -> u64 {
    let mut hasher = hashes.build_hasher();
    hasher.write(text);
    hasher.finish()
}

/// Four keys of one seed, by splitmix64.
fn keys(mut seed: u64) -> RandomState {
    let mut next = || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = seed;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    RandomState::with_seeds(next(), next(), next(), next())
}
