//! The usage text, and that every flag does something.

use std::collections::HashSet;

use super::*;

#[test]
fn every_flag_that_works_is_in_the_usage_text() {
    let usage = usage();
    let words: HashSet<&str> = usage
        .split([' ', ',', '\n'])
        .map(|word| word.trim_matches(','))
        .collect();
    for flag in FLAGS {
        let works = !matches!(flag.effect, Effect::NotYet(_) | Effect::Foreign(_));
        assert_eq!(flag.help.is_some(), works, "{:?}", flag.names);
        for name in flag.names {
            let shown = [format!("-{name}"), format!("--{name}")];
            let is_shown = shown.iter().any(|shown| words.contains(shown.as_str()));
            assert_eq!(is_shown, works, "{name}");
        }
    }
    assert!(usage.starts_with("\nUsage: gnatsd [options]\n\nServer Options:\n"));
    assert!(usage.contains("\n\n\nCommon Options:\n"));
    assert!(usage.ends_with("TLS help\n\n"));
}

#[test]
fn texts_stand_in_one_column() {
    for line in usage().lines().filter(|line| line.starts_with("    ")) {
        let mut characters = line.chars().skip(36);
        assert_eq!(characters.next(), Some(' '), "{line}");
        assert!(characters.next().is_some_and(|c| c != ' '), "{line}");
    }
}

#[test]
fn no_name_is_taken_twice() {
    let mut seen = HashSet::new();
    for name in FLAGS.iter().flat_map(|flag| flag.names) {
        assert!(seen.insert(name), "{name}");
    }
}
