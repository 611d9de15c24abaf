//! A login that waits for a hash.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gnatsd_core::auth::{Login, Refusal, User};

use super::bcrypt_hash::{Hash, Key};

/// The work that is left of a login: whether a password fits a hash. Owns what it needs, at most some 100 bytes
/// however long the password is.
pub struct HashJob {
    hash: Arc<Hash>,
    key: Key,
    /// Who gets in if it fits; `None` if nobody does and only time is spent.
    user: Option<Arc<User>>,
}

impl HashJob {
    pub(super) fn new(hash: Arc<Hash>, password: &str, user: Option<Arc<User>>) -> Self {
        HashJob {
            key: Key::new(password),
            hash,
            user,
        }
    }

    /// CPU time that it takes, about: 1 ms at cost 4 and twice that with each more, 100 ms at 11.
    pub(super) fn takes(&self) -> Duration {
        Duration::from_micros(50 << self.hash.cost())
    }

    /// Does it. Takes the same whatever the password is.
    pub fn run(self) -> Login {
        let fits = self.hash.fits(&self.key);
        match self.user {
            Some(user) if fits => Login::Granted(user),
            _ => Login::Refused(Refusal::default()),
        }
    }
}

impl fmt::Debug for HashJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not even whether there is such a user.
        f.debug_struct("HashJob")
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}
