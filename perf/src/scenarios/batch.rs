//! Prepared messages: what a publisher writes, without looking at it again.

use super::Stamp;

/// Least length of a prepared batch, in bytes. Larger ones cost cache and bring nothing.
const BATCH_BYTES_MIN: usize = 128 * 1024;

/// Messages of equal length, prepared.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Whole messages, one after the other.
    pub(crate) bytes: Vec<u8>,
    /// Length of each.
    pub(crate) message_bytes: usize,
    /// Length of the payload of each; it ends 2 bytes before the message.
    payload_bytes: usize,
}

impl Batch {
    /// `PUB` messages; for the floor peer, which relays what it gets, the `MSG` a server would make of it.
    pub(crate) fn publish(subject: &str, payload_bytes: usize, is_floor: bool) -> Self {
        let head = if is_floor {
            format!("MSG {subject} 1 {payload_bytes}\r\n")
        } else {
            format!("PUB {subject} {payload_bytes}\r\n")
        };
        let mut batch = Self::one(&head, payload_bytes);
        let count = BATCH_BYTES_MIN.div_ceil(batch.message_bytes);
        batch.bytes = batch.bytes.repeat(count);
        batch
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
        let mut batch = Self {
            bytes: Vec::new(),
            message_bytes: 0,
            payload_bytes,
        };
        for subject in subjects {
            let message = Self::reply(&subject, payload_bytes);
            batch.bytes.extend(message.bytes);
            batch.message_bytes = message.message_bytes;
        }
        batch
    }

    fn one(head: &str, payload_bytes: usize) -> Self {
        let mut bytes = head.as_bytes().to_vec();
        bytes.resize(bytes.len() + payload_bytes, b'x');
        bytes.extend_from_slice(b"\r\n");
        Self {
            message_bytes: bytes.len(),
            bytes,
            payload_bytes,
        }
    }

    /// Number of messages.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / self.message_bytes
    }

    /// Stamps the message at this place.
    pub(crate) fn stamp(&mut self, index: usize, stamp: Stamp) {
        let end = (index + 1) * self.message_bytes - 2;
        stamp.write_to(&mut self.bytes[end - self.payload_bytes..end]);
    }
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
            assert_eq!(batch.bytes.len() % batch.message_bytes, 0);
            assert!(batch.bytes.len() >= BATCH_BYTES_MIN);
            assert!(
                batch
                    .bytes
                    .starts_with(format!("PUB foo {payload_bytes}\r\n").as_bytes())
            );
        }
        let floor = Batch::publish("foo", 16, true);
        assert_eq!(floor.message_bytes, delivered_bytes("foo", None, 16));
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
        let stamp = Stamp {
            stream: 7,
            sequence: 9,
        };
        batch.stamp(1, stamp);
        let messages: Vec<&[u8]> = batch.bytes.chunks(batch.message_bytes).collect();
        assert!(messages[1].starts_with(b"PUB b 20\r\n"));
        assert_eq!(Stamp::read_from(&messages[1][10..30]), Some(stamp));
        assert_eq!(messages[2], b"PUB c 20\r\nxxxxxxxxxxxxxxxxxxxx\r\n");
    }
}
