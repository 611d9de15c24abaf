//! How input arrives: in pieces, large, half of it, too much.

use super::world::World;
use crate::client::CloseReason;
use crate::engine::Limits;

const KIB: usize = 1024;

#[test]
fn every_split_gives_the_same_answers() {
    let script = "CONNECT {\"verbose\":true,\"headers\":true}\r\nSUB foo 1\r\nsub  foo.* q\t2 \nPUB foo r 5\r\nhello\r\n\
                  HPUB foo.x 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB 1 \r\nPUB foo 0\r\n\r\nPUB foo.* 2\r\n\r\n\r\nPING\r\nPUB a\r\n";
    let say = |size| {
        let mut w = World::new();
        let a = w.open();
        w.send_in_pieces(a, script, size);
        (w.received(a), w.ended(a))
    };
    let whole = say(script.len());
    assert!(
        whole.0.ends_with("MSG foo.* 2 2\r\n\r\n\r\nPONG\r\n"),
        "{}",
        whole.0
    );
    for size in 1..40 {
        assert_eq!(say(size), whole, "in pieces of {size}");
    }
}

#[test]
fn large_payload_in_pieces_takes_memory_as_it_comes() {
    let limits = Limits {
        payload_bytes_max: 64 << 20,
        ..Limits::default()
    };
    for piece in [1000, 64 * KIB, 65 * KIB + 1, 256 * KIB, 1 << 20] {
        let mut w = World::with(limits.clone());
        let (a, b) = (w.connect(), w.connect());
        w.send(b, "SUB big 1\r\n");
        let payload: Vec<u8> = (0..2_000_003_u32).map(|n| (n % 251) as u8).collect();
        w.send(a, format!("PING\r\nPUB big {}\r\n", payload.len()));
        assert_eq!(w.received(a), "PONG\r\n");
        let mut sent = 0;
        for bytes in payload.chunks(piece) {
            w.send(a, bytes);
            sent += bytes.len();
            let held = w.connection(a).input.capacity();
            assert!(held <= 2 * sent + 256 * KIB, "{held} bytes for {sent}");
        }
        assert_eq!(w.received(b), "");
        w.send(a, "\r");
        w.send(a, "\nPING\r\nPUB big 1\r\n");
        let got = w.received_bytes(b);
        let line = format!("MSG big 1 {}\r\n", payload.len());
        assert!(got.starts_with(line.as_bytes()) && got.ends_with(b"\r\n"));
        assert!(got[line.len()..got.len() - 2] == payload);
        assert_eq!(w.received(a), "PONG\r\n");
        w.send(a, "x\r\n");
        assert_eq!(w.received(b), "MSG big 1 1\r\nx\r\n");
        assert_eq!(
            w.connection(a).input.capacity(),
            0,
            "an idle connection holds nothing"
        );
    }
}

/// What is announced costs nothing before it comes.
#[test]
fn announced_bytes_take_no_memory() {
    let mut w = World::with(Limits {
        payload_bytes_max: -1,
        ..Limits::default()
    });
    let a = w.connect();
    w.send(a, "PUB big 18446744073709551621\r\nx");
    assert!(w.connection(a).input.capacity() <= 256 * KIB + 100);
    w.send(a, vec![b'y'; 100 * KIB]);
    assert!(w.connection(a).input.capacity() <= 456 * KIB);
    w.finish(a);
    assert!(w.wire(a).is_released);
}

#[test]
fn many_reads_of_one_turn_keep_their_order() {
    let mut w = World::new();
    let (a, b) = (w.connect(), w.connect());
    w.wire(a).read_bytes_max = 777;
    w.send(b, "SUB n 1\r\n");
    let lines: String = (0..20_000)
        .map(|n| format!("PUB n 5\r\n{n:05}\r\n"))
        .collect();
    w.send(a, lines);
    let want: String = (0..20_000)
        .map(|n| format!("MSG n 1 5\r\n{n:05}\r\n"))
        .collect();
    assert!(w.received(b) == want);
}

#[test]
fn half_closed_client_is_answered() {
    let mut w = World::new();
    let a = w.connect();
    w.put(
        a,
        "SUB foo 1\r\nPUB foo 2\r\nhi\r\nPING\r\nPUB foo 9\r\nhalf",
    );
    w.finish(a);
    assert_eq!(w.received(a), "MSG foo 1 2\r\nhi\r\nPONG\r\n");
    assert_eq!(w.ended(a), Some(CloseReason::ClientClosed));
    assert!(w.wire(a).is_released);
}

#[test]
fn half_closed_client_that_reads_slowly_gets_all() {
    let mut w = World::new();
    let a = w.connect();
    w.set_room(a, 10);
    w.put(a, "SUB foo 1\r\nPUB foo 2\r\nhi\r\nPING\r\n");
    w.finish(a);
    assert_eq!(w.ended(a), Some(CloseReason::ClientClosed));
    assert!(!w.wire(a).is_cut);
    for _ in 0..3 {
        w.accept(a, 5);
    }
    w.accept(a, usize::MAX);
    assert_eq!(w.received(a), "MSG foo 1 2\r\nhi\r\nPONG\r\n");
    assert!(w.wire(a).is_released);
}

/// A large write that fails ends its connection in the middle of what it sent.
#[test]
fn nothing_is_done_for_a_connection_that_broke() {
    let mut w = World::new();
    let (a, b) = (w.connect(), w.connect());
    w.send(b, "SUB after 1\r\n");
    w.send(a, "SUB big 1\r\n");
    let big = format!("PUB big 100000\r\n{}\r\n", "x".repeat(100_000));
    // It breaks when the batch it caused is written, with the rest of its input already read.
    w.put(a, big);
    w.put(a, "PUB after 0\r\n\r\nSUB late 2\r\nPING\r\n");
    w.wire(a).is_write_broken = true;
    w.settle();
    assert_eq!(w.ended(a), Some(CloseReason::WriteError));
    assert!(w.wire(a).is_released);
    assert_eq!(w.received(b), "");
    assert_eq!(w.engine.stats().interest.subscriptions, 1);
}
