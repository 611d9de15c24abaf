//! What comes in on one connection: equal messages, counted, and control lines between them.
//!
//! Counts messages by their fixed length instead of parsing them: each must start with `M` where the last one
//! ended, so a message of another length or a lost byte ends the run with an error instead of a wrong count.
//! Knows no socket.

use crate::Result;

/// Longest control line a server may send us, in bytes. INFO of a large cluster is the longest.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;

/// Counts what comes in on one connection.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    /// Length of every message; 0 where none may come.
    message_bytes: usize,
    /// Bytes of the current message that have not come yet.
    ///
    /// Invariant: `missing < message_bytes`, or both are 0.
    missing: usize,
    /// A control line of which the end has not come yet.
    line: Vec<u8>,
    /// Messages that came whole.
    pub(crate) messages: u64,
    /// PONGs that came.
    pub(crate) pongs: u64,
    /// PINGs that are not answered yet.
    pub(crate) pings: u64,
}

impl Scanner {
    /// From now on messages of this length, in bytes, may come.
    pub(crate) fn expect_messages_of(&mut self, message_bytes: usize) {
        self.message_bytes = message_bytes;
    }

    /// Takes the next bytes of the connection.
    ///
    /// # Errors
    /// `-ERR`, or bytes that are neither a message of the expected length nor a control line.
    pub(crate) fn scan(&mut self, mut bytes: &[u8]) -> Result<()> {
        if self.missing > 0 {
            let count = self.missing.min(bytes.len());
            bytes = &bytes[count..];
            self.missing -= count;
            self.messages += u64::from(self.missing == 0);
        }
        while let Some(first) = bytes.first() {
            if *first == b'M' && self.line.is_empty() && self.message_bytes > 0 {
                let Some(rest) = bytes.get(self.message_bytes..) else {
                    self.missing = self.message_bytes - bytes.len();
                    return Ok(());
                };
                bytes = rest;
                self.messages += 1;
            } else {
                let end = bytes
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .map(|at| at + 1);
                self.line
                    .extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
                bytes = &bytes[end.unwrap_or(bytes.len())..];
                if end.is_some() || self.line.len() > LINE_BYTES_MAX {
                    self.take_line()?;
                }
            }
        }
        Ok(())
    }

    fn take_line(&mut self) -> Result<()> {
        match self.line.trim_ascii_end() {
            b"PING" => self.pings += 1,
            b"PONG" => self.pongs += 1,
            line if line.starts_with(b"INFO ") => {}
            line => {
                let line = line[..line.len().min(200)].escape_ascii();
                return Err(format!("the server sent \"{line}\"").into());
            }
        }
        self.line.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner(message_bytes: usize) -> Scanner {
        Scanner {
            message_bytes,
            ..Scanner::default()
        }
    }

    #[test]
    fn the_count_does_not_depend_on_how_reads_are_split() {
        let text =
            b"MSG a 1 2\r\nxx\r\nPING\r\nMSG a 1 2\r\nMM\r\nINFO {}\r\nMSG a 1 2\r\nxx\r\nPONG\r\n";
        for piece in 1..text.len() {
            let mut scanner = scanner(15);
            for bytes in text.chunks(piece) {
                scanner.scan(bytes).unwrap();
            }
            assert_eq!(
                (scanner.messages, scanner.pings, scanner.pongs),
                (3, 1, 1),
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn what_is_not_expected_is_an_error() {
        assert!(
            scanner(15)
                .scan(b"-ERR 'Slow Consumer'\r\n")
                .unwrap_err()
                .to_string()
                .contains("Slow Consumer")
        );
        assert!(
            scanner(14)
                .scan(b"MSG a 1 2\r\nxx\r\nMSG a 1 2\r\nxx\r\n")
                .is_err()
        );
        assert!(scanner(0).scan(b"MSG a 1 2\r\nxx\r\n").is_err());
    }
}
