//! A flow against a server made of a few lines, which does what real ones do too rarely to wait for.

use super::*;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

/// Bytes between two PINGs of the server: no multiple of a message.
const PING_EVERY_BYTES: usize = 10_007;

/// Messages of the measured stretch.
const MESSAGES: u64 = 20_000;

/// Accepts one connection, sends `PING` again and again, answers the client's, and returns what came.
fn pinging_server() -> (Load, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let load = Load {
        server: listener.local_addr().unwrap().to_string().into(),
        stop: Stop::Messages(MESSAGES),
        ..Load::default()
    };
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"INFO {} \r\n").unwrap();
        let mut came = Vec::new();
        let mut answered = 0;
        while let Some(bytes) = read(&mut stream, PING_EVERY_BYTES) {
            came.extend_from_slice(&bytes);
            let asked = came.windows(6).filter(|bytes| bytes == b"PING\r\n").count();
            let answers = "PONG\r\n".repeat(asked - answered) + "PING\r\n";
            answered = asked;
            // The client may have left.
            let _ = stream.write_all(answers.as_bytes());
        }
        came
    });
    (load, thread)
}

fn read(stream: &mut TcpStream, at_most: usize) -> Option<Vec<u8>> {
    let mut buffer = vec![0; at_most];
    match stream.read(&mut buffer) {
        Ok(0) | Err(_) => None,
        Ok(count) => {
            buffer.truncate(count);
            Some(buffer)
        }
    }
}

#[test]
fn a_ping_is_answered_between_two_messages() {
    let (load, server) = pinging_server();
    let outcome = run(&"pub:16".parse().unwrap(), &load).unwrap();
    assert_eq!(outcome.counted, MESSAGES);

    let came = String::from_utf8(server.join().unwrap()).unwrap();
    let mut lines = came.split_terminator("\r\n");
    let (mut messages, mut pongs) = (0, 0);
    while let Some(line) = lines.next() {
        match line {
            "PUB foo 16" => {
                assert_eq!(lines.next(), Some("xxxxxxxxxxxxxxxx"));
                messages += 1;
            }
            "PONG" => pongs += 1,
            "PING" => {}
            line => assert!(line.starts_with("CONNECT "), "{line:?}"),
        }
    }
    // One tenth more to warm up.
    assert_eq!(messages, MESSAGES + MESSAGES / 10);
    assert!(pongs > 10, "{pongs}");
}

#[test]
fn a_server_that_ends_is_an_error() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"INFO {} \r\n").unwrap();
        while !read(&mut stream, 1000).unwrap().ends_with(b"PING\r\n") {}
        stream
            .write_all(b"PONG\r\n-ERR 'Stale Connection'\r\n")
            .unwrap();
        // Read what is on its way, so that the last words are not lost in a reset.
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        while read(&mut stream, 100_000).is_some() {}
    });
    let load = Load {
        server: server.into(),
        ..Load::default()
    };
    let error = run(&"pub:16".parse().unwrap(), &load).unwrap_err();
    assert!(error.to_string().contains("Stale Connection"), "{error}");
    thread.join().unwrap();
}
