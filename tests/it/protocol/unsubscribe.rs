//! UNSUB: at once, after a number of messages, and what a later UNSUB or SUB makes of that.

use crate::support::{RawClient, Server, both_drivers};

/// Publishes `count` empty messages to `a`, and counts what comes back.
#[track_caller]
fn delivered(client: &mut RawClient, count: usize) -> usize {
    client.send("PUB a 0\r\n\r\n".repeat(count));
    client.messages_until_pong().len()
}

both_drivers! {
    fn without_a_number_it_is_now(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        for max in ["", " ", " 0", " 000", " abc", " -1", " 1.5", " 0x1", " +1"] {
            client.send("SUB a 1\r\n");
            assert_eq!(delivered(&mut client, 2), 2);
            client.send(format!("UNSUB 1{max}\r\n"));
            assert_eq!(delivered(&mut client, 2), 0, "UNSUB 1{max}");
        }
    }

    fn max_is_counted_from_the_subscription_on(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        for (before, max, after) in [
            (0, 1, 1),
            (0, 5, 5),
            (2, 5, 3),
            (4, 5, 1),
            (5, 5, 0),
            (6, 5, 0),
            (3, 1, 0),
        ] {
            client.send("SUB a 1\r\n");
            assert_eq!(delivered(&mut client, before), before);
            client.send(format!("UNSUB 1 {max}\r\n"));
            assert_eq!(
                delivered(&mut client, 10),
                after,
                "{before} before, max {max}"
            );
            client.send("UNSUB 1\r\n");
        }
    }

    fn a_later_number_replaces_the_earlier(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        for (first, between, second, after) in [
            (2, 0, 4, 4),
            (4, 0, 2, 2),
            (4, 3, 6, 3),
            (4, 3, 2, 0),
            (9, 3, 3, 0),
        ] {
            client.send(format!("SUB a 1\r\nUNSUB 1 {first}\r\n"));
            assert_eq!(delivered(&mut client, between), between);
            client.send(format!("UNSUB 1 {second}\r\n"));
            assert_eq!(
                delivered(&mut client, 10),
                after,
                "{first}, then {second} after {between}"
            );
            client.send("UNSUB 1\r\n");
        }
    }

    fn without_a_number_it_overrides_a_pending_one(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("SUB a 1\r\nUNSUB 1 5\r\n");
        assert_eq!(delivered(&mut client, 2), 2);
        client.send("UNSUB 1\r\n");
        assert_eq!(delivered(&mut client, 5), 0);
    }

    fn a_number_too_large_to_count_never_ends_it(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("SUB a 1\r\nUNSUB 1 18446744073709551617\r\n");
        assert_eq!(delivered(&mut client, 50), 50);
    }

    fn an_unknown_sid_is_ignored(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.send("UNSUB 1\r\nUNSUB 1 5\r\nSUB a 1\r\n");
        client.expect("+OK\r\n+OK\r\n+OK\r\n");
        client.send("PUB a 0\r\n\r\n".repeat(7));
        let mut count = 0;
        while count < 7 {
            client.expect("+OK\r\nMSG a 1 0\r\n\r\n");
            count += 1;
        }
        client.ping();
    }

    fn a_sid_used_again_starts_at_zero(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("SUB a 1\r\nUNSUB 1 3\r\n");
        assert_eq!(delivered(&mut client, 5), 3);
        client.send("SUB a 1\r\n");
        assert_eq!(delivered(&mut client, 5), 5);
        client.send("UNSUB 1 7\r\n");
        assert_eq!(delivered(&mut client, 5), 2);
        client.send("SUB a 1\r\nUNSUB 1\r\nSUB a 1\r\nUNSUB 1 4\r\n");
        assert_eq!(delivered(&mut client, 5), 4);
    }

    /// Ten messages in one write: the limit holds in the middle of a batch.
    fn max_holds_within_one_batch_of_another_connection(driver) {
        let server = Server::start(driver);
        let (mut subscriber, mut publisher) = (server.raw_client(), server.raw_client());
        for round in 1..=20 {
            subscriber.send(format!("SUB a {round}\r\nUNSUB {round} {round}\r\n"));
            subscriber.ping();
            publisher.send("PUB a 0\r\n\r\n".repeat(30));
            publisher.ping();
            assert_eq!(subscriber.messages_until_pong().len(), round);
        }
    }

    fn ok_comes_for_each(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.send("SUB a 1\r\nUNSUB 1 2\r\nUNSUB 1 3\r\nUNSUB 1\r\nUNSUB 1\r\n");
        client.expect("+OK\r\n".repeat(5));
        client.ping();
    }
}
