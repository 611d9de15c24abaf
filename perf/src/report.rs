//! The figures of one run, as text and as JSON.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::scenarios::{Scenario, Shape};

/// What one run of one scenario came to.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// What was run.
    pub(crate) scenario: Scenario,
    /// What the cost is divided by: deliveries; with no subscriber, messages; with replies, round trips.
    pub(crate) counted: u64,
    /// Messages sent.
    pub(crate) published: u64,
    /// From the first message to the last PONG.
    pub(crate) elapsed: Duration,
    /// Processor time of the server in that stretch.
    pub(crate) server_time: Option<Duration>,
    /// Its part in the server's own code, counted in ticks of the clock; see [`Outcome::server_split`].
    pub(crate) server_user: Option<Duration>,
    /// Its part in the kernel, counted likewise.
    pub(crate) server_system: Option<Duration>,
    /// The most resident memory the server has had since its start, in bytes.
    pub(crate) rss_peak: Option<u64>,
    /// Processor time of the generator in that stretch.
    pub(crate) generator_time: Duration,
    /// Times of the round trips.
    pub(crate) latency: Option<Latency>,
    /// Memory of idle connections.
    pub(crate) memory: Option<Memory>,
    /// What became of clients that came by the clock.
    pub(crate) arrivals: Option<Arrivals>,
}

/// Quantiles of a latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latency {
    /// Half are below.
    pub(crate) p50: Duration,
    /// 1 in 100 is above.
    pub(crate) p99: Duration,
    /// 1 in 1000 is above.
    pub(crate) p999: Duration,
    /// The longest.
    pub(crate) max: Duration,
}

impl Latency {
    /// Quantiles of these times in ns; `None` of none.
    pub(crate) fn of(times: &Histogram<u64>) -> Option<Self> {
        if times.is_empty() {
            return None;
        }
        let quantile = |share| Duration::from_nanos(times.value_at_quantile(share));
        Some(Self {
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: Duration::from_nanos(times.max()),
        })
    }

    /// As an object, in ns.
    fn to_json(self) -> Value {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        json!({
            "p50": ns(self.p50),
            "p99": ns(self.p99),
            "p999": ns(self.p999),
            "max": ns(self.max),
        })
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            p50,
            p99,
            p999,
            max,
        } = self;
        write!(
            f,
            "p50 {p50:.1?}, p99 {p99:.1?}, p99.9 {p999:.1?}, max {max:.1?}"
        )
    }
}

/// Resident memory before and after connections were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// How many were opened between the two readings.
    pub(crate) connections: u64,
    /// Bytes before.
    pub(crate) rss_before: u64,
    /// Bytes after.
    pub(crate) rss_after: u64,
}

impl Memory {
    /// Bytes that each connection added.
    pub(crate) fn bytes_each(&self) -> f64 {
        self.rss_after.saturating_sub(self.rss_before) as f64 / self.connections as f64
    }
}

/// Clients that came by the clock; those who were let in are what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrivals {
    /// How many began to connect.
    pub(crate) came: u64,
    /// How many the server sent away, or let go.
    pub(crate) refused: u64,
    /// From the first system call to the answer, of those who were let in.
    pub(crate) latency: Option<Latency>,
}

impl Outcome {
    /// The counts of a run; the rest is filled in by who measured it.
    pub(crate) fn new(scenario: &Scenario, counted: u64, elapsed: Duration) -> Self {
        Self {
            scenario: *scenario,
            counted,
            published: 0,
            elapsed,
            server_time: None,
            server_user: None,
            server_system: None,
            rss_peak: None,
            generator_time: Duration::ZERO,
            latency: None,
            memory: None,
            arrivals: None,
        }
    }

    /// Counted things per second.
    pub(crate) fn rate(&self) -> f64 {
        self.counted as f64 / self.elapsed.as_secs_f64()
    }

    /// Processor time of the server for each counted thing, in ns.
    pub(crate) fn server_ns_each(&self) -> Option<f64> {
        let time = self.server_time.filter(|_| self.counted > 0)?;
        Some(time.as_nanos() as f64 / self.counted as f64)
    }

    /// Processor time of the server for each counted thing in its own code and in the kernel, in ns.
    ///
    /// The sum is exact to the nanosecond, how it divides only to a tick of the clock (10 ms): so the exact
    /// time is divided as the ticks are.
    pub(crate) fn server_split(&self) -> Option<(f64, f64)> {
        let (user, system) = (self.server_user?, self.server_system?);
        let ticks = (user + system).as_secs_f64();
        let each = self.server_ns_each().filter(|_| ticks > 0.0)?;
        let share = user.as_secs_f64() / ticks;
        Some((each * share, each * (1.0 - share)))
    }

    /// Processor time of the generator for each counted thing, in ns.
    pub(crate) fn generator_ns_each(&self) -> f64 {
        self.generator_time.as_nanos() as f64 / self.counted.max(1) as f64
    }

    /// Share of one CPU that the server used; above 1 when it used several.
    pub(crate) fn server_share(&self) -> Option<f64> {
        self.server_time
            .map(|time| time.as_secs_f64() / self.elapsed.as_secs_f64())
    }

    /// What `counted` counts.
    fn unit(&self) -> &'static str {
        match self.scenario.shape {
            Shape::Publish => "messages",
            Shape::RequestReply | Shape::Open(_) | Shape::SubscriptionChurn(_) => "round trips",
            Shape::Connect(_) => "connections",
            Shape::Handshakes(_) => "handshakes",
            Shape::Logins(_) => "logins",
            _ => "deliveries",
        }
    }

    /// All figures as one object; times in ns, sizes in bytes.
    pub(crate) fn to_json(&self) -> Value {
        let mut value = json!({
            "scenario": self.scenario.to_string(),
            "payload_bytes": self.scenario.payload_bytes,
            "counted": self.counted,
            "unit": self.unit(),
            "published": self.published,
            "seconds": self.elapsed.as_secs_f64(),
            "rate": self.rate(),
            "generator_ns_each": self.generator_ns_each(),
            "server_ns_each": self.server_ns_each(),
            "server_user_ns_each": self.server_split().map(|split| split.0),
            "server_system_ns_each": self.server_split().map(|split| split.1),
            "server_share": self.server_share(),
            "rss_peak": self.rss_peak,
        });
        if let Some(latency) = self.latency {
            value["latency_ns"] = latency.to_json();
        }
        if let Some(arrivals) = self.arrivals {
            value["arrivals"] = json!({
                "came": arrivals.came,
                "refused": arrivals.refused,
                "latency_ns": arrivals.latency.map(Latency::to_json),
            });
        }
        if let Some(memory) = self.memory {
            value["memory"] = json!({
                "connections": memory.connections,
                "rss_before": memory.rss_before,
                "rss_after": memory.rss_after,
                "bytes_each": memory.bytes_each(),
            });
        }
        value
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        if let Some(memory) = self.memory {
            writeln!(
                f,
                "{}: {} connections, {:.0} bytes each",
                self.scenario,
                memory.connections,
                memory.bytes_each()
            )?;
        } else {
            let rate = self.rate();
            writeln!(
                f,
                "{}: {} {} in {seconds:.2} s, {rate:.0}/s",
                self.scenario,
                self.counted,
                self.unit()
            )?;
            writeln!(f, "  generator {:.1} ns each", self.generator_ns_each())?;
        }
        if let Some(share) = self.server_share() {
            write!(f, "  server    ")?;
            if let Some(ns) = self.server_ns_each() {
                write!(f, "{ns:.1} ns each")?;
                if let Some((user, system)) = self.server_split() {
                    write!(f, " ({user:.1} user, {system:.1} system)")?;
                }
                write!(f, ", ")?;
            }
            writeln!(f, "{:.2} % of a CPU for {seconds:.2} s", share * 100.0)?;
        }
        if let Some(bytes) = self.rss_peak {
            writeln!(
                f,
                "  memory    {:.1} MiB at most",
                bytes as f64 / f64::from(1 << 20)
            )?;
        }
        if let Some(arrivals) = self.arrivals {
            let Arrivals { came, refused, .. } = arrivals;
            write!(f, "  arrivals  {came} came, {refused} refused")?;
            if let Some(latency) = arrivals.latency {
                write!(f, "; until answered {latency}")?;
            }
            writeln!(f)?;
        }
        if let Some(latency) = self.latency {
            writeln!(f, "  latency   {latency}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        let scenario = "1to1:16".parse().expect("a scenario");
        let mut outcome = Outcome::new(&scenario, 1000, Duration::from_millis(500));
        outcome.server_time = Some(Duration::from_micros(250));
        outcome.generator_time = Duration::from_micros(20);
        outcome
    }

    #[test]
    fn figures_are_per_counted_thing() {
        let outcome = outcome();
        assert_eq!(outcome.rate(), 2000.0);
        assert_eq!(outcome.server_ns_each(), Some(250.0));
        assert_eq!(outcome.to_json()["server_ns_each"], 250.0);
        assert!(
            outcome
                .to_string()
                .contains("server    250.0 ns each, 0.05 % of a CPU")
        );
    }

    #[test]
    fn counts_have_their_unit() {
        for (name, unit) in [
            ("pub:16", "messages"),
            ("mixed8:128", "deliveries"),
            ("flooded:16", "deliveries"),
            ("reqrep:16", "round trips"),
            ("open1000:16", "round trips"),
            ("subchurn0:16", "round trips"),
            ("connect8", "connections"),
            ("handshakes100", "handshakes"),
            ("logins50", "logins"),
        ] {
            let scenario = name.parse().expect("a scenario");
            let outcome = Outcome::new(&scenario, 1000, Duration::from_secs(1));
            assert_eq!(outcome.to_json()["unit"], unit, "{name}");
        }
    }

    #[test]
    fn memory_is_that_of_a_connection() {
        let mut outcome = outcome();
        outcome.memory = Some(Memory {
            connections: 10,
            rss_before: 1000,
            rss_after: 21_000,
        });
        assert_eq!(outcome.to_json()["memory"]["bytes_each"], 2000.0);
    }

    #[test]
    fn quantiles() {
        let mut times = Histogram::new(3).expect("3 digits are allowed");
        assert_eq!(Latency::of(&times), None);
        (1..=1000).for_each(|us| times.record(us * 1000).expect("it resizes itself"));
        let latency = Latency::of(&times).expect("some");
        let is_near = |time: Duration, us: f64| (time.as_secs_f64() * 1e6 / us - 1.0).abs() < 0.002;
        assert!(is_near(latency.p50, 500.0), "{latency:?}");
        assert!(is_near(latency.p99, 990.0), "{latency:?}");
        assert!(is_near(latency.p999, 999.0), "{latency:?}");
        assert!(is_near(latency.max, 1000.0), "{latency:?}");
    }

    #[test]
    fn the_exact_time_is_divided_as_the_ticks_are() {
        let mut outcome = outcome();
        assert_eq!(outcome.server_split(), None);
        outcome.server_user = Some(Duration::from_millis(10));
        outcome.server_system = Some(Duration::from_millis(30));
        assert_eq!(outcome.server_split(), Some((62.5, 187.5)));
        outcome.server_user = Some(Duration::ZERO);
        outcome.server_system = Some(Duration::ZERO);
        assert_eq!(outcome.server_split(), None);
    }
}
