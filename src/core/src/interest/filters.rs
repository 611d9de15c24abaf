//! What permissions keep from subscriptions that are wider than they are.
//!
//! Few subscriptions have a filter, so the records hold one bit and the filters lie here. They are asked when a
//! match result is built or patched, and so cost a delivery nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::subs::{Sub, SubId};
use crate::permissions::DeliveryFilter;

/// Filters by subscription.
#[derive(Debug, Default)]
pub(super) struct Filters {
    filters: BTreeMap<SubId, Arc<DeliveryFilter>>,
}

impl Filters {
    /// The filter of a subscription.
    #[inline]
    pub(super) fn of(&self, id: SubId, sub: &Sub) -> Option<&Arc<DeliveryFilter>> {
        if sub.is_filtered() {
            self.filters.get(&id)
        } else {
            None
        }
    }

    /// Gives a subscription a filter, or none.
    pub(super) fn set(&mut self, id: SubId, sub: &mut Sub, filter: Option<Arc<DeliveryFilter>>) {
        sub.set_filtered(filter.is_some());
        match filter {
            Some(filter) => {
                self.filters.insert(id, filter);
            }
            None => self.forget(id),
        }
    }

    /// Forgets the filter of a subscription that has gone.
    pub(super) fn forget(&mut self, id: SubId) {
        self.filters.remove(&id);
    }

    /// Filters kept.
    pub(super) fn len(&self) -> usize {
        self.filters.len()
    }
}
