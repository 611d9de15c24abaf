//! Whole turns of an engine: what arrives is received, parsed, matched, delivered and written, as in the
//! server but for sockets and clock.
//!
//! A publisher in a flood has 256 KiB for each turn, which is what a shard reads from one connection. In the
//! cases called `single` one message arrives for each turn; in those called `varied` no message has the length of
//! the one before, elsewhere all are alike.

use crate::frame::{Case, Measured, measure};
use crate::world::{Client, World};

/// Bytes that arrive for a turn in a flood.
const FLOOD_BYTES: usize = 256 * 1024;
/// Turns before the counted ones: tables, pools and caches have what they need.
const WARM_UP: u32 = 20;
/// Turns of a flood that are counted.
const FLOODS: u32 = 4;
/// Turns of single messages that are counted.
const SINGLES: u32 = 2000;
/// Turns for which single messages that differ are prepared; more repeat them.
const PREPARED: u32 = 3 * SINGLES;

pub(crate) const CASES: [Case; 26] = [
    flood("turn/pub/16", "message", |n| publish(n, 16)),
    flood("turn/pub/128", "message", |n| publish(n, 128)),
    flood("turn/pub/varied", "message", publish_varied),
    flood("turn/1to1/16", "delivery", |n| fan_out(n, 1, 16)),
    flood("turn/1to1/128", "delivery", |n| fan_out(n, 1, 128)),
    flood("turn/1to1/1024", "delivery", |n| fan_out(n, 1, 1024)),
    flood("turn/1to1/varied", "delivery", |n| fan_out_varied(n, 1)),
    flood("turn/1to1/16/policy", "delivery", |n| {
        policy(n, message("foo.bar", 16))
    }),
    flood("turn/1to1/varied/policy", "delivery", |n| {
        policy(n, varied("foo.bar"))
    }),
    flood("turn/wildcard/16/policy", "delivery", policy_subjects),
    flood("turn/fanout10/16", "delivery", |n| fan_out(n, 10, 16)),
    flood("turn/fanout10/varied", "delivery", |n| {
        fan_out_varied(n, 10)
    }),
    flood("turn/fanout100/16", "delivery", |n| fan_out(n, 100, 16)),
    flood("turn/fanout100/128", "delivery", |n| fan_out(n, 100, 128)),
    flood("turn/queue4/16", "delivery", queue_group),
    flood("turn/wildcard/16", "delivery", wildcard),
    flood("turn/headers/16", "delivery", headers),
    flood("turn/crossing/16", "delivery", |n| crossing(n, 16)),
    flood("turn/crossing/128", "delivery", |n| crossing(n, 128)),
    flood("turn/crossing/varied", "delivery", crossing_varied),
    single("turn/1to1/16/single", "delivery", single_delivery),
    single("turn/fanout100/16/single", "message to 100", single_fan_out),
    single("turn/crossing/16/single", "delivery", single_crossing),
    single("turn/reqrep/16", "request and reply", request_reply),
    single("turn/sub-unsub", "SUB, UNSUB, PING", sub_unsub),
    single("turn/ping", "PING", ping),
];

const fn flood(name: &'static str, unit: &'static str, run: fn(u32) -> Measured) -> Case {
    Case {
        name,
        unit,
        repeats: FLOODS,
        run,
    }
}

const fn single(name: &'static str, unit: &'static str, run: fn(u32) -> Measured) -> Case {
    Case {
        name,
        unit,
        repeats: SINGLES,
        run,
    }
}

fn message(subject: &str, size: usize) -> String {
    format!("PUB {subject} {size}\r\n{}\r\n", "x".repeat(size))
}

/// Messages of 5 to 260 bytes, 128 on average, none as long as the one before.
fn varied(subject: &str) -> String {
    (0..256)
        .map(|n| message(subject, 5 + n * 167 % 256))
        .collect()
}

/// So much of it that a turn's worth is read in one or two pieces.
fn flood_of(messages: &str) -> Vec<u8> {
    let times = FLOOD_BYTES.div_ceil(messages.len());
    messages.repeat(times).into_bytes()
}

/// Messages by what counts in a case.
fn flooded(
    world: &mut World,
    from: Client,
    repeats: u32,
    count: fn(&World) -> u64,
    mut turn: impl FnMut(&mut World, Client),
) -> Measured {
    for _ in 0..WARM_UP {
        turn(world, from);
    }
    let before = count(world);
    let took = measure(repeats, |_| turn(world, from));
    Measured {
        ops: count(world) - before,
        took,
    }
}

fn publish(repeats: u32, size: usize) -> Measured {
    publish_stream(repeats, message("foo.bar", size))
}

fn publish_varied(repeats: u32) -> Measured {
    publish_stream(repeats, varied("foo.bar"))
}

fn publish_stream(repeats: u32, stream: String) -> Measured {
    let mut world = World::new(1);
    let publisher = world.connect(0, "");
    world.repeat(publisher, flood_of(&stream));
    flooded(
        &mut world,
        publisher,
        repeats,
        World::messages_in,
        |w, p| {
            w.send(p, FLOOD_BYTES);
        },
    )
}

/// A publisher of `stream`, and receivers that said `hello`.
fn flood_to(repeats: u32, receivers: usize, hello: &str, stream: String) -> Measured {
    flood_in(World::new(1), repeats, receivers, hello, stream)
}

fn flood_in(
    mut world: World,
    repeats: u32,
    receivers: usize,
    hello: &str,
    stream: String,
) -> Measured {
    let publisher = world.connect(0, "");
    for _ in 0..receivers {
        world.connect(0, hello);
    }
    world.repeat(publisher, flood_of(&stream));
    flooded(&mut world, publisher, repeats, World::deliveries, |w, p| {
        w.send(p, FLOOD_BYTES);
    })
}

fn fan_out(repeats: u32, receivers: usize, size: usize) -> Measured {
    let hello = "SUB foo.bar 1\r\n";
    flood_to(repeats, receivers, hello, message("foo.bar", size))
}

fn fan_out_varied(repeats: u32, receivers: usize) -> Measured {
    flood_to(repeats, receivers, "SUB foo.bar 1\r\n", varied("foo.bar"))
}

fn queue_group(repeats: u32) -> Measured {
    let hello = "SUB foo.bar workers 1\r\n";
    flood_to(repeats, 4, hello, message("foo.bar", 16))
}

/// 64 subjects in turn, all to one pattern.
fn wildcard(repeats: u32) -> Measured {
    flood_to(repeats, 1, "SUB foo.* 1\r\n", subjects())
}

fn subjects() -> String {
    let stream = (0..64).map(|n| message(&format!("foo.{n:02}"), 16));
    stream.collect()
}

/// Under a policy of 20 entries.
fn policy(repeats: u32, stream: String) -> Measured {
    flood_in(
        World::with_policy(),
        repeats,
        1,
        "SUB foo.bar 1\r\n",
        stream,
    )
}

fn policy_subjects(repeats: u32) -> Measured {
    flood_in(
        World::with_policy(),
        repeats,
        1,
        "SUB foo.* 1\r\n",
        subjects(),
    )
}

fn headers(repeats: u32) -> Measured {
    let block = "NATS/1.0\r\nkey: value\r\n\r\n";
    let (len, total) = (block.len(), block.len() + 16);
    let message = format!(
        "HPUB foo.bar {len} {total}\r\n{block}{}\r\n",
        "x".repeat(16)
    );
    flood_to(repeats, 1, "SUB foo.bar 1\r\n", message)
}

/// Publisher on one shard, subscriber on the other.
fn across(stream: String) -> (World, Client) {
    let mut world = World::new(2);
    let publisher = world.connect(0, "");
    world.connect(1, "SUB foo.bar 1\r\n");
    world.repeat(publisher, flood_of(&stream));
    // Applies what the other shard told of the subscription.
    world.settle(0);
    (world, publisher)
}

fn crossing(repeats: u32, size: usize) -> Measured {
    crossing_stream(repeats, message("foo.bar", size))
}

fn crossing_varied(repeats: u32) -> Measured {
    crossing_stream(repeats, varied("foo.bar"))
}

fn crossing_stream(repeats: u32, stream: String) -> Measured {
    let (mut world, publisher) = across(stream);
    flooded(&mut world, publisher, repeats, World::deliveries, |w, p| {
        w.send(p, FLOOD_BYTES);
        w.settle(1);
    })
}

fn single_crossing(repeats: u32) -> Measured {
    let message = message("foo.bar", 16);
    let len = message.len();
    let (mut world, publisher) = across(message);
    flooded(&mut world, publisher, repeats, World::deliveries, |w, p| {
        w.send(p, len);
        w.settle(1);
    })
}

fn single_delivery(repeats: u32) -> Measured {
    singles_to(repeats, 1)
}

fn single_fan_out(repeats: u32) -> Measured {
    singles_to(repeats / 10, 100)
}

fn singles_to(repeats: u32, receivers: usize) -> Measured {
    let mut world = World::new(1);
    let publisher = world.connect(0, "");
    for _ in 0..receivers {
        world.connect(0, "SUB foo.bar 1\r\n");
    }
    let message = message("foo.bar", 16).into_bytes();
    let len = message.len();
    world.repeat(publisher, message);
    flooded(
        &mut world,
        publisher,
        repeats,
        World::messages_in,
        |w, p| {
            w.send(p, len);
        },
    )
}

/// One request in flight, each with a reply subject of its own below the requester's inbox.
fn request_reply(repeats: u32) -> Measured {
    const INBOX: &str = "_INBOX.NUID00000000000047110815";
    let mut world = World::new(1);
    let requester = world.connect(0, &format!("SUB {INBOX}.* 1\r\n"));
    let responder = world.connect(0, "SUB service 1\r\n");
    let numbers = || 0..PREPARED;
    let reply = |n| message(&format!("{INBOX}.{n:06}"), 16);
    let request = |n| message(&format!("service {INBOX}.{n:06}"), 16);
    let (request_len, reply_len) = (request(0).len(), reply(0).len());
    world.repeat(requester, numbers().map(request).collect::<String>().into());
    world.repeat(responder, numbers().map(reply).collect::<String>().into());
    let half_trips = flooded(&mut world, requester, repeats, World::deliveries, |w, r| {
        w.send(r, request_len);
        w.send(responder, reply_len);
    });
    Measured {
        ops: half_trips.ops / 2,
        took: half_trips.took,
    }
}

/// An inbox comes, is confirmed, and goes.
fn sub_unsub(repeats: u32) -> Measured {
    let round = |n| format!("SUB _INBOX.NUID{n:018} 1\r\nUNSUB 1\r\nPING\r\n");
    answered(repeats, (0..PREPARED).map(round).collect())
}

fn ping(repeats: u32) -> Measured {
    answered(repeats, "PING\r\n".repeat(PREPARED as usize))
}

/// One client, and its share of what is prepared for each turn.
fn answered(repeats: u32, stream: String) -> Measured {
    let mut world = World::new(1);
    let client = world.connect(0, "");
    let len = stream.len() / PREPARED as usize;
    world.repeat(client, stream.into_bytes());
    for _ in 0..WARM_UP {
        world.send(client, len);
    }
    let took = measure(repeats, |_| world.send(client, len));
    Measured {
        ops: repeats.into(),
        took,
    }
}
