//! TLS by flags, which are one whole: they replace the certificates of the file, or switch TLS off.

use super::cli::{FlagValue, Given};
use super::flags::Effect;
use super::options::{HandshakeFirst, Options, TlsOptions};

/// Which part of TLS a flag sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsFlag {
    /// TLS on, or off whatever else says.
    On,
    /// File with the certificate.
    Certificate,
    /// File with its key.
    Key,
    /// File with the authorities for clients.
    Authorities,
    /// Clients have to show a certificate.
    Verify,
}

/// Applies the flags of TLS to what the file says.
///
/// Any of them, even `--tlsverify=false`, means that certificates come from the flags alone; of the block in the
/// file only its time limit stays. `--tls=false` drops the block and makes the other flags void. Source: gnatsd
/// 1.2.0. What that takes away from the file is returned as a warning, as it may have kept clients out.
///
/// # Errors
/// The text of 1.2.0 for flags without a certificate or a key.
pub(super) fn apply(
    given: &[Given],
    options: &mut Options,
) -> Result<Option<String>, &'static str> {
    let mut is_on = None;
    let mut is_any = false;
    let mut tls = TlsOptions::default();
    for one in given {
        let Effect::Tls(flag) = one.flag.effect else {
            continue;
        };
        is_any = true;
        match (flag, &one.value) {
            (TlsFlag::On, FlagValue::Bool(value)) => is_on = Some(*value),
            (TlsFlag::Verify, FlagValue::Bool(value)) => tls.verify = *value,
            (TlsFlag::Certificate, FlagValue::Text(file)) => tls.cert_file.clone_from(file),
            (TlsFlag::Key, FlagValue::Text(file)) => tls.key_file.clone_from(file),
            (TlsFlag::Authorities, FlagValue::Text(file)) => {
                tls.ca_file = (!file.is_empty()).then(|| file.clone());
            }
            _ => {}
        }
    }
    if is_on == Some(false) {
        let of_file = options.tls.take();
        return Ok(of_file.map(|of_file| {
            let dropped = dropped(&of_file, &TlsOptions::default());
            let with = if dropped.is_empty() { "" } else { " with its " };
            of_file.located(&format!("--tls=false drops this block{with}{dropped}"))
        }));
    }
    if !is_any {
        return Ok(None);
    }
    if tls.cert_file.is_empty() {
        return Err("TLS Server certificate must be present and valid");
    }
    if tls.key_file.is_empty() {
        return Err("TLS Server private key must be present and valid");
    }
    let of_file = options.tls.take();
    let warning = of_file.and_then(|of_file| {
        tls.timeout = of_file.timeout;
        let dropped = dropped(&of_file, &tls);
        let text = format!("TLS flags replace this block and drop its {dropped}");
        (!dropped.is_empty()).then(|| of_file.located(&text))
    });
    options.tls = Some(tls);
    Ok(warning)
}

/// What the block of a file says and `now` says nothing of. Certificates and keys of servers do not count: others are
/// what flags are for.
fn dropped(of_file: &TlsOptions, now: &TlsOptions) -> String {
    let TlsOptions {
        cert_file: _,
        key_file: _,
        ca_file,
        verify,
        verify_and_map,
        timeout: _,
        cipher_suites,
        curve_preferences,
        handshake_first,
        pinned_certs,
        position: _,
    } = of_file;
    let lost = [
        ("ca_file", ca_file.is_some() && now.ca_file.is_none()),
        ("verify", *verify && !verify_and_map && !now.verify),
        ("verify_and_map", *verify_and_map),
        ("cipher_suites", !cipher_suites.is_empty()),
        ("curve_preferences", !curve_preferences.is_empty()),
        ("handshake_first", *handshake_first != HandshakeFirst::No),
        ("pinned_certs", !pinned_certs.is_empty()),
    ];
    let names = lost.iter().filter(|(_, is_lost)| *is_lost);
    let names: Vec<&str> = names.map(|(name, _)| *name).collect();
    names.join(", ")
}
