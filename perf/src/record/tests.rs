//! What is kept of a comparison, and where.

use super::*;
use crate::args::{self, Command as Typed};
use crate::cells::tests::cell;
use crate::peers::Peer;

/// The plan of this command line.
pub(crate) fn plan(line: &str) -> Plan {
    match args::parse(line.split_whitespace().map(str::to_owned)) {
        Ok(Typed::Compare(plan)) => *plan,
        other => panic!("{other:?}"),
    }
}

/// One scenario, with these servers and costs as [`cell`] takes them.
pub(crate) fn record<'a>(plan: &'a Plan, costs: &[(&str, &[i64])]) -> Record<'a> {
    let site = |name: &str| {
        Site::new(
            Peer {
                name: name.to_owned(),
                command: vec!["sh".to_owned()],
                ..Peer::default()
            },
            "1.0",
        )
    };
    Record {
        plan,
        sites: costs.iter().map(|(name, _)| site(name)).collect(),
        cells: costs
            .iter()
            .map(|(name, costs)| cell(name, costs))
            .collect(),
        rounds_done: 3,
        elapsed: Duration::from_secs(7),
    }
}

#[test]
fn the_record_keeps_every_sample() {
    let plan = plan("compare --reference theirs");
    let mut record = record(
        &plan,
        &[("ours", &[20, -30, 25]), ("theirs", &[200, 240, 250])],
    );
    let worse = record.cells[0].samples[1].clone();
    record.cells[0].discarded.push(worse);
    let value = record.to_json();
    let ours = &value["results"][0];
    assert_eq!(ours["samples"].as_array().map(Vec::len), Some(3));
    assert_eq!(ours["samples"][1]["is_disturbed"], true);
    assert_eq!(ours["discarded"][0]["round"], 1);
    assert_eq!(ours["figures"][0]["value"]["median"], 22.5);
    assert_eq!(ours["figures"][0]["times_better"]["median"], 10.0);
    assert_eq!(value["servers"][1]["version"], "1.0");
    assert_eq!(value["reference"], "theirs");
    let line = record.run_line();
    assert!(
        line.ends_with(", 1 of 6 windows disturbed by others"),
        "{line}"
    );
}

#[test]
fn the_first_reference_that_is_there_is_taken() {
    let costs: [(&str, &[i64]); 2] = [("ours", &[1]), ("debian", &[2])];
    for (line, name) in [
        ("compare --set quick", "debian"),
        ("compare --reference ours", "ours"),
        ("compare", "ours"),
    ] {
        let plan = plan(line);
        assert_eq!(record(&plan, &costs).reference(), name, "{line}");
    }
}

#[test]
fn a_folder_is_new_and_goes_when_it_stays_empty() {
    let runs = tempfile::tempdir().unwrap();
    let plan = plan(&format!(
        "compare --record x --runs {}",
        runs.path().display()
    ));
    let first = Folder::create(&plan).unwrap().unwrap();
    let second = Folder::create(&plan).unwrap().unwrap();
    assert!(first.path.ends_with(format!("{}-x", today())));
    assert!(second.path.ends_with(format!("{}-x-2", today())));
    let costs: [(&str, &[i64]); 2] = [("ours", &[20]), ("theirs", &[200])];
    record(&plan, &costs).write(&Some(first), "tables").unwrap();
    drop(second);
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in fs::read_dir(runs.path()).unwrap() {
        let entries = fs::read_dir(folder.unwrap().path()).unwrap();
        files.extend(entries.map(|entry| PathBuf::from(entry.unwrap().file_name())));
    }
    files.sort();
    let names = [
        "command.txt",
        "machine.json",
        "plot.svg",
        "samples.json",
        "summary.txt",
    ];
    assert_eq!(files, names.map(PathBuf::from));
}
