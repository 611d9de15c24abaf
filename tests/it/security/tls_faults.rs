//! T1: what is no TLS on a port for TLS, and TLS where there is none. It ends at once or when the time for
//! handshakes is over, with a line in the log, and costs nobody else anything.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::tls_policy::old_hello;
use super::{LIMIT, connect, tls_builder};
use crate::support::crowd::{Member, bounds, watch_all};
use crate::support::load::StopAtEnd;
use crate::support::times::probe_until;
use crate::support::{
    Authority, Driver, RawClient, Server, TlsClient, heavy, is_long, long, on_shards, process,
    wait_until,
};

/// Time for a handshake in these tests.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// Silent connections at once.
const SILENT: usize = 1000;

/// Memory of the server that a connection may take which has said nothing, in bytes.
const SILENT_BYTES: u64 = 4 * 1024;

/// More handshakes at once than a shard lets be under way.
const CROWD: usize = 1300;

/// Memory of failed handshakes that a server may keep, in bytes, and what else it may take meanwhile.
const KEPT_BYTES: u64 = (8 + 4) * 1024 * 1024;

/// Clients of a server that stands still.
const STOPPED: usize = 40;

const NO_HANDSHAKE: &str = "tls: first record does not look like a TLS handshake";

/// A server with a short time for handshakes.
fn server(driver: Driver, authority: &Authority, cores: usize) -> Server {
    let builder = tls_builder(driver, authority, "timeout: 1.5", "");
    builder.cores(cores).monitor().args(&["-D"]).start()
}

/// The first flight of a client.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = ClientConnection::new(Arc::clone(config), name).expect("a connection");
    let mut bytes = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut bytes).expect("bytes in memory");
    }
    bytes
}

/// A record of the greatest length with the beginning of a hello that is longer still.
fn half_message() -> Vec<u8> {
    let mut record = vec![22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xf0, 3, 3];
    record.resize(5 + 0x4000, b'a');
    record
}

/// What a client sends, whether it ends before its time is over, and what the log says then.
struct Fault {
    name: &'static str,
    bytes: Vec<u8>,
    /// End the sending side behind it.
    is_cut: bool,
    is_quick: bool,
    line: &'static str,
}

fn faults(authority: &Authority) -> Vec<Fault> {
    let whole = hello(&TlsClient::new(authority).config());
    let fault = |name, bytes: &[u8], is_quick, line| Fault {
        name,
        bytes: bytes.to_vec(),
        is_cut: false,
        is_quick,
        line,
    };
    let cut = |fault: Fault| Fault {
        is_cut: true,
        ..fault
    };
    let oversized = [&[22, 3, 1, 0xff, 0xff][..], &[0; 65_535]].concat();
    let endless = [
        &[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..],
        &vec![0; 0x4000 - 4],
    ]
    .concat();
    vec![
        fault(
            "CONNECT",
            (connect("") + "PING\r\n").as_bytes(),
            true,
            NO_HANDSHAKE,
        ),
        fault("HTTP", b"GET / HTTP/1.1\r\n\r\n", true, NO_HANDSHAKE),
        fault("one byte", b"C", true, NO_HANDSHAKE),
        fault("zeros", &[0; 4000], true, NO_HANDSHAKE),
        fault("application data", &[23, 3, 3, 0, 1, 0], true, NO_HANDSHAKE),
        fault(
            "a record that cannot be",
            &oversized,
            true,
            "tls: oversized record received",
        ),
        fault("a message that has no end", &endless, true, "tls: "),
        fault(
            "a message of many records",
            &[half_message(), half_message()].concat(),
            true,
            "tls: handshake message too large",
        ),
        fault(
            "nonsense in a record",
            &[22, 3, 1, 0, 5, 9, 9, 9, 9, 9],
            true,
            "tls: ",
        ),
        fault(
            "an old version",
            &old_hello(2),
            true,
            "tls: client offered only unsupported versions: [302 301]",
        ),
        fault("two bytes of a hello", &whole[..2], false, "i/o timeout"),
        fault(
            "half a hello",
            &whole[..whole.len() / 2],
            false,
            "i/o timeout",
        ),
        fault("a hello and no more", &whole, false, "i/o timeout"),
        fault("nothing", b"", false, "i/o timeout"),
        cut(fault("nothing, then the end", b"", true, "EOF")),
        cut(fault(
            "half a hello, then the end",
            &whole[..whole.len() / 2],
            true,
            "EOF",
        )),
    ]
}

/// Reads up to the end; gives the time of the end, from now.
fn time_to_end(stream: &mut TcpStream) -> Duration {
    let begin = Instant::now();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set a read timeout");
    let mut rest = Vec::new();
    // A reset is an end as well.
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset,
            "no end: {error}"
        );
    }
    begin.elapsed()
}

/// Log lines about the handshake of the connection from this port.
fn handshake_lines(server: &Server, port: u16) -> String {
    let prefix = format!(" 127.0.0.1:{port} - cid:");
    let log = server.log();
    let mut lines = String::new();
    for line in log
        .lines()
        .filter(|line| line.contains(&prefix) && line.contains("TLS handshake"))
    {
        let _ = writeln!(lines, "{line}");
    }
    lines
}

on_shards! {
    fn t1_no_handshake(driver, cores) on one {
        let authority = Authority::new();
        let server = server(driver, &authority, cores);
        let fds = server.fd_count();
        for fault in faults(&authority) {
            let client = server.bare_client();
            let mut stream = client.stream().try_clone().expect("a handle");
            // The server may close in the middle of it.
            let _ = stream.write_all(&fault.bytes);
            if fault.is_cut {
                stream.shutdown(Shutdown::Write).expect("shut down");
            }
            let took = time_to_end(&mut stream);
            let port = client.local_port();
            wait_until(LIMIT, fault.name, || handshake_lines(&server, port).contains("TLS handshake error: "));
            let lines = handshake_lines(&server, port);
            println!("T1 {} x{cores}: {}: {took:.1?}, {}", driver.name(), fault.name, lines.trim_end());
            assert!(lines.contains("[ERR]") && lines.contains(fault.line), "{}: {lines}", fault.name);
            if fault.is_quick {
                assert!(took < TIMEOUT.mul_f64(0.8), "{}: {took:?}", fault.name);
            } else {
                assert!(took >= TIMEOUT.mul_f64(0.8), "{}: {took:?}", fault.name);
                assert!(took < TIMEOUT + Duration::from_secs(4), "{}: {took:?}", fault.name);
            }
        }
        wait_until(LIMIT, "nothing left", || {
            server.varz()["connections"] == 0 && server.fd_count() <= fds
        });
        let config = TlsClient::new(&authority).config();
        server.tls_client(&config).ping();
    }

    /// TLS on a port without it is an operation that does not exist.
    fn t1_tls_where_there_is_none(driver, cores) on one {
        let authority = Authority::new();
        for args in [&[][..], &["--auth", "x"]] {
            let server = Server::with(driver).cores(cores).args(args).start();
            let mut client = server.bare_client();
            let port = client.local_port();
            client.send(hello(&TlsClient::new(&authority).config()));
            let begin = Instant::now();
            let told = String::from_utf8_lossy(&client.read_to_end()).into_owned();
            let text = if args.is_empty() { "Unknown Protocol Operation" } else { "Authorization Violation" };
            // What it sent and nobody read may end it with a reset, which takes what was said.
            assert!(told.is_empty() || told == format!("-ERR '{text}'\r\n"), "{told}");
            assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
            server.wait_log(&format!("[ERR] 127.0.0.1:{port} - cid:"), LIMIT);
        }
    }

    /// Many that say nothing: all end when their time is over, and cost little.
    fn t1_a_thousand_silent(driver, cores) on one, two {
        let _alone = heavy();
        process::raise_nofile();
        let authority = Authority::new();
        let server = server(driver, &authority, cores);
        let config = TlsClient::new(&authority).config();
        // Whatever a first connection makes is there.
        let mut good = server.tls_client(&config);
        good.ping();
        let base = server.rss_bytes();
        let stop = AtomicBool::new(false);
        let (times, rss, members) = thread::scope(|scope| {
            let _stop = StopAtEnd(&stop);
            let probe = scope.spawn(|| probe_until(&stop, &mut good));
            let mut members: Vec<_> =
                (0..SILENT).map(|_| Member::open(server.address(), b"")).collect();
            let rss = server.rss_bytes();
            watch_all(&mut members, TIMEOUT * 10, |_| {});
            stop.store(true, Ordering::Relaxed);
            (probe.join().expect("the probe"), rss, members)
        });
        let (least, most) = bounds(members.iter().filter_map(|member| member.ended));
        println!(
            "T1 {} x{cores}: {SILENT} silent, ended after {least:.2?} to {most:.2?}, RSS +{} KiB, peak {} KiB",
            driver.name(),
            rss.saturating_sub(base) / 1024,
            process::rss_peak_bytes(server.pid()) / 1024,
        );
        assert!(least >= TIMEOUT.mul_f64(0.8), "{least:?}");
        assert!(most < long(TIMEOUT * 4, TIMEOUT.mul_f64(1.2)), "{most:?}");
        println!("T1 {} x{cores}: a good client meanwhile: {times}", driver.name());
        let bound = SILENT as u64 * SILENT_BYTES + 4 * 1024 * 1024;
        assert!(rss <= base + bound, "{base} grew to {rss}");
        if is_long() {
            assert!(times.quantile(0.99) <= Duration::from_millis(50), "{times}");
        }
        wait_until(LIMIT, "all gone", || server.varz()["connections"] == 1);
        let lines = server.log().matches("TLS handshake error: i/o timeout\n").count();
        assert_eq!(lines, SILENT);
        assert_eq!(server.rescues(), 0);
    }

    /// Those that begin and do not go on keep nobody from beginning.
    fn t1_a_crowd_that_begins(driver, cores) on one {
        let _alone = heavy();
        process::raise_nofile();
        let authority = Authority::new();
        let builder = tls_builder(driver, &authority, "timeout: 20", "");
        let server = builder.cores(cores).monitor().start();
        let config = TlsClient::new(&authority).config();
        let whole = hello(&config);
        let half_message = [&[22, 3, 1, 0, 100][..], &whole[5..105]].concat();
        let kinds = [
            ("a byte", &whole[..1]),
            ("half a record", &whole[..whole.len() / 2]),
            ("half a message", &half_message),
            ("a hello", &whole),
        ];
        for (name, bytes) in kinds {
            let members: Vec<_> =
                (0..CROWD).map(|_| Member::open(server.address(), bytes)).collect();
            let begin = Instant::now();
            server.tls_client(&config).ping();
            let took = begin.elapsed();
            println!("T1 {} x{cores}: behind {CROWD} times {name}: {took:.1?}", driver.name());
            assert!(took < Duration::from_secs(8), "{name}: {took:?}");
            drop(members);
            wait_until(LIMIT, "all gone", || server.varz()["connections"] == 0);
        }
        assert_eq!(server.rescues(), 0);
    }

    /// What came while the server stood still came in time.
    fn t1_stopped_while_hellos_come(driver, cores) on one, two {
        let authority = Authority::new();
        let server = server(driver, &authority, cores);
        let config = TlsClient::new(&authority).config();
        let clients: Vec<_> = (0..STOPPED).map(|_| server.bare_client()).collect();
        server.signal(Signal::STOP);
        let failed = thread::scope(|scope| {
            let start = |client: RawClient| {
                let mut client = client.start_tls(&config)?;
                client.connect_quiet();
                Ok(client)
            };
            let starting: Vec<_> =
                clients.into_iter().map(|client| scope.spawn(move || start(client))).collect();
            // Standing still is the input.
            thread::sleep(TIMEOUT + Duration::from_millis(500));
            server.signal(Signal::CONT);
            let results: Vec<std::io::Result<RawClient>> =
                starting.into_iter().map(|thread| thread.join().expect("a client")).collect();
            results.into_iter().filter_map(Result::err).collect::<Vec<_>>()
        });
        assert!(failed.is_empty(), "{} of {STOPPED} failed: {:?}", failed.len(), failed[0]);
    }

    /// What failed handshakes held is the system's again.
    fn t1_memory_of_half_messages(driver, cores) on one {
        let _alone = heavy();
        process::raise_nofile();
        let authority = Authority::new();
        let server = server(driver, &authority, cores);
        server.tls_client(&TlsClient::new(&authority).config()).ping();
        let base = server.rss_bytes();
        let bytes = half_message();
        let mut members: Vec<_> =
            (0..SILENT).map(|_| Member::open(server.address(), &bytes)).collect();
        watch_all(&mut members, TIMEOUT * 10, |_| {});
        wait_until(LIMIT, "all gone", || server.varz()["connections"] == 0);
        let (rss, peak) = (server.rss_bytes(), process::rss_peak_bytes(server.pid()));
        println!(
            "T1 {} x{cores}: {SILENT} half messages, RSS +{} KiB, peak +{} KiB",
            driver.name(),
            rss.saturating_sub(base) / 1024,
            peak.saturating_sub(base) / 1024,
        );
        assert!(rss <= base + KEPT_BYTES, "{base} grew to {rss}");
    }

    /// Ends in the middle of a handshake, and behind it, in every way: nothing is left.
    fn t1_gone_in_a_handshake(driver, cores) on two {
        let authority = Authority::new();
        let server = server(driver, &authority, cores);
        let config = TlsClient::new(&authority).config();
        let whole = hello(&config);
        let fds = server.fd_count();
        for round in 0..long(60, 2000) {
            let mut client = server.bare_client();
            match round % 4 {
                0 => client.send(&whole[..round % whole.len()]),
                1 => client.send(&whole),
                2 => drop(client.start_tls(&config).expect("a handshake")),
                _ => {
                    let mut client = client.start_tls(&config).expect("a handshake");
                    client.send(connect("") + "SUB gone 1\r\nPUB gone 100\r\nhalf");
                    client.reset();
                }
            }
            if round % 4 < 2 {
                let client = RawClient::connect(server.address());
                client.reset();
            }
        }
        wait_until(LIMIT, "nothing left", || {
            server.varz()["connections"] == 0 && server.fd_count() <= fds
        });
        assert_eq!(server.subsz("")["num_subscriptions"], 0);
    }
}
