//! Files a server writes: its process id and its log.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{LOG_LIMIT, ONE_SECOND, parse_log, run};
use crate::support::{Driver, Server, both_drivers, wait_until};

/// A server that logs to a file, so that it cannot be asked where it listens in the usual way.
struct Logging {
    child: Child,
}

impl Logging {
    fn start(driver: Driver, log: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_gnatsd"))
            .args([
                "--driver",
                driver.name(),
                "-a",
                "127.0.0.1",
                "-p",
                "-1",
                "-l",
            ])
            .arg(log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the server");
        Self { child }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).expect("send a signal");
    }

    /// Stops it; gives what it wrote to standard error.
    fn stop(mut self) -> String {
        self.signal(Signal::INT);
        wait_until(ONE_SECOND, "the end of the server", || {
            self.child
                .try_wait()
                .expect("wait for the server")
                .is_some()
        });
        let mut stderr = String::new();
        let pipe = self.child.stderr.as_mut().expect("a pipe");
        std::io::Read::read_to_string(pipe, &mut stderr).expect("standard error in UTF-8");
        stderr
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until the file holds `text` `count` times, and gives all of it.
fn wait_file(path: &Path, text: &str, count: usize) -> String {
    let read = || fs::read_to_string(path).unwrap_or_default();
    wait_until(LOG_LIMIT, text, || read().matches(text).count() >= count);
    read()
}

both_drivers! {
    fn process_id_without_line_end(driver) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gnatsd.pid");
        fs::write(&path, "a longer text that was there before").unwrap();
        let server = Server::with(driver)
            .args(&["-P", path.to_str().unwrap()])
            .start();
        assert_eq!(fs::read_to_string(&path).unwrap(), server.pid().to_string());
        let server = Server::with(driver)
            .conf("pid_file: \"@DIR@/by_file.pid\"\n")
            .start();
        let path = server.directory().join("by_file.pid");
        assert_eq!(fs::read_to_string(path).unwrap(), server.pid().to_string());
    }

    fn log_goes_to_its_file_alone_and_is_appended_to(driver) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gnatsd.log");
        for starts in 1..=2 {
            let server = Logging::start(driver, &path);
            wait_file(&path, "Server is ready", starts);
            assert_eq!(server.stop(), "");
            let log = wait_file(&path, "Server Exiting..", starts);
            let lines = parse_log(&log);
            let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
            assert_eq!(texts.len(), 5 * starts, "{log}");
            assert!(
                texts[0].starts_with("Starting nats-server")
                    && texts[texts.len() - 1] == "Server Exiting.."
            );
            assert!(!log.contains('\u{1b}'), "{log}");
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert!(mode & 0o137 == 0, "mode {mode:o}");
    }

    fn log_file_is_opened_again_on_a_signal(driver) {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (
            directory.path().join("gnatsd.log"),
            directory.path().join("moved.log"),
        );
        let server = Logging::start(driver, &path);
        wait_file(&path, "Server is ready", 1);
        fs::rename(&path, &moved).unwrap();
        server.signal(Signal::USR1);
        let log = wait_file(&path, "File log re-opened", 1);
        assert_eq!(parse_log(&log)[0].text, "File log re-opened");
        assert_eq!(server.stop(), "");
        wait_file(&path, "Server Exiting..", 1);
        assert!(!fs::read_to_string(&moved).unwrap().contains("Exiting"));
    }

    fn standard_error_is_not_opened_again(driver) {
        let server = Server::start(driver);
        server.signal(Signal::USR1);
        server.wait_log(
            "[INF] File log re-open ignored, not a file logger",
            LOG_LIMIT,
        );
        server.bare_client().ping();
    }
}

#[test]
fn files_that_cannot_be_written_end_the_start() {
    let output = run(&["-a", "127.0.0.1", "-p", "-1", "-P", "/nonexistent/x.pid"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains(
            "Could not write pidfile: open /nonexistent/x.pid: no such file or directory"
        ),
        "{stderr}"
    );
    let output = run(&["-a", "127.0.0.1", "-p", "-1", "-l", "/nonexistent/x.log"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    // There is no log to write to, so it is a line of another form.
    let (time, text) = stderr.split_at("2018/07/03 16:43:34".len());
    assert!(time.starts_with("20"), "{stderr}");
    assert_eq!(
        text,
        " error opening file: open /nonexistent/x.log: no such file or directory\n"
    );
}
