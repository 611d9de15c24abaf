//! Files and names, and what is said of those that are wrong.

use rustls::version::{TLS12, TLS13};

use super::super::{CIPHER_NAMES, CURVE_NAMES, Scratch, TlsServer, check_names};
use super::{Certs, Link, Peer, Wire, connect};
use crate::tls::TlsOptions;

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn refusal(options: &TlsOptions) -> String {
    TlsServer::new(options).unwrap_err()
}

#[test]
fn what_is_wrong_with_files_is_said_in_the_words_of_go() {
    let certs = Certs::new();
    let right = certs.options();
    let missing = certs.path("nope.pem");
    let pair = "error parsing X509 certificate/key pair: ";
    let gone = format!("open {missing}: no such file or directory");
    let with = |cert: &str, key: &str| TlsOptions {
        cert_file: cert.to_owned(),
        key_file: key.to_owned(),
        ..right.clone()
    };
    certs.write("empty.pem", "nothing");
    let empty = certs.path("empty.pem");
    let (cert, key) = (&right.cert_file, &right.key_file);
    for (options, tail) in [
        (with(&missing, key), gone.as_str()),
        (with(cert, &missing), &gone),
        (with("", key), "open : no such file or directory"),
        (
            with(cert, &strange_key(&certs)),
            "tls: private key does not match public key",
        ),
        (
            with(key, cert),
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs \
             may have been switched",
        ),
        (
            with(cert, cert),
            "tls: found a certificate rather than a key in the PEM for the private key",
        ),
        (
            with(&empty, key),
            "tls: failed to find any PEM data in certificate input",
        ),
        (
            with(cert, &empty),
            "tls: failed to find any PEM data in key input",
        ),
    ] {
        assert_eq!(refusal(&options), format!("{pair}{tail}"));
    }
    let authority = |path: &str| TlsOptions {
        ca_file: Some(path.to_owned()),
        ..certs.verifying()
    };
    assert_eq!(refusal(&authority(&missing)), gone);
    for path in [&empty, key] {
        assert_eq!(
            refusal(&authority(path)),
            "failed to parse root ca certificate"
        );
    }
}

fn strange_key(certs: &Certs) -> String {
    certs.issue("strange", rcgen::CertificateParams::default());
    certs.path("strange-key.pem")
}

#[test]
fn broken_contents_are_refused_without_showing_them() {
    let certs = Certs::new();
    let pem =
        |label: &str| format!("-----BEGIN {label}-----\nZm9vYmFyMTIzNDU2\n-----END {label}-----\n");
    certs.write("bad-key.pem", &pem("PRIVATE KEY"));
    certs.write("bad-cert.pem", &pem("CERTIFICATE"));
    let text = refusal(&TlsOptions {
        key_file: certs.path("bad-key.pem"),
        ..certs.options()
    });
    assert_eq!(
        text,
        "error parsing X509 certificate/key pair: tls: failed to parse private key"
    );
    let text = refusal(&TlsOptions {
        cert_file: certs.path("bad-cert.pem"),
        ..certs.options()
    });
    assert_eq!(
        text,
        "error parsing X509 certificate/key pair: x509: malformed certificate"
    );
}

#[test]
fn names_are_those_of_go() {
    assert_eq!(check_names(&[], &[]), Ok(vec![]));
    let warnings = check_names(&names(CIPHER_NAMES), &names(CURVE_NAMES)).unwrap();
    // Six suites of 21 and three curves of four are left.
    assert_eq!(warnings.len(), 15 + 1);
    assert_eq!(
        warnings.last().unwrap(),
        "Curve CurveP521 is not supported and left out"
    );
    let unknown = |suites: &[&str], curves: &[&str]| check_names(&names(suites), &names(curves));
    for (suites, curves, text) in [
        (&["ABC"][..], &[][..], "Unrecognized cipher ABC"),
        (
            &["tls_ecdhe_rsa_with_aes_128_gcm_sha256"],
            &[],
            "Unrecognized cipher tls_ecdhe_rsa_with_aes_128_gcm_sha256",
        ),
        (
            &["TLS_AES_128_GCM_SHA256_SHA256"],
            &[],
            "Unrecognized cipher TLS_AES_128_GCM_SHA256_SHA256",
        ),
        (&[], &["P1"], "Unrecognized curve preference P1"),
        (
            &["TLS_RSA_WITH_RC4_128_SHA"],
            &[],
            "none of the cipher suites in 'cipher_suites' is supported",
        ),
        (
            &[],
            &["CurveP521"],
            "none of the curves in 'curve_preferences' is supported",
        ),
    ] {
        assert_eq!(unknown(suites, curves), Err(text.to_owned()));
    }
    for newer in [
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_CHACHA20_POLY1305_SHA256",
    ] {
        assert_eq!(unknown(&[newer], &["X25519MLKEM768"]), Ok(vec![]));
    }
}

#[test]
fn the_order_of_the_server_counts_and_tls_1_3_is_not_chosen() {
    let certs = Certs::new();
    let options = |suites: &[&str]| TlsOptions {
        cipher_suites: names(suites),
        ..certs.options()
    };
    let chacha = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305";
    let aes = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    for (suites, tls12) in [
        (
            &[chacha, aes][..],
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ),
        (&[aes, chacha], aes),
    ] {
        let server = TlsServer::new(&options(suites)).unwrap();
        let link = Link::new(&server, &certs.client(&TLS12, None), Wire::new());
        assert_eq!(link.session.cipher(), tls12);
        let link = Link::new(&server, &certs.client(&TLS13, None), Wire::new());
        assert_eq!(link.session.cipher(), "TLS_AES_128_GCM_SHA256");
    }
    // Names of TLS 1.3 alone leave nothing for 1.2.
    let server = TlsServer::new(&options(&["TLS_AES_256_GCM_SHA384"])).unwrap();
    let mut peer = Peer::new(&certs.client(&TLS12, None));
    let text = connect(
        &mut server.session(),
        &mut peer,
        &mut Wire::new(),
        &mut Scratch::new(),
    );
    assert_eq!(
        text.unwrap_err(),
        "tls: client offered only unsupported versions: [303]"
    );
}

#[test]
fn a_suite_for_another_kind_of_key_is_no_suite() {
    let certs = Certs::new();
    let server = TlsServer::new(&TlsOptions {
        cipher_suites: names(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]),
        ..certs.options()
    })
    .unwrap();
    let text = connect(
        &mut server.session(),
        &mut Peer::new(&certs.client(&TLS12, None)),
        &mut Wire::new(),
        &mut Scratch::new(),
    );
    assert_eq!(
        text.unwrap_err(),
        "tls: no cipher suite supported by both client and server"
    );
}

#[test]
fn curves_are_those_of_the_list() {
    let certs = Certs::new();
    for (curve, expected) in [
        ("CurveP384", rustls::NamedGroup::secp384r1),
        ("X25519MLKEM768", rustls::NamedGroup::X25519MLKEM768),
    ] {
        let server = TlsServer::new(&TlsOptions {
            curve_preferences: names(&[curve]),
            ..certs.options()
        })
        .unwrap();
        let link = Link::new(&server, &certs.client(&TLS13, None), Wire::new());
        let group = link.peer.tls.negotiated_key_exchange_group().unwrap();
        assert_eq!(group.name(), expected);
    }
}

#[test]
fn says_nothing_of_its_keys() {
    let server = TlsServer::new(&Certs::new().options()).unwrap();
    let shown = format!("{server:?} {:?}", server.session());
    assert!(shown.len() < 300, "{shown}");
}
