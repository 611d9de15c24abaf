//! Passwords and tokens as bcrypt hashes: the connection rests until the hash is done, and loses nothing.

use std::time::{Duration, Instant};

use super::{LIMIT, VIOLATION, connect, expect_refused, tls_builder};
use crate::support::wire::TlsClient;
use crate::support::{Authority, RawClient, Server, both_drivers, on_shards, wait_until};

/// The hash of `s3cret` at the least cost there is, 4.
pub(super) const HASH: &str = "$2a$04$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG";

/// The hash of `S3Cr3T0k3n!` at cost 11: about a tenth of a second of work.
pub(super) const SLOW_HASH: &str = "$2a$11$UP3xizk94sWF9SHF/wkklOfBT9jphTGNrhZqz2OHoBdk9yO1kvErG";

/// The same hash under the names of other makers.
const KINDS: [&str; 4] = ["$2a$", "$2b$", "$2x$", "$2y$"];

fn hash(kind: &str) -> String {
    HASH.replacen("$2a$", kind, 1)
}

/// Publications sent behind CONNECT before it is answered.
const MESSAGES: usize = 3000;

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// CONNECT and all that follows in one write; what the answer to all of it is.
fn pipelined(keys: &str) -> (String, String) {
    let mut sent = format!("CONNECT {{{keys}}}\r\nSUB pipe.* 1\r\n");
    let mut answer = "+OK\r\n+OK\r\n".to_owned();
    for number in 0..MESSAGES {
        let payload = format!("{number}{}", "x".repeat(100));
        let message = format!("{}\r\n{payload}\r\n", payload.len());
        sent += &format!("PUB pipe.a {message}");
        answer += &format!("+OK\r\nMSG pipe.a 1 {message}");
    }
    (sent + "PING\r\n", answer + "PONG\r\n")
}

both_drivers! {
    fn every_kind_of_hash(driver) {
        for kind in KINDS {
            let hash = hash(kind);
            for (conf, right, wrong) in [
                (
                    format!("authorization {{ user: u, password: \"{hash}\" }}"),
                    r#""user":"u","pass":"s3cret""#.to_owned(),
                    [r#""user":"u","pass":"s3cret2""#.to_owned(), format!(r#""user":"u","pass":"{hash}""#)],
                ),
                (
                    format!("authorization {{ token: \"{hash}\" }}"),
                    r#""auth_token":"s3cret""#.to_owned(),
                    [r#""auth_token":"S3cret""#.to_owned(), format!(r#""auth_token":"{hash}""#)],
                ),
            ] {
                let server = Server::with(driver).conf(&conf).start();
                server.login(&format!("{{\"verbose\":false,{right}}}"));
                for keys in wrong {
                    let mut client = server.bare_client();
                    client.send(connect(&keys) + "SUB a 1\r\nPING\r\n");
                    expect_refused(&server, &mut client, "Authorization Error");
                }
                assert!(!server.log().contains("Plaintext passwords"), "{}", server.log());
            }
        }
    }

    /// A hash needs no quotes in a file, whoever made it.
    fn hashes_without_quotes(driver) {
        for kind in KINDS {
            let conf = format!("authorization {{\n user: u\n password: {}\n}}", hash(kind));
            let server = Server::with(driver).conf(&conf).start();
            server.login(r#"{"verbose":false,"user":"u","pass":"s3cret"}"#);
        }
    }

    /// What only looks like a hash is a password, and one that is none never matches.
    fn what_is_no_hash(driver) {
        for (stored, shown, is_right) in [
            ("$2z$04$abcdefghijklmnopqrstuu", "$2z$04$abcdefghijklmnopqrstuu", true),
            ("$2a$abc", "$2a$abc", true),
            ("2a$04$x", "2a$04$x", true),
            ("$2a$04$tooshort", "$2a$04$tooshort", false),
            ("$2a$99$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG", "s3cret", false),
        ] {
            let conf = format!("authorization {{ user: u, password: \"{stored}\" }}");
            let server = Server::with(driver).conf(&conf).start();
            let mut client = server.bare_client();
            client.send(connect(&format!(r#""user":"u","pass":"{shown}""#)));
            if is_right {
                client.ping();
            } else {
                client.expect_last(VIOLATION);
            }
        }
    }

    fn a_warning_for_passwords_in_clear(driver) {
        for (conf, is_warned) in [
            ("authorization { user: u, password: p }", true),
            ("authorization { token: t }", true),
            ("authorization { users = [{user: u, password: p}] }", true),
            ("", false),
        ] {
            let server = Server::with(driver).conf(conf).start();
            server.wait_log("Server is ready", LIMIT);
            let warning = "[WRN] Plaintext passwords detected, use nkeys or bcrypt\n";
            assert_eq!(server.log().matches(warning).count(), usize::from(is_warned), "{conf}");
        }
    }
}

on_shards! {
    /// Everything that comes behind CONNECT waits for the hash, is handled in order, and nothing is lost: it is
    /// more than a read takes.
    fn what_follows_connect_is_not_lost(driver, cores) on one, two {
        let conf = format!("authorization {{ token: \"{SLOW_HASH}\" }}");
        let server = Server::with(driver).cores(cores).conf(&conf).start();
        let (sent, answer) = pipelined(r#""auth_token":"S3Cr3T0k3n!""#);
        let mut client = server.bare_client();
        client.set_limit(PATIENCE);
        client.send(&sent);
        client.expect(&answer);
        // A wrong one: not a byte of it has an effect.
        let (sent, _) = pipelined(r#""auth_token":"S3Cr3T0k3n?""#);
        let mut client = server.bare_client();
        let _ = client.try_send(&sent);
        let told = client.read_to_end();
        // The rest of what was sent may end the connection with a reset, which takes what was said.
        assert!(told.is_empty() || told == VIOLATION.as_bytes(), "{}", told.escape_ascii());
    }

    fn what_follows_connect_is_not_lost_over_tls(driver, cores) on one, two {
        let authority = Authority::new();
        let conf = format!("authorization {{ token: \"{SLOW_HASH}\" }}");
        let server = tls_builder(driver, &authority, "", &conf).cores(cores).start();
        let config = TlsClient::new(&authority).config();
        let (sent, answer) = pipelined(r#""auth_token":"S3Cr3T0k3n!""#);
        let mut client = RawClient::connect_tls(server.address(), &config);
        client.set_limit(PATIENCE);
        client.send(&sent);
        client.expect(&answer);
    }

    /// Connections that end while their hash is being worked on leave nothing, and nobody gets another's answer.
    fn who_leaves_before_the_answer(driver, cores) on one, two {
        let conf = format!("authorization {{ token: \"{SLOW_HASH}\" }}");
        let server = Server::with(driver).cores(cores).conf(&conf).monitor().start();
        let fds = server.fd_count();
        for round in 0..20 {
            let mut client = server.bare_client();
            client.send(connect(r#""auth_token":"S3Cr3T0k3n!""#) + "SUB left 1\r\n");
            if round % 2 == 0 {
                client.reset();
            }
            // In its place, and not let in by the answer to the other.
            let mut next = server.bare_client();
            next.send("SUB a 1\r\n");
            next.expect_last(VIOLATION);
        }
        wait_until(Duration::from_secs(20), "all gone", || {
            server.varz()["connections"] == 0 && server.fd_count() <= fds
        });
        assert_eq!(server.subsz("")["num_subscriptions"], 0);
    }

    /// While one hash is worked on, everybody else is served.
    fn others_do_not_wait(driver, cores) on one, two {
        let conf = format!(
            "authorization {{ users = [{{user: slow, password: \"{SLOW_HASH}\"}}, {{user: u, password: \"{HASH}\"}}] }}"
        );
        let server = Server::with(driver).cores(cores).conf(&conf).start();
        let mut other = server.login(r#"{"verbose":false,"user":"u","pass":"s3cret"}"#);
        let mut slow = server.bare_client();
        slow.send(connect(r#""user":"slow","pass":"S3Cr3T0k3n!""#) + "PING\r\n");
        let begin = Instant::now();
        let mut pings = 0;
        while !slow.has_more(Duration::from_millis(1)) {
            other.ping();
            pings += 1;
            assert!(begin.elapsed() < PATIENCE, "no answer");
        }
        slow.expect("PONG\r\n");
        println!("{pings} pings beside a hash of {:.1?}", begin.elapsed());
        assert!(pings >= 3, "{pings} pings in {:.1?}", begin.elapsed());
    }
}
