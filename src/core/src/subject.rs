//! Subjects: tokens split at `.`, what is valid, what is a wildcard, what matches.
//!
//! Works on bytes: a subject may hold anything but blank, tab, CR and LF. Knows nothing of subscriptions.
//! The rules are gnatsd 1.2.0's. A published subject may have empty tokens: each is a token like any other,
//! which `*` and `>` match. (1.2.0 does so too, but for a cached result; 2.x lets them match nothing.)

/// Separates the tokens of a subject.
pub const TOKEN_SEPARATOR: u8 = b'.';

/// The tokens of `subject`, in order; an empty subject has one empty token.
pub fn tokens(subject: &[u8]) -> impl Iterator<Item = &[u8]> {
    subject.split(|&byte| byte == TOKEN_SEPARATOR)
}

/// Whether `subject` may be subscribed to: no empty token, and `>` only as the last one.
///
/// `*` and `>` are wildcards only as whole tokens, so `foo*`, `foo.**` and `foo.>x` are valid (and literal).
pub fn is_valid_subscription(subject: &[u8]) -> bool {
    let mut tokens = tokens(subject).peekable();
    while let Some(token) = tokens.next() {
        if token.is_empty() || (token == b">" && tokens.peek().is_some()) {
            return false;
        }
    }
    true
}

/// Whether `subject` is a well-formed subject to publish to: no empty token and no wildcard.
///
/// Only a pedantic connection is told; the message is matched all the same.
pub fn is_valid_literal(subject: &[u8]) -> bool {
    tokens(subject).all(|token| !token.is_empty() && token != b"*" && token != b">")
}

/// Whether some token of `subject` is `*` or `>`.
pub fn has_wildcard(subject: &[u8]) -> bool {
    // Most subjects hold neither byte at all, and finding that out needs no tokens.
    memchr::memchr2(b'*', b'>', subject).is_some()
        && tokens(subject).any(|token| token == b"*" || token == b">")
}

/// Whether a message published to `subject` reaches a subscription to `pattern`.
///
/// The published subject is taken token by token literally: `foo.*` reaches `foo.*` and `foo.>`, never
/// `foo.bar`. False if the pattern is malformed or the subject empty.
///
/// # Cost
/// Linear in the shorter text, no allocation. The interest table does not match this way; this is for
/// single questions, and the oracle of its tests.
pub fn matches(pattern: &[u8], subject: &[u8]) -> bool {
    if subject.is_empty() {
        return false;
    }
    let mut wanted = tokens(pattern);
    let mut given = tokens(subject);
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) => return wanted.next().is_none(),
            (Some(b"*"), Some(_)) => {}
            (Some(want), Some(token)) if want == token => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn validity() {
        // (subject, valid for SUB, valid for a pedantic PUB, has a wildcard)
        let table: &[(&str, bool, bool, bool)] = &[
            ("foo", true, true, false),
            ("foo.bar", true, true, false),
            ("FOO.é.\0", true, true, false),
            ("$SYS.x", true, true, false),
            ("*", true, false, true),
            (">", true, false, true),
            ("foo.*", true, false, true),
            ("foo.>", true, false, true),
            ("*.*.>", true, false, true),
            ("foo*", true, true, false),
            ("foo.**", true, true, false),
            ("foo.>x", true, true, false),
            ("foo.x>", true, true, false),
            ("", false, false, false),
            (".", false, false, false),
            (".foo", false, false, false),
            ("foo.", false, false, false),
            ("a..b", false, false, false),
            (">.d", false, false, true),
            ("a.>.b", false, false, true),
            (">.", false, false, true),
            ("*.", false, false, true),
        ];
        for &(subject, subscription, literal, wildcard) in table {
            let bytes = subject.as_bytes();
            assert_eq!(
                is_valid_subscription(bytes),
                subscription,
                "SUB {subject:?}"
            );
            assert_eq!(is_valid_literal(bytes), literal, "PUB {subject:?}");
            assert_eq!(has_wildcard(bytes), wildcard, "wildcard {subject:?}");
        }
        assert!(is_valid_subscription(["a"; 120].join(".").as_bytes()));
    }

    #[test]
    fn matching() {
        for &(subject, pattern, expected) in MATCHING {
            assert_eq!(
                matches(pattern.as_bytes(), subject.as_bytes()),
                expected,
                "published {subject:?}, subscribed {pattern:?}"
            );
        }
    }

    /// Published subject, subscribed subject, whether they match: observed on gnatsd 1.2.0. Shared with the tests of the interest table.
    pub(crate) const MATCHING: &[(&str, &str, bool)] = &[
        ("foo", "foo", true),
        ("foo", "*", true),
        ("foo", ">", true),
        ("foo.bar", "*", false),
        ("foo.bar", "foo.>", true),
        ("foo", "foo.>", false),
        ("foo", "foo.*", false),
        ("foo.bar.baz", "foo.*", false),
        ("foo.bar.baz", "foo.*.baz", true),
        ("foo.bar.baz", "*.bar.>", true),
        ("foo.bar", "*.bar.>", false),
        ("a.b.c.d", "a.*.c.*", true),
        ("a.b.c.d", "a.b.c.d.>", false),
        ("FOO", "foo", false),
        ("_INBOX.x.y", "_INBOX.*", false),
        ("foo.", "foo.*", true),
        ("foo.", "foo.>", true),
        ("foo.", ">", true),
        ("foo..bar", "foo.*.bar", true),
        ("foo..bar", "foo.>", true),
        (".foo", "*.foo", true),
        (".foo", ">", true),
        (".", ">", true),
        (".", "*.*", true),
        ("", ">", false),
        ("", "*", false),
        ("foo.*", "foo.*", true),
        ("foo.*", "foo.bar", false),
        ("foo.*", "foo.>", true),
        ("foo.*", "*.*", true),
        ("foo.*", ">", true),
        ("foo.>", "foo.*", true),
        ("foo.>", "foo.>", true),
        (">", "*", true),
        ("*", "foo", false),
        ("*.>", "*.*", true),
        ("foo.>.bar", "foo.>", true),
        ("foo.>.bar", "foo.*.bar", true),
        ("foo*", "foo*", true),
        ("foobar", "foo*", false),
        ("foo.bar", "foo.b*", false),
        ("**", "*", true),
        ("foo>", "foo*", false),
        ("$SYS.x", ">", true),
        ("_SYS.x", ">", true),
        ("foo.é", "foo.*", true),
    ];
}
