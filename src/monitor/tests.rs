//! The monitoring port as its clients see it, with shards that are made up.

mod several_shards;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gnatsd_core::client::CloseReason;
use gnatsd_core::engine::Limits;
use gnatsd_core::engine::snapshot::{
    ConnQuery, ConnSnapshot, InterestStats, ShardStats, SubSnapshot,
};
use gnatsd_core::time::Time;
use serde_json::Value;

use super::ask::{Ask, NoAnswer};
use super::guard::CONNECTIONS_MAX;
use super::{Facts, Monitor};
use crate::server::clock::Clock;
use crate::server::control::ShardReport;

/// An open connection with nothing about it.
pub(super) fn conn(cid: u64) -> ConnSnapshot {
    ConnSnapshot {
        cid,
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 4000,
        start: Time(1_000),
        last_activity: Time(2_000),
        stop: None,
        rtt: None,
        pending_bytes: 0,
        in_msgs: 0,
        in_bytes: 0,
        out_msgs: 0,
        out_bytes: 0,
        subscriptions: 0,
        stalls: 0,
        name: "".into(),
        lang: "".into(),
        version: "".into(),
        user: "".into(),
        subjects: Vec::new(),
    }
}

fn reported(engine: ShardStats) -> ShardReport {
    ShardReport {
        engine,
        ..ShardReport::default()
    }
}

fn closed(cid: u64, reason: CloseReason) -> ConnSnapshot {
    ConnSnapshot {
        stop: Some((Time(5_000_000_000), reason)),
        ..conn(cid)
    }
}

#[derive(Default)]
struct Fake {
    conns: Vec<ConnSnapshot>,
    subs: Vec<SubSnapshot>,
    stats: Vec<ShardReport>,
    /// Open connections were asked for in a way that PINGs them.
    measured: AtomicUsize,
    /// What goes wrong.
    fault: Mutex<Option<Fault>>,
}

#[derive(Clone, Copy)]
enum Fault {
    Silent,
    Panics,
    /// As long as it is there.
    Waits,
}

impl Ask for Arc<Fake> {
    fn stats(&self) -> Result<Vec<ShardReport>, NoAnswer> {
        let fault = || *self.fault.lock().unwrap();
        while matches!(fault(), Some(Fault::Waits)) {
            std::thread::yield_now();
        }
        match fault() {
            None | Some(Fault::Waits) => Ok(self.stats.clone()),
            Some(Fault::Silent) => Err(NoAnswer),
            Some(Fault::Panics) => panic!("as the test wants it"),
        }
    }

    fn connections(
        &self,
        query: ConnQuery,
        take: &mut dyn FnMut(ConnSnapshot),
    ) -> Result<(), NoAnswer> {
        self.measured
            .fetch_add(usize::from(query.measure_rtt), SeqCst);
        let chosen = |c: &&ConnSnapshot| {
            c.stop.is_some() == query.closed && query.cid.is_none_or(|cid| cid == c.cid)
        };
        for conn in self.conns.iter().filter(chosen) {
            let subjects = if query.subjects {
                conn.subjects.clone()
            } else {
                Vec::new()
            };
            take(ConnSnapshot {
                subjects,
                ..conn.clone()
            });
        }
        Ok(())
    }

    fn subscriptions(
        &self,
        take: &mut dyn FnMut(SubSnapshot) -> ControlFlow<()>,
    ) -> Result<(), NoAnswer> {
        let _ = self.subs.iter().cloned().try_for_each(take);
        Ok(())
    }
}

fn facts() -> Facts {
    Facts {
        server_id: "UmyDio0XCiB2wqzEiwPP7N".into(),
        server_name: "n1".into(),
        version: "2.0.0",
        go: "rust1.95".into(),
        host: "example.org".into(),
        port: 4333,
        addr: "127.0.0.1".into(),
        http_host: "127.0.0.1".into(),
        http_port: -1,
        https_port: 0,
        max_connections: 65536,
        limits: Limits::default(),
        auth_timeout: Duration::from_secs(1),
        tls_timeout: None,
        auth_required: false,
        tls_required: false,
        tls_verify: false,
        clock: Clock::start(),
        cores: 2,
    }
}

fn serve(fake: Fake) -> (SocketAddr, Arc<Fake>) {
    let fake = Arc::new(fake);
    let monitor = Monitor::bind("127.0.0.1", 0).unwrap();
    let addr = monitor.local_addr();
    monitor
        .serve_from(None, facts(), Box::new(Arc::clone(&fake)))
        .unwrap();
    (addr, fake)
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

/// Sends bytes and gives all that comes back until the end.
fn exchange(addr: SocketAddr, request: &str) -> String {
    let mut stream = connect(addr);
    stream.write_all(request.as_bytes()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    String::from_utf8(all).unwrap()
}

/// Status, type and body of a GET; without chunks, since HTTP/1.0 has none.
fn get(addr: SocketAddr, path: &str) -> (u16, String, String) {
    let text = exchange(addr, &format!("GET {path} HTTP/1.0\r\n\r\n"));
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let kind = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Type: "))
        .unwrap();
    (status, kind.to_owned(), body.to_owned())
}

fn page(addr: SocketAddr, path: &str) -> Value {
    let (status, kind, body) = get(addr, path);
    assert_eq!(
        (status, kind.as_str()),
        (200, "application/json"),
        "{path}: {body}"
    );
    serde_json::from_str(&body).unwrap()
}

fn cids(page: &Value) -> Vec<u64> {
    page["connections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["cid"].as_u64().unwrap())
        .collect()
}

/// Names of the fields of the outermost object, in the order in which they stand.
fn keys(body: &str) -> Vec<&str> {
    let lines = body.lines().filter_map(|line| line.strip_prefix("  \""));
    lines
        .filter_map(|line| line.split_once('"').map(|(key, _)| key))
        .collect()
}

#[test]
fn varz() {
    let shard = |n: u64| {
        reported(ShardStats {
            connections: n,
            connections_total: 2 * n,
            in_msgs: 10 * n,
            in_bytes: 100 * n,
            out_msgs: 20 * n,
            out_bytes: 200 * n,
            slow_consumers: n,
            stale_connections: 2 * n,
            stalled_clients: 3 * n,
            closed: n,
            interest: InterestStats {
                subscriptions: 4 * n,
                ..InterestStats::default()
            },
            ..ShardStats::default()
        })
    };
    let (addr, _) = serve(Fake {
        stats: vec![shard(1), shard(2)],
        ..Fake::default()
    });
    let (_, _, body) = get(addr, "/varz");
    let want = "server_id version proto go host addr max_connections ping_interval ping_max http_host \
        http_port https_port auth_timeout max_control_line cluster tls_timeout port max_payload start now \
        uptime mem cores cpu connections total_connections routes remotes in_msgs out_msgs in_bytes \
        out_bytes slow_consumers max_pending write_deadline subscriptions http_req_stats config_load_time \
        server_name in_client_msgs in_client_bytes out_client_msgs out_client_bytes stale_connections \
        stalled_clients slow_consumer_stats stale_connection_stats shards";
    assert_eq!(keys(&body), want.split_whitespace().collect::<Vec<_>>());
    for line in [
        "  \"auth_timeout\": 1,",
        "  \"cluster\": {},",
        "  \"ping_interval\": 120000000000,",
        "  \"write_deadline\": 2000000000,",
        "  \"http_port\": -1,",
        "  \"host\": \"example.org\",",
        "  \"port\": 4333,",
        "  \"connections\": 3,",
        "  \"total_connections\": 6,",
        "  \"in_msgs\": 30,",
        "  \"in_bytes\": 300,",
        "  \"out_msgs\": 60,",
        "  \"out_bytes\": 600,",
        "  \"subscriptions\": 12,",
        "  \"slow_consumers\": 3,",
        "  \"stalled_clients\": 9,",
    ] {
        assert!(body.contains(&format!("{line}\n")), "{line} in {body}");
    }
    let page: Value = serde_json::from_str(&body).unwrap();
    assert!(page["mem"].as_u64().unwrap() > 100_000);
    assert_eq!(page["start"], page["config_load_time"]);
    assert!(!body.ends_with('\n'));
}

#[test]
fn requests_are_counted_when_their_parameters_were_good() {
    let (addr, _) = serve(Fake::default());
    for path in [
        "/",
        "/varz",
        "/connz",
        "/connz?sort=nonsense",
        "/connz?limit=x",
        "/routez",
        "/routez?subs=x",
        "/subsz",
        "/subsz?subs=x",
        "/subscriptionsz",
        "/nothing",
        "/stacksz",
        "/healthz",
        "//varz",
    ] {
        get(addr, path);
    }
    let text = exchange(addr, "HEAD /connz HTTP/1.0\r\n\r\n");
    assert!(text.ends_with("\r\n\r\n"));
    let (_, _, body) = get(addr, "/varz");
    let want = "  \"http_req_stats\": {\n    \"/\": 1,\n    \"/connz\": 3,\n    \"/routez\": 1,\n    \
                \"/subsz\": 3,\n    \"/varz\": 2\n  },\n";
    assert!(body.contains(want), "{body}");
}

#[test]
fn connz_windows_and_totals() {
    let mut conns: Vec<_> = (1..=6).rev().map(conn).collect();
    conns.extend([
        closed(7, CloseReason::ClientClosed),
        closed(8, CloseReason::WriteError),
    ]);
    let stats = vec![reported(ShardStats {
        connections: 6,
        closed: 2,
        ..ShardStats::default()
    })];
    let (addr, fake) = serve(Fake {
        conns,
        stats,
        ..Fake::default()
    });
    // (parameters, cids, offset, limit, total)
    let cases: &[(&str, &[u64], u64, u64, u64)] = &[
        ("", &[1, 2, 3, 4, 5, 6], 0, 1024, 6),
        ("?limit=2", &[1, 2], 0, 2, 6),
        ("?offset=4", &[5, 6], 4, 1024, 6),
        ("?offset=1&limit=3", &[2, 3, 4], 1, 3, 6),
        ("?offset=10", &[], 10, 1024, 6),
        ("?limit=0", &[1, 2, 3, 4, 5, 6], 0, 1024, 6),
        ("?limit=-3&offset=-2", &[1, 2, 3, 4, 5, 6], 0, 1024, 6),
        (
            "?offset=9223372036854775807&limit=9223372036854775807",
            &[],
            i64::MAX as u64,
            i64::MAX as u64,
            6,
        ),
        (
            "?limit=9223372036854775807",
            &[1, 2, 3, 4, 5, 6],
            0,
            i64::MAX as u64,
            6,
        ),
        ("?state=closed", &[7, 8], 0, 1024, 2),
        ("?state=ANY", &[1, 2, 3, 4, 5, 6, 7, 8], 0, 1024, 8),
        ("?state=all&limit=1&offset=6", &[7], 6, 1, 8),
        ("?cid=3", &[3], 0, 1, 6),
        ("?cid=3&offset=1", &[], 1, 1, 6),
        ("?cid=7", &[], 0, 1, 6),
        ("?cid=7&state=closed", &[7], 0, 1, 2),
        ("?cid=7&state=all", &[7], 0, 1, 8),
        ("?cid=3&state=any", &[3], 0, 1, 8),
        ("?cid=99", &[], 0, 1, 6),
        ("?sort=reason&state=closed", &[7, 8], 0, 1024, 2),
        ("?sort=rtt", &[1, 2, 3, 4, 5, 6], 0, 1024, 6),
        ("?acc=x&user=y&unknown", &[1, 2, 3, 4, 5, 6], 0, 1024, 6),
    ];
    for (parameters, want, offset, limit, total) in cases {
        let before = fake.measured.load(SeqCst);
        let page = page(addr, &format!("/connz{parameters}"));
        assert_eq!(cids(&page), *want, "{parameters}");
        let tops = [
            &page["num_connections"],
            &page["offset"],
            &page["limit"],
            &page["total"],
        ];
        assert_eq!(
            tops,
            [
                &Value::from(want.len()),
                &(*offset).into(),
                &(*limit).into(),
                &(*total).into()
            ]
        );
        let asks_open = usize::from(!parameters.contains("state=closed"));
        assert_eq!(
            fake.measured.load(SeqCst) - before,
            asks_open,
            "{parameters}"
        );
    }
}

#[test]
fn connz_keeps_the_right_ones_of_many() {
    let conns = (1..=10_000)
        .map(|cid| ConnSnapshot {
            in_msgs: cid * 7919 % 10_007,
            ..conn(cid)
        })
        .collect();
    let (addr, _) = serve(Fake {
        conns,
        ..Fake::default()
    });
    let mut order: Vec<u64> = (1..=10_000).collect();
    order.sort_by_key(|cid| std::cmp::Reverse(cid * 7919 % 10_007));
    let page = page(addr, "/connz?sort=msgs_from&offset=5&limit=20");
    assert_eq!(cids(&page), order[5..25]);
    assert_eq!(page["total"], 10_000);
}

#[test]
fn connz_fields() {
    let full = ConnSnapshot {
        ip: "2001:db8::1".parse().unwrap(),
        rtt: Some(Duration::from_micros(245)),
        stop: Some((Time(62_000_002_000), CloseReason::SlowConsumerDeadline)),
        stalls: 4,
        name: "my <client> & é".into(),
        lang: "go".into(),
        version: "1.6.0".into(),
        user: "u".into(),
        subjects: vec![b"foo"[..].into(), b"b\xffr"[..].into()],
        ..conn(2)
    };
    let (addr, _) = serve(Fake {
        conns: vec![conn(1), full],
        ..Fake::default()
    });
    let (_, _, body) = get(addr, "/connz?state=closed&subs=1&auth=t");
    assert_eq!(
        keys(&body),
        [
            "server_id",
            "now",
            "num_connections",
            "total",
            "offset",
            "limit",
            "connections"
        ]
    );
    let fields: Vec<_> = body
        .lines()
        .filter_map(|line| line.strip_prefix("      \""))
        .collect();
    let fields: Vec<_> = fields
        .iter()
        .filter_map(|line| line.split_once('"').map(|(key, _)| key))
        .collect();
    let want = "cid ip port start last_activity stop reason rtt uptime idle pending_bytes in_msgs out_msgs \
        in_bytes out_bytes stalls subscriptions name lang version authorized_user subscriptions_list";
    assert_eq!(fields, want.split_whitespace().collect::<Vec<_>>());
    assert!(
        body.contains(r#""name": "my \u003cclient\u003e \u0026 é""#),
        "{body}"
    );
    assert!(body.contains(r#""rtt": "245µs""#), "{body}");
    let shown: Value = serde_json::from_str(&body).unwrap();
    let shown = &shown["connections"][0];
    assert_eq!(shown["ip"], "2001:db8::1");
    assert_eq!(shown["reason"], "Slow Consumer (Write Deadline)");
    assert_eq!(
        (&shown["uptime"], &shown["idle"]),
        (&"1m2s".into(), &"1m2s".into())
    );
    assert_eq!(
        shown["subscriptions_list"],
        serde_json::json!(["foo", "b\u{fffd}r"])
    );

    // Not asked for, not there.
    let (_, _, body) = get(addr, "/connz?state=closed");
    assert!(
        !body.contains("authorized_user") && !body.contains("subscriptions_list"),
        "{body}"
    );
    let (_, _, body) = get(addr, "/connz?subs=1&auth=1");
    for key in [
        "stop",
        "reason",
        "rtt",
        "stalls",
        "name",
        "lang",
        "authorized_user",
        "subscriptions_list",
    ] {
        assert!(!body.contains(&format!("\"{key}\"")), "{key}");
    }
    let (_, _, body) = get(addr, "/connz?cid=77");
    assert!(body.ends_with("\"connections\": []\n}"), "{body}");
}

#[test]
fn subsz() {
    let sub = |subject: &str, queue: Option<&str>, max, cid| SubSnapshot {
        subject: subject.as_bytes().into(),
        queue: queue.map(|q| q.as_bytes().into()),
        sid: b"1"[..].into(),
        msgs: 1,
        max,
        cid,
    };
    let subs = vec![
        sub("foo.*", None, 0, 1),
        sub("bar", Some("q"), 10, 2),
        sub("foo.>", None, 0, 3),
    ];
    let (addr, _) = serve(Fake {
        subs,
        ..Fake::default()
    });
    let figures = [
        "num_subscriptions",
        "num_cache",
        "num_inserts",
        "num_removes",
        "num_matches",
        "cache_hit_rate",
        "max_fanout",
        "avg_fanout",
    ];
    for path in [
        "/subsz",
        "/subscriptionsz",
        "/subsz?subs=1&test=nobody",
        "/subsz?subs=1&offset=3",
    ] {
        let (_, _, body) = get(addr, path);
        assert_eq!(keys(&body), figures, "{path}");
        assert!(body.contains("\"avg_fanout\": 0\n}"), "{body}");
    }
    let (_, _, body) = get(addr, "/subsz?subs=1&limit=2");
    assert_eq!(
        keys(&body)[8..],
        ["total", "offset", "limit", "subscriptions_list"]
    );
    let want = "  \"total\": 2,\n  \"offset\": 0,\n  \"limit\": 2,\n  \"subscriptions_list\": [\n    {\n      \
        \"subject\": \"foo.*\",\n      \"sid\": \"1\",\n      \"msgs\": 1,\n      \"cid\": 1\n    },\n    {\n      \
        \"subject\": \"bar\",\n      \"qgroup\": \"q\",\n      \"sid\": \"1\",\n      \"msgs\": 1,\n      \
        \"max\": 10,\n      \"cid\": 2\n    }\n  ]\n}";
    assert!(body.ends_with(want), "{body}");
    let subjects = |path: &str| -> Vec<String> {
        let list = page(addr, path)["subscriptions_list"]
            .as_array()
            .unwrap()
            .clone();
        list.iter()
            .map(|s| s["subject"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(subjects("/subsz?subs=1&test=foo.a"), ["foo.*", "foo.>"]);
    assert_eq!(subjects("/subsz?subs=1&test=foo.a&offset=1"), ["foo.>"]);
    assert_eq!(subjects("/subsz?subs=1&offset=1&limit=1"), ["bar"]);
}

#[test]
fn the_other_pages() {
    let (addr, _) = serve(Fake::default());
    let (_, _, body) = get(addr, "/routez?subs=1");
    assert!(
        body.ends_with("\",\n  \"num_routes\": 0,\n  \"routes\": []\n}"),
        "{body}"
    );
    for path in ["/healthz", "/healthz?js-server-only=true"] {
        assert_eq!(
            get(addr, path),
            (200, "application/json".into(), r#"{"status":"ok"}"#.into())
        );
    }
    let (status, kind, body) = get(addr, "/stacksz");
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    assert!(body.contains("monitor-"), "{body}");
    let (status, kind, body) = get(addr, "/?callback=f");
    assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
    assert!(
        body.starts_with("<!DOCTYPE html>") && body.is_ascii(),
        "{body}"
    );
    for page in ["/varz", "/connz", "/routez", "/subsz"] {
        assert!(body.contains(&format!("href=\"{page}\"")), "{page}");
    }
}

#[test]
fn a_callback_wraps_pages_but_not_errors() {
    let (addr, _) = serve(Fake::default());
    for path in ["/varz", "/connz", "/routez", "/subsz", "/healthz"] {
        let (status, kind, body) = get(addr, &format!("{path}?callback=a%3Cb%3E"));
        assert_eq!(
            (status, kind.as_str()),
            (200, "application/javascript"),
            "{path}"
        );
        assert!(body.starts_with("a<b>({") && body.ends_with("})"), "{body}");
    }
    let (status, kind, body) = get(addr, "/connz?callback=f&state=ajar");
    assert_eq!((status, kind.as_str()), (400, "text/plain; charset=utf-8"));
    assert_eq!(body, "Error decoding state for ajar");
}

#[test]
fn unknown_and_unclean_paths() {
    let (addr, _) = serve(Fake::default());
    for path in ["/nothing", "/VARZ", "/varz/", "/metrics"] {
        let text = "text/plain; charset=utf-8".to_owned();
        assert_eq!(
            get(addr, path),
            (404, text, "404 page not found\n".into()),
            "{path}"
        );
    }
    let text = exchange(addr, "GET /a/../varz?x=1 HTTP/1.0\r\n\r\n");
    assert!(
        text.starts_with("HTTP/1.0 301 Moved Permanently\r\n"),
        "{text}"
    );
    assert!(text.contains("\r\nLocation: /varz?x=1\r\n"), "{text}");
    assert!(
        text.ends_with("\r\n\r\n<a href=\"/varz?x=1\">Moved Permanently</a>.\n\n"),
        "{text}"
    );
}

#[test]
fn any_method_on_one_connection() {
    let (addr, _) = serve(Fake::default());
    let mut requests = String::new();
    for method in ["GET", "POST", "DELETE", "OPTIONS", "HEAD", "BREW"] {
        requests +=
            &format!("{method} /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    }
    requests += "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let text = exchange(addr, &requests);
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 7, "{text}");
    assert_eq!(text.matches(r#"{"status":"ok"}"#).count(), 6, "{text}");
    assert_eq!(text.matches("Connection: close\r\n").count(), 1, "{text}");
    assert_eq!(text.matches("Content-Length: 15\r\n").count(), 7, "{text}");
}

#[test]
fn long_pages_come_in_chunks_and_whole() {
    let (addr, _) = serve(Fake {
        conns: (1..=500).map(conn).collect(),
        ..Fake::default()
    });
    let text = exchange(
        addr,
        "GET /connz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    let (head, mut rest) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nTransfer-Encoding: chunked"), "{head}");
    let mut body = String::new();
    loop {
        let (size, tail) = rest.split_once("\r\n").unwrap();
        let (chunk, tail) = tail.split_at(usize::from_str_radix(size, 16).unwrap());
        body += chunk;
        rest = tail.strip_prefix("\r\n").unwrap();
        if chunk.is_empty() {
            break;
        }
    }
    assert_eq!(rest, "");
    assert_eq!(cids(&serde_json::from_str(&body).unwrap()).len(), 500);
}

#[test]
fn what_is_no_request_ends_its_connection_only() {
    let (addr, _) = serve(Fake::default());
    let large = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "y".repeat(9000)
    );
    let cases = [
        ("CONNECT {}\r\nPING\r\n\r\n", "400 Bad Request"),
        ("\0\u{1}\u{2}\n\n", "400 Bad Request"),
        (
            "GET / HTTP/1.1\r\n\r\n",
            "400 Bad Request: missing required Host header",
        ),
        (large.as_str(), "431 Request Header Fields Too Large"),
    ];
    for (request, status) in cases {
        let text = exchange(addr, request);
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{text}"
        );
        assert!(text.ends_with(&format!("\r\n\r\n{status}")), "{text}");
    }
    // A body that nobody will read does not cost the answer, nor memory for what it announces.
    for body in [
        "Content-Length: 999999999999999999\r\n\r\nx",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ] {
        let mut stream = connect(addr);
        write!(stream, "POST /healthz HTTP/1.1\r\nHost: x\r\n{body}").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.ends_with(r#"{"status":"ok"}"#), "{text}");
    }
    drop(connect(addr));
    page(addr, "/healthz");
}

#[test]
fn a_shard_that_fails_costs_one_answer() {
    let (addr, fake) = serve(Fake::default());
    *fake.fault.lock().unwrap() = Some(Fault::Silent);
    for path in ["/varz", "/subsz"] {
        let (status, kind, body) = get(addr, path);
        assert_eq!(
            (status, kind.as_str()),
            (503, "text/plain; charset=utf-8"),
            "{path}"
        );
        assert_eq!(body, super::NOT_ANSWERED);
    }
    page(addr, "/healthz");
    *fake.fault.lock().unwrap() = Some(Fault::Panics);
    for _ in 0..2 * CONNECTIONS_MAX {
        assert_eq!(exchange(addr, "GET /subsz HTTP/1.0\r\n\r\n"), "");
    }
    *fake.fault.lock().unwrap() = None;
    page(addr, "/subsz");
}

#[test]
fn lists_that_wait_leave_room_for_what_is_small() {
    let (addr, fake) = serve(Fake::default());
    *fake.fault.lock().unwrap() = Some(Fault::Waits);
    let mut readers: Vec<TcpStream> = (0..CONNECTIONS_MAX - 2).map(|_| connect(addr)).collect();
    for reader in &mut readers {
        reader.write_all(b"GET /subsz HTTP/1.0\r\n\r\n").unwrap();
    }
    let start = Instant::now();
    page(addr, "/healthz");
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    *fake.fault.lock().unwrap() = None;
    let mut statuses = [0, 0];
    for mut reader in readers {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let is_served = text.starts_with("HTTP/1.0 200 OK\r\n");
        assert!(
            is_served || text.starts_with("HTTP/1.0 503 Service Unavailable\r\n"),
            "{text}"
        );
        statuses[usize::from(is_served)] += 1;
    }
    assert!(statuses[1] >= CONNECTIONS_MAX / 2, "{statuses:?}");
}

#[test]
fn idlers_do_not_keep_anyone_out() {
    let (addr, _) = serve(Fake::default());
    let mut idlers: Vec<TcpStream> = (0..4 * CONNECTIONS_MAX).map(|_| connect(addr)).collect();
    for idler in idlers.iter_mut().skip(1).step_by(2) {
        // Those whose place was given away cannot write any more.
        let _ = idler.write_all(b"GET /varz HT");
    }
    let start = Instant::now();
    page(addr, "/healthz");
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    // The first ones had to go, and see it at once.
    let mut first = idlers.swap_remove(0);
    let mut rest = Vec::new();
    let _ = first.read_to_end(&mut rest);
    assert!(rest.is_empty() && start.elapsed() < Duration::from_secs(2));
}

#[test]
fn silence_ends_after_its_time() {
    let (addr, _) = serve(Fake::default());
    let start = Instant::now();
    assert_eq!(exchange(addr, "GET /varz HTTP/1.1\r\nHost: x\r\n"), "");
    let passed = start.elapsed();
    assert!(
        passed > Duration::from_secs(4) && passed < Duration::from_secs(8),
        "{passed:?}"
    );
}

#[test]
fn a_port_that_is_taken_shows() {
    let monitor = Monitor::bind("127.0.0.1", 0).unwrap();
    let port = monitor.local_addr().port();
    let error = Monitor::bind("127.0.0.1", port).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let any = Monitor::bind("0.0.0.0", 0).unwrap();
    TcpStream::connect(("127.0.0.1", any.local_addr().port())).unwrap();
}
