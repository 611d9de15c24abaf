//! The language, on any input: nothing panics, nothing hangs, what is printed reads back.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// Every file and every variable holds the same text, so includes and references nest.
struct Same(String);

impl Sources for Same {
    fn read_file(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let is_known = path.file_name().is_some_and(|name| name.len() == 1);
        if is_known {
            Ok(self.0.clone().into_bytes())
        } else {
            Err("none".to_owned())
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        (name.len() == 1).then(|| self.0.clone())
    }
}

/// Pieces of the language in no sensible order.
fn soup() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a",
        "b",
        "include ",
        "$",
        "$a",
        "$b",
        "=",
        ":",
        " ",
        "\t",
        "\n",
        "\r\n",
        ",",
        ";",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "'",
        "\"",
        "\\",
        "\\x4",
        "\\n",
        "#",
        "//",
        "/",
        "1",
        "-",
        ".",
        "2016-05-04T18:53:41Z",
        "k",
        "kb",
        "9223372036854775807",
        "true",
        "\u{fc}",
        "\0",
        "'c'",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = String> {
    let text = "[ -~]{0,8}".prop_map(|text| format!("{text:?}"));
    let leaf = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        Just("yes".to_owned()),
        text
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let values = prop::collection::vec(inner, 0..4);
        prop_oneof![
            values
                .clone()
                .prop_map(|values| format!("[{}]", values.join(", "))),
            values.prop_map(|values| {
                let pairs = values
                    .iter()
                    .enumerate()
                    .map(|(n, value)| format!("k{n}: {value}"));
                format!("{{ {} }}", pairs.collect::<Vec<_>>().join("; "))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_text(Path::new("a"), &bytes, &mut Same(String::new()));
    }

    #[test]
    fn no_soup_panics_or_hangs(text in soup(), other in soup()) {
        if let Err(error) = parse_text(Path::new("z"), text.as_bytes(), &mut Same(other)) {
            prop_assert_eq!(error.to_string().lines().count(), 1, "an error is one line");
        }
    }

    #[test]
    fn well_formed_text_loads(values in prop::collection::vec(value(), 0..6)) {
        let text: String = values.iter().enumerate().map(|(n, value)| format!("k{n} = {value}\n")).collect();
        let map = parse_text(Path::new("a"), text.as_bytes(), &mut Same(String::new()))?;
        prop_assert_eq!(map.len(), values.len());
    }

    #[test]
    fn cut_anywhere_it_fails_or_holds_no_more(values in prop::collection::vec(value(), 1..4), cut: prop::sample::Index) {
        let text: String = values.iter().enumerate().map(|(n, value)| format!("k{n} = {value}\n")).collect();
        let text = &text.as_bytes()[..cut.index(text.len())];
        if let Ok(map) = parse_text(Path::new("a"), text, &mut Same(String::new())) {
            prop_assert!(map.len() <= values.len());
        }
    }

    #[test]
    fn durations_read_back(nanos in 0..i64::MAX.cast_unsigned()) {
        let duration = std::time::Duration::from_nanos(nanos);
        prop_assert_eq!(parse_go_duration(&GoDuration(duration).to_string()), Ok(duration));
    }

    #[test]
    fn no_duration_panics(text in "[-+]?[0-9.]{0,30}[a-z\u{b5}]{0,3}[0-9.]{0,3}[a-z]{0,2}") {
        let _ = parse_go_duration(&text);
    }
}
