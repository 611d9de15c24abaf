//! P3: sizes of PUB and HPUB, from nothing to more than fits in any number.

use super::wait_all_read;
use crate::support::{RawClient, Server, both_drivers};

/// Largest payload by default, in bytes.
const PAYLOAD_MAX: usize = 1_048_576;

const TOO_LARGE: &[u8] = b"-ERR 'Maximum Payload Violation'\r\n";

const FINE: [&str; 9] = [
    "0",
    "00",
    "1",
    "05",
    "000000000000000000000000000000000000000005",
    "1000",
    "65536",
    "1048576",
    "00000001048576",
];

const OVER: [&str; 13] = [
    "1048577",
    "0001048577",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967301",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "18446744073709551621",
    "99999999999999999999999999999999999999999999",
    "340282366920938463463374607431768211461",
];

const NO_NUMBER: [&str; 15] = [
    "-1",
    "-0",
    "-9223372036854775808",
    "+5",
    "5x",
    "x5",
    "x",
    "0x5",
    "1e3",
    "5.0",
    "1_000",
    "1,000",
    "'5'",
    "\u{663}",
    "5\0",
];

fn with_headers(server: &Server) -> RawClient {
    let mut client = server.bare_client();
    client.connect_with(r#"{"verbose":false,"pedantic":false,"headers":true}"#);
    client
}

both_drivers! {
    fn pub_and_hpub(driver) {
        let server = Server::start(driver);
        let mut witness = with_headers(&server);
        let mut inputs = 0;
        let mut wrong = Vec::new();
        for verb in ["PUB a", "PUB a r", "HPUB a 0", "HPUB a r 0"] {
            for size in FINE {
                let bytes: usize = size.parse().unwrap();
                let mut client = with_headers(&server);
                client.send("SUB a 1\r\n");
                client.send(format!("{verb} {size}\r\n{}\r\n", "x".repeat(bytes)));
                assert_eq!(client.message().payload.len(), bytes, "{verb} {size}");
                client.ping();
                inputs += 1;
            }
            let refused = OVER.iter().map(|size| (size, TOO_LARGE));
            for (size, expected) in refused.chain(NO_NUMBER.iter().map(|size| (size, &b""[..]))) {
                let mut client = with_headers(&server);
                client.send(format!("SUB a 1\r\n{verb} {size}\r\nhello\r\nPING\r\n"));
                let got = client.read_to_end();
                if got != expected {
                    wrong.push(format!("{verb} {size}: {}", got.escape_ascii()));
                }
                witness.ping();
                inputs += 1;
            }
        }
        println!("P3: {inputs} inputs, {} accepted wrongly", wrong.len());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn header_sizes(driver) {
        let server = Server::start(driver);
        let mut witness = with_headers(&server);
        for size in ["0", "5", "0005", "00000000000000000000000005"] {
            let mut client = with_headers(&server);
            client.send(format!("SUB a 1\r\nHPUB a {size} 5\r\nhello\r\n"));
            let message = client.message();
            assert_eq!(
                (
                    message.headers.len() + message.payload.len(),
                    message.subject.as_str()
                ),
                (5, "a")
            );
            client.ping();
        }
        let mut inputs = 4;
        for size in OVER.iter().chain(&NO_NUMBER).chain(&["6"]) {
            for line in [format!("HPUB a {size} 5"), format!("HPUB a r {size} 5")] {
                let mut client = with_headers(&server);
                client.send(format!("SUB a 1\r\n{line}\r\nhello\r\nPING\r\n"));
                let got = client.read_to_end();
                assert!(got.is_empty(), "{line}: {}", got.escape_ascii());
                witness.ping();
                inputs += 1;
            }
        }
        // Both too large: the limit is for the total.
        for size in OVER {
            let mut client = with_headers(&server);
            client.send(format!("HPUB a {size} {size}\r\nhello\r\nPING\r\n"));
            client.expect_last(TOO_LARGE);
            inputs += 1;
        }
        println!("P3: {inputs} header sizes, 0 accepted wrongly");
    }

    /// A thousand connections that announce the largest payload and send none of it.
    fn announced_payloads_take_no_memory(driver) {
        const CONNECTIONS: usize = 1000;
        let server = Server::start(driver);
        let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| server.raw_client()).collect();
        let base = server.rss_bytes();
        for client in &mut clients {
            client.send(format!("PUB a {PAYLOAD_MAX}\r\nx"));
        }
        wait_all_read(&server);
        let growth = server.rss_bytes().saturating_sub(base);
        println!(
            "P3: {CONNECTIONS} × 1 MiB announced, RSS + {} KiB",
            growth / 1024
        );
        assert!(
            growth <= CONNECTIONS as u64 * 4096,
            "RSS grew by {growth} bytes"
        );
        // The rest may still come.
        let mut subscriber = server.raw_client();
        subscriber.send("SUB a 1\r\n");
        subscriber.ping();
        clients[0].send("x".repeat(PAYLOAD_MAX - 1) + "\r\n");
        clients[0].ping();
        assert_eq!(subscriber.message().payload.len(), PAYLOAD_MAX);
    }
}
