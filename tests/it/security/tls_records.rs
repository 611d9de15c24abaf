//! T4: however a client cuts what it sends into records, it is answered as without TLS.

use std::time::Duration;

use rustls::version::{TLS12, TLS13};

use super::tls_builder;
use crate::protocol_hostile::transcripts::{CONF, End, NAME_BYTES, TRANSCRIPTS};
use crate::support::{Authority, Body, Checker, RawClient, TlsClient, is_long, long, on_shards};

/// Bytes of content in each record.
fn sizes() -> Vec<usize> {
    if is_long() {
        (1..=64).collect()
    } else {
        vec![1, 2, 3, 7, 13, 33, 64]
    }
}

on_shards! {
    fn t4_records_of_few_bytes(driver, cores) on one, two {
        let authority = Authority::new();
        let server = tls_builder(driver, &authority, "", CONF).cores(cores).start();
        let mut number = 0;
        for (at, size) in sizes().into_iter().enumerate() {
            let version = [&TLS13, &TLS12][at % 2];
            // One session is taken up again and again.
            let config = TlsClient::new(&authority).version(version).config();
            for (input, output, end) in TRANSCRIPTS {
                let name = format!("{number:0NAME_BYTES$}");
                number += 1;
                let mut client = RawClient::connect_tls(server.address(), &config);
                client.send_records(input.replace('@', &name), size);
                // A failure shows both sides, and this line which conversation it was.
                println!("records of {size}: {input:?}");
                let output = output.concat().replace('@', &name);
                match end {
                    End::Closed => client.expect_last(output),
                    End::Open => {
                        client.send_records("PI", 1);
                        client.send_records("NG\r\n", size);
                        client.expect(output + "PONG\r\n");
                    }
                }
            }
        }
        println!("T4 {} x{cores}: {number} conversations, 0 differences", driver.name());
    }

    /// Numbered messages in records of every size, with pings between them that are split as well.
    fn t4_messages_and_pings_in_records(driver, cores) on one, two {
        let authority = Authority::new();
        let server = tls_builder(driver, &authority, "", "").cores(cores).start();
        let run = u64::from(server.pid());
        let config = TlsClient::new(&authority).config();
        let mut client = server.tls_client(&config);
        client.set_limit(Duration::from_secs(30));
        client.subscribe("records", 1);
        let mut checker = Checker::new(run);
        let watch = checker.watch("records");
        let mut sequence = 0;
        let per_size = long(4, 40);
        for size in 1..=64 {
            let mut bytes = Vec::new();
            for _ in 0..per_size {
                let body = Body { run, publisher: 0, sequence };
                bytes.extend(body.publish("records", Body::BYTES_MIN + sequence as usize * 31 % 700));
                bytes.extend(b"PING\r\n");
                sequence += 1;
            }
            client.send_records(&bytes, size);
            for _ in 0..per_size {
                checker.received(watch, 0, &client.message().payload);
                client.expect("PONG\r\n");
            }
        }
        checker.must(watch, 0, 0..sequence);
        let report = checker.finish();
        println!("T4 {} x{cores}: {sequence} messages, {report}", driver.name());
        report.assert_six_zeros("T4");
    }
}
