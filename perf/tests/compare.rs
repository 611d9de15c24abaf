//! A whole comparison, of the relay with itself: short, and on any machine with two CPUs.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use rustix::thread::{CpuSet, sched_getaffinity};
use serde_json::Value;

/// `perf` with these words, which are split at blanks.
fn perf(line: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perf"));
    command.args(line.split_whitespace()).args(more);
    command.output().expect("perf starts")
}

/// CPUs that may be used here.
fn cpus() -> Vec<usize> {
    let set = sched_getaffinity(None).expect("own affinity");
    (0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect()
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_relay_is_compared_with_itself() {
    let cpus = cpus();
    let (server, client) = (cpus[0], cpus[cpus.len() - 1]);
    let runs = tempfile::tempdir().expect("a folder");
    let line = format!(
        "compare --scenario 1to1:16,mixed8:128,pub:64 --rounds 2 --secs 0.05 --warmup 0.02 --repeats 0 --record try \
         --server-cpu {server} --client-cpu {client} --reference two --runs {}",
        runs.path().display()
    );
    let servers = [
        "--servers",
        "one={perf} floor --port {port}",
        "--servers",
        "two={perf} floor --port {port}",
        "--servers",
        "three=./no/such/program",
    ];
    let output = perf(&line, &servers);
    let complaint = String::from_utf8_lossy(&output.stderr);
    if server == client {
        assert!(complaint.contains("a CPU each"), "{complaint}");
        return;
    }
    assert!(output.status.success(), "{complaint}");
    assert_eq!(complaint, "three left out: not installed\n");

    let folder = fs::read_dir(runs.path())
        .expect("runs")
        .next()
        .expect("a run");
    let folder = folder.expect("an entry").path();
    let samples = json(&folder.join("samples.json"));
    assert_eq!(samples["reference"], "two");
    let results = samples["results"].as_array().expect("results");
    assert_eq!(results.len(), 6);
    for result in results {
        let rounds: Vec<&Value> = result["samples"]
            .as_array()
            .expect("samples")
            .iter()
            .collect();
        assert_eq!(rounds.len(), 2, "{result}");
        for sample in rounds {
            assert!(sample["counted"].as_u64() > Some(0), "{sample}");
            assert!(sample["server_ns_each"].as_f64() > Some(0.0), "{sample}");
            assert!(sample["rss_peak"].as_u64() > Some(100_000), "{sample}");
            assert!(sample["foreign"]["share"].as_f64() >= Some(0.0), "{sample}");
        }
        let ratio = &result["figures"][0]["times_better"];
        let (min, median) = (ratio["min"].as_f64(), ratio["median"].as_f64());
        assert!(min > Some(0.0) && median >= min, "{result}");
        if result["server"] == "two" {
            assert_eq!(median, Some(1.0), "{result}");
        }
    }

    let printed = String::from_utf8_lossy(&output.stdout);
    let summary = fs::read_to_string(folder.join("summary.txt")).expect("summary");
    assert!(printed.starts_with(&summary), "{printed}");
    assert!(summary.contains("| 1to1:16    |"), "{summary}");
    let command = fs::read_to_string(folder.join("command.txt")).expect("command");
    assert!(
        command.starts_with("perf compare --scenario 1to1:16,mixed8:128,pub:64"),
        "{command}"
    );
    assert!(
        command.contains("'one={perf} floor --port {port}'"),
        "{command}"
    );
    assert!(json(&folder.join("machine.json"))["cpus"].is_u64());
    let plot = fs::read_to_string(folder.join("plot.svg")).expect("plot");
    roxmltree::Document::parse(&plot).expect("XML");
}

#[test]
fn nothing_is_demanded_of_a_server_that_takes_no_configuration() {
    let cpus = cpus();
    let (server, client) = (cpus[0], cpus[cpus.len() - 1]);
    if server == client {
        return;
    }
    let line = format!("compare --tls --secs 0.05 --server-cpu {server} --client-cpu {client}");
    let output = perf(&line, &["--servers", "relay={perf} floor --port {port}"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{complaint}");
    assert!(
        complaint.contains("relay left out: it takes no configuration"),
        "{complaint}"
    );
}

#[test]
fn nothing_measured_is_a_failure_and_leaves_no_folder() {
    let cpus = cpus();
    let runs = tempfile::tempdir().expect("a folder");
    let line = format!(
        "compare --secs 0.05 --server-cpu {} --client-cpu {} --record try --runs {}",
        cpus[0],
        cpus[cpus.len() - 1],
        runs.path().display()
    );
    for servers in [
        ["--servers", "gone=./no/such/program"],
        ["--servers", "dead=true {port}"],
    ] {
        let output = perf(&line, &servers);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{complaint}");
        assert!(
            complaint.contains(" left out: ") || cpus.len() == 1,
            "{complaint}"
        );
        assert_eq!(fs::read_dir(runs.path()).expect("runs").count(), 0);
    }
}
