//! What can be wrong with a configuration text, and the words for it.
//!
//! The texts are those of gnatsd 1.2.0, or of 2.x where 1.2.0 hung or crashed; in front of
//! them stands the place, as `file:line:column: `, which 1.2.0 did not give.

use std::fmt::{self, Write as _};

use super::value::Position;

/// A configuration that cannot be read, and where it goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfError {
    /// Where; `None` if the file itself could not be read.
    pub position: Option<Position>,
    /// What.
    pub problem: Problem,
}

/// A character that stands where it must not; `None` is the end of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found(pub Option<char>);

/// What was being read when the input ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// A string, or a key at top level.
    Text,
    /// A map, between its keys and values.
    Map,
    /// A bare key of a map.
    MapKey,
    /// A key of a map in single quotes.
    QuotedMapKey,
    /// A key of a map in double quotes.
    DoubleQuotedMapKey,
    /// An array.
    Array,
    /// A block in parentheses.
    Block,
    /// The path of an include in single quotes.
    QuotedInclude,
    /// The path of an include in double quotes.
    DoubleQuotedInclude,
}

/// Everything that can be wrong with a configuration text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The input ends too early.
    UnexpectedEof(Within),
    /// Something follows a value at top level.
    AfterTopValue(Found),
    /// Something follows a value in a map.
    AfterMapValue(Found),
    /// Something follows a value in an array.
    AfterArrayValue(Found),
    /// A comma without a value in an array.
    EmptyArrayValue,
    /// A terminator right behind the separator in a map.
    EmptyMapValue(char),
    /// A closing brace where the value of a key should be.
    MissingMapValue,
    /// A separator without a key at top level.
    TopSeparator(char),
    /// A separator without a key in a map.
    MapSeparator(char),
    /// The line ends where a value should be.
    NewLineForValue,
    /// A value that begins with a point.
    FloatStart,
    /// A point right behind a minus.
    NegativeFloatStart,
    /// No digit behind the point.
    FloatDigit(Found),
    /// No digit behind the minus.
    Digit(Found),
    /// A number with a minus in it that is no date.
    DateForm,
    /// A letter in a date where a digit should be.
    DateDigit(Found),
    /// A mark of a date (`-`, `T`, `:`, `Z`) is missing.
    DateMark {
        /// The mark.
        expected: char,
        /// What stands there.
        found: Found,
    },
    /// A date that no calendar has.
    DateValue(String),
    /// A backslash with a character that means nothing behind it.
    Escape(Found),
    /// Other than two hexadecimal digits behind `\x`.
    HexDigits(String),
    /// The line ends behind `\x`.
    HexEnd,
    /// More than 64 bits, the suffix included.
    IntegerRange(String),
    /// More than a double can hold.
    FloatRange(String),
    /// Text that is not UTF-8, possibly by its `\x` escapes.
    NotUtf8,
    /// No key so far and no environment variable of that name.
    VariableNotFound {
        /// The name, without `$`.
        name: String,
        /// The line of the reference.
        line: u32,
    },
    /// The value of an environment variable refers to itself.
    VariableCycle(String),
    /// `include` with something that is no path.
    IncludeStart(&'static str),
    /// `include` in the value of an environment variable.
    IncludeInVariable,
    /// A file that includes itself, possibly through others.
    IncludeCycle,
    /// A mistake in an included file.
    Include {
        /// The path as written.
        path: String,
        /// The mistake.
        inner: Box<ConfError>,
    },
    /// The file cannot be read; the text is the caller's.
    File(String),
    /// More levels of maps, arrays, includes and variables than allowed.
    TooDeep,
    /// More text, or more copies of variables, than allowed.
    TooLarge,
}

impl Problem {
    pub(super) fn at(self, position: Position) -> ConfError {
        ConfError {
            position: Some(position),
            problem: self,
        }
    }
}

impl fmt::Display for ConfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = &self.position {
            write!(f, "{position}: ")?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for ConfError {}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("EOF"),
            Some(c) => f.write_char(c),
        }
    }
}

/// Keeps an error on one line and away from the terminal, whatever text it quotes.
pub(super) struct OneLine<'a, 'f>(pub(super) &'a mut fmt::Formatter<'f>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c.is_control() {
                write!(self.0, "{}", c.escape_default())?;
            } else {
                self.0.write_char(c)?;
            }
        }
        Ok(())
    }
}

impl Within {
    fn text(self) -> &'static str {
        match self {
            Within::Text => "Unexpected EOF.",
            Within::Map => "Unexpected EOF processing map.",
            Within::MapKey => "Unexpected EOF processing map key.",
            Within::QuotedMapKey => "Unexpected EOF processing quoted map key.",
            Within::DoubleQuotedMapKey => "Unexpected EOF processing double quoted map key.",
            Within::Array => "Unexpected EOF processing array.",
            Within::Block => "Unexpected EOF processing block.",
            Within::QuotedInclude => "Unexpected EOF in quoted include",
            Within::DoubleQuotedInclude => "Unexpected EOF in double quoted include",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = OneLine(f);
        match self {
            Problem::UnexpectedEof(within) => f.write_str(within.text()),
            Problem::AfterTopValue(found) => {
                write!(
                    f,
                    "Expected a top-level value to end with a new line, comment or EOF, but got '{found}' instead."
                )
            }
            Problem::AfterMapValue(found) => {
                write!(
                    f,
                    "Expected a map value terminator \",\" or a map terminator \"}}\", but got '{found}' instead."
                )
            }
            Problem::AfterArrayValue(found) => {
                write!(
                    f,
                    "Expected an array value terminator \",\" or an array terminator \"]\", but got '{found}' instead."
                )
            }
            Problem::EmptyArrayValue => f.write_str("Unexpected array value terminator ','."),
            Problem::EmptyMapValue(found) => {
                write!(f, "Unexpected map value terminator \"{found}\".")
            }
            Problem::MissingMapValue => {
                f.write_str("Expected a value but found the map terminator \"}\".")
            }
            Problem::TopSeparator(found) => write!(f, "Unexpected key separator '{found}'"),
            Problem::MapSeparator(found) => write!(f, "Unexpected key separator '{found}'."),
            Problem::NewLineForValue => f.write_str("Expected value but found new line"),
            Problem::FloatStart => f.write_str("Floats must start with a digit"),
            Problem::NegativeFloatStart => f.write_str("Floats must start with a digit, not '.'."),
            Problem::FloatDigit(found) => {
                write!(
                    f,
                    "Floats must have a digit after the '.', but got '{found}' instead."
                )
            }
            Problem::Digit(found) => write!(f, "Expected a digit but got '{found}'."),
            Problem::DateForm => f.write_str("All ISO8601 dates must be in full Zulu form."),
            Problem::DateDigit(found) => {
                write!(
                    f,
                    "Expected digit in ISO8601 datetime, but found '{found}' instead."
                )
            }
            Problem::DateMark { expected, found } => {
                write!(
                    f,
                    "Expected '{expected}' in ISO8601 datetime, but found '{found}' instead."
                )
            }
            Problem::DateValue(text) => {
                write!(f, "Expected Zulu formatted DateTime, but got '{text}'.")
            }
            Problem::Escape(found) => write!(
                f,
                "Invalid escape character '{found}'. Only the following escape characters are allowed: \
                 \\xXX, \\t, \\n, \\r, \\\", \\\\."
            ),
            Problem::HexDigits(found) => {
                write!(
                    f,
                    "Expected two hexadecimal digits after '\\x', but got '{found}'"
                )
            }
            Problem::HexEnd => {
                f.write_str("Expected two hexadecimal digits after '\\x', but hit end of line")
            }
            Problem::IntegerRange(text) => write!(f, "Integer '{text}' is out of the range."),
            Problem::FloatRange(text) => write!(f, "Float '{text}' is out of the range."),
            Problem::NotUtf8 => f.write_str("Text is not valid UTF-8."),
            Problem::VariableNotFound { name, line } => {
                write!(
                    f,
                    "Variable reference for '{name}' on line {line} can not be found."
                )
            }
            Problem::VariableCycle(name) => write!(f, "variable reference cycle for '{name}'"),
            Problem::IncludeStart(found) => write!(f, "Expected include value but found {found}"),
            Problem::IncludeInVariable => {
                f.write_str("Environment variables can not include files.")
            }
            Problem::IncludeCycle => f.write_str("the file includes itself"),
            Problem::Include { path, inner } => {
                write!(f, "Error parsing include file '{path}', {inner}.")
            }
            Problem::File(error) => write!(f, "error opening config file: {error}"),
            Problem::TooDeep => {
                write!(
                    f,
                    "Nested deeper than {} levels.",
                    super::parser::NESTING_MAX
                )
            }
            Problem::TooLarge => write!(
                f,
                "More than {} MiB of text, included files and variables counted.",
                super::parser::INPUT_BYTES_MAX >> 20
            ),
        }
    }
}
