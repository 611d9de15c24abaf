//! What an operator did wrong, where, and the words for it.
//!
//! Texts are those of gnatsd 1.2.0 or 2.x where those have one.

use std::fmt;

use gnatsd_core::conf::{ConfError, DurationError, Position, Problem};
use gnatsd_core::engine::SHARDS_MAX;
pub use security::{LoginError, PermissionError, TimeoutError, TlsError};

mod security;

/// A mistake in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where; `None` if the file could not be read.
    pub position: Option<Position>,
    /// What.
    pub reason: Reason,
}

/// Why a setting is refused, whether it comes from a file or from a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The text of the file is no configuration.
    Syntax(Problem),
    /// A value of another type than the option has; both by Go's names.
    WrongType {
        /// Type of the value.
        found: &'static str,
        /// Type of the option.
        wanted: &'static str,
    },
    /// An option of gnatsd that this version does not have yet.
    NotYet(String),
    /// No host and port with a colon between them.
    AddressForm(String),
    /// No number behind the last colon of an address.
    PortForm(String),
    /// A port that does not exist.
    PortRange(i64),
    /// An advertised address that cannot be one.
    Advertise {
        /// The address.
        text: String,
        /// What is wrong with it, in Go's words.
        why: &'static str,
    },
    /// A number below zero for an option that has no use for it.
    Negative(i64),
    /// A number above what the option can hold.
    TooLarge(i64),
    /// A duration that cannot be read.
    Duration {
        /// The option.
        option: &'static str,
        /// What is wrong.
        error: DurationError,
    },
    /// A payload that can never be delivered.
    PayloadOverPending {
        /// `max_payload` in bytes.
        payload: i64,
        /// `max_pending` in bytes.
        pending: usize,
    },
    /// A server name with white space in it.
    ServerName,
    /// A driver that does not exist.
    Driver(String),
    /// A number of shards that no server has.
    Cores(i64),
    /// Logins that cannot be.
    Login(LoginError),
    /// Permissions that cannot be.
    Permission(PermissionError),
    /// TLS that cannot be.
    Tls(TlsError),
}

impl From<ConfError> for ConfigError {
    fn from(error: ConfError) -> Self {
        ConfigError {
            position: error.position,
            reason: Reason::Syntax(error.problem),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = &self.position {
            write!(f, "{position}: ")?;
        }
        self.reason.fmt(f)
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Syntax(problem) => problem.fmt(f),
            Reason::WrongType { found, wanted } => {
                write!(
                    f,
                    "interface conversion: interface {{}} is {found}, not {wanted}"
                )
            }
            Reason::NotYet(key) => write!(f, "{key:?} is not supported yet"),
            Reason::AddressForm(text) => write!(f, "Could not parse address string {text:?}"),
            Reason::PortForm(text) => write!(f, "Could not parse port {text:?}"),
            Reason::PortRange(port) => write!(f, "port {port} is not in -1..65535"),
            Reason::Advertise { text, why } => {
                write!(
                    f,
                    "invalid ClientAdvertise value of {text}, err=address {text}: {why}"
                )
            }
            Reason::Negative(number) => write!(f, "{number} is negative"),
            Reason::TooLarge(number) => write!(f, "{number} is too large"),
            Reason::Duration { option, error } => write!(f, "error parsing {option}: {error}"),
            Reason::PayloadOverPending { payload, pending } => {
                write!(
                    f,
                    "max_payload ({payload}) cannot be higher than max_pending ({pending})"
                )
            }
            Reason::ServerName => f.write_str("server name cannot contain spaces"),
            Reason::Driver(text) => write!(f, "driver {text:?} is none of auto, uring, epoll"),
            Reason::Cores(number) => write!(f, "cores {number} is not in 1..{SHARDS_MAX}"),
            Reason::Login(error) => error.fmt(f),
            Reason::Permission(error) => error.fmt(f),
            Reason::Tls(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_text() {
        let text = || "x".to_owned();
        let duration = DurationError::Invalid(text());
        let table = [
            (
                Reason::Syntax(Problem::FloatStart),
                "Floats must start with a digit",
            ),
            (
                Reason::WrongType {
                    found: "string",
                    wanted: "int64",
                },
                "interface conversion: interface {} is string, not int64",
            ),
            (Reason::NotYet(text()), r#""x" is not supported yet"#),
            (
                Reason::AddressForm(text()),
                r#"Could not parse address string "x""#,
            ),
            (Reason::PortForm(text()), r#"Could not parse port "x""#),
            (Reason::PortRange(70000), "port 70000 is not in -1..65535"),
            (
                Reason::Advertise {
                    text: text(),
                    why: "y",
                },
                "invalid ClientAdvertise value of x, err=address x: y",
            ),
            (Reason::Negative(-1), "-1 is negative"),
            (Reason::TooLarge(9), "9 is too large"),
            (
                Reason::Duration {
                    option: "write_deadline",
                    error: duration,
                },
                r#"error parsing write_deadline: time: invalid duration "x""#,
            ),
            (
                Reason::PayloadOverPending {
                    payload: 2,
                    pending: 1,
                },
                "max_payload (2) cannot be higher than max_pending (1)",
            ),
            (Reason::ServerName, "server name cannot contain spaces"),
            (
                Reason::Driver(text()),
                r#"driver "x" is none of auto, uring, epoll"#,
            ),
            (Reason::Cores(65), "cores 65 is not in 1..64"),
        ];
        for (reason, expected) in table {
            assert_eq!(reason.to_string(), expected);
        }
    }
}
