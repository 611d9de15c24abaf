//! The parser, on buffers as a socket gives them: operation behind operation.

use std::hint::black_box;

use gnatsd_core::proto::{ParseLimits, Parsed, parse, parse_publish, parse_repeat};

use crate::frame::{Case, Measured, measure};

const LIMITS: ParseLimits = ParseLimits {
    control_line_bytes_max: 4096,
    payload_bytes_max: 1 << 20,
    headers: true,
};
/// Operations in a buffer, about as many as one read of a busy publisher brings.
const OPS: usize = 1000;
const UNIT: &str = "operation";

pub(crate) const CASES: [Case; 6] = [
    case("parse/pub16", |n| parse_all(n, &publish(16).repeat(OPS))),
    case("parse/pub128", |n| parse_all(n, &publish(128).repeat(OPS))),
    case("parse/repeat16", |n| repeats(n, &publish(16).repeat(OPS))),
    case("parse/hpub16", |n| parse_all(n, &headed().repeat(OPS))),
    case("parse/sub", |n| {
        parse_all(n, &b"SUB orders.eu.* workers 17\r\n".repeat(OPS))
    }),
    case("parse/mixed", |n| parse_all(n, &mixed())),
];

const fn case(name: &'static str, run: fn(u32) -> Measured) -> Case {
    Case {
        name,
        unit: UNIT,
        repeats: 20,
        run,
    }
}

fn publish(size: usize) -> Vec<u8> {
    format!("PUB foo.bar {size}\r\n{}\r\n", "x".repeat(size)).into_bytes()
}

fn headed() -> Vec<u8> {
    let block = "NATS/1.0\r\nkey: value\r\n\r\n";
    let (len, total) = (block.len(), block.len() + 16);
    format!(
        "HPUB foo.bar {len} {total}\r\n{block}{}\r\n",
        "x".repeat(16)
    )
    .into_bytes()
}

/// What clients send now and then, between publishes with and without a reply.
fn mixed() -> Vec<u8> {
    let some = [
        publish(16),
        publish(128),
        b"PUB orders.eu.4711.created _INBOX.Qc5xVb2Lk8.17 5\r\nhello\r\n".to_vec(),
        headed(),
        b"SUB _INBOX.Qc5xVb2Lk8.* 18\r\n".to_vec(),
        b"UNSUB 18 1\r\n".to_vec(),
        b"PING\r\n".to_vec(),
        b"pub  foo.bar  2\r\nok\r\n".to_vec(),
    ];
    some.concat().repeat(OPS / some.len())
}

fn parse_all(repeats: u32, buffer: &[u8]) -> Measured {
    let mut ops = 0;
    let took = measure(repeats, |_| {
        let mut rest = black_box(buffer);
        while !rest.is_empty() {
            // As the engine does.
            if let Some((publish, len)) = parse_publish(rest, &LIMITS) {
                black_box(publish);
                rest = &rest[len..];
                ops += 1;
                continue;
            }
            match parse(rest, &LIMITS) {
                Ok(Parsed::Op(op, len)) => {
                    black_box(op);
                    rest = &rest[len..];
                    ops += 1;
                }
                other => panic!("not a whole operation: {other:?}"),
            }
        }
    });
    Measured { ops, took }
}

/// A publisher that stays with its subject.
fn repeats(repeats: u32, buffer: &[u8]) -> Measured {
    let mut ops = 0;
    let took = measure(repeats, |_| {
        let mut rest = black_box(buffer);
        while let Some(next) = parse_repeat(rest, b"foo.bar", &LIMITS) {
            rest = &rest[next.len..];
            black_box(next);
            ops += 1;
        }
        assert!(rest.is_empty(), "not a repeat");
    });
    Measured { ops, took }
}
