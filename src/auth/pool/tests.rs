//! When a job is done, and that it is answered.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use gnatsd_core::auth::{Refusal, User};

use super::waiting::JOBS_WAITING_MAX;
use super::*;

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(60);

fn pool(threads_max: usize) -> HashPool {
    let mut pool = HashPool::new();
    pool.threads_max = threads_max;
    pool
}

impl HashPool {
    /// Submits for a client that stays, at an address of its own.
    fn submit_work(
        &self,
        work: impl FnOnce() -> Login + Send + 'static,
        deadline: Instant,
        done: impl FnOnce(Login) + Send + 'static,
    ) -> Result<(), Full> {
        static ADDRESSES: AtomicU32 = AtomicU32::new(0x0a00_0000);
        let ip = Ipv4Addr::from_bits(ADDRESSES.fetch_add(1, Ordering::Relaxed));
        self.submit_job(Job {
            takes: Duration::ZERO,
            work: Box::new(work),
            deadline,
            ip: ip.into(),
            presence: Box::new(|| Presence::There),
            done: Box::new(done),
        })
    }
}

fn refused(is_late: bool) -> Login {
    Login::Refused(Refusal {
        detail: None,
        is_late,
    })
}

fn granted(name: &str) -> Login {
    Login::Granted(Arc::new(User {
        name: name.into(),
        permissions: None,
    }))
}

/// Occupies a thread until the sender goes; waits until it does.
fn occupy(pool: &HashPool) -> Sender<()> {
    let (release, released) = channel::<()>();
    let (begin, begun) = channel();
    pool.submit_work(
        move || {
            begin.send(()).unwrap();
            let _ = released.recv();
            granted("occupier")
        },
        Instant::now() + LONG,
        |_| {},
    )
    .unwrap();
    begun.recv_timeout(LONG).unwrap();
    release
}

/// Submits work that grants its number; the answers come with it.
fn submit(pool: &HashPool, number: usize, deadline: Instant, answers: &Sender<(usize, Login)>) {
    let answers = answers.clone();
    pool.submit_work(
        move || granted(&number.to_string()),
        deadline,
        move |login| answers.send((number, login)).unwrap(),
    )
    .unwrap();
}

/// What comes until nobody is left who could send more.
fn all<T>(answers: &Receiver<T>) -> Vec<T> {
    std::iter::from_fn(|| answers.recv_timeout(LONG).ok()).collect()
}

#[test]
fn answers_what_the_work_says() {
    let pool = pool(2);
    let (send, answers) = channel();
    for number in 0..100 {
        submit(&pool, number, Instant::now() + LONG, &send);
    }
    drop(send);
    let mut answers = all(&answers);
    answers.sort_by_key(|(number, _)| *number);
    let expected: Vec<_> = (0..100).map(|n| (n, granted(&n.to_string()))).collect();
    assert_eq!(answers, expected);
}

#[test]
fn no_thread_before_the_first_job() {
    let pool = pool(3);
    assert_eq!(pool.shared.lock().running, 0);
    let release = occupy(&pool);
    assert_eq!(pool.shared.lock().running, 3);
    drop(release);
}

#[test]
fn is_bounded() {
    let pool = pool(1);
    let release = occupy(&pool);
    let (send, answers) = channel();
    for number in 0..JOBS_WAITING_MAX {
        submit(&pool, number, Instant::now() + LONG, &send);
    }
    let is_called = send.clone();
    let result = pool.submit_work(
        || panic!("there was no room for it"),
        Instant::now() + LONG,
        move |_| is_called.send((usize::MAX, refused(false))).unwrap(),
    );
    assert_eq!(result, Err(Full));
    drop((release, send));
    let mut numbers: Vec<_> = all(&answers).iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    let expected: Vec<_> = (0..JOBS_WAITING_MAX).collect();
    assert_eq!(numbers, expected, "each answered once, and none besides");
}

#[test]
fn late_jobs_are_answered_without_work() {
    let pool = pool(1);
    let release = occupy(&pool);
    let (send, answers) = channel();
    let late = send.clone();
    pool.submit_work(
        || panic!("nobody waits for it"),
        Instant::now(),
        move |login| late.send((0, login)).unwrap(),
    )
    .unwrap();
    submit(&pool, 1, Instant::now() + LONG, &send);
    // A late one behind one that is not.
    submit(&pool, 2, Instant::now(), &send);
    drop((release, send));
    let mut answers = all(&answers);
    assert_eq!(
        answers[0],
        (0, refused(true)),
        "the first in line is told first"
    );
    answers.sort_by_key(|(number, _)| *number);
    assert_eq!(answers[1..], [(1, granted("1")), (2, refused(true))]);
}

/// Nobody has to be done for that: the threads may be in hashes that take days.
#[test]
fn whoever_submits_tells_the_late_ones() {
    let pool = pool(1);
    let release = occupy(&pool);
    let (send, answers) = channel();
    let now = Instant::now();
    for number in 0..3 {
        submit(&pool, number, now, &send);
    }
    submit(&pool, 3, now + LONG, &send);
    for number in 0..3 {
        let answer = answers.recv_timeout(LONG).unwrap();
        assert_eq!(answer, (number, refused(true)));
    }
    assert!(answers.try_recv().is_err(), "the last is not late");
    drop((release, send));
    assert_eq!(all(&answers), [(3, granted("3"))]);
}

#[test]
fn no_work_for_clients_that_have_gone() {
    let pool = pool(1);
    let release = occupy(&pool);
    let (send, answers) = channel();
    for (number, presence) in [Presence::Gone, Presence::There, Presence::Leaving]
        .into_iter()
        .enumerate()
    {
        let answers = send.clone();
        pool.submit_job(Job {
            takes: Duration::ZERO,
            work: Box::new(move || {
                assert_ne!(presence, Presence::Gone);
                granted("x")
            }),
            deadline: Instant::now() + LONG,
            ip: Ipv4Addr::LOCALHOST.into(),
            presence: Box::new(move || presence),
            done: Box::new(move |login| answers.send((number, login)).unwrap()),
        })
        .unwrap();
    }
    drop((release, send));
    let expected = [(1, granted("x")), (0, refused(true)), (2, granted("x"))];
    assert_eq!(all(&answers), expected);
}

#[test]
fn the_newest_is_first() {
    let pool = pool(1);
    let release = occupy(&pool);
    let (send, answers) = channel();
    for number in 0..4 {
        submit(&pool, number, Instant::now() + LONG, &send);
    }
    drop((release, send));
    let numbers: Vec<_> = all(&answers).iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [3, 2, 1, 0]);
}

#[test]
fn panics_are_survived() {
    let pool = pool(1);
    let (send, answers) = channel();
    let deadline = Instant::now() + LONG;
    let answer = send.clone();
    pool.submit_work(
        || panic!("planted in the work"),
        deadline,
        move |login| answer.send((0, login)).unwrap(),
    )
    .unwrap();
    pool.submit_work(
        || granted("x"),
        deadline,
        |_| panic!("planted in the answer"),
    )
    .unwrap();
    submit(&pool, 1, deadline, &send);
    drop(send);
    let mut answers = all(&answers);
    answers.sort_by_key(|(number, _)| *number);
    assert_eq!(answers, [(0, refused(false)), (1, granted("1"))]);
    assert_eq!(pool.shared.lock().running, 1);
}

#[test]
fn dropping_finishes_answers_and_joins() {
    let pool = pool(2);
    let shared = Arc::downgrade(&pool.shared);
    let releases = [occupy(&pool), occupy(&pool)];
    let (send, answers) = channel();
    for number in 0..3 {
        submit(&pool, number, Instant::now() + LONG, &send);
    }
    drop(send);
    let dropping = thread::spawn(move || drop(pool));
    // The end has begun when the queue says so; only then are the threads let go on.
    while !shared.upgrade().unwrap().lock().is_closed {
        thread::yield_now();
    }
    drop(releases);
    dropping.join().unwrap();
    assert!(shared.upgrade().is_none(), "no thread is left");
    let mut answers = all(&answers);
    answers.sort_by_key(|(number, _)| *number);
    let late = |number| (number, refused(true));
    assert_eq!(answers, [late(0), late(1), late(2)]);
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let pool = pool(1);
    let release = occupy(&pool);
    let (send, answers) = channel();
    submit(&pool, 0, Instant::now() + LONG, &send);
    drop(send);
    drop(pool);
    assert_eq!(all(&answers), [(0, refused(true))]);
    drop(release);
}

#[test]
fn can_be_dropped_by_its_own_thread() {
    let pool = pool(1);
    let (send, ended) = channel();
    let (give, given) = channel::<HashPool>();
    pool.submit_work(
        || granted("x"),
        Instant::now() + LONG,
        move |_| {
            drop(given.recv().unwrap());
            send.send(()).unwrap();
        },
    )
    .unwrap();
    give.send(pool).unwrap();
    ended.recv_timeout(LONG).unwrap();
}

#[test]
fn threads_give_way_and_go_where_shards_are_not() {
    let everywhere = rustix::thread::sched_getaffinity(None).unwrap();
    let before = rustix::process::getpriority_process(None).unwrap();
    let pool = pool(1);
    // As a shard: pinned to one CPU before it submits the first job.
    let mut here = CpuSet::new();
    let cpu = (0..CpuSet::MAX_CPU).find(|&cpu| everywhere.is_set(cpu));
    here.set(cpu.unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            rustix::thread::sched_setaffinity(None, &here).unwrap();
            let (send, seen) = channel();
            pool.submit_work(
                move || {
                    let priority = rustix::process::getpriority_process(None);
                    let cpus = rustix::thread::sched_getaffinity(None);
                    send.send((priority, cpus)).unwrap();
                    granted("x")
                },
                Instant::now() + LONG,
                |_| {},
            )
            .unwrap();
            let (priority, cpus) = seen.recv_timeout(LONG).unwrap();
            assert_eq!(priority, Ok(NICE));
            assert_eq!(cpus, Ok(everywhere));
            assert_eq!(rustix::process::getpriority_process(None), Ok(before));
        });
    });
}

#[test]
fn a_pool_that_makes_no_headway_gets_relief_for_as_long_as_there_are_jobs() {
    let pool = pool(1);
    let release = occupy(&pool);
    let (send, seen) = channel();
    let begin = Instant::now();
    // It is a new job that brings it: whoever waits already has only to wait on.
    let priority = loop {
        let send = send.clone();
        pool.submit_work(
            move || {
                let priority = rustix::process::getpriority_process(None);
                send.send(priority).unwrap();
                granted("x")
            },
            Instant::now() + LONG,
            |_| {},
        )
        .unwrap();
        if let Ok(priority) = seen.recv_timeout(Duration::from_millis(20)) {
            break priority;
        }
        assert!(begin.elapsed() < LONG, "nobody came to help");
    };
    assert!(begin.elapsed() >= STARVED_AFTER - Duration::from_millis(50));
    assert_eq!(priority, Ok(NICE_OF_RELIEF));
    let has_gone = || !pool.shared.lock().has_relief;
    while !has_gone() {
        thread::yield_now();
        assert!(begin.elapsed() < LONG, "relief outstays");
    }
    assert!(pool.shared.lock().waiting.len() == 0);
    drop(release);
}
