//! What comes in on one connection: messages of known lengths, counted, and control lines between them.
//!
//! Counts messages by their length instead of parsing them: each must start with `M` where the last one
//! ended, so a message of another length or a lost byte ends the run with an error instead of a wrong count.
//! Lengths are alike as a rule, or those of the batch that is sent, in turn. What is skipped unseen is counted by its length, too, and what is seen next must fit. With a [`Checker`]
//! everything is parsed instead. Knows no socket.

use crate::Result;
use crate::lengths::Lengths;
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
    /// Lengths of the messages; `None` where none may come.
    lengths: Option<Lengths>,
    /// Place in `lengths` of the message that is coming, or is the next.
    place: usize,
    /// Its length; 0 where none may come.
    message_bytes: usize,
    /// Bytes of it that have not come yet.
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
    /// From now on messages of these lengths may come. None has come before.
    pub(crate) fn expect(&mut self, lengths: Lengths) {
        self.message_bytes = lengths.of(0);
        self.lengths = Some(lengths);
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

    /// Whether what was seen last is where it should be, so that the bytes behind it need not be seen.
    pub(crate) fn is_aligned(&self) -> bool {
        self.can_skip() && !self.is_blind
    }

    fn can_skip(&self) -> bool {
        self.lengths.is_some() && self.line.is_empty() && self.checker.is_none()
    }

    /// How many of the next bytes nobody has to look at, up to the end of a message; `None` for none.
    pub(crate) fn bytes_to_skip(&self, bytes_max: usize) -> Option<usize> {
        let lengths = self.lengths.as_ref()?;
        let position = self.position(lengths);
        let end = lengths.boundary_until(position + bytes_max as u64);
        let bytes = usize::try_from(end.checked_sub(position)?).ok()?;
        (self.is_aligned() && bytes > 0).then_some(bytes)
    }

    /// Counts bytes that nobody looks at. Those that are scanned next must fit.
    pub(crate) fn skip(&mut self, count: usize) {
        if let Some(lengths) = self.lengths.clone() {
            self.move_to(self.position(&lengths) + count as u64, &lengths);
            self.is_blind = true;
        }
    }

    /// How many bytes of messages have come.
    fn position(&self, lengths: &Lengths) -> u64 {
        let begun = (self.message_bytes - self.missing) % self.message_bytes;
        lengths.end_of(self.messages) + begun as u64
    }

    /// Corrects how many that were.
    fn move_to(&mut self, position: u64, lengths: &Lengths) {
        self.messages = lengths.count_at(position);
        self.place = usize::try_from(self.messages % lengths.len() as u64).unwrap_or(0);
        self.message_bytes = lengths.of(self.place);
        self.missing = missing_at(position, lengths);
    }

    /// Looks whether the bytes skipped were whole messages, or those and a PING.
    fn realign(&mut self, bytes: &[u8], lengths: &Lengths) -> Result<()> {
        // Where the messages are if there was a PING among the bytes.
        let shifted = self.position(lengths).checked_sub(PING.len() as u64);
        let with_ping = shifted.map_or(Some(false), |position| {
            fits(bytes, missing_at(position, lengths))
        });
        match (fits(bytes, self.missing), with_ping, shifted) {
            (Some(true), ..) => self.is_blind = false,
            (_, Some(true), Some(position)) => {
                self.move_to(position, lengths);
                self.pings += 1;
                self.is_blind = false;
            }
            (None, ..) => {}
            (Some(false), ..) => {
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
        if self.is_blind
            && let Some(lengths) = self.lengths.clone()
        {
            self.realign(bytes, &lengths)?;
        }
        if self.missing > 0 {
            let count = self.missing.min(bytes.len());
            bytes = &bytes[count..];
            self.missing -= count;
            if self.missing == 0 {
                self.count_one();
            }
        }
        while let Some(first) = bytes.first() {
            if *first == b'M' && self.line.is_empty() && self.message_bytes > 0 {
                let Some(rest) = bytes.get(self.message_bytes..) else {
                    self.missing = self.message_bytes - bytes.len();
                    return Ok(());
                };
                bytes = rest;
                self.count_one();
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

    /// Counts the message that was coming and turns to the next.
    fn count_one(&mut self) {
        self.messages += 1;
        if let Some(lengths) = &self.lengths
            && lengths.len() > 1
        {
            self.place = (self.place + 1) % lengths.len();
            self.message_bytes = lengths.of(self.place);
        }
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

/// Bytes from this position to the end of the message there; 0 between two messages.
fn missing_at(position: u64, lengths: &Lengths) -> usize {
    usize::try_from(lengths.boundary_from(position) - position).unwrap_or(usize::MAX)
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
        of(Lengths::alike(message_bytes))
    }

    fn of(lengths: Lengths) -> Scanner {
        let mut scanner = Scanner::default();
        scanner.expect(lengths);
        scanner
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
        assert!(Scanner::default().scan(b"MSG a 1 2\r\nxx\r\n").is_err());
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

    /// Messages of 14, 5 and 0 bytes in turn, with the bytes of a PING behind the first `ping_after`, and a
    /// PONG; their lengths, and how many there are.
    fn mixed(ping_after: Option<usize>) -> (Vec<u8>, Lengths, u64) {
        let cycle = [14, 5, 0].map(|size| {
            let payload = "x".repeat(size);
            format!("MSG foo.{size} 1 {size}\r\n{payload}\r\n")
        });
        let lengths = Lengths::in_turn(cycle.iter().map(String::len));
        let messages = cycle.iter().cycle().take(8).enumerate();
        let mut text: String = messages
            .map(|(index, message)| {
                let ping = (ping_after == Some(index + 1)).then_some("PING\r\n");
                message.clone() + ping.unwrap_or_default()
            })
            .collect();
        text += "PONG\r\n";
        (text.into_bytes(), lengths, 8)
    }

    #[test]
    fn messages_of_different_lengths_are_counted() {
        for ping_after in [None, Some(1), Some(3), Some(5)] {
            let (bytes, lengths, count) = mixed(ping_after);
            let pings = u64::from(ping_after.is_some());
            for piece in 1..bytes.len() {
                let mut scanner = of(lengths.clone());
                for bytes in bytes.chunks(piece) {
                    scanner.scan(bytes).unwrap();
                }
                let counts = (scanner.messages, scanner.pings, scanner.pongs);
                assert_eq!(counts, (count, pings, 1), "pieces of {piece}");
            }
        }
    }

    #[test]
    fn those_that_were_skipped_are_counted_as_well() {
        for ping_after in [None, Some(1), Some(3), Some(5)] {
            let (bytes, lengths, count) = mixed(ping_after);
            let pings = u64::from(ping_after.is_some());
            let ping_at = ping_after.map_or(0, |after| lengths.end_of(after as u64));
            let first = usize::try_from(ping_at).unwrap() + 1;
            for skipped in first..bytes.len() - PING.len() {
                let mut scanner = of(lengths.clone());
                scanner.skip(skipped);
                scanner.scan(&bytes[skipped..]).unwrap();
                let counts = (scanner.messages, scanner.pings, scanner.pongs);
                assert_eq!(counts, (count, pings, 1), "{skipped}, {ping_after:?}");
            }
        }
        let (mut bytes, lengths, _) = mixed(None);
        bytes.remove(20);
        let mut scanner = of(lengths);
        scanner.skip(60);
        assert!(scanner.scan(&bytes[60..]).is_err());
    }
}
