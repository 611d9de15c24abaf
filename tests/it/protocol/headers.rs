//! Headers: HPUB in, HMSG out, and what a subscriber without headers gets.

use super::wait_error_line;
use crate::support::{RawClient, Server, both_drivers};

/// Lines refused without a word, and how their log line begins.
const WRONG: [(&str, &str); 12] = [
    ("HPUB a\r\n", "processHeaderPub Parse Error: \"a\""),
    ("HPUB a 12\r\n", "processHeaderPub Parse Error: \"a 12\""),
    (
        "HPUB a b c 12 14\r\n",
        "processHeaderPub Parse Error: \"a b c 12 14\"",
    ),
    ("HPUB \r\n", "processHeaderPub Parse Error: \"\""),
    (
        "HPUB a x 14\r\n",
        "processHeaderPub Bad or Missing Header Size: \"a x 14\"",
    ),
    (
        "HPUB a -1 14\r\n",
        "processHeaderPub Bad or Missing Header Size: \"a -1 14\"",
    ),
    (
        "HPUB a 12 x\r\n",
        "processHeaderPub Bad or Missing Total Size: \"a 12 x\"",
    ),
    (
        "HPUB a 12 -1\r\n",
        "processHeaderPub Bad or Missing Total Size: \"a 12 -1\"",
    ),
    (
        "HPUB a r 12 1x\r\n",
        "processHeaderPub Bad or Missing Total Size: \"a r 12 1x\"",
    ),
    (
        "HPUB a 14 12\r\n",
        "processHeaderPub Header Size larger then TotalSize: \"a 14 12\"",
    ),
    (
        "HPUB a r 1 0\r\n",
        "processHeaderPub Header Size larger then TotalSize: \"a r 1 0\"",
    ),
    (
        "HPUB a\"\t1 0\r\n",
        "processHeaderPub Header Size larger then TotalSize: \"a\\\"\\t1 0\"",
    ),
];

/// What is published, what a subscriber with headers gets, and one without. Both have sid 1.
const FORWARDED: [(&str, &str, &str); 12] = [
    (
        "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        "HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        "MSG a 1 2\r\nhi\r\n",
    ),
    (
        "HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        "HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        "MSG a 1 r 2\r\nhi\r\n",
    ),
    (
        "HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n",
        "HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n",
        "MSG a 1 0\r\n\r\n",
    ),
    (
        "HPUB a 22 24\r\nNATS/1.0\r\nk: v\r\nk: w\r\nxx\r\n",
        "HMSG a 1 22 24\r\nNATS/1.0\r\nk: v\r\nk: w\r\nxx\r\n",
        "MSG a 1 2\r\nxx\r\n",
    ),
    (
        "hpub a 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
        "HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
        "MSG a 1 0\r\n\r\n",
    ),
    // Sizes and blanks as the publisher wrote them, or one blank each.
    (
        "HPUB a 012 0014\r\nNATS/1.0\r\n\r\nhi\r\n",
        "HMSG a 1 012 0014\r\nNATS/1.0\r\n\r\nhi\r\n",
        "MSG a 1 2\r\nhi\r\n",
    ),
    (
        "HPUB\ta  12\t 14 \r\nNATS/1.0\r\n\r\nhi\r\n",
        "HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        "MSG a 1 2\r\nhi\r\n",
    ),
    (
        "HPUB a r 12 14\nNATS/1.0\r\n\r\nhi\r\n",
        "HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        "MSG a 1 r 2\r\nhi\r\n",
    ),
    // No header block: a plain message for everyone.
    (
        "HPUB a 0 2\r\nhi\r\n",
        "MSG a 1 2\r\nhi\r\n",
        "MSG a 1 2\r\nhi\r\n",
    ),
    (
        "HPUB a r 0 0\r\n\r\n",
        "MSG a 1 r 0\r\n\r\n",
        "MSG a 1 r 0\r\n\r\n",
    ),
    (
        "PUB a 2\r\nhi\r\n",
        "MSG a 1 2\r\nhi\r\n",
        "MSG a 1 2\r\nhi\r\n",
    ),
    (
        "PUB a r 002\r\nhi\r\n",
        "MSG a 1 r 002\r\nhi\r\n",
        "MSG a 1 r 002\r\nhi\r\n",
    ),
];

fn with_headers(server: &Server) -> RawClient {
    let mut client = server.bare_client();
    client.connect_with(r#"{"verbose":false,"pedantic":false,"headers":true}"#);
    client
}

both_drivers! {
    fn forwarded_whole_or_without_the_header(driver) {
        let server = Server::start(driver);
        let mut publisher = with_headers(&server);
        let mut headed = with_headers(&server);
        let mut plain = server.raw_client();
        for subscriber in [&mut headed, &mut plain] {
            subscriber.send("SUB a 1\r\n");
            subscriber.ping();
        }
        for (published, with, without) in FORWARDED {
            println!("{published:?}");
            publisher.send(published);
            publisher.ping();
            headed.expect(with);
            plain.expect(without);
        }
        headed.ping();
        plain.ping();
    }

    fn header_block_is_not_looked_at(driver) {
        let server = Server::start(driver);
        let mut client = with_headers(&server);
        client.send("SUB a 1\r\n");
        for block in [
            "x",
            "GET / HTTP/1.1\r\n\r\n",
            "\0\u{1}\r",
            "\r\n\r\n",
            "PING\r\n",
        ] {
            let sizes = format!("{} {}", block.len(), block.len() + 2);
            client.send(format!("HPUB a {sizes}\r\n{block}hi\r\n"));
            client.expect(format!("HMSG a 1 {sizes}\r\n{block}hi\r\n"));
        }
        client.ping();
    }

    fn wrong_lines_close_without_a_word(driver) {
        let server = Server::start(driver);
        for (input, log) in WRONG {
            println!("{input:?}");
            let mut client = with_headers(&server);
            client.send(format!("{input}PING\r\n"));
            client.expect_closed();
            wait_error_line(&server, &client, log);
        }
        with_headers(&server).ping();
    }

    fn bare_verb_is_no_operation(driver) {
        let server = Server::start(driver);
        for input in ["HPUB\r\n", "HPUBx", "HPUX", "HMSG a 1 0 0\r\n\r\n"] {
            let mut client = with_headers(&server);
            client.send(input);
            client.expect_last("-ERR 'Unknown Protocol Operation'\r\n");
        }
    }

    fn without_headers_in_connect_hpub_closes_without_a_word(driver) {
        let server = Server::start(driver);
        for connect in [
            "",
            "CONNECT {\"verbose\":false}\r\n",
            "CONNECT {\"verbose\":false,\"headers\":false}\r\n",
        ] {
            let mut client = server.bare_client();
            client.send(format!(
                "{connect}HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPING\r\n"
            ));
            client.expect_closed();
            wait_error_line(&server, &client, "message headers not supported");
        }
    }

    fn headers_may_be_switched_by_a_later_connect(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client
            .send("SUB a 1\r\nCONNECT {\"headers\":true}\r\nHPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n");
        client.expect("HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n");
        client.send("CONNECT {\"headers\":false}\r\nHPUB a 12 12\r\n");
        client.expect_closed();
    }

    fn max_payload_is_for_header_and_payload_together(driver) {
        let server = Server::with(driver).conf("max_payload: 20\n").start();
        let mut client = with_headers(&server);
        client.send("SUB a 1\r\nHPUB a 12 20\r\nNATS/1.0\r\n\r\n12345678\r\n");
        client.expect("HMSG a 1 12 20\r\nNATS/1.0\r\n\r\n12345678\r\n");
        client.send("HPUB a 12 21\r\n");
        client.expect_last("-ERR 'Maximum Payload Violation'\r\n");
        wait_error_line(&server, &client, "Maximum Payload Exceeded: 21 vs 20");
    }

    fn end_of_payload_is_checked(driver) {
        let server = Server::start(driver);
        for end in ["\n", "x\n", "hi\r\n", "\rx"] {
            let mut client = with_headers(&server);
            client.send(format!("HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi{end}"));
            client.expect_last("-ERR 'Unknown Protocol Operation'\r\n");
        }
    }

    fn verbose_pedantic_echo_and_queues_are_as_for_pub(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.send("CONNECT {\"headers\":true}\r\nSUB a.* q 1\r\n");
        client.expect("+OK\r\n+OK\r\n");
        client.send("HPUB a.* 12 12\r\nNATS/1.0\r\n\r\n\r\n");
        client.expect(
            "-ERR 'Invalid Publish Subject'\r\n+OK\r\nHMSG a.* 1 12 12\r\nNATS/1.0\r\n\r\n\r\n",
        );
        client.send("CONNECT {\"echo\":false}\r\nHPUB a.b 12 12\r\nNATS/1.0\r\n\r\n\r\n");
        client.expect("+OK\r\n+OK\r\n");
        client.send("HPUB _SYS.a 12 12\r\nNATS/1.0\r\n\r\n\r\n");
        client.expect("-ERR 'Permissions Violation for Publish to \"_SYS.a\"'\r\n");
        client.ping();
    }
}
