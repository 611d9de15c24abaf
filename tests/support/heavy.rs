//! One heavy test at a time: those that measure time or memory under load would measure each other.

use std::sync::{Mutex, MutexGuard, PoisonError};

static HEAVY: Mutex<()> = Mutex::new(());

/// Waits for all other heavy tests of this binary. Hold the result until the test has ended.
pub(crate) fn heavy() -> MutexGuard<'static, ()> {
    // The lock guards no data: a test that failed leaves nothing behind it.
    HEAVY.lock().unwrap_or_else(PoisonError::into_inner)
}
