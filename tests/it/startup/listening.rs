//! The listening port: taken, taken back after a crash, and both families of addresses.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Instant;

use super::{LOG_LIMIT, ONE_SECOND};
use crate::support::{Driver, FailedStart, RawClient, Server, both_drivers};

/// A start on a port that is taken: one line, exit 1, at once.
#[track_caller]
fn assert_in_use(failed: &FailedStart, port: u16) {
    let text = format!(
        "[FTL] Error listening on port: 127.0.0.1:{port}, \"listen tcp 127.0.0.1:{port}: bind: address already in use\""
    );
    assert_eq!(failed.code, Some(1), "{}", failed.log);
    assert!(
        failed
            .log
            .lines()
            .last()
            .is_some_and(|line| line.ends_with(&text)),
        "{}",
        failed.log
    );
    assert!(failed.took < ONE_SECOND, "{:?}", failed.took);
    assert!(!failed.log.contains("Listening"), "{}", failed.log);
}

both_drivers! {
    fn port_of_another_server(driver) {
        let first = Server::start(driver);
        let mut client = first.raw_client();
        let failed = Server::with(driver)
            .port(first.port())
            .run_to_exit(ONE_SECOND * 5);
        assert_in_use(&failed, first.port());
        client.ping();
        first.raw_client().ping();
    }

    fn port_of_another_program(driver) {
        for host in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
            let other = TcpListener::bind((host, 0)).unwrap();
            let port = other.local_addr().unwrap().port();
            let failed = Server::with(driver).port(port).run_to_exit(ONE_SECOND * 5);
            assert_in_use(&failed, port);
        }
    }

    fn port_that_is_none(driver) {
        let failed = Server::with(driver)
            .args(&["-p", "70000"])
            .run_to_exit(ONE_SECOND * 5);
        assert_eq!(failed.code, Some(1), "{}", failed.log);
        assert!(failed.log.contains("70000"), "{}", failed.log);
        assert!(failed.took < ONE_SECOND, "{:?}", failed.took);
    }

    fn monitoring_port_that_is_taken(driver) {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        let failed = Server::with(driver)
            .args(&["-m", &port.to_string()])
            .run_to_exit(ONE_SECOND * 5);
        let text = format!(
            "[FTL] Can't start monitoring: can't listen to the monitor port: listen tcp 127.0.0.1:{port}: bind: address already in use"
        );
        assert_eq!(failed.code, Some(1), "{}", failed.log);
        assert!(failed.log.contains(&text), "{}", failed.log);
        assert!(failed.took < ONE_SECOND, "{:?}", failed.took);
    }

    /// With connections open on both sides, which keep their ends of the port.
    fn same_port_within_a_second_of_a_crash(driver) {
        let mut server = Server::start(driver);
        let port = server.port();
        for round in 0..3 {
            let mut clients: Vec<_> = (0..50).map(|_| server.raw_client()).collect();
            for client in &mut clients {
                client.send("SUB a 1\r\nPUB a 5\r\nhello\r\n");
            }
            server.kill();
            let start = Instant::now();
            server = Server::with(driver).port(port).start();
            server.bare_client().ping();
            let took = start.elapsed();
            println!("restart {round} on the port: {took:?}");
            assert!(took < ONE_SECOND, "{took:?}");
            for client in &mut clients {
                client.read_to_end();
            }
        }
    }

    fn any_host_takes_both_families(driver) {
        let server = Server::with(driver)
            .bare()
            .args(&["--driver", driver.name(), "-p", "-1", "-D"])
            .start();
        server.wait_log(
            &format!(
                "Listening for client connections on 0.0.0.0:{}",
                server.port()
            ),
            LOG_LIMIT,
        );
        let mut client = server.bare_client();
        client.ping();
        assert_eq!(client.info()["host"], "0.0.0.0");
        // As an IPv4 address, not as one in IPv6's clothes.
        assert_eq!(client.info()["client_ip"], "127.0.0.1");
        server.wait_log(
            &format!(
                "127.0.0.1:{} - cid:{} - Client connection created",
                client.local_port(),
                client.cid()
            ),
            LOG_LIMIT,
        );
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
            println!("no IPv6 here");
            return;
        }
        let mut client =
            RawClient::connect(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), server.port()));
        client.ping();
        assert_eq!(client.info()["client_ip"], "::1");
        // Without brackets, as the original prints it.
        server.wait_log(
            &format!(
                "[DBG] ::1:{} - cid:{} - Client connection created",
                client.local_port(),
                client.cid()
            ),
            LOG_LIMIT,
        );
    }

    fn one_family_if_told_so(driver) {
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
            println!("no IPv6 here");
            return;
        }
        let server = Server::with(driver).args(&["-a", "::1"]).start();
        server.wait_log(
            &format!(
                "Listening for client connections on [::1]:{}",
                server.port()
            ),
            LOG_LIMIT,
        );
        let mut client =
            RawClient::connect(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), server.port()));
        client.ping();
        assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).is_err());
    }
}

/// The default port is only looked at, since a server may use it.
#[test]
fn default_port_is_4222() {
    let server = Server::with(Driver::Epoll)
        .bare()
        .args(&["--driver", "epoll", "-a", "127.0.0.1"]);
    match server.try_start(ONE_SECOND * 5) {
        Ok(server) => assert_eq!(server.port(), 4222),
        Err(failed) => assert_in_use(&failed, 4222),
    }
}
