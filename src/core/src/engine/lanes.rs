//! What an engine asks of the lanes to the other shards.
//!
//! Each ordered pair of shards has two lanes, both FIFO with a fixed number of entries. An entry is a
//! batch of bytes. The server implements this over lock-free rings, the simulator over queues. The rules
//! K1 to K5 that are named here are explained in ARCHITECTURE.md.

/// One of the two lanes between a pair of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Who wants what: changes of a shard's interest.
    Interest,
    /// Messages.
    Data,
}

impl Lane {
    /// Both, in the order in which a turn fills them.
    pub const ALL: [Lane; 2] = [Lane::Interest, Lane::Data];

    /// Position in [`Lane::ALL`].
    pub fn index(self) -> usize {
        match self {
            Lane::Interest => 0,
            Lane::Data => 1,
        }
    }
}

/// A shard's ends of all its lanes. Shards are named by their numbers; no lane leads to oneself.
///
/// Buffers are exchanged, never given away: whoever pushes a full one gets an empty one back, and
/// whoever takes a full one leaves an empty one. So memory is allocated and freed by the shard that
/// fills it.
///
/// The bodies given here are those of a server with one shard, where a lane has no entries.
pub trait Lanes {
    /// Entries of a lane: not more of one are visible at one moment. Without a body, since an edge that forgot to hand
    /// this on would see nothing of the others before it acts (K3).
    fn entries(&self) -> usize;

    /// Entries that can be pushed to `to` now. Never less at the next call, unless something was
    /// pushed.
    fn room(&mut self, to: u16, lane: Lane) -> usize {
        let _ = (to, lane);
        0
    }

    /// Puts a batch into a lane that has room, and gives an empty buffer for it. Nobody sees it
    /// before [`publish`](Self::publish).
    ///
    /// # Panics
    /// May panic if there is no room: credits come before effects (K1).
    fn push(&mut self, to: u16, lane: Lane, batch: &mut Vec<u8>) {
        let _ = batch;
        unreachable!("no {lane:?} lane to shard {to}");
    }

    /// Makes everything pushed visible, in all lanes to all shards at once. Then fences, wakes the
    /// sleepers among those who got data (or whose interest lane is half full), and those who wait
    /// for room in lanes that were taken from since the last call.
    fn publish(&mut self) {}

    /// Whether any shard has published since the last [`take`](Self::take) from it found its
    /// interest lane empty. Costs a load for each shard.
    fn has_news(&self) -> bool {
        false
    }

    /// Takes the oldest visible batch that `from` sent; `batch`, which must be empty, is exchanged
    /// for it. False if there is none.
    fn take(&mut self, from: u16, lane: Lane, batch: &mut Vec<u8>) -> bool {
        let _ = (from, lane, batch);
        false
    }

    /// Asks to be woken when there is room (K5), and gives the room there was after asking. Holds until
    /// this or [`room`](Self::room) has seen some: a shard with room that it asked for does not sleep.
    fn ask_room(&mut self, to: u16, lane: Lane) -> usize {
        self.room(to, lane)
    }
}
