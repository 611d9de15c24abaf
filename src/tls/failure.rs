//! The words for a handshake that failed: Go's where operators know them.

use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved,
};

/// Bytes of a record in front of its content: type, version, length.
pub(super) const HEADER_BYTES: usize = 5;

/// Most bytes that a record may have behind its header. Source: RFC 5246 6.2.3.
pub(super) const RECORD_BYTES_MAX: usize = 16 * 1024 + 2048;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const EXTENSION_SUPPORTED_VERSIONS: u16 = 43;
const TLS_1_2: u16 = 0x0303;

/// What is wrong with the first bytes of a connection, as far as there are any; `None` if they may be TLS. The
/// checks are those of Go's crypto/tls, made as soon as the bytes are there; the peer is told nothing.
pub(super) fn first_bytes(bytes: &[u8]) -> Option<String> {
    let no_handshake = "tls: first record does not look like a TLS handshake";
    match *bytes {
        // The length of a hello of SSL 2, which no type of record resembles.
        [0x80, ..] => Some("tls: unsupported SSLv2 handshake received".to_owned()),
        [ALERT | HANDSHAKE, major, ..] if major >= 0x10 => Some(no_handshake.to_owned()),
        [ALERT | HANDSHAKE, ..] | [] => None,
        _ => Some(no_handshake.to_owned()),
    }
}

/// The text for an error of the library. `received` is what was received before it and not yet thrown away, from
/// the beginning of a record.
pub(super) fn text(error: &Error, received: &[u8]) -> String {
    if let Some(text) = versions_text(error, received) {
        return text;
    }
    match error {
        Error::NoCertificatesPresented => "tls: client didn't provide a certificate".to_owned(),
        Error::InvalidCertificate(error) => format!(
            "tls: failed to verify client certificate: {}",
            certificate_text(error)
        ),
        Error::AlertReceived(alert) => match alert_text(*alert) {
            Some(text) => format!("remote error: tls: {text}"),
            None => format!("remote error: tls: alert({})", u8::from(*alert)),
        },
        Error::InvalidMessage(InvalidMessage::MessageTooLarge) => match oversized(received) {
            Some(len) => format!("tls: oversized record received with length {len}"),
            None => "tls: oversized record received".to_owned(),
        },
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            "tls: no cipher suite supported by both client and server".to_owned()
        }
        Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon) => {
            "tls: no key exchanges supported by both client and server".to_owned()
        }
        Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon) => {
            "tls: peer doesn't support any of the certificate's signature algorithms".to_owned()
        }
        Error::DecryptError => "local error: tls: bad record MAC".to_owned(),
        Error::PeerMisbehaved(PeerMisbehaved::TooManyRenegotiationRequests) => {
            "tls: renegotiation is not supported".to_owned()
        }
        _ => plain(error),
    }
}

/// What Go says of a client that is too old. The library may stumble over something else such a client lacks
/// before it looks at the version.
fn versions_text(error: &Error, received: &[u8]) -> Option<String> {
    let is_about_versions = match error {
        Error::PeerIncompatible(reason) => matches!(
            reason,
            PeerIncompatible::Tls12NotOffered | PeerIncompatible::Tls12NotOfferedOrEnabled
        ),
        _ => return None,
    };
    let versions = offered_versions(received)?;
    if !is_about_versions && versions.iter().any(|version| *version >= TLS_1_2) {
        return None;
    }
    let versions: Vec<_> = versions.iter().map(|v| format!("{v:x}")).collect();
    Some(format!(
        "tls: client offered only unsupported versions: [{}]",
        versions.join(" ")
    ))
}

/// The library's own words, marked as such.
fn plain(error: &Error) -> String {
    format!("tls: {error}")
}

fn certificate_text(error: &CertificateError) -> String {
    match error {
        // A bad signature is one of another authority of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "x509: certificate signed by unknown authority".to_owned()
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            format!("x509: certificate has expired or is not yet valid: {error}")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "x509: certificate specifies an incompatible key usage".to_owned()
        }
        CertificateError::BadEncoding => "x509: malformed certificate".to_owned(),
        other => format!("x509: {other}"),
    }
}

/// Go's words for alerts. Source: crypto/tls, alert.go.
fn alert_text(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::CloseNotify => "close notify",
        AlertDescription::UnexpectedMessage => "unexpected message",
        AlertDescription::BadRecordMac => "bad record MAC",
        AlertDescription::RecordOverflow => "record overflow",
        AlertDescription::DecompressionFailure => "decompression failure",
        AlertDescription::HandshakeFailure => "handshake failure",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateRevoked => "revoked certificate",
        AlertDescription::CertificateExpired => "expired certificate",
        AlertDescription::CertificateUnknown => "unknown certificate",
        AlertDescription::IllegalParameter => "illegal parameter",
        AlertDescription::UnknownCA => "unknown certificate authority",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::DecodeError => "error decoding message",
        AlertDescription::DecryptError => "error decrypting message",
        AlertDescription::ExportRestriction => "export restriction",
        AlertDescription::ProtocolVersion => "protocol version not supported",
        AlertDescription::InsufficientSecurity => "insufficient security level",
        AlertDescription::InternalError => "internal error",
        AlertDescription::InappropriateFallback => "inappropriate fallback",
        AlertDescription::UserCanceled => "user canceled",
        AlertDescription::NoRenegotiation => "no renegotiation",
        AlertDescription::MissingExtension => "missing extension",
        AlertDescription::UnsupportedExtension => "unsupported extension",
        AlertDescription::UnrecognisedName => "unrecognized name",
        AlertDescription::CertificateRequired => "certificate required",
        AlertDescription::NoApplicationProtocol => "no application protocol",
        _ => return None,
    })
}

/// The length that the first record that is too large claims to have.
fn oversized(mut records: &[u8]) -> Option<usize> {
    loop {
        let len = content_len(records)?;
        if len >= RECORD_BYTES_MAX {
            return Some(len);
        }
        records = records.get(HEADER_BYTES.checked_add(len)?..)?;
    }
}

/// Bytes behind the header of the record that begins here; `None` if the header is not whole.
pub(super) fn content_len(record: &[u8]) -> Option<usize> {
    match *record {
        [_, _, _, high, low, ..] => Some(usize::from(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

/// The versions that a client hello offers, as Go lists them; `None` if it is not whole or no hello.
fn offered_versions(record: &[u8]) -> Option<Vec<u16>> {
    let mut hello = Cursor(record);
    (hello.byte()? == HANDSHAKE).then_some(())?;
    hello.skip(4)?;
    (hello.byte()? == CLIENT_HELLO).then_some(())?;
    hello.skip(3)?;
    let version = hello.number()?;
    hello.skip(32)?;
    let session = hello.byte()?;
    hello.skip(session.into())?;
    let suites = hello.number()?;
    hello.skip(suites.into())?;
    let compressions = hello.byte()?;
    hello.skip(compressions.into())?;
    // Before TLS 1.2 extensions may be left out.
    let mut extensions = match hello.number() {
        Some(len) => Cursor(hello.take(len.into())?),
        None => Cursor(&[]),
    };
    while let Some(kind) = extensions.number() {
        let len = extensions.number()?;
        let mut body = Cursor(extensions.take(len.into())?);
        if kind == EXTENSION_SUPPORTED_VERSIONS {
            body.byte()?;
            return Some(std::iter::from_fn(|| body.number()).collect());
        }
    }
    Some(
        [0x0304, TLS_1_2, 0x0302, 0x0301]
            .into_iter()
            .filter(|known| *known <= version)
            .collect(),
    )
}

/// Reads from the front, never beyond the end.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    fn skip(&mut self, len: usize) -> Option<()> {
        self.take(len).map(|_| ())
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u16> {
        match *self.take(2)? {
            [high, low] => Some(u16::from_be_bytes([high, low])),
            _ => None,
        }
    }
}
