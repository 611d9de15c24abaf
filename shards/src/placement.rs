//! Which CPU each shard gets.
//!
//! Owns the plan and the system call that carries it out. The same on both drivers: a shard's
//! thread pins itself before its driver exists, so what the driver allocates is local, and helper
//! threads that a driver starts share the shard's CPU instead of disturbing another.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs this thread may use, ascending. Empty if the system does not say.
///
/// Not the number of CPUs in the machine: containers and `taskset` leave fewer.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect()
}

/// A CPU for each shard, or none for any.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// One entry per shard.
    pub(crate) cpus: Vec<Option<usize>>,
    /// What the operator should know.
    pub(crate) warning: Option<String>,
}

impl Plan {
    /// Gives `shards` shards a CPU of their own each, if there are enough.
    ///
    /// Pinning some of them would give one CPU two shards while another stands idle, so it is all
    /// or none.
    pub(crate) fn new(shards: usize, pin: bool, allowed: &[usize]) -> Self {
        if !pin {
            return Self::unpinned(shards, None);
        }
        if allowed.is_empty() {
            let warning = "shards are not pinned: the system does not tell which CPUs may be used";
            return Self::unpinned(shards, Some(warning.to_owned()));
        }
        if shards > allowed.len() {
            let warning = format!(
                "shards are not pinned: {shards} shards on {} CPUs",
                allowed.len()
            );
            return Self::unpinned(shards, Some(warning));
        }
        Self {
            cpus: allowed.iter().take(shards).copied().map(Some).collect(),
            warning: None,
        }
    }

    fn unpinned(shards: usize, warning: Option<String>) -> Self {
        Self {
            cpus: vec![None; shards],
            warning,
        }
    }
}

/// Pins the calling thread to `cpu`.
///
/// # Errors
/// What the kernel says, or a sandbox in its place.
pub(crate) fn pin_this_thread(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// The warning for a pin that was refused. One refusal stands for all: what refuses one shard
/// refuses every shard.
pub(crate) fn refused_warning(error: &io::Error) -> String {
    format!("shards are not pinned: sched_setaffinity: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_gets_an_allowed_cpu_of_its_own() {
        let plan = Plan::new(2, true, &[3, 5, 9]);
        assert_eq!(plan.cpus, [Some(3), Some(5)]);
        assert_eq!(plan.warning, None);
    }

    #[test]
    fn more_shards_than_cpus_are_all_unpinned_with_a_warning() {
        let plan = Plan::new(3, true, &[3, 5]);
        assert_eq!(plan.cpus, [None, None, None]);
        assert_eq!(
            plan.warning.as_deref(),
            Some("shards are not pinned: 3 shards on 2 CPUs")
        );
    }

    #[test]
    fn pinning_that_nobody_wants_warns_of_nothing() {
        let plan = Plan::new(3, false, &[3, 5]);
        assert_eq!(plan.cpus, [None, None, None]);
        assert_eq!(plan.warning, None);
    }

    #[test]
    fn a_thread_can_be_pinned_to_what_it_may_use() {
        std::thread::spawn(|| {
            let cpu = *allowed_cpus().last().unwrap();
            pin_this_thread(cpu).unwrap();
            assert_eq!(allowed_cpus(), [cpu]);
        })
        .join()
        .unwrap();
    }
}
