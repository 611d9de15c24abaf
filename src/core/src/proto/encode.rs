//! Lines the server writes, as bytes.

/// Answer to PING.
pub const PONG: &[u8] = b"PONG\r\n";
/// The server's own PING.
pub const PING: &[u8] = b"PING\r\n";
/// Acceptance, for verbose connections.
pub const OK: &[u8] = b"+OK\r\n";

/// `-ERR '<text>'␍␊`.
pub fn error_line(text: &str) -> Vec<u8> {
    let mut line = Vec::with_capacity(text.len() + 9);
    line.extend_from_slice(b"-ERR '");
    line.extend_from_slice(text.as_bytes());
    line.extend_from_slice(b"'\r\n");
    line
}

/// Appends a number in decimal.
pub fn push_decimal(out: &mut Vec<u8>, mut n: usize) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        // The remainder is a single digit.
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// What follows `HMSG <reply> <sid> ` in the status message that tells a requester that nobody listens.
///
/// The short form is the one every generation of clients knows (nats-server 2.9 to 2.11).
pub const NO_RESPONDERS: &[u8] = b"16 16\r\nNATS/1.0 503\r\n\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for n in [0usize, 7, 10, 999, 1_048_576, usize::MAX] {
            let mut out = Vec::new();
            push_decimal(&mut out, n);
            assert_eq!(out, n.to_string().into_bytes());
        }
        assert_eq!(error_line("Invalid Subject"), b"-ERR 'Invalid Subject'\r\n");
    }
}
