//! Tests of the checker: each of the six counts is found, and nothing else is.

use super::*;

const RUN: u64 = 0x1234_5678_9abc_def0;

fn body(publisher: u32, sequence: u64) -> Vec<u8> {
    Body {
        run: RUN,
        publisher,
        sequence,
    }
    .encode(40)
}

/// One plain subscription that must get 0..count of publisher 1, and gets `sequences`.
fn counts_of(count: u64, sequences: &[u64]) -> Counts {
    let mut checker = Checker::new(RUN);
    let watch = checker.watch("plain");
    checker.must(watch, 1, 0..count);
    for sequence in sequences {
        checker.received(watch, 0, &body(1, *sequence));
    }
    checker.finish().counts
}

#[test]
fn a_body_comes_back_as_it_was() {
    for bytes in [Body::BYTES_MIN, 29, 100, 70_000] {
        let body = Body {
            run: RUN,
            publisher: 7,
            sequence: 3_000_000_000,
        };
        let encoded = body.encode(bytes);
        assert_eq!(encoded.len(), bytes);
        assert_eq!(Body::decode(&encoded), Some(body));
    }
}

#[test]
fn any_damage_to_a_body_is_seen() {
    let good = body(1, 1);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert_eq!(Body::decode(&bad), None, "byte {at}");
        assert_eq!(Body::decode(&good[..at]), None, "cut at {at}");
    }
    let mut longer = good;
    longer.push(0);
    assert_eq!(Body::decode(&longer), None);
}

#[test]
fn all_in_order_is_six_zeros() {
    assert_eq!(counts_of(4, &[0, 1, 2, 3]), Counts::default());
    assert_eq!(counts_of(0, &[]), Counts::default());
}

#[test]
fn gaps_are_counted_in_the_middle_and_at_both_ends() {
    assert_eq!(
        counts_of(6, &[1, 4]),
        Counts {
            gaps: 4,
            ..Counts::default()
        }
    );
    assert_eq!(
        counts_of(3, &[]),
        Counts {
            gaps: 3,
            ..Counts::default()
        }
    );
}

#[test]
fn a_late_message_is_a_reorder_and_no_gap() {
    assert_eq!(
        counts_of(4, &[0, 2, 3, 1]),
        Counts {
            reorders: 1,
            ..Counts::default()
        }
    );
    assert_eq!(
        counts_of(3, &[2, 0, 1]),
        Counts {
            reorders: 2,
            ..Counts::default()
        }
    );
}

#[test]
fn a_second_copy_is_a_duplicate_wherever_it_comes() {
    assert_eq!(
        counts_of(3, &[0, 0, 1, 2, 1]),
        Counts {
            duplicates: 2,
            ..Counts::default()
        }
    );
}

#[test]
fn unexpected_messages_are_strangers() {
    assert_eq!(
        counts_of(2, &[0, 1, 2, 9]),
        Counts {
            strangers: 2,
            ..Counts::default()
        }
    );
    let mut checker = Checker::new(RUN);
    let watch = checker.watch("plain");
    checker.received(watch, 0, &body(5, 0));
    checker.received(
        watch,
        0,
        &Body {
            run: 1,
            publisher: 1,
            sequence: 0,
        }
        .encode(28),
    );
    assert_eq!(
        checker.finish().counts,
        Counts {
            strangers: 2,
            ..Counts::default()
        }
    );
}

#[test]
fn what_may_come_may_also_stay_away() {
    for sequences in [&[3, 4, 5][..], &[0, 1, 2, 3, 4, 5], &[2, 3, 4, 5]] {
        let mut checker = Checker::new(RUN);
        let watch = checker.watch("opened while publishing");
        checker.may(watch, 1, 0..3);
        checker.must(watch, 1, 3..6);
        for sequence in sequences {
            checker.received(watch, 0, &body(1, *sequence));
        }
        assert_eq!(checker.finish().counts, Counts::default());
    }
}

#[test]
fn corrupt_payloads_are_counted_apart() {
    let mut checker = Checker::new(RUN);
    let watch = checker.watch("plain");
    checker.received(watch, 0, b"hello");
    assert_eq!(
        checker.finish().counts,
        Counts {
            corrupt: 1,
            ..Counts::default()
        }
    );
}

#[test]
fn nothing_may_follow_the_end_of_a_subscription() {
    let mut checker = Checker::new(RUN);
    let watch = checker.watch("group");
    checker.must(watch, 1, 0..2);
    checker.received(watch, 0, &body(1, 0));
    checker.unsubscribed(watch, 0);
    checker.received(watch, 1, &body(1, 1));
    assert_eq!(checker.finish().counts, Counts::default());
    checker.received(watch, 0, &body(1, 2));
    assert_eq!(
        checker.finish().counts,
        Counts {
            after_unsub: 1,
            ..Counts::default()
        }
    );
}

#[test]
fn a_group_is_complete_together_and_ordered_by_member() {
    let mut checker = Checker::new(RUN);
    let group = checker.watch("group q");
    checker.must(group, 1, 0..6);
    // Member 1 is far behind member 0, which is no reorder.
    for (member, sequence) in [(0, 0), (0, 3), (0, 5), (1, 1), (1, 2), (1, 4)] {
        checker.received(group, member, &body(1, sequence));
    }
    assert_eq!(checker.finish().counts, Counts::default());
    checker.received(group, 1, &body(1, 5));
    assert_eq!(
        checker.finish().counts,
        Counts {
            duplicates: 1,
            ..Counts::default()
        }
    );
}

#[test]
fn publishers_are_ordered_apart() {
    let mut checker = Checker::new(RUN);
    let watch = checker.watch("plain");
    checker.must(watch, 1, 0..2);
    checker.must(watch, 2, 0..2);
    for (publisher, sequence) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
        checker.received(watch, 0, &body(publisher, sequence));
    }
    checker.finish().assert_six_zeros("two publishers");
}

#[test]
#[should_panic(expected = "plain, publisher 1: 2 gaps, [1..3]")]
fn a_failure_names_the_watch_and_what_is_missing() {
    let mut checker = Checker::new(RUN);
    let watch = checker.watch("plain");
    checker.must(watch, 1, 0..4);
    checker.received(watch, 0, &body(1, 0));
    checker.received(watch, 0, &body(1, 3));
    checker.finish().assert_six_zeros("case");
}
