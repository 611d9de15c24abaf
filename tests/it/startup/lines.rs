//! Log lines of a start and an end: their form, their order, their levels.

use rustix::process::Signal;

use super::{LOG_LIMIT, ONE_SECOND, parse_log};
use crate::support::{Builder, Server, both_drivers};

/// Texts of all lines but those of debugging, up to "Server is ready".
#[track_caller]
fn start_texts(server: &Server) -> Vec<String> {
    server.wait_log("Server is ready", LOG_LIMIT);
    let lines = parse_log(&server.log());
    let shown = lines.into_iter().filter(|line| line.level == "INF");
    shown.map(|line| line.text).collect()
}

both_drivers! {
    fn start_in_order(driver) {
        let server = Server::start(driver);
        let expected = [
            format!("Starting nats-server version {}", env!("CARGO_PKG_VERSION")),
            "Git commit [not set]".to_owned(),
            format!(
                "Listening for client connections on 127.0.0.1:{}",
                server.port()
            ),
            "Server is ready".to_owned(),
        ];
        assert_eq!(start_texts(&server), expected);
        // Nothing but these, and nothing to warn of.
        let lines = parse_log(&server.log());
        assert!(
            lines.iter().all(|line| line.level == "INF"),
            "{}",
            server.log()
        );
    }

    fn start_with_monitor(driver) {
        let server = Server::with(driver).monitor().start();
        let texts = start_texts(&server);
        let at = |text: &str| texts.iter().position(|line| line.starts_with(text));
        let monitor = at(&format!(
            "Starting http monitor on {}",
            server.monitor_address()
        ));
        assert!(
            at("Git commit") < monitor && monitor < at("Listening for client"),
            "{texts:?}"
        );
    }

    fn debug_lines_of_a_start_and_an_end(driver) {
        let mut server = Server::with(driver).args(&["-D"]).start();
        let client = server.raw_client();
        let id = client.info()["server_id"].as_str().unwrap().to_owned();
        server.signal(Signal::INT);
        assert_eq!(server.wait_exit(ONE_SECOND), Some(0));
        server.wait_log("Server Exiting..", LOG_LIMIT);
        let lines = parse_log(&server.log());
        let peer = format!("127.0.0.1:{} - cid:{}", client.local_port(), client.cid());
        let expected = [
            ("INF", "Starting nats-server version ".to_owned()),
            ("INF", "Git commit [not set]".to_owned()),
            (
                "INF",
                "Listening for client connections on 127.0.0.1:".to_owned(),
            ),
            ("DBG", format!("Server id is {id}")),
            ("INF", "Server is ready".to_owned()),
            ("DBG", format!("{peer} - Client connection created")),
            ("DBG", "Trapped \"interrupt\" signal".to_owned()),
            ("INF", "Server Exiting..".to_owned()),
        ];
        let mut rest = lines.iter();
        for (level, text) in expected {
            let found = rest.any(|line| line.level == level && line.text.starts_with(&text));
            assert!(found, "[{level}] {text} in this place of\n{}", server.log());
        }
    }

    fn lines_carry_process_and_time(driver) {
        let server = Server::start(driver);
        start_texts(&server);
        for line in parse_log(&server.log()) {
            assert_eq!(line.pid, server.pid());
            let form: String = line
                .time
                .chars()
                .map(|c| if c.is_ascii_digit() { '0' } else { c })
                .collect();
            assert_eq!(form, "0000/00/00 00:00:00.000000", "{}", line.time);
        }
    }

    fn time_can_be_left_out(driver) {
        let by_flag: fn(Builder) -> Builder = |builder| builder.args(&["-T=false"]);
        let by_file: fn(Builder) -> Builder = |builder| builder.conf("logtime: false\n");
        for with in [by_flag, by_file] {
            let server = with(Server::with(driver)).start();
            start_texts(&server);
            assert!(
                parse_log(&server.log())
                    .iter()
                    .all(|line| line.time.is_empty()),
                "{}",
                server.log()
            );
        }
    }

    /// `-DV` shows lines of the protocol, in 1.x the arrow of what comes in points right twice.
    fn trace_shows_the_protocol_and_no_password(driver) {
        let server = Server::with(driver).args(&["-DV"]).start();
        let mut client = server.bare_client();
        client.send("CONNECT {\"verbose\":false,\"user\":\"u\",\"pass\":\"geheim\",\"auth_token\":\"geheim\"}\r\n");
        client.send("SUB foo 1\r\nPUB foo 5\r\nhello\r\nUNSUB 1\r\nPING\r\n");
        client.expect("MSG foo 1 5\r\nhello\r\nPONG\r\n");
        server.wait_log("<<- [PONG]", LOG_LIMIT);
        let log = server.log();
        let peer = format!(
            "[TRC] 127.0.0.1:{} - cid:{} - ",
            client.local_port(),
            client.cid()
        );
        let texts: Vec<_> = log
            .lines()
            .filter_map(|line| line.split_once(&peer))
            .map(|(_, text)| text)
            .collect();
        assert!(
            texts
                .first()
                .is_some_and(|text| text.starts_with("->> [CONNECT ")),
            "{log}"
        );
        let expected = [
            "->> [SUB foo 1]",
            "->> [PUB foo 5]",
            "->> MSG_PAYLOAD: [hello]",
            "<<- [MSG foo 1 5]",
            "->> [UNSUB 1]",
            "<-> [DELSUB 1]",
            "->> [PING]",
            "<<- [PONG]",
        ];
        assert_eq!(texts[1..], expected, "{log}");
        assert!(!log.contains("geheim"), "{log}");
    }
}
