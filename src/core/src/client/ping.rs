//! The server's PINGs to one client: who is asked, who is stale, how long the round trip takes.
//!
//! Rules of gnatsd 1.2.0: a look at every interval from accept on; no PING after activity
//! within the interval; only a PONG clears what is outstanding, a client's own PING is no activity.

use std::time::Duration;

use crate::time::Time;

/// State of the PING timer of one connection.
#[derive(Clone, Copy, Debug)]
pub struct PingTimer {
    due: Time,
    outstanding: u32,
    sent: Option<Time>,
    rtt: Option<Duration>,
}

/// What a look at the timer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingVerdict {
    /// Nothing to do until the next look.
    Fine,
    /// Send PING.
    Ping,
    /// Close: PINGs stayed unanswered.
    Stale,
}

impl PingTimer {
    /// A timer of a connection accepted `now`.
    pub fn new(now: Time, interval: Duration) -> Self {
        PingTimer {
            due: now + interval,
            outstanding: 0,
            sent: None,
            rtt: None,
        }
    }

    /// When to call [`Self::handle_timeout`] next.
    pub fn due(&self) -> Time {
        self.due
    }

    /// Whether the next look will call the client stale unless a PONG is read before it.
    pub fn is_last_chance(&self, ping_max: u32) -> bool {
        self.outstanding.saturating_add(1) > ping_max
    }

    /// The look at `now`; `last_activity` is the last one of the connection.
    pub fn handle_timeout(
        &mut self,
        now: Time,
        last_activity: Time,
        interval: Duration,
        ping_max: u32,
    ) -> PingVerdict {
        if self.is_last_chance(ping_max) {
            return PingVerdict::Stale;
        }
        self.due = now + interval;
        if now.since(last_activity) < interval {
            return PingVerdict::Fine;
        }
        self.outstanding += 1;
        self.sent = Some(now);
        PingVerdict::Ping
    }

    /// A PING sent out of turn, to measure the round trip.
    pub fn handle_probe(&mut self, now: Time) {
        self.outstanding += 1;
        self.sent = Some(now);
    }

    /// A PONG arrived. One that nobody asked for measures nothing.
    pub fn handle_pong(&mut self, now: Time) {
        self.outstanding = 0;
        if let Some(sent) = self.sent.take() {
            self.rtt = Some(now.since(sent));
        }
    }

    /// Last measured round trip.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Whether a PING is on its way.
    pub fn is_measuring(&self) -> bool {
        self.sent.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    #[test]
    fn silent_client_is_stale_at_the_third_look() {
        let mut timer = PingTimer::new(at(0), SECOND);
        assert_eq!(timer.due(), at(1000));
        assert_eq!(
            timer.handle_timeout(at(1000), at(0), SECOND, 2),
            PingVerdict::Ping
        );
        assert_eq!(
            timer.handle_timeout(at(2000), at(0), SECOND, 2),
            PingVerdict::Ping
        );
        assert!(timer.is_last_chance(2));
        assert_eq!(
            timer.handle_timeout(at(3000), at(2999), SECOND, 2),
            PingVerdict::Stale
        );
    }

    #[test]
    fn pong_clears_and_activity_delays() {
        let mut timer = PingTimer::new(at(0), SECOND);
        assert_eq!(
            timer.handle_timeout(at(1000), at(500), SECOND, 1),
            PingVerdict::Fine
        );
        assert_eq!(
            timer.handle_timeout(at(2000), at(500), SECOND, 1),
            PingVerdict::Ping
        );
        timer.handle_pong(at(2030));
        assert_eq!(timer.rtt(), Some(Duration::from_millis(30)));
        timer.handle_pong(at(9000));
        assert_eq!(timer.rtt(), Some(Duration::from_millis(30)));
        assert_eq!(
            timer.handle_timeout(at(3000), at(500), SECOND, 1),
            PingVerdict::Ping
        );
        assert_eq!(
            timer.handle_timeout(at(4000), at(500), SECOND, 1),
            PingVerdict::Stale
        );
    }
}
