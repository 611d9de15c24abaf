//! Proof that what arrives is what was sent: `--verify`.
//!
//! A payload carries who sent it, as which message, and a checksum over that and all the rest:
//!
//! ```text
//! 0      8         16
//! | word | checksum | anything ...      word = stream << 40 | sequence, little-endian
//! ```
//!
//! A *stream* is what keeps its order: a publisher, or one subject of many. A [`Checker`] parses everything
//! one connection gets and knows for each subscription and stream what is due next.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::Result;
use crate::scanner::LINE_BYTES_MAX;

/// Least payload that can be verified, in bytes.
pub(crate) const STAMP_BYTES: usize = 16;

/// Bits of the sequence in a stamp; the rest names the stream.
const SEQUENCE_BITS: u32 = 40;

/// Who sent a message, and as which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Below 2^24.
    pub(crate) stream: u32,
    /// Number of the message in its stream, from 0; below 2^40.
    pub(crate) sequence: u64,
}

impl Stamp {
    /// Writes this into a payload of at least [`STAMP_BYTES`]. What lies behind must not change any more.
    pub(crate) fn write_to(self, payload: &mut [u8]) {
        let word = u64::from(self.stream) << SEQUENCE_BITS | self.sequence;
        payload[..8].copy_from_slice(&word.to_le_bytes());
        let sum = checksum(word, &payload[STAMP_BYTES..]);
        payload[8..STAMP_BYTES].copy_from_slice(&sum.to_le_bytes());
    }

    /// Reads it back; `None` when it is too short or its checksum is wrong.
    pub(crate) fn read_from(payload: &[u8]) -> Option<Self> {
        let (word, rest) = payload.split_first_chunk::<8>()?;
        let (sum, rest) = rest.split_first_chunk::<8>()?;
        let word = u64::from_le_bytes(*word);
        (checksum(word, rest) == u64::from_le_bytes(*sum)).then_some(Self {
            stream: u32::try_from(word >> SEQUENCE_BITS).ok()?,
            sequence: word & ((1 << SEQUENCE_BITS) - 1),
        })
    }
}

/// A checksum against mishaps, not against attackers: every bit of every word moves about half of its bits.
fn checksum(word: u64, rest: &[u8]) -> u64 {
    let mix = |sum: u64, word: u64| {
        let sum = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum ^ sum >> 32
    };
    let (words, tail) = rest.as_chunks::<8>();
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    let sum = mix(rest.len() as u64 + 1, word);
    let sum = words
        .iter()
        .fold(sum, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    mix(sum, u64::from_le_bytes(last))
}

/// What the members of a queue group got together: each message once.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// Everything below has come.
    next: u64,
    /// What has come beyond it.
    early: BTreeSet<u64>,
}

impl Group {
    /// Takes note of a message; false when it came before.
    fn add(&mut self, sequence: u64) -> bool {
        if sequence < self.next || !self.early.insert(sequence) {
            return false;
        }
        while self.early.remove(&self.next) {
            self.next += 1;
        }
        true
    }
}

/// What a connection may count on.
#[derive(Debug)]
enum Rule {
    /// Every message of every stream it gets, on every subscription: in order, none lost, none twice.
    Complete,
    /// Those that the others of the group do not get: in order, and none twice in the whole group.
    Shared(Rc<RefCell<Group>>),
}

/// What came in one piece of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Messages that came whole and were right.
    pub(crate) messages: u64,
    /// PINGs.
    pub(crate) pings: u64,
    /// PONGs.
    pub(crate) pongs: u64,
}

/// Parses and checks what one connection gets.
#[derive(Debug)]
pub(crate) struct Checker {
    rule: Rule,
    /// The sequence that is due, for each subscription and stream.
    due: HashMap<(u64, u32), u64>,
    /// The beginning of an operation of which the end has not come.
    partial: Vec<u8>,
}

impl Checker {
    /// For a connection that gets every message of its streams on each of its subscriptions.
    pub(crate) fn complete() -> Self {
        Self::of(Rule::Complete)
    }

    /// For a member of a queue group with one publisher.
    pub(crate) fn member_of(group: &Rc<RefCell<Group>>) -> Self {
        Self::of(Rule::Shared(Rc::clone(group)))
    }

    fn of(rule: Rule) -> Self {
        Self {
            rule,
            due: HashMap::new(),
            partial: Vec::new(),
        }
    }

    /// Takes the next bytes of the connection.
    ///
    /// # Errors
    /// A message that is lost, comes twice, out of order or changed; `-ERR`; anything that is not the
    /// protocol.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Taken> {
        let mut held = std::mem::take(&mut self.partial);
        held.extend_from_slice(bytes);
        let mut rest = held.as_slice();
        let mut taken = Taken::default();
        while let Some(length) = self.take_one(rest, &mut taken)? {
            rest = &rest[length..];
        }
        let done = held.len() - rest.len();
        held.drain(..done);
        self.partial = held;
        Ok(taken)
    }

    /// Takes one operation and returns its length; `None` when it has not come whole.
    fn take_one(&mut self, bytes: &[u8], taken: &mut Taken) -> Result<Option<usize>> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            return match bytes.len() > LINE_BYTES_MAX {
                true => Err(unexpected(bytes)),
                false => Ok(None),
            };
        };
        let line = bytes[..end].trim_ascii_end();
        let Some(arguments) = line.strip_prefix(b"MSG ") else {
            match line {
                b"PING" => taken.pings += 1,
                b"PONG" => taken.pongs += 1,
                line if line.starts_with(b"INFO ") => {}
                line => return Err(unexpected(line)),
            }
            return Ok(Some(end + 1));
        };
        let words = arguments.split(|byte| *byte == b' ').map(number);
        let words: Vec<Option<u64>> = words.collect();
        let (Some(Some(sid)), Some(Some(size))) = (words.get(1), words.last()) else {
            return Err(unexpected(line));
        };
        let payload_at = end + 1;
        let payload_end = payload_at + usize::try_from(*size)?;
        let Some(ending) = bytes.get(payload_end..payload_end + 2) else {
            return Ok(None);
        };
        if ending != b"\r\n" {
            let line = line.escape_ascii();
            return Err(format!("\"{line}\": no CRLF behind the payload").into());
        }
        self.check(*sid, &bytes[payload_at..payload_end])?;
        taken.messages += 1;
        Ok(Some(payload_end + 2))
    }

    fn check(&mut self, sid: u64, payload: &[u8]) -> Result<()> {
        let Some(Stamp { stream, sequence }) = Stamp::read_from(payload) else {
            let start = payload[..payload.len().min(32)].escape_ascii();
            return Err(format!(
                "subscription {sid}: a message of {} bytes came with a wrong checksum: \"{start}\"",
                payload.len()
            )
            .into());
        };
        let due = self.due.entry((sid, stream)).or_default();
        let fault = match &self.rule {
            _ if sequence < *due => "it came before, or out of order",
            Rule::Complete if sequence > *due => "those between are lost, or out of order",
            Rule::Shared(group) if !group.borrow_mut().add(sequence) => "another member had it",
            _ => {
                *due = sequence + 1;
                return Ok(());
            }
        };
        Err(format!(
            "subscription {sid}: message {sequence} of stream {stream} came when {due} was due: {fault}"
        )
        .into())
    }
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn unexpected(line: &[u8]) -> Box<dyn std::error::Error> {
    let line = line[..line.len().min(200)].escape_ascii();
    format!("the server sent \"{line}\"").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of stream 3 to subscription 1.
    fn message(sequence: u64, payload_bytes: usize) -> Vec<u8> {
        let mut payload = vec![b'x'; payload_bytes];
        let stamp = Stamp {
            stream: 3,
            sequence,
        };
        stamp.write_to(&mut payload);
        assert_eq!(Stamp::read_from(&payload), Some(stamp));
        let mut message = format!("MSG foo 1 {payload_bytes}\r\n").into_bytes();
        message.extend(payload);
        message.extend(b"\r\n");
        message
    }

    fn error_of(checker: &mut Checker, pieces: &[Vec<u8>]) -> String {
        let taken = checker.take(&pieces.concat());
        taken.expect_err("a fault").to_string()
    }

    #[test]
    fn what_is_right_passes_however_it_is_split() {
        let text = [
            message(0, 16),
            b"PING\r\n".to_vec(),
            message(1, 16),
            message(2, 100),
            b"PONG\r\n".to_vec(),
        ]
        .concat();
        for piece in 1..text.len() {
            let mut checker = Checker::complete();
            let mut sum = Taken::default();
            for bytes in text.chunks(piece) {
                let taken = checker.take(bytes).unwrap();
                sum.messages += taken.messages;
                sum.pings += taken.pings;
                sum.pongs += taken.pongs;
            }
            let all = Taken {
                messages: 3,
                pings: 1,
                pongs: 1,
            };
            assert_eq!(sum, all, "pieces of {piece}");
        }
    }

    #[test]
    fn a_lost_message_is_found() {
        let error = error_of(&mut Checker::complete(), &[message(0, 16), message(2, 16)]);
        assert!(error.contains("message 2 of stream 3 came when 1 was due"));
        assert!(error.contains("lost"), "{error}");
    }

    #[test]
    fn a_message_that_comes_twice_is_found() {
        let error = error_of(&mut Checker::complete(), &[message(0, 16), message(0, 16)]);
        assert!(error.contains("message 0"), "{error}");
        assert!(error.contains("came before"), "{error}");
    }

    #[test]
    fn a_change_of_any_byte_of_a_payload_is_found() {
        for size in [16, 21, 40] {
            let whole = message(0, size);
            let payload_at = whole.len() - size - 2;
            for at in payload_at..payload_at + size {
                let mut broken = whole.clone();
                broken[at] ^= 0x10;
                let error = error_of(&mut Checker::complete(), &[broken]);
                assert!(error.contains("wrong checksum"), "{at}: {error}");
            }
        }
    }

    #[test]
    fn a_payload_of_another_length_is_found() {
        let mut short = message(0, 24);
        short.remove(20);
        short.extend(message(1, 24));
        let error = error_of(&mut Checker::complete(), &[short]);
        assert!(error.contains("no CRLF"), "{error}");
    }

    #[test]
    fn a_group_gets_each_message_once() {
        let group = Rc::new(RefCell::new(Group::default()));
        let mut one = Checker::member_of(&group);
        let mut other = Checker::member_of(&group);
        one.take(&[message(0, 16), message(3, 16)].concat())
            .unwrap();
        other.take(&message(1, 16)).unwrap();
        let error = error_of(&mut other, &[message(3, 16)]);
        assert!(error.contains("another member had it"), "{error}");
        assert!(error_of(&mut one, &[message(2, 16)]).contains("out of order"));
        assert_eq!(group.borrow().next, 2);
    }

    #[test]
    fn words_of_the_server_are_reported() {
        let error = error_of(
            &mut Checker::complete(),
            &[b"-ERR 'Slow Consumer'\r\n".to_vec()],
        );
        assert!(error.contains("Slow Consumer"), "{error}");
        let error = error_of(&mut Checker::complete(), &[b"MSG foo\r\n".to_vec()]);
        assert!(error.contains("MSG foo"), "{error}");
    }
}
