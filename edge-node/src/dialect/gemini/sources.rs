//! Sources of an answer: what a search found, and what was recited. The provider counts bytes, the
//! client's API characters.

use crate::dialect::gemini::fields::each_of;
use crate::wire::json::{self, Kind, Scanner, Str, SyntaxError};

/// How many sources of one answer are passed on.
const SOURCES_MAX: usize = 256;
/// How much text is kept to find places in it; behind that, places are not told.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// A source, and the bytes that rest on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cited<'a> {
    pub(super) url: Str<'a>,
    pub(super) title: Str<'a>,
    pub(super) bytes: Option<(usize, usize)>,
}

/// What a grounding object says.
#[derive(Debug, Default)]
pub(super) struct Grounding<'a> {
    chunks: Vec<Option<(Str<'a>, Str<'a>)>>,
    supports: Vec<Support>,
    /// Searches that were made.
    pub(super) searches: u64,
    /// A place on a map is among them.
    pub(super) has_maps: bool,
}

/// A piece of the text, and the sources that it rests on.
#[derive(Debug, Default)]
struct Support {
    part: usize,
    start: usize,
    end: usize,
    chunks: Vec<usize>,
}

/// The text of one choice, for the places in it, and the sources that were told.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    /// Where the parts of the last frame start, in bytes.
    pub(super) parts: Vec<usize>,
    told: Vec<(String, Option<(usize, usize)>)>,
    /// Sources of a text that has not come yet.
    held: Vec<Held>,
    is_cut: bool,
}

/// A source that waits for its text; the insides of JSON strings.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) url: String,
    pub(super) title: String,
    pub(super) bytes: Option<(usize, usize)>,
}

impl Text {
    pub(super) fn push(&mut self, piece: Str<'_>) {
        let piece = piece.decode();
        self.is_cut |= self.text.len() + piece.len() > KEPT_BYTES_MAX;
        if !self.is_cut {
            self.text.push_str(&piece);
        }
    }

    /// A part begins.
    pub(super) fn begin_part(&mut self) {
        self.parts.push(self.text.len());
    }

    /// Bytes to characters; none for a place that is not in the text, as far as it is kept.
    pub(super) fn characters(&self, bytes: Option<(usize, usize)>) -> Option<(usize, usize)> {
        let (start, end) = bytes?;
        let before = self.text.get(..start)?.chars().count();
        let inside = self.text.get(start..end)?.chars().count();
        Some((before, before + inside))
    }

    /// True when the text on which the source rests is there; else it is held.
    pub(super) fn reaches(&mut self, source: &Cited<'_>) -> bool {
        let end = source.bytes.map_or(0, |(_, end)| end);
        let reaches = self.is_cut || end <= self.text.len();
        if !reaches {
            self.held.push(Held {
                url: source.url.inner().to_owned(),
                title: source.title.inner().to_owned(),
                bytes: source.bytes,
            });
        }
        reaches
    }

    /// What was held, once.
    pub(super) fn release(&mut self) -> Vec<Held> {
        std::mem::take(&mut self.held)
    }

    /// True for a source that was not told before at this place, and may be.
    pub(super) fn is_news(&mut self, source: &Cited<'_>) -> bool {
        let url = source.url.inner();
        let known = |(of, bytes): &(String, _)| of == url && *bytes == source.bytes;
        if self.told.len() >= SOURCES_MAX || self.told.iter().any(known) {
            return false;
        }
        self.told.push((url.to_owned(), source.bytes));
        true
    }
}

impl<'a> Grounding<'a> {
    /// Reads the object at a place.
    pub(super) fn starting(text: &'a str, at: usize) -> Result<Self, SyntaxError> {
        let mut all = Self::default();
        each_of(text, at, "groundingChunks", |scanner| {
            let chunk = chunk(scanner, &mut all.has_maps)?;
            all.chunks.push(chunk);
            Ok(())
        })?;
        each_of(text, at, "groundingSupports", |scanner| {
            let support = Support::read(scanner)?;
            all.supports.push(support);
            Ok(())
        })?;
        all.searches = queries(text, at)?;
        Ok(all)
    }

    /// Each source with each piece of text that rests on it, then those that no text rests on.
    pub(super) fn sources(&self, parts: &[usize]) -> Vec<Cited<'a>> {
        let mut all = Vec::new();
        let mut used = vec![false; self.chunks.len()];
        for support in &self.supports {
            let base = match support.part {
                0 => 0,
                part => parts.get(part).copied().unwrap_or(0),
            };
            let bytes = (
                base.saturating_add(support.start),
                base.saturating_add(support.end),
            );
            for index in &support.chunks {
                if let Some(used) = used.get_mut(*index) {
                    *used = true;
                }
                if let Some(Some((url, title))) = self.chunks.get(*index) {
                    let bytes = Some(bytes);
                    all.push(Cited {
                        url: *url,
                        title: *title,
                        bytes,
                    });
                }
            }
            if all.len() > SOURCES_MAX {
                return all;
            }
        }
        for (chunk, _) in self.chunks.iter().zip(&used).filter(|(_, used)| !**used) {
            if let Some((url, title)) = chunk {
                all.push(Cited {
                    url: *url,
                    title: *title,
                    bytes: None,
                });
            }
        }
        all
    }
}

impl Support {
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, SyntaxError> {
        let mut support = Self::default();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            match (&*key.name.decode(), scanner.kind()?) {
                ("segment", Kind::Object) => {
                    scanner.begin_object()?;
                    while let Some(key) = scanner.key()? {
                        let name = key.name.decode();
                        let span = scanner.value()?;
                        let field = match &*name {
                            "partIndex" => &mut support.part,
                            "startIndex" => &mut support.start,
                            "endIndex" => &mut support.end,
                            _ => continue,
                        };
                        *field = size(scanner.raw(span));
                    }
                }
                ("groundingChunkIndices", Kind::Array) => {
                    scanner.begin_array()?;
                    while scanner.element()? {
                        let span = scanner.value()?;
                        if support.chunks.len() < SOURCES_MAX {
                            support.chunks.push(size(scanner.raw(span)));
                        }
                    }
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(support)
    }
}

/// Consumes a chunk: a page, a document or a place on a map, where it has a link.
fn chunk<'a>(
    scanner: &mut Scanner<'a>,
    has_maps: &mut bool,
) -> Result<Option<(Str<'a>, Str<'a>)>, SyntaxError> {
    let mut found = None;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let name = key.name.decode();
        let is_kind = matches!(&*name, "web" | "retrievedContext" | "maps");
        *has_maps |= name == "maps";
        if is_kind && scanner.kind()? == Kind::Object {
            found = source(scanner)?
                .map(|cited| (cited.url, cited.title))
                .or(found);
        } else {
            scanner.value()?;
        }
    }
    Ok(found)
}

/// Consumes `{uri, title, startIndex, endIndex}`; none without a link.
fn source<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Cited<'a>>, SyntaxError> {
    let (mut url, mut title) = (None, Str::EMPTY);
    let (mut start, mut end) = (0, None);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("uri", Kind::String) => url = Some(scanner.string()?),
            ("title", Kind::String) => title = scanner.string()?,
            ("startIndex", Kind::Number) => {
                let span = scanner.value()?;
                start = size(scanner.raw(span));
            }
            ("endIndex", Kind::Number) => {
                let span = scanner.value()?;
                end = Some(size(scanner.raw(span)));
            }
            _ => {
                scanner.value()?;
            }
        }
    }
    let url = url.filter(|url| !url.is_empty());
    Ok(url.map(|url| Cited {
        url,
        title,
        bytes: end.map(|end| (start, end)),
    }))
}

/// What was recited, at a place: AI Studio's and Vertex's names for the list.
pub(super) fn recited(text: &str, at: usize) -> Result<Vec<Cited<'_>>, SyntaxError> {
    let mut all = Vec::new();
    for name in ["citationSources", "citations"] {
        each_of(text, at, name, |scanner| {
            all.extend(source(scanner)?);
            Ok(())
        })?;
    }
    Ok(all)
}

/// How many queries a grounding object names.
fn queries(text: &str, at: usize) -> Result<u64, SyntaxError> {
    let mut scanner = Scanner::starting(text, at);
    let mut count = 0;
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        if key.name.decode() == "webSearchQueries" && scanner.kind()? == Kind::Array {
            scanner.begin_array()?;
            while scanner.element()? {
                scanner.value()?;
                count += 1;
            }
        } else {
            scanner.value()?;
        }
    }
    Ok(count)
}

fn size(raw: &str) -> usize {
    let count = json::count(raw).unwrap_or(0);
    usize::try_from(count).unwrap_or(usize::MAX)
}
