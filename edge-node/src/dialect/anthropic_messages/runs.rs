//! Tools that the provider ran by itself: each use is kept until its result comes, or the answer
//! ends, and both are given as they stand, because they must come back so.

use crate::dialect::anthropic_messages::fields::Fields;
use crate::dialect::anthropic_messages::reader::REASONING_FORMAT;
use crate::dialect::reader::{Notes, Sink};
use crate::message::{Detail, DetailKind, Escaped, Event};
use crate::metrics;
use crate::wire::json::{self, Str};

/// How many bytes of uses are kept at once; those beyond are given without what was asked.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// A use whose result has not come.
#[derive(Debug)]
pub(super) struct Use {
    /// As the inside of a JSON string, as is the name.
    id: String,
    name: String,
    /// The block, before and behind its input.
    head: String,
    tail: String,
    /// What was asked, as the inside of a JSON string.
    input: String,
}

/// The uses of one answer.
#[derive(Debug, Default)]
pub(super) struct Runs {
    open: Vec<Use>,
    kept: usize,
}

/// True for a block of a tool that the provider runs.
pub(super) fn is_use(kind: &str) -> bool {
    kind.ends_with("_tool_use")
}

/// True for what such a tool gave.
pub(super) fn is_result(kind: &str) -> bool {
    kind.ends_with("_tool_result") || kind == "container_upload"
}

impl Use {
    pub(super) fn new(fields: &Fields<'_>) -> Self {
        let inner = |text: Option<Str<'_>>| text.map_or("", Str::inner).to_owned();
        let raw = fields.raw;
        let (head, tail) = match fields.input_at {
            Some(span) => (
                raw.get(..span.start).unwrap_or("").to_owned(),
                raw.get(span.end..).unwrap_or("").to_owned(),
            ),
            None => {
                let members = raw.trim_end().strip_suffix('}').unwrap_or(raw);
                (format!("{members},\"input\":"), "}".to_owned())
            }
        };
        let given = fields.input.filter(|raw| !matches!(*raw, "{}" | "null"));
        let mut input = Vec::new();
        json::write_escaped(&mut input, given.unwrap_or(""));
        Self {
            id: inner(fields.id),
            name: inner(fields.name),
            head,
            tail,
            input: String::from_utf8(input).unwrap_or_default(),
        }
    }

    /// What it takes while it waits, in bytes.
    fn size(&self) -> usize {
        self.input.len() + self.head.len() + self.tail.len()
    }

    /// More of what is asked.
    pub(super) fn ask(&mut self, piece: &str) {
        if self.input.len() + piece.len() <= KEPT_BYTES_MAX {
            self.input.push_str(piece);
        } else {
            metrics::shed("server_tool_input");
        }
    }
}

impl Runs {
    /// A use is complete; its result is to come.
    pub(super) fn wait(&mut self, mut used: Use) {
        let text = Escaped(&used.input);
        if json::check(&text.decode()).is_err() {
            "{}".clone_into(&mut used.input);
        }
        if self.kept + used.size() > KEPT_BYTES_MAX {
            metrics::shed("server_tool_input");
            "{}".clone_into(&mut used.input);
        }
        self.kept += used.size();
        self.open.push(used);
    }

    /// How many uses wait.
    pub(super) const fn len(&self) -> usize {
        self.open.len()
    }

    /// The result of a use has come.
    pub(super) fn end(
        &mut self,
        result: &Fields<'_>,
        index: usize,
        (notes, sink): (&mut Notes, &mut dyn Sink),
    ) {
        let id = result.call_id.map_or("", Str::inner);
        let place = self.open.iter().position(|used| used.id == id);
        let used = place.map(|place| self.take(place));
        let kind = result.kind.map_or("", Str::inner);
        give(
            used.as_ref(),
            (kind, Some(result.raw)),
            index,
            (notes, sink),
        );
    }

    /// The use that waits longest, for the answer's end.
    pub(super) fn next(&mut self) -> Option<Use> {
        if self.open.is_empty() {
            return None;
        }
        Some(self.take(0))
    }

    fn take(&mut self, place: usize) -> Use {
        let used = self.open.remove(place);
        self.kept = self.kept.saturating_sub(used.size());
        used
    }
}

/// Gives a use, its result, or both.
pub(super) fn give(
    used: Option<&Use>,
    (kind, result): (&str, Option<&str>),
    index: usize,
    (notes, sink): (&mut Notes, &mut dyn Sink),
) {
    let mut blocks = String::from("[");
    if let Some(used) = used {
        let input = Escaped(&used.input);
        let input = input.decode();
        let input = if input.is_empty() { "{}" } else { &*input };
        for piece in [used.head.as_str(), input, used.tail.as_str()] {
            blocks.push_str(piece);
        }
    }
    if let Some(result) = result {
        if used.is_some() {
            blocks.push(',');
        }
        blocks.push_str(result);
    }
    blocks.push(']');
    let mut written = Vec::with_capacity(blocks.len() + blocks.len() / 4);
    json::write_escaped(&mut written, &blocks);
    let detail = Detail {
        index,
        kind: DetailKind::Tool,
        id: Escaped(used.map_or("", |used| &used.id)),
        format: REASONING_FORMAT,
    };
    let asked = used.map(|used| used.input.as_str());
    let event = Event::Ran {
        detail,
        name: Escaped(used.map_or(kind, |used| &used.name)),
        arguments: Escaped(asked.filter(|asked| !asked.is_empty()).unwrap_or("{}")),
        blocks: Escaped(std::str::from_utf8(&written).unwrap_or("[]")),
    };
    notes.give(event, sink);
}
