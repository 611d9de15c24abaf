//! X9: io_uring is refused. The server runs on epoll and says so once.

use std::process::{Command, Stdio};

use super::{LOG_LIMIT, ONE_SECOND, parse_log};
use crate::support::{Builder, Driver, Server, builder};

/// Makes `io_uring_setup` answer EPERM, as container runtimes do by default, and becomes the program
/// named behind it. A seccomp filter is four instructions and needs no privilege.
const REFUSE: &str = r#"
import ctypes, os, struct, sys
SET_NO_NEW_PRIVS, SET_SECCOMP, MODE_FILTER = 38, 22, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
IO_URING_SETUP, ERRNO_EPERM, ALLOW = 425, 0x00050001, 0x7FFF0000
code = b"".join(struct.pack("HBBI", *step) for step in [
    (LOAD_WORD, 0, 0, 0),
    (JUMP_IF_EQUAL, 0, 1, IO_URING_SETUP),
    (RETURN, 0, 0, ERRNO_EPERM),
    (RETURN, 0, 0, ALLOW),
])
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]
program = Program(4, code)
prctl = ctypes.CDLL(None).prctl
prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
assert prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert prctl(SET_SECCOMP, MODE_FILTER, ctypes.addressof(program), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"#;

/// A server that may choose its driver.
fn automatic() -> Builder {
    Server::with(Driver::Uring).args(&["--driver", "auto"])
}

/// Why the filter cannot be set here, if so.
fn no_filter() -> Option<&'static str> {
    if builder::is_foreign() {
        return Some("another server is under test");
    }
    let mut python = Command::new("python3");
    python
        .args(["-c", REFUSE, "/bin/true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let is_set = python.status().is_ok_and(|status| status.success());
    (!is_set).then_some("no python3 that can set a seccomp filter")
}

/// One warning that names io_uring, and a server that works.
#[track_caller]
fn assert_runs_on_epoll(server: &Server, reason: &str) {
    server.wait_log("Server is ready", LOG_LIMIT);
    let lines = parse_log(&server.log());
    let warnings: Vec<_> = lines
        .iter()
        .filter(|line| line.text.contains("io_uring"))
        .collect();
    assert_eq!(warnings.len(), 1, "{}", server.log());
    assert_eq!(warnings[0].level, "WRN", "{}", server.log());
    assert!(warnings[0].text.contains("epoll"), "{}", server.log());
    // Where io_uring is refused for real, the reason may be another one.
    if Driver::Uring.is_available() {
        assert!(warnings[0].text.contains(reason), "{}", server.log());
    }
    let mut subscriber = server.raw_client();
    subscriber.send("SUB a 1\r\n");
    subscriber.ping();
    let mut publisher = server.raw_client();
    publisher.send("PUB a 2\r\nhi\r\n");
    subscriber.expect("MSG a 1 2\r\nhi\r\n");
}

/// A driver that was asked for by name is not replaced.
#[track_caller]
fn assert_fails(forced: Builder) {
    let failed = forced.run_to_exit(ONE_SECOND * 5);
    assert_eq!(failed.code, Some(1), "{}", failed.log);
    let last = failed.log.lines().last().unwrap_or_default();
    assert!(
        last.contains("[FTL]") && last.contains("io_uring"),
        "{}",
        failed.log
    );
}

#[test]
fn by_seccomp() {
    if let Some(reason) = no_filter() {
        println!("skipped: {reason}");
        return;
    }
    let refuse = ["python3", "-c", REFUSE];
    assert_runs_on_epoll(&automatic().wrapper(&refuse).start(), "seccomp");
    assert_fails(Server::with(Driver::Uring).wrapper(&refuse));
    // Who asks for epoll is not told about what he did not ask for.
    let server = Server::with(Driver::Epoll).wrapper(&refuse).start();
    server.wait_log("Server is ready", LOG_LIMIT);
    assert!(!server.log().contains("io_uring"), "{}", server.log());
}

#[test]
fn by_little_lockable_memory() {
    if builder::is_foreign() {
        println!("skipped: another server is under test");
        return;
    }
    assert_runs_on_epoll(
        &automatic().ulimit_memlock_kib(64).start(),
        "RLIMIT_MEMLOCK",
    );
    assert_fails(Server::with(Driver::Uring).ulimit_memlock_kib(64));
}

/// The same as a user without rights, where this test may become one.
#[test]
fn by_little_lockable_memory_as_nobody() {
    let become_nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let mut may = Command::new(become_nobody[0]);
    may.args(&become_nobody[1..])
        .arg(env!("CARGO_BIN_EXE_gnatsd"))
        .arg("-v");
    let may = may.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if builder::is_foreign() || !may.is_ok_and(|status| status.success()) {
        println!("skipped: cannot become another user here");
        return;
    }
    let server = automatic()
        .wrapper(&become_nobody)
        .ulimit_memlock_kib(64)
        .start();
    assert_runs_on_epoll(&server, "RLIMIT_MEMLOCK");
}

#[test]
fn not_refused_not_told() {
    if !Driver::Uring.is_available() {
        return;
    }
    let server = automatic().args(&["-D"]).start();
    server.wait_log("Server is ready", LOG_LIMIT);
    let lines = parse_log(&server.log());
    assert!(
        lines.iter().all(|line| line.level != "WRN"),
        "{}",
        server.log()
    );
}
