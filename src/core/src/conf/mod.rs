//! The configuration language of NATS servers: text in, a tree with positions out.
//!
//! Owns the grammar (that of gnatsd 1.2.0 with its hangs and crashes repaired), variables,
//! includes and Go's durations. Knows no option, opens no file and reads no environment:
//! both come through [`Sources`]. Every key and value keeps the place it was written at, so
//! that whoever reads the tree can name it.

pub mod duration;
mod error;
mod lexer;
mod number;
mod parser;
mod value;

pub use duration::{DurationError, GoDuration, parse_go_duration};
pub use error::{ConfError, Found, Problem, Within};
pub use parser::{INPUT_BYTES_MAX, NESTING_MAX, Sources, parse_file, parse_text};
pub use value::{Date, Entry, Located, Map, Position, Value};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
