//! Readers that take what comes and count its bytes: many connections, one thread, little time.
//!
//! For floods whose size is known in advance to the byte, so that no message need be looked at.

use std::io::{ErrorKind, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::event::{Timespec, epoll};

use super::client::RawClient;

/// Bytes of one read.
const READ_BYTES: usize = 256 * 1024;

/// Connections that one look at all of them tells of.
const EVENTS: usize = 256;

/// Time between two looks at whether it is over.
const GLANCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// Reads from all `clients` until told to stop, and adds up in `taken` how many bytes came. Nothing
/// must be unread in them before. Afterwards they are as they were.
///
/// # Panics
/// When the server ends one of them.
#[track_caller]
pub(crate) fn sink(clients: &[RawClient], taken: &AtomicU64, stop: &AtomicBool) {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
    for (at, client) in clients.iter().enumerate() {
        let stream = client.stream();
        stream.set_nonblocking(true).expect("set non-blocking");
        let data = epoll::EventData::new_u64(at as u64);
        epoll::add(&poll, stream, data, epoll::EventFlags::IN).expect("add to epoll");
    }
    let none = epoll::Event {
        flags: epoll::EventFlags::empty(),
        data: epoll::EventData::new_u64(0),
    };
    let (mut events, mut buffer) = (vec![none; EVENTS], vec![0; READ_BYTES]);
    while !stop.load(Ordering::Relaxed) {
        let count = epoll::wait(&poll, &mut events[..], Some(&GLANCE)).expect("wait for bytes");
        for event in &events[..count] {
            // The field of a packed structure cannot be borrowed.
            let data = event.data;
            let client = &clients[data.u64() as usize];
            match client.stream().read(&mut buffer) {
                Ok(0) => panic!("connection {} was ended", client.cid()),
                Ok(bytes) => taken.fetch_add(bytes as u64, Ordering::Relaxed),
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => panic!("connection {}: {error}", client.cid()),
            };
        }
    }
    for client in clients {
        let stream = client.stream();
        stream.set_nonblocking(false).expect("set blocking");
    }
}
