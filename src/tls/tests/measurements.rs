//! What records and idle sessions cost: figures to read, not to pass.
//!
//! ```text
//!   cargo test --release --lib tls::tests::measurements -- --ignored --nocapture --test-threads 1
//! ```

use std::fs;
use std::hint::black_box;
use std::io::{self, IoSlice, Read, Write};
use std::time::{Duration, Instant};

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::super::TlsServer;
use super::{Certs, Link, Wire};

const RECORDS: usize = 64;

/// A socket without a kernel behind it.
struct Memory<'a> {
    input: &'a [u8],
    taken: usize,
}

impl Read for Memory<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.input.read(into)
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.taken += black_box(bytes).len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn link(version: &'static SupportedProtocolVersion) -> Link {
    let certs = Certs::new();
    let server = TlsServer::new(&certs.options()).unwrap();
    Link::new(&server, &certs.client(version, None), Wire::new())
}

/// Time to receive 1 KiB that came in records of `record` bytes, read 64 KiB at a time.
fn receiving(version: &'static SupportedProtocolVersion, record: usize) -> Duration {
    let mut link = link(version);
    let mut into = vec![0; 64 * 1024];
    let bytes = vec![b'x'; record];
    let mut spent = Duration::ZERO;
    let mut received = 0;
    while spent < Duration::from_millis(300) {
        for _ in 0..RECORDS {
            link.peer.say(&bytes, &mut link.wire);
        }
        let ciphertext: Vec<_> = link.wire.up.drain(..).collect();
        let mut socket = Memory {
            input: &ciphertext,
            taken: 0,
        };
        let begin = Instant::now();
        while !socket.input.is_empty() || link.session.has_plaintext() {
            received += link
                .session
                .receive(&mut socket, &mut into, &mut link.scratch)
                .unwrap_or(0);
            black_box(&mut into);
        }
        spent += begin.elapsed();
    }
    spent / u32::try_from(received / 1024).unwrap()
}

/// Time to send 1 KiB, `batch` slices of that size at a time.
fn sending(version: &'static SupportedProtocolVersion, batch: usize) -> Duration {
    let mut link = link(version);
    let message = vec![b'x'; 1024];
    let slices = vec![IoSlice::new(&message); batch];
    let mut socket = Memory {
        input: &[],
        taken: 0,
    };
    let begin = Instant::now();
    let mut sent = 0;
    while begin.elapsed() < Duration::from_millis(300) {
        for _ in 0..10 {
            sent += link
                .session
                .send(&mut socket, &slices, &mut link.scratch)
                .unwrap();
        }
    }
    assert!(socket.taken > sent);
    begin.elapsed() / u32::try_from(sent / 1024).unwrap()
}

#[test]
#[ignore = "measures time, see the head of the file"]
fn records() {
    for version in [&TLS12, &TLS13] {
        for record in [1024, 16 * 1024] {
            let time = receiving(version, record);
            println!("{version:?}: receive 1 KiB in records of {record}: {time:?}");
        }
        for batch in [1, 16, 64] {
            let time = sending(version, batch);
            println!("{version:?}: send 1 KiB, {batch} at a time: {time:?}");
        }
    }
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
#[ignore = "measures time, see the head of the file"]
fn idle_sessions() {
    const SESSIONS: usize = 4000;
    let certs = Certs::new();
    let server = TlsServer::new(&certs.options()).unwrap();
    let mut sessions = Vec::with_capacity(2 * SESSIONS);
    for version in [&TLS12, &TLS13] {
        let client = certs.client(version, None);
        // What the first ones leave behind in the allocator is not theirs.
        for _ in 0..100 {
            drop(Link::new(&server, &client, Wire::new()));
        }
        let before = resident_bytes();
        for _ in 0..SESSIONS {
            let mut link = Link::new(&server, &client, Wire::new());
            link.peer.say(&[b'x'; 1024], &mut link.wire);
            assert_eq!(link.receive(64 * 1024).unwrap().len(), 1024);
            link.send(&[b'x'; 1024], 1024);
            sessions.push(Box::new(link.session));
        }
        let each = (resident_bytes() - before) / SESSIONS;
        let own = size_of_val(&*sessions[0]);
        println!(
            "{version:?}: {each} bytes resident for an idle session, {own} of them in Session"
        );
    }
}

#[test]
#[ignore = "measures time, see the head of the file"]
fn handshakes() {
    let certs = Certs::new();
    let server = TlsServer::new(&certs.options()).unwrap();
    for version in [&TLS12, &TLS13] {
        let client = certs.client(version, None);
        let mut scratch = super::Scratch::new();
        let mut spent = Duration::ZERO;
        let mut worst = Duration::ZERO;
        const HANDSHAKES: u32 = 1000;
        for _ in 0..HANDSHAKES {
            // Without a ticket of before: a client keeps those in its configuration.
            let mut config = (*client).clone();
            config.resumption = rustls::client::Resumption::disabled();
            let mut peer = super::Peer::new(&config.into());
            let mut wire = Wire::new();
            let mut session = server.session();
            loop {
                peer.exchange(&mut wire).unwrap();
                let begin = Instant::now();
                let step = session.handshake(&mut wire, &mut scratch);
                let took = begin.elapsed();
                spent += took;
                worst = worst.max(took);
                if step == super::Step::Done {
                    break;
                }
            }
        }
        let each = spent / HANDSHAKES;
        println!(
            "{version:?}: {each:?} of the server's time for a handshake, {worst:?} in one call at most"
        );
    }
}
