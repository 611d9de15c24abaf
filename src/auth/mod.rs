//! Who may log in: the configured users, and whether a client is one of them.
//!
//! Home of the crates `bcrypt` and `data-encoding`. Knows no connection and no protocol: a shard asks
//! [`Authenticator::check`] about what a client has shown, and takes what it says to the engine. An answer that needs
//! a bcrypt hash is a [`HashJob`], which is for a [`HashPool`] and not for a shard.
//!
//! What an answer costs tells nothing about what is configured: texts are compared by keyed digests (`verifier`), and
//! who is refused waits as long for it, whether there is such a user or not.

mod bcrypt_hash;
mod certificate;
mod distinguished_name;
mod hash_job;
pub mod nkey;
mod pool;
mod settings;
mod users;
mod verifier;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod timing;

use std::sync::Arc;

use aws_lc_rs::rand;
use data_encoding::BASE64URL_NOPAD;
use gnatsd_core::auth::{AuthRules, Credentials, NONCE_LEN, Nonce, Refusal, Secret, User};

use crate::tls::PeerNames;

pub use bcrypt_hash::is_hash;
pub use hash_job::HashJob;
pub use pool::{Full, HashPool, Presence};
pub use settings::{Authorization, UserEntry};

use bcrypt_hash::Hash;
use users::Users;
use verifier::{Digest, Digester, Verifier};

/// Random bytes in a nonce. Source: nats-server 2.x, `nonceRawLen`.
const NONCE_BYTES: usize = 11;
const _: () = assert!((NONCE_BYTES * 8).div_ceil(6) == NONCE_LEN);

/// A key to verify signatures with when there is no such user, so that it takes the same time. It is the one of the
/// first test in RFC 8032: that everybody can sign with it does no harm, since nobody gets in that way.
const NOBODYS_KEY: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
    0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

/// Debug line of nats-server 2.x for an nkey user without a signature.
const SIGNATURE_MISSING: &str = "Signature missing";
/// Debug line of nats-server 2.x for a signature that cannot be read.
const SIGNATURE_NOT_BASE64: &str = "Signature not valid base64";
/// Debug line of nats-server 2.x for a signature that is not this key's over this nonce.
const SIGNATURE_NOT_VERIFIED: &str = "Signature not verified";
/// Debug line of nats-server 2.x where certificates name users and there is none.
const CERTIFICATE_MISSING: &str = "User required in cert, no TLS connection state";
/// Debug line where certificates name users and this one names none; nats-server 2.x repeats the subject.
const CERTIFICATE_UNKNOWN: &str = "User in cert not found";

/// What comes of looking at credentials.
#[derive(Debug)]
pub enum Check {
    /// Let in as this user.
    Granted(Arc<User>),
    /// Not let in.
    Refused(Refusal),
    /// That takes a bcrypt hash: milliseconds to seconds.
    Hash(HashJob),
}

impl Check {
    fn refused(detail: Option<&'static str>) -> Self {
        Check::Refused(Refusal {
            detail,
            is_late: false,
        })
    }
}

/// Knows the configured users, and nothing of the clients. One for all shards.
#[derive(Debug)]
pub struct Authenticator {
    method: Method,
    digester: Digester,
    /// The digest that is compared when there is nothing to compare with.
    nobodys: Digest,
    /// A cost for each user with a hash. Who fails for another reason spends one of them.
    costs: Vec<u32>,
    rules: AuthRules,
}

/// The one way in which clients log in. Source: gnatsd 1.2.0: a list of users, else a token, else a single user.
#[derive(Debug)]
enum Method {
    /// They need not.
    Open(Arc<User>),
    /// As one of these; a single user is a list of one.
    Users(Users),
    /// With the token of this entry.
    Token(Entry),
}

/// Somebody, and what they have to show.
#[derive(Debug)]
struct Entry {
    user: Arc<User>,
    verifier: Verifier,
    /// Where a certificate says who a client is, nothing has to be shown besides.
    has_password: bool,
}

impl Entry {
    fn new(user: User, secret: &Secret, digester: &Digester) -> Self {
        Entry {
            user: Arc::new(user),
            verifier: Verifier::new(secret, digester),
            has_password: !secret.is_empty(),
        }
    }

    fn cost(&self) -> Option<u32> {
        match &self.verifier {
            Verifier::Hash(hash) => Some(hash.cost()),
            Verifier::Text(_) | Verifier::Nothing => None,
        }
    }
}

impl Authenticator {
    /// Makes the configured users ready. With `maps_certificates` the users of a list are those whom certificates
    /// name; owners of an nkey in that list sign all the same.
    ///
    /// # Errors
    /// `no_auth_user` is not in the list, in the words of nats-server 2.x; or the system gives no random bytes.
    pub fn new(
        authorization: &Authorization,
        maps_certificates: bool,
    ) -> Result<Authenticator, String> {
        let digester = Digester::new()?;
        let method = Method::new(authorization, maps_certificates, &digester);
        let anonymous = match authorization.no_auth_user.as_deref() {
            None | Some("") => None,
            Some(name) => method.anonymous(name)?,
        };
        Ok(Authenticator {
            nobodys: digester.digest(""),
            costs: method.costs(),
            rules: AuthRules {
                is_required: !matches!(method, Method::Open(_)),
                has_users: authorization.users.is_some(),
                timeout: authorization.timeout,
                anonymous,
            },
            method,
            digester,
        })
    }

    /// What engines have to know.
    pub fn rules(&self) -> AuthRules {
        self.rules.clone()
    }

    /// Whether anybody signs a nonce, so that INFO has to have one.
    pub fn wants_nonce(&self) -> bool {
        matches!(&self.method, Method::Users(users) if users.have_nkeys())
    }

    /// Whether the client that has shown this may log in. `nonce` is what it was given to sign, `certificate` what
    /// it has proved to own. The order is that of nats-server 2.x: nobody in particular, nkey, certificate, password.
    ///
    /// # Cost
    /// About 1 µs; 50 µs with a signature. No longer for one who is than for one who is not; a refusal for a password
    /// in clear may be put off with a hash, if other users have one.
    pub fn check(
        &self,
        shown: &Credentials,
        nonce: Option<&Nonce>,
        certificate: Option<&PeerNames>,
    ) -> Check {
        if let Some(anonymous) = &self.rules.anonymous
            && shown.is_empty()
        {
            return Check::Granted(Arc::clone(anonymous));
        }
        let password = shown.password.as_ref();
        match &self.method {
            Method::Open(user) => Check::Granted(Arc::clone(user)),
            Method::Token(entry) => self.judge(Some(entry), "", shown.token.as_ref()),
            Method::Users(users) => {
                if users.have_nkeys()
                    && let Some(nkey) = shown.nkey.as_deref().filter(|text| !text.is_empty())
                {
                    return check_signature(users, nkey, shown.signature.as_ref(), nonce);
                }
                if users.are_in_certificates() {
                    return self.check_certificate(users, certificate, password);
                }
                match shown.user.as_deref() {
                    // Nobody is called that: no time is needed to hide who is.
                    None | Some("") => Check::refused(None),
                    Some(name) => self.judge(users.named(name), name, password),
                }
            }
        }
    }

    /// The user whom a verified certificate names. A password is asked for only if the entry has one, as in
    /// nats-server 2.x.
    fn check_certificate(
        &self,
        users: &Users,
        certificate: Option<&PeerNames>,
        password: Option<&Secret>,
    ) -> Check {
        let Some(certificate) = certificate else {
            return Check::refused(Some(CERTIFICATE_MISSING));
        };
        match users.certified(certificate) {
            None => Check::refused(Some(CERTIFICATE_UNKNOWN)),
            Some(entry) if entry.has_password => self.judge(Some(entry), "", password),
            Some(entry) => Check::Granted(Arc::clone(&entry.user)),
        }
    }

    /// Whether this is the secret of `entry`. With no entry, who is called `name` in vain, the same is done.
    fn judge(&self, entry: Option<&Entry>, name: &str, shown: Option<&Secret>) -> Check {
        let shown = shown.map_or("", Secret::reveal);
        let digest = self.digester.digest(shown);
        let verifier = entry.map_or(&Verifier::Nothing, |entry| &entry.verifier);
        let expected = match verifier {
            Verifier::Text(expected) => expected,
            Verifier::Hash(_) | Verifier::Nothing => &self.nobodys,
        };
        let is_equal = digest.is(expected);
        match (entry, verifier) {
            (Some(entry), Verifier::Text(_)) if is_equal => Check::Granted(Arc::clone(&entry.user)),
            (Some(entry), Verifier::Hash(hash)) => Check::Hash(HashJob::new(
                Arc::clone(hash),
                shown,
                Some(Arc::clone(&entry.user)),
            )),
            _ => self.refuse(name, shown),
        }
    }

    /// Refuses, and takes the time of a hash for it if there are users with hashes. Which cost that is hangs on the
    /// name: a name that is nobody's looks like one of somebody, again and again.
    fn refuse(&self, name: &str, shown: &str) -> Check {
        match self.digester.digest(name).pick(&self.costs) {
            None => Check::refused(None),
            Some(&cost) => Check::Hash(HashJob::new(Arc::new(Hash::decoy(cost)), shown, None)),
        }
    }
}

impl Method {
    fn new(authorization: &Authorization, maps_certificates: bool, digester: &Digester) -> Self {
        let nobody_in_particular = || User {
            name: "".into(),
            permissions: None,
        };
        if let Some(entries) = &authorization.users {
            Method::Users(Users::new(entries, maps_certificates, digester))
        } else if !authorization.token.is_empty() {
            Method::Token(Entry::new(
                nobody_in_particular(),
                &authorization.token,
                digester,
            ))
        } else if !authorization.user.is_empty() {
            let name = authorization.user.as_str();
            Method::Users(Users::single(name, &authorization.password, digester))
        } else {
            Method::Open(Arc::new(nobody_in_particular()))
        }
    }

    /// Who a client is that shows nothing; `None` where its certificate says that.
    fn anonymous(&self, name: &str) -> Result<Option<Arc<User>>, String> {
        let Method::Users(users) = self else {
            return Err(format!(
                "no_auth_user: \"{name}\" present, but users/nkeys are not defined"
            ));
        };
        match (users.owner_of(name), users.named(name)) {
            (Some(user), _) => Ok(Some(Arc::clone(user))),
            (None, Some(_)) if users.are_in_certificates() => Ok(None),
            (None, Some(entry)) => Ok(Some(Arc::clone(&entry.user))),
            (None, None) => Err(format!(
                "no_auth_user: \"{name}\" not present as user or nkey in authorization block or account configuration"
            )),
        }
    }

    fn costs(&self) -> Vec<u32> {
        match self {
            Method::Users(users) => users.costs(),
            // There is no name to guess.
            Method::Open(_) | Method::Token(_) => Vec::new(),
        }
    }
}

/// Whether this is the signature of the owner of `nkey` over the nonce.
fn check_signature(
    users: &Users,
    nkey: &str,
    signature: Option<&Secret>,
    nonce: Option<&Nonce>,
) -> Check {
    let owner = users.nkey(nkey);
    let key = owner.map_or(&NOBODYS_KEY, |owner| &owner.key);
    let nonce = nonce.map_or(&[][..], |nonce| &nonce[..]);
    let fault = match signature.map(Secret::reveal) {
        None | Some("") => Some(SIGNATURE_MISSING),
        Some(text) => match nkey::decode_signature(text) {
            None => Some(SIGNATURE_NOT_BASE64),
            // There is no connection without a nonce where nkeys are used. If there were one, an empty text would
            // be something that a client can sign before it comes.
            Some(bytes) if !nkey::verify(key, nonce, &bytes) || nonce.is_empty() => {
                Some(SIGNATURE_NOT_VERIFIED)
            }
            Some(_) => None,
        },
    };
    match (owner, fault) {
        (Some(owner), None) => Check::Granted(Arc::clone(&owner.user)),
        (Some(_), fault) => Check::refused(fault),
        (None, _) => Check::refused(None),
    }
}

/// A nonce for a new connection: random, and good for INFO as it is.
///
/// # Panics
/// The system gives no random bytes. A nonce that can be guessed would let everybody in who has seen a signature
/// over it.
pub fn new_nonce() -> Nonce {
    let mut bytes = [0; NONCE_BYTES];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    let mut nonce = [0; NONCE_LEN];
    BASE64URL_NOPAD.encode_mut(&bytes, &mut nonce);
    nonce
}
