//! Who gets in: CONNECT, the time for it, and what a login that is decided brings.
//!
//! There is one gate. Until it is passed nothing but CONNECT is handled (gnatsd 1.2.0: any other first byte ends
//! the connection). Whether credentials are right is the edge's to say, at once or later; meanwhile the
//! connection rests like any other that is paused.

use std::sync::Arc;
use std::time::Duration;

use super::connection::{Connection, LastChance, Pause};
use super::log::Level;
use super::operations::Flow;
use super::turn::{CONNECT_WORK, SIGNATURE_WORK};
use super::{Edge, Engine};
use crate::auth::{Login, Refusal, User, Who};
use crate::client::CloseReason;
use crate::interest::ConnKey;
use crate::permissions::PublishGate;
use crate::proto::quote::Printable;
use crate::proto::{ProtocolError, connect, encode};
use crate::time::Time;

/// A connection in front of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Passed, or there is none.
    Open,
    /// CONNECT has to come until then.
    Shut { until: Time },
    /// CONNECT has come; its credentials are being checked until then. What comes of it later is for nobody.
    Checking { until: Time },
}

/// How long a check may take, if a login may not take longer anyway: the edge has said long before that it is late.
const CHECK_MAX: Duration = Duration::from_secs(3);
/// Subscriptions up to which a connection may become somebody else's: each has to be looked at, in one turn.
const REVIEWED_MAX: usize = 10_000;

impl Engine {
    /// The gate of a new connection. Asks for a look when its time is over.
    pub(super) fn guard(&mut self, key: ConnKey) {
        if !self.auth.is_required {
            return;
        }
        let until = self.now + self.auth.timeout;
        if let Some(connection) = self.connections.find_mut(key) {
            connection.gate = Gate::Shut { until };
            self.look_by(key, until);
        }
    }

    /// Whether the operation that begins with `first` may be handled. If not, the connection has been ended, or
    /// its peer is let in without having shown anything.
    #[cold]
    pub(super) fn admits(&mut self, edge: &mut impl Edge, key: ConnKey, first: u8) -> bool {
        let Some(connection) = self.connections.find(key) else {
            return false;
        };
        if connection.gate == Gate::Open || matches!(first, b'C' | b'c') {
            return true;
        }
        match self.auth.anonymous.clone() {
            Some(user) => {
                self.let_in(key, user);
                true
            }
            None => {
                self.refuse_login(edge, key, &Refusal::default());
                false
            }
        }
    }

    /// Whether the gate of a connection is still shut.
    pub(super) fn is_guarded(&self, key: ConnKey) -> bool {
        self.connections
            .find(key)
            .is_some_and(|c| c.gate != Gate::Open)
    }

    pub(super) fn handle_connect(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        json: &[u8],
    ) -> Flow {
        let Some(connection) = self.connections.find_mut(key) else {
            return Flow::Closed;
        };
        connection.last_activity = self.now;
        let parsed = match connect::parse_connect(json) {
            Ok(parsed) => parsed,
            Err(error) => return self.refuse_json(edge, key, &error),
        };
        if connection.is_traced {
            // The raw line, unless it holds a password or the like.
            if parsed.has_secret {
                let text = format_args!("->> [CONNECT {}]", parsed.public());
                self.log.add(Level::Trace, &connection.peer, text);
            } else {
                let text = format_args!("->> [CONNECT {}]", Printable(json));
                self.log.add(Level::Trace, &connection.peer, text);
            }
        }
        // Logins are work, or a storm of them would be one turn.
        self.turn_work += CONNECT_WORK;
        if parsed.signature.is_some() {
            self.turn_work += SIGNATURE_WORK;
        }
        connection.client.merge(parsed);
        if !self.auth.is_required {
            return self.finish_connect(edge, key);
        }
        // In this order: who shows nothing may be somebody, who shows something wrong is nobody.
        let shown = connection.client.shown();
        let login = match &self.auth.anonymous {
            Some(user) if shown.is_empty() => Login::Granted(Arc::clone(user)),
            _ => edge.log_in(key, shown, connection.nonce.as_deref()),
        };
        if login == Login::Pending {
            let until = self.now + self.auth.timeout.max(CHECK_MAX);
            connection.gate = Gate::Checking { until };
            connection.pause = Some(Pause::Login);
            self.look_by(key, until);
            return Flow::Pause;
        }
        self.conclude(edge, key, login)
    }

    /// What came of a login that took time. Of no effect if the connection has ended meanwhile; `cid` tells, as a
    /// key may have passed to another.
    pub fn login_decided(
        &mut self,
        edge: &mut impl Edge,
        key: ConnKey,
        cid: u64,
        login: Login,
        now: Time,
    ) {
        self.now = now;
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        if !connection.is_open()
            || connection.peer.cid != cid
            || connection.pause != Some(Pause::Login)
        {
            return;
        }
        connection.pause = None;
        self.conclude(edge, key, login);
        self.heat(key);
    }

    fn conclude(&mut self, edge: &mut impl Edge, key: ConnKey, login: Login) -> Flow {
        match login {
            Login::Granted(user) if self.may_become(key, &user) => {
                self.let_in(key, user);
                self.finish_connect(edge, key)
            }
            Login::Granted(_) => {
                if let Some(connection) = self.connections.find(key) {
                    let text = format_args!("Too many subscriptions to become another user");
                    self.log.add(Level::Error, &connection.peer, text);
                }
                let text = ProtocolError::AuthorizationViolation.wire_text();
                self.end_with_error(edge, key, text, CloseReason::AuthenticationFailure);
                Flow::Closed
            }
            Login::Refused(refusal) => {
                self.refuse_login(edge, key, &refusal);
                Flow::Closed
            }
            // There is nothing to go by for an edge that has put it off twice.
            Login::Pending => self.conclude(edge, key, Login::Refused(Refusal::default())),
        }
    }

    /// The rest of a CONNECT, once it is known who sent it.
    fn finish_connect(&mut self, edge: &mut impl Edge, key: ConnKey) -> Flow {
        let Some(connection) = self.connections.find_mut(key) else {
            return Flow::Closed;
        };
        if let Err(error) = connection.client.accept() {
            let reason = match error {
                ProtocolError::NoRespondersRequiresHeaders => {
                    CloseReason::NoRespondersRequiresHeaders
                }
                _ => CloseReason::BadClientProtocol,
            };
            let text = error.wire_text();
            self.log
                .add(Level::Error, &connection.peer, format_args!("{text}"));
            self.end_with_error(edge, key, text, reason);
            return Flow::Closed;
        }
        if connection.client.verbose {
            self.enqueue(key, encode::OK);
        }
        Flow::Continue
    }

    /// Whether a connection may become this user's: if its rights stay, or not much would have to be looked at.
    fn may_become(&self, key: ConnKey, user: &User) -> bool {
        self.connections
            .find(key)
            .is_some_and(|c| c.subs.len() <= REVIEWED_MAX || has_rights_of(c, user))
    }

    /// Opens the gate for a user, and gives the connection what they may do and no more.
    fn let_in(&mut self, key: ConnKey, user: Arc<User>) {
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        connection.gate = Gate::Open;
        connection.last_chance = LastChance::NotNeeded;
        let stays = has_rights_of(connection, &user);
        let permissions = user.permissions.clone();
        connection.user = Some(user);
        if stays {
            return;
        }
        let seed = self.hash_seed;
        let tracks = permissions
            .as_ref()
            .is_some_and(|permissions| permissions.responses().is_some());
        connection.is_watched = connection.is_traced || tracks;
        connection.rights =
            permissions.map(|permissions| Box::new(PublishGate::new(permissions, seed)));
        self.review_subscriptions(key);
    }

    fn refuse_login(&mut self, edge: &mut impl Edge, key: ConnKey, refusal: &Refusal) {
        let Some(connection) = self.connections.find(key) else {
            return;
        };
        if refusal.is_late {
            return self.end_late_login(edge, key);
        }
        if let Some(detail) = refusal.detail {
            self.log
                .add(Level::Debug, &connection.peer, format_args!("{detail}"));
        }
        if self.auth.has_users {
            let who = Who(connection.client.shown());
            let text = format_args!("Authorization Error - {who}");
            self.log.add(Level::Error, &connection.peer, text);
        } else {
            self.log.add(
                Level::Error,
                &connection.peer,
                format_args!("Authorization Error"),
            );
        }
        let text = ProtocolError::AuthorizationViolation.wire_text();
        self.end_with_error(edge, key, text, CloseReason::AuthenticationFailure);
    }

    /// Ends a connection that has not logged in in time, if that is so.
    pub(super) fn look_at_gate(&mut self, edge: &mut impl Edge, key: ConnKey) {
        let Some(gate) = self.connections.find(key).map(|c| c.gate) else {
            return;
        };
        match gate {
            Gate::Open => {}
            Gate::Shut { until } | Gate::Checking { until } if until > self.now => {
                self.look_by(key, until);
            }
            // CONNECT may lie unread, as after a stop of the process.
            Gate::Shut { .. } if !self.had_last_chance(key) => {
                self.look_by(key, self.now + Duration::from_millis(1));
            }
            Gate::Shut { .. } | Gate::Checking { .. } => self.end_late_login(edge, key),
        }
    }

    fn end_late_login(&mut self, edge: &mut impl Edge, key: ConnKey) {
        if let Some(connection) = self.connections.find(key) {
            self.log.add(
                Level::Debug,
                &connection.peer,
                format_args!("Authorization Timeout"),
            );
        }
        let text = ProtocolError::AuthorizationTimeout.wire_text();
        self.end_with_error(edge, key, text, CloseReason::AuthenticationTimeout);
    }
}

/// Whether a connection has the rights of this user already.
fn has_rights_of(connection: &Connection, user: &User) -> bool {
    match (&connection.rights, &user.permissions) {
        (None, None) => true,
        (Some(has), Some(wanted)) => Arc::ptr_eq(has.permissions(), wanted),
        _ => false,
    }
}
