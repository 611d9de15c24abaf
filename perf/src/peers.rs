//! The servers of a comparison: how each is started, and one of them running.
//!
//! Owns the list (`perf/peers.json`) and the child process. Every server runs under `taskset` on the CPUs it
//! is given, one as a rule, and with GOMAXPROCS at their number, which only those written in Go look at.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;

/// How long a server may take until it accepts connections.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Stands in a command for the port to listen on.
const PORT: &str = "{port}";

/// Stands in a command for the port of a monitor.
const MONITOR: &str = "{monitor}";

/// Stands in a command for this program.
const OWN_PROGRAM: &str = "{perf}";

/// A server that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Name in the table.
    pub(crate) name: String,
    /// Program and arguments, with `{port}`, `{monitor}`, `{perf}` and `$VARIABLE` still in them.
    pub(crate) command: Vec<String>,
}

/// Reads the list of servers.
///
/// Each source is a JSON file, `[{"name": "…", "command": ["…", …]}, …]`, or `NAME=COMMAND`; the same name
/// again replaces the command. A server whose program is named by an unset variable is left out with a note,
/// unless `only` asks for it.
///
/// # Errors
/// A file that is missing or of another form; a name in `only` that nothing has.
pub(crate) fn read(sources: &[String], only: &[String]) -> Result<Vec<Peer>> {
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
        let chosen = only
            .iter()
            .map(|name| find(name).ok_or_else(|| format!("no server is called {name:?}")));
        return Ok(chosen.collect::<std::result::Result<_, _>>()?);
    }
    peers.retain(|peer| {
        match peer
            .command
            .iter()
            .find_map(|word| expand(word, 0, 0).err())
        {
            Some(e) => {
                eprintln!("{} left out: {e}", peer.name);
                false
            }
            None => true,
        }
    });
    if peers.is_empty() {
        Err("no server to measure".into())
    } else {
        Ok(peers)
    }
}

fn from_source(source: &str) -> Result<Vec<Peer>> {
    if let Some((name, command)) = source.split_once('=') {
        let command = command.split_whitespace().map(str::to_owned).collect();
        return Ok(vec![Peer {
            name: name.to_owned(),
            command,
        }]);
    }
    let text = fs::read_to_string(source).map_err(|e| format!("{source}: {e}"))?;
    from_json(&text).map_err(|e| format!("{source}: {e}").into())
}

fn from_json(text: &str) -> Result<Vec<Peer>> {
    let value: Value = serde_json::from_str(text)?;
    let form = "a list of {\"name\": text, \"command\": [text, ...]} is expected";
    let strings = |value: &Value| -> Option<Vec<String>> {
        value
            .as_array()?
            .iter()
            .map(|word| word.as_str().map(str::to_owned))
            .collect()
    };
    let peer = |entry: &Value| {
        Some(Peer {
            name: entry["name"].as_str()?.to_owned(),
            command: strings(&entry["command"]).filter(|words| !words.is_empty())?,
        })
    };
    let list = value.as_array().ok_or(form)?;
    list.iter()
        .map(|entry| peer(entry).ok_or_else(|| form.into()))
        .collect()
}

/// One word of a command, ready to run.
fn expand(word: &str, port: u16, monitor: u16) -> Result<String> {
    if let Some(name) = word.strip_prefix('$') {
        return env::var(name).map_err(|_| format!("${name} is not set").into());
    }
    if word == OWN_PROGRAM {
        return Ok(env::current_exe()?.to_string_lossy().into_owned());
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
}

impl Running {
    /// Starts a server on a free port of 127.0.0.1 and on these CPUs: `0`, `0,1`.
    ///
    /// # Errors
    /// When it cannot be started, ends at once, or does not listen within 10 s.
    pub(crate) fn start(peer: &Peer, cpus: &str) -> Result<Self> {
        let (port, monitor) = (free_port()?, free_port()?);
        let words: Result<Vec<String>> = peer
            .command
            .iter()
            .map(|word| expand(word, port, monitor))
            .collect();
        let child = Command::new("taskset")
            .args(["-c", cpus])
            .args(words?)
            .env("GOMAXPROCS", cpus.split(',').count().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("taskset: {e}"))?;
        let mut running = Self {
            child,
            address: format!("127.0.0.1:{port}"),
            monitor: format!("127.0.0.1:{monitor}"),
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
        while TcpStream::connect(&self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!(
                    "{} ended at its start: {status}: {:?}",
                    peer.name, peer.command
                )
                .into());
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not listen on {}", peer.name, self.address).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
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

    #[test]
    fn the_list_of_the_repository_is_readable() {
        let peers = from_json(include_str!("../peers.json")).unwrap();
        assert!(peers.len() > 2);
        for peer in peers {
            assert!(
                peer.command.iter().any(|word| word == PORT),
                "{}",
                peer.name
            );
        }
    }

    #[test]
    fn commands_on_the_command_line() {
        let sources = ["a=prog -p {port}".to_owned(), "b=other".to_owned()];
        let peers = read(&sources, &[]).unwrap();
        assert_eq!(peers[0].command, ["prog", "-p", "{port}"]);
        let peers = read(&sources, &["b".to_owned()]).unwrap();
        assert_eq!(peers.len(), 1);
        assert!(read(&sources, &["c".to_owned()]).is_err());
        let again = [sources[0].clone(), sources[1].clone(), "a=new".to_owned()];
        let peers = read(&again, &[]).unwrap();
        assert_eq!(
            (peers.len(), &peers[0].command[..]),
            (2, &["new".to_owned()][..])
        );
    }

    #[test]
    fn words_are_expanded() {
        assert_eq!(expand("{port}", 7, 8).unwrap(), "7");
        assert_eq!(expand("127.0.0.1:{port}", 7, 8).unwrap(), "127.0.0.1:7");
        assert_eq!(expand("{monitor}", 7, 8).unwrap(), "8");
        assert!(expand("{perf}", 7, 8).unwrap().contains("perf"));
        assert!(expand("$PERF_NO_SUCH_VARIABLE", 7, 8).is_err());
    }

    #[test]
    fn another_form_is_refused() {
        for text in [
            "{}",
            "[1]",
            "[{\"name\":\"a\"}]",
            "[{\"name\":\"a\",\"command\":[]}]",
            "[",
        ] {
            assert!(from_json(text).is_err(), "{text}");
        }
    }
}
