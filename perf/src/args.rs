//! The command line: what the user typed, checked and resolved.
//!
//! Owns names, defaults and the help text. Knows nothing of sockets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::Result;
use crate::scenarios::{Load, Scenario, Shape, Stop};

/// Printed by `perf help`.
pub(crate) const HELP: &str = "\
perf SHAPE [options]           put load on a running server
perf compare [options]         start several servers in turn and compare them
perf crossing --server PATH    1to1 on one shard and from shard to shard of the same server
perf floor --port P            a relay without protocol work, for comparison

Shapes (N is the number in --subs, --pubs, --conns, or right behind the name: fanout10)
  pub          one publisher, no interest
  1to1         one publisher, one subscriber
  fanout       one publisher, N subscribers of one subject
  fanin        N publishers of one subject, one subscriber
  pairs        N publishers, each with a subscriber of its own
  reqrep       one request in flight at a time
  idle         N connections with one subscription each, and nothing else

Options of a shape
  --server HOST:PORT   127.0.0.1:4222
  --size BYTES         payload, 16
  --secs S             how long to publish, 3
  --msgs N             publish so many messages in all instead
  --warmup S           the same load before the measured one, 0.5
  --window BYTES       how far publishers may run ahead of the slowest subscriber;
                       8 MiB, less with many subscribers
  --subject NAME       foo
  --pid PID            server process on this machine: reports its CPU and memory
  --cpu N              pin the generator to this CPU
  --json               one JSON object instead of text

Options of compare
  --servers FILE       JSON list of {\"name\", \"command\"}; or NAME=COMMAND; may be repeated;
                       perf/peers.json
  --only NAME,NAME     take only these, in this order
  --scenario S,S       SHAPE:BYTES, for instance 1to1:16,fanout10:16,idle1000; 1to1:16,1to1:128
  --rounds N           5
  --secs S, --warmup S, --window BYTES   per measurement
  --server-cpu N       0
  --client-cpu N       1
  --json FILE          every sample, with what the machine was

Options of crossing: those of compare, and
  --server PATH        the program, run with --cores 1 and 2
  --servers, --only    others to measure beside it; none
  --server-cpu N,N     0,1
  --client-cpu N       where the scheduler likes
  --scenario S,S       1to1 only; 1to1:16,1to1:128
";

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Print the help text.
    Help,
    /// Put one load on a server that runs already.
    Run(Box<Run>),
    /// Compare several servers.
    Compare(Box<Plan>),
    /// Compare one shard with two of one server.
    Crossing {
        /// Program of the server.
        program: String,
        /// The rest, as for a comparison.
        plan: Box<Plan>,
    },
    /// Be the floor peer.
    Floor {
        /// Port on 127.0.0.1.
        port: u16,
    },
}

/// One load on a running server.
#[derive(Debug)]
pub(crate) struct Run {
    /// Shape and payload.
    pub(crate) scenario: Scenario,
    /// Where, how long, how much.
    pub(crate) load: Load,
    /// CPU to pin the generator to.
    pub(crate) cpu: Option<usize>,
    /// JSON instead of text.
    pub(crate) is_json: bool,
}

/// A comparison.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Files or `NAME=COMMAND`.
    pub(crate) servers: Vec<String>,
    /// Names to take, in this order; all when empty.
    pub(crate) only: Vec<String>,
    /// What to measure.
    pub(crate) scenarios: Vec<Scenario>,
    /// How often each server meets each scenario.
    pub(crate) rounds: usize,
    /// Load of one measurement; server and pid are filled in later.
    pub(crate) load: Load,
    /// CPUs of the server: `0`, or `0,1`.
    pub(crate) server_cpus: String,
    /// CPU of the generator; `None` leaves it to the scheduler.
    pub(crate) client_cpu: Option<usize>,
    /// Where to write every sample.
    pub(crate) json: Option<PathBuf>,
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// An unknown word or option, a missing or unreadable value.
pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Command> {
    let mut words = words;
    let first = words.next().unwrap_or_else(|| "help".to_owned());
    if matches!(first.as_str(), "help" | "--help" | "-h") {
        return Ok(Command::Help);
    }
    let mut flags = Flags::read(words)?;
    let command = match first.as_str() {
        "compare" => Command::Compare(Box::new(comparison(&mut flags)?)),
        "crossing" => Command::Crossing {
            program: flags.required("server")?,
            plan: Box::new(plan(&mut flags)?),
        },
        "floor" => Command::Floor {
            port: flags.required("port")?,
        },
        shape => Command::Run(Box::new(run(shape, &mut flags)?)),
    };
    flags.finish()?;
    Ok(command)
}

fn run(name: &str, flags: &mut Flags) -> Result<Run> {
    let mut shape: Shape = name.parse()?;
    for (flag, word) in [
        ("subs", "fanout"),
        ("pubs", "fanin"),
        ("pairs", "pairs"),
        ("conns", "idle"),
    ] {
        if name == word
            && let Some(count) = flags.optional::<usize>(flag)?
        {
            shape = format!("{word}{count}").parse()?;
        }
    }
    let payload_bytes = flags.optional("size")?.unwrap_or(16);
    let mut load = load(flags)?;
    load.server = flags.optional("server")?.unwrap_or(load.server);
    load.subject = flags.optional("subject")?.unwrap_or(load.subject);
    load.server_pid = flags.optional("pid")?;
    if let Some(messages) = flags.optional("msgs")? {
        load.stop = Stop::Messages(messages);
    }
    Ok(Run {
        scenario: Scenario {
            shape,
            payload_bytes,
        },
        load,
        cpu: flags.optional("cpu")?,
        is_json: flags.switch("json")?,
    })
}

/// A plan with the list of the repository and a CPU for each side where nothing else is said.
fn comparison(flags: &mut Flags) -> Result<Plan> {
    let mut plan = plan(flags)?;
    if plan.servers.is_empty() {
        plan.servers.push("perf/peers.json".to_owned());
    }
    if plan.server_cpus.is_empty() {
        plan.server_cpus = "0".to_owned();
    }
    plan.client_cpu = plan.client_cpu.or(Some(1));
    Ok(plan)
}

/// What was typed, with no servers and no CPUs where nothing was said of them.
fn plan(flags: &mut Flags) -> Result<Plan> {
    let servers = flags.all("servers")?;
    let list = |text: String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let scenarios = flags
        .optional("scenario")?
        .unwrap_or_else(|| "1to1:16,1to1:128".to_owned());
    let scenarios: Result<Vec<Scenario>> = scenarios.split(',').map(str::parse).collect();
    Ok(Plan {
        servers,
        only: flags.optional("only")?.map(list).unwrap_or_default(),
        scenarios: scenarios?,
        rounds: flags.optional("rounds")?.unwrap_or(5),
        load: load(flags)?,
        server_cpus: flags.optional("server-cpu")?.unwrap_or_default(),
        client_cpu: flags.optional("client-cpu")?,
        json: flags.optional("json")?,
    })
}

/// The options of a load that a single run and a comparison share.
fn load(flags: &mut Flags) -> Result<Load> {
    let mut load = Load::default();
    if let Some(seconds) = flags.optional("secs")? {
        load.stop = Stop::After(duration("secs", seconds)?);
    }
    if let Some(seconds) = flags.optional("warmup")? {
        load.warmup = duration("warmup", seconds)?;
    }
    load.window_bytes = flags.optional("window")?;
    Ok(load)
}

fn duration(name: &str, seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|e| format!("--{name} {seconds}: {e}").into())
}

/// The options as typed. Each is taken by whoever knows it; what is left at the end is unknown.
#[derive(Debug)]
struct Flags {
    values: BTreeMap<String, Vec<Option<String>>>,
}

impl Flags {
    fn read(words: impl Iterator<Item = String>) -> Result<Self> {
        let mut values: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--") else {
                return Err(format!("unexpected {word:?}; see perf help").into());
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, words.next_if(|next| !next.starts_with("--"))),
            };
            values.entry(name.to_owned()).or_default().push(value);
        }
        Ok(Self { values })
    }

    /// Every value of a flag that may be repeated.
    fn all(&mut self, name: &str) -> Result<Vec<String>> {
        let values = self.values.remove(name).unwrap_or_default();
        let missing = || format!("--{name} needs a value").into();
        values
            .into_iter()
            .map(|value| value.ok_or_else(missing))
            .collect()
    }

    fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.all(name)?.pop() else {
            return Ok(None);
        };
        let parsed = value
            .parse()
            .map_err(|_| format!("--{name}: {value:?} is not understood"))?;
        Ok(Some(parsed))
    }

    fn required<T: FromStr>(&mut self, name: &str) -> Result<T> {
        self.optional(name)?
            .ok_or_else(|| format!("--{name} is missing").into())
    }

    fn switch(&mut self, name: &str) -> Result<bool> {
        match self.values.remove(name) {
            Some(values) if values.iter().any(Option::is_some) => {
                Err(format!("--{name} takes no value").into())
            }
            found => Ok(found.is_some()),
        }
    }

    fn finish(&self) -> Result<()> {
        match self.values.keys().next() {
            Some(name) => Err(format!("unknown option --{name}; see perf help").into()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    fn scenario_of(line: &str) -> String {
        match parsed(line) {
            Ok(Command::Run(run)) => run.scenario.to_string(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn counts_come_from_the_flag_or_from_the_name() {
        assert_eq!(scenario_of("fanout --subs 10"), "fanout10:16");
        assert_eq!(scenario_of("fanout10 --size=128"), "fanout10:128");
        assert_eq!(scenario_of("fanin --pubs 8"), "fanin8:16");
        assert_eq!(scenario_of("idle --conns 1000"), "idle1000");
    }

    #[test]
    fn messages_replace_seconds() {
        let Ok(Command::Run(run)) = parsed("1to1 --msgs 1000 --json --pid 7") else {
            panic!()
        };
        assert!(matches!(run.load.stop, Stop::Messages(1000)));
        assert!(run.is_json);
        assert_eq!(run.load.server_pid, Some(7));
    }

    #[test]
    fn a_comparison_takes_lists() {
        let line =
            "compare --servers a=b --servers c.json --scenario pub:16,fanout10:16 --only x,y";
        let Ok(Command::Compare(plan)) = parsed(line) else {
            panic!()
        };
        assert_eq!(plan.servers, ["a=b", "c.json"]);
        assert_eq!(plan.only, ["x", "y"]);
        assert_eq!(plan.scenarios.len(), 2);
        assert_eq!((&*plan.server_cpus, plan.client_cpu), ("0", Some(1)));
    }

    #[test]
    fn a_crossing_names_its_server() {
        let Ok(Command::Crossing { program, plan }) = parsed("crossing --server ./x --rounds 7")
        else {
            panic!()
        };
        assert_eq!((&*program, plan.rounds), ("./x", 7));
        assert!(plan.servers.is_empty() && plan.client_cpu.is_none());
    }

    #[test]
    fn mistakes_are_named() {
        for (line, text) in [
            ("1to1 --sizes 3", "--sizes"),
            ("1to1 --size x", "\"x\""),
            ("1to1 --size", "needs a value"),
            ("1to1 16", "\"16\""),
            ("everything", "everything"),
            ("1to1 --json x", "takes no value"),
            ("1to1 --secs -1", "secs"),
            ("floor", "--port"),
            ("crossing", "--server"),
        ] {
            let error = parsed(line).expect_err(line).to_string();
            assert!(error.contains(text), "{line}: {error}");
        }
    }
}
