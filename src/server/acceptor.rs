//! The thread that owns the listening socket: accepts, counts, and gives each connection to
//! the shard with the fewest.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gnatsd_shards::Handle;
use socket2::{SockRef, TcpKeepalive};

use super::control::{Accepted, Control};
use super::listener::error_text;

/// First pause after a failed accept; doubles up to [`PAUSE_MAX`]. Source: gnatsd 1.2.0.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Time between two looks during a pause.
const GLANCE: Duration = Duration::from_millis(50);
/// Keepalive probes, as Go sets them on every connection it accepts.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Open connections of each shard. The acceptor adds, the shards take away.
#[derive(Debug)]
pub struct OpenCounts {
    shards: Vec<AtomicUsize>,
}

impl OpenCounts {
    /// Zeros for so many shards.
    pub fn new(shards: usize) -> Self {
        OpenCounts {
            shards: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// A counted connection of a shard has ended.
    pub fn ended(&self, shard: usize) {
        if let Some(count) = self.shards.get(shard) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn total(&self) -> usize {
        self.shards.iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }

    fn emptiest(&self) -> usize {
        let loads = self
            .shards
            .iter()
            .map(|n| n.load(Ordering::Relaxed))
            .enumerate();
        loads.min_by_key(|&(_, n)| n).map_or(0, |(shard, _)| shard)
    }
}

/// Accepts for as long as the listener lives.
#[derive(Debug)]
pub struct Acceptor {
    /// Connections that may be open at once; `None` for no limit.
    pub connections_max: Option<usize>,
    /// Counters shared with the shards.
    pub counts: Arc<OpenCounts>,
    /// The shards.
    pub shards: Vec<Handle<Control>>,
    /// Id of the next connection. The first one is 1.
    pub next_cid: u64,
}

impl Acceptor {
    /// Starts the thread. It ends when the listener is shut down.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn spawn(self, listener: TcpListener) -> io::Result<JoinHandle<()>> {
        thread::Builder::new()
            .name("acceptor".to_owned())
            .spawn(move || self.run(&listener))
    }

    fn run(mut self, listener: &TcpListener) {
        let mut pause = PAUSE_MIN;
        // The pause that was logged last: each step once.
        let mut noted = None;
        loop {
            match listener.accept() {
                Ok((stream, peer)) => {
                    pause = PAUSE_MIN;
                    noted = None;
                    self.hand_over(stream, peer);
                }
                // The listener was shut down.
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => return,
                // The peer gave up before we came.
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                    ) => {}
                Err(e) => {
                    if noted != Some(pause) {
                        noted = Some(pause);
                        let (text, millis) = (error_text(&e), pause.as_millis());
                        log::error!("Temporary Client Accept Error ({text}), sleeping {millis}ms");
                    }
                    self.rest(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Sleeps, but no longer than until a connection has ended: it leaves a descriptor.
    fn rest(&self, pause: Duration) {
        let open = self.counts.total();
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.counts.total() < open {
                return;
            }
            thread::sleep(left.min(GLANCE));
        }
    }

    fn hand_over(&mut self, stream: TcpStream, peer: SocketAddr) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if let Err(e) = prepare(&stream) {
            log::error!("{peer} - cannot prepare connection: {}", error_text(&e));
            return;
        }
        let is_refused = self
            .connections_max
            .is_some_and(|max| self.counts.total() >= max);
        let shard = self.counts.emptiest();
        let Some(handle) = self.shards.get(shard) else {
            return;
        };
        if !is_refused && let Some(count) = self.counts.shards.get(shard) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let cid = self.next_cid;
        self.next_cid += 1;
        // A shard that has ended takes the process with it; there is nobody to tell.
        let _ = handle.send(Control::Open(Accepted {
            stream,
            cid,
            peer,
            is_refused,
        }));
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emptiest_shard_is_next_and_ends_count() {
        let counts = OpenCounts::new(3);
        let accept = || {
            let shard = counts.emptiest();
            counts.shards[shard].fetch_add(1, Ordering::Relaxed);
            shard
        };
        let burst: Vec<usize> = (0..7).map(|_| accept()).collect();
        assert_eq!(burst, [0, 1, 2, 0, 1, 2, 0]);
        // Loads are 3, 2, 2; then 3, 2, 0.
        counts.ended(2);
        counts.ended(2);
        let refilled: Vec<usize> = (0..4).map(|_| accept()).collect();
        assert_eq!((refilled, counts.total()), (vec![2, 2, 1, 2], 9));
        counts.ended(3);
        assert_eq!(counts.total(), 9, "there is no such shard");
    }
}
