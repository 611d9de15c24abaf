//! What the runtime costs the process: CPU while idle, memory per socket, descriptors and threads
//! left behind. One test at a time, because the figures are of the whole process.

mod support;

use std::io::{Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use gnatsd_shards::{DriverChoice, Next, ShardId, start};
use rustix::net::SendFlags;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use support::{Echo, EchoControl, RunStep, Script, config, script, stop};

support::on_both_drivers!(
    idle_shards_use_no_cpu,
    an_idle_shard_that_was_busy_uses_no_cpu,
    readable_sockets_nobody_waits_for_use_no_cpu,
    an_urgent_byte_uses_no_cpu,
    starting_and_stopping_leaves_nothing,
    an_idle_socket_is_small,
    figures_of_turns_and_wakes,
);

/// Lets one test of this binary run at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Share of one CPU that this process uses while nothing happens, in percent.
fn idle_percent(seconds: u64) -> f64 {
    let begin = (Instant::now(), support::cpu_time());
    thread::sleep(Duration::from_secs(seconds));
    let spent = support::cpu_time() - begin.1;
    100.0 * spent.as_secs_f64() / begin.0.elapsed().as_secs_f64()
}

fn idle_shards_use_no_cpu(driver: DriverChoice) {
    let _alone = alone();
    let runtime = script(4, driver);
    let mut peers = Vec::new();
    for (ours, peer) in support::pairs(20) {
        runtime.handles()[peers.len() % 4].run(move |state, io| {
            let token = state.attach(io, ours);
            io.arm_read(token);
        });
        peers.push(peer);
    }
    let percent = idle_percent(3);
    eprintln!("{driver:?}: 4 idle shards use {percent:.3} % of a CPU");
    assert!(percent < 0.5);
    for shard in runtime.handles() {
        assert_eq!(shard.run(|_, io| io.stats().rescues), 0);
    }
    stop(runtime);
}

/// After many short sleeps in a row a shard waits awake. It must not go on with it.
fn an_idle_shard_that_was_busy_uses_no_cpu(driver: DriverChoice) {
    let _alone = alone();
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    for _ in 0..2_000 {
        shard.run(|_, _| ());
    }
    let before = shard.run(|_, io| io.stats());
    let percent = idle_percent(2);
    eprintln!("{driver:?}: a shard that was busy uses {percent:.3} % of a CPU when idle");
    assert!(percent < 0.5);
    let after = shard.run(|_, io| io.stats());
    assert!(after.parked - before.parked > Duration::from_millis(1_500));
    assert!(after.parks - before.parks < 20);
    assert_eq!(after.rescues, 0);
    stop(runtime);
}

fn readable_sockets_nobody_waits_for_use_no_cpu(driver: DriverChoice) {
    let _alone = alone();
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    // Unread bytes, a close, a reset; never armed, or armed once and told.
    let (ours, mut peers): (Vec<_>, Vec<_>) = support::pairs(40).into_iter().unzip();
    shard.run(move |state, io| {
        for (number, mut stream) in ours.into_iter().enumerate() {
            stream.write_all(b"unread").unwrap();
            let token = state.attach(io, stream);
            if number % 2 == 0 {
                io.arm_read(token);
            }
        }
    });
    for peer in &mut peers {
        peer.write_all(b"unread").unwrap();
    }
    peers.truncate(20);
    shard.wait_for(|state, _| (state.ready.len() == 20).then_some(()));
    let percent = idle_percent(2);
    eprintln!("{driver:?}: 40 readable sockets nobody waits for use {percent:.3} % of a CPU");
    assert!(percent < 0.5);
    // All of them still answer when asked.
    shard.run(|state, io| {
        state.ready.clear();
        for (token, _) in state.streams.iter().flatten() {
            io.arm_read(*token);
        }
    });
    shard.wait_for(|state, _| (state.ready.len() == 40).then_some(()));
    stop(runtime);
}

/// Urgent bytes wake a reader on io_uring; reading skips them, and then all is quiet.
fn an_urgent_byte_uses_no_cpu(driver: DriverChoice) {
    let _alone = alone();
    let runtime = start(config(1, driver), |_, _| Echo::default()).unwrap();
    let (ours, mut peer) = support::pair();
    let shard = &runtime.handles()[0];
    shard.send(EchoControl::Serve(ours)).unwrap();
    rustix::net::send(&peer, b"!", SendFlags::OOB).unwrap();
    let percent = idle_percent(1);
    eprintln!("{driver:?}: an urgent byte uses {percent:.3} % of a CPU");
    assert!(percent < 0.5);
    peer.write_all(b"plain").unwrap();
    let mut back = [0; 5];
    peer.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"plain");
    shard.send(EchoControl::Stop).unwrap();
    runtime.join().unwrap();
}

fn starting_and_stopping_leaves_nothing(driver: DriverChoice) {
    let _alone = alone();
    // What is made once per process is made here.
    stop(script(2, driver));
    let count = || {
        (
            support::entries("/proc/self/fd"),
            support::entries("/proc/self/task"),
        )
    };
    // Threads of the test harness come and go; wait for a count that a first round leaves.
    let mut before = (usize::MAX, usize::MAX);
    support::eventually("a quiet process", || {
        thread::sleep(Duration::from_millis(20));
        std::mem::replace(&mut before, count()) == before
    });
    for _ in 0..50 {
        let runtime = script(2, driver);
        let mut peers = Vec::new();
        for (ours, peer) in support::pairs(2) {
            runtime.handles()[peers.len()].run(move |state, io| {
                let token = state.attach(io, ours);
                io.arm_read(token);
                io.arm_write(token);
            });
            peers.push(peer);
        }
        // Stopped with sockets attached and armed.
        stop(runtime);
        for mut peer in peers {
            peer.set_read_timeout(Some(support::PATIENCE)).unwrap();
            assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        }
    }
    // A helper thread of an executor ends on its own soon after it.
    support::eventually("no descriptor or thread is left", || count() <= before);
}

fn an_idle_socket_is_small(driver: DriverChoice) {
    let _alone = alone();
    let count = 5_000;
    if support::raise_nofile() < 10_500 {
        eprintln!("skipped: too few open files permitted");
        return;
    }
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    let (ours, peers): (Vec<_>, Vec<_>) = support::pairs(count).into_iter().unzip();
    shard.run(move |state, _| state.streams.reserve(count));
    let before = support::resident_bytes();
    // In small lots, as an acceptor hands them over: the polls of each go to the kernel before
    // the next, so no queue grows that a server would not have.
    let mut ours = ours.into_iter();
    while ours.len() > 0 {
        let lot: Vec<_> = ours.by_ref().take(50).collect();
        shard.run(move |state, io| {
            for stream in lot {
                let token = state.attach(io, stream);
                io.arm_read(token);
            }
        });
    }
    shard.run(|_, _| ());
    let grown = support::resident_bytes().saturating_sub(before);
    eprintln!(
        "{driver:?}: {} B per idle armed socket",
        grown / count as u64
    );
    assert!(grown / (count as u64) < 1024);
    drop(peers);
    stop(runtime);
}

/// No assertion but that they can be taken: the figures for the README.
fn figures_of_turns_and_wakes(driver: DriverChoice) {
    let _alone = alone();
    // The shard takes the first CPU, this thread the last: without that the scheduler decides
    // whether a round trip crosses CPUs, which is a factor of eight.
    let mut config = config(1, driver);
    config.pin = true;
    let runtime = start(config, |_: ShardId, _| Script::default()).unwrap();
    let before = pin_to_last_cpu();
    let shard = &runtime.handles()[0];
    let mut peers = Vec::new();
    for (ours, peer) in support::pairs(100) {
        shard.run(move |state, io| {
            let token = state.attach(io, ours);
            io.arm_read(token);
        });
        peers.push(peer);
    }
    let turns = |shard: &gnatsd_shards::Handle<support::Step>| {
        shard.run(|state, _| {
            state.next = Some(Next::Again);
            state.turns
        })
    };
    let begin = (Instant::now(), turns(shard));
    thread::sleep(Duration::from_millis(500));
    let after = (Instant::now(), turns(shard));
    shard.run(|state, _| state.next = None);
    let elapsed = after.0 - begin.0;
    let per_turn = elapsed / u32::try_from(after.1 - begin.1).unwrap();
    eprintln!("{driver:?}: {per_turn:?} per turn with nothing ready");

    let parks = shard.run(|_, io| io.stats().parks);
    let mut trips: Vec<Duration> = (0..10_000)
        .map(|_| {
            let begin = Instant::now();
            shard.run(|_, _| ());
            begin.elapsed()
        })
        .collect();
    let parks = shard.run(|_, io| io.stats().parks) - parks;
    trips.sort();
    eprintln!("{driver:?}: {parks} sleeps in 10000 round trips");
    eprintln!(
        "{driver:?}: round trip to a shard that waits and back: median {:?}, p99 {:?}, max {:?}",
        trips[trips.len() / 2],
        trips[trips.len() * 99 / 100],
        trips[trips.len() - 1]
    );
    stop(runtime);
    sched_setaffinity(None, &before).unwrap();
}

/// Pins this thread and answers where it was allowed before.
fn pin_to_last_cpu() -> CpuSet {
    let before = sched_getaffinity(None).unwrap();
    let last = (0..CpuSet::MAX_CPU).rev().find(|&cpu| before.is_set(cpu));
    let mut only = CpuSet::new();
    only.set(last.unwrap());
    sched_setaffinity(None, &only).unwrap();
    before
}
