//! Integration tests: the real binary, from outside. One module for each capability.

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod connections;
mod protocol;
mod protocol_hostile;
mod security;
mod shards;
mod slow;
mod startup;
mod tidy;
