//! A panic on order, to see what the process does when a shard fails. In debug builds only:
//!
//! ```text
//!   GNATSD_PLANTED_PANIC=<shard>:<n>   that shard panics at the n-th connection it is given, n from 1
//! ```
//!
//! A value of another form plants nothing. A release build does not look at the variable.

/// Name of the variable.
#[cfg(debug_assertions)]
const VARIABLE: &str = "GNATSD_PLANTED_PANIC";

/// What one shard carries of it.
#[derive(Debug, Default)]
pub(super) struct Planted {
    /// Connections until the panic, that one included.
    #[cfg(debug_assertions)]
    left: Option<u64>,
}

impl Planted {
    /// What the environment plants in a shard.
    pub(super) fn in_shard(shard: u16) -> Self {
        #[cfg(debug_assertions)]
        if let Ok(text) = std::env::var(VARIABLE) {
            return Planted {
                left: connections_left(&text, shard),
            };
        }
        let _ = shard;
        Planted::default()
    }

    /// The shard was given a connection.
    ///
    /// # Panics
    /// If it is the one.
    #[inline]
    pub(super) fn count_connection(&mut self) {
        #[cfg(debug_assertions)]
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            assert!(*left > 0, "planted by {VARIABLE}");
        }
    }
}

#[cfg(debug_assertions)]
fn connections_left(text: &str, shard: u16) -> Option<u64> {
    let (wanted, left) = text.split_once(':')?;
    let left = left.parse().ok().filter(|&n| n > 0);
    left.filter(|_| wanted.parse() == Ok(shard))
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn the_connection_and_the_shard_are_read() {
        for (text, left) in [
            ("1:3", Some(3)),
            ("0:3", None),
            ("1:0", None),
            ("1:-1", None),
            ("1", None),
            ("1:3:4", None),
            ("", None),
        ] {
            assert_eq!(connections_left(text, 1), left, "{text}");
        }
    }

    #[test]
    #[should_panic(expected = "planted by GNATSD_PLANTED_PANIC")]
    fn the_connection_that_was_named_panics() {
        let mut planted = Planted { left: Some(2) };
        planted.count_connection();
        assert_eq!(planted.left, Some(1));
        planted.count_connection();
    }
}
