//! Lanes: the rings between all shards, made visible in one step, with the wake-ups that go with it.
//!
//! Owns the epochs, and who must wake whom. Knows no driver, and nothing of what is in a batch.
//!
//! Each ordered pair of shards has one ring of each kind that [`Config::lanes`](crate::Config)
//! names. A shard also has an **epoch**: the number of times it has published, in a cache line of
//! its own. Each entry carries the epoch it will be visible in, and receivers pass over what is
//! newer than the epoch they saw.
//!
//! ```text
//!   sender: publish                        receiver: take
//!   slots filled, each with epoch + 1      seen  = load epoch (Acquire)
//!   all tails   (Release)                  tail  = load tail  (Acquire)
//!   epoch += 1  (Release)                  next entry's epoch <= seen ? exchange : nothing
//!   fence (SeqCst)
//!   wake who sleeps and got enough
//! ```
//! Without epochs a receiver could see what was published in its ring while another receiver, told
//! so by the first, does not see yet what was published *before* that in its own. With them, who
//! sees one entry of an epoch, and everyone it tells, sees all of that epoch.
//!
//! The memory model ends at the socket. That a shard which reads bytes caused by what another shard
//! wrote sees what that shard published before it wrote, is the kernel's doing: sending and receiving
//! on a connection take the same locks of the kernel, one after the other, and these order what came
//! before as any lock does. The fence in `publish` comes before the write in any case.
//!
//! **Room** is the same protocol with the roles exchanged: who waits for room sets a flag, fences and
//! looks again; who has emptied slots fences and looks at the flag (see `wake.rs` for why one of the
//! two must see the other). The wake comes when half of the lane is empty: a sender that is woken for
//! each slot pays a wake-up for each batch. The receiver cannot sleep before that, because more than
//! half of the lane is visible to it.

use std::cell::Cell;
use std::fmt;
use std::mem;

use crate::ring::{self, Receiver, Sender};
use crate::sync::{Arc, AtomicU64, Ordering, Padded, fence};
use crate::wake::Wake;
use crate::{LaneConfig, ShardId};

/// [`Lanes::room`] looks at the other side's position only when fewer slots than this are known to
/// be free: seldom enough to cost nothing, often enough that a few wanted at once are found.
const ROOM_LOW: usize = 4;

/// A shard's ends of the lanes to and from all others. A lane is named by the other shard and by
/// the kind's index in [`Config::lanes`](crate::Config).
///
/// Values are exchanged: slots keep one each, made by `Default`. Who pushes a full buffer gets back
/// an empty one that it has filled before, and who takes a full one leaves an empty one. So memory
/// stays with the shard that allocated it.
///
/// Every method panics for a lane that does not exist, which includes those to oneself.
pub struct Lanes<T> {
    shards: u16,
    /// By number of the other shard. `None` for oneself.
    peers: Vec<Option<Peer<T>>>,
    /// How often this shard has published; others read it.
    epoch: Arc<Padded<AtomicU64>>,
    /// The value of `epoch`.
    published: u64,
    /// Lanes pushed to since the last publish, each once.
    pushed: Vec<Name>,
    /// Lanes taken from since the last publish, each once.
    taken: Vec<Name>,
    /// Lanes without room when this shard asked, each once.
    asked: Vec<Name>,
}

/// A lane by the index of the other shard and its kind.
type Name = (usize, usize);

struct Peer<T> {
    wake: Arc<Wake>,
    /// How often the peer has published.
    epoch: Arc<Padded<AtomicU64>>,
    /// The peer's epoch as last loaded by `take`; the true one is this or later.
    seen: u64,
    /// The peer's epoch when its first lane was last found empty.
    heard: u64,
    /// An epoch of the peer that does not keep this shard from sleeping. Taking entries makes that
    /// only truer.
    quiet: Cell<u64>,
    outbound: Box<[Outbound<T>]>,
    inbound: Box<[Inbound<T>]>,
}

struct Outbound<T> {
    ring: Sender<Entry<T>>,
    wakes_at: usize,
    is_pushed: bool,
    is_asked: bool,
}

struct Inbound<T> {
    ring: Receiver<Entry<T>>,
    wakes_at: usize,
    is_taken: bool,
}

/// What is in a slot.
#[derive(Default)]
struct Entry<T> {
    /// The sender's epoch that makes it visible.
    epoch: u64,
    item: T,
}

/// Makes all lanes between shards with these wakes, and answers each shard's ends.
///
/// # Panics
/// Each kind needs an entry, and must wake by the time it is more than half full. More than `u16::MAX` shards have
/// no numbers.
pub(crate) fn mesh<T: Default>(wakes: &[Arc<Wake>], kinds: &[LaneConfig]) -> Vec<Lanes<T>> {
    let shards = u16::try_from(wakes.len()).expect("shards have 16-bit numbers");
    for kind in kinds {
        assert!(
            0 < kind.wakes_at && kind.wakes_at <= kind.entries / 2 + 1,
            "{kind:?} can be more than half full without a wake"
        );
    }
    let epochs: Vec<_> = wakes
        .iter()
        .map(|_| Arc::new(Padded(AtomicU64::new(0))))
        .collect();
    let peer = |other: usize| Peer {
        wake: Arc::clone(&wakes[other]),
        epoch: Arc::clone(&epochs[other]),
        seen: 0,
        heard: 0,
        quiet: Cell::new(0),
        outbound: Box::default(),
        inbound: Box::default(),
    };
    let mut mesh: Vec<Lanes<T>> = (0..wakes.len())
        .map(|me| Lanes {
            shards,
            peers: (0..wakes.len())
                .map(|other| (other != me).then(|| peer(other)))
                .collect(),
            epoch: Arc::clone(&epochs[me]),
            published: 0,
            pushed: Vec::new(),
            taken: Vec::new(),
            asked: Vec::new(),
        })
        .collect();
    for from in 0..mesh.len() {
        for to in (0..mesh.len()).filter(|&to| to != from) {
            let (outbound, inbound) = kinds.iter().map(lane).unzip::<_, _, Vec<_>, Vec<_>>();
            mesh[from].peer_mut(to).outbound = outbound.into();
            mesh[to].peer_mut(from).inbound = inbound.into();
        }
    }
    mesh
}

fn lane<T: Default>(kind: &LaneConfig) -> (Outbound<T>, Inbound<T>) {
    let (sender, receiver) = ring::ring(kind.entries);
    let outbound = Outbound {
        ring: sender,
        wakes_at: kind.wakes_at,
        is_pushed: false,
        is_asked: false,
    };
    let inbound = Inbound {
        ring: receiver,
        wakes_at: kind.wakes_at,
        is_taken: false,
    };
    (outbound, inbound)
}

impl<T> Lanes<T> {
    /// Number of shards, this one included.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// Entries pushed to `to` that it has not taken, visible or not. Costs a look at a cache line
    /// of the receiver.
    pub fn depth(&self, to: ShardId, lane: usize) -> usize {
        self.peer(to.index()).outbound[lane].ring.depth()
    }

    /// Whether some shard has published since `take` of lane 0 from it last found nothing. Costs
    /// a load for each other shard.
    #[inline]
    pub fn has_news(&self) -> bool {
        // Acquire, so that even who does not take anything may rely on what was published.
        self.others()
            .any(|peer| peer.epoch.0.load(Ordering::Acquire) != peer.heard)
    }

    /// Whether something is there that this shard should not sleep on: in a lane, as many entries
    /// visible as wake a sleeper, or room that was asked for. For
    /// [`Service::has_inbound`](crate::Service::has_inbound).
    pub fn has_inbound(&self) -> bool {
        self.others().any(Peer::has_inbound)
            || self.asked.iter().any(|&(to, lane)| {
                let outbound = &self.peer(to).outbound[lane];
                outbound.ring.is_half_empty()
            })
    }

    fn peer(&self, index: usize) -> &Peer<T> {
        self.peers[index].as_ref().expect("no lane to oneself")
    }

    #[inline]
    fn peer_mut(&mut self, index: usize) -> &mut Peer<T> {
        self.peers[index].as_mut().expect("no lane to oneself")
    }

    #[inline]
    fn others(&self) -> impl Iterator<Item = &Peer<T>> {
        self.peers.iter().flatten()
    }
}

impl<T: Default + Send> Lanes<T> {
    /// Entries that can be pushed to `to` now: never more than is true, and less only where there
    /// are several (no less than the last answer less what was pushed since).
    #[inline]
    pub fn room(&mut self, to: ShardId, lane: usize) -> usize {
        let outbound = &mut self.peer_mut(to.index()).outbound[lane];
        let room = outbound.ring.room(ROOM_LOW);
        if outbound.is_asked && room > 0 {
            self.found_room((to.index(), lane));
        }
        room
    }

    /// Puts `item` into the lane and gives a free slot's value for it. Nobody sees it before
    /// [`publish`](Self::publish).
    ///
    /// # Panics
    /// There must be room.
    #[inline]
    pub fn push(&mut self, to: ShardId, lane: usize, item: &mut T) {
        let epoch = self.published + 1;
        let outbound = &mut self.peer_mut(to.index()).outbound[lane];
        outbound.ring.fill(|entry| {
            entry.epoch = epoch;
            mem::swap(&mut entry.item, item);
        });
        if !mem::replace(&mut outbound.is_pushed, true) {
            self.pushed.push((to.index(), lane));
        }
    }

    /// Makes everything pushed visible, in all lanes at once; then wakes the sleepers who got enough
    /// and those who asked for room in lanes that this shard took from since. Does nothing, and
    /// fences nothing, if there was neither push nor take.
    ///
    /// Call it at the end of every turn, and before a socket is written to.
    pub fn publish(&mut self) {
        if self.pushed.is_empty() && self.taken.is_empty() {
            return;
        }
        if !self.pushed.is_empty() {
            for &(to, lane) in &self.pushed {
                let outbound = &self.peer(to).outbound[lane];
                outbound.ring.publish();
            }
            self.published += 1;
            self.epoch.0.store(self.published, Ordering::Release);
        }
        fence(Ordering::SeqCst);
        let mut pushed = mem::take(&mut self.pushed);
        for (to, lane) in pushed.drain(..) {
            let peer = self.peer_mut(to);
            let outbound = &mut peer.outbound[lane];
            outbound.is_pushed = false;
            if peer.wake.is_asleep() && outbound.ring.depth() >= outbound.wakes_at {
                peer.wake.wake_after_fence();
            }
        }
        self.pushed = pushed;
        let mut taken = mem::take(&mut self.taken);
        for (from, lane) in taken.drain(..) {
            let peer = self.peer_mut(from);
            let inbound = &mut peer.inbound[lane];
            inbound.is_taken = false;
            if inbound.ring.needs_room() && inbound.ring.is_half_empty() {
                peer.wake.wake_after_fence();
            }
        }
        self.taken = taken;
    }

    /// Takes the oldest visible entry that `from` sent and leaves `item`, which should be empty, in
    /// its slot. False if there is none; `item` is untouched then.
    #[inline]
    pub fn take(&mut self, from: ShardId, lane: usize, item: &mut T) -> bool {
        let peer = self.peer_mut(from.index());
        let inbound = &mut peer.inbound[lane];
        if !inbound.exchange(peer.seen, item) {
            // The epoch first: what it makes visible is in the tail loaded after it.
            peer.seen = peer.epoch.0.load(Ordering::Acquire);
            inbound.ring.refresh();
            if !inbound.exchange(peer.seen, item) {
                if lane == 0 {
                    peer.heard = peer.seen;
                }
                return false;
            }
        }
        if !mem::replace(&mut inbound.is_taken, true) {
            self.taken.push((from.index(), lane));
        }
        true
    }

    /// Asks to be woken when `to` has taken something from the lane, and answers what room there
    /// is after asking. Without room the lane counts as asked, and keeps this shard from sleeping
    /// on it, until [`room`](Self::room) or this finds some.
    pub fn ask_room(&mut self, to: ShardId, lane: usize) -> usize {
        let outbound = &mut self.peer_mut(to.index()).outbound[lane];
        outbound.ring.set_needs_room(true);
        fence(Ordering::SeqCst);
        let room = outbound.ring.room(usize::MAX);
        if !mem::replace(&mut outbound.is_asked, true) {
            self.asked.push((to.index(), lane));
        }
        if room > 0 {
            self.found_room((to.index(), lane));
        }
        room
    }

    /// Visits the values that lie in the free slots of this shard's sending lanes: the place to
    /// give memory back.
    pub fn trim(&mut self, mut f: impl FnMut(&mut T)) {
        for outbound in self
            .peers
            .iter_mut()
            .flatten()
            .flat_map(|p| &mut p.outbound)
        {
            outbound.ring.visit_free(|entry| f(&mut entry.item));
        }
    }

    #[cold]
    fn found_room(&mut self, (to, lane): Name) {
        self.asked.retain(|&name| name != (to, lane));
        let outbound = &mut self.peer_mut(to).outbound[lane];
        outbound.is_asked = false;
        // Should the receiver see the request nevertheless, it wakes us for nothing.
        outbound.ring.set_needs_room(false);
    }
}

impl<T> Peer<T> {
    fn has_inbound(&self) -> bool {
        let epoch = self.epoch.0.load(Ordering::Acquire);
        if epoch == self.quiet.get() {
            return false;
        }
        let is_visible = |entry: &Entry<T>| entry.epoch <= epoch;
        let has_enough = self
            .inbound
            .iter()
            .any(|inbound| inbound.ring.holds(inbound.wakes_at, is_visible));
        if !has_enough {
            self.quiet.set(epoch);
        }
        has_enough
    }
}

impl<T> Inbound<T> {
    #[inline]
    fn exchange(&mut self, seen: u64, item: &mut T) -> bool {
        self.ring.empty_if(|entry| {
            let is_visible = entry.epoch <= seen;
            if is_visible {
                mem::swap(&mut entry.item, item);
            }
            is_visible
        })
    }
}

impl<T> fmt::Debug for Lanes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("shards", &self.shards)
            .field("published", &self.published)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
