//! TLS as the generator speaks it: rustls shakes hands, [`records`] carries what comes behind.
//!
//! Always TLS 1.3 with AES-128-GCM and X25519, never a session resumed, so that servers are compared doing the
//! same. Nobody's certificate is looked at and no signature verified: that is a client's work, it would be the
//! generator's time, and servers here are the ones that it has started itself. It is no way to talk to any other.

mod records;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

pub(crate) use records::Session;

use crate::Result;

/// Greatest record there is, with its header, in bytes: RFC 8446, 5.2.
pub(crate) const RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 256;

/// Name that is asked for; certificates are not compared with it.
const SERVER_NAME: &str = "localhost";

/// The same for every connection.
static CONFIG: LazyLock<std::result::Result<Arc<ClientConfig>, rustls::Error>> =
    LazyLock::new(|| config().map(Arc::new));

fn config() -> std::result::Result<ClientConfig, rustls::Error> {
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_secret_extraction = true;
    Ok(config)
}

/// Takes every certificate, and every signature of it.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// A handshake on its way. It knows no socket: bytes go in, and others are to be sent.
pub(crate) struct Handshake {
    connection: UnbufferedClientConnection,
    /// What has come and was not taken yet.
    incoming: Vec<u8>,
    /// What is to be sent, in order; whoever sends it takes it out.
    pub(crate) outgoing: Vec<u8>,
}

impl Handshake {
    /// Begins one: what the client says first is to be sent.
    ///
    /// # Errors
    /// The library cannot do what the generator wants of it.
    pub(crate) fn begin() -> Result<Self> {
        let config = CONFIG.as_ref().map_err(Clone::clone)?;
        let name = ServerName::try_from(SERVER_NAME)?;
        let mut handshake = Self {
            connection: UnbufferedClientConnection::new(Arc::clone(config), name)?,
            incoming: Vec::new(),
            outgoing: Vec::new(),
        };
        handshake.go_on()?;
        Ok(handshake)
    }

    /// Takes bytes of the server; true when the handshake is over but for what is still to be sent.
    ///
    /// # Errors
    /// The server refuses, or says something else than a handshake.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<bool> {
        self.incoming.extend_from_slice(bytes);
        self.go_on()
    }

    fn go_on(&mut self) -> Result<bool> {
        loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut self.incoming);
            let is_waiting = match state.map_err(|e| format!("TLS handshake: {e}"))? {
                ConnectionState::EncodeTlsData(mut data) => {
                    let end = self.outgoing.len();
                    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
                        self.outgoing.resize(end + size.required_size, 0);
                    }
                    let room = self.outgoing.get_mut(end..).unwrap_or_default();
                    data.encode(room)
                        .map_err(|e| format!("TLS handshake: {e}"))?;
                    false
                }
                // It goes out before anything else does, which is all that is asked.
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    false
                }
                ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => true,
                other => return Err(format!("TLS handshake: {other:?}").into()),
            };
            self.incoming.drain(..discard);
            if is_waiting {
                return Ok(!self.connection.is_handshaking());
            }
        }
    }

    /// What follows a handshake that is over, of which all has been sent.
    ///
    /// # Errors
    /// It is not over, or the server took another cipher than the one that was offered.
    pub(crate) fn finish(self) -> Result<Session> {
        let (secrets, _) = self.connection.dangerous_into_kernel_connection()?;
        Session::new(&secrets, self.incoming)
    }

    /// All of it on a socket that blocks, with a limit to how long it does.
    ///
    /// # Errors
    /// Those of the socket, and of the handshake.
    pub(crate) fn shake(stream: &mut TcpStream) -> Result<Session> {
        let mut handshake = Self::begin()?;
        let mut buffer = vec![0; RECORD_BYTES_MAX];
        loop {
            stream.write_all(&std::mem::take(&mut handshake.outgoing))?;
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Err("the server closed the connection in the TLS handshake".into());
            }
            if handshake.take(&buffer[..count])? {
                stream.write_all(&std::mem::take(&mut handshake.outgoing))?;
                return handshake.finish();
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
