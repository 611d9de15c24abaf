//! X4: how connections are spread over the shards.

use std::net::TcpStream;
use std::time::Instant;

use super::LIMIT;
use crate::support::{Case, RawClient, Report, Server, on_shards, wait_until};

const CONNECTIONS: usize = 1000;

on_shards! {
    /// So many come, half of those on the last shard go, as many come again.
    fn x4_connections_are_spread(driver, cores) on two, four {
        let builder = Server::with(driver).cores(cores).monitor();
        let server = builder.ulimit_nofile(4096).start();
        let begin = Instant::now();
        let connect = || TcpStream::connect(server.address()).expect("connect");
        let mut clients: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect()).collect();
        let counted = || server.shard_connections().iter().sum::<u64>();
        wait_until(LIMIT, "all counted", || counted() == CONNECTIONS as u64);
        let first = server.shard_connections();
        println!("X4 {} x{cores}: {first:?} after {:.1?}", driver.name(), begin.elapsed());
        // Nobody left meanwhile, so they came in turn.
        assert!(first.iter().all(|count| *count == (CONNECTIONS / cores) as u64), "{first:?}");

        let others = clients.split_off(CONNECTIONS / 2);
        let mut at = 0;
        clients.retain(|_| {
            at += 1;
            at % cores != 0
        });
        let remaining = clients.len() + others.len();
        wait_until(LIMIT, "those that left counted off", || counted() == remaining as u64);
        let uneven = server.shard_connections();
        let spread = uneven.iter().max().zip(uneven.iter().min());
        assert!(spread.is_some_and(|(max, min)| max - min > 50), "{uneven:?}");
        clients.extend((remaining..CONNECTIONS).map(|_| connect()));
        wait_until(LIMIT, "all counted again", || counted() == CONNECTIONS as u64);
        let second = server.shard_connections();
        println!("X4 {} x{cores}: {uneven:?}, then {second:?}", driver.name());
        assert_eq!(second, first);
        // The limit of the programme, whatever comes and goes.
        let share = |count: &u64| *count as f64 / CONNECTIONS as f64 * cores as f64 / 2.0;
        assert!(second.iter().map(share).all(|share| (0.4..=0.6).contains(&share)), "{second:?}");

        let mut probe = RawClient::connect(server.address());
        probe.connect_quiet();
        let worst = begin.elapsed();
        let case = Case { id: "X4", driver, cores, inputs: CONNECTIONS as u64, worst };
        case.finish(&server, &Report::default());
    }
}
