//! What the shards of a world share, and what each of them says about itself while it is suspended.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gnatsd_core::engine::Opening;
use gnatsd_core::time::Time;

use crate::lanes::Lanes;
use crate::sockets::{SocketId, Sockets};

/// Longest sleep of a shard, as in the real loop. Nothing may depend on it.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);

/// A control message to a shard.
#[derive(Debug)]
pub(crate) enum Control {
    /// A connection was accepted.
    Open(SocketId, Opening),
    /// Leave the loop and give the engine back.
    Stop,
}

/// What a shard does next, if it is let go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// A step that others see, or that sees what others do.
    Step(Step),
    /// Nothing, before it is woken, something is ready or a time has come.
    Sleep {
        /// What the engine asked for, if anything.
        asked: Option<Time>,
        /// When the heartbeat comes.
        heartbeat: Time,
    },
}

/// Steps of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Loop,
    Receive(u32),
    Send(u32),
    Room(usize, usize),
    Ask(usize, usize),
    Publish,
    Wake(usize),
    News,
    Take(usize, usize),
    LookAgain,
}

/// Sleep and wake of one shard.
#[derive(Debug, Default)]
pub(crate) struct Sleep {
    /// It sleeps or is about to, and nobody has taken the flag.
    pub(crate) is_announced: bool,
    /// Somebody has.
    pub(crate) is_woken: bool,
}

/// One world, but for its clients and its scheduler.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) now: Time,
    pub(crate) lanes: Lanes,
    pub(crate) sockets: Sockets,
    pub(crate) control: Vec<VecDeque<Control>>,
    pub(crate) sleep: Vec<Sleep>,
    /// Sockets whose connections have just ended.
    pub(crate) ended: Vec<SocketId>,
    /// Pushes of each marked message into data lanes, by receiving shard.
    pub(crate) visits: BTreeMap<(u32, u32), [u8; 4]>,
    pub(crate) steps: u64,
    pub(crate) is_traced: bool,
}

impl Shared {
    /// A shard's flag is taken, if it is up.
    pub(crate) fn wake(&mut self, shard: usize) {
        let sleep = &mut self.sleep[shard];
        sleep.is_woken |= std::mem::take(&mut sleep.is_announced);
    }

    /// A sleeping shard that must not sleep.
    pub(crate) fn has_work(&self, shard: usize) -> bool {
        !self.control[shard].is_empty() || self.lanes.has_inbound(shard)
    }

    /// A line of the trace.
    pub(crate) fn trace(&self, text: std::fmt::Arguments<'_>) {
        if self.is_traced {
            println!(
                "{:>7} {:>6}us {text}",
                self.steps,
                self.now.0 / 1_000 % 1_000_000_000
            );
        }
    }
}
