//! Threads for hashes, beside the shards.
//!
//! Owns when a [`HashJob`] is done, and that each that was taken is answered once. The threads have the lowest
//! priority, so that a shard that has something to do does it first.
//! Which job is next is decided in [`waiting`].

mod presence;
mod waiting;

use std::fmt;
use std::net::IpAddr;
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gnatsd_core::auth::Login;
use rustix::thread::CpuSet;

use self::waiting::{Job, Waiting};
use super::HashJob;

pub use presence::Presence;

/// CPUs for each thread. Even all of them busy leave most of the machine to what has the same priority elsewhere.
const CPUS_PER_THREAD: usize = 4;

/// Nice value of the threads: the lowest priority.
const NICE: i32 = 19;

/// A thread that takes so much longer for a job than twice its time gets next to none: the machine is busy with what
/// goes first.
const STARVED_AFTER: Duration = Duration::from_millis(500);

/// Nice value of the thread that helps out then: about a quarter of what a shard gets. With the lowest priority alone
/// nobody could log in to a server that has no time to spare.
const NICE_OF_RELIEF: i32 = 5;

/// How long the end waits for hashes that have begun. One of cost 16 takes longer: it ends with the process.
const ENDING_TIME_MAX: Duration = Duration::from_secs(2);

/// There is no room for another job, of this address or at all; what was submitted is gone, unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many logins wait for their hash")
    }
}

impl std::error::Error for Full {}

/// A few threads that do hashes. One for all shards; they start with the first job.
#[derive(Debug)]
pub struct HashPool {
    shared: Arc<Shared>,
    threads_max: usize,
    /// Where the threads may run. One that a pinned shard starts would share that shard's CPU.
    cpus: Option<CpuSet>,
}

/// What the threads have in common.
#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is a job, or the end has come.
    arrived: Condvar,
    /// A thread has ended.
    ended: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: Waiting,
    /// All that were started.
    threads: Vec<JoinHandle<()>>,
    /// Those that have not ended.
    running: usize,
    /// Those that have a job.
    busy: usize,
    /// When a job was last done, or begun by a pool that had none.
    progress: Option<Instant>,
    /// CPU time that the longest of the jobs under way takes.
    longest: Duration,
    /// One of them is there only until there is no job.
    has_relief: bool,
    is_closed: bool,
}

impl HashPool {
    /// A pool without threads as yet. They will run wherever the calling thread may: make it before that is pinned.
    pub fn new() -> Self {
        let cpus = thread::available_parallelism().map_or(1, NonZero::get);
        HashPool {
            shared: Arc::default(),
            threads_max: cpus.div_ceil(CPUS_PER_THREAD),
            cpus: rustix::thread::sched_getaffinity(None).ok(),
        }
    }

    /// Leaves the job of a client at `ip` to the threads. They call `done` with what comes of it, once: with a late
    /// refusal and without the work if they get to it only after `deadline`, if the client has gone by then, if it has
    /// to make room, or if the pool ends. A job that panics is refused.
    ///
    /// `presence` is asked just before the work, and when room is needed; what it holds goes when the work begins.
    ///
    /// `done` is called on one of the threads, and holds up other logins, or where something is submitted or the pool
    /// dropped.
    ///
    /// # Errors
    /// Too many are waiting. `done` is not called then.
    pub fn submit(
        &self,
        job: HashJob,
        deadline: Instant,
        ip: IpAddr,
        presence: impl Fn() -> Presence + Send + 'static,
        done: impl FnOnce(Login) + Send + 'static,
    ) -> Result<(), Full> {
        self.submit_job(Job {
            takes: job.takes(),
            work: Box::new(move || job.run()),
            deadline,
            ip,
            presence: Box::new(presence),
            done: Box::new(done),
        })
    }

    fn submit_job(&self, job: Job) -> Result<(), Full> {
        let mut out = Vec::new();
        let result = self.add(job, &mut out);
        if result.is_ok() {
            self.shared.arrived.notify_one();
        }
        // All threads may be in long hashes: then nobody else would tell them.
        out.into_iter().for_each(Job::answer_late);
        result
    }

    /// Adds a job; those that are too late, or have to make room, are put into `out`.
    fn add(&self, job: Job, out: &mut Vec<Job>) -> Result<(), Full> {
        let mut queue = self.shared.lock();
        let now = Instant::now();
        out.extend(std::iter::from_fn(|| queue.waiting.take_late(now)));
        self.start_threads(&mut queue);
        self.start_relief(&mut queue);
        if queue.running == 0 {
            return Err(Full);
        }
        queue.waiting.push(job, out)
    }

    /// Starts the threads that are not there yet. Those that the system refuses are tried again with the next job.
    fn start_threads(&self, queue: &mut Queue) {
        while queue.running - usize::from(queue.has_relief) < self.threads_max {
            if !self.start_thread(queue, NICE, Shared::serve) {
                return;
            }
        }
    }

    /// Starts one more, of higher priority, if the others have jobs and make no headway.
    fn start_relief(&self, queue: &mut Queue) {
        let patience = STARVED_AFTER + queue.longest * 2;
        let is_starved = queue.busy > 0
            && queue.busy == queue.running
            && queue.progress.is_some_and(|at| at.elapsed() >= patience);
        if is_starved && !queue.has_relief {
            queue.has_relief = self.start_thread(queue, NICE_OF_RELIEF, Shared::relieve);
        }
    }

    fn start_thread(&self, queue: &mut Queue, nice: i32, serve: fn(&Shared)) -> bool {
        // Those that have ended have nothing left to wait for.
        queue.threads.retain(|thread| !thread.is_finished());
        let shared = Arc::clone(&self.shared);
        let cpus = self.cpus;
        let started = thread::Builder::new()
            .name("hash".to_owned())
            .spawn(move || {
                give_way(cpus.as_ref(), nice);
                serve(&shared);
            });
        let Ok(thread) = started else { return false };
        queue.threads.push(thread);
        queue.running += 1;
        true
    }
}

impl Default for HashPool {
    fn default() -> Self {
        HashPool::new()
    }
}

/// Ends the threads: jobs that wait are answered, and hashes that have begun finished, unless they take longer than
/// two seconds.
impl Drop for HashPool {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.is_closed = true;
        let jobs = queue.waiting.drain();
        drop(queue);
        self.shared.arrived.notify_all();
        jobs.for_each(Job::answer_late);
        let (mut queue, _) = self
            .shared
            .ended
            .wait_timeout_while(self.shared.lock(), ENDING_TIME_MAX, |q| q.running > 0)
            .unwrap_or_else(PoisonError::into_inner);
        let threads = std::mem::take(&mut queue.threads);
        let have_ended = queue.running == 0;
        drop(queue);
        if have_ended {
            for thread in threads {
                // They catch panics, and one would have been reported where it was.
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Whatever panicked did not do so in the middle of a change: nothing in here can.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does.
    fn serve(&self) {
        while let Some(next) = self.next(true) {
            self.answer(next);
        }
        self.lock().running -= 1;
        self.ended.notify_all();
    }

    /// The same as long as there are jobs.
    fn relieve(&self) {
        while let Some(next) = self.next(false) {
            self.answer(next);
        }
        let mut queue = self.lock();
        queue.running -= 1;
        queue.has_relief = false;
        drop(queue);
        self.ended.notify_all();
    }

    fn answer(&self, (job, is_late): (Job, bool)) {
        if is_late {
            job.answer_late();
        } else {
            job.answer();
        }
        let mut queue = self.lock();
        queue.busy -= 1;
        queue.progress = Some(Instant::now());
    }

    /// The next job, and whether it is too late for it; waits if there is none and that is wanted. `None` for the end.
    fn next(&self, waits: bool) -> Option<(Job, bool)> {
        let mut queue = self.lock();
        let next = loop {
            if queue.is_closed {
                return None;
            }
            let now = Instant::now();
            let waiting = &mut queue.waiting;
            // The late ones only wait for somebody to say so.
            if let Some(job) = waiting.take_late(now) {
                break (job, true);
            }
            if let Some(next) = waiting.next(now) {
                break next;
            }
            if !waits {
                return None;
            }
            queue = self
                .arrived
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        };
        queue.busy += 1;
        if queue.busy == 1 {
            queue.progress = Some(Instant::now());
            queue.longest = Duration::ZERO;
        }
        queue.longest = queue.longest.max(next.0.takes);
        Some(next)
    }
}

/// Lets all others go first, from here on. What the system does not allow is left as it is: it only makes logins
/// more of a burden to others.
fn give_way(cpus: Option<&CpuSet>, nice: i32) {
    if let Some(cpus) = cpus {
        let _ = rustix::thread::sched_setaffinity(None, cpus);
    }
    // On Linux a thread has a priority of its own, and "no process" means the calling thread.
    let _ = rustix::process::setpriority_process(None, nice);
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("jobs", &self.waiting.len())
            .field("running", &self.running)
            .field("is_closed", &self.is_closed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
