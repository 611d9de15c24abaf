//! An nkey of a user: the one who signs nonces, and whose public key a server knows.
//!
//! A writing of the format that is independent of the server's reading: base32 of a prefix, the key, and a
//! CRC-16 (poly 0x1021, init 0) in little endian.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD};

/// First byte of a user's public key: `U` in base32.
const USER_PREFIX: u8 = 20 << 3;

/// First five bits of a seed: `S` in base32.
const SEED_PREFIX: u8 = 18 << 3;

/// Bytes of a seed.
const SEED_BYTES: usize = 32;

/// A key pair that signs for a user.
pub(crate) struct Nkey {
    pair: Ed25519KeyPair,
    seed: [u8; SEED_BYTES],
}

impl Nkey {
    /// The key made of this number: the same number, the same key.
    pub(crate) fn new(number: u8) -> Self {
        let mut seed = [0x5a; SEED_BYTES];
        seed[0] = number;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a key of a seed");
        Self { pair, seed }
    }

    /// `U…`, as it stands in a configuration and in CONNECT.
    pub(crate) fn public(&self) -> String {
        encode(&[USER_PREFIX], self.pair.public_key().as_ref())
    }

    /// `SU…`, as a client library takes it.
    pub(crate) fn seed(&self) -> String {
        let prefix = [SEED_PREFIX | USER_PREFIX >> 5, USER_PREFIX << 3];
        encode(&prefix, &self.seed)
    }

    /// The signature over a nonce as base64url without padding, the usual form.
    pub(crate) fn sign(&self, nonce: &str) -> String {
        BASE64URL_NOPAD.encode(&self.sign_raw(nonce))
    }

    /// The signature as standard base64 with padding, the form of old clients.
    pub(crate) fn sign_padded(&self, nonce: &str) -> String {
        BASE64.encode(&self.sign_raw(nonce))
    }

    /// The 64 bytes of the signature.
    pub(crate) fn sign_raw(&self, nonce: &str) -> Vec<u8> {
        self.pair.sign(nonce.as_bytes()).as_ref().to_vec()
    }
}

/// Base32 of a prefix and a key with their checksum.
pub(crate) fn encode(prefix: &[u8], key: &[u8]) -> String {
    let mut bytes = [prefix, key].concat();
    let sum = crc16(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    BASE32_NOPAD.encode(&bytes)
}

fn crc16(bytes: &[u8]) -> u16 {
    let mut sum = 0_u16;
    for byte in bytes {
        sum ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            let carries = sum & 0x8000 != 0;
            sum = sum << 1 ^ if carries { 0x1021 } else { 0 };
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_of_the_standard_example() {
        // The check value of CRC-16/XMODEM.
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn texts_have_their_forms() {
        let key = Nkey::new(1);
        assert!(key.public().starts_with('U') && key.public().len() == 56);
        assert!(key.seed().starts_with("SU") && key.seed().len() == 58);
        assert_ne!(key.public(), Nkey::new(2).public());
    }
}
