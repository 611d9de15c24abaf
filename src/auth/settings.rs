//! Who may log in, as the file and the flags say it.

use std::time::Duration;

use gnatsd_core::auth::Secret;
use gnatsd_core::permissions::Rules;

/// Time for CONNECT by default. Source: gnatsd 1.2.0.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);

/// Who may log in.
///
/// More than one way may be set, by file and by flags. Then a list of users counts alone, else a token, else
/// the single user. Source: gnatsd 1.2.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Name of the single user; empty for none.
    pub user: String,
    /// Password of the single user, in clear or as a bcrypt hash. Without a name it means nothing.
    pub password: Secret,
    /// The token, in clear or as a bcrypt hash; empty for none.
    pub token: Secret,
    /// Time for CONNECT; zero ends every connection at once.
    pub timeout: Duration,
    /// The list of users, in the order of the file; of equal names the last counts. An empty list locks
    /// everybody out.
    pub users: Option<Vec<UserEntry>>,
    /// The user of the list that a client is who shows no credentials.
    pub no_auth_user: Option<String>,
}

impl Default for Authorization {
    fn default() -> Self {
        Authorization {
            user: String::new(),
            password: Secret::default(),
            token: Secret::default(),
            timeout: TIMEOUT_DEFAULT,
            users: None,
            no_auth_user: None,
        }
    }
}

/// One of a list of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEntry {
    /// User name, or public nkey as text. With `verify_and_map` a name in a certificate.
    pub name: String,
    /// Password, in clear or as a bcrypt hash; empty for the owner of an nkey or a certificate.
    pub password: Secret,
    /// The public Ed25519 key, for the owner of an nkey.
    pub nkey: Option<[u8; 32]>,
    /// What they may do, `default_permissions` included; `None` for everything.
    pub permissions: Option<Rules>,
}
