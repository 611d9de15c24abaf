//! What a secret is compared with.
//!
//! No text is compared with another: of both a digest is taken under a random key that nobody knows, and the digests
//! are compared in constant time. So the time does not depend on how far two texts agree, nor on the length of the
//! configured one, whose digest is taken once; and what is kept is no password.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use gnatsd_core::auth::Secret;

use super::bcrypt_hash::{Hash, is_hash};

/// Takes digests: HMAC-SHA256 under a key of its own.
#[derive(Debug)]
pub(super) struct Digester {
    key: hmac::Key,
}

impl Digester {
    /// One with a new key.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn new() -> Result<Self, String> {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map(|key| Digester { key })
            .map_err(|_| "no random bytes for comparing passwords".to_owned())
    }

    /// The digest of a text. Takes as long as that text is, about 1 µs for a password.
    pub(super) fn digest(&self, text: &str) -> Digest {
        #[cfg(test)]
        DIGESTS.set(DIGESTS.get() + 1);
        Digest(hmac::sign(&self.key, text.as_bytes()))
    }
}

/// Stands for a text among those that the same [`Digester`] has seen.
pub(super) struct Digest(hmac::Tag);

impl Digest {
    /// Whether both are of the same text, in constant time.
    pub(super) fn is(&self, other: &Digest) -> bool {
        verify_slices_are_equal(self.0.as_ref(), other.0.as_ref()).is_ok()
    }

    /// One of these, always the same for a text, and nobody knows which before; `None` if there are none.
    pub(super) fn pick<'a, T>(&self, choices: &'a [T]) -> Option<&'a T> {
        let number = self
            .0
            .as_ref()
            .first_chunk()
            .map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let at = usize::try_from(number).ok()?.checked_rem(choices.len())?;
        choices.get(at)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// What somebody has to show.
#[derive(Debug)]
pub(super) enum Verifier {
    /// The text of this digest.
    Text(Digest),
    /// A text that fits this hash.
    Hash(Arc<Hash>),
    /// There is nothing they could show: what is configured looks like a hash and is none. Source: gnatsd 1.2.0.
    Nothing,
}

impl Verifier {
    /// For a configured password or token.
    pub(super) fn new(secret: &Secret, digester: &Digester) -> Self {
        let text = secret.reveal();
        if !is_hash(text) {
            return Verifier::Text(digester.digest(text));
        }
        Hash::parse(text).map_or(Verifier::Nothing, |hash| Verifier::Hash(Arc::new(hash)))
    }
}

#[cfg(test)]
thread_local! {
    /// Digests taken by this thread, so that tests can compare work.
    pub(super) static DIGESTS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
