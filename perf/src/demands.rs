//! What a server is to ask of its clients: TLS, a user, permissions; and the configuration that says so.
//!
//! The same few lines for every server, in the words that the first releases had already. They go to a temporary
//! folder, with a certificate made there (ECDSA P-256, of itself): see [`Files`].

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Result;
use crate::target::Login;

/// Name and password of the user where one is wanted.
const USER: &str = "perf";
const PASSWORD: &str = "perf-password";

/// The password as bcrypt keeps it, at the cost that servers recommend: 2048 rounds, some 100 ms of a CPU.
const PASSWORD_HASHED: &str = "$2a$11$abcdefghijklmnopqrstuuMzM/eRpbgsUQJStJyF3uzLrOzIqU63y";

/// How long a server waits for a handshake and for a login, in seconds. The generator has many at a time.
const TLS_SECONDS: u32 = 5;
const LOGIN_SECONDS: u32 = 2;

/// What every policy ends with: all that any shape uses, the subject of most of them last.
const ALLOWED: [&str; 5] = ["_INBOX.>", "churn.>", "bench.>", "foo.>", "foo"];

/// Fewest entries of a policy: those that every shape needs.
pub(crate) const ENTRIES_MIN: usize = ALLOWED.len();

/// Most entries of a policy.
pub(crate) const ENTRIES_MAX: usize = 100_000;

/// Who a client has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum User {
    /// Nobody in particular.
    #[default]
    Anybody,
    /// A user with a password, who may do everything.
    Plain,
    /// The same with so many entries of what may be published, and as many of what may be subscribed.
    Policy(usize),
    /// A user who may do everything, and whose password the server has as a hash of bcrypt.
    Hashed,
}

/// What a server is to ask of its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demands {
    /// Clients must speak TLS.
    pub(crate) is_secure: bool,
    /// Clients must be this user.
    pub(crate) user: User,
}

impl Demands {
    /// Whether there are any, so that the server needs a configuration.
    pub(crate) fn are_some(&self) -> bool {
        *self != Self::default()
    }

    /// These, and what `others` demand besides.
    pub(crate) fn and(self, others: Self) -> Self {
        Self {
            is_secure: self.is_secure || others.is_secure,
            user: match self.user {
                User::Anybody => others.user,
                user => user,
            },
        }
    }

    /// Who to be.
    pub(crate) fn login(&self) -> Option<Login> {
        (self.user != User::Anybody).then(|| Login {
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
        })
    }

    /// The configuration, with certificate and key in this folder.
    pub(crate) fn configuration(&self, folder: &Path) -> String {
        let mut text = String::new();
        if self.is_secure {
            let path = |name| folder.join(name).display().to_string();
            let (certificate, key) = (path(CERTIFICATE), path(KEY));
            let _ = writeln!(
                text,
                "tls {{\n  cert_file: \"{certificate}\"\n  key_file: \"{key}\"\n  timeout: {TLS_SECONDS}\n}}"
            );
        }
        let password = match self.user {
            User::Hashed => PASSWORD_HASHED,
            User::Plain | User::Policy(_) => PASSWORD,
            User::Anybody => return text,
        };
        let _ = writeln!(
            text,
            "authorization {{\n  timeout: {LOGIN_SECONDS}\n  users: [\n    {{"
        );
        let _ = writeln!(
            text,
            "      user: \"{USER}\"\n      password: \"{password}\""
        );
        if let User::Policy(count) = self.user {
            let _ = writeln!(text, "      permissions: {{");
            for (side, first) in [("publish", "out"), ("subscribe", "in")] {
                let entries: String = policy(count, first)
                    .map(|entry| format!("          \"{entry}\"\n"))
                    .collect();
                let _ = writeln!(text, "        {side}: [\n{entries}        ]");
            }
            let _ = writeln!(text, "      }}");
        }
        text.push_str("    }\n  ]\n}\n");
        text
    }

    /// As an object, for the record.
    pub(crate) fn to_json(self) -> Value {
        match self.are_some() {
            true => json!({
                "tls": self.is_secure,
                "configuration": self.configuration(Path::new("")),
            }),
            false => Value::Null,
        }
    }
}

/// `count` entries, of which the last allow what the shapes need. The others are of services that nobody here
/// talks to: of three of them one is a subject, and two have a wildcard, at the end and in the middle.
fn policy<'a>(count: usize, first: &'a str) -> impl Iterator<Item = String> + 'a {
    let others = (0..count.saturating_sub(ALLOWED.len())).map(move |index| match index % 3 {
        0 => format!("{first}.service{index}.status"),
        1 => format!("{first}.service{index}.>"),
        _ => format!("{first}.service{index}.*.orders"),
    });
    others.chain(ALLOWED.map(str::to_owned))
}

const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// The folder with certificate, key and configurations. It is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Files {
    folder: TempDir,
}

impl Files {
    /// Makes the folder, and a certificate in it.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(crate) fn create() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("perf-").tempdir()?;
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        // The library's default is a key on P-256.
        let made = rcgen::generate_simple_self_signed(names)?;
        fs::write(folder.path().join(CERTIFICATE), made.cert.pem())?;
        fs::write(folder.path().join(KEY), made.signing_key.serialize_pem())?;
        Ok(Self { folder })
    }

    /// Writes what these demands come to, which is an empty file for none.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn configuration(&self, demands: &Demands) -> Result<PathBuf> {
        let path = self.folder.path().join("server.conf");
        fs::write(&path, demands.configuration(self.folder.path()))?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(is_secure: bool, user: User) -> String {
        Demands { is_secure, user }.configuration(Path::new("/x"))
    }

    #[test]
    fn a_configuration_has_what_is_demanded_and_nothing_else() {
        assert_eq!(text(false, User::Anybody), "");
        assert!(!Demands::default().are_some());
        let secure = text(true, User::Anybody);
        assert!(secure.contains("cert_file: \"/x/certificate.pem\"") && !secure.contains("users"));
        let plain = text(false, User::Plain);
        assert!(plain.contains("password: \"perf-password\"") && !plain.contains("permissions"));
        let hashed = text(true, User::Hashed);
        assert!(hashed.contains("\"$2a$11$") && hashed.contains("tls {"));
        for text in [secure, plain, hashed, text(true, User::Policy(20))] {
            let count = |of: char| text.chars().filter(|c| *c == of).count();
            assert_eq!((count('{'), count('[')), (count('}'), count(']')), "{text}");
        }
    }

    #[test]
    fn a_policy_has_as_many_entries_as_were_asked_for_and_what_is_used_comes_last() {
        for count in [ENTRIES_MIN, 20, 1000] {
            let entries: Vec<String> = policy(count, "out").collect();
            assert_eq!(entries.len(), count);
            assert_eq!(entries.last().map(String::as_str), Some("foo"));
        }
        let text = text(false, User::Policy(20));
        assert_eq!(text.matches("\"foo.>\"").count(), 2);
        let entries: Vec<String> = policy(20, "out").collect();
        let wildcards = entries.iter().filter(|entry| entry.contains(['*', '>']));
        assert_eq!(wildcards.count(), 14);
    }

    #[test]
    fn demands_add_up() {
        let (secure, hashed) = (
            Demands {
                is_secure: true,
                ..Demands::default()
            },
            Demands {
                user: User::Hashed,
                ..Demands::default()
            },
        );
        let both = secure.and(hashed);
        assert_eq!((both.is_secure, both.user), (true, User::Hashed));
        let policy = Demands {
            user: User::Policy(20),
            ..secure
        };
        assert_eq!(policy.and(hashed).user, User::Policy(20));
        assert!(policy.login().is_some() && secure.login().is_none());
    }

    #[test]
    fn files_are_there_as_long_as_they_are_needed() {
        let files = Files::create().unwrap();
        let folder = files.folder.path().to_owned();
        let demands = Demands {
            is_secure: true,
            user: User::Policy(7),
        };
        let text = fs::read_to_string(files.configuration(&demands).unwrap()).unwrap();
        for name in [CERTIFICATE, KEY] {
            let path = folder.join(name);
            assert!(text.contains(&path.display().to_string()));
            assert!(fs::read_to_string(path).unwrap().starts_with("-----BEGIN "));
        }
        drop(files);
        assert!(!folder.exists());
    }
}
