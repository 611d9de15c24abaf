//! Message bodies that say whose they are: `@ccccccssssss;` in hex, then a filling that both sides know.

/// Bytes of the mark at the start of each body.
pub(crate) const MARK_BYTES: usize = 14;
/// The header block of messages with headers.
pub(crate) const HEADERS: &str = "NATS/1.0\r\nA: b\r\n\r\n";

/// The body of message `seq` of connection `conn`, at least as long as its mark.
pub(crate) fn body(conn: usize, seq: usize, len: usize) -> Vec<u8> {
    let mut body = format!("@{conn:06x}{seq:06x};").into_bytes();
    for at in body.len()..len {
        // A letter, of 26 in turn.
        body.push(b'a' + ((conn + seq + at) % 26) as u8);
    }
    body
}

/// Whose body this is, if it is whole and as it was sent.
pub(crate) fn parse(bytes: &[u8]) -> Option<(usize, usize)> {
    let (conn, seq) = mark(bytes)?;
    let (conn, seq) = (conn as usize, seq as usize);
    (body(conn, seq, bytes.len()) == bytes).then_some((conn, seq))
}

fn mark(bytes: &[u8]) -> Option<(u32, u32)> {
    let mark = bytes.get(..MARK_BYTES)?;
    if mark[0] != b'@' || mark[MARK_BYTES - 1] != b';' {
        return None;
    }
    let hex = |digits: &[u8]| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    Some((hex(&mark[1..7])?, hex(&mark[7..13])?))
}

/// All marks in a batch.
pub(crate) fn marks(bytes: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    let starts = bytes.iter().enumerate().filter(|(_, b)| **b == b'@');
    starts.filter_map(|(at, _)| mark(&bytes[at..]))
}

/// What is in a batch, to be printed: its length, and the marks of its messages.
pub(crate) fn describe(batch: &[u8], has_messages: bool) -> String {
    let mut text = format!("{} bytes", batch.len());
    if has_messages {
        for (conn, seq) in marks(batch) {
            text += &format!(" @{conn:06x}{seq:06x}");
        }
    }
    text
}

/// The start of some bytes, to be printed.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const MAX: usize = 160;
    let more = if bytes.len() > MAX { "…" } else { "" };
    format!("\"{}{more}\"", bytes[..bytes.len().min(MAX)].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_recognised_and_a_change_is_seen() {
        for len in [0, 14, 15, 90] {
            let mut bytes = body(3, 77, len);
            assert_eq!(bytes.len(), len.max(MARK_BYTES));
            assert_eq!(parse(&bytes), Some((3, 77)));
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            assert_eq!(parse(&bytes), None);
        }
        let batch = [
            &b"x @@"[..],
            &body(1, 2, 20),
            b"MSG a@b 1\r\n",
            &body(4, 5, 0),
        ]
        .concat();
        assert_eq!(marks(&batch).collect::<Vec<_>>(), [(1, 2), (4, 5)]);
    }
}
