//! Connections that come and go: what a connection costs that is opened, greeted and closed.
//!
//! Each one connects, waits for INFO, sends CONNECT and PING, waits for the PONG and closes, and the next one
//! takes its place. The latency is that from the first system call to the PONG.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::guest::{Guest, Standing};
use super::latency::Times;
use super::meter::Meter;
use super::{Load, OTHER_DESCRIPTORS, Scenario, Stop};
use crate::Result;
use crate::cpu;
use crate::progress::Progress;
use crate::report::Outcome;
use crate::target::Target;
use crate::wire::{Peer, SMALL_READ_BYTES, STALL_LIMIT};

/// How long the server may take to count off the connections that have been closed.
const SETTLE: Duration = Duration::from_millis(20);

/// Runs `connect` with `count` connections at a time.
pub(super) fn run(scenario: &Scenario, count: usize, load: &Load) -> Result<Outcome> {
    cpu::allow_descriptors(count as u64 + OTHER_DESCRIPTORS)?;
    let address = address_of(&load.server)?;
    let mut witness = Peer::connect(&load.server)?;
    let place = (&load.server, address);
    rounds(place, count, load.warm_up(), &mut None)?;
    witness.ping()?;
    std::thread::sleep(SETTLE);
    let mut progress = load.progress.clone();
    let meter = Meter::begin(load)?;
    let times = rounds(place, count, load.stop, &mut progress)?;
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

/// The address to connect to, looked up once.
///
/// # Errors
/// It has none.
pub(super) fn address_of(target: &Target) -> Result<SocketAddr> {
    let address = target.address.to_socket_addrs()?.next();
    address.ok_or_else(|| format!("{target}: no address").into())
}

/// Connections come and go until `stop`; the time of each.
fn rounds(
    (target, address): (&Target, SocketAddr),
    count: usize,
    stop: Stop,
    progress: &mut Option<Progress>,
) -> Result<Times> {
    let begin = Instant::now();
    let mut times = Times::new()?;
    let mut begun = 0;
    let mut guests: Vec<Guest> = Vec::with_capacity(count);
    let mut buffer = vec![0; SMALL_READ_BYTES];
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
        let entries = guests.iter().map(|guest| PollFd::new(guest, PollFlags::IN));
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
            match guests[index].look(target, &mut buffer)? {
                Standing::Waiting => continue,
                Standing::Answered => times.add(guests[index].age())?,
                Standing::Refused(why) => return Err(why.into()),
            }
            guests.swap_remove(index);
        }
        if let Some(progress) = progress {
            progress.tick(times.count());
        }
    }
}
