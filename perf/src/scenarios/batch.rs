//! Prepared messages: what a publisher writes, without looking at it again.

use super::Stamp;
use crate::lengths::Lengths;

/// Least length of a prepared batch, in bytes. Larger ones cost cache and bring nothing.
const BATCH_BYTES_MIN: usize = 128 * 1024;

/// Messages, prepared.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Whole messages, one after the other.
    pub(crate) bytes: Vec<u8>,
    /// Where each begins and ends, as long as the batch is sent again and again.
    pub(crate) lengths: Lengths,
}

impl Batch {
    /// `PUB` messages; for the floor peer, which relays what it gets, the `MSG` a server would make of it.
    pub(crate) fn publish(subject: &str, payload_bytes: usize, is_floor: bool) -> Self {
        let mut batch = Self::one(&head(subject, payload_bytes, is_floor), payload_bytes);
        let count = BATCH_BYTES_MIN.div_ceil(batch.bytes.len());
        batch.bytes = batch.bytes.repeat(count);
        batch
    }

    /// The same of messages that differ: a subject and the length of a payload each.
    pub(crate) fn mixed<'a>(
        messages: impl Iterator<Item = (&'a str, usize)>,
        is_floor: bool,
    ) -> Self {
        let mut bytes = Vec::new();
        let lengths = messages.map(|(subject, payload_bytes)| {
            let head = head(subject, payload_bytes, is_floor);
            append(&mut bytes, &head, payload_bytes)
        });
        let lengths = Lengths::in_turn(lengths);
        Self { bytes, lengths }
    }

    /// One message with a reply subject.
    pub(crate) fn request(subject: &str, reply: &str, payload_bytes: usize) -> Self {
        Self::one(
            &format!("PUB {subject} {reply} {payload_bytes}\r\n"),
            payload_bytes,
        )
    }

    /// One message without one.
    pub(crate) fn reply(subject: &str, payload_bytes: usize) -> Self {
        Self::one(&format!("PUB {subject} {payload_bytes}\r\n"), payload_bytes)
    }

    /// One message on each of these subjects, which are of equal length.
    pub(crate) fn on_subjects(
        subjects: impl Iterator<Item = String>,
        payload_bytes: usize,
    ) -> Self {
        let mut bytes = Vec::new();
        let mut message_bytes = 0;
        for subject in subjects {
            message_bytes = append(
                &mut bytes,
                &head(&subject, payload_bytes, false),
                payload_bytes,
            );
        }
        let lengths = Lengths::alike(message_bytes);
        Self { bytes, lengths }
    }

    fn one(head: &str, payload_bytes: usize) -> Self {
        let mut bytes = Vec::new();
        let lengths = Lengths::alike(append(&mut bytes, head, payload_bytes));
        Self { bytes, lengths }
    }

    /// Number of messages.
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.lengths.count_at(self.bytes.len() as u64)).unwrap_or(usize::MAX)
    }

    /// Stamps each message with what `next` gives for it, by its number.
    pub(crate) fn stamp_all(&mut self, mut next: impl FnMut(usize) -> Stamp) {
        let (mut index, mut start) = (0, 0);
        while start < self.bytes.len() {
            let end = start + self.lengths.of(index % self.lengths.len());
            let message = &mut self.bytes[start..end];
            let head = message.iter().position(|byte| *byte == b'\n');
            let payload = head.map_or(0, |at| at + 1)..message.len() - 2;
            next(index).write_to(&mut message[payload]);
            (index, start) = (index + 1, end);
        }
    }
}

/// The line before a payload.
fn head(subject: &str, payload_bytes: usize, is_floor: bool) -> String {
    if is_floor {
        format!("MSG {subject} 1 {payload_bytes}\r\n")
    } else {
        format!("PUB {subject} {payload_bytes}\r\n")
    }
}

/// Puts a message with this head behind the others; its length.
fn append(bytes: &mut Vec<u8>, head: &str, payload_bytes: usize) -> usize {
    let start = bytes.len();
    bytes.extend_from_slice(head.as_bytes());
    bytes.resize(bytes.len() + payload_bytes, b'x');
    bytes.extend_from_slice(b"\r\n");
    bytes.len() - start
}

/// Length of the `MSG` that a subscriber with sid 1 gets, in bytes.
pub(crate) fn delivered_bytes(subject: &str, reply: Option<&str>, payload_bytes: usize) -> usize {
    let reply = reply.map_or_else(String::new, |reply| format!(" {reply}"));
    format!("MSG {subject} 1{reply} {payload_bytes}\r\n").len() + payload_bytes + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_whole_messages_and_long() {
        for payload_bytes in [0, 16, 1000, 300_000] {
            let batch = Batch::publish("foo", payload_bytes, false);
            assert_eq!(batch.bytes.len() % batch.lengths.of(0), 0);
            assert!(batch.bytes.len() >= BATCH_BYTES_MIN);
            assert!(
                batch
                    .bytes
                    .starts_with(format!("PUB foo {payload_bytes}\r\n").as_bytes())
            );
        }
        let floor = Batch::publish("foo", 16, true);
        assert_eq!(floor.lengths.of(0), delivered_bytes("foo", None, 16));
        assert_eq!(Batch::request("a", "b", 2).bytes, b"PUB a b 2\r\nxx\r\n");
        assert_eq!(Batch::reply("a", 2).bytes, b"PUB a 2\r\nxx\r\n");
        assert_eq!(
            delivered_bytes("a", Some("b"), 2),
            b"MSG a 1 b 2\r\nxx\r\n".len()
        );
    }

    #[test]
    fn a_stamp_is_in_the_payload_of_its_message() {
        let subjects = ["a", "b", "c"].map(str::to_owned).into_iter();
        let mut batch = Batch::on_subjects(subjects, 20);
        assert_eq!(batch.len(), 3);
        let stamp = |index| Stamp {
            stream: 7,
            sequence: index as u64,
        };
        batch.stamp_all(stamp);
        let messages: Vec<&[u8]> = batch.bytes.chunks(batch.lengths.of(0)).collect();
        for (index, (message, subject)) in messages.iter().zip(["a", "b", "c"]).enumerate() {
            assert!(message.starts_with(format!("PUB {subject} 20\r\n").as_bytes()));
            assert_eq!(Stamp::read_from(&message[10..30]), Some(stamp(index)));
        }
    }

    #[test]
    fn messages_that_differ_are_behind_one_another() {
        let messages = [("a", 20), ("bcd", 16), ("e", 120)];
        let mut batch = Batch::mixed(messages.into_iter(), false);
        assert_eq!(batch.len(), 3);
        batch.stamp_all(|index| Stamp {
            stream: 0,
            sequence: index as u64,
        });
        let mut start = 0;
        for (index, (subject, size)) in messages.into_iter().enumerate() {
            let head = format!("PUB {subject} {size}\r\n");
            let message = &batch.bytes[start..start + batch.lengths.of(index)];
            assert!(message.starts_with(head.as_bytes()) && message.ends_with(b"\r\n"));
            let stamp = Stamp::read_from(&message[head.len()..message.len() - 2]);
            assert_eq!(stamp.map(|stamp| stamp.sequence), Some(index as u64));
            start += message.len();
        }
        assert_eq!(start, batch.bytes.len());
        let floor = Batch::mixed([("a", 2)].into_iter(), true);
        assert_eq!(floor.bytes, b"MSG a 1 2\r\nxx\r\n");
    }
}
