//! PUB: what is forwarded, what a bad subject gets, and sizes.

use super::wait_error_line;
use crate::support::{Server, both_drivers};

/// Subjects that a pedantic publisher is told of.
const NOT_LITERAL: [&str; 9] = [
    "foo.", ".foo", "a..b", ".", "foo.*", "*.foo", ">", "foo.>", "*",
];

/// Replies are taken as they are.
const REPLIES: [&str; 6] = ["r", "_INBOX.x.1", "a..b", ">", "a.*", "\u{e9}."];

both_drivers! {
    fn reply_is_forwarded_unread(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.connect_with(r#"{"verbose":false}"#);
        client.send("SUB a 1\r\n");
        for reply in REPLIES {
            client.send(format!("PUB a {reply} 2\r\nhi\r\n"));
            client.expect(format!("MSG a 1 {reply} 2\r\nhi\r\n"));
        }
        client.ping();
    }

    fn payload_of_any_bytes_arrives_intact(driver) {
        let server = Server::start(driver);
        let (mut publisher, mut subscriber) = (server.raw_client(), server.raw_client());
        subscriber.send("SUB a 1\r\n");
        subscriber.ping();
        let mut payload: Vec<u8> = (0..=255).collect();
        payload.extend(b"\r\nPUB a 1\r\nx\r\nPING\r\n-ERR 'x'\r\n\r\n");
        for size in [0, 1, 2, payload.len()] {
            publisher.send(
                [
                    format!("PUB a {size}\r\n").as_bytes(),
                    &payload[..size],
                    b"\r\n",
                ]
                .concat(),
            );
            subscriber.expect(
                [
                    format!("MSG a 1 {size}\r\n").as_bytes(),
                    &payload[..size],
                    b"\r\n",
                ]
                .concat(),
            );
        }
        publisher.ping();
        subscriber.ping();
    }

    fn largest_payload_arrives_intact(driver) {
        let server = Server::start(driver);
        let (mut publisher, mut subscriber) = (server.raw_client(), server.raw_client());
        subscriber.send("SUB a 1\r\n");
        subscriber.ping();
        let payload: Vec<u8> = (0..1_048_576_u32).map(|n| (n % 251) as u8).collect();
        publisher.send([b"PUB a r 1048576\r\n", payload.as_slice(), b"\r\n"].concat());
        publisher.ping();
        let message = subscriber.message();
        assert!(message.payload == payload && message.reply.as_deref() == Some("r"));
        subscriber.ping();
    }

    fn nobody_listens_and_nothing_happens(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("PUB a 2\r\nhi\r\nPUB a r 2\r\nhi\r\n");
        client.ping();
    }

    fn wildcards_are_published_as_letters(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("SUB foo.* 1\r\nSUB foo.> 2\r\nSUB > 3\r\nSUB *.* 4\r\nSUB foo.bar 5\r\n");
        client.send("PUB foo.* 0\r\n\r\n");
        let mut messages = client.messages_until_pong();
        messages.sort_by(|a, b| a.sid.cmp(&b.sid));
        assert!(messages.iter().all(|m| m.subject == "foo.*"));
        let sids: Vec<_> = messages.iter().map(|m| m.sid.as_str()).collect();
        assert_eq!(sids, ["1", "2", "3", "4"]);
    }

    /// The error stands in front, the message is accepted and delivered all the same.
    fn pedantic_publishers_are_told_and_obeyed(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.send("SUB > 1\r\n");
        client.expect("+OK\r\n");
        for subject in NOT_LITERAL {
            client.send(format!("PUB {subject} 2\r\nhi\r\n"));
            client.expect(format!(
                "-ERR 'Invalid Publish Subject'\r\n+OK\r\nMSG {subject} 1 2\r\nhi\r\n"
            ));
        }
        for subject in ["foo", "foo*", "a.b>", "**", "a.*b"] {
            client.send(format!("PUB {subject} 0\r\n\r\n"));
            client.expect(format!("+OK\r\nMSG {subject} 1 0\r\n\r\n"));
        }
        client.ping();
    }

    fn pedantic_error_does_not_wait_for_the_payload(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.send("PUB foo.* 5\r\n");
        client.expect("-ERR 'Invalid Publish Subject'\r\n");
        client.send("he");
        client.send("llo\r");
        client.send("\nPING\r\n");
        client.expect("+OK\r\nPONG\r\n");
    }

    fn subjects_of_the_server_may_be_heard_but_not_spoken(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.send("SUB _SYS.> 1\r\nSUB > 2\r\n");
        client.expect("+OK\r\n+OK\r\n");
        for (subject, quoted) in [
            ("_SYS.x", "_SYS.x"),
            ("_SYS.", "_SYS."),
            ("_SYS.a\"\\\u{1}\u{e9}", "_SYS.a\\\"\\\\\\x01\u{e9}"),
        ] {
            client.send(format!("PUB {subject} 2\r\nhi\r\n"));
            if subject == "_SYS." {
                client.expect("-ERR 'Invalid Publish Subject'\r\n");
            }
            client.expect(format!(
                "-ERR 'Permissions Violation for Publish to \"{quoted}\"'\r\n"
            ));
            client.ping();
            wait_error_line(
                &server,
                &client,
                &format!("Publish Violation - User \"\", Subject \"{quoted}\""),
            );
        }
        for subject in ["_SYS", "_SYSx", "_SYSx.y", "$SYS.x", "x._SYS.y", "_sys.x"] {
            client.send(format!("PUB {subject} 0\r\n\r\n"));
            client.expect(format!("+OK\r\nMSG {subject} 2 0\r\n\r\n"));
        }
        client.ping();
    }

    /// The same for who wants neither `+OK` nor checks, alone and in a run of messages.
    fn subjects_of_the_server_are_refused_to_quiet_publishers(driver) {
        let server = Server::start(driver);
        let (mut publisher, mut subscriber) = (server.raw_client(), server.raw_client());
        subscriber.send("SUB > 1\r\n");
        subscriber.ping();
        publisher
            .send("PUB _SYS.x 0\r\n\r\nPUB a 0\r\n\r\nPUB _SYS.x 0\r\n\r\nPUB _SYS.x 0\r\n\r\n");
        publisher.expect("-ERR 'Permissions Violation for Publish to \"_SYS.x\"'\r\n".repeat(3));
        publisher.ping();
        subscriber.expect("MSG a 1 0\r\n\r\n");
        subscriber.ping();
    }

    /// Many messages to one subject in one write, of every form a line may have.
    fn a_run_of_messages_arrives_as_written(driver) {
        let server = Server::start(driver);
        let (mut publisher, mut subscriber) = (server.raw_client(), server.raw_client());
        publisher.connect_with(r#"{"verbose":false,"pedantic":false,"headers":true}"#);
        subscriber.send("SUB a 1\r\n");
        subscriber.ping();
        let (mut sent, mut expected) = (String::new(), String::new());
        for number in 0..600 {
            let body = format!("{number:03}").repeat(number % 7 + 1);
            let size = body.len();
            let (line, message) = match number % 8 {
                0..=2 => (format!("PUB a {size}\r\n"), format!("MSG a 1 {size}\r\n")),
                3 => (
                    format!("PUB a r.{number} {size}\r\n"),
                    format!("MSG a 1 r.{number} {size}\r\n"),
                ),
                4 => (
                    format!("PUB  a\t{size} \r\n"),
                    format!("MSG a 1 {size}\r\n"),
                ),
                5 => (format!("pub a 0{size}\n"), format!("MSG a 1 0{size}\r\n")),
                6 => (
                    format!("HPUB a 0 {size}\r\n"),
                    format!("MSG a 1 {size}\r\n"),
                ),
                _ => (
                    format!("HPUB a 12 {}\r\nNATS/1.0\r\n\r\n", size + 12),
                    format!("MSG a 1 {size}\r\n"),
                ),
            };
            sent += &format!("{line}{body}\r\n");
            expected += &format!("{message}{body}\r\n");
        }
        publisher.send(sent);
        publisher.ping();
        subscriber.expect(expected);
        subscriber.ping();
    }

    /// A run ends where its receiver does.
    fn a_run_of_messages_stops_at_max(driver) {
        let server = Server::start(driver);
        let (mut publisher, mut subscriber) = (server.raw_client(), server.raw_client());
        subscriber.send("SUB a 1\r\nUNSUB 1 17\r\nSUB a q 2\r\nUNSUB 2 23\r\n");
        subscriber.ping();
        publisher.send("PUB a 1\r\nx\r\n".repeat(500));
        publisher.ping();
        let messages = subscriber.messages_until_pong();
        let of = |sid| messages.iter().filter(|m| m.sid == sid).count();
        assert_eq!((of("1"), of("2"), messages.len()), (17, 23, 40));
    }

    fn size_over_the_limit_closes_before_the_payload(driver) {
        let server = Server::with(driver).conf("max_payload: 100\n").start();
        let mut client = server.raw_client();
        client.send("SUB a 1\r\n");
        client.send(format!("PUB a 100\r\n{:100}\r\n", "x"));
        client.expect(format!("MSG a 1 100\r\n{:100}\r\n", "x"));
        client.send("PUB a 101\r\n");
        client.expect_last("-ERR 'Maximum Payload Violation'\r\n");
        wait_error_line(&server, &client, "Maximum Payload Exceeded: 101 vs 100");
        let mut next = server.bare_client();
        next.send("PUB a..b 99999999999999999999999\r\n");
        next.expect_last("-ERR 'Maximum Payload Violation'\r\n");
    }

    fn negative_limit_is_none(driver) {
        let server = Server::with(driver).conf("max_payload: -1\n").start();
        let mut client = server.raw_client();
        client.send("SUB a 1\r\n");
        let payload = "x".repeat(3 << 20);
        client.send(format!("PUB a {}\r\n{payload}\r\n", payload.len()));
        assert_eq!(client.message().payload, payload.as_bytes());
        client.ping();
    }
}
