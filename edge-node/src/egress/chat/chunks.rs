//! Canonical events as the chunks of a chat stream, each at once.

use crate::dialect::{Bill, Target};
use crate::egress::chat::{annotation, detail, image, put, ran};
use crate::egress::{Envelope, Writer, usage};
use crate::ingress::Call;
use crate::message::{DetailKind, Event, Spoken};
use bytes::BytesMut;

/// Writes one answer's chunks.
#[derive(Debug)]
pub(crate) struct Chunks {
    envelope: Envelope,
    /// The beginning of every chunk, up to the choice's index.
    head: Vec<u8>,
    /// What follows it, up to the delta's first member.
    index: String,
    /// The choice that is spoken of.
    choice: usize,
    /// Choices that have begun, and how many pictures each has got.
    begun: Vec<(usize, usize)>,
}

impl Chunks {
    pub(crate) fn new(call: &Call, target: &Target<'_>) -> Self {
        let envelope = Envelope::new(call, target);
        let mut head = BytesMut::new();
        envelope.begin_chunk(&mut head);
        head.extend_from_slice(b"\"choices\":[{\"index\":");
        let mut chunks = Self {
            envelope,
            head: head.to_vec(),
            index: String::new(),
            choice: 0,
            begun: Vec::new(),
        };
        chunks.turn_to(0);
        chunks
    }

    fn turn_to(&mut self, choice: usize) {
        self.choice = choice;
        self.index = format!("{choice},\"delta\":{{");
    }

    /// The first chunk of a choice says who speaks.
    fn begin(&mut self, out: &mut BytesMut) {
        if !self.begun.iter().any(|(choice, _)| *choice == self.choice) {
            self.begun.push((self.choice, 0));
            self.chunk(out, |out| {
                put(out, &["\"role\":\"assistant\",\"content\":\"\""]);
            });
        }
    }

    fn next_image(&mut self) -> usize {
        let mut begun = self.begun.iter_mut();
        let Some((_, images)) = begun.find(|(choice, _)| *choice == self.choice) else {
            return 0;
        };
        *images += 1;
        *images - 1
    }

    fn open(&self, out: &mut BytesMut) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(self.index.as_bytes());
    }

    fn chunk(&self, out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
        self.open(out);
        write(out);
        out.extend_from_slice(b"},\"finish_reason\":null}]}\n\n");
    }
}

impl Writer for Chunks {
    fn write(&mut self, event: &Event<'_>, out: &mut BytesMut) {
        let hidden = matches!(
            event,
            Event::Reasoning { .. }
                | Event::Signature { .. }
                | Event::Encrypted { .. }
                | Event::Ran { .. }
        );
        if hidden && self.envelope.hides_reasoning {
            return;
        }
        if let Event::Choice(choice) = event {
            return self.turn_to(*choice);
        }
        self.begin(out);
        match event {
            Event::Start | Event::Choice(_) => {}
            Event::Finish { finish, native, .. } => {
                self.open(out);
                put(out, &["},\"finish_reason\":\"", finish.as_str()]);
                put(
                    out,
                    &["\",\"native_finish_reason\":\"", native.0, "\"}]}\n\n"],
                );
            }
            Event::Logprobs { of, tokens } => {
                let (content, refusal) = match of {
                    Spoken::Content => ("\"content\":[", "],\"refusal\":null"),
                    Spoken::Refusal => ("\"content\":null,\"refusal\":[", "]"),
                };
                self.open(out);
                put(out, &["},\"logprobs\":{", content, tokens, refusal]);
                out.extend_from_slice(b"},\"finish_reason\":null}]}\n\n");
            }
            Event::Image { url } => {
                let index = self.next_image();
                self.chunk(out, |out| {
                    put(out, &["\"images\":["]);
                    image(url.0, index, out);
                    put(out, &["]"]);
                });
            }
            _ => self.chunk(out, |out| delta(event, out)),
        }
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        usage::end_stream(&self.envelope, bill, out);
    }
}

/// Appends the members of a delta.
fn delta(event: &Event<'_>, out: &mut BytesMut) {
    match event {
        Event::Text(text) => put(out, &["\"content\":\"", text.0, "\""]),
        Event::Refusal(text) => put(out, &["\"refusal\":\"", text.0, "\""]),
        Event::Call { index, id, name } => {
            let index = index.to_string();
            put(out, &["\"tool_calls\":[{\"index\":", &index]);
            put(out, &[",\"id\":\"", id.0, "\",\"type\":\"function\""]);
            put(out, &[",\"function\":{\"name\":\"", name.0]);
            put(out, &["\",\"arguments\":\"\"}}]"]);
        }
        Event::Arguments { index, text } => {
            let index = index.to_string();
            put(out, &["\"tool_calls\":[{\"index\":", &index]);
            put(out, &[",\"function\":{\"arguments\":\"", text.0, "\"}}]"]);
        }
        Event::Freeform { index, id, name } => {
            let index = index.to_string();
            put(out, &["\"tool_calls\":[{\"index\":", &index]);
            put(out, &[",\"id\":\"", id.0, "\",\"type\":\"custom\""]);
            put(out, &[",\"custom\":{\"name\":\"", name.0]);
            put(out, &["\",\"input\":\"\"}}]"]);
        }
        Event::Input { index, text } => {
            let index = index.to_string();
            put(out, &["\"tool_calls\":[{\"index\":", &index]);
            put(out, &[",\"custom\":{\"input\":\"", text.0, "\"}}]"]);
        }
        Event::Citation { .. } => {
            put(out, &["\"annotations\":["]);
            annotation(event, out);
            put(out, &["]"]);
        }
        Event::Audio {
            id,
            data,
            transcript,
            expires_at,
        } => {
            put(out, &["\"audio\":{\"id\":\"", id.0, "\""]);
            for (name, value) in [("data", data), ("transcript", transcript)] {
                if !value.is_empty() {
                    put(out, &[",\"", name, "\":\"", value.0, "\""]);
                }
            }
            if let Some(expires_at) = expires_at {
                put(out, &[",\"expires_at\":", &expires_at.to_string()]);
            }
            put(out, &["}"]);
        }
        _ => reasoning(event, out),
    }
}

fn reasoning(event: &Event<'_>, out: &mut BytesMut) {
    let (about, member) = match event {
        Event::Reasoning { detail, text } => {
            put(out, &["\"reasoning\":\"", text.0, "\","]);
            let name = match detail.kind {
                DetailKind::Summary => "summary",
                DetailKind::Text | DetailKind::Encrypted | DetailKind::Tool => "text",
            };
            (detail, (name, text.0))
        }
        Event::Signature { detail, signature } => (detail, ("signature", signature.0)),
        Event::Encrypted { detail, data } => (detail, ("data", data.0)),
        Event::Ran {
            detail: about,
            name,
            arguments,
            blocks,
        } => {
            put(out, &["\"reasoning_details\":["]);
            ran(about, (name.0, arguments.0, blocks.0), out);
            return put(out, &["]"]);
        }
        _ => return,
    };
    put(out, &["\"reasoning_details\":["]);
    detail(about, &[member], out);
    put(out, &["]"]);
}
