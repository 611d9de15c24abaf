//! What a data batch is made of: records, back to back, as one shard writes them and another reads them.
//!
//! ```text
//!   publisher   1 | key u32                                     whose messages follow
//!   message     2 | flags | groups u16 | subject u32 | tail u32 | body u32
//!                 | [header block u32] [tried u64, origin u64] | groups: (length u32, name)* | subject | tail
//!   repeat      5 | tail u32 | body u32 | tail                  as the message before, to the plain subscriptions
//!   run         7 | count u32 | tail u32 | body u32 | tails     so many of those, all of one length
//!   unanswered  6 | key u32 | length u32 | reply               nobody got this publisher's request
//!   slow down   3 | key u32                                     a reader of this publisher lags
//!   pace        8 | bytes u32                                   how large batches to this shard should be
//!   go on       4 | key u32                                     it has caught up
//! ```
//! Numbers are little-endian; those of a message are lengths. A tail is `[reply ][hdr ]size␍␊body␍␊`.

use crate::bytes::take;
use crate::interest::ConnKey;
use crate::proto::{Headers, Publish, Run};
use crate::shard_set::ShardSet;

const PUBLISHER: u8 = 1;
const MESSAGE: u8 = 2;
const SLOW_DOWN: u8 = 3;
const GO_ON: u8 = 4;
const REPEAT: u8 = 5;
const UNANSWERED: u8 = 6;
const RUN: u8 = 7;
const PACE: u8 = 8;

/// For the plain subscriptions of the shard.
const TO_PLAIN: u8 = 1;
/// The subject is that of the message before.
const SAME_SUBJECT: u8 = 2;
/// With a header block.
const HEADERS: u8 = 4;
/// For a queue group only, whose member elsewhere had gone.
const RECHOSEN: u8 = 8;
/// The publisher's own subscriptions do not get it.
const NO_ECHO: u8 = 16;
/// The publisher wants to know if nobody gets it; nobody else does.
const WANTS_STATUS: u8 = 32;

/// One record.
#[derive(Debug)]
pub(super) enum Record<'a> {
    /// Whose messages follow.
    Publisher(ConnKey),
    Message(Message<'a>),
    /// Messages as the one before, to the plain subscriptions.
    Run(Run<'a>),
    /// A reader of this publisher lags.
    SlowDown(ConnKey),
    /// The reader has caught up.
    GoOn(ConnKey),
    /// How large batches to the shard that says so should be, in bytes.
    Pace(usize),
    /// Nobody got a request of this publisher, which listens for the reply.
    Unanswered(ConnKey, &'a [u8]),
}

/// A publisher, by the shard it lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) shard: u16,
    pub(super) key: ConnKey,
}

/// The way of a message that was chosen for a queue member that had gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rechosen {
    /// Shards that had nobody to take it.
    pub(super) tried: ShardSet,
    /// The publisher.
    pub(super) origin: Origin,
}

/// A message on its way between shards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) to_plain: bool,
    pub(super) is_same_subject: bool,
    pub(super) is_no_echo: bool,
    /// It goes to no other shard and to nobody on its own, and its publisher wants to know if nobody gets
    /// it here either.
    pub(super) wants_status: bool,
    pub(super) rechosen: Option<Rechosen>,
    /// Length of the header block, if there is one.
    pub(super) headers_len: Option<usize>,
    /// Names of the queue groups that it was chosen for, each behind its length.
    pub(super) groups: Groups<'a>,
    pub(super) subject: &'a [u8],
    pub(super) tail: &'a [u8],
    /// Header block and payload.
    pub(super) body_len: usize,
}

/// Names of queue groups.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Groups<'a> {
    count: u16,
    bytes: &'a [u8],
}

/// A list of queue groups being written.
#[derive(Debug, Default)]
pub(super) struct GroupList {
    count: u16,
    bytes: Vec<u8>,
}

impl GroupList {
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
    }

    /// Adds a name. A message for more than 65535 groups of one shard leaves the others out.
    pub(super) fn push(&mut self, name: &[u8]) {
        let Some(count) = self.count.checked_add(1) else {
            return;
        };
        self.count = count;
        push_len(&mut self.bytes, name.len());
        self.bytes.extend_from_slice(name);
    }

    pub(super) fn len(&self) -> usize {
        self.count.into()
    }

    pub(super) fn groups(&self) -> Groups<'_> {
        Groups {
            count: self.count,
            bytes: &self.bytes,
        }
    }
}

impl<'a> Groups<'a> {
    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.count == 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.bytes;
        (0..self.count).map_while(move |_| {
            let len = take_len(&mut rest)?;
            take(&mut rest, len)
        })
    }
}

/// Writes a message for the plain subscriptions to the subject of the one before, of the same publisher.
#[inline]
pub(super) fn push_repeat(out: &mut Vec<u8>, tail: &[u8], body_len: usize) {
    // Lengths of parts of one operation, which has 4 GiB at most.
    let lens = u64::from(tail.len() as u32) | (body_len as u64) << 32;
    let mut head = [REPEAT; 9];
    head[1..].copy_from_slice(&lens.to_le_bytes());
    out.reserve(head.len() + tail.len());
    out.extend_from_slice(&head);
    out.extend_from_slice(tail);
}

/// Takes a repeat off a batch, if that is what comes first: tail, and length of the body.
#[inline]
pub(super) fn read_repeat<'a>(batch: &mut &'a [u8]) -> Option<(&'a [u8], usize)> {
    let (head, rest) = batch.split_first_chunk::<9>()?;
    let [REPEAT, lens @ ..] = head else {
        return None;
    };
    let lens = u64::from_le_bytes(*lens);
    let (tail, rest) = rest.split_at_checked((lens & u64::from(u32::MAX)) as usize)?;
    *batch = rest;
    Some((tail, (lens >> 32) as usize))
}

/// Writes messages for the plain subscriptions to the subject of the one before, of the same publisher.
pub(super) fn push_run(out: &mut Vec<u8>, run: &Run<'_>) {
    let mut head = [RUN; 13];
    // Parts of one read, which is far less than 4 GiB.
    head[1..5].copy_from_slice(&(run.count() as u32).to_le_bytes());
    head[5..9].copy_from_slice(&(run.tail_len() as u32).to_le_bytes());
    head[9..].copy_from_slice(&(run.body_len() as u32).to_le_bytes());
    out.extend_from_slice(&head);
    run.append_to(out, &[]);
}

/// Takes a run off a batch, if that is what comes first.
#[inline]
pub(super) fn read_run<'a>(batch: &mut &'a [u8]) -> Option<Run<'a>> {
    let (head, rest) = batch.split_first_chunk::<13>()?;
    let [RUN, lens @ ..] = head else {
        return None;
    };
    let mut lens = &lens[..];
    let (count, tail_len) = (take_len(&mut lens)?, take_len(&mut lens)?);
    let body_len = take_len(&mut lens)?;
    let (tails, rest) = rest.split_at_checked(count.checked_mul(tail_len)?)?;
    *batch = rest;
    Run::new(tails, tail_len, tail_len, body_len, count)
}

pub(super) fn push_publisher(out: &mut Vec<u8>, key: ConnKey) {
    push_key(out, PUBLISHER, key);
}

pub(super) fn push_slow_down(out: &mut Vec<u8>, key: ConnKey) {
    push_key(out, SLOW_DOWN, key);
}

pub(super) fn push_go_on(out: &mut Vec<u8>, key: ConnKey) {
    push_key(out, GO_ON, key);
}

pub(super) fn push_pace(out: &mut Vec<u8>, bytes: usize) {
    // A part of a batch, which has a few KiB.
    push_key(out, PACE, ConnKey(bytes as u32));
}

pub(super) fn push_unanswered(out: &mut Vec<u8>, key: ConnKey, reply: &[u8]) {
    push_key(out, UNANSWERED, key);
    push_len(out, reply.len());
    out.extend_from_slice(reply);
}

fn push_key(out: &mut Vec<u8>, kind: u8, key: ConnKey) {
    out.push(kind);
    out.extend_from_slice(&key.0.to_le_bytes());
}

impl<'a> Message<'a> {
    /// The first message of a run to the subject of the message before.
    pub(super) fn first_of(run: &Run<'a>, subject: &'a [u8]) -> Self {
        let tail = run.tails().next().unwrap_or_default();
        Message {
            is_same_subject: true,
            ..Message::plain(subject, tail, run.body_len())
        }
    }

    /// A message to the plain subscriptions.
    pub(super) fn plain(subject: &'a [u8], tail: &'a [u8], body_len: usize) -> Self {
        Message {
            to_plain: true,
            is_same_subject: false,
            is_no_echo: false,
            wants_status: false,
            rechosen: None,
            headers_len: None,
            groups: Groups::default(),
            subject,
            tail,
            body_len,
        }
    }

    /// Writes the record. The subject is left out if `is_same_subject`.
    #[inline]
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let subject = if self.is_same_subject {
            &[]
        } else {
            self.subject
        };
        let mut flags = 0;
        flags |= if self.to_plain { TO_PLAIN } else { 0 };
        flags |= if self.is_same_subject {
            SAME_SUBJECT
        } else {
            0
        };
        flags |= if self.is_no_echo { NO_ECHO } else { 0 };
        flags |= if self.wants_status { WANTS_STATUS } else { 0 };
        let mut head = [0; 16];
        head[0] = MESSAGE;
        head[2..4].copy_from_slice(&self.groups.count.to_le_bytes());
        // Lengths of parts of one operation, which has 4 GiB at most.
        head[4..8].copy_from_slice(&(subject.len() as u32).to_le_bytes());
        head[8..12].copy_from_slice(&(self.tail.len() as u32).to_le_bytes());
        head[12..16].copy_from_slice(&(self.body_len as u32).to_le_bytes());
        out.reserve(64 + self.groups.bytes.len() + subject.len() + self.tail.len());
        if self.headers_len.is_none() && self.rechosen.is_none() && self.groups.is_empty() {
            head[1] = flags;
            out.extend_from_slice(&head);
        } else {
            self.write_rare(out, head, flags);
        }
        out.extend_from_slice(subject);
        out.extend_from_slice(self.tail);
    }

    fn write_rare(&self, out: &mut Vec<u8>, mut head: [u8; 16], mut flags: u8) {
        flags |= self.headers_len.map_or(0, |_| HEADERS);
        flags |= self.rechosen.map_or(0, |_| RECHOSEN);
        head[1] = flags;
        out.extend_from_slice(&head);
        if let Some(len) = self.headers_len {
            push_len(out, len);
        }
        if let Some(rechosen) = self.rechosen {
            out.extend_from_slice(&rechosen.tried.bits().to_le_bytes());
            let origin = rechosen.origin;
            let origin = u64::from(origin.shard) << 32 | u64::from(origin.key.0);
            out.extend_from_slice(&origin.to_le_bytes());
        }
        out.extend_from_slice(self.groups.bytes);
    }

    /// The message as its publisher wrote it, or would have.
    pub(super) fn publish(&self) -> Publish<'a> {
        let line_len = memchr::memchr(b'\r', self.tail).unwrap_or(self.tail.len());
        let mut words = self.tail[..line_len].rsplit(|&b| b == b' ');
        let size_text = words.next().unwrap_or_default();
        let headers = self.headers_len.map(|len| Headers {
            size_text: words.next().unwrap_or_default(),
            len,
        });
        let body_at = (line_len + 2).min(self.tail.len());
        let body_end = (body_at + self.body_len).min(self.tail.len());
        Publish {
            subject: self.subject,
            reply: words.next(),
            headers,
            size_text,
            body: &self.tail[body_at..body_end],
            tail: Some(self.tail),
        }
    }
}

impl<'a> Record<'a> {
    /// Takes the first record off a batch; `subject` is that of the message before. `None` at the end, and
    /// for what no shard writes.
    #[inline]
    pub(super) fn read(batch: &mut &'a [u8], subject: &'a [u8]) -> Option<Self> {
        match *batch.first()? {
            MESSAGE => read_message(batch, subject).map(Record::Message),
            REPEAT => {
                let (tail, body_len) = read_repeat(batch)?;
                Some(Record::Message(Message {
                    is_same_subject: true,
                    ..Message::plain(subject, tail, body_len)
                }))
            }
            RUN => read_run(batch).map(Record::Run),
            UNANSWERED => {
                let bytes = take(batch, 5)?;
                let key = ConnKey(u32::from_le_bytes(bytes[1..].try_into().ok()?));
                let len = take_len(batch)?;
                Some(Record::Unanswered(key, take(batch, len)?))
            }
            kind => {
                let bytes = take(batch, 5)?;
                let key = ConnKey(u32::from_le_bytes(bytes[1..].try_into().ok()?));
                match kind {
                    PUBLISHER => Some(Record::Publisher(key)),
                    SLOW_DOWN => Some(Record::SlowDown(key)),
                    GO_ON => Some(Record::GoOn(key)),
                    PACE => Some(Record::Pace(key.0 as usize)),
                    _ => None,
                }
            }
        }
    }
}

#[inline]
fn read_message<'a>(batch: &mut &'a [u8], last_subject: &'a [u8]) -> Option<Message<'a>> {
    let head: &[u8; 16] = take(batch, 16)?.try_into().ok()?;
    let len_at = |at: usize| {
        u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize
    };
    let flags = head[1];
    let mut message = Message {
        to_plain: flags & TO_PLAIN != 0,
        is_same_subject: flags & SAME_SUBJECT != 0,
        is_no_echo: flags & NO_ECHO != 0,
        wants_status: flags & WANTS_STATUS != 0,
        rechosen: None,
        headers_len: None,
        groups: Groups {
            count: u16::from_le_bytes([head[2], head[3]]),
            bytes: &[],
        },
        subject: last_subject,
        tail: &[],
        body_len: len_at(12),
    };
    if flags & (HEADERS | RECHOSEN) != 0 || message.groups.count > 0 {
        read_rare(batch, &mut message, flags)?;
    }
    let subject = take(batch, len_at(4))?;
    if !message.is_same_subject {
        message.subject = subject;
    }
    message.tail = take(batch, len_at(8))?;
    Some(message)
}

fn read_rare<'a>(batch: &mut &'a [u8], message: &mut Message<'a>, flags: u8) -> Option<()> {
    if flags & HEADERS != 0 {
        message.headers_len = Some(take_len(batch)?);
    }
    if flags & RECHOSEN != 0 {
        let tried = u64::from_le_bytes(take(batch, 8)?.try_into().ok()?);
        let origin = u64::from_le_bytes(take(batch, 8)?.try_into().ok()?);
        message.rechosen = Some(Rechosen {
            tried: ShardSet::from_bits(tried),
            // As they were put together.
            origin: Origin {
                shard: (origin >> 32) as u16,
                key: ConnKey(origin as u32),
            },
        });
    }
    let start = *batch;
    for _ in 0..message.groups.count {
        let len = take_len(batch)?;
        take(batch, len)?;
    }
    message.groups.bytes = &start[..start.len() - batch.len()];
    Some(())
}

#[inline]
fn push_len(out: &mut Vec<u8>, len: usize) {
    // Part of one operation, which has 4 GiB at most.
    out.extend_from_slice(&(len as u32).to_le_bytes());
}

fn take_len(batch: &mut &[u8]) -> Option<usize> {
    let bytes = take(batch, 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<'a>(groups: &'a GroupList, subject: &'a [u8], tail: &'a [u8]) -> Message<'a> {
        Message {
            to_plain: true,
            is_same_subject: false,
            is_no_echo: false,
            wants_status: false,
            rechosen: None,
            headers_len: None,
            groups: groups.groups(),
            subject,
            tail,
            body_len: 3,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let (mut list, none) = (GroupList::default(), GroupList::default());
        list.push(b"workers");
        list.push(b"");
        let rechosen = Rechosen {
            tried: ShardSet::one(63) | ShardSet::one(2),
            origin: Origin {
                shard: 7,
                key: ConnKey(9),
            },
        };
        let mut batch = Vec::new();
        push_publisher(&mut batch, ConnKey(4));
        message(&none, b"a.b", b"reply 3\r\nxyz\r\n").write(&mut batch);
        Message {
            is_same_subject: true,
            headers_len: Some(2),
            is_no_echo: true,
            rechosen: Some(rechosen),
            ..message(&list, b"a.b", b"2 3\r\nxyz\r\n")
        }
        .write(&mut batch);
        push_repeat(&mut batch, b"1\r\nx\r\n", 1);
        push_unanswered(&mut batch, ConnKey(3), b"re");
        push_slow_down(&mut batch, ConnKey(5));
        push_go_on(&mut batch, ConnKey(6));

        let mut rest = &batch[..];
        let mut read = |subject| Record::read(&mut rest, subject);
        assert!(matches!(read(b""), Some(Record::Publisher(ConnKey(4)))));
        let Some(Record::Message(first)) = read(b"") else {
            panic!("a message")
        };
        assert!(first.to_plain && !first.is_no_echo && first.groups.is_empty());
        let publish = first.publish();
        assert_eq!((publish.subject, publish.body), (&b"a.b"[..], &b"xyz"[..]));
        assert_eq!(publish.reply, Some(&b"reply"[..]));
        let Some(Record::Message(second)) = read(first.subject) else {
            panic!("a message")
        };
        assert!(second.is_no_echo && second.is_same_subject);
        let names: Vec<_> = second.groups.iter().collect();
        assert_eq!(names, [&b"workers"[..], b""]);
        let way = second.rechosen.expect("its way");
        assert_eq!((way.tried, way.origin), (rechosen.tried, rechosen.origin));
        let publish = second.publish();
        assert_eq!((publish.subject, publish.reply), (&b"a.b"[..], None));
        let headers = publish.headers.expect("headers");
        assert_eq!(
            (headers.size_text, headers.len, publish.size_text),
            (&b"2"[..], 2, &b"3"[..])
        );
        let Some(Record::Message(third)) = read(second.subject) else {
            panic!("a message")
        };
        assert!(third.to_plain && third.subject == b"a.b" && third.publish().body == b"x");
        assert!(matches!(
            read(b""),
            Some(Record::Unanswered(ConnKey(3), b"re"))
        ));
        assert!(matches!(read(b""), Some(Record::SlowDown(ConnKey(5)))));
        assert!(matches!(read(b""), Some(Record::GoOn(ConnKey(6)))));
        assert!(read(b"").is_none());
    }

    #[test]
    fn a_cut_batch_ends_early() {
        let none = GroupList::default();
        let mut batch = Vec::new();
        message(&none, b"a.b", b"3\r\nxyz\r\n").write(&mut batch);
        for len in 0..batch.len() {
            assert!(Record::read(&mut &batch[..len], b"").is_none(), "{len}");
        }
    }
}
