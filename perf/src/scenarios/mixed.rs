//! `1to1` with messages as real traffic has them: hardly two alike behind one another.
//!
//! Payloads are of any length up to twice that of the scenario, each as likely as the others. With more than one
//! subject, messages go to them in turn, one to four at a time, and the subscriber has them all by a wildcard.
//! A server that remembers what it did with the last message, or with the last subject, gains by it what it
//! would gain in the field, where `1to1` lets it gain with every message.
//!
//! The batch is long, drawn with a fixed seed, and sent again and again. So what is to arrive, and how long each
//! message is, is known as well as in `1to1`, and is counted in the same way.

use super::batch::Batch;
use super::flow::{self, Delivery, Flow, Publisher};
use super::sampler::Random;
use super::verify::{Checker, STAMP_BYTES};
use super::{Load, Scenario};
use crate::Result;
use crate::report::Outcome;
use crate::wire::Peer;

/// Least length of the batch, in bytes: too long to be learnt by heart.
const BATCH_BYTES_MIN: usize = 4 * 1024 * 1024;

/// What a message has besides its payload, in bytes, or nearly.
const REST_BYTES: usize = 16;

/// Least number of messages in it, so that hardly any have the same length where payloads are large.
const BATCH_MESSAGES_MIN: usize = 512;

/// Greatest mean of the payloads, in bytes: more would make the batch too large.
const MEAN_BYTES_MAX: usize = 64 * 1024;

/// Most messages on one subject before the next has its turn.
const RUN_MAX: usize = 4;

/// A subject, by its number, and the length of a payload in bytes.
type Draw = (usize, usize);

/// Runs `mixed` with so many subjects.
pub(super) fn run(scenario: &Scenario, count: usize, load: &Load) -> Result<Outcome> {
    if scenario.payload_bytes > MEAN_BYTES_MAX {
        let shape = scenario.shape;
        return Err(format!("{shape} is of payloads of at most {MEAN_BYTES_MAX} bytes").into());
    }
    let subjects = subjects(&load.subject, count);
    let least = if load.is_verified { STAMP_BYTES } else { 0 };
    let drawn = draw(count, least, scenario.payload_bytes);
    let messages = || drawn.iter().map(|(on, size)| (&*subjects[*on], *size));

    let mut subscriber = Peer::connect(&load.server)?;
    // What a server makes of them is what the floor is sent.
    let arriving = Batch::mixed(messages(), true).lengths;
    let pattern = match &subjects[..] {
        [subject] => subject.clone(),
        _ => format!("{}.*", load.subject),
    };
    subscriber.subscribe(&pattern, Some(arriving.clone()))?;
    if load.is_verified {
        subscriber.scanner.check_with(Checker::complete());
    }
    let fillers = Flow::fillers(load)?;
    let peer = Peer::connect(&load.server)?;
    let batch = Batch::mixed(messages(), peer.is_floor);
    let streams = vec![0; batch.len()];
    let mut publisher = Publisher::new(peer, batch);
    if load.is_verified {
        publisher.stamp_with(streams);
    }
    let message_bytes = usize::try_from(arriving.mean())?;
    let (publishers, subscribers) = (vec![publisher], vec![subscriber]);
    let mut flow = Flow::new(publishers, subscribers, Delivery::Each, message_bytes, load);
    flow.hold(fillers);
    flow::measure(flow, scenario, load)
}

/// One subject, or several below it.
fn subjects(first: &str, count: usize) -> Vec<String> {
    match count {
        1 => vec![first.to_owned()],
        _ => (0..count).map(|index| format!("{first}.{index}")).collect(),
    }
}

/// The messages of a batch; `least` and `mean` are bytes of a payload.
fn draw(subjects: usize, least: usize, mean: usize) -> Vec<Draw> {
    let mut random = Random::seeded();
    let mut drawn = Vec::new();
    let mut bytes = 0;
    // Ends with a turn of the last subject: the batch comes again, with the first.
    while bytes < BATCH_BYTES_MIN || drawn.len() < BATCH_MESSAGES_MIN {
        for subject in 0..subjects {
            for _ in 0..1 + random.below(RUN_MAX) {
                let size = random.below(2 * mean + 1).max(least);
                drawn.push((subject, size));
                bytes += size + REST_BYTES;
            }
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn payloads_are_spread_around_the_size_of_the_scenario() {
        for (mean, different) in [(0, 1), (16, 33), (128, 257), (1024, 1700), (16384, 500)] {
            let sizes: Vec<usize> = draw(8, 0, mean).iter().map(|(_, size)| *size).collect();
            let sum: usize = sizes.iter().sum();
            assert!(sizes.iter().all(|size| *size <= 2 * mean));
            let found = sizes.iter().collect::<HashSet<_>>().len();
            assert!(found >= different, "{mean}: {found}");
            let share = sum as f64 / sizes.len() as f64 / (mean as f64).max(1.0);
            assert!(mean == 0 || (share - 1.0).abs() < 0.06, "{mean}: {share}");
        }
        assert_eq!(draw(8, 0, 128), draw(8, 0, 128));
        assert!(draw(8, 16, 16).iter().all(|(_, size)| *size >= 16));
    }

    #[test]
    fn subjects_have_their_turn() {
        let drawn = draw(8, 0, 128);
        let mut runs = [0; RUN_MAX + 1];
        for run in drawn.chunk_by(|one, next| one.0 == next.0) {
            runs[run.len()] += 1;
        }
        let all: usize = runs.iter().sum();
        let share = |count: usize| count as f64 / all as f64;
        assert_eq!(runs[0], 0);
        assert!(
            runs[1..]
                .iter()
                .all(|count| (0.2..0.3).contains(&share(*count)))
        );
        let turns = drawn.windows(2).filter(|pair| pair[0].0 != pair[1].0);
        assert!(
            turns
                .into_iter()
                .all(|pair| pair[1].0 == (pair[0].0 + 1) % 8)
        );
        assert_eq!((drawn[0].0, drawn.last().map(|last| last.0)), (0, Some(7)));
        assert!(draw(1, 0, 128).iter().all(|(subject, _)| *subject == 0));
        assert_eq!(subjects("foo", 1), ["foo"]);
        assert_eq!(subjects("foo", 2), ["foo.0", "foo.1"]);
    }
}
