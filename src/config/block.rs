//! A block of the file, the whole of it included: a table of keys, and how its entries are applied.

use std::collections::HashMap;

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
    warn_of_lost(keys, map, findings);
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

/// Options given twice, of which only the last counts. A second block could put away all logins of the first.
fn warn_of_lost<T>(keys: &[Key<T>], map: &Map, findings: &mut Findings) {
    let mut latest: HashMap<String, &Entry> = HashMap::new();
    for entry in map.written() {
        let name = entry.key.to_lowercase();
        if !keys.iter().any(|key| key.names.contains(&name.as_str())) {
            continue;
        }
        let lost = latest.insert(name, entry);
        if let Some(lost) = lost.filter(|lost| !may_be_meant(lost, entry)) {
            let (key, again) = (&lost.key, &entry.key_position);
            let text = format!("{key:?} counts for nothing, it is given again at {again}");
            findings.warn(&lost.key_position, &text);
        }
    }
}

/// Whether the loss does no harm: the value was used as a variable, or is a default that another file overrides.
/// Of blocks and lists more is lost than who wrote the second might think.
fn may_be_meant(lost: &Entry, again: &Entry) -> bool {
    let is_simple = !matches!(lost.value.value, Value::Map(_) | Value::Array(_));
    lost.is_variable || is_simple && lost.key_position.file != again.key_position.file
}

#[cfg(test)]
mod tests {
    use super::super::test_support::warnings;

    #[test]
    fn options_given_twice_are_told() {
        let lost = |at: &str, key: &str, again: &str| {
            format!("t.conf:{at}: {key:?} counts for nothing, it is given again at t.conf:{again}")
        };
        assert_eq!(
            warnings("port: 1\nhost: h\n PORT: 2\nport: 3\nnet: i"),
            [lost("1:1", "port", "3:2"), lost("3:2", "PORT", "4:1")]
        );
        let users = "authorization { users: [ { user: a, user: b, pass: c, permissions: { \
                     publish: x, subscribe: x, publish: y } } ] }";
        assert_eq!(
            warnings(users),
            [
                lost("1:28", "user", "1:37"),
                lost("1:70", "publish", "1:96"),
            ]
        );
        assert_eq!(warnings("tls { verify: true, verify: false }").len(), 1);
        // Variables may change, and so may options that are used as such.
        assert_eq!(warnings("V: 1\nport: $V\nV: 2\nping_max: $V"), [""; 0]);
        assert_eq!(warnings("port: 1\nping_max: $port\nport: 2"), [""; 0]);
    }

    #[test]
    fn a_file_may_override_simple_options_of_another() {
        use super::super::file::read;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.conf");
        let base = "port: 1; authorization { users: [{user: a, password: b}] }; port: 2";
        std::fs::write(folder.path().join("b.conf"), base).unwrap();
        std::fs::write(&path, "include b.conf\nport: 3\nauthorization { token: t }").unwrap();
        let read = read(&path, &|_| None).unwrap_or_else(|errors| panic!("{}", errors[0]));
        let lost = |at: &str, again: &str| {
            format!("{at} counts for nothing, it is given again at {again}")
        };
        let shown = folder.path().display();
        assert_eq!(
            read.warnings,
            [
                lost(
                    &format!("{shown}/b.conf:1:1: \"port\""),
                    &format!("{shown}/b.conf:1:61")
                ),
                lost(
                    &format!("{shown}/b.conf:1:10: \"authorization\""),
                    &format!("{shown}/a.conf:3:1")
                ),
            ]
        );
    }
}
