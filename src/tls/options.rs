//! TLS of a listener, as the file and the flags say it.

use std::time::Duration;

use gnatsd_core::conf::Position;

/// Time for a TLS handshake by default. Source: nats-server 2.x; the half second of gnatsd 1.2.0 is too short
/// for clients far away.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);

/// TLS on a listener, as the file or the flags say it; nothing is loaded yet.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// PEM file with the certificate chain of the server. Relative to the working directory, as all files here.
    pub cert_file: String,
    /// PEM file with the key of the server.
    pub key_file: String,
    /// PEM file with the authorities client certificates are verified against; `None` for those of the system.
    pub ca_file: Option<String>,
    /// Clients have to show a certificate.
    pub verify: bool,
    /// Who a client is stands in its certificate. Implies `verify`: where this is set, so is that.
    pub verify_and_map: bool,
    /// Time for the handshake; zero fails every one.
    pub timeout: Duration,
    /// Cipher suites by their Go names, the most wanted first; empty for the default.
    pub cipher_suites: Vec<String>,
    /// Curves by their Go names, the most wanted first; empty for the default.
    pub curve_preferences: Vec<String>,
    /// Whether the handshake comes before INFO.
    pub handshake_first: HandshakeFirst,
    /// SHA-256 of the public keys (SubjectPublicKeyInfo in DER) whose client certificates are let in; empty for
    /// all that verify. Who shows no certificate is not let in then. Source: nats-server 2.x.
    pub pinned_certs: Vec<[u8; 32]>,
    /// Where the block begins; `None` if flags set it. Counts for nothing when options are compared.
    pub position: Option<Position>,
}

impl TlsOptions {
    /// A message about these options with the place they stand at in front of it, if they stand in a file.
    pub fn located(&self, message: &str) -> String {
        match &self.position {
            Some(position) => format!("{position}: {message}"),
            None => message.to_owned(),
        }
    }
}

impl Default for TlsOptions {
    fn default() -> Self {
        TlsOptions {
            cert_file: String::new(),
            key_file: String::new(),
            ca_file: None,
            verify: false,
            verify_and_map: false,
            timeout: TIMEOUT_DEFAULT,
            cipher_suites: Vec::new(),
            curve_preferences: Vec::new(),
            handshake_first: HandshakeFirst::No,
            pinned_certs: Vec::new(),
            position: None,
        }
    }
}

/// All but the position: a block that only moved in its file has not changed.
impl PartialEq for TlsOptions {
    fn eq(&self, other: &Self) -> bool {
        let TlsOptions {
            cert_file,
            key_file,
            ca_file,
            verify,
            verify_and_map,
            timeout,
            cipher_suites,
            curve_preferences,
            handshake_first,
            pinned_certs,
            position: _,
        } = self;
        *cert_file == other.cert_file
            && *key_file == other.key_file
            && *ca_file == other.ca_file
            && *verify == other.verify
            && *verify_and_map == other.verify_and_map
            && *timeout == other.timeout
            && *cipher_suites == other.cipher_suites
            && *curve_preferences == other.curve_preferences
            && *handshake_first == other.handshake_first
            && *pinned_certs == other.pinned_certs
    }
}

impl Eq for TlsOptions {}

/// What comes first on a new connection. Source: nats-server 2.10.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandshakeFirst {
    /// INFO in clear text, then the handshake.
    #[default]
    No,
    /// The handshake, then INFO over it.
    Yes,
    /// The handshake of a client that begins it within this time; INFO in clear text for all others.
    After(Duration),
}

/// What `handshake_first: auto` stands for. Source: nats-server 2.10.
pub const HANDSHAKE_FIRST_AUTO: Duration = Duration::from_millis(50);
