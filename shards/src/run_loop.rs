//! The loop of a shard: control messages, the service's turn, then I/O or sleep.
//!
//! Owns the order of these, the sleep protocol and the heartbeat that checks it. The same code on
//! both drivers. Knows no thread.

use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::driver::{Driver, Woken};
use crate::wake::Wake;
use crate::{Io, Next, Ready, Service, Token};

/// Control messages taken before each turn of the service. Bounds the delay that a flood of them
/// puts on sockets.
const CONTROL_PER_TURN: usize = 256;

/// Longest sleep. Nothing depends on it; what it finds undone is a bug and is counted.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long work found by the heartbeat may still be announced by its sender, who may have been
/// stopped by the scheduler between putting it in and looking at the flag.
const CLAIM_GRACE: Duration = Duration::from_millis(100);

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
    rescues: u64,
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

    fn rescues(&self) -> u64 {
        self.rescues
    }
}

/// Runs `service` until it says [`Next::Stop`].
///
/// # Errors
/// The driver failed in a way that no service could handle.
pub(crate) async fn run_loop<S: Service, D: Driver>(
    mut service: S,
    driver: D,
    inbox: Inbox<S::Control>,
) -> io::Result<()> {
    let mut io = ShardIo {
        driver,
        now: Instant::now(),
        rescues: 0,
    };
    loop {
        for message in inbox.control.try_iter().take(CONTROL_PER_TURN) {
            service.control(&mut io, message);
        }
        match service.turn(&mut io) {
            Next::Again => io.driver.turn().await?,
            Next::Park(until) => park(&service, &mut io, &inbox, until).await?,
            Next::Stop => break,
        }
        io.now = Instant::now();
    }
    // The service shuts its sockets down before the driver drops its clones of them.
    drop(service);
    io.driver.close().await
}

/// Sleeps unless there is something to do.
async fn park<S: Service, D: Driver>(
    service: &S,
    io: &mut ShardIo<D>,
    inbox: &Inbox<S::Control>,
    until: Option<Instant>,
) -> io::Result<()> {
    let has_work = || !inbox.control.is_empty() || service.has_inbound();
    let now = Instant::now();
    let heartbeat = now + HEARTBEAT;
    let until = until.unwrap_or(heartbeat);
    if until <= now {
        return io.driver.turn().await;
    }
    inbox.wake.announce();
    if has_work() {
        inbox.wake.retract();
        return io.driver.turn().await;
    }
    let woken = io.driver.park(until.min(heartbeat)).await?;
    if woken == Woken::Deadline && until >= heartbeat && has_work() && inbox.wake.is_unclaimed() {
        let grace = Instant::now() + CLAIM_GRACE;
        let woken = io.driver.park(grace).await?;
        if woken == Woken::Deadline && inbox.wake.is_unclaimed() {
            io.rescues += 1;
        }
    }
    inbox.wake.retract();
    Ok(())
}
