//! Many subscriptions, and messages on few or many of their subjects.
//!
//! There are as many subjects as subscriptions, `bench.<area>.<group>.<number>`, and each has exactly one
//! receiver, so that a message costs one delivery in every shape and figures compare with each other and with
//! those of one subscription (`hot1`). Nine of ten subscriptions are literal. The tenth has a wildcard, each
//! in one of three places, and still matches one subject only, for no two subjects have a number in common:
//!
//! ```text
//! bench.*.<group>.<number>     bench.<area>.*.<number>     bench.<area>.<group>.<number>.>
//! ```
//!
//! The last kind is published one token deeper. Everything has a fixed width, subjects and sids, so messages
//! are of one length and are counted like those of any flow.

use super::batch::Batch;
use super::flow::{self, Delivery, Flow, Publisher};
use super::sampler::{Random, Zipf};
use super::verify::Checker;
use super::{Load, OTHER_DESCRIPTORS, Scenario, Shape};
use crate::Result;
use crate::cpu;
use crate::lengths::Lengths;
use crate::report::Outcome;
use crate::wire::Peer;

/// Connections that hold the subscriptions.
const CONNECTIONS: usize = 10;

/// Subjects of `hot`.
const HOT: usize = 8;

/// One subscription in so many has a wildcard.
const WILDCARD_EVERY: usize = 10;

/// Messages of a prepared batch of `uniform` and `zipf`; it is sent again and again.
const DRAWS: usize = 256 * 1024;

/// The same of `hot`: as much as keeps sockets full, and little enough to stay in the cache.
const HOT_DRAWS: usize = 4096;

/// The first sid of every connection: all have eight digits.
const SID_FIRST: usize = 10_000_000;

/// Runs `hot`, `uniform` or `zipf` with so many subscriptions.
pub(super) fn run(scenario: &Scenario, count: usize, load: &Load) -> Result<Outcome> {
    cpu::allow_descriptors(CONNECTIONS as u64 + OTHER_DESCRIPTORS)?;
    let bytes = scenario.payload_bytes;
    let message_bytes = delivered_bytes(bytes);
    let mut subscribers = Vec::new();
    for connection in 0..CONNECTIONS {
        let mut peer = Peer::connect(&load.server)?;
        if peer.is_floor {
            return Err("the floor peer knows no subjects".into());
        }
        let held = (connection..count).step_by(CONNECTIONS);
        let lines = held.enumerate().map(|(place, index)| {
            let sid = SID_FIRST + place;
            format!("SUB {} {sid}\r\n", pattern(index))
        });
        peer.send(lines.collect::<String>().as_bytes())?;
        peer.ping()?;
        peer.scanner.expect(Lengths::alike(message_bytes));
        if load.is_verified {
            peer.scanner.check_with(Checker::complete());
        }
        subscribers.push(peer);
    }
    let drawn = draw(scenario.shape, count);
    let batch = Batch::on_subjects(drawn.iter().map(|index| subject(*index)), bytes);
    let mut publisher = Publisher::new(Peer::connect(&load.server)?, batch);
    if load.is_verified {
        let streams: std::result::Result<Vec<u32>, _> =
            drawn.iter().map(|index| u32::try_from(*index)).collect();
        publisher.stamp_with(streams?);
    }
    let publishers = vec![publisher];
    let flow = Flow::new(
        publishers,
        subscribers,
        Delivery::Shared,
        message_bytes,
        load,
    );
    flow::measure(flow, scenario, load)
}

/// The subjects of a batch, in the order in which they are published.
fn draw(shape: Shape, count: usize) -> Vec<usize> {
    let mut random = Random::seeded();
    match shape {
        Shape::Uniform(_) => (0..DRAWS).map(|_| random.below(count)).collect(),
        Shape::Zipf(_) => {
            let zipf = Zipf::new(count);
            // The frequent ones are spread over all kinds of subjects and places in memory.
            let mut order: Vec<usize> = (0..count).collect();
            (1..count).for_each(|last| order.swap(last, random.below(last + 1)));
            (0..DRAWS).map(|_| order[zipf.draw(&mut random)]).collect()
        }
        // In turn, so that no two messages in a row are on one subject.
        _ => hot(count).into_iter().cycle().take(HOT_DRAWS).collect(),
    }
}

/// The subjects of `hot`: spread over all, one with a wildcard among them if there are enough.
fn hot(count: usize) -> Vec<usize> {
    let mut subjects: Vec<usize> = (0..HOT.min(count))
        .map(|place| place * count / HOT.min(count))
        .map(|index| if is_wildcard(index) { index - 1 } else { index })
        .collect();
    if count >= 2 * WILDCARD_EVERY {
        subjects[HOT - 1] = (count / WILDCARD_EVERY - 1) * WILDCARD_EVERY + WILDCARD_EVERY - 1;
    }
    subjects
}

fn is_wildcard(index: usize) -> bool {
    index % WILDCARD_EVERY == WILDCARD_EVERY - 1
}

/// Which of the three kinds of wildcards this subscription has.
fn kind(index: usize) -> usize {
    index / WILDCARD_EVERY % 3
}

/// Area, group and number of a subject.
fn tokens(index: usize) -> (usize, usize, usize) {
    (index / 1000 % 100, index / 10 % 100, index)
}

/// The subject of this subscription, always of one length.
fn subject(index: usize) -> String {
    let (area, group, number) = tokens(index);
    if is_wildcard(index) && kind(index) == 2 {
        format!("bench.{area:02}.{group:02}.{number:07}.x")
    } else {
        format!("bench.{area:02}.{group:02}.n{number:07}x")
    }
}

/// What this subscription asks for.
fn pattern(index: usize) -> String {
    let (area, group, number) = tokens(index);
    match kind(index) {
        _ if !is_wildcard(index) => subject(index),
        0 => format!("bench.*.{group:02}.n{number:07}x"),
        1 => format!("bench.{area:02}.*.n{number:07}x"),
        _ => format!("bench.{area:02}.{group:02}.{number:07}.>"),
    }
}

/// Length of a message where it arrives.
fn delivered_bytes(payload_bytes: usize) -> usize {
    let head = format!("MSG {} {SID_FIRST} {payload_bytes}\r\n", subject(0));
    head.len() + payload_bytes + 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Whether `subject` matches `pattern`, by the book.
    fn matches(pattern: &str, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        for wanted in pattern.split('.') {
            match (wanted, tokens.next()) {
                (">", token) => return token.is_some(),
                ("*", Some(_)) => {}
                (wanted, token) if token == Some(wanted) => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    #[test]
    fn each_subject_has_one_receiver_and_all_are_of_one_length() {
        const COUNT: usize = 600;
        let patterns: Vec<String> = (0..COUNT).map(pattern).collect();
        let wild = patterns
            .iter()
            .filter(|pattern| pattern.contains(['*', '>']));
        assert_eq!(wild.count(), COUNT / WILDCARD_EVERY);
        for index in 0..COUNT {
            let subject = subject(index);
            assert_eq!(subject.len(), super::subject(3_999_999).len());
            let receivers: Vec<usize> = (0..COUNT)
                .filter(|other| matches(&patterns[*other], &subject))
                .collect();
            assert_eq!(receivers, [index], "{subject}");
        }
    }

    #[test]
    fn draws_stay_among_the_subjects() {
        for shape in ["hot7", "hot100", "uniform100", "zipf100", "hot1", "zipf1"] {
            let shape: Shape = shape.parse().unwrap();
            let count = match shape {
                Shape::Hot(count) | Shape::Uniform(count) | Shape::Zipf(count) => count,
                _ => unreachable!(),
            };
            let drawn = draw(shape, count);
            assert!(drawn.len() >= HOT_DRAWS);
            assert!(drawn.iter().all(|index| *index < count), "{shape}");
        }
    }

    #[test]
    fn hot_subjects_are_few_and_change_with_each_message() {
        let hot = hot(100_000);
        assert_eq!(hot.iter().collect::<HashSet<_>>().len(), HOT);
        assert_eq!(hot.iter().filter(|index| is_wildcard(**index)).count(), 1);
        let drawn = draw(Shape::Hot(100_000), 100_000);
        assert!(drawn.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
