//! Who a client is: what it shows, what comes of it, and what it may do then.
//!
//! Owns the types between the engine and whoever checks credentials. Knows no hash, no key and no list of
//! users: those are the edge's, which answers [`Login`] at once or later.

mod secret;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use secret::Secret;

use crate::permissions::Permissions;

/// Characters of a nonce: 11 random bytes in URL-safe base64 without padding (nats-server 2.x).
pub const NONCE_LEN: usize = 15;

/// What INFO gives a client to sign, new for each connection.
pub type Nonce = [u8; NONCE_LEN];

/// What a client has shown of itself in its CONNECTs; a key not given keeps what it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// `user`.
    pub user: Option<Box<str>>,
    /// `pass`.
    pub password: Option<Secret>,
    /// `auth_token`.
    pub token: Option<Secret>,
    /// `nkey`: a public key.
    pub nkey: Option<Box<str>>,
    /// `sig`: the signature over the nonce.
    pub signature: Option<Secret>,
}

impl Credentials {
    /// Whether there is nothing in them: such a client may be taken for the user of `no_auth_user`. Empty
    /// texts are nothing (nats-server 2.x).
    pub fn is_empty(&self) -> bool {
        let is_none = |text: Option<&str>| text.is_none_or(str::is_empty);
        is_none(self.user.as_deref())
            && is_none(self.password.as_ref().map(Secret::reveal))
            && is_none(self.token.as_ref().map(Secret::reveal))
            && is_none(self.nkey.as_deref())
            && is_none(self.signature.as_ref().map(Secret::reveal))
    }
}

/// Somebody who may log in.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// User name or public nkey; empty for the owner of a token.
    pub name: Box<str>,
    /// What they may do; `None` for everything.
    pub permissions: Option<Arc<Permissions>>,
}

/// What comes of a login.
#[derive(Clone, Debug, PartialEq)]
pub enum Login {
    /// Let in as this user.
    Granted(Arc<User>),
    /// Not let in.
    Refused(Refusal),
    /// Takes time: the connection rests until [`Engine::login_decided`](crate::engine::Engine::login_decided).
    Pending,
}

/// What the log says of a refused login. Holds nothing that is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// A debug line in front of the error, such as `Signature not verified`.
    pub detail: Option<&'static str>,
    /// It took longer to decide than a client may wait for it.
    pub is_late: bool,
}

/// What an engine has to know of logins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthRules {
    /// Nobody gets in without a login.
    pub is_required: bool,
    /// There is a list of users: log lines name the one who was refused (gnatsd 1.2.0).
    pub has_users: bool,
    /// Time for CONNECT from the moment the connection can carry it; zero ends everyone at once.
    pub timeout: Duration,
    /// Who a client is that shows nothing (`no_auth_user`).
    pub anonymous: Option<Arc<User>>,
}

/// Whether a text has the form of a user's public nkey.
fn is_public_nkey(text: &str) -> bool {
    let is_digit = |b: u8| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b);
    text.len() == 56 && text.starts_with('U') && text.bytes().all(is_digit)
}

/// `User "u"` or `Nkey "U…"`, as log lines name who was refused.
pub(crate) struct Who<'a>(pub(crate) &'a Credentials);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::proto::quote::Quoted;
        match (&self.0.nkey, &self.0.user) {
            // Somebody may show the seed instead.
            (Some(nkey), _) if is_public_nkey(nkey) => {
                write!(f, "Nkey {}", Quoted(nkey.as_bytes()))
            }
            (Some(nkey), _) if !nkey.is_empty() => f.write_str("Nkey \"[REDACTED]\""),
            (_, user) => write!(
                f,
                "User {}",
                Quoted(user.as_deref().unwrap_or_default().as_bytes())
            ),
        }
    }
}
