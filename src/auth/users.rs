//! A list of users, by what clients call themselves.

use std::collections::HashMap;
use std::sync::Arc;

use gnatsd_core::auth::{Secret, User};
use gnatsd_core::permissions::{Permissions, Rules};

use crate::auth::UserEntry;
use crate::tls::PeerNames;

use super::Entry;
use super::certificate::Certified;
use super::verifier::Digester;

/// Different permissions that are remembered while a list is read, so that users with the same rules share them.
/// A list with more kinds in turn only takes more memory.
const SHARED_MAX: usize = 64;

/// Who may log in, by name. Names are looked up by a keyed hash of the whole, so that finding one takes no longer the
/// more of it is right.
#[derive(Debug, Default)]
pub(super) struct Users {
    named: HashMap<Box<str>, Entry>,
    nkeys: HashMap<Box<str>, NkeyOwner>,
    /// Set where certificates say who a client is.
    certified: Option<Certified>,
}

/// Somebody with an nkey.
#[derive(Debug)]
pub(super) struct NkeyOwner {
    /// Who.
    pub(super) user: Arc<User>,
    /// Their public key.
    pub(super) key: [u8; 32],
}

impl Users {
    /// Those of a configured list. Of equal names the last counts (gnatsd 1.2.0).
    pub(super) fn new(entries: &[UserEntry], maps_certificates: bool, digester: &Digester) -> Self {
        let mut users = Users::default();
        let mut compiled = Compiled::default();
        for entry in entries {
            let name: Box<str> = entry.name.as_str().into();
            let user = User {
                name: name.clone(),
                permissions: entry.permissions.as_ref().map(|rules| compiled.of(rules)),
            };
            match entry.nkey {
                Some(key) => {
                    let user = Arc::new(user);
                    users.nkeys.insert(name, NkeyOwner { user, key });
                }
                None => {
                    let entry = Entry::new(user, &entry.password, digester);
                    users.named.insert(name, entry);
                }
            }
        }
        // Without anybody whom a certificate could name, passwords would not count either (nats-server 2.x).
        if maps_certificates && !users.named.is_empty() {
            let passworded = entries.iter().filter(|entry| entry.nkey.is_none());
            users.certified = Some(Certified::new(passworded.map(|entry| entry.name.as_str())));
        }
        users
    }

    /// One user, who may do everything.
    pub(super) fn single(name: &str, password: &Secret, digester: &Digester) -> Self {
        let user = User {
            name: name.into(),
            permissions: None,
        };
        let entry = Entry::new(user, password, digester);
        Users {
            named: HashMap::from([(name.into(), entry)]),
            ..Users::default()
        }
    }

    /// Whether anybody has an nkey.
    pub(super) fn have_nkeys(&self) -> bool {
        !self.nkeys.is_empty()
    }

    /// Whether a certificate says who a client is.
    pub(super) fn are_in_certificates(&self) -> bool {
        self.certified.is_some()
    }

    /// The user with this name; nobody with an nkey has one.
    pub(super) fn named(&self, name: &str) -> Option<&Entry> {
        self.named.get(name)
    }

    /// The owner of a public nkey, by its text.
    pub(super) fn nkey(&self, text: &str) -> Option<&NkeyOwner> {
        self.nkeys.get(text)
    }

    /// Who owns a public nkey, by its text.
    pub(super) fn owner_of(&self, text: &str) -> Option<&Arc<User>> {
        self.nkey(text).map(|owner| &owner.user)
    }

    /// The user whom a certificate names.
    pub(super) fn certified(&self, certificate: &PeerNames) -> Option<&Entry> {
        let certified = self.certified.as_ref()?;
        certified.find(certificate, |name| self.named(name))
    }

    /// The cost of each hash, in no order.
    pub(super) fn costs(&self) -> Vec<u32> {
        self.named.values().filter_map(Entry::cost).collect()
    }
}

/// Rules made ready while a list is read.
#[derive(Default)]
struct Compiled(Vec<Arc<Permissions>>);

impl Compiled {
    fn of(&mut self, rules: &Rules) -> Arc<Permissions> {
        if let Some(known) = self.0.iter().find(|known| known.rules() == rules) {
            return Arc::clone(known);
        }
        let permissions = Arc::new(Permissions::new(rules.clone()));
        if self.0.len() < SHARED_MAX {
            self.0.push(Arc::clone(&permissions));
        }
        permissions
    }
}
