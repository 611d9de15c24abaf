//! What the loop counts, on both drivers.

mod support;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use gnatsd_shards::{DriverChoice, Io, LONG_TURN, LoopStats, Next, Service, start};
use support::{PATIENCE, RunStep, config, script, stop};

support::on_both_drivers!(
    a_long_turn_is_counted_and_told,
    turns_and_sleeps_are_counted,
);

/// One turn that is too long, then one that reports.
struct Slow {
    told: Vec<Duration>,
    end: mpsc::Sender<(Vec<Duration>, LoopStats)>,
    has_slept: bool,
}

impl Service for Slow {
    type Control = ();
    type Batch = ();

    fn control(&mut self, _: &mut impl Io, (): ()) {}

    fn turn(&mut self, io: &mut impl Io) -> Next {
        if self.has_slept {
            self.end.send((self.told.clone(), io.stats())).unwrap();
            return Next::Stop;
        }
        thread::sleep(LONG_TURN + Duration::from_millis(1));
        self.has_slept = true;
        Next::Again
    }

    fn long_turn(&mut self, took: Duration) {
        self.told.push(took);
    }
}

fn a_long_turn_is_counted_and_told(driver: DriverChoice) {
    let (end, result) = mpsc::channel();
    let end = std::sync::Mutex::new(end);
    let runtime = start(config(1, driver), move |_, _| Slow {
        told: Vec::new(),
        end: end.lock().unwrap().clone(),
        has_slept: false,
    })
    .unwrap();
    let (told, stats) = result.recv_timeout(PATIENCE).unwrap();
    runtime.join().unwrap();
    assert_eq!((stats.turns, stats.long_turns), (1, 1));
    assert_eq!(told, [stats.longest_turn]);
    assert!(told[0] > LONG_TURN);
}

fn turns_and_sleeps_are_counted(driver: DriverChoice) {
    let runtime = script(1, driver);
    let shard = &runtime.handles()[0];
    let begin = Instant::now();
    let before = shard.run(|state, io| (state.turns, io.stats()));
    thread::sleep(Duration::from_millis(100));
    let after = shard.run(|state, io| (state.turns, io.stats()));
    let elapsed = begin.elapsed();
    assert_eq!(after.0, after.1.turns);
    assert!(after.1.turns > before.1.turns);
    assert!(after.1.parks > before.1.parks);
    let parked = after.1.parked - before.1.parked;
    assert!(parked > Duration::from_millis(50) && parked <= elapsed);
    assert_eq!(after.1.rescues, 0);
    stop(runtime);
}
