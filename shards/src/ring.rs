//! A bounded queue between two threads, without locks: one fills slots, the other empties them.
//!
//! Owns the slots, the two positions and the flag of a sender who waits for room. Knows nothing of
//! epochs or sleep: `lanes.rs` builds on it. `unsafe` is here because a slot changes hands.
//!
//! ```text
//!   position   head          tail (published)    tail (sender's own)
//!                |                |                   |
//!      ... free  | full  full ... | full, not visible | free ...
//!                '-- receiver's --'------------- sender's ----------
//! ```
//! Positions count up for ever (and wrap); a slot is `position & mask`. The slots own their values
//! and keep them: both sides work on the value in place, by exchange. So what the sender put in
//! comes back to the sender, emptied.
//!
//! Each side keeps its own position, and the last it saw of the other's: while that says there is
//! room (or an entry), the other side's cache line is not touched.

use std::fmt;

use crate::sync::{Arc, AtomicBool, AtomicUsize, Ordering, Padded, UnsafeCell};

/// Makes a ring for `entries` values, its slots filled by `Default`.
///
/// # Panics
/// There must be one entry at least, and no more than half of what a `usize` counts.
pub(crate) fn ring<T: Default>(entries: usize) -> (Sender<T>, Receiver<T>) {
    assert!(
        0 < entries && entries <= usize::MAX / 2,
        "{entries} entries"
    );
    let slots: Box<[_]> = (0..entries.next_power_of_two())
        .map(|_| UnsafeCell::new(T::default()))
        .collect();
    let ring = Arc::new(Ring {
        tail: Padded(AtomicUsize::new(0)),
        head: Padded(Head {
            position: AtomicUsize::new(0),
            needs_room: AtomicBool::new(false),
        }),
        entries,
        slots,
    });
    let sender = Sender {
        ring: Arc::clone(&ring),
        tail: 0,
        head: 0,
    };
    let receiver = Receiver {
        ring,
        head: 0,
        tail: 0,
    };
    (sender, receiver)
}

/// What both sides share.
struct Ring<T> {
    /// Written by the sender.
    tail: Padded<AtomicUsize>,
    /// Written by the receiver, and by a sender in need.
    head: Padded<Head>,
    entries: usize,
    /// A power of two of them, `entries` or more.
    /// Invariant: those from `head` to the published tail are the receiver's, all others the
    /// sender's; a side gives slots away only by a `Release` store of its position.
    slots: Box<[UnsafeCell<T>]>,
}

struct Head {
    position: AtomicUsize,
    /// The sender wants to be woken when there is room. Beside the position, because the receiver
    /// looks at it after it wrote that.
    needs_room: AtomicBool,
}

// SAFETY: the values in the slots move between two threads, so they must be `Send`; they are never
// used by both at a time, see the invariant of `slots`. All else in it is atomic or never changes.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: dropping the ring drops the values, which are `Send`.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Ring<T> {
    fn slot(&self, position: usize) -> &UnsafeCell<T> {
        &self.slots[position & (self.slots.len() - 1)]
    }
}

/// The end that fills slots. The only one of its ring.
pub(crate) struct Sender<T> {
    ring: Arc<Ring<T>>,
    /// The next position to fill. Invariant: `tail - head <= entries`.
    tail: usize,
    /// The receiver's position as last seen; the true one is this or further.
    head: usize,
}

impl<T> Sender<T> {
    /// Slots that can be filled. Looks at the receiver's position only if there would be fewer
    /// than `wanted`; so it may be less than the truth, and is never more.
    #[inline]
    pub(crate) fn room(&mut self, wanted: usize) -> usize {
        let room = self.ring.entries - self.tail.wrapping_sub(self.head);
        if room >= wanted {
            return room;
        }
        self.head = self.load_head();
        self.ring.entries - self.tail.wrapping_sub(self.head)
    }

    /// Whether at least half of the slots can be filled as of now.
    pub(crate) fn is_half_empty(&self) -> bool {
        self.depth() <= self.ring.entries / 2
    }

    /// Slots filled, published or not, that the receiver has not emptied.
    pub(crate) fn depth(&self) -> usize {
        self.tail.wrapping_sub(self.load_head())
    }

    /// Lets `f` fill the next slot, which holds what the receiver left there. The receiver does not
    /// see it before [`publish`](Self::publish).
    ///
    /// # Panics
    /// There must be room.
    #[inline]
    pub(crate) fn fill<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> R {
        assert!(self.room(1) > 0, "no room in the ring");
        let slot = self.ring.slot(self.tail);
        // SAFETY: `tail - head <= entries - 1 < slots`, so the slot is outside `head..tail` and the
        // sender's. If the receiver had it before, it gave it back by its `Release` store of a
        // head that we loaded with `Acquire`. `&mut self` of the only sender excludes another
        // reference of ours.
        let result = slot.with_mut(|value| f(unsafe { &mut *value }));
        self.tail = self.tail.wrapping_add(1);
        result
    }

    /// Gives all filled slots to the receiver.
    #[inline]
    pub(crate) fn publish(&self) {
        self.ring.tail.0.store(self.tail, Ordering::Release);
    }

    /// Sets, or takes back, the request to be woken when there is room. A fence must follow, and a
    /// look at the room.
    pub(crate) fn set_needs_room(&self, needs_room: bool) {
        let flag = &self.ring.head.0.needs_room;
        flag.store(needs_room, Ordering::Relaxed);
    }

    /// Visits the values in the free slots.
    pub(crate) fn visit_free(&mut self, mut f: impl FnMut(&mut T)) {
        self.head = self.load_head();
        let used = self.tail.wrapping_sub(self.head);
        for ahead in 0..self.ring.slots.len() - used {
            let slot = self.ring.slot(self.tail.wrapping_add(ahead));
            // SAFETY: `ahead < slots - used`, so the slot is outside `head..tail`; the rest as in
            // `fill`.
            slot.with_mut(|value| f(unsafe { &mut *value }));
        }
    }

    fn load_head(&self) -> usize {
        self.ring.head.0.position.load(Ordering::Acquire)
    }
}

/// The end that empties slots. The only one of its ring.
pub(crate) struct Receiver<T> {
    ring: Arc<Ring<T>>,
    /// The next position to empty. Invariant: `head <= tail`, and `head` is what was published.
    head: usize,
    /// The sender's position as last seen; the true one is this or further.
    tail: usize,
}

impl<T> Receiver<T> {
    /// Looks at how far the sender has published.
    #[inline]
    pub(crate) fn refresh(&mut self) {
        self.tail = self.load_tail();
    }

    /// Lets `f` work on the oldest entry that was published when last looked at; if it says so,
    /// the slot goes back to the sender with what `f` left in it. False if it stays, or if there
    /// is none.
    #[inline]
    pub(crate) fn empty_if(&mut self, f: impl FnOnce(&mut T) -> bool) -> bool {
        if self.head == self.tail {
            return false;
        }
        let slot = self.ring.slot(self.head);
        // SAFETY: `head < tail`, so the slot is the receiver's: the sender gave it by its `Release`
        // store of a tail that we loaded with `Acquire`, and takes it back only when `head` has
        // passed it. `&mut self` of the only receiver excludes another reference of ours.
        let is_emptied = slot.with_mut(|value| f(unsafe { &mut *value }));
        if is_emptied {
            self.head = self.head.wrapping_add(1);
            let position = &self.ring.head.0.position;
            position.store(self.head, Ordering::Release);
        }
        is_emptied
    }

    /// Whether `count` entries are published now and `test` holds of the last of these.
    pub(crate) fn holds(&self, count: usize, test: impl FnOnce(&T) -> bool) -> bool {
        let tail = self.load_tail();
        if tail.wrapping_sub(self.head) < count {
            return false;
        }
        let slot = self.ring.slot(self.head.wrapping_add(count - 1));
        // SAFETY: the slot is between `head` and a tail that was published, hence the receiver's,
        // as in `empty_if`. That takes `&mut self`, so nobody writes while we read.
        slot.with(|value| test(unsafe { &*value }))
    }

    /// Whether the sender asks for room. Call after a fence that follows the emptying.
    ///
    /// The request stays until the sender has seen room: a receiver that is late with this, after the
    /// sender has found the room, filled it and asked again, would take the new request for the old.
    #[inline]
    pub(crate) fn needs_room(&self) -> bool {
        self.ring.head.0.needs_room.load(Ordering::Relaxed)
    }

    /// Whether no more than half of the slots hold entries that were published.
    #[inline]
    pub(crate) fn is_half_empty(&self) -> bool {
        self.load_tail().wrapping_sub(self.head) <= self.ring.entries / 2
    }

    fn load_tail(&self) -> usize {
        self.ring.tail.0.load(Ordering::Acquire)
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("tail", &self.tail)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("head", &self.head)
            .field("tail", &self.tail)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn take(receiver: &mut Receiver<u32>) -> Option<u32> {
        let mut taken = None;
        receiver.refresh();
        receiver.empty_if(|value| {
            taken = Some(std::mem::take(value));
            true
        });
        taken
    }

    #[test]
    fn nothing_is_visible_before_it_is_published() {
        let (mut sender, mut receiver) = ring(4);
        sender.fill(|slot| *slot = 7);
        assert_eq!(take(&mut receiver), None);
        sender.publish();
        assert_eq!(take(&mut receiver), Some(7));
        assert_eq!(take(&mut receiver), None);
    }

    #[test]
    fn order_and_room_hold_through_many_rounds_at_any_size() {
        for entries in 1..=9 {
            let (mut sender, mut receiver) = ring(entries);
            let mut next_in = 0;
            let mut next_out = 0;
            for round in 0..100 {
                let batch = round % (entries + 1);
                for _ in 0..batch {
                    sender.fill(|slot| *slot = next_in);
                    next_in += 1;
                }
                assert_eq!(sender.depth(), batch);
                assert_eq!(sender.depth(), batch);
                sender.publish();
                while let Some(value) = take(&mut receiver) {
                    assert_eq!(value, next_out);
                    next_out += 1;
                }
                assert_eq!(next_out, next_in);
                assert_eq!(sender.room(entries), entries);
            }
        }
    }

    #[test]
    fn positions_may_wrap() {
        let (mut sender, mut receiver) = ring(3);
        let start = usize::MAX - 1;
        (sender.tail, sender.head) = (start, start);
        (receiver.tail, receiver.head) = (start, start);
        sender.publish();
        let head = &sender.ring.head.0.position;
        head.store(start, Ordering::Relaxed);
        for value in 0..20 {
            sender.fill(|slot| *slot = value);
            sender.publish();
            assert_eq!(sender.room(3), 2);
            assert_eq!(take(&mut receiver), Some(value));
        }
    }

    #[test]
    fn room_is_looked_up_only_when_the_last_answer_is_too_little() {
        let (mut sender, mut receiver) = ring(4);
        for value in 0..3 {
            sender.fill(|slot| *slot = value);
        }
        sender.publish();
        take(&mut receiver);
        take(&mut receiver);
        assert_eq!(sender.room(1), 1);
        assert_eq!(sender.room(2), 3);
        assert_eq!(sender.room(1), 3);
    }

    #[test]
    #[should_panic(expected = "no room in the ring")]
    fn filling_without_room_is_a_bug() {
        let (mut sender, _receiver) = ring(1);
        sender.fill(|slot| *slot = 1);
        sender.fill(|slot| *slot = 2);
    }

    #[test]
    fn a_slot_keeps_its_value_until_it_is_given_back() {
        let (mut sender, mut receiver) = ring::<Vec<u8>>(1);
        sender.fill(|slot| slot.extend_from_slice(b"full"));
        sender.publish();
        receiver.refresh();
        assert!(receiver.holds(1, |slot| slot == b"full"));
        assert!(!receiver.holds(2, |_| true));
        assert!(!receiver.empty_if(|slot| slot.is_empty()));
        assert_eq!(sender.room(1), 0);
        assert!(receiver.empty_if(|slot| {
            slot.clear();
            true
        }));
        assert!(!receiver.empty_if(|_| true));
        // The buffer is back with its capacity.
        assert!(sender.fill(|slot| slot.is_empty() && slot.capacity() >= 4));
    }

    #[test]
    fn free_slots_are_visited_and_no_others() {
        let (mut sender, mut receiver) = ring(5);
        for value in 1..=5 {
            sender.fill(|slot| *slot = value);
        }
        sender.publish();
        let mut seen = 0;
        sender.visit_free(|value| {
            assert_eq!(*value, 0);
            seen += 1;
        });
        assert_eq!(seen, 3);
        take(&mut receiver);
        sender.visit_free(|value| *value = 100);
        for value in 2..=5 {
            assert_eq!(take(&mut receiver), Some(value));
        }
        assert_eq!(sender.fill(|slot| *slot), 100);
    }

    #[test]
    fn a_request_for_room_stays_until_the_sender_ends_it() {
        let (sender, receiver) = ring::<u8>(1);
        assert!(!receiver.needs_room());
        sender.set_needs_room(true);
        assert!(receiver.needs_room() && receiver.needs_room());
        sender.set_needs_room(false);
        assert!(!receiver.needs_room());
    }

    #[test]
    fn values_are_dropped_once() {
        let value = std::sync::Arc::new(());
        let (mut sender, receiver) = ring(4);
        for _ in 0..3 {
            sender.fill(|slot| *slot = Some(std::sync::Arc::clone(&value)));
        }
        sender.publish();
        drop(sender);
        assert_eq!(std::sync::Arc::strong_count(&value), 4);
        drop(receiver);
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    }
}
