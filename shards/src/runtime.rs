//! Starting shards and waiting for their end.
//!
//! Owns the choice of driver and the handshake: [`start`] answers only when every shard has its
//! driver and its service, so a server listens on all its shards or on none. Knows no driver.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::lanes;
use crate::placement::{self, Plan};
use crate::probe::{self, Refusal};
use crate::run_loop::Inbox;
use crate::shard::{Birth, Report, panic_message};
use crate::wake::Wake;
use crate::{
    Config, DriverChoice, DriverKind, Handle, Lanes, Service, ShardFailure, ShardId, StartError,
};

/// Time each step of the handshake may take, for all shards together.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// Running shards.
#[derive(Debug)]
pub struct Runtime<C> {
    driver: DriverKind,
    warnings: Vec<String>,
    handles: Vec<Handle<C>>,
    failures: Receiver<ShardFailure>,
    reports: Receiver<(ShardId, Report)>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts `config.shards` threads, each with a driver and the service that `make` builds on it, out
/// of its number and its ends of the lanes.
///
/// # Errors
/// See [`StartError`]; nothing is left running then.
///
/// # Panics
/// A [`LaneConfig`](crate::LaneConfig) that could fill up without a wake is a bug of the caller.
pub fn start<S, F>(config: Config, make: F) -> Result<Runtime<S::Control>, StartError>
where
    S: Service,
    F: Fn(ShardId, Lanes<S::Batch>) -> S + Send + Sync + 'static,
{
    if config.shards == 0 || config.shards > usize::from(u16::MAX) {
        return Err(StartError::ShardCount(config.shards));
    }
    let make = Arc::new(make);
    let mut refusal = None;
    if config.driver != DriverChoice::Epoll {
        match try_uring(&config, &make)? {
            Ok(runtime) => return Ok(runtime),
            Err(why) if config.driver == DriverChoice::Uring => {
                return Err(StartError::Uring(why.to_string()));
            }
            Err(why) => refusal = Some(format!("{why}; running on the epoll driver")),
        }
    }
    match launch(&config, DriverKind::Epoll, &make) {
        Ok(mut runtime) => {
            runtime.warnings.splice(0..0, refusal);
            Ok(runtime)
        }
        Err(Setback::Driver { shard, message }) => Err(StartError::Epoll { shard, message }),
        Err(Setback::Final(error)) => Err(error),
    }
}

/// Starts on io_uring. The inner error says why it cannot be had; the outer is final.
fn try_uring<S, F>(
    config: &Config,
    make: &Arc<F>,
) -> Result<Result<Runtime<S::Control>, Refusal>, StartError>
where
    S: Service,
    F: Fn(ShardId, Lanes<S::Batch>) -> S + Send + Sync + 'static,
{
    if let Err(refusal) = probe::uring() {
        return Ok(Err(refusal));
    }
    match launch(config, DriverKind::Uring, make) {
        Ok(runtime) => Ok(Ok(runtime)),
        // Seldom, but seen: locked memory suffices for one executor and not for all.
        Err(Setback::Driver { message, .. }) => Ok(Err(probe::executor_refusal(message))),
        Err(Setback::Final(error)) => Err(error),
    }
}

/// Starts on one driver; on failure takes everything down again.
fn launch<S, F>(
    config: &Config,
    kind: DriverKind,
    make: &Arc<F>,
) -> Result<Runtime<S::Control>, Setback>
where
    S: Service,
    F: Fn(ShardId, Lanes<S::Batch>) -> S + Send + Sync + 'static,
{
    let mut launch = Launch::new::<S, F>(config, kind, make)?;
    match launch.shake_hands() {
        Ok(()) => Ok(launch.runtime),
        Err(setback) => {
            launch.abort(&setback);
            Err(setback)
        }
    }
}

/// Why a launch failed.
#[derive(Debug)]
enum Setback {
    /// A driver did not stand; another kind may.
    Driver { shard: ShardId, message: String },
    /// No other driver would help.
    Final(StartError),
}

impl From<StartError> for Setback {
    fn from(error: StartError) -> Self {
        Self::Final(error)
    }
}

/// Shards that are being started.
struct Launch<C> {
    runtime: Runtime<C>,
    /// Dropping these aborts the shards that wait for leave.
    permits: Vec<Sender<()>>,
}

impl<C: Send + 'static> Launch<C> {
    fn new<S, F>(config: &Config, kind: DriverKind, make: &Arc<F>) -> Result<Self, StartError>
    where
        S: Service<Control = C>,
        F: Fn(ShardId, Lanes<S::Batch>) -> S + Send + Sync + 'static,
    {
        let cpus = placement::allowed_cpus();
        let plan = Plan::new(config.shards, config.pin, &cpus);
        let wakes: Vec<_> = (0..config.shards)
            .map(|_| Wake::new().map(Arc::new))
            .collect::<Result<_, _>>()
            .map_err(StartError::Resources)?;
        let mesh = lanes::mesh(&wakes, &config.lanes);
        let (report_sender, reports) = unbounded();
        let (failure_sender, failures) = unbounded();
        let mut launch = Self {
            runtime: Runtime {
                driver: kind,
                warnings: plan.warning.into_iter().collect(),
                handles: Vec::new(),
                failures,
                reports,
                threads: Vec::new(),
            },
            permits: Vec::new(),
        };
        for ((number, cpu), (wake, lanes)) in
            (0_u16..).zip(plan.cpus).zip(wakes.into_iter().zip(mesh))
        {
            let id = ShardId(number);
            let (control_sender, control) = unbounded();
            let (permit_sender, permits) = unbounded();
            let birth = Birth {
                id,
                kind,
                cpu,
                // Without a CPU to spare, who waits awake keeps off the one that is to bring work.
                may_spin: config.shards < cpus.len(),
                inbox: Inbox {
                    control,
                    wake: Arc::clone(&wake),
                },
                lanes,
                make: Arc::clone(make),
                reports: report_sender.clone(),
                permits,
                failures: failure_sender.clone(),
            };
            let thread = thread::Builder::new()
                .name(format!("{}-{number}", config.thread_name))
                .spawn(move || birth.live())
                .map_err(StartError::Resources)?;
            launch.runtime.threads.push(thread);
            launch.permits.push(permit_sender);
            launch
                .runtime
                .handles
                .push(Handle::new(id, control_sender, wake));
        }
        Ok(launch)
    }

    /// Drivers first, then services, then the loops: each step only when all have done the one
    /// before.
    fn shake_hands(&mut self) -> Result<(), Setback> {
        self.await_built()?;
        self.permit();
        self.await_all(|_, report| matches!(report, Report::Ready))?;
        self.permit();
        Ok(())
    }

    fn abort(self, setback: &Setback) {
        drop(self.permits);
        // A silent shard may never end. The others wait for leave and see now that they will not
        // get it; what they hold, locked memory for one, must be back before another launch.
        if !matches!(setback, Setback::Final(StartError::Silent { .. })) {
            for thread in self.runtime.threads {
                let _ = thread.join();
            }
        }
    }

    /// Waits until every driver stands.
    fn await_built(&mut self) -> Result<(), Setback> {
        let mut failed = None;
        let mut pin_refusal = None;
        self.await_all(|shard, report| {
            let Report::Built { driver, pin } = report else {
                return false;
            };
            if let Err(error) = pin {
                pin_refusal.get_or_insert_with(|| placement::refused_warning(&error));
            }
            if let Err(message) = driver {
                failed.get_or_insert(Setback::Driver { shard, message });
            }
            true
        })?;
        self.runtime.warnings.extend(pin_refusal);
        failed.map_or(Ok(()), Err)
    }

    fn permit(&self) {
        for permit in &self.permits {
            // A shard that ended meanwhile has reported it.
            let _ = permit.send(());
        }
    }

    /// Waits for one report of each shard that `accepts` takes.
    fn await_all(
        &mut self,
        mut accepts: impl FnMut(ShardId, Report) -> bool,
    ) -> Result<(), StartError> {
        let deadline = Instant::now() + STEP_LIMIT;
        let mut missing = vec![true; self.permits.len()];
        while let Some(first) = missing.iter().position(|&is_missing| is_missing) {
            let Ok((shard, report)) = self.runtime.reports.recv_deadline(deadline) else {
                return Err(StartError::Silent {
                    shard: self.runtime.handles[first].id(),
                    seconds: STEP_LIMIT.as_secs(),
                });
            };
            if let Report::Ended(Err(failure)) = report {
                return Err(StartError::Service(failure));
            }
            if accepts(shard, report) {
                missing[shard.index()] = false;
            }
        }
        Ok(())
    }
}

impl<C> Runtime<C> {
    /// The driver that was chosen.
    pub fn driver(&self) -> DriverKind {
        self.driver
    }

    /// What the operator should know about this start, each in one line.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// One handle per shard, in order of their numbers.
    pub fn handles(&self) -> &[Handle<C>] {
        &self.handles
    }

    /// Where failures arrive. Whoever owns the process should wait here and end it.
    pub fn failures(&self) -> &Receiver<ShardFailure> {
        &self.failures
    }

    /// Waits until every shard has stopped, which their services decide.
    ///
    /// # Errors
    /// The first failure, at once: the other shards may still run and nobody will stop them.
    pub fn join(self) -> Result<(), ShardFailure> {
        let mut running = self.threads.len();
        while running > 0 {
            match self.reports.recv() {
                Ok((_, Report::Ended(end))) => {
                    end?;
                    running -= 1;
                }
                Ok(_) => {}
                // Every shard sends its end; if one could not, its thread says why.
                Err(_) => break,
            }
        }
        for (handle, thread) in self.handles.iter().zip(self.threads) {
            thread.join().map_err(|panic| ShardFailure {
                shard: handle.id(),
                message: panic_message(&*panic),
            })?;
        }
        Ok(())
    }
}
