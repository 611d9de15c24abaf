//! Characters to keys, scalars and include paths, with line and column.
//!
//! Owns quoting, escapes, comments and where a bare word ends. What may stand where is the
//! parser's; numbers and dates are read in `number.rs`. Works on bytes, since all marks of the
//! language are ASCII; text becomes UTF-8 only where it is kept, so comments may be anything.

use std::sync::Arc;

use super::error::{ConfError, Found, Problem, Within};
use super::value::{Position, Value};

/// A byte order mark. gnatsd 1.2.0 takes it for a part of the first key, which then is unknown.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A cursor over one configuration text.
pub(super) struct Lexer<'a> {
    /// The text up to its first NUL, which counts as its end.
    text: &'a [u8],
    file: Arc<str>,
    mark: Mark,
}

/// A place the lexer can go back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    at: usize,
    line: u32,
    /// Counted along the way: looking for it would be quadratic in the length of a line.
    column: u32,
}

/// A key as written.
pub(super) struct Key {
    pub(super) text: String,
    pub(super) position: Position,
    /// Without quotes, hence possibly the word `include`.
    pub(super) is_bare: bool,
}

/// A value that is neither map nor array.
pub(super) enum Scalar {
    Value(Value),
    /// A reference, without its `$`.
    Variable(String),
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

pub(super) fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn is_space(byte: u8) -> bool {
    is_blank(byte) || is_line_end(byte) || matches!(byte, 0x0b | 0x0c)
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'=' | b':')
}

/// What ends a bare word; a single quote does too, but is swallowed.
fn ends_bare(byte: u8) -> bool {
    is_blank(byte) || is_line_end(byte) || matches!(byte, b',' | b';' | b']' | b'}')
}

impl<'a> Lexer<'a> {
    pub(super) fn new(file: Arc<str>, text: &'a [u8]) -> Self {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let end = text
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(text.len());
        Lexer {
            text: &text[..end],
            file,
            mark: Mark {
                at: 0,
                line: 1,
                column: 1,
            },
        }
    }

    pub(super) fn position(&self) -> Position {
        Position {
            file: self.file.clone(),
            line: self.mark.line,
            column: self.mark.column,
        }
    }

    pub(super) fn error(&self, problem: Problem) -> ConfError {
        problem.at(self.position())
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    pub(super) fn go_back(&mut self, mark: Mark) {
        self.mark = mark;
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.peek_past(0)
    }

    fn peek_past(&self, bytes: usize) -> Option<u8> {
        self.text.get(self.mark.at + bytes).copied()
    }

    /// The character at the cursor, for an error text.
    pub(super) fn found(&self) -> Found {
        let rest = &self.text[self.mark.at..];
        let head = String::from_utf8_lossy(&rest[..rest.len().min(4)]);
        Found(head.chars().next())
    }

    pub(super) fn bump(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.mark.at += 1;
        if byte == b'\n' {
            self.mark.line = self.mark.line.saturating_add(1);
            self.mark.column = 1;
        } else if self.peek().is_none_or(|next| next & 0xc0 != 0x80) {
            // Counted where the next character begins, so a column never points into one.
            self.mark.column = self.mark.column.saturating_add(1);
        }
        Some(byte)
    }

    pub(super) fn eat(&mut self, wanted: impl Fn(u8) -> bool) -> Option<u8> {
        if wanted(self.peek()?) {
            self.bump()
        } else {
            None
        }
    }

    /// The text from a mark to the cursor.
    pub(super) fn since(&self, from: Mark) -> &'a [u8] {
        &self.text[from.at..self.mark.at]
    }

    pub(super) fn skip_blanks(&mut self) {
        while self.eat(is_blank).is_some() {}
    }

    pub(super) fn skip_space(&mut self) {
        while self.eat(is_space).is_some() {}
    }

    /// Takes one `=` or `:`.
    pub(super) fn eat_separator(&mut self) -> Option<u8> {
        self.eat(is_separator)
    }

    /// Whether `#` or `//` stands here.
    pub(super) fn at_comment(&self) -> bool {
        match self.peek() {
            Some(b'#') => true,
            Some(b'/') => self.peek_past(1) == Some(b'/'),
            _ => false,
        }
    }

    /// Skips a comment, but not the end of its line. Says whether there was one.
    pub(super) fn skip_comment(&mut self) -> bool {
        let is_comment = self.at_comment();
        if is_comment {
            while self.eat(|byte| !is_line_end(byte)).is_some() {}
        }
        is_comment
    }

    /// Whether a number may end here, so that what was read is one.
    ///
    /// A single quote counts: behind a number it is junk and not part of a word.
    pub(super) fn at_number_end(&self) -> bool {
        self.peek()
            .is_none_or(|byte| ends_bare(byte) || byte == b'\'')
            || self.at_comment()
    }

    fn utf8(bytes: Vec<u8>, position: &Position) -> Result<String, ConfError> {
        String::from_utf8(bytes).map_err(|_| Problem::NotUtf8.at(position.clone()))
    }

    /// Reads a key; at least one character stands here and is neither space nor separator.
    pub(super) fn key(&mut self, in_map: bool) -> Result<Key, ConfError> {
        let position = self.position();
        let within = |within| if in_map { within } else { Within::Text };
        let quote = self.eat(|byte| matches!(byte, b'\'' | b'"'));
        let bytes = match quote {
            Some(b'\'') => self.raw(b'\'', within(Within::QuotedMapKey))?,
            Some(_) => self.raw(b'"', within(Within::DoubleQuotedMapKey))?,
            None => {
                let start = self.mark;
                while self
                    .eat(|byte| !is_space(byte) && !is_separator(byte))
                    .is_some()
                {}
                if in_map && self.peek().is_none() {
                    return Err(self.error(Problem::UnexpectedEof(Within::MapKey)));
                }
                self.since(start).to_vec()
            }
        };
        let text = Self::utf8(bytes, &position)?;
        Ok(Key {
            text,
            position,
            is_bare: quote.is_none(),
        })
    }

    /// Reads up to a quote and takes it, without escapes.
    fn raw(&mut self, quote: u8, within: Within) -> Result<Vec<u8>, ConfError> {
        let start = self.mark;
        while self.eat(|byte| byte != quote).is_some() {}
        let text = self.since(start).to_vec();
        match self.bump() {
            Some(_) => Ok(text),
            None => Err(self.error(Problem::UnexpectedEof(within))),
        }
    }

    /// Reads a value that is neither map nor array; an empty one is the empty string.
    pub(super) fn scalar(&mut self) -> Result<Scalar, ConfError> {
        let position = self.position();
        let text = match self.peek() {
            Some(b'\'') => {
                self.bump();
                self.raw(b'\'', Within::Text)?
            }
            Some(b'"') => {
                self.bump();
                self.double_quoted()?
            }
            Some(b'(') => self.block()?,
            Some(b'-' | b'0'..=b'9') => return self.number().map(Scalar::Value),
            Some(b'.') => return Err(self.error(Problem::FloatStart)),
            // Ends the value at once, so that `a==b` is the error it is in 1.2.0.
            Some(b'=') => vec![self.bump().unwrap_or_default()],
            _ => return self.bare(),
        };
        Ok(Scalar::Value(Value::String(Self::utf8(text, &position)?)))
    }

    fn double_quoted(&mut self) -> Result<Vec<u8>, ConfError> {
        let mut text = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.error(Problem::UnexpectedEof(Within::Text))),
                Some(b'\\') => text.push(self.escape()?),
                Some(b'"') => {
                    self.bump();
                    return Ok(text);
                }
                Some(byte) => {
                    self.bump();
                    text.push(byte);
                }
            }
        }
    }

    /// Reads a backslash and what it stands for.
    fn escape(&mut self) -> Result<u8, ConfError> {
        self.bump();
        let byte = match self.peek() {
            None => return Err(self.error(Problem::UnexpectedEof(Within::Text))),
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(byte @ (b'"' | b'\\')) => byte,
            Some(b'x') => return self.hexadecimal(),
            Some(_) => return Err(self.error(Problem::Escape(self.found()))),
        };
        self.bump();
        Ok(byte)
    }

    fn hexadecimal(&mut self) -> Result<u8, ConfError> {
        self.bump();
        let start = self.mark;
        for _ in 0..2 {
            if self.eat(|byte| !is_line_end(byte)).is_none() {
                return Err(self.error(Problem::HexEnd));
            }
        }
        let digits = self.since(start);
        let value = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        match (value(digits[0]), value(digits[1])) {
            (Some(high), Some(low)) => Ok(high << 4 | low),
            _ => {
                let found = String::from_utf8_lossy(digits).escape_debug().to_string();
                self.go_back(start);
                Err(self.error(Problem::HexDigits(found)))
            }
        }
    }

    /// Reads `(` … `)`: raw text up to a `)` that is alone on its line.
    fn block(&mut self) -> Result<Vec<u8>, ConfError> {
        self.bump();
        let start = self.mark;
        loop {
            let end = self.mark;
            match self.bump() {
                None => return Err(self.error(Problem::UnexpectedEof(Within::Block))),
                Some(b')') if end.column == 1 && self.at_line_end() => {
                    return Ok(self.text[start.at..end.at].to_vec());
                }
                Some(_) => {}
            }
        }
    }

    fn at_line_end(&self) -> bool {
        match self.peek() {
            None | Some(b'\n') => true,
            Some(b'\r') => self.peek_past(1) == Some(b'\n'),
            Some(_) => false,
        }
    }

    fn bare(&mut self) -> Result<Scalar, ConfError> {
        let position = self.position();
        let (text, is_plain) = self.bare_text()?;
        let text = Self::utf8(text, &position)?;
        if is_plain {
            if let Some(value) = bool_word(&text) {
                return Ok(Scalar::Value(Value::Bool(value)));
            }
            // The exception lets a bcrypt hash stand without quotes. The original knows only the first form, and names
            // the others, hash and all, as variables that it cannot find.
            let is_hash = |name: &&str| {
                matches!(name.as_bytes(), [b'2', b'a' | b'b' | b'x' | b'y', b'$', ..])
            };
            if let Some(name) = text.strip_prefix('$').filter(|name| !is_hash(name)) {
                return Ok(Scalar::Variable(name.to_owned()));
            }
        }
        Ok(Scalar::Value(Value::String(text)))
    }

    /// Reads a bare word that begins with a digit, so it is neither bool nor variable.
    pub(super) fn bare_string(&mut self) -> Result<Value, ConfError> {
        let position = self.position();
        let (text, _) = self.bare_text()?;
        Ok(Value::String(Self::utf8(text, &position)?))
    }

    /// Also says whether the word had neither escapes nor a quote at its end.
    fn bare_text(&mut self) -> Result<(Vec<u8>, bool), ConfError> {
        let mut text = Vec::new();
        let mut is_plain = true;
        loop {
            match self.peek() {
                Some(b'\\') => {
                    text.push(self.escape()?);
                    is_plain = false;
                }
                Some(b'\'') => {
                    self.bump();
                    return Ok((text, false));
                }
                Some(byte) if !ends_bare(byte) => {
                    self.bump();
                    text.push(byte);
                }
                _ => return Ok((text, is_plain)),
            }
        }
    }

    /// Reads what follows the word `include` and its blanks.
    pub(super) fn include_path(&mut self) -> Result<String, ConfError> {
        self.skip_blanks();
        let position = self.position();
        let refuse = |found| Err(Problem::IncludeStart(found).at(position.clone()));
        let bytes = match self.peek() {
            None => return Err(self.error(Problem::UnexpectedEof(Within::Text))),
            Some(byte) if is_line_end(byte) => return refuse("new line"),
            Some(b'[') => return refuse("start of an array"),
            Some(b'{') => return refuse("start of a map"),
            Some(b'(') => return refuse("start of a block"),
            Some(b'-' | b'0'..=b'9') => return refuse("start of a number"),
            Some(b'\\') => return refuse("escape sequence"),
            Some(quote @ (b'\'' | b'"')) => {
                self.bump();
                let is_single = quote == b'\'';
                let single = Within::QuotedInclude;
                self.raw(
                    quote,
                    if is_single {
                        single
                    } else {
                        Within::DoubleQuotedInclude
                    },
                )?
            }
            Some(_) => {
                let start = self.mark;
                let ends = |byte| is_space(byte) || matches!(byte, b';' | b'}' | b'\'');
                while self.eat(|byte| !ends(byte)).is_some() {}
                let path = self.since(start).to_vec();
                self.eat(|byte| byte == b'\'');
                path
            }
        };
        Self::utf8(bytes, &position)
    }
}

fn bool_word(text: &str) -> Option<bool> {
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "yes", "on"]) {
        Some(true)
    } else if is(["false", "no", "off"]) {
        Some(false)
    } else {
        None
    }
}
