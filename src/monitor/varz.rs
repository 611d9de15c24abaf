//! `/varz`: the server as a whole. Field order is gnatsd 1.2.0's; what 2.x added comes behind.

use std::time::Duration;

use gnatsd_core::engine::snapshot::ShardStats;
use gnatsd_core::time::Time;
use serde::Serialize;

use super::Facts;
use super::format;
use super::pages::RequestCounts;
use super::per_shard::ShardInfo;
use crate::server::control::ShardReport;

/// Default time for a TLS handshake, in seconds. Source: nats-server 2.x.
const TLS_TIMEOUT_S: f64 = 2.0;

/// The page. What only this server has comes last.
#[derive(Debug, Serialize)]
pub(super) struct Varz<'a> {
    server_id: &'a str,
    version: &'a str,
    proto: u8,
    go: &'a str,
    host: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    auth_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_verify: bool,
    addr: &'a str,
    max_connections: i64,
    #[serde(skip_serializing_if = "is_zero")]
    max_subscriptions: usize,
    ping_interval: u64,
    ping_max: u32,
    http_host: &'a str,
    http_port: i64,
    https_port: i64,
    auth_timeout: f64,
    max_control_line: usize,
    cluster: Cluster,
    tls_timeout: f64,
    port: u16,
    max_payload: i64,
    start: String,
    now: String,
    uptime: String,
    mem: u64,
    cores: usize,
    cpu: f64,
    connections: u64,
    total_connections: u64,
    routes: u64,
    remotes: u64,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    slow_consumers: u64,
    max_pending: usize,
    write_deadline: u64,
    subscriptions: u64,
    http_req_stats: RequestCounts,
    config_load_time: String,
    server_name: &'a str,
    in_client_msgs: u64,
    in_client_bytes: u64,
    out_client_msgs: u64,
    out_client_bytes: u64,
    stale_connections: u64,
    stalled_clients: u64,
    slow_consumer_stats: ByKind,
    stale_connection_stats: ByKind,
    shards: Vec<ShardInfo>,
}

/// What is said of the cluster; nothing without one.
#[derive(Debug, Serialize)]
struct Cluster {}

/// A count by kind of connection.
#[derive(Debug, Serialize)]
struct ByKind {
    clients: u64,
    routes: u64,
    gateways: u64,
    leafs: u64,
}

impl ByKind {
    fn clients(clients: u64) -> Self {
        ByKind {
            clients,
            routes: 0,
            gateways: 0,
            leafs: 0,
        }
    }
}

/// What the operating system says of the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    /// Resident memory in bytes.
    pub(super) resident_bytes: u64,
    /// Percent of one core.
    pub(super) cpu: f64,
}

impl<'a> Varz<'a> {
    /// Puts the page together; the counters are summed over the shards.
    pub(super) fn new(
        facts: &'a Facts,
        reports: &[ShardReport],
        used: Use,
        requests: RequestCounts,
    ) -> Self {
        let now = facts.clock.now();
        let start = format::time(&facts.clock.wall_at(Time::ZERO));
        let sum = |figure: fn(&ShardStats) -> u64| {
            let figures = reports.iter().map(|report| figure(&report.engine));
            figures.fold(0, u64::saturating_add)
        };
        let in_msgs = sum(|s| s.in_msgs);
        let in_bytes = sum(|s| s.in_bytes);
        let out_msgs = sum(|s| s.out_msgs);
        let out_bytes = sum(|s| s.out_bytes);
        let slow_consumers = sum(|s| s.slow_consumers);
        let stale_connections = sum(|s| s.stale_connections);
        Varz {
            server_id: &facts.server_id,
            version: facts.version,
            proto: 1,
            go: &facts.go,
            host: &facts.host,
            auth_required: facts.auth_required,
            tls_required: facts.tls_required,
            tls_verify: facts.tls_verify,
            addr: &facts.addr,
            max_connections: facts.max_connections,
            max_subscriptions: facts.limits.subscriptions_max,
            ping_interval: nanos(facts.limits.ping_interval),
            ping_max: facts.limits.ping_max,
            http_host: &facts.http_host,
            http_port: facts.http_port,
            https_port: facts.https_port,
            auth_timeout: facts.auth_timeout.as_secs_f64(),
            max_control_line: facts.limits.control_line_bytes_max,
            cluster: Cluster {},
            tls_timeout: facts
                .tls_timeout
                .map_or(TLS_TIMEOUT_S, |timeout| timeout.as_secs_f64()),
            port: facts.port,
            max_payload: facts.limits.payload_bytes_max,
            config_load_time: start.clone(),
            start,
            now: format::time(&facts.clock.wall_at(now)),
            uptime: format::uptime(now.since(Time::ZERO)),
            mem: used.resident_bytes,
            cores: facts.cores,
            cpu: used.cpu,
            connections: sum(|s| s.connections),
            total_connections: sum(|s| s.connections_total),
            routes: 0,
            remotes: 0,
            in_msgs,
            out_msgs,
            in_bytes,
            out_bytes,
            slow_consumers,
            max_pending: facts.limits.pending_bytes_max,
            write_deadline: nanos(facts.limits.write_deadline),
            subscriptions: sum(|s| s.interest.subscriptions),
            http_req_stats: requests,
            server_name: &facts.server_name,
            in_client_msgs: in_msgs,
            in_client_bytes: in_bytes,
            out_client_msgs: out_msgs,
            out_client_bytes: out_bytes,
            stale_connections,
            stalled_clients: sum(|s| s.stalled_clients),
            slow_consumer_stats: ByKind::clients(slow_consumers),
            stale_connection_stats: ByKind::clients(stale_connections),
            shards: reports.iter().map(ShardInfo::new).collect(),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

// serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(flag: &bool) -> bool {
    !flag
}

// serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
