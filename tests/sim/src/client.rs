//! One simulated client: its connection, what it will do, and what it has read.

use std::collections::{BTreeMap, VecDeque};

use crate::body::{self, HEADERS};
use crate::cast::{Act, Plan};
use crate::history::{ConnId, Fault, History, NEVER, SubId};
use crate::reader::Reader;
use crate::sockets::SocketId;

/// The slot of the inbox for all requests.
const INBOX_SLOT: &str = "_INBOX";

/// Script and state of one client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) plan: Plan,
    /// Socket and connection, while it has one.
    pub(crate) link: Option<(SocketId, ConnId)>,
    /// Sockets it has closed, whose last bytes are on their way.
    pub(crate) fading: Vec<SocketId>,
    pub(crate) reader: Reader,
    /// Tags of the PINGs of this connection.
    pub(crate) tags: Vec<u32>,
    /// Does not read for the moment.
    pub(crate) is_stopped: bool,
    slots: BTreeMap<String, SubId>,
    inbox_base: String,
    requests: u32,
}

impl Client {
    pub(crate) fn new(id: usize, plan: Plan) -> Self {
        Client {
            plan,
            link: None,
            fading: Vec::new(),
            reader: Reader::default(),
            tags: Vec::new(),
            is_stopped: false,
            slots: BTreeMap::new(),
            inbox_base: format!("_INBOX.c{id}"),
            requests: 0,
        }
    }

    /// Starts to speak over a new connection.
    pub(crate) fn connect(
        &mut self,
        history: &mut History,
        socket: SocketId,
        out: &mut VecDeque<u8>,
    ) {
        let kind = self.plan.kind;
        self.link = Some((socket, history.connect(kind)));
        self.reader = Reader::default();
        self.tags.clear();
        self.slots.clear();
        self.is_stopped = false;
        let line = format!(
            "CONNECT {{\"verbose\":{},\"pedantic\":false,\"echo\":{},\"headers\":{h},\"no_responders\":{h}}}\r\n",
            kind.verbose,
            !kind.no_echo,
            h = kind.headers
        );
        out.extend(line.as_bytes());
    }

    /// Says something over its connection. Acts that say nothing are no business of this.
    pub(crate) fn say(&mut self, history: &mut History, act: &Act, out: &mut VecDeque<u8>) {
        let Some((_, conn)) = self.link else {
            return;
        };
        match act {
            Act::Sub {
                slot,
                pattern,
                queue,
            } => {
                self.subscribe(history, conn, slot.clone(), pattern, queue.as_deref(), out);
            }
            Act::Unsub { slot, max } => self.unsubscribe(history, slot, *max, out),
            Act::Publish { subject, len } => self.publish(history, conn, subject, None, *len, out),
            Act::Request {
                subject,
                is_inbox_new,
            } => {
                self.request(history, conn, subject, *is_inbox_new, out);
            }
            Act::Ping(tag) => {
                history.ping(conn);
                self.tags.push(*tag);
                out.extend(b"PING\r\n");
            }
            _ => {}
        }
    }

    fn subscribe(
        &mut self,
        history: &mut History,
        conn: ConnId,
        slot: String,
        pattern: &str,
        queue: Option<&str>,
        out: &mut VecDeque<u8>,
    ) {
        let sid = history.subscribe(conn, pattern, queue);
        self.slots.insert(slot, sid);
        let queue = queue.map(|q| format!("{q} ")).unwrap_or_default();
        out.extend(format!("SUB {pattern} {queue}{sid}\r\n").as_bytes());
    }

    fn unsubscribe(
        &mut self,
        history: &mut History,
        slot: &str,
        max: usize,
        out: &mut VecDeque<u8>,
    ) {
        let Some(&sid) = self.slots.get(slot) else {
            return;
        };
        if max == 0 {
            self.slots.remove(slot);
            out.extend(format!("UNSUB {sid}\r\n").as_bytes());
        } else if history.subs[sid].max.is_none() {
            out.extend(format!("UNSUB {sid} {max}\r\n").as_bytes());
        } else {
            return;
        }
        history.unsubscribe(sid, max);
    }

    fn publish(
        &mut self,
        history: &mut History,
        conn: ConnId,
        subject: &str,
        reply: Option<&str>,
        len: usize,
        out: &mut VecDeque<u8>,
    ) {
        let seq = history.conns[conn].messages.len();
        history.publish(conn, subject, reply);
        let body = body::body(conn, seq, len);
        let reply = reply.map(|r| format!("{r} ")).unwrap_or_default();
        // Every third message of who can has headers.
        if has_headers(history, conn, seq) {
            let (head, all) = (HEADERS.len(), HEADERS.len() + body.len());
            out.extend(format!("HPUB {subject} {reply}{head} {all}\r\n{HEADERS}").as_bytes());
        } else {
            out.extend(format!("PUB {subject} {reply}{}\r\n", body.len()).as_bytes());
        }
        out.extend(&body);
        out.extend(b"\r\n");
    }

    fn request(
        &mut self,
        history: &mut History,
        conn: ConnId,
        subject: &str,
        is_inbox_new: bool,
        out: &mut VecDeque<u8>,
    ) {
        self.requests += 1;
        let inbox = format!("{}.{}", self.inbox_base, self.requests);
        if is_inbox_new {
            self.subscribe(history, conn, inbox.clone(), &inbox, None, out);
            if self.requests.is_multiple_of(2) {
                self.unsubscribe(history, &inbox, 1, out);
            }
        } else if !self.slots.contains_key(INBOX_SLOT) {
            let all = format!("{}.*", self.inbox_base);
            self.subscribe(history, conn, INBOX_SLOT.to_owned(), &all, None, out);
        }
        self.publish(history, conn, subject, Some(&inbox), 0, out);
    }

    /// Whether the next thing in the script has to wait.
    pub(crate) fn is_blocked(&self, history: &History) -> bool {
        match self.plan.script.front() {
            None | Some(Act::AwaitRest) => true,
            Some(Act::AwaitPongs) => self.is_owed_pongs(history),
            Some(_) => false,
        }
    }

    /// A PING of its connection is not answered.
    pub(crate) fn is_owed_pongs(&self, history: &History) -> bool {
        self.link.is_some_and(|(_, conn)| {
            history.conns[conn]
                .pings
                .last()
                .is_some_and(|p| p.pong == NEVER)
        })
    }
}

/// Whether a message of a connection has headers.
pub(crate) fn has_headers(history: &History, conn: ConnId, seq: usize) -> bool {
    history.conns[conn].kind.headers && seq % 3 == 1
}

/// Compares a message with what was sent (D4), and notes it. False if it is nothing that was sent.
pub(crate) fn note_message(
    history: &mut History,
    conn: ConnId,
    subject: &str,
    sid: usize,
    reply: Option<&str>,
    headers: &[u8],
    payload: &[u8],
) -> bool {
    let line = format!(
        "connection {conn} got {subject} {sid} {}",
        body::excerpt(payload)
    );
    if history.subs.get(sid).is_none_or(|s| s.conn != conn) {
        history.find(Fault::Stranger, format!("{line} for a sid it never used"));
        return false;
    }
    let found = body::parse(payload).and_then(|(from, seq)| {
        let messages = &history.conns.get(from)?.messages;
        Some((from, seq, *messages.get(seq)?))
    });
    let Some((from, seq, msg)) = found else {
        history.find(Fault::Corrupt, line);
        return false;
    };
    let m = &history.msgs[msg];
    let wants_headers = has_headers(history, from, seq) && history.conns[conn].kind.headers;
    let is_whole = history.name(m.subject) == subject
        && m.reply.map(|r| history.name(r)) == reply
        && headers
            == if wants_headers {
                HEADERS.as_bytes()
            } else {
                b""
            };
    if !is_whole {
        let text = format!(
            "{line} with headers {}, reply {reply:?}",
            body::excerpt(headers)
        );
        history.find(Fault::Corrupt, text);
        return false;
    }
    history.got(sid, msg);
    true
}
