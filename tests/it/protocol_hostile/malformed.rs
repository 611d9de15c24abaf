//! P2: malformed lines. The text and the close are those of the protocol, and nobody else notices.

use crate::support::{RawClient, Server, both_drivers};

const UNKNOWN: &[u8] = b"-ERR 'Unknown Protocol Operation'\r\n";
const SILENT: &[u8] = b"";

/// Input of a connection with headers, and all it reads before it is closed.
const LINES: [(&[u8], &[u8]); 93] = [
    // Unknown operations.
    (b"FOO\r\n", UNKNOWN),
    (b"foo bar\r\n", UNKNOWN),
    (b"P\r\n", UNKNOWN),
    (b"PI\r\n", UNKNOWN),
    (b"PIN\r\n", UNKNOWN),
    (b"PIN G\r\n", UNKNOWN),
    (b"PO\r\n", UNKNOWN),
    (b"PU\r\n", UNKNOWN),
    (b"S\r\n", UNKNOWN),
    (b"SU\r\n", UNKNOWN),
    (b"SUBS a 1\r\n", UNKNOWN),
    (b"SUB\ra 1\r\n", UNKNOWN),
    (b"UNSU 1\r\n", UNKNOWN),
    (b"UNSUBS 1\r\n", UNKNOWN),
    (b"CONNEC {}\r\n", UNKNOWN),
    (b"CONECT {}\r\n", UNKNOWN),
    (b"INF {}\r\n", UNKNOWN),
    (b"+\r\n", UNKNOWN),
    (b"+O\r\n", UNKNOWN),
    (b"OK\r\n", UNKNOWN),
    (b"-\r\n", UNKNOWN),
    (b"-ER x\r\n", UNKNOWN),
    (b"-ERR\r\n", UNKNOWN),
    (b"-ERRx\r\n", UNKNOWN),
    (b"ERR x\r\n", UNKNOWN),
    (b"\r\n", UNKNOWN),
    (b"\n", UNKNOWN),
    (b"\r\n\r\n", UNKNOWN),
    (b" PING\r\n", UNKNOWN),
    (b"\tSUB a 1\r\n", UNKNOWN),
    (b"\0PING\r\n", UNKNOWN),
    (b"\xef\xbb\xbfPING\r\n", UNKNOWN),
    (b"\xff\xff\xff\xff", UNKNOWN),
    (b"{\"verbose\":false}\r\n", UNKNOWN),
    (b"\"CONNECT\"\r\n", UNKNOWN),
    (b"P\0ING\r\n", UNKNOWN),
    (b"PUB\r\n", UNKNOWN),
    (b"PUB\n", UNKNOWN),
    (b"PUB\x0ba 1\r\n", UNKNOWN),
    (b"SUB\r\n", UNKNOWN),
    (b"UNSUB\r\n", UNKNOWN),
    (b"HPUB\r\n", UNKNOWN),
    (b"HPU a 0 0\r\n", UNKNOWN),
    // Other protocols.
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", UNKNOWN),
    (b"POST /varz HTTP/1.0\r\n\r\n", UNKNOWN),
    (b"HEAD / HTTP/1.1\r\n\r\n", UNKNOWN),
    (b"OPTIONS * HTTP/1.1\r\n\r\n", UNKNOWN),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", UNKNOWN),
    (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", UNKNOWN),
    (b"SSH-2.0-x\r\n", UNKNOWN),
    (b"*1\r\n$4\r\nPING\r\n", UNKNOWN),
    (b"EHLO a\r\n", UNKNOWN),
    (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c", UNKNOWN),
    (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", UNKNOWN),
    // Operations of servers.
    (b"MSG a 1 0\r\n\r\n", UNKNOWN),
    (b"msg a 1 0\r\n\r\n", UNKNOWN),
    (b"HMSG a 1 0 0\r\n\r\n", UNKNOWN),
    (b"RS+ A a\r\n", UNKNOWN),
    (b"RS- A a\r\n", UNKNOWN),
    (b"RMSG A a 0\r\n\r\n", UNKNOWN),
    (b"A+ A\r\n", UNKNOWN),
    (b"A- A\r\n", UNKNOWN),
    (b"LS+ a\r\n", UNKNOWN),
    (b"LMSG a 0\r\n\r\n", UNKNOWN),
    // Wrong counts and wrong words.
    (b"PUB \r\n", SILENT),
    (b"PUB \t \t\r\n", SILENT),
    (b"PUB a\r\n", SILENT),
    (b"PUB 5\r\nhello\r\n", SILENT),
    (b"PUB a b c 0\r\n\r\n", SILENT),
    (b"PUB a b c d 0\r\n\r\n", SILENT),
    (b"PUB a b\r\n", SILENT),
    (b"PUB a 0 b\r\n\r\n", SILENT),
    (b"SUB \r\n", SILENT),
    (b"SUB a\r\n", SILENT),
    (b"SUB a b c d\r\n", SILENT),
    (b"UNSUB \r\n", SILENT),
    (b"UNSUB \t\r\n", SILENT),
    (b"UNSUB 1 2 3\r\n", SILENT),
    (b"HPUB \r\n", SILENT),
    (b"HPUB a 0\r\n\r\n", SILENT),
    (b"HPUB a b c 0 0\r\n\r\n", SILENT),
    (b"CONNECT \r\n", SILENT),
    (b"CONNECT x\r\n", SILENT),
    (b"CONNECT {}{}\r\n", SILENT),
    (b"INFO \r\n", SILENT),
    (b"INFO x\r\n", SILENT),
    (b"-ERR 'Stale Connection'\r\n", SILENT),
    // Missing line ends behind payloads.
    (b"PUB a 2\r\nhiPING\r\n", UNKNOWN),
    (b"PUB a 2\r\nhi\n\n", UNKNOWN),
    (b"PUB a 2\r\nhi\r\r", UNKNOWN),
    (b"PUB a 2\r\n\r\n\r\nhi", UNKNOWN),
    (b"PUB a 0\r\nPUB a 0\r\n", UNKNOWN),
    (b"HPUB a 2 4\r\nhihihi\r\n", UNKNOWN),
];

fn with_headers(server: &Server) -> RawClient {
    let mut client = server.bare_client();
    client.connect_with(r#"{"verbose":false,"pedantic":false,"headers":true}"#);
    client
}

both_drivers! {
    fn lines(driver) {
        let server = Server::start(driver);
        let mut witness = with_headers(&server);
        witness.send("SUB witness 1\r\n");
        witness.ping();
        let mut differences = Vec::new();
        for (line, expected) in LINES {
            let mut client = with_headers(&server);
            client.send(line);
            let got = client.read_to_end();
            if got != expected {
                differences.push(format!("{}: {}", line.escape_ascii(), got.escape_ascii()));
            }
        }
        println!(
            "P2: {} lines, {} differences",
            LINES.len(),
            differences.len()
        );
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        witness.send("PUB witness 0\r\n\r\n");
        witness.expect("MSG witness 1 0\r\n\r\n");
        witness.ping();
    }

    /// The same before CONNECT, all at once: connections do not share a parser.
    fn lines_before_connect_interleaved(driver) {
        let server = Server::start(driver);
        let mut clients: Vec<_> = LINES.iter().map(|_| server.bare_client()).collect();
        let longest = LINES.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
        for at in 0..longest {
            for (client, (line, _)) in clients.iter_mut().zip(LINES) {
                if let Some(byte) = line.get(at..=at) {
                    // A server that knows enough may have closed.
                    let _ = client.try_send(byte);
                }
            }
        }
        let mut differences = Vec::new();
        for (client, (line, expected)) in clients.iter_mut().zip(LINES) {
            let mut got = client.read_to_end();
            // Verbose connections are told what was accepted before the end.
            if got.starts_with(b"+OK\r\n") {
                got.drain(..5);
            }
            // HPUB needs a CONNECT that asks for headers.
            let is_hpub = line.starts_with(b"HPUB ");
            if got != expected && !(is_hpub && got.is_empty()) {
                differences.push(format!("{}: {}", line.escape_ascii(), got.escape_ascii()));
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        server.bare_client().ping();
    }

    /// Bytes of every value, alone and in the middle of a line.
    fn every_byte(driver) {
        let server = Server::start(driver);
        let mut alone: Vec<_> = (0..=255_u8)
            .map(|byte| (byte, server.bare_client()))
            .collect();
        for (byte, client) in &mut alone {
            client.send([*byte, b'?', b'\r', b'\n']);
        }
        for (byte, client) in &mut alone {
            println!("byte {byte}");
            client.expect_last(UNKNOWN);
        }
        for byte in 0..=255_u8 {
            if b" \t\r\n".contains(&byte) {
                continue;
            }
            println!("byte {byte} in a subject, a sid and a payload");
            let mut client = with_headers(&server);
            let word = [b'a', byte, b'b'];
            client.send([b"SUB ", &word[..], b" ", &word, b"\r\n"].concat());
            client.send([b"PUB ", &word[..], b" 3\r\n", &word, b"\r\n"].concat());
            // A point makes two tokens of it, which is as good.
            client.expect([b"MSG ", &word[..], b" ", &word, b" 3\r\n", &word, b"\r\n"].concat());
            client.ping();
        }
    }
}
