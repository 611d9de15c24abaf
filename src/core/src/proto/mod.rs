//! The wire protocol: bytes in, operations out; and the lines the server says.
//!
//! Knows no connection, no subscription table, no socket. Step 2 (parse) of the PUB path.

pub mod connect;
pub mod encode;
pub mod error;
pub mod info;
mod line;
mod op;
mod parser;
pub mod quote;
mod run;

pub use error::{ParseError, ProtocolError};
pub use op::{Headers, Op, Publish};
pub use parser::{ParseLimits, Parsed, Repeat, parse, parse_publish, parse_repeat};
pub(crate) use run::is_same;
pub use run::{Run, count_repeats};

#[cfg(test)]
mod tests;
