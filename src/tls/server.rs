//! One listener's TLS: files and options made into what rustls needs, once.

use std::fmt;
use std::fs;
use std::io;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};

use super::names;
use super::session::Session;
use crate::tls::TlsOptions;

/// How often a client is told a ticket to resume with after a handshake, as Go does.
const TICKETS: usize = 1;

/// TLS as one listener speaks it. All sessions of the listener share it; where the options change, a new one
/// takes its place and sessions keep the one they began with.
#[derive(Clone)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    trust: Arc<Trust>,
}

/// What is wanted of client certificates beyond that they verify.
#[derive(Debug)]
pub(super) struct Trust {
    /// One is asked for.
    pub(super) wants_certificate: bool,
    /// The names in it are wanted.
    pub(super) maps: bool,
    /// SHA-256 of the public keys that are let in; empty for all.
    pub(super) pinned: Vec<[u8; 32]>,
}

impl TlsServer {
    /// Loads the files and checks them against each other.
    ///
    /// # Errors
    ///
    /// The text for the operator: that of gnatsd 1.2.0 where it has one. It names files, never what is in them.
    pub fn new(options: &TlsOptions) -> Result<TlsServer, String> {
        let mut warnings = Vec::new();
        let provider = Arc::new(CryptoProvider {
            cipher_suites: names::suites(&options.cipher_suites, &mut warnings)?,
            kx_groups: names::kx_groups(&options.curve_preferences, &mut warnings)?,
            ..aws_lc_rs::default_provider()
        });
        let pair = |error| format!("error parsing X509 certificate/key pair: {error}");
        let key = certified_key(options, &provider).map_err(pair)?;
        let has_tls12 = provider
            .cipher_suites
            .iter()
            .any(|suite| suite.tls13().is_none());
        let versions: &[_] = if has_tls12 {
            &[&TLS13, &TLS12]
        } else {
            &[&TLS13]
        };
        let text = |error: Error| error.to_string();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(text)?;
        let wants_certificate = options.verify || options.verify_and_map;
        // A file that is no good is found now, and not when certificates are wanted one day.
        let roots = match &options.ca_file {
            None if !wants_certificate => None,
            ca_file => Some(Arc::new(roots(ca_file.as_deref())?)),
        };
        let builder = if let Some(roots) = roots.filter(|_| wants_certificate) {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| error.to_string())?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if wants_certificate {
            // A resumed session would not look at the certificate again, expired or not.
            config.send_tls13_tickets = 0;
        } else {
            config.send_tls13_tickets = TICKETS;
            config.ticketer = aws_lc_rs::Ticketer::new().map_err(text)?;
        }
        let config = Arc::new(config);
        // What a session could fail with it fails with now.
        UnbufferedServerConnection::new(Arc::clone(&config)).map_err(text)?;
        Ok(TlsServer {
            config,
            trust: Arc::new(Trust {
                wants_certificate,
                maps: options.verify_and_map,
                pinned: options.pinned_certs.clone(),
            }),
        })
    }

    /// The server side of a new connection.
    pub fn session(&self) -> Session {
        let connection = UnbufferedServerConnection::new(Arc::clone(&self.config))
            .expect("the same configuration was good for one when it was loaded");
        Session::new(connection, Arc::clone(&self.trust))
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer")
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

/// The certificate chain and its key, known to belong together. Texts: Go's tls.LoadX509KeyPair.
fn certified_key(options: &TlsOptions, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let chain_pem = read(&options.cert_file)?;
    let key_pem = read(&options.key_file)?;
    let chain = chain_in(&chain_pem)?;
    let key = key_in(&key_pem)?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "tls: private key does not match public key".to_owned()
        }
        Error::InvalidCertificate(_) => "x509: malformed certificate".to_owned(),
        _ => "tls: failed to parse private key".to_owned(),
    })
}

fn chain_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut chain = Vec::new();
    let mut skipped = Vec::new();
    for (kind, der) in sections(pem) {
        match kind {
            SectionKind::Certificate => chain.push(CertificateDer::from(der)),
            other => skipped.push(label(other)),
        }
    }
    match *skipped.as_slice() {
        _ if !chain.is_empty() => Ok(chain),
        [] => Err("tls: failed to find any PEM data in certificate input".to_owned()),
        [only] if only.ends_with("PRIVATE KEY") => Err(
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM \
             inputs may have been switched"
                .to_owned(),
        ),
        _ => Err(format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the \
             following types: [{}]",
            skipped.join(" ")
        )),
    }
}

fn key_in(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let mut skipped = Vec::new();
    for (kind, der) in sections(pem) {
        match PrivateKeyDer::from_pem(kind, der) {
            Some(key) => return Ok(key),
            None => skipped.push(label(kind)),
        }
    }
    match *skipped.as_slice() {
        [] => Err("tls: failed to find any PEM data in key input".to_owned()),
        ["CERTIFICATE"] => Err(
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned(),
        ),
        _ => Err(format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM \
             blocks of the following types: [{}]",
            skipped.join(" ")
        )),
    }
}

/// The sections of a PEM file up to the first that is broken, as Go reads them.
fn sections(pem: &[u8]) -> impl Iterator<Item = (SectionKind, Vec<u8>)> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(pem).map_while(Result::ok)
}

fn label(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Certificate => "CERTIFICATE",
        SectionKind::PublicKey => "PUBLIC KEY",
        SectionKind::RsaPrivateKey => "RSA PRIVATE KEY",
        SectionKind::PrivateKey => "PRIVATE KEY",
        SectionKind::EcPrivateKey => "EC PRIVATE KEY",
        SectionKind::Crl => "X509 CRL",
        SectionKind::Csr => "CERTIFICATE REQUEST",
        _ => "OTHER",
    }
}

/// Whom to trust to vouch for clients: the authorities of a file, or those of the system.
fn roots(ca_file: Option<&str>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let pem = read(path)?;
            let found = sections(&pem)
                .filter(|(kind, _)| *kind == SectionKind::Certificate)
                .map(|(_, der)| CertificateDer::from(der));
            roots.add_parsable_certificates(found);
            if roots.is_empty() {
                return Err("failed to parse root ca certificate".to_owned());
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(
                    "clients are to be verified, but there is no 'ca_file' and the system has no authorities"
                        .to_owned(),
                );
            }
        }
    }
    Ok(roots)
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("open {path}: {}", system_text(&error)))
}

/// The system's words for an error, as Go writes them: small, and without the number.
pub(super) fn system_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => "unknown error".to_owned(),
    }
}
