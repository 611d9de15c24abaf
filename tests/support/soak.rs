//! Short form or long form, and the line that a case of the reliability programme ends with.
//!
//! A case runs in short form with every change and in long form when `GNATSD_SOAK=1` is set, which
//! `scripts/soak` does. It ends with a line that says what was tried and what became of it.

use std::env;
use std::time::Duration;

use super::checker::Report;
use super::driver::Driver;
use super::process;
use super::server::Server;

/// Asks for the long form.
const SOAK: &str = "GNATSD_SOAK";

/// Minutes of those cases that run for a time.
const MINUTES: &str = "GNATSD_SOAK_MINUTES";

/// Whether this is a soak run: a release build that has the machine for itself.
pub(crate) fn is_long() -> bool {
    env::var_os(SOAK).is_some_and(|value| value != "0")
}

/// `short` in the test suite, `long` in a soak run.
pub(crate) fn long<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

/// As [`long`], for a time: `GNATSD_SOAK_MINUTES` replaces the one of a soak run.
pub(crate) fn long_time(short: Duration, minutes: f64) -> Duration {
    let minutes = env::var(MINUTES).ok().map_or(minutes, |text| {
        text.parse()
            .unwrap_or_else(|e| panic!("{MINUTES}={text}: {e}"))
    });
    long(short, Duration::from_secs_f64(minutes * 60.0))
}

/// What was tried, for the line a case ends with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    /// Row of the reliability programme.
    pub(crate) id: &'a str,
    /// How the shards of the server wait.
    pub(crate) driver: Driver,
    /// Number of its shards.
    pub(crate) cores: usize,
    /// How many times something was tried: rounds, deliveries, connections.
    pub(crate) inputs: u64,
    /// The longest time of what the case measures.
    pub(crate) worst: Duration,
}

impl Case<'_> {
    /// Prints the line, then demands six zeros, no rescue and no dropped queue message, from a server
    /// that runs. It must have been started with `monitor()`.
    ///
    /// # Panics
    /// When one of these is not so.
    #[track_caller]
    pub(crate) fn finish(&self, server: &Server, report: &Report) {
        let Self {
            id,
            driver,
            cores,
            inputs,
            worst,
        } = self;
        let (rescues, dropped) = (server.rescues(), server.sum_over_shards("rechoice_dropped"));
        println!(
            "{id} {} x{cores}: {inputs} inputs, {report}, worst {worst:.1?}, peak RSS {} KiB, \
             rescues {rescues}, lane stalls {}, re-chosen {}, longest turn {:.1} ms",
            driver.name(),
            process::rss_peak_bytes(server.pid()) / 1024,
            server.sum_over_shards("lane_stalls"),
            server.sum_over_shards("rechosen"),
            server.max_over_shards("longest_turn_us") as f64 / 1e3,
        );
        report.assert_six_zeros(id);
        assert_eq!(rescues, 0, "{id}: work that nobody woke a shard for");
        assert_eq!(dropped, 0, "{id}: queue messages without a member");
    }
}
