//! Connections that do nothing: what each costs the server in memory, and all of them in processor time.

use std::thread;
use std::time::{Duration, Instant};

use super::meter::Meter;
use super::{Load, OTHER_DESCRIPTORS, Scenario, Stop};
use crate::Result;
use crate::cpu;
use crate::report::{Memory, Outcome};
use crate::wire::{Peer, SMALL_READ_BYTES};

/// Runs `idle`: opens the connections, then watches the server for the time of the load.
pub(super) fn run(scenario: &Scenario, count: usize, load: &Load) -> Result<Outcome> {
    let (Some(pid), Stop::After(time)) = (load.server_pid, load.stop) else {
        return Err(
            "idle looks at the server process: it needs --pid, and --secs instead of --msgs".into(),
        );
    };
    cpu::allow_descriptors(count as u64 + OTHER_DESCRIPTORS)?;
    // The first connection makes the server set up what it needs once.
    let _first = Peer::connect(&load.server)?;
    let rss_before = cpu::rss_bytes_of(pid)?;
    let mut peers = Vec::with_capacity(count);
    for index in 0..count {
        let mut peer = Peer::connect(&load.server)?;
        if peer.is_floor {
            return Err("the floor peer keeps nothing for a connection: no idle".into());
        }
        peer.subscribe(&format!("{}.{index}", load.subject), None)?;
        peers.push(peer);
    }
    thread::sleep(load.warmup);
    let rss_after = cpu::rss_bytes_of(pid)?;

    let meter = Meter::begin(load)?;
    answer_pings_for(time, &mut peers)?;
    let mut outcome = meter.end(scenario, 0, 0)?;
    outcome.memory = Some(Memory {
        connections: count as u64,
        rss_before,
        rss_after,
    });
    Ok(outcome)
}

/// Stays for `time`, once a second answering the servers' PINGs so that nobody is cut as stale.
fn answer_pings_for(time: Duration, peers: &mut [Peer]) -> Result<()> {
    let mut buffer = vec![0; SMALL_READ_BYTES];
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_secs(1)));
        for peer in &mut *peers {
            peer.receive(&mut buffer)?;
            peer.answer_pings()?;
        }
    }
}
