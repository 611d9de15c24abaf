//! From command line and environment to what the server should do.
//!
//! ```text
//! cli.rs (Go's flag rules) -> flags.rs (table) ---\
//!                                                  options.rs -> Outcome
//! file.rs (reads, includes) -> keys.rs (table) ---/
//! ```
//!
//! Owns the order of work and precedence: a flag beats the file. Prints nothing and never ends
//! the process; that is `main`'s.

mod authorization;
mod block;
mod cli;
mod error;
mod file;
mod findings;
mod flags;
mod help_tls;
mod keys;
mod options;
mod permissions;
mod tls;
mod tls_flags;
mod values;

use std::ffi::OsString;
use std::path::Path;

use crate::tls::TlsServer;
use cli::{FlagValue, Given, Parsed};
pub use error::{ConfigError, LoginError, PermissionError, Reason, TimeoutError, TlsError};
use flags::Effect;
pub use flags::usage;
pub use options::{
    Advertise, Authorization, CONNECTIONS_MAX_DEFAULT, HOST_DEFAULT, HandshakeFirst, Options,
    PORT_DEFAULT, PORT_RANDOM, TlsOptions, UserEntry,
};

/// Version of the server, N.N.N, as in INFO.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a command line asks for. Texts end with a line end where they are not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Run a server.
    Run {
        /// How.
        options: Box<Options>,
        /// For the log, once there is one; one line each.
        warnings: Vec<String>,
        /// For standard output before there is a log; one line each.
        stdout_notes: Vec<String>,
    },
    /// Print and exit with 0.
    Print {
        /// For standard output.
        stdout: String,
        /// For standard error.
        stderr: String,
    },
    /// Print to standard error and exit with 1.
    Fail {
        /// For standard error.
        stderr: String,
    },
}

/// Takes a command line, the program's name first, and reads the file it names.
///
/// `env` looks into the environment, for variables of the configuration file.
pub fn load(args: impl Iterator<Item = OsString>, env: impl Fn(&str) -> Option<String>) -> Outcome {
    let mut args = args;
    let program = program_name(args.next());
    let mut arguments = Vec::new();
    for argument in args {
        match argument.into_string() {
            Ok(argument) => arguments.push(argument),
            Err(argument) => return misuse(&format!("argument {argument:?} is not UTF-8")),
        }
    }
    let parsed = match cli::parse(arguments) {
        Ok(parsed) => parsed,
        Err(message) => return misuse(&message),
    };
    let version = || print(format!("{program}: v{VERSION}\n"));
    // In this order whatever the order on the command line. Source: gnatsd 1.2.0.
    if parsed.is_asked(|effect| matches!(effect, Effect::Version)) {
        return version();
    }
    if parsed.is_asked(|effect| matches!(effect, Effect::Help)) {
        return print(usage());
    }
    if parsed.is_asked(|effect| matches!(effect, Effect::HelpTls)) {
        return print(help_tls::text());
    }
    match &parsed.word {
        Some(word) if word.eq_ignore_ascii_case("version") => return version(),
        Some(word) if word.eq_ignore_ascii_case("help") => return print(usage()),
        Some(word) => return misuse(&format!("unrecognized command: {word:?}")),
        None => {}
    }
    start(&program, &parsed, &env)
}

fn start(program: &str, parsed: &Parsed, env: &dyn Fn(&str) -> Option<String>) -> Outcome {
    let missing = |given: &&Given| {
        matches!(given.flag.effect, Effect::NotYet(_)) && !given.value.is_nothing()
    };
    if let Some(given) = parsed.given.iter().find(missing) {
        return fail(program, &format!("flag not supported yet: {}", given.typed));
    }
    let mut by_flags = Options::default();
    if let Err(message) = apply_flags(&parsed.given, &mut by_flags) {
        return misuse(&message);
    }
    let only_check = parsed.is_asked(|effect| matches!(effect, Effect::Check));
    let (mut draft, mut warnings) = match &by_flags.config_file {
        None if only_check => {
            let text = "must specify [-c, --config] option to check configuration file syntax";
            return fail(program, text);
        }
        None => Default::default(),
        Some(path) => match file::read(path, env) {
            Ok(read) => (read.draft, read.warnings),
            Err(errors) => return bad_file(&errors),
        },
    };
    if let Err(message) = apply_flags(&parsed.given, &mut draft.options) {
        return misuse(&message);
    }
    match tls_flags::apply(&parsed.given, &mut draft.options) {
        Ok(warning) => warnings.extend(warning),
        Err(message) => return misuse(message),
    }
    // Flags may have put away what lets certificates be logins.
    let errors = authorization::check_passwords(&draft);
    if !errors.is_empty() {
        return bad_file(&errors);
    }
    let foreign = |given: &&Given| {
        matches!(given.flag.effect, Effect::Foreign(_)) && !given.value.is_nothing()
    };
    for given in parsed.given.iter().filter(foreign) {
        warnings.push(format!(
            "flag {} is not supported, it is ignored",
            given.typed
        ));
    }
    let of_logins = |given: &&Given| given.flag.is_of_logins();
    let logins = parsed.given.iter().filter(of_logins);
    let logins: Vec<&str> = logins.map(|given| given.typed.as_str()).collect();
    warnings.extend(authorization::warnings(&draft, &logins));
    let mut options = draft.options;
    options.http_host = draft.http_host.unwrap_or_else(|| options.host.clone());
    match options.config_file.as_deref() {
        Some(path) if only_check => match open_files(&options) {
            Ok(()) => valid(program, path, &warnings, &draft.stdout_notes),
            Err(message) => Outcome::Fail {
                stderr: format!("{message}\n"),
            },
        },
        _ => Outcome::Run {
            options: Box::new(options),
            warnings,
            stdout_notes: draft.stdout_notes,
        },
    }
}

/// Whether the files that the options name can be used, as a start would find out.
fn open_files(options: &Options) -> Result<(), String> {
    if let Some(tls) = &options.tls {
        TlsServer::new(tls).map_err(|message| tls.located(&message))?;
    }
    Ok(())
}

/// Applies flags in their order, then those that come after all others.
fn apply_flags(given: &[Given], options: &mut Options) -> Result<(), String> {
    for one in given {
        let result = match (&one.flag.effect, &one.value) {
            (Effect::Bool(set), FlagValue::Bool(value)) => {
                set(options, *value);
                Ok(())
            }
            (Effect::Int(set), FlagValue::Int(number)) => {
                set(options, *number).map_err(|reason| (number.to_string(), reason))
            }
            (Effect::Text(set), FlagValue::Text(text)) => {
                set(options, text).map_err(|reason| (text.clone(), reason))
            }
            _ => Ok(()),
        };
        if let Err((value, reason)) = result {
            let name = one.typed.trim_start_matches('-');
            return Err(cli::invalid_value(&value, name, reason));
        }
    }
    for one in given {
        if let (Effect::LateBool(set), FlagValue::Bool(value)) = (&one.flag.effect, &one.value) {
            set(options, *value);
        }
    }
    Ok(())
}

fn valid(program: &str, path: &Path, warnings: &[String], notes: &[String]) -> Outcome {
    let said = |warning: &String| format!("{program}: {warning}\n");
    let mut stderr: String = warnings.iter().map(said).collect();
    stderr += &format!(
        "{program}: configuration file {} is valid\n",
        path.display()
    );
    Outcome::Print {
        stdout: notes.iter().map(|note| format!("{note}\n")).collect(),
        stderr,
    }
}

fn print(stdout: String) -> Outcome {
    Outcome::Print {
        stdout,
        stderr: String::new(),
    }
}

/// A command line that cannot be: the message, then how it should look.
fn misuse(message: &str) -> Outcome {
    Outcome::Fail {
        stderr: format!("{message}\n{}", usage()),
    }
}

/// A wish that cannot be met. Usage would only push the message out of sight.
fn fail(program: &str, message: &str) -> Outcome {
    Outcome::Fail {
        stderr: format!("{program}: {message}\n"),
    }
}

/// A file with mistakes, one a line. They begin with the place, as editors expect it, and so
/// without the program's name, as in 1.2.0.
fn bad_file(errors: &[ConfigError]) -> Outcome {
    Outcome::Fail {
        stderr: errors.iter().map(|error| format!("{error}\n")).collect(),
    }
}

/// The name the program was called by, without its folder.
fn program_name(first: Option<OsString>) -> String {
    let path = first.unwrap_or_default();
    let name = Path::new(&path)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned())
}

#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;
