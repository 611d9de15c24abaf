//! The io_uring driver: one-shot polls kept armed in a glommio executor.
//!
//! The only file that imports glommio. Owns the executor, the poll states and the timer. Knows no
//! service.
//!
//! Facts of glommio-ng 0.12 this file leans on:
//! - A `PollState` holds one poll in the kernel; its completion calls the waker it was polled with,
//!   on the executor's thread. Dropping it cancels the poll, and the cancelled poll calls the waker,
//!   too: hence generations.
//! - Polling an armed state again adds a waker, so each is polled once.
//! - The executor looks at I/O only when its tasks wait. Our one task therefore waits for an
//!   eventfd that is always readable when it wants to go on (`turn`).
//! - A `Timer` that is polled again registers again and does not take the old registration back,
//!   and registering is not cheap; so one timer is kept and replaced only by an earlier one.

use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use glommio::io::{PollState, PollableFd};
use glommio::timer::Timer;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::recent::{RECENT_MAX, Recents, WAIT_MAX};
use super::slab::Slab;
use super::waker::{self, Flag, Wakeup};
use super::{Direction, Driver, Woken};
use crate::wake::Wake;
use crate::{Ready, Token};

/// Memory that an executor registers with the kernel, in bytes. The smallest that glommio takes:
/// it is for files, which we do not read.
const IO_MEMORY_BYTES: usize = 64 * 1024;

/// Submissions per system call. A burst of 4000 ready polls loses nothing even at 16.
const RING_DEPTH: usize = 128;

/// After this time glommio wants the task that runs to make way for others. There are no others, and the
/// wish does harm: if it comes up after the reactor has woken the shard's task and before that has run,
/// which takes a thread that is off its CPU for as long, glommio 0.12 believes that it ran out of tasks,
/// and sleeps until the next completion (`run_task_queues` answers false though a queue is active). Seen
/// with more shards than CPUs; found by the flood in `tests/lanes.rs`.
const PREEMPT_TIMER: Duration = Duration::from_secs(24 * 3600);

/// Longest stay in the reactor when there is more to do. A hundred completions at once that wake nobody
/// can still bring up the wish described at [`PREEMPT_TIMER`].
const TURN_LIMIT: Duration = Duration::from_millis(10);

/// An executor that does not run yet, with all the descriptors that its driver will need: so that
/// too few of them show in [`new`](Self::new), where another driver can still be taken.
#[derive(Debug)]
pub(crate) struct Executor {
    executor: LocalExecutor,
    always_readable: OwnedFd,
}

impl Executor {
    /// Sets up the rings of this thread's executor.
    ///
    /// Placement is `Unbound` because the thread has been pinned already, where that was wanted.
    /// The stall detector stays off: it would take SIGUSR1.
    ///
    /// # Errors
    /// What glommio says, as text.
    pub(crate) fn new() -> Result<Self, String> {
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .io_memory(IO_MEMORY_BYTES)
            .ring_depth(RING_DEPTH)
            .preempt_timer(PREEMPT_TIMER)
            .make()
            .map_err(|error| error.to_string())?;
        let always_readable = eventfd(1, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| format!("eventfd: {error}"))?;
        Ok(Self {
            executor,
            always_readable,
        })
    }

    /// Runs what `body` makes of a driver to its end.
    ///
    /// # Errors
    /// What glommio says when it does not take a descriptor.
    pub(crate) fn run<F: Future>(
        self,
        wake: Arc<Wake>,
        body: impl FnOnce(UringDriver) -> F,
    ) -> io::Result<F::Output> {
        waker::reset();
        let output = self.executor.run(async move {
            match UringDriver::new(wake, self.always_readable) {
                Ok(driver) => Ok(body(driver).await),
                Err(error) => Err(error),
            }
        });
        waker::reset();
        output
    }
}

/// A descriptor and its one poll for reading.
#[derive(Debug)]
struct Watch<T: AsRawFd> {
    pollable: PollableFd<T>,
    state: PollState,
    armed: bool,
    flag: Flag,
}

impl<T: AsRawFd> Watch<T> {
    fn new(source: T, flag: Flag) -> io::Result<Self> {
        Ok(Self {
            pollable: PollableFd::new(source).map_err(io::Error::from)?,
            state: PollState::new(),
            armed: false,
            flag,
        })
    }

    fn arm(&mut self) {
        if !self.armed {
            self.armed = true;
            let waker = self.flag.waker();
            let mut context = Context::from_waker(&waker);
            if self
                .pollable
                .poll_readable(&mut context, &mut self.state)
                .is_ready()
            {
                waker.wake();
            }
        }
    }

    /// Whether the descriptor was readable since the last time; if so the poll is spent.
    fn take(&mut self) -> bool {
        let raised = waker::take_flag(self.flag);
        if raised {
            self.state = PollState::new();
            self.armed = false;
        }
        raised
    }
}

/// The wake eventfd, by way of the `Arc` that keeps it open.
#[derive(Debug)]
struct WakeFd(Arc<Wake>);

impl AsRawFd for WakeFd {
    fn as_raw_fd(&self) -> RawFd {
        AsFd::as_fd(self).as_raw_fd()
    }
}

impl AsFd for WakeFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.signal().fd()
    }
}

#[derive(Debug)]
struct Slot {
    // The order of the fields is the order of the drop: polls are cancelled before the clone of
    // the stream goes.
    read: PollState,
    write: PollState,
    read_armed: bool,
    write_armed: bool,
    pollable: PollableFd<Rc<TcpStream>>,
}

/// Readiness through polls kept armed in an io_uring.
#[derive(Debug)]
pub(crate) struct UringDriver {
    slots: Slab<Slot>,
    signal: Watch<WakeFd>,
    tick: Watch<OwnedFd>,
    timer: Option<(Timer, Instant)>,
    /// Emptied by every `take_ready`; kept for its memory.
    wakeups: Vec<Wakeup>,
    recents: Recents,
    /// Sockets found ready without the reactor, with their generations.
    direct: Vec<(Token, u32)>,
}

impl UringDriver {
    fn new(wake: Arc<Wake>, always_readable: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            slots: Slab::new(),
            signal: Watch::new(WakeFd(wake), Flag::Signal)?,
            tick: Watch::new(always_readable, Flag::Tick)?,
            timer: None,
            wakeups: Vec::new(),
            recents: Recents::new(Instant::now()),
            direct: Vec::with_capacity(RECENT_MAX),
        })
    }

    fn arm(&mut self, token: Token, direction: Direction) {
        let generation = self.slots.generation(token);
        let Some(slot) = self.slots.get_mut(token) else {
            return;
        };
        let armed = match direction {
            Direction::Read => &mut slot.read_armed,
            Direction::Write => &mut slot.write_armed,
        };
        if *armed {
            return;
        }
        *armed = true;
        let waker = Wakeup {
            token,
            generation,
            direction,
        }
        .waker();
        let mut context = Context::from_waker(&waker);
        let polled = match direction {
            Direction::Read => slot.pollable.poll_readable(&mut context, &mut slot.read),
            Direction::Write => slot.pollable.poll_writable(&mut context, &mut slot.write),
        };
        // A fresh poll is pending. Should glommio ever answer at once, an error included, the
        // service finds out by trying.
        if polled.is_ready() {
            waker.wake();
        }
    }

    /// The reactor is about to be entered: arms what was put off until then.
    fn arm_deferred(&mut self, now: Instant) {
        for token in self.recents.pass(now) {
            self.arm(token, Direction::Read);
        }
    }

    /// Waits a little for the sockets that were ready last, and for the eventfd. `None` if the reactor must be
    /// entered after all.
    fn wait_for_recents(&mut self, until: Instant) -> io::Result<Option<Woken>> {
        if !self.direct.is_empty() {
            return Ok(Some(Woken::Ready));
        }
        let now = Instant::now();
        if waker::has_ready() || until <= now || !self.recents.is_worth_it(now) {
            return Ok(None);
        }
        let signal = self.signal.pollable.get_ref();
        let mut watched: [PollFd<'_>; RECENT_MAX + 1] =
            std::array::from_fn(|_| PollFd::new(signal, PollFlags::IN));
        let mut sockets = [(Token(0), 0); RECENT_MAX];
        let mut count = 0;
        for recent in self.recents.wanted() {
            if let Some(slot) = self.slots.current(recent.token, recent.generation) {
                watched[count] = PollFd::new(slot.pollable.get_ref().as_ref(), PollFlags::IN);
                sockets[count] = (recent.token, recent.generation);
                count += 1;
            }
        }
        // The eventfd is the last.
        let watched = &mut watched[..=count];
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: (until - now).min(WAIT_MAX).subsec_nanos().into(),
        };
        match poll(watched, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |at: usize| !watched[at].revents().is_empty();
        let has_signal = is_ready(count);
        for (at, socket) in sockets[..count].iter().enumerate() {
            if is_ready(at) {
                self.direct.push(*socket);
                self.recents.tell(socket.0);
            }
        }
        if has_signal {
            self.signal.pollable.get_ref().0.signal().drain();
        }
        let has_paid = has_signal || !self.direct.is_empty();
        self.recents.count(has_paid);
        Ok(if has_signal {
            Some(Woken::Signal)
        } else {
            has_paid.then_some(Woken::Ready)
        })
    }

    /// Whether the timer has reported since the last time; if so it is spent.
    fn take_timer(&mut self) -> bool {
        let has_fired = waker::take_flag(Flag::Timer);
        if has_fired {
            self.timer = None;
        }
        has_fired
    }

    /// Makes sure that something reports at `until` or before.
    fn arm_timer(&mut self, until: Instant, now: Instant) {
        self.take_timer();
        if self.timer.as_ref().is_some_and(|(_, at)| *at <= until) {
            return;
        }
        let mut timer = Timer::new(until.saturating_duration_since(now));
        let waker = Flag::Timer.waker();
        if Pin::new(&mut timer)
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
        {
            waker.wake();
        }
        self.timer = Some((timer, until));
    }

    fn poll_park(&mut self, context: &mut Context<'_>, until: Instant) -> Poll<Woken> {
        if self.signal.take() {
            self.signal.pollable.get_ref().0.signal().drain();
            return Poll::Ready(Woken::Signal);
        }
        if waker::has_ready() {
            return Poll::Ready(Woken::Ready);
        }
        let now = Instant::now();
        if now >= until {
            return Poll::Ready(Woken::Deadline);
        }
        self.take_timer();
        self.signal.arm();
        self.arm_timer(until, now);
        waker::set_sleeper(context.waker());
        Poll::Pending
    }
}

impl Driver for UringDriver {
    fn attach(&mut self, stream: Rc<TcpStream>) -> io::Result<Token> {
        self.slots.try_insert(|_, _| {
            Ok(Slot {
                read: PollState::new(),
                write: PollState::new(),
                read_armed: false,
                write_armed: false,
                pollable: PollableFd::new(stream).map_err(io::Error::from)?,
            })
        })
    }

    fn detach(&mut self, token: Token) {
        self.recents.want_pass();
        self.slots.remove(token);
    }

    fn arm_read(&mut self, token: Token) {
        let generation = self.slots.generation(token);
        if !self.recents.defer(token, generation) {
            self.arm(token, Direction::Read);
        }
    }

    fn arm_write(&mut self, token: Token) {
        self.recents.want_pass();
        self.arm(token, Direction::Write);
    }

    fn take_ready(&mut self, out: &mut Vec<Ready>) {
        for (token, generation) in self.direct.drain(..) {
            if self.slots.get_current(token, generation).is_some() {
                out.push(Ready::one(token, Direction::Read));
            }
        }
        waker::swap_ready(&mut self.wakeups);
        let mut wakeups = std::mem::take(&mut self.wakeups);
        for Wakeup {
            token,
            generation,
            direction,
        } in wakeups.drain(..)
        {
            let Some(slot) = self.slots.get_current(token, generation) else {
                continue;
            };
            match direction {
                Direction::Read => {
                    slot.read = PollState::new();
                    slot.read_armed = false;
                    let (is_news, evicted) = self.recents.note(token, generation);
                    if let Some(evicted) = evicted {
                        self.recents.want_pass();
                        self.arm(evicted, Direction::Read);
                    }
                    if !is_news {
                        continue;
                    }
                }
                Direction::Write => {
                    slot.write = PollState::new();
                    slot.write_armed = false;
                }
            }
            out.push(Ready::one(token, direction));
        }
        self.wakeups = wakeups;
    }

    fn has_ready(&self) -> bool {
        waker::has_ready() || !self.direct.is_empty()
    }

    async fn turn(&mut self) -> io::Result<()> {
        let now = Instant::now();
        self.arm_deferred(now);
        self.arm_timer(now + TURN_LIMIT, now);
        // Armed after everything else, so completed after everything that is ready now.
        poll_fn(|context| {
            if self.tick.take() || self.take_timer() {
                return Poll::Ready(());
            }
            self.tick.arm();
            waker::set_sleeper(context.waker());
            Poll::Pending
        })
        .await;
        // Left up it would end the next park for nothing. The service takes control messages
        // after this anyway.
        if self.signal.take() {
            self.signal.pollable.get_ref().0.signal().drain();
        }
        Ok(())
    }

    async fn park(&mut self, until: Instant) -> io::Result<Woken> {
        if let Some(woken) = self.wait_for_recents(until)? {
            return Ok(woken);
        }
        self.arm_deferred(Instant::now());
        Ok(poll_fn(|context| self.poll_park(context, until)).await)
    }

    async fn close(mut self) -> io::Result<()> {
        for token in self.slots.tokens() {
            self.slots.remove(token);
        }
        // The executor submits the cancellations on its way round, and sockets really close.
        self.turn().await
    }
}
