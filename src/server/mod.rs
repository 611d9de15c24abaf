//! The running server: sockets, shards, log, signals, and the order in which they start and stop.

pub mod acceptor;
pub mod arguments;
pub mod clock;
pub mod control;
pub mod door;
mod handshakes;
pub mod listener;
pub mod log;
mod long_turns;
mod planted;
pub mod shard_io;
mod shard_lanes;
pub mod signals;
mod sockets;

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ::log::{debug, error, info, warn};
use crossbeam_channel::{Receiver, bounded, select};
use gnatsd_core::client::outbox::BACKLOG_CHUNK_BYTES;
use gnatsd_core::engine::{Engine, SHARDS_MAX, Setup};
use gnatsd_core::proto::info::ServerInfo;
use gnatsd_shards::Runtime;
use socket2::SockRef;

use crate::config::{self, Options};
use crate::monitor::{Facts, Monitor};
use crate::tls::TlsServer;
use acceptor::{Acceptor, OpenCounts};
use clock::Clock;
use control::Control;
use door::Door;
use listener::{Bound, error_text, host_port};
use log::{FATAL, Log, LogOptions};
use shard_io::ShardIo;
use signals::Signal;

/// Closed connections remembered in the whole server. Source: gnatsd 1.2.0.
const CLOSED_MAX: usize = 10_000;
/// How long the end of the process waits for its shards.
const STOP_LIMIT: Duration = Duration::from_millis(500);

/// Runs a server until a signal ends it. Gives the exit code of the process.
pub fn run(options: &Options, warnings: &[String]) -> u8 {
    // A backlog that was dropped or written must not stay with the allocator.
    gnatsd_shards::return_blocks_from(BACKLOG_CHUNK_BYTES);
    let log_options = LogOptions {
        file: options.log_file.clone(),
        debug: options.debug,
        trace: options.trace,
        time: options.logtime,
        utc: options.logtime_utc,
    };
    let log = match Log::start(&log_options) {
        Ok(log) => log,
        Err(text) => {
            let time = jiff::Zoned::now().strftime("%Y/%m/%d %H:%M:%S").to_string();
            eprintln!("{time} {text}");
            return 1;
        }
    };
    let code = match Server::start(options, warnings) {
        Ok(server) => server.serve(&log),
        Err(text) => {
            error!(target: FATAL, "{text}");
            1
        }
    };
    log.flush();
    code
}

/// A server that listens.
struct Server {
    runtime: Runtime<Control>,
    signals: Receiver<Signal>,
    listener: TcpListener,
}

impl Server {
    /// Starts everything, in the order the log has always shown.
    ///
    /// # Errors
    /// The text of the one `[FTL]` line.
    fn start(options: &Options, warnings: &[String]) -> Result<Server, String> {
        let clock = Clock::start();
        info!("Starting nats-server version {}", config::VERSION);
        debug!("Rust build version {}", env!("CARGO_PKG_RUST_VERSION"));
        info!("Git commit [not set]");
        for warning in warnings {
            warn!("{warning}");
        }
        let door = Arc::new(Door::new(options)?);
        let signals = signals::listen().map_err(|e| format!("cannot listen for signals: {e}"))?;
        if let Some(path) = &options.pid_file {
            write_pid_file(path)?;
        }
        let (monitor, monitor_tls) = start_monitor(options)?;
        let address = host_port(&options.host, options.port);
        let bound = Bound::bind(&options.host, options.port.into())
            .map_err(|e| format!("Error listening on port: {address}, {e:?}"))?;
        let port = bound.port();
        let info = server_info(options, port, &door);

        let shards = options.cores.unwrap_or_else(default_shards);
        let counts = Arc::new(OpenCounts::new(shards));
        let runtime = start_shards(options, shards, &info, &clock, &counts, &door)?;
        door.open_to(runtime.handles());
        for warning in runtime.warnings() {
            warn!("{warning}");
        }
        debug!("Using the {} driver on {shards} shard(s)", runtime.driver());
        if let Some(monitor) = monitor {
            let facts = facts(options, &info, &clock);
            monitor
                .serve(monitor_tls, facts, runtime.handles().to_vec())
                .map_err(|e| format!("Can't start monitoring: {}", error_text(&e)))?;
        }
        let listener = bound
            .listen()
            .map_err(|e| format!("Error listening on port: {address}, \"{}\"", error_text(&e)))?;
        // Everything is open before the log says so: who counts descriptors counts them all.
        let listener_to_shut = listener.try_clone().map_err(|e| error_text(&e))?;
        info!(
            "Listening for client connections on {}",
            host_port(&options.host, port)
        );
        if info.tls_required {
            info!("TLS required for client connections");
        }
        if door.shakes_hands_first() {
            warn!("Clients that are not using \"TLS Handshake First\" option will fail to connect");
        }
        debug!("Server id is {}", info.server_id);
        let acceptor = Acceptor {
            connections_max: usize::try_from(options.max_connections).ok(),
            counts,
            shards: runtime.handles().to_vec(),
            next_cid: 1,
        };
        acceptor
            .spawn(listener)
            .map_err(|e| format!("cannot start the acceptor: {e}"))?;
        info!("Server is ready");
        Ok(Server {
            runtime,
            signals,
            listener: listener_to_shut,
        })
    }

    /// Waits for a reason to end.
    fn serve(self, log: &Log) -> u8 {
        loop {
            select! {
                recv(self.signals) -> signal => {
                    let Ok(signal) = signal else { return 1 };
                    debug!("Trapped \"{}\" signal", signal.name());
                    match signal {
                        Signal::Interrupt | Signal::Terminate => {
                            info!("Server Exiting..");
                            self.stop();
                            return 0;
                        }
                        Signal::Hangup => {
                            error!("Failed to reload server configuration: reload is not supported yet");
                        }
                        Signal::User1 => log.reopen(),
                    }
                }
                recv(self.runtime.failures()) -> failure => {
                    // Half a server is worse than none.
                    match failure {
                        Ok(failure) => error!(target: FATAL, "{failure}"),
                        Err(_) => error!(target: FATAL, "a shard has ended"),
                    }
                    return 1;
                }
            }
        }
    }

    /// No new connections, then an end to every shard; the process does not wait for ever.
    fn stop(self) {
        // Fails only if there is nothing to shut down.
        let _ = SockRef::from(&self.listener).shutdown(std::net::Shutdown::Both);
        for shard in self.runtime.handles() {
            let _ = shard.send(Control::Stop);
        }
        let (done, is_done) = bounded(1);
        let runtime = self.runtime;
        let joiner = thread::spawn(move || {
            let _ = runtime.join();
            let _ = done.send(());
        });
        if is_done.recv_timeout(STOP_LIMIT).is_ok() {
            let _ = joiner.join();
        }
    }
}

/// The monitoring port, if there is one, and its TLS. It has a configuration of its own: who may read is not asked
/// for a certificate (gnatsd 1.2.0), and tickets of one port are of no use at the other.
fn start_monitor(options: &Options) -> Result<(Option<Monitor>, Option<TlsServer>), String> {
    let (scheme, port, tls) = match (options.http_port, options.https_port) {
        (0, 0) => return Ok((None, None)),
        (port, 0) => ("http", port, None),
        (0, port) => {
            let tls = options.tls.as_ref();
            let tls = tls.ok_or("Can't start monitoring: TLS cert and key required for HTTPS")?;
            let of_port = config::TlsOptions {
                verify: false,
                verify_and_map: false,
                pinned_certs: Vec::new(),
                ..tls.clone()
            };
            let server = TlsServer::new(&of_port).map_err(|text| tls.located(&text))?;
            ("https", port, Some(server))
        }
        (http, https) => {
            return Err(format!(
                "Can't start monitoring: can't specify both HTTP ({http}) and HTTPs ({https}) ports"
            ));
        }
    };
    let port = u16::try_from(port).unwrap_or(0);
    let monitor = Monitor::bind(&options.http_host, port).map_err(|e| {
        let address = host_port(&options.http_host, port);
        let text = error_text(&e);
        format!("Can't start monitoring: can't listen to the monitor port: listen tcp {address}: bind: {text}")
    })?;
    let port = monitor.local_addr().port();
    info!(
        "Starting {scheme} monitor on {}",
        host_port(&options.http_host, port)
    );
    Ok((Some(monitor), tls))
}

fn start_shards(
    options: &Options,
    shards: usize,
    info: &ServerInfo,
    clock: &Clock,
    counts: &Arc<OpenCounts>,
    door: &Arc<Door>,
) -> Result<Runtime<Control>, String> {
    let runtime_config = gnatsd_shards::Config {
        shards,
        driver: options.driver,
        pin: true,
        thread_name: "shard".to_owned(),
        lanes: shard_lanes::configs(),
    };
    let setup = Setup {
        shard: 0,
        shards: u16::try_from(shards).unwrap_or(u16::MAX),
        limits: options.limits.clone(),
        info: info.clone(),
        auth: door.rules(),
        seed: 0,
        hash_seed: random_number(),
        closed_max: 0,
        debug: options.debug,
        trace: options.trace,
    };
    let (clock, counts, door) = (clock.clone(), Arc::clone(counts), Arc::clone(door));
    let start = gnatsd_shards::start(runtime_config, move |shard, lanes| {
        let setup = Setup {
            shard: shard.0,
            seed: random_number(),
            closed_max: closed_max(shard.index(), shards),
            ..setup.clone()
        };
        let info = setup.info.clone();
        ShardIo::new(
            Engine::new(setup, clock.now()),
            info,
            lanes,
            clock.clone(),
            Arc::clone(&counts),
            Arc::clone(&door),
        )
    });
    start.map_err(|e| format!("Can't start shards: {e}"))
}

/// One for each CPU that the process may use, as far as its affinity and the quota of its control
/// group say.
fn default_shards() -> usize {
    thread::available_parallelism()
        .map_or(1, usize::from)
        .min(usize::from(SHARDS_MAX))
}

/// A shard's share of [`CLOSED_MAX`].
fn closed_max(shard: usize, shards: usize) -> usize {
    CLOSED_MAX / shards + usize::from(shard < CLOSED_MAX % shards)
}

fn server_info(options: &Options, port: u16, door: &Door) -> ServerInfo {
    let server_id = random_id();
    let rules = door.rules();
    let (has_tls, is_optional) = (options.tls.is_some(), door.is_tls_optional());
    let verifies = |tls: &config::TlsOptions| tls.verify || tls.verify_and_map;
    let (host, port) = match &options.client_advertise {
        Some(advertise) => (advertise.host.clone(), advertise.port.unwrap_or(port)),
        None => (options.host.clone(), port),
    };
    ServerInfo {
        server_name: options
            .server_name
            .clone()
            .unwrap_or_else(|| server_id.clone()),
        server_id,
        version: config::VERSION.to_owned(),
        proto: 1,
        go: concat!("rust", env!("CARGO_PKG_RUST_VERSION")).to_owned(),
        host,
        port,
        headers: true,
        auth_required: rules.is_required && rules.anonymous.is_none(),
        tls_required: has_tls && !is_optional,
        tls_verify: options.tls.as_ref().is_some_and(verifies),
        tls_available: has_tls && is_optional,
        max_payload: options.limits.payload_bytes_max,
        ldm: false,
        connect_urls: Vec::new(),
    }
}

fn facts(options: &Options, info: &ServerInfo, clock: &Clock) -> Facts {
    Facts {
        server_id: info.server_id.clone(),
        server_name: info.server_name.clone(),
        version: config::VERSION,
        go: info.go.clone(),
        host: info.host.clone(),
        port: info.port,
        addr: options.host.clone(),
        http_host: options.http_host.clone(),
        http_port: options.http_port.into(),
        https_port: options.https_port.into(),
        max_connections: options.max_connections,
        limits: options.limits.clone(),
        auth_timeout: options.authorization.timeout,
        tls_timeout: options.tls.as_ref().map(|tls| tls.timeout),
        auth_required: info.auth_required,
        tls_required: info.tls_required,
        tls_verify: info.tls_verify,
        clock: clock.clone(),
        cores: thread::available_parallelism().map_or(1, usize::from),
    }
}

fn write_pid_file(path: &Path) -> Result<(), String> {
    fs::write(path, std::process::id().to_string()).map_err(|e| {
        format!(
            "Could not write pidfile: open {}: {}",
            path.display(),
            error_text(&e)
        )
    })
}

/// A number nobody outside can guess: the keys of the standard hasher come from the system.
fn random_number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// 22 characters of 0-9, A-Z, a-z.
fn random_id() -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut id = String::with_capacity(22);
    while id.len() < 22 {
        let mut number = random_number();
        // Eight digits of base 62 use 48 of 64 bits: evenly enough for an id.
        for _ in 0..8.min(22 - id.len()) {
            id.push(char::from(DIGITS[(number % 62) as usize]));
            number /= 62;
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_share_the_closed_connections() {
        for shards in [1, 2, 3, 16, 63, 64] {
            let shares: Vec<usize> = (0..shards).map(|n| closed_max(n, shards)).collect();
            assert_eq!(shares.iter().sum::<usize>(), CLOSED_MAX, "{shards}");
            assert!(shares[0] - shares[shards - 1] <= 1, "{shares:?}");
        }
        assert!((1..=usize::from(SHARDS_MAX)).contains(&default_shards()));
    }

    #[test]
    fn ids_are_22_characters_and_differ() {
        let (a, b) = (random_id(), random_id());
        assert_eq!(a.len(), 22);
        assert!(a.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_ne!(a, b);
    }
}
