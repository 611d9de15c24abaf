//! The atomics and cells of what shards share, exchangeable for those of loom.
//!
//! Owns nothing. With `--cfg loom` the same rings, lanes and sleep protocol run on loom's versions,
//! which try every interleaving and every value a weak load may see (`models.rs`).

#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;
#[cfg(loom)]
pub(crate) use loom::sync::Arc;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::Arc;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

/// The standard cell with the interface of loom's, which watches how long a pointer is used.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Takes a flag down; false if it was down, or somebody else took it.
///
/// Orders nothing: fences do. Not a `swap`, which loom 0.7 lets read a value that is no longer the
/// latest (tokio-rs/loom#254), so that it reports lost wake-ups that cannot be.
pub(crate) fn take_flag(flag: &AtomicBool) -> bool {
    flag.compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed)
        .is_ok()
}

/// Alone on its cache lines. Two lines, because processors fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);
