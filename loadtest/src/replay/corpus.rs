//! The recorded exchanges, read from their folder: only what replaying needs. The folder's format
//! is described in its own README.

use super::Filter;
use super::format::Format;
use bytes::Bytes;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// One recorded exchange.
#[derive(Clone, Debug)]
pub struct Case {
    /// The folder's name.
    pub name: String,
    /// The number at its beginning, e.g. `d011`: unique, and a slug.
    pub key: String,
    /// What it is written in.
    pub format: Format,
    /// Who answered.
    pub provider: String,
    /// The model that was asked, as the provider calls it.
    pub model: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// The answer was an event stream.
    pub stream: bool,
    /// The request's JSON body, where it was recorded.
    pub request: Option<Value>,
    /// The answer's headers.
    pub headers: Vec<(String, String)>,
    /// The answer's bytes.
    pub body: Bytes,
}

/// Why the corpus cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct CorpusError {
    file: String,
    reason: String,
}

/// Reads the conversations that fit the filter, by name: the folders in `cases/`, or in the folder
/// itself when it has none.
///
/// # Errors
/// A file is missing or is not what it should be.
pub fn load(folder: &Path, filter: &Filter) -> Result<Vec<Case>, CorpusError> {
    let mut cases = folder.join("cases");
    if !cases.is_dir() {
        folder.clone_into(&mut cases);
    }
    let entries = fs::read_dir(&cases).map_err(|error| wrong(&cases, &error.to_string()))?;
    let mut found = Vec::new();
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        // What else stands there is no recording.
        if !entry.path().join("meta.json").is_file() {
            continue;
        }
        if filter
            .name
            .as_ref()
            .is_some_and(|part| !name.contains(part.as_str()))
        {
            continue;
        }
        if let Some(case) = read(&entry.path(), name)?
            && filter.format.is_none_or(|only| only == case.format)
        {
            found.push(case);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn read(folder: &Path, name: String) -> Result<Option<Case>, CorpusError> {
    let meta = json(&folder.join("meta.json"))?;
    let text = |member: &str| {
        meta.get(member)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let Some(format) = Format::parse(&text("dialect")) else {
        return Ok(None);
    };
    // Through the invoke API each family speaks its own way; we speak Anthropic's.
    let invokes = matches!(format, Format::Invoke | Format::InvokeStream);
    if invokes && !text("model").contains("anthropic") {
        return Ok(None);
    }
    let request = json(&folder.join("request.json"))?;
    let headers = json(&folder.join("response.headers.json"))?;
    let body_file = folder.join("response.body");
    let body = fs::read(&body_file).map_err(|error| wrong(&body_file, &error.to_string()))?;
    let tags = meta.get("tags").and_then(Value::as_array);
    let stream = tags.is_some_and(|tags| tags.iter().any(|tag| tag == "stream"));
    let status = meta.get("status").and_then(Value::as_u64).unwrap_or(200);
    let key = name.split('-').next().unwrap_or(&name).to_owned();
    let model = Some(text("model")).filter(|model| !model.is_empty());
    Ok(Some(Case {
        model: model.unwrap_or_else(|| key.clone()),
        key,
        name,
        format,
        provider: text("provider"),
        status: u16::try_from(status).unwrap_or(200),
        stream,
        request: request.get("body").filter(|body| body.is_object()).cloned(),
        headers: headers
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
        body: body.into(),
    }))
}

fn json(file: &Path) -> Result<Value, CorpusError> {
    let bytes = fs::read(file).map_err(|error| wrong(file, &error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(file, &error.to_string()))
}

fn wrong(file: &Path, reason: &str) -> CorpusError {
    CorpusError {
        file: file.display().to_string(),
        reason: reason.to_owned(),
    }
}
