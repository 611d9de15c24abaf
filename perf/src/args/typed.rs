//! What the user typed, word for word, and how that becomes what it means.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::{Command, Plan, Run, SHAPES, help, said_by};
use crate::Result;
use crate::demands::{ENTRIES_MAX, ENTRIES_MIN};
use crate::figure::Figure;
use crate::scenarios::{Load, Scenario, Shape, Stop};
use crate::sets::{self, Set};
use crate::target::{Login, Target};

/// Every line but those of a shape, whose name is none of these words.
#[derive(Debug, Parser)]
#[command(name = "perf", version, about, disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    command: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Start several servers in turn and compare them
    #[command(after_help = SHAPES)]
    Compare(CompareArgs),
    /// What it costs to cross from shard to shard of one server
    Crossing {
        /// Program of the server, which is run with --cores 1 and 2
        #[arg(long, value_name = "PATH")]
        server: String,
        #[command(flatten)]
        plan: CompareArgs,
    },
    /// A relay without protocol work, for comparison
    Floor {
        /// Port on 127.0.0.1
        #[arg(long)]
        port: u16,
    },
    #[command(external_subcommand)]
    Shape(Vec<String>),
}

/// Options of a load, wherever it is put.
#[derive(Args, Debug)]
struct LoadArgs {
    /// How long to publish, in seconds [default: 3; for crossing 1]
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true)]
    secs: Option<Duration>,
    /// The same load before the measured one, in seconds [default: 0.5]
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true)]
    warmup: Option<Duration>,
    /// How far publishers may run ahead of the slowest subscriber [default: 8 MiB, less with many of them]
    #[arg(long, value_name = "BYTES")]
    window: Option<usize>,
    /// Operations per second, for a shape that goes by the clock [default: the number in its name]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Number and checksum every payload, and check each one that arrives: for correctness, not for speed
    #[arg(long)]
    verify: bool,
}

/// `perf SHAPE`.
#[derive(Debug, Parser)]
#[command(
    name = "perf",
    no_binary_name = true,
    disable_version_flag = true,
    override_usage = "perf SHAPE [options]",
    help_template = "{options}"
)]
pub(super) struct ShapeArgs {
    #[arg(hide = true)]
    shape: String,
    /// Address of the server
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4222")]
    server: String,
    /// Payload; of mixed the mean of them
    #[arg(long, value_name = "BYTES", default_value_t = 16)]
    size: usize,
    /// N of fanout, hot, uniform and zipf
    #[arg(long, value_name = "N")]
    subs: Option<usize>,
    /// N of fanin
    #[arg(long, value_name = "N")]
    pubs: Option<usize>,
    /// N of pairs
    #[arg(long, value_name = "N")]
    pairs: Option<usize>,
    /// N of idle and connect
    #[arg(long, value_name = "N")]
    conns: Option<usize>,
    /// N of queue
    #[arg(long, value_name = "N")]
    members: Option<usize>,
    /// Publish so many messages in all, instead of for a time
    #[arg(long, value_name = "N", conflicts_with = "secs")]
    msgs: Option<u64>,
    #[command(flatten)]
    load: LoadArgs,
    /// Who to be; with a server that asks for TLS it begins by itself
    #[arg(long, value_name = "NAME", requires = "pass")]
    user: Option<String>,
    /// The password of that user
    #[arg(long, value_name = "TEXT", requires = "user")]
    pass: Option<String>,
    /// Subject, or its first token where there are several
    #[arg(long, value_name = "NAME", default_value = "foo")]
    subject: String,
    /// Server process on this machine: reports its processor time and memory
    #[arg(long)]
    pid: Option<u32>,
    /// Pin the generator to this CPU
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct CompareArgs {
    /// A named set: headline (10 minutes at most) or quick (2); what else is given replaces its parts
    #[arg(long, value_name = "NAME", value_parser = set, overrides_with = "set")]
    set: Option<&'static Set>,
    /// JSON list of servers, or NAME=COMMAND; may be repeated [default: perf/peers.json]
    #[arg(long, value_name = "FILE")]
    servers: Vec<String>,
    /// Take only these servers, in this order
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// What to measure, SHAPE:BYTES [default: 1to1:16,1to1:128; for crossing fanin4 of both sizes, too]
    #[arg(long, value_name = "S,S", value_delimiter = ',', value_parser = scenario)]
    scenario: Vec<Scenario>,
    /// How often each server meets each scenario [default: 5; for crossing 7]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    #[command(flatten)]
    load: LoadArgs,
    /// Start the servers with TLS (1.3, AES-128-GCM, a key on P-256), and connect with it
    #[arg(long)]
    tls: bool,
    /// Measure each server twice: with a user, and with the same user and a policy of so many entries for each side
    #[arg(long, value_name = "N", value_parser = entries)]
    policy: Option<usize>,
    /// CPUs of the server: 0, or 0,1, or 0-3
    #[arg(long, value_name = "N,N")]
    server_cpu: Option<String>,
    /// CPU of the generator [default: 1; for crossing, where the scheduler likes]
    #[arg(long, value_name = "N")]
    client_cpu: Option<usize>,
    /// Server that ratios are to [default: the first; for crossing, same shard]
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// What ratios are of: cpu, rate, p50, p99, p99.9, max, memory, idle [default: as fits the shape]
    #[arg(long, value_name = "NAME", value_parser = figure)]
    figure: Option<Figure>,
    /// A window in which others use more of a CPU, in percent, is discarded and measured again
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = percent)]
    foreign_max: f64,
    /// How often one window is measured again at most
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeats: usize,
    /// Write every sample and what the machine was
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the ratios, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Write everything about this run to a folder DATE-TOPIC
    #[arg(long, value_name = "TOPIC", value_parser = topic, overrides_with = "record")]
    record: Option<String>,
    /// Where such folders are
    #[arg(long, value_name = "DIR", default_value = "perf/runs")]
    runs: PathBuf,
}

impl Cli {
    /// What it means.
    ///
    /// # Errors
    /// A shape that does not exist, or options that do not go with it.
    pub(super) fn resolve(self) -> Result<Command> {
        self.command.resolve()
    }
}

impl Word {
    fn resolve(self) -> Result<Command> {
        Ok(match self {
            Word::Compare(args) => Command::Compare(Box::new(args.comparison())),
            Word::Crossing { plan, .. } if plan.policy.is_some() => {
                return Err("--policy does not go with crossing".into());
            }
            Word::Crossing { server, plan } => Command::Crossing {
                program: server,
                plan: Box::new(plan.plan(&sets::CROSSING)),
            },
            Word::Floor { port } => Command::Floor { port },
            Word::Shape(words) => {
                if words.iter().any(|word| word == "--help" || word == "-h") {
                    return Ok(Command::Help(help()));
                }
                match ShapeArgs::try_parse_from(words) {
                    Ok(args) => Command::Run(Box::new(args.resolve()?)),
                    Err(e) => return said_by(&e),
                }
            }
        })
    }
}

impl ShapeArgs {
    fn resolve(self) -> Result<Run> {
        let shape = self.shape()?;
        let mut load = self.load.resolve();
        let login = self.user.zip(self.pass);
        load.server = Target {
            login: login.map(|(user, password)| Login { user, password }),
            ..self.server.into()
        };
        load.subject = self.subject;
        load.server_pid = self.pid;
        if let Some(messages) = self.msgs {
            load.stop = Stop::Messages(messages);
        }
        Ok(Run {
            scenario: Scenario {
                shape,
                payload_bytes: self.size,
            },
            load,
            cpu: self.cpu,
            is_json: self.json,
        })
    }

    /// The shape as typed, with its number from the option that goes with it.
    fn shape(&self) -> Result<Shape> {
        let options: [(&str, Option<usize>, &[&str]); 5] = [
            ("subs", self.subs, &["fanout", "hot", "uniform", "zipf"]),
            ("pubs", self.pubs, &["fanin"]),
            ("pairs", self.pairs, &["pairs"]),
            ("conns", self.conns, &["idle", "connect"]),
            ("members", self.members, &["queue"]),
        ];
        let mut name = self.shape.clone();
        for (option, count, shapes) in options {
            let Some(count) = count else { continue };
            if !shapes.contains(&self.shape.as_str()) {
                return Err(format!("--{option} does not go with {}", self.shape).into());
            }
            name = format!("{}{count}", self.shape);
        }
        name.parse()
    }
}

impl LoadArgs {
    fn resolve(&self) -> Load {
        let default = Load::default();
        Load {
            stop: self.secs.map_or(default.stop, Stop::After),
            warmup: self.warmup.unwrap_or(default.warmup),
            window_bytes: self.window,
            rate: self.rate,
            is_verified: self.verify,
            ..default
        }
    }
}

impl CompareArgs {
    /// A plan with the list of the repository and a CPU for each side where nothing else is said.
    fn comparison(self) -> Plan {
        let mut plan = self.plan(&sets::NONE);
        if plan.servers.is_empty() {
            plan.servers.push("perf/peers.json".to_owned());
        }
        if plan.server_cpus.is_empty() {
            "0".clone_into(&mut plan.server_cpus);
        }
        plan.client_cpu = plan.client_cpu.or(Some(1));
        plan
    }

    /// What was typed and what the set says, or `unnamed` without one; with no servers and no CPUs where
    /// nothing was said of them.
    fn plan(self, unnamed: &'static Set) -> Plan {
        let set = self.set.unwrap_or(unnamed);
        let mut load = self.load.resolve();
        if self.load.secs.is_none() {
            load.stop = Stop::After(set.stretch);
        }
        if self.load.warmup.is_none() {
            load.warmup = set.warmup;
        }
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let is_lenient = self.only.is_empty();
        Plan {
            servers: self.servers,
            only: if is_lenient {
                names(set.peers)
            } else {
                self.only
            },
            is_lenient,
            scenarios: if self.scenario.is_empty() {
                set.scenarios()
            } else {
                self.scenario
            },
            rounds: self.rounds.map_or(set.rounds, usize::from),
            load,
            is_secure: self.tls,
            policy: self.policy,
            server_cpus: self.server_cpu.unwrap_or_default(),
            client_cpu: self.client_cpu,
            reference: self.reference,
            references: set.references,
            figure: self.figure,
            foreign_max: self.foreign_max / 100.0,
            repeats_max: self.repeats,
            time_max: set.time_max,
            json: self.json,
            plot: self.plot,
            record: self.record,
            runs: self.runs,
        }
    }
}

fn seconds(text: &str) -> std::result::Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is wanted")?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

fn rate(text: &str) -> std::result::Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "a number is wanted")?;
    if rate.is_finite() && rate > 0.0 {
        Ok(rate)
    } else {
        Err("it must be above 0".to_owned())
    }
}

fn entries(text: &str) -> std::result::Result<usize, String> {
    let count = text.parse().map_err(|_| "a number is wanted")?;
    match (ENTRIES_MIN..=ENTRIES_MAX).contains(&count) {
        true => Ok(count),
        false => Err(format!("it must be {ENTRIES_MIN} to {ENTRIES_MAX}")),
    }
}

fn percent(text: &str) -> std::result::Result<f64, String> {
    let percent: f64 = text.parse().map_err(|_| "a number is wanted")?;
    if percent >= 0.0 {
        Ok(percent)
    } else {
        Err("it must not be below 0".to_owned())
    }
}

fn scenario(text: &str) -> std::result::Result<Scenario, String> {
    text.parse()
        .map_err(|e: Box<dyn std::error::Error>| e.to_string())
}

fn figure(text: &str) -> std::result::Result<Figure, String> {
    Figure::named(text).ok_or_else(|| "no such figure".to_owned())
}

fn set(text: &str) -> std::result::Result<&'static Set, String> {
    sets::named(text).ok_or_else(|| "there are headline and quick".to_owned())
}

/// A topic becomes the name of a folder.
fn topic(text: &str) -> std::result::Result<String, String> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !text.is_empty() && !text.starts_with('.') && text.chars().all(is_fit) {
        Ok(text.to_owned())
    } else {
        Err("letters, digits, '-', '_' and '.' only".to_owned())
    }
}
