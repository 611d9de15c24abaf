//! nkeys: users known by an Ed25519 key, who sign the nonce of their connection.
//!
//! Owns the texts of public keys and signatures and what makes them valid. Knows no users.

use std::fmt;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD};

/// Characters of a public key: prefix byte, key and checksum, 35 bytes, in base32 without padding. Source: nkeys.
const PUBLIC_LEN: usize = 56;

/// First byte of a user's public key, whose text begins with `U`. Source: nkeys, `PrefixByteUser`.
const PREFIX_USER: u8 = 20 << 3;

/// Polynomial of the checksum, CRC-16/XMODEM. Source: nkeys, `crc16.go`.
const CRC_POLYNOMIAL: u16 = 0x1021;

/// Why a text is no public key of a user. Public keys are no secret, but the text may have been meant for something
/// that is one, such as a seed: it is not repeated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKeyError {
    /// Not 56 characters; how many bytes there are.
    Length(usize),
    /// Not base32 in capital letters.
    Encoding,
    /// The checksum is that of another text.
    Checksum,
    /// A valid nkey, but not a user's.
    NotUser,
}

impl fmt::Display for PublicKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublicKeyError::Length(length) => {
                write!(f, "a public nkey has {PUBLIC_LEN} characters, not {length}")
            }
            PublicKeyError::Encoding => f.write_str("a public nkey has only A-Z and 2-7 in it"),
            PublicKeyError::Checksum => f.write_str("checksum does not match: mistyped?"),
            PublicKeyError::NotUser => {
                f.write_str("not the public nkey of a user, which begins with U")
            }
        }
    }
}

impl std::error::Error for PublicKeyError {}

/// The Ed25519 key in the text of a user's public nkey, `U` and 55 characters more.
///
/// # Errors
/// What is wrong with the text, length first.
pub fn decode_public(text: &str) -> Result<[u8; 32], PublicKeyError> {
    if text.len() != PUBLIC_LEN {
        return Err(PublicKeyError::Length(text.len()));
    }
    let bytes = BASE32_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| PublicKeyError::Encoding)?;
    let (covered, checksum) = bytes
        .split_last_chunk::<2>()
        .ok_or(PublicKeyError::Encoding)?;
    if crc16(covered) != u16::from_le_bytes(*checksum) {
        return Err(PublicKeyError::Checksum);
    }
    match covered.split_first() {
        Some((&PREFIX_USER, key)) => key.try_into().map_err(|_| PublicKeyError::Encoding),
        _ => Err(PublicKeyError::NotUser),
    }
}

/// The bytes of a signature as CONNECT carries it, URL-safe base64 without padding, else standard base64 with
/// padding; `None` if it is neither. Their number is not looked at here: [`verify`] refuses all but 64.
///
/// nats-server takes the same two forms. It also ignores line ends and stray bits within them, which no client
/// sends; here a signature has one text in each form.
pub fn decode_signature(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .or_else(|_| BASE64.decode(text.as_bytes()))
        .ok()
}

/// Whether `signature` is that of the owner of `public` over the text of `nonce`. About 50 µs.
pub fn verify(public: &[u8; 32], nonce: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public)
        .verify(nonce, signature)
        .is_ok()
}

/// CRC-16/XMODEM: initial value 0, bits not reflected.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ CRC_POLYNOMIAL,
        })
    })
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use proptest::prelude::*;

    use super::*;

    /// The text of an nkey with this prefix byte.
    fn encode(prefix: u8, key: &[u8]) -> String {
        let mut bytes = vec![prefix];
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&crc16(&bytes).to_le_bytes());
        BASE32_NOPAD.encode(&bytes)
    }

    /// A pair of keys, and the text of its public one.
    pub(in crate::auth) fn pair(seed: u8) -> (Ed25519KeyPair, String) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let text = encode(PREFIX_USER, pair.public_key().as_ref());
        (pair, text)
    }

    /// A signature as clients send it.
    pub(in crate::auth) fn sign(pair: &Ed25519KeyPair, nonce: &[u8]) -> String {
        BASE64URL_NOPAD.encode(pair.sign(nonce).as_ref())
    }

    #[test]
    fn checksums() {
        // The check value of CRC-16/XMODEM.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b""), 0);
    }

    #[test]
    fn a_key_made_elsewhere() {
        // From nats-server's documentation of nkey users; an account's key beside it.
        let text = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
        let key = decode_public(text).unwrap();
        assert_eq!(encode(PREFIX_USER, &key), text);
    }

    #[test]
    fn keys_that_are_none() {
        let (pair, text) = pair(1);
        assert_eq!(decode_public(&text).unwrap(), pair.public_key().as_ref());
        let key = pair.public_key().as_ref();
        // Account, operator, server, cluster, curve key, and a letter that stands for nothing.
        for prefix in [0, 14 << 3, 13 << 3, 2 << 3, 23 << 3, PREFIX_USER | 1] {
            assert_eq!(
                decode_public(&encode(prefix, key)),
                Err(PublicKeyError::NotUser)
            );
        }
        for length in (0..=80).filter(|&length| length != PUBLIC_LEN) {
            let cut: String = text.chars().cycle().take(length).collect();
            let result = decode_public(&cut);
            assert_eq!(result, Err(PublicKeyError::Length(length)), "{cut}");
        }
        for (at, _) in text.char_indices() {
            let replace = |with: &str| {
                let mut text = text.clone();
                text.replace_range(at..=at, with);
                decode_public(&text)
            };
            for with in ["u", "1", "8", "=", " ", "\n", "\0"] {
                assert_eq!(replace(with), Err(PublicKeyError::Encoding), "{at}");
            }
            let other = if text[at..].starts_with('A') {
                "B"
            } else {
                "A"
            };
            assert_eq!(replace(other), Err(PublicKeyError::Checksum), "{at}");
        }
        // 56 bytes, not characters.
        let umlauts = "\u{c4}".repeat(28);
        assert_eq!(decode_public(&umlauts), Err(PublicKeyError::Encoding));
    }

    #[test]
    fn a_seed_is_not_repeated() {
        let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
        let error = decode_public(seed).unwrap_err();
        assert!(!error.to_string().contains("SUAC"));
        assert_eq!(error, PublicKeyError::Length(58));
    }

    #[test]
    fn forms_of_a_signature() {
        // Bytes that need the two characters in which the alphabets differ.
        let bytes = [0xfb_u8; 64];
        let url = BASE64URL_NOPAD.encode(&bytes);
        let standard = BASE64.encode(&bytes);
        assert!(url.contains('-') && standard.contains('+') && standard.ends_with("=="));
        assert_eq!(decode_signature(&url).as_deref(), Some(&bytes[..]));
        assert_eq!(decode_signature(&standard).as_deref(), Some(&bytes[..]));
        let padded_url = format!("{url}==");
        let bare_standard = standard.trim_end_matches('=');
        for text in [
            &padded_url,
            bare_standard,
            "!",
            "a",
            "\u{e4}\u{f6}\u{fc}\u{df}",
        ] {
            assert_eq!(decode_signature(text), None, "{text}");
        }
    }

    #[test]
    fn signatures_of_every_length() {
        let (pair, text) = pair(2);
        let public = decode_public(&text).unwrap();
        let nonce = b"PXoWU7zWAMt75FY";
        let good = pair.sign(nonce);
        assert!(verify(&public, nonce, good.as_ref()));
        for length in 0..=128 {
            let signature: Vec<u8> = good.as_ref().iter().copied().cycle().take(length).collect();
            assert_eq!(verify(&public, nonce, &signature), length == 64, "{length}");
        }
        for bit in 0..512 {
            let mut signature = good.as_ref().to_vec();
            signature[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&public, nonce, &signature), "{bit}");
        }
        assert!(!verify(&public, b"PXoWU7zWAMt75FZ", good.as_ref()));
        assert!(!verify(&public, b"", good.as_ref()));
        let (_, other) = self::pair(3);
        assert!(!verify(
            &decode_public(&other).unwrap(),
            nonce,
            good.as_ref()
        ));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,80}", base32 in "[A-Z2-7]{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..128)) {
            prop_assert!(decode_public(&text).is_err());
            prop_assert!(decode_public(&base32).is_err());
            let key = [7; 32];
            prop_assert!(!verify(&key, &bytes, &decode_signature(&text).unwrap_or_default()));
            prop_assert!(!verify(&key, b"nonce", &bytes));
        }
    }
}
