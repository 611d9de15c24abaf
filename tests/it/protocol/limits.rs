//! Limits of a connection and of the server, and that a last `-ERR` arrives.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::wait_error_line;
use crate::support::{RawClient, Server, both_drivers, wait_until};

const LINE_TOO_LONG: &str = "-ERR 'maximum control line exceeded'\r\n";

/// Reads to the end of the stream, where a reset is an error and not an end.
#[track_caller]
fn read_without_reset(mut stream: &TcpStream) -> Vec<u8> {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("set a timeout");
    let mut rest = Vec::new();
    stream
        .read_to_end(&mut rest)
        .unwrap_or_else(|e| panic!("{e} after {}", rest.escape_ascii()));
    rest
}

/// Lines whose argument is `length` bytes long, verb and blanks not counted.
fn lines_of(length: usize) -> Vec<String> {
    let fill = |fixed: usize| "x".repeat(length - fixed);
    vec![
        format!("SUB {} 1\r\n", fill(2)),
        format!("SUB a {}\r\n", fill(2)),
        format!("SUB   {} 1\n", fill(2)),
        format!("UNSUB {} 1\r\n", fill(2)),
        format!("PUB {} 0\r\n\r\n", fill(2)),
        format!("PUB a {} 0\r\n\r\n", fill(4)),
        format!(
            "CONNECT {{\"verbose\":false,\"name\":\"{}\"}}\r\n",
            fill(27)
        ),
        format!("INFO {{\"x\":\"{}\"}}\r\n", fill(8)),
        format!("PING{}\r\n", fill(0)),
        format!("PONG{}\r\n", fill(0)),
        format!("+OK{}\r\n", fill(0)),
        format!("HPUB {} 0 0\r\n\r\n", fill(4)),
    ]
}

fn with_headers(server: &Server) -> RawClient {
    let mut client = server.bare_client();
    client.connect_with(r#"{"verbose":false,"pedantic":false,"headers":true}"#);
    client
}

both_drivers! {
    fn control_line_of_exactly_the_limit_passes(driver) {
        for (conf, limit) in [("", 4096), ("max_control_line: 100\n", 100)] {
            let server = Server::with(driver).conf(conf).start();
            for line in lines_of(limit) {
                let mut client = with_headers(&server);
                client.send(&line);
                if line.starts_with("PING") {
                    client.expect("PONG\r\n");
                }
                client.ping();
            }
        }
    }

    /// In one read or split, with its end or without: one byte over the limit is too long.
    fn control_line_over_the_limit_closes(driver) {
        for (conf, limit) in [("", 4096), ("max_control_line: 100\n", 100)] {
            let server = Server::with(driver).conf(conf).start();
            for line in lines_of(limit + 1) {
                println!("{} … of {limit}", &line[..8]);
                let mut whole = with_headers(&server);
                whole.send(&line);
                whole.expect_last(LINE_TOO_LONG);
                wait_error_line(&server, &whole, "Maximum Control Line Exceeded");
                let mut endless = with_headers(&server);
                endless.send(line.split(['\r', '\n']).next().unwrap());
                endless.expect_last(LINE_TOO_LONG);
            }
        }
    }

    fn blanks_in_front_of_an_argument_are_no_argument_but_have_an_end(driver) {
        let server = Server::with(driver).conf("max_control_line: 100\n").start();
        let mut client = server.raw_client();
        client.send(format!(
            "SUB{}a 1\r\nPUB{}a 0\r\n\r\n",
            " ".repeat(90),
            "\t".repeat(90)
        ));
        client.expect("MSG a 1 0\r\n\r\n");
        client.send(format!("SUB{}", " ".repeat(1000)));
        client.expect_last(LINE_TOO_LONG);
    }

    /// INFO comes also to a connection that is refused, and its id is used up.
    fn connections_over_the_limit_get_info_and_an_error(driver) {
        let server = Server::with(driver).conf("max_connections: 2\n").start();
        let (mut one, two) = (server.raw_client(), server.raw_client());
        let mut refused = server.bare_client();
        refused.expect_last("-ERR 'Maximum Connections Exceeded'\r\n");
        wait_error_line(&server, &refused, "Maximum Connections Exceeded");
        one.ping();
        drop(two);
        wait_until(
            Duration::from_secs(5),
            "room for another connection",
            || {
                let mut client = server.bare_client();
                client.try_send("PING\r\n").is_ok() && client.line() == "PONG"
            },
        );
        one.ping();
    }

    fn refused_connections_that_talk_still_read_why(driver) {
        let server = Server::with(driver).conf("max_connections: 1\n").start();
        let mut one = server.raw_client();
        for _ in 0..20 {
            let mut refused = TcpStream::connect(server.address()).expect("connect");
            // Fails only if the other side has gone, and that without unread input.
            let _ = refused.write_all(
                "CONNECT {\"verbose\":false}\r\nPING\r\n"
                    .repeat(100)
                    .as_bytes(),
            );
            let answer = String::from_utf8(read_without_reset(&refused)).expect("text");
            assert!(answer.starts_with("INFO {"), "{answer:?}");
            assert!(
                answer.ends_with("} \r\n-ERR 'Maximum Connections Exceeded'\r\n"),
                "{answer:?}"
            );
        }
        one.ping();
    }

    fn no_limit_of_connections_below_zero(driver) {
        let server = Server::with(driver).conf("max_connections: -1\n").start();
        let mut clients: Vec<_> = (0..50).map(|_| server.bare_client()).collect();
        for client in &mut clients {
            client.ping();
        }
    }

    /// A close with unread input would be a reset, and take the last line with it.
    fn last_error_arrives_whatever_else_was_sent(driver) {
        let server = Server::start(driver);
        let cases = [
            ("ZZZ\r\n", "-ERR 'Unknown Protocol Operation'\r\n"),
            ("PUB a 99999999\r\n", "-ERR 'Maximum Payload Violation'\r\n"),
            (
                "CONNECT {\"protocol\":9}\r\n",
                "-ERR 'Invalid Client Protocol'\r\n",
            ),
            ("PUB a\r\n", ""),
            ("CONNECT {\r\n", ""),
        ];
        for (line, error) in cases {
            for behind in [0, 1000, 300_000, 2_000_000] {
                println!("{line:?} and {behind} bytes");
                let mut client = server.raw_client();
                client.send([line.as_bytes(), &vec![b'x'; behind]].concat());
                assert_eq!(read_without_reset(client.stream()), error.as_bytes());
            }
        }
        let mut client = server.raw_client();
        client.send("SUB ".to_owned() + &"x".repeat(1_000_000));
        assert_eq!(
            read_without_reset(client.stream()),
            LINE_TOO_LONG.as_bytes()
        );
    }

    /// Somebody who never closes his side does not keep the connection for ever.
    fn ended_connection_is_let_go_though_the_peer_stays(driver) {
        let server = Server::start(driver);
        let idle = server.raw_client();
        let before = server.fd_count();
        let clients: Vec<_> = (0..20)
            .map(|_| {
                let mut client = server.raw_client();
                client.send("ZZZ\r\n");
                client.expect_last("-ERR 'Unknown Protocol Operation'\r\n");
                client
            })
            .collect();
        wait_until(Duration::from_secs(5), "descriptors given back", || {
            server.fd_count() <= before
        });
        drop((clients, idle));
    }
}
