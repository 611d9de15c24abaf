//! Parameters of a request: which there are, what they may be, and what is said if they are not.
//!
//! Texts and the order of checks are those of gnatsd 1.2.0, whose words are Go's.

use std::fmt::Display;

use gnatsd_core::proto::quote::Quoted;

use super::target::unescape;

/// Entries of a page unless asked otherwise. Source: gnatsd 1.2.0.
const LIMIT_DEFAULT: u64 = 1024;

/// Why a request is answered with status 400: the body, exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) Vec<u8>);

impl Refusal {
    /// `text` followed by what the client had sent, byte for byte.
    pub(super) fn naming(text: &str, sent: &[u8]) -> Self {
        Refusal([text.as_bytes(), sent].concat())
    }
}

/// The parameters of a request, decoded.
#[derive(Debug)]
pub(super) struct Query(Vec<(Vec<u8>, Vec<u8>)>);

impl Query {
    /// Takes what stands behind the `?`. A pair that is badly escaped is as if it were not there.
    pub(super) fn parse(raw: &[u8]) -> Self {
        let pairs = raw
            .split(|&b| b == b'&')
            .filter(|pair| !pair.is_empty() && !pair.contains(&b';'));
        let decoded = pairs.filter_map(|pair| {
            let mut parts = pair.splitn(2, |&b| b == b'=');
            let name = parts.next().unwrap_or_default();
            let value = parts.next().unwrap_or_default();
            Some((unescape(name, true)?, unescape(value, true)?))
        });
        Query(decoded.collect())
    }

    /// The first value of that name; an empty one counts as absent.
    pub(super) fn text(&self, name: &str) -> Option<&[u8]> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name.as_bytes())?;
        Some(value.as_slice()).filter(|value| !value.is_empty())
    }

    /// A boolean, false if absent.
    ///
    /// # Errors
    /// It is none of the words that Go takes for one.
    pub(super) fn boolean(&self, name: &str) -> Result<bool, Refusal> {
        match self.text(name) {
            None | Some(b"0" | b"f" | b"F" | b"FALSE" | b"false" | b"False") => Ok(false),
            Some(b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True") => Ok(true),
            Some(value) => Err(undecodable(
                "boolean",
                name,
                "ParseBool",
                value,
                NumberError::Syntax,
            )),
        }
    }

    /// A whole number with or without sign, 0 if absent.
    ///
    /// # Errors
    /// It is no such number, or does not fit 64 bits.
    pub(super) fn int(&self, name: &str) -> Result<i64, Refusal> {
        let Some(value) = self.text(name) else {
            return Ok(0);
        };
        parse_int(value).map_err(|e| undecodable("int", name, "Atoi", value, e))
    }

    /// A whole number without sign, 0 if absent.
    ///
    /// # Errors
    /// It is no such number, or does not fit 64 bits.
    pub(super) fn uint64(&self, name: &str) -> Result<u64, Refusal> {
        let Some(value) = self.text(name) else {
            return Ok(0);
        };
        parse_uint(value).map_err(|e| undecodable("uint64", name, "ParseUint", value, e))
    }

    /// `offset` and `limit`, in this order.
    ///
    /// # Errors
    /// One of them is no number.
    pub(super) fn window(&self) -> Result<Window, Refusal> {
        let offset = self.int("offset")?;
        let limit = self.int("limit")?;
        Ok(Window {
            offset: u64::try_from(offset).unwrap_or(0),
            limit: u64::try_from(limit)
                .ok()
                .filter(|&limit| limit > 0)
                .unwrap_or(LIMIT_DEFAULT),
        })
    }
}

/// Which part of a list to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Entries to leave out at the front.
    pub(super) offset: u64,
    /// Entries to show at most.
    pub(super) limit: u64,
}

impl Window {
    /// Entries at the front of the list that have to be known.
    pub(super) fn end(self) -> usize {
        usize::try_from(self.offset.saturating_add(self.limit)).unwrap_or(usize::MAX)
    }

    /// Entries to leave out at the front.
    pub(super) fn start(self) -> usize {
        usize::try_from(self.offset).unwrap_or(usize::MAX)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NumberError {
    Syntax,
    Range,
}

fn undecodable(
    kind: &str,
    name: &str,
    function: &str,
    value: &[u8],
    error: NumberError,
) -> Refusal {
    let value: &dyn Display = &Quoted(value);
    let error = match error {
        NumberError::Syntax => "invalid syntax",
        NumberError::Range => "value out of range",
    };
    let text =
        format!("Error decoding {kind} for '{name}': strconv.{function}: parsing {value}: {error}");
    Refusal(text.into_bytes())
}

/// Stops at the first thing wrong, as Go does: too large wins over a letter behind it.
fn parse_uint(text: &[u8]) -> Result<u64, NumberError> {
    if text.is_empty() {
        return Err(NumberError::Syntax);
    }
    let mut number: u64 = 0;
    for &byte in text {
        if !byte.is_ascii_digit() {
            return Err(NumberError::Syntax);
        }
        number = number
            .checked_mul(10)
            .and_then(|n| n.checked_add(u64::from(byte - b'0')))
            .ok_or(NumberError::Range)?;
    }
    Ok(number)
}

fn parse_int(text: &[u8]) -> Result<i64, NumberError> {
    match text {
        [b'-', digits @ ..] => 0i64
            .checked_sub_unsigned(parse_uint(digits)?)
            .ok_or(NumberError::Range),
        [b'+', digits @ ..] | digits => {
            i64::try_from(parse_uint(digits)?).map_err(|_| NumberError::Range)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
        String::from_utf8(result.unwrap_err().0).unwrap()
    }

    #[test]
    fn booleans() {
        for (value, want) in [
            ("1", true),
            ("t", true),
            ("T", true),
            ("TRUE", true),
            ("true", true),
            ("True", true),
            ("0", false),
            ("f", false),
            ("F", false),
            ("FALSE", false),
            ("false", false),
            ("False", false),
            ("", false),
        ] {
            let query = Query::parse(format!("subs={value}").as_bytes());
            assert_eq!(query.boolean("subs"), Ok(want), "{value:?}");
        }
        assert_eq!(
            refused(Query::parse(b"auth=xxx").boolean("auth")),
            r#"Error decoding boolean for 'auth': strconv.ParseBool: parsing "xxx": invalid syntax"#
        );
        for value in ["tRUE", "yes", "detail", "2", "%20"] {
            assert!(
                Query::parse(format!("auth={value}").as_bytes())
                    .boolean("auth")
                    .is_err()
            );
        }
    }

    #[test]
    fn integers() {
        let syntax = |s: &str| {
            format!(
                r#"Error decoding int for 'limit': strconv.Atoi: parsing "{s}": invalid syntax"#
            )
        };
        let range = |s: &str| {
            format!(
                r#"Error decoding int for 'limit': strconv.Atoi: parsing "{s}": value out of range"#
            )
        };
        let cases = [
            ("", Ok(0)),
            ("7", Ok(7)),
            ("%2B7", Ok(7)),
            ("-3", Ok(-3)),
            ("007", Ok(7)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("9223372036854775808", Err(range("9223372036854775808"))),
            ("-9223372036854775809", Err(range("-9223372036854775809"))),
            ("99999999999999999999", Err(range("99999999999999999999"))),
            ("99999999999999999999x", Err(range("99999999999999999999x"))),
            ("1.5", Err(syntax("1.5"))),
            ("a", Err(syntax("a"))),
            ("-", Err(syntax("-"))),
            ("+1", Err(syntax(" 1"))),
            ("1_0", Err(syntax("1_0"))),
            ("%00%FF", Err(syntax("\\x00\\xff"))),
        ];
        for (value, want) in cases {
            let got = Query::parse(format!("limit={value}").as_bytes()).int("limit");
            assert_eq!(
                got.map_err(|r| String::from_utf8(r.0).unwrap()),
                want,
                "{value:?}"
            );
        }
    }

    #[test]
    fn unsigned_integers_have_no_sign() {
        assert_eq!(
            Query::parse(b"cid=18446744073709551615").uint64("cid"),
            Ok(u64::MAX)
        );
        for (value, why) in [
            ("-1", "invalid syntax"),
            ("18446744073709551616", "value out of range"),
        ] {
            assert_eq!(
                refused(Query::parse(format!("cid={value}").as_bytes()).uint64("cid")),
                format!(
                    r#"Error decoding uint64 for 'cid': strconv.ParseUint: parsing "{value}": {why}"#
                )
            );
        }
        assert!(Query::parse(b"cid=%2B1").uint64("cid").is_err());
    }

    #[test]
    fn the_first_of_a_name_counts_and_bad_pairs_do_not() {
        let query = Query::parse(b"&a=1&a=2&b=%zz&b=3&c&d=x=y&%65=5&f=1;g=2&h=a+b");
        assert_eq!(query.text("a"), Some(&b"1"[..]));
        assert_eq!(query.text("b"), Some(&b"3"[..]));
        assert_eq!(query.text("c"), None);
        assert_eq!(query.text("d"), Some(&b"x=y"[..]));
        assert_eq!(query.text("e"), Some(&b"5"[..]));
        assert_eq!(query.text("f"), None);
        assert_eq!(query.text("h"), Some(&b"a b"[..]));
        assert_eq!(Query::parse(b"a=&a=2").text("a"), None);
    }

    #[test]
    fn windows() {
        let window = |raw: &str| Query::parse(raw.as_bytes()).window();
        assert_eq!(
            window(""),
            Ok(Window {
                offset: 0,
                limit: 1024
            })
        );
        assert_eq!(
            window("offset=-2&limit=-3"),
            Ok(Window {
                offset: 0,
                limit: 1024
            })
        );
        assert_eq!(
            window("offset=4&limit=0"),
            Ok(Window {
                offset: 4,
                limit: 1024
            })
        );
        assert_eq!(window("offset=1&limit=3").unwrap().end(), 4);
        let huge = window("offset=9223372036854775807&limit=9223372036854775807").unwrap();
        assert_eq!(huge.start(), i64::MAX as usize);
        assert_eq!(huge.end(), u64::MAX as usize - 1);
        assert!(refused(window("offset=a&limit=b")).contains("'offset'"));
    }
}
