//! Bytes that the kernel holds for a server and the server has not read.
//!
//! Asked of the kernel's socket diagnosis: it is told which port, so that thousands of sockets of
//! others cost nothing. Where that is not to be had, the table of all sockets says the same, slower.

use std::fs;
use std::io;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// Type of the request, and of each answer. Source: Linux `include/uapi/linux/sock_diag.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// Types of answers that end a dump. Source: Linux `include/uapi/linux/netlink.h`.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Request, whole dump.
const FLAGS: u16 = 0x301;

/// Bytes of `struct nlmsghdr`, and of a request with `struct inet_diag_req_v2` in it.
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 56;

/// All states of a socket but TIME_WAIT, a bit for each.
const STATES: u32 = 0xfff & !(1 << 6);

/// Place of `idiag_rqueue` in `struct inet_diag_msg`. Source: Linux `include/uapi/linux/inet_diag.h`.
const UNREAD_AT: usize = HEADER_BYTES + 56;

/// Whether nothing waits to be read, or accepted, on the IPv4 sockets of this port.
pub(super) fn is_all_read(port: u16) -> bool {
    diagnosis(port).unwrap_or_else(|_| table(port))
}

fn diagnosis(port: u16) -> io::Result<bool> {
    let kernel = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    let mut request = Vec::with_capacity(REQUEST_BYTES);
    request.extend((REQUEST_BYTES as u32).to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(FLAGS.to_ne_bytes());
    // Sequence and sender do not matter to a socket that asks once. Then IPv4 and TCP.
    request.extend([0; 8]);
    request.extend([2, 6, 0, 0]);
    request.extend(STATES.to_ne_bytes());
    request.extend(port.to_be_bytes());
    request.resize(REQUEST_BYTES, 0);
    send(&kernel, &request, SendFlags::empty())?;
    let mut buffer = vec![0; 64 * 1024];
    let mut is_all_read = true;
    loop {
        let (count, _) = recv(&kernel, buffer.as_mut_slice(), RecvFlags::empty())?;
        let mut rest = &buffer[..count];
        while let Some((length, kind)) = header(rest) {
            match kind {
                NLMSG_DONE => return Ok(is_all_read),
                NLMSG_ERROR => return Err(io::ErrorKind::Unsupported.into()),
                _ => is_all_read &= number(rest, UNREAD_AT) == Some(0),
            }
            // Each one begins at a multiple of four.
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// Length and type of the first answer in `bytes`.
fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let length = usize::try_from(number(bytes, 0)?).ok()?;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    (length >= HEADER_BYTES).then_some((length, kind))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(four))
}

fn table(port: u16) -> bool {
    let local = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").expect("the table of TCP sockets");
    table.lines().all(|row| {
        let mut columns = row.split_whitespace().skip(1);
        let is_ours = columns.next() == Some(&local);
        // Remote address, state, then bytes to send and bytes to read.
        let has_read = columns
            .nth(2)
            .is_none_or(|queues| queues.ends_with(":00000000"));
        !is_ours || has_read
    })
}

#[test]
fn both_ways_see_what_is_unread() {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    if let Err(e) = diagnosis(port) {
        println!("no socket diagnosis: {e}");
    }
    let ways: [fn(u16) -> bool; 2] = [is_all_read, table];
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    for way in ways {
        assert!(way(port));
        client.write_all(b"abc").unwrap();
        assert!(!way(port));
        server.read_exact(&mut [0; 2]).unwrap();
        assert!(!way(port));
        server.read_exact(&mut [0; 1]).unwrap();
        assert!(way(port));
    }
}
