//! Whether a client still waits for the answer to its login.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What is left of a client whose login waits for its hash. Its connection is not read meanwhile, so nobody else
/// sees it go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It waits.
    There,
    /// It sends no more. What it has sent counts as long as it did not break off, so its login is not in vain: it may
    /// have published, or read on.
    Leaving,
    /// The connection has broken, or has been ended here.
    Gone,
}

impl Presence {
    /// Looks at a connected TCP socket; one system call that waits for nothing. What is unread, and TLS, make no
    /// difference. A socket that cannot be asked is taken for one that waits.
    pub fn of(socket: impl AsFd) -> Self {
        let mut asked = [PollFd::new(&socket, PollFlags::RDHUP)];
        let at_once = Timespec::default();
        if poll(&mut asked, Some(&at_once)).is_err() {
            return Presence::There;
        }
        let [told] = asked.map(|fd| fd.revents());
        if told.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            Presence::Gone
        } else if told.contains(PollFlags::RDHUP) {
            Presence::Leaving
        } else {
            Presence::There
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn expect(server: &TcpStream, expected: Presence) {
        let begin = Instant::now();
        while Presence::of(server) != expected {
            assert!(begin.elapsed() < Duration::from_secs(10), "{expected:?}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_client_that_waits_whatever_it_has_sent() {
        let (mut client, server) = pair();
        assert_eq!(Presence::of(&server), Presence::There);
        client.write_all(b"PING").unwrap();
        server.peek(&mut [0; 4]).unwrap();
        assert_eq!(Presence::of(&server), Presence::There);
    }

    #[test]
    fn a_client_that_has_sent_its_last() {
        for closes in [false, true] {
            let (mut client, server) = pair();
            client.write_all(b"PUB a 0\r\n\r\n").unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let client = (!closes).then_some(client);
            // With what it sent unread, and on a descriptor of its own.
            expect(&server.try_clone().unwrap(), Presence::Leaving);
            drop(client);
        }
    }

    #[test]
    fn a_client_that_breaks_off() {
        let (client, mut server) = pair();
        server.write_all(b"INFO").unwrap();
        client.peek(&mut [0; 4]).unwrap();
        // What is unread makes a reset of a close.
        drop(client);
        expect(&server, Presence::Gone);
        assert!(server.read(&mut [0; 4]).is_err());
    }

    #[test]
    fn a_connection_that_was_ended_here() {
        let (_client, server) = pair();
        let other = server.try_clone().unwrap();
        server.shutdown(Shutdown::Both).unwrap();
        drop(server);
        expect(&other, Presence::Gone);
    }
}
