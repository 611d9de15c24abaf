//! P4: control lines without an end, on a thousand connections, before and after CONNECT.

use super::wait_all_read;
use crate::support::{Server, both_drivers, process};

const CONNECTIONS: usize = 1000;

/// What each connection may cost, in bytes.
const GROWTH_MAX: u64 = CONNECTIONS as u64 * 8 * 1024;

/// Beginnings of lines of every kind.
const BEGINNINGS: [&str; 6] = [
    "SUB ",
    "PUB a ",
    "UNSUB ",
    "CONNECT {\"name\":\"",
    "PING",
    "INFO {\"x\":",
];

both_drivers! {
    fn on_a_thousand_connections(driver) {
        for is_connected in [false, true] {
            let server = Server::start(driver);
            let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| server.bare_client()).collect();
            if is_connected {
                for client in &mut clients {
                    client.connect_quiet();
                }
            }
            let base = server.rss_bytes();
            // As long as it may be.
            for (client, beginning) in clients.iter_mut().zip(BEGINNINGS.iter().cycle()) {
                client.send(beginning.to_string() + &"x".repeat(4096 - beginning.len()));
            }
            wait_all_read(&server);
            let held = server.rss_bytes().saturating_sub(base);
            // And then for ever; a server that has closed takes no more.
            let more = "x".repeat(32 * 1024);
            for client in &mut clients {
                let _ = client.try_send(&more);
            }
            for client in &mut clients {
                client.expect_last("-ERR 'maximum control line exceeded'\r\n");
            }
            let peak = process::rss_peak_bytes(server.pid()).saturating_sub(base);
            let state = if is_connected { "after" } else { "before" };
            println!(
                "P4: {CONNECTIONS} connections {state} CONNECT, RSS + {} KiB held, + {} KiB at most",
                held / 1024,
                peak / 1024
            );
            assert!(peak <= GROWTH_MAX, "RSS grew by {peak} bytes");
            server.bare_client().ping();
        }
    }
}
