//! What the order of lines promises: replies, visibility of SUB, PUB and UNSUB, half-close.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::{Server, both_drivers};

both_drivers! {
    fn replies_come_in_the_order_of_their_lines(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\nPUB a 2\r\nho\r\nSUB a..b 2\r\nPING\r\nUNSUB 1\r\nPUB a 0\r\n\r\nPING\r\n");
        client.expect("MSG a 1 2\r\nhi\r\nPONG\r\nMSG a 1 2\r\nho\r\n-ERR 'Invalid Subject'\r\nPONG\r\nPONG\r\n");
        let mut client = server.bare_client();
        client.send("SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\nPUB a.* 0\r\n\r\nUNSUB 1\r\nPING\r\n");
        client.expect("+OK\r\n+OK\r\nMSG a 1 2\r\nhi\r\nPONG\r\n-ERR 'Invalid Publish Subject'\r\n+OK\r\n+OK\r\nPONG\r\n");
    }

    /// A PONG after SUB: whoever publishes because of it reaches the subscription.
    fn subscription_holds_for_everyone_after_pong(driver) {
        let server = Server::start(driver);
        let mut publisher = server.raw_client();
        let mut subscriber = server.raw_client();
        for round in 0..300 {
            subscriber.send(format!("SUB a.{round} {round}\r\n"));
            subscriber.ping();
            publisher.send(format!("PUB a.{round} 0\r\n\r\n"));
            subscriber.expect(format!("MSG a.{round} {round} 0\r\n\r\n"));
        }
    }

    /// A PONG after PUB: a PING that a subscriber sends because of it is answered behind the message.
    fn message_is_queued_for_everyone_before_pong(driver) {
        let server = Server::start(driver);
        let mut publisher = server.raw_client();
        let mut subscribers: Vec<_> = (0..5).map(|_| server.raw_client()).collect();
        for subscriber in &mut subscribers {
            subscriber.send("SUB a 1\r\n");
            subscriber.ping();
        }
        for round in 0..300 {
            publisher.send(format!("PUB a 3\r\n{round:03}\r\n"));
            publisher.ping();
            for subscriber in &mut subscribers {
                subscriber.send("PING\r\n");
                subscriber.expect(format!("MSG a 1 3\r\n{round:03}\r\nPONG\r\n"));
            }
        }
    }

    fn messages_of_one_publisher_stay_in_order(driver) {
        const COUNT: usize = 20_000;
        let server = Server::start(driver);
        let mut publisher = server.raw_client();
        let mut subscriber = server.raw_client();
        subscriber.send("SUB a 1\r\nSUB b 2\r\nSUB c.* 3\r\n");
        subscriber.ping();
        let subjects = ["a", "b", "c.d", "a", "c.e"];
        let lines: String = (0..COUNT)
            .map(|number| {
                format!(
                    "PUB {} 6\r\n{number:06}\r\n",
                    subjects[number % subjects.len()]
                )
            })
            .collect();
        publisher.send(lines);
        publisher.ping();
        let messages = subscriber.messages_until_pong();
        assert_eq!(messages.len(), COUNT);
        for (number, message) in messages.iter().enumerate() {
            assert_eq!(message.payload, format!("{number:06}").as_bytes());
            assert_eq!(message.subject, subjects[number % subjects.len()]);
        }
    }

    /// A PONG after UNSUB is the end of that sid, though others go on publishing to it.
    fn nothing_follows_the_pong_after_unsub(driver) {
        let server = Server::start(driver);
        let mut publisher = server.raw_client();
        let mut subscriber = server.raw_client();
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            let is_done = &is_done;
            scope.spawn(move || {
                while !is_done.load(Ordering::Relaxed) {
                    publisher.send("PUB a 0\r\n\r\n".repeat(20));
                    publisher.ping();
                }
            });
            // Set also when this thread panics, or the scope would wait for ever.
            let _set = SetOnDrop(is_done);
            for round in 0..100 {
                subscriber.send(format!("SUB a {round}\r\n"));
                assert_eq!(subscriber.message().sid, round.to_string());
                subscriber.send(format!("UNSUB {round}\r\n"));
                subscriber.messages_until_pong();
                subscriber.ping();
                subscriber.ping();
            }
        });
    }

    /// What came before a half-close is done and answered, then the connection ends.
    fn half_close_is_answered_first(driver) {
        let server = Server::start(driver);
        let mut witness = server.raw_client();
        witness.send("SUB a 1\r\n");
        witness.ping();
        let mut client = server.raw_client();
        client.send("SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n");
        client.half_close();
        client.expect_last("MSG a 1 2\r\nhi\r\nPONG\r\n");
        witness.expect("MSG a 1 2\r\nhi\r\n");
        witness.ping();
    }

    fn half_close_behind_much_input(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("SUB a 1\r\n");
        let payload = "x".repeat(500);
        for number in 0..200 {
            client.send(format!("PUB a 503\r\n{number:03}{payload}\r\n"));
        }
        client.send("PING\r\n");
        client.half_close();
        for number in 0..200 {
            client.expect(format!("MSG a 1 503\r\n{number:03}{payload}\r\n"));
        }
        client.expect_last("PONG\r\n");
    }

    fn half_an_operation_at_the_end_is_dropped(driver) {
        let server = Server::start(driver);
        for unfinished in [
            "P",
            "PUB a 5",
            "PUB a 5\r\nhel",
            "PUB a 5\r\nhello\r",
            "SUB a",
            "PING",
        ] {
            let mut client = server.raw_client();
            client.send(format!("SUB a 1\r\nPING\r\n{unfinished}"));
            client.half_close();
            client.expect_last("PONG\r\n");
        }
    }
}

/// Sets the flag at the end of its scope.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
