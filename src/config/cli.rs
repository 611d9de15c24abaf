//! Command line to flags with values, by the rules of Go's `flag` package.
//!
//! Written by hand: NATS servers take long names with one dash (`-config`, `-DV`, `-sl`), which
//! the usual crates read as bundles of short ones. With a translation in front of them for names,
//! bools, numbers and error texts, little would be left for such a crate to do.

use super::flags::{self, Effect, Flag, Kind};

/// A command line taken apart.
pub(super) struct Parsed {
    /// Flags in their order, repeats included: the last one wins when they are applied.
    pub(super) given: Vec<Given>,
    /// The first word that is no flag.
    pub(super) word: Option<String>,
}

/// One flag as it was given.
pub(super) struct Given {
    pub(super) flag: &'static Flag,
    /// As typed, with its dashes, without its value.
    pub(super) typed: String,
    pub(super) value: FlagValue,
}

/// Value of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FlagValue {
    Bool(bool),
    Int(i64),
    Text(String),
}

impl FlagValue {
    /// Whether it is what a flag that was not given has: asking for nothing.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            FlagValue::Bool(value) => !value,
            FlagValue::Int(number) => *number == 0,
            FlagValue::Text(text) => text.is_empty(),
        }
    }
}

/// Takes a command line, without the program's name, apart.
///
/// # Errors
/// The text Go prints, ready for standard error.
pub(super) fn parse(arguments: Vec<String>) -> Result<Parsed, String> {
    let mut arguments = arguments.into_iter();
    let mut given = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            let word = arguments.next();
            return Ok(Parsed { given, word });
        }
        let Some(body) = argument.strip_prefix('-').filter(|body| !body.is_empty()) else {
            return Ok(Parsed {
                given,
                word: Some(argument),
            });
        };
        let body = body.strip_prefix('-').unwrap_or(body);
        if body.starts_with(['-', '=']) {
            return Err(format!("bad flag syntax: {argument}"));
        }
        let (name, attached) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        let flag =
            flags::find(name).ok_or_else(|| format!("flag provided but not defined: -{name}"))?;
        let value = match (flag.effect.kind(), attached) {
            (Kind::Bool, None) => FlagValue::Bool(true),
            (Kind::Bool, Some(text)) => FlagValue::Bool(parse_bool(&text).ok_or_else(|| {
                format!("invalid boolean value {text:?} for -{name}: parse error")
            })?),
            (kind, attached) => {
                let text = attached
                    .or_else(|| arguments.next())
                    .ok_or_else(|| format!("flag needs an argument: -{name}"))?;
                match kind {
                    Kind::Int => FlagValue::Int(
                        parse_int(&text).map_err(|why| invalid_value(&text, name, why))?,
                    ),
                    _ => FlagValue::Text(text),
                }
            }
        };
        let dashes = argument.len() - argument.trim_start_matches('-').len();
        let typed = format!("{}{name}", &argument[..dashes]);
        given.push(Given { flag, typed, value });
    }
    Ok(Parsed { given, word: None })
}

/// The text of Go for a value that a flag cannot have.
pub(super) fn invalid_value(text: &str, name: &str, why: impl std::fmt::Display) -> String {
    format!("invalid value {text:?} for flag -{name}: {why}")
}

impl Parsed {
    /// Whether a flag with this effect was given, and with what value last.
    pub(super) fn is_asked(&self, wanted: fn(&Effect) -> bool) -> bool {
        let last = self.given.iter().rfind(|given| wanted(&given.flag.effect));
        last.is_some_and(|given| !given.value.is_nothing())
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Decimal, `0x` hexadecimal or, with a leading 0, octal.
fn parse_int(text: &str) -> Result<i64, &'static str> {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let (digits, radix) = match digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    // A second sign would be read too.
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err("parse error");
    }
    let number = i128::from_str_radix(digits, radix).map_err(|_| "value out of range")?;
    i64::try_from(sign * number).map_err(|_| "value out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Parsed, String> {
        parse(
            line.split_whitespace()
                .map(|word| word.replace("''", ""))
                .collect(),
        )
    }

    /// Names and values as `name=value`, then the word.
    fn shown(line: &str) -> String {
        let parsed = parsed(line).unwrap();
        let mut words: Vec<String> = Vec::new();
        for given in parsed.given {
            let name = given.flag.names[0];
            words.push(match given.value {
                FlagValue::Bool(value) => format!("{name}={value}"),
                FlagValue::Int(number) => format!("{name}={number}"),
                FlagValue::Text(text) => format!("{name}={text}"),
            });
        }
        words.extend(parsed.word.map(|word| format!("[{word}]")));
        words.join(" ")
    }

    #[test]
    fn takes_what_go_takes() {
        for (line, expected) in [
            ("", ""),
            ("-c f --config g -config=h --c=i", "c=f c=g c=h c=i"),
            ("-p 4222 --p=1 -port -1", "p=4222 p=1 p=-1"),
            (
                "-p 0x1F -p 014200 -p -0x10 -p +5 -p 0",
                "p=31 p=6272 p=-16 p=5 p=0",
            ),
            (
                "-DV --DV -D=false -T=f -V=1 -V=True",
                "DV=true DV=true D=false T=false V=true V=true",
            ),
            ("-D false -p 1", "D=true [false]"),
            ("-D -- -p 1", "D=true [-p]"),
            ("-D --", "D=true"),
            ("version -p x", "[version]"),
            ("- -p 1", "[-]"),
            ("-c '' -a=", "c= a="),
            ("-a -p", "a=-p"),
            ("-c=a=b", "c=a=b"),
            ("-sl quit=5 --tls", "sl=quit=5 tls=true"),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
        assert_eq!(parsed("--tls").unwrap().given[0].typed, "--tls");
        assert_eq!(parsed("-r=x").unwrap().given[0].typed, "-r");
    }

    #[test]
    fn refuses_in_the_words_of_go() {
        for (line, expected) in [
            ("--bogus", "flag provided but not defined: -bogus"),
            ("-p4222", "flag provided but not defined: -p4222"),
            ("-Dp 1", "flag provided but not defined: -Dp"),
            ("-d", "flag provided but not defined: -d"),
            ("-p", "flag needs an argument: -p"),
            ("--config", "flag needs an argument: -config"),
            ("-p abc", r#"invalid value "abc" for flag -p: parse error"#),
            ("-p=", r#"invalid value "" for flag -p: parse error"#),
            ("-p 09", r#"invalid value "09" for flag -p: parse error"#),
            ("-p 0x", r#"invalid value "0x" for flag -p: parse error"#),
            ("-p --5", r#"invalid value "--5" for flag -p: parse error"#),
            (
                "-p 9223372036854775808",
                r#"invalid value "9223372036854775808" for flag -p: value out of range"#,
            ),
            (
                "-p 99999999999999999999999999999999999999999999",
                r#"invalid value "99999999999999999999999999999999999999999999" for flag -p: value out of range"#,
            ),
            (
                "-D=maybe",
                r#"invalid boolean value "maybe" for -D: parse error"#,
            ),
            ("-D=", r#"invalid boolean value "" for -D: parse error"#),
            ("---p 1", "bad flag syntax: ---p"),
            ("-=v", "bad flag syntax: -=v"),
            ("--=v", "bad flag syntax: --=v"),
        ] {
            assert_eq!(parsed(line).err().as_deref(), Some(expected), "{line}");
        }
    }
}
