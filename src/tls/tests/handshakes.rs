//! Handshakes that end well, and the words for those that do not.

use rcgen::{CertificateParams, date_time_ymd};
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use super::super::{Scratch, Step, TlsServer};
use super::{Certs, Link, Peer, Wire, connect};
use crate::tls::TlsOptions;

/// What the server says of bytes that are all it ever gets, and what it sends.
fn verdict(bytes: &[u8], is_cut: bool) -> (Step, Vec<u8>) {
    let certs = Certs::new();
    let server = TlsServer::new(&certs.options()).unwrap();
    let mut session = server.session();
    let mut wire = Wire::new();
    wire.up.extend(bytes);
    wire.is_cut = is_cut;
    let mut scratch = Scratch::new();
    let mut step = session.handshake(&mut wire, &mut scratch);
    while step == (Step::Blocked { wants_write: false }) && is_cut {
        step = session.handshake(&mut wire, &mut scratch);
    }
    (step, wire.down.into())
}

fn failed(text: &str) -> Step {
    Step::Failed(text.to_owned())
}

/// A client hello with nothing in it that the server could use.
fn hello(version: u16, supported: Option<&[u16]>) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    // No session, one suite, no compression.
    body.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    if let Some(versions) = supported {
        let list: Vec<_> = versions.iter().flat_map(|v| v.to_be_bytes()).collect();
        let len = u8::try_from(list.len()).unwrap();
        body.extend([0, len + 5, 0, 43, 0, len + 1, len]);
        body.extend(list);
    }
    let len = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, len + 4, 1, 0, 0, len];
    record.extend(body);
    record
}

#[test]
fn what_is_no_tls_ends_at_once_and_is_told_nothing() {
    let no_handshake = failed("tls: first record does not look like a TLS handshake");
    for bytes in [
        &b"CONNECT {\"verbose\":false}\r\nPING\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\0",
        b"\xff",
        b"\x17\x03\x03\0\x10",
        b"\x16\x10\x03",
    ] {
        assert_eq!(verdict(bytes, false), (no_handshake.clone(), vec![]));
    }
    let old = failed("tls: unsupported SSLv2 handshake received");
    assert_eq!(verdict(b"\x80\x2e\x01\0\x02", false), (old, vec![]));
}

#[test]
fn a_record_of_64_kib_is_refused_by_its_header() {
    let (step, sent) = verdict(b"\x16\x03\x01\xff\xff\x01", false);
    assert_eq!(
        step,
        failed("tls: oversized record received with length 65535")
    );
    assert_eq!(sent[0], 21, "an alert");
}

#[test]
fn garbage_in_a_record_is_refused() {
    let mut record = vec![22, 3, 1, 1, 0];
    record.extend([0x5a; 256]);
    let (step, _) = verdict(&record, false);
    // The length of the message it claims to be.
    let Step::Failed(text) = step else {
        panic!("{step:?}");
    };
    assert!(text.starts_with("tls: "), "{text}");
}

#[test]
fn half_a_hello_waits_and_its_end_is_a_failure() {
    let whole = hello(0x0303, Some(&[0x0304]));
    for len in 1..whole.len() {
        let (step, sent) = verdict(&whole[..len], false);
        assert_eq!(
            (step, sent.len()),
            (Step::Blocked { wants_write: false }, 0)
        );
        assert_eq!(verdict(&whole[..len], true).0, failed("unexpected EOF"));
    }
    assert_eq!(verdict(&[], true).0, failed("EOF"));
}

#[test]
fn old_versions_are_named() {
    let offered = |record: &[u8]| match verdict(record, false).0 {
        Step::Failed(text) => text,
        step => panic!("{step:?}"),
    };
    let text = "tls: client offered only unsupported versions: ";
    assert_eq!(offered(&hello(0x0302, None)), format!("{text}[302 301]"));
    assert_eq!(offered(&hello(0x0301, None)), format!("{text}[301]"));
    assert_eq!(
        offered(&hello(0x0303, Some(&[0x0302, 0x0301]))),
        format!("{text}[302 301]")
    );
}

#[test]
fn client_certificates_are_wanted_and_verified() {
    let certs = Certs::new();
    certs.issue("client", CertificateParams::default());
    // Another authority, and one that only has the same name.
    for (name, authority) in [("stranger", "stranger"), ("forger", "test authority")] {
        let others = Certs::of(authority);
        others.issue(name, CertificateParams::default());
        for file in ["cert", "key"].map(|part| format!("{name}-{part}.pem")) {
            certs.write(&file, &std::fs::read_to_string(others.path(&file)).unwrap());
        }
    }
    let mut old = CertificateParams::default();
    old.not_before = date_time_ymd(2001, 1, 1);
    old.not_after = date_time_ymd(2002, 1, 1);
    certs.issue("old", old);
    let server = TlsServer::new(&certs.verifying()).unwrap();
    let unverified = "tls: failed to verify client certificate: x509: certificate ";
    for version in [&TLS12, &TLS13] {
        for (shown, expected) in [
            (Some("client"), None),
            (
                None,
                Some("tls: client didn't provide a certificate".to_owned()),
            ),
            (
                Some("stranger"),
                Some(format!("{unverified}signed by unknown authority")),
            ),
            (
                Some("forger"),
                Some(format!("{unverified}signed by unknown authority")),
            ),
            (
                Some("old"),
                Some(format!("{unverified}has expired or is not yet valid")),
            ),
        ] {
            let mut session = server.session();
            let mut peer = Peer::new(&certs.client(version, shown));
            let mut wire = Wire::new();
            let result = connect(&mut session, &mut peer, &mut wire, &mut Scratch::new());
            match (result, &expected) {
                (Ok(()), None) => assert!(session.peer_names().is_none(), "nobody asked"),
                (Err(text), Some(expected)) => {
                    assert!(text.starts_with(expected), "{shown:?}: {text}");
                    let told = peer.tls.process_new_packets().unwrap_err();
                    assert!(
                        matches!(told, rustls::Error::AlertReceived(_)),
                        "{shown:?}: {told}"
                    );
                }
                (result, _) => panic!("{shown:?}: {result:?}"),
            }
        }
    }
}

#[test]
fn pinned_keys_let_nobody_else_in() {
    let certs = Certs::new();
    let pinned = certs.issue("client", CertificateParams::default());
    certs.issue("other", CertificateParams::default());
    let key = super::super::identity::key_digest(pinned.der()).unwrap();
    let server = TlsServer::new(&TlsOptions {
        pinned_certs: vec![[9; 32], key],
        ..certs.verifying()
    })
    .unwrap();
    let result = |shown| {
        connect(
            &mut server.session(),
            &mut Peer::new(&certs.client(&TLS13, Some(shown))),
            &mut Wire::new(),
            &mut Scratch::new(),
        )
    };
    assert_eq!(result("client"), Ok(()));
    assert_eq!(result("other"), Err("certificate not pinned".to_owned()));
}

#[test]
fn a_client_that_does_not_trust_the_server_says_so() {
    let certs = Certs::new();
    let others = Certs::of("another authority");
    let server = TlsServer::new(&certs.options()).unwrap();
    let mut peer = Peer::new(&others.client(&TLS13, None));
    let text = connect(
        &mut server.session(),
        &mut peer,
        &mut Wire::new(),
        &mut Scratch::new(),
    );
    assert_eq!(
        text.unwrap_err(),
        "remote error: tls: unknown certificate authority"
    );
}

#[test]
fn says_what_was_agreed_on() {
    let certs = Certs::new();
    let server = TlsServer::new(&certs.options()).unwrap();
    for (version, name, cipher) in [
        (&TLS13, "1.3", "TLS_AES_128_GCM_SHA256"),
        (&TLS12, "1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ] {
        let link = Link::new(&server, &certs.client(version, None), Wire::new());
        assert_eq!(link.session.version(), name);
        assert_eq!(link.session.cipher(), cipher);
    }
    assert_eq!(server.session().version(), "");
}

#[test]
fn resumes_only_what_needs_no_certificate() {
    let certs = Certs::new();
    certs.issue("client", CertificateParams::default());
    for (options, resumed) in [
        (certs.options(), HandshakeKind::Resumed),
        (certs.verifying(), HandshakeKind::Full),
    ] {
        let server = TlsServer::new(&options).unwrap();
        let others = TlsServer::new(&options).unwrap();
        for version in [&TLS12, &TLS13] {
            let client = certs.client(version, Some("client"));
            let kind = |server: &TlsServer| {
                let link = Link::new(server, &client, Wire::new());
                link.peer.tls.handshake_kind()
            };
            assert_eq!(kind(&server), Some(HandshakeKind::Full));
            assert_eq!(kind(&server), Some(resumed), "{version:?}");
            // Each listener has keys of its own.
            assert_eq!(kind(&others), Some(HandshakeKind::Full));
        }
    }
}

#[test]
fn a_handshake_survives_a_wire_that_trickles() {
    let certs = Certs::new();
    let server = TlsServer::new(&certs.options()).unwrap();
    for version in [&TLS12, &TLS13] {
        for chunks in [vec![1, 0], vec![3], vec![0, 0, 100, 0, 1000]] {
            let link = Link::new(
                &server,
                &certs.client(version, None),
                Wire::in_chunks(chunks),
            );
            assert!(!link.session.has_unsent());
            assert_eq!(link.session.kept(), 0);
        }
    }
}
