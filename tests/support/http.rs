//! One GET over a plain socket, as small as the monitoring tests need it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longest time for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// An HTTP answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// Status code, for instance 200.
    pub(crate) status: u16,
    /// Names and values in the order of the answer.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, with a chunked coding undone.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Value of the first header called `name`, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none; the body is printed.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }
}

/// Asks `address` for `path` and reads the whole answer.
///
/// # Panics
/// When there is no complete answer within 10 s.
#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = exchange(address, request.as_bytes());
    parse(&answer).unwrap_or_else(|| {
        panic!(
            "GET {path}: no HTTP answer: {:?}",
            answer.escape_ascii().to_string()
        )
    })
}

/// Sends `request` as it is and reads until the server closes.
///
/// # Panics
/// When the connection fails or the server does not close within 10 s.
#[track_caller]
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    TcpStream::connect_timeout(&address, ANSWER_LIMIT)
        .and_then(|mut stream| {
            stream.set_read_timeout(Some(ANSWER_LIMIT))?;
            stream.write_all(request)?;
            stream.read_to_end(&mut answer)
        })
        .unwrap_or_else(|e| panic!("monitor at {address}: {e}, after {} bytes", answer.len()));
    answer
}

fn parse(answer: &[u8]) -> Option<Response> {
    let head_end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..head_end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut response = Response {
        status: status.parse().ok()?,
        headers,
        body: answer[head_end + 4..].to_vec(),
    };
    let coding = response.header("Transfer-Encoding");
    if coding.is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        response.body = join_chunks(&response.body)?;
    }
    Some(response)
}

fn join_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = rest.windows(2).position(|w| w == b"\r\n")?;
        let line = std::str::from_utf8(&rest[..line_end]).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let chunk = rest.get(line_end + 2..)?;
        body.extend_from_slice(chunk.get(..size)?);
        rest = chunk.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_answer() {
        let r = parse(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n{\"a\":1}").unwrap();
        assert_eq!(r.status, 200);
        assert_eq!(r.header("content-type"), Some("text/plain"));
        assert_eq!(r.json()["a"], 1);
    }

    #[test]
    fn chunked_answer() {
        let text = b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x\r\n0123456789\r\n0\r\n\r\n";
        let r = parse(text).unwrap();
        assert_eq!((r.status, r.text().as_str()), (400, "abc0123456789"));
    }

    #[test]
    fn half_an_answer_is_none() {
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc").is_none());
    }
}
