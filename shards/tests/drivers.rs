//! What both drivers promise a service: readiness, deadlines, wake-ups. Each test runs on each.

mod support;

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use gnatsd_shards::{DriverChoice, Gone, Io, Next, Service, ShardId, StartError, start};
use support::{Echo, EchoControl, PATIENCE, RunStep, config, pair, pairs, script, stop};

support::on_both_drivers!(
    echoes_over_200_connections,
    requests_are_all_answered,
    a_burst_of_4000_loses_none,
    parks_end_on_time,
    ten_thousand_round_trips_need_no_rescue,
    many_senders_need_no_rescue,
    a_message_that_comes_during_the_turn_is_seen,
    a_forgotten_wake_is_rescued_and_counted,
    write_readiness_follows_a_full_socket,
    a_reused_slot_hears_nothing_of_its_past,
    a_notification_in_hand_goes_with_its_socket,
    arming_twice_notifies_once,
    both_directions_can_be_armed,
    readiness_is_seen_without_parking,
    a_hang_up_is_told_when_armed_later,
    the_peer_sees_the_end_at_once,
    a_panic_is_reported,
    a_panic_while_building_fails_the_start,
    more_shards_than_cpus_start_with_one_warning,
    messages_of_one_sender_stay_in_order,
);

fn echoes_over_200_connections(driver: DriverChoice) {
    let runtime = start(config(2, driver), |_, _| Echo::default()).unwrap();
    let mut peers = Vec::new();
    for (ours, peer) in pairs(200) {
        let shard = &runtime.handles()[peers.len() % 2];
        shard.send(EchoControl::Serve(ours)).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peers.push(peer);
    }
    for round in 0..10_u8 {
        let sent: Vec<Vec<u8>> = (0..200_u8)
            .map(|number| vec![number ^ round; 1 + usize::from(number) * 37])
            .collect();
        for (peer, bytes) in peers.iter_mut().zip(&sent) {
            peer.write_all(bytes).unwrap();
        }
        for (peer, bytes) in peers.iter_mut().zip(&sent) {
            let mut back = vec![0; bytes.len()];
            peer.read_exact(&mut back).unwrap();
            assert_eq!(&back, bytes);
        }
    }
    // The end of the peers' sending comes back as the end of ours.
    for peer in &mut peers {
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }
    for handle in runtime.handles() {
        handle.send(EchoControl::Stop).unwrap();
    }
    runtime.join().unwrap();
}

/// One request in flight on each of a few connections: a lost notification is a hang.
fn requests_are_all_answered(driver: DriverChoice) {
    let rounds = std::env::var("SHARDS_SOAK_ROUNDS").map_or(2_000, |text| text.parse().unwrap());
    let runtime = start(config(2, driver), |_, _| Echo::default()).unwrap();
    thread::scope(|scope| {
        for (number, (ours, mut peer)) in pairs(6).into_iter().enumerate() {
            let shard = &runtime.handles()[number % 2];
            shard.send(EchoControl::Serve(ours)).unwrap();
            peer.set_read_timeout(Some(PATIENCE)).unwrap();
            scope.spawn(move || {
                for round in 0..rounds {
                    let request = u64::to_ne_bytes(round);
                    let mut reply = [0; 8];
                    peer.write_all(&request).unwrap();
                    peer.read_exact(&mut reply).unwrap();
                    assert_eq!(reply, request);
                }
            });
        }
    });
    for handle in runtime.handles() {
        handle.send(EchoControl::Stop).unwrap();
    }
    runtime.join().unwrap();
}

fn a_burst_of_4000_loses_none(driver: DriverChoice) {
    let count = 4000;
    // Both tests of this name may run at once.
    if support::raise_nofile() < 17_000 {
        eprintln!("skipped: too few open files permitted");
        return;
    }
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    let (ours, mut peers): (Vec<_>, Vec<_>) = pairs(count).into_iter().unzip();
    shard.run(move |state, io| {
        for stream in ours {
            let token = state.attach(io, stream);
            io.arm_read(token);
        }
    });
    for round in 1..=3 {
        // While the shard is held, all become ready at once.
        let (release, held) = mpsc::channel::<()>();
        shard
            .send(Box::new(move |_, _| {
                let _ = held.recv();
            }))
            .unwrap();
        for peer in &mut peers {
            peer.write_all(b"x").unwrap();
        }
        release.send(()).unwrap();
        let ready = shard.wait_for(move |state, _| {
            (state.ready.len() >= count * round).then(|| state.ready.clone())
        });
        let mut per_socket = HashMap::new();
        for ready in ready {
            assert!(ready.readable && !ready.writable);
            *per_socket.entry(ready.token).or_insert(0) += 1;
        }
        assert_eq!(per_socket.len(), count);
        assert!(per_socket.values().all(|&times| times == round));
        shard.run(move |state, io| {
            for (token, mut stream) in state.streams.iter().flatten().map(|(t, s)| (*t, &**s)) {
                assert_eq!(stream.read(&mut [0; 8]).unwrap(), 1);
                io.arm_read(token);
            }
        });
    }
    stop(runtime);
}

fn parks_end_on_time(driver: DriverChoice) {
    let late = lone_parks(driver);
    eprintln!(
        "{driver:?}: parks, median late {:?}, worst {:?}",
        late[late.len() / 2],
        late[late.len() - 1]
    );
    assert!(late[late.len() / 2] < Duration::from_millis(5));
}

/// Parks for a list of times and reports how late each turn after came.
struct Sleeper {
    pauses: Vec<Duration>,
    due: Option<Instant>,
    late: Vec<Duration>,
    done: mpsc::Sender<Vec<Duration>>,
}

impl Service for Sleeper {
    type Control = ();
    type Batch = ();

    fn control(&mut self, _: &mut impl Io, (): ()) {}

    fn turn(&mut self, io: &mut impl Io) -> Next {
        if let Some(due) = self.due {
            if io.now() < due {
                return Next::Park(Some(due));
            }
            self.late.push(io.now() - due);
        }
        let Some(pause) = self.pauses.pop() else {
            self.done.send(std::mem::take(&mut self.late)).unwrap();
            return Next::Stop;
        };
        let due = io.now() + pause;
        self.due = Some(due);
        Next::Park(Some(due))
    }
}

fn lone_parks(driver: DriverChoice) -> Vec<Duration> {
    let (done, result) = mpsc::channel();
    let done = std::sync::Mutex::new(done);
    let runtime = start(config(1, driver), move |_, _| Sleeper {
        pauses: [1, 2, 3, 5, 8, 13, 20, 30, 50, 1100]
            .map(Duration::from_millis)
            .to_vec(),
        due: None,
        late: Vec::new(),
        done: done.lock().unwrap().clone(),
    })
    .unwrap();
    let mut late = result.recv_timeout(PATIENCE).unwrap();
    runtime.join().unwrap();
    late.sort();
    late
}

fn ten_thousand_round_trips_need_no_rescue(driver: DriverChoice) {
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    for _ in 0..10_000 {
        shard.run(|_, _| ());
    }
    assert_eq!(shard.run(|_, io| io.stats().rescues), 0);
    stop(runtime);
}

fn many_senders_need_no_rescue(driver: DriverChoice) {
    let runtime = script(2, driver);
    thread::scope(|scope| {
        for number in 0..4 {
            let shard = runtime.handles()[number % 2].clone();
            scope.spawn(move || {
                for _ in 0..2_000 {
                    shard.run(|_, _| ());
                }
            });
        }
    });
    for shard in runtime.handles() {
        assert_eq!(shard.run(|_, io| io.stats().rescues), 0);
    }
    stop(runtime);
}

/// The window that the second look closes: the queue was empty, the sleep is not announced yet.
fn a_message_that_comes_during_the_turn_is_seen(driver: DriverChoice) {
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    for _ in 0..20 {
        let (sender, answer) = mpsc::channel();
        let itself = shard.clone();
        shard.run(move |state, _| {
            state.in_turn = Some(Box::new(move || {
                // Not awake enough to take it, not asleep enough to be woken.
                itself
                    .send(Box::new(move |_, _| sender.send(()).unwrap()))
                    .unwrap();
            }));
        });
        answer.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(shard.run(|_, io| io.stats().rescues), 0);
    stop(runtime);
}

/// Has work from elsewhere while `inbound` is set; reports rescues.
struct Forgetful {
    inbound: Arc<AtomicBool>,
    rescues: Arc<AtomicU64>,
}

impl Service for Forgetful {
    type Control = ();
    type Batch = ();

    fn control(&mut self, _: &mut impl Io, (): ()) {}

    fn turn(&mut self, io: &mut impl Io) -> Next {
        if self.inbound.load(Ordering::SeqCst) && io.stats().rescues > 0 {
            self.rescues.store(io.stats().rescues, Ordering::SeqCst);
            return Next::Stop;
        }
        Next::Park(None)
    }

    fn has_inbound(&self) -> bool {
        self.inbound.load(Ordering::SeqCst)
    }
}

fn a_forgotten_wake_is_rescued_and_counted(driver: DriverChoice) {
    let inbound = Arc::new(AtomicBool::new(false));
    let rescues = Arc::new(AtomicU64::new(0));
    let (for_inbound, for_rescues) = (Arc::clone(&inbound), Arc::clone(&rescues));
    let runtime = start(config(1, driver), move |_, _| Forgetful {
        inbound: Arc::clone(&for_inbound),
        rescues: Arc::clone(&for_rescues),
    })
    .unwrap();
    // Let it fall asleep first; awake it would see the work by itself.
    thread::sleep(Duration::from_millis(50));
    let begin = Instant::now();
    inbound.store(true, Ordering::SeqCst);
    runtime.join().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!(rescues.load(Ordering::SeqCst), 1);
}

fn write_readiness_follows_a_full_socket(driver: DriverChoice) {
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    let (ours, mut peer) = pair();
    let written = shard.run(move |state, io| {
        let token = state.attach(io, ours);
        let mut written = 0;
        loop {
            match state.stream(token).write(&[7; 65536]) {
                Ok(count) => written += count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        io.arm_write(token);
        written
    });
    for _ in 0..100 {
        assert_eq!(shard.run(|state, _| state.ready.len()), 0);
    }
    let mut rest = written;
    let mut buffer = vec![0; 65536];
    while rest > 0 {
        rest -= peer.read(&mut buffer).unwrap();
    }
    let ready = shard.wait_for(|state, _| state.ready.pop());
    assert!(ready.writable && !ready.readable);
    let count = shard.run(move |state, _| state.stream(ready.token).write(b"more").unwrap());
    assert_eq!(count, 4);
    stop(runtime);
}

fn a_reused_slot_hears_nothing_of_its_past(driver: DriverChoice) {
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    for _ in 0..50 {
        let (first, mut first_peer) = pair();
        let (second, mut second_peer) = pair();
        let old = shard.run(move |state, io| {
            let token = state.attach(io, first);
            io.arm_read(token);
            token
        });
        // The poll is with the kernel by now, because the shard slept. Then, in one turn: gone,
        // and the slot taken by another.
        first_peer.set_nonblocking(true).unwrap();
        shard.run(move |state, io| {
            state.ready.clear();
            state.close(io, old);
            let token = state.attach(io, second);
            assert_eq!(token, old);
            io.arm_read(token);
        });
        let _ = first_peer.write(b"to nobody");
        for _ in 0..5 {
            assert_eq!(shard.run(|state, _| state.ready.clone()), []);
        }
        second_peer.write_all(b"x").unwrap();
        let ready = shard.wait_for(|state, _| state.ready.pop());
        assert_eq!(ready.token, old);
        let read = shard.run(move |state, io| {
            let read = state.stream(old).read(&mut [0; 8]).unwrap();
            state.close(io, old);
            read
        });
        assert_eq!(read, 1);
    }
    stop(runtime);
}

fn a_notification_in_hand_goes_with_its_socket(driver: DriverChoice) {
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    let (first, mut first_peer) = pair();
    let (second, mut second_peer) = pair();
    let old = shard.run(move |state, io| {
        let token = state.attach(io, first);
        io.arm_read(token);
        state.ignores_ready = true;
        state.next = Some(Next::Again);
        token
    });
    first_peer.write_all(b"x").unwrap();
    // A few turns: the notification lies with the driver now, and nobody has taken it.
    let turns = shard.run(|state, _| state.turns);
    shard.wait_for(move |state, _| (state.turns > turns + 5).then_some(()));
    shard.run(move |state, io| {
        state.close(io, old);
        let token = state.attach(io, second);
        assert_eq!(token, old);
        io.arm_read(token);
        state.ignores_ready = false;
    });
    let turns = shard.run(|state, _| state.turns);
    shard.wait_for(move |state, _| (state.turns > turns + 5).then_some(()));
    assert_eq!(shard.run(|state, _| state.ready.clone()), []);
    second_peer.write_all(b"x").unwrap();
    shard.wait_for(|state, _| state.ready.pop());
    stop(runtime);
}

fn arming_twice_notifies_once(driver: DriverChoice) {
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    let (ours, mut peer) = pair();
    let token = shard.run(move |state, io| {
        let token = state.attach(io, ours);
        io.arm_read(token);
        io.arm_read(token);
        token
    });
    shard.run(move |_, io| io.arm_read(token));
    peer.write_all(b"x").unwrap();
    shard.wait_for(|state, _| (!state.ready.is_empty()).then_some(()));
    for _ in 0..100 {
        assert_eq!(shard.run(|state, _| state.ready.len()), 1);
    }
    // The byte still lies there: arming tells at once, and again only when armed again.
    for count in 2..5 {
        shard.run(move |_, io| io.arm_read(token));
        shard.wait_for(move |state, _| (state.ready.len() == count).then_some(()));
    }
    stop(runtime);
}

fn both_directions_can_be_armed(driver: DriverChoice) {
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    let (ours, mut peer) = pair();
    shard.run(move |state, io| {
        let token = state.attach(io, ours);
        io.arm_read(token);
        io.arm_write(token);
    });
    let ready = shard.wait_for(|state, _| state.ready.pop());
    assert!(ready.writable && !ready.readable);
    for _ in 0..20 {
        assert_eq!(shard.run(|state, _| state.ready.len()), 0);
    }
    peer.write_all(b"x").unwrap();
    let ready = shard.wait_for(|state, _| state.ready.pop());
    assert!(ready.readable && !ready.writable);
    stop(runtime);
}

fn readiness_is_seen_without_parking(driver: DriverChoice) {
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    // Enough sockets with unread bytes and nothing armed to fill any list of events.
    let (noisy, mut noisy_peers): (Vec<_>, Vec<_>) = pairs(100).into_iter().unzip();
    let (ours, mut peer) = pair();
    let token = shard.run(move |state, io| {
        for stream in noisy {
            state.attach(io, stream);
        }
        let token = state.attach(io, ours);
        io.arm_read(token);
        state.next = Some(Next::Again);
        token
    });
    for peer in &mut noisy_peers {
        peer.write_all(b"unread").unwrap();
    }
    peer.write_all(b"x").unwrap();
    let ready = shard.wait_for(|state, _| state.ready.pop());
    assert_eq!(ready.token, token);
    stop(runtime);
}

fn a_hang_up_is_told_when_armed_later(driver: DriverChoice) {
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    let (ours, peer) = pair();
    let token = shard.run(move |state, io| state.attach(io, ours));
    // Unread bytes at the peer turn its close into a reset, so both ends are hung up.
    let shut = shard.run(move |state, _| state.stream(token).write(b"unread").unwrap());
    assert_eq!(shut, 6);
    support::eventually("the bytes lie at the peer", || {
        peer.peek(&mut [0; 6]).is_ok()
    });
    drop(peer);
    for _ in 0..100 {
        assert_eq!(shard.run(|state, _| state.ready.len()), 0);
    }
    shard.run(move |_, io| {
        io.arm_read(token);
        io.arm_write(token);
    });
    let ready = shard.wait_for(|state, _| {
        let readable = state.ready.iter().any(|ready| ready.readable);
        let writable = state.ready.iter().any(|ready| ready.writable);
        (readable && writable).then(|| state.ready.clone())
    });
    assert!(ready.iter().all(|ready| ready.token == token));
    stop(runtime);
}

fn the_peer_sees_the_end_at_once(driver: DriverChoice) {
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    let mut worst = Duration::ZERO;
    for _ in 0..20 {
        let (ours, mut peer) = pair();
        let token = shard.run(move |state, io| {
            let token = state.attach(io, ours);
            io.arm_read(token);
            token
        });
        let begin = Instant::now();
        shard.run(move |state, io| state.close(io, token));
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        worst = worst.max(begin.elapsed());
    }
    eprintln!("{driver:?}: end seen after {worst:?} at worst");
    assert!(worst < Duration::from_millis(50));
    stop(runtime);
}

fn a_panic_is_reported(driver: DriverChoice) {
    let runtime = script(2, driver);
    let shard = runtime.handles()[1].clone();
    shard
        .send(Box::new(|_, _| panic!("broken invariant")))
        .unwrap();
    let failure = runtime.failures().recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        failure.to_string(),
        "shard 1 failed: panic: broken invariant"
    );
    support::eventually("the shard is gone", || {
        shard.send(Box::new(|_, _| ())) == Err(Gone)
    });
    // The other still answers: ending the process is for its owner to decide.
    let other = runtime.handles()[0].clone();
    other.run(|_, _| ());
    assert_eq!(runtime.join(), Err(failure));
    other.run(|state, _| state.next = Some(Next::Stop));
}

fn a_panic_while_building_fails_the_start(driver: DriverChoice) {
    let built = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&built);
    let result = start(config(3, driver), move |shard: ShardId, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        assert_ne!(shard.index(), 1, "no luck");
        support::Script::default()
    });
    let Err(StartError::Service(failure)) = result else {
        panic!("it started");
    };
    assert_eq!(failure.shard, ShardId(1));
    assert!(failure.message.contains("no luck"), "{}", failure.message);
}

fn more_shards_than_cpus_start_with_one_warning(driver: DriverChoice) {
    let mut config = config(24, driver);
    config.pin = true;
    let runtime = start(config, |_: ShardId, _| support::Script::default()).unwrap();
    let [warning] = runtime.warnings() else {
        panic!("warnings: {:?}", runtime.warnings());
    };
    assert!(warning.starts_with("shards are not pinned: 24 shards on "));
    for (number, shard) in runtime.handles().iter().enumerate() {
        assert_eq!(shard.id().index(), number);
        let name = shard.run(|_, _| thread::current().name().map(str::to_owned));
        assert_eq!(name, Some(format!("test-{number}")));
    }
    stop(runtime);
}

fn messages_of_one_sender_stay_in_order(driver: DriverChoice) {
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    let (sender, receiver) = mpsc::channel();
    // Far more than one turn takes.
    for number in 0..5_000 {
        let sender = sender.clone();
        shard
            .send(Box::new(move |_, _| sender.send(number).unwrap()))
            .unwrap();
    }
    for number in 0..5_000 {
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok(number));
    }
    stop(runtime);
}
