//! Who gets in: the listening socket, a fixed number of places, and who has to leave one.
//!
//! No more connections than places, one thread for each place, started once. When all are taken
//! a newcomer gets the place of whoever has been silent longest, so that idlers cannot keep an
//! operator out. Knows nothing of HTTP.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

/// Connections at once.
pub(super) const CONNECTIONS_MAX: usize = 32;
/// Stack of a thread that serves one.
const STACK_BYTES: usize = 256 * 1024;
/// First and longest pause after a failed accept.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Serves one connection; it ends when this returns. The last argument is when it was accepted.
pub(super) type Serve = dyn Fn(&TcpStream, &Seat<'_>, Instant) + Send + Sync;

/// Starts the threads and returns.
///
/// # Errors
/// A thread cannot be started.
pub(super) fn start(listener: TcpListener, serve: Arc<Serve>) -> io::Result<()> {
    let seats = Arc::new(Seats::default());
    for number in 0..CONNECTIONS_MAX {
        let (seats, serve) = (Arc::clone(&seats), Arc::clone(&serve));
        thread::Builder::new()
            .name(format!("monitor-{number}"))
            .stack_size(STACK_BYTES)
            .spawn(move || serve_arrivals(&seats, &*serve))?;
    }
    thread::Builder::new()
        .name("monitor".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || accept_all(&listener, &seats))
        .map(drop)
}

/// Accepts for as long as the process lives; a failure is waited out.
fn accept_all(listener: &TcpListener, seats: &Seats) {
    let mut pause = PAUSE_MIN;
    let mut next_id = 0;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                pause = PAUSE_MIN;
                next_id += 1;
                seats.admit(next_id, stream);
            }
            // The peer has gone again; it says nothing about us.
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                log::error!(
                    "Cannot accept a monitoring connection, trying again in {pause:?}: {e}"
                );
                thread::sleep(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

fn serve_arrivals(seats: &Seats, serve: &Serve) {
    loop {
        let (id, stream, accepted) = seats.next_arrival();
        let seat = Seat { seats, id };
        let served = catch_unwind(AssertUnwindSafe(|| serve(&stream, &seat, accepted)));
        if served.is_err() {
            log::error!("A monitoring request failed: internal error");
        }
        seats.leave(id);
    }
}

/// The places that are taken, longest first.
#[derive(Default)]
struct Seats {
    taken: Mutex<Vec<Taken>>,
    /// Somebody has come.
    arrived: Condvar,
}

struct Taken {
    id: u64,
    stream: Arc<TcpStream>,
    accepted: Instant,
    /// A thread has it.
    is_served: bool,
    /// From when on the place may be given to another; `None` while an answer is made.
    free_from: Option<Instant>,
}

impl Seats {
    /// Finds a place for a connection, if need be by taking it from another; closes the
    /// connection if nobody can be asked to leave.
    fn admit(&self, id: u64, stream: TcpStream) {
        let now = Instant::now();
        let mut taken = self.lock();
        if taken.len() >= CONNECTIONS_MAX {
            let free = taken
                .iter()
                .enumerate()
                .filter_map(|(at, t)| Some((t.free_from?, at)));
            let Some((_, at)) = free.filter(|&(from, _)| from <= now).min() else {
                return;
            };
            // Its thread, if it has one, reads the end and is free for the next.
            let _ = taken.remove(at).stream.shutdown(Shutdown::Both);
        }
        let stream = Arc::new(stream);
        taken.push(Taken {
            id,
            stream,
            accepted: now,
            is_served: false,
            free_from: Some(now),
        });
        self.arrived.notify_one();
    }

    /// Waits for a connection that no thread has yet.
    fn next_arrival(&self) -> (u64, Arc<TcpStream>, Instant) {
        let mut taken = self.lock();
        loop {
            if let Some(first) = taken.iter_mut().find(|taken| !taken.is_served) {
                first.is_served = true;
                return (first.id, Arc::clone(&first.stream), first.accepted);
            }
            taken = self
                .arrived
                .wait(taken)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn leave(&self, id: u64) {
        self.lock().retain(|taken| taken.id != id);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Taken>> {
        // Each change is a single step, so a panic cannot have left half of one.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a connection, as the one who serves it sees it.
pub(super) struct Seat<'a> {
    seats: &'a Seats,
    id: u64,
}

impl Seat<'_> {
    /// From `time` on this connection only waits for its client, and another may have its place.
    pub(super) fn wait_from(&self, time: Instant) {
        self.set(Some(time));
    }

    /// An answer is being made.
    pub(super) fn work(&self) {
        self.set(None);
    }

    fn set(&self, free_from: Option<Instant>) {
        if let Some(taken) = self
            .seats
            .lock()
            .iter_mut()
            .find(|taken| taken.id == self.id)
        {
            taken.free_from = free_from;
        }
    }
}
