//! Who else used the CPUs while something was measured.
//!
//! A figure is worth what the quiet was worth in which it was taken. `/proc/stat` says how long each CPU was
//! busy, `/proc/PID` how long server and generator were running; what is left over is others' work, and with
//! it what a hypervisor took away.
//!
//! **Interrupts.** Most soft interrupts here are loopback traffic of the very load that is measured. A kernel
//! that samples (`CONFIG_TICK_CPU_ACCOUNTING`) counts them to whoever was interrupted, so they are in the time of
//! server and generator, and must be in that of the CPU for the difference to be right. One that times each
//! (`CONFIG_IRQ_TIME_ACCOUNTING`) counts them to nobody: they belong to the machine and stay out of both sides.
//! The two are told apart by the time of hard interrupts, which only the latter keeps. Either way soft
//! interrupts are kept in the record.

use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::Result;
use crate::cpu;

/// CPUs, and whose work they are there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// CPUs of the server.
    pub(crate) server: Vec<usize>,
    /// CPU of the generator; `None` when it may run on those of the server too.
    pub(crate) client: Option<usize>,
}

/// What others took in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Foreign {
    /// Share of the CPUs of the server that neither server nor generator used, nor was idle.
    pub(crate) on_server: f64,
    /// The same of the CPU of the generator.
    pub(crate) on_client: f64,
    /// Part of both that a hypervisor took, as a share of all CPUs.
    pub(crate) stolen: f64,
    /// Soft interrupts, as a share of all CPUs; in no other figure here unless the kernel counts them so.
    pub(crate) soft_interrupts: f64,
}

impl Foreign {
    /// The share that counts: that of the CPU which had more of it.
    pub(crate) fn share(&self) -> f64 {
        self.on_server.max(self.on_client)
    }

    /// All shares as one object.
    pub(crate) fn to_json(self) -> Value {
        let rounded = |share: f64| (share * 1e4).round() / 1e4;
        json!({
            "share": rounded(self.share()),
            "on_server_cpu": rounded(self.on_server),
            "on_client_cpu": rounded(self.on_client),
            "stolen": rounded(self.stolen),
            "soft_interrupts": rounded(self.soft_interrupts),
        })
    }
}

/// Times of one CPU since the machine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CpuTimes {
    /// Running anything but interrupts.
    tasks: Duration,
    hard: Duration,
    soft: Duration,
    stolen: Duration,
}

/// Everything at one moment.
#[derive(Clone, Debug)]
struct Reading {
    at: Instant,
    /// One for each CPU of the server, then that of the generator.
    cpus: Vec<CpuTimes>,
    server: Duration,
    generator: Duration,
}

/// A window that has begun.
#[derive(Debug)]
pub(crate) struct Watch {
    places: Places,
    server_pid: u32,
    begin: Reading,
}

impl Watch {
    /// Begins a window.
    ///
    /// # Errors
    /// When the server has ended, or there is no such CPU.
    pub(crate) fn begin(places: &Places, server_pid: u32) -> Result<Self> {
        Ok(Self {
            places: places.clone(),
            server_pid,
            begin: Reading::take(places, server_pid)?,
        })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When the server has ended.
    pub(crate) fn end(self) -> Result<Foreign> {
        let end = Reading::take(&self.places, self.server_pid)?;
        Ok(foreign(&self.places, &self.begin, &end))
    }
}

impl Reading {
    fn take(places: &Places, server_pid: u32) -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").map_err(|e| format!("/proc/stat: {e}"))?;
        let cpus = places.server.iter().chain(&places.client);
        let own = clock_gettime(ClockId::ProcessCPUTime);
        Ok(Self {
            at: Instant::now(),
            cpus: cpus
                .map(|cpu| times_of(*cpu, &text))
                .collect::<Result<_>>()?,
            server: cpu::time_of(server_pid)?,
            generator: Duration::try_from(own).unwrap_or_default(),
        })
    }
}

/// The line `cpuN user nice system idle iowait irq softirq steal …`.
fn times_of(cpu: usize, stat: &str) -> Result<CpuTimes> {
    let name = format!("cpu{cpu}");
    let line = stat.lines().find_map(|line| {
        let (word, rest) = line.split_once(' ')?;
        (word == name).then_some(rest)
    });
    let line = line.ok_or_else(|| format!("/proc/stat knows no {name}"))?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    let [user, nice, system, _, _, hard, soft, stolen, ..] = ticks[..] else {
        return Err(format!("/proc/stat: {name} has {} figures", ticks.len()).into());
    };
    Ok(CpuTimes {
        tasks: cpu::ticks_to_time(user + nice + system),
        hard: cpu::ticks_to_time(hard),
        soft: cpu::ticks_to_time(soft),
        stolen: cpu::ticks_to_time(stolen),
    })
}

fn foreign(places: &Places, begin: &Reading, end: &Reading) -> Foreign {
    let elapsed = (end.at - begin.at).as_secs_f64();
    let are_interrupts_apart = end.cpus.iter().any(|times| !times.hard.is_zero());
    let spent = |part: fn(&CpuTimes) -> Duration, range: &[usize]| -> f64 {
        let spent = |at: &usize| part(&end.cpus[*at]).saturating_sub(part(&begin.cpus[*at]));
        range.iter().map(spent).sum::<Duration>().as_secs_f64()
    };
    let busy = |range: &[usize]| {
        let interrupts = if are_interrupts_apart {
            0.0
        } else {
            spent(|times| times.soft, range)
        };
        spent(|times| times.tasks, range) + interrupts + spent(|times| times.stolen, range)
    };
    // Below nothing only for want of precision: ticks on one side, ns on the other.
    let share = |range: &[usize], ours: Duration| {
        let available = elapsed * range.len() as f64;
        ((busy(range) - ours.as_secs_f64()) / available).max(0.0)
    };
    let server = end.server.saturating_sub(begin.server);
    let generator = end.generator.saturating_sub(begin.generator);
    let all: Vec<usize> = (0..end.cpus.len()).collect();
    let (on_server, on_client) = match places.client {
        Some(_) => {
            let (of_server, of_client) = all.split_at(places.server.len());
            (share(of_server, server), share(of_client, generator))
        }
        None => (share(&all, server + generator), 0.0),
    };
    let of_all = |part| spent(part, &all) / (elapsed * all.len() as f64);
    Foreign {
        on_server,
        on_client,
        stolen: of_all(|times| times.stolen),
        soft_interrupts: of_all(|times| times.soft),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn reading(at: Instant, cpus: &[CpuTimes], server: u64, generator: u64) -> Reading {
        Reading {
            at,
            cpus: cpus.to_vec(),
            server: MS(server),
            generator: MS(generator),
        }
    }

    fn window(places: &Places, cpus: &[CpuTimes], server: u64, generator: u64) -> Foreign {
        let begin = Instant::now();
        let nothing = vec![CpuTimes::default(); cpus.len()];
        foreign(
            places,
            &reading(begin, &nothing, 0, 0),
            &reading(begin + MS(1000), cpus, server, generator),
        )
    }

    fn tasks(ms: u64) -> CpuTimes {
        CpuTimes {
            tasks: MS(ms),
            ..CpuTimes::default()
        }
    }

    #[test]
    fn what_nobody_of_ours_used_is_foreign() {
        let apart = Places {
            server: vec![0],
            client: Some(1),
        };
        let quiet = window(&apart, &[tasks(800), tasks(500)], 800, 500);
        assert!(quiet.share() < 1e-9, "{quiet:?}");
        let seen = window(&apart, &[tasks(800), tasks(500)], 700, 500);
        assert!(
            (seen.on_server - 0.1).abs() < 1e-9 && seen.on_client < 1e-9,
            "{seen:?}"
        );
        let seen = window(&apart, &[tasks(800), tasks(500)], 800, 300);
        assert!((seen.share() - 0.2).abs() < 1e-9, "{seen:?}");
        let stolen = CpuTimes {
            stolen: MS(100),
            ..tasks(700)
        };
        let seen = window(&apart, &[stolen, tasks(500)], 700, 500);
        assert!((seen.on_server - 0.1).abs() < 1e-9, "{seen:?}");
        assert!((seen.stolen - 0.05).abs() < 1e-9, "{seen:?}");
    }

    #[test]
    fn without_a_cpu_of_its_own_the_generator_counts_everywhere() {
        let shared = Places {
            server: vec![0, 1],
            client: None,
        };
        let seen = window(&shared, &[tasks(900), tasks(900)], 900, 700);
        assert!((seen.share() - 0.1).abs() < 1e-9, "{seen:?}");
    }

    #[test]
    fn soft_interrupts_are_ours_or_nobodys() {
        let places = Places {
            server: vec![0],
            client: None,
        };
        let sampled = CpuTimes {
            soft: MS(100),
            ..tasks(700)
        };
        let timed = CpuTimes {
            hard: MS(1),
            ..sampled
        };
        let seen = window(&places, &[sampled], 800, 0);
        assert!(
            seen.share() < 1e-9 && seen.soft_interrupts > 0.09,
            "{seen:?}"
        );
        let seen = window(&places, &[timed], 700, 0);
        assert!(
            seen.share() < 1e-9 && seen.soft_interrupts > 0.09,
            "{seen:?}"
        );
    }

    #[test]
    fn lines_of_the_kernel() {
        let stat = "cpu  1 1 1 1 1 1 1 1 0 0\ncpu1 1 2 3 4 5 6 7 8 9 10\ncpu11 1 1\n";
        let times = times_of(1, stat).unwrap();
        let tick = cpu::ticks_to_time(1);
        assert_eq!((times.tasks, times.hard), (tick * 6, tick * 6));
        assert_eq!((times.soft, times.stolen), (tick * 7, tick * 8));
        assert!(times_of(0, stat).is_err() && times_of(11, stat).is_err());
    }

    #[test]
    fn a_window_on_this_machine() {
        let places = Places {
            server: vec![0],
            client: None,
        };
        let watch = Watch::begin(&places, std::process::id()).unwrap();
        let foreign = watch.end().unwrap();
        assert!(foreign.share().is_finite() && foreign.stolen >= 0.0);
        assert!(Watch::begin(&places, u32::MAX).is_err());
    }
}
