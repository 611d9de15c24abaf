//! Connections that come and go: what a connection costs that is opened, greeted and closed.
//!
//! Each one connects, waits for INFO, sends CONNECT and PING, waits for the PONG and closes, and the next one
//! takes its place. The latency is that from the first system call to the PONG.

use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, connect, recv, send, socket_with, sockopt,
};

use super::latency::Times;
use super::meter::Meter;
use super::{Load, OTHER_DESCRIPTORS, Scenario, Stop};
use crate::Result;
use crate::cpu;
use crate::progress::Progress;
use crate::report::Outcome;
use crate::wire::{Peer, STALL_LIMIT};

/// What a client says.
const GREETING: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"perf\",\"lang\":\"rust\"}\r\nPING\r\n";

/// How long the server may take to count off the connections that have been closed.
const SETTLE: Duration = Duration::from_millis(20);

/// Runs `connect` with `count` connections at a time.
pub(super) fn run(scenario: &Scenario, count: usize, load: &Load) -> Result<Outcome> {
    cpu::allow_descriptors(count as u64 + OTHER_DESCRIPTORS)?;
    let address = load.server.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| format!("{}: no address", load.server))?;
    let mut witness = Peer::connect(&load.server)?;
    rounds(address, count, load.warm_up(), &mut None)?;
    witness.ping()?;
    std::thread::sleep(SETTLE);
    let mut progress = load.progress.clone();
    let meter = Meter::begin(load)?;
    let times = rounds(address, count, load.stop, &mut progress)?;
    witness.ping()?;
    // No answer tells when the server is done with a connection that has left.
    std::thread::sleep(SETTLE);
    let mut outcome = meter.end(scenario, times.count(), times.count())?;
    outcome.elapsed = outcome.elapsed.saturating_sub(SETTLE);
    if let Some(progress) = &mut progress {
        progress.finish();
    }
    outcome.latency = times.latency();
    Ok(outcome)
}

/// What a guest waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Info,
    Pong,
}

/// A connection that will not stay.
struct Guest {
    socket: OwnedFd,
    phase: Phase,
    begin: Instant,
    /// The line that is coming.
    line: Vec<u8>,
}

/// Connections come and go until `stop`; the time of each.
fn rounds(
    address: SocketAddr,
    count: usize,
    stop: Stop,
    progress: &mut Option<Progress>,
) -> Result<Times> {
    let begin = Instant::now();
    let mut times = Times::new()?;
    let mut begun = 0;
    let mut guests: Vec<Guest> = Vec::with_capacity(count);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let is_enough = match stop {
            Stop::After(time) => begin.elapsed() >= time,
            Stop::Messages(messages) => begun >= messages,
        };
        if !is_enough && guests.len() < count {
            guests.push(Guest::connect(address)?);
            begun += 1;
            continue;
        }
        if guests.is_empty() {
            return Ok(times);
        }
        let entries = guests
            .iter()
            .map(|guest| PollFd::new(&guest.socket, PollFlags::IN));
        let mut entries: Vec<PollFd<'_>> = entries.collect();
        match poll(&mut entries, Some(&STALL_LIMIT)) {
            Ok(0) => return Err("no answer for 20 s".into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(format!("poll: {e}").into()),
        }
        let ready: Vec<bool> = entries
            .iter()
            .map(|entry| !entry.revents().is_empty())
            .collect();
        // From the last, so that those that leave do not move those still to be looked at.
        for index in (0..ready.len()).rev().filter(|index| ready[*index]) {
            if guests[index].is_done(&mut buffer)? {
                times.add(guests[index].begin.elapsed())?;
                guests.swap_remove(index);
            }
        }
        if let Some(progress) = progress {
            progress.tick(times.count());
        }
    }
}

impl Guest {
    fn connect(address: SocketAddr) -> Result<Self> {
        let begin = Instant::now();
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(e) => return Err(format!("{address}: {e}").into()),
        }
        Ok(Self {
            socket,
            phase: Phase::Info,
            begin,
            line: Vec::new(),
        })
    }

    /// Takes what has come and answers it; true when the PONG is there.
    fn is_done(&mut self, buffer: &mut [u8]) -> Result<bool> {
        use rustix::net::{RecvFlags, SendFlags};
        let count = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((_, 0)) => return Err("the server closed a new connection".into()),
            Ok((_, count)) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(e) => return Err(format!("a new connection: {e}").into()),
        };
        self.line.extend_from_slice(&buffer[..count]);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            match self.phase {
                Phase::Info if line.starts_with(b"INFO ") => {
                    // An empty socket takes these few bytes whole.
                    let sent = send(&self.socket, GREETING, SendFlags::NOSIGNAL)
                        .map_err(|e| format!("a new connection: {e}"))?;
                    if sent < GREETING.len() {
                        return Err("a new connection does not take its greeting".into());
                    }
                    self.phase = Phase::Pong;
                }
                Phase::Pong if line == b"PONG\r\n" => return Ok(true),
                // Some servers send a second INFO, or want to know the round trip.
                Phase::Pong if line.starts_with(b"INFO ") || line == b"PING\r\n" => {}
                _ => {
                    let line = line.escape_ascii();
                    return Err(format!("a new connection got \"{line}\"").into());
                }
            }
        }
        Ok(false)
    }
}
