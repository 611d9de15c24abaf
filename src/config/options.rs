//! The options of a server, resolved: typed, with every default filled in.
//!
//! Owns what a value must be to be accepted, whichever way it comes. Knows neither flags nor
//! files; `cli.rs` and `file.rs` call in here.

use std::path::PathBuf;
use std::time::Duration;

use gnatsd_core::conf::parse_go_duration;
use gnatsd_core::engine::{Limits, SHARDS_MAX};
use gnatsd_shards::DriverChoice;

use super::error::Reason;
pub use crate::auth::{Authorization, UserEntry};
pub use crate::tls::{HandshakeFirst, TlsOptions};

/// Address listened on by default: all of the machine. Source: gnatsd 1.2.0.
pub const HOST_DEFAULT: &str = "0.0.0.0";

/// Port for clients by default. Source: gnatsd 1.2.0.
pub const PORT_DEFAULT: i32 = 4222;

/// Port that stands for one the system picks.
pub const PORT_RANDOM: i32 = -1;

/// Client connections by default. Source: gnatsd 1.2.0.
pub const CONNECTIONS_MAX_DEFAULT: i64 = 64 * 1024;

/// Everything a server can be told, as it will run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Address or name to listen on for clients, without brackets.
    pub host: String,
    /// Port for clients, 1 to 65535, or [`PORT_RANDOM`].
    pub port: i32,
    /// Address that other servers and clients are told instead of the one listened on.
    pub client_advertise: Option<Advertise>,
    /// Address or name to listen on for monitoring.
    pub http_host: String,
    /// Port for monitoring, 0 for none, or [`PORT_RANDOM`].
    pub http_port: i32,
    /// Port for monitoring over HTTPS, likewise; not both.
    pub https_port: i32,
    /// File to write the process id to.
    pub pid_file: Option<PathBuf>,
    /// File to append the log to instead of writing it to standard error.
    pub log_file: Option<PathBuf>,
    /// Log debug lines.
    pub debug: bool,
    /// Log every protocol line.
    pub trace: bool,
    /// Begin log lines with the time.
    pub logtime: bool,
    /// The time of log lines is UTC instead of local time.
    pub logtime_utc: bool,
    /// Name of the server in INFO and monitoring; `None` for its id.
    pub server_name: Option<String>,
    /// Number of shards, 1 to [`SHARDS_MAX`]; `None` for one on each CPU the process may use.
    pub cores: Option<usize>,
    /// How shards wait for their sockets.
    pub driver: DriverChoice,
    /// The file these options were read from, if any.
    pub config_file: Option<PathBuf>,
    /// Client connections at once; negative means no limit, never 0.
    pub max_connections: i64,
    /// What each connection may use.
    pub limits: Limits,
    /// Who may log in, and to do what.
    pub authorization: Authorization,
    /// TLS for clients; `None` for none.
    pub tls: Option<TlsOptions>,
    /// With TLS: clients may do without it.
    pub allow_non_tls: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            host: HOST_DEFAULT.to_owned(),
            port: PORT_DEFAULT,
            client_advertise: None,
            http_host: HOST_DEFAULT.to_owned(),
            http_port: 0,
            https_port: 0,
            pid_file: None,
            log_file: None,
            debug: false,
            trace: false,
            logtime: true,
            logtime_utc: false,
            server_name: None,
            cores: None,
            driver: DriverChoice::Auto,
            config_file: None,
            max_connections: CONNECTIONS_MAX_DEFAULT,
            limits: Limits::default(),
            authorization: Authorization::default(),
            tls: None,
            allow_non_tls: false,
        }
    }
}

/// The driver named by `text`, as the runtime knows it.
pub(super) fn driver(text: &str) -> Result<DriverChoice, Reason> {
    text.parse().map_err(|_| Reason::Driver(text.to_owned()))
}

/// An advertised address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// Address or name, without brackets.
    pub host: String,
    /// Port; `None` for the one listened on.
    pub port: Option<u16>,
}

impl Advertise {
    /// Reads `host`, `host:port` or `[v6]:port`; a port of 0 or -1 is that of the listener.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, Reason> {
        let refuse = |why| Reason::Advertise {
            text: text.to_owned(),
            why,
        };
        if text.is_empty() {
            return Ok(None);
        }
        let (host, port) = match split_address(text) {
            Some(parts) => parts,
            None if text.contains(':') && !text.starts_with('[') => {
                return Err(refuse("too many colons in address"));
            }
            None => (text.trim_start_matches('[').trim_end_matches(']'), "0"),
        };
        let port = match port.parse::<i32>() {
            Ok(0 | PORT_RANDOM) => None,
            Ok(number) => Some(u16::try_from(number).map_err(|_| refuse("invalid port"))?),
            Err(_) => return Err(refuse("invalid port")),
        };
        if host.is_empty() {
            return Err(refuse("missing host in address"));
        }
        Ok(Some(Advertise {
            host: host.to_owned(),
            port,
        }))
    }
}

/// Splits at the last colon. An address with colons of its own needs brackets.
pub(super) fn split_address(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(inner) => Some((inner.strip_suffix(']')?, port)),
        None if host.contains([':', '[', ']']) => None,
        None => Some((host, port)),
    }
}

/// An address to listen on: a host, unless empty, and a port.
pub(super) fn parse_listen(text: &str) -> Result<(Option<String>, i64), Reason> {
    let (host, port) = split_address(text).ok_or_else(|| Reason::AddressForm(text.to_owned()))?;
    let port = port
        .parse()
        .map_err(|_| Reason::PortForm(port.to_owned()))?;
    Ok(((!host.is_empty()).then(|| host.to_owned()), port))
}

/// A port as listeners take it: -1 to 65535.
pub(super) fn port(number: i64) -> Result<i32, Reason> {
    if !(-1..=65535).contains(&number) {
        return Err(Reason::PortRange(number));
    }
    i32::try_from(number).map_err(|_| Reason::PortRange(number))
}

/// A port for clients, where 0 is the default.
pub(super) fn client_port(number: i64) -> Result<i32, Reason> {
    Ok(match port(number)? {
        0 => PORT_DEFAULT,
        port => port,
    })
}

/// A host, where empty is the default.
pub(super) fn host(text: &str) -> String {
    if text.is_empty() {
        HOST_DEFAULT.to_owned()
    } else {
        text.to_owned()
    }
}

/// A path, where empty is none.
pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

/// A server name, where empty is none. Names with blanks would break log lines and queries.
pub(super) fn server_name(text: &str) -> Result<Option<String>, Reason> {
    if text.contains(char::is_whitespace) {
        return Err(Reason::ServerName);
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// A number of shards. More than there are CPUs is the operator's affair.
pub(super) fn cores(number: i64) -> Result<Option<usize>, Reason> {
    match usize::try_from(number) {
        Ok(count) if (1..=usize::from(SHARDS_MAX)).contains(&count) => Ok(Some(count)),
        _ => Err(Reason::Cores(number)),
    }
}

/// A number that fits `T`, where 0 is the default.
pub(super) fn positive_or<T: TryFrom<i64>>(number: i64, default: T) -> Result<T, Reason> {
    match number {
        0 => Ok(default),
        ..0 => Err(Reason::Negative(number)),
        _ => T::try_from(number).map_err(|_| Reason::TooLarge(number)),
    }
}

/// A duration in whole seconds, where 0 is the default.
pub(super) fn seconds_or(number: i64, default: Duration) -> Result<Duration, Reason> {
    let seconds = positive_or::<u64>(number, default.as_secs())?;
    // What does not fit Go's durations, 292 years, would not fit the timers here either.
    let fits = seconds
        .checked_mul(1_000_000_000)
        .is_some_and(|ns| i64::try_from(ns).is_ok());
    match number {
        0 => Ok(default),
        _ if fits => Ok(Duration::from_secs(seconds)),
        _ => Err(Reason::TooLarge(number)),
    }
}

/// A duration in Go's syntax, where 0 is the default.
pub(super) fn duration_or(
    option: &'static str,
    text: &str,
    default: Duration,
) -> Result<Duration, Reason> {
    match parse_go_duration(text) {
        Ok(Duration::ZERO) => Ok(default),
        Ok(duration) => Ok(duration),
        Err(error) => Err(Reason::Duration { option, error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on() {
        let some = |host: &str, port| Ok((Some(host.to_owned()), port));
        for (text, expected) in [
            ("127.0.0.1:4222", some("127.0.0.1", 4222)),
            ("localhost:-1", some("localhost", -1)),
            ("[::1]:4222", some("::1", 4222)),
            (":4222", Ok((None, 4222))),
            ("abc", Err(Reason::AddressForm("abc".to_owned()))),
            ("::1:4222", Err(Reason::AddressForm("::1:4222".to_owned()))),
            (
                "[::1:4222",
                Err(Reason::AddressForm("[::1:4222".to_owned())),
            ),
            ("h:abc", Err(Reason::PortForm("abc".to_owned()))),
            ("h:", Err(Reason::PortForm(String::new()))),
        ] {
            assert_eq!(parse_listen(text), expected, "{text}");
        }
    }

    #[test]
    fn advertised_addresses() {
        for (text, host, port) in [
            ("h", "h", None),
            ("h:1", "h", Some(1)),
            ("h:0", "h", None),
            ("h:-1", "h", None),
            ("[::1]:7", "::1", Some(7)),
            ("[::1]", "::1", None),
        ] {
            let expected = Advertise {
                host: host.to_owned(),
                port,
            };
            assert_eq!(Advertise::parse(text), Ok(Some(expected)), "{text}");
        }
        assert_eq!(Advertise::parse(""), Ok(None));
        for (text, why) in [
            ("a:b:c", "too many colons in address"),
            ("h:x", "invalid port"),
            ("h:70000", "invalid port"),
            (":1", "missing host in address"),
        ] {
            let expected = Reason::Advertise {
                text: text.to_owned(),
                why,
            };
            assert_eq!(Advertise::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn ports() {
        assert_eq!(
            (port(0), port(-1), port(65535)),
            (Ok(0), Ok(PORT_RANDOM), Ok(65535))
        );
        assert_eq!(client_port(0), Ok(PORT_DEFAULT));
        for number in [-2, 65536, i64::MIN, i64::MAX] {
            assert_eq!(port(number), Err(Reason::PortRange(number)));
        }
    }

    #[test]
    fn zero_is_the_default_of_a_limit() {
        assert_eq!(positive_or::<u32>(0, 2), Ok(2));
        assert_eq!(positive_or::<u32>(-1, 2), Err(Reason::Negative(-1)));
        assert_eq!(
            positive_or::<u32>(1 << 32, 2),
            Err(Reason::TooLarge(1 << 32))
        );
        let default = Duration::from_millis(1500);
        assert_eq!(seconds_or(0, default), Ok(default));
        assert_eq!(seconds_or(3, default), Ok(Duration::from_secs(3)));
        assert_eq!(
            seconds_or(i64::MAX, default),
            Err(Reason::TooLarge(i64::MAX))
        );
        assert_eq!(duration_or("x", "0s", default), Ok(default));
    }

    #[test]
    fn names_and_shards() {
        assert_eq!(server_name("a-1"), Ok(Some("a-1".to_owned())));
        assert_eq!(server_name("a b"), Err(Reason::ServerName));
        assert_eq!(server_name(""), Ok(None));
        assert_eq!((cores(1), cores(64)), (Ok(Some(1)), Ok(Some(64))));
        for number in [0, -1, 65, i64::MIN, i64::MAX] {
            assert_eq!(cores(number), Err(Reason::Cores(number)));
        }
        assert_eq!(driver("epoll"), Ok(DriverChoice::Epoll));
        assert_eq!(driver("Epoll"), Err(Reason::Driver("Epoll".to_owned())));
    }
}
