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
pub(crate) mod transcripts;
mod unread;

use std::time::Duration;

use crate::support::{Server, wait_until};

/// Waits until the server has read everything that was sent to its port.
///
/// What a server has read it handles before it reads on, so the next bytes cannot be taken for a part
/// of these.
#[track_caller]
fn wait_all_read(server: &Server) {
    wait_until(Duration::from_secs(20), "the server has read all", || {
        unread::is_all_read(server.port())
    });
}
