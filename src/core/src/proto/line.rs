//! Control lines of any form: verbs in any case, runs of blanks and tabs, bare LF, and
//! every way in which a line can be wrong.

use super::error::ParseError;
use super::op::{Headers, Op};
use super::parser::{
    ParseLimits, Parsed, PublishLine, find_line_end, finish_publish, unknown_operation,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Pub,
    Hpub,
    Sub,
    Unsub,
    Ping,
    Pong,
    Connect,
    Info,
    Okay,
    Error,
}

/// Verbs with the original's parser state behind each of their letters: the log line of a
/// parse error names it.
static VERBS: [(Verb, &[u8], &[u8]); 10] = [
    (Verb::Pub, b"PUB", &[18, 19, 20]),
    (Verb::Hpub, b"HPUB", &[53, 54, 55, 56]),
    (Verb::Sub, b"SUB", &[31, 32, 33]),
    (Verb::Unsub, b"UNSUB", &[36, 37, 38, 39, 40]),
    (Verb::Ping, b"PING", &[18, 23, 24, 25]),
    (Verb::Pong, b"PONG", &[18, 26, 27, 28]),
    (Verb::Connect, b"CONNECT", &[10, 11, 12, 13, 14, 15, 16]),
    (Verb::Info, b"INFO", &[48, 49, 50, 51]),
    (Verb::Okay, b"+OK", &[1, 2, 3]),
    (Verb::Error, b"-ERR", &[4, 5, 6, 7]),
];

/// The next operation, whatever its form.
pub(super) fn parse_general<'a>(
    buf: &'a [u8],
    limits: &ParseLimits,
) -> Result<Parsed<'a>, ParseError> {
    let Some((verb, verb_len)) = match_verb(buf)? else {
        return Ok(Parsed::More);
    };
    let skips_blanks = match verb {
        Verb::Ping | Verb::Pong | Verb::Okay => false,
        Verb::Connect | Verb::Info => true,
        Verb::Pub | Verb::Hpub | Verb::Sub | Verb::Unsub | Verb::Error => match buf.get(verb_len) {
            None => return Ok(Parsed::More),
            Some(b' ' | b'\t') => true,
            Some(_) => return Err(wants_blank(buf, verb, verb_len)),
        },
    };
    let blanks = if skips_blanks {
        buf[verb_len..]
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count()
    } else {
        0
    };
    if blanks > limits.control_line_bytes_max.max(1) {
        return Err(ParseError::ControlLine);
    }
    let arg_at = verb_len + blanks;
    let Some(arg) = take_argument(&buf[arg_at..], limits)? else {
        return Ok(Parsed::More);
    };
    let line_len = arg_at + arg.line_len;
    let arg = arg.bytes;
    let op = match verb {
        Verb::Ping => Op::Ping,
        Verb::Pong => Op::Pong,
        Verb::Okay => Op::Okay,
        Verb::Connect => Op::Connect(arg),
        Verb::Info => Op::Info(arg),
        Verb::Error => Op::Error(arg),
        Verb::Sub => subscribe(arg)?,
        Verb::Unsub => unsubscribe(arg)?,
        Verb::Pub | Verb::Hpub => {
            let body_at = line_len - arg_at;
            let line = if verb == Verb::Pub {
                publish_line(arg, body_at, &buf[arg_at..line_len])?
            } else if limits.headers {
                header_publish_line(arg, body_at, &buf[arg_at..line_len])?
            } else {
                return Err(ParseError::HeadersNotSupported);
            };
            return finish_publish(buf, arg_at, &line, limits);
        }
    };
    Ok(Parsed::Op(op, line_len))
}

/// The verb at the start of `buf` and its length, or `None` if it may still become one.
fn match_verb(buf: &[u8]) -> Result<Option<(Verb, usize)>, ParseError> {
    let mut best = 0;
    let mut state = 0;
    for &(verb, name, states) in &VERBS {
        let matched = name
            .iter()
            .zip(buf)
            .take_while(|(n, b)| b.eq_ignore_ascii_case(n))
            .count();
        if matched == name.len() {
            return Ok(Some((verb, matched)));
        }
        if matched == buf.len() {
            return Ok(None);
        }
        if matched > best {
            best = matched;
            state = states[matched - 1];
        }
    }
    Err(unknown_operation(buf, state, best))
}

#[cold]
fn wants_blank(buf: &[u8], verb: Verb, at: usize) -> ParseError {
    let state = VERBS
        .iter()
        .find(|(v, ..)| *v == verb)
        .and_then(|(_, _, states)| states.last())
        .copied()
        .unwrap_or_default();
    unknown_operation(buf, state, at)
}

struct Argument<'a> {
    /// Without CR LF.
    bytes: &'a [u8],
    /// With LF.
    line_len: usize,
}

/// The argument up to LF; its limit holds whether or not the line is complete.
fn take_argument<'a>(
    rest: &'a [u8],
    limits: &ParseLimits,
) -> Result<Option<Argument<'a>>, ParseError> {
    let end = find_line_end(rest);
    let upto = &rest[..end.unwrap_or(rest.len())];
    let bytes = upto.strip_suffix(b"\r").unwrap_or(upto);
    if bytes.len() > limits.control_line_bytes_max {
        return Err(ParseError::ControlLine);
    }
    Ok(end.map(|end| Argument {
        bytes,
        line_len: end + 1,
    }))
}

/// Up to four arguments between blanks, and how many there are in all. A CR inside of a
/// line counts as a blank, as in the original.
fn split_arguments(arg: &[u8]) -> ([&[u8]; 4], usize) {
    let mut args: [&[u8]; 4] = [&[]; 4];
    let mut count = 0;
    for token in arg
        .split(|b| matches!(b, b' ' | b'\t' | b'\r'))
        .filter(|t| !t.is_empty())
    {
        if let Some(slot) = args.get_mut(count) {
            *slot = token;
        }
        count += 1;
    }
    (args, count)
}

#[cold]
fn bad_arguments(what: &'static str, arg: &[u8]) -> ParseError {
    ParseError::Arguments {
        what,
        args: arg.into(),
    }
}

fn subscribe(arg: &[u8]) -> Result<Op<'_>, ParseError> {
    match split_arguments(arg) {
        ([subject, sid, ..], 2) => Ok(Op::Subscribe {
            subject,
            queue: None,
            sid,
        }),
        ([subject, queue, sid, _], 3) => Ok(Op::Subscribe {
            subject,
            queue: Some(queue),
            sid,
        }),
        _ => Err(bad_arguments("processSub Parse Error", arg)),
    }
}

fn unsubscribe(arg: &[u8]) -> Result<Op<'_>, ParseError> {
    match split_arguments(arg) {
        ([sid, ..], 1) => Ok(Op::Unsubscribe { sid, max: 0 }),
        ([sid, max, ..], 2) => Ok(Op::Unsubscribe {
            sid,
            max: parse_size(max).unwrap_or(0),
        }),
        _ => Err(bad_arguments("processUnsub Parse Error", arg)),
    }
}

fn publish_line<'a>(
    arg: &'a [u8],
    body_at: usize,
    line: &'a [u8],
) -> Result<PublishLine<'a>, ParseError> {
    let (subject, reply, size_text) = match split_arguments(arg) {
        ([subject, size, ..], 2) => (subject, None, size),
        ([subject, reply, size, _], 3) => (subject, Some(reply), size),
        _ => return Err(bad_arguments("processPub Parse Error", arg)),
    };
    let Some(size) = parse_size(size_text) else {
        return Err(bad_arguments("processPub Bad or Missing Size", arg));
    };
    let canonical_len = subject.len() + 1 + reply.map_or(0, |r| r.len() + 1) + size_text.len() + 2;
    Ok(PublishLine {
        subject,
        reply,
        headers: None,
        size_text,
        size,
        arg_len: arg.len(),
        body_at,
        is_canonical: is_canonical(line, canonical_len),
    })
}

fn header_publish_line<'a>(
    arg: &'a [u8],
    body_at: usize,
    line: &'a [u8],
) -> Result<PublishLine<'a>, ParseError> {
    let (subject, reply, header_text, size_text) = match split_arguments(arg) {
        ([subject, header, size, _], 3) => (subject, None, header, size),
        ([subject, reply, header, size], 4) => (subject, Some(reply), header, size),
        _ => return Err(bad_arguments("processHeaderPub Parse Error", arg)),
    };
    let Some(header_size) = parse_size(header_text) else {
        return Err(bad_arguments(
            "processHeaderPub Bad or Missing Header Size",
            arg,
        ));
    };
    let Some(size) = parse_size(size_text) else {
        return Err(bad_arguments(
            "processHeaderPub Bad or Missing Total Size",
            arg,
        ));
    };
    if header_size > size {
        return Err(bad_arguments(
            "processHeaderPub Header Size larger then TotalSize",
            arg,
        ));
    }
    let canonical_len = subject.len()
        + 1
        + reply.map_or(0, |r| r.len() + 1)
        + header_text.len()
        + 1
        + size_text.len()
        + 2;
    Ok(PublishLine {
        subject,
        reply,
        headers: Some(Headers {
            size_text: header_text,
            len: usize::try_from(header_size).unwrap_or(usize::MAX),
        }),
        size_text,
        size,
        arg_len: arg.len(),
        body_at,
        is_canonical: is_canonical(line, canonical_len),
    })
}

/// Whether a line holds its arguments with single blanks between them and CR LF at its end:
/// it does if it is exactly as long as that, ends in CR LF and has no tab.
fn is_canonical(line: &[u8], canonical_len: usize) -> bool {
    line.len() == canonical_len
        && line.ends_with(b"\r\n")
        && !line[..line.len() - 2]
            .iter()
            .any(|b| matches!(b, b'\t' | b'\r'))
}

/// Decimal digits, saturating; `None` for anything else. A size that does not fit is over
/// every limit, however many digits it has.
fn parse_size(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, b| {
        b.is_ascii_digit()
            .then(|| n.saturating_mul(10).saturating_add(u64::from(b - b'0')))
    })
}
