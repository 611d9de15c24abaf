//! Judges a history by the promises D1 to D8 of the reliability reference: the "six zeros", naively.
//!
//! "In force" and "confirmed" are meant as [`Conn::confirmed`] has it: somebody has read an answer or a message
//! that shows it. What lies between sending and confirmation may be seen either way.

use gnatsd_core::subject;

use crate::history::{Conn, Fault, Finding, History, Msg, MsgId, NEVER, Sub, SubId, Tick};

/// A history with what follows from it.
struct Judge<'a> {
    history: &'a History,
    /// By pattern and subject, both as numbers of names.
    matches: Vec<bool>,
    /// By message: since when it has been confirmed.
    confirmed: Vec<Tick>,
    /// By subscription: since when it has been in force.
    opened: Vec<Tick>,
    /// By subscription: what it should or may have got, in order of sending.
    messages: Vec<Vec<MsgId>>,
    /// By subscription: what it got and when first, in order of sending.
    received: Vec<Vec<(MsgId, Tick)>>,
    findings: Vec<Finding>,
}

/// Everything in the history that breaks a promise.
pub fn judge(history: &History) -> Vec<Finding> {
    let mut judge = Judge::new(history);
    for sub in 0..history.subs.len() {
        judge.check_received(sub);
        // Alone in its group, it is owed what a plain subscription is owed.
        let queue = history.subs[sub].queue;
        let members = |q| history.subs.iter().filter(|s| s.queue == Some(q)).count();
        if queue.is_none_or(|q| members(q) == 1) {
            judge.check_complete(sub);
            judge.check_holes(sub);
        }
    }
    judge.check_groups();
    for conn in 0..history.conns.len() {
        judge.check_order(conn);
        judge.check_answers(conn);
    }
    for msg in 0..history.msgs.len() {
        judge.check_statuses(msg);
    }
    let mut findings = history.findings.clone();
    findings.append(&mut judge.findings);
    findings
}

impl<'a> Judge<'a> {
    fn new(history: &'a History) -> Self {
        let names = history.names_len();
        let mut judge = Judge {
            history,
            matches: vec![false; names * names],
            confirmed: history
                .msgs
                .iter()
                .map(|m| history.conns[m.conn].confirmed(m.pos))
                .collect(),
            opened: history
                .subs
                .iter()
                .map(|s| history.conns[s.conn].confirmed(s.pos))
                .collect(),
            messages: Vec::new(),
            received: Vec::new(),
            findings: Vec::new(),
        };
        let mut by_subject = vec![Vec::new(); names];
        for (id, msg) in history.msgs.iter().enumerate() {
            by_subject[msg.subject].push(id);
        }
        let mut patterns: Vec<usize> = history.subs.iter().map(|s| s.pattern).collect();
        patterns.sort_unstable();
        patterns.dedup();
        for &pattern in &patterns {
            if !subject::has_wildcard(history.name(pattern).as_bytes()) {
                judge.matches[pattern * names + pattern] = true;
                continue;
            }
            for number in 0..names {
                // Replies are subjects, too, though nobody may have published to them.
                let (pattern_text, text) = (history.name(pattern), history.name(number));
                judge.matches[pattern * names + number] =
                    subject::matches(pattern_text.as_bytes(), text.as_bytes());
            }
        }
        for sub in &history.subs {
            let mut messages: Vec<MsgId> = (0..names)
                .filter(|&number| judge.matches[sub.pattern * names + number])
                .flat_map(|number| by_subject[number].iter().copied())
                .filter(|&msg| !is_own_echo(history, sub, &history.msgs[msg]))
                .collect();
            messages.sort_unstable();
            judge.messages.push(messages);
            let mut received = sub.got.clone();
            received.sort_unstable();
            received.dedup_by_key(|(msg, _)| *msg);
            judge.received.push(received);
        }
        judge
    }

    fn find(&mut self, fault: Fault, text: String) {
        self.findings.push(Finding { fault, text });
    }

    fn conn(&self, sub: SubId) -> &'a Conn {
        &self.history.conns[self.history.subs[sub].conn]
    }

    fn is_match(&self, pattern: usize, name: usize) -> bool {
        self.matches[pattern * self.history.names_len() + name]
    }

    fn name_sub(&self, id: SubId) -> String {
        let sub = &self.history.subs[id];
        let queue = sub
            .queue
            .map_or(String::new(), |q| format!(" in {}", self.history.name(q)));
        let end = match (sub.unsub, sub.max) {
            (Some(unsub), _) => format!(", UNSUB at {}", unsub.sent),
            (None, Some(max)) => format!(", max {} at {}", max.max, max.sent),
            (None, None) => String::new(),
        };
        format!(
            "sub {id} of connection {} to {}{queue} (sent {}, in force {}{end})",
            sub.conn,
            self.history.name(sub.pattern),
            sub.sent,
            show(self.opened[id])
        )
    }

    fn name_msg(&self, id: MsgId) -> String {
        let msg = &self.history.msgs[id];
        let seq = self.history.conns[msg.conn]
            .messages
            .iter()
            .position(|&m| m == id);
        format!(
            "message {id} ({:06x}{:06x}) of connection {} to {} (sent {}, confirmed {})",
            msg.conn,
            seq.unwrap_or(0),
            msg.conn,
            self.history.name(msg.subject),
            msg.sent,
            show(self.confirmed[id])
        )
    }

    /// The message was sent by somebody who could know that the subscription was in force.
    fn is_after_start(&self, sub: SubId, msg: MsgId) -> bool {
        let (s, m) = (&self.history.subs[sub], &self.history.msgs[msg]);
        m.sent > self.opened[sub] || m.conn == s.conn && m.pos > s.pos
    }

    /// The message was confirmed when the operation `pos` was sent at `sent` on the subscriber's connection.
    fn is_before(&self, sub: SubId, msg: MsgId, pos: u32, sent: Tick) -> bool {
        let (s, m) = (&self.history.subs[sub], &self.history.msgs[msg]);
        self.confirmed[msg] < sent || m.conn == s.conn && m.pos < pos
    }

    /// The message lies within the window of a subscription whatever the maximum.
    fn is_within(&self, sub: SubId, msg: MsgId) -> bool {
        let s = &self.history.subs[sub];
        self.confirmed[msg] != NEVER
            && self.is_after_start(sub, msg)
            && s.unsub
                .is_none_or(|u| self.is_before(sub, msg, u.pos, u.sent))
    }

    /// When the subscription got the message; [`NEVER`] if it did not.
    fn received(&self, sub: SubId, msg: MsgId) -> Tick {
        let received = &self.received[sub];
        let at = received.binary_search_by_key(&msg, |&(m, _)| m);
        at.map_or(NEVER, |at| received[at].1)
    }

    /// D2, D5, D6 and D7 for all that a subscription got.
    fn check_received(&mut self, id: SubId) {
        let sub = &self.history.subs[id];
        let conn = self.conn(id);
        for (at, &(msg, tick)) in sub.got.iter().enumerate() {
            let m = &self.history.msgs[msg];
            let what = |j: &Self| format!("{} got {} at {tick}", j.name_sub(id), j.name_msg(msg));
            if self.messages[id].binary_search(&msg).is_err() {
                self.find(Fault::Stranger, what(self));
            }
            if self.received(id, msg) != tick {
                self.find(Fault::Duplicate, what(self));
            }
            let is_over = |pos: u32| {
                let pong = conn
                    .pings
                    .iter()
                    .find(|p| p.pos > pos)
                    .map_or(NEVER, |p| p.pong);
                tick > pong || m.sent > conn.confirmed(pos) || m.conn == sub.conn && m.pos > pos
            };
            if sub.unsub.is_some_and(|u| is_over(u.pos)) {
                self.find(Fault::AfterUnsub, what(self));
            }
            if let Some(max) = sub.max.filter(|u| at >= u.max && is_over(u.pos)) {
                self.find(
                    Fault::AfterUnsub,
                    format!("{} is one more than {}", what(self), max.max),
                );
            }
            let is_early = self.is_before(id, msg, sub.pos, sub.sent);
            if is_early && !sub.queue.is_some_and(|q| self.has_departures(q, msg, tick)) {
                self.find(
                    Fault::Stranger,
                    format!("{} though it was there before", what(self)),
                );
            }
        }
    }

    /// D1, D6 and D8: what a plain subscription should have got, and by when.
    fn check_complete(&mut self, id: SubId) {
        let sub = &self.history.subs[id];
        let conn = self.conn(id);
        let is_full = |u: crate::history::Unsub| sub.got.len() >= u.max;
        let messages = std::mem::take(&mut self.messages[id]);
        for &msg in &messages {
            if !self.is_within(id, msg) {
                continue;
            }
            let received = self.received(id, msg);
            if received == NEVER
                && let Some(max) = sub.max.filter(|u| is_full(*u))
                && !self.is_before(id, msg, max.pos, max.sent)
            {
                continue;
            }
            let m = &self.history.msgs[msg];
            let confirmed = self.confirmed[msg];
            let is_later = |p: &&crate::history::Ping| {
                p.sent > confirmed || m.conn == sub.conn && p.pos > m.pos
            };
            let pong = conn.pings.iter().find(is_later).map_or(NEVER, |p| p.pong);
            if received > pong {
                let what = if received == NEVER {
                    "never".to_owned()
                } else {
                    received.to_string()
                };
                let text = format!(
                    "{} should have got {} before its PONG at {pong}, not {what}",
                    self.name_sub(id),
                    self.name_msg(msg)
                );
                self.find(Fault::Gap, text);
            } else if received == NEVER && conn.stays() {
                let text = format!("{} never got {}", self.name_sub(id), self.name_msg(msg));
                self.find(Fault::Gap, text);
            }
        }
        self.messages[id] = messages;
    }

    /// A subscription ends at one moment: of one publisher's messages nothing is missing before it.
    fn check_holes(&mut self, id: SubId) {
        let sub = &self.history.subs[id];
        let mut publishers: Vec<usize> = sub
            .got
            .iter()
            .map(|&(m, _)| self.history.msgs[m].conn)
            .collect();
        publishers.sort_unstable();
        publishers.dedup();
        let messages = std::mem::take(&mut self.messages[id]);
        for publisher in publishers {
            let mut missing = None;
            for &msg in &messages {
                if self.history.msgs[msg].conn != publisher {
                    continue;
                }
                if self.received(id, msg) == NEVER {
                    // While a window opens, what somebody else on the shard wants may come, too.
                    missing = missing.or(self.is_after_start(id, msg).then_some(msg));
                    continue;
                }
                if let Some(missing) = missing.take() {
                    let text = format!(
                        "{} got {} but not {}",
                        self.name_sub(id),
                        self.name_msg(msg),
                        self.name_msg(missing)
                    );
                    self.find(Fault::Gap, text);
                }
            }
        }
        self.messages[id] = messages;
    }

    /// Whether a member of the group that could have been chosen for the message left it, or said that it
    /// would, before `until`. The message may then have been given to another, late.
    fn has_departures(&self, queue: usize, msg: MsgId, until: Tick) -> bool {
        let subject = self.history.msgs[msg].subject;
        self.history.subs.iter().any(|s| {
            let conn = &self.history.conns[s.conn];
            s.queue == Some(queue)
                && self.is_match(s.pattern, subject)
                && (s.unsub.is_some_and(|u| u.sent < until)
                    || s.max.is_some_and(|u| u.sent < until)
                    || conn.left < until
                    || conn.kind.may_be_cut)
        })
    }

    /// D2 for queue groups: one member of each gets a message if one was there all the time.
    fn check_groups(&mut self) {
        let mut queues: Vec<usize> = self.history.subs.iter().filter_map(|s| s.queue).collect();
        queues.sort_unstable();
        queues.dedup();
        for queue in queues {
            let members: Vec<SubId> = (0..self.history.subs.len())
                .filter(|&s| self.history.subs[s].queue == Some(queue))
                .collect();
            let mut messages: Vec<MsgId> = members
                .iter()
                .flat_map(|&s| self.messages[s].iter().copied())
                .collect();
            messages.sort_unstable();
            messages.dedup();
            for msg in messages {
                self.check_group(queue, &members, msg);
            }
        }
    }

    fn check_group(&mut self, queue: usize, members: &[SubId], msg: MsgId) {
        let members: Vec<SubId> = members
            .iter()
            .copied()
            .filter(|&s| self.messages[s].binary_search(&msg).is_ok())
            .collect();
        let got = members
            .iter()
            .filter(|&&s| self.received(s, msg) != NEVER)
            .count();
        let group = self.history.name(queue);
        if got > 1 {
            let text = format!("{got} members of {group} got {}", self.name_msg(msg));
            self.find(Fault::Duplicate, text);
        }
        if got > 0 || self.confirmed[msg] == NEVER {
            return;
        }
        let m = &self.history.msgs[msg];
        // A client that left may have taken with it what was pending for it.
        let is_lost = |&s: &SubId| {
            let (sub, conn) = (&self.history.subs[s], self.conn(s));
            let has_ended = conn.ended < m.sent && !conn.kind.may_be_cut;
            let is_unsubscribed = sub.unsub.is_some_and(|u| conn.confirmed(u.pos) < m.sent);
            !conn.stays() && !has_ended && !is_unsubscribed
        };
        if members.iter().any(is_lost) {
            return;
        }
        let is_full = |s: SubId| {
            let sub = &self.history.subs[s];
            sub.max.is_some_and(|u| sub.got.len() >= u.max)
        };
        let was_there = |s: SubId| self.is_after_start(s, msg) && self.conn(s).stays();
        let stays =
            |&s: &SubId| was_there(s) && self.history.subs[s].unsub.is_none() && !is_full(s);
        let is_calm = |&s: &SubId| {
            let sub = &self.history.subs[s];
            let is_before = sub
                .unsub
                .is_none_or(|u| self.is_before(s, msg, u.pos, u.sent));
            self.conn(s).stays() && is_before && sub.max.is_none()
        };
        if members.iter().any(stays)
            || members.iter().all(is_calm) && members.iter().any(|&s| was_there(s))
        {
            let names: Vec<String> = members.iter().map(|&s| self.name_sub(s)).collect();
            let text = format!(
                "nobody of {group} got {}: {}",
                self.name_msg(msg),
                names.join("; ")
            );
            self.find(Fault::Gap, text);
        }
    }

    /// D3: from each publisher in the order of sending.
    fn check_order(&mut self, conn: usize) {
        let mut last = vec![None; self.history.conns.len()];
        for &(sub, msg, tick) in &self.history.conns[conn].got {
            let Msg {
                conn: from, pos, ..
            } = self.history.msgs[msg];
            let queue = self.history.subs[sub].queue;
            // Given to a second member it may come late.
            if queue.is_some_and(|q| self.has_departures(q, msg, tick)) {
                continue;
            }
            if let Some((before, before_pos)) = last[from]
                && before_pos > pos
            {
                let text = format!(
                    "{} got {} at {tick}, after {}",
                    self.name_sub(sub),
                    self.name_msg(msg),
                    self.name_msg(before)
                );
                self.find(Fault::Reorder, text);
            }
            last[from] = Some((msg, pos));
        }
    }

    /// Every PING was answered, unless somebody left.
    fn check_answers(&mut self, conn: usize) {
        let c = &self.history.conns[conn];
        if !c.stays() {
            return;
        }
        if let Some(ping) = c.pings.iter().find(|p| p.pong == NEVER) {
            let text = format!(
                "connection {conn} got no PONG for its PING of {}",
                ping.sent
            );
            self.find(Fault::Unanswered, text);
        }
        if let Some(pos) = c.to_be_okayed.get(c.okayed) {
            let text = format!("connection {conn} got no +OK for its operation {pos}");
            self.find(Fault::Unanswered, text);
        }
    }

    /// Who is told that nobody listens, and who is not.
    fn check_statuses(&mut self, id: MsgId) {
        let msg = &self.history.msgs[id];
        let Some(reply) = msg.reply else {
            return;
        };
        let subs = || self.history.subs.iter().enumerate();
        let listens =
            |s: &Sub| self.is_match(s.pattern, msg.subject) && !is_own_echo(self.history, s, msg);
        if let Some(&told) = msg.statuses.first() {
            let is_there = |(at, s): (SubId, &Sub)| {
                listens(s)
                    && self.is_after_start(at, id)
                    && s.unsub.is_none_or(|u| u.sent > told)
                    && s.max.is_none_or(|u| s.got.len() < u.max)
                    && self.conn(at).stays()
            };
            if let Some((sub, _)) = subs().find(|&(at, s)| is_there((at, s))) {
                let text = format!(
                    "nobody listens to {}, it was said at {told}; but {} does",
                    self.name_msg(id),
                    self.name_sub(sub)
                );
                self.find(Fault::FalseNoResponders, text);
            }
            if subs().any(|(at, _)| self.received(at, id) != NEVER) || msg.statuses.len() > 1 {
                let text = format!(
                    "nobody listens to {}, it was said; but it arrived",
                    self.name_msg(id)
                );
                self.find(Fault::FalseNoResponders, text);
            }
            return;
        }
        let conn = &self.history.conns[msg.conn];
        let pong = conn
            .pings
            .iter()
            .find(|p| p.pos > msg.pos)
            .map_or(NEVER, |p| p.pong);
        let may_listen = |(_, s): (SubId, &Sub)| {
            listens(s) && s.sent < pong && !(msg.is_settled && self.history.is_over(s, msg.sent))
        };
        let awaits = subs().any(|(_, s)| {
            s.conn == msg.conn
                && s.queue.is_none()
                && s.pos < msg.pos
                && s.unsub.is_none()
                && s.max.is_none_or(|u| s.got.len() < u.max)
                && self.is_match(s.pattern, reply)
        });
        if conn.kind.headers && pong != NEVER && awaits && !subs().any(may_listen) {
            let text = format!(
                "nobody listens to {}, and it was not said",
                self.name_msg(id)
            );
            self.find(Fault::NoStatus, text);
        }
    }
}

/// The message is the subscriber's own, and it does not want those.
fn is_own_echo(history: &History, sub: &Sub, msg: &Msg) -> bool {
    sub.conn == msg.conn && history.conns[msg.conn].kind.no_echo
}

fn show(tick: Tick) -> String {
    if tick == NEVER {
        "never".to_owned()
    } else {
        tick.to_string()
    }
}

#[cfg(test)]
mod tests;
