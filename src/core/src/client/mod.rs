//! One peer's protocol state: what it asked for in CONNECT, what is promised to it, and why it ended.
//!
//! Knows no subscription table, no other connection, no socket.

mod close;
pub mod outbox;
mod ping;

pub use close::CloseReason;
pub use outbox::{ChunkPool, Outbox};
pub use ping::{PingTimer, PingVerdict};

use crate::auth::Credentials;
use crate::proto::ProtocolError;
use crate::proto::connect::Connect;

/// What a client asked for. The defaults hold for a peer that never sends CONNECT (gnatsd 1.2.0).
#[derive(Clone, Debug)]
pub struct Client {
    /// `+OK` for every accepted line.
    pub verbose: bool,
    /// Publish subjects are checked.
    pub pedantic: bool,
    /// Own messages come back.
    pub echo: bool,
    /// Headers are taken and sent.
    pub headers: bool,
    /// A status message tells when nobody listens.
    pub no_responders: bool,
    /// Protocol version; 1 takes async INFO.
    pub protocol: i64,
    /// CONNECT has been accepted.
    pub is_connected: bool,
    /// A PING has been answered after CONNECT: from now on an INFO cannot be taken for the first answer.
    pub had_first_pong: bool,
    /// Texts shown in monitoring; most idle peers have them, few need more than these.
    pub texts: Option<Box<ClientTexts>>,
    /// What it has shown of itself, if anything.
    pub credentials: Option<Box<Credentials>>,
}

/// Texts of CONNECT that monitoring and logs show.
#[derive(Clone, Debug, Default)]
pub struct ClientTexts {
    /// `name`.
    pub name: Box<str>,
    /// `lang`.
    pub lang: Box<str>,
    /// `version`.
    pub version: Box<str>,
    /// `user`.
    pub user: Box<str>,
}

impl Default for Client {
    fn default() -> Self {
        Client {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            protocol: 0,
            is_connected: false,
            had_first_pong: false,
            texts: None,
            credentials: None,
        }
    }
}

impl Client {
    /// Merges a CONNECT onto what is set: keys not given keep their value. Nothing in it is checked yet.
    pub fn merge(&mut self, connect: Connect) {
        let merge = |field: &mut bool, value: Option<bool>| *field = value.unwrap_or(*field);
        merge(&mut self.verbose, connect.verbose);
        merge(&mut self.pedantic, connect.pedantic);
        merge(&mut self.echo, connect.echo);
        merge(&mut self.headers, connect.headers);
        merge(&mut self.no_responders, connect.no_responders);
        self.protocol = connect.protocol.unwrap_or(self.protocol);
        let shows_something = connect.user.is_some()
            || connect.password.is_some()
            || connect.token.is_some()
            || connect.nkey.is_some()
            || connect.signature.is_some();
        if shows_something {
            let shown = self.credentials.get_or_insert_default();
            if let Some(user) = &connect.user {
                shown.user = Some(user.as_str().into());
            }
            shown.password = connect.password.or(shown.password.take());
            shown.token = connect.token.or(shown.token.take());
            shown.nkey = connect.nkey.map(Into::into).or(shown.nkey.take());
            shown.signature = connect.signature.or(shown.signature.take());
        }
        if [
            &connect.name,
            &connect.lang,
            &connect.version,
            &connect.user,
        ]
        .iter()
        .any(|t| t.is_some())
        {
            let texts = self.texts.get_or_insert_default();
            let merge = |field: &mut Box<str>, value: Option<String>| {
                if let Some(value) = value {
                    *field = value.into_boxed_str();
                }
            };
            merge(&mut texts.name, connect.name);
            merge(&mut texts.lang, connect.lang);
            merge(&mut texts.version, connect.version);
            merge(&mut texts.user, connect.user);
        }
    }

    /// Accepts what the CONNECTs so far have come to. Credentials are checked before this (gnatsd 1.2.0).
    ///
    /// # Errors
    /// What the peer is told before it is closed.
    pub fn accept(&mut self) -> Result<(), ProtocolError> {
        if !(0..=1).contains(&self.protocol) {
            return Err(ProtocolError::InvalidClientProtocol);
        }
        if self.no_responders && !self.headers {
            return Err(ProtocolError::NoRespondersRequiresHeaders);
        }
        self.is_connected = true;
        Ok(())
    }

    /// Whether an INFO may be sent at any time.
    pub fn takes_async_info(&self) -> bool {
        self.protocol >= 1 && self.had_first_pong
    }

    /// What it has shown of itself, be it nothing.
    pub fn shown(&self) -> &Credentials {
        static NOTHING: Credentials = Credentials {
            user: None,
            password: None,
            token: None,
            nkey: None,
            signature: None,
        };
        self.credentials.as_deref().unwrap_or(&NOTHING)
    }

    /// User name as sent, for logs and monitoring.
    pub fn user(&self) -> &str {
        self.texts.as_ref().map_or("", |t| &t.user)
    }

    /// Language of the client library; empty if it did not say.
    pub fn lang(&self) -> &str {
        self.texts.as_ref().map_or("", |t| &t.lang)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Secret;

    fn connect(client: &mut Client, connect: Connect) -> Result<(), ProtocolError> {
        client.merge(connect);
        client.accept()
    }

    #[test]
    fn connect_merges() {
        let mut client = Client::default();
        let first = Connect {
            verbose: Some(false),
            name: Some("a".into()),
            password: Some(Secret::new("p")),
            has_secret: true,
            ..Connect::default()
        };
        connect(&mut client, first).unwrap();
        assert!(!client.verbose && client.pedantic && client.echo && client.is_connected);
        let second = Connect {
            lang: Some("go".into()),
            user: Some("u".into()),
            ..Connect::default()
        };
        connect(&mut client, second).unwrap();
        assert!(!client.verbose);
        assert_eq!(
            client.texts.as_ref().map(|t| (&*t.name, &*t.lang)),
            Some(("a", "go"))
        );
        let shown = client.credentials.unwrap();
        assert_eq!(
            (shown.user.as_deref(), shown.password),
            (Some("u"), Some(Secret::new("p")))
        );
    }

    #[test]
    fn connect_refuses() {
        let with = |wanted| connect(&mut Client::default(), wanted);
        for protocol in [-1, 2] {
            assert_eq!(
                with(Connect {
                    protocol: Some(protocol),
                    ..Connect::default()
                }),
                Err(ProtocolError::InvalidClientProtocol)
            );
        }
        assert_eq!(
            with(Connect {
                no_responders: Some(true),
                ..Connect::default()
            }),
            Err(ProtocolError::NoRespondersRequiresHeaders)
        );
    }
}
