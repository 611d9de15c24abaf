//! What `--help_tls` prints.

use crate::tls::{CIPHER_NAMES, CURVE_NAMES, check_names};

/// What the block looks like. Source: gnatsd 1.2.0.
const EXAMPLE: &str = r#"
TLS configuration is specified in the tls section of a configuration file:

e.g.

    tls {
        cert_file:      "./certs/server-cert.pem"
        key_file:       "./certs/server-key.pem"
        ca_file:        "./certs/ca.pem"
        verify:         true

        cipher_suites: [
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
        ]
        curve_preferences: [
            "X25519",
            "CurveP256"
        ]
    }

"#;

/// The text of `--help_tls`: the block, then the names of cipher suites and curves, those last that a configuration
/// may name but that are never used.
pub(super) fn text() -> String {
    let is_used = |suite: &str| check_names(&[suite.to_owned()], &[]).is_ok();
    let (suites, other_suites): (Vec<&str>, _) =
        CIPHER_NAMES.iter().partition(|name| is_used(name));
    let is_used = |curve: &str| check_names(&[], &[curve.to_owned()]).is_ok();
    let (curves, other_curves): (Vec<&str>, _) = CURVE_NAMES.iter().partition(|name| is_used(name));
    let mut text = EXAMPLE.to_owned();
    let lists = [
        ("Available cipher suites include:", suites),
        (
            "\nAccepted, but never used, as they are weak:",
            other_suites,
        ),
        ("\nAvailable curve preferences include:", curves),
        ("\nAccepted, but never used:", other_curves),
    ];
    for (heading, names) in lists {
        text += heading;
        text.push('\n');
        for name in names {
            text += &format!("    {name}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once_and_with_its_kind() {
        let text = text();
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("    T"))
            .collect();
        assert_eq!(names.len(), CIPHER_NAMES.len());
        for name in CIPHER_NAMES.iter().chain(CURVE_NAMES) {
            let lines = text.lines().filter(|line| line.trim() == *name);
            assert_eq!(lines.count(), 1, "{name}");
        }
        let place = |name: &str| text.find(&format!("\n    {name}\n")).unwrap_or(0);
        let weak = text.find("weak").unwrap_or(0);
        assert!(place("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256") < weak);
        assert!(place("TLS_RSA_WITH_RC4_128_SHA") > weak);
    }
}
