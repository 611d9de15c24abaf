//! The two sides of a load: publishers of numbered bodies, and readers that read, lag, or never read.
//!
//! Everything checked here is published as [`Body`] and judged by a [`Checker`]. What a test sends of
//! its own stands in the test.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::checker::{Body, Checker, WatchId};
use super::client::RawClient;
use super::server::Server;
use super::wait::wait_until;

/// What the kernel is asked to hold for a reader that should be slow at once, in bytes.
pub(crate) const TINY_RCVBUF: usize = 4 * 1024;

/// How long the server may take for what it must do in the end.
const LIMIT: Duration = Duration::from_secs(10);

/// Bytes of messages handed to the socket at once.
const BATCH_BYTES: usize = 256 * 1024;

/// Batches that a flood has on their way.
const FLOOD_BATCHES: usize = 8;

/// A connection subscribed to `subject` under sid 1 that never reads again.
pub(crate) fn dead_reader(server: &Server, subject: &str) -> RawClient {
    let mut client = RawClient::connect_rcvbuf(server.address(), TINY_RCVBUF);
    client.connect_quiet();
    client.subscribe(subject, 1);
    client
}

/// A connection subscribed to `subject` under sid 1.
pub(crate) fn reader(address: SocketAddr, subject: &str) -> RawClient {
    let mut client = RawClient::connect(address);
    client.connect_quiet();
    client.subscribe(subject, 1);
    client
}

/// The entry of a connection in `/connz?state=closed`; waits until it is there.
pub(crate) fn closed_entry(server: &Server, cid: u64) -> Value {
    let find = || {
        let answer = server.connz("state=closed&limit=10000");
        let entries = answer["connections"].as_array().cloned();
        entries?.into_iter().find(|entry| entry["cid"] == cid)
    };
    let mut found = None;
    wait_until(LIMIT, "the connection among the closed ones", || {
        found = find();
        found.is_some()
    });
    found.unwrap_or_default()
}

/// Sends bodies of publisher 0, each with a PING whose PONG is waited for; gives all these waits.
pub(crate) fn publish_with_pongs(
    publisher: &mut RawClient,
    run: u64,
    subject: &str,
    count: u64,
    bytes: usize,
) -> Vec<Duration> {
    let mut waits = Vec::new();
    for sequence in 0..count {
        let body = Body {
            run,
            publisher: 0,
            sequence,
        };
        let mut out = body.publish(subject, bytes);
        out.extend_from_slice(b"PING\r\n");
        let begin = Instant::now();
        publisher.send(out);
        publisher.expect("PONG\r\n");
        waits.push(begin.elapsed());
    }
    waits
}

/// A numbered publisher: its connection, the run it belongs to, the length of its bodies.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// Where it sends. No message may arrive here.
    pub(crate) client: RawClient,
    /// See [`Body::run`].
    pub(crate) run: u64,
    /// See [`Body::publisher`].
    pub(crate) number: u32,
    /// Bytes of each body.
    pub(crate) bytes: usize,
}

impl Publisher {
    /// Sends these bodies as fast as they are taken, then waits for everything to be handled; gives the
    /// time from the first byte to the PONG.
    #[track_caller]
    pub(crate) fn publish(&mut self, subject: &str, sequences: Range<u64>) -> Duration {
        let begin = Instant::now();
        let mut batch = Vec::new();
        for sequence in sequences {
            let body = Body {
                run: self.run,
                publisher: self.number,
                sequence,
            };
            batch.extend_from_slice(&body.publish(subject, self.bytes));
            if batch.len() >= BATCH_BYTES {
                self.client.send(&batch);
                batch.clear();
            }
        }
        self.client.send(&batch);
        let strays = self.client.messages_until_pong();
        assert!(strays.is_empty(), "for a publisher: {strays:?}");
        begin.elapsed()
    }
}

/// Sends bodies of publisher 0 from a connection of its own, as [`Publisher::publish`] does.
pub(crate) fn publish_all(
    address: SocketAddr,
    run: u64,
    subject: &str,
    count: u64,
    bytes: usize,
) -> Duration {
    let mut client = RawClient::connect(address);
    client.connect_quiet();
    client.set_limit(Duration::from_secs(60));
    let mut publisher = Publisher {
        client,
        run,
        number: 0,
        bytes,
    };
    publisher.publish(subject, 0..count)
}

/// Sends `message`, a whole operation, over and over as fast as it is taken until told to stop, then
/// waits for all of it to be handled; gives how often it was sent.
///
/// About `ahead` bytes are on their way, and not more: what would lie in sockets in the end, several
/// megabytes otherwise, may be an hour's work for a server that makes a thousand messages of each.
#[track_caller]
pub(crate) fn flood(
    client: &mut RawClient,
    message: &[u8],
    ahead: usize,
    stop: &AtomicBool,
) -> u64 {
    client.set_limit(Duration::from_secs(60));
    let count = (ahead / FLOOD_BATCHES / message.len()).max(1);
    let mut batch = message.repeat(count);
    batch.extend_from_slice(b"PING\r\n");
    let (mut sent, mut answered) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        client.send(&batch);
        sent += 1;
        if sent > answered + FLOOD_BATCHES {
            client.expect("PONG\r\n");
            answered += 1;
        }
    }
    for _ in answered..sent {
        client.expect("PONG\r\n");
    }
    (sent * count) as u64
}

/// A `PUB` of this subject with `bytes` bytes of payload.
pub(crate) fn publication(subject: &str, bytes: usize) -> Vec<u8> {
    format!("PUB {subject} {bytes}\r\n{}\r\n", "x".repeat(bytes)).into_bytes()
}

/// What one reader received, for the checker that joins them.
pub(crate) struct Taken {
    /// The bodies, judged.
    pub(crate) payloads: Checker,
    /// The only watch of that checker.
    pub(crate) watch: WatchId,
}

/// Reads `count` messages of publisher 0, no faster than `bytes_per_second`, and checks them.
pub(crate) fn read_all(
    client: &mut RawClient,
    run: u64,
    count: u64,
    bytes_per_second: f64,
) -> Taken {
    client.set_limit(Duration::from_secs(30));
    let mut payloads = Checker::new(run);
    let watch = payloads.watch(format!("reader {}", client.cid()));
    payloads.must(watch, 0, 0..count);
    let begin = Instant::now();
    let mut bytes = 0.0;
    for _ in 0..count {
        let message = client.message();
        bytes += message.payload.len() as f64;
        payloads.received(watch, 0, &message.payload);
        let due = Duration::from_secs_f64(bytes / bytes_per_second);
        let early = due.saturating_sub(begin.elapsed());
        // The pace is the input here, so this waits for no condition. Short waits are saved up.
        if early > Duration::from_millis(2) {
            thread::sleep(early);
        }
    }
    Taken { payloads, watch }
}

/// Reads and forgets, `pause` between two reads of `bytes`, until told to stop or the connection ends.
pub(crate) fn sip(client: &RawClient, bytes: usize, pause: Duration, stop: &AtomicBool) {
    let mut stream = client.stream();
    let timeout = stream.set_read_timeout(Some(Duration::from_millis(50)));
    timeout.expect("set a read timeout");
    let mut buffer = vec![0; bytes];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => thread::sleep(pause),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

/// Raises a flag when it goes out of scope, by a panic, too: the threads of a scope are waited for.
pub(crate) struct StopAtEnd<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
