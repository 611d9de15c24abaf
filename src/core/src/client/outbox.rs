//! Outbound queue of one connection: bytes promised to the peer and not yet written.
//!
//! A chain of chunks from a pool of the shard. One growing buffer would copy everything
//! it holds each time it grows, and stall the shard at 100 MiB pending; chunks are given
//! back as they are written. Knows no socket, no clock, no subject, no limit.
//! Steps 6 (enqueue) and 9 (flush) of the PUB path.
//!
//! ```text
//!   front ──────────────────────────────> back
//!   [####....]   [########]   [########]   [#####   ]
//!    ^ sent       full chunks               tail, still filled
//! ```

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::proto::Run;

/// First chunk of a quiet connection, in bytes.
const SMALL_CHUNK_BYTES: usize = 4 * 1024;
/// Further chunks, and the first of a connection that filled one the last time.
const LARGE_CHUNK_BYTES: usize = 64 * 1024;
/// Chunks of a backlog, in bytes. Blocks from this size on are to come from the system and go back to it
/// one by one; of smaller ones a few that live on, strewn over the heap, keep all of it.
pub const BACKLOG_CHUNK_BYTES: usize = 256 * 1024;
/// Full chunks from which on a connection has a backlog.
const BACKLOG_CHUNKS_MIN: usize = 4;
/// Bytes freed at most per turn: freeing 256 MiB at once is a stall of milliseconds.
const FREED_BYTES_PER_TURN: usize = 4 * 1024 * 1024;
/// Slices handed to one write.
pub const SLICES_MAX: usize = 16;

/// Spare chunks of one size.
#[derive(Debug)]
struct Shelf {
    chunk_bytes: usize,
    chunks_max: usize,
    chunks: Vec<Vec<u8>>,
    /// How many of the chunks were not needed since the last [`ChunkPool::trim`].
    idle: usize,
}

impl Shelf {
    fn new(chunk_bytes: usize, chunks_max: usize) -> Self {
        Shelf {
            chunk_bytes,
            chunks_max,
            chunks: Vec::new(),
            idle: 0,
        }
    }

    fn take(&mut self) -> Vec<u8> {
        let chunk = self.chunks.pop();
        self.idle = self.idle.min(self.chunks.len());
        chunk.unwrap_or_else(|| Vec::with_capacity(self.chunk_bytes))
    }
}

/// Spare chunks of a shard.
#[derive(Debug)]
pub struct ChunkPool {
    small: Shelf,
    large: Shelf,
    backlog: Shelf,
    /// Given back beyond what is kept; freed a few per turn.
    retired: Vec<Vec<u8>>,
    /// Bytes freed in chunks that do not go back to the system by themselves.
    freed: usize,
}

impl Default for ChunkPool {
    fn default() -> Self {
        // Measured: a fan-out to 100 connections needs 100.
        ChunkPool {
            small: Shelf::new(SMALL_CHUNK_BYTES, 128),
            large: Shelf::new(LARGE_CHUNK_BYTES, 128),
            backlog: Shelf::new(BACKLOG_CHUNK_BYTES, 16),
            retired: Vec::new(),
            freed: 0,
        }
    }
}

impl ChunkPool {
    fn shelf(&mut self, chunk_bytes: usize) -> &mut Shelf {
        match chunk_bytes {
            ..LARGE_CHUNK_BYTES => &mut self.small,
            LARGE_CHUNK_BYTES..BACKLOG_CHUNK_BYTES => &mut self.large,
            BACKLOG_CHUNK_BYTES.. => &mut self.backlog,
        }
    }

    #[inline(never)]
    fn take(&mut self, chunk_bytes: usize) -> Vec<u8> {
        self.shelf(chunk_bytes).take()
    }

    fn give_back(&mut self, mut chunk: Vec<u8>) {
        if chunk.capacity() == 0 {
            return;
        }
        chunk.clear();
        let shelf = self.shelf(chunk.capacity());
        if shelf.chunks.len() < shelf.chunks_max {
            shelf.chunks.push(chunk);
        } else {
            self.retired.push(chunk);
        }
    }

    /// Gives up half of the chunks that were spare all the time since the last call, to be called now and
    /// then: without that a burst keeps its memory for ever. True if it should be called again.
    pub fn trim(&mut self) -> bool {
        for shelf in [&mut self.large, &mut self.backlog] {
            let kept = shelf.chunks.len() - shelf.idle.div_ceil(2);
            self.retired.extend(shelf.chunks.drain(kept..));
            shelf.idle = shelf.chunks.len();
        }
        self.holds_spares()
    }

    /// Whether there are chunks to give up, small ones apart.
    pub fn holds_spares(&self) -> bool {
        !self.large.chunks.is_empty() || !self.backlog.chunks.is_empty()
    }

    /// Whether `bytes` have been freed in chunks smaller than [`BACKLOG_CHUNK_BYTES`] since this last was true.
    #[inline]
    pub fn has_freed(&mut self, bytes: usize) -> bool {
        let has = self.freed >= bytes;
        if has {
            self.freed = 0;
        }
        has
    }

    /// Frees some of what was given back; to be called once per turn. True if there is more.
    pub fn free_some(&mut self) -> bool {
        let mut freed_bytes = 0;
        while freed_bytes < FREED_BYTES_PER_TURN
            && let Some(chunk) = self.retired.pop()
        {
            freed_bytes += chunk.capacity();
            if chunk.capacity() < BACKLOG_CHUNK_BYTES {
                self.freed += chunk.capacity();
            }
        }
        !self.retired.is_empty()
    }
}

/// Bytes on their way to one peer.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Chunks that are full, oldest first.
    full: VecDeque<Vec<u8>>,
    /// The chunk being filled.
    tail: Vec<u8>,
    /// Bytes of the first chunk (the tail, if none is full) that are written.
    sent: usize,
    /// Invariant: bytes in all chunks, less `sent`.
    pending: usize,
    /// The last batch did not fit a small chunk.
    is_busy: bool,
}

impl Outbox {
    /// Bytes not yet written.
    #[inline]
    pub fn pending_bytes(&self) -> usize {
        self.pending
    }

    /// Appends two pieces that belong together.
    ///
    /// # Cost
    /// Two copies; an allocation only if the pool has no chunk left.
    #[inline]
    pub fn push(&mut self, pool: &mut ChunkPool, head: &[u8], rest: &[u8]) {
        self.pending += head.len() + rest.len();
        if self.tail.capacity() - self.tail.len() >= head.len() + rest.len() {
            self.tail.extend_from_slice(head);
            self.tail.extend_from_slice(rest);
        } else {
            self.push_over_chunks(pool, head);
            self.push_over_chunks(pool, rest);
        }
    }

    /// Appends `head` and a tail of `run`, for each of its messages.
    ///
    /// # Cost
    /// As [`Run::append_to`]; an allocation only if the pool has no chunk left.
    #[inline]
    pub fn push_run(&mut self, pool: &mut ChunkPool, head: &[u8], run: &Run<'_>) {
        let each = head.len() + run.tail_len();
        self.pending += each * run.count();
        self.is_busy |= each * run.count() > SMALL_CHUNK_BYTES;
        let mut left = Some(*run);
        while let Some(run) = left {
            let fitting = run.first((self.tail.capacity() - self.tail.len()) / each);
            if fitting.count() > 0 {
                fitting.append_to(&mut self.tail, head);
                left = run.behind(fitting.count());
            } else if let Some(tail) = run.tails().next() {
                self.push_over_chunks(pool, head);
                self.push_over_chunks(pool, tail);
                left = run.behind(1);
            }
        }
    }

    #[inline(never)]
    fn push_over_chunks(&mut self, pool: &mut ChunkPool, mut bytes: &[u8]) {
        loop {
            let room = (self.tail.capacity() - self.tail.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.tail.extend_from_slice(now);
            if later.is_empty() {
                return;
            }
            bytes = later;
            let is_first = self.tail.capacity() == 0;
            let chunk_bytes = if self.full.len() >= BACKLOG_CHUNKS_MIN {
                BACKLOG_CHUNK_BYTES
            } else if self.is_busy || !is_first || bytes.len() > SMALL_CHUNK_BYTES {
                LARGE_CHUNK_BYTES
            } else {
                SMALL_CHUNK_BYTES
            };
            let chunk = pool.take(chunk_bytes);
            let filled = std::mem::replace(&mut self.tail, chunk);
            if !is_first {
                self.is_busy = true;
                self.full.push_back(filled);
            }
        }
    }

    /// What to write next, at most [`SLICES_MAX`] pieces, and how many there are.
    pub fn poll_transmit<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut count = 0;
        let mut skip = self.sent;
        for chunk in self
            .full
            .iter()
            .chain(std::iter::once(&self.tail))
            .take(SLICES_MAX)
        {
            if chunk.len() > skip {
                slices[count] = IoSlice::new(&chunk[skip..]);
                count += 1;
            }
            skip = 0;
        }
        count
    }

    /// The peer's socket accepted `bytes`.
    ///
    /// # Panics
    /// If that is more than was pending.
    pub fn handle_transmitted(&mut self, pool: &mut ChunkPool, bytes: usize) {
        assert!(bytes <= self.pending, "more written than there was");
        self.pending -= bytes;
        self.sent += bytes;
        while let Some(first) = self.full.front() {
            if self.sent < first.len() {
                return;
            }
            self.sent -= first.len();
            if let Some(chunk) = self.full.pop_front() {
                pool.give_back(chunk);
            }
        }
        if self.pending == 0 {
            self.is_busy =
                self.tail.capacity() >= LARGE_CHUNK_BYTES && self.tail.len() > SMALL_CHUNK_BYTES;
            self.sent = 0;
            pool.give_back(std::mem::take(&mut self.tail));
        }
    }

    /// Drops everything: the connection is cut.
    pub fn clear(&mut self, pool: &mut ChunkPool) {
        for chunk in std::mem::take(&mut self.full) {
            pool.give_back(chunk);
        }
        pool.give_back(std::mem::take(&mut self.tail));
        self.sent = 0;
        self.pending = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(outbox: &mut Outbox, pool: &mut ChunkPool, at_most: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = outbox.poll_transmit(&mut slices);
        let mut bytes: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
        bytes.truncate(at_most);
        outbox.handle_transmitted(pool, bytes.len());
        bytes
    }

    #[test]
    fn idle_outbox_holds_no_chunk() {
        let (mut outbox, mut pool) = (Outbox::default(), ChunkPool::default());
        outbox.push(&mut pool, b"PO", b"NG\r\n");
        assert_eq!(drain(&mut outbox, &mut pool, usize::MAX), b"PONG\r\n");
        assert_eq!(outbox.tail.capacity(), 0);
        assert_eq!(pool.small.chunks.len(), 1);
    }

    #[test]
    fn given_back_chunks_are_freed_a_few_at_a_time() {
        let (mut outbox, mut pool) = (Outbox::default(), ChunkPool::default());
        let per_turn = FREED_BYTES_PER_TURN / BACKLOG_CHUNK_BYTES;
        let block = vec![7u8; BACKLOG_CHUNK_BYTES];
        for _ in 0..pool.backlog.chunks_max + per_turn + 10 {
            outbox.push(&mut pool, &block, &[]);
        }
        outbox.clear(&mut pool);
        assert_eq!(pool.backlog.chunks.len(), pool.backlog.chunks_max);
        assert!(pool.free_some());
        assert!(!pool.free_some());
    }

    #[test]
    fn spare_chunks_go_when_nobody_needs_them() {
        let (mut outbox, mut pool) = (Outbox::default(), ChunkPool::default());
        let mut fill = |pool: &mut ChunkPool, chunks: usize| {
            outbox.push(pool, &vec![7u8; chunks * BACKLOG_CHUNK_BYTES], &[]);
            outbox.clear(pool);
        };
        fill(&mut pool, 16);
        pool.trim();
        // In use again and again: kept. The others go.
        for _ in 0..20 {
            fill(&mut pool, 8);
            assert!(pool.trim());
        }
        assert_eq!((pool.large.chunks.len(), pool.backlog.chunks.len()), (5, 7));
        let mut calls = 1;
        while pool.trim() {
            calls += 1;
        }
        assert!(calls <= 8, "{calls}");
        while pool.free_some() {}
        assert!(!pool.holds_spares() && pool.retired.is_empty());
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            steps in prop::collection::vec(
                (0..200_000usize, 0..300usize, 0..150_000usize, 1..200usize),
                1..40,
            )
        ) {
            let (mut outbox, mut pool) = (Outbox::default(), ChunkPool::default());
            let (mut want, mut got) = (Vec::new(), Vec::new());
            let mut next = 0u8;
            for (rest, head, take, count) in steps {
                let mut piece = |n: usize| -> Vec<u8> {
                    (0..n).map(|_| { next = next.wrapping_add(1); next }).collect()
                };
                let (head, rest) = (piece(head), piece(rest));
                let tail_len = rest.len() / count;
                if let Some(run) = Run::new(&rest, tail_len, tail_len, 0, count) {
                    outbox.push_run(&mut pool, &head, &run);
                    for tail in run.tails() {
                        want.extend_from_slice(&head);
                        want.extend_from_slice(tail);
                    }
                } else {
                    outbox.push(&mut pool, &head, &rest);
                    want.extend(head);
                    want.extend(rest);
                }
                got.extend(drain(&mut outbox, &mut pool, take));
                prop_assert_eq!(outbox.pending_bytes(), want.len() - got.len());
            }
            while outbox.pending_bytes() > 0 {
                got.extend(drain(&mut outbox, &mut pool, usize::MAX));
            }
            prop_assert_eq!(got, want);
        }
    }
}
