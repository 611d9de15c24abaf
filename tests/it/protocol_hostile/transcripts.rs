//! Sixty conversations: what a client sends, and everything the server answers.
//!
//! `@` stands for a name that no other connection uses, of [`NAME_BYTES`] bytes. The server has the
//! limits of [`CONF`], so that the short ones reach them.

/// Length of what replaces `@`.
pub(crate) const NAME_BYTES: usize = 5;

/// Small limits.
pub(crate) const CONF: &str = "max_control_line: 64\nmax_payload: 32\nmax_subscriptions: 3\n";

/// How a conversation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The server closes.
    Closed,
    /// It goes on.
    Open,
}

use End::{Closed, Open};

const OK: &str = "+OK\r\n";
const UNKNOWN: &str = "-ERR 'Unknown Protocol Operation'\r\n";
const TOO_LONG: &str = "-ERR 'maximum control line exceeded'\r\n";
const TOO_LARGE: &str = "-ERR 'Maximum Payload Violation'\r\n";

/// Input, output (in pieces), end.
pub(crate) const TRANSCRIPTS: [(&str, &[&str], End); 60] = [
    ("PING\r\n", &["PONG\r\n"], Open),
    ("ping\nPiNg and more \r\n", &["PONG\r\nPONG\r\n"], Open),
    ("PONG\r\n+OK\r\nINFO {}\r\n+ok x\n", &[], Open),
    ("CONNECT {}\r\n", &[OK], Open),
    ("CONNECT{\"verbose\":false}\nSUB @ 1\n", &[], Open),
    (
        "connect \t {\"pedantic\":false} \r\nPUB @.* 0\r\n\r\n",
        &[OK, OK],
        Open,
    ),
    (
        "CONNECT {\"verbose\":null,\"name\":\"\u{e9}\u{20ac}\"}\r\n",
        &[OK],
        Open,
    ),
    (
        "CONNECT {\"verbose\":false}\r\nCONNECT {\"verbose\":true}\r\n",
        &[OK],
        Open,
    ),
    ("CONNECT {\"verbose\":1}\r\nPING\r\n", &[], Closed),
    ("CONNECT {\r\nPING\r\n", &[], Closed),
    ("CONNECT\r\n", &[], Closed),
    (
        "CONNECT {\"protocol\":2}\r\nPING\r\n",
        &["-ERR 'Invalid Client Protocol'\r\n"],
        Closed,
    ),
    (
        "CONNECT {\"no_responders\":true}\r\n",
        &["-ERR 'no responders requires headers support'\r\n"],
        Closed,
    ),
    (
        "SUB @ 1\r\nPUB @ 5\r\nhello\r\n",
        &[OK, OK, "MSG @ 1 5\r\nhello\r\n"],
        Open,
    ),
    (
        "SUB @ 1\r\nPUB @ 0\r\n\r\n",
        &[OK, OK, "MSG @ 1 0\r\n\r\n"],
        Open,
    ),
    (
        "SUB @ 1\r\nPUB @ r.x 3\r\n\r\n\r\r\n",
        &[OK, OK, "MSG @ 1 r.x 3\r\n\r\n\r\r\n"],
        Open,
    ),
    (
        "SUB @ 1\r\nPUB @ 6\r\nPING\r\n\r\n",
        &[OK, OK, "MSG @ 1 6\r\nPING\r\n\r\n"],
        Open,
    ),
    (
        "sub  @ \t q  1 \npub\t@\t002 \nhi\r\n",
        &[OK, OK, "MSG @ 1 002\r\nhi\r\n"],
        Open,
    ),
    (
        "SUB @.* 1\r\nPUB @.a 1\r\nx\r\nPUB @.b 1\r\ny\r\n",
        &[OK, OK, "MSG @.a 1 1\r\nx\r\n", OK, "MSG @.b 1 1\r\ny\r\n"],
        Open,
    ),
    (
        "SUB @.> q 1\r\nPUB @.a.b 1\r\nx\r\nPUB @ 0\r\n\r\n",
        &[OK, OK, "MSG @.a.b 1 1\r\nx\r\n", OK],
        Open,
    ),
    ("SUB @ 1\r\nUNSUB 1\r\nPUB @ 0\r\n\r\n", &[OK, OK, OK], Open),
    (
        "SUB @ 1\r\nUNSUB 1 1\r\nPUB @ 1\r\nx\r\nPUB @ 1\r\ny\r\n",
        &[OK, OK, OK, "MSG @ 1 1\r\nx\r\n", OK],
        Open,
    ),
    (
        "SUB @ 1\r\nUNSUB  1  x \r\nunsub\t2\t9\nPUB @ 0\r\n\r\n",
        &[OK, OK, OK, OK],
        Open,
    ),
    (
        "SUB @ 1\r\nSUB @.x 1\r\nPUB @.x 0\r\n\r\n",
        &[OK, OK, OK],
        Open,
    ),
    (
        "SUB @..x 1\r\nSUB @ 1\r\n",
        &["-ERR 'Invalid Subject'\r\n", OK],
        Open,
    ),
    ("SUB @.>.x 1\r\n", &["-ERR 'Invalid Subject'\r\n"], Open),
    (
        "SUB @ 1\r\nSUB @ 2\r\nSUB @ 3\r\nSUB @ 4\r\n",
        &[OK, OK, OK, "-ERR 'Maximum Subscriptions Exceeded'\r\n"],
        Open,
    ),
    (
        "PUB @.* 2\r\nhi\r\n",
        &["-ERR 'Invalid Publish Subject'\r\n", OK],
        Open,
    ),
    (
        "PUB @..a 2\r\nhi\r\nPUB @ 2\r\nhi\r\n",
        &["-ERR 'Invalid Publish Subject'\r\n", OK, OK],
        Open,
    ),
    (
        "PUB @.> 2\r\nhiXX",
        &["-ERR 'Invalid Publish Subject'\r\n", UNKNOWN],
        Closed,
    ),
    ("PUB @.> 33\r\n", &[TOO_LARGE], Closed),
    (
        "PUB _SYS.@ 2\r\nhi\r\nPING\r\n",
        &["-ERR 'Permissions Violation for Publish to \"_SYS.@\"'\r\nPONG\r\n"],
        Open,
    ),
    (
        "SUB @ 1\r\nPUB @ 32\r\n12345678901234567890123456789012\r\n",
        &[OK, OK, "MSG @ 1 32\r\n12345678901234567890123456789012\r\n"],
        Open,
    ),
    (
        "PUB @ 33\r\n123456789012345678901234567890123\r\n",
        &[TOO_LARGE],
        Closed,
    ),
    ("PUB @ 99999999999999999999\r\nx\r\n", &[TOO_LARGE], Closed),
    ("PUB @ 2\r\nhiX\nPING\r\n", &[UNKNOWN], Closed),
    ("PUB @ 2\r\nhi\nPING\r\n", &[UNKNOWN], Closed),
    ("PUB @ 2\r\nhi\rXPING\r\n", &[UNKNOWN], Closed),
    ("PUB @ 2\r\nhello\r\n", &[UNKNOWN], Closed),
    ("PUB @ 5\r\nhi\r\nPING\r\n", &[UNKNOWN], Closed),
    ("PUB @\r\n\r\n", &[], Closed),
    ("PUB @ a b 2\r\nhi\r\n", &[], Closed),
    ("PUB @ -1\r\n", &[], Closed),
    ("PUB @ 2x\r\nhi\r\n", &[], Closed),
    ("PUB\r\n", &[UNKNOWN], Closed),
    ("PING\r\nPUBX @ 2\r\nhi\r\n", &["PONG\r\n", UNKNOWN], Closed),
    ("SUB @\r\n", &[], Closed),
    ("SUB @ q 1 x\r\nPING\r\n", &[], Closed),
    ("UNSUB \r\nPING\r\n", &[], Closed),
    ("UNSUB\r\n", &[UNKNOWN], Closed),
    ("PING\r\n\r\nPING\r\n", &["PONG\r\n", UNKNOWN], Closed),
    ("PING\r\n PING\r\n", &["PONG\r\n", UNKNOWN], Closed),
    ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", &[UNKNOWN], Closed),
    ("SUB @ 1\r\n-ERR 'x'\r\nPING\r\n", &[OK], Closed),
    ("INFO {\"x\":[1,{}]}\r\nINFO ]\r\nPING\r\n", &[], Closed),
    (
        "SUB @.123456789012345678901234567890123456789012345678901234567890 1\r\n",
        &[TOO_LONG],
        Closed,
    ),
    (
        "PING\r\nPUB @ 123456789012345678901234567890123456789012345678901234567890 0\r\n\r\n",
        &["PONG\r\n", TOO_LONG],
        Closed,
    ),
    (
        "CONNECT {\"headers\":true}\r\nSUB @ 1\r\nHPUB @ 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        &[OK, OK, OK, "HMSG @ 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"],
        Open,
    ),
    (
        "SUB @ 1\r\nHPUB @ 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        &[OK],
        Closed,
    ),
    (
        "CONNECT {\"headers\":true,\"no_responders\":true}\r\nSUB @.r 1\r\nPUB @ @.r 0\r\n\r\n",
        &[OK, OK, OK, "HMSG @.r 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"],
        Open,
    ),
];
