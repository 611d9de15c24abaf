//! Hostile and broken input: P1 to P6 of the test programme. Each case prints what it tried.
//!
//! What a wrong line gets is in `protocol`; here is how much of it there is, how it is cut, how
//! large it is and what it costs.

mod endless;
mod json;
mod malformed;
mod sizes;
mod splits;
mod subjects;
mod transcripts;

use std::fs;
use std::time::Duration;

use crate::support::{Server, wait_until};

/// Waits until the server has read everything that was sent to its port.
///
/// The kernel shows unread bytes of every socket, here by IPv4. What a server has read it handles
/// before it reads on, so the next bytes cannot be taken for a part of these.
#[track_caller]
fn wait_all_read(server: &Server) {
    let local = format!("0100007F:{:04X}", server.port());
    wait_until(Duration::from_secs(20), "the server has read all", || {
        let table = fs::read_to_string("/proc/net/tcp").expect("the table of TCP sockets");
        table.lines().all(|row| {
            let mut columns = row.split_whitespace().skip(1);
            let is_servers = columns.next() == Some(&local);
            // Remote address, state, then bytes to send and bytes to read.
            let has_read = columns
                .nth(2)
                .is_none_or(|queues| queues.ends_with(":00000000"));
            !is_servers || has_read
        })
    });
}
