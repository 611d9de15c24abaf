//! A queue in pieces: it grows without copying what it holds, and keeps nothing of it when it is empty.

use std::collections::VecDeque;

/// Entries of a piece.
const PIECE: usize = 4096;
/// Entries an empty queue keeps room for.
const KEPT: usize = 64;

/// First in, first out.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// All but the last are full.
    pieces: VecDeque<Vec<T>>,
    /// Entries of the first piece that were taken.
    taken: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            pieces: VecDeque::new(),
            taken: 0,
        }
    }
}

impl<T: Copy> Queue<T> {
    /// Entries that wait.
    pub(super) fn len(&self) -> usize {
        let last = self.pieces.back().map_or(0, Vec::len);
        self.pieces.len().saturating_sub(1) * PIECE + last - self.taken
    }

    pub(super) fn push(&mut self, entry: T) {
        match self.pieces.back_mut() {
            Some(piece) if piece.len() < PIECE => piece.push(entry),
            _ => self.pieces.push_back(vec![entry]),
        }
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let is_last = self.pieces.len() == 1;
        let piece = self.pieces.front_mut()?;
        let entry = *piece.get(self.taken)?;
        self.taken += 1;
        if self.taken == piece.len() {
            self.taken = 0;
            if is_last {
                piece.clear();
                piece.shrink_to(KEPT);
                self.pieces.shrink_to(1);
            } else {
                self.pieces.pop_front();
            }
        }
        Some(entry)
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        let entries: usize = self.pieces.iter().map(Vec::capacity).sum();
        entries * size_of::<T>() + self.pieces.capacity() * size_of::<Vec<T>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_in_first_out_and_memory_comes_back() {
        let mut queue = Queue::default();
        assert_eq!((queue.pop(), queue.len()), (None, 0));
        let (mut pushed, mut popped) = (0_u32, 0_u32);
        for (pushes, pops) in [(1, 1), (10_000, 3_000), (2_000, 4_096), (5_000, 9_904)] {
            for _ in 0..pushes {
                queue.push(pushed);
                pushed += 1;
            }
            for _ in 0..pops {
                assert_eq!(queue.pop(), Some(popped));
                popped += 1;
            }
            assert_eq!(queue.len(), (pushed - popped) as usize);
        }
        assert_eq!((queue.pop(), queue.len()), (None, 0));
        assert!(queue.bytes() < 1024, "{} bytes are left", queue.bytes());
    }
}
