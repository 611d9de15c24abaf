//! Which pattern gets which published subject.

use crate::support::{Server, both_drivers};

/// Published subject, pattern, whether it matches.
const TABLE: [(&str, &str, bool); 62] = [
    ("foo", "foo", true),
    ("foo", "*", true),
    ("foo", ">", true),
    ("foo.bar", "*", false),
    ("foo.bar", "*.*", true),
    ("foo.bar", ">", true),
    ("foo.bar", "foo.>", true),
    ("foo.bar", "foo.*", true),
    ("foo", "foo.>", false),
    ("foo", "foo.*", false),
    ("foo", "*.>", false),
    ("foo", "bar", false),
    ("foo", "fo", false),
    ("foo", "fooo", false),
    ("foo.bar", "foo", false),
    ("foo.bar", "foo.ba", false),
    ("foo.bar.baz", "foo.*", false),
    ("foo.bar.baz", "foo.*.baz", true),
    ("foo.bar.baz", "foo.*.bar", false),
    ("foo.bar.baz", "*.bar.>", true),
    ("foo.bar.baz", "*.*.*", true),
    ("foo.bar.baz", "*.*", false),
    ("foo.bar.baz", "*.*.>", true),
    ("foo.bar.baz", "foo.bar.baz.>", false),
    ("foo.bar", "*.bar.>", false),
    ("a.b.c.d", "a.*.c.*", true),
    ("a.b.c.d", "a.*.d.*", false),
    ("a.b.c.d", "a.b.c.d.>", false),
    ("a.b.c.d", "a.b.c.>", true),
    ("a.b.c.d", "a.b.c.*", true),
    ("FOO", "foo", false),
    ("foo.Bar", "foo.bar", false),
    ("_INBOX.x.y", "_INBOX.*", false),
    ("_INBOX.x.y", "_INBOX.>", true),
    ("_INBOX.x.y", "_INBOX.x.*", true),
    ("foo.*", "foo.*", true),
    ("foo.*", "foo.bar", false),
    ("foo.*", "foo.>", true),
    ("foo.>", "foo.*", true),
    ("foo.>", "foo.>", true),
    ("foo.>", "foo.bar", false),
    (">", "*", true),
    (">", ">", true),
    (">", "foo", false),
    ("*", "foo", false),
    ("*", "*", true),
    ("*.>", "*.*", true),
    ("foo.>.bar", "foo.>", true),
    ("foo.>.bar", "foo.*.bar", true),
    ("foo.>.bar", "foo.x.bar", false),
    ("foo*", "foo*", true),
    ("foobar", "foo*", false),
    ("foo.bar", "foo.b*", false),
    ("foo.b*", "foo.b*", true),
    ("foo.b*", "foo.*", true),
    ("**", "*", true),
    ("**", "**", true),
    ("foo", "**", false),
    ("foo>", "foo*", false),
    ("$SYS.x", ">", true),
    ("foo.\u{e9}", "foo.*", true),
    ("foo.\u{e9}", "foo.\u{e8}", false),
];

/// Empty tokens in published subjects, as the original delivers them on the first publish.
const EMPTY_TOKENS: [(&str, &str, bool); 12] = [
    ("foo.", "foo.*", true),
    ("foo.", "foo.>", true),
    ("foo.", ">", true),
    ("foo.", "foo", false),
    ("foo..bar", "foo.*.bar", true),
    ("foo..bar", "foo.>", true),
    ("foo..bar", "foo.bar", false),
    (".foo", "*.foo", true),
    (".foo", ">", true),
    (".foo", "foo", false),
    (".", ">", true),
    (".", "*.*", true),
];

/// Subscribes before the first publish of the subject on this server.
fn check(server: &Server, table: &[(&str, &str, bool)]) {
    for (number, &(subject, pattern, matches)) in table.iter().enumerate() {
        println!("{subject} {pattern}");
        let mut client = server.raw_client();
        client.send(format!("SUB {pattern} {number}\r\nPUB {subject} 0\r\n\r\n"));
        if matches {
            client.expect(format!("MSG {subject} {number} 0\r\n\r\n"));
        }
        client.ping();
        client.send(format!("UNSUB {number}\r\nPUB {subject} 0\r\n\r\n"));
        client.ping();
    }
}

both_drivers! {
    fn table(driver) {
        check(&Server::start(driver), &TABLE);
    }

    fn empty_tokens_match_as_tokens(driver) {
        check(&Server::start(driver), &EMPTY_TOKENS);
    }

    /// All patterns at once: the table must not depend on what else is subscribed.
    fn table_with_every_pattern_subscribed(driver) {
        let server = Server::start(driver);
        let mut client = server.raw_client();
        let mut patterns: Vec<&str> = TABLE.iter().map(|row| row.1).collect();
        patterns.sort();
        patterns.dedup();
        for (sid, pattern) in patterns.iter().enumerate() {
            client.send(format!("SUB {pattern} {sid}\r\n"));
        }
        for (subject, pattern, matches) in TABLE {
            client.send(format!("PUB {subject} 0\r\n\r\n"));
            let sid = patterns
                .iter()
                .position(|p| *p == pattern)
                .unwrap()
                .to_string();
            let got = client
                .messages_until_pong()
                .iter()
                .filter(|m| m.sid == sid)
                .count();
            assert_eq!(got, usize::from(matches), "{subject} {pattern}");
        }
    }
}
