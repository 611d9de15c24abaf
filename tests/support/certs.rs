//! Certificates for tests: an authority made for one test, and what it signs.
//!
//! Every call makes new keys, so that a stranger's certificates look like the right ones in all but the
//! signature. Nothing is written to a file here; see [`Identity::files`].

use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::builder::Builder;

/// Names under which a server of a test is reached.
const SERVER_NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// Authorities made so far.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The certificate.
    pub(crate) certificate: CertificateDer<'static>,
    key: KeyPair,
    certificate_pem: String,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        let der = self.key.serialize_der();
        let key = KeyPair::try_from(der).expect("a key read back");
        Self {
            certificate: self.certificate.clone(),
            key,
            certificate_pem: self.certificate_pem.clone(),
        }
    }
}

/// What a client's certificate says of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Subject<'a> {
    /// Common name.
    pub(crate) common_name: &'a str,
    /// Organisational unit; empty for none.
    pub(crate) unit: &'a str,
    /// Alternative names that are mail addresses.
    pub(crate) emails: &'a [&'a str],
    /// Alternative names that are names of hosts.
    pub(crate) hosts: &'a [&'a str],
}

impl Authority {
    /// A new authority, unlike every other.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        // Of one name they would pass for one another that signs badly.
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("authority {number} of a test");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        Self { issuer }
    }

    /// Its certificate in PEM.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Its certificate.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A server's certificate, with an ECDSA key, for the names a test uses.
    pub(crate) fn server(&self) -> Identity {
        self.sign(server_params(), KeyPair::generate().expect("a key"))
    }

    /// The same with an RSA key.
    pub(crate) fn rsa_server(&self) -> Identity {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048);
        self.sign(server_params(), key.expect("an RSA key"))
    }

    /// A client's certificate.
    pub(crate) fn client(&self, subject: Subject<'_>) -> Identity {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let name = &mut params.distinguished_name;
        // What rcgen says of itself where nothing is set.
        name.remove(DnType::CommonName);
        if !subject.unit.is_empty() {
            name.push(DnType::OrganizationalUnitName, subject.unit);
        }
        name.push(DnType::CommonName, subject.common_name);
        let name = |text: &str| text.try_into().expect("an ASCII name");
        let emails = subject.emails.iter();
        let emails = emails.map(|text| SanType::Rfc822Name(name(text)));
        let hosts = subject
            .hosts
            .iter()
            .map(|text| SanType::DnsName(name(text)));
        params.subject_alt_names = emails.chain(hosts).collect();
        self.sign(params, KeyPair::generate().expect("a key"))
    }

    fn sign(&self, params: CertificateParams, key: KeyPair) -> Identity {
        let signed = params.signed_by(&key, &self.issuer);
        let signed = signed.expect("a certificate");
        Identity {
            certificate: signed.der().clone(),
            certificate_pem: signed.pem(),
            key,
        }
    }
}

impl Identity {
    /// The key, as a client takes it.
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// The public key as DER `SubjectPublicKeyInfo`.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        use rcgen::PublicKeyData;
        self.key.subject_public_key_info()
    }

    /// Writes `NAME-cert.pem` and `NAME-key.pem` into the directory of a server.
    pub(crate) fn files(&self, builder: Builder, name: &str) -> Builder {
        builder
            .file(&format!("{name}-cert.pem"), &self.certificate_pem)
            .file(&format!("{name}-key.pem"), self.key.serialize_pem())
    }
}

fn server_params() -> CertificateParams {
    let names = SERVER_NAMES.map(str::to_owned);
    let mut params = CertificateParams::new(names).expect("valid names");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "server of a test");
    params
}
