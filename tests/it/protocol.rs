//! The client protocol as a client sees it: literal bytes out, literal bytes back.
//!
//! Rules are those of gnatsd 1.2.0, with headers and no-responders of 2.x. What a line looks like
//! when it is right is in the modules of its operation, what happens when it is wrong in `lines`.

mod connect;
mod headers;
mod info;
mod limits;
mod lines;
mod matching;
mod no_responders;
mod order;
mod pings;
mod publish;
mod queues;
mod reasons;
mod subscribe;
mod unsubscribe;

use std::time::Duration;

use crate::support::{RawClient, Server, both_drivers};

/// How long a log line may take to appear after what caused it.
const LOG_LIMIT: Duration = Duration::from_secs(5);

/// Waits for an `[ERR]` line of this connection that begins with `text`.
#[track_caller]
fn wait_error_line(server: &Server, client: &RawClient, text: &str) {
    let (port, cid) = (client.local_port(), client.cid());
    server.wait_log(
        &format!("[ERR] 127.0.0.1:{port} - cid:{cid} - {text}"),
        LOG_LIMIT,
    );
}

both_drivers! {
    /// The session of the README, typed line by line.
    fn telnet_session(driver) {
        let server = Server::start(driver);
        let mut telnet = server.bare_client();
        telnet.send("SUB foo 1\r\n");
        telnet.expect("+OK\r\n");
        telnet.send("PUB foo 11\r\n");
        telnet.send("Hello World\r\n");
        telnet.expect("+OK\r\nMSG foo 1 11\r\nHello World\r\n");
        telnet.ping();
    }
}
