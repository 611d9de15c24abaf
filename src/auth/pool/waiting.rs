//! The jobs that wait, and which of them is next.
//!
//! Owns the order and the bounds; knows no threads. Addresses take turns: whoever floods the server with logins
//! delays those from its own address, and others by one hash. Within one address the newest is first. As long as the
//! threads keep up that is the only one there. If they do not, the oldest would be served just before its client's
//! time is up, and all work would be for clients that have gone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use gnatsd_core::auth::{Login, Refusal};

use super::{Full, Presence};

/// Jobs that wait, of clients that do. At the usual cost of 11 a thread does 10 in the second that a client may wait.
pub(super) const JOBS_WAITING_MAX: usize = 1024;

/// Jobs that wait for one address: three times what a thread does for it alone in the 2 s that clients wait.
pub(super) const JOBS_PER_ADDRESS_MAX: usize = 64;

/// Jobs of clients that send no more.
pub(super) const JOBS_LEAVING_MAX: usize = 64;

/// Turns after which it is forgotten who had them: more than the addresses that can wait.
const TURNS_REMEMBERED: u64 = JOBS_WAITING_MAX as u64;

/// Addresses that are known before those are forgotten whose turn is long past.
const SHARES_MAX: usize = 3 * JOBS_WAITING_MAX;

/// A job that waits, and what it is for.
pub(super) struct Job {
    pub(super) work: Box<dyn FnOnce() -> Login + Send>,
    /// CPU time of the work, about.
    pub(super) takes: Duration,
    pub(super) deadline: Instant,
    /// Where its client is.
    pub(super) ip: IpAddr,
    pub(super) presence: Box<dyn Fn() -> Presence + Send>,
    pub(super) done: Box<dyn FnOnce(Login) + Send>,
}

/// All jobs that wait.
#[derive(Default)]
pub(super) struct Waiting {
    /// By arrival.
    jobs: BTreeMap<u64, Job>,
    /// Those of clients that send no more, by arrival. They are done when nobody else waits.
    leaving: BTreeMap<u64, Job>,
    /// The number of the last that came.
    arrivals: u64,
    shares: HashMap<IpAddr, Share>,
    /// The number of the last turn.
    turns: u64,
}

/// What is known of one address.
#[derive(Default)]
struct Share {
    /// Its entries in `jobs`, oldest first.
    jobs: VecDeque<u64>,
    /// When it last had its turn; 0 for never, or not for long.
    turn: u64,
}

impl Waiting {
    /// Jobs of clients that wait.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Adds a job. Those that have to make room for it are put into `out`, and are to be answered: of clients that
    /// have gone, or the oldest of the address that has most.
    ///
    /// If its address has as many as it may, asks whether their clients are there: a system call for each.
    ///
    /// # Errors
    /// There is no room for another of this address, or at all.
    pub(super) fn push(&mut self, job: Job, out: &mut Vec<Job>) -> Result<(), Full> {
        let address = neighbourhood(job.ip);
        if self.waiting_of(address) >= JOBS_PER_ADDRESS_MAX {
            self.clear(address, out);
        }
        let own = self.waiting_of(address);
        if own >= JOBS_PER_ADDRESS_MAX {
            return Err(Full);
        }
        if self.jobs.len() >= JOBS_WAITING_MAX {
            out.push(self.take_of_largest(own + 1).ok_or(Full)?);
        }
        if self.shares.len() >= SHARES_MAX {
            let long_past = self.turns.saturating_sub(TURNS_REMEMBERED);
            self.shares
                .retain(|_, share| !share.jobs.is_empty() || share.turn > long_past);
        }
        self.arrivals += 1;
        let share = self.shares.entry(address).or_default();
        share.jobs.push_back(self.arrivals);
        self.jobs.insert(self.arrivals, job);
        Ok(())
    }

    /// The oldest job whose deadline has passed. Deadlines are taken to come in the order of arrival.
    pub(super) fn take_late(&mut self, now: Instant) -> Option<Job> {
        if let Some(first) = self.leaving.first_entry()
            && first.get().deadline <= now
        {
            return Some(first.remove());
        }
        let first = self.jobs.first_entry()?;
        if first.get().deadline > now {
            return None;
        }
        let (number, job) = first.remove_entry();
        if let Some(share) = self.shares.get_mut(&neighbourhood(job.ip)) {
            share.jobs.retain(|&n| n != number);
        }
        Some(job)
    }

    /// The next job, and whether it is to be answered as late: because it is, or because its client has gone.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Job, bool)> {
        while let Some((number, job)) = self.take_next() {
            if job.deadline <= now {
                return Some((job, true));
            }
            match job.presence() {
                Presence::There => {
                    self.note_turn(&job);
                    return Some((job, false));
                }
                Presence::Gone => return Some((job, true)),
                Presence::Leaving => {
                    if let Some(oldest) = self.set_aside(number, job) {
                        return Some((oldest, true));
                    }
                }
            }
        }
        let (_, job) = self.leaving.pop_last()?;
        let is_late = job.deadline <= now || job.presence() == Presence::Gone;
        if !is_late {
            self.note_turn(&job);
        }
        Some((job, is_late))
    }

    /// All that is left.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Job> + use<> {
        self.shares.clear();
        let leaving = std::mem::take(&mut self.leaving);
        let jobs = std::mem::take(&mut self.jobs);
        leaving.into_values().chain(jobs.into_values())
    }

    fn waiting_of(&self, address: IpAddr) -> usize {
        self.shares.get(&address).map_or(0, |s| s.jobs.len())
    }

    /// The newest job of the address whose turn it is; among those that had none, of the one that came last.
    fn take_next(&mut self) -> Option<(u64, Job)> {
        let by_turn = |share: &&mut Share| (share.turn, Reverse(share.jobs.back().copied()));
        let share = self
            .shares
            .values_mut()
            .filter(|share| !share.jobs.is_empty())
            .min_by_key(by_turn)?;
        self.jobs.remove_entry(&share.jobs.pop_back()?)
    }

    fn note_turn(&mut self, job: &Job) {
        self.turns += 1;
        self.shares.entry(neighbourhood(job.ip)).or_default().turn = self.turns;
    }

    /// Keeps a job for when nobody else waits; gives back the oldest of these if they are too many.
    fn set_aside(&mut self, number: u64, job: Job) -> Option<Job> {
        self.leaving.insert(number, job);
        if self.leaving.len() <= JOBS_LEAVING_MAX {
            return None;
        }
        self.leaving.pop_first().map(|(_, job)| job)
    }

    /// Takes the jobs of clients that are not there any more out of what waits for an address.
    fn clear(&mut self, address: IpAddr, out: &mut Vec<Job>) {
        let Some(share) = self.shares.get_mut(&address) else {
            return;
        };
        for number in std::mem::take(&mut share.jobs) {
            let Some(job) = self.jobs.get(&number) else {
                continue;
            };
            match job.presence() {
                Presence::There => {
                    if let Some(share) = self.shares.get_mut(&address) {
                        share.jobs.push_back(number);
                    }
                }
                Presence::Gone => out.extend(self.jobs.remove(&number)),
                Presence::Leaving => {
                    if let Some(job) = self.jobs.remove(&number) {
                        out.extend(self.set_aside(number, job));
                    }
                }
            }
        }
    }

    /// The oldest job of the address that has most, if that is more than `least`.
    fn take_of_largest(&mut self, least: usize) -> Option<Job> {
        let share = self.shares.values_mut().max_by_key(|s| s.jobs.len())?;
        if share.jobs.len() <= least {
            return None;
        }
        self.jobs.remove(&share.jobs.pop_front()?)
    }
}

impl Job {
    /// Does it and answers. One that panics is refused.
    pub(super) fn answer(self) {
        let Job {
            work,
            presence,
            done,
            ..
        } = self;
        // It may hold a descriptor, and the work may take long.
        drop(presence);
        let login = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Login::Refused(Refusal::default()));
        tell(done, login);
    }

    /// Answers without the work.
    pub(super) fn answer_late(self) {
        let refusal = Refusal {
            detail: None,
            is_late: true,
        };
        tell(self.done, Login::Refused(refusal));
    }

    fn presence(&self) -> Presence {
        catch_unwind(AssertUnwindSafe(&self.presence)).unwrap_or(Presence::There)
    }
}

/// Answers. If that panics there is nobody to tell, and other jobs wait.
fn tell(done: Box<dyn FnOnce(Login) + Send>, login: Login) {
    let _ = catch_unwind(AssertUnwindSafe(|| done(login)));
}

/// The address whose share it is. Whoever has one IPv6 address has the other 2^64 of its network as well.
fn neighbourhood(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests;
