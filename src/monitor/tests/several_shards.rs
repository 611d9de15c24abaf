//! Lists and sums over several shards, each on its thread, with more entries than a page of a shard.

use gnatsd_core::client::CloseReason;
use gnatsd_core::engine::snapshot::{ConnSnapshot, Page, ShardStats, SubSnapshot};
use gnatsd_core::time::Time;
use gnatsd_shards::{Config, DriverChoice, Io, Lanes, Next, Runtime, Service, ShardId};

use super::*;
use crate::server::control::{Control, ShardReport};

/// Connections of each shard: one has several pages, one a part of a page, one none.
const CONNECTIONS: [u64; 3] = [1300, 700, 0];
const ALL: u64 = 2000;
/// Closed ones of each shard.
const CLOSED: u64 = 600;

/// Answers as an engine would.
struct Shard {
    id: ShardId,
    open: Vec<ConnSnapshot>,
    closed: Vec<ConnSnapshot>,
    subs: Vec<SubSnapshot>,
    stops: bool,
}

impl Shard {
    fn new(id: ShardId) -> Self {
        // As the acceptor gives them away: in turns while there are two.
        let cid = |n: u64| match id.0 {
            0 if n < CONNECTIONS[1] => 2 * n + 1,
            0 => n + CONNECTIONS[1] + 1,
            _ => 2 * n + 2,
        };
        let open: Vec<ConnSnapshot> = (0..CONNECTIONS[id.index()])
            .map(|n| ConnSnapshot {
                in_msgs: cid(n) % 7,
                ..conn(cid(n))
            })
            .collect();
        let subs = open.iter().map(|conn| SubSnapshot {
            subject: format!("s.{}", conn.cid).into_bytes().into(),
            queue: None,
            sid: b"1"[..].into(),
            msgs: 0,
            max: 0,
            cid: conn.cid,
        });
        let (first, shard) = (ALL + 1 + CLOSED * u64::from(id.0), u64::from(id.0));
        Shard {
            id,
            subs: subs.collect(),
            // They ended in turns, one of each shard.
            closed: (0..CLOSED)
                .map(|n| ConnSnapshot {
                    stop: Some((Time(1_000_000 + 3 * n + shard), CloseReason::ClientClosed)),
                    ..conn(first + n)
                })
                .collect(),
            open,
            stops: false,
        }
    }
}

fn page_of<T: Clone>(all: &[T], from: u32, limit: u32) -> Page<T> {
    let end = from.saturating_add(limit);
    let items = all.iter().skip(from as usize).take(limit as usize);
    Page {
        items: items.cloned().collect(),
        next: ((end as usize) < all.len()).then_some(end),
    }
}

impl Service for Shard {
    type Control = Control;
    type Batch = ();

    fn control(&mut self, _: &mut impl Io, message: Control) {
        match message {
            Control::Stats(to) => {
                let engine = ShardStats {
                    connections: self.open.len() as u64,
                    closed: self.closed.len() as u64,
                    in_msgs: 10 * (u64::from(self.id.0) + 1),
                    crossed_in: 3,
                    interest: InterestStats {
                        subscriptions: self.subs.len() as u64,
                        ..InterestStats::default()
                    },
                    ..ShardStats::default()
                };
                let _ = to.try_send(ShardReport {
                    shard: self.id.0,
                    engine,
                    lane_depth: u64::from(self.id.0),
                    ..ShardReport::default()
                });
            }
            Control::Connections(query, to) => {
                let all = if query.closed {
                    &self.closed
                } else {
                    &self.open
                };
                let mut page = page_of(all, query.from, query.limit);
                page.items
                    .retain(|conn| query.cid.is_none_or(|cid| cid == conn.cid));
                drop(to.try_send(page));
            }
            Control::Subscriptions(from, limit, to) => {
                drop(to.try_send(page_of(&self.subs, from, limit)));
            }
            Control::Stop => self.stops = true,
            Control::Open(_) | Control::Decided(_) => {}
        }
    }

    fn turn(&mut self, _: &mut impl Io) -> Next {
        if self.stops {
            Next::Stop
        } else {
            Next::Park(None)
        }
    }
}

/// A monitoring port in front of the shards. They end when it is dropped.
struct Served {
    addr: SocketAddr,
    runtime: Option<Runtime<Control>>,
}

impl Served {
    fn start() -> Self {
        let config = Config {
            shards: CONNECTIONS.len(),
            driver: DriverChoice::Epoll,
            pin: false,
            thread_name: "several".to_owned(),
            lanes: Vec::new(),
        };
        let make = |id: ShardId, _: Lanes<()>| Shard::new(id);
        let runtime = gnatsd_shards::start(config, make).unwrap();
        let monitor = Monitor::bind("127.0.0.1", 0).unwrap();
        let addr = monitor.local_addr();
        monitor
            .serve(None, facts(), runtime.handles().to_vec())
            .unwrap();
        Served {
            addr,
            runtime: Some(runtime),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        for shard in runtime.handles() {
            let _ = shard.send(Control::Stop);
        }
        let _ = runtime.join();
    }
}

#[test]
fn windows_over_all_shards_show_each_connection_once_and_in_order() {
    let served = Served::start();
    let mut shown = Vec::new();
    while shown.len() < 3 * ALL as usize {
        let path = format!("/connz?limit=333&offset={}", shown.len());
        let page = page(served.addr, &path);
        assert_eq!(page["total"], ALL);
        let cids = cids(&page);
        if cids.is_empty() {
            break;
        }
        shown.extend(cids);
    }
    assert_eq!(shown, (1..=ALL).collect::<Vec<_>>());
    for (parameters, want, total) in [
        ("?cid=1400", &[1400][..], ALL),
        ("?cid=1401", &[1401], ALL),
        ("?cid=2001", &[], ALL),
        ("?cid=2001&state=closed", &[2001], 3 * CLOSED),
        ("?cid=3800&state=all", &[3800], ALL + 3 * CLOSED),
        (
            "?state=all&offset=1999&limit=2",
            &[2000, 2001],
            ALL + 3 * CLOSED,
        ),
    ] {
        let page = page(served.addr, &format!("/connz{parameters}"));
        assert_eq!(
            (cids(&page).as_slice(), &page["total"]),
            (want, &total.into()),
            "{parameters}"
        );
    }
}

#[test]
fn an_order_holds_over_the_shards_and_ties_are_by_id() {
    let served = Served::start();
    let mut want: Vec<u64> = (1..=ALL).collect();
    want.sort_by_key(|cid| (std::cmp::Reverse(cid % 7), *cid));
    let page_at = |offset: usize| {
        let path = format!("/connz?sort=msgs_from&limit=500&offset={offset}");
        cids(&page(served.addr, &path))
    };
    let shown: Vec<u64> = (0..4).flat_map(|n| page_at(500 * n)).collect();
    assert_eq!(shown, want);
}

#[test]
fn closed_connections_are_merged_by_the_time_they_ended() {
    let served = Served::start();
    let page = page(served.addr, "/connz?state=closed&sort=stop&limit=10000");
    // The last one first: of shard 2, 1, 0, then the one before of shard 2, and so on.
    let want: Vec<u64> = (0..CLOSED)
        .rev()
        .flat_map(|n| [2, 1, 0].map(|shard| ALL + 1 + shard * CLOSED + n))
        .collect();
    assert_eq!(cids(&page), want);
    assert_eq!(page["total"], 3 * CLOSED);
}

#[test]
fn windows_of_subscriptions_show_each_once() {
    let served = Served::start();
    let mut shown = Vec::new();
    loop {
        let path = format!("/subsz?subs=1&limit=300&offset={}", shown.len());
        let page = page(served.addr, &path);
        assert_eq!(page["num_subscriptions"], ALL);
        let Some(list) = page["subscriptions_list"].as_array() else {
            break;
        };
        shown.extend(list.iter().map(|sub| sub["cid"].as_u64().unwrap()));
        assert!(shown.len() <= ALL as usize);
    }
    shown.sort_unstable();
    assert_eq!(shown, (1..=ALL).collect::<Vec<_>>());
}

#[test]
fn sums_and_one_entry_for_each_shard() {
    let served = Served::start();
    let page = page(served.addr, "/varz");
    assert_eq!(
        (&page["connections"], &page["subscriptions"]),
        (&ALL.into(), &ALL.into())
    );
    assert_eq!(page["in_msgs"], 60, "what crossed is not received again");
    let shards = page["shards"].as_array().unwrap();
    let figure =
        |name: &str| -> Vec<u64> { shards.iter().map(|s| s[name].as_u64().unwrap()).collect() };
    assert_eq!(figure("shard"), [0, 1, 2]);
    assert_eq!(figure("connections"), CONNECTIONS);
    assert_eq!(figure("in_msgs"), [10, 20, 30]);
    assert_eq!(figure("crossed_in"), [3, 3, 3]);
    assert_eq!(figure("lane_depth"), [0, 1, 2]);
}
