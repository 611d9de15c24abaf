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

#[cfg(loom)]
pub(crate) use self::model::Signal;
#[cfg(not(loom))]
pub(crate) use self::system::Signal;
use crate::sync::{AtomicBool, Ordering, fence, take_flag};

/// The shared half of a shard's sleep. Aligned to its own cache lines, because every sender reads
/// the flag.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Wake {
    asleep: AtomicBool,
    signal: Signal,
}

impl Wake {
    /// An awake shard.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            asleep: AtomicBool::new(false),
            signal: Signal::new()?,
        })
    }

    /// What ends a park when somebody wakes this shard.
    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
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

    /// Whether the shard sleeps, and nobody has taken the flag since it
    /// [announced](Self::announce) that.
    #[inline]
    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }

    /// Sender: wakes the shard if it sleeps. Call after the work is visible.
    pub(crate) fn wake(&self) {
        fence(Ordering::SeqCst);
        self.wake_after_fence();
    }

    /// Sender: as [`wake`](Self::wake) for who has fenced already, for several shards at once.
    pub(crate) fn wake_after_fence(&self) {
        // Load first: a store to a line that every sender reads would cost them all a miss.
        if self.is_asleep() && take_flag(&self.asleep) {
            self.signal.raise();
        }
    }
}

#[cfg(not(loom))]
mod system {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::event::{EventfdFlags, eventfd};

    /// An eventfd, which the drivers watch.
    #[derive(Debug)]
    pub(crate) struct Signal(OwnedFd);

    impl Signal {
        pub(super) fn new() -> io::Result<Self> {
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map(Self)
                .map_err(io::Error::from)
        }

        /// The descriptor that is readable while raised.
        pub(crate) fn fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }

        /// Makes it unreadable again. Says whether it was raised.
        pub(crate) fn drain(&self) -> bool {
            // WouldBlock means there was nothing to drain. No other error is possible on an
            // eventfd that is open.
            rustix::io::read(&self.0, &mut [0_u8; 8]).is_ok()
        }

        pub(super) fn raise(&self) {
            // WouldBlock would mean 2^64 - 2 wakes are pending: then it is awake anyway.
            let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        }
    }
}

#[cfg(loom)]
mod model {
    use std::io;

    use loom::sync::Notify;

    /// Stands for the eventfd and for the driver that waits for it.
    #[derive(Debug)]
    pub(crate) struct Signal(Notify);

    impl Signal {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(Notify::new()))
        }

        /// Waits until raised, and takes it back; or wakes for nothing, as for a socket.
        pub(crate) fn wait(&self) {
            self.0.wait();
        }

        pub(super) fn raise(&self) {
            self.0.notify();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn is_raised(wake: &Wake) -> bool {
        wake.signal().drain()
    }

    #[test]
    fn only_a_sleeper_is_written_to_and_only_once() {
        let wake = Wake::new().unwrap();
        wake.wake();
        assert!(!is_raised(&wake));

        wake.announce();
        assert!(wake.is_asleep());
        wake.wake();
        assert!(!wake.is_asleep());
        assert!(is_raised(&wake));
        wake.wake();
        assert!(!is_raised(&wake));
    }

    #[test]
    fn a_retracted_sleep_needs_no_wake() {
        let wake = Wake::new().unwrap();
        wake.announce();
        wake.retract();
        wake.wake();
        assert!(!is_raised(&wake));
    }
}
