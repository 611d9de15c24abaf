//! Lists and gates against tables and plain models; the model of whole policies is `model.rs`.

use proptest::prelude::*;

use super::{Entry, Side};

mod gate;
mod lists;

/// Entries as a configuration writes them, `subject` or `subject queue`.
pub(crate) fn list(entries: &[&str]) -> Vec<Entry> {
    let entry = |text: &&str| {
        let (subject, queue) = match text.split_once(' ') {
            Some((subject, queue)) => (subject, Some(queue.into())),
            None => (*text, None),
        };
        Entry {
            subject: subject.into(),
            queue,
        }
    };
    entries.iter().map(entry).collect()
}

fn side(allow: Option<&[&str]>, deny: &[&str]) -> Side {
    Side {
        allow: allow.map(list),
        deny: list(deny),
    }
}

/// A few long and short tokens, some of which begin alike.
fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "b",
        "orders",
        "orders-of-today",
        "orders-of-torday",
        "seven77",
        "seven777",
        "*",
        "*a",
    ])
}

fn pattern() -> impl Strategy<Value = String> {
    (prop::collection::vec(token(), 1..6), any::<bool>()).prop_map(|(mut tokens, is_open)| {
        if is_open {
            tokens.push(">");
        }
        tokens.join(".")
    })
}
