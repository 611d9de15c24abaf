//! Queue groups: one member for each message, groups across patterns, members that cannot take it.

use std::collections::HashMap;

use crate::support::{RawClient, Server, both_drivers};

/// Messages by sid.
fn by_sid(client: &mut RawClient) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for message in client.messages_until_pong() {
        *counts.entry(message.sid).or_default() += 1;
    }
    counts
}

both_drivers! {
    fn one_member_gets_each_message(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("SUB a q 1\r\nSUB a q 2\r\n");
        client.send("PUB a 0\r\n\r\n".repeat(100));
        let counts = by_sid(&mut client);
        assert_eq!(counts.values().sum::<usize>(), 100);
        // The figure of the original's own suite.
        assert!(
            counts.len() == 2 && counts.values().all(|n| *n >= 35),
            "{counts:?}"
        );
    }

    fn groups_are_apart_and_plain_subscriptions_get_their_copy(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client
            .send("SUB a q1 1\r\nSUB a q1 2\r\nSUB a q2 3\r\nSUB a 4\r\nSUB > 5\r\nSUB b q1 6\r\n");
        client.send("PUB a 0\r\n\r\n".repeat(40));
        let counts = by_sid(&mut client);
        let of = |sid| counts.get(sid).copied().unwrap_or(0);
        assert_eq!(
            (of("1") + of("2"), of("3"), of("4"), of("5"), of("6")),
            (40, 40, 40, 40, 0)
        );
    }

    fn a_group_spans_all_matching_patterns(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("SUB a.b q 1\r\nSUB a.* q 2\r\nSUB > q 3\r\nSUB *.b q 4\r\n");
        client.send("PUB a.b 0\r\n\r\n".repeat(200));
        let counts = by_sid(&mut client);
        assert_eq!(counts.values().sum::<usize>(), 200);
        assert!(
            counts.len() == 4 && counts.values().all(|n| *n >= 15),
            "{counts:?}"
        );
        client.send("PUB a.c 0\r\n\r\n".repeat(50));
        let counts = by_sid(&mut client);
        assert_eq!(counts.values().sum::<usize>(), 50);
        assert!(
            !counts.contains_key("1") && !counts.contains_key("4"),
            "{counts:?}"
        );
    }

    fn members_over_connections_get_each_message_once(driver) {
        let server = Server::start(driver);
        let mut members: Vec<_> = (0..4).map(|_| server.raw_client()).collect();
        for member in &mut members {
            member.send("SUB a q 1\r\n");
            member.ping();
        }
        let mut publisher = server.raw_client();
        for number in 0..400 {
            publisher.send(format!("PUB a 4\r\n{number:04}\r\n"));
        }
        publisher.ping();
        let messages = members.iter_mut().map(RawClient::messages_until_pong);
        let counts: Vec<_> = messages
            .map(|messages| {
                let payloads: Vec<_> = messages.into_iter().map(|m| m.payload).collect();
                assert!(payloads.is_sorted(), "out of order");
                payloads
            })
            .collect();
        assert!(counts.iter().all(|payloads| payloads.len() >= 50), "uneven");
        let mut all: Vec<_> = counts.concat();
        all.sort();
        let expected: Vec<_> = (0..400).map(|n| format!("{n:04}").into_bytes()).collect();
        assert_eq!(all, expected);
    }

    fn exhausted_members_are_passed_over(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("SUB a q 1\r\nUNSUB 1 3\r\nSUB a q 2\r\nUNSUB 2 7\r\n");
        client.send("PUB a 0\r\n\r\n".repeat(30));
        let counts = by_sid(&mut client);
        assert_eq!((counts["1"], counts["2"]), (3, 7));
        client.ping();
    }

    /// As many messages as members, each with one to take: none may be lost.
    fn a_thousand_members_with_max_1_in_two_groups(driver) {
        let server = Server::start(driver);
        let (mut one, mut two) = (server.raw_client(), server.raw_client());
        for sid in 0..500 {
            one.send(format!("SUB a q1 {sid}\r\nUNSUB {sid} 1\r\n"));
            two.send(format!("SUB a q2 {sid}\r\nUNSUB {sid} 1\r\n"));
        }
        one.ping();
        two.ping();
        let mut publisher = server.raw_client();
        publisher.send("PUB a 0\r\n\r\n".repeat(500));
        publisher.ping();
        for client in [&mut one, &mut two] {
            let counts = by_sid(client);
            assert_eq!(counts.len(), 500);
            assert!(counts.values().all(|n| *n == 1));
        }
    }

    fn a_member_that_left_gets_nothing(driver) {
        let server = Server::start(driver);
        let mut stays = server.raw_client();
        stays.send("SUB a q 1\r\n");
        stays.ping();
        let mut leaves = server.raw_client();
        leaves.send("SUB a q 1\r\n");
        leaves.ping();
        leaves.send("UNSUB 1\r\n");
        leaves.ping();
        let mut ends = server.raw_client();
        ends.send("SUB a q 1\r\n");
        ends.ping();
        ends.half_close();
        ends.expect_closed();
        let mut publisher = server.raw_client();
        publisher.send("PUB a 0\r\n\r\n".repeat(50));
        publisher.ping();
        assert_eq!(stays.messages_until_pong().len(), 50);
        leaves.ping();
    }
}
