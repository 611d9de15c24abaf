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
use crate::demands::{Demands, Files};
use crate::program;
use crate::scenarios::Scenario;
use crate::target::Target;

/// How long a server may take until it accepts connections, and then until it says INFO.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Stands in a command for the port to listen on.
const PORT: &str = "{port}";

/// Stands in a command for the port of a monitor.
const MONITOR: &str = "{monitor}";

/// Stands in a command for a configuration file, with what is demanded in it; it may be empty.
const CONFIG: &str = "{config}";

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
    /// Words that have it read a configuration, `{config}` among them; they follow the command where something
    /// is demanded.
    pub(crate) config: Vec<String>,
    /// What it is to ask of its clients in every scenario.
    pub(crate) demands: Demands,
}

impl Peer {
    /// Whether it takes part.
    pub(crate) fn knows(&self, scenario: &Scenario) -> bool {
        let name = scenario.shape.to_string();
        let is_listed =
            self.shapes.is_empty() || self.shapes.iter().any(|begin| name.starts_with(begin));
        is_listed && (self.takes_configuration() || !scenario.shape.demands().are_some())
    }

    /// Whether anything can be demanded of it.
    pub(crate) fn takes_configuration(&self) -> bool {
        let words = self.command.iter().chain(&self.config);
        words.into_iter().any(|word| word.contains(CONFIG))
    }

    /// The command as somebody else could type it: the list's word for the program that was found.
    pub(crate) fn written(&self) -> Vec<String> {
        let mut words = self.with_config(self.demands);
        if let Some(word) = words.first_mut()
            && let Ok(program) = program::find(word)
        {
            *word = program.written;
        }
        words
    }

    /// The command, and how to read a configuration if one is needed.
    fn with_config(&self, demands: Demands) -> Vec<String> {
        let config = self.config.iter().filter(|_| demands.are_some());
        self.command.iter().chain(config).cloned().collect()
    }

    /// The program that is there.
    fn program(&self) -> Result<String> {
        let first = self.command.first().ok_or("a command without words")?;
        let program = program::find(first)?;
        Ok(program.path.to_string_lossy().into_owned())
    }

    /// The words to run.
    fn words(&self, demands: Demands, places: &Places<'_>) -> Result<Vec<String>> {
        if demands.are_some() && !self.takes_configuration() {
            return Err(format!("it takes no configuration: no {CONFIG} in its command").into());
        }
        let words = self.with_config(demands);
        let rest = words.iter().skip(1).map(|word| places.expand(word));
        std::iter::once(self.program()).chain(rest).collect()
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
        match peer.program() {
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
pub(crate) fn probe(peers: Vec<Peer>, cpus: &str, files: &Files) -> Vec<(Peer, String)> {
    let mut found: Vec<(Peer, String)> = Vec::new();
    for peer in peers {
        let version = match Running::start(&peer, peer.demands, cpus, files) {
            Ok(running) => running.version.clone(),
            Err(e) => {
                eprintln!("{} left out: {e}", peer.name);
                continue;
            }
        };
        let twin = found.iter().find(|(other, known)| {
            let has_both = peer.install.is_some() && other.install.is_some();
            let is_alike = other.command[1..] == peer.command[1..] && other.demands == peer.demands;
            has_both && *known == version && is_alike
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
                with \"install\": text, \"shapes\" and \"config\": [text, ...] where they are of use";
    let strings = |value: &Value| -> Option<Vec<String>> {
        let words = value.as_array()?.iter();
        words.map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let peer = |entry: &Value| {
        let list = |name: &str| match &entry[name] {
            Value::Null => Some(Vec::new()),
            list => strings(list),
        };
        Some(Peer {
            name: entry["name"].as_str()?.to_owned(),
            command: strings(&entry["command"]).filter(|words| !words.is_empty())?,
            install: match &entry["install"] {
                Value::Null => None,
                text => Some(text.as_str()?.to_owned()),
            },
            shapes: list("shapes")?,
            config: list("config")?,
            demands: Demands::default(),
        })
    };
    let list = value.as_array().ok_or(form)?;
    list.iter()
        .map(|entry| peer(entry).ok_or_else(|| form.into()))
        .collect()
}

/// What the words of a command stand for.
#[derive(Debug)]
struct Places<'a> {
    port: u16,
    monitor: u16,
    config: &'a str,
}

impl Places<'_> {
    /// One word of a command after the program, ready to run.
    fn expand(&self, word: &str) -> Result<String> {
        if let Some(name) = word.strip_prefix('$') {
            return env::var(name).map_err(|_| format!("${name} is not set").into());
        }
        let word = word.replace(PORT, &self.port.to_string());
        let word = word.replace(MONITOR, &self.monitor.to_string());
        Ok(word.replace(CONFIG, self.config))
    }
}

/// A server that listens. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    /// Where it listens, and what it asks of its clients.
    pub(crate) target: Target,
    /// The same of the monitor, for a command with `{monitor}`.
    pub(crate) monitor: String,
    /// What it says of itself in INFO: its version, and that of its language.
    pub(crate) version: String,
}

impl Running {
    /// Starts a server on a free port of 127.0.0.1 and on these CPUs: `0`, `0,1`, `0-3`, with these demands.
    ///
    /// # Errors
    /// When it cannot be started, knows no demands, ends at once, or does not listen within 10 s.
    pub(crate) fn start(peer: &Peer, demands: Demands, cpus: &str, files: &Files) -> Result<Self> {
        let (port, monitor) = (free_port()?, free_port()?);
        let config = files.configuration(&demands)?;
        let places = Places {
            port,
            monitor,
            config: &config.to_string_lossy(),
        };
        let child = Command::new("taskset")
            .args(["-c", cpus])
            .args(peer.words(demands, &places)?)
            .env("GOMAXPROCS", cpu::listed(cpus)?.len().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("taskset: {e}"))?;
        let mut running = Self {
            child,
            target: Target {
                address: format!("127.0.0.1:{port}"),
                login: demands.login(),
                is_secure: demands.is_secure,
            },
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
            if let Ok(stream) = TcpStream::connect(&self.target.address) {
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
                return Err(format!("{} does not listen on {}", peer.name, self.target).into());
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
mod tests;
