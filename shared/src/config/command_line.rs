//! The command line of a program that is configured by a table of keys: `--config FILE`,
//! `--check`, `--help`, and one flag per key. Programs with subcommands parse their own.

use super::{Key, Layers, Problems};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

/// What the command line says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Arguments {
    /// The file to read first.
    pub config: Option<PathBuf>,
    /// Only check the configuration and print what is in force.
    pub check: bool,
    /// Only print the help.
    pub help: bool,
    /// Key names and values, in order.
    pub flags: Vec<(&'static str, String)>,
}

/// An argument that no program takes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandLineError {
    /// Neither a flag of the program nor of a key.
    #[error("unknown argument {0:?}; --help lists them")]
    Unknown(String),
    /// A flag without its value.
    #[error("--{0} needs a value")]
    NoValue(String),
}

impl Arguments {
    /// Reads the arguments after the program's name. A flag's value follows it or an `=`.
    ///
    /// # Errors
    /// At the first argument that is not known.
    pub fn parse(
        keys: &'static [Key],
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, CommandLineError> {
        let mut parsed = Self::default();
        let mut rest = arguments.into_iter();
        while let Some(argument) = rest.next() {
            let argument = argument.to_string_lossy().into_owned();
            let unknown = || CommandLineError::Unknown(argument.clone());
            let flag = argument.strip_prefix("--").ok_or_else(unknown)?;
            match flag {
                "check" => parsed.check = true,
                "help" => parsed.help = true,
                _ => {
                    let (name, inline) = match flag.split_once('=') {
                        Some((name, value)) => (name, Some(value.to_owned())),
                        None => (flag, None),
                    };
                    let key = keys.iter().find(|key| key.flag() == name);
                    if key.is_none() && name != "config" {
                        return Err(unknown());
                    }
                    let following = || rest.next().map(|next| next.to_string_lossy().into_owned());
                    let value = inline
                        .or_else(following)
                        .ok_or_else(|| CommandLineError::NoValue(name.to_owned()))?;
                    match key {
                        Some(key) => parsed.flags.push((key.name, value)),
                        None => parsed.config = Some(PathBuf::from(value)),
                    }
                }
            }
        }
        Ok(parsed)
    }

    /// The text of `--help`.
    #[must_use]
    pub fn help(program: &str, about: &str, keys: &[Key]) -> String {
        let mut text = format!("{about}\n\nUsage: {program} [--config FILE] [--check] [FLAG]…\n\n");
        let rows = [
            ("config FILE", "read this TOML file first"),
            ("check", "validate, print what is in force and exit"),
        ];
        for (flag, about) in rows {
            let _ = writeln!(text, "  --{flag:<24} {about}");
        }
        for key in keys {
            let flag = format!("{} VALUE", key.flag());
            let default = match key.default {
                "" => String::new(),
                default => format!(" [{default}]"),
            };
            let _ = writeln!(text, "  --{flag:<24} {}{default}", key.about);
        }
        text.push_str(
            "\nEach flag is also a key of the file (dashes are underscores, tables by dots)\n",
        );
        text.push_str("and an environment variable GODWIT_…; flag over environment over file.\n");
        text
    }

    /// Lays the file, the environment and these flags over the defaults and reads them with
    /// `read`. Gives the program's configuration and what `--check` prints.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn load<T>(
        &self,
        keys: &'static [Key],
        read: impl FnOnce(&mut Layers) -> Option<T>,
    ) -> Result<(T, String), Problems> {
        let mut layers = Layers::of(keys, self);
        let value = read(&mut layers);
        let effective = layers.effective();
        layers.finish(value).map(|value| (value, effective))
    }
}
