//! Configuration file to options: reads the file and its includes and applies every key.
//!
//! All problems of a readable file are reported at once, each with its place. The language
//! itself is `gnatsd_core::conf`; what each key means is `keys.rs`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use gnatsd_core::conf::{self, INPUT_BYTES_MAX, Map, Sources};

use super::authorization;
use super::block::{self, Unknown};
use super::error::{ConfigError, Reason};
use super::findings::Findings;
use super::keys::{Draft, KEYS};

/// What a file says.
pub(super) struct FileOptions {
    pub(super) draft: Draft,
    /// For the log, once there is one.
    pub(super) warnings: Vec<String>,
}

/// Reads a file and what it includes; `variable` looks into the environment.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub(super) fn read(
    path: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<FileOptions, Vec<ConfigError>> {
    let map = conf::parse_file(path, &mut Machine { variable })
        .map_err(|error| vec![ConfigError::from(error)])?;
    apply(&map)
}

/// Applies every key, then looks at what can be judged only together.
pub(super) fn apply(map: &Map) -> Result<FileOptions, Vec<ConfigError>> {
    let mut draft = Draft {
        logins: authorization::place(map),
        ..Draft::default()
    };
    let mut findings = Findings::default();
    block::apply(KEYS, Unknown::Warn, map, &mut draft, &mut findings);
    findings
        .errors
        .extend(authorization::check_passwords(&draft));
    // With a value missing, a default could be compared that nobody asked for.
    if findings.errors.is_empty() {
        findings.errors.extend(check_sizes(map, &draft));
        findings
            .errors
            .extend(authorization::check_anonymous(&draft));
    }
    if findings.errors.is_empty() {
        Ok(FileOptions {
            draft,
            warnings: findings.warnings,
        })
    } else {
        Err(findings.errors)
    }
}

/// A payload must fit into what may wait for a client, or its first delivery ends the client.
fn check_sizes(map: &Map, draft: &Draft) -> Option<ConfigError> {
    let payload = draft.options.limits.payload_bytes_max;
    let pending = draft.options.limits.pending_bytes_max;
    if usize::try_from(payload).is_ok_and(|payload| payload > pending) {
        let place = map
            .value("max_payload")
            .or_else(|| map.value("max_pending"));
        let position = place.map(|value| value.position.clone());
        return Some(ConfigError {
            position,
            reason: Reason::PayloadOverPending { payload, pending },
        });
    }
    None
}

/// The files and the environment of this machine.
struct Machine<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Sources for Machine<'_> {
    fn read_file(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let shown = path.display();
        let file = File::open(path).map_err(|error| format!("open {shown}: {}", words(&error)))?;
        let mut text = Vec::new();
        // One byte more than allowed is enough for the parser to refuse it.
        let limit = u64::try_from(INPUT_BYTES_MAX)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        file.take(limit)
            .read_to_end(&mut text)
            .map_err(|error| format!("read {shown}: {}", words(&error)))?;
        Ok(text)
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name)
    }
}

/// The system's words for an error as Go prints them: in lower case and without a number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::block::{Effect, Key};
    use super::super::options::{Advertise, Options};
    use super::super::test_support::{errors, read_options, read_text, warnings};
    use super::super::{authorization, permissions, tls};
    use super::*;
    use gnatsd_shards::DriverChoice;

    fn check(text: &str, expected: impl Fn(&mut Options)) {
        let mut options = Options::default();
        expected(&mut options);
        assert_eq!(read_options(text), options, "{text:?}");
    }

    #[test]
    fn addresses() {
        check("listen: 4333", |o| o.port = 4333);
        check("listen: 127.0.0.1:4333", |o| {
            (o.host, o.port) = ("127.0.0.1".to_owned(), 4333)
        });
        check("listen: \"[::1]:-1\"", |o| {
            (o.host, o.port) = ("::1".to_owned(), -1)
        });
        check("net: h; port: 0", |o| o.host = "h".to_owned());
        check("HOST: h; listen: 5", |o| {
            (o.host, o.port) = ("h".to_owned(), 5)
        });
        check("listen: 5; port: 6", |o| o.port = 6);
        check("port: 6; listen: 5", |o| o.port = 5);
        check("Port: 6; port: 5", |o| o.port = 5);
        check("http: 8222; monitor_port: 8223", |o| o.http_port = 8223);
        check("client_advertise: h:7", |o| {
            o.client_advertise = Some(Advertise {
                host: "h".to_owned(),
                port: Some(7),
            });
        });
        let read = read_text("http: \"h:8222\"\nhttp_port: 8223").ok().unwrap();
        assert_eq!(read.draft.http_host.as_deref(), Some("h"));
        assert_eq!(read.draft.options.http_port, 8223);
    }

    #[test]
    fn limits() {
        check(
            "max_payload: 2k\nmax_control_line: 4kb\nmax_pending: 5MB\nmax_conn: 3K",
            |o| {
                o.limits.payload_bytes_max = 2000;
                o.limits.control_line_bytes_max = 4096;
                o.limits.pending_bytes_max = 5 << 20;
                o.max_connections = 3000;
            },
        );
        check("max_payload: -1; max_connections: -1; max_subs: 45", |o| {
            o.limits.payload_bytes_max = -1;
            o.max_connections = -1;
            o.limits.subscriptions_max = 45;
        });
        check(
            "max_payload: 0; max_pending: 0; max_connections: 0; max_control_line: 0",
            |_| {},
        );
        check(
            "ping_interval: 0; ping_max: 0; write_deadline: 0s; max_subs: -1",
            |_| {},
        );
        check("ping_interval: 7; ping_max: 3", |o| {
            o.limits.ping_interval = Duration::from_secs(7);
            o.limits.ping_max = 3;
        });
        check("ping_interval: 1.5m", |o| {
            o.limits.ping_interval = Duration::from_secs(90)
        });
        check("write_deadline: \"1m30s\"", |o| {
            o.limits.write_deadline = Duration::from_secs(90)
        });
        check("write_deadline: 500ms", |o| {
            o.limits.write_deadline = Duration::from_millis(500)
        });
        check("no_fast_producer_stall: true", |o| {
            o.limits.slow_fast_publishers = false
        });
        check("LIMIT: 9\nmax_payload: $LIMIT", |o| {
            o.limits.payload_bytes_max = 9
        });
        check("max_payload: $FROM_ENV", |o| {
            o.limits.payload_bytes_max = 1010
        });
    }

    #[test]
    fn the_rest() {
        check(
            "debug: on; trace: yes; logtime: off; logtime_utc: TRUE",
            |o| {
                (o.debug, o.trace, o.logtime, o.logtime_utc) = (true, true, false, true);
            },
        );
        check("pidfile: a; logfile: b; server_name: c", |o| {
            (o.pid_file, o.log_file) = (Some("a".into()), Some("b".into()));
            o.server_name = Some("c".to_owned());
        });
        check("cores: 3; driver: epoll", |o| {
            (o.cores, o.driver) = (Some(3), DriverChoice::Epoll)
        });
    }

    #[test]
    fn a_number_for_write_deadline_is_noted() {
        let read = read_text("write_deadline: 3").ok().unwrap();
        assert_eq!(
            read.draft.options.limits.write_deadline,
            Duration::from_secs(3)
        );
        let note = "WARNING: write_deadline should be converted to a duration";
        assert_eq!(read.draft.stdout_notes, [note]);
    }

    #[test]
    fn all_problems_at_once() {
        let text = "port: x\n debug: 1\nmax_payload: \"many\"\naccounts { A: {} }\nlisten: a:b\n\
                    WS { }\nwrite_deadline: soon\nping_interval: -1\nwrite_deadline: \"-2s\"\nhost: [1]\ncores: 65\nnet: 2016-05-04T18:53:41Z";
        assert_eq!(
            errors(text),
            [
                "t.conf:1:7: interface conversion: interface {} is string, not int64",
                "t.conf:2:9: interface conversion: interface {} is int64, not bool",
                "t.conf:3:14: interface conversion: interface {} is string, not int64",
                "t.conf:4:1: \"accounts\" is not supported yet",
                "t.conf:5:9: Could not parse port \"b\"",
                "t.conf:6:1: \"WS\" is not supported yet",
                "t.conf:8:16: -1 is negative",
                "t.conf:9:17: error parsing write_deadline: duration \"-2s\" is negative",
                "t.conf:10:7: interface conversion: interface {} is []interface {}, not string",
                "t.conf:11:8: cores 65 is not in 1..64",
                "t.conf:12:6: interface conversion: interface {} is time.Time, not string",
            ]
        );
        for (text, error) in [
            (
                "listen: abc",
                "t.conf:1:9: Could not parse address string \"abc\"",
            ),
            ("port: 70000", "t.conf:1:7: port 70000 is not in -1..65535"),
            (
                "write_deadline: 5.0",
                "t.conf:1:17: interface conversion: interface {} is float64, not string",
            ),
            (
                "write_deadline: soon",
                "t.conf:1:17: error parsing write_deadline: time: invalid duration \"soon\"",
            ),
            (
                "max_pending: 1000",
                "t.conf:1:14: max_payload (1048576) cannot be higher than max_pending (1000)",
            ),
            (
                "max_payload: 2\nmax_pending: 1",
                "t.conf:1:14: max_payload (2) cannot be higher than max_pending (1)",
            ),
            ("max_control_line: -1", "t.conf:1:19: -1 is negative"),
            ("ping_max: 5g", "t.conf:1:11: 5000000000 is too large"),
            (
                "server_name: \"a b\"",
                "t.conf:1:14: server name cannot contain spaces",
            ),
            ("a = [", "t.conf:1:6: Unexpected EOF processing array."),
        ] {
            assert_eq!(errors(text), [error], "{text:?}");
        }
    }

    #[test]
    fn what_could_open_a_server_is_never_ignored() {
        for key in KEYS
            .iter()
            .filter(|key| matches!(key.effect, Effect::NotYet))
        {
            for name in key.names {
                let expected = format!("t.conf:1:1: {name:?} is not supported yet");
                assert_eq!(errors(&format!("{name} {{ a: 1 }}")), [expected]);
            }
        }
        check("syslog: false; prof_port: 0; ports_file_dir: ''", |_| {});
    }

    #[test]
    fn what_is_ignored_is_named() {
        let text = "jetstream { store_dir: x }\nbogus: 1\nV = 1\nport = $V\nSERVER_TAGS: [a]";
        assert_eq!(
            warnings(text),
            [
                "t.conf:1:1: \"jetstream\" is not supported, it is ignored",
                "t.conf:2:1: unknown field \"bogus\"",
                "t.conf:5:1: \"SERVER_TAGS\" is not supported, it is ignored",
            ]
        );
    }

    /// Names of the keys that do something.
    fn names<T>(keys: &[Key<T>]) -> Vec<&'static str> {
        let works = |key: &&Key<T>| matches!(key.effect, Effect::Set(_) | Effect::Read(_));
        let names = keys.iter().filter(works).flat_map(|key| key.names);
        names.copied().collect()
    }

    #[test]
    fn the_full_example_has_every_key_and_loads_without_a_word() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/full.conf");
        let read = read(&path, &|_| None).unwrap_or_else(|errors| panic!("{}", errors[0]));
        assert_eq!(read.warnings, [""; 0]);
        assert_eq!(read.draft.stdout_notes, [""; 0]);
        let text = std::fs::read_to_string(&path).unwrap();
        for name in names(KEYS) {
            let is_there = |line: &str| {
                line.trim_start_matches(['#', ' '])
                    .starts_with(&format!("{name}:"))
            };
            assert!(text.lines().any(is_there), "{name}");
        }
        let inner = [
            names(authorization::KEYS),
            names(authorization::USER_KEYS),
            names(permissions::KEYS),
            names(permissions::SIDE_KEYS),
            names(permissions::RESPONSE_KEYS),
            names(tls::KEYS),
        ];
        for name in inner.concat() {
            let is_word = |word: &str| word == name;
            assert!(
                text.split(|c: char| c != '_' && !c.is_alphanumeric())
                    .any(is_word),
                "{name}"
            );
        }
        // What is commented out must be right too: behind a mark and no blank, or more than one.
        let shown: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') || rest.starts_with("  ") => {
                    format!("{rest}\n")
                }
                _ => format!("{line}\n"),
            })
            .collect();
        assert_eq!(errors(&shown), [""; 0]);
        assert_eq!(warnings(&shown), [""; 0]);
    }

    #[test]
    fn every_example_loads_without_a_word() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        let mut count = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "conf") {
                let read = read(&path, &|_| None).unwrap_or_else(|errors| panic!("{}", errors[0]));
                assert_eq!(read.warnings, [""; 0]);
                let mut warnings = authorization::warnings(&read.draft, &[]);
                // Some have passwords in clear text, to be tried at once; their comments tell.
                warnings.retain(|warning| !warning.starts_with("Plaintext"));
                assert_eq!(warnings, [""; 0]);
                count += 1;
            }
        }
        assert!(count >= 8, "{count}");
    }

    #[test]
    fn files_that_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nowhere.conf");
        let shown = missing.display();
        let error = |path: &Path| read(path, &|_| None).err().unwrap()[0].to_string();
        let expected =
            format!("error opening config file: open {shown}: no such file or directory");
        assert_eq!(error(&missing), expected);
        let shown = folder.path().display();
        let expected = format!("error opening config file: read {shown}: is a directory");
        assert_eq!(error(folder.path()), expected);
    }
}
