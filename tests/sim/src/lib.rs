//! Simulator of a server's shards.
