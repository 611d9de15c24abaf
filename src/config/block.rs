//! A block of the file, the whole of it included: a table of keys, and how its entries are applied.

use gnatsd_core::conf::{Entry, Map, Value};

use super::error::Reason;
use super::findings::Findings;
use super::values;

/// One option of a block whose options make up a `T`.
pub(super) struct Key<T: 'static> {
    /// Every name, in lower case; the case in the file does not count.
    pub(super) names: &'static [&'static str],
    pub(super) effect: Effect<T>,
}

/// What a key does.
pub(super) enum Effect<T: 'static> {
    /// A value that is right or wrong as a whole.
    Set(fn(&mut T, &Value) -> Result<(), Reason>),
    /// A value with values in it, or one whose place has to be known later.
    Read(fn(&mut T, &Entry, &mut Findings)),
    /// gnatsd has it, this version does not: refused, as ignoring it could open a server.
    NotYet,
    /// A product this is not, or a refinement this version does without: a warning.
    Ignored,
}

/// What becomes of a key that is not in the table and is no variable either.
#[derive(Clone, Copy)]
pub(super) enum Unknown {
    /// A warning: gnatsd 1.2.0 ignores it.
    Warn,
    /// A mistake, as in 1.2.0.
    Refuse(fn(&str) -> Reason),
}

pub(super) const fn set<T>(
    names: &'static [&'static str],
    effect: fn(&mut T, &Value) -> Result<(), Reason>,
) -> Key<T> {
    Key {
        names,
        effect: Effect::Set(effect),
    }
}

pub(super) const fn read<T>(
    names: &'static [&'static str],
    effect: fn(&mut T, &Entry, &mut Findings),
) -> Key<T> {
    Key {
        names,
        effect: Effect::Read(effect),
    }
}

pub(super) const fn not_yet<T>(names: &'static [&'static str]) -> Key<T> {
    Key {
        names,
        effect: Effect::NotYet,
    }
}

pub(super) const fn ignored<T>(names: &'static [&'static str]) -> Key<T> {
    Key {
        names,
        effect: Effect::Ignored,
    }
}

/// Applies the entries in the order of the file, so that the last of several names for one option wins.
pub(super) fn apply<T>(
    keys: &[Key<T>],
    unknown: Unknown,
    map: &Map,
    into: &mut T,
    findings: &mut Findings,
) {
    for entry in map.iter() {
        let name = entry.key.to_lowercase();
        let found = keys.iter().find(|key| key.names.contains(&name.as_str()));
        match found.map(|key| &key.effect) {
            Some(Effect::Set(set)) => {
                let result = set(into, &entry.value.value);
                findings.take(&entry.value.position, result);
            }
            Some(Effect::Read(read)) => read(into, entry, findings),
            Some(Effect::NotYet) if values::is_nothing(&entry.value.value) => {}
            Some(Effect::NotYet) => {
                findings.refuse(&entry.key_position, Reason::NotYet(entry.key.clone()));
            }
            Some(Effect::Ignored) => {
                let text = format!("{:?} is not supported, it is ignored", entry.key);
                findings.warn(&entry.key_position, &text);
            }
            None if entry.is_variable => {}
            None => match unknown {
                Unknown::Warn => {
                    let text = format!("unknown field {:?}", entry.key);
                    findings.warn(&entry.key_position, &text);
                }
                Unknown::Refuse(reason) => {
                    findings.refuse(&entry.key_position, reason(&entry.key));
                }
            },
        }
    }
}
