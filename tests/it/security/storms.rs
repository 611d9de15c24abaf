//! Logins in large numbers: those that never come (A1), and those that take work (A7). Everybody else is served.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::hashes::SLOW_HASH;
use super::{LIMIT, TIMEOUT, connect};
use crate::support::crowd::{Member, bounds, look_at, watch_all};
use crate::support::load::StopAtEnd;
use crate::support::soak::long_time;
use crate::support::times::{Times, ask_until, probe_until};
use crate::support::{RawClient, Server, heavy, is_long, long, on_shards, process, wait_until};

/// Connections that never log in.
const HALF_OPEN: usize = 2000;

/// Time for a login in A1.
const LOGIN_TIME: Duration = Duration::from_secs(3);

/// Memory that each of them may take on the server, in bytes.
const HALF_OPEN_BYTES: u64 = 8 * 1024;

/// Time between two bytes of those that drip.
const DRIP: Duration = Duration::from_millis(100);

/// The right login of A1.
const GOOD: &str = r#"{"verbose":false,"user":"u","pass":"p"}"#;

/// Logins attempted in each second of A7.
const HASHES_PER_SECOND: u32 = 50;

/// The p99 that a probe may have in a soak run, which has the machine for itself; in the test suite there is none.
fn assert_p99(what: &str, times: &Times, limit: Duration) {
    if is_long() {
        assert!(times.quantile(0.99) <= limit, "{what}: {times}");
    }
}

on_shards! {
    fn a1_half_open_connections(driver, cores) on one, two, four {
        let _alone = heavy();
        process::raise_nofile();
        let conf = "authorization { user: u, password: p, timeout: 3 }";
        let server = Server::with(driver).cores(cores).conf(conf).monitor().start();
        server.login(GOOD);
        let base = server.rss_bytes();
        let stop = AtomicBool::new(false);
        let (mut members, logins, rss) = thread::scope(|scope| {
            let _stop = StopAtEnd(&stop);
            let logging_in = scope.spawn(|| ask_until(&stop, || drop(server.login(GOOD))));
            let mut members: Vec<Member> = (0..HALF_OPEN)
                .map(|number| {
                    let bytes: &[u8] = match number % 3 {
                        0 => b"",
                        1 => b"CONNECT {\"user\":\"",
                        _ => b"CONNECT {\"verbose\":false,\"user\":\"u\",\"pass\":",
                    };
                    Member::open(server.address(), bytes)
                })
                .collect();
            let rss = server.rss_bytes();
            let mut dripped = Instant::now();
            watch_all(&mut members, LOGIN_TIME * 5, |members| {
                if dripped.elapsed() >= DRIP {
                    dripped = Instant::now();
                    for member in members.iter_mut().skip(1).step_by(3) {
                        member.send(b"x");
                    }
                }
            });
            stop.store(true, Ordering::Relaxed);
            (members, logging_in.join().expect("good logins"), rss)
        });
        let wrong = members.iter().filter(|member| member.answer() != TIMEOUT.as_bytes());
        // Bytes that nobody read may end a connection with a reset, which takes what was said.
        let wrong = wrong.filter(|member| !member.answer().is_empty()).count();
        let told = members.iter().filter(|member| !member.answer().is_empty()).count();
        let (least, most) = bounds(members.iter().filter_map(|member| member.ended));
        println!(
            "A1 {} x{cores}: {HALF_OPEN} half-open, {told} told, ended after {least:.2?} to {most:.2?}, RSS +{} KiB, \
             good logins: {logins}",
            driver.name(),
            rss.saturating_sub(base) / 1024,
        );
        assert_eq!(wrong, 0);
        assert!(told >= HALF_OPEN * 2 / 3, "{told}");
        assert!(least >= LOGIN_TIME.mul_f64(0.8), "{least:?}");
        assert!(most <= long(LOGIN_TIME * 3, LOGIN_TIME.mul_f64(1.2)), "{most:?}");
        assert!(rss <= base + HALF_OPEN as u64 * HALF_OPEN_BYTES + 8 * 1024 * 1024, "{base} grew to {rss}");
        assert_p99("good logins", &logins, Duration::from_millis(50));
        members.clear();
        wait_until(LIMIT, "all gone", || server.varz()["connections"] == 0);
        assert_eq!(server.rescues(), 0);
    }

    /// More logins than there is processor time for: they wait in turn, and nobody else does. Whoever would wait
    /// longer than a login may take is told so.
    fn a7_hashes_beside_a_probe(driver, cores) on one, two {
        let _alone = heavy();
        process::raise_nofile();
        let conf = format!(
            "authorization {{ timeout: 2, users = [{{user: probe, password: p}}, {{user: slow, password: \"{SLOW_HASH}\"}}] }}"
        );
        let server = Server::with(driver).cores(cores).conf(&conf).monitor().start();
        let mut probe = server.login(r#"{"verbose":false,"user":"probe","pass":"p"}"#);
        let threads = process::thread_count(server.pid());
        let base = server.rss_bytes();
        let time = long_time(Duration::from_secs(2), 0.5);
        let login = connect(r#""user":"slow","pass":"S3Cr3T0k3n!""#) + "PING\r\n";
        let stop = AtomicBool::new(false);
        let (members, times) = thread::scope(|scope| {
            let _stop = StopAtEnd(&stop);
            let probing = scope.spawn(|| probe_until(&stop, &mut probe));
            let begin = Instant::now();
            let mut members = Vec::new();
            while begin.elapsed() < time {
                let due = begin.elapsed().as_secs_f64() * f64::from(HASHES_PER_SECOND);
                if members.len() < due as usize {
                    members.push(Member::open(server.address(), login.as_bytes()));
                }
                look_at(&mut members);
                // The rate is the input here, so this waits for no condition.
                thread::sleep(Duration::from_millis(2));
            }
            stop.store(true, Ordering::Relaxed);
            let times = probing.join().expect("the probe");
            wait_until(Duration::from_secs(20), "an answer to everybody", || {
                look_at(&mut members);
                members.iter().all(|member| member.answered.is_some())
            });
            (members, times)
        });
        let with = |answer: &str| members.iter().filter(|m| m.answer() == answer.as_bytes()).count();
        let (in_time, too_late) = (with("PONG\r\n"), with(TIMEOUT));
        let (_, most) = bounds(members.iter().filter_map(|member| member.answered));
        println!(
            "A7 {} x{cores}: {} logins in {time:.0?}: {in_time} let in, {too_late} told of the time, answered within \
             {most:.2?}; {} threads more, peak RSS +{} KiB; probe: {times}",
            driver.name(),
            members.len(),
            process::thread_count(server.pid()) - threads,
            process::rss_peak_bytes(server.pid()).saturating_sub(base) / 1024,
        );
        assert_eq!(in_time + too_late, members.len(), "another answer");
        assert!(in_time > 0, "nobody was let in");
        assert!(most <= Duration::from_secs(long(12, 3)), "{most:?}");
        assert_p99("probe", &times, Duration::from_millis(5));
        drop(members);
        // The next one does not wait for those that have gone.
        let mut next = RawClient::connect(server.address());
        next.send(&login);
        next.expect("PONG\r\n");
        assert_eq!(server.rescues(), 0);
    }
}
