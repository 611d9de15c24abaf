//! Whole command lines: order of work, precedence, and what is printed where.

use std::fs;

use gnatsd_shards::DriverChoice;
use tempfile::TempDir;

use super::*;

mod security;

fn run(line: &[&str]) -> Outcome {
    let program = ["/usr/bin/gnatsd"];
    load(program.iter().chain(line).map(OsString::from), |_| None)
}

fn options(line: &[&str]) -> Options {
    match run(line) {
        Outcome::Run { options, .. } => *options,
        other => panic!("{line:?}: {other:?}"),
    }
}

fn failure(line: &[&str]) -> String {
    match run(line) {
        Outcome::Fail { stderr } => stderr,
        other => panic!("{line:?}: {other:?}"),
    }
}

fn stdout(line: &[&str]) -> String {
    match run(line) {
        Outcome::Print { stdout, stderr } if stderr.is_empty() => stdout,
        other => panic!("{line:?}: {other:?}"),
    }
}

/// A folder with one file, and the file's path.
fn conf(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.conf");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn version_and_help_come_first() {
    let version = format!("gnatsd: v{VERSION}\n");
    for line in [
        &["-v"][..],
        &["--v"],
        &["-version"],
        &["--version"],
        &["version"],
        &["VERSION", "x"],
        &["-h", "-v"],
        &["-v", "--tls"],
        &["-v", "--help_tls"],
        &["-v", "-c", "/nowhere"],
        &["-v", "bogus"],
    ] {
        assert_eq!(stdout(line), version, "{line:?}");
    }
    for line in [
        &["-h"][..],
        &["--help"],
        &["-help"],
        &["help"],
        &["-v=false", "-h", "x"],
    ] {
        assert_eq!(stdout(line), usage(), "{line:?}");
    }
    let renamed = load(["./nats-server", "-v"].iter().map(OsString::from), |_| None);
    assert_eq!(renamed, print(format!("nats-server: v{VERSION}\n")));
}

#[test]
fn a_command_line_that_cannot_be_shows_the_usage() {
    for (line, message) in [
        (
            &["-v", "-bogus"][..],
            "flag provided but not defined: -bogus",
        ),
        (&["-p"], "flag needs an argument: -p"),
        (
            &["-p", "abc"],
            "invalid value \"abc\" for flag -p: parse error",
        ),
        (
            &["--port", "70000"],
            "invalid value \"70000\" for flag -port: port 70000 is not in -1..65535",
        ),
        (&["-D", "false"], "unrecognized command: \"false\""),
        (&["start"], "unrecognized command: \"start\""),
        (
            &["--cores", "0"],
            "invalid value \"0\" for flag -cores: cores 0 is not in 1..64",
        ),
        (
            &["--driver", "x"],
            "invalid value \"x\" for flag -driver: driver \"x\" is none of auto, uring, epoll",
        ),
        (
            &["-n", "a b"],
            "invalid value \"a b\" for flag -n: server name cannot contain spaces",
        ),
    ] {
        assert_eq!(failure(line), format!("{message}\n{}", usage()), "{line:?}");
    }
}

#[test]
fn flags_not_there_yet_are_refused() {
    for (line, flag) in [
        (&["-sl", "reload"][..], "-sl"),
        (&["-s=1", "-r", "b"], "-s"),
        (&["-D", "--routes", "nats://h:1"], "--routes"),
    ] {
        assert_eq!(
            failure(line),
            format!("gnatsd: flag not supported yet: {flag}\n")
        );
    }
    // These ask for nothing.
    assert_eq!(
        options(&["-sl", "", "-tls=false", "-ms", "0"]),
        Options::default()
    );
}

#[test]
fn flags_of_other_products_are_warned_about() {
    let Outcome::Run {
        options, warnings, ..
    } = run(&["-js", "--store_dir", "x"])
    else {
        panic!()
    };
    assert_eq!(*options, Options::default());
    assert_eq!(
        warnings,
        [
            "flag -js is not supported, it is ignored",
            "flag --store_dir is not supported, it is ignored"
        ]
    );
}

#[test]
fn flags_set_options() {
    assert_eq!(options(&[]), Options::default());
    let set = options(&[
        "-a",
        "h",
        "--port",
        "-1",
        "-m",
        "8222",
        "-P",
        "p.pid",
        "--log=x.log",
        "-T=false",
        "-n",
        "me",
        "--driver",
        "uring",
        "--cores",
        "64",
        "--client_advertise",
        "x:1",
        "--logtime_utc",
    ]);
    let expected = Options {
        host: "h".to_owned(),
        port: PORT_RANDOM,
        http_host: "h".to_owned(),
        http_port: 8222,
        pid_file: Some("p.pid".into()),
        log_file: Some("x.log".into()),
        logtime: false,
        logtime_utc: true,
        server_name: Some("me".to_owned()),
        driver: DriverChoice::Uring,
        cores: Some(64),
        client_advertise: Some(Advertise {
            host: "x".to_owned(),
            port: Some(1),
        }),
        ..Options::default()
    };
    assert_eq!(set, expected);
    assert_eq!(
        options(&["-p", "5", "--port", "6"]).port,
        6,
        "the last one wins"
    );
    let both = |line: &[&str]| (options(line).debug, options(line).trace);
    assert_eq!(both(&["-DV"]), (true, true));
    assert_eq!(
        both(&["-DV=false", "-D"]),
        (false, false),
        "-DV comes after all others"
    );
    assert_eq!(both(&["-D"]), (true, false));
    assert_eq!(both(&["-V"]), (false, true));
}

#[test]
fn flags_beat_the_file() {
    let (_folder, path) =
        conf("net: 127.0.0.2\nport: 1\nhttp_port: 2\ndebug: true\nlogtime: false\nlog_file: x\n");
    let from_file = options(&["-c", &path]);
    assert_eq!(
        (&*from_file.host, from_file.port, from_file.http_port),
        ("127.0.0.2", 1, 2)
    );
    assert_eq!(
        (
            from_file.http_host.as_str(),
            from_file.debug,
            from_file.logtime
        ),
        ("127.0.0.2", true, false)
    );
    assert_eq!(from_file.config_file.as_deref(), Some(Path::new(&path)));
    let line = [
        "-p",
        "0",
        "-D=false",
        "-T",
        "-a",
        "127.0.0.1",
        "-m",
        "0",
        "-c",
        &path,
        "-l",
        "",
    ];
    let by_flag = options(&line);
    assert_eq!(
        (&*by_flag.host, by_flag.port, by_flag.http_port),
        ("127.0.0.1", PORT_DEFAULT, 0)
    );
    assert_eq!(
        (by_flag.http_host.as_str(), by_flag.debug, by_flag.logtime),
        ("127.0.0.1", false, true)
    );
    assert_eq!(by_flag.log_file, None);
    let (_folder, path) = conf("http: 127.0.0.3:8222\n");
    assert_eq!(
        options(&["-c", &path, "-a", "h", "-m", "-1"]).http_host,
        "127.0.0.3"
    );
    assert_eq!(options(&["-c", ""]), Options::default());
}

#[test]
fn mistakes_in_the_file_are_all_listed_without_usage() {
    let (_folder, path) = conf("port: x\nbogus: 1\ntls: 1\n");
    let expected = format!(
        "{path}:1:7: interface conversion: interface {{}} is string, not int64\n\
         {path}:3:6: interface conversion: interface {{}} is int64, not map[string]interface {{}}\n"
    );
    assert_eq!(failure(&["-c", &path]), expected);
    let (_folder, path) = conf("include 'gone.conf'");
    let failure = failure(&["-c", &path]);
    let start = format!(
        "{path}:1:1: Error parsing include file 'gone.conf', error opening config file: open "
    );
    assert!(failure.starts_with(&start), "{failure}");
    assert!(
        failure.ends_with("/gone.conf: no such file or directory.\n"),
        "{failure}"
    );
}

#[test]
fn a_missing_file_is_named_as_in_1_2_0() {
    let text = "error opening config file: open /nowhere/x.conf: no such file or directory\n";
    assert_eq!(failure(&["-c", "/nowhere/x.conf"]), text);
}

#[test]
fn the_file_can_be_checked_alone() {
    let (_folder, path) = conf("bogus: 1\nwrite_deadline: 2\n");
    let expected = Outcome::Print {
        stdout: "WARNING: write_deadline should be converted to a duration\n".to_owned(),
        stderr: format!(
            "gnatsd: {path}:1:1: unknown field \"bogus\"\n\
             gnatsd: configuration file {path} is valid\n"
        ),
    };
    assert_eq!(run(&["-t", "-c", &path]), expected);
    let text = "gnatsd: must specify [-c, --config] option to check configuration file syntax\n";
    assert_eq!(failure(&["-t"]), text);
    let Outcome::Run {
        warnings,
        stdout_notes,
        ..
    } = run(&["-t=false", "-c", &path])
    else {
        panic!()
    };
    assert_eq!((warnings.len(), stdout_notes.len()), (1, 1));
}

#[cfg(unix)]
#[test]
fn arguments_are_text() {
    use std::os::unix::ffi::OsStringExt;
    let line = ["gnatsd".into(), OsString::from_vec(b"-a\xff".to_vec())];
    let Outcome::Fail { stderr } = load(line.into_iter(), |_| None) else {
        panic!()
    };
    assert!(
        stderr.starts_with("argument \"-a\\xFF\" is not UTF-8\n"),
        "{stderr}"
    );
}
