//! Runs: messages that are handed on together must arrive as if each had come alone.

use proptest::prelude::*;

use super::lanes::{Conn, Shards};
use super::world::World;

/// A subscriber, and what it subscribes to.
#[derive(Clone, Debug)]
struct Reader {
    shard: usize,
    members: &'static str,
    subs: Vec<Subscription>,
    /// Bytes that its socket takes before it stands still for a while.
    room: Option<usize>,
}

#[derive(Clone, Debug)]
struct Subscription {
    pattern: &'static str,
    queue: Option<&'static str>,
    sid: String,
    max: Option<u8>,
}

/// The same line so many times; payloads differ.
#[derive(Clone, Debug)]
struct Repeated {
    subject: &'static str,
    reply: Option<&'static str>,
    is_headed: bool,
    size: usize,
    count: usize,
}

fn reader() -> impl Strategy<Value = Reader> {
    let members = prop_oneof![Just(""), Just("\"headers\":true,\"no_responders\":true")];
    let subs = prop::collection::vec(subscription(), 1..4);
    let room = prop::option::weighted(0.3, 0..30_000usize);
    (0..2usize, members, subs, room).prop_map(|(shard, members, subs, room)| Reader {
        shard,
        members,
        subs,
        room,
    })
}

fn subscription() -> impl Strategy<Value = Subscription> {
    let pattern =
        prop_oneof![3 => Just("foo"), 1 => Just("*"), 1 => Just("foo.bar.>"), 1 => Just("quiet")];
    let queue = prop_oneof![5 => Just(None), 1 => Just(Some("q"))];
    let max = prop_oneof![4 => Just(None), 1 => (1..100u8).prop_map(Some)];
    (pattern, queue, "[0-9]{1,40}|1", max).prop_map(|(pattern, queue, sid, max)| Subscription {
        pattern,
        queue,
        sid,
        // A message chosen for a member that has gone may be late: nothing to compare.
        max: max.filter(|_| queue.is_none()),
    })
}

fn repeated() -> impl Strategy<Value = Repeated> {
    let subject =
        prop_oneof![4 => Just("foo"), 1 => Just("foo.bar.baz.of.some.length"), 1 => Just("none")];
    let reply = prop_oneof![4 => Just(None), 1 => Just(Some("reply"))];
    let size = prop_oneof![8 => 0..40usize, 1 => 40..3000usize];
    (subject, reply, prop::bool::weighted(0.2), size, 1..300usize).prop_map(
        |(subject, reply, is_headed, size, count)| Repeated {
            subject,
            reply,
            is_headed,
            size,
            count,
        },
    )
}

/// The operations, one by one.
fn operations(repeats: &[Repeated]) -> Vec<Vec<u8>> {
    let mut number = 0u32;
    let mut operations = Vec::new();
    for repeat in repeats {
        for _ in 0..repeat.count {
            number += 1;
            let reply = repeat.reply.map(|r| format!("{r} ")).unwrap_or_default();
            let (verb, header) = if repeat.is_headed {
                ("HPUB", "NATS/1.0\r\n\r\n")
            } else {
                ("PUB", "")
            };
            let mut sizes = (header.len() + repeat.size).to_string();
            if repeat.is_headed {
                sizes.insert_str(0, &format!("{} ", header.len()));
            }
            let text = number.to_string().repeat(repeat.size);
            let body = &text[text.len() - repeat.size..];
            let subject = repeat.subject;
            operations.push(
                format!("{verb} {subject} {reply}{sizes}\r\n{header}{body}\r\n").into_bytes(),
            );
        }
    }
    operations
}

/// Messages with the lines of one payload sorted: which of a connection's subscriptions gets a message first is
/// open.
fn sorted(received: &str) -> Vec<(String, String)> {
    let mut messages = Vec::new();
    let mut rest = received;
    while let Some((line, behind)) = rest.split_once("\r\n") {
        let size: usize = line
            .rsplit(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        messages.push((behind[..size].to_owned(), line.to_owned()));
        rest = &behind[size + 2..];
    }
    for alike in messages.chunk_by_mut(|a, b| a.0 == b.0) {
        alike.sort();
    }
    messages
}

/// What every connection receives, and what the engines have counted.
fn play(
    shards: u16,
    readers: &[Reader],
    members: &str,
    pieces: &[Vec<u8>],
) -> (Vec<Vec<(String, String)>>, Vec<u64>) {
    let mut server = Shards::new(shards, 4);
    let publisher = server.connect(0, members);
    server.send(publisher, "SUB foo 9\r\nSUB quiet 10\r\n");
    let mut conns: Vec<Conn> = vec![publisher];
    for (number, reader) in readers.iter().enumerate() {
        let conn = server.connect(reader.shard % usize::from(shards), reader.members);
        for (at, sub) in reader.subs.iter().enumerate() {
            // One of its own for each.
            let sid = format!("{}{at}", sub.sid);
            // A group of one: which member of several is chosen depends on their order, which is open, too.
            let queue = sub.queue.map(|q| format!("{q}{number}.{at} "));
            let queue = queue.unwrap_or_default();
            server.send(conn, format!("SUB {} {queue}{sid}\r\n", sub.pattern));
            if let Some(max) = sub.max {
                server.send(conn, format!("UNSUB {sid} {max}\r\n"));
            }
        }
        if let Some(room) = reader.room {
            server.set_room(conn, room);
        }
        conns.push(conn);
    }
    for piece in pieces {
        server.send(publisher, piece);
    }
    for &conn in &conns {
        server.set_room(conn, usize::MAX);
    }
    server.settle();
    let received = conns
        .iter()
        .map(|&conn| sorted(&server.received(conn)))
        .collect();
    let counted = |world: &World| {
        let stats = world.engine.stats();
        // Not what crossed: of a run to a subscription that is about to end, more may cross in vain.
        [
            stats.in_msgs,
            stats.in_bytes,
            stats.out_msgs,
            stats.out_bytes,
        ]
    };
    (received, server.worlds().iter().flat_map(counted).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn together_as_one_by_one(
        shards in 1..3u16,
        readers in prop::collection::vec(reader(), 0..6),
        echo in any::<bool>(),
        no_responders in any::<bool>(),
        repeats in prop::collection::vec(repeated(), 1..5),
    ) {
        let members =
            format!("\"echo\":{echo},\"headers\":true,\"no_responders\":{no_responders}");
        let one_by_one = operations(&repeats);
        let together = [one_by_one.concat()];
        let (want, want_counted) = play(shards, &readers, &members, &one_by_one);
        let (got, got_counted) = play(shards, &readers, &members, &together);
        prop_assert_eq!(got, want);
        prop_assert_eq!(got_counted, want_counted);
    }
}

#[test]
fn a_run_reaches_neighbours_with_the_same_line_and_others() {
    let mut server = Shards::new(1, 1);
    let publisher = server.connect(0, "");
    let readers: Vec<Conn> = ["1", "1", "22", "1", "1"]
        .iter()
        .map(|sid| {
            let conn = server.connect(0, "");
            server.send(conn, format!("SUB foo {sid}\r\n"));
            conn
        })
        .collect();
    server.send(readers[1], "UNSUB 1 2\r\n");
    server.send(
        publisher,
        "PUB foo 1\r\na\r\nPUB foo 1\r\nb\r\nPUB foo 1\r\nc\r\n",
    );
    let got: Vec<String> = readers.iter().map(|&conn| server.received(conn)).collect();
    let line = |sid: &str, letters: &str| -> String {
        letters
            .chars()
            .map(|c| format!("MSG foo {sid} 1\r\n{c}\r\n"))
            .collect()
    };
    let want = [
        line("1", "abc"),
        line("1", "ab"),
        line("22", "abc"),
        line("1", "abc"),
        line("1", "abc"),
    ];
    assert_eq!(got, want);
}
