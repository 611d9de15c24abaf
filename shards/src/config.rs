//! What the caller may choose: how many shards, on which driver, pinned or not.
//!
//! Owns the words of the `--driver` option. Reads no file and no environment.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// Which driver the caller wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring where the kernel allows it, else epoll with one warning.
    #[default]
    Auto,
    /// io_uring or no start at all.
    Uring,
    /// epoll; io_uring is not even probed.
    Epoll,
}

impl FromStr for DriverChoice {
    type Err = UnknownDriver;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "auto" => Ok(Self::Auto),
            "uring" => Ok(Self::Uring),
            "epoll" => Ok(Self::Epoll),
            _ => Err(UnknownDriver(word.to_owned())),
        }
    }
}

/// A word that names no driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDriver(pub String);

impl fmt::Display for UnknownDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown driver {:?}: want auto, uring or epoll", self.0)
    }
}

impl Error for UnknownDriver {}

/// The driver that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverKind {
    /// Polls kept armed in an io_uring, through glommio.
    Uring,
    /// Level-triggered epoll.
    Epoll,
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        })
    }
}

/// One kind of lane; each ordered pair of shards has one of each kind. See
/// [`Lanes`](crate::Lanes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneConfig {
    /// Entries that a lane holds, at least one. A power of two wastes no slots.
    pub entries: usize,
    /// A sleeping receiver is woken when it has this many entries in the lane: 1 to `entries / 2 + 1`.
    pub wakes_at: usize,
}

/// How to start the shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Number of shards, at least one. May exceed the number of CPUs; then nothing is pinned.
    pub shards: usize,
    /// The driver wanted.
    pub driver: DriverChoice,
    /// Whether to pin each shard to a CPU of its own, where that is permitted.
    pub pin: bool,
    /// Threads are called `<thread_name>-<n>`. Linux shows the first 15 bytes.
    pub thread_name: String,
    /// The kinds of lanes between the shards, none by default.
    pub lanes: Vec<LaneConfig>,
}

impl Default for Config {
    /// One pinned shard for each CPU this process may use, called `shard-<n>`.
    fn default() -> Self {
        Self {
            shards: crate::placement::allowed_cpus().len().max(1),
            driver: DriverChoice::Auto,
            pin: true,
            thread_name: "shard".to_owned(),
            lanes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driver_words_are_read_and_written() {
        assert_eq!("auto".parse(), Ok(DriverChoice::Auto));
        assert_eq!("uring".parse(), Ok(DriverChoice::Uring));
        assert_eq!("epoll".parse(), Ok(DriverChoice::Epoll));
        assert_eq!(DriverKind::Uring.to_string(), "uring");
        assert_eq!(DriverKind::Epoll.to_string(), "epoll");
    }

    #[test]
    fn an_unknown_driver_is_named() {
        let error = "Uring".parse::<DriverChoice>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown driver \"Uring\": want auto, uring or epoll"
        );
    }

    #[test]
    fn the_default_has_a_shard() {
        assert!(Config::default().shards >= 1);
    }
}
