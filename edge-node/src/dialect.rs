//! Wire dialects: everything that is needed to talk to one endpoint and to answer in the client's
//! API. The same dialect on both sides is a splice of bytes, any other pair goes through
//! [`crate::message`]. Sockets, credentials and retries are not here.

mod allowance;
mod anthropic_messages;
mod azure_openai;
mod bedrock_converse;
mod bedrock_invoke;
mod calls;
mod classify;
mod cohere_v2;
mod date;
mod finish;
#[cfg(test)]
pub(crate) mod fixture;
mod gemini;
mod mistral_chat;
mod ollama;
mod openai_chat;
mod openai_responses;
pub(crate) mod options;
mod reader;
mod redacted;
mod retry_after;
#[cfg(test)]
mod round_trips;
mod scrub;
pub(crate) mod search;
pub(crate) mod served;
mod shape;
mod single;
mod tier;
mod translate;
mod vectors;
mod vertex_anthropic;
mod write;

pub use allowance::allowances;
pub use retry_after::RETRY_AFTER_MAX;

use crate::failure::Failure;
use crate::ingress::{Api, Call};
use crate::message::{Progress, Served};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use shared::catalog::{Dialect, Endpoint, Parameter, Provider, Quirk};
use shared::id::GenerationId;
use shared::money::Amount;
use shared::usage::{Cost, Usage};
use std::time::Duration;

/// The longest answer that is collected whole.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// One endpoint, and how the answer is to be marked.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Who shall answer.
    pub endpoint: &'a Endpoint,
    /// Its provider.
    pub provider: &'a Provider,
    /// The answer's id.
    pub generation: &'a GenerationId,
    /// Seconds since 1970, for answers without a time of their own.
    pub created: u64,
    /// The most completion tokens that may be asked for, where the client's own wish is too much.
    pub max_tokens_clamp: Option<u64>,
}

impl Target<'_> {
    /// May the endpoint be sent this parameter? One that names none has told nothing about them.
    #[must_use]
    pub fn supports(&self, parameter: Parameter) -> bool {
        let supported = &self.endpoint.supported_parameters;
        supported.is_empty() || supported.contains(&parameter)
    }

    /// True for a deviation of the endpoint's or its provider's.
    #[must_use]
    pub fn has(&self, quirk: Quirk) -> bool {
        self.endpoint.has(quirk, self.provider)
    }

    /// A path under the provider's base URL, which is written with and without its `version`.
    fn path(&self, version: &str, rest: &str) -> String {
        if self.provider.base_url.ends_with(version) {
            rest.to_owned()
        } else {
            format!("{version}{rest}")
        }
    }
}

/// What to send upstream, and who reads the answer.
pub struct Outgoing {
    /// Appended to the provider's `base_url`.
    pub path: String,
    /// Without `host`, `content-length` and authorisation.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The request's body.
    pub body: Bytes,
    /// Turns the answer's body into the client's bytes.
    pub translator: Box<dyn Translator>,
}

impl Outgoing {
    /// A JSON body, with what the dialect accepts in return.
    fn json(
        path: String,
        accept: &'static str,
        body: Bytes,
        translator: Box<dyn Translator>,
    ) -> Self {
        let json = HeaderValue::from_static("application/json");
        let accept = HeaderValue::from_static(accept);
        Self {
            path,
            headers: vec![(header::CONTENT_TYPE, json), (header::ACCEPT, accept)],
            body,
            translator,
        }
    }
}

/// What is accepted: events, if the call is for a stream.
const fn accepted(call: &Call) -> &'static str {
    if call.stream {
        "text/event-stream"
    } else {
        "application/json"
    }
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing")
            .field("path", &self.path)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What to send to have tokens counted; the answer is a small JSON object.
#[derive(Clone, Debug)]
pub struct Count {
    /// Appended to the provider's `base_url`.
    pub path: String,
    /// Without `host`, `content-length` and authorisation.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The request's body.
    pub body: Bytes,
}

/// What the answer costs, for its last words.
#[derive(Clone, Copy, Debug)]
pub struct Bill<'a> {
    /// Tokens.
    pub usage: &'a Usage,
    /// US dollars, by line.
    pub cost: &'a Cost,
    /// What the account is charged: the price and the fee on it; with an own key the fee alone.
    pub charged: Amount,
    /// The service tier that served, where it was asked for or named.
    pub served: Option<Served>,
    /// What the client asked to be told of the routing: members, each behind a comma.
    pub told: &'a str,
    /// From the request to the end of the answer.
    pub took: Duration,
}

/// One attempt's upstream body on its way to the client. Fed in order, in pieces of any size;
/// after an `Err` only [`Translator::progress`] and
/// [`Translator::concede`] may be called.
pub trait Translator: Send {
    /// Takes a piece of the body and appends what the client gets for it.
    ///
    /// # Errors
    /// An error event, something that is not the dialect, or a named limit exceeded.
    fn feed(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), Failure>;

    /// The body has ended.
    ///
    /// # Errors
    /// It was empty, cut off or not an answer.
    fn end(&mut self, out: &mut BytesMut) -> Result<(), Failure>;

    /// What was seen so far.
    fn progress(&self) -> &Progress;

    /// [`Translator::end`] has failed: makes of what a whole answer said before that an answer which
    /// says so. True where it said something; then [`Translator::close`] may be called. A stream
    /// that has begun ends in an error event instead.
    fn concede(&mut self, _failure: &Failure) -> bool {
        false
    }

    /// Appends the answer's last bytes: of a stream the usage chunk and `[DONE]`, else the whole
    /// JSON answer.
    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut);
}

/// The call as the target wants it, with the translator of the answer.
///
/// # Errors
/// The call has something that the target's dialect can't say (fault: caller; another endpoint may
/// help).
pub fn prepare(call: &Call, target: &Target<'_>) -> Result<Outgoing, Failure> {
    let dialect = target.provider.dialect;
    match call.api {
        Api::Embeddings => return vectors::embed(call, target),
        Api::Rerank => return vectors::rerank(call, target),
        Api::Chat if matches!(dialect, Dialect::OpenaiChat | Dialect::AzureOpenai) => {
            if let Some(place) = &call.other_tool {
                return Err(write::refuse(place, "runs no such tool"));
            }
        }
        _ => {}
    }
    match dialect {
        Dialect::OpenaiChat if responds(call, target) => openai_responses::prepare(call, target),
        Dialect::OpenaiChat => openai_chat::prepare(call, target),
        Dialect::OpenaiResponses => openai_responses::prepare(call, target),
        Dialect::AzureOpenai => azure_openai::prepare(call, target),
        Dialect::AnthropicMessages => anthropic_messages::prepare(call, target),
        Dialect::Gemini => gemini::prepare(call, target, gemini::Host::Studio),
        Dialect::VertexGemini => gemini::prepare(call, target, gemini::Host::Vertex),
        Dialect::VertexAnthropic => vertex_anthropic::prepare(call, target),
        Dialect::BedrockConverse => bedrock_converse::prepare(call, target),
        Dialect::BedrockInvoke => bedrock_invoke::prepare(call, target),
        Dialect::CohereV2 => cohere_v2::prepare(call, target),
        Dialect::MistralChat => mistral_chat::prepare(call, target),
        Dialect::Ollama => ollama::prepare(call, target),
    }
}

/// Models that speak, or search by themselves, are served through chat alone; parts of their names.
const CHAT_ONLY: [&str; 2] = ["-audio", "-search-"];

/// True when the client's API is Responses, or a chat call asks for a search, which most models do
/// only there, and the provider, whatever its dialect, has it.
fn responds(call: &Call, target: &Target<'_>) -> bool {
    let model = &target.endpoint.provider_model;
    let wishes = match call.api {
        Api::Responses => true,
        Api::Chat => call.search.is_some(),
        _ => false,
    };
    wishes && target.has(Quirk::ResponsesApi) && !CHAT_ONLY.iter().any(|part| model.contains(part))
}

/// How the target counts the tokens of a Messages call; none where it can't.
#[must_use]
pub fn count(call: &Call, target: &Target<'_>) -> Option<Count> {
    match target.provider.dialect {
        Dialect::AnthropicMessages => anthropic_messages::count(call, target),
        _ => None,
    }
}

/// What a provider's error answer means: whose fault, and whether another endpoint may help. The
/// message is the provider's, bounded, with everything that looks like a key taken out.
#[must_use]
pub fn classify(provider: &Provider, status: u16, headers: &HeaderMap, body: &[u8]) -> Failure {
    classify::response(&provider.name, status, headers, body)
}
