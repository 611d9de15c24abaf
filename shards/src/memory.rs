//! How the system's allocator is to treat large blocks, and when it is to give memory back.
//!
//! Owns one setting of the process. Knows nothing of who uses the memory.

/// Makes allocations of `bytes` and more come from the system and go back to it when they are freed.
///
/// glibc does so from 128 KiB on, but only until the first such block is freed: from then on it
/// takes blocks of that size from its heap, where one that lives keeps the memory of all below it.
/// Call it before there are other threads. Other C libraries have no such setting and need none.
pub fn return_blocks_from(bytes: usize) {
    #[cfg(target_env = "gnu")]
    if let Ok(bytes) = libc::c_int::try_from(bytes) {
        // SAFETY: `mallopt` sets a number of the allocator; it takes no pointer, and the parameter
        // is one that it knows. A refusal leaves everything as it was.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, bytes) };
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}

/// Makes the allocator give memory that is free back to the system, wherever it lies: glibc keeps what was freed in
/// small blocks. Takes some milliseconds where there is much, and threads that allocate meanwhile wait for it.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` takes the allocator's own locks and touches only memory that nobody has been given.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;
    use std::fs;

    fn resident_pages() -> usize {
        let text = fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn freed_blocks_go_back_though_others_live() {
        const BYTES: usize = 256 * 1024;
        return_blocks_from(BYTES);
        let before = resident_pages();
        let mut blocks: Vec<Vec<u8>> = (0..256).map(|_| vec![1; BYTES]).collect();
        let with_all = resident_pages();
        let mut at = 0;
        blocks.retain(|_| {
            at += 1;
            at % 16 == 0
        });
        let with_some = resident_pages();
        // 16 of 256 are left; pages of other tests leave room for half.
        assert!(with_all > before + 8192, "{before} to {with_all}");
        assert!(with_some < with_all - 8192, "{with_all} to {with_some}");
    }

    #[test]
    fn small_blocks_that_were_freed_go_back_when_told() {
        let mut blocks: Vec<Vec<u8>> = (0..64 * 1024).map(|_| vec![1; 1024]).collect();
        let with_all = resident_pages();
        // The last one lives on and keeps the heap from shrinking by itself.
        let last = blocks.pop();
        drop(blocks);
        give_back();
        let with_one = resident_pages();
        assert!(with_one + 8192 < with_all, "{with_all} to {with_one}");
        drop(last);
    }
}
