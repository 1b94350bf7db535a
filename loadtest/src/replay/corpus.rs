//! The recorded exchanges, read from their folder: only what replaying needs. The folder's format
//! is described in its own README.

use super::Filter;
use super::format::Format;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

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

impl Case {
    /// The catalogue's dialect of its provider.
    #[must_use]
    pub fn dialect(&self) -> &'static str {
        match (self.format, self.provider.as_str()) {
            (Format::Embeddings, "google-ai-studio") => "gemini",
            (format, _) => format.dialect(),
        }
    }
}

/// A recording that is not played.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    /// The folder's name.
    pub name: String,
    /// Why.
    pub why: &'static str,
}

/// What stands in the folder and is not played: what no client API asks for, or no dialect speaks.
///
/// # Errors
/// As [`load`].
pub fn left_out(folder: &Path, filter: &Filter) -> Result<Vec<LeftOut>, CorpusError> {
    let mut found = Vec::new();
    for (name, path) in folders(folder, filter)? {
        let meta = json(&path.join("meta.json"))?;
        let text = |member: &str| meta.get(member).and_then(Value::as_str).unwrap_or("");
        if let Some(why) = lack(text("dialect"), text("model"))
            && filter.format.is_none()
        {
            found.push(LeftOut { name, why });
        }
    }
    Ok(found)
}

/// Why no client API can ask for a recording.
fn lack(dialect: &str, model: &str) -> Option<&'static str> {
    match dialect {
        "images" => Some("the API of pictures is not one of the client APIs"),
        "audio" => Some("the API of speech is not one of the client APIs"),
        "openai-completions" => {
            Some("the provider speaks the text API, which is no upstream dialect")
        }
        // Through the invoke API each family speaks its own way; we speak Anthropic's.
        "bedrock-invoke" | "bedrock-invoke-stream" if !model.contains("anthropic") => {
            Some("the family's own format in Bedrock's invoke API is no upstream dialect")
        }
        known if Format::parse(known).is_none() => Some("its dialect is not known"),
        _ => None,
    }
}

/// Why the corpus cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct CorpusError {
    file: String,
    reason: String,
}

/// Reads the recordings that fit the filter and that a client API can ask for, by name: the folders
/// in `cases/`, or in the folder itself when it has none.
///
/// # Errors
/// A file is missing or is not what it should be.
pub fn load(folder: &Path, filter: &Filter) -> Result<Vec<Case>, CorpusError> {
    let mut found = Vec::new();
    for (name, path) in folders(folder, filter)? {
        if let Some(case) = read(&path, name)?
            && filter.format.is_none_or(|only| only == case.format)
        {
            found.push(case);
        }
    }
    Ok(found)
}

/// The folders of recordings, with their names, by name.
fn folders(folder: &Path, filter: &Filter) -> Result<Vec<(String, PathBuf)>, CorpusError> {
    let mut cases = folder.join("cases");
    if !cases.is_dir() {
        folder.clone_into(&mut cases);
    }
    let mut found = Vec::new();
    // Some corpora keep the recordings that are no conversations apart.
    for place in [&cases, &cases.join("vectors")] {
        if place != &cases && !place.is_dir() {
            continue;
        }
        let entries = fs::read_dir(place).map_err(|error| wrong(place, &error.to_string()))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_wanted = |part: &String| name.contains(part.as_str());
            // What else stands there is no recording.
            if entry.path().join("meta.json").is_file()
                && filter.name.as_ref().is_none_or(is_wanted)
            {
                found.push((name, entry.path()));
            }
        }
    }
    found.sort();
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
    let known = Format::parse(&text("dialect"));
    let Some(format) = known.filter(|_| lack(&text("dialect"), &text("model")).is_none()) else {
        return Ok(None);
    };
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
