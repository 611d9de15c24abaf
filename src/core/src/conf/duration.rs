//! Durations as Go writes and reads them, the form NATS configurations and logs use.

use std::fmt;
use std::time::Duration;

/// Nanoseconds in each unit. Micro has two code points for its sign, as in Go.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Why a text is no usable duration. The texts are those of Go but for the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// Not a duration at all, or one of more than 292 years.
    Invalid(String),
    /// A number without its unit.
    MissingUnit(String),
    /// A unit Go does not have.
    UnknownUnit {
        /// The unit found.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// Less than nothing; no setting here has a use for that.
    Negative(String),
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DurationError::Invalid(text) => write!(f, "time: invalid duration {text:?}"),
            DurationError::MissingUnit(text) => {
                write!(f, "time: missing unit in duration {text:?}")
            }
            DurationError::UnknownUnit { unit, text } => {
                write!(f, "time: unknown unit {unit:?} in duration {text:?}")
            }
            DurationError::Negative(text) => write!(f, "duration {text:?} is negative"),
        }
    }
}

impl std::error::Error for DurationError {}

/// Reads a duration in Go's syntax: `2s`, `1m30s`, `500ms`, `1.5h`, `0`.
///
/// # Errors
/// Anything else, negative durations and those of more than 2^63 ns.
pub fn parse_go_duration(text: &str) -> Result<Duration, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (is_negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let end = after
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(text.to_owned()));
        }
        let Some(&(_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit {
                unit: unit.to_owned(),
                text: text.to_owned(),
            });
        };
        let whole: u64 = if whole.is_empty() {
            0
        } else {
            whole.parse().map_err(|_| invalid())?
        };
        let part = whole
            .checked_mul(size)
            .and_then(|n| n.checked_add(scale(fraction, size)));
        nanos = part
            .and_then(|n| n.checked_add(nanos))
            .ok_or_else(invalid)?;
        rest = after;
    }
    if i64::try_from(nanos).is_err() {
        return Err(invalid());
    }
    if is_negative && nanos > 0 {
        return Err(DurationError::Negative(text.to_owned()));
    }
    Ok(Duration::from_nanos(nanos))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// `0.<digits>` of `size`, cut to whole nanoseconds. 15 digits are finer than any unit needs.
fn scale(digits: &str, size: u64) -> u64 {
    let digits = &digits[..digits.len().min(15)];
    let mut numerator: u128 = 0;
    let mut denominator: u128 = 1;
    for digit in digits.bytes() {
        numerator = numerator * 10 + u128::from(digit - b'0');
        denominator *= 10;
    }
    u64::try_from(numerator * u128::from(size) / denominator).unwrap_or(u64::MAX)
}

/// Prints a duration as Go does: `2s`, `1.5s`, `2m0s`, `1h30m0s`, `500ms`, `1.5µs`, `0s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        let (size, unit) = match nanos {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "\u{b5}s"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        let (whole, fraction) = (nanos / size, nanos % size);
        if unit == "s" && whole >= 3600 {
            write!(f, "{}h", whole / 3600)?;
        }
        if unit == "s" && whole >= 60 {
            write!(f, "{}m", whole / 60 % 60)?;
        }
        write!(f, "{}", if unit == "s" { whole % 60 } else { whole })?;
        if fraction > 0 {
            let width = usize::try_from(size.ilog10()).unwrap_or(0);
            let digits = format!("{fraction:0width$}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let table: &[(&str, u64)] = &[
            ("2s", 2_000_000_000),
            ("1m30s", 90_000_000_000),
            ("500ms", 500_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("1us", 1_000),
            ("1\u{b5}s", 1_000),
            ("7ns", 7),
            ("0", 0),
            ("-0", 0),
            ("-0s", 0),
            ("0.1234567891234567891234ms", 123_456),
        ];
        for &(text, nanos) in table {
            assert_eq!(
                parse_go_duration(text),
                Ok(Duration::from_nanos(nanos)),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_with_the_texts_of_go() {
        let table = [
            ("abc", r#"time: invalid duration "abc""#),
            ("", r#"time: invalid duration """#),
            ("-", r#"time: invalid duration "-""#),
            (".s", r#"time: invalid duration ".s""#),
            ("5", r#"time: missing unit in duration "5""#),
            ("5x", r#"time: unknown unit "x" in duration "5x""#),
            ("5 s", r#"time: unknown unit " s" in duration "5 s""#),
            ("9999999999h", r#"time: invalid duration "9999999999h""#),
            (
                "99999999999999999999999s",
                r#"time: invalid duration "99999999999999999999999s""#,
            ),
            ("-2s", r#"duration "-2s" is negative"#),
        ];
        for (text, error) in table {
            assert_eq!(parse_go_duration(text).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn prints_what_go_prints() {
        let table: &[(u64, &str)] = &[
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5\u{b5}s"),
            (2_000_000, "2ms"),
            (1_000_001, "1.000001ms"),
            (1_500_000_000, "1.5s"),
            (2_000_000_000, "2s"),
            (120_000_000_000, "2m0s"),
            (90_500_000_000, "1m30.5s"),
            (5_400_000_000_000, "1h30m0s"),
            (3_600_000_000_001, "1h0m0.000000001s"),
        ];
        for &(nanos, text) in table {
            assert_eq!(GoDuration(Duration::from_nanos(nanos)).to_string(), text);
            assert_eq!(parse_go_duration(text), Ok(Duration::from_nanos(nanos)));
        }
    }
}
