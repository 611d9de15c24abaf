//! The table of flags: names, kind, help and effect of each, and the usage text made of it.
//!
//! Knows no order of work; `mod.rs` decides when a flag takes effect.

use gnatsd_core::auth::Secret;

use super::error::Reason;
use super::options::{self, Advertise, Options};
use super::tls_flags::TlsFlag;

/// One option of the command line.
pub(super) struct Flag {
    /// Every name, without dashes. One dash or two are the same for each.
    pub(super) names: &'static [&'static str],
    pub(super) effect: Effect,
    /// `None` for flags that do nothing here.
    pub(super) help: Option<Help>,
}

impl Flag {
    /// Whether it says who may log in.
    pub(super) fn is_of_logins(&self) -> bool {
        matches!(
            self.help,
            Some(Help {
                section: AUTHORIZATION,
                ..
            })
        )
    }
}

/// A line of the usage text.
pub(super) struct Help {
    section: &'static str,
    form: &'static str,
    text: &'static str,
}

/// What a flag does. The first group also says what its value is.
pub(super) enum Effect {
    Bool(fn(&mut Options, bool)),
    Int(fn(&mut Options, i64) -> Result<(), Reason>),
    Text(fn(&mut Options, &str) -> Result<(), Reason>),
    /// Like `Bool`, but after all others.
    LateBool(fn(&mut Options, bool)),
    Version,
    Help,
    HelpTls,
    /// Part of TLS, which the flags of it make up together, after all others.
    Tls(TlsFlag),
    /// Read the configuration, say whether it is good, and end.
    Check,
    /// gnatsd has it, this version does not: refused, as ignoring it could open a server.
    NotYet(Kind),
    /// Belongs to a product this is not: accepted with a warning, since test suites pass it.
    Foreign(Kind),
}

/// What the value of a flag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int,
    Text,
}

impl Effect {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Effect::Bool(_) | Effect::LateBool(_) => Kind::Bool,
            Effect::Version | Effect::Help | Effect::HelpTls | Effect::Check => Kind::Bool,
            Effect::Tls(TlsFlag::On | TlsFlag::Verify) => Kind::Bool,
            Effect::Int(_) => Kind::Int,
            Effect::Text(_) | Effect::Tls(_) => Kind::Text,
            Effect::NotYet(kind) | Effect::Foreign(kind) => *kind,
        }
    }
}

/// The flag of that name. Case counts.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.names.contains(&name))
}

const SERVER: &str = "Server Options:";
const LOGGING: &str = "Logging Options:";
const AUTHORIZATION: &str = "Authorization Options:";
const TLS: &str = "TLS Options:";
const COMMON: &str = "Common Options:";

/// Sections of the usage text in order. Before the last stand two empty lines, as in 1.2.0.
const SECTIONS: [&str; 5] = [SERVER, LOGGING, AUTHORIZATION, TLS, COMMON];

const fn help(section: &'static str, form: &'static str, text: &'static str) -> Option<Help> {
    Some(Help {
        section,
        form,
        text,
    })
}

/// Every flag, in the order of the usage text.
pub(super) const FLAGS: &[Flag] = &[
    Flag {
        names: &["a", "addr", "net"],
        effect: Effect::Text(|options, text| {
            options.host = options::host(text);
            Ok(())
        }),
        help: help(
            SERVER,
            "-a, --addr, --net <host>",
            "Bind to host address (default: 0.0.0.0)",
        ),
    },
    Flag {
        names: &["p", "port"],
        effect: Effect::Int(|options, number| {
            options.port = options::client_port(number)?;
            Ok(())
        }),
        help: help(
            SERVER,
            "-p, --port <port>",
            "Use port for clients (default: 4222, -1: random)",
        ),
    },
    Flag {
        names: &["n", "name", "server_name"],
        effect: Effect::Text(|options, text| {
            options.server_name = options::server_name(text)?;
            Ok(())
        }),
        help: help(
            SERVER,
            "-n, --name, --server_name <name>",
            "Server name (default: its id)",
        ),
    },
    Flag {
        names: &["P", "pid"],
        effect: Effect::Text(|options, text| {
            options.pid_file = options::path(text);
            Ok(())
        }),
        help: help(SERVER, "-P, --pid <file>", "File to store PID"),
    },
    Flag {
        names: &["m", "http_port"],
        effect: Effect::Int(|options, number| {
            options.http_port = options::port(number)?;
            Ok(())
        }),
        help: help(
            SERVER,
            "-m, --http_port <port>",
            "Use port for http monitoring (-1: random)",
        ),
    },
    Flag {
        names: &["ms", "https_port"],
        effect: Effect::Int(|options, number| {
            options.https_port = options::port(number)?;
            Ok(())
        }),
        help: help(
            SERVER,
            "-ms, --https_port <port>",
            "Use port for https monitoring (-1: random)",
        ),
    },
    Flag {
        names: &["c", "config"],
        effect: Effect::Text(|options, text| {
            options.config_file = options::path(text);
            Ok(())
        }),
        help: help(SERVER, "-c, --config <file>", "Configuration file"),
    },
    Flag {
        names: &["t"],
        effect: Effect::Check,
        help: help(SERVER, "-t", "Test configuration and exit"),
    },
    Flag {
        names: &["client_advertise"],
        effect: Effect::Text(|options, text| {
            options.client_advertise = Advertise::parse(text)?;
            Ok(())
        }),
        help: help(
            SERVER,
            "    --client_advertise <string>",
            "Client URL to advertise to other servers",
        ),
    },
    Flag {
        names: &["cores"],
        effect: Effect::Int(|options, number| {
            options.cores = options::cores(number)?;
            Ok(())
        }),
        help: help(
            SERVER,
            "    --cores <number>",
            "Number of shards, 1 to 64 (default: all CPUs)",
        ),
    },
    Flag {
        names: &["driver"],
        effect: Effect::Text(|options, text| {
            options.driver = options::driver(text)?;
            Ok(())
        }),
        help: help(
            SERVER,
            "    --driver <name>",
            "I/O driver: auto, uring, epoll (default: auto)",
        ),
    },
    Flag {
        names: &["l", "log"],
        effect: Effect::Text(|options, text| {
            options.log_file = options::path(text);
            Ok(())
        }),
        help: help(LOGGING, "-l, --log <file>", "File to redirect log output"),
    },
    Flag {
        names: &["T", "logtime"],
        effect: Effect::Bool(|options, value| options.logtime = value),
        help: help(
            LOGGING,
            "-T, --logtime",
            "Timestamp log entries (default: true)",
        ),
    },
    Flag {
        names: &["logtime_utc"],
        effect: Effect::Bool(|options, value| options.logtime_utc = value),
        help: help(
            LOGGING,
            "    --logtime_utc",
            "Timestamps in UTC instead of local time",
        ),
    },
    Flag {
        names: &["D", "debug"],
        effect: Effect::Bool(|options, value| options.debug = value),
        help: help(LOGGING, "-D, --debug", "Enable debugging output"),
    },
    Flag {
        names: &["V", "trace"],
        effect: Effect::Bool(|options, value| options.trace = value),
        help: help(LOGGING, "-V, --trace", "Trace the raw protocol"),
    },
    Flag {
        names: &["DV"],
        effect: Effect::LateBool(|options, value| {
            options.debug = value;
            options.trace = value;
        }),
        help: help(LOGGING, "-DV", "Debug and trace"),
    },
    Flag {
        names: &["user"],
        effect: Effect::Text(|options, text| {
            options.authorization.user = text.to_owned();
            Ok(())
        }),
        help: help(
            AUTHORIZATION,
            "    --user <user>",
            "User required for connections",
        ),
    },
    Flag {
        names: &["pass"],
        effect: Effect::Text(|options, text| {
            options.authorization.password = Secret::new(text);
            Ok(())
        }),
        help: help(
            AUTHORIZATION,
            "    --pass <password>",
            "Password required for connections",
        ),
    },
    Flag {
        names: &["auth"],
        effect: Effect::Text(|options, text| {
            options.authorization.token = Secret::new(text);
            Ok(())
        }),
        help: help(
            AUTHORIZATION,
            "    --auth <token>",
            "Authorization token required for connections",
        ),
    },
    Flag {
        names: &["tls"],
        effect: Effect::Tls(TlsFlag::On),
        help: help(
            TLS,
            "    --tls",
            "Enable TLS, do not verify clients (default: false)",
        ),
    },
    Flag {
        names: &["tlscert"],
        effect: Effect::Tls(TlsFlag::Certificate),
        help: help(TLS, "    --tlscert <file>", "Server certificate file"),
    },
    Flag {
        names: &["tlskey"],
        effect: Effect::Tls(TlsFlag::Key),
        help: help(
            TLS,
            "    --tlskey <file>",
            "Private key for server certificate",
        ),
    },
    Flag {
        names: &["tlsverify"],
        effect: Effect::Tls(TlsFlag::Verify),
        help: help(
            TLS,
            "    --tlsverify",
            "Enable TLS, verify client certificates",
        ),
    },
    Flag {
        names: &["tlscacert"],
        effect: Effect::Tls(TlsFlag::Authorities),
        help: help(
            TLS,
            "    --tlscacert <file>",
            "Client certificate CA for verification",
        ),
    },
    Flag {
        names: &["h", "help"],
        effect: Effect::Help,
        help: help(COMMON, "-h, --help", "Show this message"),
    },
    Flag {
        names: &["v", "version"],
        effect: Effect::Version,
        help: help(COMMON, "-v, --version", "Show version"),
    },
    Flag {
        names: &["help_tls"],
        effect: Effect::HelpTls,
        help: help(COMMON, "    --help_tls", "TLS help"),
    },
    not_yet(&["ports_file_dir"], Kind::Text),
    not_yet(&["sl", "signal"], Kind::Text),
    not_yet(&["s", "syslog"], Kind::Bool),
    not_yet(&["r", "remote_syslog"], Kind::Text),
    not_yet(&["cluster", "cluster_listen"], Kind::Text),
    not_yet(&["cluster_name"], Kind::Text),
    not_yet(&["routes"], Kind::Text),
    not_yet(&["cluster_advertise"], Kind::Text),
    not_yet(&["no_advertise"], Kind::Bool),
    not_yet(&["connect_retries"], Kind::Int),
    not_yet(&["profile"], Kind::Int),
    not_yet(&["VV"], Kind::Bool),
    not_yet(&["DVV"], Kind::Bool),
    not_yet(&["max_traced_msg_len"], Kind::Int),
    not_yet(&["log_size_limit"], Kind::Int),
    foreign(&["js", "jetstream"], Kind::Bool),
    foreign(&["sd", "store_dir"], Kind::Text),
];

const fn not_yet(names: &'static [&'static str], kind: Kind) -> Flag {
    Flag {
        names,
        effect: Effect::NotYet(kind),
        help: None,
    }
}

const fn foreign(names: &'static [&'static str], kind: Kind) -> Flag {
    Flag {
        names,
        effect: Effect::Foreign(kind),
        help: None,
    }
}

/// The usage text: an empty line, the name, the sections, an empty line. Source: gnatsd 1.2.0.
pub fn usage() -> String {
    let mut text = "\nUsage: gnatsd [options]\n".to_owned();
    for section in SECTIONS {
        text += if section == COMMON { "\n\n" } else { "\n" };
        text += section;
        text.push('\n');
        for help in FLAGS.iter().filter_map(|flag| flag.help.as_ref()) {
            if help.section == section {
                text += &format!("    {:<32} {}\n", help.form, help.text);
            }
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
