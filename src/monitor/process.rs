//! What the kernel knows of this process: memory, CPU time, threads. Read from `/proc/self`.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Time over which CPU use is averaged.
const SAMPLE_TIME: Duration = Duration::from_secs(1);

/// Resident memory in bytes, 0 if the kernel does not say.
pub(super) fn resident_bytes() -> u64 {
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(0);
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| resident_pages(&text));
    pages.unwrap_or(0).saturating_mul(page_bytes)
}

fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Average CPU use over the last second, kept up to date by a thread of its own.
#[derive(Clone, Debug)]
pub(super) struct Cpu {
    /// Tenths of a percent; 1000 is one core.
    tenths: Arc<AtomicU64>,
}

impl Cpu {
    /// Starts the thread.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start() -> io::Result<Cpu> {
        let tenths = Arc::new(AtomicU64::new(0));
        let cpu = Cpu {
            tenths: Arc::clone(&tenths),
        };
        thread::Builder::new()
            .name("monitor-cpu".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || {
                let mut last = (Instant::now(), ticks().unwrap_or(0));
                loop {
                    thread::sleep(SAMPLE_TIME);
                    let Some(ticks) = ticks() else { continue };
                    let now = Instant::now();
                    let used = ticks.saturating_sub(last.1);
                    tenths.store(
                        tenths_of(used, now.saturating_duration_since(last.0)),
                        Relaxed,
                    );
                    last = (now, ticks);
                }
            })?;
        Ok(cpu)
    }

    /// Percent of one core, with one decimal.
    pub(super) fn percent(&self) -> f64 {
        f64::from(u32::try_from(self.tenths.load(Relaxed)).unwrap_or(u32::MAX)) / 10.0
    }
}

/// User and system time of the process, in clock ticks.
fn ticks() -> Option<u64> {
    used_ticks(&fs::read_to_string("/proc/self/stat").ok()?)
}

fn used_ticks(stat: &str) -> Option<u64> {
    // The name in front may hold anything, brackets and blanks included.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    user.checked_add(system)
}

fn tenths_of(ticks: u64, time: Duration) -> u64 {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let used_us = u128::from(ticks) * 1_000_000 / u128::from(per_second);
    u64::try_from(used_us * 1000 / time.as_micros().max(1)).unwrap_or(u64::MAX)
}

/// The threads of the process, a line each: id, state, name.
pub(super) fn threads() -> String {
    let Ok(entries) = fs::read_dir("/proc/self/task") else {
        return String::new();
    };
    let mut lines: Vec<(u64, String)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let id: u64 = path.file_name()?.to_str()?.parse().ok()?;
            let stat = fs::read_to_string(path.join("stat")).ok()?;
            let (name, fields) = stat.split_once('(')?.1.rsplit_once(')')?;
            let state = fields.split_ascii_whitespace().next()?;
            Some((id, format!("thread {id} [{state}] {name}\n")))
        })
        .collect();
    lines.sort_unstable();
    lines.into_iter().map(|(_, line)| line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_behind_any_name() {
        assert_eq!(resident_pages("100 25 3 4 5 6 7\n"), Some(25));
        assert_eq!(resident_pages("x"), None);
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0";
        assert_eq!(used_ticks(stat), Some(150));
        assert_eq!(used_ticks("7 (a"), None);
        assert!(resident_bytes() > 100_000);
        assert!(ticks().is_some());
    }

    #[test]
    fn cpu_is_in_tenths_of_a_percent() {
        let second = rustix::param::clock_ticks_per_second();
        assert_eq!(tenths_of(second, Duration::from_secs(1)), 1000);
        assert_eq!(tenths_of(second * 2, Duration::from_secs(1)), 2000);
        assert_eq!(tenths_of(second / 100, Duration::from_secs(1)), 10);
        assert_eq!(tenths_of(0, Duration::ZERO), 0);
    }

    #[test]
    fn threads_are_listed() {
        let text = threads();
        assert!(text.lines().count() >= 1, "{text}");
        assert!(text.starts_with("thread "), "{text}");
    }
}
