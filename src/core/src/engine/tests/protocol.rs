//! What a connection is told, in which order.

use super::world::{World, setup};
use crate::client::CloseReason;
use crate::engine::{Level, Limits};

#[test]
fn info_comes_first_and_then_the_defaults_hold() {
    let mut w = World::new();
    let a = w.open();
    assert_eq!(
        w.received(a),
        "INFO {\"server_id\":\"S\",\"server_name\":\"S\",\"version\":\"2.0.0\",\"proto\":1,\"go\":\"rust\",\
         \"host\":\"127.0.0.1\",\"port\":4222,\"headers\":true,\"max_payload\":1048576,\"client_id\":1,\
         \"client_ip\":\"127.0.0.1\"} \r\n"
    );
    // Verbose and pedantic without CONNECT.
    w.send(a, "SUB foo 1\r\nPUB foo 2\r\nhi\r\nUNSUB 1\r\nPING\r\n");
    assert_eq!(
        w.received(a),
        "+OK\r\n+OK\r\nMSG foo 1 2\r\nhi\r\n+OK\r\nPONG\r\n"
    );
}

#[test]
fn verbose_says_ok_where_something_was_accepted() {
    let mut w = World::new();
    let a = w.connect();
    w.send(a, "CONNECT {\"verbose\":true}\r\n");
    assert_eq!(w.received(a), "+OK\r\n");
    for (line, answer) in [
        ("SUB foo 1\r\n", "+OK\r\n"),
        ("SUB bar 1\r\n", "+OK\r\n"), // a sid that is there already is no error
        ("SUB a..b 2\r\n", "-ERR 'Invalid Subject'\r\n"),
        ("UNSUB 9\r\n", "+OK\r\n"),
        ("PUB foo 1\r\nx\r\n", "+OK\r\nMSG foo 1 1\r\nx\r\n"),
        (
            "PUB _SYS.x 1\r\nx\r\n",
            "-ERR 'Permissions Violation for Publish to \"_SYS.x\"'\r\n",
        ),
        ("PUB _SYS 1\r\nx\r\n", "+OK\r\n"),
        ("PING\r\n", "PONG\r\n"),
        ("PONG\r\n", ""),
        ("+OK\r\n", ""),
        ("INFO {}\r\n", ""),
        ("UNSUB 1\r\n", "+OK\r\n"),
        ("PUB foo 1\r\nx\r\n", "+OK\r\n"),
    ] {
        w.send(a, line);
        assert_eq!(w.received(a), answer, "{line}");
    }
}

#[test]
fn pedantic_complains_and_delivers() {
    let mut w = World::new();
    let (a, b) = (w.connect_with("\"pedantic\":true"), w.connect());
    w.send(b, "SUB foo.> 1\r\n");
    for size in [100, 1] {
        w.send_in_pieces(
            a,
            "PUB foo.* 2\r\nhi\r\nPUB foo. 0\r\n\r\nPUB foo.a 0\r\n\r\nPING\r\n",
            size,
        );
        let error = "-ERR 'Invalid Publish Subject'\r\n";
        assert_eq!(w.received(a), format!("{error}{error}PONG\r\n"));
        assert_eq!(
            w.received(b),
            "MSG foo.* 1 2\r\nhi\r\nMSG foo. 1 0\r\n\r\nMSG foo.a 1 0\r\n\r\n"
        );
    }
    // Said before the body comes, and once.
    w.send(a, "PUB * 2\r\n");
    assert_eq!(w.received(a), "-ERR 'Invalid Publish Subject'\r\n");
    w.send(a, "h");
    w.send(a, "i\r\n");
    assert_eq!(w.received(a), "");
}

/// A line that is wrong only behind its body gets the same answers whether it came in one piece or not.
#[test]
fn wrong_end_of_a_body_is_answered_the_same_in_pieces() {
    for (input, answer) in [
        (
            "PUB a.* 2\r\nhiXX",
            "-ERR 'Invalid Publish Subject'\r\n-ERR 'Unknown Protocol Operation'\r\n",
        ),
        // The first byte behind the body is enough.
        ("PUB a 3\r\nhi\r\n", "-ERR 'Unknown Protocol Operation'\r\n"),
        ("PUB a 2\r\nhi\r\r", "-ERR 'Unknown Protocol Operation'\r\n"),
    ] {
        for size in [100, 12, 3, 1] {
            let mut w = World::new();
            let a = w.connect_with("\"pedantic\":true");
            w.send_in_pieces(a, input, size);
            assert_eq!(w.received(a), answer, "{input:?} by {size}");
            assert_eq!(w.ended(a), Some(CloseReason::ProtocolViolation));
        }
    }
}

#[test]
fn echo_off_keeps_own_messages_away() {
    let mut w = World::new();
    let (a, b) = (w.connect_with("\"echo\":false"), w.connect());
    w.send(a, "SUB foo 1\r\nSUB foo q 2\r\n");
    w.send(b, "SUB foo 3\r\n");
    w.send(a, "PUB foo 1\r\nx\r\nPING\r\n");
    assert_eq!(w.received(a), "PONG\r\n");
    assert_eq!(w.received(b), "MSG foo 3 1\r\nx\r\n");
    w.send(b, "PUB foo 1\r\ny\r\n");
    assert_eq!(w.received(a), "MSG foo 1 1\r\ny\r\nMSG foo 2 1\r\ny\r\n");
}

#[test]
fn connect_merges_and_refuses() {
    let mut w = World::new();
    let a = w.connect();
    w.send(a, "SUB foo 1\r\nCONNECT {\"echo\":false}\r\nPUB foo 0\r\n\r\nCONNECT {\"echo\":true}\r\nPUB foo 0\r\n\r\n");
    assert_eq!(w.received(a), "MSG foo 1 0\r\n\r\n");
    for (line, answer, reason) in [
        (
            "{\"protocol\":2}",
            "-ERR 'Invalid Client Protocol'\r\n",
            CloseReason::BadClientProtocol,
        ),
        (
            "{\"no_responders\":true}",
            "-ERR 'no responders requires headers support'\r\n",
            CloseReason::NoRespondersRequiresHeaders,
        ),
        ("{\"verbose\":1}", "", CloseReason::ProtocolViolation),
        ("", "", CloseReason::ProtocolViolation),
    ] {
        let b = w.connect();
        w.send(b, format!("CONNECT {line}\r\nPING\r\n"));
        assert_eq!(
            (w.received(b).as_str(), w.ended(b)),
            (answer, Some(reason)),
            "{line}"
        );
    }
}

#[test]
fn headers_are_taken_from_the_connect_before() {
    let mut w = World::new();
    let a = w.connect();
    w.send(
        a,
        "CONNECT {\"headers\":true}\r\nSUB a 1\r\nHPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
    );
    assert_eq!(w.received(a), "HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    let b = w.connect();
    w.send(b, "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    assert_eq!(
        (w.received(b).as_str(), w.ended(b)),
        ("", Some(CloseReason::HeadersNotSupported))
    );
    assert_eq!(w.logged("message headers not supported"), 1);
    assert_eq!(w.received(a), "");
}

#[test]
fn limits_are_kept() {
    let limits = Limits {
        subscriptions_max: 2,
        payload_bytes_max: 10,
        control_line_bytes_max: 64,
        ..Limits::default()
    };
    let mut w = World::with(limits);
    let a = w.connect_with("");
    w.send(a, "SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nSUB a 1\r\nUNSUB 1\r\nSUB c 3\r\nPUB c 10\r\n0123456789\r\n");
    let error = "-ERR 'Maximum Subscriptions Exceeded'\r\n";
    assert_eq!(
        w.received(a),
        format!("{error}{error}MSG c 3 10\r\n0123456789\r\n")
    );
    assert_eq!(w.logged("Maximum Subscriptions Exceeded"), 2);
    w.send(a, "PUB c 11\r\n");
    assert_eq!(w.received(a), "-ERR 'Maximum Payload Violation'\r\n");
    assert_eq!(w.ended(a), Some(CloseReason::MaxPayloadExceeded));
    let b = w.open();
    w.received(b);
    w.send(b, format!("SUB {}", "a".repeat(65)));
    assert_eq!(w.received(b), "-ERR 'maximum control line exceeded'\r\n");
    assert_eq!(w.ended(b), Some(CloseReason::MaxControlLineExceeded));
}

#[test]
fn trace_lines_show_the_conversation_and_no_secret() {
    let mut w = World::from(crate::engine::Setup {
        trace: true,
        ..setup(Limits::default())
    });
    let a = w
        .connect_with("\"user\":\"u\",\"pass\":\"secret\",\"headers\":true,\"no_responders\":true");
    w.log.clear();
    w.send(
        a,
        "CONNECT {\"pass\":\"secret\",\"verbose\":true}\r\nCONNECT {\"echo\":true, \"x\":1}\r\nSUB foo q 1\r\nUNSUB 1 1\r\nPUB foo r 2\r\nh\n\r\nPING\r\nSUB a..b 2\r\n\
         SUB r\x1b 3\r\nPUB nobody r\x1b 0\r\n\r\n",
    );
    let lines: Vec<&str> = w
        .log
        .iter()
        .filter(|line| line.level == Level::Trace)
        .map(|line| line.text.strip_prefix("127.0.0.1:1000 - cid:1 - ").unwrap())
        .collect();
    assert_eq!(
        lines,
        [
            "->> [CONNECT {\"verbose\":true}]",
            "<<- [OK]",
            "->> [CONNECT {\"echo\":true}]",
            "<<- [OK]",
            "->> [SUB foo q 1]",
            "<<- [OK]",
            "->> [UNSUB 1 1]",
            "<<- [OK]",
            "->> [PUB foo r 2]",
            "->> MSG_PAYLOAD: [h\\n]",
            "<<- [OK]",
            "<<- [MSG foo 1 r 2]",
            "<-> [DELSUB 1]",
            "->> [PING]",
            "<<- [PONG]",
            "->> [SUB a..b 2]",
            "<<- [-ERR Invalid Subject]",
            "->> [SUB r\\u{1b} 3]",
            "<<- [OK]",
            "->> [PUB nobody r\\u{1b} 0]",
            "->> MSG_PAYLOAD: []",
            "<<- [OK]",
            "<<- [HMSG r\\u{1b} 3 16 16]",
        ]
    );
}

#[test]
fn lines_of_a_level_that_is_off_are_not_made() {
    let mut w = World::from(crate::engine::Setup {
        debug: false,
        ..setup(Limits::default())
    });
    let a = w.connect();
    w.send(a, "SUB foo 1\r\nUNSUB 1 1\r\nPUB foo 0\r\n\r\nPING\r\n");
    w.finish(a);
    assert_eq!(w.log, []);
    let b = w.connect();
    w.send(b, "-ERR 'x'\r\n");
    assert_eq!(w.log.len(), 1);
    assert_eq!(
        (w.log[0].level, w.log[0].text.as_str()),
        (Level::Error, "127.0.0.1:1000 - cid:2 - Client Error 'x'")
    );
}
