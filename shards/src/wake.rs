//! Sleep and wake of one shard: an eventfd and a flag that says somebody is asleep.
//!
//! Owns the order of steps that makes a lost wake-up impossible. Knows no driver: that the
//! eventfd ends a park is the driver's business.
//!
//! ```text
//!   sleeper                          sender
//!   asleep = true                    put work in
//!   fence(SeqCst)                    fence(SeqCst)
//!   look for work, none: park        asleep ? take the flag, write the eventfd
//! ```
//! Of two fences one comes first. If the sleeper's does, the sender sees the flag; if the
//! sender's does, the sleeper sees the work. The flag is *taken* by the one who writes, so a
//! sleep costs one write however many send.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

use rustix::event::{EventfdFlags, eventfd};

/// The shared half of a shard's sleep. Aligned to its own cache lines, because every sender reads
/// the flag.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Wake {
    asleep: AtomicBool,
    eventfd: OwnedFd,
}

impl Wake {
    /// An awake shard.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            asleep: AtomicBool::new(false),
            eventfd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// The descriptor that becomes readable when somebody wakes this shard.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }

    /// Sleeper: says that it is going to sleep. Look for work after this, not before.
    pub(crate) fn announce(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Sleeper: is up again.
    pub(crate) fn retract(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Sleeper: whether nobody has taken the flag since [`announce`](Self::announce).
    pub(crate) fn is_unclaimed(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }

    /// Sleeper: makes the eventfd unreadable again.
    pub(crate) fn drain(&self) {
        // WouldBlock means there was nothing to drain. No other error is possible on an eventfd
        // that is open.
        let _ = rustix::io::read(&self.eventfd, &mut [0_u8; 8]);
    }

    /// Sender: wakes the shard if it sleeps. Call after the work is visible.
    pub(crate) fn wake(&self) {
        fence(Ordering::SeqCst);
        self.wake_after_fence();
    }

    /// Sender: as [`wake`](Self::wake) for who has fenced already, for several shards at once.
    pub(crate) fn wake_after_fence(&self) {
        // Load first: a store to a line that every sender reads would cost them all a miss.
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            // WouldBlock would mean 2^64 - 2 wakes are pending: then it is awake anyway.
            let _ = rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(wake: &Wake) -> bool {
        rustix::io::read(wake.fd(), &mut [0_u8; 8]).is_ok()
    }

    #[test]
    fn only_a_sleeper_is_written_to_and_only_once() {
        let wake = Wake::new().unwrap();
        wake.wake();
        assert!(!is_readable(&wake));

        wake.announce();
        assert!(wake.is_unclaimed());
        wake.wake();
        assert!(!wake.is_unclaimed());
        wake.drain();
        wake.wake();
        assert!(!is_readable(&wake));
    }

    #[test]
    fn a_retracted_sleep_needs_no_wake() {
        let wake = Wake::new().unwrap();
        wake.announce();
        wake.retract();
        wake.wake();
        assert!(!is_readable(&wake));
    }
}
