//! Limits and timers that hold for every connection of a server, and the length of a shard's turn.
//!
//! Defaults are those of gnatsd 1.2.0 but for
//! the control line, which today's CONNECT with a JWT needs longer.

use std::time::Duration;

/// What one connection may use, and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest argument of a control line, in bytes, without verb, blanks in front and CR.
    pub control_line_bytes_max: usize,
    /// Largest payload in bytes, header block included; negative means no limit.
    pub payload_bytes_max: i64,
    /// Bytes that may wait for one connection before it counts as a slow consumer.
    pub pending_bytes_max: usize,
    /// Subscriptions of one connection; 0 means no limit.
    pub subscriptions_max: usize,
    /// How long pending bytes may wait without the peer accepting a single one.
    pub write_deadline: Duration,
    /// Time between two looks at a connection's activity.
    pub ping_interval: Duration,
    /// PINGs that may stay unanswered.
    pub ping_max: u32,
    /// Whether publishers wait briefly for a reader that lags but reads.
    pub slow_fast_publishers: bool,
    /// Work done in one turn for all connections together, more or less, in bytes delivered (each about 1 ns): a
    /// fan-out is never split.
    pub turn_work: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            control_line_bytes_max: 4096,
            payload_bytes_max: 1024 * 1024,
            pending_bytes_max: 256 * 1024 * 1024,
            subscriptions_max: 0,
            write_deadline: Duration::from_secs(2),
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            slow_fast_publishers: true,
            turn_work: 2 * 1024 * 1024,
        }
    }
}
