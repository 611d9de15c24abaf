//! How other threads reach a shard: its control channel and its wake-up.
//!
//! Owns the sending side only. Knows no driver and no service.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::ShardId;
use crate::wake::Wake;

/// Sends control messages to one shard, from any thread.
#[derive(Debug)]
pub struct Handle<C> {
    id: ShardId,
    control: Sender<C>,
    wake: Arc<Wake>,
}

impl<C> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            control: self.control.clone(),
            wake: Arc::clone(&self.wake),
        }
    }
}

impl<C> Handle<C> {
    pub(crate) fn new(id: ShardId, control: Sender<C>, wake: Arc<Wake>) -> Self {
        Self { id, control, wake }
    }

    /// The shard at the other end.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Queues a message and wakes the shard if it sleeps. Never waits; the queue has no bound, so
    /// whoever sends on behalf of a peer must bound what it sends.
    ///
    /// # Errors
    /// The shard has ended; the message is dropped.
    pub fn send(&self, message: C) -> Result<(), Gone> {
        self.control.send(message).map_err(|_| Gone)?;
        self.wake.wake();
        Ok(())
    }

    /// Wakes the shard if it sleeps. Call after work that its service finds by
    /// [`has_inbound`](crate::Service::has_inbound) is visible; a `SeqCst` fence is included.
    pub fn wake(&self) {
        self.wake.wake();
    }

    /// As [`wake`](Self::wake), for a caller that has itself made a `SeqCst` fence after its work
    /// became visible: one fence serves for many shards.
    pub fn wake_after_fence(&self) {
        self.wake.wake_after_fence();
    }
}

/// The shard has ended and takes no more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shard has ended")
    }
}

impl Error for Gone {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_to_an_ended_shard_is_an_error() {
        let (control, receiver) = crossbeam_channel::unbounded();
        let handle = Handle::new(ShardId(0), control, Arc::new(Wake::new().unwrap()));
        assert_eq!(handle.send(1), Ok(()));
        drop(receiver);
        assert_eq!(handle.clone().send(2), Err(Gone));
        assert_eq!(Gone.to_string(), "the shard has ended");
    }
}
