//! The two drivers of the server, and running one test on both.

use std::sync::OnceLock;
use std::time::Duration;

use super::builder;
use super::server::Server;

/// How a shard waits for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// io_uring.
    Uring,
    /// epoll.
    Epoll,
}

impl Driver {
    /// The value of `--driver`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Driver::Uring => "uring",
            Driver::Epoll => "epoll",
        }
    }

    /// Whether a test on this driver can run here; prints a line saying why when it cannot.
    ///
    /// Asked once per test binary, by starting a server: io_uring is refused in many containers.
    /// With another server under test there is one way to run, so the second one is skipped.
    pub(crate) fn is_available(self) -> bool {
        static REFUSAL: OnceLock<Option<String>> = OnceLock::new();
        let refusal = match self {
            Driver::Epoll => return true,
            Driver::Uring => REFUSAL.get_or_init(uring_refusal),
        };
        if let Some(reason) = refusal {
            println!("skipped on uring: {reason}");
        }
        refusal.is_none()
    }
}

/// Why the server under test cannot use io_uring here, if so.
fn uring_refusal() -> Option<String> {
    if builder::is_foreign() {
        return Some("another server is under test, it has no driver to choose".to_owned());
    }
    // Started with the driver forced: a refusal is a failed start or a warning, but always names
    // io_uring. Any other failure is for the tests themselves to report.
    let log = match Server::with(Driver::Uring).try_start(Duration::from_secs(20)) {
        Ok(server) => server.log(),
        Err(failed) => failed.log,
    };
    log.lines().find(|line| is_refusal(line)).map(str::to_owned)
}

/// Whether a log line says that io_uring is not to be had.
fn is_refusal(line: &str) -> bool {
    let is_severe = ["[WRN]", "[ERR]", "[FTL]"]
        .iter()
        .any(|level| line.contains(level))
        || line.starts_with("gnatsd: ");
    is_severe && line.contains("io_uring")
}

/// Makes a test of each driver: `both_drivers! { fn name(driver) { … } }` gives `name::uring` and
/// `name::epoll`. Several functions may stand in one block; attributes such as doc comments go on both.
macro_rules! both_drivers {
    ($($(#[$meta:meta])* fn $name:ident($driver:ident) $body:block)+) => {$(
        mod $name {
            #[allow(unused_imports, reason = "a body may use nothing from around it")]
            use super::*;

            $(#[$meta])*
            fn run($driver: $crate::support::Driver) $body

            #[test]
            fn uring() {
                if $crate::support::Driver::Uring.is_available() {
                    run($crate::support::Driver::Uring);
                }
            }

            #[test]
            fn epoll() {
                run($crate::support::Driver::Epoll);
            }
        }
    )+};
}

pub(crate) use both_drivers;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_severe_line_about_io_uring_is_a_refusal() {
        assert!(is_refusal(
            "[1] 2026/01/01 00:00:00.000000 [WRN] io_uring is refused by seccomp"
        ));
        assert!(!is_refusal(
            "[1] 2026/01/01 00:00:00.000000 [INF] Driver io_uring, 2 shards"
        ));
        assert!(!is_refusal(
            "[1] 2026/01/01 00:00:00.000000 [WRN] cannot pin to CPU 3"
        ));
    }
}
