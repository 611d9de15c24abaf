//! The server's PINGs: when they come, what clears them, and who is stale.
//!
//! Lower bounds of times are exact, upper bounds leave room for a busy machine.

use std::time::{Duration, Instant};

use crate::support::{Driver, RawClient, Server, both_drivers};

/// Interval of most tests here, and what it is called in a configuration.
const INTERVAL: Duration = Duration::from_millis(300);

fn start(driver: Driver) -> Server {
    Server::with(driver)
        .conf("ping_interval: \"300ms\"\n")
        .start()
}

/// Reads lines until the connection ends; gives PINGs and what else there was.
fn read_to_end(client: &mut RawClient) -> (usize, String) {
    let text = String::from_utf8(client.read_to_end()).expect("text");
    let pings = text.matches("PING\r\n").count();
    (pings, text.replace("PING\r\n", ""))
}

both_drivers! {
    /// With an interval of 1 s: PING at 1, PING at 2, the end at 3. No CONNECT is needed for that.
    fn silent_client_is_stale_at_the_third_look(driver) {
        let server = Server::with(driver)
            .conf("ping_interval: 1\n")
            .args(&["-D"])
            .start();
        let mut client = server.bare_client();
        let start = Instant::now();
        for second in 1..=2 {
            client.expect("PING\r\n");
            let elapsed = start.elapsed();
            assert!(
                elapsed >= Duration::from_millis(1000 * second - 100),
                "PING after {elapsed:?}"
            );
            assert!(
                elapsed < Duration::from_millis(1000 * second + 900),
                "PING after {elapsed:?}"
            );
        }
        client.expect_last("-ERR 'Stale Connection'\r\n");
        let elapsed = start.elapsed();
        assert!(
            elapsed >= Duration::from_millis(2900),
            "stale after {elapsed:?}"
        );
        server.wait_log("Stale Client Connection - Closing", Duration::from_secs(5));
    }

    fn ping_max_is_the_number_of_pings_left_unanswered(driver) {
        for (ping_max, pings) in [(1, 1), (3, 3)] {
            let conf = format!("ping_interval: \"200ms\"\nping_max: {ping_max}\n");
            let server = Server::with(driver).conf(&conf).start();
            let mut client = server.raw_client();
            assert_eq!(
                read_to_end(&mut client),
                (pings, "-ERR 'Stale Connection'\r\n".to_owned())
            );
        }
    }

    fn pong_clears_what_is_outstanding(driver) {
        let server = start(driver);
        let mut client = server.raw_client();
        // Without PONGs the third look would end it.
        for _ in 0..3 {
            client.expect("PING\r\n");
            client.send("PONG\r\n");
        }
        // One PONG clears all.
        client.expect("PING\r\nPING\r\n");
        client.send("PONG\r\n");
        client.expect("PING\r\nPING\r\n");
    }

    /// Publishing is no answer: what is outstanding stays, and the next look finds it.
    fn activity_does_not_save_who_ignores_pings(driver) {
        let server = start(driver);
        let mut client = server.raw_client();
        client.expect("PING\r\nPING\r\n");
        let start = Instant::now();
        while start.elapsed() < 4 * INTERVAL && client.try_send("PUB a 0\r\n\r\n").is_ok() {
            std::thread::sleep(INTERVAL / 20);
        }
        client.expect_last("-ERR 'Stale Connection'\r\n");
    }

    /// Two and a half intervals of each kind of activity, without a PING.
    fn activity_delays_the_ping(driver) {
        let server = Server::with(driver)
            .conf("ping_interval: \"600ms\"\n")
            .start();
        let mut publisher = server.raw_client();
        let mut subscriber = server.raw_client();
        let mut connecter = server.raw_client();
        let mut receiver = server.raw_client();
        receiver.send("SUB a 1\r\n");
        receiver.ping();
        let start = Instant::now();
        let mut rounds = 0;
        while start.elapsed() < Duration::from_millis(1500) {
            publisher.send("PUB a 0\r\n\r\n");
            subscriber.send("SUB b 1\r\nUNSUB 1\r\n");
            connecter.send("CONNECT {}\r\n");
            rounds += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        // A PING in front of the PONG, or among the messages, would fail here.
        for client in [&mut publisher, &mut subscriber, &mut connecter] {
            client.ping();
        }
        receiver.expect("MSG a 1 0\r\n\r\n".repeat(rounds));
        receiver.ping();
    }

    fn a_ping_of_the_client_is_no_activity(driver) {
        let server = start(driver);
        let mut client = server.raw_client();
        let start = Instant::now();
        let mut pings = 0;
        let mut pongs = 0;
        // Every line that comes is answered, and asked for, by a PING: busy all the time.
        client.send("PING\r\n");
        while pings < 2 {
            match client.line().as_str() {
                "PING" => pings += 1,
                "PONG" => {
                    pongs += 1;
                    std::thread::sleep(INTERVAL / 20);
                    client.send("PING\r\n");
                }
                other => panic!("{other}"),
            }
            assert!(
                start.elapsed() < 20 * INTERVAL,
                "{pings} PINGs, {pongs} PONGs"
            );
        }
        assert!(pongs >= 2, "not busy");
    }

    fn unasked_pongs_are_fine(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.send("PONG\r\n".repeat(10));
        client.ping();
        client.send("CONNECT {\"verbose\":false}\r\nPONG\r\nPONG\r\n");
        client.ping();
    }
}
