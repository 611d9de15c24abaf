//! Who gets in, who may do what, and what an eavesdropper sees.
//!
//! Rules are those of gnatsd 1.2.0 with nkeys, maps of permissions and TLS of 2.x. Passwords and hashes of these
//! tests are no secrets.

mod before_connect;
mod clients;
mod delivery;
mod hashes;
mod login;
mod nkeys;
mod permissions;
mod responses;
mod secrets;
mod storms;
mod tls;
mod tls_faults;
mod tls_policy;
mod tls_records;

use std::time::Duration;

use crate::support::{Authority, Builder, Driver, RawClient, Server};

/// How long a log line may take to appear after what caused it, and anything else that must come.
const LIMIT: Duration = Duration::from_secs(10);

/// What is said to whoever is not let in.
const VIOLATION: &str = "-ERR 'Authorization Violation'\r\n";

/// What is said to whoever does not log in in time.
const TIMEOUT: &str = "-ERR 'Authorization Timeout'\r\n";

/// A CONNECT with these keys, without `+OK`.
fn connect(keys: &str) -> String {
    let comma = if keys.is_empty() { "" } else { "," };
    format!("CONNECT {{\"verbose\":false,\"pedantic\":false{comma}{keys}}}\r\n")
}

/// The JSON of a CONNECT of a user with a password.
fn user(name: &str, password: &str) -> String {
    format!(
        r#"{{"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"user":"{name}","pass":"{password}"}}"#
    )
}

/// Waits for the whole log line with this text that is about this connection.
#[track_caller]
fn wait_line(server: &Server, client: &RawClient, level: &str, text: &str) {
    let (port, cid) = (client.local_port(), client.cid());
    let line = format!("[{level}] 127.0.0.1:{port} - cid:{cid} - {text}\n");
    server.wait_log(&line, LIMIT);
}

/// Demands that this connection is refused, with this line in the log.
#[track_caller]
fn expect_refused(server: &Server, client: &mut RawClient, text: &str) {
    client.expect_last(VIOLATION);
    wait_line(server, client, "ERR", text);
}

/// A server with TLS by a certificate of this authority: `more` stands in the block, `conf` beside it.
fn tls_builder(driver: Driver, authority: &Authority, more: &str, conf: &str) -> Builder {
    let builder = Server::with(driver).conf(&format!(
        "tls {{\n cert_file: \"@DIR@/server-cert.pem\"\n key_file: \"@DIR@/server-key.pem\"\n \
         ca_file: \"@DIR@/ca.pem\"\n timeout: 10\n {more}\n}}\n{conf}\n"
    ));
    let builder = authority.server().files(builder, "server");
    builder.file("ca.pem", authority.pem())
}

/// Demands these pieces, in any order, before the answer to a PING.
#[track_caller]
fn expect_among(client: &mut RawClient, pieces: &[&str]) {
    let all = client.until_pong();
    let is_there = pieces.iter().all(|piece| all.contains(piece));
    let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
    assert!(
        is_there && all.len() == bytes,
        "{pieces:#?}, in any order, is not\n{all}"
    );
}
