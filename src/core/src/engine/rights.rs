//! What a connection may publish and subscribe to, and what comes of trying more.
//!
//! The lists themselves are `crate::permissions`. A refusal is an error for the client and a line in the log; the
//! connection stays (gnatsd 1.2.0).

use std::sync::Arc;

use super::Engine;
use super::log::Level;
use super::turn::{REFUSAL_WORK, REVIEW_WORK};
use crate::interest::{ConnKey, SubId};
use crate::permissions::{DeliveryFilter, PublishGate};
use crate::proto::quote::{Printable, Quoted};

/// Subjects of the server itself; clients may listen, not speak (gnatsd 1.2.0).
const SYSTEM_PREFIX: &[u8] = b"_SYS.";

impl Engine {
    /// Whether a connection may publish to a subject. Reply permits are used up by asking.
    #[inline]
    pub(super) fn may_publish(&mut self, key: ConnKey, subject: &[u8]) -> bool {
        if subject.starts_with(SYSTEM_PREFIX) {
            return false;
        }
        let now = self.now;
        match self.connections.find_mut(key).map(|c| &mut c.rights) {
            Some(Some(rights)) => rights.allows(subject, now),
            _ => true,
        }
    }

    #[cold]
    pub(super) fn refuse_publish(&mut self, key: ConnKey, subject: &[u8]) {
        self.turn_work += REFUSAL_WORK;
        let subject = Quoted(subject);
        self.enqueue_error(
            key,
            &format!("Permissions Violation for Publish to {subject}"),
        );
        if let Some(connection) = self.connections.find(key) {
            let user = Quoted(connection.user_name().as_bytes());
            let text = format_args!("Publish Violation - User {user}, Subject {subject}");
            self.log.add(Level::Error, &connection.peer, text);
        }
    }

    #[cold]
    pub(super) fn refuse_subscription(
        &mut self,
        key: ConnKey,
        subject: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
    ) {
        self.turn_work += REFUSAL_WORK;
        let Some(rights) = self.connections.find(key).and_then(|c| c.rights.as_ref()) else {
            return;
        };
        // 1.2.0 does not name the queue group.
        let queue = queue.filter(|_| rights.permissions().rules().are_of_2x());
        let subject = Quoted(subject);
        let mut text = format!("Permissions Violation for Subscription to {subject}");
        let mut logged = String::new();
        if let Some(queue) = queue {
            text += &format!(" using queue {}", Quoted(queue));
            logged = format!(", Queue: {}", Quoted(queue));
        }
        self.enqueue_error(key, &text);
        if let Some(connection) = self.connections.find(key) {
            let user = Quoted(connection.user_name().as_bytes());
            let sid = Printable(sid);
            let text = format_args!(
                "Subscription Violation - User {user}, Subject {subject}{logged}, SID {sid}"
            );
            self.log.add(Level::Error, &connection.peer, text);
        }
    }

    /// Looks at every subscription of a connection whose permissions have changed: those it may not have any
    /// more go, and it is told; the others are filtered as the new ones say.
    pub(super) fn review_subscriptions(&mut self, key: ConnKey) {
        let Some(connection) = self.connections.find(key) else {
            return;
        };
        let all: Vec<SubId> = self.interest.of_conn(&connection.subs).collect();
        self.turn_work += all.len() * REVIEW_WORK;
        for id in all {
            let sub = self.interest.sub(id);
            let rights = self.connections.find(key).and_then(|c| c.rights.as_deref());
            match subscription(rights, sub.subject(), sub.queue()) {
                Some(filter) => self.interest.set_filter(id, filter),
                None => {
                    let (subject, sid) = (sub.subject().to_vec(), sub.sid().to_vec());
                    self.end_subscription(key, id, &subject, &sid);
                }
            }
        }
    }

    fn end_subscription(&mut self, key: ConnKey, id: SubId, subject: &[u8], sid: &[u8]) {
        let (subject, sid) = (Quoted(subject), Printable(sid));
        self.enqueue_error(
            key,
            &format!("Permissions Violation for Subscription to {subject} (sid {sid})"),
        );
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        let user = Quoted(connection.user_name().as_bytes());
        let text = format_args!("Removed sub {subject} for user {user} - not authorized");
        self.log.add_plain(Level::Info, text);
        self.interest.remove(&mut connection.subs, id);
    }
}

/// What these rights keep from a subscription; `None` if they keep all of it.
pub(super) fn subscription(
    rights: Option<&PublishGate>,
    subject: &[u8],
    queue: Option<&[u8]>,
) -> Option<Option<Arc<DeliveryFilter>>> {
    let Some(rights) = rights else {
        return Some(None);
    };
    let permissions = rights.permissions();
    permissions
        .may_subscribe(subject, queue)
        .then(|| permissions.filter_for(subject, queue))
}
