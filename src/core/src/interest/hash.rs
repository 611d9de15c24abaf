//! Keyed hashes of the interest table.
//!
//! Subjects, sids and group names come from clients, so every hash is keyed: without the key nobody can
//! choose texts that collide. Tables keep 32 bits of a hash beside each entry, which settles nearly all
//! comparisons without touching the text and lets a table grow without reading any.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

/// The key of one table.
#[derive(Debug)]
pub(super) struct Hashes {
    state: RandomState,
    /// Odd multiplier for [`Hashes::child`].
    child_key: u64,
}

impl Hashes {
    /// A key made from `seed`: random in a server, fixed in a simulation.
    pub(super) fn new(seed: u64) -> Self {
        let mut state = seed;
        let mut next = || {
            // splitmix64, the usual way to widen a seed.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ (word >> 31)
        };
        Self {
            state: RandomState::with_seeds(next(), next(), next(), next()),
            child_key: next() | 1,
        }
    }

    /// Hash of a text.
    #[inline]
    pub(super) fn text(&self, text: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(text);
        hasher.finish()
    }

    /// Hash of a text that is never 0, for fields in which 0 says "none".
    #[inline]
    pub(super) fn text_nonzero(&self, text: &[u8]) -> u32 {
        fold(self.text(text)) | 1
    }

    /// Hash of a connection, a sid and, if it stands for a shard, a queue group.
    #[inline]
    pub(super) fn sid(&self, conn: u32, sid: &[u8], queue: &[u8]) -> u32 {
        let mut hasher = self.state.build_hasher();
        hasher.write_u32(conn);
        hasher.write(sid);
        if !queue.is_empty() {
            hasher.write(queue);
        }
        fold(hasher.finish())
    }

    /// Hash of a subject and a queue group.
    #[inline]
    pub(super) fn pair(&self, subject: &[u8], queue: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(subject);
        hasher.write(queue);
        hasher.finish()
    }

    /// Hash of a token below a node, from the hash of the token.
    #[inline]
    pub(super) fn child(&self, node: u32, token: u64) -> u32 {
        let mixed =
            (token ^ (u64::from(node) << 32 | u64::from(node))).wrapping_mul(self.child_key);
        fold(mixed ^ (mixed >> 29))
    }
}

/// The 32 bits that tables keep.
#[inline]
pub(super) fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

/// The 64 bits a table wants: it takes its position from the low ones and its tag from the top seven.
#[inline]
pub(super) fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}
