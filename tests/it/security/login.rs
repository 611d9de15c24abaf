//! Logins by user, password and token: who is let in, what the others are told, what the log says.

use std::time::{Duration, Instant};

use super::{LIMIT, TIMEOUT, connect, expect_among, expect_refused, user, wait_line};
use crate::support::{Builder, Server, both_drivers, wait_until};

/// Log line for a server without a list of users: it has one user, or a token.
const ERROR: &str = "Authorization Error";

/// A server that asks for a login, and what becomes of some.
struct Form {
    conf: &'static str,
    args: &'static [&'static str],
    /// Keys of CONNECT that are let in.
    right: &'static [&'static str],
    /// Keys that are not, and the log line.
    wrong: &'static [(&'static str, &'static str)],
}

const FORMS: [Form; 8] = [
    Form {
        conf: "authorization { user: derek, password: \"pork chop\" }",
        args: &[],
        right: &[
            r#""user":"derek","pass":"pork chop""#,
            r#""user":"derek","pass":"pork chop","auth_token":"x""#,
        ],
        wrong: &[
            (r#""user":"derek","pass":"pork chop ""#, ERROR),
            (r#""user":"derek","pass":"pork cho""#, ERROR),
            (r#""user":"derek","pass":"""#, ERROR),
            (r#""user":"derek""#, ERROR),
            (r#""user":"Derek","pass":"pork chop""#, ERROR),
            (r#""pass":"pork chop""#, ERROR),
            (r#""auth_token":"pork chop""#, ERROR),
            ("", ERROR),
        ],
    },
    Form {
        conf: "",
        args: &["--user", "derek", "--pass", "porkchop"],
        right: &[r#""user":"derek","pass":"porkchop""#],
        wrong: &[(r#""user":"derek","pass":"x""#, ERROR), ("", ERROR)],
    },
    // A user without a password: only an empty one is right.
    Form {
        conf: "",
        args: &["--user", "solo"],
        right: &[r#""user":"solo""#, r#""user":"solo","pass":"""#],
        wrong: &[
            (r#""user":"solo","pass":"x""#, ERROR),
            (r#""user":"dolo""#, ERROR),
            ("", ERROR),
        ],
    },
    Form {
        conf: "authorization { token: \"t k\\\"1\" }",
        args: &[],
        right: &[
            r#""auth_token":"t k\"1""#,
            r#""auth_token":"t k\"1","user":"x","pass":"y""#,
        ],
        wrong: &[
            (r#""auth_token":"t k1""#, ERROR),
            (r#""auth_token":"""#, ERROR),
            (r#""user":"t k\"1""#, ERROR),
            (r#""pass":"t k\"1""#, ERROR),
            ("", ERROR),
        ],
    },
    Form {
        conf: "",
        args: &["--auth", "S3Cr3T0k3n!"],
        right: &[r#""auth_token":"S3Cr3T0k3n!""#],
        wrong: &[(r#""auth_token":"S3Cr3T0k3n""#, ERROR), ("", ERROR)],
    },
    // Of equal names the last counts. Names and passwords may be anything.
    Form {
        conf: "authorization { users = [
            {user: joe, password: foo}
            {user: alice, password: bar}
            {user: joe, password: last}
            {user: \"\u{e4} \\\"q\\\"\", password: \"\u{20ac}\"}
        ] }",
        args: &[],
        right: &[
            r#""user":"joe","pass":"last""#,
            r#""user":"alice","pass":"bar""#,
            "\"user\":\"\u{e4} \\\"q\\\"\",\"pass\":\"\u{20ac}\"",
        ],
        wrong: &[
            (
                r#""user":"joe","pass":"foo""#,
                r#"Authorization Error - User "joe""#,
            ),
            (
                r#""user":"alice","pass":"last""#,
                r#"Authorization Error - User "alice""#,
            ),
            (
                r#""user":"nobody","pass":"bar""#,
                r#"Authorization Error - User "nobody""#,
            ),
            (
                r#""user":"a\r\nb","pass":"bar""#,
                r#"Authorization Error - User "a\r\nb""#,
            ),
            (r#""auth_token":"bar""#, r#"Authorization Error - User """#),
            ("", r#"Authorization Error - User """#),
        ],
    },
    // A list without users locks everybody out.
    Form {
        conf: "authorization { users = [] }",
        args: &[],
        right: &[],
        wrong: &[
            ("", r#"Authorization Error - User """#),
            (r#""user":"","pass":"""#, r#"Authorization Error - User """#),
        ],
    },
    // Flags and file together: a list goes before a token before a single user.
    Form {
        conf: "authorization { user: u, password: p }",
        args: &["--auth", "token"],
        right: &[r#""auth_token":"token""#],
        wrong: &[(r#""user":"u","pass":"p""#, ERROR)],
    },
];

fn started(builder: Builder, form: &Form) -> Server {
    builder.conf(form.conf).args(form.args).start()
}

/// A client that says nothing is told so and closed after this time.
#[track_caller]
fn expect_timeout(server: &Server, timeout: Duration) {
    let begin = Instant::now();
    server.bare_client().expect_last(TIMEOUT);
    let took = begin.elapsed();
    assert!(took >= timeout.mul_f64(0.8), "{took:?}");
    assert!(took < timeout + Duration::from_secs(4), "{took:?}");
}

both_drivers! {
    fn who_is_let_in(driver) {
        let mut tried = 0;
        for form in &FORMS {
            let server = started(Server::with(driver), form);
            for keys in form.right {
                let mut client = server.bare_client();
                assert_eq!(client.info()["auth_required"], true, "{}", form.conf);
                client.send(format!("CONNECT {{{keys}}}\r\n"));
                client.expect("+OK\r\n");
                client.send("SUB a 1\r\nPUB a 2\r\nhi\r\n");
                client.expect("+OK\r\n+OK\r\nMSG a 1 2\r\nhi\r\n");
            }
            for (keys, line) in form.wrong {
                let mut client = server.bare_client();
                client.send(format!("CONNECT {{{keys}}}\r\nSUB a 1\r\nPING\r\n"));
                expect_refused(&server, &mut client, line);
            }
            tried += form.right.len() + form.wrong.len();
        }
        println!("{tried} logins");
    }

    /// A password without a user is none; what clients show then is of no interest.
    fn without_a_user_there_is_no_login(driver) {
        for args in [&["--pass", "x"][..], &[]] {
            let server = Server::with(driver).args(args).start();
            let mut client = server.bare_client();
            assert!(client.info()["auth_required"].is_null(), "{args:?}");
            client.send(connect(r#""user":"u","pass":"p","auth_token":"t","nkey":"U","sig":"s""#));
            client.ping();
        }
    }

    fn nobody_waits_longer_than_the_timeout(driver) {
        let server = Server::with(driver)
            .args(&["-D"])
            .conf("authorization { user: u, password: p, timeout: 0.5 }")
            .start();
        let begin = Instant::now();
        let mut silent = server.bare_client();
        let mut half = server.bare_client();
        half.send("CONNECT {\"user\":\"u\",");
        let mut right = server.bare_client();
        right.send(connect(r#""user":"u","pass":"p""#));
        right.ping();
        for client in [&mut silent, &mut half] {
            client.expect_last(TIMEOUT);
            let took = begin.elapsed();
            assert!(took >= Duration::from_millis(500), "{took:?}");
            assert!(took < Duration::from_secs(5), "{took:?}");
            wait_line(&server, client, "DBG", "Authorization Timeout");
        }
        // Whoever is in stays. The other two were told after it had come, so its time is over as well.
        right.ping();
        expect_timeout(&server, Duration::from_millis(500));
        right.ping();
    }

    /// The default is a second.
    fn the_default_timeout_is_a_second(driver) {
        let server = Server::with(driver).args(&["--auth", "x"]).start();
        expect_timeout(&server, Duration::from_secs(1));
    }

    fn a_negative_timeout_ends_everyone_at_once(driver) {
        let conf = "authorization { token: x, timeout: -1 }";
        let server = Server::with(driver).conf(conf).start();
        server.bare_client().expect_last(TIMEOUT);
    }

    /// Who shows nothing is that user, whether by CONNECT or by anything else; who shows something wrong is nobody.
    fn no_auth_user(driver) {
        let server = Server::with(driver)
            .conf("no_auth_user: guest\nauthorization { users = [
                {user: guest, password: g, permissions: {publish: \"guest.>\", subscribe: \">\"}}
                {user: joe, password: foo}
            ] }")
            .start();
        for first in [&connect("")[..], "CONNECT {\"user\":\"\",\"pass\":\"\"}\r\n", "PONG\r\n", ""] {
            let mut client = server.bare_client();
            client.send(format!("{first}SUB a 1\r\nPUB a 0\r\n\r\nPUB guest.a 0\r\n\r\n"));
            let all = client.until_pong();
            let refusals = all.matches("-ERR 'Permissions Violation for Publish to \"a\"'\r\n").count();
            assert_eq!(refusals, 1, "after {first:?}: {all}");
        }
        let mut joe = server.bare_client();
        joe.send(connect(r#""user":"joe","pass":"foo""#) + "PUB a 0\r\n\r\n");
        joe.ping();
        for (keys, name) in [
            (r#""user":"joe""#, "joe"),
            (r#""user":"guest","pass":"x""#, "guest"),
            (r#""pass":"g""#, ""),
            (r#""auth_token":"x""#, ""),
        ] {
            let mut client = server.bare_client();
            client.send(connect(keys));
            expect_refused(&server, &mut client, &format!("Authorization Error - User \"{name}\""));
        }
    }

    /// A second CONNECT is another login: what the new user may not have goes.
    fn a_second_connect_changes_the_user(driver) {
        let server = Server::with(driver)
            .monitor()
            .conf("authorization { users = [
                {user: all, password: a}
                {user: few, password: f, permissions: {publish: \"few\", subscribe: [\"few\", \"both.*\"]}}
            ] }")
            .start();
        let mut client = server.login(&user("all", "a"));
        client.send("SUB secret 1\r\nSUB both.a 2\r\nSUB > 3\r\nPUB secret 0\r\n\r\n");
        expect_among(&mut client, &["MSG secret 1 0\r\n\r\n", "MSG secret 3 0\r\n\r\n"]);
        client.send(connect(r#""user":"few","pass":"f""#));
        client.send("PUB secret 0\r\n\r\n");
        expect_among(&mut client, &[
            "-ERR 'Permissions Violation for Subscription to \"secret\" (sid 1)'\r\n",
            "-ERR 'Permissions Violation for Subscription to \">\" (sid 3)'\r\n",
            "-ERR 'Permissions Violation for Publish to \"secret\"'\r\n",
        ]);
        assert_eq!(server.subsz("")["num_subscriptions"], 1);
        let mut other = server.login(&user("all", "a"));
        other.send("PUB secret 0\r\n\r\nPUB both.a 1\r\nx\r\n");
        other.ping();
        client.expect("MSG both.a 2 1\r\nx\r\n");
        client.ping();
        // And back: no more and no less than the first time.
        client.send(connect(r#""user":"all","pass":"a""#) + "SUB secret 1\r\nPUB secret 0\r\n\r\n");
        client.expect("MSG secret 1 0\r\n\r\n");
        client.ping();
        // A wrong one ends the connection, and all it had.
        client.send(connect(r#""user":"few","pass":"a""#));
        expect_refused(&server, &mut client, r#"Authorization Error - User "few""#);
        wait_until(LIMIT, "no subscription left", || {
            server.subsz("")["num_subscriptions"] == 0
        });
    }
}
