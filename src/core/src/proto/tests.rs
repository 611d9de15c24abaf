//! The parser on every form of a line, and its two paths against each other.

use proptest::prelude::*;

use super::*;

const LIMITS: ParseLimits = ParseLimits {
    control_line_bytes_max: 64,
    payload_bytes_max: 100,
    headers: true,
};

/// An owned picture of what a stream of bytes parses to.
fn transcript(input: &[u8], limits: &ParseLimits) -> Vec<String> {
    let mut at = 0;
    let mut out = Vec::new();
    loop {
        match parse(&input[at..], limits) {
            Ok(Parsed::Op(op, len)) => {
                out.push(format!("{:?}", Owned::from(&op)));
                at += len;
            }
            Ok(Parsed::More | Parsed::Body { .. }) => return out,
            Err(e) => {
                out.push(format!("{:?} {:?}", e.wire_text(), e.close_reason()));
                return out;
            }
        }
    }
}

/// The same with the bytes arriving in pieces.
fn transcript_split(pieces: &[&[u8]], limits: &ParseLimits) -> Vec<String> {
    let mut buf: Vec<u8> = Vec::new();
    let mut out = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match parse(&buf, limits) {
                Ok(Parsed::Op(op, len)) => {
                    out.push(format!("{:?}", Owned::from(&op)));
                    buf.drain(..len);
                }
                Ok(Parsed::More | Parsed::Body { .. }) => break,
                Err(e) => {
                    out.push(format!("{:?} {:?}", e.wire_text(), e.close_reason()));
                    return out;
                }
            }
        }
    }
    out
}

/// An operation without the shape of its line.
#[derive(Debug)]
#[allow(dead_code)] // read through Debug
struct Owned {
    name: &'static str,
    parts: Vec<Vec<u8>>,
}

impl From<&Op<'_>> for Owned {
    fn from(op: &Op<'_>) -> Owned {
        let (name, parts): (_, Vec<&[u8]>) = match op {
            Op::Publish(p) => {
                let mut parts = vec![p.subject, p.reply.unwrap_or(b"-"), p.size_text, p.body];
                parts.extend(p.headers.map(|h| h.size_text));
                ("publish", parts)
            }
            Op::Subscribe {
                subject,
                queue,
                sid,
            } => ("subscribe", vec![subject, queue.unwrap_or(b"-"), sid]),
            Op::Unsubscribe { sid, max } => {
                return Owned {
                    name: "unsubscribe",
                    parts: vec![sid.to_vec(), max.to_string().into_bytes()],
                };
            }
            Op::Ping => ("ping", vec![]),
            Op::Pong => ("pong", vec![]),
            Op::Connect(arg) => ("connect", vec![arg]),
            Op::Info(arg) => ("info", vec![arg]),
            Op::Okay => ("okay", vec![]),
            Op::Error(text) => ("error", vec![text]),
        };
        Owned {
            name,
            parts: parts.into_iter().map(<[u8]>::to_vec).collect(),
        }
    }
}

fn one(input: &[u8]) -> Op<'_> {
    match parse(input, &LIMITS) {
        Ok(Parsed::Op(op, len)) if len == input.len() => op,
        other => panic!("{:?} gave {other:?}", String::from_utf8_lossy(input)),
    }
}

fn error(input: &[u8]) -> ParseError {
    match parse(input, &LIMITS) {
        Err(e) => e,
        other => panic!("{:?} gave {other:?}", String::from_utf8_lossy(input)),
    }
}

#[test]
fn publish_forms() {
    let forms: [(&[u8], bool); 9] = [
        (b"PUB a.b r 3\r\nxyz\r\n", true),
        (b"pub a.b r 3\r\nxyz\r\n", true),
        (b"PUB  a.b r 3\r\nxyz\r\n", true), // blanks in front of the subject are not in the tail
        (b"PUB a.b  r 3\r\nxyz\r\n", false),
        (b"PUB a.b r 3 \r\nxyz\r\n", false),
        (b"PUB a.b\tr 3\r\nxyz\r\n", false),
        (b"PUB a.b r\t3\r\nxyz\r\n", false),
        (b"PUB a.b r 3\nxyz\r\n", false),
        (b"PUB\ta.b r 3\r\nxyz\r\n", true),
    ];
    for (input, canonical) in forms {
        let Op::Publish(p) = one(input) else {
            panic!("no publish")
        };
        assert_eq!(
            (p.subject, p.reply, p.body),
            (&b"a.b"[..], Some(&b"r"[..]), &b"xyz"[..])
        );
        assert_eq!(
            p.tail,
            canonical.then_some(&b"r 3\r\nxyz\r\n"[..]),
            "{:?}",
            String::from_utf8_lossy(input)
        );
    }
    let Op::Publish(p) = one(b"PUB a 005\r\nhello\r\n") else {
        panic!("no publish")
    };
    assert_eq!(
        (p.size_text, p.tail),
        (&b"005"[..], Some(&b"005\r\nhello\r\n"[..]))
    );
    let Op::Publish(p) = one(b"HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n") else {
        panic!("no publish")
    };
    assert_eq!(p.headers.map(|h| h.len), Some(12));
    assert_eq!(p.tail, Some(&b"r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"[..]));
}

#[test]
fn other_forms() {
    assert_eq!(
        one(b"SUB foo  1\r\n"),
        Op::Subscribe {
            subject: b"foo",
            queue: None,
            sid: b"1"
        }
    );
    assert_eq!(
        one(b"sub\tfoo q\t1 \n"),
        Op::Subscribe {
            subject: b"foo",
            queue: Some(b"q"),
            sid: b"1"
        }
    );
    assert_eq!(one(b"UNSUB 1 \r\n"), Op::Unsubscribe { sid: b"1", max: 0 });
    assert_eq!(one(b"UNSUB 1 7\r\n"), Op::Unsubscribe { sid: b"1", max: 7 });
    assert_eq!(
        one(b"UNSUB 1 abc\r\n"),
        Op::Unsubscribe { sid: b"1", max: 0 }
    );
    assert_eq!(
        one(b"UNSUB 1 -1\r\n"),
        Op::Unsubscribe { sid: b"1", max: 0 }
    );
    assert_eq!(one(b"PINGabc def\r\n"), Op::Ping);
    assert_eq!(one(b"pong\n"), Op::Pong);
    assert_eq!(one(b"+OK whatever\r\n"), Op::Okay);
    assert_eq!(one(b"CONNECT{}\r\n"), Op::Connect(b"{}"));
    assert_eq!(one(b"CONNECT \t {}\n"), Op::Connect(b"{}"));
    assert_eq!(one(b"INFO {}\r\n"), Op::Info(b"{}"));
    assert_eq!(one(b"-ERR 'x'\r\n"), Op::Error(b"'x'"));
}

#[test]
fn errors_at_the_first_byte_that_proves_them() {
    for bad in [
        &b"Z"[..],
        b"PUX",
        b"PUBS",
        b"PUB\r",
        b"SUB\n",
        b"UNSUB\r\n",
        b" ",
        b"\r\n",
        b"M",
        b"HX",
        b"GET",
        b"-ERR\r",
        b"CONNECX",
        b"+OX",
    ] {
        let e = error(bad);
        assert_eq!(e.wire_text(), Some("Unknown Protocol Operation"), "{bad:?}");
    }
    assert_eq!(
        error(b"FOO bar\r\n").to_string(),
        r#"Client parser ERROR, state=0, i=0: proto='"FOO bar\r"...'"#
    );
    assert_eq!(
        error(b"ZZZ").to_string(),
        r#"Client parser ERROR, state=0, i=0: proto='"ZZ"...'"#
    );
    for (bad, what) in [
        (&b"PUB foo\r\n"[..], "processPub Parse Error: 'foo'"),
        (b"PUB a b c 1\r\n", "processPub Parse Error: 'a b c 1'"),
        (
            b"PUB foo abc\r\n",
            "processPub Bad or Missing Size: 'foo abc'",
        ),
        (
            b"PUB foo -1\r\n",
            "processPub Bad or Missing Size: 'foo -1'",
        ),
        (b"PUB \r\n", "processPub Parse Error: ''"),
        (b"SUB foo\r\n", "processSub Parse Error: 'foo'"),
        (b"SUB a b c d\r\n", "processSub Parse Error: 'a b c d'"),
        (b"UNSUB \r\n", "processUnsub Parse Error: ''"),
        (b"UNSUB a b c\r\n", "processUnsub Parse Error: 'a b c'"),
        (b"HPUB a 1\r\n", "processHeaderPub Parse Error: \"a 1\""),
        (
            b"HPUB a x 1\r\n",
            "processHeaderPub Bad or Missing Header Size: \"a x 1\"",
        ),
        (
            b"HPUB a 1 x\r\n",
            "processHeaderPub Bad or Missing Total Size: \"a 1 x\"",
        ),
        (
            b"HPUB a 2 1\r\n",
            "processHeaderPub Header Size larger then TotalSize: \"a 2 1\"",
        ),
    ] {
        let e = error(bad);
        assert_eq!(e.to_string(), what);
        assert_eq!(e.wire_text(), None);
    }
}

#[test]
fn payload_limit_and_terminator() {
    for over in ["101", "0000000101", "18446744073709551621", &"9".repeat(60)] {
        let line = format!("PUB a {over}\r\n");
        let limits = ParseLimits {
            control_line_bytes_max: 100,
            ..LIMITS
        };
        let e = parse(line.as_bytes(), &limits).unwrap_err();
        assert_eq!(e.wire_text(), Some("Maximum Payload Violation"), "{over}");
    }
    assert_eq!(
        parse(b"PUB a 100\r\n", &LIMITS),
        Ok(Parsed::Body {
            subject: b"a",
            needed: 113
        })
    );
    let unlimited = ParseLimits {
        payload_bytes_max: -1,
        ..LIMITS
    };
    let line = b"PUB a 18446744073709551621\r\n";
    assert!(matches!(parse(line, &unlimited), Ok(Parsed::Body { .. })));
    for bad in [
        &b"PUB a 2\r\nhello\r\n"[..],
        b"PUB a 2\r\nhix",
        b"PUB a 2\r\nhi\rx",
        b"PUB a 2\r\nhi\n\n",
    ] {
        assert_eq!(error(bad).wire_text(), Some("Unknown Protocol Operation"));
    }
    let no_headers = ParseLimits {
        headers: false,
        ..LIMITS
    };
    assert_eq!(
        parse(b"HPUB a 0 0\r\n", &no_headers),
        Err(ParseError::HeadersNotSupported)
    );
}

#[test]
fn control_line_limit_holds_however_reads_split() {
    let fits = |verb: &str, arg: usize| format!("{verb} {}\r\n", "a".repeat(arg));
    assert!(matches!(
        error(fits("SUB", 64).as_bytes()),
        ParseError::Arguments { .. }
    ));
    assert_eq!(error(fits("SUB", 65).as_bytes()), ParseError::ControlLine);
    assert_eq!(
        error(fits("CONNECT", 65).as_bytes()),
        ParseError::ControlLine
    );
    let endless = |verb: &str, byte: &str| format!("{verb}{}", byte.repeat(66));
    assert_eq!(
        error(endless("SUB ", "a").as_bytes()),
        ParseError::ControlLine
    );
    assert_eq!(
        error(endless("SUB", " ").as_bytes()),
        ParseError::ControlLine
    );
    assert_eq!(
        error(endless("PING", "x").as_bytes()),
        ParseError::ControlLine
    );
    assert_eq!(
        error(endless("CONNECT", " ").as_bytes()),
        ParseError::ControlLine
    );
    let line = format!("PUB {} 1\r\nx\r\n", "s".repeat(63));
    assert_eq!(error(line.as_bytes()), ParseError::ControlLine);
}

fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let token = "[a-c.*>]{1,4}";
    let blank = "( |\t){1,2}";
    let eol = "\r?\n";
    prop_oneof![
        6 => (token, token, 0..6usize, any::<bool>(), any::<bool>()).prop_map(|(s, r, n, reply, h)| {
            let reply = if reply { format!("{r} ") } else { String::new() };
            let body = "x".repeat(n);
            let line = if h {
                format!("HPUB {s} {reply}{} {n}\r\n{body}\r\n", n / 2)
            } else {
                format!("PUB {s} {reply}{n}\r\n{body}\r\n")
            };
            line.into_bytes()
        }),
        2 => (token, blank, "[0-9]{1,3}", eol)
            .prop_map(|(s, b, n, e)| format!("sub{b}{s}{b}{n}{e}").into_bytes()),
        1 => ("(PING|PONG|\\+OK|UNSUB 1|UNSUB 1 2|CONNECT \\{\\}|INFO\\{\\})", eol)
            .prop_map(|(v, e)| format!("{v}{e}").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 1..12),
        1 => "[PUBHS]{1,4}[ \\ta-c0-9]{0,80}(\r\n)?".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn any_split_gives_the_same_operations(
        lines in prop::collection::vec(any_line(), 1..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let input: Vec<u8> = lines.concat();
        let whole = transcript(&input, &LIMITS);
        let mut at: Vec<usize> = cuts.iter().map(|c| c.index(input.len() + 1)).collect();
        at.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in at {
            pieces.push(&input[from..cut]);
            from = cut;
        }
        pieces.push(&input[from..]);
        prop_assert_eq!(&transcript_split(&pieces, &LIMITS), &whole);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(&transcript_split(&bytes, &LIMITS), &whole);
    }

    /// The same line with a lower-case verb cannot take the canonical path.
    #[test]
    fn canonical_and_general_path_agree(line in any_line()) {
        prop_assume!(line.starts_with(b"PUB"));
        let mut slow = line.clone();
        slow[0] = b'p';
        prop_assert_eq!(transcript(&line, &LIMITS), transcript(&slow, &LIMITS));
        prop_assert_eq!(parse_publish(&slow, &LIMITS), None);
        let (fast, slow) = (parse(&line, &LIMITS), parse(&slow, &LIMITS));
        if let (Ok(Parsed::Op(Op::Publish(f), _)), Ok(Parsed::Op(Op::Publish(s), _))) = (fast, slow) {
            prop_assert_eq!(f, s);
        }
    }

    /// What the short cut takes, the parser takes in the same way.
    #[test]
    fn repeats_are_what_the_parser_says(line in any_line(), reply in "[0-9a]{0,3}", size in "[0-9]{1,10}") {
        let lines = [line, format!("PUB a {reply} {size}\r\nxyz\r\n").into_bytes(), format!("PUB a {size}\r\nx\r\n").into_bytes()];
        for line in lines {
            if let Some((publish, len)) = parse_publish(&line, &LIMITS) {
                prop_assert_eq!(parse(&line, &LIMITS), Ok(Parsed::Op(Op::Publish(publish), len)));
            }
            for subject in [&b"a"[..], b"b", b"a.b", b"*"] {
                let Some(repeat) = parse_repeat(&line, subject, &LIMITS) else { continue };
                let Ok(Parsed::Op(Op::Publish(p), len)) = parse(&line, &LIMITS) else {
                    panic!("not a publish: {line:?}");
                };
                prop_assert_eq!((len, p.subject, p.reply), (repeat.len, subject, repeat.reply));
                prop_assert_eq!((p.tail, p.body.len()), (Some(repeat.tail), repeat.body_len));
            }
        }
    }
}

#[test]
fn repeats() {
    let repeat = |line: &'static [u8]| {
        parse_repeat(line, b"a", &LIMITS).map(|r| (r.reply, r.body_len, r.len))
    };
    assert_eq!(repeat(b"PUB a 2\r\nhi\r\nPUB"), Some((None, 2, 13)));
    assert_eq!(
        repeat(b"PUB a 9r 002\r\nhi\r\n"),
        Some((Some(&b"9r"[..]), 2, 18))
    );
    assert_eq!(
        repeat(b"PUB a 12 2\r\nhi\r\n"),
        Some((Some(&b"12"[..]), 2, 16))
    );
    for other in [
        &b"PUB b 2\r\nhi\r\n"[..],
        b"PUB ab 2\r\nhi\r\n",
        b"PUB a 2\r\nhi\r",
        b"PUB a 2\r\nhix\n",
        b"PUB a 2\nhi\r\n",
        b"PUB a 101\r\n",
        b"PUB a  2\r\nhi\r\n",
        b"PUB a r 2 \r\nhi\r\n",
        b"PUB a r\r\n",
        b"PUB a \r\n\r\n",
        b"",
    ] {
        assert_eq!(repeat(other), None, "{}", String::from_utf8_lossy(other));
    }
}
