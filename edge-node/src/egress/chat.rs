//! The chat API: events as the chunks of a stream or as one answer, and what both write alike.

mod answer;
mod chunks;

#[cfg(test)]
mod tests;

pub(crate) use answer::Answer;
pub(crate) use chunks::Chunks;

use crate::egress::{Marks, extend};
use crate::failure::Failure;
use crate::message::{Detail, Escaped, Event};
use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value, json};
use shared::id::GenerationId;

/// How details of reasoning are marked whose form is nobody's.
const NO_FORMAT: &str = "unknown";

/// A chunk with `error`, after which the stream ends without `[DONE]`.
pub(crate) fn error_event(
    failure: &Failure,
    generation: &GenerationId,
    marks: Marks<'_>,
    told: &Map<String, Value>,
) -> Bytes {
    let mut chunk = json!({
        "id": generation.as_str(),
        "object": "chat.completion.chunk",
        "created": marks.created,
        "model": marks.model,
        "error": failure.error_object(),
        "choices": [{ "index": 0, "delta": { "content": "" }, "finish_reason": "error" }],
    });
    marks.name_provider(&mut chunk);
    extend(&mut chunk, told);
    Bytes::from(format!("data: {chunk}\n\n"))
}

fn put(out: &mut BytesMut, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends a detail of reasoning; `members` are those of its kind, the values insides of strings.
fn detail(detail: &Detail<'_>, members: &[(&str, &str)], out: &mut BytesMut) {
    put(out, &["{\"type\":\"", detail.kind.as_str(), "\""]);
    for (name, value) in members {
        put(out, &[",\"", name, "\":\"", value, "\""]);
    }
    if !detail.id.is_empty() {
        put(out, &[",\"id\":\"", detail.id.0, "\""]);
    }
    let format = if detail.format.is_empty() {
        NO_FORMAT
    } else {
        detail.format.0
    };
    let index = detail.index.to_string();
    put(
        out,
        &[",\"format\":\"", format, "\",\"index\":", &index, "}"],
    );
}

/// Appends the detail of a tool that the provider ran; texts are the insides of JSON strings. Its
/// result is all that the provider told, because all of it must come back.
fn ran(about: &Detail<'_>, (name, arguments, blocks): (&str, &str, &str), out: &mut BytesMut) {
    let members = [
        ("tool_name", name),
        ("arguments", arguments),
        ("result", blocks),
        ("tool_call_id", about.id.0),
    ];
    let nameless = Detail {
        id: Escaped(""),
        ..*about
    };
    detail(&nameless, &members, out);
}

/// Appends the annotation of a citation. Places that nobody knows are 0, because clients demand
/// numbers; a source without an address is called by its name, because they demand that, too.
pub(crate) fn annotation(event: &Event<'_>, out: &mut BytesMut) {
    let Event::Citation {
        url,
        name,
        title,
        content,
        start,
        end,
    } = event
    else {
        return;
    };
    put(
        out,
        &[
            "{\"type\":\"url_citation\",\"url_citation\":{\"url\":\"",
            if url.is_empty() { name.0 } else { url.0 },
        ],
    );
    put(out, &["\",\"title\":\"", title.0]);
    if !content.is_empty() {
        put(out, &["\",\"content\":\"", content.0]);
    }
    let (start, end) = (start.unwrap_or(0).to_string(), end.unwrap_or(0).to_string());
    put(
        out,
        &["\",\"start_index\":", &start, ",\"end_index\":", &end, "}}"],
    );
}

/// Appends a picture of an answer.
pub(super) fn image(url: &str, index: usize, out: &mut BytesMut) {
    let index = index.to_string();
    put(
        out,
        &["{\"type\":\"image_url\",\"image_url\":{\"url\":\"", url],
    );
    put(out, &["\"},\"index\":", &index, "}"]);
}
