//! Command lines, and what they mean.

use super::*;
use crate::scenarios::{Shape, Stop};
use crate::sets;

fn parsed(line: &str) -> Result<Command> {
    parse(line.split_whitespace().map(str::to_owned))
}

fn scenario_of(line: &str) -> String {
    match parsed(line) {
        Ok(Command::Run(run)) => run.scenario.to_string(),
        other => panic!("{line}: {other:?}"),
    }
}

fn plan_of(line: &str) -> Plan {
    match parsed(line) {
        Ok(Command::Compare(plan)) => *plan,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_definitions_are_sound() {
    Cli::command().debug_assert();
    ShapeArgs::command().debug_assert();
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
fn a_load_is_checked_or_timed_on_request() {
    let Ok(Command::Run(run)) = parsed("open1000 --rate 2500 --verify --secs 0.5") else {
        panic!()
    };
    assert_eq!(run.load.rate, Some(2500.0));
    assert!(run.load.is_verified);
    assert!(matches!(run.load.stop, Stop::After(time) if time == Duration::from_millis(500)));
}

#[test]
fn somebody_has_a_name_and_a_password() {
    let Ok(Command::Run(run)) = parsed("logins50 --user a --pass b --server 127.0.0.1:1") else {
        panic!()
    };
    assert_eq!(run.load.server.address, "127.0.0.1:1");
    let login = run.load.server.login.expect("somebody");
    assert_eq!((&*login.user, &*login.password), ("a", "b"));
}

#[test]
fn a_comparison_demands_things_of_its_servers() {
    let plan = plan_of("compare --tls --policy 20");
    assert!(plan.is_secure && plan.demands().is_secure);
    assert_eq!(plan.policy, Some(20));
    assert!(!plan_of("compare").demands().are_some());
}

#[test]
fn a_comparison_takes_lists() {
    let plan =
        plan_of("compare --servers a=b --servers c.json --scenario pub:16,fanout10:16 --only x,y");
    assert_eq!(plan.servers, ["a=b", "c.json"]);
    assert_eq!(plan.only, ["x", "y"]);
    assert!(!plan.is_lenient);
    assert_eq!(plan.scenarios.len(), 2);
    assert_eq!((&*plan.server_cpus, plan.client_cpu), ("0", Some(1)));
    assert_eq!((plan.rounds, plan.foreign_max), (5, 0.05));
}

#[test]
fn a_set_gives_way_to_what_was_typed() {
    let plan = plan_of("compare --set quick");
    assert_eq!(plan.references, ["newest", "debian"]);
    assert!(plan.is_lenient && plan.only.contains(&"uring".to_owned()));
    let (rounds, scenarios) = (plan.rounds, plan.scenarios.len());
    let plan = plan_of("compare --set quick --rounds 9 --reference epoll --secs 7");
    assert_eq!((plan.rounds, plan.reference.as_deref()), (9, Some("epoll")));
    assert!(matches!(plan.load.stop, Stop::After(time) if time.as_secs() == 7));
    assert_eq!(plan.scenarios.len(), scenarios);
    assert_ne!(rounds, 9);
}

#[test]
fn the_last_set_and_the_last_topic_hold() {
    let plan = plan_of(
        "compare --set headline --record a --set quick --record b --servers x=y --servers z=y",
    );
    assert_eq!(plan.record.as_deref(), Some("b"));
    assert_eq!(plan.rounds, sets::named("quick").expect("a set").rounds);
    assert_eq!(plan.servers.len(), 2);
}

#[test]
fn a_crossing_names_its_server() {
    let Ok(Command::Crossing { program, plan }) = parsed("crossing --server ./x --rounds 7") else {
        panic!()
    };
    assert_eq!((&*program, plan.rounds), ("./x", 7));
    assert!(plan.servers.is_empty() && plan.client_cpu.is_none());
    let scenarios: Vec<String> = plan.scenarios.iter().map(Scenario::to_string).collect();
    assert_eq!(
        scenarios,
        ["1to1:16", "1to1:128", "fanin4:16", "fanin4:128"]
    );
    assert_eq!(plan.references, ["same shard"]);
}

#[test]
fn help_names_every_shape_and_option() {
    let text = |line: &str| match parsed(line) {
        Ok(Command::Help(text)) => text,
        other => panic!("{line}: {other:?}"),
    };
    for line in ["", "help", "--help", "1to1 --help"] {
        let text = text(line);
        assert!(text.contains("perf compare --set quick"), "{line}: {text}");
        assert!(
            text.contains("--verify") && text.contains("subchurnN"),
            "{text}"
        );
    }
    for line in ["help compare", "compare --help"] {
        let text = text(line);
        assert!(
            text.contains("--foreign-max") && text.contains("flooded"),
            "{line}: {text}"
        );
    }
    assert!(text("--version").starts_with("perf "));
}

#[test]
fn every_shape_of_the_help_text_exists() {
    let listed = SHAPES.lines().filter_map(|line| {
        let is_name = line.starts_with("  ") && !line.starts_with("   ");
        is_name.then(|| line.split("   ").find(|part| !part.is_empty()))?
    });
    let names: Vec<&str> = listed
        .flat_map(|part| part.split(", "))
        .map(|name| name.trim().trim_end_matches('N'))
        .collect();
    assert!(names.len() >= 15, "{names:?}");
    for name in names {
        name.parse::<Shape>()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn mistakes_are_named() {
    for (line, text) in [
        ("1to1 --sizes 3", "--sizes"),
        ("1to1 --size x", "'x'"),
        ("1to1 --size", "value is required"),
        ("1to1 16", "'16'"),
        ("1to1 --subs 3", "--subs does not go with 1to1"),
        ("everything", "everything"),
        ("1to1 --json x", "'x'"),
        ("1to1 --secs -1", "--secs"),
        ("1to1 --msgs 3 --secs 1", "--secs"),
        ("open --rate 0", "above 0"),
        ("floor", "--port"),
        ("crossing", "--server"),
        ("compare --set everything", "headline"),
        ("compare --scenario 1to1:x", "1to1:x"),
        ("compare --rounds 0", "--rounds"),
        ("compare --record ../x", "letters"),
        ("compare --figure speed", "--figure"),
        ("compare --policy 4", "5 to"),
        ("crossing --server x --policy 20", "--policy"),
        ("1to1 --user a", "--pass"),
    ] {
        let error = parsed(line).expect_err(line).to_string();
        assert!(error.contains(text), "{line}: {error}");
    }
}
