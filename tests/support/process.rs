//! What Linux says about a process: processor time, memory, descriptors, threads.
//!
//! Reads `/proc`, and changes nothing but a limit of its own process. Every reader panics when the process is gone: a test that asks about a dead
//! server has already failed.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Processor time of all living threads of `pid`, user and kernel, to the nanosecond.
///
/// The first number of `/proc/PID/task/TID/schedstat`. A thread that ends takes its time with it, so
/// compare two readings only over a stretch in which the process keeps its threads.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let tasks = format!("/proc/{pid}/task");
    let mut nanos = 0;
    for task in fs::read_dir(&tasks).unwrap_or_else(|e| panic!("{tasks}: {e}")) {
        let path = task.expect("an entry of a task directory").path();
        // A thread may end between the listing and the reading.
        if let Ok(text) = fs::read_to_string(path.join("schedstat")) {
            nanos += first_number(&text);
        }
    }
    Duration::from_nanos(nanos)
}

/// Resident memory of `pid` in bytes: `VmRSS` of `/proc/PID/status`.
pub(crate) fn rss_bytes(pid: u32) -> u64 {
    status_number(pid, "VmRSS:") * 1024
}

/// Highest resident memory `pid` ever had, in bytes: `VmHWM` of `/proc/PID/status`.
pub(crate) fn rss_peak_bytes(pid: u32) -> u64 {
    status_number(pid, "VmHWM:") * 1024
}

/// Number of threads of `pid`.
pub(crate) fn thread_count(pid: u32) -> u64 {
    status_number(pid, "Threads:")
}

/// Number of open descriptors of `pid`.
pub(crate) fn fd_count(pid: u32) -> usize {
    let path = format!("/proc/{pid}/fd");
    fs::read_dir(&path)
        .unwrap_or_else(|e| panic!("{path}: {e}"))
        .count()
}

/// Processor time and resident bytes in one reading.
pub(crate) fn cpu_and_rss(pid: u32) -> (Duration, u64) {
    (cpu_time(pid), rss_bytes(pid))
}

/// Lets this process open as many descriptors as it may.
pub(crate) fn raise_nofile() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("raise the limit of descriptors");
}

/// The number after `field` in `/proc/PID/status`.
fn status_number(pid: u32, field: &str) -> u64 {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    first_number(line.unwrap_or_else(|| panic!("{path}: no {field}")))
}

/// First blank-separated word of `text` as a number.
fn first_number(text: &str) -> u64 {
    let word = text.split_whitespace().next().unwrap_or_default();
    word.parse()
        .unwrap_or_else(|_| panic!("not a number: {word:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process;
    use std::time::Instant;

    #[test]
    fn own_process_is_readable() {
        let pid = process::id();
        assert!(rss_bytes(pid) > 100_000);
        assert!(rss_peak_bytes(pid) >= 100_000);
        assert!(thread_count(pid) >= 1);
        assert!(fd_count(pid) >= 3);
    }

    #[test]
    fn work_shows_as_processor_time() {
        let pid = process::id();
        let (before, _) = cpu_and_rss(pid);
        let start = Instant::now();
        crate::support::wait::wait_until(Duration::from_secs(20), "10 ms of work", || {
            std::hint::black_box((0..1_000_000_u64).fold(0, |a, b| a ^ b));
            cpu_time(pid) >= before + Duration::from_millis(10)
        });
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
