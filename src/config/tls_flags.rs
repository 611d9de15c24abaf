//! TLS by flags, which are one whole: they replace the certificates of the file, or switch TLS off.

use super::cli::{FlagValue, Given};
use super::flags::Effect;
use super::options::{Options, TlsOptions};

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
/// 1.2.0.
///
/// # Errors
/// The text of 1.2.0 for flags without a certificate or a key.
pub(super) fn apply(given: &[Given], options: &mut Options) -> Result<(), &'static str> {
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
        options.tls = None;
        return Ok(());
    }
    if !is_any {
        return Ok(());
    }
    if tls.cert_file.is_empty() {
        return Err("TLS Server certificate must be present and valid");
    }
    if tls.key_file.is_empty() {
        return Err("TLS Server private key must be present and valid");
    }
    if let Some(of_file) = &options.tls {
        tls.timeout = of_file.timeout;
    }
    options.tls = Some(tls);
    Ok(())
}
