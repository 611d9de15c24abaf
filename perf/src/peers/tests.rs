//! The list of servers, its words, and what is left out of it.

use super::*;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_list_of_the_repository_is_readable() {
    let peers = from_json(include_str!("../../peers.json")).unwrap();
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(
        names,
        ["uring", "epoll", "debian", "newest", "gnatsd-1x", "floor"]
    );
    for peer in &peers {
        let has_port = peer.command.iter().any(|word| word == PORT);
        assert!(has_port, "{}", peer.name);
        let is_floor = peer.name == "floor";
        assert_eq!(peer.install.is_none(), is_floor, "{}", peer.name);
        assert_eq!(peer.takes_configuration(), !is_floor, "{}", peer.name);
        for unknown in ["reqrep", "handshakes", "logins"] {
            assert_eq!(peer.knows(&unknown.parse().unwrap()), !is_floor);
        }
        for known in ["pub:16", "1to1:128", "mixed8:128", "fanout100:1024"] {
            assert!(peer.knows(&known.parse().unwrap()), "{} {known}", peer.name);
        }
    }
}

#[test]
fn commands_on_the_command_line() {
    let sources = ["a=sh -p {port}".to_owned(), "b=sh".to_owned()];
    let peers = read(&sources, &[]).unwrap();
    assert_eq!(peers[0].command, words("sh -p {port}"));
    let peers = read(&sources, &["b".to_owned()]).unwrap();
    assert_eq!(peers.len(), 1);
    assert!(read(&sources, &["c".to_owned()]).is_err());
    let again = [sources[0].clone(), sources[1].clone(), "a=cat".to_owned()];
    let peers = read(&again, &[]).unwrap();
    assert_eq!((peers.len(), &peers[0].command[..]), (2, &words("cat")[..]));
}

#[test]
fn what_is_not_there_is_left_out_unless_it_was_asked_for() {
    let sources = words("a=sh b=./no/such/program");
    assert_eq!(select(&sources, &[], false).unwrap().len(), 1);
    let both = words("a b");
    assert_eq!(select(&sources, &both, true).unwrap().len(), 1);
    assert!(select(&sources, &both, false).is_err());
    assert_eq!(select(&sources, &words("c a"), true).unwrap()[0].name, "a");
    assert!(select(&sources[1..], &[], false).is_err());
}

#[test]
fn a_line_says_how_to_get_it() {
    let peer = Peer {
        name: "x".to_owned(),
        install: Some("make x".to_owned()),
        ..Peer::default()
    };
    assert_eq!(
        peer.left_out(&"gone"),
        "x left out: gone; to have it: make x"
    );
}

#[test]
fn words_are_expanded() {
    let places = Places {
        port: 7,
        monitor: 8,
        config: "/x",
    };
    assert_eq!(places.expand("{port}").unwrap(), "7");
    assert_eq!(places.expand("127.0.0.1:{port}").unwrap(), "127.0.0.1:7");
    assert_eq!(places.expand("{monitor}").unwrap(), "8");
    assert_eq!(places.expand("--config={config}").unwrap(), "--config=/x");
    assert!(places.expand("$PERF_NO_SUCH_VARIABLE").is_err());
    let peer = Peer {
        command: words("no-such-program|{perf} floor --port {port}"),
        ..Peer::default()
    };
    assert_eq!(peer.written()[..2], words("{perf} floor"));
    let nothing = Demands::default();
    let found = peer.words(nothing, &places).unwrap();
    assert_eq!(found[1..], words("floor --port 7"));
}

#[test]
fn a_configuration_is_read_where_something_is_demanded() {
    let places = Places {
        port: 7,
        monitor: 8,
        config: "/x",
    };
    let nothing = Demands::default();
    let secure = Demands {
        is_secure: true,
        ..nothing
    };
    let mut peer = Peer {
        command: words("sh {port}"),
        config: words("-c {config}"),
        demands: secure,
        ..Peer::default()
    };
    assert_eq!(peer.words(secure, &places).unwrap()[1..], words("7 -c /x"));
    assert_eq!(peer.words(nothing, &places).unwrap()[1..], words("7"));
    assert_eq!(peer.written()[1..], words("{port} -c {config}"));
    peer.config.clear();
    assert!(peer.words(secure, &places).is_err() && !peer.takes_configuration());
    peer.command = words("sh --config={config}");
    for demands in [nothing, secure] {
        let found = peer.words(demands, &places).unwrap();
        assert_eq!(found[1..], words("--config=/x"));
    }
}

#[test]
fn another_form_is_refused() {
    for text in [
        "{}",
        "[1]",
        "[{\"name\":\"a\"}]",
        "[{\"name\":\"a\",\"command\":[]}]",
        "[{\"name\":\"a\",\"command\":[\"b\"],\"install\":1}]",
        "[{\"name\":\"a\",\"command\":[\"b\"],\"shapes\":[1]}]",
        "[{\"name\":\"a\",\"command\":[\"b\"],\"config\":\"-c\"}]",
        "[",
    ] {
        assert!(from_json(text).is_err(), "{text}");
    }
}
