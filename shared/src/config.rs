//! How a program is configured: a table of keys, filled from a file, then the environment, then
//! flags, and turned into the program's own type in one go. It promises to report every problem at
//! once as `key = value: reason` and never to print a secret. What a tenant or an operator changes
//! at run time is a resource behind the admin API and has no key here.

mod command_line;
pub mod parse;

pub use command_line::{Arguments, CommandLineError};

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::path::Path;

/// What a program exits with when its configuration is refused (`EX_CONFIG`).
pub const EXIT_CONFIG: u8 = 78;
/// What every environment variable of a key begins with.
pub const ENVIRONMENT_PREFIX: &str = "GODWIT_";

/// One row of a program's table of keys.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As in the file; a dot enters a table (`tls.cert`). The environment variable is
    /// `GODWIT_TLS_CERT`, the flag `--tls-cert`.
    pub name: &'static str,
    /// Its value when nobody sets it, as text; empty: none.
    pub default: &'static str,
    /// Shown as `***`.
    pub secret: bool,
    /// One line for `--help`.
    pub about: &'static str,
}

impl Key {
    /// A key that may be printed.
    #[must_use]
    pub const fn new(name: &'static str, default: &'static str, about: &'static str) -> Self {
        Self {
            name,
            default,
            secret: false,
            about,
        }
    }

    /// A key whose value is never printed.
    #[must_use]
    pub const fn secret(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            default: "",
            secret: true,
            about,
        }
    }

    /// The flag's name, without its dashes.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// The environment variable's name.
    #[must_use]
    pub fn variable(&self) -> String {
        format!(
            "{ENVIRONMENT_PREFIX}{}",
            self.name.replace('.', "_").to_ascii_uppercase()
        )
    }
}

/// Where a value comes from; a later one replaces an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Default,
    File,
    Environment,
    Flag,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        }
    }
}

/// A value before it is parsed.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Raw {
    One(String),
    Many(Vec<String>),
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(text) => write!(f, "{text:?}"),
            Self::Many(texts) => write!(f, "{texts:?}"),
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The key, or `config` for the file as a whole.
    pub key: String,
    /// What it was set to; masked for a secret.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}: {}", self.key, self.value, self.reason)
    }
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

/// The layers of one program's configuration.
#[derive(Clone, Debug)]
pub struct Layers {
    keys: &'static [Key],
    values: BTreeMap<&'static str, (Source, Raw)>,
    problems: Vec<Problem>,
}

impl Layers {
    /// The defaults of `keys`.
    #[must_use]
    pub fn new(keys: &'static [Key]) -> Self {
        let defaults = keys.iter().filter(|key| !key.default.is_empty());
        let values = defaults
            .map(|key| {
                (
                    key.name,
                    (Source::Default, Raw::One(key.default.to_owned())),
                )
            })
            .collect();
        Self {
            keys,
            values,
            problems: Vec::new(),
        }
    }

    /// Everything that a program's command line asks for: the file, the process's environment,
    /// then the flags.
    #[must_use]
    pub fn of(keys: &'static [Key], arguments: &Arguments) -> Self {
        let mut layers = Self::new(keys);
        if let Some(path) = &arguments.config {
            layers.file(path);
        }
        layers.environment(std::env::vars());
        for (name, value) in &arguments.flags {
            layers.flag(name, value);
        }
        layers
    }

    /// Lays a TOML file over what is there.
    pub fn file(&mut self, path: &Path) {
        match std::fs::read_to_string(path) {
            Ok(text) => self.toml(&text),
            Err(error) => self.complain("config", &path.display().to_string(), &error.to_string()),
        }
    }

    /// Lays a TOML text over what is there. Unknown keys are problems.
    pub fn toml(&mut self, text: &str) {
        match text.parse::<toml::Table>() {
            Ok(table) => self.table("", &table),
            Err(error) => self.complain("config", "TOML", error.to_string().trim()),
        }
    }

    /// Lays environment variables over what is there. Variables of no key are somebody else's.
    pub fn environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        let by_name: BTreeMap<String, &'static Key> =
            self.keys.iter().map(|key| (key.variable(), key)).collect();
        for (name, value) in variables {
            if let Some(key) = by_name.get(&name) {
                self.values
                    .insert(key.name, (Source::Environment, Raw::One(value)));
            }
        }
    }

    /// Lays one value from the command line over what is there; `name` is the key's.
    pub fn flag(&mut self, name: &str, value: &str) {
        match self.key(name) {
            Some(key) => {
                let raw = Raw::One(value.to_owned());
                self.values.insert(key.name, (Source::Flag, raw));
            }
            None => self.complain(name, value, "unknown key"),
        }
    }

    /// The value of `name`; none when nobody set it or when it is refused (which is noted).
    pub fn optional<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = match &self.values.get(name)?.1 {
            Raw::One(text) => text.clone(),
            Raw::Many(_) => {
                self.refuse(name, "one value is expected, not a list");
                return None;
            }
        };
        if text.is_empty() {
            return None;
        }
        parse(&text)
            .map_err(|reason| self.refuse(name, &reason))
            .ok()
    }

    /// The value of `name`; that nobody set it is noted as a problem.
    pub fn required<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if !self.is_set(name) {
            self.complain(name, "", "is required");
            return None;
        }
        self.optional(name, parse)
    }

    /// The values of a list, in order; in the environment and in flags they are separated by
    /// commas. Items that are refused are noted and left out.
    pub fn list<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let texts: Vec<String> = match self.values.get(name).map(|(_, raw)| raw) {
            None => Vec::new(),
            Some(Raw::Many(texts)) => texts.clone(),
            Some(Raw::One(text)) => text
                .split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect(),
        };
        let mut items = Vec::with_capacity(texts.len());
        for text in texts {
            match parse(&text) {
                Ok(item) => items.push(item),
                Err(reason) => self.refuse(name, &format!("{text:?}: {reason}")),
            }
        }
        items
    }

    /// True when `name` has a value that is not empty, be it the default.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        match self.values.get(name).map(|(_, raw)| raw) {
            None => false,
            Some(Raw::One(text)) => !text.is_empty(),
            Some(Raw::Many(texts)) => !texts.is_empty(),
        }
    }

    /// Notes a problem with the value of `name`, e.g. that it does not go with another key's.
    pub fn refuse(&mut self, name: &str, reason: &str) {
        let shown = self.shown(name);
        self.complain(name, &shown, reason);
    }

    /// Ends the reading: `value` if there is one and nothing was wrong.
    ///
    /// # Errors
    /// Every problem noted so far.
    pub fn finish<T>(&mut self, value: Option<T>) -> Result<T, Problems> {
        let problems = std::mem::take(&mut self.problems);
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => Err(Problems(problems)),
        }
    }

    /// What is in force, as TOML with the source of each value; secrets are masked.
    #[must_use]
    pub fn effective(&self) -> String {
        let mut text = String::new();
        for key in self.keys {
            let name = key.name;
            let _ = match self.values.get(name) {
                Some((source, _)) => {
                    let shown = self.shown(name);
                    writeln!(text, "{name} = {shown}  # {}", source.as_str())
                }
                None => writeln!(text, "# {name} is not set"),
            };
        }
        text
    }

    fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    fn shown(&self, name: &str) -> String {
        let secret = self.key(name).is_some_and(|key| key.secret);
        match self.values.get(name) {
            Some(_) if secret => "\"***\"".to_owned(),
            Some((_, raw)) => raw.to_string(),
            None => String::new(),
        }
    }

    fn complain(&mut self, key: &str, value: &str, reason: &str) {
        self.problems.push(Problem {
            key: key.to_owned(),
            value: value.to_owned(),
            reason: reason.to_owned(),
        });
    }

    fn table(&mut self, prefix: &str, table: &toml::Table) {
        for (name, value) in table {
            let path = format!("{prefix}{name}");
            if let toml::Value::Table(inner) = value {
                self.table(&format!("{path}."), inner);
                continue;
            }
            let Some(key) = self.key(&path) else {
                // The value may be a secret under a mistyped name: it is not repeated.
                self.complain(&path, "…", "unknown key");
                continue;
            };
            match raw(value) {
                Some(raw) => {
                    self.values.insert(key.name, (Source::File, raw));
                }
                None => self.complain(&path, "…", "a text, number, truth or list is expected"),
            }
        }
    }
}

fn raw(value: &toml::Value) -> Option<Raw> {
    match value {
        toml::Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(scalar).collect();
            texts.map(Raw::Many)
        }
        other => scalar(other).map(Raw::One),
    }
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests;
