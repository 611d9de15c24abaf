//! Configured bcrypt hashes.
//!
//! Owns what a hash looks like and which passwords fit it: those that Go's `x/crypto/bcrypt` lets fit, so that a
//! configuration that worked goes on working. The hash function itself is the `bcrypt` crate's. That crate's reader
//! is not used, since it refuses two things that Go reads: stray bits at the end of the salt, as some generators
//! write them, and text behind the hash.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;

/// Bytes of a password that count, with the NUL at its end. Source: bcrypt.
const PASSWORD_BYTES_MAX: usize = 72;

/// Costs there are; each is twice the work of the one before. Source: bcrypt.
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;

/// Characters of `$2a$10$`.
const HEAD_LEN: usize = 7;
/// Characters of a salt: 16 bytes.
const SALT_LEN: usize = 22;
/// Characters of what comes of it: 23 bytes.
const SUM_LEN: usize = 31;

/// Whether a configured password or token is meant as a hash: `$2`, one of `a b x y`, `$`, two digits, `$`. Anything
/// else is the password itself. Source: nats-server 2.x, `validBcryptPrefix`; 1.2.0 knew only `$2a$`.
pub fn is_hash(text: &str) -> bool {
    matches!(
        text.as_bytes(),
        [
            b'$',
            b'2',
            b'a' | b'b' | b'x' | b'y',
            b'$',
            b'0'..=b'9',
            b'0'..=b'9',
            b'$',
            ..
        ]
    )
}

/// A hash that a password may fit.
#[derive(PartialEq, Eq)]
pub(super) struct Hash {
    cost: u32,
    salt: [u8; 16],
    sum: [u8; 23],
}

impl Hash {
    /// Reads a text for which [`is_hash`] holds; `None` if no password can fit it, be it too short, with a cost that
    /// does not exist, or with a character that no hash has.
    ///
    /// All four versions are the same function, as in Go; whatever is behind the 60th character counts for nothing.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let cost = text.get(4..6)?.parse().ok()?;
        let rest = bytes.get(HEAD_LEN..)?;
        let (salt, rest) = rest.split_at_checked(SALT_LEN)?;
        let (salt, _stray) = decode(salt)?;
        let (sum, stray) = decode(rest.get(..SUM_LEN)?)?;
        (is_hash(text) && COSTS.contains(&cost) && stray == 0).then_some(Hash { cost, salt, sum })
    }

    /// A hash to spend the time of `cost` with. Whether a password fits it must not matter to the caller.
    pub(super) fn decoy(cost: u32) -> Self {
        Hash {
            cost: cost.clamp(*COSTS.start(), *COSTS.end()),
            salt: [0; 16],
            sum: [0; 23],
        }
    }

    /// The logarithm of the work it is to look at a password, 4 to 31.
    pub(super) fn cost(&self) -> u32 {
        self.cost
    }

    /// Whether a password fits. Takes as long for one as for another: about 1 ms at cost 4, 100 ms at 11.
    pub(super) fn fits(&self, Key(key): &Key) -> bool {
        let sum = bcrypt::bcrypt(self.cost, self.salt, key);
        sum.get(..self.sum.len())
            .is_some_and(|sum| verify_slices_are_equal(sum, &self.sum).is_ok())
    }
}

/// What counts of a password: its bytes and a NUL, but no more than 72 of them. A NUL within is a byte like others.
/// Go's bcrypt does the same.
pub(super) struct Key(Vec<u8>);

impl Key {
    /// That of a password.
    pub(super) fn new(password: &str) -> Self {
        let ended = password.bytes().chain([0]);
        Key(ended.take(PASSWORD_BYTES_MAX).collect())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash(cost {}, [REDACTED])", self.cost)
    }
}

/// Reads bcrypt's base64, which has an alphabet of its own and no padding: `N` bytes and the bits left over.
fn decode<const N: usize>(text: &[u8]) -> Option<([u8; N], u32)> {
    let mut bytes = [0; N];
    let mut places = bytes.iter_mut();
    // Invariant: `held` has `bits` bits, fewer than 8.
    let (mut held, mut bits) = (0_u32, 0_u32);
    for &character in text {
        held = (held << 6) | digit(character)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            *places.next()? = u8::try_from(held >> bits).ok()?;
            held &= (1 << bits) - 1;
        }
    }
    places.next().is_none().then_some((bytes, held))
}

/// The value of a character, 0 to 63.
fn digit(character: u8) -> Option<u32> {
    let value = match character {
        b'.' => 0,
        b'/' => 1,
        b'A'..=b'Z' => character - b'A' + 2,
        b'a'..=b'z' => character - b'a' + 28,
        b'0'..=b'9' => character - b'0' + 54,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(hash: &str, password: &str) -> bool {
        assert!(is_hash(hash), "{hash}");
        Hash::parse(hash).is_some_and(|hash| hash.fits(&Key::new(password)))
    }

    /// Of `s3cret` at cost 4, without the version; made with libxcrypt, as the other hashes here are.
    const REST: &str = "$04$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG";

    #[test]
    fn what_is_meant_as_a_hash() {
        for text in [
            "$2a$04$abc",
            "$2b$99$",
            "$2x$00$x",
            "$2y$12$\u{e4}\u{f6}",
            "$2a$10$ ",
        ] {
            assert!(is_hash(text), "{text}");
        }
        for text in [
            "",
            "s3cret",
            "$2a$",
            "$2a$4$abc",
            "$2a$04",
            "$2c$04$abc",
            "$2$04$abc",
            "$1a$04$abc",
            " $2a$04$abc",
            "$2A$04$abc",
            "$2a$+4$abc",
            "$2a$\u{0664}\u{0664}$abc",
            "$6$abc",
            "x$2a$04$abc",
        ] {
            assert!(!is_hash(text), "{text}");
        }
    }

    #[test]
    fn all_versions() {
        for version in ["$2a", "$2b", "$2x", "$2y"] {
            let hash = format!("{version}{REST}");
            assert!(fits(&hash, "s3cret"), "{hash}");
            for other in ["", "s3cre", "s3cret ", "S3cret", "s3cret\0"] {
                assert!(!fits(&hash, other), "{hash} {other:?}");
            }
            assert!(!fits(&hash, &hash), "a hash is not its own password");
        }
    }

    /// Published with jBCrypt, and one of the usual cost.
    #[test]
    fn published_vectors() {
        for (password, hash) in [
            (
                "",
                "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.",
            ),
            (
                "a",
                "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe",
            ),
            (
                "abc",
                "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i",
            ),
            (
                "abcdefghijklmnopqrstuvwxyz",
                "$2a$06$.rCVZVOThsIa97pEDOxvGuRRgzG64bvtJ0938xuqzv18d3ZpQhstC",
            ),
            (
                "~!@#$%^&*()      ~!@#$%^&*()PNBFRD",
                "$2a$06$fPIsBO8qRqkjj273rfaOI.HtSV9jLDpTbZn782DC6/t7qT67P6FfO",
            ),
        ] {
            assert!(fits(hash, password), "{password:?}");
            assert!(!fits(hash, "other"), "{password:?}");
        }
        assert!(fits(
            "$2b$04$abcdefghijklmnopqrstuuukcFUuF1uD2.SsVXl2Kxf7oTFxL3IEq",
            "gr\u{fc}\u{df}e"
        ));
    }

    #[test]
    fn what_is_behind_72_bytes_does_not_count() {
        let long = "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i";
        for length in [72, 73, 80, 4000] {
            assert!(fits(long, &"x".repeat(length)), "{length}");
        }
        assert!(fits(long, &format!("{}{}", "x".repeat(72), "anything")));
        assert!(!fits(long, &"x".repeat(71)));
        assert!(!fits(long, &format!("{}y", "x".repeat(71))));
        // One less, and the NUL at the end counts.
        let short = "$2b$04$abcdefghijklmnopqrstuu.gc7UY/21CSNJGJg21jJzx9QiOpJ9bO";
        assert!(fits(short, &"x".repeat(71)));
        assert!(!fits(short, &"x".repeat(72)));
        // A character that is cut in two.
        let cut = format!("{}\u{e4}", "x".repeat(71));
        assert!(!fits(long, &cut) && !fits(short, &cut));
    }

    #[test]
    fn a_nul_is_a_byte() {
        // The key is periodic: "ab\0ab" and its NUL are "ab\0" twice, the same to bcrypt. So it is in Go, too.
        let hash = |password: &str| {
            let key = Key::new(password);
            bcrypt::bcrypt(4, [7; 16], &key.0)
        };
        assert_eq!(hash("ab\0ab"), hash("ab"));
        assert_ne!(hash("ab\0c"), hash("ab"));
        assert_ne!(hash("\0ab"), hash("ab"));
        assert_eq!(hash(""), hash("\0"));
    }

    #[test]
    fn forms_that_only_go_reads() {
        // Stray bits in the last character of the salt, and text behind the hash.
        for (last, is_same_salt) in [("v", true), ("9", true), (".", false), ("e", false)] {
            let hash = format!("$2a{}", REST.replace("stuu", &format!("stu{last}")));
            assert_eq!(fits(&hash, "s3cret"), is_same_salt, "{hash}");
        }
        for behind in [" ", "\n", "junk", "\u{e4}"] {
            assert!(fits(&format!("$2a{REST}{behind}"), "s3cret"), "{behind:?}");
        }
    }

    #[test]
    fn hashes_that_nothing_fits() {
        let whole = format!("$2a{REST}");
        for length in HEAD_LEN..whole.len() {
            assert_eq!(Hash::parse(&whole[..length]), None, "{length}");
        }
        for cost in ["00", "03", "32", "99"] {
            assert_eq!(
                Hash::parse(&whole.replace("$04$", &format!("${cost}$"))),
                None
            );
        }
        // Not a character of the alphabet, in salt and sum; characters of more than a byte, in all places.
        for at in HEAD_LEN..whole.len() {
            for with in ["$", " ", "=", "+", "\0", "\u{e4}", "\u{20ac}", "\u{1f600}"] {
                let mut text = whole.clone();
                text.replace_range(at..=at, with);
                assert_eq!(Hash::parse(&text), None, "{text}");
            }
        }
        // Stray bits behind the sum: as in Go, which compares the text.
        let stray = whole.replace("yH5DG", "yH5DH");
        assert_eq!(Hash::parse(&stray), None);
        for text in [
            "",
            "$",
            "$2a",
            "$2a$04$",
            "\u{e4}\u{f6}\u{fc}\u{df}",
            "$2a$0\u{e4}$",
        ] {
            assert_eq!(Hash::parse(text), None, "{text}");
        }
    }

    #[test]
    fn decoys_have_every_cost_there_is() {
        for cost in 0..100 {
            assert!(COSTS.contains(&Hash::decoy(cost).cost()));
        }
        assert_eq!(Hash::decoy(11).cost(), 11);
        assert!(!format!("{:?}", Hash::decoy(11)).contains("sum"));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(\\$2[abxy]\\$0[0-4]\\$)?[./A-Za-z0-9\u{e4}$]{0,70}") {
            if let Some(hash) = Hash::parse(&text) {
                prop_assert!(!hash.fits(&Key::new(&text)));
            }
        }
    }
}
