//! CPUs and processes: pinning, processor time and memory of a process.
//!
//! Reads `/proc` and sets affinity. Knows nothing of servers or messages.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Result;

/// Pins the calling thread to one CPU.
///
/// # Errors
/// When there is no such CPU, or this process may not use it.
pub(crate) fn pin_to(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    if cpu >= CpuSet::MAX_CPU {
        return Err(format!("no CPU {cpu}").into());
    }
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(|e| format!("pin to CPU {cpu}: {e}").into())
}

/// The CPUs of a list as `taskset` takes it: `0`, `0,1`, `0-3`.
///
/// # Errors
/// Another form, or none.
pub(crate) fn listed(text: &str) -> Result<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = first.parse::<usize>().ok().zip(last.parse::<usize>().ok());
        match range {
            Some((first, last)) if first <= last && last < CpuSet::MAX_CPU => {
                cpus.extend(first..=last);
            }
            _ => return Err(format!("{text:?} is no list of CPUs").into()),
        }
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

/// Processor time of the living threads of `pid`, user and kernel, to the nanosecond.
///
/// Sums the first number of `/proc/PID/task/TID/schedstat`. The clock ticks of `/proc/PID/stat` are 10 ms
/// wide and sampled; this is what the scheduler accounts. A thread that ends takes its time with it: the
/// servers measured keep theirs.
///
/// # Errors
/// When there is no such process.
pub(crate) fn time_of(pid: u32) -> Result<Duration> {
    let tasks = format!("/proc/{pid}/task");
    let mut nanos = 0;
    for task in fs::read_dir(&tasks).map_err(|e| format!("{tasks}: {e}"))? {
        let path = task?.path().join("schedstat");
        match fs::read_to_string(&path) {
            Ok(text) => nanos += first_number(&text)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            // A thread that ends while it is read.
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
            Err(e) => return Err(format!("{}: {e}", path.display()).into()),
        }
    }
    Ok(Duration::from_nanos(nanos))
}

/// Processor time of a process, by where it was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    /// In its own code.
    pub(crate) user: Duration,
    /// In the kernel on its behalf.
    pub(crate) system: Duration,
}

/// Processor time of all threads of `pid`, ended ones too, in ticks of the clock: 10 ms as a rule.
///
/// The kernel keeps the two apart in ticks only. For what things cost take [`time_of`], and this for how it
/// divides.
///
/// # Errors
/// When there is no such process.
pub(crate) fn split_of(pid: u32) -> Result<CpuTime> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    // The name in the second field is in parentheses and may hold anything.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || -> Result<Duration> {
        let ticks = first_number(fields.next().unwrap_or_default())?;
        Ok(ticks_to_time(ticks))
    };
    Ok(CpuTime {
        user: ticks()?,
        system: ticks()?,
    })
}

/// A time the kernel gives in ticks of its clock.
pub(crate) fn ticks_to_time(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / per_second))
}

/// Resident memory of `pid` in bytes.
///
/// # Errors
/// When there is no such process.
pub(crate) fn rss_bytes_of(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The most resident memory `pid` has had since its start, in bytes.
///
/// # Errors
/// When there is no such process.
pub(crate) fn rss_peak_of(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmHWM:")
}

fn status_bytes(pid: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(first_number(line.unwrap_or_default())? * 1024)
}

/// Raises the limit of open descriptors of this process to `count` if it is lower.
///
/// # Errors
/// When the hard limit forbids it.
pub(crate) fn allow_descriptors(count: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    let new = Rlimit {
        current: Some(count),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, new).map_err(|e| {
        format!(
            "{count} descriptors are needed, the limit is {:?}: {e}",
            limit.maximum
        )
        .into()
    })
}

fn first_number(text: &str) -> Result<u64> {
    let word = text.split_whitespace().next().unwrap_or_default();
    word.parse()
        .map_err(|_| format!("{word:?} is not a number").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(listed("0").unwrap(), [0]);
        assert_eq!(listed("3,0-1,1").unwrap(), [0, 1, 3]);
        for text in ["", "0,", "2-1", "x", "-1", "999999"] {
            assert!(listed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn own_process() {
        let pid = std::process::id();
        let before = time_of(pid).unwrap();
        while time_of(pid).unwrap() < before + Duration::from_millis(5) {}
        assert!(rss_bytes_of(pid).unwrap() > 100_000);
        assert!(rss_peak_of(pid).unwrap() >= rss_bytes_of(pid).unwrap() / 2);
    }

    #[test]
    fn both_clocks_run_alike() {
        let pid = std::process::id();
        let begin = time_of(pid).unwrap();
        let before = split_of(pid).unwrap();
        while time_of(pid).unwrap() < begin + Duration::from_millis(100) {}
        let after = split_of(pid).unwrap();
        let ticks = (after.user + after.system) - (before.user + before.system);
        assert!(ticks >= Duration::from_millis(50), "{ticks:?}");
    }

    #[test]
    fn a_process_that_is_not_there() {
        assert!(time_of(u32::MAX).is_err());
        assert!(split_of(u32::MAX).is_err());
        assert!(rss_bytes_of(u32::MAX).is_err());
    }
}
