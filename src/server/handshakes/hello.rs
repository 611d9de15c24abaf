//! The first record of a client, as far as it has come, before anything is done for it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

/// First byte of a TLS handshake record.
const RECORD_HANDSHAKE: u8 = 0x16;
/// From here on the second byte is no version of TLS.
const VERSION_END: u8 = 0x10;
/// Bytes of a record in front of its content: type, version, length.
const HEADER_BYTES: usize = 5;
/// Most bytes that are kept here. Hellos have some hundred, or some thousand with a large ticket or key share; of a
/// longer one a session takes what there is.
const KEPT_MAX: usize = 4096;

/// The beginning of a first record whose end has not come; empty, and without memory, otherwise.
#[derive(Debug, Default)]
pub(super) struct Hello {
    bytes: Vec<u8>,
}

/// What a client has sent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// Nothing new.
    Nothing,
    /// Something new, and not all of a record. What there was has been taken from the socket: left there, it would
    /// make the socket readable for ever.
    Part,
    /// All that a session needs to begin: a record, a long one's beginning, or what it will not take for TLS.
    Ready,
    /// Not TLS. It has been left where it is.
    Clear,
    /// The end, or none that anybody will see.
    End,
}

impl Hello {
    /// Bytes of memory.
    pub(super) fn kept(&self) -> usize {
        self.bytes.capacity()
    }

    /// Looks at what the socket has. In most cases that is a whole record, which stays there.
    pub(super) fn look(&mut self, stream: &TcpStream) -> First {
        if is_enough(&self.bytes) {
            return First::Ready;
        }
        let mut buffer = [0; KEPT_MAX];
        let kept = self.bytes.len();
        let room = &mut buffer[kept..];
        let result = match kept {
            0 => stream.peek(room),
            _ => (&*stream).read(room),
        };
        let len = match result {
            Ok(0) => return First::End,
            Ok(len) => len,
            Err(error) if is_blocked(&error) => return First::Nothing,
            Err(_) => return First::End,
        };
        let new = &room[..len];
        if kept == 0 {
            if new.first() != Some(&RECORD_HANDSHAKE) {
                return First::Clear;
            }
            if is_enough(new) {
                return First::Ready;
            }
            // More may have come by now; it is found at the next look.
            if !matches!((&*stream).read(&mut room[..len]), Ok(n) if n == len) {
                return First::End;
            }
        }
        self.bytes.reserve_exact(len);
        self.bytes.extend_from_slice(&room[..len]);
        if is_enough(&self.bytes) {
            First::Ready
        } else {
            First::Part
        }
    }
}

/// Whether the socket has nothing to be read, not even its end.
pub(super) fn is_silent(stream: &TcpStream) -> bool {
    matches!(stream.peek(&mut [0]), Err(error) if is_blocked(&error))
}

fn is_blocked(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Whether a session has something to do with these first bytes.
fn is_enough(bytes: &[u8]) -> bool {
    match *bytes {
        [_, major, ..] if major >= VERSION_END => true,
        [_, _, _, high, low, ..] => {
            let len = HEADER_BYTES + usize::from(u16::from_be_bytes([high, low]));
            bytes.len() >= len || len > KEPT_MAX
        }
        _ => false,
    }
}

/// A socket whose first bytes may have been taken from it, and whether a call has moved any.
#[derive(Debug)]
pub(super) struct Wire<'a> {
    pub(super) hello: &'a mut Hello,
    pub(super) stream: &'a TcpStream,
    pub(super) has_moved: bool,
}

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let first = &mut self.hello.bytes;
        let len = if first.is_empty() {
            self.stream.read(into)?
        } else {
            let len = first.len().min(into.len());
            into[..len].copy_from_slice(&first[..len]);
            first.drain(..len);
            if first.is_empty() {
                *first = Vec::new();
            }
            len
        };
        self.has_moved |= len > 0;
        Ok(len)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.stream.write(bytes)?;
        self.has_moved |= len > 0;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Shutdown, TcpListener};
    use std::time::{Duration, Instant};

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client =
            TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
        client.set_nodelay(true).expect("no delay");
        let (server, _) = listener.accept().expect("accept");
        server.set_nonblocking(true).expect("non-blocking");
        (client, server)
    }

    /// Looks until there is something new.
    fn look(hello: &mut Hello, server: &TcpStream) -> First {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            match hello.look(server) {
                First::Nothing => assert!(Instant::now() < end, "nothing came"),
                first => return first,
            }
            std::thread::yield_now();
        }
    }

    fn record(content: usize) -> Vec<u8> {
        let len = u16::try_from(content).expect("a length").to_be_bytes();
        let mut record = vec![RECORD_HANDSHAKE, 3, 1, len[0], len[1]];
        record.resize(HEADER_BYTES + content, 7);
        record
    }

    #[test]
    fn a_record_in_pieces_is_kept_until_it_is_whole() {
        let (mut client, server) = pair();
        let mut hello = Hello::default();
        assert_eq!(hello.look(&server), First::Nothing);
        assert!(is_silent(&server));
        let sent = record(300);
        for piece in [&sent[..1], &sent[1..4], &sent[4..200]] {
            client.write_all(piece).expect("send");
            assert_eq!(look(&mut hello, &server), First::Part);
            // A socket with something in it would be ready at once, again and again.
            assert_eq!(hello.look(&server), First::Nothing);
            assert!(is_silent(&server) && hello.kept() > 0);
        }
        client.write_all(&sent[200..]).expect("send");
        assert_eq!(look(&mut hello, &server), First::Ready);
        assert_eq!(hello.look(&server), First::Ready, "and stays so");
        let mut wire = Wire {
            hello: &mut hello,
            stream: &server,
            has_moved: false,
        };
        let mut read = vec![0; 1000];
        assert_eq!(wire.read(&mut read).expect("what was kept"), sent.len());
        assert_eq!(read[..sent.len()], sent[..]);
        assert!(wire.has_moved);
        wire.has_moved = false;
        let error = wire.read(&mut read).expect_err("nothing more");
        assert!(error.kind() == ErrorKind::WouldBlock && !wire.has_moved);
        assert_eq!(hello.kept(), 0);
    }

    #[test]
    fn what_a_session_can_begin_with_stays_in_the_socket() {
        let long = record(KEPT_MAX);
        for sent in [
            &record(300)[..],
            &record(KEPT_MAX - HEADER_BYTES),
            &long[..HEADER_BYTES],
            &[22, 0x47],
        ] {
            let (mut client, server) = pair();
            let mut hello = Hello::default();
            client.write_all(sent).expect("send");
            assert_eq!(look(&mut hello, &server), First::Ready, "{}", sent.len());
            assert_eq!(hello.kept(), 0);
            assert_eq!(server.peek(&mut [0; 8192]).expect("bytes"), sent.len());
        }
    }

    #[test]
    fn other_beginnings_and_ends() {
        let (mut client, server) = pair();
        let mut hello = Hello::default();
        client.write_all(b"CONNECT").expect("send");
        assert_eq!(look(&mut hello, &server), First::Clear);
        assert_eq!(server.peek(&mut [0; 100]).expect("bytes"), 7);
        let (mut client, server) = pair();
        client.write_all(&[22, 3]).expect("send");
        assert_eq!(look(&mut hello, &server), First::Part);
        client.shutdown(Shutdown::Write).expect("shut down");
        assert_eq!(look(&mut hello, &server), First::End);
    }
}
