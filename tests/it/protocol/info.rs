//! The INFO line: its form on the wire, its fields, when it comes and when it does not.

use std::io::Read;
use std::net::TcpStream;

use serde_json::Value;

use crate::support::{Server, both_drivers, builder};

/// Keys that a lone server without authentication and TLS must leave out, not send as false or null.
const ABSENT: [&str; 12] = [
    "auth_required",
    "cluster",
    "connect_urls",
    "ip",
    "jetstream",
    "ldm",
    "nonce",
    "ssl_required",
    "tls_available",
    "tls_required",
    "tls_verify",
    "git_commit",
];

/// Everything up to the first LF, by a client that never writes.
fn first_line(server: &Server) -> String {
    let mut stream = TcpStream::connect(server.address()).expect("connect");
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        stream.read_exact(&mut byte).expect("a byte of INFO");
        line.extend(byte);
    }
    String::from_utf8(line).expect("INFO in UTF-8")
}

both_drivers! {
    fn comes_unasked_as_one_line_with_a_blank_before_its_end(driver) {
        let line = first_line(&Server::start(driver));
        let json = line
            .strip_prefix("INFO ")
            .and_then(|rest| rest.strip_suffix(" \r\n"));
        let json = json.unwrap_or_else(|| panic!("{line:?}"));
        assert!(json.starts_with('{') && json.ends_with('}'), "{line:?}");
        serde_json::from_str::<Value>(json).unwrap();
    }

    fn fields_of_a_server_with_defaults(driver) {
        let server = Server::start(driver);
        let client = server.bare_client();
        let info = client.info();
        let id = info["server_id"].as_str().unwrap();
        assert_eq!(info["proto"], 1);
        assert_eq!(info["host"], "127.0.0.1");
        assert_eq!(info["port"], server.port());
        assert_eq!(info["max_payload"], 1_048_576);
        assert_eq!(info["headers"], true);
        assert_eq!(info["client_ip"], "127.0.0.1");
        assert_eq!(info["server_name"], id, "the id is the default name");
        assert!(info["go"].as_str().is_some_and(|go| !go.is_empty()));
        let version = info["version"].as_str().unwrap();
        let parts: Vec<Result<u32, _>> = version.split('.').map(str::parse).collect();
        assert!(
            parts.len() == 3 && parts.iter().all(Result::is_ok),
            "{version}"
        );
        if !builder::is_foreign() {
            assert_eq!(version, env!("CARGO_PKG_VERSION"));
            assert!(
                id.len() == 22 && id.bytes().all(|b| b.is_ascii_alphanumeric()),
                "{id}"
            );
        }
        let fields = info.as_object().unwrap();
        for name in ABSENT {
            assert!(!fields.contains_key(name), "{name} in {info}");
        }
        for (name, value) in fields {
            assert!(!value.is_null() && *value != false, "{name} in {info}");
        }
    }

    fn connections_are_counted_and_servers_told_apart(driver) {
        let server = Server::start(driver);
        let clients: Vec<_> = (0..3).map(|_| server.bare_client()).collect();
        let cids: Vec<_> = clients.iter().map(|client| client.cid()).collect();
        if builder::is_foreign() {
            assert!(cids.is_sorted(), "{cids:?}");
        } else {
            assert_eq!(cids, [1, 2, 3]);
        }
        let other = Server::start(driver).bare_client();
        assert_ne!(other.info()["server_id"], clients[0].info()["server_id"]);
        for client in &clients {
            assert_eq!(client.info()["server_id"], clients[0].info()["server_id"]);
        }
    }

    fn says_what_is_configured(driver) {
        let conf =
            "server_name: one\nmax_payload: 1000\nclient_advertise: \"nats.example.com:4333\"\n";
        let server = Server::with(driver).conf(conf).start();
        let client = server.bare_client();
        let info = client.info();
        assert_eq!(info["server_name"], "one");
        assert_eq!(info["max_payload"], 1000);
        assert_eq!(
            (&info["host"], &info["port"]),
            (&"nats.example.com".into(), &4333.into())
        );
    }

    fn advertised_host_without_port_has_the_real_one(driver) {
        let conf = "client_advertise: nats.example.com\n";
        let server = Server::with(driver).conf(conf).start();
        let client = server.bare_client();
        assert_eq!(client.info()["host"], "nats.example.com");
        assert_eq!(client.info()["port"], server.port());
    }

    fn negative_max_payload_is_shown_as_it_is(driver) {
        let server = Server::with(driver).conf("max_payload: -1\n").start();
        assert_eq!(server.bare_client().info()["max_payload"], -1);
    }

    /// A second INFO would make the Go client give up when it came before the first PONG, and a lone
    /// server has nothing to say in one.
    fn comes_once_whatever_the_protocol(driver) {
        let server = Server::start(driver);
        for protocol in [0, 1] {
            let mut client = server.bare_client();
            client.connect_with(&format!(r#"{{"verbose":false,"protocol":{protocol}}}"#));
            client.ping();
            client.ping();
        }
    }
}
