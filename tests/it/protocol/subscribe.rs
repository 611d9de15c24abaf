//! SUB: which subjects are taken, what a sid stands for, and the limit of a connection.

use super::wait_error_line;
use crate::support::{Server, both_drivers};

const INVALID: [&str; 12] = [
    ".foo", "foo.", "a..b", ">.d", "a.>.b", ".", "..", ">.>", "*.", ".*", "a.>.", ">.",
];

both_drivers! {
    /// Refused in pedantic mode and out of it, the connection stays, the sid stays free.
    fn invalid_subjects_are_told_and_take_no_sid(driver) {
        let server = Server::start(driver);
        for (pedantic, sid) in [(true, "1"), (false, "2")] {
            let mut client = server.bare_client();
            client.connect_with(&format!(r#"{{"verbose":false,"pedantic":{pedantic}}}"#));
            for subject in INVALID {
                println!("{subject}");
                client.send(format!("SUB {subject} {sid}\r\nSUB {subject} q {sid}\r\n"));
                client.expect("-ERR 'Invalid Subject'\r\n-ERR 'Invalid Subject'\r\n");
                client.ping();
            }
            client.send(format!("SUB a {sid}\r\nPUB a 0\r\n\r\n"));
            client.expect(format!("MSG a {sid} 0\r\n\r\n"));
        }
    }

    fn invalid_subject_gets_no_ok(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.send("SUB a..b 1\r\nSUB a.b 1\r\n");
        client.expect("-ERR 'Invalid Subject'\r\n+OK\r\n");
        client.ping();
    }

    fn wildcards_inside_a_token_are_letters(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("SUB foo* 1\r\nSUB foo.** 2\r\nSUB foo.>x 3\r\nSUB *x.>> 4\r\n");
        client.ping();
        client.send(
            "PUB foobar 0\r\n\r\nPUB foo.bar 0\r\n\r\nPUB foo.barx 0\r\n\r\nPUB ax.y 0\r\n\r\n",
        );
        client.ping();
        for (subject, sid) in [("foo*", 1), ("foo.**", 2), ("foo.>x", 3), ("*x.>>", 4)] {
            client.send(format!("PUB {subject} 0\r\n\r\n"));
            client.expect(format!("MSG {subject} {sid} 0\r\n\r\n"));
        }
        client.ping();
    }

    fn duplicate_sid_is_accepted_and_the_first_subscription_stays(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.send("SUB a 1\r\nSUB b 1\r\nSUB a..b 1\r\nSUB a q 1\r\nSUB a 1\r\n");
        client.expect("+OK\r\n".repeat(5));
        client.send("PUB b 0\r\n\r\nPUB a 0\r\n\r\n");
        client.expect("+OK\r\n+OK\r\nMSG a 1 0\r\n\r\n");
        client.send("UNSUB 1\r\nPUB a 0\r\n\r\nPUB b 0\r\n\r\n");
        client.expect("+OK\r\n+OK\r\n+OK\r\n");
        client.ping();
    }

    fn each_sid_of_a_subject_gets_a_copy(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        client.send("SUB a 1\r\nSUB a 2\r\nSUB a 3\r\nSUB * 4\r\nSUB > 5\r\nPUB a 2\r\nhi\r\n");
        let mut messages = client.messages_until_pong();
        messages.sort_by(|a, b| a.sid.cmp(&b.sid));
        let sids: Vec<_> = messages.iter().map(|m| m.sid.as_str()).collect();
        assert_eq!(sids, ["1", "2", "3", "4", "5"]);
        assert!(
            messages
                .iter()
                .all(|m| m.subject == "a" && m.payload == b"hi")
        );
    }

    fn sids_belong_to_their_connection(driver) {
        let server = Server::start(driver);
        let (mut one, mut two) = (server.raw_client(), server.raw_client());
        one.send("SUB a 1\r\n");
        one.ping();
        two.send("SUB b 1\r\nUNSUB 2\r\n");
        two.ping();
        two.send("UNSUB 1\r\n");
        two.ping();
        two.send("PUB a 0\r\n\r\n");
        two.ping();
        one.expect("MSG a 1 0\r\n\r\n");
    }

    fn limit_of_a_connection(driver) {
        let server = Server::with(driver).conf("max_subscriptions: 2\n").start();
        let mut client = server.bare_client();
        client.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n");
        client.expect("+OK\r\n+OK\r\n-ERR 'Maximum Subscriptions Exceeded'\r\n");
        wait_error_line(&server, &client, "Maximum Subscriptions Exceeded");
        // The limit is looked at before the sid and the subject.
        client.send("SUB a 1\r\nSUB a..b 4\r\n");
        client.expect("-ERR 'Maximum Subscriptions Exceeded'\r\n".repeat(2));
        client.send("PUB c 0\r\n\r\n");
        client.expect("+OK\r\n");
        let mut other = server.bare_client();
        other.send("SUB c 3\r\nPUB a 0\r\n\r\n");
        other.expect("+OK\r\n+OK\r\n");
        client.expect("MSG a 1 0\r\n\r\n");
        client.send("UNSUB 1\r\nSUB c 3\r\nPUB c 0\r\n\r\n");
        client.expect("+OK\r\n+OK\r\n+OK\r\nMSG c 3 0\r\n\r\n");
        client.ping();
    }

    fn subscriptions_that_ended_by_max_make_room(driver) {
        let server = Server::with(driver).conf("max_subscriptions: 1\n").start();
        let mut client = server.raw_client();
        for round in 0..20 {
            client.send(format!(
                "SUB a {round}\r\nUNSUB {round} 1\r\nPUB a 0\r\n\r\n"
            ));
            client.expect(format!("MSG a {round} 0\r\n\r\n"));
        }
        client.ping();
    }

    fn subscriptions_end_with_their_connection(driver) {
        let server = Server::start(driver);
        let mut publisher = server.bare_client();
        publisher.connect_with(r#"{"verbose":false,"headers":true,"no_responders":true}"#);
        publisher.send("SUB r 1\r\n");
        let mut subscriber = server.raw_client();
        subscriber.send("SUB a 1\r\n");
        subscriber.ping();
        publisher.send("PUB a r 0\r\n\r\n");
        publisher.ping();
        subscriber.half_close();
        assert_eq!(subscriber.read_to_end(), b"MSG a 1 r 0\r\n\r\n");
        // The end the client saw came after the end of its subscriptions.
        publisher.send("PUB a r 0\r\n\r\n");
        assert!(publisher.message().headers.starts_with(b"NATS/1.0 503"));
    }
}
