//! What reading a file turned up: everything wrong with it, and what its owner should know.

use gnatsd_core::conf::Position;

use super::error::{ConfigError, Reason};

/// Collects, so that all mistakes of a file are told at once.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Each refuses the file.
    pub(super) errors: Vec<ConfigError>,
    /// One line each, for the log once there is one. No secret is in them.
    pub(super) warnings: Vec<String>,
}

impl Findings {
    /// Notes a mistake at a place.
    pub(super) fn refuse(&mut self, position: &Position, reason: Reason) {
        self.errors.push(ConfigError {
            position: Some(position.clone()),
            reason,
        });
    }

    /// Notes something to be told about a place.
    pub(super) fn warn(&mut self, position: &Position, text: &str) {
        self.warnings.push(format!("{position}: {text}"));
    }

    /// The value if there is one, else the mistake is noted.
    pub(super) fn take<T>(&mut self, position: &Position, result: Result<T, Reason>) -> Option<T> {
        result.map_err(|reason| self.refuse(position, reason)).ok()
    }
}
