//! Distinguished names as text (RFC 4514), as far as names of users need it.
//!
//! Follows nats-server's `internal/ldap`, and is stricter in two points: a name that ends in the middle is none, and
//! an `=` within a value is part of it.

/// The parts of a name, such as `CN=alice` in `CN=alice,O=Acme`. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct DistinguishedName(Vec<Part>);

/// Attributes that belong together, sorted: mostly one, more with `+` between them.
type Part = Vec<Attribute>;

/// Type in small letters, value as it is.
type Attribute = (Vec<u8>, Vec<u8>);

impl DistinguishedName {
    /// Reads a name; `None` if the text is none, or has a value in BER (`#04...`).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut part = Part::new();
        let mut rest = text.as_bytes();
        loop {
            let at = rest.iter().position(|&byte| byte == b'=')?;
            let (kind, value) = rest.split_at_checked(at)?;
            let kind = kind.trim_ascii().to_ascii_lowercase();
            let is_type = |&byte: &u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
            if kind.is_empty() || !kind.iter().all(is_type) {
                return None;
            }
            let (value, end, behind) = parse_value(value.get(1..)?)?;
            part.push((kind, value));
            if end != Some(b'+') {
                part.sort();
                parts.push(std::mem::take(&mut part));
            }
            if end.is_none() {
                return Some(DistinguishedName(parts));
            }
            rest = behind;
        }
    }

    /// The same parts in an order that does not depend on theirs.
    pub(super) fn sorted(&self) -> Self {
        let mut sorted = self.clone();
        sorted.0.sort();
        sorted
    }
}

/// A value up to an unescaped `,` or `+`: the value without the blanks around it, what ended it (`None` for the end of
/// the text), and what is behind that.
fn parse_value(text: &[u8]) -> Option<(Vec<u8>, Option<u8>, &[u8])> {
    let mut rest = text.trim_ascii_start();
    if rest.first() == Some(&b'#') {
        return None;
    }
    let mut value = Vec::new();
    // Invariant: what of `value` was escaped, or is no blank at its end, is within these bytes.
    let mut kept = 0;
    loop {
        rest = match rest {
            [end @ (b',' | b'+'), behind @ ..] => {
                value.truncate(kept);
                return Some((value, Some(*end), behind));
            }
            [] => {
                value.truncate(kept);
                // `CN=` at the end is a name that stops in the middle.
                return (kept > 0).then_some((value, None, rest));
            }
            [b'\\', behind @ ..] => {
                let (byte, behind) = parse_escaped(behind)?;
                value.push(byte);
                kept = value.len();
                behind
            }
            [byte, behind @ ..] => {
                value.push(*byte);
                if *byte != b' ' {
                    kept = value.len();
                }
                behind
            }
        };
    }
}

/// What is behind a backslash: a special character or two hexadecimal digits.
fn parse_escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match text {
        [
            special @ (b' ' | b'"' | b'#' | b'+' | b',' | b';' | b'<' | b'=' | b'>' | b'\\'),
            rest @ ..,
        ] => Some((*special, rest)),
        [high, low, rest @ ..] => {
            let byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
            Some((byte, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Option<Vec<Vec<(String, String)>>> {
        let string = |bytes| String::from_utf8(bytes).unwrap();
        let attribute = |(kind, value)| (string(kind), string(value));
        let part = |part: Part| part.into_iter().map(attribute).collect();
        let DistinguishedName(parts) = DistinguishedName::parse(text)?;
        Some(parts.into_iter().map(part).collect())
    }

    fn single(pairs: &[(&str, &str)]) -> Option<Vec<Vec<(String, String)>>> {
        let part = |(kind, value): &(&str, &str)| vec![((*kind).to_owned(), (*value).to_owned())];
        Some(pairs.iter().map(part).collect())
    }

    #[test]
    fn parts_and_escapes() {
        for (text, expected) in [
            ("CN=a", &[("cn", "a")][..]),
            ("CN=a,O=b c", &[("cn", "a"), ("o", "b c")]),
            (" cn = a ,  o= b ", &[("cn", "a"), ("o", "b")]),
            ("CN=a\\,b,O=c", &[("cn", "a,b"), ("o", "c")]),
            ("CN=a\\ ,O=\\ c", &[("cn", "a "), ("o", " c")]),
            ("CN=\\c3\\A4", &[("cn", "\u{e4}")]),
            ("CN=a=b,O==", &[("cn", "a=b"), ("o", "=")]),
            ("CN=,O=c", &[("cn", ""), ("o", "c")]),
            (
                "0.9.2342.19200300.100.1.25=x",
                &[("0.9.2342.19200300.100.1.25", "x")],
            ),
            ("CN=\\#a", &[("cn", "#a")]),
        ] {
            assert_eq!(parse(text), single(expected), "{text}");
        }
        let pair = |kind: &str, value: &str| (kind.to_owned(), value.to_owned());
        let both = vec![vec![pair("cn", "a"), pair("ou", "b")], vec![pair("o", "c")]];
        assert_eq!(parse("OU=b+CN=a,O=c"), Some(both));
    }

    #[test]
    fn texts_that_are_none() {
        for text in [
            "",
            " ",
            "alice",
            "CN",
            "CN=",
            "CN=a,",
            "CN=a,O",
            "CN=a,O=",
            "CN=a+",
            "=a",
            "CN=a,=b",
            "C N=a",
            "CN=#0401",
            "CN=a\\",
            "CN=a\\4",
            "CN=a\\zz",
            "a@x",
            "CN=a,,O=b",
            "CN= ",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[CNO=,+#\\\\ a4\u{e4}]{0,40}") {
            if let Some(name) = DistinguishedName::parse(&text) {
                prop_assert_eq!(name.sorted(), name.sorted().sorted());
            }
        }
    }
}
