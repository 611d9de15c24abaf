//! Why a connection ended, as monitoring remembers it, and what it shows of one that lives.

use std::time::Duration;

use serde_json::Value;

use crate::support::{RawClient, Server, both_drivers, wait_until};

/// What a client sends, and the reason its end is remembered by.
const REASONS: [(&str, &str); 14] = [
    ("", "Client"),
    ("ZZZ\r\n", "Protocol Violation"),
    ("PUB a 1\r\nxx\r\n", "Protocol Violation"),
    ("PUB a\r\n", "Protocol Violation"),
    ("PUB a x\r\n", "Protocol Violation"),
    ("SUB a\r\n", "Protocol Violation"),
    ("UNSUB \r\n", "Protocol Violation"),
    ("CONNECT {\r\n", "Protocol Violation"),
    ("INFO {\r\n", "Protocol Violation"),
    ("-ERR 'x'\r\n", "Parse Error"),
    ("PUB a 101\r\n", "Maximum Message Payload Exceeded"),
    (
        "CONNECT {\"protocol\":2}\r\n",
        "Bad Client Protocol Version",
    ),
    ("HPUB a 0 0\r\n\r\n", "Message Header Violation"),
    (
        "CONNECT {\"no_responders\":true}\r\n",
        "No Responders Requires Headers",
    ),
];

/// The connection's entry among the closed ones, once it is there.
#[track_caller]
fn closed(server: &Server, cid: u64) -> Value {
    let mut entry = Value::Null;
    wait_until(
        Duration::from_secs(5),
        "the entry of a closed connection",
        || {
            let connz = server.connz("state=closed&limit=1024");
            let entries = connz["connections"].as_array().cloned().unwrap_or_default();
            let found = entries.into_iter().find(|entry| entry["cid"] == cid);
            entry = found.unwrap_or_default();
            !entry.is_null()
        },
    );
    entry
}

/// Waits for the connection to end; gives its id.
#[track_caller]
fn ended(client: &mut RawClient) -> u64 {
    client.read_to_end();
    client.cid()
}

both_drivers! {
    fn of_what_clients_do(driver) {
        let conf = "max_payload: 100\n";
        let server = Server::with(driver).conf(conf).monitor().start();
        for (input, reason) in REASONS {
            let mut client = server.raw_client();
            client.send(input);
            if input.is_empty() {
                client.half_close();
            }
            let cid = ended(&mut client);
            assert_eq!(closed(&server, cid)["reason"], reason, "{input:?}");
        }
        let mut client = server.raw_client();
        client.send("SUB ".to_owned() + &"x".repeat(5000));
        let cid = ended(&mut client);
        assert_eq!(
            closed(&server, cid)["reason"],
            "Maximum Control Line Exceeded"
        );
        let client = server.raw_client();
        let cid = client.cid();
        client.reset();
        assert_eq!(closed(&server, cid)["reason"], "Read Error");
    }

    fn of_what_the_server_does(driver) {
        let conf = "max_connections: 1\nping_interval: \"200ms\"\n";
        let server = Server::with(driver).conf(conf).monitor().start();
        let mut first = server.raw_client();
        let refused = ended(&mut server.bare_client());
        assert_eq!(
            closed(&server, refused)["reason"],
            "Maximum Connections Exceeded"
        );
        let stale = ended(&mut first);
        assert_eq!(closed(&server, stale)["reason"], "Stale Connection");
    }

    /// Texts of CONNECT are merged like its flags.
    fn a_living_connection_and_what_it_said(driver) {
        let server = Server::with(driver).monitor().start();
        let mut client = server.bare_client();
        client.connect_with(r#"{"verbose":false,"name":"n","lang":"go","version":"1"}"#);
        client.connect_with(r#"{"name":"m","VERSION":"2","lang":null}"#);
        client.send("SUB a 1\r\nSUB b q 2\r\nPUB a 3\r\nabc\r\n");
        client.expect("MSG a 1 3\r\nabc\r\n");
        client.ping();
        let connz = server.connz("subs=1");
        let entry = &connz["connections"][0];
        assert_eq!(entry["cid"], client.cid());
        assert_eq!(entry["port"], client.local_port());
        for (name, value) in [
            ("name", "m"),
            ("lang", "go"),
            ("version", "2"),
            ("ip", "127.0.0.1"),
        ] {
            assert_eq!(entry[name], value, "{name} in {entry}");
        }
        for (name, value) in [
            ("in_msgs", 1),
            ("in_bytes", 3),
            ("out_msgs", 1),
            ("out_bytes", 3),
            ("subscriptions", 2),
        ] {
            assert_eq!(entry[name], value, "{name} in {entry}");
        }
        let mut subjects: Vec<_> = entry["subscriptions_list"].as_array().unwrap().clone();
        subjects.sort_by_key(ToString::to_string);
        assert_eq!(subjects, ["a", "b"]);
        // Who is shown is asked for the round trip, if a library that answers is behind it.
        client.expect("PING\r\n");
        client.send("PONG\r\n");
        client.ping();
        assert!(server.connz("")["connections"][0]["rtt"].is_string());
        client.send("UNSUB 1\r\nUNSUB 2 1\r\nPUB b 0\r\n\r\n");
        client.expect("MSG b 2 0\r\n\r\n");
        client.ping();
        assert_eq!(server.connz("")["connections"][0]["subscriptions"], 0);
        assert_eq!(server.varz()["subscriptions"], 0);
    }
}
