//! What stands between a new connection and the protocol: TLS, and a login. One for the whole server, read by
//! every shard.

use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use gnatsd_core::auth::{AuthRules, Credentials, Login, Nonce, Refusal};
use gnatsd_core::interest::ConnKey;
use gnatsd_shards::Handle;

use super::control::{Control, Decision};
use crate::auth::{Authenticator, Check, HashPool, Presence, new_nonce};
use crate::config::{HandshakeFirst, Options};
use crate::tls::{PeerNames, TlsServer};

/// The least a client is waited for that waits for a password hash itself. What takes longer than a client's own
/// patience, 2 s in most, would be work for nobody.
const HASH_LIMIT_MIN: Duration = Duration::from_secs(2);

/// Who gets in, and how.
#[derive(Debug)]
pub struct Door {
    authenticator: Authenticator,
    pool: HashPool,
    hash_limit: Duration,
    maps_certificates: bool,
    tls: Option<TlsDoor>,
    /// Where late answers go; set once the shards run.
    shards: OnceLock<Vec<Handle<Control>>>,
}

/// TLS for clients.
#[derive(Debug)]
pub(super) struct TlsDoor {
    /// Certificates and the like.
    pub(super) server: TlsServer,
    /// Time for a handshake.
    pub(super) timeout: Duration,
    /// Whether INFO waits for the handshake.
    pub(super) first: HandshakeFirst,
    /// Clients may do without.
    pub(super) is_optional: bool,
}

/// The connection a login is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Applicant<'a> {
    pub(super) stream: &'a TcpStream,
    pub(super) shard: usize,
    pub(super) key: ConnKey,
    pub(super) cid: u64,
}

impl Door {
    /// The door of a server with these options.
    ///
    /// # Errors
    /// What is wrong with certificates or users, in the words of the start-up error.
    pub fn new(options: &Options) -> Result<Self, String> {
        let tls = match &options.tls {
            None => None,
            Some(tls) => Some(TlsDoor {
                server: TlsServer::new(tls).map_err(|text| tls.located(&text))?,
                timeout: tls.timeout,
                first: tls.handshake_first,
                // There is nothing to choose from when nothing is said before TLS (nats-server 2.x).
                is_optional: options.allow_non_tls && tls.handshake_first != HandshakeFirst::Yes,
            }),
        };
        let maps_certificates = options.tls.as_ref().is_some_and(|tls| tls.verify_and_map);
        let authenticator = Authenticator::new(&options.authorization, maps_certificates)?;
        Ok(Door {
            hash_limit: authenticator.rules().timeout.max(HASH_LIMIT_MIN),
            authenticator,
            pool: HashPool::new(),
            maps_certificates,
            tls,
            shards: OnceLock::new(),
        })
    }

    /// What engines have to know of logins.
    pub fn rules(&self) -> AuthRules {
        self.authenticator.rules()
    }

    /// Tells where late answers go.
    pub fn open_to(&self, shards: &[Handle<Control>]) {
        let _ = self.shards.set(shards.to_vec());
    }

    /// Whether clients may do without TLS though there is some.
    pub fn is_tls_optional(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_optional)
    }

    /// Whether a client hears nothing before its handshake.
    pub fn shakes_hands_first(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.first == HandshakeFirst::Yes)
    }

    /// TLS, if there is any.
    pub(super) fn tls(&self) -> Option<&TlsDoor> {
        self.tls.as_ref()
    }

    /// Something new to sign, if anyone may sign.
    pub(super) fn nonce(&self) -> Option<Nonce> {
        self.authenticator.wants_nonce().then(new_nonce)
    }

    /// Whether the names in a certificate matter.
    pub(super) fn maps_certificates(&self) -> bool {
        self.maps_certificates
    }

    /// Checks a login. What needs a slow hash is answered later, as a [`Control::Decided`].
    pub(super) fn log_in(
        self: &Arc<Self>,
        applicant: Applicant<'_>,
        shown: &Credentials,
        nonce: Option<&Nonce>,
        certificate: Option<&PeerNames>,
    ) -> Login {
        let job = match self.authenticator.check(shown, nonce, certificate) {
            Check::Granted(user) => return Login::Granted(user),
            Check::Refused(refusal) => return Login::Refused(refusal),
            Check::Hash(job) => job,
        };
        let door = Arc::downgrade(self);
        let done = move |login| {
            // A server that has gone has nobody to tell.
            let Some(door) = door.upgrade() else { return };
            let shard = door.shards.get().and_then(|all| all.get(applicant.shard));
            if let Some(shard) = shard {
                let _ = shard.send(Control::Decided(Decision {
                    key: applicant.key,
                    cid: applicant.cid,
                    login,
                }));
            }
        };
        let late = Login::Refused(Refusal {
            is_late: true,
            ..Refusal::default()
        });
        // A connection that has broken already has no address.
        let Ok(peer) = applicant.stream.peer_addr() else {
            return late;
        };
        // A descriptor of the job's own, as long as it waits: nobody reads the connection meanwhile, and it may end.
        // Without one the client is taken to stay.
        let socket = applicant.stream.try_clone().ok();
        let presence = move || socket.as_ref().map_or(Presence::There, Presence::of);
        let deadline = Instant::now() + self.hash_limit;
        match self.pool.submit(job, deadline, peer.ip(), presence, done) {
            Ok(()) => Login::Pending,
            // Those in front of it take more time than it has.
            Err(_) => late,
        }
    }
}
