//! Stand-in until the real one is written over it.
#![allow(missing_docs)]
use crate::server::{clock::Clock, control::Control};
use gnatsd_shards::Handle;
use std::{io, net::SocketAddr};
pub struct Facts { pub server_id: String, pub server_name: String, pub version: &'static str, pub go: String, pub host: String, pub port: u16, pub addr: String, pub http_host: String, pub http_port: i64, pub max_connections: i64, pub limits: gnatsd_core::engine::Limits, pub clock: Clock, pub cores: usize }
pub struct Monitor(SocketAddr);
impl Monitor {
    pub fn bind(_: &str, _: u16) -> io::Result<Monitor> { Err(io::ErrorKind::Unsupported.into()) }
    pub fn local_addr(&self) -> SocketAddr { self.0 }
    pub fn serve(self, _: Facts, _: Vec<Handle<Control>>) -> io::Result<()> { Ok(()) }
}
