//! No-responders: the status message for a request that nobody hears.

use crate::support::{RawClient, Server, both_drivers};

const NOBODY: &str = "16 16\r\nNATS/1.0 503\r\n\r\n\r\n";

fn requester(server: &Server) -> RawClient {
    let mut client = server.bare_client();
    client
        .connect_with(r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#);
    client
}

both_drivers! {
    fn a_request_nobody_hears_is_answered(driver) {
        let server = Server::start(driver);
        let mut client = requester(&server);
        client.send("SUB _INBOX.1.* 7\r\nPUB a _INBOX.1.x 2\r\nhi\r\n");
        client.expect(format!("HMSG _INBOX.1.x 7 {NOBODY}"));
        client.send("HPUB a _INBOX.1.y 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
        client.expect(format!("HMSG _INBOX.1.y 7 {NOBODY}"));
        client.ping();
    }

    fn a_request_that_is_heard_is_not(driver) {
        let server = Server::start(driver);
        let mut client = requester(&server);
        let mut responder = server.raw_client();
        responder.send("SUB a 1\r\nSUB b q 2\r\n");
        responder.ping();
        client.send("SUB r 7\r\nPUB a r 0\r\n\r\nPUB b r 0\r\n\r\n");
        client.ping();
        responder.expect("MSG a 1 r 0\r\n\r\nMSG b 2 r 0\r\n\r\n");
        responder.send("UNSUB 1\r\n");
        responder.ping();
        client.send("PUB a r 0\r\n\r\n");
        client.expect(format!("HMSG r 7 {NOBODY}"));
        client.ping();
    }

    fn not_without_a_reply_nor_for_those_who_did_not_ask(driver) {
        let server = Server::start(driver);
        let mut client = requester(&server);
        client.send("SUB r 7\r\nPUB a 0\r\n\r\n");
        client.ping();
        for json in [
            "{}",
            r#"{"headers":true}"#,
            r#"{"headers":true,"no_responders":false}"#,
        ] {
            let mut client = server.bare_client();
            client.connect_quiet();
            client.send(format!("CONNECT {json}\r\nSUB r 7\r\nPUB a r 0\r\n\r\n"));
            client.ping();
        }
    }

    fn goes_to_one_plain_subscription_of_the_requester(driver) {
        let server = Server::start(driver);
        let mut client = requester(&server);
        let mut other = server.raw_client();
        other.send("SUB r 1\r\nSUB > 2\r\nUNSUB 2\r\n");
        other.ping();
        // Nowhere to go: no subscription, or one in a queue group.
        client.send("PUB a r 0\r\n\r\nSUB r q 7\r\nPUB a r 0\r\n\r\n");
        client.ping();
        client.send("SUB r 8\r\nSUB * 9\r\nUNSUB 9\r\nSUB r 9\r\nPUB a r 0\r\n\r\n");
        let messages = client.messages_until_pong();
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(["8", "9"].contains(&messages[0].sid.as_str()) && messages[0].subject == "r");
        other.ping();
    }

    fn own_subscriptions_that_echo_keeps_away_do_not_hear(driver) {
        let server = Server::start(driver);
        let mut client = requester(&server);
        client.send("CONNECT {\"echo\":false}\r\nSUB a 1\r\nSUB r 7\r\nPUB a r 0\r\n\r\n");
        client.expect(format!("HMSG r 7 {NOBODY}"));
        client.ping();
    }

    fn own_subscriptions_hear_with_echo(driver) {
        let server = Server::start(driver);
        let mut client = requester(&server);
        client.send("SUB a 1\r\nSUB r 7\r\nPUB a r 0\r\n\r\n");
        client.expect("MSG a 1 r 0\r\n\r\n");
        client.ping();
    }

    fn does_not_count_for_max(driver) {
        let server = Server::start(driver);
        let mut client = requester(&server);
        client.send("SUB r 7\r\nUNSUB 7 1\r\nPUB a r 0\r\n\r\nPUB a r 0\r\n\r\n");
        client.expect(format!("HMSG r 7 {NOBODY}HMSG r 7 {NOBODY}"));
        client.send("PUB r 1\r\nx\r\nPUB r 1\r\ny\r\n");
        client.expect("MSG r 7 1\r\nx\r\n");
        client.ping();
    }

    fn comes_after_ok_and_not_for_a_refused_publish(driver) {
        let server = Server::start(driver);
        let mut client = server.bare_client();
        client.send(
            "CONNECT {\"headers\":true,\"no_responders\":true}\r\nSUB r 7\r\nPUB a r 0\r\n\r\n",
        );
        client.expect(format!("+OK\r\n+OK\r\n+OK\r\nHMSG r 7 {NOBODY}"));
        client.send("PUB _SYS.a r 0\r\n\r\n");
        client.expect("-ERR 'Permissions Violation for Publish to \"_SYS.a\"'\r\n");
        client.ping();
    }

    /// Inbox and request in one write, one after another: no answer may be missing or false.
    fn inbox_and_request_in_one_write(driver) {
        let server = Server::start(driver);
        let mut responder = server.raw_client();
        responder.send("SUB yes 1\r\n");
        responder.ping();
        let mut client = requester(&server);
        for round in 0..200 {
            client.send(format!(
                "SUB _INBOX.{round} {round}\r\nUNSUB {round} 1\r\nPUB yes _INBOX.{round} 0\r\n\r\n"
            ));
            let request = responder.message();
            responder.send(format!("PUB {} 2\r\nok\r\n", request.reply.unwrap()));
            client.expect(format!("MSG _INBOX.{round} {round} 2\r\nok\r\n"));
            client.send(format!(
                "SUB _NONE.{round} n{round}\r\nPUB no _NONE.{round} 0\r\n\r\nUNSUB n{round}\r\n"
            ));
            client.expect(format!("HMSG _NONE.{round} n{round} {NOBODY}"));
        }
        client.ping();
    }
}
