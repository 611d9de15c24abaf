//! Go's quoting of text, as in the error texts and log lines that clients and scripts read.

use std::fmt::{self, Write};

/// Displays bytes as Go's `%q` does: `"` and `\` escaped, control bytes as `\x01`,
/// bad UTF-8 as `\xff`, printable text as it is.
pub struct Quoted<'a>(
    /// What to show.
    pub &'a [u8],
);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '"' => f.write_str("\\\"")?,
                    '\\' => f.write_str("\\\\")?,
                    '\u{7}' => f.write_str("\\a")?,
                    '\u{8}' => f.write_str("\\b")?,
                    '\u{c}' => f.write_str("\\f")?,
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    '\u{b}' => f.write_str("\\v")?,
                    c if (c as u32) < 0x20 || c == '\u{7f}' => write!(f, "\\x{:02x}", c as u32)?,
                    c if is_unprintable(c) => write_unicode_escape(f, c)?,
                    c => f.write_char(c)?,
                }
            }
            for b in chunk.invalid() {
                write!(f, "\\x{b:02x}")?;
            }
        }
        f.write_char('"')
    }
}

/// Displays bytes as they are but for control bytes and bad UTF-8, which would let a peer
/// write into a log or a terminal.
pub struct Printable<'a>(
    /// What to show.
    pub &'a [u8],
);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() {
                    write!(f, "{}", c.escape_default())?
                } else {
                    f.write_char(c)?
                }
            }
            for b in chunk.invalid() {
                write!(f, "\\x{b:02x}")?;
            }
        }
        Ok(())
    }
}

/// Characters Go does not print: other controls, and blanks that are not the ASCII one.
fn is_unprintable(c: char) -> bool {
    c.is_control() || (c.is_whitespace() && c != ' ') || c == '\u{feff}' || c == '\u{ad}'
}

fn write_unicode_escape(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    let code = c as u32;
    if code <= 0xffff {
        write!(f, "\\u{code:04x}")
    } else {
        write!(f, "\\U{code:08x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_like_go() {
        let cases: &[(&[u8], &str)] = &[
            (b"foo", r#""foo""#),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"\x01\r\n\t", r#""\x01\r\n\t""#),
            (b"\xff\xc3", r#""\xff\xc3""#),
            ("é\u{85}\u{a0}".as_bytes(), r#""é\u0085\u00a0""#),
            (b"", r#""""#),
        ];
        for (input, want) in cases {
            assert_eq!(Quoted(input).to_string(), *want);
        }
    }
}
