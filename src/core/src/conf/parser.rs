//! The grammar: maps, arrays, variables and includes.
//!
//! Recursive descent with a bound on depth and on the text taken in, so that no input can
//! exhaust stack, memory or patience. Opens no file and reads no environment itself.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::error::{ConfError, Problem, Within};
use super::lexer::{Key, Lexer, Scalar, is_blank, is_line_end};
use super::value::{Entry, Located, Map, Position, Value};

/// Levels of maps, arrays, includes and environment variables inside each other, together.
/// Real files have fewer than ten; a level takes about a kilobyte of stack.
pub const NESTING_MAX: usize = 128;

/// Bytes of all files together, and of all values copied for variables together.
pub const INPUT_BYTES_MAX: usize = 64 << 20;

/// What a file counts at least, in bytes, so that many empty ones end too.
const FILE_BYTES_MIN: usize = 4096;

/// What a value copied for a variable counts at least, in bytes.
const VALUE_BYTES_MIN: usize = 64;

/// Where a configuration gets files and environment variables from.
pub trait Sources {
    /// Contents of a file.
    ///
    /// # Errors
    /// What is wrong, for example `open x.conf: no such file or directory`.
    fn read_file(&mut self, path: &Path) -> Result<Vec<u8>, String>;

    /// Value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
}

/// Reads a configuration file and what it includes.
///
/// # Errors
/// The first mistake in the text, or that a file cannot be read.
pub fn parse_file(path: &Path, sources: &mut dyn Sources) -> Result<Map, ConfError> {
    let text = sources.read_file(path).map_err(|error| ConfError {
        position: None,
        problem: Problem::File(error),
    })?;
    parse_text(path, &text, sources)
}

/// Reads a configuration text; `path` names it in positions, and includes are relative to it.
///
/// # Errors
/// The first mistake in the text or in a file it includes.
pub fn parse_text(path: &Path, text: &[u8], sources: &mut dyn Sources) -> Result<Map, ConfError> {
    let mut parser = Parser {
        sources,
        open_files: Vec::new(),
        open_variables: Vec::new(),
        input_bytes_left: INPUT_BYTES_MAX,
        copied_bytes_left: INPUT_BYTES_MAX,
    };
    parser.file(path, text, 0)
}

struct Parser<'s> {
    sources: &'s mut dyn Sources,
    /// Files being read now, outermost first, each in its plain form.
    open_files: Vec<PathBuf>,
    /// Environment variables being read now.
    open_variables: Vec<String>,
    input_bytes_left: usize,
    copied_bytes_left: usize,
}

/// One text being read.
struct Document<'a> {
    lexer: Lexer<'a>,
    /// The maps open at this point, outermost first; never empty.
    scopes: Vec<Map>,
    /// What includes are relative to; `None` where they are not allowed.
    folder: Option<PathBuf>,
}

impl<'a> Document<'a> {
    fn new(file: &str, text: &'a [u8], folder: Option<PathBuf>) -> Self {
        let lexer = Lexer::new(Arc::from(file), text);
        Document {
            lexer,
            scopes: vec![Map::default()],
            folder,
        }
    }

    fn into_map(mut self) -> Map {
        self.scopes.swap_remove(0)
    }

    fn innermost(&mut self) -> &mut Map {
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Context {
    Top,
    Map,
    Array,
}

/// Whether a terminator also closed what the value was in.
#[derive(PartialEq)]
enum Ended {
    Value,
    Surrounding,
}

impl Parser<'_> {
    fn file(&mut self, path: &Path, text: &[u8], depth: usize) -> Result<Map, ConfError> {
        let folder = path.parent().map(Path::to_path_buf);
        let mut document = Document::new(&path.to_string_lossy(), text, folder);
        let start = document.lexer.position();
        self.count_input(text.len().max(FILE_BYTES_MIN), &start)?;
        self.open_files.push(plain_path(path));
        let result = self.top(&mut document, depth);
        self.open_files.pop();
        result.map(|()| document.into_map())
    }

    /// Reads keys and values up to the end of the text.
    fn top(&mut self, document: &mut Document<'_>, depth: usize) -> Result<(), ConfError> {
        loop {
            let lexer = &mut document.lexer;
            lexer.skip_space();
            if lexer.skip_comment() {
                continue;
            }
            match lexer.peek() {
                None => return Ok(()),
                // Lets braces stand around the whole file, as in JSON.
                Some(b'{' | b'}') => {
                    lexer.bump();
                }
                Some(b'/') => return Err(lexer.error(Problem::UnexpectedEof(Within::Text))),
                Some(separator @ (b'=' | b':')) => {
                    return Err(lexer.error(Problem::TopSeparator(char::from(separator))));
                }
                Some(_) => {
                    self.pair(document, Context::Top, depth)?;
                }
            }
        }
    }

    /// Reads one key with its value, or an include, and what ends it.
    fn pair(
        &mut self,
        document: &mut Document<'_>,
        context: Context,
        depth: usize,
    ) -> Result<Ended, ConfError> {
        let lexer = &mut document.lexer;
        let key = lexer.key(context == Context::Map)?;
        let is_include = key.is_bare && key.text.eq_ignore_ascii_case("include");
        if is_include && lexer.peek().is_some_and(is_blank) {
            let path = lexer.include_path()?;
            self.include(document, path, key.position, depth)?;
            return end_value(&mut document.lexer, context);
        }
        lexer.skip_space();
        let has_separator = lexer.eat_separator().is_some();
        if !has_separator && lexer.peek().is_none() && context == Context::Top {
            // A last word alone sets nothing, as in 1.2.0.
            return Ok(Ended::Value);
        }
        match (has_separator, context) {
            (true, Context::Top) => lexer.skip_blanks(),
            _ => lexer.skip_space(),
        }
        self.assign(document, key, context, depth)
    }

    /// Reads the value of a key from its first character on, and what ends it.
    fn assign(
        &mut self,
        document: &mut Document<'_>,
        key: Key,
        context: Context,
        depth: usize,
    ) -> Result<Ended, ConfError> {
        let lexer = &document.lexer;
        match (context, lexer.peek()) {
            (Context::Top, Some(byte)) if is_line_end(byte) => {
                return Err(lexer.error(Problem::NewLineForValue));
            }
            (Context::Map, None) => return Err(lexer.error(Problem::UnexpectedEof(Within::Map))),
            (Context::Map, Some(end @ (b',' | b';'))) => {
                return Err(lexer.error(Problem::EmptyMapValue(char::from(end))));
            }
            (Context::Map, Some(b'}')) => return Err(lexer.error(Problem::MissingMapValue)),
            _ => {}
        }
        let value = self.value(document, depth)?;
        document.innermost().insert(Entry {
            key: key.text,
            key_position: key.position,
            value,
            is_variable: false,
        });
        end_value(&mut document.lexer, context)
    }

    fn value(&mut self, document: &mut Document<'_>, depth: usize) -> Result<Located, ConfError> {
        let position = document.lexer.position();
        if depth >= NESTING_MAX {
            return Err(Problem::TooDeep.at(position));
        }
        let value = match document.lexer.peek() {
            Some(b'[') => Value::Array(self.array(document, depth + 1)?),
            Some(b'{') => Value::Map(self.map(document, depth + 1)?),
            _ => match document.lexer.scalar()? {
                Scalar::Value(value) => value,
                Scalar::Variable(name) => self.resolve(document, name, &position, depth)?,
            },
        };
        Ok(Located { value, position })
    }

    fn array(
        &mut self,
        document: &mut Document<'_>,
        depth: usize,
    ) -> Result<Vec<Located>, ConfError> {
        document.lexer.bump();
        let mut values = Vec::new();
        loop {
            let lexer = &mut document.lexer;
            lexer.skip_space();
            if lexer.skip_comment() {
                continue;
            }
            match lexer.peek() {
                None => return Err(lexer.error(Problem::UnexpectedEof(Within::Array))),
                Some(b',') => return Err(lexer.error(Problem::EmptyArrayValue)),
                Some(b']') => {
                    lexer.bump();
                    return Ok(values);
                }
                Some(_) => {}
            }
            values.push(self.value(document, depth)?);
            if end_value(&mut document.lexer, Context::Array)? == Ended::Surrounding {
                return Ok(values);
            }
        }
    }

    fn map(&mut self, document: &mut Document<'_>, depth: usize) -> Result<Map, ConfError> {
        document.lexer.bump();
        document.scopes.push(Map::default());
        loop {
            let lexer = &mut document.lexer;
            lexer.skip_space();
            if lexer.skip_comment() {
                continue;
            }
            match lexer.peek() {
                None => return Err(lexer.error(Problem::UnexpectedEof(Within::Map))),
                Some(b'}') => {
                    lexer.bump();
                    break;
                }
                Some(separator @ (b'=' | b':')) => {
                    return Err(lexer.error(Problem::MapSeparator(char::from(separator))));
                }
                Some(_) => {}
            }
            if self.pair(document, Context::Map, depth)? == Ended::Surrounding {
                break;
            }
        }
        Ok(document.scopes.pop().unwrap_or_default())
    }

    /// What a variable stands for: the nearest open map that has it, then the environment.
    fn resolve(
        &mut self,
        document: &mut Document<'_>,
        name: String,
        position: &Position,
        depth: usize,
    ) -> Result<Value, ConfError> {
        for scope in document.scopes.iter_mut().rev() {
            if let Some(found) = scope.refer(&name) {
                self.count_copy(&found.value, position, depth)?;
                return Ok(found.value.clone());
            }
        }
        let not_found = |name| {
            Problem::VariableNotFound {
                name,
                line: position.line,
            }
            .at(position.clone())
        };
        let Some(text) = self.sources.variable(&name) else {
            return Err(not_found(name));
        };
        if self.open_variables.contains(&name) {
            return Err(Problem::VariableCycle(name).at(position.clone()));
        }
        self.open_variables.push(name.clone());
        let result = self.environment(&name, &text, depth + 1);
        self.open_variables.pop();
        match result {
            Ok(Some(value)) => {
                self.count_copy(&value, position, depth)?;
                Ok(value)
            }
            // Text that is no value leaves the variable undefined, but these are no mistakes
            // of one text: they must end the whole.
            Err(ConfError {
                problem:
                    problem @ (Problem::VariableCycle(_) | Problem::TooDeep | Problem::TooLarge),
                ..
            }) => Err(problem.at(position.clone())),
            Ok(None) | Err(_) => Err(not_found(name)),
        }
    }

    /// Reads the text of an environment variable as the value of a key in an empty file.
    fn environment(
        &mut self,
        name: &str,
        text: &str,
        depth: usize,
    ) -> Result<Option<Value>, ConfError> {
        let mut document = Document::new(&format!("${name}"), text.as_bytes(), None);
        let position = document.lexer.position();
        let key = Key {
            text: name.to_owned(),
            position,
            is_bare: true,
        };
        document.lexer.skip_blanks();
        self.assign(&mut document, key, Context::Top, depth)?;
        self.top(&mut document, depth)?;
        Ok(document
            .into_map()
            .entry(name)
            .map(|entry| entry.value.value.clone()))
    }

    fn count_input(&mut self, bytes: usize, position: &Position) -> Result<(), ConfError> {
        match self.input_bytes_left.checked_sub(bytes) {
            Some(left) => self.input_bytes_left = left,
            None => return Err(Problem::TooLarge.at(position.clone())),
        }
        Ok(())
    }

    /// Accounts for a copy of a value: copies of copies grow exponentially in a short text.
    fn count_copy(
        &mut self,
        value: &Value,
        position: &Position,
        depth: usize,
    ) -> Result<(), ConfError> {
        if depth >= NESTING_MAX {
            return Err(Problem::TooDeep.at(position.clone()));
        }
        let bytes = VALUE_BYTES_MIN
            + match value {
                Value::String(text) => text.len(),
                Value::Map(map) => map.iter().map(|entry| entry.key.len()).sum(),
                _ => 0,
            };
        let Some(left) = self.copied_bytes_left.checked_sub(bytes) else {
            return Err(Problem::TooLarge.at(position.clone()));
        };
        self.copied_bytes_left = left;
        match value {
            Value::Array(values) => values
                .iter()
                .try_for_each(|item| self.count_copy(&item.value, position, depth + 1)),
            Value::Map(map) => map
                .iter()
                .try_for_each(|entry| self.count_copy(&entry.value.value, position, depth + 1)),
            _ => Ok(()),
        }
    }

    /// Adds the keys of another file to the innermost map.
    fn include(
        &mut self,
        document: &mut Document<'_>,
        path: String,
        position: Position,
        depth: usize,
    ) -> Result<(), ConfError> {
        let Some(folder) = &document.folder else {
            return Err(Problem::IncludeInVariable.at(position));
        };
        let full = folder.join(&path);
        let result = if depth + 1 >= NESTING_MAX {
            Err(Problem::TooDeep.at(position.clone()))
        } else if self.open_files.contains(&plain_path(&full)) {
            Err(ConfError {
                position: None,
                problem: Problem::IncludeCycle,
            })
        } else {
            match self.sources.read_file(&full) {
                Ok(text) => self.file(&full, &text, depth + 1),
                Err(error) => Err(ConfError {
                    position: None,
                    problem: Problem::File(error),
                }),
            }
        };
        match result {
            Ok(map) => {
                document.innermost().merge(map);
                Ok(())
            }
            Err(inner) => Err(Problem::Include {
                path,
                inner: Box::new(inner),
            }
            .at(position)),
        }
    }
}

/// Takes blanks, a comment and exactly one terminator.
fn end_value(lexer: &mut Lexer<'_>, context: Context) -> Result<Ended, ConfError> {
    lexer.skip_blanks();
    lexer.skip_comment();
    let ended = match (context, lexer.peek()) {
        (Context::Top, None) => return Ok(Ended::Value),
        (Context::Map, None) => return Err(lexer.error(Problem::UnexpectedEof(Within::Map))),
        (Context::Array, None) => return Err(lexer.error(Problem::UnexpectedEof(Within::Array))),
        (_, Some(byte)) if is_line_end(byte) || byte == b',' => Ended::Value,
        (Context::Top, Some(b';' | b'}')) | (Context::Map, Some(b';')) => Ended::Value,
        (Context::Map, Some(b'}')) | (Context::Array, Some(b']')) => Ended::Surrounding,
        (Context::Top, _) => return Err(lexer.error(Problem::AfterTopValue(lexer.found()))),
        (Context::Map, _) => return Err(lexer.error(Problem::AfterMapValue(lexer.found()))),
        (Context::Array, _) => return Err(lexer.error(Problem::AfterArrayValue(lexer.found()))),
    };
    lexer.bump();
    Ok(ended)
}

/// The path without `.` parts, so that the same file looks the same. Links that lead round in
/// a circle end at the depth limit instead.
fn plain_path(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .collect()
}
