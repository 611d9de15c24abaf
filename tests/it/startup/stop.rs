//! Signals, idle and under load: which end the server, how fast, and with what exit code.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{LOG_LIMIT, ONE_SECOND, parse_log};
use crate::support::{Driver, Server, both_drivers, wait_until};

/// The last line of a server that was asked to end.
#[track_caller]
fn assert_ended(server: &mut Server, signal: Signal) {
    let start = Instant::now();
    server.signal(signal);
    let code = server.wait_exit(ONE_SECOND * 5);
    let took = start.elapsed();
    assert_eq!(code, Some(0), "{signal:?}\n{}", server.log());
    assert!(took < ONE_SECOND, "{signal:?} took {took:?}");
    server.wait_log("Server Exiting..", LOG_LIMIT);
    let lines = parse_log(&server.log());
    assert_eq!(
        lines.last().map(|line| line.text.as_str()),
        Some("Server Exiting.."),
        "{}",
        server.log()
    );
}

/// Floods a server from three connections while `then` runs; they may end at any time.
fn under_load(driver: Driver, then: impl FnOnce(&mut Server)) {
    let mut server = Server::start(driver);
    let is_done = AtomicBool::new(false);
    let received = AtomicUsize::new(0);
    let mut subscriber = server.raw_client();
    subscriber.send("SUB a 1\r\n");
    subscriber.ping();
    let publishers: Vec<_> = (0..3).map(|_| server.raw_client()).collect();
    thread::scope(|scope| {
        for mut publisher in publishers {
            let is_done = &is_done;
            let batch = "PUB a 100\r\n".to_owned() + &"x".repeat(100) + "\r\n";
            let batch = batch.repeat(100);
            scope.spawn(move || {
                while !is_done.load(Ordering::Relaxed) && publisher.try_send(&batch).is_ok() {}
            });
        }
        let (is_done, received) = (&is_done, &received);
        scope.spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            let mut stream = subscriber.stream();
            stream
                .set_read_timeout(Some(Duration::from_millis(100)))
                .expect("set a timeout");
            while !is_done.load(Ordering::Relaxed) {
                match std::io::Read::read(&mut stream, &mut buffer) {
                    Ok(0) => return,
                    Ok(count) => {
                        received.fetch_add(count, Ordering::Relaxed);
                    }
                    Err(_) => {}
                }
            }
        });
        let _set = SetOnDrop(is_done);
        wait_until(ONE_SECOND * 10, "load", || {
            received.load(Ordering::Relaxed) > 1_000_000
        });
        then(&mut server);
        // Ends those that still send, whatever `then` did.
        server.kill();
    });
}

/// Sets the flag at the end of its scope, so that no thread outlives a failed test.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

both_drivers! {
    fn idle(driver) {
        for signal in [Signal::INT, Signal::TERM] {
            let mut server = Server::start(driver);
            assert_ended(&mut server, signal);
        }
    }

    /// Clients see the end of the connection and nothing before it.
    fn with_idle_clients(driver) {
        for signal in [Signal::INT, Signal::TERM] {
            let mut server = Server::start(driver);
            let mut clients: Vec<_> = (0..100).map(|_| server.raw_client()).collect();
            let mut silent = server.bare_client();
            assert_ended(&mut server, signal);
            for client in &mut clients {
                client.expect_closed();
            }
            silent.expect_closed();
        }
    }

    fn interrupted_under_load(driver) {
        under_load(driver, |server| assert_ended(server, Signal::INT));
    }

    fn terminated_under_load(driver) {
        under_load(driver, |server| assert_ended(server, Signal::TERM));
    }

    fn signals_are_named_in_the_log(driver) {
        for (signal, name) in [(Signal::INT, "interrupt"), (Signal::TERM, "terminated")] {
            let mut server = Server::with(driver).args(&["-D"]).start();
            server.signal(signal);
            assert_eq!(server.wait_exit(ONE_SECOND), Some(0));
            server.wait_log(&format!("[DBG] Trapped \"{name}\" signal"), LOG_LIMIT);
        }
    }

    /// Those that do not end it: reload, log, the second user signal, a broken pipe.
    fn other_signals_leave_it_running(driver) {
        let mut server = Server::with(driver).args(&["-D"]).start();
        let mut client = server.raw_client();
        server.signal(Signal::HUP);
        server.wait_log("[DBG] Trapped \"hangup\" signal", LOG_LIMIT);
        server.wait_log("[ERR] Failed to reload server configuration: ", LOG_LIMIT);
        server.signal(Signal::USR1);
        server.wait_log("[DBG] Trapped \"user defined signal 1\" signal", LOG_LIMIT);
        // Logged by the log itself, when it comes to it.
        server.wait_log("File log re-open ignored", LOG_LIMIT);
        server.signal(Signal::USR2);
        server.signal(Signal::PIPE);
        // Signals that end a process end it before it answers.
        client.ping();
        assert_eq!(server.wait_exit(Duration::ZERO), None, "{}", server.log());
        assert_ended(&mut server, Signal::INT);
    }

    fn other_signals_under_load(driver) {
        under_load(driver, |server| {
            for _ in 0..20 {
                for signal in [Signal::HUP, Signal::USR1, Signal::USR2] {
                    server.signal(signal);
                }
            }
            server.bare_client().ping();
            server.signal(Signal::TERM);
            assert_eq!(server.wait_exit(ONE_SECOND), Some(0));
            server.wait_log("Server Exiting..", LOG_LIMIT);
        });
    }

    fn many_starts_and_stops(driver) {
        for _ in 0..10 {
            let mut server = Server::start(driver);
            server.bare_client().ping();
            assert_ended(&mut server, Signal::TERM);
        }
    }
}
