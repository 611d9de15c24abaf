//! Cipher suites and curves by the names Go gives them.

use rustls::SupportedCipherSuite;
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::{cipher_suite as suite, kx_group};

/// The cipher suites that gnatsd 1.2.0 knows, for the help text: Go's of that time.
pub const CIPHER_NAMES: &[&str] = &[
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
];

/// The curves that gnatsd 1.2.0 knows, for the help text.
pub const CURVE_NAMES: &[&str] = &["CurveP256", "CurveP384", "CurveP521", "X25519"];

/// The suites there are. Those of TLS 1.2 in the order of Go on a machine with AES in hardware, which is what a
/// gnatsd 1.2.0 built today uses whatever its documentation says; those of TLS 1.3 have no say in Go and always
/// come all three.
const SUITES: &[(&str, SupportedCipherSuite)] = &[
    ("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        suite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// Go's newer names for two of [`CIPHER_NAMES`] end like this.
const NEWER_ENDING: &str = "CHACHA20_POLY1305_SHA256";

/// Known to Go, left out of gnatsd's list by mistake, and known to nats-server 2.x.
const LEFT_OUT: &str = "TLS_RSA_WITH_AES_128_GCM_SHA256";

/// The key exchanges there are, in the order of nats-server 2.x; the first is safe from quantum computers and
/// used if the client offers it.
fn groups() -> [(&'static str, &'static dyn SupportedKxGroup); 5] {
    [
        ("X25519MLKEM768", kx_group::X25519MLKEM768),
        ("SecP256r1MLKEM768", kx_group::SECP256R1MLKEM768),
        ("X25519", kx_group::X25519),
        ("CurveP256", kx_group::SECP256R1),
        ("CurveP384", kx_group::SECP384R1),
    ]
}

/// Key exchanges that nats-server has and rustls has not.
const GROUPS_LACKING: &[&str] = &["CurveP521", "SecP384r1MLKEM1024"];

/// Checks what `cipher_suites` and `curve_preferences` name, in that order; an empty list stands for the default.
///
/// Gives a warning for each name that is known but cannot be used.
///
/// # Errors
///
/// The text for the operator about the first name that is unknown, or about a list of which nothing can be used.
pub fn check_names(
    cipher_suites: &[String],
    curve_preferences: &[String],
) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    suites(cipher_suites, &mut warnings)?;
    kx_groups(curve_preferences, &mut warnings)?;
    Ok(warnings)
}

/// The suites that `names` stand for, the most wanted first, with a warning for each that cannot be used.
pub(super) fn suites(
    names: &[String],
    warnings: &mut Vec<String>,
) -> Result<Vec<SupportedCipherSuite>, String> {
    let mut suites: Vec<_> = SUITES.iter().map(|(_, suite)| *suite).collect();
    if names.is_empty() {
        return Ok(suites);
    }
    suites.retain(|suite| suite.tls13().is_some());
    let mut has_any = false;
    for name in names {
        match suite_named(name)? {
            Some(suite) => {
                has_any = true;
                if !suites.contains(&suite) {
                    suites.push(suite);
                }
            }
            None => warnings.push(format!("Cipher suite {name} is not supported and left out")),
        }
    }
    if has_any {
        Ok(suites)
    } else {
        Err("none of the cipher suites in 'cipher_suites' is supported".to_owned())
    }
}

/// `None` for a suite that only others have.
fn suite_named(name: &str) -> Result<Option<SupportedCipherSuite>, String> {
    let older = match name.strip_suffix("_SHA256") {
        Some(older) if name.ends_with(NEWER_ENDING) && name.contains("_ECDHE_") => older,
        _ => name,
    };
    match SUITES.iter().find(|(known, _)| *known == older) {
        Some((_, suite)) => Ok(Some(*suite)),
        None if CIPHER_NAMES.contains(&name) || name == LEFT_OUT => Ok(None),
        None => Err(format!("Unrecognized cipher {name}")),
    }
}

/// The key exchanges that `names` stand for, the most wanted first, with a warning for each that cannot be used.
pub(super) fn kx_groups(
    names: &[String],
    warnings: &mut Vec<String>,
) -> Result<Vec<&'static dyn SupportedKxGroup>, String> {
    let known = groups();
    if names.is_empty() {
        return Ok(known.iter().map(|(_, group)| *group).collect());
    }
    let mut wanted: Vec<&'static dyn SupportedKxGroup> = Vec::new();
    for name in names {
        match known.iter().find(|(known, _)| known == name) {
            Some((_, group)) if wanted.iter().any(|has| has.name() == group.name()) => {}
            Some((_, group)) => wanted.push(*group),
            None if GROUPS_LACKING.contains(&name.as_str()) => {
                warnings.push(format!("Curve {name} is not supported and left out"));
            }
            None => return Err(format!("Unrecognized curve preference {name}")),
        }
    }
    if wanted.is_empty() {
        Err("none of the curves in 'curve_preferences' is supported".to_owned())
    } else {
        Ok(wanted)
    }
}

/// Go's name for a suite, as nats-server 2.x logs it.
pub(super) fn name_of(suite: SupportedCipherSuite) -> String {
    let name = SUITES.iter().find(|(_, known)| *known == suite);
    match name {
        Some((name, _)) if name.ends_with("_POLY1305") => format!("{name}_SHA256"),
        Some((name, _)) => (*name).to_owned(),
        None => format!("{:?}", suite.suite()),
    }
}
