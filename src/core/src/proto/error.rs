//! What a peer can do wrong: one value for each, with its `-ERR` text and its log line.

use std::fmt;

use super::quote::{Printable, Quoted};
use crate::client::CloseReason;

/// Input that is not the protocol. Every one of these ends the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// No such operation, or a payload without CR LF behind it.
    UnknownOperation {
        /// Parser state of the original at this point, for the log line.
        state: u8,
        /// Offset of the offending byte in the buffer.
        at: usize,
        /// Up to 32 bytes from there on.
        snippet: Box<[u8]>,
    },
    /// The argument of a control line is longer than the limit.
    ControlLine,
    /// A payload over `max_payload` was announced.
    Payload {
        /// Announced size, saturated.
        size: u64,
        /// The limit.
        max: i64,
    },
    /// Wrong arguments: `processPub Parse Error: '…'` and the like. Closed without `-ERR`.
    Arguments {
        /// What was wrong with which operation.
        what: &'static str,
        /// The arguments as they came.
        args: Box<[u8]>,
    },
    /// `HPUB` from a connection that has no headers. Closed without `-ERR`.
    HeadersNotSupported,
}

impl ParseError {
    /// Text for `-ERR '…'`, or `None` where the connection is closed without one.
    pub fn wire_text(&self) -> Option<&'static str> {
        match self {
            ParseError::UnknownOperation { .. } => Some("Unknown Protocol Operation"),
            ParseError::ControlLine => Some(CONTROL_LINE),
            ParseError::Payload { .. } => Some("Maximum Payload Violation"),
            ParseError::Arguments { .. } | ParseError::HeadersNotSupported => None,
        }
    }

    /// The record of why the connection ended.
    pub fn close_reason(&self) -> CloseReason {
        match self {
            ParseError::UnknownOperation { .. } | ParseError::Arguments { .. } => {
                CloseReason::ProtocolViolation
            }
            ParseError::ControlLine => CloseReason::MaxControlLineExceeded,
            ParseError::Payload { .. } => CloseReason::MaxPayloadExceeded,
            ParseError::HeadersNotSupported => CloseReason::HeadersNotSupported,
        }
    }
}

/// In lower case on the wire, as in 2.x: the Go client's own suite asks for it.
const CONTROL_LINE: &str = "maximum control line exceeded";

/// The part of a line in front of what it says: a misspelt CONNECT may go on with a password.
fn before_texts(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|b| matches!(b, b'{' | b'"' | b':'));
    &line[..end.unwrap_or(line.len())]
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::UnknownOperation { state, at, snippet } => write!(
                f,
                "Client parser ERROR, state={state}, i={at}: proto='{}...'",
                Quoted(before_texts(snippet))
            ),
            ParseError::ControlLine => f.write_str("Maximum Control Line Exceeded"),
            ParseError::Payload { size, max } => {
                write!(f, "Maximum Payload Exceeded: {size} vs {max}")
            }
            // The original quotes the header form in Go's way and prints the other as it came;
            // control bytes are escaped here, so that no peer writes lines into a log.
            ParseError::Arguments { what, args } if what.starts_with("processHeaderPub") => {
                write!(f, "{what}: {}", Quoted(args))
            }
            ParseError::Arguments { what, args } => {
                write!(f, "{what}: '{}'", Printable(args))
            }
            ParseError::HeadersNotSupported => f.write_str("message headers not supported"),
        }
    }
}

/// Refusals that are told to the peer besides parse errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// SUB with an empty token, or `>` not last.
    InvalidSubject,
    /// Pedantic PUB to such a subject, or to a wildcard.
    InvalidPublishSubject,
    /// SUB over `max_subscriptions`.
    MaxSubscriptions,
    /// CONNECT with a protocol that does not exist.
    InvalidClientProtocol,
    /// No room for another connection.
    MaxConnections,
    /// PINGs stayed unanswered.
    StaleConnection,
    /// `no_responders` without `headers`.
    NoRespondersRequiresHeaders,
    /// Bad credentials, or something else in front of them.
    AuthorizationViolation,
    /// No credentials in time.
    AuthorizationTimeout,
}

impl ProtocolError {
    /// Text for `-ERR '…'`; capitals as in gnatsd 1.2.0.
    pub fn wire_text(self) -> &'static str {
        match self {
            ProtocolError::InvalidSubject => "Invalid Subject",
            ProtocolError::InvalidPublishSubject => "Invalid Publish Subject",
            ProtocolError::MaxSubscriptions => "Maximum Subscriptions Exceeded",
            ProtocolError::InvalidClientProtocol => "Invalid Client Protocol",
            ProtocolError::MaxConnections => "Maximum Connections Exceeded",
            ProtocolError::StaleConnection => "Stale Connection",
            ProtocolError::NoRespondersRequiresHeaders => "no responders requires headers support",
            ProtocolError::AuthorizationViolation => "Authorization Violation",
            ProtocolError::AuthorizationTimeout => "Authorization Timeout",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let unknown = ParseError::UnknownOperation {
            state: 0,
            at: 3,
            snippet: (*b"ZZ\r").into(),
        };
        assert_eq!(
            unknown.to_string(),
            r#"Client parser ERROR, state=0, i=3: proto='"ZZ\r"...'"#
        );
        assert_eq!(unknown.wire_text(), Some("Unknown Protocol Operation"));
        let misspelt = ParseError::UnknownOperation {
            state: 15,
            at: 5,
            snippet: (*b"N {\"pass\":\"geheim\"}").into(),
        };
        assert_eq!(
            misspelt.to_string(),
            r#"Client parser ERROR, state=15, i=5: proto='"N "...'"#
        );
        let args = ParseError::Arguments {
            what: "processPub Parse Error",
            args: (*b"a").into(),
        };
        assert_eq!(args.to_string(), "processPub Parse Error: 'a'");
        assert_eq!(args.wire_text(), None);
        let payload = ParseError::Payload { size: 20, max: 10 };
        assert_eq!(payload.to_string(), "Maximum Payload Exceeded: 20 vs 10");
        assert_eq!(payload.wire_text(), Some("Maximum Payload Violation"));
        assert_eq!(
            ParseError::ControlLine.wire_text(),
            Some("maximum control line exceeded")
        );
        assert_eq!(
            ParseError::ControlLine.to_string(),
            "Maximum Control Line Exceeded"
        );
    }
}
