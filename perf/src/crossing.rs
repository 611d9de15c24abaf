//! What it costs to cross from shard to shard: `perf crossing`.
//!
//! The same load on the same server with two shards, once with publishers and subscriber on one of them and
//! once on both, and with one shard for comparison. A new connection goes to the shard with the fewest, so
//! they are placed by the order in which they come; the server's own figures say whether that worked.
//!
//! `1to1` and `mixed` are about a message that crosses. `fanin` is about whether publishers of one subject add up: of four
//! that are *across*, two are on each shard, so half of the messages cross; what a delivery costs then is
//! set against what it costs with one publisher in the same run ([`crate::claims`]). The generator shares the two CPUs
//! with the shards, so only processor time says anything.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;
use crate::args::Plan;
use crate::claims::{APART, TOGETHER};
use crate::compare;
use crate::peers::{self, Peer, Running};
use crate::report::Outcome;
use crate::scenarios::Shape;

/// How long the server may take to count off the connection that asked whether it listens.
const EMPTY_LIMIT: Duration = Duration::from_secs(5);

/// How long the monitor may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Least share of the messages that must cross, and greatest, where half of the publishers are on the
/// subscriber's shard. They publish alike, but for what one may be ahead of the others.
const HALF_CROSSES: std::ops::RangeInclusive<f64> = 0.4..=0.6;

/// Where publishers and subscriber are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placing {
    /// On one shard of two.
    Together,
    /// One publisher on the other shard; of several, every second.
    Apart,
}

impl Placing {
    /// Connections in front of each publisher; the subscriber comes first of all.
    pub(crate) fn fillers(self) -> usize {
        match self {
            Placing::Together => 1,
            Placing::Apart => 0,
        }
    }

    /// Waits until nobody is connected any more.
    ///
    /// # Errors
    /// No monitor, or somebody stays connected.
    pub(crate) fn prepare(self, server: &Running) -> Result<()> {
        let begin = Instant::now();
        while sum_over_shards(&varz(&server.monitor)?, "connections")? > 0 {
            if begin.elapsed() > EMPTY_LIMIT {
                return Err("somebody else is connected".into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Whether messages crossed as they should.
    ///
    /// # Errors
    /// They did not, or there is no monitor.
    pub(crate) fn verify(self, server: &Running, outcome: &Outcome) -> Result<()> {
        let varz = varz(&server.monitor)?;
        let crossed = sum_over_shards(&varz, "crossed_out")?;
        let published = sum_over_shards(&varz, "in_msgs")?;
        let is_complete = published >= outcome.published;
        if is_complete && self.is_right(outcome.scenario.shape, crossed, published) {
            return Ok(());
        }
        Err(
            format!("{self:?}, but {crossed} of {published} messages crossed between shards")
                .into(),
        )
    }

    /// Whether `crossed` messages of `published` is what this placing makes of the shape.
    fn is_right(self, shape: Shape, crossed: u64, published: u64) -> bool {
        match (self, shape) {
            (Placing::Together, _) => crossed == 0,
            (Placing::Apart, Shape::FanIn(2..)) => {
                HALF_CROSSES.contains(&(crossed as f64 / published as f64))
            }
            (Placing::Apart, _) => crossed == published,
        }
    }
}

/// Measures `program`, and beside it the servers that the plan names.
///
/// # Errors
/// Those of a comparison; a scenario with several subscribers, or with publishers that cannot be halved.
pub(crate) fn run(program: &str, mut plan: Plan) -> Result<()> {
    for scenario in &plan.scenarios {
        match scenario.shape {
            Shape::OneToOne | Shape::Mixed(_) | Shape::FanIn(1) => {}
            Shape::FanIn(count) if count % 2 == 0 => {}
            _ => {
                return Err(
                    "crossing is about 1to1, mixed, fanin1 and fanin of an even number".into(),
                );
            }
        }
    }
    if plan.server_cpus.is_empty() {
        plan.server_cpus = "0,1".to_owned();
    }
    let mut sites = vec![
        (server("one shard", program, 1), None),
        (server(TOGETHER, program, 2), Some(Placing::Together)),
        (server(APART, program, 2), Some(Placing::Apart)),
    ];
    if !plan.servers.is_empty() {
        let others = peers::read(&plan.servers, &plan.only)?;
        sites.extend(others.into_iter().map(|peer| (peer, None)));
    }
    compare::measure(&plan, &sites)
}

fn server(name: &str, program: &str, cores: usize) -> Peer {
    let options = format!("-a 127.0.0.1 -p {{port}} -m {{monitor}} --cores {cores}");
    let mut command = vec![program.to_owned()];
    command.extend(options.split(' ').map(str::to_owned));
    Peer {
        name: name.to_owned(),
        command,
        config: vec!["-c".to_owned(), "{config}".to_owned()],
        ..Peer::default()
    }
}

/// `/varz` of the monitor at this address.
fn varz(monitor: &str) -> Result<Value> {
    let asked = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(monitor)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        write!(stream, "GET /varz HTTP/1.0\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = asked().map_err(|e| format!("monitor at {monitor}: {e}"))?;
    let body = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    Ok(serde_json::from_slice(
        &answer[body.map_or(0, |at| at + 4)..],
    )?)
}

/// A figure of all shards together.
fn sum_over_shards(varz: &Value, figure: &str) -> Result<u64> {
    let shards = varz["shards"].as_array().ok_or("no shards in /varz")?;
    let number = |shard: &Value| shard[figure].as_u64();
    let numbers: Option<Vec<u64>> = shards.iter().map(number).collect();
    let numbers = numbers.ok_or_else(|| format!("no {figure} in /varz"))?;
    Ok(numbers.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_summed() {
        let varz = json!({ "shards": [{ "a": 1 }, { "a": 2 }] });
        assert_eq!(sum_over_shards(&varz, "a").unwrap(), 3);
        assert!(sum_over_shards(&varz, "b").is_err());
        assert!(sum_over_shards(&json!({}), "a").is_err());
    }

    #[test]
    fn the_monitor_is_asked_for() {
        let peer = server("x", "./gnatsd", 2);
        assert_eq!(peer.command[..3], ["./gnatsd", "-a", "127.0.0.1"]);
        assert!(peer.command.contains(&"{monitor}".to_owned()));
        assert_eq!(peer.command.last().map(String::as_str), Some("2"));
    }

    #[test]
    fn all_cross_or_none_or_half() {
        let fan_in = Shape::FanIn(4);
        for (placing, shape, crossed, is_right) in [
            (Placing::Together, Shape::OneToOne, 0, true),
            (Placing::Together, fan_in, 1, false),
            (Placing::Apart, Shape::OneToOne, 1000, true),
            (Placing::Apart, Shape::FanIn(1), 999, false),
            (Placing::Apart, fan_in, 450, true),
            (Placing::Apart, fan_in, 1000, false),
            (Placing::Apart, fan_in, 0, false),
        ] {
            let found = placing.is_right(shape, crossed, 1000);
            assert_eq!(found, is_right, "{placing:?} {shape} {crossed}");
        }
    }
}
