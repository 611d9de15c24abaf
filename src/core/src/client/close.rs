//! Why a connection ended: the single record that logs and `/connz` print.

use std::fmt;

/// Why a connection ended. The texts are those of `reason` in `/connz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The peer closed its side.
    ClientClosed,
    /// Reading failed, for example by a reset.
    ReadError,
    /// Writing failed, other than by time.
    WriteError,
    /// No CONNECT in time.
    AuthenticationTimeout,
    /// Bad credentials, or an operation before CONNECT.
    AuthenticationFailure,
    /// Bad or slow TLS handshake.
    TlsHandshakeFailure,
    /// More pending than `max_pending`.
    SlowConsumerPending,
    /// Nothing accepted for `write_deadline`.
    SlowConsumerDeadline,
    /// The peer sent `-ERR`.
    ParseError,
    /// Something that is not the protocol, or arguments that cannot be read.
    ProtocolViolation,
    /// PINGs stayed unanswered.
    StaleConnection,
    /// CONNECT asked for a protocol that does not exist.
    BadClientProtocol,
    /// No room for another connection.
    MaxConnectionsExceeded,
    /// A payload larger than `max_payload` was announced.
    MaxPayloadExceeded,
    /// A control line longer than `max_control_line`.
    MaxControlLineExceeded,
    /// HPUB from a client that did not ask for headers.
    HeadersNotSupported,
    /// `no_responders` without `headers`.
    NoRespondersRequiresHeaders,
    /// The server is going away.
    ServerShutdown,
}

impl CloseReason {
    /// Every reason, for tables and tests.
    pub const ALL: [CloseReason; 18] = [
        CloseReason::ClientClosed,
        CloseReason::ReadError,
        CloseReason::WriteError,
        CloseReason::AuthenticationTimeout,
        CloseReason::AuthenticationFailure,
        CloseReason::TlsHandshakeFailure,
        CloseReason::SlowConsumerPending,
        CloseReason::SlowConsumerDeadline,
        CloseReason::ParseError,
        CloseReason::ProtocolViolation,
        CloseReason::StaleConnection,
        CloseReason::BadClientProtocol,
        CloseReason::MaxConnectionsExceeded,
        CloseReason::MaxPayloadExceeded,
        CloseReason::MaxControlLineExceeded,
        CloseReason::HeadersNotSupported,
        CloseReason::NoRespondersRequiresHeaders,
        CloseReason::ServerShutdown,
    ];

    /// The text of gnatsd 1.2.0, or of 2.x where 1.2.0 has none.
    pub fn text(self) -> &'static str {
        match self {
            CloseReason::ClientClosed => "Client",
            CloseReason::ReadError => "Read Error",
            CloseReason::WriteError => "Write Error",
            CloseReason::AuthenticationTimeout => "Authentication Timeout",
            CloseReason::AuthenticationFailure => "Authentication Failure",
            CloseReason::TlsHandshakeFailure => "TLS Handshake Failure",
            CloseReason::SlowConsumerPending => "Slow Consumer (Pending Bytes)",
            CloseReason::SlowConsumerDeadline => "Slow Consumer (Write Deadline)",
            CloseReason::ParseError => "Parse Error",
            CloseReason::ProtocolViolation => "Protocol Violation",
            CloseReason::StaleConnection => "Stale Connection",
            CloseReason::BadClientProtocol => "Bad Client Protocol Version",
            CloseReason::MaxConnectionsExceeded => "Maximum Connections Exceeded",
            CloseReason::MaxPayloadExceeded => "Maximum Message Payload Exceeded",
            CloseReason::MaxControlLineExceeded => "Maximum Control Line Exceeded",
            CloseReason::HeadersNotSupported => "Message Header Violation",
            CloseReason::NoRespondersRequiresHeaders => "No Responders Requires Headers",
            CloseReason::ServerShutdown => "Server Shutdown",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
