//! Many connections on one thread: each is sent something, and what it is told is noted with the time.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Pause between two looks at all of them.
const PAUSE: Duration = Duration::from_millis(2);

/// One connection of a crowd.
#[derive(Debug)]
pub(crate) struct Member {
    stream: TcpStream,
    /// When it was made.
    since: Instant,
    /// Everything it was told.
    told: Vec<u8>,
    /// From the beginning to the first word behind INFO.
    pub(crate) answered: Option<Duration>,
    /// From the beginning to the end of the connection.
    pub(crate) ended: Option<Duration>,
}

impl Member {
    /// Connects, and sends these bytes.
    ///
    /// # Panics
    /// When there is no connection.
    #[track_caller]
    pub(crate) fn open(address: SocketAddr, bytes: &[u8]) -> Self {
        let stream = TcpStream::connect(address);
        let stream = stream.unwrap_or_else(|e| panic!("connect {address}: {e}"));
        stream.set_nonblocking(true).expect("set O_NONBLOCK");
        let mut member = Self {
            stream,
            since: Instant::now(),
            told: Vec::new(),
            answered: None,
            ended: None,
        };
        member.send(bytes);
        member
    }

    /// Sends bytes that a socket surely has room for, unless the server has closed.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // Whoever has been closed is told nothing any more; its end is noted elsewhere.
        let _ = self.stream.write(bytes);
    }

    /// What it was told behind INFO.
    pub(crate) fn answer(&self) -> &[u8] {
        let is_greeted = self.told.starts_with(b"INFO ");
        let end = self.told.iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) if is_greeted => &self.told[end + 1..],
            _ if is_greeted => &[],
            _ => &self.told,
        }
    }

    fn look(&mut self) {
        let mut buffer = [0; 4096];
        while self.ended.is_none() {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = Some(self.since.elapsed()),
                Ok(count) => self.told.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.ended = Some(self.since.elapsed()),
            }
        }
        if self.answered.is_none() && !self.answer().is_empty() {
            self.answered = Some(self.since.elapsed());
        }
    }
}

/// Looks at all of them once.
pub(crate) fn look_at(members: &mut [Member]) {
    for member in members.iter_mut().filter(|member| member.ended.is_none()) {
        member.look();
    }
}

/// Looks at all of them until all have ended, and calls `meanwhile` between two looks.
///
/// # Panics
/// When one has not ended within `limit`.
#[track_caller]
pub(crate) fn watch_all(
    members: &mut [Member],
    limit: Duration,
    mut meanwhile: impl FnMut(&mut [Member]),
) {
    let begin = Instant::now();
    loop {
        look_at(members);
        let left = members.iter().filter(|m| m.ended.is_none()).count();
        if left == 0 {
            return;
        }
        assert!(begin.elapsed() < limit, "{left} open after {limit:?}");
        meanwhile(members);
        thread::sleep(PAUSE);
    }
}

/// The shortest and the longest of these times.
///
/// # Panics
/// When there is none.
pub(crate) fn bounds(times: impl Iterator<Item = Duration> + Clone) -> (Duration, Duration) {
    let least = times.clone().min().expect("a time");
    (least, times.max().expect("a time"))
}
