//! Values that begin with a digit or a minus: integers, floats, dates, addresses.
//!
//! A word that begins like a number but goes on differently (`2s`, `5abc`, `0x10`) is a string,
//! as in 2.x; gnatsd 1.2.0 refuses it.

use super::error::{ConfError, Problem};
use super::lexer::{Lexer, Mark};
use super::value::{Date, Position, Value};

/// What a date looks like; `0` stands for any digit.
const DATE_FORM: &[u8] = b"0000-00-00T00:00:00Z";

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// What a word that begins like a number looks like up to where it stops looking so.
enum Shape {
    /// Digits, and the factor of the suffix.
    Integer(i64),
    Float,
    /// Digits with two points or more.
    Address,
}

impl Lexer<'_> {
    /// Reads a value that begins with a digit or a minus.
    pub(super) fn number(&mut self) -> Result<Value, ConfError> {
        let start = self.mark();
        let position = self.position();
        let is_negative = self.eat(|byte| byte == b'-').is_some();
        if is_negative && self.peek() == Some(b'.') {
            return Err(self.error(Problem::NegativeFloatStart));
        }
        if self.skip_digits() == 0 {
            return Err(self.error(Problem::Digit(self.found())));
        }
        let digits = self.text_since(start);
        let shape = match self.peek() {
            Some(b'-') if !is_negative => return self.date(start, position),
            Some(b'.') => self.float_or_address()?,
            _ => Shape::Integer(self.suffix()),
        };
        if !self.at_number_end() {
            self.go_back(start);
            return self.bare_string();
        }
        let text = self.text_since(start);
        match shape {
            Shape::Integer(factor) => {
                let number = digits
                    .parse::<i64>()
                    .ok()
                    .and_then(|n| n.checked_mul(factor));
                number
                    .map(Value::Integer)
                    .ok_or_else(|| Problem::IntegerRange(text).at(position))
            }
            Shape::Float => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Value::Float(number)),
                _ => Err(Problem::FloatRange(text).at(position)),
            },
            Shape::Address => Ok(Value::String(text)),
        }
    }

    fn skip_digits(&mut self) -> usize {
        let mut digits = 0;
        while self.eat(is_digit).is_some() {
            digits += 1;
        }
        digits
    }

    fn text_since(&self, start: Mark) -> String {
        String::from_utf8_lossy(self.since(start)).into_owned()
    }

    /// Reads `k`, `m` or `g`, thousands, or `kb`, `mb` or `gb`, powers of 1024: gives the factor.
    fn suffix(&mut self) -> i64 {
        let power = match self.eat(|byte| b"kmg".contains(&byte.to_ascii_lowercase())) {
            None => return 1,
            Some(b'k' | b'K') => 1,
            Some(b'm' | b'M') => 2,
            Some(_) => 3,
        };
        let is_binary = self.eat(|byte| byte.eq_ignore_ascii_case(&b'b')).is_some();
        let base: i64 = if is_binary { 1024 } else { 1000 };
        base.pow(power)
    }

    fn float_or_address(&mut self) -> Result<Shape, ConfError> {
        self.bump();
        if self.skip_digits() == 0 {
            return Err(self.error(Problem::FloatDigit(self.found())));
        }
        if self.peek() != Some(b'.') {
            return Ok(Shape::Float);
        }
        let continues = |byte| is_digit(byte) || matches!(byte, b'.' | b':' | b'-');
        while self.eat(continues).is_some() {}
        Ok(Shape::Address)
    }

    fn date(&mut self, start: Mark, position: Position) -> Result<Value, ConfError> {
        if self.since(start).len() != 4 {
            return Err(Problem::DateForm.at(position));
        }
        for &expected in &DATE_FORM[4..] {
            let found = self.found();
            let fits = |byte| {
                if expected == b'0' {
                    is_digit(byte)
                } else {
                    byte == expected
                }
            };
            if self.eat(fits).is_none() {
                return Err(self.error(match expected {
                    b'0' => Problem::DateDigit(found),
                    _ => Problem::DateMark {
                        expected: char::from(expected),
                        found,
                    },
                }));
            }
        }
        let text = self.text_since(start);
        calendar(&text)
            .map(Value::Date)
            .ok_or_else(|| Problem::DateValue(text).at(position))
    }
}

/// Reads a text of the form of [`DATE_FORM`], if there is such a day and time.
fn calendar(text: &str) -> Option<Date> {
    let part = |from: usize| text.get(from..from + 2)?.parse::<u8>().ok();
    let date = Date {
        year: text.get(..4)?.parse().ok()?,
        month: part(5)?,
        day: part(8)?,
        hour: part(11)?,
        minute: part(14)?,
        second: part(17)?,
    };
    let is_leap = date.year.is_multiple_of(4)
        && (!date.year.is_multiple_of(100) || date.year.is_multiple_of(400));
    let days = match date.month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let is_time = date.hour < 24 && date.minute < 60 && date.second < 60;
    ((1..=days).contains(&date.day) && is_time).then_some(date)
}
