//! The thread of one shard, from its birth to its end.
//!
//! Owns the steps of the handshake as the shard sees them, and the line that no panic crosses.
//!
//! ```text
//!   pin, set up the driver   --Built-->   all built? else abort
//!   build the service        --Ready-->   all ready? else abort
//!   run the loop             --Ended-->
//! ```

use std::any::Any;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crossbeam_channel::{Receiver, Sender};

use crate::driver::Driver;
use crate::driver::epoll::EpollDriver;
use crate::driver::uring::Executor;
use crate::placement;
use crate::run_loop::{Inbox, run_loop};
use crate::{DriverKind, Lanes, Service, ShardFailure, ShardId};

/// What a shard tells the thread that starts it.
#[derive(Debug)]
pub(crate) enum Report {
    /// The driver stands, or what it said; and what came of pinning.
    Built {
        driver: Result<(), String>,
        pin: io::Result<()>,
    },
    /// The service stands.
    Ready,
    /// The shard ended, by itself or by a failure. Its last word.
    Ended(Result<(), ShardFailure>),
}

/// All that a shard's thread starts with.
pub(crate) struct Birth<S: Service, F> {
    pub(crate) id: ShardId,
    pub(crate) kind: DriverKind,
    pub(crate) cpu: Option<usize>,
    pub(crate) may_spin: bool,
    pub(crate) inbox: Inbox<S::Control>,
    pub(crate) lanes: Lanes<S::Batch>,
    pub(crate) make: Arc<F>,
    pub(crate) reports: Sender<(ShardId, Report)>,
    /// One permission for each of the two steps after the first; closed means abort.
    pub(crate) permits: Receiver<()>,
    pub(crate) failures: Sender<ShardFailure>,
}

impl<S, F> Birth<S, F>
where
    S: Service,
    F: Fn(ShardId, Lanes<S::Batch>) -> S,
{
    /// The thread's body.
    pub(crate) fn live(self) {
        let id = self.id;
        let reports = self.reports.clone();
        let failures = self.failures.clone();
        // The driver's own panics are caught here; the service's further in, so that it is
        // dropped inside its executor.
        let end = catch_unwind(AssertUnwindSafe(|| self.build_and_run()))
            .unwrap_or_else(|panic| Err(panic_message(&*panic)))
            .map_err(|message| ShardFailure { shard: id, message });
        if let Err(failure) = &end {
            // Nobody listens any more: then nobody needs to know.
            let _ = failures.send(failure.clone());
        }
        let _ = reports.send((id, Report::Ended(end)));
    }

    fn build_and_run(self) -> Result<(), String> {
        let pin = self.cpu.map_or(Ok(()), placement::pin_this_thread);
        let wake = Arc::clone(&self.inbox.wake);
        match self.kind {
            DriverKind::Uring => {
                let Some(executor) = self.report_built(pin, Executor::new()) else {
                    return Ok(());
                };
                executor
                    .run(wake, |driver| self.run_service(driver))
                    .map_err(|error| error.to_string())?
            }
            DriverKind::Epoll => {
                let driver = EpollDriver::new(wake).map_err(|error| error.to_string());
                let Some(driver) = self.report_built(pin, driver) else {
                    return Ok(());
                };
                block_on_ready(self.run_service(driver))
            }
        }
    }

    /// Reports the first step and waits for leave to take the second.
    fn report_built<D>(&self, pin: io::Result<()>, built: Result<D, String>) -> Option<D> {
        let (driver, built) = match built {
            Ok(driver) => (Some(driver), Ok(())),
            Err(message) => (None, Err(message)),
        };
        let report = Report::Built { driver: built, pin };
        self.reports.send((self.id, report)).ok()?;
        self.permits.recv().ok()?;
        driver
    }

    /// Builds the service and runs its loop. A panic in either comes back as its message.
    async fn run_service<D: Driver>(self, driver: D) -> Result<(), String> {
        let life = async move {
            let service = (self.make)(self.id, self.lanes);
            let is_wanted =
                self.reports.send((self.id, Report::Ready)).is_ok() && self.permits.recv().is_ok();
            if is_wanted {
                run_loop(service, driver, self.inbox, self.may_spin).await
            } else {
                Ok(())
            }
        };
        match CatchPanic(Some(Box::pin(life))).await {
            Ok(end) => end.map_err(|error| format!("driver: {error}")),
            Err(panic) => Err(panic_message(&*panic)),
        }
    }
}

/// A future that ends with the panic instead of passing it on.
struct CatchPanic<F>(Option<Pin<Box<F>>>);

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(inner) = &mut self.0 else {
            unreachable!("polled after its end");
        };
        match catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => {
                // What the panic left half done is dropped now, and may panic once more; the
                // first message is the one worth telling.
                let inner = self.0.take();
                let _ = catch_unwind(AssertUnwindSafe(|| drop(inner)));
                Poll::Ready(Err(panic))
            }
        }
    }
}

/// Runs a future that never waits: on the epoll driver every wait is a system call.
fn block_on_ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the epoll driver does not suspend"),
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("no message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        let caught = block_on_ready(CatchPanic(Some(Box::pin(async { panic!("no {}", 7) }))));
        let panic: Box<dyn Any + Send> = match caught {
            Ok(()) => unreachable!("it panicked"),
            Err(panic) => panic,
        };
        assert_eq!(panic_message(&*panic), "panic: no 7");
        assert_eq!(panic_message(&"static"), "panic: static");
        assert_eq!(panic_message(&7_u8), "panic: no message");
    }

    #[test]
    fn an_output_comes_through() {
        let output = block_on_ready(CatchPanic(Some(Box::pin(async { 7 }))));
        assert_eq!(output.ok(), Some(7));
    }
}
