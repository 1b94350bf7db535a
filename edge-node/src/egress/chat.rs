//! Canonical events as the chunks of a chat stream.

use crate::dialect::{Bill, Target};
use crate::egress::{Envelope, usage};
use crate::failure::Failure;
use crate::ingress::Call;
use crate::message::Event;
use bytes::BytesMut;

/// How reasoning details of Anthropic's are marked.
pub(crate) const REASONING_FORMAT: &str = "anthropic-claude-v1";

/// Writes one answer's chunks.
#[derive(Debug)]
pub(crate) struct Chunks {
    envelope: Envelope,
    /// The beginning of every chunk, up to the delta's first member.
    head: Vec<u8>,
    has_role: bool,
}

impl Chunks {
    pub(crate) fn new(call: &Call, target: &Target<'_>) -> Self {
        let envelope = Envelope::new(call, target);
        let mut head = BytesMut::new();
        envelope.begin_chunk(&mut head);
        head.extend_from_slice(b"\"choices\":[{\"index\":0,\"delta\":{");
        Self {
            envelope,
            head: head.to_vec(),
            has_role: false,
        }
    }

    /// Appends the chunk of an event, if it has one.
    pub(crate) fn write(&mut self, event: &Event<'_>, out: &mut BytesMut) {
        let hidden = matches!(
            event,
            Event::Reasoning { .. } | Event::Signature { .. } | Event::Encrypted { .. }
        );
        if hidden && self.envelope.hides_reasoning {
            return;
        }
        if !std::mem::replace(&mut self.has_role, true) {
            let delta = b"\"role\":\"assistant\",\"content\":\"\"";
            self.chunk(out, |out| out.extend_from_slice(delta));
        }
        if let Event::Finish { finish, native } = event {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(b"},\"finish_reason\":\"");
            put(
                out,
                &[finish.as_str(), "\",\"native_finish_reason\":\"", native.0],
            );
            out.extend_from_slice(b"\"}]}\n\n");
        } else if *event != Event::Start {
            self.chunk(out, |out| delta(event, out));
        }
    }

    pub(crate) fn close(&self, bill: &Bill<'_>, out: &mut BytesMut) {
        usage::end_stream(&self.envelope, bill, out);
    }

    pub(crate) fn fail(&self, failure: &Failure, out: &mut BytesMut) {
        self.envelope.fail(failure, out);
    }

    fn chunk(&self, out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
        out.extend_from_slice(&self.head);
        write(out);
        out.extend_from_slice(b"},\"finish_reason\":null}]}\n\n");
    }
}

fn put(out: &mut BytesMut, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

fn delta(event: &Event<'_>, out: &mut BytesMut) {
    match event {
        Event::Text(text) => put(out, &["\"content\":\"", text.0, "\""]),
        Event::Reasoning { index, text } => {
            put(
                out,
                &["\"reasoning\":\"", text.0, "\",\"reasoning_details\":["],
            );
            detail(out, *index, "reasoning.text", &["text", text.0]);
            out.extend_from_slice(b"]");
        }
        Event::Signature { index, signature } => {
            out.extend_from_slice(b"\"reasoning_details\":[");
            detail(out, *index, "reasoning.text", &["signature", signature.0]);
            out.extend_from_slice(b"]");
        }
        Event::Encrypted { index, data } => {
            out.extend_from_slice(b"\"reasoning_details\":[");
            detail(out, *index, "reasoning.encrypted", &["data", data.0]);
            out.extend_from_slice(b"]");
        }
        Event::Call { index, id, name } => {
            let index = index.to_string();
            put(
                out,
                &["\"tool_calls\":[{\"index\":", &index, ",\"id\":\"", id.0],
            );
            put(
                out,
                &["\",\"type\":\"function\",\"function\":{\"name\":\"", name.0],
            );
            out.extend_from_slice(b"\",\"arguments\":\"\"}}]");
        }
        Event::Arguments { index, text } => {
            let index = index.to_string();
            put(out, &["\"tool_calls\":[{\"index\":", &index]);
            put(out, &[",\"function\":{\"arguments\":\"", text.0, "\"}}]"]);
        }
        Event::Citation { .. } => {
            let mut citation = Vec::new();
            annotation(event, &mut citation);
            out.extend_from_slice(b"\"annotations\":[");
            out.extend_from_slice(&citation);
            out.extend_from_slice(b"]");
        }
        Event::Start | Event::Finish { .. } => {}
    }
}

/// A reasoning detail with one member of its own.
fn detail(out: &mut BytesMut, index: usize, kind: &str, member: &[&str; 2]) {
    let index = index.to_string();
    let [name, value] = member;
    put(out, &["{\"type\":\"", kind, "\",\"", name, "\":\"", value]);
    put(
        out,
        &[
            "\",\"format\":\"",
            REASONING_FORMAT,
            "\",\"index\":",
            &index,
            "}",
        ],
    );
}

/// Appends the annotation of a citation.
pub(crate) fn annotation(event: &Event<'_>, out: &mut Vec<u8>) {
    let Event::Citation {
        url,
        title,
        content,
        start,
        end,
    } = event
    else {
        return;
    };
    let text = format!(
        concat!(
            "{{\"type\":\"url_citation\",\"url_citation\":{{\"url\":\"{}\",\"title\":\"{}\",",
            "\"content\":\"{}\",\"start_index\":{},\"end_index\":{}}}}}",
        ),
        url.0, title.0, content.0, start, end
    );
    out.extend_from_slice(text.as_bytes());
}
