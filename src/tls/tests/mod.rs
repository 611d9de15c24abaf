//! A client of the same library and a wire in memory that blocks where it likes.

mod handshakes;
mod hostile;
mod identities;
mod measurements;
mod options;
mod records;

use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;

use super::{Scratch, Session, Step, TlsServer};
use crate::tls::TlsOptions;

/// Calls after which a test that makes no progress gives up.
const CALLS_MAX: usize = 1_000_000;

/// An authority, a server's certificate, and the directory with the files.
pub(super) struct Certs {
    pub(super) dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

impl Certs {
    pub(super) fn new() -> Certs {
        Certs::of("test authority")
    }

    pub(super) fn of(authority: &str) -> Certs {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, authority);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        let certs = Certs {
            dir: TempDir::new().unwrap(),
            issuer: Issuer::new(params, key),
            root: root.der().clone(),
        };
        certs.write("ca.pem", &root.pem());
        certs.issue(
            "server",
            CertificateParams::new(["localhost".to_owned()]).unwrap(),
        );
        certs
    }

    /// Writes `NAME-cert.pem` and `NAME-key.pem`.
    pub(super) fn issue(&self, name: &str, params: CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.write(&format!("{name}-cert.pem"), &certificate.pem());
        self.write(&format!("{name}-key.pem"), &key.serialize_pem());
        certificate
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    pub(super) fn path(&self, name: &str) -> String {
        path_text(&self.dir.path().join(name))
    }

    /// A server with the certificate of these.
    pub(super) fn options(&self) -> TlsOptions {
        TlsOptions {
            cert_file: self.path("server-cert.pem"),
            key_file: self.path("server-key.pem"),
            ..TlsOptions::default()
        }
    }

    /// The same, and clients have to show a certificate.
    pub(super) fn verifying(&self) -> TlsOptions {
        TlsOptions {
            ca_file: Some(self.path("ca.pem")),
            verify: true,
            ..self.options()
        }
    }

    /// A client that trusts these, with the certificate `shown` if any.
    pub(super) fn client(
        &self,
        version: &'static SupportedProtocolVersion,
        shown: Option<&str>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match shown {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = CertificateDer::from_pem_file(self.path(&format!("{name}-cert.pem")));
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}-key.pem")));
                builder
                    .with_client_auth_cert(vec![chain.unwrap()], key.unwrap())
                    .unwrap()
            }
        })
    }
}

fn path_text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// The server's end of a connection. Each read and each write moves as much as the next of `chunks` says; 0 is
/// a socket that blocks.
#[derive(Debug)]
pub(super) struct Wire {
    /// To the server.
    pub(super) up: VecDeque<u8>,
    /// To the client.
    pub(super) down: VecDeque<u8>,
    /// The client has closed its end.
    pub(super) is_cut: bool,
    /// Calls of `write` that took something.
    pub(super) writes: usize,
    pub(super) chunks: Vec<usize>,
    at: usize,
}

impl Wire {
    pub(super) fn new() -> Wire {
        Wire::in_chunks(vec![usize::MAX])
    }

    pub(super) fn in_chunks(mut chunks: Vec<usize>) -> Wire {
        if chunks.iter().all(|len| *len == 0) {
            // Something has to move at last.
            chunks.push(7);
        }
        Wire {
            up: VecDeque::new(),
            down: VecDeque::new(),
            is_cut: false,
            writes: 0,
            chunks,
            at: 0,
        }
    }

    fn chunk(&mut self) -> io::Result<usize> {
        self.at = (self.at + 1) % self.chunks.len();
        match self.chunks[self.at] {
            0 => Err(ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.up.is_empty() {
            return match self.is_cut {
                true => Ok(0),
                false => Err(ErrorKind::WouldBlock.into()),
            };
        }
        let len = self.chunk()?.min(into.len());
        self.up.make_contiguous();
        self.up.read(&mut into[..len])
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.chunk()?.min(bytes.len());
        self.down.extend(&bytes[..len]);
        self.writes += 1;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client at the other end.
pub(super) struct Peer {
    pub(super) tls: ClientConnection,
    /// Plaintext received.
    pub(super) got: Vec<u8>,
}

impl Peer {
    pub(super) fn new(config: &Arc<ClientConfig>) -> Peer {
        let name = "localhost".try_into().unwrap();
        let mut tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        tls.set_buffer_limit(None);
        Peer {
            tls,
            got: Vec::new(),
        }
    }

    /// Moves what there is in both directions.
    pub(super) fn exchange(&mut self, wire: &mut Wire) -> Result<(), rustls::Error> {
        let mut result = Ok(());
        while self.tls.wants_read() && !wire.down.is_empty() && result.is_ok() {
            self.tls.read_tls(&mut wire.down).unwrap();
            result = self.tls.process_new_packets().map(|_| ());
            let mut buffer = [0; 16 * 1024];
            while let Ok(len @ 1..) = self.tls.reader().read(&mut buffer) {
                self.got.extend_from_slice(&buffer[..len]);
            }
        }
        while self.tls.wants_write() {
            self.tls.write_tls(&mut wire.up).unwrap();
        }
        result
    }

    /// Puts `bytes` on the wire in one record.
    pub(super) fn say(&mut self, bytes: &[u8], wire: &mut Wire) {
        self.tls.writer().write_all(bytes).unwrap();
        self.exchange(wire).unwrap();
    }
}

/// A handshake to its end. `Err` has the server's text.
pub(super) fn connect(
    session: &mut Session,
    peer: &mut Peer,
    wire: &mut Wire,
    scratch: &mut Scratch,
) -> Result<(), String> {
    for _ in 0..CALLS_MAX {
        // The server's answer to what the client cannot stand is tested here, so the client goes on.
        let _ = peer.exchange(wire);
        match session.handshake(wire, scratch) {
            Step::Done => {
                // Without what else comes: a client takes tickets when it reads next.
                return Ok(());
            }
            Step::Blocked { .. } => {}
            Step::Failed(text) => {
                let _ = peer.exchange(wire);
                return Err(text);
            }
        }
    }
    panic!("the handshake does not end");
}

/// A connection that is ready for data, and all it needs.
pub(super) struct Link {
    pub(super) session: Session,
    pub(super) peer: Peer,
    pub(super) wire: Wire,
    pub(super) scratch: Scratch,
}

impl Link {
    pub(super) fn new(server: &TlsServer, client: &Arc<ClientConfig>, wire: Wire) -> Link {
        let mut link = Link {
            session: server.session(),
            peer: Peer::new(client),
            wire,
            scratch: Scratch::new(),
        };
        connect(
            &mut link.session,
            &mut link.peer,
            &mut link.wire,
            &mut link.scratch,
        )
        .unwrap();
        link.peer.exchange(&mut link.wire).unwrap();
        link
    }

    /// What the server receives until it blocks or has it all.
    pub(super) fn receive(&mut self, room: usize) -> io::Result<Vec<u8>> {
        let mut got = Vec::new();
        let mut into = vec![0; room];
        for _ in 0..CALLS_MAX {
            match self
                .session
                .receive(&mut self.wire, &mut into, &mut self.scratch)
            {
                Ok(0) => return Ok(got),
                Ok(len) => got.extend_from_slice(&into[..len]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    if self.wire.up.is_empty() && !self.session.has_plaintext() {
                        return Ok(got);
                    }
                }
                Err(e) if got.is_empty() => return Err(e),
                Err(_) => return Ok(got),
            }
        }
        panic!("receiving does not end");
    }

    /// Sends all of `bytes` in slices of `slice` bytes, and gives them to the client.
    pub(super) fn send(&mut self, bytes: &[u8], slice: usize) {
        let mut left = bytes;
        for _ in 0..CALLS_MAX {
            if left.is_empty() && !self.session.has_unsent() {
                self.peer.exchange(&mut self.wire).unwrap();
                return;
            }
            let slices: Vec<_> = left.chunks(slice).map(IoSlice::new).collect();
            match self
                .session
                .send(&mut self.wire, &slices, &mut self.scratch)
            {
                Ok(len) => left = &left[len..],
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
        }
        panic!("sending does not end");
    }
}
