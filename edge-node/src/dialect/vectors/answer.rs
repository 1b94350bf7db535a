//! Reads a whole answer, whoever's names it has: vectors by place, scores by document, counts.

use super::base64;
use crate::dialect::{ANSWER_BYTES_MAX, Bill, Target, Translator, classify};
use crate::egress::Envelope;
use crate::egress::vectors;
use crate::failure::Failure;
use crate::ingress::Call;
use crate::message::Progress;
use crate::wire::json::{self, Kind as Json, Scanner, Str, SyntaxError};
use bytes::BytesMut;
use shared::usage::Usage;

/// What was asked for.
pub(super) enum Kind {
    /// So many vectors, of so many pictures among other things, in this form; `bytes` is true where
    /// the provider's are of signed bytes.
    Vectors {
        count: usize,
        images: u64,
        base64: bool,
        bytes: bool,
    },
    /// A ranking of these documents, as the client wrote them.
    Ranking(Vec<String>),
}

/// An answer that is collected, read and written anew.
pub(super) struct Collected {
    kind: Kind,
    name: String,
    envelope: Envelope,
    progress: Progress,
    body: Vec<u8>,
    /// The answer's list, as it will be written.
    list: Vec<u8>,
}

impl Collected {
    pub(super) fn new(kind: Kind, call: &Call, target: &Target<'_>) -> Self {
        Self {
            kind,
            name: target.provider.name.clone(),
            envelope: Envelope::new(call, target),
            progress: Progress::default(),
            body: Vec::new(),
            list: Vec::new(),
        }
    }

    fn read(&mut self) -> Result<(), Failure> {
        let garbage = |what: &str| classify::garbage(&self.name, what);
        let body = std::mem::take(&mut self.body);
        let text = std::str::from_utf8(body.trim_ascii())
            .map_err(|_| garbage("text that is not UTF-8"))?;
        let mut found = Found::default();
        let mut scanner = Scanner::new(text);
        let read = found.read(&mut scanner);
        read.map_err(|error| garbage(error.reason))?;
        let made = match &self.kind {
            _ if found.failed => return Err(classify::in_band(&self.name, text)),
            Kind::Vectors {
                count,
                base64,
                bytes,
                ..
            } => found.vectors(*count, *base64, *bytes),
            Kind::Ranking(documents) => found.ranking(documents),
        };
        self.list = made.map_err(garbage)?;
        let images = match self.kind {
            Kind::Vectors { images, .. } => images,
            Kind::Ranking(_) => 0,
        };
        let usage = found.counts.usage();
        self.progress.usage = usage.map(|usage| Usage { images, ..usage });
        self.progress.upstream_id = found.id;
        self.progress.owed = true;
        self.progress.done = true;
        Ok(())
    }
}

impl Translator for Collected {
    fn feed(&mut self, chunk: &[u8], _out: &mut BytesMut) -> Result<(), Failure> {
        if self.body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(classify::too_large(&self.name, "64 MiB"));
        }
        self.body.extend_from_slice(chunk);
        Ok(())
    }

    fn end(&mut self, _out: &mut BytesMut) -> Result<(), Failure> {
        if self.body.trim_ascii().is_empty() {
            return Err(classify::empty(&self.name));
        }
        self.read()
    }

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        match self.kind {
            Kind::Vectors { .. } => vectors::embeddings(&self.envelope, &self.list, bill, out),
            Kind::Ranking(_) => vectors::ranking(&self.envelope, &self.list, bill, out),
        }
    }
}

/// What an answer says.
#[derive(Default)]
struct Found<'a> {
    items: Vec<Item<'a>>,
    counts: Counts,
    id: String,
    failed: bool,
}

/// A vector or a score.
#[derive(Clone, Copy, Default)]
struct Item<'a> {
    index: Option<usize>,
    /// A list of numbers as written, or base64 with its quotes.
    vector: Option<&'a str>,
    score: Option<&'a str>,
}

impl<'a> Found<'a> {
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Result<(), SyntaxError> {
        if scanner.kind()? == Json::Array {
            // Some hosts answer with the bare list.
            self.list(scanner)?;
            return scanner.end();
        }
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("data" | "results" | "embeddings", Json::Array) => self.list(scanner)?,
                // Cohere: by type, of which one was asked for.
                ("embeddings", Json::Object) => {
                    scanner.begin_object()?;
                    while scanner.key()?.is_some() {
                        if scanner.kind()? == Json::Array {
                            self.list(scanner)?;
                        } else {
                            scanner.value()?;
                        }
                    }
                }
                ("embedding", Json::Object) => {
                    let item = item(scanner)?;
                    self.items.push(item);
                }
                ("usage" | "usageMetadata" | "meta", Json::Object) => {
                    self.counts.read(scanner, "")?;
                }
                ("id", Json::String) => self.id = scanner.string()?.decode().into_owned(),
                ("error", kind) => {
                    self.failed |= kind != Json::Null;
                    scanner.value()?;
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        scanner.end()
    }

    fn list(&mut self, scanner: &mut Scanner<'a>) -> Result<(), SyntaxError> {
        scanner.begin_array()?;
        while scanner.element()? {
            let item = match scanner.kind()? {
                Json::Object => item(scanner)?,
                _ => {
                    let span = scanner.value()?;
                    let vector = Some(scanner.raw(span));
                    Item {
                        vector,
                        ..Item::default()
                    }
                }
            };
            self.items.push(item);
        }
        Ok(())
    }

    /// The vectors in the order of the inputs, each once.
    fn vectors(&self, count: usize, base64: bool, bytes: bool) -> Result<Vec<u8>, &'static str> {
        let mut places: Vec<Option<&str>> = vec![None; count];
        for (at, item) in self.items.iter().enumerate() {
            let place = places.get_mut(item.index.unwrap_or(at));
            let place = place.ok_or("more vectors than there were inputs")?;
            *place = item.vector;
        }
        let mut out = Vec::new();
        for (index, vector) in places.into_iter().enumerate() {
            let vector = vector.ok_or("fewer vectors than there were inputs")?;
            let comma = if index == 0 { "" } else { "," };
            let head =
                format!("{comma}{{\"object\":\"embedding\",\"index\":{index},\"embedding\":");
            out.extend_from_slice(head.as_bytes());
            let unpacked = if bytes { unpacked(vector)? } else { None };
            let vector = unpacked.as_deref().unwrap_or(vector);
            let is_text = vector.starts_with('"');
            if is_text == base64 {
                out.extend_from_slice(vector.as_bytes());
            } else if base64 {
                let text = base64::encode(vector).map_err(|_| "a vector of other things")?;
                out.extend_from_slice(format!("\"{text}\"").as_bytes());
            } else {
                let text = Scanner::new(vector)
                    .string()
                    .map_err(|error| error.reason)?;
                let list = base64::decode(&text.decode()).ok_or("base64 of no vector")?;
                out.extend_from_slice(list.as_bytes());
            }
            out.push(b'}');
        }
        Ok(out)
    }

    /// The scores in the provider's order, each with its document.
    fn ranking(&self, documents: &[String]) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::new();
        for item in &self.items {
            let index = item.index.ok_or("a score without its document")?;
            let document = documents.get(index);
            let document = document.ok_or("a score of no document")?;
            let score = item.score.ok_or("a document without its score")?;
            let comma = if out.is_empty() { "" } else { "," };
            let head = format!("{comma}{{\"index\":{index},\"relevance_score\":{score}");
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(b",\"document\":");
            if document.starts_with('"') {
                out.extend_from_slice(b"{\"text\":");
                out.extend_from_slice(document.as_bytes());
                out.push(b'}');
            } else {
                out.extend_from_slice(document.as_bytes());
            }
            out.push(b'}');
        }
        if out.is_empty() {
            return Err("an empty ranking");
        }
        Ok(out)
    }
}

/// A vector of signed bytes as a list of numbers; none for one that is a list already.
fn unpacked(vector: &str) -> Result<Option<String>, &'static str> {
    if !vector.starts_with('"') {
        return Ok(None);
    }
    let text = Scanner::new(vector)
        .string()
        .map_err(|error| error.reason)?;
    let list = base64::decode_bytes(&text.decode()).ok_or("base64 of no vector")?;
    Ok(Some(list))
}

fn item<'a>(scanner: &mut Scanner<'a>) -> Result<Item<'a>, SyntaxError> {
    let mut item = Item::default();
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let kind = scanner.kind()?;
        let span = scanner.value()?;
        let raw = Some(scanner.raw(span));
        match (&*key.name.decode(), kind) {
            ("index", Json::Number) => {
                let index = raw.and_then(json::count);
                item.index = index.and_then(|index| usize::try_from(index).ok());
            }
            ("embedding" | "values", Json::Array | Json::String) => item.vector = raw,
            ("relevance_score" | "score", Json::Number) => item.score = raw,
            _ => {}
        }
    }
    Ok(item)
}

/// Counts under all names.
#[derive(Clone, Copy, Default)]
struct Counts {
    prompt: Option<u64>,
    total: Option<u64>,
    image: u64,
    /// Of these: not inside the prompt.
    beside: u64,
    audio: u64,
    units: u64,
}

impl Counts {
    fn read(&mut self, scanner: &mut Scanner<'_>, outer: &str) -> Result<(), SyntaxError> {
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let name = key.name.decode();
            match scanner.kind()? {
                Json::Object if outer.is_empty() => self.read(scanner, &name)?,
                // Gemini's two spellings.
                Json::Array if name.ends_with("Details") => self.details(scanner)?,
                Json::Number => {
                    let span = scanner.value()?;
                    let Some(count) = json::count(scanner.raw(span)) else {
                        continue;
                    };
                    match (outer, &*name) {
                        ("", "prompt_tokens" | "input_tokens" | "promptTokenCount")
                        | ("billed_units", "input_tokens") => self.prompt = Some(count),
                        ("", "total_tokens" | "totalTokenCount") => self.total = Some(count),
                        ("" | "billed_units", "search_units") => self.units = count,
                        ("billed_units", "image_tokens") => {
                            self.image = count;
                            self.beside = count;
                        }
                        _ => {}
                    }
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }

    fn details(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        scanner.begin_array()?;
        while scanner.element()? {
            let (mut kind, mut count) = (None, 0);
            scanner.begin_object()?;
            while let Some(key) = scanner.key()? {
                match (&*key.name.decode(), scanner.kind()?) {
                    ("modality", Json::String) => kind = Some(scanner.string()?),
                    ("tokenCount", Json::Number) => {
                        let span = scanner.value()?;
                        count = json::count(scanner.raw(span)).unwrap_or(0);
                    }
                    _ => {
                        scanner.value()?;
                    }
                }
            }
            match kind.map(Str::inner) {
                Some("IMAGE") => self.image = count,
                Some("AUDIO") => self.audio = count,
                _ => {}
            }
        }
        Ok(())
    }

    /// Cohere counts pictures beside the text, Gemini inside the prompt.
    fn usage(self) -> Option<Usage> {
        let known = self.prompt.or(self.total);
        if known.is_none() && self.units == 0 && self.image == 0 {
            return None;
        }
        let prompt = known.unwrap_or(0).saturating_add(self.beside);
        Some(Usage {
            prompt,
            prompt_image: self.image,
            prompt_audio: self.audio,
            search_units: self.units,
            ..Usage::default()
        })
    }
}
