//! A client's side of one connection: a socket, and TLS over it once it has begun.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedCipherSuite, SupportedProtocolVersion,
};

use super::certs::{Authority, Identity};

/// How a client speaks TLS; see [`TlsClient::config`].
#[derive(Clone, Debug)]
pub(crate) struct TlsClient {
    roots: RootCertStore,
    versions: Vec<&'static SupportedProtocolVersion>,
    suites: Vec<SupportedCipherSuite>,
    groups: Vec<&'static dyn SupportedKxGroup>,
    identity: Option<Identity>,
}

impl TlsClient {
    /// Trusts this authority, offers all there is, and shows no certificate.
    pub(crate) fn new(authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(authority.certificate())
            .expect("a certificate to trust");
        let provider = default_provider();
        Self {
            roots,
            versions: rustls::ALL_VERSIONS.to_vec(),
            suites: provider.cipher_suites,
            groups: provider.kx_groups,
            identity: None,
        }
    }

    /// Offers this version only.
    pub(crate) fn version(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    /// Offers these cipher suites only.
    pub(crate) fn suites(mut self, suites: &[SupportedCipherSuite]) -> Self {
        self.suites = suites.to_vec();
        self
    }

    /// Offers these groups for the exchange of keys only.
    pub(crate) fn groups(mut self, groups: &[&'static dyn SupportedKxGroup]) -> Self {
        self.groups = groups.to_vec();
        self
    }

    /// Shows this certificate when asked.
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// All of it, for connections.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let provider = CryptoProvider {
            cipher_suites: self.suites.clone(),
            kx_groups: self.groups.clone(),
            ..default_provider()
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&self.versions)
            .expect("versions for these suites")
            .with_root_certificates(self.roots.clone());
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(vec![identity.certificate.clone()], identity.key())
                .expect("a certificate and its key"),
        };
        Arc::new(config)
    }
}

/// A socket with or without TLS over it.
#[derive(Debug)]
pub(crate) struct Wire {
    /// The socket.
    pub(crate) stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Wire {
    /// No TLS yet.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, tls: None }
    }

    /// Does the handshake, and sends `first` in one write with the last of it: for TLS 1.3 in one with Finished.
    ///
    /// # Errors
    /// What the socket says, or another with what rustls says.
    pub(crate) fn start_tls(&mut self, config: Arc<ClientConfig>, first: &[u8]) -> io::Result<()> {
        let name = ServerName::IpAddress(self.stream.peer_addr()?.ip().into());
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        loop {
            let mut flight = Vec::new();
            if !tls.is_handshaking() {
                tls.writer().write_all(first)?;
            }
            while tls.wants_write() {
                tls.write_tls(&mut flight)?;
            }
            self.stream.write_all(&flight)?;
            if !tls.is_handshaking() {
                break;
            }
            if tls.read_tls(&mut self.stream)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Err(error) = tls.process_new_packets() {
                // The server is told why, as far as it listens.
                let _ = tls.write_tls(&mut self.stream);
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
        self.tls = Some(Box::new(tls));
        Ok(())
    }

    /// The connection, once TLS has begun.
    pub(crate) fn tls(&self) -> Option<&ClientConnection> {
        self.tls.as_deref()
    }

    /// Sends bytes in records of `size` bytes each, all of them in one write as far as the socket takes it.
    ///
    /// # Errors
    /// What the socket says.
    ///
    /// # Panics
    /// When there is no TLS.
    pub(crate) fn write_records(&mut self, bytes: &[u8], size: usize) -> io::Result<()> {
        let tls = self.tls.as_mut().expect("a connection with TLS");
        let mut records = Vec::new();
        for piece in bytes.chunks(size) {
            // One write, one record: all pieces are far below the longest.
            tls.writer().write_all(piece)?;
            while tls.wants_write() {
                tls.write_tls(&mut records)?;
            }
        }
        self.stream.write_all(&records)
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.stream.read(into);
        };
        loop {
            match tls.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            tls.read_tls(&mut self.stream)?;
            tls.process_new_packets().map_err(io::Error::other)?;
            while tls.wants_write() {
                tls.write_tls(&mut self.stream)?;
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.stream.write(bytes);
        };
        let count = tls.writer().write(bytes)?;
        while tls.wants_write() {
            tls.write_tls(&mut self.stream)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Every cipher suite of TLS 1.2 that rustls has, with its name.
pub(crate) const SUITES_1_2: [(SupportedCipherSuite, &str); 6] = [
    (
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    ),
    (
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    ),
    (
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    ),
    (
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ),
    (
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    ),
    (
        cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    ),
];

/// Every cipher suite of TLS 1.3.
pub(crate) const SUITES_1_3: [(SupportedCipherSuite, &str); 3] = [
    (
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        "TLS_AES_128_GCM_SHA256",
    ),
    (
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        "TLS_AES_256_GCM_SHA384",
    ),
    (
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        "TLS_CHACHA20_POLY1305_SHA256",
    ),
];

/// The groups that a configuration can name and rustls has.
pub(crate) const GROUPS: [(&dyn SupportedKxGroup, &str); 3] = [
    (kx_group::X25519, "X25519"),
    (kx_group::SECP256R1, "CurveP256"),
    (kx_group::SECP384R1, "CurveP384"),
];
