//! The machine: pinning, processor time and memory of a process, and what to write beside a result.
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

/// Resident memory of `pid` in bytes.
///
/// # Errors
/// When there is no such process.
pub(crate) fn rss_bytes_of(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
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

/// Model of the CPU, for a record of a run.
pub(crate) fn model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

/// Kernel release, for a record of a run.
pub(crate) fn kernel() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
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
    fn own_process() {
        let pid = std::process::id();
        let before = time_of(pid).unwrap();
        while time_of(pid).unwrap() < before + Duration::from_millis(5) {}
        assert!(rss_bytes_of(pid).unwrap() > 100_000);
        assert!(!kernel().is_empty() && !model().is_empty());
    }

    #[test]
    fn a_process_that_is_not_there() {
        assert!(time_of(u32::MAX).is_err());
        assert!(rss_bytes_of(u32::MAX).is_err());
    }
}
