//! What one measured stretch costs: read at both ends of it, when nothing is in flight.

use std::time::{Duration, Instant};

use super::{Load, Scenario};
use crate::Result;
use crate::cpu::{self, CpuTime};
use crate::report::Outcome;

/// The clocks at the beginning of a stretch.
pub(super) struct Meter {
    server: Option<Server>,
    own: Duration,
    begin: Instant,
}

/// The clocks of the server's process.
struct Server {
    pid: u32,
    time: Duration,
    split: CpuTime,
}

impl Server {
    fn read(pid: u32) -> Result<Self> {
        Ok(Self {
            pid,
            time: cpu::time_of(pid)?,
            split: cpu::split_of(pid)?,
        })
    }
}

impl Meter {
    /// Reads all clocks.
    ///
    /// # Errors
    /// The server's process is not there.
    pub(super) fn begin(load: &Load) -> Result<Self> {
        Ok(Self {
            server: load.server_pid.map(Server::read).transpose()?,
            own: cpu::time_of(std::process::id())?,
            begin: Instant::now(),
        })
    }

    /// Reads them again and returns what lies between.
    ///
    /// # Errors
    /// The server's process is no more.
    pub(super) fn end(self, scenario: &Scenario, counted: u64, published: u64) -> Result<Outcome> {
        let mut outcome = Outcome::new(scenario, counted, self.begin.elapsed());
        outcome.published = published;
        let own = cpu::time_of(std::process::id())?;
        outcome.generator_time = own.saturating_sub(self.own);
        if let Some(before) = self.server {
            let after = Server::read(before.pid)?;
            let (split, split_before) = (after.split, before.split);
            outcome.server_time = Some(after.time.saturating_sub(before.time));
            outcome.server_user = Some(split.user.saturating_sub(split_before.user));
            outcome.server_system = Some(split.system.saturating_sub(split_before.system));
            outcome.rss_peak = Some(cpu::rss_peak_of(before.pid)?);
        }
        Ok(outcome)
    }
}
