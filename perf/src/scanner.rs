//! What comes in on one connection: equal messages, counted, and control lines between them.
//!
//! Counts messages by their fixed length instead of parsing them: each must start with `M` where the last one
//! ended, so a message of another length or a lost byte ends the run with an error instead of a wrong count.
//! What is skipped unseen is counted by its length, too, and what is seen next must fit. With a [`Checker`]
//! everything is parsed instead. Knows no socket.

use crate::Result;
use crate::scenarios::Checker;

/// Longest control line a server may send us, in bytes. INFO of a large cluster is the longest.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;

/// Least bytes behind the start of a message to look at.
const LOOK_BYTES: usize = 512;

const PING: &[u8] = b"PING\r\n";

/// What may follow a message.
const STARTS: [&[u8]; 5] = [b"MSG ", PING, b"PONG\r\n", b"INFO ", b"-ERR "];

/// Counts what comes in on one connection.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    /// Length of every message; 0 where none may come.
    message_bytes: usize,
    /// Bytes of the current message that have not come yet.
    ///
    /// Invariant: `missing < message_bytes`, or both are 0.
    missing: usize,
    /// Bytes were counted that nobody looked at, and no start of a message was seen since.
    is_blind: bool,
    /// A control line of which the end has not come yet.
    line: Vec<u8>,
    /// Parses and checks everything, if asked to.
    checker: Option<Box<Checker>>,
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

    /// From now on everything is checked.
    pub(crate) fn check_with(&mut self, checker: Checker) {
        self.checker = Some(Box::new(checker));
    }

    /// How many bytes to read so that the start of the next message is among them; `None` when all must
    /// be read.
    pub(crate) fn bytes_to_look_at(&self) -> Option<usize> {
        self.can_skip().then_some(self.missing + LOOK_BYTES)
    }

    fn can_skip(&self) -> bool {
        self.message_bytes > 0 && self.line.is_empty() && self.checker.is_none()
    }

    /// How many of the next bytes nobody has to look at, up to the end of a message; `None` for none.
    pub(crate) fn bytes_to_skip(&self, bytes_max: usize) -> Option<usize> {
        let is_possible = self.can_skip() && !self.is_blind;
        let whole = bytes_max.checked_sub(self.missing)? / self.message_bytes.max(1);
        let bytes = self.missing + whole * self.message_bytes;
        (is_possible && bytes > 0).then_some(bytes)
    }

    /// Counts bytes that nobody looks at. Those that are scanned next must fit.
    pub(crate) fn skip(&mut self, count: usize) {
        let position = (self.message_bytes - self.missing) % self.message_bytes + count;
        self.messages += (position / self.message_bytes) as u64;
        self.missing = (self.message_bytes - position % self.message_bytes) % self.message_bytes;
        self.is_blind = true;
    }

    /// Looks whether the bytes skipped were whole messages, or those and a PING.
    fn realign(&mut self, bytes: &[u8]) -> Result<()> {
        let shifted = (self.missing + PING.len()) % self.message_bytes;
        let (as_counted, with_ping) = (fits(bytes, self.missing), fits(bytes, shifted));
        match (as_counted, with_ping) {
            (Some(true), _) => self.is_blind = false,
            (_, Some(true)) => {
                // A skip begins behind the first byte of a message, so there is one before.
                // If it was 6 bytes at most into a message, then the one before has not come whole yet.
                let position = (self.message_bytes - self.missing) % self.message_bytes;
                self.messages -= u64::from(position < PING.len());
                self.pings += 1;
                self.missing = shifted;
                self.is_blind = false;
            }
            (None, _) => {}
            (Some(false), _) => {
                return Err(
                    "what the server sent was not messages only; --verify shows what".into(),
                );
            }
        }
        Ok(())
    }

    /// Takes the next bytes of the connection.
    ///
    /// # Errors
    /// `-ERR`, or bytes that are neither a message of the expected length nor a control line; with a
    /// checker whatever it finds.
    pub(crate) fn scan(&mut self, mut bytes: &[u8]) -> Result<()> {
        if let Some(checker) = &mut self.checker {
            let taken = checker.take(bytes)?;
            self.messages += taken.messages;
            self.pings += taken.pings;
            self.pongs += taken.pongs;
            return Ok(());
        }
        if self.is_blind {
            self.realign(bytes)?;
        }
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

/// Whether a message or a control line starts behind `missing` bytes; `None` when that has not come.
fn fits(bytes: &[u8], missing: usize) -> Option<bool> {
    let rest = bytes.get(missing..).filter(|rest| !rest.is_empty())?;
    let is_start = STARTS
        .iter()
        .any(|start| rest.starts_with(start) || start.starts_with(rest));
    Some(is_start && (missing < 2 || bytes[..missing].ends_with(b"\r\n")))
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
    /// `count` messages of 32 bytes, the bytes of a PING behind the first `ping_at` bytes, and a PONG.
    fn stream(count: usize, ping_at: Option<usize>) -> Vec<u8> {
        let mut bytes = b"MSG foo 1 16\r\nxxxxxxxxxxxxxxxx\r\n".repeat(count);
        if let Some(at) = ping_at {
            bytes.splice(at..at, PING.iter().copied());
        }
        bytes.extend(b"PONG\r\n");
        bytes
    }

    /// Skips `skipped` bytes and reads the rest in pieces.
    fn skimmed(bytes: &[u8], skipped: usize, piece: usize) -> Result<Scanner> {
        let mut scanner = scanner(32);
        scanner.skip(skipped);
        for bytes in bytes[skipped..].chunks(piece) {
            scanner.scan(bytes)?;
        }
        Ok(scanner)
    }

    #[test]
    fn what_was_skipped_is_counted() {
        let bytes = stream(5, None);
        for skipped in 1..=160 {
            for piece in [1, 7, 31, 32, 33, 500] {
                let scanner = skimmed(&bytes, skipped, piece).unwrap();
                let counts = (scanner.messages, scanner.pings, scanner.pongs);
                assert_eq!(counts, (5, 0, 1), "{skipped} skipped, pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_ping_among_the_bytes_skipped_is_found() {
        for ping_at in [32, 96, 160] {
            let bytes = stream(5, Some(ping_at));
            for skipped in ping_at + 1..=166 {
                let scanner = skimmed(&bytes, skipped, 500).unwrap();
                let counts = (scanner.messages, scanner.pings, scanner.pongs);
                assert_eq!(counts, (5, 1, 1), "{skipped} skipped, PING at {ping_at}");
            }
        }
    }

    #[test]
    fn anything_else_among_the_bytes_skipped_is_an_error() {
        let mut bytes = stream(5, None);
        bytes.remove(20);
        assert!(skimmed(&bytes, 64, 500).is_err());
        let mut bytes = stream(5, None);
        bytes.splice(32..32, *b"-ERR 'x'\r\n");
        assert!(skimmed(&bytes, 64, 500).is_err());
    }

    #[test]
    fn a_skip_ends_with_a_message() {
        let mut scanner = scanner(32);
        assert_eq!(scanner.bytes_to_skip(100), Some(96));
        scanner.scan(b"MSG foo 1 16\r\n").unwrap();
        assert_eq!(scanner.bytes_to_skip(100), Some(18 + 64));
        assert_eq!(scanner.bytes_to_skip(17), None);
        scanner.skip(18);
        assert_eq!((scanner.messages, scanner.bytes_to_skip(100)), (1, None));
        assert_eq!(Scanner::default().bytes_to_skip(100), None);
    }
}
