//! `/connz`: the connections, open and closed, chosen, sorted, and a window of them shown.

use std::cmp::Ordering;
use std::collections::HashSet;

use gnatsd_core::engine::snapshot::{ConnQuery, ConnSnapshot};
use gnatsd_core::time::Time;
use serde::Serialize;

use super::Facts;
use super::ask::{Ask, NoAnswer};
use super::format;
use super::query::{Query, Refusal, Window};
use crate::server::control::ShardReport;

/// Entries kept at least while looking for those at the front.
const KEPT_MIN: usize = 2048;

/// Which connections, by their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    All,
}

impl State {
    fn parse(query: &Query) -> Result<Self, Refusal> {
        let Some(text) = query.text("state") else {
            return Ok(State::Open);
        };
        match text.to_ascii_lowercase().as_slice() {
            b"open" => Ok(State::Open),
            b"closed" => Ok(State::Closed),
            b"any" | b"all" => Ok(State::All),
            _ => Err(Refusal::naming("Error decoding state for ", text)),
        }
    }

    fn includes(self, closed: bool) -> bool {
        match self {
            State::Open => !closed,
            State::Closed => closed,
            State::All => true,
        }
    }
}

/// What the list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SortKey {
    Cid,
    Subs,
    Pending,
    MsgsTo,
    MsgsFrom,
    BytesTo,
    BytesFrom,
    Last,
    Idle,
    Uptime,
    Stop,
    Reason,
    Rtt,
}

impl SortKey {
    fn parse(query: &Query, state: State) -> Result<Self, Refusal> {
        let Some(text) = query.text("sort") else {
            return Ok(SortKey::Cid);
        };
        let only_closed = |key, name| {
            if state == State::Closed {
                Ok(key)
            } else {
                Err(Refusal(
                    format!("Sort by {name} only valid on closed connections").into_bytes(),
                ))
            }
        };
        match text {
            b"cid" | b"start" => Ok(SortKey::Cid),
            b"subs" => Ok(SortKey::Subs),
            b"pending" => Ok(SortKey::Pending),
            b"msgs_to" => Ok(SortKey::MsgsTo),
            b"msgs_from" => Ok(SortKey::MsgsFrom),
            b"bytes_to" => Ok(SortKey::BytesTo),
            b"bytes_from" => Ok(SortKey::BytesFrom),
            b"last" => Ok(SortKey::Last),
            b"idle" => Ok(SortKey::Idle),
            b"uptime" => Ok(SortKey::Uptime),
            b"rtt" => Ok(SortKey::Rtt),
            b"stop" => only_closed(SortKey::Stop, "stop"),
            b"reason" => only_closed(SortKey::Reason, "reason"),
            _ => Err(Refusal::naming("Invalid sorting option: ", text)),
        }
    }

    /// Largest first but for ids, uptimes and reasons; ties by id. Source: gnatsd 1.2.0, and 2.10
    /// for `rtt`.
    fn compare(self, a: &ConnSnapshot, b: &ConnSnapshot, now: Time) -> Ordering {
        let end = |c: &ConnSnapshot| c.stop.map_or(now, |(at, _)| at);
        let reason = |c: &ConnSnapshot| c.stop.map_or_else(String::new, |(_, why)| why.to_string());
        let order = match self {
            SortKey::Cid => Ordering::Equal,
            SortKey::Subs => b.subscriptions.cmp(&a.subscriptions),
            SortKey::Pending => b.pending_bytes.cmp(&a.pending_bytes),
            SortKey::MsgsTo => b.out_msgs.cmp(&a.out_msgs),
            SortKey::MsgsFrom => b.in_msgs.cmp(&a.in_msgs),
            SortKey::BytesTo => b.out_bytes.cmp(&a.out_bytes),
            SortKey::BytesFrom => b.in_bytes.cmp(&a.in_bytes),
            SortKey::Last => b.last_activity.cmp(&a.last_activity),
            // Not the field of that name.
            SortKey::Idle => b
                .last_activity
                .since(b.start)
                .cmp(&a.last_activity.since(a.start)),
            SortKey::Uptime => end(a).since(a.start).cmp(&end(b).since(b.start)),
            SortKey::Stop => end(b).cmp(&end(a)),
            SortKey::Reason => reason(a).cmp(&reason(b)),
            SortKey::Rtt => b.rtt.cmp(&a.rtt),
        };
        order.then(a.cid.cmp(&b.cid))
    }
}

/// What the request asks for, but for the order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    auth: bool,
    subs: bool,
    window: Window,
    cid: Option<u64>,
    state: State,
}

impl Wish {
    /// Reads the parameters in the order in which gnatsd 1.2.0 does.
    ///
    /// # Errors
    /// What the first bad one is answered with.
    pub(super) fn parse(query: &Query) -> Result<Self, Refusal> {
        let auth = query.boolean("auth")?;
        let subs = query.boolean("subs")?;
        let mut window = query.window()?;
        let cid = Some(query.uint64("cid")?).filter(|&cid| cid != 0);
        let state = State::parse(query)?;
        if cid.is_some() {
            window.limit = 1;
        }
        Ok(Wish {
            auth,
            subs,
            window,
            cid,
            state,
        })
    }

    /// Reads the order.
    ///
    /// # Errors
    /// There is no such order, or not for connections of that state.
    pub(super) fn sorted(self, query: &Query) -> Result<SortedWish, Refusal> {
        Ok(SortedWish {
            wish: self,
            key: SortKey::parse(query, self.state)?,
        })
    }
}

/// All that the request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct SortedWish {
    wish: Wish,
    key: SortKey,
}

/// The page.
#[derive(Debug, Serialize)]
pub(super) struct Connz<'a> {
    server_id: &'a str,
    now: String,
    num_connections: usize,
    total: u64,
    offset: u64,
    limit: u64,
    connections: Vec<ConnInfo>,
}

/// One connection.
#[derive(Debug, Serialize)]
struct ConnInfo {
    cid: u64,
    ip: String,
    port: u16,
    start: String,
    last_activity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<String>,
    uptime: String,
    idle: String,
    pending_bytes: u64,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    stalls: u64,
    subscriptions: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    lang: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    authorized_user: Box<str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<String>,
}

impl<'a> Connz<'a> {
    /// Asks for the connections and puts the page together.
    ///
    /// # Errors
    /// A shard did not answer.
    ///
    /// # Cost
    /// Looks at every connection, keeps about twice as many as the window reaches.
    pub(super) fn new(
        facts: &'a Facts,
        ask: &dyn Ask,
        sorted: SortedWish,
    ) -> Result<Self, NoAnswer> {
        let SortedWish { wish, key } = sorted;
        let now = facts.clock.now();
        let order = |a: &ConnSnapshot, b: &ConnSnapshot| key.compare(a, b, now);
        let kept_max = wish.window.end().saturating_mul(2).max(KEPT_MIN);
        let mut kept: Vec<ConnSnapshot> = Vec::new();
        // Who closes between two questions would be seen twice.
        let mut seen = HashSet::new();
        for closed in [false, true] {
            if !wish.state.includes(closed) {
                continue;
            }
            let query = ConnQuery {
                closed,
                cid: wish.cid,
                subjects: wish.subs,
                measure_rtt: !closed,
                ..ConnQuery::default()
            };
            ask.connections(query, &mut |conn| {
                if seen.insert(conn.cid) {
                    kept.push(conn);
                }
                if kept.len() >= kept_max {
                    kept.sort_unstable_by(order);
                    kept.truncate(wish.window.end());
                }
            })?;
        }
        kept.sort_unstable_by(order);
        kept.truncate(wish.window.end());
        let total = match wish.cid {
            // The whole population, whoever was asked for.
            Some(_) => population(&ask.stats()?, wish.state),
            None => seen.len() as u64,
        };
        let shown = kept.into_iter().skip(wish.window.start());
        let connections: Vec<ConnInfo> = shown
            .map(|conn| ConnInfo::new(facts, conn, wish.auth, now))
            .collect();
        Ok(Connz {
            server_id: &facts.server_id,
            now: format::time(&facts.clock.wall_at(now)),
            num_connections: connections.len(),
            total,
            offset: wish.window.offset,
            limit: wish.window.limit,
            connections,
        })
    }
}

fn population(reports: &[ShardReport], state: State) -> u64 {
    let of = |report: &ShardReport| {
        let open = if state.includes(false) {
            report.engine.connections
        } else {
            0
        };
        let closed = if state.includes(true) {
            report.engine.closed
        } else {
            0
        };
        open.saturating_add(closed)
    };
    reports.iter().map(of).fold(0, u64::saturating_add)
}

impl ConnInfo {
    fn new(facts: &Facts, conn: ConnSnapshot, with_user: bool, now: Time) -> Self {
        let time = |at| format::time(&facts.clock.wall_at(at));
        let end = conn.stop.map_or(now, |(at, _)| at);
        ConnInfo {
            cid: conn.cid,
            ip: conn.ip.to_string(),
            port: conn.port,
            start: time(conn.start),
            last_activity: time(conn.last_activity),
            stop: conn.stop.map(|(at, _)| time(at)),
            reason: conn.stop.map(|(_, why)| why.to_string()),
            rtt: conn.rtt.map(format::rtt),
            uptime: format::uptime(end.since(conn.start)),
            idle: format::uptime(end.since(conn.last_activity)),
            pending_bytes: conn.pending_bytes,
            in_msgs: conn.in_msgs,
            out_msgs: conn.out_msgs,
            in_bytes: conn.in_bytes,
            out_bytes: conn.out_bytes,
            stalls: conn.stalls,
            subscriptions: conn.subscriptions,
            name: conn.name,
            lang: conn.lang,
            version: conn.version,
            authorized_user: if with_user { conn.user } else { Box::default() },
            subscriptions_list: conn
                .subjects
                .iter()
                .map(|subject| String::from_utf8_lossy(subject).into_owned())
                .collect(),
        }
    }
}

// serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::super::tests::conn;
    use super::*;
    use gnatsd_core::client::CloseReason;
    use std::time::Duration;

    fn refused(raw: &str) -> String {
        let query = Query::parse(raw.as_bytes());
        let refusal = Wish::parse(&query)
            .and_then(|wish| wish.sorted(&query))
            .unwrap_err();
        String::from_utf8(refusal.0).unwrap()
    }

    #[test]
    fn the_first_bad_parameter_answers() {
        let all_bad = [
            "auth=x", "subs=x", "offset=x", "limit=x", "cid=x", "state=x", "sort=x",
        ];
        let named = [
            "'auth'",
            "'subs'",
            "'offset'",
            "'limit'",
            "'cid'",
            "state for x",
            "option: x",
        ];
        for (at, want) in named.iter().enumerate() {
            // Whatever their order in the request.
            let mut bad = all_bad[at..].to_vec();
            bad.reverse();
            let text = refused(&bad.join("&"));
            assert!(text.contains(want), "{text}");
        }
    }

    #[test]
    fn texts() {
        assert_eq!(refused("state=ajar"), "Error decoding state for ajar");
        assert_eq!(refused("sort=nonsense"), "Invalid sorting option: nonsense");
        assert_eq!(refused("sort=CID"), "Invalid sorting option: CID");
        assert_eq!(
            refused("sort=stop"),
            "Sort by stop only valid on closed connections"
        );
        assert_eq!(
            refused("sort=reason&state=all"),
            "Sort by reason only valid on closed connections"
        );
    }

    #[test]
    fn states_in_any_case() {
        for (raw, want) in [
            ("", State::Open),
            ("state=OPEN", State::Open),
            ("state=Closed", State::Closed),
            ("state=ANY", State::All),
            ("state=all", State::All),
        ] {
            assert_eq!(
                State::parse(&Query::parse(raw.as_bytes())),
                Ok(want),
                "{raw}"
            );
        }
    }

    #[test]
    fn a_cid_makes_a_page_of_one() {
        let wish = Wish::parse(&Query::parse(b"cid=7&limit=50&offset=2")).unwrap();
        assert_eq!(
            (wish.cid, wish.window),
            (
                Some(7),
                Window {
                    offset: 2,
                    limit: 1
                }
            )
        );
        assert_eq!(Wish::parse(&Query::parse(b"cid=0")).unwrap().cid, None);
    }

    #[test]
    fn sort_orders() {
        let s = |seconds: u64| Time(seconds * 1_000_000_000);
        let mut a = conn(1);
        (a.subscriptions, a.pending_bytes, a.out_msgs, a.in_msgs) = (1, 20, 3, 1);
        (a.out_bytes, a.in_bytes, a.start, a.last_activity) = (5, 6, s(1), s(2));
        a.stop = Some((s(9), CloseReason::WriteError));
        let mut b = conn(2);
        (b.subscriptions, b.pending_bytes, b.out_msgs, b.in_msgs) = (3, 10, 2, 3);
        (b.out_bytes, b.in_bytes, b.start, b.last_activity) = (7, 5, s(2), s(7));
        b.stop = Some((s(8), CloseReason::ClientClosed));
        b.rtt = Some(Duration::from_millis(1));
        let mut c = conn(3);
        (c.subscriptions, c.pending_bytes, c.out_msgs, c.in_msgs) = (2, 30, 1, 2);
        (c.out_bytes, c.in_bytes, c.start, c.last_activity) = (6, 7, s(3), s(6));
        c.stop = Some((s(20), CloseReason::StaleConnection));
        c.rtt = Some(Duration::from_millis(2));
        let cases = [
            ("", [1, 2, 3]),
            ("cid", [1, 2, 3]),
            ("start", [1, 2, 3]),
            ("subs", [2, 3, 1]),
            ("pending", [3, 1, 2]),
            ("msgs_to", [1, 2, 3]),
            ("msgs_from", [2, 3, 1]),
            ("bytes_to", [2, 3, 1]),
            ("bytes_from", [3, 1, 2]),
            ("last", [2, 3, 1]),
            ("idle", [2, 3, 1]),
            ("uptime", [2, 1, 3]),
            ("stop", [3, 1, 2]),
            ("reason", [2, 3, 1]),
            ("rtt", [3, 2, 1]),
        ];
        for (name, want) in cases {
            let query = Query::parse(format!("state=closed&sort={name}").as_bytes());
            let sorted = Wish::parse(&query).unwrap().sorted(&query).unwrap();
            let mut conns = [c.clone(), a.clone(), b.clone()];
            conns.sort_unstable_by(|x, y| sorted.key.compare(x, y, s(30)));
            assert_eq!(conns.map(|conn| conn.cid), want, "{name}");
        }
        // Open ones are as old as the clock says.
        (a.stop, b.stop) = (None, None);
        assert_eq!(SortKey::Uptime.compare(&a, &b, s(30)), Ordering::Greater);
        assert_eq!(SortKey::Uptime.compare(&a, &c, s(30)), Ordering::Greater);
    }
}
