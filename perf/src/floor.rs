//! The floor: what it costs to move the bytes and do nothing with them.
//!
//! One epoll loop that reads up to 256 KiB from a publisher and writes the same to every subscriber. It answers
//! CONNECT, SUB and PING so that the generator can talk to it, and says so in INFO; the generator then sends
//! the bytes a subscriber is to get, because nothing here turns `PUB` into `MSG`. No server that parses can
//! be below this, whatever it does.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::Result;

/// One read, in bytes. Of 16 KiB to 512 KiB this was the cheapest with payloads of 16 B to 16 KiB; with 64 KiB
/// and large payloads the relay cost more than a server that parses.
const READ_BYTES: usize = 256 * 1024;

/// Key of the listener among the connections.
const LISTENER: u64 = u64::MAX;

const INFO: &[u8] = b"INFO {\"server_id\":\"floor\",\"version\":\"2.0.0\",\"proto\":1,\"floor\":true,\"max_payload\":1048576} \r\n";

const PING: &[u8] = b"PING\r\n";

/// A connection.
struct Relayed {
    stream: TcpStream,
    is_subscriber: bool,
    /// The last bytes of a publisher, to find a PING that two reads have split.
    tail: Vec<u8>,
}

/// Serves on 127.0.0.1 until it is killed.
///
/// # Errors
/// The port is taken, or epoll fails.
pub(crate) fn serve(port: u16) -> Result<()> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|e| format!("port {port}: {e}"))?;
    let poller = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(
        &poller,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    let mut connections: BTreeMap<u64, Relayed> = BTreeMap::new();
    let mut next_key = 0;
    let mut buffer = vec![0; READ_BYTES];
    let mut events: Vec<Event> = Vec::with_capacity(64);
    loop {
        events.clear();
        match epoll::wait(&poller, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(format!("epoll: {e}").into()),
        }
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                epoll::add(
                    &poller,
                    &stream,
                    EventData::new_u64(next_key),
                    EventFlags::IN,
                )?;
                let mut relayed = Relayed {
                    stream,
                    is_subscriber: false,
                    tail: Vec::new(),
                };
                // A peer that left at once is noticed when it is read.
                let _ = relayed.stream.write_all(INFO);
                connections.insert(next_key, relayed);
                next_key += 1;
            } else if !relay(key, &mut connections, &mut buffer) {
                // Closing the descriptor takes it out of epoll.
                connections.remove(&key);
            }
        }
    }
}

/// One read of one connection and what follows from it; false when the connection ends.
fn relay(key: u64, connections: &mut BTreeMap<u64, Relayed>, buffer: &mut [u8]) -> bool {
    let Some(source) = connections.get_mut(&key) else {
        return true;
    };
    let bytes = match source.stream.read(buffer) {
        Ok(0) => return false,
        Ok(count) => &buffer[..count],
        Err(e) => return e.kind() == ErrorKind::Interrupted,
    };
    let asks = source.take_control(bytes);
    if !source.is_subscriber && !asks && !bytes.starts_with(b"CONNECT") {
        // A subscriber that left is noticed when it is read.
        for target in connections
            .values_mut()
            .filter(|target| target.is_subscriber)
        {
            let _ = target.stream.write_all(bytes);
        }
    }
    let source = connections.get_mut(&key).filter(|_| asks);
    source.is_none_or(|source| source.stream.write_all(b"PONG\r\n").is_ok())
}

impl Relayed {
    /// Looks for SUB at the start and PING at the end; true when a PONG is due.
    ///
    /// The generator sends PING only behind whole messages, and its payloads hold none.
    fn take_control(&mut self, bytes: &[u8]) -> bool {
        self.is_subscriber |= bytes.starts_with(b"SUB ");
        let keep = bytes.len().min(PING.len());
        self.tail.extend_from_slice(&bytes[bytes.len() - keep..]);
        let surplus = self.tail.len().saturating_sub(PING.len());
        self.tail.drain(..surplus);
        self.tail == PING
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::{self, Load, Stop};
    use std::thread;

    #[test]
    fn the_generator_gets_its_messages_back() {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        thread::spawn(move || serve(port).map_err(|e| e.to_string()));
        let load = Load {
            server: format!("127.0.0.1:{port}").into(),
            stop: Stop::Messages(20_000),
            ..Load::default()
        };
        while TcpStream::connect(&load.server.address).is_err() {
            thread::yield_now();
        }
        for (name, counted) in [
            ("1to1:16", 20_000),
            ("fanout3:100", 60_000),
            ("pub:1000", 20_000),
        ] {
            let outcome = scenarios::run(&name.parse().unwrap(), &load).unwrap();
            assert_eq!(outcome.counted, counted, "{name}");
            assert_eq!(outcome.published, 20_000, "{name}");
        }
        for name in ["pairs2:16", "fanin2:16", "reqrep:16"] {
            assert!(
                scenarios::run(&name.parse().unwrap(), &load).is_err(),
                "{name}"
            );
        }
    }
}
