//! One peer's protocol state.

mod close;

pub use close::CloseReason;
