//! Which messages a subscription does not get although it matches them.

use std::sync::Arc;

use super::patterns::{End, Patterns};
use crate::subject;

/// Keeps denied messages from a subscription wide enough to match some.
#[derive(Debug)]
pub struct DeliveryFilter {
    /// Every denial of the user, shared.
    denied: Arc<Patterns>,
    /// The queue group of the subscription, if a denial may concern it.
    queue: Option<Box<[u8]>>,
}

impl DeliveryFilter {
    pub(super) fn new(denied: Arc<Patterns>, queue: Option<&[u8]>) -> Self {
        DeliveryFilter {
            denied,
            queue: queue.map(Box::from),
        }
    }

    /// Whether a message published to `subject` is kept from the subscription.
    ///
    /// # Cost
    /// A walk down the denials, for usual lists some tens of nanoseconds.
    pub fn denies(&self, subject: &[u8]) -> bool {
        self.denied
            .matching(subject, |end| concerns(end, self.queue.as_deref()))
    }
}

/// Whether a denial concerns a subscription in the group `queue`, or in none. A denial for some groups does
/// not concern the others, nor a plain subscription.
pub(super) fn concerns(denial: &End, queue: Option<&[u8]>) -> bool {
    denial.is_plain
        || queue.is_some_and(|queue| {
            let is_it = |pattern: &[u8]| pattern == queue || subject::matches(pattern, queue);
            denial.queues.iter().any(|pattern| is_it(pattern))
        })
}
