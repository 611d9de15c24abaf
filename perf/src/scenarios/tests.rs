//! Every shape against a small server of one thread, and against one that does wrong.

use super::*;
use crate::target::Login;
use crate::tls::tests::serve_each;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

/// What the small server does to the messages it delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The message with this number is not delivered.
    Lose(u64),
    /// It is delivered twice.
    Repeat(u64),
    /// A bit of its payload changes.
    Corrupt(u64),
    /// Nothing is read for so long when it has come.
    Pause(u64, Duration),
}

struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    is_open: bool,
}

struct Subscription {
    client: usize,
    pattern: String,
    queue: Option<String>,
    sid: String,
}

/// As much of a NATS server as the shapes ask for.
struct Relay {
    clients: Vec<Client>,
    subscriptions: Vec<Subscription>,
    delivered: u64,
    fault: Fault,
    /// The member of each queue group that is next.
    turns: HashMap<String, usize>,
}

/// Starts a server that stands still for a while when so many messages have come; its address.
pub(super) fn relay(pause: Option<(u64, Duration)>) -> String {
    serve(pause.map_or(Fault::None, |(count, time)| Fault::Pause(count, time)))
}

fn serve(fault: Fault) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut relay = Relay {
            clients: Vec::new(),
            subscriptions: Vec::new(),
            delivered: 0,
            fault,
            turns: HashMap::new(),
        };
        let mut has_served = false;
        while !(has_served && relay.clients.iter().all(|client| !client.is_open)) {
            while let Ok((mut stream, _)) = listener.accept() {
                stream.write_all(b"INFO {} \r\n").unwrap();
                stream.set_nonblocking(true).unwrap();
                relay.clients.push(Client {
                    stream,
                    input: Vec::new(),
                    output: Vec::new(),
                    is_open: true,
                });
                has_served = true;
            }
            if !relay.turn() {
                thread::sleep(Duration::from_micros(20));
            }
        }
    });
    address
}

impl Relay {
    /// Reads, handles and writes what there is; false when there was nothing.
    fn turn(&mut self) -> bool {
        let mut buffer = [0; 65536];
        let mut has_moved = false;
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            match client.stream.read(&mut buffer) {
                Ok(0) => client.is_open = false,
                Ok(count) => {
                    client.input.extend_from_slice(&buffer[..count]);
                    has_moved = true;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => client.is_open = false,
            }
            self.handle(index);
        }
        for client in &mut self.clients {
            match client.stream.write(&client.output) {
                Ok(count) => drop(client.output.drain(..count)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => client.is_open = false,
            }
        }
        has_moved
    }

    fn handle(&mut self, index: usize) {
        let input = std::mem::take(&mut self.clients[index].input);
        let mut rest = input.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&rest[..end]).trim_end().to_owned();
            let words: Vec<&str> = line.split(' ').collect();
            let mut after = end + 1;
            match words[0] {
                "PING" => self.clients[index].output.extend(b"PONG\r\n"),
                "SUB" => self.subscriptions.push(Subscription {
                    client: index,
                    pattern: words[1].to_owned(),
                    queue: (words.len() > 3).then(|| words[2].to_owned()),
                    sid: words[words.len() - 1].to_owned(),
                }),
                "UNSUB" => self
                    .subscriptions
                    .retain(|held| (held.client, &*held.sid) != (index, words[1])),
                "PUB" => {
                    let size: usize = words[words.len() - 1].parse().unwrap();
                    after += size + 2;
                    let Some(payload) = rest.get(end + 1..after) else {
                        break;
                    };
                    let reply = (words.len() > 3).then(|| format!(" {}", words[2]));
                    self.publish(words[1], &reply.unwrap_or_default(), payload);
                }
                _ => {}
            }
            rest = &rest[after..];
        }
        self.clients[index].input = rest.to_vec();
    }

    fn publish(&mut self, subject: &str, reply: &str, payload: &[u8]) {
        let mut payload = payload.to_vec();
        self.delivered += 1;
        let mut times = 1;
        match self.fault {
            Fault::Lose(at) if at == self.delivered => times = 0,
            Fault::Repeat(at) if at == self.delivered => times = 2,
            Fault::Corrupt(at) if at == self.delivered => payload[3] ^= 1,
            Fault::Pause(at, time) if at == self.delivered => thread::sleep(time),
            _ => {}
        }
        let matching = |held: &&Subscription| is_match(&held.pattern, subject);
        let members: Vec<usize> = (0..self.subscriptions.len())
            .filter(|index| matching(&&self.subscriptions[*index]))
            .collect();
        let in_queue = |index: &usize| self.subscriptions[*index].queue.is_some();
        let (queue, mut chosen): (Vec<usize>, Vec<usize>) =
            members.iter().partition(|index| in_queue(index));
        if !queue.is_empty() {
            let turn = self.turns.entry(subject.to_owned()).or_default();
            *turn += 1;
            chosen.push(queue[*turn % queue.len()]);
        }
        for index in chosen.into_iter().flat_map(|index| vec![index; times]) {
            let Subscription { client, sid, .. } = &self.subscriptions[index];
            let size = payload.len() - 2;
            let head = format!("MSG {subject} {sid}{reply} {size}\r\n");
            let output = &mut self.clients[*client].output;
            output.extend(head.as_bytes());
            output.extend(&payload);
        }
    }
}

fn is_match(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", token) => return token.is_some(),
            ("*", Some(_)) => {}
            (wanted, token) if token == Some(wanted) => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

fn load(server: String, messages: u64, is_verified: bool) -> Load {
    Load {
        server: server.into(),
        stop: Stop::Messages(messages),
        is_verified,
        ..Load::default()
    }
}

#[test]
fn every_shape_counts_what_was_delivered_verified_or_not() {
    for (name, counted) in [
        ("1to1:16", 20_000),
        ("1to1:1000", 20_000),
        ("mixed8:128", 20_000),
        ("mixed1:300", 20_000),
        ("fanout3:20", 60_000),
        ("fanin3:16", 20_000),
        ("pairs3:16", 20_000),
        ("queue3:16", 20_000),
        ("hot50:16", 20_000),
        ("uniform50:24", 20_000),
        ("zipf50:16", 20_000),
        ("reqrep:16", 20_000),
        ("flooded:32", 20_000),
    ] {
        for is_verified in [false, true] {
            let messages = if name == "reqrep:16" { 200 } else { 20_000 };
            let load = load(serve(Fault::None), messages, is_verified);
            let outcome = run(&name.parse().unwrap(), &load).unwrap();
            let counted = if messages == 200 { 200 } else { counted };
            if name == "flooded:32" {
                assert!(
                    outcome.counted >= counted && outcome.latency.is_some(),
                    "{name}"
                );
            } else {
                assert_eq!(outcome.counted, counted, "{name}, verified: {is_verified}");
            }
        }
    }
}

#[test]
fn shapes_that_go_by_the_clock() {
    let outcome = run(
        &"open2000:16".parse().unwrap(),
        &load(serve(Fault::None), 400, true),
    )
    .unwrap();
    assert_eq!((outcome.counted, outcome.published), (400, 800));
    assert!(outcome.elapsed >= Duration::from_millis(199));
    assert!(outcome.latency.is_some());

    for name in ["subchurn0:16", "subchurn3000:16"] {
        let outcome = run(&name.parse().unwrap(), &load(serve(Fault::None), 200, true)).unwrap();
        assert_eq!(outcome.counted, 200, "{name}");
    }
}

#[test]
fn connections_come_and_go() {
    let outcome = run(
        &"connect4".parse().unwrap(),
        &load(serve(Fault::None), 100, false),
    )
    .unwrap();
    assert_eq!(outcome.counted, 100);
    assert!(outcome.latency.is_some());
}

/// A server that asks for TLS and answers PINGs; its address.
fn secure() -> String {
    serve_each(b"INFO {\"tls_required\":true} \r\n", |stream| {
        let mut line = String::new();
        // A client that leaves without a good-bye ends with an error.
        while BufReader::with_capacity(1, &mut *stream)
            .read_line(&mut line)
            .is_ok_and(|count| count > 0)
        {
            if line == "PING\r\n" && stream.write_all(b"PONG\r\n").is_err() {
                return;
            }
            line.clear();
        }
    })
}

#[test]
fn clients_come_by_the_clock_and_shake_hands_where_the_server_asks_for_it() {
    for (name, server) in [
        ("handshakes200", secure()),
        ("logins200", secure()),
        ("logins200", serve(Fault::None)),
    ] {
        let mut load = load(server, 60, false);
        load.server.login = Some(Login {
            user: "a".to_owned(),
            password: "b".to_owned(),
        });
        let outcome = run(&name.parse().unwrap(), &load).unwrap();
        // Some of the warm-up may be answered in the stretch, and some of the stretch behind it.
        let arrivals = outcome.arrivals.unwrap();
        assert_eq!((arrivals.came, arrivals.refused), (60, 0), "{name}");
        assert!((1..=66).contains(&outcome.counted), "{name}: {outcome:?}");
        assert!(outcome.latency.is_some() && arrivals.latency.is_some());
    }
    let load = load(secure(), 30, false);
    let outcome = run(&"connect4".parse().unwrap(), &load).unwrap();
    assert_eq!(outcome.counted, 30);
}

#[test]
fn who_is_not_let_in_is_counted() {
    // Only the first stays, who pings.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            stream.write_all(b"INFO {} \r\n").unwrap();
            thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for line in lines.map_while(|line| line.ok()) {
                    let answer: &[u8] = match (number, &*line) {
                        (0, "PING") => b"PONG\r\n",
                        (0, _) => continue,
                        _ => b"-ERR 'Authorization Violation'\r\n",
                    };
                    let _ = stream.write_all(answer);
                }
            });
        }
    });
    let mut load = load(address, 40, false);
    load.server.login = Some(Login {
        user: "a".to_owned(),
        password: "b".to_owned(),
    });
    let outcome = run(&"logins400".parse().unwrap(), &load).unwrap();
    let arrivals = outcome.arrivals.unwrap();
    assert_eq!((outcome.counted, arrivals.came), (0, 40));
    assert!(arrivals.refused > 0, "{arrivals:?}");
}

#[test]
fn what_is_to_be_measured_must_be_there() {
    for (name, text) in [
        ("handshakes10", "does not ask for TLS"),
        ("logins10", "--user"),
    ] {
        let load = load(serve(Fault::None), 10, false);
        let error = run(&name.parse().unwrap(), &load).unwrap_err().to_string();
        assert!(error.contains(text), "{name}: {error}");
    }
}

#[test]
fn a_server_that_does_wrong_is_found() {
    // The warm-up is a tenth; so these are in the measured stretch.
    for (fault, text) in [
        (Fault::Lose(5000), "lost"),
        (Fault::Repeat(5000), "before"),
        (Fault::Corrupt(5000), "wrong checksum"),
    ] {
        for name in [
            "1to1:16",
            "mixed3:64",
            "fanin2:16",
            "pairs2:16",
            "uniform50:16",
            "fanout2:64",
        ] {
            let load = load(serve(fault), 20_000, true);
            let error = run(&name.parse().unwrap(), &load).unwrap_err().to_string();
            assert!(error.contains(text), "{name} {fault:?}: {error}");
        }
    }
    for (fault, text) in [
        (Fault::Repeat(50), "before"),
        (Fault::Corrupt(50), "wrong checksum"),
    ] {
        for name in ["reqrep:16", "queue2:16"] {
            let load = load(serve(fault), 200, true);
            let error = run(&name.parse().unwrap(), &load).unwrap_err().to_string();
            assert!(error.contains(text), "{name} {fault:?}: {error}");
        }
    }
}

#[test]
fn a_repeated_message_does_not_pass_unverified_either() {
    let load = load(serve(Fault::Repeat(15_000)), 20_000, false);
    let begin = Instant::now();
    let error = run(&"1to1:16".parse().unwrap(), &load).unwrap_err();
    assert!(
        error.to_string().contains("never published"),
        "{error} after {:?}",
        begin.elapsed()
    );
}

#[test]
fn what_cannot_be_verified_is_refused() {
    for (name, text) in [
        ("pub:16", "no message arrives"),
        ("idle10", "no message arrives"),
        ("1to1:15", "16 bytes"),
    ] {
        let load = load("127.0.0.1:1".to_owned(), 1, true);
        let error = run(&name.parse().unwrap(), &load).unwrap_err().to_string();
        assert!(error.contains(text), "{name}: {error}");
    }
}
