//! Which subjects were published lately, by a few bits each: the second time one may enter the cache.

/// Rows of tags, and tags in each, the latest first. With one tag a row, two subjects published in turn
/// could keep each other out for good (measured: 3 of 10 at 3000 subjects).
const ROWS: usize = 1024;
const TAGS: usize = 8;

/// Remembers about the last `ROWS * TAGS` subjects.
#[derive(Debug)]
pub(super) struct Doorkeeper {
    rows: Box<[[u16; TAGS]]>,
}

impl Doorkeeper {
    pub(super) fn new() -> Self {
        Self {
            rows: vec![[0; TAGS]; ROWS].into(),
        }
    }

    /// Whether a subject with this hash was seen lately, or one that looks the same; it is from now on.
    pub(super) fn was_seen(&mut self, hash: u64) -> bool {
        let tag = (hash >> 48) as u16;
        let row = &mut self.rows[hash as usize % ROWS];
        if row.contains(&tag) {
            return true;
        }
        row.copy_within(..TAGS - 1, 1);
        row[0] = tag;
        false
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_second_time() {
        let mut doorkeeper = Doorkeeper::new();
        // One row, and more subjects in turn than a row has tags would be too many.
        let hashes: Vec<u64> = (1..=TAGS as u64).map(|tag| tag << 48 | 5).collect();
        assert!(hashes.iter().all(|&hash| !doorkeeper.was_seen(hash)));
        assert!(hashes.iter().all(|&hash| doorkeeper.was_seen(hash)));
        assert!(!doorkeeper.was_seen(99 << 48 | 5));
        assert!(!doorkeeper.was_seen(1 << 48 | 5), "the oldest made room");
    }
}
