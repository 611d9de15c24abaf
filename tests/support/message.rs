//! One message as the server sends it, cut out of a stream of bytes.

/// A `MSG` or `HMSG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Subject the message was published on.
    pub(crate) subject: String,
    /// Subscription it is for, as text.
    pub(crate) sid: String,
    /// Reply subject, if there is one.
    pub(crate) reply: Option<String>,
    /// Header block of an `HMSG`, `NATS/1.0` and the empty line included; empty for a `MSG`.
    pub(crate) headers: Vec<u8>,
    /// Payload without the header block.
    pub(crate) payload: Vec<u8>,
}

/// What stands at the start of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A message, and how many bytes it took.
    Message(Message, usize),
    /// A line that starts no message, without its line end, and how many bytes it took.
    Line(String, usize),
    /// Neither is complete yet.
    Partial,
}

/// Cuts the first message or line off `bytes`.
///
/// # Panics
/// When a message does not have the form of the protocol.
#[track_caller]
pub(crate) fn cut(bytes: &[u8]) -> Piece {
    let Some(line_end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return Piece::Partial;
    };
    let line = String::from_utf8_lossy(&bytes[..line_end]);
    let line = line.strip_suffix('\r').unwrap_or(&line);
    let has_headers = line.starts_with("HMSG ");
    if !has_headers && !line.starts_with("MSG ") {
        return Piece::Line(line.to_owned(), line_end + 1);
    }
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    let (names, sizes) =
        words.split_at(words.len().saturating_sub(if has_headers { 2 } else { 1 }));
    let sizes: Vec<usize> = sizes.iter().map_while(|word| word.parse().ok()).collect();
    let (header_bytes, total_bytes) = match sizes[..] {
        [total] if !has_headers => (0, total),
        [header, total] if header <= total => (header, total),
        _ => panic!("not a message: {line:?}"),
    };
    let (subject, sid, reply) = match *names {
        [subject, sid] => (subject, sid, None),
        [subject, sid, reply] => (subject, sid, Some(reply)),
        _ => panic!("not a message: {line:?}"),
    };
    let content = &bytes[line_end + 1..];
    if content.len() < total_bytes + 2 {
        return Piece::Partial;
    }
    let end = &content[total_bytes..total_bytes + 2];
    assert_eq!(end, b"\r\n", "end of payload of {line:?}");
    let message = Message {
        subject: subject.to_owned(),
        sid: sid.to_owned(),
        reply: reply.map(str::to_owned),
        headers: content[..header_bytes].to_vec(),
        payload: content[header_bytes..total_bytes].to_vec(),
    };
    Piece::Message(message, line_end + 1 + total_bytes + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_with_reply() {
        let Piece::Message(m, len) = cut(b"MSG a.b 7 _INBOX.x 2\r\nhi\r\nPONG\r\n") else {
            panic!("no message");
        };
        assert_eq!((m.subject.as_str(), m.sid.as_str()), ("a.b", "7"));
        assert_eq!(m.reply.as_deref(), Some("_INBOX.x"));
        assert_eq!((m.payload.as_slice(), len), (&b"hi"[..], 26));
    }

    #[test]
    fn message_with_headers() {
        let Piece::Message(m, _) = cut(b"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n") else {
            panic!("no message");
        };
        assert_eq!(m.headers, b"NATS/1.0\r\n\r\n");
        assert_eq!(m.payload, b"hi");
        assert_eq!(m.reply, None);
    }

    #[test]
    fn every_cut_of_a_message_is_partial() {
        let whole = b"MSG a 1 5\r\nhello\r\n";
        for at in 0..whole.len() {
            assert_eq!(cut(&whole[..at]), Piece::Partial, "cut at {at}");
        }
    }

    #[test]
    fn other_lines() {
        assert_eq!(cut(b"+OK\r\nMSG"), Piece::Line("+OK".to_owned(), 5));
    }
}
