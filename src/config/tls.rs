//! The `tls` block: certificates, and who may connect with which.
//!
//! Nothing is loaded here. What a name of a cipher suite means is known to `crate::tls`.

use gnatsd_core::conf::{Entry, Located, Value, parse_go_duration};

use super::block::{self, Key, Unknown, ignored, not_yet, read, set};
use super::error::{Reason, TlsError};
use super::findings::Findings;
use super::options::{HandshakeFirst, TlsOptions};
use super::values::{self, text};
use crate::tls::{HANDSHAKE_FIRST_AUTO, check_names};

/// Reads a block. `None` if it is none; with mistakes in it, what can be read all the same.
pub(super) fn read_block(entry: &Entry, findings: &mut Findings) -> Option<TlsOptions> {
    let position = &entry.value.position;
    let map = findings.take(position, values::map(&entry.value.value))?;
    let mut tls = TlsOptions {
        position: Some(entry.key_position.clone()),
        ..TlsOptions::default()
    };
    let unknown = |key: &str| Reason::Tls(TlsError::Field(key.to_owned()));
    block::apply(KEYS, Unknown::Refuse(unknown), map, &mut tls, findings);
    tls.verify |= tls.verify_and_map;
    Some(tls)
}

/// Every key of the block.
pub(super) const KEYS: &[Key<TlsOptions>] = &[
    set(&["cert_file"], |tls, value| {
        tls.cert_file = file("cert_file", value)?;
        Ok(())
    }),
    set(&["key_file"], |tls, value| {
        tls.key_file = file("key_file", value)?;
        Ok(())
    }),
    set(&["ca_file"], |tls, value| {
        let file = file("ca_file", value)?;
        tls.ca_file = (!file.is_empty()).then_some(file);
        Ok(())
    }),
    set(&["verify"], |tls, value| {
        tls.verify = switch("verify", value)?;
        Ok(())
    }),
    set(&["verify_and_map"], |tls, value| {
        tls.verify_and_map = switch("verify_and_map", value)?;
        Ok(())
    }),
    read(&["timeout"], |tls, entry, findings| {
        let Located { value, position } = &entry.value;
        let result = values::timeout(value, TlsOptions::default().timeout);
        let result = result.map_err(|error| Reason::Tls(TlsError::Timeout(error)));
        if let Some(timeout) = findings.take(position, result) {
            values::warn_of_long_timeout(timeout, position, findings);
            tls.timeout = timeout;
        }
    }),
    read(&["cipher_suites"], |tls, entry, findings| {
        if let Some(names) = names("cipher_suites", entry, findings) {
            look_up(&names, &[], entry, findings);
            tls.cipher_suites = names;
        }
    }),
    read(&["curve_preferences"], |tls, entry, findings| {
        if let Some(names) = names("curve_preferences", entry, findings) {
            look_up(&[], &names, entry, findings);
            tls.curve_preferences = names;
        }
    }),
    set(&["handshake_first", "first", "immediate"], |tls, value| {
        tls.handshake_first = handshake_first(value).map_err(Reason::Tls)?;
        Ok(())
    }),
    read(&["pinned_certs"], |tls, entry, findings| {
        let value = &entry.value;
        let Value::Array(items) = &value.value else {
            findings.refuse(&value.position, Reason::Tls(TlsError::Pin));
            return;
        };
        tls.pinned_certs.clear();
        for item in items {
            let pin = text(&item.value).and_then(|pin| parse_pin(pin).map_err(Reason::Tls));
            tls.pinned_certs.extend(findings.take(&item.position, pin));
        }
    }),
    not_yet(&["min_version"]),
    not_yet(&["certs", "certificates"]),
    not_yet(&["cert_store"]),
    not_yet(&["cert_match_by"]),
    not_yet(&["cert_match"]),
    not_yet(&["cert_match_skip_invalid"]),
    not_yet(&["ca_certs_match"]),
    not_yet(&["ocsp_peer"]),
    not_yet(&["verify_cert_and_check_known_urls"]),
    // About servers that this one would connect to.
    ignored(&["insecure"]),
    // The library has no such suite.
    ignored(&["allow_insecure_cipher_suites"]),
    // Handshakes at once are bounded anyway.
    ignored(&["connection_rate_limit"]),
];

fn file(field: &'static str, value: &Value) -> Result<String, Reason> {
    let wanted = "filename";
    let result = text(value).map(str::to_owned);
    result.map_err(|_| Reason::Tls(TlsError::Expected { field, wanted }))
}

fn switch(field: &'static str, value: &Value) -> Result<bool, Reason> {
    let wanted = "a boolean";
    values::bool(value).map_err(|_| Reason::Tls(TlsError::Expected { field, wanted }))
}

/// A list of names with something in it.
fn names(field: &'static str, entry: &Entry, findings: &mut Findings) -> Option<Vec<String>> {
    let value = &entry.value;
    let items = findings.take(&value.position, values::array(&value.value))?;
    if items.is_empty() {
        findings.refuse(&value.position, Reason::Tls(TlsError::Empty(field)));
        return None;
    }
    let mut names = Vec::new();
    for item in items {
        let name = text(&item.value).map(str::to_owned);
        names.push(findings.take(&item.position, name)?);
    }
    Some(names)
}

/// Whether names mean something, and something that there is.
fn look_up(suites: &[String], curves: &[String], entry: &Entry, findings: &mut Findings) {
    let position = &entry.value.position;
    match check_names(suites, curves) {
        Ok(warnings) => {
            for warning in warnings {
                findings.warn(position, &warning);
            }
        }
        Err(text) => findings.refuse(position, Reason::Tls(TlsError::Names(text))),
    }
}

/// A bool, or a text: a bool in words, `auto`, or a duration. Source: nats-server 2.10.
fn handshake_first(value: &Value) -> Result<HandshakeFirst, TlsError> {
    let text = match value {
        Value::Bool(true) => return Ok(HandshakeFirst::Yes),
        Value::Bool(false) => return Ok(HandshakeFirst::No),
        Value::String(text) => text,
        other => return Err(TlsError::HandshakeFirstType(other.go_type())),
    };
    match text.to_lowercase().as_str() {
        "true" | "on" => Ok(HandshakeFirst::Yes),
        "false" | "off" => Ok(HandshakeFirst::No),
        "auto" | "auto_fallback" => Ok(HandshakeFirst::After(HANDSHAKE_FIRST_AUTO)),
        _ => match parse_go_duration(text) {
            Ok(wait) if wait.is_zero() => Ok(HandshakeFirst::Yes),
            Ok(wait) => Ok(HandshakeFirst::After(wait)),
            Err(_) => Err(TlsError::HandshakeFirst(text.clone())),
        },
    }
}

/// 64 hexadecimal digits.
fn parse_pin(text: &str) -> Result<[u8; 32], TlsError> {
    let mut pin = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != pin.len() || !rest.is_empty() {
        return Err(TlsError::Pin);
    }
    for (byte, pair) in pin.iter_mut().zip(pairs) {
        for digit in pair {
            let digit = char::from(*digit).to_digit(16).ok_or(TlsError::Pin)?;
            *byte = (*byte << 4) | u8::try_from(digit).map_err(|_| TlsError::Pin)?;
        }
    }
    Ok(pin)
}

#[cfg(test)]
mod tests;
