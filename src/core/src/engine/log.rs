//! Log lines of a shard, as values: the engine writes to no log.
//!
//! Lines of a level that is off are never formatted.

use std::fmt;

/// Levels of the log, in the original's order of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `[ERR]`
    Error,
    /// `[WRN]`
    Warn,
    /// `[INF]`
    Info,
    /// `[DBG]`, with `-D`.
    Debug,
    /// `[TRC]`, with `-V`.
    Trace,
}

/// One line, without time and tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its level.
    pub level: Level,
    /// Its text, connection prefix included.
    pub text: String,
}

/// Lines not yet taken by the edge, and which levels are on.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) lines: Vec<LogLine>,
    pub(crate) debug: bool,
    pub(crate) trace: bool,
}

impl Log {
    #[inline]
    pub(crate) fn add(
        &mut self,
        level: Level,
        prefix: &impl fmt::Display,
        text: fmt::Arguments<'_>,
    ) {
        let is_on = match level {
            Level::Debug => self.debug,
            Level::Trace => self.trace,
            Level::Error | Level::Warn | Level::Info => true,
        };
        if is_on {
            self.push(level, prefix, text);
        }
    }

    /// A line that is about no connection.
    #[cold]
    pub(crate) fn add_plain(&mut self, level: Level, text: fmt::Arguments<'_>) {
        self.lines.push(LogLine {
            level,
            text: text.to_string(),
        });
    }

    #[cold]
    fn push(&mut self, level: Level, prefix: &impl fmt::Display, text: fmt::Arguments<'_>) {
        self.lines.push(LogLine {
            level,
            text: format!("{prefix} - {text}"),
        });
    }
}
