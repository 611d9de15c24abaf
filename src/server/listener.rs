//! The listening socket, made by us: no SO_REUSEPORT, so that a second server on the port
//! fails as it should, and dual-stack where Go binds it so.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

/// The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = i32::MAX;

/// A socket that holds its port and does not listen yet: a port that is taken shows before
/// anything else is started.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    port: u16,
}

impl Bound {
    /// Takes a port on a host; port -1 takes a free one.
    ///
    /// # Errors
    /// In Go's words, as scripts look for them: `listen tcp H:P: bind: address already in use`.
    pub fn bind(host: &str, port: i64) -> Result<Bound, String> {
        let shown = format!("{}:{port}", bracketed(host));
        let number = match port {
            -1 => 0,
            port => u16::try_from(port)
                .map_err(|_| format!("listen tcp: address {port}: invalid port"))?,
        };
        let bound = if is_any_v4(host) {
            bind_socket((Ipv6Addr::UNSPECIFIED, number).into(), true)
                .or_else(|_| bind_socket(SocketAddr::new([0, 0, 0, 0].into(), number), false))
        } else {
            let address = resolve(host, number)
                .map_err(|_| format!("listen tcp: lookup {host}: no such host"))?;
            bind_socket(address, false)
        };
        let socket = bound.map_err(|e| format!("listen tcp {shown}: bind: {}", error_text(&e)))?;
        let port = socket
            .local_addr()
            .ok()
            .and_then(|a| a.as_socket())
            .map(|a| a.port())
            .ok_or_else(|| format!("listen tcp {shown}: no local address"))?;
        Ok(Bound { socket, port })
    }

    /// The port taken.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts to listen.
    ///
    /// # Errors
    /// As the system says.
    pub fn listen(self) -> io::Result<TcpListener> {
        self.socket.listen(BACKLOG)?;
        Ok(self.socket.into())
    }
}

/// Hosts that mean every address of either family, as in Go.
fn is_any_v4(host: &str) -> bool {
    matches!(host, "" | "0.0.0.0")
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (host, port)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn bind_socket(address: SocketAddr, dual_stack: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// `host:port`, with an IPv6 address in brackets.
pub fn host_port(host: &str, port: impl std::fmt::Display) -> String {
    format!("{}:{port}", bracketed(host))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// An error of the system in Go's form: lower case, without number.
pub fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn any_host_takes_both_families_and_its_port_once() {
        let bound = Bound::bind("0.0.0.0", -1).unwrap();
        let port = bound.port();
        let _listener = bound.listen().unwrap();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        // A machine without IPv6 has only the other family.
        if TcpListener::bind("[::1]:0").is_ok() {
            TcpStream::connect(("::1", port)).unwrap();
        }
        for host in ["0.0.0.0", "127.0.0.1"] {
            assert_eq!(
                Bound::bind(host, port.into()).unwrap_err(),
                format!("listen tcp {host}:{port}: bind: address already in use")
            );
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(
            Bound::bind("127.0.0.1", 70000).unwrap_err(),
            "listen tcp: address 70000: invalid port"
        );
        assert_eq!(
            Bound::bind("no.such.host.invalid", 1).unwrap_err(),
            "listen tcp: lookup no.such.host.invalid: no such host"
        );
        assert_eq!(host_port("::1", 5), "[::1]:5");
    }
}
