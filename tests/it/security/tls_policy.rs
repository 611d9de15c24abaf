//! T2: a scan of what a server speaks, the same whether it is set up by a file or by flags.

use std::collections::BTreeSet;

use rustls::version::{TLS12, TLS13};

use super::tls_builder;
use crate::support::wire::{GROUPS, SUITES_1_2, SUITES_1_3};
use crate::support::{Authority, Server, TlsClient, both_drivers};

/// Versions that are too old, as they stand in a hello: SSL 3 to TLS 1.1.
const OLD: [u8; 3] = [0, 1, 2];

/// Everything a server agrees to, one thing at a time: `1.2 SUITE GROUP`.
fn scan(server: &Server, authority: &Authority) -> BTreeSet<String> {
    let all = TlsClient::new(authority);
    let mut spoken = BTreeSet::new();
    for (group, group_name) in GROUPS {
        let offers = SUITES_1_2.map(|suite| (&TLS12, "1.2", suite)).into_iter();
        let offers = offers.chain(SUITES_1_3.map(|suite| (&TLS13, "1.3", suite)));
        for (version, version_name, (suite, suite_name)) in offers {
            let tls = all
                .clone()
                .groups(&[group])
                .suites(&[suite])
                .version(version);
            if let Ok(client) = server.bare_client().start_tls(&tls.config()) {
                drop(client);
                spoken.insert(format!("{version_name} {suite_name} {group_name}"));
            }
        }
    }
    spoken
}

/// A hello of version 3.`minor`, with nothing newer in it.
pub(super) fn old_hello(minor: u8) -> Vec<u8> {
    // Version, random, session, two suites of that time, no compression.
    let body = [
        &[3, minor][..],
        &[7; 32],
        &[0],
        &[0, 4, 0xc0, 0x13, 0x00, 0x2f],
        &[1, 0],
    ]
    .concat();
    let body_len = u8::try_from(body.len()).expect("a short hello");
    let message = [&[1, 0, 0, body_len], &body[..]].concat();
    [&[22, 3, minor, 0, body_len + 4], &message[..]].concat()
}

/// Whether a server answers a hello of this old version with anything but an alert.
fn speaks_old(server: &Server, minor: u8) -> bool {
    let mut client = server.bare_client();
    client.send(old_hello(minor));
    let answer = client.read_to_end();
    !matches!(answer.first(), None | Some(21))
}

/// The suites that a certificate of this kind allows, with every group.
fn expected(is_rsa: bool, suites: &[&str], groups: &[&str]) -> BTreeSet<String> {
    let kind = if is_rsa { "_RSA_" } else { "_ECDSA_" };
    let mut all = BTreeSet::new();
    for group in groups {
        let old = SUITES_1_2.iter().map(|(_, name)| *name);
        for name in old.filter(|name| name.contains(kind)) {
            if suites.is_empty() || suites.contains(&name) {
                all.insert(format!("1.2 {name} {group}"));
            }
        }
        for (_, name) in SUITES_1_3 {
            all.insert(format!("1.3 {name} {group}"));
        }
    }
    all
}

both_drivers! {
    fn t2_one_policy_by_file_and_by_flags(driver) {
        let authority = Authority::new();
        for (is_rsa, identity) in [(false, authority.server()), (true, authority.rsa_server())] {
            let by_file = identity.files(tls_builder(driver, &authority, "", ""), "server").start();
            let builder = identity.files(Server::with(driver), "server");
            let (cert, key) = (builder.path("server-cert.pem"), builder.path("server-key.pem"));
            let by_flags = builder
                .args(&["--tls", "--tlscert", &cert, "--tlskey", &key])
                .start();
            let groups = GROUPS.map(|(_, name)| name);
            let want = expected(is_rsa, &[], &groups);
            for (server, how) in [(&by_file, "file"), (&by_flags, "flags")] {
                let spoken = scan(server, &authority);
                assert_eq!(spoken, want, "by {how}");
                for minor in OLD {
                    assert!(!speaks_old(server, minor), "speaks 3.{minor}");
                }
                println!("T2 {}: by {how}, RSA {is_rsa}: {} combinations", driver.name(), spoken.len());
            }
        }
    }

    /// Names of suites and curves bound what is spoken, and the suites of TLS 1.3 are always there.
    fn names_bound_the_policy(driver) {
        let authority = Authority::new();
        let suites = [
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ];
        let more = format!("cipher_suites: {suites:?}, curve_preferences: [\"CurveP384\", \"CurveP521\"]");
        let server = tls_builder(driver, &authority, &more, "").start();
        let log = server.log();
        assert_eq!(log.matches("[WRN]").count(), 1, "one for the curve that there is not: {log}");
        assert!(log.contains("CurveP521"), "{log}");
        assert_eq!(scan(&server, &authority), expected(false, &suites, &["CurveP384"]));
    }
}
