//! Numbered message bodies, and the one checker of what became of them: the six counts.
//!
//! A body says which run, publisher and sequence number it belongs to, how long it is, and ends with a
//! checksum, so the receiving end can tell a lost, doubled, displaced, damaged or strange message apart.
//! Knows no socket: a test hands in the payloads it received.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::{AddAssign, Range};

use super::crc32c::crc32c;
use super::ranges::Ranges;

/// One message body: `run u64, publisher u32, sequence u64, length u32, filler, CRC-32C u32`, little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    /// Distinguishes this test from anything else on the same server.
    pub(crate) run: u64,
    /// Number of the publishing connection within the test.
    pub(crate) publisher: u32,
    /// Counts the publisher's messages, from 0.
    pub(crate) sequence: u64,
}

impl Body {
    /// Bytes before the filler.
    const HEAD_BYTES: usize = 24;

    /// Shortest body: head and checksum.
    pub(crate) const BYTES_MIN: usize = Self::HEAD_BYTES + 4;

    /// The body as `bytes` bytes. The filler holds every byte value, CR and LF among them.
    ///
    /// # Panics
    /// When `bytes` is below [`Body::BYTES_MIN`].
    pub(crate) fn encode(&self, bytes: usize) -> Vec<u8> {
        assert!(
            bytes >= Self::BYTES_MIN,
            "a body needs {} bytes",
            Self::BYTES_MIN
        );
        let length = u32::try_from(bytes).expect("a body below 4 GiB");
        let mut out = Vec::with_capacity(bytes);
        out.extend_from_slice(&self.run.to_le_bytes());
        out.extend_from_slice(&self.publisher.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        let [first, ..] = self.sequence.to_le_bytes();
        let every_byte: [u8; 256] =
            std::array::from_fn(|at| first.wrapping_add((at as u8).wrapping_add(1)));
        while out.len() < bytes - 4 {
            let count = every_byte.len().min(bytes - 4 - out.len());
            out.extend_from_slice(&every_byte[..count]);
        }
        let sum = crc32c(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads a body back; `None` when length or checksum are wrong.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, sum) = bytes.split_last_chunk()?;
        let (run, rest) = content.split_first_chunk()?;
        let (publisher, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (length, _) = rest.split_first_chunk()?;
        let whole = u32::try_from(bytes.len()).ok()? == u32::from_le_bytes(*length)
            && crc32c(content) == u32::from_le_bytes(*sum);
        whole.then_some(Self {
            run: u64::from_le_bytes(*run),
            publisher: u32::from_le_bytes(*publisher),
            sequence: u64::from_le_bytes(*sequence),
        })
    }

    /// The whole `PUB` of this body on `subject`.
    pub(crate) fn publish(&self, subject: &str, bytes: usize) -> Vec<u8> {
        let mut out = format!("PUB {subject} {bytes}\r\n").into_bytes();
        out.extend_from_slice(&self.encode(bytes));
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// The six counts. All zero is the only good result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Messages that had to arrive and did not.
    pub(crate) gaps: u64,
    /// Messages that arrived again.
    pub(crate) duplicates: u64,
    /// Messages that arrived behind a later one of the same publisher on the same connection.
    pub(crate) reorders: u64,
    /// Payloads that are not what was published.
    pub(crate) corrupt: u64,
    /// Messages of another run, or that this subscription had no right to.
    pub(crate) strangers: u64,
    /// Messages for a subscription that had ended.
    pub(crate) after_unsub: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.gaps += other.gaps;
        self.duplicates += other.duplicates;
        self.reorders += other.reorders;
        self.corrupt += other.corrupt;
        self.strangers += other.strangers;
        self.after_unsub += other.after_unsub;
    }
}

/// One thing that receives: a plain subscription, or a whole queue group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WatchId(usize);

/// What one watch received from one publisher.
#[derive(Debug, Default)]
struct Stream {
    must: Ranges,
    may: Ranges,
    seen: Ranges,
}

#[derive(Debug)]
struct Watch {
    name: String,
    streams: BTreeMap<u32, Stream>,
}

/// Takes what was received and what should have been, and counts the differences.
///
/// A watch is one plain subscription or one queue group: completeness and "once" hold for the watch,
/// order holds for each of its members (connections) apart. A plain subscription has the one member 0.
#[derive(Debug)]
pub(crate) struct Checker {
    run: u64,
    counts: Counts,
    received: u64,
    watches: Vec<Watch>,
    /// Highest sequence that each member of a watch has seen of each publisher.
    latest: HashMap<(WatchId, usize, u32), u64>,
    ended: Vec<(WatchId, usize)>,
}

impl Checker {
    /// A checker for the bodies of one run.
    pub(crate) fn new(run: u64) -> Self {
        Self {
            run,
            counts: Counts::default(),
            received: 0,
            watches: Vec::new(),
            latest: HashMap::new(),
            ended: Vec::new(),
        }
    }

    /// Registers a plain subscription or a queue group; `name` appears in failure texts.
    pub(crate) fn watch(&mut self, name: impl Into<String>) -> WatchId {
        self.watches.push(Watch {
            name: name.into(),
            streams: BTreeMap::new(),
        });
        WatchId(self.watches.len() - 1)
    }

    /// These sequence numbers of `publisher` must arrive at `watch`: they were published inside its
    /// active window. May be said before or after they arrive, and in pieces.
    pub(crate) fn must(&mut self, watch: WatchId, publisher: u32, sequences: Range<u64>) {
        self.stream(watch, publisher).must.insert_range(sequences);
    }

    /// These may arrive or not, for instance because they were published while the window opened.
    pub(crate) fn may(&mut self, watch: WatchId, publisher: u32, sequences: Range<u64>) {
        self.stream(watch, publisher).may.insert_range(sequences);
    }

    /// The subscription of `member` has ended for certain (its UNSUB was followed by a PONG).
    pub(crate) fn unsubscribed(&mut self, watch: WatchId, member: usize) {
        self.ended.push((watch, member));
    }

    /// Takes one payload that `member` of `watch` received.
    pub(crate) fn received(&mut self, watch: WatchId, member: usize, payload: &[u8]) {
        self.received += 1;
        let Some(body) = Body::decode(payload) else {
            self.counts.corrupt += 1;
            return;
        };
        if body.run != self.run {
            self.counts.strangers += 1;
            return;
        }
        if self.ended.contains(&(watch, member)) {
            self.counts.after_unsub += 1;
            return;
        }
        let is_new = self
            .stream(watch, body.publisher)
            .seen
            .insert(body.sequence);
        let latest = self.latest.entry((watch, member, body.publisher));
        let latest = latest.or_insert(body.sequence);
        if !is_new {
            self.counts.duplicates += 1;
        } else if body.sequence < *latest {
            self.counts.reorders += 1;
        }
        *latest = body.sequence.max(*latest);
    }

    /// How many payloads came in so far.
    pub(crate) fn received_count(&self) -> u64 {
        self.received
    }

    /// Compares what arrived with what had to, and gives the counts.
    pub(crate) fn finish(&self) -> Report {
        let mut counts = self.counts;
        let mut details = Vec::new();
        for watch in &self.watches {
            for (publisher, stream) in &watch.streams {
                let mut allowed = stream.must.clone();
                for range in stream.may.first_outside(&stream.must, usize::MAX) {
                    allowed.insert_range(range);
                }
                let gaps = stream.must.count_outside(&stream.seen);
                let strangers = stream.seen.count_outside(&allowed);
                counts.gaps += gaps;
                counts.strangers += strangers;
                let mut detail = |what, count, ranges: Vec<Range<u64>>| {
                    if count > 0 {
                        let name = &watch.name;
                        details.push(format!(
                            "{name}, publisher {publisher}: {count} {what}, {ranges:?}"
                        ));
                    }
                };
                detail("gaps", gaps, stream.must.first_outside(&stream.seen, 4));
                detail(
                    "strangers",
                    strangers,
                    stream.seen.first_outside(&allowed, 4),
                );
            }
        }
        Report {
            counts,
            received: self.received,
            details,
        }
    }

    fn stream(&mut self, watch: WatchId, publisher: u32) -> &mut Stream {
        self.watches[watch.0].streams.entry(publisher).or_default()
    }
}

/// The outcome of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// The six counts.
    pub(crate) counts: Counts,
    /// Payloads that came in, good and bad.
    pub(crate) received: u64,
    /// Which watch misses or has too much of what, in words.
    pub(crate) details: Vec<String>,
}

impl Report {
    /// The sum of several, each of its own watches.
    pub(crate) fn sum(parts: impl IntoIterator<Item = Report>) -> Self {
        let mut whole = Report::default();
        for part in parts {
            whole.counts += part.counts;
            whole.received += part.received;
            whole.details.extend(part.details);
        }
        whole
    }

    /// Prints the counts under the id of the case, then demands six zeros.
    ///
    /// # Panics
    /// When one of the six counts is not zero.
    #[track_caller]
    pub(crate) fn assert_six_zeros(&self, case: &str) {
        println!("{case}: {self}");
        let is_clean = self.counts == Counts::default();
        assert!(is_clean, "{case}: {self}\n{}", self.details.join("\n"));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            gaps,
            duplicates,
            reorders,
            corrupt,
            strangers,
            after_unsub,
        } = self.counts;
        write!(
            f,
            "{} received, gaps {gaps}, duplicates {duplicates}, reorders {reorders}, \
             corrupt {corrupt}, strangers {strangers}, after-unsub {after_unsub}",
            self.received
        )
    }
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
