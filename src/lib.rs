//! gnatsd.
