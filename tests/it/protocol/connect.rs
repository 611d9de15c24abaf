//! CONNECT: defaults without it, what its keys do, how it merges, how its JSON is read.

use super::wait_error_line;
use crate::support::{Server, both_drivers};

/// CONNECT as the Rust client sends it: `null` for whatever is not set.
const BY_RUST_CLIENT: &str = r#"{"verbose":false,"pedantic":false,"jwt":null,"nkey":null,"sig":null,"name":null,"echo":true,"lang":"rust","version":"0.51.0","protocol":1,"tls_required":false,"user":null,"pass":null,"auth_token":null,"headers":true,"no_responders":true}"#;

/// Lines that are accepted, each first on its connection, and whether `+OK` comes.
const ACCEPTED: [(&[u8], bool); 25] = [
    (b"CONNECT {}\r\n", true),
    (b"CONNECT{}\r\n", true),
    (b"connect {\"verbose\":false}\r\n", false),
    (b"CoNNecT {\"verbose\":false}\n", false),
    (b"CONNECT \t  \t{\"verbose\":false} \t \r\n", false),
    (b"CONNECT null\r\n", true),
    (b"CONNECT { }\r\n", true),
    (b"CONNECT {\"verbose\":null}\r\n", true),
    (b"CONNECT {\"VERBOSE\":false}\r\n", false),
    (b"CONNECT {\"vErBoSe\":false,\"PEDANTIC\":null}\r\n", false),
    (b"CONNECT {\"verbose\":true,\"verbose\":false}\r\n", false),
    (b"CONNECT {\"verbose\":false,\"verbose\":true}\r\n", true),
    (b"CONNECT {\"verbose\":false,\"Verbose\":true}\r\n", true),
    (b"CONNECT {\"verbose\":false,\"verbose\":null}\r\n", false),
    (
        b"CONNECT {\"ssl_required\":7,\"jwt\":[{}],\"nkey\":{\"a\":[1]},\"\":0}\r\n",
        true,
    ),
    (
        b"CONNECT {\"tls_required\":true,\"verbose\":false}\r\n",
        false,
    ),
    (b"CONNECT {\"protocol\":0}\r\n", true),
    (b"CONNECT {\"protocol\":1}\r\n", true),
    (b"CONNECT {\"protocol\":null}\r\n", true),
    (
        b"CONNECT {\"name\":\"\xff\xfe\",\"lang\":\"\xc3\"}\r\n",
        true,
    ),
    (
        b"CONNECT {\"name\":\"\\u0041\\n\\\"\\/\",\"x\":-1.5e300}\r\n",
        true,
    ),
    // Half of a pair; Go reads it as U+FFFD.
    (b"CONNECT {\"name\":\"\\ud800\"}\r\n", true),
    (
        b"CONNECT {\"user\":\"u\",\"pass\":\"p\",\"auth_token\":\"t\"}\r\n",
        true,
    ),
    (
        b"CONNECT {\"headers\":true,\"no_responders\":true}\r\n",
        true,
    ),
    (
        b"CONNECT {\"headers\":false,\"no_responders\":false}\r\n",
        true,
    ),
];

/// Arguments that end the connection without a word.
const REFUSED: [&str; 29] = [
    "",
    "   ",
    "[]",
    "[{}]",
    "1",
    "\"x\"",
    "true",
    "{",
    "}",
    "{}x",
    "{} {}",
    "{\"verbose\"}",
    "{\"verbose\":}",
    "{\"verbose\":true,}",
    "{verbose:true}",
    "{'verbose':true}",
    "{\"verbose\":\"true\"}",
    "{\"verbose\":1}",
    "{\"pedantic\":0}",
    "{\"echo\":\"no\"}",
    "{\"protocol\":\"1\"}",
    "{\"protocol\":1.0}",
    "{\"protocol\":true}",
    "{\"protocol\":9223372036854775808}",
    "{\"user\":1}",
    "{\"pass\":{}}",
    "{\"auth_token\":[]}",
    "{\"name\":false}",
    "{\"tls_required\":\"yes\"}",
];

both_drivers! {
    fn defaults_are_verbose_pedantic_and_echo(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.send("SUB a.* 1\r\n");
        client.expect("+OK\r\n");
        client.send("PUB a.* 2\r\nhi\r\n");
        client.expect("-ERR 'Invalid Publish Subject'\r\n+OK\r\nMSG a.* 1 2\r\nhi\r\n");
        client.send("UNSUB 1\r\n");
        client.expect("+OK\r\n");
    }

    fn ok_follows_what_is_accepted_but_not_ping_pong_info_ok(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.send(
            "CONNECT {}\r\nSUB a 1\r\nUNSUB 1\r\nPUB b 0\r\n\r\nPONG\r\nINFO {}\r\n+OK\r\nPING\r\n",
        );
        client.expect("+OK\r\n+OK\r\n+OK\r\n+OK\r\nPONG\r\n");
        client.ping();
    }

    fn verbose_off_is_silent(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.send("CONNECT {\"verbose\":false}\r\nSUB a 1\r\nUNSUB 1\r\nPUB b 0\r\n\r\nPING\r\n");
        client.expect("PONG\r\n");
    }

    fn pedantic_off_does_not_look_at_publish_subjects(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.send("CONNECT {\"pedantic\":false}\r\nPUB a.* 0\r\n\r\nPUB a..b 0\r\n\r\n");
        client.expect("+OK\r\n+OK\r\n+OK\r\n");
        client.ping();
    }

    fn second_connect_is_merged_onto_the_first(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.connect_with(r#"{"verbose":false}"#);
        client.send("CONNECT {\"pedantic\":false}\r\nPUB a.* 0\r\n\r\n");
        client.ping();
        client.send("CONNECT {\"echo\":false}\r\nSUB a 1\r\nPUB a 0\r\n\r\nPUB a.* 0\r\n\r\n");
        client.ping();
        client.send("CONNECT {\"verbose\":true}\r\nPUB a.* 0\r\n\r\n");
        client.expect("+OK\r\n+OK\r\n");
        client.send("CONNECT {\"pedantic\":true,\"echo\":true}\r\nPUB a 0\r\n\r\n");
        client.expect("+OK\r\n+OK\r\nMSG a 1 0\r\n\r\n");
        client.send("CONNECT null\r\nPUB > 0\r\n\r\n");
        client.expect("+OK\r\n-ERR 'Invalid Publish Subject'\r\n+OK\r\n");
        client.ping();
    }

    fn accepted_documents(driver) {
        let server = Server::start(driver);
        for (line, is_verbose) in ACCEPTED {
            println!("{}", line.escape_ascii());
            let mut client = server.bare_client();
            client.send(line);
            client.send("PING\r\n");
            client.expect(if is_verbose {
                "+OK\r\nPONG\r\n"
            } else {
                "PONG\r\n"
            });
            client.ping();
        }
        let mut client = server.bare_client();
        client.connect_with(BY_RUST_CLIENT);
    }

    fn refused_documents_close_without_a_word(driver) {
        let server = Server::start(driver);
        for json in REFUSED {
            println!("{json:?}");
            let mut client = server.bare_client();
            client.send(format!("CONNECT {json}\r\nPING\r\n"));
            client.expect_closed();
            wait_error_line(&server, &client, "");
        }
        // LF right behind the verb is no document either.
        let mut client = server.bare_client();
        client.send("CONNECT\r\nPING\r\n");
        client.expect_closed();
        server.bare_client().ping();
    }

    fn half_a_document_changes_nothing(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("CONNECT {\"verbose\":true,\"protocol\":\"x\"}\r\nPING\r\n");
        client.expect_closed();
    }

    fn protocols_other_than_0_and_1_are_refused(driver) {
        let server = Server::start(driver);
        for protocol in ["2", "-1", "9223372036854775807", "-9223372036854775808"] {
            let mut client = server.bare_client();
            client.send(format!("CONNECT {{\"protocol\":{protocol}}}\r\nPING\r\n"));
            client.expect_last("-ERR 'Invalid Client Protocol'\r\n");
            wait_error_line(&server, &client, "Invalid Client Protocol");
        }
    }

    fn no_responders_needs_headers(driver) {
        let server = Server::start(driver);
        for json in [
            "{\"no_responders\":true}",
            "{\"headers\":false,\"no_responders\":true}",
        ] {
            let mut client = server.bare_client();
            client.send(format!("CONNECT {json}\r\nPING\r\n"));
            client.expect_last("-ERR 'no responders requires headers support'\r\n");
        }
    }

    fn echo_off_keeps_own_messages_away(driver) {
        let server = Server::start(driver);
        let mut own = server.bare_client();
        own.connect_with(r#"{"verbose":false,"echo":false}"#);
        own.send("SUB a 1\r\nSUB a q 2\r\nPUB a 0\r\n\r\n");
        own.ping();
        let mut other = server.raw_client();
        other.send("PUB a 1\r\nx\r\n");
        other.ping();
        let mut sids: Vec<_> = own
            .messages_until_pong()
            .into_iter()
            .map(|m| m.sid)
            .collect();
        sids.sort();
        assert_eq!(sids, ["1", "2"]);
    }

    fn with_echo_off_the_rest_of_a_queue_group_gets_everything(driver) {
        let server = Server::start(driver);
        let mut own = server.bare_client();
        own.connect_with(r#"{"verbose":false,"echo":false}"#);
        own.send("SUB a q 1\r\nSUB a q 2\r\n");
        own.ping();
        let mut other = server.raw_client();
        other.send("SUB a q 9\r\n");
        other.ping();
        own.send("PUB a 0\r\n\r\n".repeat(50));
        own.ping();
        assert_eq!(other.messages_until_pong().len(), 50);
    }

    fn with_echo_off_own_messages_do_not_count_for_max(driver) {
        let server = Server::start(driver);
        let mut own = server.bare_client();
        own.connect_with(r#"{"verbose":false,"echo":false}"#);
        own.send("SUB a 1\r\nUNSUB 1 1\r\n");
        own.send("PUB a 0\r\n\r\n".repeat(5));
        own.ping();
        let mut other = server.raw_client();
        other.send("PUB a 1\r\nx\r\nPUB a 1\r\ny\r\n");
        other.ping();
        own.expect("MSG a 1 1\r\nx\r\n");
        own.ping();
    }
}
