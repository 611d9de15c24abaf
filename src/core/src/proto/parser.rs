//! The next operation in a buffer.
//!
//! The parser keeps no state between calls: it is given a connection's unparsed bytes
//! from the start of an operation and says which operation they hold, that more bytes
//! are needed, or what is wrong. So any split of the input gives the same operations;
//! errors are found at the first byte that proves them, whether or not the line is
//! complete. The connection remembers how many bytes a half-received body needs, so
//! that a large payload is not looked at again with every read.
//!
//! Canonical PUB lines take [`parse_publish_canonical`], everything else the general
//! path in `line.rs`; both are tested against each other.

use memchr::memchr;

use super::error::ParseError;
use super::line;
use super::op::{Headers, Op, Publish};
use super::run::is_same;

/// Limits the parser enforces.
#[derive(Clone, Copy, Debug)]
pub struct ParseLimits {
    /// Longest argument of a control line in bytes.
    pub control_line_bytes_max: usize,
    /// Largest payload in bytes; negative means no limit.
    pub payload_bytes_max: i64,
    /// Whether this connection may send HPUB.
    pub headers: bool,
}

/// What a buffer begins with.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A complete operation and its length in bytes.
    Op(Op<'a>, usize),
    /// The control line is not complete.
    More,
    /// The control line of a publish is complete and fine, its body is not all there.
    Body {
        /// Subject of the message, for checks that do not wait for the body.
        subject: &'a [u8],
        /// Length of the whole operation in bytes.
        needed: usize,
    },
}

/// Looks at the start of `buf`, which must be the start of an operation.
///
/// # Errors
/// What ends the connection.
///
/// # Cost
/// No allocation but in errors; one pass over the control line.
#[inline]
pub fn parse<'a>(buf: &'a [u8], limits: &ParseLimits) -> Result<Parsed<'a>, ParseError> {
    if let Some(rest) = buf.strip_prefix(b"PUB ")
        && let Some(header) = parse_publish_canonical(rest)
    {
        return finish_publish(buf, 4, &header, limits);
    }
    line::parse_general(buf, limits)
}

/// A whole, canonical PUB at the start of `buf` that is within the limits, and its length; `None` if [`parse`] has to
/// say what there is. It would say the same; this way nothing but the publish has to be handed over.
#[inline]
pub fn parse_publish<'a>(buf: &'a [u8], limits: &ParseLimits) -> Option<(Publish<'a>, usize)> {
    let header = parse_publish_canonical(buf.strip_prefix(b"PUB ")?)?;
    let is_within = header.arg_len <= limits.control_line_bytes_max
        && (limits.payload_bytes_max < 0 || header.size <= limits.payload_bytes_max.unsigned_abs());
    // Nine digits fit.
    let body_at = 4 + header.body_at;
    let end = body_at + header.size as usize;
    let (op, end_of_body) = (buf.get(..end + 2)?, buf.get(end..end + 2)?);
    let publish = Publish {
        subject: header.subject,
        reply: header.reply,
        headers: None,
        size_text: header.size_text,
        body: &op[body_at..end],
        tail: Some(&op[4 + header.subject.len() + 1..]),
    };
    (is_within && end_of_body == b"\r\n").then_some((publish, end + 2))
}

/// A canonical publish to a subject that is known already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat<'a> {
    /// Reply subject.
    pub reply: Option<&'a [u8]>,
    /// `[reply ]size␍␊body␍␊`.
    pub tail: &'a [u8],
    /// Length of the body in bytes.
    pub body_len: usize,
    /// Length of the whole operation in bytes.
    pub len: usize,
}

/// Whether `buf` begins with another whole, canonical `PUB <subject> …`: publishers mostly
/// stay with a subject, and then nothing has to be looked for but the size.
///
/// `None` means that [`parse`] has to say what there is. It would say the same.
#[inline]
pub fn parse_repeat<'a>(buf: &'a [u8], subject: &[u8], limits: &ParseLimits) -> Option<Repeat<'a>> {
    let (named, rest) = buf.strip_prefix(b"PUB ")?.split_at_checked(subject.len())?;
    let rest = rest
        .strip_prefix(b" ")
        .filter(|_| is_same(named, subject))?;
    let (reply, size_at) = match rest.first()? {
        b'0'..=b'9' if is_size(rest) => (None, 0),
        _ => {
            let reply_len = token_len(rest).filter(|&n| n > 0 && rest[n] == b' ')?;
            (Some(&rest[..reply_len]), reply_len + 1)
        }
    };
    let mut size = 0;
    let mut at = size_at;
    while let Some(digit) = rest
        .get(at)
        .map(|b| b.wrapping_sub(b'0'))
        .filter(|&d| d <= 9)
    {
        size = size * 10 + usize::from(digit);
        at += 1;
        // Nine digits fit any usize; a longer size is for the general path.
        if at - size_at > 9 {
            return None;
        }
    }
    let body_at = at + 2;
    let end = body_at + size;
    let tail = rest.get(..end + 2)?;
    let fits = subject.len() + 1 + at <= limits.control_line_bytes_max
        && (limits.payload_bytes_max < 0 || size as u64 <= limits.payload_bytes_max.unsigned_abs());
    let is_canonical = at > size_at && tail[at..body_at] == *b"\r\n" && tail[end..] == *b"\r\n";
    (fits && is_canonical).then_some(Repeat {
        reply,
        tail,
        body_len: size,
        len: 4 + subject.len() + 1 + tail.len(),
    })
}

/// Whether digits and CR stand at the start: a size, and not a reply subject that begins with a digit.
#[inline]
fn is_size(rest: &[u8]) -> bool {
    rest.iter().find(|b| !b.is_ascii_digit()) == Some(&b'\r')
}

/// A PUB or HPUB line taken apart. Offsets count from the start of the operation.
pub(super) struct PublishLine<'a> {
    pub(super) subject: &'a [u8],
    pub(super) reply: Option<&'a [u8]>,
    pub(super) headers: Option<Headers<'a>>,
    pub(super) size_text: &'a [u8],
    pub(super) size: u64,
    /// Bytes of the argument: from the first non-blank behind the verb to CR LF.
    pub(super) arg_len: usize,
    /// Bytes from the start of the argument to the first byte of the body.
    pub(super) body_at: usize,
    /// Whether subject, rest of the line and body form a canonical tail.
    pub(super) is_canonical: bool,
}

/// `<subject> [reply ]<size>␍␊` with single blanks and at most nine digits, or `None`
/// for the general path to decide. `rest` begins behind `PUB `.
#[inline]
fn parse_publish_canonical(rest: &[u8]) -> Option<PublishLine<'_>> {
    let subject_len = token_len(rest)?;
    if subject_len == 0 || rest[subject_len] != b' ' {
        return None;
    }
    let second_at = subject_len + 1;
    let second_len = token_len(&rest[second_at..])?;
    let (reply, size_at, size_len) = match rest[second_at + second_len] {
        b'\r' => (None, second_at, second_len),
        b' ' if second_len > 0 => {
            let third_at = second_at + second_len + 1;
            let third_len = token_len(&rest[third_at..])?;
            if rest[third_at + third_len] != b'\r' {
                return None;
            }
            (
                Some(&rest[second_at..second_at + second_len]),
                third_at,
                third_len,
            )
        }
        _ => return None,
    };
    let arg_len = size_at + size_len;
    if rest.get(arg_len + 1) != Some(&b'\n') {
        return None;
    }
    let size_text = &rest[size_at..arg_len];
    if size_text.is_empty() || size_text.len() > 9 {
        return None;
    }
    let mut size = 0u64;
    for &byte in size_text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        size = size * 10 + u64::from(digit);
    }
    Some(PublishLine {
        subject: &rest[..subject_len],
        reply,
        headers: None,
        size_text,
        size,
        arg_len,
        body_at: arg_len + 2,
        is_canonical: true,
    })
}

/// Bytes in front of the first blank or control byte; `None` if there is none yet.
///
/// Eight at a time: of a word less 0x21 in each byte, the lowest byte that borrowed was below
/// 0x21. (Bytes above it may have borrowed from it and lie; the lowest never does. Bytes from
/// 0x80 on are masked by their own top bit.)
#[inline]
fn token_len(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut at = 0;
    while let Some(word) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(word.try_into().ok()?);
        let below = word.wrapping_sub(ONES * 0x21) & !word & (ONES * 0x80);
        if below != 0 {
            return Some(at + (below.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    bytes[at..].iter().position(|&b| b <= b' ').map(|n| at + n)
}

/// Applies the limits to a publish line whose argument begins at `arg_at`, and looks for its body.
#[inline]
pub(super) fn finish_publish<'a>(
    buf: &'a [u8],
    arg_at: usize,
    header: &PublishLine<'a>,
    limits: &ParseLimits,
) -> Result<Parsed<'a>, ParseError> {
    if header.arg_len > limits.control_line_bytes_max {
        return Err(ParseError::ControlLine);
    }
    if limits.payload_bytes_max >= 0 && header.size > limits.payload_bytes_max.unsigned_abs() {
        return Err(ParseError::Payload {
            size: header.size,
            max: limits.payload_bytes_max,
        });
    }
    let body_at = arg_at + header.body_at;
    let size = usize::try_from(header.size).unwrap_or(usize::MAX);
    let needed = body_at.saturating_add(size).saturating_add(2);
    if buf.len() < needed {
        // The first byte behind the body is enough to know that the terminator is wrong.
        if buf.len() + 1 == needed && buf[needed - 2] != b'\r' {
            return Err(unknown_operation(buf, 30, needed - 2));
        }
        return Ok(Parsed::Body {
            subject: header.subject,
            needed,
        });
    }
    if buf[needed - 2] != b'\r' || buf[needed - 1] != b'\n' {
        let at = if buf[needed - 2] == b'\r' {
            needed - 1
        } else {
            needed - 2
        };
        return Err(unknown_operation(buf, 30, at));
    }
    let tail_at = arg_at + header.subject.len() + 1;
    let publish = Publish {
        subject: header.subject,
        reply: header.reply,
        headers: header.headers,
        size_text: header.size_text,
        body: &buf[body_at..needed - 2],
        tail: header.is_canonical.then(|| &buf[tail_at..needed]),
    };
    Ok(Parsed::Op(Op::Publish(publish), needed))
}

/// The error for bytes that are no operation, with the original's view of them: up to 32
/// bytes, and one less than there are if they are fewer.
#[cold]
pub(super) fn unknown_operation(buf: &[u8], state: u8, at: usize) -> ParseError {
    let stop = if at + 32 > buf.len() {
        buf.len().saturating_sub(1)
    } else {
        at + 32
    };
    let snippet = buf.get(at..stop.max(at)).unwrap_or_default();
    ParseError::UnknownOperation {
        state,
        at,
        snippet: snippet.into(),
    }
}

/// Where the line ends, within what the limit allows to look at.
#[inline]
pub(super) fn find_line_end(bytes: &[u8]) -> Option<usize> {
    memchr(b'\n', bytes)
}
