//! What the tests of configuration files share.

use std::path::Path;

use gnatsd_core::conf::{self, Sources};

use super::error::ConfigError;
use super::file::{FileOptions, apply};
use super::options::Options;

/// No file but the one at hand, and one variable.
struct NoFiles;

impl Sources for NoFiles {
    fn read_file(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        Err(format!(
            "open {}: no such file or directory",
            path.display()
        ))
    }

    fn variable(&self, name: &str) -> Option<String> {
        (name == "FROM_ENV").then(|| "1010".to_owned())
    }
}

/// Reads a file `t.conf` with this text.
pub(super) fn read_text(text: &str) -> Result<FileOptions, Vec<ConfigError>> {
    let map = conf::parse_text(Path::new("t.conf"), text.as_bytes(), &mut NoFiles);
    apply(&map.map_err(|error| vec![error.into()])?)
}

/// What a text without a mistake says.
pub(super) fn read_options(text: &str) -> Options {
    let fail = |errors: Vec<ConfigError>| -> Options { panic!("{text:?}: {}", errors[0]) };
    read_text(text).map_or_else(fail, |read| read.draft.options)
}

/// All that is wrong with a text, one line each.
pub(super) fn errors(text: &str) -> Vec<String> {
    let errors = read_text(text).err().unwrap_or_default();
    errors.iter().map(ToString::to_string).collect()
}

/// What is to be told about a text without a mistake.
pub(super) fn warnings(text: &str) -> Vec<String> {
    let fail = |errors: Vec<ConfigError>| -> Vec<String> { panic!("{text:?}: {}", errors[0]) };
    read_text(text).map_or_else(fail, |read| read.warnings)
}
