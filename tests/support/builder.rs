//! How a server is to be started: flags, configuration text, limits; then the start itself.
//!
//! Owns the command line. What runs afterwards is `server.rs`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::driver::Driver;
use super::server::Server;

/// Names another server to run the tests against.
const UNDER_TEST: &str = "GNATSD_UNDER_TEST";

/// Number of shards for the servers of tests that do not say how many.
const CORES: &str = "GNATSD_TEST_CORES";

/// This package's server as it was built along with the tests.
const OWN_BUILD: &str = env!("CARGO_BIN_EXE_gnatsd");

/// How long a server may take until it listens. Failed starts are told apart by their exit.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Stands in a configuration text for the directory of [`Builder::file`].
const DIRECTORY: &str = "@DIR@";

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Log text in front of the address clients use.
const CLIENTS_AT: &str = "Listening for client connections on ";

/// Log text in front of the monitoring address.
const MONITOR_AT: &str = "Starting http monitor on ";

/// Whether another server than this package's is under test. Another build of it, for instance a
/// release build, is none: it knows `--driver` and `--cores`.
pub(crate) fn is_foreign() -> bool {
    static IS_FOREIGN: OnceLock<bool> = OnceLock::new();
    *IS_FOREIGN.get_or_init(|| {
        let Some(binary) = env::var_os(UNDER_TEST) else {
            return false;
        };
        let expected = format!("gnatsd: v{}\n", env!("CARGO_PKG_VERSION"));
        let version = Command::new(binary).arg("-v").output();
        version.map_or(true, |output| output.stdout != expected.as_bytes())
    })
}

/// A server that ended, or did not listen in time, instead of starting.
#[derive(Debug)]
pub(crate) struct FailedStart {
    /// Exit code, minus the signal number, or `None` when it was still running.
    pub(crate) code: Option<i32>,
    /// All it wrote to standard error.
    pub(crate) log: String,
    /// From the start to the exit.
    pub(crate) took: Duration,
}

/// Collects how to start a server; [`Builder::start`] does it.
#[derive(Debug)]
pub(crate) struct Builder {
    driver: Driver,
    cores: Option<usize>,
    is_own_build: bool,
    conf: Option<String>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    ulimits: Vec<String>,
    wrapper: Vec<OsString>,
    has_monitor: bool,
    is_bare: bool,
    port: u16,
    directory: TempDir,
}

impl Builder {
    /// Nothing but the driver and free ports.
    pub(crate) fn new(driver: Driver) -> Self {
        Self {
            driver,
            cores: env::var(CORES).ok().and_then(|text| text.parse().ok()),
            is_own_build: false,
            conf: None,
            args: Vec::new(),
            env: Vec::new(),
            ulimits: Vec::new(),
            wrapper: Vec::new(),
            has_monitor: false,
            is_bare: false,
            port: 0,
            directory: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// Gives the server this configuration file. `@DIR@` in it stands for the directory of [`Builder::file`].
    /// The command line still sets address and port.
    pub(crate) fn conf(mut self, text: &str) -> Self {
        self.conf = Some(text.to_owned());
        self
    }

    /// Writes a file the configuration refers to as `@DIR@/name`.
    pub(crate) fn file(self, name: &str, contents: impl AsRef<[u8]>) -> Self {
        fs::write(self.directory.path().join(name), contents).expect("write a test file");
        self
    }

    /// Path of a file of [`Builder::file`], for the command line.
    pub(crate) fn path(&self, name: &str) -> String {
        let path = self.directory.path().join(name);
        let path = path.to_str().expect("a temporary directory named in UTF-8");
        path.to_owned()
    }

    /// Adds command line arguments.
    pub(crate) fn args<T: Into<OsString> + Clone>(mut self, args: &[T]) -> Self {
        self.args.extend(args.iter().cloned().map(Into::into));
        self
    }

    /// Runs so many shards. Without this the server decides, or the environment does
    /// (`GNATSD_TEST_CORES`).
    pub(crate) fn cores(mut self, count: usize) -> Self {
        self.cores = Some(count);
        self
    }

    /// Starts the server that was built along with the tests, whatever the environment says: for what
    /// only a debug build has.
    pub(crate) fn own_build(mut self) -> Self {
        self.is_own_build = true;
        self
    }

    /// Opens a monitoring port.
    pub(crate) fn monitor(mut self) -> Self {
        self.has_monitor = true;
        self
    }

    /// Listens on this port instead of a free one: for a restart.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Leaves out address, port and driver: the command line is what [`Builder::args`] says.
    pub(crate) fn bare(mut self) -> Self {
        self.is_bare = true;
        self
    }

    /// Limits the descriptors of the server, soft and hard.
    pub(crate) fn ulimit_nofile(mut self, count: u32) -> Self {
        self.ulimits.push(format!("ulimit -n {count}"));
        self
    }

    /// Limits the memory the server may lock, in KiB.
    pub(crate) fn ulimit_memlock_kib(mut self, kib: u32) -> Self {
        self.ulimits.push(format!("ulimit -l {kib}"));
        self
    }

    /// Limits what the server may have of private writable memory, in KiB: more is refused, and whoever
    /// is refused memory ends.
    pub(crate) fn ulimit_data_kib(mut self, kib: u32) -> Self {
        self.ulimits.push(format!("ulimit -d {kib}"));
        self
    }

    /// Puts the server into the control group with this directory, which must be there.
    pub(crate) fn cgroup(mut self, directory: &str) -> Self {
        let join = format!("echo $$ > '{directory}/cgroup.procs'");
        self.ulimits.push(join);
        self
    }

    /// Starts another program, which has to become the server: it gets the server's command line
    /// behind these words.
    pub(crate) fn wrapper<T: Into<OsString> + Clone>(mut self, words: &[T]) -> Self {
        self.wrapper = words.iter().cloned().map(Into::into).collect();
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts the server and waits until it listens.
    ///
    /// # Panics
    /// When it ends first, or takes over 20 s; prints its log.
    #[track_caller]
    pub(crate) fn start(self) -> Server {
        self.try_start(START_LIMIT).unwrap_or_else(|failed| {
            panic!("server did not start ({:?}):\n{}", failed.code, failed.log)
        })
    }

    /// Starts the server and waits up to `limit` until it listens.
    ///
    /// # Errors
    /// When it ends first or does not listen in time; then it is killed.
    pub(crate) fn try_start(self, limit: Duration) -> Result<Server, FailedStart> {
        let has_monitor = self.has_monitor;
        let (mut server, begin) = self.spawn();
        let clients = server.wait_address(CLIENTS_AT, limit);
        let monitor = if has_monitor {
            server.wait_address(MONITOR_AT, limit)
        } else {
            None
        };
        match clients {
            Some(port) if monitor.is_some() == has_monitor => {
                server.set_addresses(local(port), monitor.map(local));
                Ok(server)
            }
            _ => Err(failure(server, begin, Duration::from_secs(1))),
        }
    }

    /// Runs the server until it ends by itself: for a start that must fail, or `--help`.
    ///
    /// # Panics
    /// When it is still running after `limit`.
    #[track_caller]
    pub(crate) fn run_to_exit(self, limit: Duration) -> FailedStart {
        let (server, begin) = self.spawn();
        let failed = failure(server, begin, limit);
        assert!(
            failed.code.is_some(),
            "still running after {limit:?}:\n{}",
            failed.log
        );
        failed
    }

    fn spawn(self) -> (Server, Instant) {
        let mut command = self.command();
        let begin = Instant::now();
        let child = command
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        (Server::new(child, self.directory), begin)
    }

    fn command(&self) -> Command {
        let other = env::var_os(UNDER_TEST).filter(|_| !self.is_own_build);
        let is_foreign = other.is_some() && is_foreign();
        let binary = other.map_or_else(|| PathBuf::from(OWN_BUILD), PathBuf::from);
        let mut words = self.wrapper.clone();
        if !self.ulimits.is_empty() {
            // The shell sets the limits and then becomes the server: the process id stays.
            let script = format!("{} && exec \"$0\" \"$@\"", self.ulimits.join(" && "));
            words.extend(["sh".into(), "-c".into(), script.into()]);
        }
        words.push(binary.into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        if !self.is_bare {
            if !is_foreign {
                command.args(["--driver", self.driver.name()]);
                if let Some(count) = self.cores {
                    command.args(["--cores", &count.to_string()]);
                }
            }
            let port = if self.port == 0 {
                "-1".to_owned()
            } else {
                self.port.to_string()
            };
            command.args(["-a", "127.0.0.1", "-p", &port]);
        }
        if self.has_monitor {
            command.args(["-m", "-1"]);
        }
        if let Some(text) = &self.conf {
            command.arg("-c").arg(write_conf(&self.directory, text));
        }
        command.args(&self.args).envs(self.env.iter().cloned());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }
}

/// Writes the configuration file of a server, for the start or for a reload; gives its path.
pub(crate) fn write_conf(directory: &TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("server.conf");
    let own = directory
        .path()
        .to_str()
        .expect("a temporary directory named in UTF-8");
    fs::write(&path, text.replace(DIRECTORY, own)).expect("write the configuration");
    path
}

/// The address of `port` on this machine.
fn local(port: u16) -> SocketAddr {
    SocketAddr::new(LOCALHOST, port)
}

fn failure(mut server: Server, begin: Instant, limit: Duration) -> FailedStart {
    let code = server.wait_exit(limit);
    FailedStart {
        code,
        took: begin.elapsed(),
        log: server.into_log(),
    }
}
