//! Mistakes about logins, permissions and TLS.
//!
//! None of them has a password, a token or a hash in it: where gnatsd prints a value that it did not expect,
//! which may be a password at a wrong place, these name its type, by Go's name.

use std::fmt;

use gnatsd_core::conf::DurationError;

/// Why logins are refused. Texts are those of gnatsd 1.2.0, or of 2.x where it has no such thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginError {
    /// A single user and a token.
    UserAndToken,
    /// A single user and a list.
    UserAndUsers,
    /// A token and a list.
    TokenAndUsers,
    /// The list is no array but this.
    UsersForm(&'static str),
    /// An entry of the list is no map but this.
    UserForm(&'static str),
    /// An entry that nobody could log in with.
    UserWithoutPassword,
    /// An entry with an nkey and a name or a password.
    NkeyAndPassword,
    /// A text that is no public nkey of a user.
    Nkey,
    /// A time for CONNECT that is none.
    Timeout(TimeoutError),
    /// `no_auth_user` without a list of users.
    AnonymousWithoutUsers(String),
    /// `no_auth_user` names nobody.
    AnonymousUnknown(String),
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoginError::UserAndToken => f.write_str("Cannot have a user/pass and token"),
            LoginError::UserAndUsers => {
                f.write_str("Can not have a single user/pass and a users array")
            }
            LoginError::TokenAndUsers => f.write_str("Can not have a token and a users array"),
            LoginError::UsersForm(got) => {
                write!(f, "Expected users field to be an array, got {got}")
            }
            LoginError::UserForm(got) => {
                write!(f, "Expected user entry to be a map/struct, got {got}")
            }
            LoginError::UserWithoutPassword => {
                f.write_str("User entry requires a user and a password")
            }
            LoginError::NkeyAndPassword => {
                f.write_str("Nkey users do not take usernames or passwords")
            }
            LoginError::Nkey => f.write_str("Not a valid public nkey for a user"),
            LoginError::Timeout(error) => {
                write_timeout(f, "error parsing authorization config", error)
            }
            LoginError::AnonymousWithoutUsers(name) => {
                write!(
                    f,
                    "no_auth_user: {name:?} present, but users/nkeys are not defined"
                )
            }
            LoginError::AnonymousUnknown(name) => {
                write!(
                    f,
                    "no_auth_user: {name:?} not present as user or nkey in authorization block"
                )
            }
        }
    }
}

/// Why permissions are refused. Texts as of [`LoginError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermissionError {
    /// Permissions that are no map.
    Form {
        /// Whose: `user` or `default`.
        of: &'static str,
        /// What they are instead.
        got: &'static str,
    },
    /// A key that permissions do not have.
    Field(String),
    /// A key that is neither `allow` nor `deny`.
    SideField(String),
    /// Neither a subject nor a list of them; the type by Go's name.
    Subjects(&'static str),
    /// Something in a list that is no text.
    SubjectType,
    /// No subject.
    Subject(String),
    /// No pattern of queue names.
    Queue(String),
    /// `allow_responses` that is neither a bool nor a map.
    Responses,
    /// `expires` that is no text.
    ExpiresType,
    /// `expires` that is no duration.
    Expires(DurationError),
}

impl fmt::Display for PermissionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PermissionError::Form { of, got } => {
                write!(f, "Expected {of} permissions to be a map/struct, got {got}")
            }
            PermissionError::Field(key) => write!(f, "Unknown field {key} parsing permissions"),
            PermissionError::SideField(key) => write!(
                f,
                "Unknown field name {key:?} parsing subject permissions, only 'allow' or 'deny' are permitted"
            ),
            PermissionError::Subjects(found) => write!(
                f,
                "Expected subject permissions to be a subject, or array of subjects, got {found}"
            ),
            PermissionError::SubjectType => {
                f.write_str("Subject in permissions array cannot be cast to string")
            }
            PermissionError::Subject(subject) => {
                write!(f, "Subject {subject:?} is not a valid subject")
            }
            PermissionError::Queue(queue) => write!(f, "queue {queue:?} is not a valid queue"),
            PermissionError::Responses => {
                f.write_str("error parsing response permissions, expected a boolean or a map")
            }
            PermissionError::ExpiresType => {
                f.write_str("error parsing expires, not a duration string")
            }
            PermissionError::Expires(error) => write!(f, "error parsing expires: {error}"),
        }
    }
}

/// Why a TLS block is refused. Texts as of [`LoginError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// A field of another type than it has.
    Expected {
        /// The field.
        field: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// A list without anything in it.
    Empty(&'static str),
    /// A key that TLS does not have.
    Field(String),
    /// A time for the handshake that is none.
    Timeout(TimeoutError),
    /// Names of cipher suites or curves that do not do, in the words of those who know them.
    Names(String),
    /// Something that is no SHA-256 in hexadecimal.
    Pin,
    /// A text that says nothing of what comes first.
    HandshakeFirst(String),
    /// The same, by a value of a wrong type.
    HandshakeFirstType(&'static str),
}

/// What `pinned_certs` have to be. Source: nats-server 2.x.
const PIN: &str = "hex-encoded sha256 of DER encoded SubjectPublicKeyInfo";

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PREFIX: &str = "error parsing tls config";
        match self {
            TlsError::Expected { field, wanted } => {
                write!(f, "{PREFIX}, expected '{field}' to be {wanted}")
            }
            TlsError::Empty(field) => write!(f, "{PREFIX}, '{field}' cannot be empty"),
            TlsError::Field(key) => write!(f, "{PREFIX}, unknown field [{key:?}]"),
            TlsError::Timeout(error) => write_timeout(f, PREFIX, error),
            TlsError::Names(text) => f.write_str(text),
            TlsError::Pin => {
                write!(f, "{PREFIX}, expected 'pinned_certs' to be a list of {PIN}")
            }
            TlsError::HandshakeFirst(text) => {
                write!(f, "field \"handshake_first\"'s value {text:?} is invalid")
            }
            TlsError::HandshakeFirstType(found) => write!(
                f,
                "field \"handshake_first\" should be a boolean or a string, got {found}"
            ),
        }
    }
}

/// Why a value is no time limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeoutError {
    /// Neither a number nor a text.
    Type,
    /// A text that is no duration, or more time than there will be.
    Duration(DurationError),
}

fn write_timeout(f: &mut fmt::Formatter<'_>, prefix: &str, error: &TimeoutError) -> fmt::Result {
    match error {
        TimeoutError::Type => write!(f, "{prefix}, 'timeout' wrong type"),
        TimeoutError::Duration(error) => write!(f, "{prefix}, 'timeout' {error}"),
    }
}
