//! Signals, turned into messages for the main thread.

use std::io;
use std::thread;

use crossbeam_channel::{Receiver, unbounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

/// A signal that means something to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: stop.
    Interrupt,
    /// SIGTERM: stop.
    Terminate,
    /// SIGHUP: read the configuration again.
    Hangup,
    /// SIGUSR1: open the log file again.
    User1,
}

impl Signal {
    /// Its name in the log line `Trapped "…" signal`, as Go prints it.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Interrupt => "interrupt",
            Signal::Terminate => "terminated",
            Signal::Hangup => "hangup",
            Signal::User1 => "user defined signal 1",
        }
    }
}

/// Starts to listen for signals, on a thread of its own.
///
/// # Errors
/// If the handlers cannot be set.
pub fn listen() -> io::Result<Receiver<Signal>> {
    // The second user signal is only caught, or it would end the process: gnatsd 1.2.0 ignores it.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2])?;
    let (to_main, from_thread) = unbounded();
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for number in signals.forever() {
                let signal = match number {
                    SIGINT => Signal::Interrupt,
                    SIGTERM => Signal::Terminate,
                    SIGHUP => Signal::Hangup,
                    SIGUSR1 => Signal::User1,
                    _ => continue,
                };
                if to_main.send(signal).is_err() {
                    return;
                }
            }
        })?;
    Ok(from_thread)
}
