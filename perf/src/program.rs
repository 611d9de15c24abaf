//! Where the program of a server is: the first word of its command, which may name several places.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// Stands for this program.
const OWN_PROGRAM: &str = "{perf}";

/// Stands for the folder where `go install` puts programs.
const GO_FOLDER: &str = "{gobin}";

/// A program that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// What to start.
    pub(crate) path: PathBuf,
    /// How the list names that place, for a record that is to make sense on another machine.
    pub(crate) written: String,
}

/// The first place of `word` with a program: `$NATS_NEWEST|{gobin}/nats-server|~/go/bin/nats-server|nats-server`.
///
/// A place is an environment variable, which is passed over when it is not set; a path; or a name, which is
/// looked up in `PATH`.
///
/// # Errors
/// When there is no program at any of them, and when a variable names one that is not there: measuring
/// another would not be what was asked for.
pub(crate) fn find(word: &str) -> Result<Program> {
    for written in word.split('|') {
        let path = if let Some(name) = written.strip_prefix('$') {
            let Some(path) = env::var_os(name) else {
                continue;
            };
            let path = PathBuf::from(path);
            if !path.is_file() {
                return Err(format!("${name}: no program at {}", path.display()).into());
            }
            Some(path)
        } else {
            at(written)?
        };
        if let Some(path) = path {
            let written = written.to_owned();
            return Ok(Program { path, written });
        }
    }
    Err("not installed".into())
}

/// The program at a path, or of a name in `PATH`.
fn at(written: &str) -> Result<Option<PathBuf>> {
    if written == OWN_PROGRAM {
        return Ok(Some(env::current_exe()?));
    }
    let path = if let Some(rest) = written.strip_prefix("~/") {
        env::home_dir().map(|home| home.join(rest))
    } else if let Some(rest) = written.strip_prefix(GO_FOLDER) {
        go_folder().map(|folder| folder.join(rest.trim_start_matches('/')))
    } else if written.contains('/') {
        Some(PathBuf::from(written))
    } else {
        let folders = env::var_os("PATH").unwrap_or_default();
        let mut paths = env::split_paths(&folders).map(|folder| folder.join(written));
        paths.find(|path| path.is_file())
    };
    Ok(path.filter(|path| path.is_file()))
}

/// Where `go install` puts programs, if there is a `go`.
fn go_folder() -> Option<PathBuf> {
    let output = Command::new("go")
        .args(["env", "GOBIN", "GOPATH"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut lines = text.lines();
    let (own, path) = (lines.next()?, lines.next()?);
    if !own.is_empty() {
        return Some(PathBuf::from(own));
    }
    let first = env::split_paths(path).next()?;
    Some(Path::new(&first).join("bin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_with_a_program_is_taken() {
        let found =
            find("$PERF_NO_SUCH_VARIABLE|./no/such/program|no-such-program|sh|{perf}").unwrap();
        assert_eq!(found.written, "sh");
        assert!(found.path.is_absolute() && found.path.is_file());
        assert!(find("{perf}").unwrap().path.is_file());
        assert!(find("$PERF_NO_SUCH_VARIABLE|./no/such/program").is_err());
    }

    #[test]
    fn a_variable_that_names_nothing_is_a_mistake() {
        // PATH is set wherever a test runs, and it is no program.
        let error = find("$PATH|sh").expect_err("no file").to_string();
        assert!(error.starts_with("$PATH"), "{error}");
    }
}
