//! What a user may publish and subscribe to, and which messages a subscription does not get.
//!
//! Owns the compiled form of [`Rules`] and the gate in front of a connection's publishes. Knows no user, no
//! connection and no configuration file. Step 3 (admit) of the PUB path, and the denials that are applied
//! again where a message is delivered.
//!
//! A denial wins over an allowance. The rules are nats-server 2.x's but for three that are narrower: a `*`
//! in an allowance does not cover the `>` of a subscription; what a denial has in common with a wildcard
//! subscription is kept from it also if neither covers the other, plain or queue; and a plain denial holds
//! for queue groups, whatever other denials say of them.

mod branches;
mod decisions;
mod filter;
mod gate;
#[cfg(test)]
mod model;
mod patterns;
mod permits;
mod rules;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::Arc;

pub use filter::DeliveryFilter;
pub use gate::PublishGate;
pub use rules::{Entry, Responses, Rules, Side};

use filter::concerns;
use patterns::Patterns;

use crate::subject;

/// [`Rules`] ready to be asked. Shared by all connections of a user.
pub struct Permissions {
    rules: Rules,
    publish: Lists,
    subscribe: Lists,
    /// For every subscription that no denial by queue may concern: most users need no more than this one.
    filter: Arc<DeliveryFilter>,
}

struct Lists {
    /// `None` for everything.
    allow: Option<Patterns>,
    deny: Arc<Patterns>,
}

impl Lists {
    fn new(side: &Side) -> Self {
        Lists {
            allow: side.allow.as_deref().map(Patterns::new),
            deny: Arc::new(Patterns::new(&side.deny)),
        }
    }
}

impl Permissions {
    /// Makes `rules` ready.
    ///
    /// # Cost
    /// Memory in the order of the rules themselves; a tree for each list.
    pub fn new(rules: Rules) -> Permissions {
        let subscribe = Lists::new(&rules.subscribe);
        Permissions {
            publish: Lists::new(&rules.publish),
            filter: Arc::new(DeliveryFilter::new(Arc::clone(&subscribe.deny), None)),
            subscribe,
            rules,
        }
    }

    /// What they were made from.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Leave to answer, if there is one.
    pub fn responses(&self) -> Option<Responses> {
        self.rules.responses
    }

    /// Whether the lists let messages be published to `subject`, which is taken literally.
    ///
    /// A queue in an entry means nothing here. For a connection, ask its [`PublishGate`].
    pub fn may_publish(&self, subject: &[u8]) -> bool {
        let Lists { allow, deny } = &self.publish;
        allow
            .as_ref()
            .is_none_or(|list| list.matching(subject, |_| true))
            && !deny.matching(subject, |_| true)
    }

    /// Whether `subject`, a valid subscription subject, may be subscribed to, in the group `queue` if there
    /// is one.
    ///
    /// An allowance must cover all of it. One for some queue groups only is none for a plain subscription;
    /// where there is one, plain allowances do not help other groups (nats-server 2.x). A denial is matched
    /// against the text, wildcards included (nats-server 2.x); one that only has something in common with the
    /// subscription is [`Permissions::filter_for`]'s.
    pub fn may_subscribe(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        let Lists { allow, deny } = &self.subscribe;
        allow
            .as_ref()
            .is_none_or(|list| is_covered(list, subject, queue))
            && !deny.matching(subject, |end| concerns(end, queue))
    }

    /// What to ask for each message before a subscription that was let in gets it; `None` if nothing it can
    /// get is denied. Shared between subscriptions wherever no denial names a queue.
    pub fn filter_for(&self, subject: &[u8], queue: Option<&[u8]>) -> Option<Arc<DeliveryFilter>> {
        let deny = &self.subscribe.deny;
        let queue = queue.filter(|_| deny.names_queues());
        deny.overlap(subject, |end| concerns(end, queue))
            .then(|| match queue {
                None => Arc::clone(&self.filter),
                Some(_) => Arc::new(DeliveryFilter::new(Arc::clone(deny), queue)),
            })
    }
}

/// Whether entries of an allow list let in a subscription.
fn is_covered(list: &Patterns, subject: &[u8], queue: Option<&[u8]>) -> bool {
    let Some(queue) = queue else {
        return list.covering(subject, |end| end.is_plain);
    };
    let (mut is_plain, mut names_queues) = (false, false);
    let fits = |pattern: &[u8]| pattern == queue || covers(pattern, queue);
    list.covering(subject, |end| {
        is_plain |= end.is_plain;
        names_queues |= !end.queues.is_empty();
        end.queues.iter().any(|pattern| fits(pattern))
    }) || (is_plain && !names_queues)
}

/// Whether `pattern` matches whatever the valid subscription subject `subject` matches.
fn covers(pattern: &[u8], subject: &[u8]) -> bool {
    let (mut wanted, mut given) = (subject::tokens(pattern), subject::tokens(subject));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) => return wanted.next().is_none(),
            (Some(b"*"), Some(token)) if token != b">" => {}
            (Some(want), Some(token)) if want == token => {}
            _ => return false,
        }
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permissions").field(&self.rules).finish()
    }
}

impl PartialEq for Permissions {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}
