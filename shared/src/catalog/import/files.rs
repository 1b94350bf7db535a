//! The import as a command does it: lists from files, the catalogue into a folder. The only part
//! of the import that touches a disk.

use super::{ImportError, Lists, Report, import};
use std::io;
use std::path::{Path, PathBuf};

/// The most bytes of one list.
const LIST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where the lists are and where the catalogue goes.
#[derive(Clone, Debug)]
pub struct Paths {
    /// LiteLLM's price list.
    pub litellm: PathBuf,
    /// models.dev's listing.
    pub models_dev: PathBuf,
    /// models.dev's provider-neutral models.
    pub models_dev_base: Option<PathBuf>,
    /// OpenRouter's listing.
    pub openrouter: PathBuf,
    /// Groups of offers of one model.
    pub identity: Option<PathBuf>,
    /// genai-prices, for comparison.
    pub genai: Option<PathBuf>,
    /// The catalogue's folder. Its `providers.toml` is read and kept; `models.toml`,
    /// `endpoints-*.toml` and `provenance.tsv` are replaced.
    pub out: PathBuf,
}

/// Why the import failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file can't be read or written.
    #[error("{path}: {reason}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The lists can't be joined.
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// Reads the lists, joins them and replaces the made files of `out`.
///
/// # Errors
/// A file that can't be read or written, or lists that can't be joined; then nothing is written
/// unless the disk itself fails half-way.
pub fn run(paths: &Paths) -> Result<Report, RunError> {
    let optional = |path: &Option<PathBuf>| path.as_deref().map(read).transpose();
    let providers = read(&paths.out.join("providers.toml"))?;
    let (litellm, models_dev) = (read(&paths.litellm)?, read(&paths.models_dev)?);
    let (base, openrouter) = (optional(&paths.models_dev_base)?, read(&paths.openrouter)?);
    let (identity, genai) = (optional(&paths.identity)?, optional(&paths.genai)?);
    let imported = import(&Lists {
        providers: &providers,
        litellm: &litellm,
        models_dev: &models_dev,
        models_dev_base: base.as_deref(),
        openrouter: &openrouter,
        identity: identity.as_deref(),
        genai: genai.as_deref(),
    })?;
    for stale in made(&paths.out)? {
        std::fs::remove_file(&stale).map_err(at(&stale))?;
    }
    for (name, text) in &imported.files {
        let path = paths.out.join(name);
        std::fs::write(&path, text).map_err(at(&path))?;
    }
    Ok(imported.report)
}

/// Files of an earlier import.
fn made(folder: &Path) -> Result<Vec<PathBuf>, RunError> {
    let mut made = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name == "models.toml" || (name.starts_with("endpoints-") && name.ends_with(".toml")) {
            made.push(path);
        }
    }
    Ok(made)
}

fn read(path: &Path) -> Result<String, RunError> {
    let size = std::fs::metadata(path).map_err(at(path))?.len();
    if size > LIST_BYTES_MAX {
        let reason = io::Error::new(io::ErrorKind::FileTooLarge, "more than 64 MiB");
        return Err(at(path)(reason));
    }
    std::fs::read_to_string(path).map_err(at(path))
}

fn at(path: &Path) -> impl Fn(io::Error) -> RunError {
    let path = path.to_owned();
    move |reason| RunError::File {
        path: path.clone(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_replaces_what_an_earlier_one_made() {
        let folder = tempfile::tempdir().unwrap();
        let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalog/import/tests");
        let shipped =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/catalog/providers.toml");
        std::fs::copy(shipped, folder.path().join("providers.toml")).unwrap();
        std::fs::write(folder.path().join("endpoints-old.toml"), "stale").unwrap();
        let paths = Paths {
            litellm: lists.join("litellm.json"),
            models_dev: lists.join("models-dev.json"),
            models_dev_base: Some(lists.join("models-dev-base.json")),
            openrouter: lists.join("openrouter.json"),
            identity: None,
            genai: None,
            out: folder.path().to_owned(),
        };
        let report = run(&paths).unwrap();
        let files = crate::catalog::file::read_dir(folder.path()).unwrap();
        assert!(!files.contains_key("endpoints-old.toml"));
        let catalog = crate::catalog::file::parse(&files).unwrap();
        assert_eq!(catalog.endpoints.len(), report.endpoints);
        let missing = Paths {
            litellm: lists.join("nothing.json"),
            ..paths
        };
        assert!(
            run(&missing)
                .unwrap_err()
                .to_string()
                .contains("nothing.json")
        );
    }
}
