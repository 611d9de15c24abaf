//! What is sent back: status, type, body; and how it becomes bytes.
//!
//! The only file that knows tiny_http, and only its responses: its server puts no bound on
//! heads, bodies, time or connections and so never meets the network (see `guard.rs`).

use std::io;

use tiny_http::{HTTPVersion, Header, Response, StatusCode};

use super::query::Refusal;

/// Longest body sent with a length; what is longer goes out in chunks. Source: the buffer of
/// Go's HTTP server, as seen with gnatsd 1.2.0.
const BODY_BYTES_PLAIN_MAX: usize = 2048;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// An answer, not yet in any form a socket takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Who the bytes are for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipient {
    /// Speaks HTTP/1.0 only.
    pub(super) is_http_1_0: bool,
    /// Asked with HEAD.
    pub(super) wants_head_only: bool,
    /// Will be heard again on the same connection.
    pub(super) is_kept: bool,
}

impl Answer {
    fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Answer {
            status,
            content_type,
            location: None,
            body,
        }
    }

    /// 200 with JSON (or what is declared as such).
    pub(super) fn json(body: Vec<u8>) -> Self {
        Answer::new(200, "application/json", body)
    }

    /// 200 with JSON as the argument of a call of `callback`, whose text is copied as it is.
    pub(super) fn jsonp(callback: &[u8], json: &[u8]) -> Self {
        Answer::new(
            200,
            "application/javascript",
            [callback, b"(", json, b")"].concat(),
        )
    }

    /// 200 with a web page.
    pub(super) fn html(body: &str) -> Self {
        Answer::new(200, HTML, body.into())
    }

    /// 400 with a reason.
    pub(super) fn refused(refusal: Refusal) -> Self {
        Answer::new(400, TEXT, refusal.0)
    }

    /// 404.
    pub(super) fn not_found() -> Self {
        Answer::new(404, TEXT, b"404 page not found\n".to_vec())
    }

    /// 500 or 503 with a reason.
    pub(super) fn failed(status: u16, text: &str) -> Self {
        Answer::new(status, TEXT, text.into())
    }

    /// 301 to `location`.
    pub(super) fn moved(location: String) -> Self {
        let mut shown = String::new();
        for c in location.chars() {
            match c {
                '&' => shown.push_str("&amp;"),
                '<' => shown.push_str("&lt;"),
                '>' => shown.push_str("&gt;"),
                '"' => shown.push_str("&#34;"),
                '\'' => shown.push_str("&#39;"),
                c => shown.push(c),
            }
        }
        let body = format!("<a href=\"{shown}\">Moved Permanently</a>.\n\n");
        Answer {
            location: Some(location),
            ..Answer::new(301, HTML, body.into())
        }
    }

    /// The bytes for `to`.
    ///
    /// # Errors
    /// None that a buffer in memory can give.
    pub(super) fn encode(self, to: Recipient) -> io::Result<Vec<u8>> {
        let mut fields = vec![("Content-Type", self.content_type), ("Server", "gnatsd")];
        if self.status == 400 || self.status == 404 || self.status >= 500 {
            fields.push(("X-Content-Type-Options", "nosniff"));
        }
        if let Some(location) = &self.location {
            fields.push(("Location", location));
        }
        let headers = fields
            .iter()
            .filter_map(|(name, value)| Header::from_bytes(*name, *value).ok());
        let length = self.body.len();
        let response = Response::new(
            StatusCode(self.status),
            headers.collect(),
            self.body.as_slice(),
            Some(length),
            None,
        )
        .with_chunked_threshold(BODY_BYTES_PLAIN_MAX + 1);
        let version = HTTPVersion(1, u8::from(!to.is_http_1_0));
        let mut bytes = Vec::with_capacity(length + length / 1024 * 8 + 512);
        response.raw_print(&mut bytes, version, &[], to.wants_head_only, None)?;
        // tiny_http lets nobody set this field.
        let connection = match to {
            Recipient { is_kept: false, .. } => "Connection: close\r\n",
            Recipient {
                is_http_1_0: true, ..
            } => "Connection: keep-alive\r\n",
            _ => "",
        };
        if let Some(at) = bytes.windows(2).position(|w| w == b"\r\n") {
            bytes.splice(at + 2..at + 2, connection.bytes());
        }
        Ok(bytes)
    }
}

/// The whole answer to something that is not HTTP; the connection ends with it. In Go's form,
/// where `status` is both status line and body.
pub(super) fn refuse_head(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Type: {TEXT}\r\nConnection: close\r\n\r\n{status}")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Recipient = Recipient {
        is_http_1_0: false,
        wants_head_only: false,
        is_kept: true,
    };

    fn encode(answer: Answer, to: Recipient) -> (String, String) {
        let text = String::from_utf8(answer.encode(to).unwrap()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    #[test]
    fn short_bodies_have_a_length_and_long_ones_come_in_chunks() {
        let (head, body) = encode(Answer::json(vec![b'x'; 2048]), KEPT);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Length: 2048"), "{head}");
        assert!(
            head.contains("\r\nContent-Type: application/json\r\n"),
            "{head}"
        );
        assert!(
            !head.contains("Connection:") && !head.contains("Transfer-Encoding"),
            "{head}"
        );
        assert_eq!(body.len(), 2048);

        let (head, body) = encode(Answer::json(vec![b'x'; 2049]), KEPT);
        assert!(head.contains("\r\nTransfer-Encoding: chunked"), "{head}");
        assert!(!head.contains("Content-Length"), "{head}");
        assert!(body.starts_with("801\r\nxxx") && body.ends_with("xxx\r\n0\r\n\r\n"));

        let (head, body) = encode(
            Answer::json(vec![b'x'; 2049]),
            Recipient {
                is_http_1_0: true,
                ..KEPT
            },
        );
        assert!(
            head.starts_with("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"),
            "{head}"
        );
        assert!(!head.contains("Transfer-Encoding"), "{head}");
        assert_eq!(body.len(), 2049);
    }

    #[test]
    fn head_requests_get_the_same_head_without_a_body() {
        for size in [10, 5000] {
            let fields = |to| {
                let (head, body) = encode(Answer::json(vec![b'x'; size]), to);
                let head: Vec<_> = head
                    .lines()
                    .filter(|l| !l.starts_with("Date"))
                    .map(String::from)
                    .collect();
                (head, body)
            };
            let (with, _) = fields(KEPT);
            let (without, body) = fields(Recipient {
                wants_head_only: true,
                ..KEPT
            });
            assert_eq!(with, without);
            assert_eq!(body, "");
        }
    }

    #[test]
    fn errors_are_text_that_nobody_guesses_about() {
        let (head, body) = encode(
            Answer::not_found(),
            Recipient {
                is_kept: false,
                ..KEPT
            },
        );
        assert!(
            head.starts_with("HTTP/1.1 404 Not Found\r\nConnection: close\r\n"),
            "{head}"
        );
        assert!(
            head.contains("\r\nX-Content-Type-Options: nosniff\r\n"),
            "{head}"
        );
        assert!(
            head.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"),
            "{head}"
        );
        assert_eq!(body, "404 page not found\n");
        assert_eq!(
            String::from_utf8(refuse_head("400 Bad Request")).unwrap(),
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n\
             400 Bad Request"
        );
    }

    #[test]
    fn redirects() {
        let (head, body) = encode(Answer::moved("/varz?a&\"<".into()), KEPT);
        assert!(
            head.starts_with("HTTP/1.1 301 Moved Permanently\r\n"),
            "{head}"
        );
        assert!(head.contains("\r\nLocation: /varz?a&\"<\r\n"), "{head}");
        assert_eq!(
            body,
            "<a href=\"/varz?a&amp;&#34;&lt;\">Moved Permanently</a>.\n\n"
        );
    }
}
