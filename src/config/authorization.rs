//! The `authorization` block: who may log in.
//!
//! Texts of mistakes never show what may be a secret.

use gnatsd_core::auth::Secret;
use gnatsd_core::conf::{Entry, Located, Position, Value};

use super::block::{self, Key, Unknown, not_yet, read, set};
use super::error::{ConfigError, LoginError, Reason};
use super::findings::Findings;
use super::keys::Draft;
use super::options::{Authorization, UserEntry};
use super::permissions::Permissions;
use super::values::{self, text};
use crate::auth::nkey;
pub(super) use warnings::{place, warnings};

mod warnings;

/// A block in the making.
#[derive(Default)]
pub(super) struct Block {
    authorization: Authorization,
    users: Vec<UserDraft>,
    /// Where the default permissions stand, and what they are unless they are wrong.
    default: Option<(Position, Option<Permissions>)>,
    token_at: Option<Position>,
    users_at: Option<Position>,
}

/// Reads the block into the draft.
pub(super) fn read_block(draft: &mut Draft, value: &Located, findings: &mut Findings) {
    let Some(map) = findings.take(&value.position, values::map(&value.value)) else {
        return;
    };
    let mut block = Block::default();
    block::apply(KEYS, Unknown::Warn, map, &mut block, findings);
    block.check(findings);
    block.resolve(draft, findings);
}

/// Every key of the block.
pub(super) const KEYS: &[Key<Block>] = &[
    set(&["user", "username"], |block, value| {
        block.authorization.user = text(value)?.to_owned();
        Ok(())
    }),
    set(&["pass", "password"], |block, value| {
        block.authorization.password = Secret::new(text(value)?);
        Ok(())
    }),
    read(&["token"], |block, entry, findings| {
        let value = &entry.value;
        if let Some(token) = findings.take(&value.position, text(&value.value)) {
            block.authorization.token = Secret::new(token);
            block.token_at = Some(value.position.clone());
        }
    }),
    read(&["timeout"], |block, entry, findings| {
        let Located { value, position } = &entry.value;
        let result = values::timeout(value, Authorization::default().timeout);
        let result = result.map_err(|error| Reason::Login(LoginError::Timeout(error)));
        if let Some(timeout) = findings.take(position, result) {
            values::warn_of_long_timeout(timeout, position, findings);
            block.authorization.timeout = timeout;
        }
    }),
    read(&["users"], read_users),
    read(
        &["default_permissions", "default_permission", "permissions"],
        |block, entry, findings| {
            let permissions = Permissions::read(&entry.value, "default", findings);
            block.default = Some((entry.key_position.clone(), permissions));
        },
    ),
    not_yet(&["auth_callout", "auth_hook"]),
    not_yet(&["proxy_required"]),
];

impl Block {
    /// Only one way to log in may be named. Source: gnatsd 1.2.0.
    fn check(&self, findings: &mut Findings) {
        let Authorization {
            user,
            password,
            token,
            users,
            ..
        } = &self.authorization;
        let has_token = !token.is_empty();
        if let Some(at) = self.token_at.as_ref().filter(|_| has_token) {
            if !user.is_empty() || !password.is_empty() {
                findings.refuse(at, Reason::Login(LoginError::UserAndToken));
            }
            if users.is_some() {
                findings.refuse(at, Reason::Login(LoginError::TokenAndUsers));
            }
        }
        // A password alone is a variable of the list.
        if let Some(at) = self.users_at.as_ref().filter(|_| !user.is_empty()) {
            findings.refuse(at, Reason::Login(LoginError::UserAndUsers));
        }
        if let Some((at, _)) = self.default.as_ref().filter(|_| users.is_none()) {
            findings.warn(at, "permissions without a list of users have no effect");
        }
    }

    /// Gives each user the default permissions, if they have none of their own.
    fn resolve(self, draft: &mut Draft, findings: &mut Findings) {
        let Block {
            mut authorization,
            users,
            default,
            ..
        } = self;
        let default = default.and_then(|(_, permissions)| permissions);
        if let Some(list) = &mut authorization.users {
            let mut is_default_used = false;
            for user in users {
                let permissions = match &user.permissions {
                    Some(permissions) => {
                        let kind = if user.nkey.is_some() { "nkey" } else { "user" };
                        permissions.warn(&format!("{kind} {:?}", user.name), findings);
                        Some(permissions)
                    }
                    None => {
                        is_default_used = true;
                        default.as_ref()
                    }
                };
                let whose = format!("user {:?}", user.name);
                if let Some(text) = warnings::high_cost(&whose, &user.password) {
                    findings.warn(&user.position, &text);
                }
                if user.nkey.is_none() && user.password.is_empty() {
                    let name = user.name.clone();
                    draft.without_password.push((name, user.position));
                }
                list.push(UserEntry {
                    name: user.name,
                    password: user.password,
                    nkey: user.nkey,
                    permissions: permissions.map(|permissions| permissions.rules.clone()),
                });
            }
            if let Some(default) = default.filter(|_| is_default_used) {
                default.warn("users without their own", findings);
            }
        }
        // This key stands beside the block.
        authorization.no_auth_user = draft.options.authorization.no_auth_user.take();
        draft.options.authorization = authorization;
    }
}

/// An entry of the list in the making.
pub(super) struct UserDraft {
    position: Position,
    /// The nkey, if there is one.
    name: String,
    password: Secret,
    nkey_text: Option<Located>,
    nkey: Option<[u8; 32]>,
    permissions: Option<Permissions>,
}

/// Every key of an entry of `users`.
pub(super) const USER_KEYS: &[Key<UserDraft>] = &[
    set(&["user", "username"], |user, value| {
        user.name = text(value)?.to_owned();
        Ok(())
    }),
    set(&["pass", "password"], |user, value| {
        user.password = Secret::new(text(value)?);
        Ok(())
    }),
    read(&["nkey"], |user, entry, _| {
        user.nkey_text = Some(entry.value.clone());
    }),
    read(
        &["permissions", "permission", "authorization"],
        |user, entry, findings| {
            user.permissions = Permissions::read(&entry.value, "user", findings);
        },
    ),
    not_yet(&["allowed_connection_types", "connection_types", "clients"]),
    not_yet(&["proxy_required"]),
];

fn read_users(block: &mut Block, entry: &Entry, findings: &mut Findings) {
    let Value::Array(items) = &entry.value.value else {
        let error = LoginError::UsersForm(entry.value.value.go_type());
        findings.refuse(&entry.value.position, Reason::Login(error));
        return;
    };
    block.authorization.users = Some(Vec::new());
    block.users = items
        .iter()
        .filter_map(|item| read_user(item, findings))
        .collect();
    block.users_at = Some(entry.value.position.clone());
}

fn read_user(value: &Located, findings: &mut Findings) -> Option<UserDraft> {
    let position = &value.position;
    let Value::Map(map) = &value.value else {
        let error = LoginError::UserForm(value.value.go_type());
        findings.refuse(position, Reason::Login(error));
        return None;
    };
    let mut user = UserDraft {
        position: position.clone(),
        name: String::new(),
        password: Secret::default(),
        nkey_text: None,
        nkey: None,
        permissions: None,
    };
    let before = findings.errors.len();
    block::apply(USER_KEYS, Unknown::Warn, map, &mut user, findings);
    if findings.errors.len() > before {
        // What else is wrong with it may follow from that.
        return None;
    }
    let nkey = user.nkey_text.take();
    let Some(nkey) = nkey else {
        if user.name.is_empty() {
            findings.refuse(position, Reason::Login(LoginError::UserWithoutPassword));
        }
        return Some(user);
    };
    let key_text = findings.take(&nkey.position, text(&nkey.value))?;
    if !user.name.is_empty() || !user.password.is_empty() {
        findings.refuse(position, Reason::Login(LoginError::NkeyAndPassword));
    }
    let public = nkey::decode_public(key_text).map_err(|_| Reason::Login(LoginError::Nkey));
    user.nkey = Some(findings.take(&nkey.position, public)?);
    user.name = key_text.to_owned();
    Some(user)
}

/// A user of the list has to have a password, as in 1.2.0, unless a certificate or nothing at all is their login.
pub(super) fn check_passwords(draft: &Draft) -> Vec<ConfigError> {
    let options = &draft.options;
    if options.tls.as_ref().is_some_and(|tls| tls.verify_and_map) {
        return Vec::new();
    }
    let anonymous = options.authorization.no_auth_user.as_deref();
    let missing = draft
        .without_password
        .iter()
        .filter(|(name, _)| !name.is_empty() && anonymous != Some(name));
    missing
        .map(|(_, position)| ConfigError {
            position: Some(position.clone()),
            reason: Reason::Login(LoginError::UserWithoutPassword),
        })
        .collect()
}

/// `no_auth_user` has to be one of the list.
pub(super) fn check_anonymous(draft: &Draft) -> Option<ConfigError> {
    let authorization = &draft.options.authorization;
    let name = authorization.no_auth_user.as_ref()?;
    let error = match &authorization.users {
        Some(users) if users.iter().any(|user| user.name == *name) => return None,
        Some(_) => LoginError::AnonymousUnknown(name.clone()),
        None => LoginError::AnonymousWithoutUsers(name.clone()),
    };
    Some(ConfigError {
        position: draft.no_auth_user.clone(),
        reason: Reason::Login(error),
    })
}

#[cfg(test)]
mod tests;
