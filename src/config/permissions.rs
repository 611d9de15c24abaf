//! A permissions block: what a user may publish and subscribe to.
//!
//! There are two forms. Lists alone are those of gnatsd 1.2.0, where a side that is missing or empty allows
//! nothing. As soon as one side is a map of `allow` and `deny` the rules are those of 2.x, where it allows
//! everything. Reading resolves that, so that nobody after it has to know.

use std::time::Duration;

use gnatsd_core::conf::{DurationError, Located, Position, Value, parse_go_duration};
use gnatsd_core::permissions::{Entry, Responses, Rules, Side};
use gnatsd_core::subject::is_valid_subscription;

use super::block::{self, Key, Unknown, read, set};
use super::error::{PermissionError, Reason};
use super::findings::Findings;
use super::values;

/// What a block says, resolved, and what its owner may not have meant.
#[derive(Clone, Debug)]
pub(super) struct Permissions {
    pub(super) rules: Rules,
    position: Position,
    /// A block of lists: keys of the sides that deny everything because no subject is in them.
    denied: Vec<&'static str>,
    /// A block with maps: keys of the sides where an `allow` without a subject allows everything.
    opened: Vec<&'static str>,
}

impl Permissions {
    /// Reads a block; `of` says whose it is, `user` or `default`. `None` if it is none at all.
    pub(super) fn read(value: &Located, of: &'static str, findings: &mut Findings) -> Option<Self> {
        let Value::Map(map) = &value.value else {
            let got = value.value.go_type();
            let error = PermissionError::Form { of, got };
            findings.refuse(&value.position, Reason::Permission(error));
            return None;
        };
        let mut draft = Draft::default();
        let unknown = |key: &str| Reason::Permission(PermissionError::Field(key.to_owned()));
        block::apply(KEYS, Unknown::Refuse(unknown), map, &mut draft, findings);
        Some(draft.resolve(value.position.clone()))
    }

    /// Says what the owner may not have meant; `whose` names them, such as `user "joe"`.
    pub(super) fn warn(&self, whose: &str, findings: &mut Findings) {
        let verbs: Vec<&str> = self.denied.iter().map(|key| verb(key)).collect();
        if !verbs.is_empty() {
            let lines: Vec<String> = self
                .denied
                .iter()
                .map(|key| format!("{key}: \">\""))
                .collect();
            let text = format!(
                "permissions of {whose} name no subject to {}, which denies every one; to allow all add: {}",
                verbs.join(" or "),
                lines.join(", "),
            );
            findings.warn(&self.position, &text);
        }
        for key in &self.opened {
            let text = format!(
                "permissions of {whose} have an empty \"allow\" under {key}, which allows every subject; \
                 to deny all write: {key}: {{ deny: \">\" }}"
            );
            findings.warn(&self.position, &text);
        }
    }
}

const PUBLISH: &str = "publish";
const SUBSCRIBE: &str = "subscribe";

fn verb(key: &str) -> &str {
    if key == SUBSCRIBE {
        "subscribe to"
    } else {
        key
    }
}

/// A block as it is written.
#[derive(Default)]
pub(super) struct Draft {
    publish: Option<Form>,
    subscribe: Option<Form>,
    responses: Option<Responses>,
}

/// One side as it is written.
enum Form {
    /// A subject or a list of them: those allowed.
    List(Vec<Entry>),
    /// A map; `None` for a key that is not in it.
    Map {
        allow: Option<Vec<Entry>>,
        deny: Option<Vec<Entry>>,
    },
}

impl Draft {
    fn resolve(self, position: Position) -> Permissions {
        let is_map = |form: &Option<Form>| matches!(form, Some(Form::Map { .. }));
        let has_maps = is_map(&self.publish) || is_map(&self.subscribe);
        let mut permissions = Permissions {
            rules: Rules {
                responses: self.responses,
                has_maps,
                ..Rules::default()
            },
            position,
            denied: Vec::new(),
            opened: Vec::new(),
        };
        let answers = self.responses.is_some();
        let sides = [
            (PUBLISH, self.publish, answers),
            (SUBSCRIBE, self.subscribe, false),
        ];
        for (key, form, answers) in sides {
            let mut side = Side::default();
            let mut is_empty_list = false;
            match form {
                None => {}
                Some(Form::List(entries)) => {
                    is_empty_list = entries.is_empty();
                    side.allow = Some(entries);
                }
                Some(Form::Map { allow, deny }) => {
                    is_empty_list = allow.as_ref().is_some_and(Vec::is_empty);
                    side.allow = allow;
                    side.deny = deny.unwrap_or_default();
                }
            }
            let nothing_listed = side.allow.as_ref().is_none_or(Vec::is_empty);
            if nothing_listed && answers {
                // Answers are meant to be all there is. Source: nats-server 2.x.
                side.allow = Some(Vec::new());
            } else if nothing_listed && has_maps {
                side.allow = None;
                if is_empty_list {
                    permissions.opened.push(key);
                }
            } else if nothing_listed {
                side.allow = Some(Vec::new());
                permissions.denied.push(key);
            }
            let place = match key {
                PUBLISH => &mut permissions.rules.publish,
                _ => &mut permissions.rules.subscribe,
            };
            *place = side;
        }
        permissions
    }
}

/// Every key of a block. `import` and `export` are what routes call them.
pub(super) const KEYS: &[Key<Draft>] = &[
    read(&["publish", "pub", "import"], |draft, entry, findings| {
        draft.publish = read_side(&entry.value, Queues::No, findings);
    }),
    read(&["subscribe", "sub", "export"], |draft, entry, findings| {
        draft.subscribe = read_side(&entry.value, Queues::Yes, findings);
    }),
    read(
        &["allow_responses", "publish_allow_responses"],
        |draft, entry, findings| draft.responses = read_responses(&entry.value, findings),
    ),
];

/// Whether a subject may be followed by a pattern of queue names.
#[derive(Clone, Copy, PartialEq)]
enum Queues {
    No,
    Yes,
}

/// A map of the form `allow` and `deny`.
pub(super) struct SideDraft {
    queues: Queues,
    allow: Option<Vec<Entry>>,
    deny: Option<Vec<Entry>>,
}

/// Every key of a side that is a map.
pub(super) const SIDE_KEYS: &[Key<SideDraft>] = &[
    read(&["allow"], |side, entry, findings| {
        side.allow = read_subjects(&entry.value, side.queues, findings);
    }),
    read(&["deny"], |side, entry, findings| {
        side.deny = read_subjects(&entry.value, side.queues, findings);
    }),
];

fn read_side(value: &Located, queues: Queues, findings: &mut Findings) -> Option<Form> {
    let Value::Map(map) = &value.value else {
        return read_subjects(value, queues, findings).map(Form::List);
    };
    let mut side = SideDraft {
        queues,
        allow: None,
        deny: None,
    };
    let unknown = |key: &str| Reason::Permission(PermissionError::SideField(key.to_owned()));
    block::apply(
        SIDE_KEYS,
        Unknown::Refuse(unknown),
        map,
        &mut side,
        findings,
    );
    Some(Form::Map {
        allow: side.allow,
        deny: side.deny,
    })
}

/// A subject or an array of them; `None` if it is neither.
fn read_subjects(value: &Located, queues: Queues, findings: &mut Findings) -> Option<Vec<Entry>> {
    let items = match &value.value {
        Value::Array(items) => items.as_slice(),
        Value::String(_) => std::slice::from_ref(value),
        other => {
            let error = PermissionError::Subjects(other.go_type());
            findings.refuse(&value.position, Reason::Permission(error));
            return None;
        }
    };
    let mut entries = Vec::new();
    for item in items {
        let result = match &item.value {
            Value::String(text) => parse_entry(text, queues),
            _ => Err(PermissionError::SubjectType),
        };
        entries.extend(findings.take(&item.position, result.map_err(Reason::Permission)));
    }
    Some(entries)
}

/// Reads `subject` or, with queues, `subject queue`.
///
/// A blank is no part of a subject (2.x): 1.2.0 takes such an entry, which then matches nothing, and a denial
/// that denies nothing is a hole.
fn parse_entry(text: &str, queues: Queues) -> Result<Entry, PermissionError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (subject, queue) = match words.as_slice() {
        [subject] if subject.len() == text.len() => (*subject, None),
        [subject, queue] if queues == Queues::Yes => (*subject, Some(*queue)),
        _ => return Err(PermissionError::Subject(text.to_owned())),
    };
    if !is_valid_subscription(subject.as_bytes()) {
        return Err(PermissionError::Subject(subject.to_owned()));
    }
    if let Some(queue) = queue.filter(|queue| !is_valid_subscription(queue.as_bytes())) {
        return Err(PermissionError::Queue(queue.to_owned()));
    }
    Ok(Entry {
        subject: subject.into(),
        queue: queue.map(Into::into),
    })
}

/// Every key of `allow_responses` as a map.
pub(super) const RESPONSE_KEYS: &[Key<Responses>] = &[
    set(
        &["max", "max_msgs", "max_messages", "max_responses"],
        |responses, value| {
            match values::int(value)? {
                0 => {}
                number => responses.max = u64::try_from(number).ok(),
            }
            Ok(())
        },
    ),
    set(&["expires", "expiration", "ttl"], |responses, value| {
        let Value::String(text) = value else {
            return Err(Reason::Permission(PermissionError::ExpiresType));
        };
        match parse_go_duration(text) {
            Ok(Duration::ZERO) => {}
            Ok(duration) => responses.expires = Some(duration),
            Err(DurationError::Negative(_)) => responses.expires = None,
            Err(error) => return Err(Reason::Permission(PermissionError::Expires(error))),
        }
        Ok(())
    }),
];

/// `true` for one answer within two minutes, or a map; 0 is the default there and a number below it no limit.
fn read_responses(value: &Located, findings: &mut Findings) -> Option<Responses> {
    match &value.value {
        Value::Bool(false) => None,
        Value::Bool(true) => Some(Responses::default()),
        Value::Map(map) => {
            let mut responses = Responses::default();
            let unknown = |key: &str| Reason::Permission(PermissionError::Field(key.to_owned()));
            let unknown = Unknown::Refuse(unknown);
            block::apply(RESPONSE_KEYS, unknown, map, &mut responses, findings);
            Some(responses)
        }
        _ => {
            let error = Reason::Permission(PermissionError::Responses);
            findings.refuse(&value.position, error);
            None
        }
    }
}

#[cfg(test)]
mod tests;
