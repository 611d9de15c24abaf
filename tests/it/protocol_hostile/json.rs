//! P5: CONNECT documents that are deep, long, wrong or cut off.

use std::time::{Duration, Instant};

use crate::support::{Server, both_drivers};

/// Room for documents that the default limit would stop.
const CONF: &str = "max_control_line: 2mb\n";

/// Longest time a document may take, in a test build on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(1);

const DOCUMENT: &str = r#"{"verbose":false,"pedantic":true,"echo":true,"protocol":1,"tls_required":false,"user":"u","pass":"p\u00e9\n","auth_token":"t","name":"n","lang":"go","version":"1.2","headers":true,"no_responders":true,"x":[1,-2.5e3,{"y":null}]}"#;

/// A value of each type.
const VALUES: [&str; 9] = [
    "true", "false", "1", "-1", "1.5", "\"x\"", "[]", "{}", "null",
];

/// Known keys, and which of the values they take.
const KEYS: [(&str, &[&str]); 13] = [
    ("verbose", &["true", "false", "null"]),
    ("pedantic", &["true", "false", "null"]),
    ("echo", &["true", "false", "null"]),
    ("tls_required", &["true", "false", "null"]),
    ("headers", &["true", "false", "null"]),
    ("no_responders", &["false", "null"]),
    ("protocol", &["1", "null"]),
    ("user", &["\"x\"", "null"]),
    ("pass", &["\"x\"", "null"]),
    ("auth_token", &["\"x\"", "null"]),
    ("name", &["\"x\"", "null"]),
    ("lang", &["\"x\"", "null"]),
    ("version", &["\"x\"", "null"]),
];

/// Values that are refused with a text: right types, wrong meaning.
const TOLD: [(&str, &str); 2] = [("no_responders", "true"), ("protocol", "-1")];

/// Whether the document is accepted; fails when the answer takes too long.
#[track_caller]
fn is_accepted(server: &Server, document: &[u8]) -> bool {
    let mut client = server.bare_client();
    let start = Instant::now();
    client.send([b"CONNECT ", document, b"\r\nPING\r\n"].concat());
    client.half_close();
    let answer = client.read_to_end();
    let elapsed = start.elapsed();
    assert!(
        elapsed < TIME_MAX,
        "{elapsed:?} for {} bytes",
        document.len()
    );
    match answer.as_slice() {
        b"" => false,
        b"PONG\r\n" | b"+OK\r\nPONG\r\n" => true,
        other => panic!("{}", other.escape_ascii()),
    }
}

both_drivers! {
    fn deep_and_long(driver) {
        const DEPTH: usize = 200_000;
        let server = Server::with(driver).conf(CONF).start();
        let nest = |open: &str, close: &str, count| open.repeat(DEPTH) + &close.repeat(count);
        let long = "x".repeat(1_000_000);
        let keys: Vec<String> = (0..50_000).map(|n| format!("\"k{n}\":{n}")).collect();
        let same = vec!["\"verbose\":true"; 50_000].join(",");
        let inputs = [
            (format!("{{\"x\":{}}}", nest("[", "]", DEPTH)), true),
            (format!("{{\"x\":{}}}", nest("[", "]", DEPTH - 1)), false),
            (format!("{{\"x\":{}}}", nest("[", "]", DEPTH + 1)), false),
            (
                format!(
                    "{{\"x\":{}null{}}}",
                    "{\"a\":".repeat(DEPTH),
                    "}".repeat(DEPTH)
                ),
                true,
            ),
            (format!("{{\"x\":{}", "{\"a\":".repeat(DEPTH)), false),
            (format!("{{\"verbose\":{}}}", nest("[", "]", DEPTH)), false),
            (nest("[", "]", DEPTH), false),
            (nest("{", "}", DEPTH), false),
            (nest("{\"x\":", "", 0), false),
            (format!("{{\"name\":\"{long}\"}}"), true),
            (format!("{{\"x\":\"{long}\"}}"), true),
            (format!("{{\"{long}\":1}}"), true),
            (format!("{{\"name\":\"{long}"), false),
            (format!("{{\"x\":{}}}", "9".repeat(1_000_000)), true),
            (format!("{{\"protocol\":{}}}", "9".repeat(1_000_000)), false),
            (
                format!("{{\"name\":\"{}\"}}", "\\u0000".repeat(100_000)),
                true,
            ),
            (
                format!("{{\"name\":\"{}\"}}", "\\ud800".repeat(100_000)),
                true,
            ),
            (format!("{{{}}}", keys.join(",")), true),
            (format!("{{{same}}}"), true),
            (
                format!("{}{{}}{}", " ".repeat(500_000), " ".repeat(500_000)),
                true,
            ),
        ];
        for (document, expected) in &inputs {
            let shown: String = document.chars().take(40).collect();
            assert_eq!(
                is_accepted(&server, document.as_bytes()),
                *expected,
                "{shown}…"
            );
        }
        server.bare_client().ping();
        println!("P5: {} deep and long inputs, 0 crashes", inputs.len());
    }

    fn every_type_for_every_key(driver) {
        let server = Server::start(driver);
        let mut inputs = 0;
        for (key, accepted) in KEYS {
            for value in VALUES {
                if TOLD.contains(&(key, value)) {
                    continue;
                }
                let document = format!("{{\"{key}\":{value}}}");
                // Protocol 0 and 1 are all there is; 0 is tried elsewhere.
                assert_eq!(
                    is_accepted(&server, document.as_bytes()),
                    accepted.contains(&value),
                    "{document}"
                );
                inputs += 1;
            }
        }
        println!("P5: {inputs} types, 0 differences");
    }

    fn cut_at_each_byte(driver) {
        let server = Server::start(driver);
        assert!(is_accepted(&server, DOCUMENT.as_bytes()));
        for length in 0..DOCUMENT.len() {
            assert!(
                !is_accepted(&server, &DOCUMENT.as_bytes()[..length]),
                "{}",
                &DOCUMENT[..length]
            );
        }
        println!("P5: {} truncations, 0 accepted", DOCUMENT.len());
    }

    /// Each byte replaced by one that no document may hold there outside of a string, or at all.
    fn damaged_at_each_byte(driver) {
        let server = Server::start(driver);
        let mut clients = Vec::new();
        for at in 0..DOCUMENT.len() {
            for damage in [b'\0', b'\x1f', b'{'] {
                let mut document = DOCUMENT.as_bytes().to_vec();
                document[at] = damage;
                let mut client = server.bare_client();
                client.send([b"CONNECT ", document.as_slice(), b"\r\nPING\r\n"].concat());
                clients.push((damage, at, client));
            }
        }
        let inputs = clients.len();
        for (damage, at, mut client) in clients {
            client.half_close();
            let answer = client.read_to_end();
            // Control bytes are never allowed; a brace may stand in a string.
            let is_refused = answer.is_empty();
            assert!(
                is_refused || damage == b'{',
                "{damage} at {at}: {}",
                answer.escape_ascii()
            );
        }
        server.bare_client().ping();
        println!("P5: {inputs} damaged documents, 0 crashes");
    }
}
