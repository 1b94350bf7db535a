//! What the client gets, in the client's API: how an answer is marked as ours, its events, its
//! usage and its errors. Which upstream it came from is not known here.

mod chat;
mod completions;
mod freeform;
pub(crate) mod messages;
pub(crate) mod responses;
pub(crate) mod seal;
pub(crate) mod usage;
pub(crate) mod vectors;

pub(crate) use chat::annotation;

use crate::dialect::{Bill, Target};
use crate::failure::Failure;
use crate::ingress::{Api, Call, Surface};
use crate::message::Event;
use crate::wire::json;
use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value};
use shared::id::GenerationId;

/// Writes one answer in the client's API. Takes the steps in order; what a stream owes the client
/// for a step is appended at once, a whole answer is kept and appended at the end.
pub trait Writer: Send {
    /// Takes a step.
    fn write(&mut self, event: &Event<'_>, out: &mut BytesMut);

    /// Why the provider gave up; a whole answer says so beside what it has said until then.
    fn fail(&mut self, _failure: &Failure) {}

    /// The answer is complete: appends its last bytes, usage and `[DONE]` among them.
    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut);
}

/// The writer of an answer of `target` to `call`.
#[must_use]
pub fn writer(call: &Call, target: &Target<'_>) -> Box<dyn Writer> {
    let writer: Box<dyn Writer> = match (call.api, call.stream) {
        (Api::Chat | Api::Embeddings | Api::Rerank, true) => {
            Box::new(chat::Chunks::new(call, target))
        }
        // Embeddings and rankings are no conversations: their translators write themselves.
        (Api::Chat | Api::Embeddings | Api::Rerank, false) => {
            Box::new(chat::Answer::new(call, target))
        }
        (Api::Completions, true) => Box::new(completions::Chunks::new(call, target)),
        (Api::Completions, false) => Box::new(completions::Answer::new(call, target)),
        (Api::Messages, true) => functions(messages::Events::new(call, target)),
        (Api::Messages, false) => functions(messages::Answer::new(call, target)),
        (Api::Responses, _) => Box::new(responses::Response::new(call, target)),
    };
    if call.freeform.is_empty() {
        return writer;
    }
    let names = call.freeform.iter().map(|tool| tool.name.clone());
    Box::new(freeform::Texts::new(writer, names.collect()))
}

fn functions(writer: impl Writer + 'static) -> Box<dyn Writer> {
    Box::new(freeform::Functions::new(Box::new(writer)))
}

/// The body of an error answer. Without an API, which is so for routes that run no model, it is
/// OpenRouter's.
#[must_use]
pub fn error_body(api: Option<Api>, failure: &Failure, generation: &GenerationId) -> Value {
    match api {
        None | Some(Api::Chat | Api::Completions | Api::Embeddings | Api::Rerank) => failure.body(),
        Some(Api::Messages) => messages::error_body(failure, generation),
        Some(Api::Responses) => responses::error_body(failure),
    }
}

/// What a client of this API gets where the provider had no room for an answer and the API calls
/// that an answer, too: the whole of it, or all its events. None where it is an error.
#[must_use]
pub fn cut(
    api: Option<Api>,
    failure: &Failure,
    generation: &GenerationId,
    (marks, told, is_stream): (Marks<'_>, &Map<String, Value>, bool),
) -> Option<Bytes> {
    let is_theirs = failure.provider_code.is_some() && failure.is_full();
    if api != Some(Api::Responses) || !is_theirs {
        return None;
    }
    if is_stream {
        return Some(responses::cut_events(failure, generation, (marks, told)));
    }
    let body = responses::cut_body(failure, generation, (marks, told));
    serde_json::to_vec(&body).ok().map(Bytes::from)
}

/// What an answer is marked with, also where it ends in an error.
#[derive(Clone, Copy, Debug)]
pub struct Marks<'a> {
    /// The model that serves, or the one that was asked for.
    pub model: &'a str,
    /// The name of the provider that serves.
    pub provider: Option<&'a str>,
    /// When it was asked, in seconds since 1970.
    pub created: u64,
}

impl Marks<'_> {
    /// Names who serves, where that is known.
    pub(crate) fn name_provider(&self, object: &mut Value) {
        if let (Some(members), Some(provider)) = (object.as_object_mut(), self.provider) {
            members.insert("provider".into(), provider.into());
        }
    }
}

/// The error event that ends a stream which has begun; nothing follows it. `told` stands beside the
/// error, `events` went before it.
#[must_use]
pub fn error_event(
    api: Api,
    failure: &Failure,
    generation: &GenerationId,
    (marks, told): (Marks<'_>, &Map<String, Value>),
    events: u64,
) -> Bytes {
    match api {
        Api::Chat | Api::Embeddings | Api::Rerank => {
            chat::error_event(failure, generation, marks, told)
        }
        Api::Completions => completions::error_event(failure, generation, marks, told),
        Api::Messages => messages::error_event(failure, generation, (marks, told)),
        Api::Responses => responses::error_event(failure, generation, (marks, told), events),
    }
}

/// Puts members beside what an object has.
pub(crate) fn extend(object: &mut Value, told: &Map<String, Value>) {
    if let Some(members) = object.as_object_mut() {
        members.extend(told.clone());
    }
}

/// The marks of one answer, as JSON texts made once.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// What a chunk calls itself.
    pub(crate) object: &'static str,
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
}

impl Envelope {
    /// For an answer of `target` to `call`.
    #[must_use]
    pub fn new(call: &Call, target: &Target<'_>) -> Self {
        let object = match call.api {
            Api::Completions => "text_completion",
            _ => "chat.completion.chunk",
        };
        Self {
            object,
            id: quoted(target.generation.as_str()),
            model: quoted(target.endpoint.model.as_str()),
            provider: quoted(&target.provider.name),
            created: target.created,
            streams_usage: call.surface == Surface::OpenRouter || call.include_usage,
            hides_reasoning: call.reasoning.exclude,
        }
    }

    /// Appends the beginning of a chunk, up to the comma before `choices`.
    pub(crate) fn begin_chunk(&self, out: &mut BytesMut) {
        out.extend_from_slice(b"data: ");
        self.head(self.object, out);
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
}

/// A text as JSON.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    json::write_string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}
