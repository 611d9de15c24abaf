//! The loop of a shard: control messages, the service's turn, then I/O or sleep.
//!
//! Owns the order of these, the sleep protocol and the heartbeat that checks it. The same code on
//! both drivers. Knows no thread.

use std::hint;
use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::driver::{Driver, Woken};
use crate::spin::{self, Estimate};
use crate::wake::Wake;
use crate::{Io, LONG_TURN, LoopStats, Next, Ready, Service, Token};

/// Control messages taken before each turn of the service. Bounds the delay that a flood of them
/// puts on sockets.
const CONTROL_PER_TURN: usize = 256;

/// Longest sleep. Nothing depends on it; what it finds undone is a bug and is counted.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long work found by the heartbeat may still be announced by its sender, who may have been
/// stopped by the scheduler between putting it in and looking at the flag.
const CLAIM_GRACE: Duration = Duration::from_millis(100);

/// How often the driver is looked at while waiting awake. Other work shows without a system call
/// and is looked at all the time.
const LOOK: Duration = Duration::from_micros(5);

/// Looks at other work between two looks at the clock.
const CHECKS_PER_CLOCK: u32 = 16;

/// Control messages of one shard and the flag that goes with them.
#[derive(Debug)]
pub(crate) struct Inbox<C> {
    pub(crate) control: Receiver<C>,
    pub(crate) wake: Arc<Wake>,
}

/// What a service sees of its shard.
#[derive(Debug)]
struct ShardIo<D> {
    driver: D,
    now: Instant,
    stats: LoopStats,
    estimate: Estimate,
}

impl<D: Driver> Io for ShardIo<D> {
    #[inline]
    fn now(&self) -> Instant {
        self.now
    }

    fn attach(&mut self, stream: Rc<TcpStream>) -> io::Result<Token> {
        self.driver.attach(stream)
    }

    fn detach(&mut self, token: Token) {
        self.driver.detach(token);
    }

    #[inline]
    fn arm_read(&mut self, token: Token) {
        self.driver.arm_read(token);
    }

    #[inline]
    fn arm_write(&mut self, token: Token) {
        self.driver.arm_write(token);
    }

    fn take_ready(&mut self, out: &mut Vec<Ready>) {
        self.driver.take_ready(out);
    }

    fn stats(&self) -> LoopStats {
        self.stats
    }
}

impl<D> ShardIo<D> {
    /// Counts a turn that ends now. Answers the time now, and how long a turn took that was too
    /// long.
    fn count_turn(&mut self) -> (Instant, Option<Duration>) {
        let now = Instant::now();
        let took = now - self.now;
        self.stats.turns += 1;
        self.stats.longest_turn = self.stats.longest_turn.max(took);
        let is_long = took > LONG_TURN;
        self.stats.long_turns += u64::from(is_long);
        (now, is_long.then_some(took))
    }
}

/// Runs `service` until it says [`Next::Stop`]. `may_spin` allows to wait awake before a sleep.
///
/// # Errors
/// The driver failed in a way that no service could handle.
pub(crate) async fn run_loop<S: Service, D: Driver>(
    mut service: S,
    driver: D,
    inbox: Inbox<S::Control>,
    may_spin: bool,
) -> io::Result<()> {
    let mut io = ShardIo {
        driver,
        now: Instant::now(),
        stats: LoopStats::default(),
        estimate: Estimate::new(may_spin),
    };
    loop {
        for message in inbox.control.try_iter().take(CONTROL_PER_TURN) {
            service.control(&mut io, message);
        }
        let next = service.turn(&mut io);
        let (now, too_long) = io.count_turn();
        if let Some(took) = too_long {
            service.long_turn(took);
        }
        match next {
            Next::Again => io.driver.turn().await?,
            Next::Park(until) => park(&service, &mut io, &inbox, now, until).await?,
            Next::Stop => break,
        }
        io.now = Instant::now();
    }
    // The service shuts its sockets down before the driver drops its clones of them.
    drop(service);
    io.driver.close().await
}

/// Sleeps unless there is something to do, or soon comes.
async fn park<S: Service, D: Driver>(
    service: &S,
    io: &mut ShardIo<D>,
    inbox: &Inbox<S::Control>,
    now: Instant,
    until: Option<Instant>,
) -> io::Result<()> {
    let has_work = || !inbox.control.is_empty() || service.has_inbound();
    let heartbeat = now + HEARTBEAT;
    let until = until.unwrap_or(heartbeat);
    if until <= now {
        return io.driver.turn().await;
    }
    let mut asleep_since = now;
    if io.estimate.is_worth_it(until - now) {
        let waited = wait_awake(&mut io.driver, has_work, now).await?;
        if waited.is_over {
            io.estimate.came_awake(waited.until - now);
            return Ok(());
        }
        asleep_since = waited.until;
    }
    inbox.wake.announce();
    if has_work() {
        inbox.wake.retract();
        return io.driver.turn().await;
    }
    let woken = io.driver.park(until.min(heartbeat)).await?;
    if woken == Woken::Deadline && has_work() && inbox.wake.is_asleep() {
        let grace = Instant::now() + CLAIM_GRACE;
        let woken = io.driver.park(grace).await?;
        if woken == Woken::Deadline && inbox.wake.is_asleep() {
            io.stats.rescues += 1;
        }
    }
    inbox.wake.retract();
    let up = Instant::now();
    io.stats.parks += 1;
    io.stats.parked += up - asleep_since;
    match woken {
        Woken::Ready | Woken::Signal => io.estimate.came_asleep(up - now),
        Woken::Deadline => io.estimate.did_not_come(up - now),
    }
    Ok(())
}

/// The end of a wait.
struct Waited {
    /// There is work.
    is_over: bool,
    until: Instant,
}

/// Waits for work without sleep, for [`spin::LIMIT`] at most.
async fn wait_awake<D: Driver>(
    driver: &mut D,
    has_work: impl Fn() -> bool,
    begin: Instant,
) -> io::Result<Waited> {
    let mut looked = begin;
    loop {
        for _ in 0..CHECKS_PER_CLOCK {
            if has_work() {
                let until = Instant::now();
                return Ok(Waited {
                    is_over: true,
                    until,
                });
            }
            hint::spin_loop();
        }
        let mut until = Instant::now();
        if until - looked >= LOOK {
            driver.turn().await?;
            until = Instant::now();
            looked = until;
            if driver.has_ready() {
                return Ok(Waited {
                    is_over: true,
                    until,
                });
            }
        }
        if until - begin >= spin::LIMIT {
            let is_over = false;
            return Ok(Waited { is_over, until });
        }
    }
}
