//! What a `tls` block and the TLS flags come to, and what is wrong with them.

use std::time::Duration;

use super::super::test_support::{errors, read_options, warnings};
use super::*;

fn tls(text: &str) -> TlsOptions {
    read_options(&format!("tls {{ {text} }}")).tls.unwrap()
}

#[test]
fn every_field() {
    let pin = "0123456789abcdefABCDEF0123456789".repeat(2);
    let read = tls(&format!(
        "cert_file: c.pem, KEY_FILE: \"k.pem\"\n ca_file: a.pem, verify: true, timeout: 0.4\n\
         cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n curve_preferences: [X25519, CurveP256]\n\
         handshake_first: true, pinned_certs: ['{pin}']",
    ));
    assert_eq!(read.pinned_certs[0][..4], [0x01, 0x23, 0x45, 0x67]);
    assert_eq!(read.pinned_certs[0][5..9], [0xab, 0xcd, 0xef, 0xab]);
    let expected = TlsOptions {
        cert_file: "c.pem".to_owned(),
        key_file: "k.pem".to_owned(),
        ca_file: Some("a.pem".to_owned()),
        verify: true,
        verify_and_map: false,
        timeout: Duration::from_millis(400),
        cipher_suites: vec!["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned()],
        curve_preferences: vec!["X25519".to_owned(), "CurveP256".to_owned()],
        handshake_first: HandshakeFirst::Yes,
        pinned_certs: read.pinned_certs.clone(),
        position: None,
    };
    assert_eq!(read, expected);
    assert_eq!(read.pinned_certs.len(), 1);
    assert_eq!(tls(""), TlsOptions::default());
    assert_eq!(tls("ca_file: ''").ca_file, None);
    assert_eq!(warnings("tls { timeout: 1m }").len(), 1);
    assert_eq!(tls("timeout: 3s").timeout, Duration::from_secs(3));
    assert!(tls("verify_and_map: true; verify: false").verify);
    assert!(!tls("verify_and_map: false; verify: false").verify);
    assert!(read_options("allow_non_tls: true").allow_non_tls);
}

#[test]
fn the_place_of_the_block_is_known_and_counts_for_nothing() {
    let (here, there) = (tls(""), read_options("port: 1\n  tls { }").tls.unwrap());
    assert_eq!(here, there);
    assert_eq!(here.located("x"), "t.conf:1:1: x");
    assert_eq!(there.located("x"), "t.conf:2:3: x");
    assert_eq!(TlsOptions::default().located("x"), "x");
    assert_ne!(here, tls("verify: true"));
}

#[test]
fn what_comes_first() {
    for (text, expected) in [
        ("true", HandshakeFirst::Yes),
        ("'on'", HandshakeFirst::Yes),
        ("off", HandshakeFirst::No),
        ("'FALSE'", HandshakeFirst::No),
        ("auto", HandshakeFirst::After(Duration::from_millis(50))),
        (
            "Auto_Fallback",
            HandshakeFirst::After(Duration::from_millis(50)),
        ),
        (
            "\"300ms\"",
            HandshakeFirst::After(Duration::from_millis(300)),
        ),
        ("0s", HandshakeFirst::Yes),
    ] {
        for key in ["handshake_first", "first", "immediate"] {
            assert_eq!(
                tls(&format!("{key}: {text}")).handshake_first,
                expected,
                "{text}"
            );
        }
    }
}

#[test]
fn mistakes() {
    for (text, expected) in [
        (
            "cert_file: 5",
            "1:18: error parsing tls config, expected 'cert_file' to be filename",
        ),
        (
            "key_file: [a]",
            "1:17: error parsing tls config, expected 'key_file' to be filename",
        ),
        (
            "ca_file: true",
            "1:16: error parsing tls config, expected 'ca_file' to be filename",
        ),
        (
            "verify: 1",
            "1:15: error parsing tls config, expected 'verify' to be a boolean",
        ),
        (
            "verify_and_map: 'x'",
            "1:23: error parsing tls config, expected 'verify_and_map' to be a boolean",
        ),
        (
            "cipher_suites: []",
            "1:22: error parsing tls config, 'cipher_suites' cannot be empty",
        ),
        (
            "curve_preferences: []",
            "1:26: error parsing tls config, 'curve_preferences' cannot be empty",
        ),
        ("cipher_suites: [ABC]", "1:22: Unrecognized cipher ABC"),
        (
            "curve_preferences: [P1]",
            "1:26: Unrecognized curve preference P1",
        ),
        (
            "cipher_suites: ABC",
            "1:22: interface conversion: interface {} is string, not []interface {}",
        ),
        (
            "cipher_suites: [5]",
            "1:23: interface conversion: interface {} is int64, not string",
        ),
        (
            "timeout: true",
            "1:16: error parsing tls config, 'timeout' wrong type",
        ),
        (
            "timeout: \"5\"",
            "1:16: error parsing tls config, 'timeout' time: missing unit in duration \"5\"",
        ),
        (
            "Bogus: 1",
            "1:7: error parsing tls config, unknown field [\"Bogus\"]",
        ),
        (
            "handshake_first: soon",
            "1:24: field \"handshake_first\"'s value \"soon\" is invalid",
        ),
        (
            "handshake_first: 5",
            "1:24: field \"handshake_first\" should be a boolean or a string, got int64",
        ),
        (
            "pinned_certs: x",
            "1:21: error parsing tls config, expected 'pinned_certs' to be a list of hex-encoded sha256 of DER encoded SubjectPublicKeyInfo",
        ),
        (
            "min_version: '1.3'",
            "1:7: \"min_version\" is not supported yet",
        ),
    ] {
        assert_eq!(
            errors(&format!("tls {{ {text} }}")),
            [format!("t.conf:{expected}")],
            "{text}"
        );
    }
    let digits = "0".repeat(63);
    for pin in [
        &*digits,
        &format!("{digits}g"),
        &format!("{digits}00"),
        "",
        "äö",
    ] {
        let errors = errors(&format!("tls {{ pinned_certs: ['{pin}'] }}"));
        assert_eq!(errors.len(), 1, "{pin}");
    }
    assert_eq!(
        errors("tls: 5\nallow_non_tls: 5"),
        [
            "t.conf:1:6: interface conversion: interface {} is int64, not map[string]interface {}",
            "t.conf:2:16: interface conversion: interface {} is int64, not bool",
        ]
    );
    assert_eq!(
        errors("tls { bogus: 1\n verify: 5\n cipher_suites: [] }").len(),
        3
    );
}

#[test]
fn names_that_cannot_be_used_are_told() {
    let text = "tls { cipher_suites: [TLS_RSA_WITH_RC4_128_SHA, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n\
                curve_preferences: [CurveP521, X25519]\n insecure: true }";
    let warned = warnings(text);
    assert_eq!(warned.len(), 3, "{warned:?}");
    for (warning, start) in warned.iter().zip([
        "t.conf:1:22: Cipher suite TLS_RSA_WITH_RC4_128_SHA ",
        "t.conf:2:20: Curve CurveP521 ",
        "t.conf:3:2: \"insecure\" is not supported",
    ]) {
        assert!(warning.starts_with(start), "{warning}");
    }
    assert_eq!(
        errors("tls { cipher_suites: [TLS_RSA_WITH_RC4_128_SHA] }").len(),
        1
    );
}
