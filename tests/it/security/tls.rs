//! TLS for clients: versions, ciphers, certificates, and what comes first.

use std::io::ErrorKind;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use rustls::ProtocolVersion;
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::version::{TLS12, TLS13};

use super::{LIMIT, TIMEOUT, VIOLATION, connect, expect_refused, tls_builder, wait_line};
use crate::support::certs::Subject;
use crate::support::{Authority, Driver, RawClient, Server, TlsClient, both_drivers, on_shards};

/// A subscription of its own, a message, and a barrier.
#[track_caller]
fn exchange(client: &mut RawClient) {
    client.send("SUB over.tls 1\r\nPUB over.tls 2\r\nhi\r\n");
    client.expect("MSG over.tls 1 2\r\nhi\r\n");
    client.ping();
    client.send("UNSUB 1\r\n");
}

/// That a client with this configuration does not get in: its handshake fails, or the connection ends behind it.
/// Gives its port.
#[track_caller]
fn expect_no_tls(server: &Server, tls: &TlsClient) -> u16 {
    let client = server.bare_client();
    let port = client.local_port();
    if let Ok(mut client) = client.start_tls(&tls.config()) {
        // With TLS 1.3 a client has done its part before the server has judged it.
        let _ = client.try_send(connect("") + "PING\r\n");
        client.expect_closed();
    }
    port
}

/// Waits for the line of a failed handshake from this port.
#[track_caller]
fn wait_handshake_error(server: &Server, port: u16, text: &str) {
    let cid = format!("[ERR] 127.0.0.1:{port} - cid:");
    server.wait_log(&cid, LIMIT);
    let log = server.log();
    let line = log
        .lines()
        .find(|line| line.contains(&cid))
        .expect("a line");
    let (_, rest) = line
        .split_once(" - TLS handshake error: ")
        .unwrap_or_else(|| panic!("{line}"));
    assert!(rest.contains(text), "{line}");
}

fn mapped(driver: Driver, authority: &Authority) -> Server {
    let conf = "authorization { users = [
        {user: \"ann@example.com\", permissions: {publish: \"ann\", subscribe: \"ann\"}}
        {user: \"host.example.com\"}
        {user: \"CN=carl,OU=ops\"}
        {user: \"dora@example.com\", password: d}
    ] }";
    tls_builder(driver, authority, "verify_and_map: true", conf)
        .args(&["-D"])
        .start()
}

both_drivers! {
    fn versions_and_debug_lines(driver) {
        let authority = Authority::new();
        let server = tls_builder(driver, &authority, "", "").args(&["-D"]).start();
        server.wait_log("[INF] TLS required for client connections\n", LIMIT);
        for (version, number, name) in [
            (&TLS12, ProtocolVersion::TLSv1_2, "1.2"),
            (&TLS13, ProtocolVersion::TLSv1_3, "1.3"),
        ] {
            let tls = TlsClient::new(&authority).version(version);
            let mut client = server.tls_client(&tls.config());
            assert_eq!(client.info()["tls_required"], true);
            assert!(client.info()["tls_verify"].is_null() && client.info()["auth_required"].is_null());
            exchange(&mut client);
            let (spoken, suite) = client.tls_terms();
            assert_eq!(spoken, number);
            // The name of rustls with the prefix of all others.
            let suite = suite.replace("TLS13_", "TLS_");
            for line in [
                "Client connection created".to_owned(),
                "Starting TLS client connection handshake".to_owned(),
                "TLS handshake complete".to_owned(),
                format!("TLS version {name}, cipher suite {suite}"),
            ] {
                wait_line(&server, &client, "DBG", &line);
            }
        }
    }

    fn by_flags(driver) {
        let authority = Authority::new();
        let builder = authority.server().files(Server::with(driver), "server");
        let builder = builder.file("ca.pem", authority.pem());
        let path = |name: &str| builder.path(name);
        let args = ["--tls", "--tlscert", &path("server-cert.pem"), "--tlskey", &path("server-key.pem")]
            .map(str::to_owned);
        let verify = ["--tlscacert".to_owned(), path("ca.pem"), "--tlsverify".to_owned()];
        let server = builder.args(&args).args(&verify).start();
        let tls = TlsClient::new(&authority);
        let known = tls.clone().identity(&authority.client(Subject::default()));
        let mut client = server.tls_client(&known.config());
        assert_eq!(client.info()["tls_required"], true);
        assert_eq!(client.info()["tls_verify"], true);
        exchange(&mut client);
        expect_no_tls(&server, &tls);
    }

    fn client_certificates(driver) {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let server = tls_builder(driver, &authority, "verify: true", "").start();
        for version in [&TLS12, &TLS13] {
            let tls = TlsClient::new(&authority).version(version);
            let known = tls.clone().identity(&authority.client(Subject::default()));
            let mut client = server.tls_client(&known.config());
            assert_eq!(client.info()["tls_verify"], true);
            exchange(&mut client);
            let port = expect_no_tls(&server, &tls);
            wait_handshake_error(&server, port, "tls: client didn't provide a certificate");
            let other = tls.clone().identity(&stranger.client(Subject::default()));
            let port = expect_no_tls(&server, &other);
            wait_handshake_error(&server, port, "x509: certificate signed by unknown authority");
            // Signed by the right one, but for servers.
            let port = expect_no_tls(&server, &tls.identity(&authority.server()));
            wait_handshake_error(&server, port, "x509: certificate specifies an incompatible key usage");
        }
        // Who was refused is not counted as there.
        let mut clear = server.bare_client();
        clear.send(connect("") + "PING\r\n");
        clear.expect_closed();
    }

    /// A certificate that is asked for only where `verify` says so.
    fn certificates_nobody_asks_for(driver) {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let server = tls_builder(driver, &authority, "", "").start();
        let tls = TlsClient::new(&authority).identity(&stranger.client(Subject::default()));
        exchange(&mut server.tls_client(&tls.config()));
    }

    fn a_certificate_names_the_user(driver) {
        let authority = Authority::new();
        let server = mapped(driver, &authority);
        let named = |common_name: &'static str, unit, emails: &'static [&'static str], hosts| Subject {
            common_name,
            unit,
            emails,
            hosts,
        };
        let open = |subject| {
            let tls = TlsClient::new(&authority).identity(&authority.client(subject));
            RawClient::connect_tls(server.address(), &tls.config())
        };
        let mut ann = open(named("x", "", &["no@example.com", "ann@example.com"], &[]));
        ann.send(connect("") + "PUB ann 0\r\n\r\nPUB other 0\r\n\r\n");
        ann.expect("-ERR 'Permissions Violation for Publish to \"other\"'\r\n");
        ann.ping();
        wait_line(&server, &ann, "ERR", r#"Publish Violation - User "ann@example.com", Subject "other""#);
        for subject in [
            named("x", "", &[], &["host.example.com"]),
            named("carl", "ops", &[], &[]),
        ] {
            let mut client = open(subject);
            client.send(connect(""));
            exchange(&mut client);
        }
        // A password where the entry has one.
        let dora = named("x", "", &["dora@example.com"], &[]);
        let mut client = open(dora);
        client.send(connect(r#""user":"anybody","pass":"d""#));
        exchange(&mut client);
        for (subject, keys) in [
            (dora, ""),
            (dora, r#""user":"dora@example.com","pass":"x""#),
            (named("carl", "", &[], &[]), ""),
            (named("ann@example.com", "", &[], &[]), ""),
            // Nobody says by words who they are.
            (named("x", "", &[], &[]), r#""user":"host.example.com","pass":"""#),
        ] {
            let mut client = open(subject);
            client.send(connect(keys) + "SUB a 1\r\n");
            client.expect_last(VIOLATION);
            wait_line(&server, &client, "ERR", &format!("Authorization Error - User \"{}\"", user_of(keys)));
        }
    }

    fn a_password_over_tls(driver) {
        let authority = Authority::new();
        let conf = "authorization { user: u, password: p }";
        let server = tls_builder(driver, &authority, "", conf).start();
        let config = TlsClient::new(&authority).config();
        let mut client = RawClient::connect_tls(server.address(), &config);
        client.send(connect(r#""user":"u","pass":"p""#));
        exchange(&mut client);
        let mut client = RawClient::connect_tls(server.address(), &config);
        client.send(connect(r#""user":"u","pass":"x""#));
        expect_refused(&server, &mut client, "Authorization Error");
        assert_eq!(client.bad_end(), None, "no farewell");
    }

    /// A client need not wait for anything behind its last message of the handshake. It is all handled, and answered.
    fn what_comes_with_the_end_of_the_handshake(driver) {
        let authority = Authority::new();
        let conf = "authorization { user: u, password: p }";
        let server = tls_builder(driver, &authority, "", conf).start();
        let login = connect(r#""user":"u","pass":"p""#);
        let big = format!("{login}SUB a 1\r\nPUB a 50000\r\n{}\r\n", "x".repeat(50_000));
        let message = format!("MSG a 1 50000\r\n{}\r\n", "x".repeat(50_000));
        for version in [&TLS12, &TLS13] {
            let config = TlsClient::new(&authority).version(version).config();
            for _ in 0..10 {
                let open = |bytes: &str| {
                    let client = server.bare_client().start_tls_and_send(&config, bytes.as_bytes());
                    client.expect("a handshake")
                };
                open(&(login.clone() + "PING\r\n")).expect("PONG\r\n");
                open(&(big.clone() + "PING\r\n")).expect(message.clone() + "PONG\r\n");
                let mut client = open(&login);
                client.ping();
                let mut client = open(&connect(r#""user":"u","pass":"x""#));
                expect_refused(&server, &mut client, "Authorization Error");
                assert_eq!(client.bad_end(), None, "no farewell");
                let mut client = open("PING\r\n");
                expect_refused(&server, &mut client, "Authorization Error");
            }
        }
    }

    /// The time for CONNECT begins behind the handshake.
    fn the_login_clock_starts_behind_the_handshake(driver) {
        let authority = Authority::new();
        let conf = "authorization { user: u, password: p, timeout: 0.5 }";
        let server = tls_builder(driver, &authority, "", conf).start();
        let late = server.bare_client();
        // Silent for longer than a login may take: that is the handshake's time.
        let other = server.bare_client();
        let config = TlsClient::new(&authority).config();
        let mut silent = other.start_tls(&config).expect("a handshake");
        silent.expect_last(TIMEOUT);
        let mut late = late.start_tls(&config).expect("a late handshake");
        late.send(connect(r#""user":"u","pass":"p""#));
        exchange(&mut late);
    }

    fn ciphers_of_the_configuration(driver) {
        let authority = Authority::new();
        let name = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
        let server = tls_builder(driver, &authority, &format!("cipher_suites: [\"{name}\"]"), "").start();
        let tls = TlsClient::new(&authority).version(&TLS12);
        let client = server.tls_client(&tls.config());
        assert_eq!(client.tls_terms().1, name);
        let other = tls.suites(&[cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]);
        let port = expect_no_tls(&server, &other);
        wait_handshake_error(&server, port, "tls: no cipher suite supported by both client and server");
    }

    fn pinned_keys(driver) {
        let authority = Authority::new();
        let (pinned, other) = (authority.client(Subject::default()), authority.client(Subject::default()));
        let pin = HEXLOWER.encode(digest(&SHA256, &pinned.public_key()).as_ref());
        let more = format!("verify: true, pinned_certs: [\"{pin}\"]");
        let server = tls_builder(driver, &authority, &more, "").start();
        for version in [&TLS12, &TLS13] {
            let tls = TlsClient::new(&authority).version(version);
            exchange(&mut server.tls_client(&tls.clone().identity(&pinned).config()));
            let port = expect_no_tls(&server, &tls.identity(&other));
            wait_handshake_error(&server, port, "certificate not pinned");
        }
    }

    fn the_handshake_first(driver) {
        let authority = Authority::new();
        let server = tls_builder(driver, &authority, "handshake_first: true", "").start();
        let config = TlsClient::new(&authority).config();
        let mut client = RawClient::connect_tls_first(server.address(), &config).expect("a handshake");
        assert_eq!(client.info()["tls_required"], true);
        client.connect_quiet();
        exchange(&mut client);
        // Whoever waits for INFO waits in vain.
        let mut waiting = RawClient::connect_silent(server.address());
        waiting.quiet(Duration::from_millis(200));
        waiting.send(connect("") + "PING\r\n");
        waiting.expect_closed();
    }

    /// Both ways on one port: who begins at once, and who waits for INFO.
    fn the_handshake_first_or_not(driver) {
        let authority = Authority::new();
        for first in ["auto", "\"100ms\""] {
            let more = format!("handshake_first: {first}");
            let server = tls_builder(driver, &authority, &more, "").start();
            let config = TlsClient::new(&authority).config();
            let mut client = RawClient::connect_tls_first(server.address(), &config).expect("a handshake");
            client.connect_quiet();
            exchange(&mut client);
            exchange(&mut server.tls_client(&config));
        }
    }

    fn with_tls_or_without(driver) {
        let authority = Authority::new();
        let server = tls_builder(driver, &authority, "", "allow_non_tls: true").start();
        let config = TlsClient::new(&authority).config();
        let mut plain = server.raw_client();
        assert!(plain.info()["tls_required"].is_null());
        assert_eq!(plain.info()["tls_available"], true);
        exchange(&mut plain);
        let mut over_tls = server.tls_client(&config);
        exchange(&mut over_tls);
        plain.subscribe("both", 2);
        over_tls.subscribe("both", 3);
        plain.send("PUB both 1\r\nx\r\n");
        plain.expect("MSG both 2 1\r\nx\r\n");
        over_tls.expect("MSG both 3 1\r\nx\r\n");
    }

    /// A client that does not know the server's authority ends the handshake, and the log says why.
    fn a_client_that_does_not_trust_the_server(driver) {
        let authority = Authority::new();
        let server = tls_builder(driver, &authority, "", "").start();
        let client = server.bare_client();
        let port = client.local_port();
        let error = client.start_tls(&TlsClient::new(&Authority::new()).config()).expect_err("no trust");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        wait_handshake_error(&server, port, "remote error: tls: unknown certificate authority");
    }
}

fn user_of(keys: &str) -> &str {
    let rest = keys.split_once(r#""user":""#).map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or_default()
}

on_shards! {
    /// Messages far above a record and a read, between every two of: TLS, TLS on another shard, none.
    fn large_messages(driver, cores) on one, two {
        let authority = Authority::new();
        let server = tls_builder(driver, &authority, "", "allow_non_tls: true").cores(cores).monitor().start();
        let config = TlsClient::new(&authority).config();
        let mut clients = server.made_on(&[0, cores - 1], || server.tls_client(&config));
        clients.extend(server.clients_on(&[0, cores - 1]));
        for client in &mut clients {
            client.set_limit(Duration::from_secs(30));
            client.subscribe("big", 1);
        }
        for (number, bytes) in [1_000_000, 800_001, 16_384, 65_535, 1].into_iter().enumerate() {
            let payload: Vec<u8> = (0..bytes).map(|at| (at * 7 + number) as u8).collect();
            for from in 0..clients.len() {
                let head = format!("PUB big {bytes}\r\n");
                clients[from].send([head.as_bytes(), &payload, b"\r\n"].concat());
                for client in &mut clients {
                    let message = client.message();
                    assert!(message.payload == payload, "{bytes} bytes of client {from}");
                }
            }
        }
        assert_eq!(server.rescues(), 0);
    }
}
