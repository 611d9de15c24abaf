//! The process's clock: the monotonic time the engines count in, and what the wall showed.

use std::time::{Duration, Instant};

use gnatsd_core::time::Time;
use jiff::{Timestamp, Zoned, tz::TimeZone};

/// Origin of the engines' time and the wall-clock time that belongs to it. Deadlines never
/// depend on the wall clock; only what people read does.
#[derive(Clone, Debug)]
pub struct Clock {
    origin: Instant,
    wall: Timestamp,
    zone: TimeZone,
}

impl Clock {
    /// A clock that starts now, in the process's time zone.
    pub fn start() -> Self {
        Clock {
            origin: Instant::now(),
            wall: Timestamp::now(),
            zone: TimeZone::system(),
        }
    }

    /// The engines' time at `instant`.
    pub fn time_at(&self, instant: Instant) -> Time {
        let nanos = instant.saturating_duration_since(self.origin).as_nanos();
        Time(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The engines' time now.
    pub fn now(&self) -> Time {
        self.time_at(Instant::now())
    }

    /// The instant that is `time`.
    pub fn instant_at(&self, time: Time) -> Instant {
        self.origin + Duration::from_nanos(time.0)
    }

    /// What the wall clock showed, or will show if nobody sets it, at `time`.
    pub fn wall_at(&self, time: Time) -> Zoned {
        let since = jiff::SignedDuration::from_nanos(i64::try_from(time.0).unwrap_or(i64::MAX));
        self.wall
            .checked_add(since)
            .unwrap_or(Timestamp::MAX)
            .to_zoned(self.zone.clone())
    }
}
