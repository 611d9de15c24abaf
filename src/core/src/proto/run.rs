//! Runs: operations behind one another that differ in their payload only.
//!
//! A publisher mostly stays with a subject and a size. Then its lines are the same, byte for byte, and what one
//! of them said need not be read again: a comparison tells that the next is like it, and all of them can be
//! handed on together.

/// Several messages with the same line, by the part that a delivery copies: `[reply ][hdr ]size␍␊body␍␊`, the
/// tail. Tails lie at equal distances in one buffer; there is one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// From the start of the first tail to the end of the last.
    bytes: &'a [u8],
    /// From one tail to the next.
    stride: usize,
    tail_len: usize,
    body_len: usize,
    count: usize,
}

impl<'a> Run<'a> {
    /// `count` tails of `tail_len` bytes, `stride` bytes from one to the next, of which the first begins where
    /// `bytes` does. `None` if that is more than `bytes` holds, or nothing.
    pub fn new(
        bytes: &'a [u8],
        stride: usize,
        tail_len: usize,
        body_len: usize,
        count: usize,
    ) -> Option<Self> {
        let last_at = stride.checked_mul(count.checked_sub(1)?)?;
        let bytes = bytes.get(..last_at.checked_add(tail_len)?)?;
        let is_sound = tail_len <= stride && body_len <= tail_len && tail_len > 0;
        is_sound.then_some(Run {
            bytes,
            stride,
            tail_len,
            body_len,
            count,
        })
    }

    /// Messages, one at least.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of each tail.
    #[inline]
    pub fn tail_len(&self) -> usize {
        self.tail_len
    }

    /// Bytes of each header block and payload.
    #[inline]
    pub fn body_len(&self) -> usize {
        self.body_len
    }

    /// The first `count` of its messages, or all.
    #[inline]
    pub fn first(&self, count: usize) -> Self {
        Run {
            count: count.min(self.count),
            ..*self
        }
    }

    /// What is left behind the first `count`, if anything is.
    #[inline]
    pub fn behind(&self, count: usize) -> Option<Self> {
        let left = self.count.checked_sub(count).filter(|&left| left > 0)?;
        Some(Run {
            bytes: &self.bytes[count * self.stride..],
            count: left,
            ..*self
        })
    }

    /// The tails, in order.
    #[inline]
    pub fn tails(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let tail_len = self.tail_len;
        self.bytes
            .chunks(self.stride)
            .take(self.count)
            .map(move |chunk| &chunk[..tail_len])
    }
}

impl Run<'_> {
    /// Appends `head` and a tail to `out`, for each message.
    ///
    /// # Cost
    /// For short messages no call: the room is filled once, then heads and tails are stored in place.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>, head: &[u8]) {
        /// Bytes of a message from which on writing it once is dearer than two calls of `memcpy`.
        const STORED_BYTES_MAX: usize = 192;
        let each = head.len() + self.tail_len;
        if each > STORED_BYTES_MAX {
            out.reserve(each * self.count);
            for tail in self.tails() {
                out.extend_from_slice(head);
                out.extend_from_slice(tail);
            }
            return;
        }
        let start = out.len();
        out.resize(start + each * self.count, 0);
        for (place, tail) in out[start..].chunks_exact_mut(each).zip(self.tails()) {
            let (head_place, tail_place) = place.split_at_mut(head.len());
            store(head_place, head);
            store(tail_place, tail);
        }
    }
}

/// Copies `from` over `to`, which is as long. Short texts go by stores that may overlap.
#[inline(always)]
fn store(to: &mut [u8], from: &[u8]) {
    let is_stored = from.len() < 64
        && (store_ends::<32>(to, from) || store_ends::<16>(to, from) || store_ends::<8>(to, from));
    if !is_stored {
        to.copy_from_slice(from);
    }
}

/// Copies the first and the last `N` bytes, which are all if there are not more than twice as many. False if there
/// are less.
#[inline(always)]
fn store_ends<const N: usize>(to: &mut [u8], from: &[u8]) -> bool {
    let (Some(head), Some(end)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else {
        return false;
    };
    if let Some(place) = to.first_chunk_mut::<N>() {
        *place = *head;
    }
    if let Some(place) = to.last_chunk_mut::<N>() {
        *place = *end;
    }
    true
}

/// How many operations at the start of `buf` are `op` again with other bytes in place of its body: with the same
/// line, which is `op` up to `line_len`, and a body of the same length that ends in CR LF. At most `max`. The
/// parser would find exactly these.
///
/// # Cost
/// A few instructions for each, for lines of up to 32 bytes; else two calls of `memcmp`.
#[inline]
pub fn count_repeats(op: &[u8], line_len: usize, buf: &[u8], max: usize) -> usize {
    let Some(line) = op.get(..line_len) else {
        return 0;
    };
    let is_repeat = |next: &&[u8]| is_same(&next[..line_len], line) && next.ends_with(b"\r\n");
    buf.chunks_exact(op.len())
        .take(max)
        .take_while(is_repeat)
        .count()
}

/// Whether two texts of one length are the same. Short ones, as most lines and subjects are, are compared by two
/// loads that may overlap instead of a call.
#[inline(always)]
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() > 32 {
        return a == b;
    }
    are_ends_same::<16>(a, b)
        .or_else(|| are_ends_same::<8>(a, b))
        .or_else(|| are_ends_same::<4>(a, b))
        .unwrap_or_else(|| a == b)
}

/// Whether the first and the last `N` bytes of both are the same; `None` if one has less.
#[inline(always)]
fn are_ends_same<const N: usize>(a: &[u8], b: &[u8]) -> Option<bool> {
    let heads = a.first_chunk::<N>()? == b.first_chunk::<N>()?;
    Some(heads & (a.last_chunk::<N>()? == b.last_chunk::<N>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Op, ParseLimits, Parsed, parse};
    use proptest::prelude::*;

    const LIMITS: ParseLimits = ParseLimits {
        control_line_bytes_max: 4096,
        payload_bytes_max: 1024,
        headers: true,
    };

    #[test]
    fn tails_lie_at_equal_distances() {
        let bytes = b"1\r\na\r\nPUB s 1\r\nb\r\nPUB s 1\r\nc\r\n";
        let run = Run::new(bytes, 12, 6, 1, 3).expect("sound");
        let tails: Vec<&[u8]> = run.tails().collect();
        assert_eq!(tails, [b"1\r\na\r\n", b"1\r\nb\r\n", b"1\r\nc\r\n"]);
        let rest = run.behind(1).expect("two are left");
        assert_eq!(rest.count(), 2);
        assert_eq!(rest.tails().next(), Some(&b"1\r\nb\r\n"[..]));
        assert_eq!(run.first(2).tails().count(), 2);
        assert_eq!(run.behind(3), None);
        for (stride, tail, body, count) in
            [(12, 6, 1, 4), (5, 6, 1, 1), (12, 6, 7, 1), (12, 6, 1, 0)]
        {
            assert_eq!(Run::new(bytes, stride, tail, body, count), None);
        }
    }

    #[test]
    fn only_the_very_same_line_repeats() {
        let op = b"PUB s 1\r\na\r\n";
        let count = |buf: &[u8]| count_repeats(op, 9, buf, usize::MAX);
        assert_eq!(count(b""), 0);
        assert_eq!(count(b"PUB s 1\r\nb\r\nPUB s 1\r\n\r\r\n"), 2);
        assert_eq!(count(b"PUB s 1\r\nb\r\nPUB s 1\r\nc\r"), 1);
        assert_eq!(count(b"PUB s 1\r\nb\r\rPUB s 1\r\nc\r\n"), 0);
        assert_eq!(count(b"PUB t 1\r\nb\r\n"), 0);
        assert_eq!(count(b"PUB s 2\r\nb\r\n"), 0);
        assert_eq!(count_repeats(op, 9, &op.repeat(5), 3), 3);
    }

    #[test]
    fn heads_and_tails_of_every_length() {
        for tail_len in 4..220 {
            for head_len in [0, 1, 7, 8, 15, 16, 31, 32, 63, 64, 100] {
                let bytes: Vec<u8> = (0..=255).cycle().take(tail_len * 3).collect();
                let head: Vec<u8> = (100..).take(head_len).collect();
                let run = Run::new(&bytes, tail_len, tail_len, 0, 3).expect("sound");
                let mut out = vec![1, 2, 3];
                run.append_to(&mut out, &head);
                let mut want = vec![1, 2, 3];
                for tail in bytes.chunks(tail_len) {
                    want.extend_from_slice(&head);
                    want.extend_from_slice(tail);
                }
                assert_eq!(out, want, "head {head_len}, tail {tail_len}");
            }
        }
    }

    proptest! {
        /// The parser finds the same operations, for lines of every length class.
        #[test]
        fn agrees_with_the_parser(
            subject in "[a-z.]{1,40}",
            reply in proptest::option::of("[a-z]{1,10}"),
            size in 0..40usize,
            count in 1..6usize,
            broken in proptest::option::of((0..400usize, any::<u8>())),
        ) {
            let reply = reply.map(|r| r + " ").unwrap_or_default();
            let line = format!("PUB {subject} {reply}{size}\r\n");
            let op = format!("{line}{}\r\n", "x".repeat(size));
            let mut buf = op.repeat(count).into_bytes();
            if let Some((at, byte)) = broken && at < buf.len() {
                buf[at] = byte;
            }
            let counted = count_repeats(op.as_bytes(), line.len(), &buf, usize::MAX);
            let (mut at, mut parsed) = (0, 0);
            while let Ok(Parsed::Op(Op::Publish(publish), len)) = parse(&buf[at..], &LIMITS) {
                let is_alike = buf[at..].starts_with(line.as_bytes()) && publish.body.len() == size;
                if !is_alike {
                    break;
                }
                (at, parsed) = (at + len, parsed + 1);
            }
            prop_assert_eq!(counted, parsed);
        }
    }
}
