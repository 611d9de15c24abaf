//! Wakers that carry a slot instead of a pointer.
//!
//! glommio tells of a completed poll by calling a `Waker`. One allocation per armed poll for that
//! would cost more than the slot itself, so the slot's index, generation and direction are packed
//! into the waker's data word, and "wake" puts that word on a list of the thread it is called on.
//! glommio calls it on the executor's thread, so the list needs no lock.
//!
//! ```text
//!   bit 63        62 ............ 32   31 .......... 0
//!   direction     generation           index of the slot, or u32::MAX for a flag
//! ```

use std::cell::{Cell, RefCell};
use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::Direction;
use super::slab::GENERATION_MASK;
use crate::Token;

const _: () = assert!(
    usize::BITS == 64,
    "a slot is packed into one pointer-sized word"
);

const INDEX_BITS: u32 = 32;
const WRITE_BIT: usize = 1 << 63;
/// No socket has this index, so it marks a [`Flag`].
const FLAG_INDEX: u32 = u32::MAX;

/// A thing to wait for that is not a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// The shard's wake eventfd.
    Signal = 0,
    /// The eventfd that is always readable.
    Tick = 1,
    /// The timer of the earliest deadline.
    Timer = 2,
}

const FLAGS: [Flag; 3] = [Flag::Signal, Flag::Tick, Flag::Timer];

/// A socket's direction that became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wakeup {
    pub(super) token: Token,
    pub(super) generation: u32,
    pub(super) direction: Direction,
}

impl Wakeup {
    /// A waker that reports this.
    pub(super) fn waker(self) -> Waker {
        let direction = match self.direction {
            Direction::Read => 0,
            Direction::Write => WRITE_BIT,
        };
        let generation = (self.generation & GENERATION_MASK) as usize;
        debug_assert_ne!(
            self.token.0, FLAG_INDEX,
            "no socket has the index of the flags"
        );
        waker(direction | (generation << INDEX_BITS) | self.token.index())
    }
}

impl Flag {
    /// A waker that raises this flag.
    pub(super) fn waker(self) -> Waker {
        waker(((self as usize) << INDEX_BITS) | FLAG_INDEX as usize)
    }
}

/// What wakers have reported on this thread.
#[derive(Debug)]
struct Reports {
    ready: RefCell<Vec<Wakeup>>,
    flags: [Cell<bool>; 3],
    /// The shard's loop, while it waits.
    sleeper: RefCell<Option<Waker>>,
}

thread_local! {
    static REPORTS: Reports = const {
        Reports {
            ready: RefCell::new(Vec::new()),
            flags: [const { Cell::new(false) }; 3],
            sleeper: RefCell::new(None),
        }
    };
}

/// Whether a socket's direction was reported.
pub(super) fn has_ready() -> bool {
    REPORTS.with(|reports| !reports.ready.borrow().is_empty())
}

/// Exchanges the list of reports for `list`, which must be empty.
pub(super) fn swap_ready(list: &mut Vec<Wakeup>) {
    debug_assert!(list.is_empty(), "reports would come in twice");
    REPORTS.with(|reports| std::mem::swap(list, &mut reports.ready.borrow_mut()));
}

/// Lowers a flag and says whether it was up.
pub(super) fn take_flag(flag: Flag) -> bool {
    REPORTS.with(|reports| reports.flags[flag as usize].take())
}

/// The next report wakes this one.
pub(super) fn set_sleeper(waker: &Waker) {
    REPORTS.with(|reports| match &mut *reports.sleeper.borrow_mut() {
        Some(known) => known.clone_from(waker),
        none => *none = Some(waker.clone()),
    });
}

/// Forgets everything, for an executor that comes or goes.
pub(super) fn reset() {
    REPORTS.with(|reports| {
        reports.ready.take();
        reports.sleeper.take();
        for flag in &reports.flags {
            flag.set(false);
        }
    });
}

fn report(word: usize) {
    let index = (word & FLAG_INDEX as usize) as u32;
    let generation = (word >> INDEX_BITS) as u32 & GENERATION_MASK;
    // `try_with`: an executor that is dropped while its thread ends may still report.
    let _ = REPORTS.try_with(|reports| {
        if index == FLAG_INDEX {
            reports.flags[FLAGS[generation as usize] as usize].set(true);
        } else {
            reports.ready.borrow_mut().push(Wakeup {
                token: Token(index),
                generation,
                direction: if word & WRITE_BIT == 0 {
                    Direction::Read
                } else {
                    Direction::Write
                },
            });
        }
        let sleeper = reports.sleeper.take();
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    });
}

const VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| RawWaker::new(data, &VTABLE),
    |data| report(data.addr()),
    |data| report(data.addr()),
    |_| {},
);

fn waker(word: usize) -> Waker {
    let data = ptr::without_provenance(word);
    // SAFETY: the contract of `RawWaker` holds for every word: no function of the vtable
    // dereferences the data, cloning copies it, there is nothing to drop, and what they touch is
    // local to the calling thread, so they may be called on any.
    unsafe { Waker::new(data, &VTABLE) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[test]
    fn words_survive_the_packing() {
        reset();
        let table = [
            (0, 0, Direction::Read),
            (u32::MAX - 1, GENERATION_MASK, Direction::Write),
            (17, 1, Direction::Write),
            (18, GENERATION_MASK, Direction::Read),
        ];
        let wanted = table.map(|(index, generation, direction)| Wakeup {
            token: Token(index),
            generation,
            direction,
        });
        for wakeup in wanted {
            wakeup.waker().clone().wake_by_ref();
        }
        assert!(has_ready());
        let mut seen = Vec::new();
        swap_ready(&mut seen);
        assert_eq!(seen, wanted);
        assert!(!has_ready());
        for flag in FLAGS {
            assert!(!take_flag(flag));
        }
    }

    #[test]
    fn flags_are_raised_and_lowered_one_by_one() {
        reset();
        for flag in FLAGS {
            flag.waker().wake();
            for other in FLAGS {
                assert_eq!(take_flag(other), other == flag);
            }
        }
        assert!(!has_ready());
    }

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_sleeper_is_woken_once_for_many_reports() {
        reset();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        set_sleeper(&Arc::clone(&count).into());
        Flag::Signal.waker().wake();
        Flag::Tick.waker().wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        reset();
    }

    #[test]
    fn another_thread_reports_to_itself() {
        reset();
        let waker = Flag::Signal.waker();
        std::thread::spawn(move || waker.wake()).join().unwrap();
        assert!(!take_flag(Flag::Signal));
    }
}
