//! Lines of any form: verbs, blanks and line ends that are fine, and what each wrong line gets.

use super::wait_error_line;
use crate::support::{Server, both_drivers};

const UNKNOWN: &str = "-ERR 'Unknown Protocol Operation'\r\n";

/// Input, what is sent back before the close, and how the log line of the connection begins.
const WRONG: [(&str, &str, &str); 42] = [
    (
        "ZZZ\r\n",
        UNKNOWN,
        r#"Client parser ERROR, state=0, i=0: proto='"ZZZ\r"...'"#,
    ),
    (
        "PUBS a 1\r\n",
        UNKNOWN,
        r#"Client parser ERROR, state=20, i=3: proto='"S a 1\r"...'"#,
    ),
    ("PUB\r\n", UNKNOWN, "Client parser ERROR, state=20, i=3: "),
    ("PUB\n", UNKNOWN, "Client parser ERROR, state=20, i=3: "),
    ("SUB\r\n", UNKNOWN, "Client parser ERROR, state=33, i=3: "),
    (
        "SUBa 1\r\n",
        UNKNOWN,
        "Client parser ERROR, state=33, i=3: ",
    ),
    ("UNSUB\r\n", UNKNOWN, "Client parser ERROR, state=40, i=5: "),
    ("-ERR\r\n", UNKNOWN, "Client parser ERROR, state=7, i=4: "),
    (" PING\r\n", UNKNOWN, "Client parser ERROR, state=0, i=0: "),
    ("\tPING\r\n", UNKNOWN, "Client parser ERROR, state=0, i=0: "),
    (
        "\r\nPING\r\n",
        UNKNOWN,
        "Client parser ERROR, state=0, i=0: ",
    ),
    ("\nPING\r\n", UNKNOWN, "Client parser ERROR, state=0, i=0: "),
    ("MSG a 1 0\r\n\r\n", UNKNOWN, "Client parser ERROR, "),
    ("HMSG a 1 0 0\r\n\r\n", UNKNOWN, "Client parser ERROR, "),
    ("PIX\r\n", UNKNOWN, "Client parser ERROR, state=23, i=2: "),
    ("+OX\r\n", UNKNOWN, "Client parser ERROR, state=2, i=2: "),
    (
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        UNKNOWN,
        "Client parser ERROR, state=0, i=0: ",
    ),
    (
        "PUB a 5\r\nhelloworld\r\n",
        UNKNOWN,
        "Client parser ERROR, state=30, i=14: ",
    ),
    (
        "PUB a 5\r\nhello\n",
        UNKNOWN,
        "Client parser ERROR, state=30, ",
    ),
    (
        "PUB a 5\r\nhelloX\n",
        UNKNOWN,
        "Client parser ERROR, state=30, ",
    ),
    (
        "PUB a 5\r\nhello\rX",
        UNKNOWN,
        "Client parser ERROR, state=30, ",
    ),
    (
        "PUB a 5\r\nhell\r\nPING\r\n",
        UNKNOWN,
        "Client parser ERROR, state=30, ",
    ),
    (
        "PUB a 0\r\nPING\r\n",
        UNKNOWN,
        "Client parser ERROR, state=30, ",
    ),
    ("PUB \r\n", "", "processPub Parse Error: ''"),
    ("PUB a\r\n", "", "processPub Parse Error: 'a'"),
    ("PUB a b c 5\r\n", "", "processPub Parse Error: 'a b c 5'"),
    ("PUB a x\r\n", "", "processPub Bad or Missing Size: 'a x'"),
    ("PUB a -1\r\n", "", "processPub Bad or Missing Size: 'a -1'"),
    ("PUB a +1\r\n", "", "processPub Bad or Missing Size: 'a +1'"),
    (
        "PUB a 1.0\r\n",
        "",
        "processPub Bad or Missing Size: 'a 1.0'",
    ),
    (
        "PUB a b 0x1\r\n",
        "",
        "processPub Bad or Missing Size: 'a b 0x1'",
    ),
    ("SUB \r\n", "", "processSub Parse Error: ''"),
    ("SUB a\r\n", "", "processSub Parse Error: 'a'"),
    ("SUB a q 1 x\r\n", "", "processSub Parse Error: 'a q 1 x'"),
    ("UNSUB \r\n", "", "processUnsub Parse Error: ''"),
    ("UNSUB 1 2 3\r\n", "", "processUnsub Parse Error: '1 2 3'"),
    ("INFO {\r\n", "", ""),
    ("INFO\r\n", "", ""),
    ("INFO []\r\n", "", ""),
    ("CONNECT {\r\n", "", ""),
    ("-ERR 'was it'\r\n", "", "Client Error 'was it'"),
    ("-err x\n", "", "Client Error x"),
];

/// Input that is fine, and all that is sent back. `a` is subscribed as `9`.
const FINE: [(&str, &str); 25] = [
    ("ping\r\n", "PONG\r\n"),
    ("PiNg\n", "PONG\r\n"),
    ("PING  and what else there is\r\n", "PONG\r\n"),
    ("PINGS\r\n", "PONG\r\n"),
    ("PONG\r\n", ""),
    ("PONG?\n", ""),
    ("+OK\r\n", ""),
    ("+ok so\n", ""),
    ("INFO {}\r\n", ""),
    ("info{\"server_id\":\"x\"}\n", ""),
    ("INFO null\r\n", ""),
    ("pub a 2\r\nhi\r\n", "MSG a 9 2\r\nhi\r\n"),
    ("PUB\ta\t2\r\nhi\r\n", "MSG a 9 2\r\nhi\r\n"),
    ("PUB   a   2   \r\nhi\r\n", "MSG a 9 2\r\nhi\r\n"),
    ("PUB a 2\nhi\r\n", "MSG a 9 2\r\nhi\r\n"),
    ("PUB a r 2\nhi\r\n", "MSG a 9 r 2\r\nhi\r\n"),
    ("PUB a\t r\t\t2 \r\nhi\r\n", "MSG a 9 r 2\r\nhi\r\n"),
    ("PUB a 005\r\nhello\r\n", "MSG a 9 005\r\nhello\r\n"),
    ("PUB a 0\r\n\r\n", "MSG a 9 0\r\n\r\n"),
    (
        "PUB a 000000000000000000000000000002\r\nhi\r\n",
        "MSG a 9 000000000000000000000000000002\r\nhi\r\n",
    ),
    ("PUB a 4\r\n\r\n\r\n\r\n", "MSG a 9 4\r\n\r\n\r\n\r\n"),
    (
        "sub b  1\r\nPUB b 0\r\n\r\nUNSUB 1 \r\nPUB b 0\r\n\r\n",
        "MSG b 1 0\r\n\r\n",
    ),
    (
        "SuB \t b \t 1 \t \nPUB b 0\r\n\r\nunsub\t1\nPUB b 0\r\n\r\n",
        "MSG b 1 0\r\n\r\n",
    ),
    (
        "SUB b q 1\nPUB b 0\r\n\r\nUNSUB  1  0\n",
        "MSG b 1 0\r\n\r\n",
    ),
    (
        "SUB b one/2:3 \r\nPUB b 0\r\n\r\nUNSUB one/2:3\r\n",
        "MSG b one/2:3 0\r\n\r\n",
    ),
];

/// Subjects of any bytes but blank, tab, CR and LF.
const SUBJECTS: [&[u8]; 8] = [
    b"caf\xc3\xa9.\xe2\x82\xac",
    b"\xff\xfe\x80",
    b"nul.\0.\x01\x7f",
    b"$SYS.x",
    b"_INBOX.abc.1",
    b"a'b\"c\\d",
    b"foo*bar.>x",
    b"{}[]():;,=+-/?!&%#@~`|^",
];

both_drivers! {
    fn wrong_lines_close_and_disturb_nobody(driver) {
        let server = Server::start(driver);
        let mut witness = server.raw_client();
        witness.send("SUB > 1\r\n");
        witness.ping();
        for (input, reply, log) in WRONG {
            println!("{input:?}");
            let mut client = server.raw_client();
            client.send(input);
            client.expect_last(reply);
            wait_error_line(&server, &client, log);
            witness.ping();
        }
    }

    fn wrong_lines_close_a_verbose_connection_the_same_way(driver) {
        let server = Server::start(driver);
        for (input, reply, _) in WRONG {
            println!("{input:?}");
            let mut client = server.bare_client();
            client.send(input);
            client.expect_last(reply);
        }
    }

    /// An unknown verb is known at its first wrong byte; nobody waits for the end of its line.
    fn unknown_verbs_need_no_line_end(driver) {
        let server = Server::start(driver);
        for input in [
            "Z", "PX", "SUBx", " ", "\r", "UNSUS", "CONNECX", "-EX", "+X", "IX", "HPUBx", "\0",
            "\u{ff}",
        ] {
            println!("{input:?}");
            let mut client = server.raw_client();
            client.send(input);
            client.expect_last(UNKNOWN);
        }
    }

    fn what_came_before_a_wrong_line_is_done(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\nZZZ\r\nPUB a 2\r\nno\r\nPING\r\n");
        client.expect_last(format!("MSG a 1 2\r\nhi\r\nPONG\r\n{UNKNOWN}"));
    }

    fn fine_lines(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("SUB a 9\r\n");
        for (input, output) in FINE {
            println!("{input:?}");
            client.send(input);
            client.expect(output);
            client.ping();
        }
    }

    fn subjects_of_any_bytes(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        for subject in SUBJECTS {
            println!("{}", subject.escape_ascii());
            client.send(
                [
                    b"SUB ",
                    subject,
                    b" 1\r\nPUB ",
                    subject,
                    b" ",
                    subject,
                    b" 1\r\nx\r\nUNSUB 1\r\n",
                ]
                .concat(),
            );
            client.expect([b"MSG ", subject, b" 1 ", subject, b" 1\r\nx\r\n"].concat());
            client.ping();
        }
    }

    fn sids_of_any_bytes_come_back_as_they_are(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        for sid in [
            "0",
            "007",
            "18446744073709551616",
            "-1",
            "a.b.*",
            "\u{e9}'\"\\",
            "x".repeat(500).as_str(),
        ] {
            client.send(format!("SUB a {sid}\r\nPUB a 0\r\n\r\nUNSUB {sid}\r\n"));
            client.expect(format!("MSG a {sid} 0\r\n\r\n"));
            client.ping();
        }
    }

    fn subject_of_120_tokens(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        let subject = vec!["t"; 120].join(".");
        let pattern = vec!["*"; 120].join(".");
        client.send(format!(
            "SUB {subject} 1\r\nSUB {pattern}.> 2\r\nSUB t.> 3\r\nPUB {subject} 0\r\n\r\n"
        ));
        let mut sids: Vec<_> = client
            .messages_until_pong()
            .into_iter()
            .map(|m| m.sid)
            .collect();
        sids.sort();
        assert_eq!(sids, ["1", "3"]);
    }
}
