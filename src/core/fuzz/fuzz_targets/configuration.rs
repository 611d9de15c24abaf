//! The configuration language, whatever an operator writes.
#![no_main]

use std::path::Path;

use gnatsd_core::conf::{Map, Sources, Value, parse_text};
use libfuzzer_sys::fuzz_target;

/// Files that may be included; enough to nest, too few to be slow.
const FILES_MAX: usize = 8;

/// Every file and every variable with a name of one letter holds the same text.
struct Same<'a> {
    text: &'a [u8],
    files_left: usize,
}

impl Sources for Same<'_> {
    fn read_file(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let is_known = path.file_name().is_some_and(|name| name.len() == 1);
        if !is_known || self.files_left == 0 {
            return Err("none".to_owned());
        }
        self.files_left -= 1;
        Ok(self.text.to_vec())
    }

    fn variable(&self, name: &str) -> Option<String> {
        (name.len() == 1).then(|| String::from_utf8_lossy(self.text).into_owned())
    }
}

fn check_map(map: &Map) {
    for entry in map.iter() {
        assert!(
            entry.key_position.line > 0 && entry.key_position.column > 0,
            "places count from 1"
        );
        check_value(&entry.value.value);
    }
}

fn check_value(value: &Value) {
    match value {
        Value::Map(map) => check_map(map),
        Value::Array(items) => items.iter().for_each(|item| check_value(&item.value)),
        _ => {}
    }
}

// The text up to a NUL byte is the file; what is behind it can be included.
fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|&b| b == 0).unwrap_or(input.len());
    let (main, rest) = input.split_at(end);
    let text = rest.get(1..).unwrap_or_default();
    match parse_text(
        Path::new("f"),
        main,
        &mut Same {
            text,
            files_left: FILES_MAX,
        },
    ) {
        Ok(map) => check_map(&map),
        Err(error) => assert!(!error.to_string().contains('\n'), "an error is one line"),
    }
});
