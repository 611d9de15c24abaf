//! Where answers are made: small ones on the thread of their connection, lists on one thread of
//! their own, one after the other.
//!
//! Lists can be as large as all that the server knows. One thread makes them, so that one
//! allocator heap holds what making them leaves behind; and what clients have not taken yet has
//! a bound in bytes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::answer::{Answer, Recipient};
use super::guard::CONNECTIONS_MAX;
use super::head::Head;
use super::pages::Pages;

/// Lists that wait to be made: half of all connections, so that the others get what is small.
const LISTS_WAITING_MAX: usize = CONNECTIONS_MAX / 2;
/// Bytes of lists that clients have not taken yet; a single list may be larger.
const UNTAKEN_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a list waits for others to be taken.
const ROOM_TIME_MAX: Duration = Duration::from_secs(1);

/// Body of the answer when there is no room for another list.
const CROWDED: &str = "too many lists are being read, try again or set a limit\n";

/// The bytes of an answer.
pub(super) struct Reply {
    bytes: Vec<u8>,
    /// Given back with the bytes.
    _space: Option<Space>,
}

impl Reply {
    /// A small one, of which nobody keeps count.
    fn new(answer: Answer, to: Recipient) -> io::Result<Self> {
        Ok(Reply {
            bytes: answer.encode(to)?,
            _space: None,
        })
    }

    fn crowded(to: Recipient) -> io::Result<Self> {
        Reply::new(Answer::failed(503, CROWDED), to)
    }

    /// What to send.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Makes answers.
pub(super) struct Desk {
    pages: Arc<Pages>,
    lists: Sender<Order>,
}

/// A list to be made.
struct Order {
    head: Head,
    to: Recipient,
    done: Sender<Reply>,
}

impl Desk {
    /// Starts the thread that makes lists.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(pages: Pages) -> io::Result<Self> {
        let pages = Arc::new(pages);
        let (lists, orders) = bounded(LISTS_WAITING_MAX);
        let maker = Arc::clone(&pages);
        thread::Builder::new()
            .name("monitor-lists".to_owned())
            .spawn(move || make_lists(&maker, &orders))?;
        Ok(Desk { pages, lists })
    }

    /// The answer to a request, as bytes for its sender.
    ///
    /// # Errors
    /// Making it failed; there is nothing to send.
    pub(super) fn answer(&self, head: &Head, to: Recipient) -> io::Result<Reply> {
        if !Pages::is_list(head) {
            return Reply::new(self.pages.answer(head), to);
        }
        let (done, made) = bounded(1);
        match self.lists.try_send(Order {
            head: head.clone(),
            to,
            done,
        }) {
            Ok(()) => made.recv().map_err(io::Error::other),
            Err(TrySendError::Full(_)) => Reply::crowded(to),
            Err(TrySendError::Disconnected(_)) => Err(io::ErrorKind::Other.into()),
        }
    }
}

fn make_lists(pages: &Pages, orders: &Receiver<Order>) {
    let room = Arc::new(Room::default());
    for Order { head, to, done } in orders {
        let make = || -> io::Result<Reply> {
            let bytes = pages.answer(&head).encode(to)?;
            match room.take(bytes.len(), ROOM_TIME_MAX) {
                Some(space) => Ok(Reply {
                    bytes,
                    _space: Some(space),
                }),
                None => Reply::crowded(to),
            }
        };
        match catch_unwind(AssertUnwindSafe(make)) {
            // Who asked has gone if it cannot be sent.
            Ok(Ok(reply)) => drop(done.try_send(reply)),
            Ok(Err(e)) => log::error!("A monitoring request failed: {e}"),
            Err(_) => log::error!("A monitoring request failed: internal error"),
        }
    }
}

/// Bytes that wait for their clients.
#[derive(Default)]
struct Room {
    untaken_bytes: Mutex<usize>,
    freed: Condvar,
}

impl Room {
    /// Waits until `bytes` fit in, or nothing else is there; `None` if that takes too long.
    fn take(self: &Arc<Self>, bytes: usize, time_max: Duration) -> Option<Space> {
        let is_full =
            |untaken: &mut usize| *untaken > 0 && untaken.saturating_add(bytes) > UNTAKEN_BYTES_MAX;
        let untaken = self
            .untaken_bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (mut untaken, wait) = self
            .freed
            .wait_timeout_while(untaken, time_max, is_full)
            .unwrap_or_else(PoisonError::into_inner);
        if wait.timed_out() {
            return None;
        }
        *untaken = untaken.saturating_add(bytes);
        Some(Space {
            room: Arc::clone(self),
            bytes,
        })
    }
}

/// Room taken, for as long as this lives.
struct Space {
    room: Arc<Room>,
    bytes: usize,
}

impl Drop for Space {
    fn drop(&mut self) {
        let mut untaken = self
            .room
            .untaken_bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *untaken = untaken.saturating_sub(self.bytes);
        self.room.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_share_the_room_and_a_single_one_may_be_larger() {
        let room = Arc::new(Room::default());
        let at_once = Duration::ZERO;
        let half = room.take(UNTAKEN_BYTES_MAX / 2, at_once).unwrap();
        let rest = room.take(UNTAKEN_BYTES_MAX / 2, at_once).unwrap();
        assert!(room.take(1, at_once).is_none());
        drop(half);
        assert!(room.take(UNTAKEN_BYTES_MAX, at_once).is_none());
        assert!(room.take(UNTAKEN_BYTES_MAX / 2, at_once).is_some());
        drop(rest);
        let huge = room.take(usize::MAX, at_once).unwrap();
        assert!(room.take(1, at_once).is_none());
        // Who waits is woken.
        let waiting = Arc::clone(&room);
        let waiter = thread::spawn(move || waiting.take(1, Duration::from_secs(10)).is_some());
        drop(huge);
        assert!(waiter.join().unwrap());
    }
}
