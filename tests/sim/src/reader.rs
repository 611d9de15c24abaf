//! What a client reads: the server's lines and messages, out of bytes that come in any pieces.

/// Something the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Info,
    Ping,
    Pong,
    Okay,
    Error(String),
    Message {
        subject: String,
        sid: usize,
        reply: Option<String>,
        headers: Vec<u8>,
        payload: Vec<u8>,
    },
    /// Not the protocol.
    Nonsense(String),
}

/// Bytes read and not yet understood.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    /// The next whole thing the server said.
    pub(crate) fn next(&mut self) -> Option<Said> {
        let (said, len) = parse(&self.bytes[self.at..])?;
        self.at += len;
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        }
        Some(said)
    }
}

fn parse(bytes: &[u8]) -> Option<(Said, usize)> {
    let line_len = bytes.windows(2).position(|w| w == b"\r\n")?;
    let line = String::from_utf8_lossy(&bytes[..line_len]);
    let mut len = line_len + 2;
    let nonsense = || Said::Nonsense(line.clone().into_owned());
    let said = match line.split_once(' ').unwrap_or((&line, "")) {
        ("INFO", _) => Said::Info,
        ("PING", "") => Said::Ping,
        ("PONG", "") => Said::Pong,
        ("+OK", "") => Said::Okay,
        ("-ERR", text) => Said::Error(text.to_owned()),
        (verb @ ("MSG" | "HMSG"), rest) => {
            let args: Vec<&str> = rest.split(' ').collect();
            let sizes = if verb == "MSG" { 1 } else { 2 };
            let reply = match args.len().checked_sub(sizes) {
                Some(2) => None,
                Some(3) => Some(args[2].to_owned()),
                _ => return Some((nonsense(), len)),
            };
            let number = |text: &str| text.parse::<usize>().ok();
            let total = number(args[args.len() - 1]);
            let headers = if sizes == 2 {
                number(args[args.len() - 2])
            } else {
                Some(0)
            };
            let (Some(sid), Some(total), Some(headers)) = (number(args[1]), total, headers) else {
                return Some((nonsense(), len));
            };
            let body = bytes.get(len..len + total + 2)?;
            len += total + 2;
            if !body.ends_with(b"\r\n") || headers > total {
                return Some((nonsense(), len));
            }
            Said::Message {
                subject: args[0].to_owned(),
                sid,
                reply,
                headers: body[..headers].to_vec(),
                payload: body[headers..total].to_vec(),
            }
        }
        _ => nonsense(),
    };
    Some((said, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_read_however_it_is_split() {
        let text = b"INFO {} \r\nPING\r\nPONG\r\n+OK\r\n-ERR 'x y'\r\nMSG a.b 7 4\r\nM\r\nG\r\n\
            HMSG a 8 _I.1 3 5\r\nhhhpp\r\nWHAT 1\r\n";
        let message = |subject: &str, sid, reply: Option<&str>, headers: &[u8], payload: &[u8]| {
            Said::Message {
                subject: subject.to_owned(),
                sid,
                reply: reply.map(str::to_owned),
                headers: headers.to_vec(),
                payload: payload.to_vec(),
            }
        };
        let wanted = [
            Said::Info,
            Said::Ping,
            Said::Pong,
            Said::Okay,
            Said::Error("'x y'".to_owned()),
            message("a.b", 7, None, b"", b"M\r\nG"),
            message("a", 8, Some("_I.1"), b"hhh", b"pp"),
            Said::Nonsense("WHAT 1".to_owned()),
        ];
        for size in [1, 2, 7, text.len()] {
            let mut reader = Reader::default();
            let mut said = Vec::new();
            for piece in text.chunks(size) {
                reader.bytes.extend_from_slice(piece);
                while let Some(next) = reader.next() {
                    said.push(next);
                }
            }
            assert_eq!(said, wanted);
        }
    }
}
