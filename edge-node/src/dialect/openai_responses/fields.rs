//! The members of this dialect's objects that mean something to us, in whatever order they stand.
//! Events, answers, items and parts share their names, so one reader serves all of them.

use crate::wire::json::{self, Kind, Scanner, Span, Str, SyntaxError};

/// The members of one object.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    /// The object as written.
    pub(super) raw: &'a str,
    pub(super) kind: Option<Str<'a>>,
    pub(super) id: Option<Str<'a>>,
    pub(super) status: Option<Str<'a>>,
    pub(super) reason: Option<Str<'a>>,
    pub(super) call_id: Option<Str<'a>>,
    pub(super) name: Option<Str<'a>>,
    pub(super) arguments: Option<Str<'a>>,
    pub(super) input: Option<Str<'a>>,
    pub(super) code: Option<Str<'a>>,
    pub(super) encrypted: Option<Str<'a>>,
    /// A picture, in base64, and its format.
    pub(super) result: Option<Str<'a>>,
    pub(super) output_format: Option<Str<'a>>,
    pub(super) delta: Option<Str<'a>>,
    /// Of a part: its text or its refusal.
    pub(super) text: Option<Str<'a>>,
    pub(super) url: Option<Str<'a>>,
    pub(super) title: Option<Str<'a>>,
    pub(super) file_id: Option<Str<'a>>,
    pub(super) filename: Option<Str<'a>>,
    pub(super) service_tier: Option<Str<'a>>,
    pub(super) output_index: u64,
    pub(super) content_index: u64,
    pub(super) summary_index: u64,
    pub(super) start: Option<u64>,
    pub(super) end: Option<u64>,
    // Objects.
    pub(super) response: Option<Span>,
    pub(super) item: Option<Span>,
    pub(super) annotation: Option<Span>,
    pub(super) action: Option<Span>,
    pub(super) incomplete: Option<Span>,
    pub(super) usage: Option<Span>,
    pub(super) tool_usage: Option<Span>,
    /// Of any kind but null.
    pub(super) error: Option<Span>,
    // Lists.
    pub(super) output: Option<Span>,
    pub(super) content: Option<Span>,
    pub(super) summary: Option<Span>,
    pub(super) annotations: Option<Span>,
    pub(super) logprobs: Option<Span>,
}

impl<'a> Fields<'a> {
    /// Reads a whole text.
    pub(super) fn whole(text: &'a str) -> Result<Self, SyntaxError> {
        let mut scanner = Scanner::new(text);
        let fields = Self::read(&mut scanner)?;
        scanner.end()?;
        Ok(fields)
    }

    /// Reads the object at a place.
    pub(super) fn at(text: &'a str, span: Span) -> Result<Self, SyntaxError> {
        Self::read(&mut Scanner::starting(text, span.start))
    }

    /// Consumes an object; anything else has none of these members.
    pub(super) fn read(scanner: &mut Scanner<'a>) -> Result<Self, SyntaxError> {
        let mut fields = Self::default();
        if scanner.kind()? != Kind::Object {
            scanner.value()?;
            return Ok(fields);
        }
        let start = scanner.at();
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let name = key.name.decode();
            match scanner.kind()? {
                Kind::String if name == "error" => fields.error = Some(scanner.value()?),
                Kind::String => {
                    let text = scanner.string()?;
                    if let Some(field) = fields.text_field(&name) {
                        *field = Some(text);
                    }
                }
                Kind::Number => {
                    let span = scanner.value()?;
                    fields.number(&name, json::count(scanner.raw(span)));
                }
                kind => {
                    let span = scanner.value()?;
                    if let Some(field) = fields.place(&name, kind) {
                        *field = Some(span);
                    }
                }
            }
        }
        let end = scanner.at();
        fields.raw = scanner.raw(Span { start, end });
        Ok(fields)
    }

    fn text_field(&mut self, name: &str) -> Option<&mut Option<Str<'a>>> {
        Some(match name {
            "type" => &mut self.kind,
            "delta" => &mut self.delta,
            "text" | "refusal" => &mut self.text,
            "id" => &mut self.id,
            "status" => &mut self.status,
            "reason" => &mut self.reason,
            "call_id" => &mut self.call_id,
            "name" => &mut self.name,
            "arguments" => &mut self.arguments,
            "input" => &mut self.input,
            "code" => &mut self.code,
            "encrypted_content" => &mut self.encrypted,
            "result" => &mut self.result,
            "output_format" => &mut self.output_format,
            "url" => &mut self.url,
            "title" => &mut self.title,
            "file_id" => &mut self.file_id,
            "filename" => &mut self.filename,
            "service_tier" => &mut self.service_tier,
            _ => return None,
        })
    }

    fn number(&mut self, name: &str, count: Option<u64>) {
        match name {
            "output_index" => self.output_index = count.unwrap_or(0),
            "content_index" => self.content_index = count.unwrap_or(0),
            "summary_index" => self.summary_index = count.unwrap_or(0),
            "start_index" => self.start = count,
            "end_index" => self.end = count,
            _ => {}
        }
    }

    fn place(&mut self, name: &str, kind: Kind) -> Option<&mut Option<Span>> {
        Some(match (name, kind) {
            ("response", Kind::Object) => &mut self.response,
            ("item", Kind::Object) => &mut self.item,
            ("annotation", Kind::Object) => &mut self.annotation,
            ("action", Kind::Object) => &mut self.action,
            ("incomplete_details", Kind::Object) => &mut self.incomplete,
            ("usage", Kind::Object) => &mut self.usage,
            ("tool_usage", Kind::Object) => &mut self.tool_usage,
            ("error", Kind::Object | Kind::Array) => &mut self.error,
            ("output", Kind::Array) => &mut self.output,
            ("content", Kind::Array) => &mut self.content,
            ("summary", Kind::Array) => &mut self.summary,
            ("annotations", Kind::Array) => &mut self.annotations,
            ("logprobs", Kind::Array) => &mut self.logprobs,
            _ => return None,
        })
    }
}

/// Reads the objects of a list, each with its place in it.
pub(super) fn each<'a>(
    text: &'a str,
    list: Option<Span>,
    mut give: impl FnMut(u64, Fields<'a>) -> Result<(), SyntaxError>,
) -> Result<(), SyntaxError> {
    let Some(list) = list else {
        return Ok(());
    };
    let mut scanner = Scanner::starting(text, list.start);
    scanner.begin_array()?;
    let mut place = 0;
    while scanner.element()? {
        give(place, Fields::read(&mut scanner)?)?;
        place += 1;
    }
    Ok(())
}

/// What stands between the brackets of a list; empty when there is none.
pub(super) fn inside(text: &str, list: Option<Span>) -> &str {
    let raw = list.and_then(|span| text.get(span.start + 1..span.end - 1));
    raw.unwrap_or("").trim_ascii()
}
