//! What the command line prints and how it ends.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::run;

/// Arguments that cannot be, and the line that says so.
const WRONG: [(&[&str], &str); 10] = [
    (&["-bogus"], "flag provided but not defined: -bogus"),
    (&["--bogus"], "flag provided but not defined: -bogus"),
    (&["-p4222"], "flag provided but not defined: -p4222"),
    (&["-p"], "flag needs an argument: -p"),
    (
        &["-p", "abc"],
        "invalid value \"abc\" for flag -p: parse error",
    ),
    (
        &["-D=maybe"],
        "invalid boolean value \"maybe\" for -D: parse error",
    ),
    (&["---p"], "bad flag syntax: ---p"),
    (&["foo"], "unrecognized command: \"foo\""),
    (&["-D", "false"], "unrecognized command: \"false\""),
    (&["-v", "-bogus"], "flag provided but not defined: -bogus"),
];

/// Files with mistakes, and the lines that name them, without the path in front.
const WRONG_FILES: [(&str, &[&str]); 6] = [
    (
        "port: 4222\nmax_payload: \"abc\"\n",
        &[":2:14: interface conversion: interface {} is string, not int64"],
    ),
    (
        "max_payload: \"abc\"\n\ndebug: 7\nwrite_deadline: \"2 parsecs\"\n",
        &[
            ":1:14: interface conversion: interface {} is string, not int64",
            ":3:8: interface conversion: interface {} is int64, not bool",
            ":4:17: error parsing write_deadline: ",
        ],
    ),
    (
        "port: 4222\nx = [1,\n",
        &[":3:1: Unexpected EOF processing array."],
    ),
    ("listen: abc\n", &[":1:9: "]),
    ("port: 99999\n", &[":1:7: "]),
    ("debug: true\n  = 5\n", &[":2:3: "]),
];

#[test]
fn wrong_flags_are_told_with_usage_and_exit_1() {
    for (args, message) in WRONG {
        let output = run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        let rest = stderr
            .strip_prefix(message)
            .and_then(|rest| rest.strip_prefix('\n'));
        assert!(
            rest.is_some_and(|rest| rest.contains("Usage: gnatsd [options]")),
            "{args:?}: {stderr}"
        );
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn wrong_files_are_told_with_their_place_and_exit_1() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.conf");
    for (text, messages) in WRONG_FILES {
        fs::write(&path, text).unwrap();
        let output = run(&["-c", path.to_str().unwrap()]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text:?}: {stderr}");
        let lines: Vec<&str> = stderr.lines().collect();
        assert_eq!(lines.len(), messages.len(), "{text:?}: {stderr}");
        for (line, message) in lines.iter().zip(messages) {
            let expected = format!("{}{message}", path.display());
            assert!(line.starts_with(&expected), "{text:?}: {line}");
        }
        assert!(output.stdout.is_empty(), "{text:?}");
    }
}

#[test]
fn missing_file_is_told_and_exit_1() {
    let output = run(&["-c", "/nonexistent/server.conf"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let expected =
        "error opening config file: open /nonexistent/server.conf: no such file or directory\n";
    assert_eq!((output.status.code(), &*stderr), (Some(1), expected));
}

#[test]
fn mistakes_of_an_included_file_have_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.conf");
    fs::write(&path, "include 'part.conf'\n").unwrap();
    fs::write(
        directory.path().join("part.conf"),
        "debug: true\nmax_connections: []\n",
    )
    .unwrap();
    let output = run(&["-c", path.to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let expected = format!("{}:2:18: ", directory.path().join("part.conf").display());
    assert!(stderr.starts_with(&expected), "{stderr}");
}

#[test]
fn version_goes_to_standard_output() {
    let expected = format!("gnatsd: v{}\n", env!("CARGO_PKG_VERSION"));
    for args in [
        &["-v"][..],
        &["--version"],
        &["version"],
        &["-h", "-v"],
        &["-p", "-1", "VERSION"],
    ] {
        let output = run(args);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            (output.status.code(), &*stdout),
            (Some(0), expected.as_str()),
            "{args:?}"
        );
        assert!(output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn version_has_the_name_the_program_was_called_by() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("nats-server");
    symlink(env!("CARGO_BIN_EXE_gnatsd"), &link).unwrap();
    let output = Command::new(&link).arg("-v").output().unwrap();
    let expected = format!("nats-server: v{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn help_goes_to_standard_output() {
    for args in [&["-h"][..], &["--help"], &["help"], &["-p", "-1", "-h"]] {
        let output = run(args);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(
            stdout.starts_with("\nUsage: gnatsd [options]\n"),
            "{args:?}: {stdout}"
        );
        for flag in [
            "-a, --addr",
            "-p, --port",
            "-c, --config",
            "-DV",
            "-v, --version",
        ] {
            assert!(stdout.contains(flag), "{flag} in {stdout}");
        }
        assert!(output.stderr.is_empty(), "{args:?}");
    }
}
