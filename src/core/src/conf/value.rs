//! What a configuration text means: values, maps in the order of the file, positions.
//!
//! Knows nothing of how it was written; the parser builds these, the option reader walks them.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::error::OneLine;

/// A place in a configuration text. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file as it was named, or `$NAME` for the value of an environment variable.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(OneLine(f), "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A moment in UTC with the resolution of a second, as the language writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Year, 0 to 9999.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, from 1.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59.
    pub second: u8,
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Date {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// One value of any type the language has.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text: bare, quoted, a block, or anything that looks like an address.
    String(String),
    /// Whole number, suffix already multiplied out.
    Integer(i64),
    /// Number with a point.
    Float(f64),
    /// One of the bool words, bare.
    Bool(bool),
    /// Moment in UTC.
    Date(Date),
    /// Values in brackets; types may differ.
    Array(Vec<Located>),
    /// Keys and values in braces.
    Map(Map),
}

impl Value {
    /// The name Go gives this type, as NATS servers print it in type errors.
    pub fn go_type(&self) -> &'static str {
        match self {
            Value::String(_) => "string",
            Value::Integer(_) => "int64",
            Value::Float(_) => "float64",
            Value::Bool(_) => "bool",
            Value::Date(_) => "time.Time",
            Value::Array(_) => "[]interface {}",
            Value::Map(_) => "map[string]interface {}",
        }
    }
}

/// A value and where it begins. What a variable stands for is placed where the variable is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// The value.
    pub value: Value,
    /// Its first character.
    pub position: Position,
}

/// One key of a map with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key as written; keys that differ in case are different keys.
    pub key: String,
    /// First character of the key (of its quote, if quoted).
    pub key_position: Position,
    /// What it was set to.
    pub value: Located,
    /// Whether a `$NAME` referred to it. Such a key need not be an option.
    pub is_variable: bool,
}

/// Keys in the order of the file. A key set twice counts at its last place with its last value.
///
/// # Cost
/// Constant per insertion; replaced entries are kept, as tombstones, until the map goes.
#[derive(Clone, Debug, Default)]
pub struct Map {
    entries: Vec<Entry>,
    /// Invariant: each value is the greatest index in `entries` that has the key.
    latest: HashMap<String, usize>,
}

impl Map {
    /// Adds a key, or moves it to the end with a new value.
    pub fn insert(&mut self, mut entry: Entry) {
        if let Some(&before) = self.latest.get(&entry.key) {
            entry.is_variable |= self.entries[before].is_variable;
        }
        self.latest.insert(entry.key.clone(), self.entries.len());
        self.entries.push(entry);
    }

    /// The entry with exactly this spelling.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.latest.get(key).map(|&index| &self.entries[index])
    }

    /// The value of the key spelled so, or of the last in the file that differs only in case.
    pub fn value(&self, key: &str) -> Option<&Located> {
        let found = self
            .iter()
            .filter(|entry| entry.key.eq_ignore_ascii_case(key))
            .last();
        found.map(|entry| &entry.value)
    }

    /// Entries in the order of the file, without those that were replaced.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        let live = |(index, entry): &(usize, &Entry)| self.latest.get(&entry.key) == Some(index);
        self.entries
            .iter()
            .enumerate()
            .filter(live)
            .map(|(_, entry)| entry)
    }

    /// Everything that was written, in the order of the file: also what a later value of the same key replaced.
    pub fn written(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.latest.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// Notes that a variable referred to the key, and gives what it stands for.
    pub(super) fn refer(&mut self, key: &str) -> Option<&Located> {
        let index = *self.latest.get(key)?;
        self.entries[index].is_variable = true;
        Some(&self.entries[index].value)
    }

    /// Adds everything of `other` behind what is there, replaced entries included.
    pub(super) fn merge(&mut self, other: Map) {
        for entry in other.entries {
            self.insert(entry);
        }
    }
}

/// Equal keys and values in equal order; what was replaced does not count.
impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        self.iter().eq(other.iter())
    }
}
