//! P6: subjects of ten thousand tokens, tokens and sids of 4 KiB, and what they cost.

use std::time::{Duration, Instant};

use crate::support::{RawClient, Server, both_drivers};

/// Ten thousand tokens need a longer line than the default.
const CONF: &str = "max_control_line: 64kb\n";

const TOKENS: usize = 10_000;

/// What one operation may cost, in processor time of the server.
const COST_MAX: Duration = Duration::from_millis(1);

/// Times each operation is made, on a subject of its own where it can be.
const ROUNDS: u32 = 8;

const INVALID: &str = "-ERR 'Invalid Subject'\r\n";

/// Makes, for a round, what is sent and what must be answered.
type Operation<'a> = dyn Fn(u32) -> (String, String) + 'a;

/// Makes an operation several times; gives the mean of the server's processor time, and the longest
/// time until the answer, which a busy machine may stretch.
fn measure(
    server: &Server,
    client: &mut RawClient,
    operation: &Operation<'_>,
) -> (Duration, Duration) {
    client.ping();
    let before = server.cpu_time();
    let mut longest = Duration::ZERO;
    for round in 0..ROUNDS {
        let (input, output) = operation(round);
        let start = Instant::now();
        client.send(input + "PING\r\n");
        client.expect(output + "PONG\r\n");
        longest = longest.max(start.elapsed());
    }
    ((server.cpu_time() - before) / ROUNDS, longest)
}

/// A subject with these tokens, the first one replaced by the round's number.
fn subject(round: u32, token: &str, count: usize) -> String {
    format!("{round}.{}", vec![token; count - 1].join("."))
}

both_drivers! {
    fn cost_of_each(driver) {
        // What one shard pays; others that are told of a pattern pay for themselves.
        let server = Server::with(driver).cores(1).conf(CONF).start();
        let mut client = server.raw_client();
        let token = "t".repeat(4096);
        let sid = "s".repeat(4096);
        let sub = |round: u32, subject: String| {
            (
                format!("SUB {subject} {round}\r\nUNSUB {round}\r\n"),
                String::new(),
            )
        };
        let bad = |subject: String| (format!("SUB {subject} 1\r\n"), INVALID.to_owned());
        let publish = |subject: String| (format!("PUB {subject} 0\r\n\r\n"), String::new());
        let operations: [(&str, &Operation<'_>); 14] = [
            ("SUB, 10 000 tokens", &|round| {
                sub(round, subject(round, "a", TOKENS))
            }),
            ("SUB, 10 000 *", &|round| {
                sub(round, subject(round, "*", TOKENS))
            }),
            ("SUB, 9999 * and >", &|round| {
                sub(round, format!("{}.>", subject(round, "*", TOKENS - 1)))
            }),
            ("SUB, > in the middle", &|round| {
                bad(format!("{}.>.a", subject(round, "a", TOKENS - 2)))
            }),
            ("SUB, > first", &|round| {
                bad(format!(">.{}", subject(round, "a", TOKENS - 1)))
            }),
            ("SUB, 10 000 >", &|_| bad(vec![">"; TOKENS].join("."))),
            ("SUB, nothing but points", &|_| bad(".".repeat(TOKENS))),
            ("SUB, empty token last", &|round| {
                bad(format!("{}.", subject(round, "a", TOKENS)))
            }),
            ("SUB, 4 KiB token", &|round| {
                sub(round, format!("{round}.{token}.*"))
            }),
            ("SUB, 4 KiB sid", &|_| {
                (
                    format!("SUB a {sid}\r\nPUB a 0\r\n\r\nUNSUB {sid}\r\n"),
                    format!("MSG a {sid} 0\r\n\r\n"),
                )
            }),
            ("PUB, 10 000 tokens", &|round| {
                publish(subject(round, "a", TOKENS))
            }),
            ("PUB, 10 000 *", &|round| {
                publish(subject(round, "*", TOKENS))
            }),
            ("PUB, nothing but points", &|round| {
                publish(format!("{round}{}", ".".repeat(TOKENS)))
            }),
            ("PUB, 4 KiB token", &|round| {
                publish(format!("{round}.{token}"))
            }),
        ];
        let mut worst = Duration::ZERO;
        for (name, operation) in operations {
            let (cost, longest) = measure(&server, &mut client, operation);
            println!("P6: {name}: {cost:?}, answered within {longest:?}");
            worst = worst.max(cost);
        }
        println!("P6: worst {} ms", worst.as_secs_f64() * 1000.0);
        assert!(worst <= COST_MAX, "{worst:?}");
    }

    /// Patterns that could make a careless matcher try every way: literal and `*` at each depth.
    fn matching_beside_hostile_patterns(driver) {
        let server = Server::with(driver).conf(CONF).start();
        let mut client = server.raw_client();
        let mut patterns = Vec::new();
        for depth in 1..=100 {
            patterns.push(format!("{}.b", vec!["*"; depth].join(".")));
            patterns.push(format!("{}.>", vec!["a"; depth].join(".")));
            patterns.push(format!("{}.b", vec!["*.a"; depth].join(".")));
            patterns.push(format!("{}.b", vec!["a.*"; depth].join(".")));
            patterns.push(format!(
                "{}.{}.b",
                vec!["*"; depth].join("."),
                vec!["a"; 100].join(".")
            ));
        }
        for (sid, pattern) in patterns.iter().enumerate() {
            client.send(format!("SUB {pattern} {sid}\r\n"));
        }
        let expected = (0..100)
            .map(|n| format!("{}.>", vec!["a"; n + 1].join(".")))
            .collect::<Vec<_>>();
        assert!(expected.iter().all(|pattern| patterns.contains(pattern)));
        client.ping();
        let before = server.cpu_time();
        for round in 0..ROUNDS {
            // Every `a.….>` of fewer tokens matches, and nothing that ends in `b`.
            client.send(format!(
                "PUB {}.{round} 0\r\n\r\n",
                vec!["a"; 200].join(".")
            ));
            assert_eq!(client.messages_until_pong().len(), expected.len());
        }
        let cost = (server.cpu_time() - before) / ROUNDS;
        println!(
            "P6: PUB beside {} hostile patterns: {cost:?}",
            patterns.len()
        );
        assert!(cost <= COST_MAX, "{cost:?}");
    }

    /// Long subjects go through intact.
    fn ten_thousand_tokens_are_delivered(driver) {
        let server = Server::with(driver).conf(CONF).start();
        let (mut publisher, mut subscriber) = (server.raw_client(), server.raw_client());
        let name = subject(7, "a", TOKENS);
        for pattern in [
            name.clone(),
            subject(7, "*", TOKENS),
            "7.>".to_owned(),
            format!("{}.>", vec!["*"; TOKENS - 1].join(".")),
        ] {
            subscriber.send(format!("SUB {pattern} 1\r\n"));
            subscriber.ping();
            publisher.send(format!("PUB {name} 2\r\nhi\r\n"));
            publisher.ping();
            subscriber.expect(format!("MSG {name} 1 2\r\nhi\r\n"));
            subscriber.send("UNSUB 1\r\n");
            subscriber.ping();
        }
        // One token more or less is another subject.
        subscriber.send(format!(
            "SUB {} 1\r\nSUB {} 2\r\n",
            subject(7, "*", TOKENS - 1),
            subject(7, "*", TOKENS + 1)
        ));
        subscriber.ping();
        publisher.send(format!("PUB {name} 2\r\nhi\r\n"));
        publisher.ping();
        subscriber.ping();
    }
}
