//! One running server: its log, its process, its monitoring port, its end.
//!
//! Owns the child process and kills it when dropped. A thread collects standard error, so that the
//! server never waits for a reader and a test can wait for a line.

use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustls::ClientConfig;
use serde_json::Value;
use tempfile::TempDir;

use super::builder::{self, Builder};
use super::client::RawClient;
use super::driver::Driver;
use super::http::{self, Response};
use super::process;

/// What the server wrote so far, and whether it can write more.
#[derive(Debug, Default)]
struct Log {
    text: Mutex<(String, bool)>,
    changed: Condvar,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, (String, bool)> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(&self, mut pipe: ChildStderr) {
        let mut buffer = [0; 4096];
        let mut undecoded = Vec::new();
        loop {
            let count = pipe.read(&mut buffer).unwrap_or(0);
            undecoded.extend_from_slice(&buffer[..count]);
            // Whole lines only: a character may be split between two reads, a line is searched whole.
            let whole = undecoded
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            let whole = if count == 0 { undecoded.len() } else { whole };
            let mut text = self.lock();
            text.0
                .push_str(&String::from_utf8_lossy(&undecoded[..whole]));
            text.1 = count == 0;
            drop(text);
            self.changed.notify_all();
            undecoded.drain(..whole);
            if count == 0 {
                return;
            }
        }
    }

    /// Waits until `find` finds something in the text, the server's standard error ends, or `limit`.
    fn wait<T>(&self, limit: Duration, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut text = self.lock();
        loop {
            let found = find(&text.0);
            let left = deadline.saturating_duration_since(Instant::now());
            if found.is_some() || text.1 || left.is_zero() {
                return found;
            }
            let waited = self.changed.wait_timeout(text, left);
            text = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A running server on 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    exit: Option<ExitStatus>,
    log: Arc<Log>,
    collector: Option<JoinHandle<()>>,
    directory: TempDir,
    clients: Option<SocketAddr>,
    monitor: Option<SocketAddr>,
}

impl Server {
    /// Starts the server with nothing but a driver and waits until it listens.
    #[track_caller]
    pub(crate) fn start(driver: Driver) -> Self {
        Builder::new(driver).start()
    }

    /// Begins to say how to start a server.
    pub(crate) fn with(driver: Driver) -> Builder {
        Builder::new(driver)
    }

    /// Takes charge of a child process whose standard error is a pipe.
    pub(super) fn new(mut child: Child, directory: TempDir) -> Self {
        let pipe = child.stderr.take().expect("standard error is piped");
        let log = Arc::new(Log::default());
        let collected = Arc::clone(&log);
        let collector = thread::spawn(move || collected.collect(pipe));
        Self {
            child,
            exit: None,
            log,
            collector: Some(collector),
            directory,
            clients: None,
            monitor: None,
        }
    }

    pub(super) fn set_addresses(&mut self, clients: SocketAddr, monitor: Option<SocketAddr>) {
        self.clients = Some(clients);
        self.monitor = monitor;
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.clients.expect("a server that started")
    }

    /// The port clients connect to.
    pub(crate) fn port(&self) -> u16 {
        self.address().port()
    }

    /// Where monitoring answers.
    ///
    /// # Panics
    /// When the server was built without [`Builder::monitor`].
    #[track_caller]
    pub(crate) fn monitor_address(&self) -> SocketAddr {
        self.monitor.expect("a server started with monitor()")
    }

    /// A connection that read INFO, sent CONNECT with verbose and pedantic off, and had its PONG.
    #[track_caller]
    pub(crate) fn raw_client(&self) -> RawClient {
        let mut client = self.bare_client();
        client.connect_quiet();
        client
    }

    /// A connection that read INFO, sent this CONNECT (which should say `"verbose":false`), and had its PONG.
    #[track_caller]
    pub(crate) fn login(&self, json: &str) -> RawClient {
        let mut client = self.bare_client();
        client.connect_with(json);
        client
    }

    /// As [`Server::raw_client`], over TLS.
    #[track_caller]
    pub(crate) fn tls_client(&self, config: &Arc<ClientConfig>) -> RawClient {
        let mut client = RawClient::connect_tls(self.address(), config);
        client.connect_quiet();
        client
    }

    /// A connection that read INFO and sent nothing.
    #[track_caller]
    pub(crate) fn bare_client(&self) -> RawClient {
        RawClient::connect(self.address())
    }

    /// Everything the server wrote to standard error, whole lines.
    pub(crate) fn log(&self) -> String {
        self.log.lock().0.clone()
    }

    /// Length of the log now, for [`Server::wait_log_since`].
    pub(crate) fn log_mark(&self) -> usize {
        self.log.lock().0.len()
    }

    /// Waits for `text` anywhere in the log.
    ///
    /// # Panics
    /// When it is not there within `limit`, or the server ends without it; prints the log.
    #[track_caller]
    pub(crate) fn wait_log(&self, text: &str, limit: Duration) {
        self.wait_log_since(0, text, limit);
    }

    /// Waits for `text` in the part of the log after `mark`.
    #[track_caller]
    pub(crate) fn wait_log_since(&self, mark: usize, text: &str, limit: Duration) {
        let found = self
            .log
            .wait(limit, |log| log[mark..].contains(text).then_some(()));
        assert!(
            found.is_some(),
            "not in the log within {limit:?}: {text:?}\n{}",
            self.log()
        );
    }

    /// Waits for a log line with `text` and an address, and gives its port: `wait_address("Listening
    /// for route connections on ", …)`. `None` when the server ends or the limit passes.
    pub(crate) fn wait_address(&self, text: &str, limit: Duration) -> Option<u16> {
        self.log.wait(limit, |log| {
            let line = log.lines().find_map(|line| line.split_once(text))?.1;
            let address = line.split_whitespace().next()?;
            address.rsplit_once(':')?.1.parse().ok()
        })
    }

    /// Directory of the configuration and of [`Builder::file`].
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Replaces the configuration file, for a reload (which the test asks for with a signal).
    pub(crate) fn rewrite_conf(&self, text: &str) {
        builder::write_conf(&self.directory, text);
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes.
    pub(crate) fn rss_bytes(&self) -> u64 {
        process::rss_bytes(self.pid())
    }

    /// Processor time of all threads so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        process::cpu_time(self.pid())
    }

    /// Open descriptors.
    pub(crate) fn fd_count(&self) -> usize {
        process::fd_count(self.pid())
    }

    /// Sends a signal to the server.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        assert!(self.exit.is_none(), "the server has ended");
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id");
        kill_process(pid, signal).unwrap_or_else(|e| panic!("{signal:?}: {e}"));
    }

    /// Waits for the server to end: its exit code, or minus the number of the signal that ended it.
    /// `None` when it is still running after `limit`.
    pub(crate) fn wait_exit(&mut self, limit: Duration) -> Option<i32> {
        let deadline = Instant::now() + limit;
        while self.exit.is_none() {
            self.exit = self.child.try_wait().expect("wait for the server");
            if self.exit.is_none() && Instant::now() >= deadline {
                return None;
            }
            if self.exit.is_none() {
                thread::sleep(Duration::from_millis(2));
            }
        }
        let exit = self.exit?;
        exit.code().or_else(|| exit.signal().map(|signal| -signal))
    }

    /// Ends the server at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if self.exit.is_none() {
            // Fails only when the process has ended in between, which is what is wanted.
            let _ = self.child.kill();
            self.exit = self.child.wait().ok();
        }
    }

    /// Ends the server if it has not ended, and gives all it wrote.
    pub(super) fn into_log(mut self) -> String {
        self.kill();
        if let Some(collector) = self.collector.take() {
            collector.join().expect("the log collector");
        }
        self.log()
    }

    /// One GET to the monitoring port.
    #[track_caller]
    pub(crate) fn http(&self, path: &str) -> Response {
        http::get(self.monitor_address(), path)
    }

    /// `/varz` as JSON.
    #[track_caller]
    pub(crate) fn varz(&self) -> Value {
        self.http("/varz").json()
    }

    /// `/connz` as JSON; `query` is empty or like `subs=1&state=closed`.
    #[track_caller]
    pub(crate) fn connz(&self, query: &str) -> Value {
        self.http(&format!("/connz?{query}")).json()
    }

    /// `/subsz` as JSON; `query` as for [`Server::connz`].
    #[track_caller]
    pub(crate) fn subsz(&self, query: &str) -> Value {
        self.http(&format!("/subsz?{query}")).json()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!(
                "--- log of the server (process {})\n{}",
                self.pid(),
                self.log()
            );
        }
    }
}
