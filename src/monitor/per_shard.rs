//! `shards` of `/varz`: what each shard does and how long it waits.

use std::time::Duration;

use serde::Serialize;

use crate::server::control::ShardReport;

/// One shard. Since its start unless said otherwise; units stand in the names.
#[derive(Debug, Serialize)]
pub(super) struct ShardInfo {
    shard: u16,
    /// Open now.
    connections: u64,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    /// Messages taken from other shards.
    crossed_in: u64,
    /// Messages sent to other shards, one for each shard.
    crossed_out: u64,
    /// Batches sent to other shards that these have not taken yet, now.
    lane_depth: u64,
    /// Times a connection waited for room in a lane.
    lane_stalls: u64,
    /// How long, all together.
    lane_stalled_us: u64,
    /// Time asleep.
    parked_ms: u64,
    turns: u64,
    longest_turn_us: u64,
    /// Those of `turns` that took longer than a shard ever should.
    long_turns: u64,
    /// Queue messages that went to another member because the chosen one had gone.
    rechosen: u64,
    /// Those that were dropped because too many waited.
    rechoice_dropped: u64,
    /// Work that nobody woke the shard for, found by its heartbeat: not zero is a bug.
    rescues: u64,
}

impl ShardInfo {
    /// What a shard reported.
    pub(super) fn new(report: &ShardReport) -> Self {
        let ShardReport {
            shard,
            engine,
            run,
            lane_depth,
        } = report;
        ShardInfo {
            shard: *shard,
            connections: engine.connections,
            in_msgs: engine.in_msgs,
            out_msgs: engine.out_msgs,
            in_bytes: engine.in_bytes,
            out_bytes: engine.out_bytes,
            crossed_in: engine.crossed_in,
            crossed_out: engine.crossed_out,
            lane_depth: *lane_depth,
            lane_stalls: engine.lane_stalls,
            lane_stalled_us: micros(engine.lane_stalled),
            parked_ms: u64::try_from(run.parked.as_millis()).unwrap_or(u64::MAX),
            turns: run.turns,
            longest_turn_us: micros(run.longest_turn),
            long_turns: run.long_turns,
            rechosen: engine.rechosen,
            rechoice_dropped: engine.rechoice_dropped,
            rescues: run.rescues,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gnatsd_core::engine::snapshot::ShardStats;
    use gnatsd_shards::LoopStats;

    #[test]
    fn every_figure_has_its_name_and_unit() {
        let report = ShardReport {
            shard: 3,
            engine: ShardStats {
                connections: 1,
                in_msgs: 2,
                out_msgs: 4,
                in_bytes: 5,
                out_bytes: 6,
                crossed_in: 7,
                crossed_out: 8,
                lane_stalls: 9,
                lane_stalled: Duration::from_micros(10_999),
                rechosen: 11,
                rechoice_dropped: 12,
                ..ShardStats::default()
            },
            run: LoopStats {
                turns: 13,
                parks: 14,
                parked: Duration::from_micros(15_999),
                longest_turn: Duration::from_millis(16),
                long_turns: 17,
                rescues: 18,
            },
            lane_depth: 19,
        };
        assert_eq!(
            serde_json::to_string(&ShardInfo::new(&report)).unwrap(),
            "{\"shard\":3,\"connections\":1,\"in_msgs\":2,\"out_msgs\":4,\"in_bytes\":5,\"out_bytes\":6,\
             \"crossed_in\":7,\"crossed_out\":8,\"lane_depth\":19,\"lane_stalls\":9,\
             \"lane_stalled_us\":10999,\"parked_ms\":15,\"turns\":13,\"longest_turn_us\":16000,\
             \"long_turns\":17,\"rechosen\":11,\"rechoice_dropped\":12,\"rescues\":18}"
        );
    }
}
