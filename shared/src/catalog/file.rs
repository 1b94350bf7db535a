//! The catalogue as a folder of TOML files: parsed strictly, merged, and written back.
//!
//! A catalogue with any problem is refused as a whole, and every problem is told at once, with file
//! and line. `parse(to_toml(c)) == c`, and equal catalogues give equal bytes.
//!
//! Left out by choice: what a dialect can do with a provider, and credentials; both are the
//! edge's business.
//!
//! # The format
//! `[[providers]]`: `slug`, `dialect`, `base_url` are required. Defaults: `name` the slug; `auth`
//! the dialect's; `data_policy` unknown (trains, keeps); `timeouts` as in [`Timeouts`]. `auth` is
//! one of [`Auth`]: for `aws-sigv4` the variable that `api_key_env` names holds
//! `ACCESS_KEY_ID:SECRET` or `ACCESS_KEY_ID:SECRET:SESSION_TOKEN`, and the region is taken from
//! the host of `base_url`.
//!
//! `[[models]]`: `id`, `context_length` are required. Defaults: `name` the id; `created` 0;
//! modalities `["text"]`; `tokenizer` `Other`.
//!
//! `[[endpoints]]`: `model`, `provider`, `provider_model` and `pricing` with `prompt` and
//! `completion` are required. Defaults: `tag` the provider's slug; `context_length` the model's;
//! `quantization` `unknown`; no parameters; no quirks but its provider's; `efforts`, the
//! words of `reasoning_effort` that it knows, all of them.
//!
//! `[[auto]]`: the models that `godwit/auto` uses for one `task`, best first, by cost tier: `low`,
//! `medium`, `high`, `xhigh`, `max`, each a list; a tier that is left out is served by the next
//! cheaper one. The table of `task = "default"` is required where there is any, and names the
//! version of the `classifier` whose tasks these are.
//!
//! [`Auth`]: crate::catalog::Auth
//! [`Timeouts`]: crate::catalog::Timeouts

mod auto;
mod endpoint;
mod merge;
mod model;
mod provider;
mod section;
#[cfg(test)]
mod tests;
mod write;

pub use write::to_toml;

use crate::catalog::Catalog;
use section::Sheet;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

/// The most files that a catalogue's folder may hold.
pub const FILES_MAX: usize = 1_000;
/// The most bytes of one file.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The most bytes of all files together.
pub const FOLDER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most problems that are told; the rest is counted in the last one.
pub const PROBLEMS_MAX: usize = 1_000;

/// One reason for which a catalogue is refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The table and key, e.g. `endpoints.pricing.prompt`.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            key,
            reason,
        } = self;
        write!(f, "{file}:{line}: {key}: {reason}")
    }
}

/// Parses a catalogue from its files' texts, by name.
///
/// # Errors
/// All the problems, by file and line, at most [`PROBLEMS_MAX`].
pub fn parse(files: &BTreeMap<String, String>) -> Result<Catalog, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut gathered = merge::Gathered::default();
    for (name, text) in files {
        let (document, errors) = toml::de::DeTable::parse_recoverable(text);
        let sheet = Sheet::new(name, text);
        gathered.broken |= !errors.is_empty();
        if errors.is_empty() {
            gathered.read(&sheet, document.get_ref());
        }
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            sheet.report(at, "toml", error.message().replace('\n', "; "));
        }
        problems.append(&mut sheet.into_problems());
    }
    let catalog = gathered.merge(&mut problems);
    if problems.is_empty() {
        return Ok(catalog);
    }
    problems.sort();
    let rest = problems.len().saturating_sub(PROBLEMS_MAX - 1);
    if rest > 1 {
        problems.truncate(PROBLEMS_MAX - 1);
        problems.push(Problem {
            file: "catalogue".to_owned(),
            line: 0,
            key: "problems".to_owned(),
            reason: format!("and {rest} more"),
        });
    }
    Err(problems)
}

/// Reads the `*.toml` files of a folder (not of its subfolders), by file name.
///
/// # Errors
/// What the file system says, with the path; a file that is not UTF-8; more than [`FILES_MAX`]
/// files, [`FILE_BYTES_MAX`] in one or [`FOLDER_BYTES_MAX`] in all.
pub fn read_dir(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let at = |path: &Path, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    let too_big = |path: &Path, what: &str| {
        io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{}: {what}", path.display()),
        )
    };
    let mut files = BTreeMap::new();
    let mut total = 0;
    for entry in std::fs::read_dir(path).map_err(|e| at(path, e))? {
        let file = entry.map_err(|e| at(path, e))?.path();
        let name = file.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| name.ends_with(".toml") && !name.starts_with('.'))
        else {
            continue;
        };
        let size = std::fs::metadata(&file).map_err(|e| at(&file, e))?.len();
        total += size;
        if size > FILE_BYTES_MAX {
            return Err(too_big(&file, "more than 16 MiB"));
        }
        if files.len() >= FILES_MAX || total > FOLDER_BYTES_MAX {
            return Err(too_big(path, "more than 1,000 files or 64 MiB"));
        }
        let text = std::fs::read_to_string(&file).map_err(|e| at(&file, e))?;
        files.insert(name.to_owned(), text);
    }
    Ok(files)
}
