//! Rules of this repository that no compiler holds, checked over the source itself.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Where there is code. Everything below is looked at.
const ROOTS: [&str; 4] = ["src", "shards", "perf", "tests"];

/// Folders below them that are not ours to read: what was built.
const SKIPPED: [&str; 2] = ["target", "corpus"];

/// What the core must not name, and what to do instead.
const BANNED_IN_CORE: [(&str, &str); 10] = [
    ("TcpStream", "sockets belong to `server`; ask the `Edge`"),
    ("TcpListener", "sockets belong to `server`; ask the `Edge`"),
    ("UdpSocket", "sockets belong to `server`; ask the `Edge`"),
    ("ToSocketAddrs", "names are looked up by `server`"),
    (
        "std::thread",
        "a shard is one thread, and it is not the core's",
    ),
    ("Instant", "take `now` as an argument"),
    ("SystemTime", "take `now` as an argument"),
    ("std::fs", "files are read by whoever calls"),
    ("std::env", "options are given"),
    ("std::process", "the core ends nothing and starts nothing"),
];

/// What the core may take from `std::net`: values, not sockets.
const NET_IN_CORE: [&str; 4] = ["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr"];

/// Crates that must not be in the core's tree: runtimes, sockets, threads, TLS.
const FOREIGN_TO_CORE: [&str; 12] = [
    "async-io",
    "crossbeam",
    "crossbeam-channel",
    "glommio",
    "glommio-ng",
    "mio",
    "polling",
    "rustix",
    "rustls",
    "signal-hook",
    "socket2",
    "tokio",
];

/// Longest file, in lines: one that is longer asks for its seam.
const FILE_LINES_MAX: usize = 1000;

/// A source file: its place below the root of the repository, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Whether it is part of what is shipped from `folder`: no test, example, fuzz target.
    fn is_shipped_from(&self, folder: &str) -> bool {
        let is_apart = ["/tests/", "/examples/", "/fuzz/", "/benches/"]
            .iter()
            .any(|part| self.path.contains(part));
        self.path.starts_with(folder) && !is_apart && !self.path.ends_with("/tests.rs")
    }

    /// Lines of code with their numbers from 1: no comments, and nothing from the file's own tests on,
    /// which stand at its end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().take(self.tests_at());
        lines
            .enumerate()
            .map(|(at, line)| (at + 1, without_comment(line)))
    }

    /// Lines in front of the file's own tests.
    fn tests_at(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let begins = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{');
        lines.windows(2).position(begins).unwrap_or(lines.len())
    }
}

fn without_comment(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file below [`ROOTS`].
fn sources() -> Vec<Source> {
    let mut folders: Vec<PathBuf> = ROOTS.iter().map(|name| root().join(name)).collect();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for path in entries.map(|entry| entry.expect("an entry of a folder").path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !SKIPPED.contains(&&*name) {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("source in UTF-8");
                let path = path.strip_prefix(root()).expect("below the root");
                let path = path.to_string_lossy().into_owned();
                sources.push(Source { path, text });
            }
        }
    }
    // A wrong root would make every rule here hold.
    assert!(sources.len() > 100, "{} files", sources.len());
    sources
}

#[track_caller]
fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

/// Whether `text` has `word` with no letter, digit or `_` on either side.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[test]
fn core_is_pure() {
    let mut findings = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| source.is_shipped_from("src/core/src/"))
    {
        for (number, line) in source.code() {
            for (name, instead) in BANNED_IN_CORE {
                if has_word(line, name) {
                    findings.push(format!("{}:{number}: {name}: {instead}", source.path));
                }
            }
            if let Some((_, items)) = line.split_once("std::net::") {
                let mut items = items
                    .split(|c: char| !c.is_alphanumeric())
                    .filter(|item| !item.is_empty());
                // The path itself, or a list of names in braces; what follows a path is code of another kind.
                let is_list = line.contains("std::net::{");
                let names: Vec<&str> = if is_list {
                    items.collect()
                } else {
                    items.next().into_iter().collect()
                };
                for name in names {
                    if !NET_IN_CORE.contains(&name) && name != "self" {
                        findings.push(format!(
                            "{}:{number}: std::net::{name}: values only",
                            source.path
                        ));
                    }
                }
            } else if has_word(line, "std::net") {
                findings.push(format!(
                    "{}:{number}: std::net: name the value",
                    source.path
                ));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn core_stands_on_no_runtime() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--package",
            "gnatsd-core",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .current_dir(root())
        .output()
        .expect("run cargo");
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(tree.starts_with("gnatsd-core "), "{tree}");
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let found: Vec<_> = names
        .filter(|name| FOREIGN_TO_CORE.contains(name))
        .collect();
    assert!(found.is_empty(), "{found:?} in\n{tree}");
}

#[test]
fn unsafe_lives_in_shards_alone() {
    for path in [
        "src/lib.rs",
        "src/main.rs",
        "src/core/src/lib.rs",
        "perf/src/main.rs",
    ] {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert!(text.contains("#![forbid(unsafe_code)]"), "{path}");
    }
    let mut findings = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !source.path.starts_with("shards/"))
    {
        for (number, line) in source.text.lines().enumerate() {
            if has_word(without_comment(line), "unsafe") && !source.path.ends_with("/tidy.rs") {
                findings.push(format!(
                    "{}:{}: unsafe belongs to shards/",
                    source.path,
                    number + 1
                ));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn every_file_says_what_it_is() {
    let is_mute = |source: &&Source| !source.text.starts_with("//! ");
    let findings: Vec<_> = sources()
        .iter()
        .filter(is_mute)
        .map(|source| format!("{}: open with `//!` and what it owns", source.path))
        .collect();
    assert_none(&findings);
}

#[test]
fn no_file_is_too_long() {
    let findings: Vec<_> = sources()
        .iter()
        .map(|source| (&source.path, source.text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert_none(&findings);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["todo!", "unimplemented!", "dbg!"];
    let mut findings = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !source.path.ends_with("/tidy.rs"))
    {
        for (number, line) in source.text.lines().enumerate() {
            for mark in marks {
                if without_comment(line).contains(mark) {
                    findings.push(format!("{}:{}: {mark}", source.path, number + 1));
                }
            }
            if has_word(line, "TODO") || has_word(line, "FIXME") || has_word(line, "XXX") {
                findings.push(format!("{}:{}: a note for later", source.path, number + 1));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn a_test_that_is_left_out_says_why() {
    let mut findings = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !source.path.ends_with("/tidy.rs"))
    {
        for (number, line) in source.text.lines().enumerate() {
            if line.trim_start().starts_with("#[ignore]") {
                findings.push(format!(
                    "{}:{}: #[ignore = \"why\"]",
                    source.path,
                    number + 1
                ));
            }
        }
    }
    assert_none(&findings);
}

/// Paths of the machine somebody worked on help nobody else.
#[test]
fn no_home_of_anybody() {
    let mut findings = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !source.path.ends_with("/tidy.rs"))
    {
        for (number, line) in source.text.lines().enumerate() {
            if ["/work/", "/home/", "/root/"]
                .iter()
                .any(|part| line.contains(part))
            {
                findings.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn words_are_found_whole() {
    assert!(has_word("use std::time::Instant;", "Instant"));
    assert!(has_word("Instant", "Instant"));
    assert!(!has_word("let instants = Instants;", "Instant"));
    assert!(!has_word("forbid(unsafe_code)", "unsafe"));
    assert!(has_word("unsafe { x }", "unsafe"));
    assert_eq!(without_comment("code // unsafe"), "code ");
    let source = Source {
        path: "src/core/src/x.rs".to_owned(),
        text: "//! x\nuse a;\n#[cfg(test)]\nmod tests {\n}\n".to_owned(),
    };
    assert!(source.is_shipped_from("src/core/src/"));
    assert_eq!(source.code().collect::<Vec<_>>(), [(1, ""), (2, "use a;")]);
}

#[test]
fn tests_stand_at_the_end_of_their_file() {
    // What `Source::code` leaves out must be nothing but tests.
    let mut findings = Vec::new();
    for source in &sources() {
        let tests = source.text.lines().enumerate().skip(source.tests_at() + 2);
        for (number, line) in tests.skip_while(|(_, line)| *line != "}").skip(1) {
            findings.push(format!(
                "{}:{}: code behind the tests: {line}",
                source.path,
                number + 1
            ));
        }
    }
    assert_none(&findings);
}
