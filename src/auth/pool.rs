//! Threads for hashes, beside the shards.
//!
//! Owns when a [`HashJob`] is done, and that each that was taken is answered once. The threads have the lowest
//! priority, so that a shard that has something to do does it first.
//!
//! The newest job comes first. As long as the threads keep up that is the only one there. If they do not, the oldest
//! would be served just before its client's time is up, and all work would be for clients that have gone.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gnatsd_core::auth::{Login, Refusal};
use rustix::thread::CpuSet;

use super::HashJob;

/// Jobs that wait. At the usual cost of 11 a thread does 10 in the second that a client may wait.
const JOBS_WAITING_MAX: usize = 1024;

/// CPUs for each thread. Even all of them busy leave most of the machine to what has the same priority elsewhere.
const CPUS_PER_THREAD: usize = 4;

/// Nice value of the threads: the lowest priority.
const NICE: i32 = 19;

/// A thread that has had a job for this long gets next to no time: the machine is busy with what goes first.
const STARVED_AFTER: Duration = Duration::from_millis(500);

/// Nice value of the thread that helps out then: about a quarter of what a shard gets. With the lowest priority alone
/// nobody could log in to a server that has no time to spare.
const NICE_OF_RELIEF: i32 = 5;

/// How long the end waits for hashes that have begun. One of cost 16 takes longer: it ends with the process.
const ENDING_TIME_MAX: Duration = Duration::from_secs(2);

/// There is no room for another job; what was submitted is gone, unanswered.
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
    /// In the order in which they came.
    jobs: VecDeque<Job>,
    /// All that were started.
    threads: Vec<JoinHandle<()>>,
    /// Those that have not ended.
    running: usize,
    /// Those that have a job.
    busy: usize,
    /// When a job was last done, or begun by a pool that had none.
    progress: Option<Instant>,
    /// One of them is there only until there is no job.
    has_relief: bool,
    is_closed: bool,
}

struct Job {
    work: Box<dyn FnOnce() -> Login + Send>,
    deadline: Instant,
    done: Box<dyn FnOnce(Login) + Send>,
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

    /// Leaves a job to the threads. They call `done` with what comes of it, once: if they get to it only after
    /// `deadline`, or the pool ends, with a late refusal and without the work. A job that panics is refused.
    ///
    /// `done` is called on one of the threads (or where the pool is dropped), and holds up other logins.
    ///
    /// # Errors
    /// Too many are waiting. `done` is not called then.
    pub fn submit(
        &self,
        job: HashJob,
        deadline: Instant,
        done: impl FnOnce(Login) + Send + 'static,
    ) -> Result<(), Full> {
        self.submit_work(move || job.run(), deadline, done)
    }

    fn submit_work(
        &self,
        work: impl FnOnce() -> Login + Send + 'static,
        deadline: Instant,
        done: impl FnOnce(Login) + Send + 'static,
    ) -> Result<(), Full> {
        let job = Job {
            work: Box::new(work),
            deadline,
            done: Box::new(done),
        };
        let mut queue = self.shared.lock();
        if queue.jobs.len() >= JOBS_WAITING_MAX {
            return Err(Full);
        }
        self.start_threads(&mut queue);
        self.start_relief(&mut queue);
        if queue.running == 0 {
            return Err(Full);
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.shared.arrived.notify_one();
        Ok(())
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
        let is_starved = queue.busy > 0
            && queue.busy == queue.running
            && queue
                .progress
                .is_some_and(|at| at.elapsed() >= STARVED_AFTER);
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

/// Ends the threads: hashes that have begun are finished, unless they take longer than two seconds, and other jobs
/// answered.
impl Drop for HashPool {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.is_closed = true;
        self.shared.arrived.notify_all();
        let (mut queue, _) = self
            .shared
            .ended
            .wait_timeout_while(queue, ENDING_TIME_MAX, |queue| queue.running > 0)
            .unwrap_or_else(PoisonError::into_inner);
        let jobs = std::mem::take(&mut queue.jobs);
        let threads = std::mem::take(&mut queue.threads);
        let have_ended = queue.running == 0;
        drop(queue);
        jobs.into_iter().for_each(Job::answer_late);
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
            let now = Instant::now();
            let is_closed = queue.is_closed;
            let is_late = |job: &Job| is_closed || job.deadline <= now;
            // The late ones are the oldest, and only wait for somebody to say so.
            if let Some(job) = queue.jobs.pop_front_if(|job| is_late(job)) {
                break (job, true);
            }
            if let Some(job) = queue.jobs.pop_back() {
                let is_late = is_late(&job);
                break (job, is_late);
            }
            if is_closed || !waits {
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
        }
        Some(next)
    }
}

impl Job {
    fn answer(self) {
        let login = catch_unwind(AssertUnwindSafe(self.work))
            .unwrap_or_else(|_| Login::Refused(Refusal::default()));
        tell(self.done, login);
    }

    fn answer_late(self) {
        let refusal = Refusal {
            detail: None,
            is_late: true,
        };
        tell(self.done, Login::Refused(refusal));
    }
}

/// Answers. If that panics there is nobody to tell, and other jobs wait.
fn tell(done: Box<dyn FnOnce(Login) + Send>, login: Login) {
    let _ = catch_unwind(AssertUnwindSafe(|| done(login)));
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
            .field("jobs", &self.jobs.len())
            .field("running", &self.running)
            .field("is_closed", &self.is_closed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
