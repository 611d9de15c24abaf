//! Where a load goes, and what each of its connections says there.

use std::fmt;

use serde_json::json;

use crate::Result;

/// Name and password of a user of the server, made for the run or typed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// Name of the user.
    pub(crate) user: String,
    /// Its password, as the client says it.
    pub(crate) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A server, and how to get in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// `host:port`.
    pub(crate) address: String,
    /// Who to be; `None` says nothing of it.
    pub(crate) login: Option<Login>,
    /// Whether a server that does not ask for TLS is the wrong one. With one that does, TLS begins anyway.
    pub(crate) is_secure: bool,
}

impl From<String> for Target {
    /// Nobody in particular, at this address.
    fn from(address: String) -> Self {
        Self {
            address,
            ..Self::default()
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl Target {
    /// Whether TLS comes behind this line, the server's first.
    ///
    /// # Errors
    /// It is no INFO, or it does not ask for TLS where TLS is to be measured.
    pub(crate) fn begins_tls(&self, info: &str) -> Result<bool> {
        if !info.starts_with("INFO ") {
            return Err(format!("{self}: no INFO but {info:?}").into());
        }
        let asks = info.contains(r#""tls_required":true"#);
        if self.is_secure && !asks {
            return Err(format!("{self}: the server does not ask for TLS").into());
        }
        Ok(asks)
    }

    /// What a client says first.
    pub(crate) fn connect_line(&self) -> String {
        let mut options = json!({
            "verbose": false,
            "pedantic": false,
            "name": "perf",
            "lang": "rust",
        });
        if let Some(login) = &self.login {
            options["user"] = json!(login.user);
            options["pass"] = json!(login.password);
        }
        format!("CONNECT {options}\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_begins_where_the_server_asks_for_it() {
        let mut target = Target::from("127.0.0.1:1".to_owned());
        let (plain, secure) = ("INFO {\"port\":1}\r\n", "INFO {\"tls_required\":true}\r\n");
        assert!(!target.begins_tls(plain).unwrap());
        assert!(target.begins_tls(secure).unwrap());
        target.is_secure = true;
        assert!(target.begins_tls(secure).unwrap());
        assert!(target.begins_tls(plain).is_err());
        assert!(target.begins_tls("-ERR 'x'\r\n").is_err());
    }

    #[test]
    fn only_who_has_a_name_says_it() {
        let mut target = Target::default();
        assert!(!target.connect_line().contains("pass"));
        target.login = Some(Login {
            user: "a\"b".to_owned(),
            password: "c".to_owned(),
        });
        let line = target.connect_line();
        assert!(line.contains(r#""user":"a\"b""#) && line.contains(r#""pass":"c""#));
        assert!(line.ends_with("}\r\n"), "{line}");
        assert!(!format!("{target:?}").contains("\"c\""), "{target:?}");
    }
}
