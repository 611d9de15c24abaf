//! Times of round trips, in a histogram that holds any number of them.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::Result;
use crate::report::Latency;

/// Digits that are kept of each time.
const DIGITS: u8 = 3;

/// Times in ns; it grows with the longest.
pub(super) struct Times(Histogram<u64>);

impl Times {
    /// None so far.
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Histogram::new(DIGITS)?))
    }

    /// Adds one.
    pub(super) fn add(&mut self, time: Duration) -> Result<()> {
        self.0.record(u64::try_from(time.as_nanos())?)?;
        Ok(())
    }

    /// Quantiles; `None` of none.
    pub(super) fn latency(&self) -> Option<Latency> {
        Latency::of(&self.0)
    }

    /// How many were added.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }
}
