//! What the log should say of logins as they will be, whether file or flags set them.
//!
//! No text shows what may be a secret.

use gnatsd_core::auth::Secret;
use gnatsd_core::conf::{Map, Position, Value};

use super::super::keys::Draft;
use super::super::options::Authorization;
use crate::auth::is_hash;

/// Said once for all of them. Source: nats-server 2.x.
const PLAINTEXT: &str = "Plaintext passwords detected, use nkeys or bcrypt";

/// Costs of bcrypt that are warned about; those above do not exist. At the first a login takes more than a second,
/// which is the time there is for it by default.
const COSTS_HIGH: std::ops::RangeInclusive<u32> = 15..=31;

/// The cost that takes a tenth of a second.
const COST_USUAL: u32 = 11;

/// Where the logins of a file stand; of several blocks the last. A block that is only called like logins counts too:
/// whoever wrote it does not want an open server.
pub(in super::super) fn place(map: &Map) -> Option<Position> {
    let of_logins = map.iter().filter(|entry| {
        let name = entry.key.to_lowercase();
        let is_alike = name.starts_with("auth")
            && matches!(entry.value.value, Value::Map(_))
            && !entry.is_variable;
        name == "authorization" || is_alike
    });
    of_logins.last().map(|entry| entry.key_position.clone())
}

/// One line each. `flags` are those of logins that were given, as they were typed, even with nothing as their value.
pub(in super::super) fn warnings(draft: &Draft, flags: &[&str]) -> Vec<String> {
    let Authorization {
        user,
        password,
        token,
        users,
        ..
    } = &draft.options.authorization;
    let mut warnings = Vec::new();
    let is_plain = |secret: &Secret| !secret.is_empty() && !is_hash(secret.reveal());
    // Only what counts: the list, else the token, else the single user.
    let has_plain = match users {
        Some(users) => users.iter().any(|user| is_plain(&user.password)),
        None if !token.is_empty() => is_plain(token),
        None => !user.is_empty() && is_plain(password),
    };
    if has_plain {
        warnings.push(PLAINTEXT.to_owned());
    }
    let text = match users {
        // Looked at where each of them stands.
        Some(_) => None,
        None if !token.is_empty() => high_cost("token", token),
        None if !user.is_empty() && password.is_empty() => Some(format!(
            "user {user:?} has no password, the name is enough to log in"
        )),
        None if !user.is_empty() => high_cost(&format!("user {user:?}"), password),
        None if !password.is_empty() => {
            Some("a password without a user name is none: nobody has to log in".to_owned())
        }
        None => Some("no user and no token: nobody has to log in".to_owned()),
    };
    let place = draft.logins.as_ref().map(ToString::to_string);
    let places: Vec<&str> = place
        .as_deref()
        .into_iter()
        .chain(flags.iter().copied())
        .collect();
    // A server that was told of no logins is open, and that is what was asked for.
    if let Some(text) = text.filter(|_| !places.is_empty()) {
        warnings.push(format!("{}: {text}", places.join(", ")));
    }
    warnings
}

/// What to say of a hash that takes long to compute, as everybody with a hash waits meanwhile.
pub(super) fn high_cost(whose: &str, secret: &Secret) -> Option<String> {
    let text = secret.reveal();
    let digits = text.get(4..6).filter(|_| is_hash(text))?;
    let cost = digits
        .parse()
        .ok()
        .filter(|cost| COSTS_HIGH.contains(cost))?;
    let seconds = 2_u32.saturating_pow(cost.saturating_sub(COST_USUAL)) / 10;
    Some(format!(
        "{whose}: bcrypt cost {cost} is high, a login takes about {seconds} s; consider {COST_USUAL}"
    ))
}

#[cfg(test)]
mod tests;
