//! The head of a request: what of it matters here, taken from at most 8 KiB of bytes.

use super::target::Target;

/// Longest head accepted, in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 8 * 1024;

/// A request without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) target: Target,
    pub(super) is_http_1_0: bool,
    /// HEAD; every other method is answered like GET.
    pub(super) wants_head_only: bool,
    /// The client wants to go on with the connection.
    pub(super) wants_keep_alive: bool,
    pub(super) body: Body,
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Sized(u64),
    /// Chunks, or bytes that come only if they are called for.
    Unsized,
}

/// Status line, from the number on, for something that is not a request. In Go's words.
pub(super) type NoRequest = &'static str;

const BAD_REQUEST: NoRequest = "400 Bad Request";
const NO_HOST: NoRequest = "400 Bad Request: missing required Host header";
const MANY_HOSTS: NoRequest = "400 Bad Request: too many Host headers";
const BAD_VERSION: NoRequest = "505 HTTP Version Not Supported: unsupported protocol version";
/// For a head of more than [`HEAD_BYTES_MAX`].
pub(super) const TOO_LARGE: NoRequest = "431 Request Header Fields Too Large";

/// Length of the first head in `bytes`, its empty line included. Of them, the first `searched`
/// are known to hold no end.
pub(super) fn find_end(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(3);
    let tail = bytes.get(from..)?;
    tail.iter()
        .enumerate()
        .filter(|&(_, &b)| b == b'\n')
        .find_map(|(at, _)| {
            let behind = at + 1;
            match tail.get(behind..) {
                Some([b'\n', ..]) => Some(from + behind + 1),
                Some([b'\r', b'\n', ..]) => Some(from + behind + 2),
                _ => None,
            }
        })
}

impl Head {
    /// Reads a head that [`find_end`] has found.
    ///
    /// # Errors
    /// It is no HTTP request of version 1.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, NoRequest> {
        let mut lines = bytes
            .split(|&b| b == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut words = lines.next().unwrap_or_default().splitn(3, |&b| b == b' ');
        let (Some(method), Some(target), Some(version)) =
            (words.next(), words.next(), words.next())
        else {
            return Err(BAD_REQUEST);
        };
        let is_http_1_0 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                return Err(BAD_VERSION);
            }
            _ => return Err(BAD_REQUEST),
        };
        if !is_token(method) {
            return Err(BAD_REQUEST);
        }
        let target = Target::parse(target).ok_or(BAD_REQUEST)?;
        let mut fields = Fields::default();
        for line in lines.take_while(|line| !line.is_empty()) {
            fields.add(line)?;
        }
        match fields.hosts {
            0 if !is_http_1_0 => return Err(NO_HOST),
            0 | 1 => {}
            _ => return Err(MANY_HOSTS),
        }
        Ok(Head {
            target,
            is_http_1_0,
            wants_head_only: method == b"HEAD",
            wants_keep_alive: if is_http_1_0 {
                fields.keep_alive && !fields.close
            } else {
                !fields.close
            },
            body: if fields.has_unsized_body {
                Body::Unsized
            } else {
                Body::Sized(fields.length.unwrap_or(0))
            },
        })
    }
}

/// The header fields that have a meaning here.
#[derive(Default)]
struct Fields {
    hosts: usize,
    close: bool,
    keep_alive: bool,
    length: Option<u64>,
    has_unsized_body: bool,
}

impl Fields {
    fn add(&mut self, line: &[u8]) -> Result<(), NoRequest> {
        let colon = line.iter().position(|&b| b == b':').ok_or(BAD_REQUEST)?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if !is_token(name) {
            return Err(BAD_REQUEST);
        }
        if name.eq_ignore_ascii_case(b"Host") {
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"Connection") {
            for option in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if name.eq_ignore_ascii_case(b"Content-Length") {
            let length = parse_length(value).ok_or(BAD_REQUEST)?;
            if self.length.is_some_and(|other| other != length) {
                return Err(BAD_REQUEST);
            }
            self.length = Some(length);
        } else if name.eq_ignore_ascii_case(b"Transfer-Encoding")
            || name.eq_ignore_ascii_case(b"Expect")
        {
            self.has_unsized_body = true;
        }
        Ok(())
    }
}

fn parse_length(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        digits.iter().fold(0u64, |n, &d| {
            n.saturating_mul(10).saturating_add(u64::from(d - b'0'))
        })
    })
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|&b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Head, NoRequest> {
        assert_eq!(find_end(text.as_bytes(), 0), Some(text.len()));
        Head::parse(text.as_bytes())
    }

    #[test]
    fn the_end_is_found_however_the_bytes_come() {
        for text in [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\nHost: x\n\n",
        ] {
            for split in 0..text.len() {
                assert_eq!(find_end(&text.as_bytes()[..split], 0), None, "{split}");
                let more = format!("{text}GET /");
                assert_eq!(
                    find_end(more.as_bytes(), split),
                    Some(text.len()),
                    "{split}"
                );
            }
        }
    }

    #[test]
    fn requests() {
        let head = parse("GET /varz?x HTTP/1.1\r\nhost: a\r\nUser-Agent: \u{e9}\r\n\r\n").unwrap();
        assert_eq!(
            head.target,
            Target {
                path: b"/varz".to_vec(),
                query: b"x".to_vec()
            }
        );
        assert!(head.wants_keep_alive && !head.wants_head_only && !head.is_http_1_0);
        assert_eq!(head.body, Body::Sized(0));
        // (fields, kept, body)
        let cases = [
            (
                "HTTP/1.1\r\nHost: a\r\nConnection: Close",
                false,
                Body::Sized(0),
            ),
            (
                "HTTP/1.1\r\nHost: a\r\nConnection: x, close",
                false,
                Body::Sized(0),
            ),
            ("HTTP/1.0\r\nHost: a", false, Body::Sized(0)),
            ("HTTP/1.0\r\nConnection: Keep-Alive", true, Body::Sized(0)),
            (
                "HTTP/1.1\r\nHost: a\r\nContent-Length: 12",
                true,
                Body::Sized(12),
            ),
            (
                "HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999999999999999",
                true,
                Body::Sized(u64::MAX),
            ),
            (
                "HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked",
                true,
                Body::Unsized,
            ),
            (
                "HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5",
                true,
                Body::Unsized,
            ),
        ];
        for (fields, kept, body) in cases {
            let head = parse(&format!("HEAD / {fields}\r\n\r\n")).unwrap();
            assert_eq!((head.wants_keep_alive, head.body), (kept, body), "{fields}");
            assert!(head.wants_head_only);
        }
    }

    #[test]
    fn what_is_no_request_is_told_so() {
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n", NO_HOST),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", MANY_HOSTS),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", BAD_VERSION),
            ("GET / HTTP/1\r\nHost: a\r\n\r\n", BAD_REQUEST),
            ("GET /\r\n\r\n", BAD_REQUEST),
            ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST),
            ("G\"T / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST),
            ("GET varz HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST),
            ("GET / HTTP/1.1\r\nHost\r\n\r\n", BAD_REQUEST),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", BAD_REQUEST),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", BAD_REQUEST),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
                BAD_REQUEST,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                BAD_REQUEST,
            ),
            ("CONNECT {\"verbose\":false}\r\nPING\r\n\r\n", BAD_REQUEST),
            ("\r\n\r\n", BAD_REQUEST),
        ];
        for (text, want) in cases {
            assert_eq!(Head::parse(text.as_bytes()), Err(want), "{text:?}");
        }
    }
}
