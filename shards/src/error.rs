//! Why shards did not start, and why one ended that should not have.
//!
//! Owns the texts an operator reads. Decides nothing.

use std::error::Error;
use std::fmt;
use std::io;

use crate::ShardId;

/// Why [`start`](crate::start) gave up. Nothing is left running then.
#[derive(Debug)]
pub enum StartError {
    /// The configuration asks for no shard, or for more than a [`ShardId`] can name.
    ShardCount(usize),
    /// io_uring was asked for by name and cannot be used; the text says who refuses it.
    Uring(String),
    /// The epoll driver could not be set up.
    Epoll {
        /// The shard it was meant for.
        shard: ShardId,
        /// What the system said.
        message: String,
    },
    /// A thread or a wake descriptor could not be made.
    Resources(io::Error),
    /// A shard did not answer within the time limit, in seconds.
    Silent {
        /// The first shard that is missing.
        shard: ShardId,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A service failed while it was being built.
    Service(ShardFailure),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShardCount(count) => {
                write!(f, "cannot start {count} shards: want 1 to {}", u16::MAX)
            }
            Self::Uring(text) => f.write_str(text),
            Self::Epoll { shard, message } => {
                write!(f, "shard {shard}: cannot set up epoll: {message}")
            }
            Self::Resources(error) => write!(f, "cannot start a shard: {error}"),
            Self::Silent { shard, seconds } => {
                write!(f, "shard {shard} did not start within {seconds} s")
            }
            Self::Service(failure) => write!(f, "{failure}"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Resources(error) => Some(error),
            Self::Service(failure) => Some(failure),
            _ => None,
        }
    }
}

/// A shard that ended by a panic or because its driver failed.
///
/// The other shards go on; whoever started them should end the process, for half a server is worse
/// than none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardFailure {
    /// The shard that ended.
    pub shard: ShardId,
    /// The panic's message, or what the driver said.
    pub message: String,
}

impl fmt::Display for ShardFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} failed: {}", self.shard, self.message)
    }
}

impl Error for ShardFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_names_the_culprit() {
        let failure = ShardFailure {
            shard: ShardId(2),
            message: "index out of bounds".to_owned(),
        };
        let table = [
            (
                StartError::ShardCount(0),
                "cannot start 0 shards: want 1 to 65535",
            ),
            (StartError::Uring("no io_uring".to_owned()), "no io_uring"),
            (
                StartError::Epoll {
                    shard: ShardId(1),
                    message: "Too many open files".to_owned(),
                },
                "shard 1: cannot set up epoll: Too many open files",
            ),
            (
                StartError::Resources(io::Error::other("no threads")),
                "cannot start a shard: no threads",
            ),
            (
                StartError::Silent {
                    shard: ShardId(3),
                    seconds: 10,
                },
                "shard 3 did not start within 10 s",
            ),
            (
                StartError::Service(failure),
                "shard 2 failed: index out of bounds",
            ),
        ];
        for (error, text) in table {
            assert_eq!(error.to_string(), text);
        }
    }
}
