//! Data after the handshake, however it is cut.

use std::io::{ErrorKind, IoSlice, Write};

use proptest::collection::vec;
use proptest::prelude::*;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::super::{SEND_BYTES_MAX, Scratch, TlsServer};
use super::{Certs, Link, Peer, Wire, connect};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

fn link(version: &'static SupportedProtocolVersion, wire: Wire) -> Link {
    let certs = Certs::new();
    let server = TlsServer::new(&certs.options()).unwrap();
    Link::new(&server, &certs.client(version, None), wire)
}

/// Bytes of which each says where it stands.
fn text(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 251 + at % 251) as u8).collect()
}

/// 0 is a socket that blocks; most are far shorter than a record.
fn chunks() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![Just(0), 1..40_usize, 1..70_000_usize], 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn arrives_whole_however_it_is_cut(
        is_new in any::<bool>(),
        chunks in chunks(),
        says in vec(prop_oneof![1..64_usize, 1..40_000_usize], 1..12),
        room in prop_oneof![1..100_usize, 1..80_000_usize],
        slice in prop_oneof![1..100_usize, 1..80_000_usize],
        answer in 0..300_000_usize,
        updates in any::<bool>(),
    ) {
        let mut link = link(VERSIONS[usize::from(is_new)], Wire::in_chunks(chunks));
        let mut said = Vec::new();
        for len in says {
            if updates && is_new {
                link.peer.tls.refresh_traffic_keys().unwrap();
            }
            said.extend(text(len));
            link.peer.say(&text(len), &mut link.wire);
        }
        // Ends with a plain end, so that an answer finds records that wait.
        let got = link.receive(room.max(answer.min(1))).unwrap();
        prop_assert!(got == said, "{} of {} bytes, or others", got.len(), said.len());
        let answer = text(answer);
        link.send(&answer, slice);
        prop_assert!(link.peer.got == answer, "{} of {} bytes, or others", link.peer.got.len(), answer.len());
        prop_assert!(!link.session.has_unsent() && !link.session.has_plaintext());
        prop_assert_eq!(link.session.kept(), 0);
    }
}

#[test]
fn tiny_records_are_as_good_as_large_ones() {
    // T4: records of 1 to 64 bytes, and pings over several of them.
    let lines = "PING\r\nPUB foo 3\r\nabc\r\n".repeat(100);
    for version in VERSIONS {
        for len in 1..=64 {
            let mut link = link(version, Wire::new());
            for part in lines.as_bytes().chunks(len) {
                link.peer.say(part, &mut link.wire);
            }
            let got = link.receive(1000).unwrap();
            assert!(got == lines.as_bytes(), "{version:?}, records of {len}");
        }
    }
}

#[test]
fn what_finds_no_room_is_kept_and_announced() {
    for version in VERSIONS {
        let mut link = link(version, Wire::new());
        link.peer.say(&text(10_000), &mut link.wire);
        link.peer.say(b"and more", &mut link.wire);
        let mut into = [0; 64];
        let mut got = Vec::new();
        loop {
            let len = link
                .session
                .receive(&mut link.wire, &mut into, &mut link.scratch)
                .unwrap();
            got.extend_from_slice(&into[..len]);
            // It was all read at once, so the socket would not announce it again.
            assert!(link.wire.up.is_empty());
            if !link.session.has_plaintext() {
                break;
            }
        }
        assert_eq!(got, [&text(10_000)[..], b"and more"].concat());
    }
}

#[test]
fn less_than_there_is_room_for_means_that_nothing_waits() {
    // A reader that got less than it asked for waits for the socket, which has nothing more to announce.
    for version in VERSIONS {
        let mut link = link(version, Wire::new());
        let mut said = Vec::new();
        for len in [300, 5, 4000, 7, 16_000, 1] {
            link.peer.say(&text(len), &mut link.wire);
            said.extend(text(len));
        }
        let mut got = Vec::new();
        for room in [100, 150, 80_000] {
            let mut into = vec![0; room];
            let len = link
                .session
                .receive(&mut link.wire, &mut into, &mut link.scratch)
                .unwrap();
            got.extend_from_slice(&into[..len]);
            assert!(len == room || !link.session.has_plaintext());
        }
        assert_eq!(got.len(), said.len());
        assert_eq!(got, said);
    }
}

#[test]
fn full_records_fill_what_is_asked_for() {
    // A reader that gets all it asked for reads on without waiting for the socket.
    let mut link = link(&TLS13, Wire::new());
    link.peer.say(&text(128 * 1024), &mut link.wire);
    let mut into = vec![0; 64 * 1024];
    for half in text(128 * 1024).chunks(into.len()) {
        let len = link
            .session
            .receive(&mut link.wire, &mut into, &mut link.scratch)
            .unwrap();
        assert_eq!(len, into.len());
        assert!(into == half);
        assert_eq!(link.session.kept(), 0);
    }
}

#[test]
fn sends_while_records_wait_and_messages_are_half_there() {
    for version in VERSIONS {
        let mut link = link(version, Wire::new());
        link.peer.say(&text(1000), &mut link.wire);
        link.peer.say(&text(2000), &mut link.wire);
        let cut = link.wire.up.pop_back().unwrap();
        let mut into = [0; 10];
        let len = link
            .session
            .receive(&mut link.wire, &mut into, &mut link.scratch)
            .unwrap();
        assert_eq!(len, 10);
        link.send(b"an answer", 3);
        assert_eq!(link.peer.got, b"an answer");
        link.wire.up.push_back(cut);
        let rest = link.receive(50).unwrap();
        assert_eq!(rest, [&text(1000)[10..], &text(2000)].concat());
    }
}

#[test]
fn many_slices_become_few_records_and_one_write() {
    let mut link = link(&TLS13, Wire::new());
    let before = link.wire.writes;
    let bytes = text(64 * 1024);
    assert!(bytes.len() <= SEND_BYTES_MAX);
    let slices: Vec<_> = bytes.chunks(100).map(IoSlice::new).collect();
    let accepted = link
        .session
        .send(&mut link.wire, &slices, &mut link.scratch)
        .unwrap();
    assert_eq!((accepted, link.wire.writes - before), (bytes.len(), 1));
    // Each record adds 22 bytes.
    assert_eq!(link.wire.down.len(), bytes.len() + 4 * 22);
    link.peer.exchange(&mut link.wire).unwrap();
    assert_eq!(link.peer.got, bytes);
}

#[test]
fn a_socket_that_takes_nothing_stops_the_sender() {
    for version in VERSIONS {
        let mut link = link(version, Wire::new());
        link.wire.chunks = vec![0];
        let bytes = text(3 * SEND_BYTES_MAX);
        let send = |link: &mut Link, bytes: &[u8]| {
            link.session
                .send(&mut link.wire, &[IoSlice::new(bytes)], &mut link.scratch)
        };
        assert_eq!(send(&mut link, &bytes).unwrap(), SEND_BYTES_MAX);
        assert!(link.wire.down.is_empty());
        let blocked = send(&mut link, &bytes[SEND_BYTES_MAX..]).unwrap_err();
        assert_eq!(blocked.kind(), ErrorKind::WouldBlock);
        assert!(link.session.has_unsent());
        assert!(link.session.kept() < SEND_BYTES_MAX + 1024);
        assert!(!link.session.flush(&mut link.wire).unwrap());
        link.wire.chunks = vec![usize::MAX];
        assert!(link.session.flush(&mut link.wire).unwrap());
        link.send(&bytes[SEND_BYTES_MAX..], usize::MAX);
        assert_eq!(link.peer.got, bytes);
    }
}

#[test]
fn both_ends_can_say_goodbye() {
    for version in VERSIONS {
        let mut link = link(version, Wire::new());
        link.peer.say(b"last words", &mut link.wire);
        link.peer.tls.send_close_notify();
        link.peer.exchange(&mut link.wire).unwrap();
        // To be ignored, says the standard.
        link.wire.up.extend(b"rubbish behind it");
        assert_eq!(link.receive(100).unwrap(), b"last words");
        assert!(link.session.has_plaintext(), "the end is to be told");
        let mut into = [0; 10];
        let end = link
            .session
            .receive(&mut link.wire, &mut into, &mut link.scratch);
        assert_eq!(end.unwrap(), 0);
        link.send(b"farewell", 100);
        link.session.close_notify(&mut link.wire);
        link.peer.exchange(&mut link.wire).unwrap();
        assert_eq!(link.peer.got, b"farewell");
        assert!(!link.peer.tls.wants_read(), "the client was told");
    }
}

#[test]
fn a_broken_record_ends_it_after_all_that_was_whole() {
    for version in VERSIONS {
        let mut link = link(version, Wire::new());
        link.peer.say(b"good", &mut link.wire);
        link.peer.say(b"bad!", &mut link.wire);
        *link.wire.up.back_mut().unwrap() ^= 1;
        assert_eq!(link.receive(100).unwrap(), b"good");
        assert!(link.session.has_plaintext(), "the failure is to be told");
        let failure = link.receive(100).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::InvalidData);
        assert_eq!(failure.to_string(), "local error: tls: bad record MAC");
        let told = link.peer.exchange(&mut link.wire).unwrap_err();
        assert!(matches!(told, rustls::Error::AlertReceived(_)), "{told}");
        let sent = link
            .session
            .send(&mut link.wire, &[IoSlice::new(b"x")], &mut link.scratch);
        assert_eq!(sent.unwrap_err().kind(), ErrorKind::InvalidData);
    }
}

#[test]
fn data_behind_the_last_flight_is_not_lost_and_can_be_answered() {
    // A client of TLS 1.3 sends at once behind its Finished, and all of it may come in one read.
    let certs = Certs::new();
    let server = TlsServer::new(&certs.options()).unwrap();
    for lines in 1..=3 {
        let mut session = server.session();
        let mut peer = Peer::new(&certs.client(&TLS13, None));
        let mut wire = Wire::new();
        let mut scratch = Scratch::new();
        for _ in 0..lines {
            // The library keeps it until it may send.
            peer.tls.writer().write_all(b"PING\r\n").unwrap();
        }
        connect(&mut session, &mut peer, &mut wire, &mut scratch).unwrap();
        assert!(session.has_plaintext());
        let answer = [IoSlice::new(b"PONG\r\n")];
        let sent = session.send(&mut wire, &answer, &mut scratch).unwrap();
        assert_eq!(sent, 6);
        let mut got = Vec::new();
        let mut into = [0; 100];
        while session.has_plaintext() {
            let len = session.receive(&mut wire, &mut into, &mut scratch).unwrap();
            got.extend_from_slice(&into[..len]);
        }
        assert_eq!(got, b"PING\r\n".repeat(lines));
        assert_eq!(session.kept(), 0);
        peer.exchange(&mut wire).unwrap();
        assert_eq!(peer.got, b"PONG\r\n");
    }
}
