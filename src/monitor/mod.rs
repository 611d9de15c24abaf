//! Monitoring: what the server tells about itself over HTTP.
//!
//! Pages, fields and texts are those of gnatsd 1.2.0, with what 2.x added where it costs nothing.
//! Owns its sockets and threads; no shard waits for any of them. Knows the server only by what
//! its shards answer (`ask.rs`) and by [`Facts`] that do not change.
//!
//! ```text
//!   guard.rs          conversation.rs      desk.rs          pages.rs         ask.rs
//!   accept, places -> heads in, answers -> where it is   -> which page    -> questions to
//!                     out (head.rs,        made             (varz.rs ...)    the shards
//!                     answer.rs)
//! ```
//!
//! # Bounds
//! 32 connections on as many threads, 8 KiB of head within 5 s, one list made at a time and
//! 32 MiB of them not yet taken, a page of 512 entries asked of a shard at once. A request that
//! fails, even by a panic, ends its own connection and nothing else.

mod answer;
mod ask;
mod connz;
mod conversation;
mod desk;
mod format;
mod guard;
mod head;
mod json;
mod line;
mod pages;
mod per_shard;
mod process;
mod query;
mod subsz;
mod target;
#[cfg(test)]
mod tests;
mod varz;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use gnatsd_core::engine::Limits;
use gnatsd_shards::Handle;

use crate::server::clock::Clock;
use crate::server::control::Control;
use crate::tls::TlsServer;
use ask::Ask;
use desk::Desk;
use pages::Pages;
use process::Cpu;

/// Body of the answer when a shard gave none.
const NOT_ANSWERED: &str = "a part of the server did not answer in time\n";

/// What does not change while the server runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// As in INFO.
    pub server_id: String,
    /// As in INFO.
    pub server_name: String,
    /// As in INFO.
    pub version: &'static str,
    /// What the server was built with; the name is the protocol's.
    pub go: String,
    /// Host that clients are told: the advertised one, else where the server listens.
    pub host: String,
    /// Port that clients are told: the advertised one, else the real one.
    pub port: u16,
    /// Host on which the server listens for clients.
    pub addr: String,
    /// Host of the monitoring port.
    pub http_host: String,
    /// Monitoring port as configured: -1 if any would do.
    pub http_port: i64,
    /// The same for HTTPS; one of them is 0.
    pub https_port: i64,
    /// Client connections allowed, as configured.
    pub max_connections: i64,
    /// Limits of every connection.
    pub limits: Limits,
    /// Time for a client to log in.
    pub auth_timeout: Duration,
    /// Time for a TLS handshake, if there are any.
    pub tls_timeout: Option<Duration>,
    /// As in INFO.
    pub auth_required: bool,
    /// As in INFO.
    pub tls_required: bool,
    /// As in INFO.
    pub tls_verify: bool,
    /// Turns the shards' times into the wall clock's.
    pub clock: Clock,
    /// Logical CPUs.
    pub cores: usize,
}

/// The monitoring port, not yet served.
#[derive(Debug)]
pub struct Monitor {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Monitor {
    /// Listens on `host`, on any free port if `port` is 0. An empty host and `0.0.0.0` mean every
    /// address of either family, as in Go.
    ///
    /// # Errors
    /// The host has no address here, or the port is taken.
    pub fn bind(host: &str, port: u16) -> io::Result<Monitor> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let listener = if matches!(host, "" | "0.0.0.0") {
            TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
                .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))?
        } else {
            TcpListener::bind((host, port))?
        };
        let addr = listener.local_addr()?;
        Ok(Monitor { listener, addr })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Starts to answer, on threads of its own that end with the process; over HTTPS if there is `tls`.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn serve(
        self,
        tls: Option<TlsServer>,
        facts: Facts,
        shards: Vec<Handle<Control>>,
    ) -> io::Result<()> {
        self.serve_from(tls, facts, Box::new(shards))
    }

    fn serve_from(self, tls: Option<TlsServer>, facts: Facts, ask: Box<dyn Ask>) -> io::Result<()> {
        let desk = Desk::start(Pages::new(facts, ask, Cpu::start()?))?;
        guard::start(
            self.listener,
            Arc::new(move |stream, seat, accepted| {
                // A connection that breaks is its client's affair.
                let _ = conversation::converse(stream, tls.as_ref(), seat, accepted, &desk);
            }),
        )
    }
}
