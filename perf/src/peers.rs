//! The servers of a comparison: how each is started, and one of them running.
//!
//! Owns the list (`perf/peers.json`) and the child process. Every server runs under `taskset` on the CPUs it
//! is given, one as a rule, and with GOMAXPROCS at their number, which only those written in Go look at.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;
use crate::cpu;
use crate::program;
use crate::scenarios::Scenario;

/// How long a server may take until it accepts connections, and then until it says INFO.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Stands in a command for the port to listen on.
const PORT: &str = "{port}";

/// Stands in a command for the port of a monitor.
const MONITOR: &str = "{monitor}";

/// A server that can be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Name in the table.
    pub(crate) name: String,
    /// Program, with all places where it may be, and arguments, with `{port}`, `{monitor}` and `$VARIABLE`
    /// still in them.
    pub(crate) command: Vec<String>,
    /// How to get it, for those who have not got it.
    pub(crate) install: Option<String>,
    /// Begins of the names of shapes it takes part in; all when empty.
    pub(crate) shapes: Vec<String>,
}

impl Peer {
    /// Whether it takes part.
    pub(crate) fn knows(&self, scenario: &Scenario) -> bool {
        let name = scenario.shape.to_string();
        self.shapes.is_empty() || self.shapes.iter().any(|begin| name.starts_with(begin))
    }

    /// The command as somebody else could type it: the list's word for the program that was found.
    pub(crate) fn written(&self) -> Vec<String> {
        let mut words = self.command.clone();
        if let Some(word) = words.first_mut()
            && let Ok(program) = program::find(word)
        {
            *word = program.written;
        }
        words
    }

    /// The words to run, for these ports.
    fn words(&self, port: u16, monitor: u16) -> Result<Vec<String>> {
        let (first, rest) = self
            .command
            .split_first()
            .ok_or("a command without words")?;
        let program = program::find(first)?.path.to_string_lossy().into_owned();
        let rest = rest.iter().map(|word| expand(word, port, monitor));
        std::iter::once(Ok(program)).chain(rest).collect()
    }

    /// One line about a server that is not measured.
    fn left_out(&self, why: &dyn std::fmt::Display) -> String {
        match &self.install {
            Some(install) => format!("{} left out: {why}; to have it: {install}", self.name),
            None => format!("{} left out: {why}", self.name),
        }
    }
}

/// Reads the list of servers, as [`select`] does; a name in `only` must be there.
///
/// # Errors
/// Those of [`select`].
pub(crate) fn read(sources: &[String], only: &[String]) -> Result<Vec<Peer>> {
    select(sources, only, false)
}

/// Reads the list of servers.
///
/// Each source is a JSON file, `[{"name": "…", "command": ["…", …]}, …]`, or `NAME=COMMAND`; the same name
/// again replaces the command. With `is_lenient` or without `only`, a server that is not there is left out
/// with a line that says how to get it.
///
/// # Errors
/// A file that is missing or of another form; a name in `only` that nothing has; nothing left.
pub(crate) fn select(sources: &[String], only: &[String], is_lenient: bool) -> Result<Vec<Peer>> {
    let mut peers: Vec<Peer> = Vec::new();
    for source in sources {
        for peer in from_source(source)? {
            match peers.iter_mut().find(|other| other.name == peer.name) {
                Some(other) => *other = peer,
                None => peers.push(peer),
            }
        }
    }
    if !only.is_empty() {
        let find = |name: &String| peers.iter().find(|peer| peer.name == *name).cloned();
        let chosen = only.iter().filter_map(|name| match find(name) {
            // A set names the servers of the repository's list; another list has others.
            None if is_lenient => None,
            found => Some(found.ok_or_else(|| format!("no server is called {name:?}"))),
        });
        peers = chosen.collect::<std::result::Result<_, _>>()?;
    }
    let is_wanted = !only.is_empty() && !is_lenient;
    let mut found = Vec::new();
    for peer in peers {
        match peer.words(0, 0) {
            Ok(_) => found.push(peer),
            Err(e) if is_wanted => return Err(peer.left_out(&e).into()),
            Err(e) => eprintln!("{}", peer.left_out(&e)),
        }
    }
    if found.is_empty() {
        Err("no server to measure".into())
    } else {
        Ok(found)
    }
}

/// Starts each server once, to learn its version and whether it starts at all, and leaves out those that
/// do not, or that are another one under a second name.
///
/// Two of the list are the same when version and arguments are; servers without a line on how to get them,
/// such as two builds to compare, may be alike.
pub(crate) fn probe(peers: Vec<Peer>, cpus: &str) -> Vec<(Peer, String)> {
    let mut found: Vec<(Peer, String)> = Vec::new();
    for peer in peers {
        let version = match Running::start(&peer, cpus) {
            Ok(running) => running.version.clone(),
            Err(e) => {
                eprintln!("{} left out: {e}", peer.name);
                continue;
            }
        };
        let twin = found.iter().find(|(other, known)| {
            let has_both = peer.install.is_some() && other.install.is_some();
            has_both && *known == version && other.command[1..] == peer.command[1..]
        });
        match twin.map(|(other, _)| format!("it is the same as {}, {version}", other.name)) {
            Some(why) => eprintln!("{}", peer.left_out(&why)),
            None => found.push((peer, version)),
        }
    }
    found
}

fn from_source(source: &str) -> Result<Vec<Peer>> {
    if let Some((name, command)) = source.split_once('=') {
        let command = command.split_whitespace().map(str::to_owned).collect();
        return Ok(vec![Peer {
            name: name.to_owned(),
            command,
            ..Peer::default()
        }]);
    }
    let text = fs::read_to_string(source).map_err(|e| format!("{source}: {e}"))?;
    from_json(&text).map_err(|e| format!("{source}: {e}").into())
}

fn from_json(text: &str) -> Result<Vec<Peer>> {
    let value: Value = serde_json::from_str(text)?;
    let form = "a list of {\"name\": text, \"command\": [text, ...]} is expected, \
                with \"install\": text and \"shapes\": [text, ...] where they are of use";
    let strings = |value: &Value| -> Option<Vec<String>> {
        let words = value.as_array()?.iter();
        words.map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let peer = |entry: &Value| {
        Some(Peer {
            name: entry["name"].as_str()?.to_owned(),
            command: strings(&entry["command"]).filter(|words| !words.is_empty())?,
            install: match &entry["install"] {
                Value::Null => None,
                text => Some(text.as_str()?.to_owned()),
            },
            shapes: match &entry["shapes"] {
                Value::Null => Vec::new(),
                list => strings(list)?,
            },
        })
    };
    let list = value.as_array().ok_or(form)?;
    list.iter()
        .map(|entry| peer(entry).ok_or_else(|| form.into()))
        .collect()
}

/// One word of a command after the program, ready to run.
fn expand(word: &str, port: u16, monitor: u16) -> Result<String> {
    if let Some(name) = word.strip_prefix('$') {
        return env::var(name).map_err(|_| format!("${name} is not set").into());
    }
    let word = word.replace(PORT, &port.to_string());
    Ok(word.replace(MONITOR, &monitor.to_string()))
}

/// A server that listens. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    /// The same of the monitor, for a command with `{monitor}`.
    pub(crate) monitor: String,
    /// What it says of itself in INFO: its version, and that of its language.
    pub(crate) version: String,
}

impl Running {
    /// Starts a server on a free port of 127.0.0.1 and on these CPUs: `0`, `0,1`, `0-3`.
    ///
    /// # Errors
    /// When it cannot be started, ends at once, or does not listen within 10 s.
    pub(crate) fn start(peer: &Peer, cpus: &str) -> Result<Self> {
        let (port, monitor) = (free_port()?, free_port()?);
        let child = Command::new("taskset")
            .args(["-c", cpus])
            .args(peer.words(port, monitor)?)
            .env("GOMAXPROCS", cpu::listed(cpus)?.len().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("taskset: {e}"))?;
        let mut running = Self {
            child,
            address: format!("127.0.0.1:{port}"),
            monitor: format!("127.0.0.1:{monitor}"),
            version: String::new(),
        };
        running.wait_until_listening(peer)?;
        Ok(running)
    }

    /// Process of the server: `taskset` becomes the program it starts.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_listening(&mut self, peer: &Peer) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Ok(stream) = TcpStream::connect(&self.address) {
                self.version = version_of(&stream).map_err(|e| format!("{}: {e}", peer.name))?;
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let command = &peer.command;
                return Err(
                    format!("{} ended at its start: {status}: {command:?}", peer.name).into(),
                );
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not listen on {}", peer.name, self.address).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Reads the INFO a server begins with.
fn version_of(stream: &TcpStream) -> Result<String> {
    stream.set_read_timeout(Some(START_LIMIT))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let info = line
        .strip_prefix("INFO ")
        .ok_or("it does not begin with INFO")?;
    let info: Value = serde_json::from_str(info)?;
    let text = |name: &str| info[name].as_str().unwrap_or_default().to_owned();
    Ok(format!("{} {}", text("version"), text("go"))
        .trim_end()
        .to_owned())
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only for a process that has ended, and there is nothing to be done about that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody listens on now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_list_of_the_repository_is_readable() {
        let peers = from_json(include_str!("../peers.json")).unwrap();
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
            assert_eq!(peer.knows(&"reqrep".parse().unwrap()), !is_floor);
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
        assert_eq!(expand("{port}", 7, 8).unwrap(), "7");
        assert_eq!(expand("127.0.0.1:{port}", 7, 8).unwrap(), "127.0.0.1:7");
        assert_eq!(expand("{monitor}", 7, 8).unwrap(), "8");
        assert!(expand("$PERF_NO_SUCH_VARIABLE", 7, 8).is_err());
        let peer = Peer {
            command: words("no-such-program|{perf} floor --port {port}"),
            ..Peer::default()
        };
        assert_eq!(peer.written()[..2], words("{perf} floor"));
        assert_eq!(peer.words(7, 8).unwrap()[1..], words("floor --port 7"));
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
            "[",
        ] {
            assert!(from_json(text).is_err(), "{text}");
        }
    }
}
