//! What users may publish and subscribe to: the forms of a permissions block, the errors, the log lines.

use super::{LIMIT, user, wait_line};
use crate::support::{Driver, RawClient, Server, both_drivers};

/// A permissions block, and what its owner may do (`true`) and may not.
struct Policy {
    block: &'static str,
    steps: &'static [(&'static str, bool)],
}

const POLICIES: [Policy; 16] = [
    // Lists, as in gnatsd 1.2.0.
    Policy {
        block: r#"{publish: ["req.a", "req.b"], subscribe: "_INBOX.>"}"#,
        steps: &[
            ("PUB req.a", true),
            ("PUB req.b", true),
            ("PUB req.c", false),
            ("PUB req", false),
            ("PUB req.a.b", false),
            ("PUB _INBOX.a", false),
            ("SUB _INBOX.foo", true),
            ("SUB _INBOX.*", true),
            ("SUB _INBOX.>", true),
            ("SUB _INBOX.a.*.>", true),
            ("SUB _INBOX.foo group", true),
            ("SUB _INBOX", false),
            ("SUB foo", false),
            ("SUB foo group", false),
            ("SUB req.a", false),
            ("SUB *", false),
            ("SUB *.foo", false),
            ("SUB >", false),
        ],
    },
    Policy {
        block: r#"{pub: ">", sub: ">"}"#,
        steps: &[
            ("PUB a", true),
            ("PUB a.b.c", true),
            ("PUB _SYS.a", false),
            ("SUB >", true),
            ("SUB *", true),
            ("SUB a.> group", true),
        ],
    },
    // A side that is missing or empty denies all of it.
    Policy {
        block: r#"{publish: "a"}"#,
        steps: &[
            ("PUB a", true),
            ("PUB b", false),
            ("SUB a", false),
            ("SUB >", false),
        ],
    },
    Policy {
        block: r#"{subscribe: "a"}"#,
        steps: &[("PUB a", false), ("SUB a", true), ("SUB b", false)],
    },
    Policy {
        block: r#"{publish: [], subscribe: "a"}"#,
        steps: &[("PUB a", false), ("SUB a", true)],
    },
    Policy {
        block: "{}",
        steps: &[
            ("PUB a", false),
            ("SUB a", false),
            ("SUB _INBOX.a group", false),
        ],
    },
    // A star does not stand for the rest of a subject.
    Policy {
        block: r#"{publish: "*", subscribe: "*"}"#,
        steps: &[
            ("SUB *", true),
            ("SUB a", true),
            ("SUB > group", false),
            ("SUB >", false),
            ("SUB a.b", false),
            ("SUB *.*", false),
            ("SUB *.>", false),
            ("PUB a", true),
            ("PUB a.b", false),
        ],
    },
    Policy {
        block: r#"{publish: "foo.*", subscribe: "foo.*"}"#,
        steps: &[
            ("SUB foo.*", true),
            ("SUB foo.a", true),
            ("SUB foo.>", false),
            ("SUB foo.> group", false),
            ("SUB *.bar", false),
            ("SUB >", false),
            ("SUB foo", false),
            ("SUB foo.a.b", false),
            ("SUB foo.*.>", false),
            ("PUB foo.a", true),
            ("PUB foo", false),
            ("PUB foo.a.b", false),
        ],
    },
    Policy {
        block: r#"{publish: ["x.>", "y.*.z"], subscribe: ["x.>", "y.*.z"]}"#,
        steps: &[
            ("SUB x.>", true),
            ("SUB x.*", true),
            ("SUB x.*.>", true),
            ("SUB x.a.b", true),
            ("SUB y.*.z", true),
            ("SUB y.a.z", true),
            ("SUB x", false),
            ("SUB >", false),
            ("SUB *.>", false),
            ("SUB y.>", false),
            ("SUB y.*.*", false),
            ("PUB x.a", true),
            ("PUB x.a.b", true),
            ("PUB x", false),
            ("PUB y.a.z", true),
            ("PUB y.a.b", false),
        ],
    },
    // Maps, as in 2.x: a side that is missing or empty allows all of it, and a denial wins.
    Policy {
        block: r#"{publish: {allow: "a.>", deny: ["a.secret", "a.*.hidden"]}, subscribe: {deny: "b.*"}}"#,
        steps: &[
            ("PUB a.b", true),
            ("PUB a.b.c", true),
            ("PUB a.secret", false),
            ("PUB a.secret.more", true),
            ("PUB a.x.hidden", false),
            ("PUB c", false),
            ("SUB c", true),
            ("SUB b", true),
            ("SUB b.x", false),
            ("SUB b.x group", false),
            ("SUB b.*", false),
            ("SUB b.x.y", true),
            ("SUB >", true),
            ("SUB *.x", true),
        ],
    },
    Policy {
        block: r#"{publish: {deny: "a"}}"#,
        steps: &[
            ("PUB a", false),
            ("PUB b", true),
            ("SUB a", true),
            ("SUB >", true),
        ],
    },
    Policy {
        block: r#"{publish: {allow: ["a", "b"], deny: "a"}, subscribe: {allow: [], deny: ">"}}"#,
        steps: &[
            ("PUB a", false),
            ("PUB b", true),
            ("PUB c", false),
            ("SUB a", false),
            ("SUB a group", false),
            ("SUB >", false),
        ],
    },
    // One map is enough: the list beside it follows its rules.
    Policy {
        block: r#"{publish: {deny: "x"}, subscribe: "a"}"#,
        steps: &[
            ("PUB a", true),
            ("PUB x", false),
            ("SUB a", true),
            ("SUB b", false),
        ],
    },
    // Queue groups: an entry with one is for that group, and not for a plain subscription.
    Policy {
        block: r#"{publish: ">", subscribe: {allow: ["q v1", "w w.*", "plain"]}}"#,
        steps: &[
            ("SUB q", false),
            ("SUB q v1", true),
            ("SUB q v2", false),
            ("SUB w w.1", true),
            ("SUB w w", false),
            ("SUB w w.1.2", false),
            ("SUB plain", true),
            ("SUB plain any", true),
            ("SUB other any", false),
        ],
    },
    Policy {
        block: r#"{publish: ">", subscribe: {allow: "jobs.>", deny: ["jobs.a bad", "jobs.b *.dev"]}}"#,
        steps: &[
            ("SUB jobs.a", true),
            ("SUB jobs.a good", true),
            ("SUB jobs.a bad", false),
            ("SUB jobs.b", true),
            ("SUB jobs.b x.dev", false),
            ("SUB jobs.b x.prod", true),
            ("SUB jobs.c bad", true),
        ],
    },
    // A denial without a group holds for every group.
    Policy {
        block: r#"{publish: ">", subscribe: {allow: [">", "jobs.a good"], deny: ["jobs.a"]}}"#,
        steps: &[
            ("SUB jobs.a", false),
            ("SUB jobs.a good", false),
            ("SUB jobs.a any", false),
            ("SUB jobs.b any", true),
        ],
    },
];

/// A server whose only user `u` has this block.
fn server(driver: Driver, block: &str) -> Server {
    let conf =
        format!("authorization {{ users = [{{user: u, password: p, permissions: {block}}}] }}");
    Server::with(driver).conf(&conf).start()
}

/// Does one step, and judges the answer and the log.
#[track_caller]
fn step(
    server: &Server,
    client: &mut RawClient,
    sid: usize,
    line: &str,
    is_allowed: bool,
    block: &str,
) {
    let words: Vec<&str> = line.split(' ').collect();
    let (error, log) = match words[..] {
        ["PUB", subject] => {
            client.send(format!("PUB {subject} 0\r\n\r\n"));
            (
                format!("-ERR 'Permissions Violation for Publish to \"{subject}\"'\r\n"),
                format!("Publish Violation - User \"u\", Subject \"{subject}\""),
            )
        }
        ["SUB", subject, ..] => {
            client.send(format!("{line} {sid}\r\n"));
            let queue = words.get(2).filter(|_| is_modern(block));
            let in_error = queue.map_or(String::new(), |queue| format!(" using queue \"{queue}\""));
            let in_log = queue.map_or(String::new(), |queue| format!(", Queue: \"{queue}\""));
            (
                format!(
                    "-ERR 'Permissions Violation for Subscription to \"{subject}\"{in_error}'\r\n"
                ),
                format!(
                    "Subscription Violation - User \"u\", Subject \"{subject}\"{in_log}, SID {sid}"
                ),
            )
        }
        _ => panic!("not a step: {line}"),
    };
    let answer = client.until_pong();
    let answer: String = answer
        .split_inclusive("\r\n")
        .filter(|line| line.starts_with('-'))
        .collect();
    let expected = if is_allowed { "" } else { &error };
    assert_eq!(answer, expected, "{line} with {block}");
    if !is_allowed {
        wait_line(server, client, "ERR", &log);
    }
}

/// Whether the block has what gnatsd 1.2.0 does not know: then errors and log lines name queue groups, as in 2.x.
fn is_modern(block: &str) -> bool {
    ["deny", "q v1"].iter().any(|part| block.contains(part))
}

both_drivers! {
    fn what_a_policy_allows(driver) {
        let mut steps = 0;
        for policy in &POLICIES {
            let server = server(driver, policy.block);
            let mut client = server.login(&user("u", "p"));
            // Twice: what was decided is remembered.
            for round in 0..2 {
                for (at, (line, is_allowed)) in policy.steps.iter().enumerate() {
                    let sid = round * policy.steps.len() + at;
                    step(&server, &mut client, sid, line, *is_allowed, policy.block);
                    steps += 1;
                }
            }
        }
        println!("{} policies, {steps} steps", POLICIES.len());
    }

    /// A violation ends nothing: what is allowed goes on, and the payload of what is not is passed over.
    fn a_violation_does_not_end_the_connection(driver) {
        let server = server(driver, r#"{publish: ["req.a"], subscribe: "_INBOX.>"}"#);
        let mut client = server.bare_client();
        client.send("CONNECT {\"user\":\"u\",\"pass\":\"p\",\"headers\":true}\r\n");
        client.send("SUB no 1\r\nSUB _INBOX.a 2\r\nPUB no 6\r\nPING\r\n\r\nHPUB no 12 18\r\nNATS/1.0\r\n\r\nPING\r\n\r\n");
        client.send("PUB req.a 1\r\ny\r\nUNSUB 2\r\nUNSUB 1\r\nPING\r\n");
        // For a refused SUB there is no +OK; a refused PUB has one, as it was read well (gnatsd 1.2.0).
        client.expect("+OK\r\n-ERR 'Permissions Violation for Subscription to \"no\"'\r\n+OK\r\n");
        let rest = client.until_pong();
        assert_eq!(rest.matches("-ERR 'Permissions Violation for Publish to \"no\"'\r\n").count(), 2, "{rest}");
        assert!(rest.starts_with("-ERR 'Permissions Violation for Publish"), "{rest}");
    }

    /// Subjects of clients stand in error texts and log lines, and bring nothing of their own there.
    fn subjects_are_quoted(driver) {
        let server = server(driver, "{publish: a, subscribe: a}");
        let mut client = server.login(&user("u", "p"));
        client.send(b"PUB \"x'\\\x01\xff 0\r\n\r\n");
        let line = client.line();
        assert_eq!(line, r#"-ERR 'Permissions Violation for Publish to "\"x'\\\x01\xff"'"#);
        wait_line(&server, &client, "ERR", r#"Publish Violation - User "u", Subject "\"x'\\\x01\xff""#);
        client.ping();
    }

    fn default_permissions(driver) {
        let server = Server::with(driver)
            .conf("authorization {
                ADMIN = { publish = \">\", subscribe = \">\" }
                READER = { publish = [\"req.a\", \"req.b\"], subscribe = \"_INBOX.>\" }
                default_permissions = { publish = \"SANDBOX.*\", subscribe = [\"PUBLIC.>\", \"_INBOX.>\"] }
                users = [
                    {user: joe, password: foo, permissions: $ADMIN}
                    {user: alice, password: bar, permissions: $READER}
                    {user: charlie, password: baz}
                ]
            }")
            .start();
        for (name, password, lines) in [
            ("joe", "foo", [("PUB x", true), ("PUB SANDBOX.a", true), ("SUB >", true), ("SUB PUBLIC.a", true)]),
            ("alice", "bar", [("PUB req.a", true), ("PUB SANDBOX.a", false), ("SUB _INBOX.a", true), ("SUB PUBLIC.a", false)]),
            ("charlie", "baz", [("PUB req.a", false), ("PUB SANDBOX.a", true), ("PUB SANDBOX.a.b", false), ("SUB PUBLIC.a", true)]),
        ] {
            let mut client = server.login(&user(name, password));
            for (line, is_allowed) in lines {
                let rest = if line.starts_with("PUB") { " 0\r\n\r\n" } else { " 1\r\n" };
                client.send(format!("{line}{rest}"));
                let answer = client.until_pong();
                assert_eq!(!answer.contains("-ERR"), is_allowed, "{name}: {line}: {answer}");
            }
        }
    }

    /// Whoever has a list that lacks a side is told so at the start, with the line to add.
    fn a_missing_side_is_warned_of(driver) {
        for (block, text) in [
            (r#"{publish: ">"}"#, "user \"u\" name no subject to subscribe to, which denies every one; to allow all add: subscribe: \">\""),
            (r#"{subscribe: ">"}"#, "user \"u\" name no subject to publish, which denies every one; to allow all add: publish: \">\""),
        ] {
            let server = server(driver, block);
            server.wait_log("Server is ready", LIMIT);
            let log = server.log();
            let lines = log.lines().filter(|line| line.contains("[WRN]") && line.contains(text));
            assert_eq!(lines.count(), 1, "{log}");
        }
        for block in [r#"{publish: ">", subscribe: ">"}"#, r#"{publish: {deny: "x"}}"#] {
            let server = server(driver, block);
            server.wait_log("Server is ready", LIMIT);
            assert!(!server.log().contains("permissions of"), "{}", server.log());
        }
    }
}
