//! TLS for listeners: configuration by Go's names, and the server side of one connection.
//!
//! Home of rustls and x509-parser; nothing else names them. Does no I/O of its own: a [`Session`] is given the
//! socket with each call, and the memory for ciphertext and plaintext ([`Scratch`]), of which a shard needs one.
//! Knows nothing of NATS, so that other listeners can use it: each has a [`TlsServer`] with ticket keys of its
//! own.
//!
//! ```text
//!   TlsOptions -> TlsServer (once per listener) -> Session (per connection): handshake*, receive*, send*
//! ```

mod failure;
mod identity;
mod names;
mod options;
mod records;
mod scratch;
mod server;
mod session;
#[cfg(test)]
mod tests;
mod traffic;

pub use identity::PeerNames;
pub use names::{CIPHER_NAMES, CURVE_NAMES, check_names};
pub use options::{HANDSHAKE_FIRST_AUTO, HandshakeFirst, TlsOptions};
pub use scratch::{SEND_BYTES_MAX, Scratch};
pub use server::TlsServer;
pub use session::{Session, Step};
