//! What the clients of a simulation saw, in the order in which they saw it.
//!
//! Every event gets a tick of its own: a client sends an operation, has read an answer or a whole message,
//! leaves. The order of ticks is the real order of events, so it holds more than what clients could
//! tell each other; the rules K1 to K3 promise that much.
//!
//! An answer is *evidence*: a PONG, a `+OK`, a status or a message that somebody read shows that everything
//! its connection sent up to there is in force for whoever acts from now on.

use std::collections::BTreeMap;

/// A point in the order of events. Each event has its own.
pub type Tick = u64;
/// Later than everything.
pub const NEVER: Tick = Tick::MAX;

/// Place of a connection in a history.
pub type ConnId = usize;
/// Place of a subscription in a history; its sid, too.
pub type SubId = usize;
/// Place of a message in a history.
pub type MsgId = usize;

/// What a connection asked for in its CONNECT, and what may happen to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnKind {
    /// Its own messages do not come back.
    pub no_echo: bool,
    /// Every operation is answered by `+OK`.
    pub verbose: bool,
    /// It takes headers, and the status that says that nobody listens.
    pub headers: bool,
    /// It reads so little that it may be cut for it.
    pub may_be_cut: bool,
}

/// A PING.
#[derive(Clone, Copy, Debug)]
pub struct Ping {
    /// Number of the operation on its connection.
    pub pos: u32,
    /// When it was sent.
    pub sent: Tick,
    /// When its answer was read; [`NEVER`] if it was not.
    pub pong: Tick,
}

/// A connection.
#[derive(Clone, Debug, Default)]
pub struct Conn {
    /// What it asked for.
    pub kind: ConnKind,
    /// Operations sent.
    pub ops: u32,
    /// Up to which operation everything is in force, since when. Both grow.
    pub evidence: Vec<(u32, Tick)>,
    /// Its PINGs in order.
    pub pings: Vec<Ping>,
    /// Its messages in order.
    pub messages: Vec<MsgId>,
    /// What it read in order.
    pub got: Vec<(SubId, MsgId, Tick)>,
    /// Operations whose `+OK` has not been read, oldest first, and how many have.
    pub to_be_okayed: Vec<u32>,
    /// How many of them have been.
    pub okayed: usize,
    /// When the client closed or lost it; [`NEVER`] if it did not.
    pub left: Tick,
    /// When the server let it go; [`NEVER`] if it did not.
    pub ended: Tick,
}

impl Conn {
    /// Since when operation `pos` has been in force for everybody.
    pub fn confirmed(&self, pos: u32) -> Tick {
        let at = self.evidence.partition_point(|&(p, _)| p < pos);
        self.evidence.get(at).map_or(NEVER, |&(_, tick)| tick)
    }

    /// The client has it to the end.
    pub fn stays(&self) -> bool {
        self.left == NEVER && !self.kind.may_be_cut
    }
}

/// UNSUB, at once or after so many messages.
#[derive(Clone, Copy, Debug)]
pub struct Unsub {
    /// Number of the operation on its connection.
    pub pos: u32,
    /// When it was sent.
    pub sent: Tick,
    /// Messages in all after which the subscription ends; 0 for at once.
    pub max: usize,
}

/// A subscription.
#[derive(Clone, Debug)]
pub struct Sub {
    /// Who subscribed.
    pub conn: ConnId,
    /// To what, by [`History::name`].
    pub pattern: usize,
    /// In which group, by [`History::name`].
    pub queue: Option<usize>,
    /// Number of the operation on its connection.
    pub pos: u32,
    /// When it was sent.
    pub sent: Tick,
    /// Its end.
    pub unsub: Option<Unsub>,
    /// Its end after so many messages.
    pub max: Option<Unsub>,
    /// What it got.
    pub got: Vec<(MsgId, Tick)>,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Msg {
    /// Who published it.
    pub conn: ConnId,
    /// Number of the operation on its connection.
    pub pos: u32,
    /// When it was sent.
    pub sent: Tick,
    /// Where to, by [`History::name`].
    pub subject: usize,
    /// Where answers are awaited, by [`History::name`].
    pub reply: Option<usize>,
    /// When a status said that nobody listens.
    pub statuses: Vec<Tick>,
    /// Sent when everything had come to rest: every shard knows who listens.
    pub is_settled: bool,
}

/// What was seen that no history may hold, whatever else it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A message that should have come did not.
    Gap,
    /// A message came twice, or to two members of a group.
    Duplicate,
    /// A message came before one that its publisher had sent earlier.
    Reorder,
    /// A message is not what was sent.
    Corrupt,
    /// A message came that was not asked for.
    Stranger,
    /// A message came to a subscription that had ended.
    AfterUnsub,
    /// Somebody was told that nobody listens while somebody did.
    FalseNoResponders,
    /// Somebody was not told that nobody listens.
    NoStatus,
    /// A PING was not answered.
    Unanswered,
    /// A connection was cut, or an error sent, without a reason in the scenario.
    Cut,
    /// The choices in a group do not follow the weights.
    Uneven,
    /// A message visited a shard again.
    Wanders,
    /// A shard slept while it had work, or everybody did.
    Slept,
    /// A shard still believes in listeners that have long gone.
    Stale,
    /// Work does not come to an end.
    Endless,
    /// Something was left behind when all was done.
    Leftover,
    /// The engine found a contradiction in itself.
    Panic,
}

/// A fault and its circumstances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub fault: Fault,
    /// Who, what and when.
    pub text: String,
}

/// Everything the clients saw.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Connections in the order in which they were made.
    pub conns: Vec<Conn>,
    /// Subscriptions in the order in which they were sent.
    pub subs: Vec<Sub>,
    /// Messages in the order in which they were sent.
    pub msgs: Vec<Msg>,
    /// What was wrong when it was seen.
    pub findings: Vec<Finding>,
    names: Vec<Box<str>>,
    numbers: BTreeMap<Box<str>, usize>,
    now: Tick,
}

impl History {
    /// The tick of the next event.
    pub fn tick(&mut self) -> Tick {
        self.now += 1;
        self.now
    }

    /// The tick of the last event.
    pub fn now(&self) -> Tick {
        self.now
    }

    /// The number of a subject, pattern or group.
    pub fn number(&mut self, name: &str) -> usize {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len();
        self.names.push(name.into());
        self.numbers.insert(name.into(), number);
        number
    }

    /// The subject, pattern or group with this number.
    pub fn name(&self, number: usize) -> &str {
        &self.names[number]
    }

    /// How many names there are.
    pub fn names_len(&self) -> usize {
        self.names.len()
    }

    /// Notes what must not be.
    pub fn find(&mut self, fault: Fault, text: String) {
        self.findings.push(Finding { fault, text });
    }

    /// Whether a subscription had surely ended when something happened.
    pub fn is_over(&self, sub: &Sub, at: Tick) -> bool {
        let conn = &self.conns[sub.conn];
        let is_full = |max: usize| sub.got.get(max - 1).is_some_and(|&(_, tick)| tick < at);
        conn.ended < at
            || sub.unsub.is_some_and(|u| conn.confirmed(u.pos) < at)
            || sub.max.is_some_and(|u| is_full(u.max))
    }

    /// A client connects.
    pub fn connect(&mut self, kind: ConnKind) -> ConnId {
        self.conns.push(Conn {
            kind,
            left: NEVER,
            ended: NEVER,
            ..Conn::default()
        });
        let id = self.conns.len() - 1;
        // The CONNECT itself is answered.
        self.next_op(id, true);
        id
    }

    fn next_op(&mut self, conn: ConnId, is_okayed: bool) -> u32 {
        let conn = &mut self.conns[conn];
        conn.ops += 1;
        if conn.kind.verbose && is_okayed {
            conn.to_be_okayed.push(conn.ops);
        }
        conn.ops
    }

    /// A client sends a SUB.
    pub fn subscribe(&mut self, conn: ConnId, pattern: &str, queue: Option<&str>) -> SubId {
        let (pos, sent) = (self.next_op(conn, true), self.tick());
        let pattern = self.number(pattern);
        let queue = queue.map(|q| self.number(q));
        self.subs.push(Sub {
            conn,
            pattern,
            queue,
            pos,
            sent,
            unsub: None,
            max: None,
            got: Vec::new(),
        });
        self.subs.len() - 1
    }

    /// A client sends an UNSUB; `max` 0 for at once.
    pub fn unsubscribe(&mut self, sub: SubId, max: usize) {
        let conn = self.subs[sub].conn;
        let (pos, sent) = (self.next_op(conn, true), self.tick());
        let unsub = Some(Unsub { pos, sent, max });
        if max == 0 {
            self.subs[sub].unsub = unsub;
        } else {
            self.subs[sub].max = unsub;
        }
    }

    /// A client sends a PUB.
    pub fn publish(&mut self, conn: ConnId, subject: &str, reply: Option<&str>) -> MsgId {
        let (pos, sent) = (self.next_op(conn, true), self.tick());
        let subject = self.number(subject);
        let reply = reply.map(|r| self.number(r));
        self.msgs.push(Msg {
            conn,
            pos,
            sent,
            subject,
            reply,
            statuses: Vec::new(),
            is_settled: false,
        });
        let id = self.msgs.len() - 1;
        self.conns[conn].messages.push(id);
        id
    }

    /// A client sends a PING.
    pub fn ping(&mut self, conn: ConnId) {
        let (pos, sent) = (self.next_op(conn, false), self.tick());
        let pong = NEVER;
        self.conns[conn].pings.push(Ping { pos, sent, pong });
    }

    /// A client has read a PONG. The place of its PING.
    pub fn pong(&mut self, conn: ConnId) -> Option<usize> {
        let tick = self.tick();
        let pings = &mut self.conns[conn].pings;
        let Some(at) = pings.iter().position(|p| p.pong == NEVER) else {
            self.find(
                Fault::Stranger,
                format!("connection {conn} got a PONG too many"),
            );
            return None;
        };
        pings[at].pong = tick;
        let pos = pings[at].pos;
        self.show(conn, pos, tick);
        Some(at)
    }

    /// A client has read a `+OK`.
    pub fn okay(&mut self, conn: ConnId) {
        let tick = self.tick();
        let c = &mut self.conns[conn];
        let Some(&pos) = c.to_be_okayed.get(c.okayed) else {
            self.find(
                Fault::Stranger,
                format!("connection {conn} got a +OK too many"),
            );
            return;
        };
        c.okayed += 1;
        self.show(conn, pos, tick);
    }

    /// A client has read a message.
    pub fn got(&mut self, sub: SubId, msg: MsgId) {
        let tick = self.tick();
        self.subs[sub].got.push((msg, tick));
        let conn = self.subs[sub].conn;
        self.conns[conn].got.push((sub, msg, tick));
        let Msg { conn, pos, .. } = self.msgs[msg];
        self.show(conn, pos, tick);
    }

    /// A client has read that nobody listens to its message.
    pub fn status(&mut self, msg: MsgId) {
        let tick = self.tick();
        self.msgs[msg].statuses.push(tick);
        let Msg { conn, pos, .. } = self.msgs[msg];
        self.show(conn, pos, tick);
    }

    /// A client closes, or is killed.
    pub fn leave(&mut self, conn: ConnId) {
        let tick = self.tick();
        self.conns[conn].left = tick;
    }

    /// The server lets a connection go.
    pub fn end(&mut self, conn: ConnId) {
        let tick = self.tick();
        self.conns[conn].ended = tick;
    }

    fn show(&mut self, conn: ConnId, pos: u32, tick: Tick) {
        let evidence = &mut self.conns[conn].evidence;
        if evidence.last().is_none_or(|&(p, _)| p < pos) {
            evidence.push((pos, tick));
        }
    }
}
