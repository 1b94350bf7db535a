//! What the client gets, in the client's API: how an answer is marked as ours, its usage, and its
//! chunks. Which upstream it came from is not known here.

pub(crate) mod answer;
pub(crate) mod chat;
pub(crate) mod usage;

use crate::dialect::Target;
use crate::failure::Failure;
use crate::ingress::{Call, Surface};
use crate::wire::json;
use bytes::BytesMut;
use shared::id::GenerationId;

/// The marks of one answer, as JSON texts made once.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// `"gen-…"`
    pub(crate) id: String,
    /// The model that serves, as the client knows it.
    pub(crate) model: String,
    /// The provider's name.
    pub(crate) provider: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// True when a stream ends with a usage chunk.
    pub(crate) streams_usage: bool,
    /// True when reasoning is not to be shown.
    pub(crate) hides_reasoning: bool,
    generation: GenerationId,
    plain_model: String,
}

impl Envelope {
    /// For an answer of `target` to `call`.
    #[must_use]
    pub fn new(call: &Call, target: &Target<'_>) -> Self {
        Self {
            id: quoted(target.generation.as_str()),
            model: quoted(target.endpoint.model.as_str()),
            provider: quoted(&target.provider.name),
            created: target.created,
            streams_usage: call.surface == Surface::OpenRouter || call.include_usage,
            hides_reasoning: call.reasoning.exclude,
            generation: target.generation.clone(),
            plain_model: target.endpoint.model.as_str().to_owned(),
        }
    }

    /// Appends the beginning of a chunk, up to the comma before `choices`.
    pub(crate) fn begin_chunk(&self, out: &mut BytesMut) {
        out.extend_from_slice(b"data: ");
        self.head("chat.completion.chunk", out);
    }

    /// Appends the beginning of an object, up to the comma before `choices`.
    pub(crate) fn head(&self, object: &str, out: &mut BytesMut) {
        out.extend_from_slice(b"{\"id\":");
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(b",\"object\":\"");
        out.extend_from_slice(object.as_bytes());
        out.extend_from_slice(b"\",\"created\":");
        out.extend_from_slice(self.created.to_string().as_bytes());
        out.extend_from_slice(b",\"model\":");
        out.extend_from_slice(self.model.as_bytes());
        out.extend_from_slice(b",\"provider\":");
        out.extend_from_slice(self.provider.as_bytes());
        out.extend_from_slice(b",");
    }

    /// Appends the typed error event of a stream that has begun.
    pub(crate) fn fail(&self, failure: &Failure, out: &mut BytesMut) {
        let chunk = failure.chat_chunk(&self.generation, &self.plain_model, self.created);
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(chunk.to_string().as_bytes());
        out.extend_from_slice(b"\n\n");
    }
}

/// A text as JSON.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    json::write_string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}
