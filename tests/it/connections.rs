//! Many connections: that they come and go without a trace, and cost little while they are idle.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::support::{Driver, RawClient, Server, both_drivers, heavy, process, wait_until};

/// How long the server may take for what it must do in the end.
const LIMIT: Duration = Duration::from_secs(10);

const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";

/// How a connection of the churn ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Orderly,
    Reset,
    /// The sending side first, then what the server still says.
    HalfClosed,
    /// In the middle of a payload, that is received in place or not.
    MidPayload,
    /// As before, with a reset.
    MidPayloadReset,
    /// Before a word was said, INFO unread.
    Unread,
}

const ENDS: [End; 6] = [
    End::Orderly,
    End::Reset,
    End::HalfClosed,
    End::MidPayload,
    End::MidPayloadReset,
    End::Unread,
];

/// One connection that ends so.
fn come_and_go(address: SocketAddr, end: End) {
    let mut stream = TcpStream::connect(address).expect("connect");
    let limit = stream.set_read_timeout(Some(LIMIT));
    limit.expect("set a read timeout");
    if matches!(end, End::Unread) {
        return;
    }
    stream
        .write_all(format!("{CONNECT}SUB churn.{end:?} 1\r\nPING\r\n").as_bytes())
        .expect("send");
    read_until(&mut stream, b"PONG\r\n");
    let mut payload = b"PUB churn 200000\r\n".to_vec();
    payload.resize(100_000, b'x');
    let reset = |stream: &TcpStream| {
        SockRef::from(stream)
            .set_linger(Some(Duration::ZERO))
            .expect("set SO_LINGER");
    };
    match end {
        End::Orderly | End::Unread => {}
        End::Reset => reset(&stream),
        End::HalfClosed => {
            stream.write_all(b"PING\r\n").expect("send");
            stream.shutdown(Shutdown::Write).expect("half close");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).expect("the server closes");
            assert_eq!(rest, b"PONG\r\n");
        }
        End::MidPayload => stream.write_all(&payload).expect("send"),
        End::MidPayloadReset => {
            stream.write_all(&payload[..1000]).expect("send");
            reset(&stream);
        }
    }
}

fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    while !got.ends_with(end) {
        let count = stream.read(&mut buffer).expect("an answer");
        assert!(count > 0, "closed after {}", got.escape_ascii());
        got.extend_from_slice(&buffer[..count]);
    }
}

/// So many connections, two at a time.
fn churn(address: SocketAddr, count: usize) {
    thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for number in (half..count).step_by(2) {
                    come_and_go(address, ENDS[number / 2 % ENDS.len()]);
                }
            });
        }
    });
}

/// The value at `part` of a sorted list.
fn quantile(sorted: &[Duration], part: f64) -> Duration {
    let at = (sorted.len() as f64 * part) as usize;
    sorted[at.min(sorted.len() - 1)]
}

/// A connection that sent CONNECT, one SUB and a PING; the PONG is still to come.
fn idle_connection(address: SocketAddr, number: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("connect");
    let limit = stream.set_read_timeout(Some(LIMIT));
    limit.expect("set a read timeout");
    let text = format!("{CONNECT}SUB idle.{number} 1\r\nPING\r\n");
    stream.write_all(text.as_bytes()).expect("send");
    stream
}

const IDLE: usize = 9000;

fn server_with_nofile(driver: Driver, count: u32) -> Server {
    Server::with(driver).ulimit_nofile(count).monitor().start()
}

both_drivers! {
    /// X3, short: connections that end in every way leave neither descriptors nor memory behind.
    fn x3_churn(driver) {
        let _alone = heavy();
        let server = Server::start(driver);
        server.wait_log("Server is ready", LIMIT);
        let fds = server.fd_count();
        // The list of closed connections is full after 10 000.
        churn(server.address(), 10_500);
        wait_until(LIMIT, "descriptors of the first churn closed", || server.fd_count() == fds);
        let base = server.rss_bytes();
        let begin = Instant::now();
        churn(server.address(), 2000);
        let took = begin.elapsed();
        let back = wait_until(LIMIT, "descriptors closed", || server.fd_count() == fds);
        let allowed = base + base / 20;
        wait_until(LIMIT, "memory at its base", || server.rss_bytes() <= allowed);
        println!(
            "X3 {}: 2000 connections in {took:.2?}, {fds} descriptors again after {back:.1?}, RSS {} KiB, was {} KiB",
            driver.name(),
            server.rss_bytes() / 1024,
            base / 1024,
        );
        server.raw_client();
    }

    /// E1: no descriptors left. Who is connected notices nothing, and who waits is served when there are some.
    fn e1_out_of_descriptors(driver) {
        let _alone = heavy();
        let server = Server::with(driver).ulimit_nofile(64).start();
        let mut old: Vec<RawClient> = (0..8).map(|_| server.raw_client()).collect();
        let mut dials: Vec<TcpStream> = (0..100)
            .map(|_| TcpStream::connect(server.address()).expect("the kernel takes connections"))
            .collect();
        server.wait_log("Accept Error", LIMIT);
        // The first few pauses are short; what counts is the state it comes to.
        server.wait_log("sleeping 1000ms", LIMIT);
        let cpu = server.cpu_time();
        let begin = Instant::now();
        let mut pings = Vec::new();
        while begin.elapsed() < Duration::from_secs(2) {
            for client in &mut old {
                let sent = Instant::now();
                client.ping();
                pings.push(sent.elapsed());
            }
            thread::sleep(Duration::from_millis(100));
        }
        let load = (server.cpu_time() - cpu).as_secs_f64() / begin.elapsed().as_secs_f64();
        pings.sort_unstable();

        // Those that were served have their INFO; one of the others waits first in line.
        let is_served = |stream: &TcpStream| {
            stream.set_nonblocking(true).expect("set non-blocking");
            let is_served = stream.peek(&mut [0]).is_ok();
            stream.set_nonblocking(false).expect("set blocking");
            is_served
        };
        let served = dials.iter().take_while(|stream| is_served(stream)).count();
        assert!(served > 0 && served < dials.len(), "{served} of 100 dials served");
        let mut waiting = dials.split_off(served);
        let log = server.log_mark();
        let begin = Instant::now();
        drop(dials);
        waiting[0].set_read_timeout(Some(LIMIT)).expect("set a read timeout");
        read_until(&mut waiting[0], b"\r\n");
        let took = begin.elapsed();
        println!(
            "E1 {}: {served} of 100 dials served, CPU {:.2} % of a core, PING of the old p99 {:.1?}, \
             served {took:.2?} after descriptors came back",
            driver.name(),
            load * 100.0,
            quantile(&pings, 0.99),
        );
        assert!(load <= 0.05, "{load} of a core");
        assert!(took <= Duration::from_secs(1), "served after {took:?} only");
        for client in &mut old {
            client.ping();
        }
        let errors = server.log()[log..].matches("Accept Error").count();
        assert!(errors < 10, "{errors} accept errors after descriptors came back");
    }

    /// Idle connections, one subscription each: what they cost in memory and processor time, and (X6,
    /// short) that a message for one of them arrives at once.
    fn idle_connections_are_cheap(driver) {
        let _alone = heavy();
        process::raise_nofile();
        let server = server_with_nofile(driver, 20_000);
        let mut clients: Vec<TcpStream> =
            (0..50).map(|number| idle_connection(server.address(), IDLE + number)).collect();
        for client in &mut clients {
            read_until(client, b"PONG\r\n");
        }
        let base = server.rss_bytes();
        let begin = Instant::now();
        let mut idle: Vec<TcpStream> =
            (0..IDLE).map(|number| idle_connection(server.address(), number)).collect();
        for client in &mut idle {
            read_until(client, b"PONG\r\n");
        }
        let made = begin.elapsed();
        assert_eq!(server.varz()["connections"], IDLE + clients.len());
        let each = (server.rss_bytes() - base) as f64 / IDLE as f64;

        // Processor time is what is measured, so the time is fixed.
        let (cpu, begin) = (server.cpu_time(), Instant::now());
        thread::sleep(Duration::from_secs(3));
        let load = (server.cpu_time() - cpu).as_secs_f64() / begin.elapsed().as_secs_f64();

        let mut publisher = server.raw_client();
        let mut delays = Vec::new();
        for number in (0..IDLE).step_by(IDLE / 30) {
            let sent = Instant::now();
            publisher.send(format!("PUB idle.{number} 2\r\nhi\r\n"));
            read_until(&mut idle[number], b"hi\r\n");
            delays.push(sent.elapsed());
            // Let it fall asleep again.
            thread::sleep(Duration::from_millis(20));
        }
        delays.sort_unstable();
        println!(
            "idle {}: {IDLE} connections in {made:.2?}, {each:.0} bytes each, CPU {:.3} % of a core; \
             X6: delivery after {:.2?} (median), {:.2?} (p90), {:.2?} (worst)",
            driver.name(),
            load * 100.0,
            quantile(&delays, 0.5),
            quantile(&delays, 0.9),
            quantile(&delays, 1.0),
        );
        drop(idle);
        wait_until(LIMIT, "all of them gone", || server.varz()["connections"] == clients.len() + 1);
        assert!(each <= 2048.0, "{each} bytes for an idle connection");
        assert!(load <= 0.01, "{load} of a core");
        // On a busy machine one of many waits longer for a processor, whatever it waits for; a wake-up
        // that was lost would show as a delay of up to a second.
        assert!(quantile(&delays, 0.9) <= Duration::from_millis(5), "{delays:?}");
        assert!(quantile(&delays, 1.0) <= Duration::from_millis(50), "{delays:?}");
    }
}
