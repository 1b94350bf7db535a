//! Every dialect behind one face: reads a request, writes an answer, an error, a stream. Written
//! from the providers' own descriptions and stricter than most of them, so that a wrong
//! translation is refused. What is said stands in `answer`; nothing here waits or counts.

mod anthropic;
mod azure;
mod bedrock;
mod cohere;
mod gemini;
mod mistral;
mod ollama;
mod openai;
mod responses;
mod vertex;
mod write;

use super::answer::{Answer, Piece, Prompt, answer};
use http::HeaderMap;
use http::header::RETRY_AFTER;
use serde_json::Value;

/// A wire format of the simulated provider; the names are the catalogue's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// Azure's deployments: `POST …/deployments/D/chat/completions?api-version=V`, or
    /// `POST …/openai/v1/chat/completions`.
    AzureOpenai,
    /// `POST …/chat/completions`.
    OpenaiChat,
    /// `POST …/responses`.
    OpenaiResponses,
    /// `POST …/messages`.
    AnthropicMessages,
    /// `POST …/publishers/google/models/M:generateContent` and `:streamGenerateContent`.
    VertexGemini,
    /// `POST …/models/M:generateContent` and `:streamGenerateContent`; Vertex's paths too.
    Gemini,
    /// `POST …/publishers/anthropic/models/M:rawPredict` and `:streamRawPredict`.
    VertexAnthropic,
    /// `POST …/model/ID/converse` and `/converse-stream`.
    BedrockConverse,
    /// `POST …/model/ID/invoke` and `/invoke-with-response-stream`, Anthropic's models.
    BedrockInvoke,
    /// `POST …/v2/chat`.
    CohereV2,
    /// `POST …/chat/completions`, strict.
    MistralChat,
    /// `POST …/api/chat`.
    Ollama,
}

/// Where a request came in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) path: String,
    pub(crate) query: String,
}

impl Place {
    /// A parameter of the query.
    fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .next()
    }
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub(crate) status: u16,
    /// For the caller.
    pub(crate) message: String,
    /// Seconds that the caller shall wait.
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal.
    pub(crate) fn new(status: u16, message: &str) -> Self {
        Self {
            status,
            message: message.to_owned(),
            retry_after: None,
        }
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, message)
}

/// What every part of an answer repeats.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) model: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
}

/// One dialect.
pub(crate) trait Wire: Sync {
    /// True for a path at which the dialect is spoken.
    fn owns(&self, path: &str) -> bool;

    /// What the answers' ids begin with.
    fn id_prefix(&self) -> &'static str {
        ""
    }

    /// The headers in which a key may stand; `authorization` holds it behind `Bearer `.
    fn key_headers(&self) -> &'static [&'static str] {
        &["authorization"]
    }

    /// What a wrong key is told.
    fn bad_key(&self) -> Refusal {
        Refusal::new(401, "incorrect API key provided")
    }

    /// Checks headers that the dialect demands.
    fn check_head(&self, _headers: &HeaderMap) -> Result<(), Refusal> {
        Ok(())
    }

    /// Reads a request.
    fn prompt(&self, at: &Place, body: &Value) -> Result<Prompt, Refusal>;

    /// What the model answers: the same in every dialect that can say it.
    fn answer(&self, prompt: &Prompt) -> Answer {
        answer(prompt)
    }

    /// An error's body.
    fn error(&self, refusal: &Refusal) -> Value;

    /// An error's headers.
    fn error_headers(&self, refusal: &Refusal, headers: &mut HeaderMap) {
        if let Some(seconds) = refusal.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
    }

    /// The whole answer as JSON.
    fn whole(&self, head: &Head, answer: &Answer) -> Value;

    /// The writer of a stream.
    fn script(&self, at: &Place, head: Head, prompt: &Prompt) -> Box<dyn Script>;
}

/// The writer of one stream. What it appends to `out` at one call is given out at once.
pub(crate) trait Script: Send {
    /// The stream's `content-type`.
    fn content_type(&self) -> &'static str {
        "text/event-stream; charset=utf-8"
    }

    /// What comes before the first token.
    fn start(&mut self, answer: &Answer, out: &mut Vec<u8>);

    /// One token.
    fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>);

    /// What comes after the last token.
    fn finish(&mut self, answer: &Answer, out: &mut Vec<u8>);

    /// An error inside the stream, which it ends.
    fn error(&mut self, refusal: &Refusal, out: &mut Vec<u8>);

    /// Bytes that are not the dialect's.
    fn garbage(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"data: {\"choices\":[{\"delta\":{\"content\":\"ab\x01\n\n%PDF-1.7 garbage\n\n",
        );
    }
}

impl Dialect {
    /// All of them; of two that share a path, the one that is spoken there unasked comes first.
    pub const ALL: [Self; 12] = [
        Self::AzureOpenai,
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::AnthropicMessages,
        Self::VertexGemini,
        Self::Gemini,
        Self::VertexAnthropic,
        Self::BedrockConverse,
        Self::BedrockInvoke,
        Self::CohereV2,
        Self::MistralChat,
        Self::Ollama,
    ];

    /// How commands and catalogues write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AzureOpenai => "azure-openai",
            Self::OpenaiChat => "openai-chat",
            Self::OpenaiResponses => "openai-responses",
            Self::AnthropicMessages => "anthropic-messages",
            Self::VertexGemini => "vertex-gemini",
            Self::Gemini => "gemini",
            Self::VertexAnthropic => "vertex-anthropic",
            Self::BedrockConverse => "bedrock-converse",
            Self::BedrockInvoke => "bedrock-invoke",
            Self::CohereV2 => "cohere-v2",
            Self::MistralChat => "mistral-chat",
            Self::Ollama => "ollama",
        }
    }

    /// What a catalogue's `base_url` has behind the authority, as the real provider has it.
    #[must_use]
    pub const fn base_path(self) -> &'static str {
        match self {
            Self::OpenaiChat | Self::OpenaiResponses | Self::AnthropicMessages => "/v1",
            Self::AzureOpenai => "/openai",
            Self::Gemini => "/v1beta",
            Self::VertexGemini | Self::VertexAnthropic => "/v1/projects/simulated/locations/global",
            Self::BedrockConverse
            | Self::BedrockInvoke
            | Self::CohereV2
            | Self::MistralChat
            | Self::Ollama => "",
        }
    }

    /// Tokens of the provider's own template, which it reports as read (and as cached, where it
    /// reports any as cached) and does not charge.
    #[must_use]
    pub const fn template_tokens(self) -> u64 {
        match self {
            Self::CohereV2 => cohere::TEMPLATE_TOKENS,
            _ => 0,
        }
    }

    /// The dialect of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|dialect| dialect.as_str() == text)
    }

    /// The dialect that is spoken at a path. A path that begins with a dialect's name
    /// (`/mistral-chat/v1/chat/completions`) is that dialect's.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        if let Some(named) = path.split('/').nth(1).and_then(Self::parse) {
            return named.spoken_at(path);
        }
        let owner = |dialect: &Self| dialect.wire().owns(path);
        Self::ALL.into_iter().find(owner)
    }

    /// What a provider that speaks this dialect alone speaks at a path.
    pub(crate) fn spoken_at(self, path: &str) -> Option<Self> {
        let vertex = Self::VertexGemini;
        if self == Self::Gemini && vertex.wire().owns(path) {
            return Some(vertex);
        }
        self.wire().owns(path).then_some(self)
    }

    pub(crate) fn wire(self) -> &'static dyn Wire {
        match self {
            Self::AzureOpenai => &azure::Azure,
            Self::OpenaiChat => &openai::Chat,
            Self::OpenaiResponses => &responses::Responses,
            Self::AnthropicMessages => &anthropic::Messages,
            Self::VertexGemini => &gemini::Gemini { vertex: true },
            Self::Gemini => &gemini::Gemini { vertex: false },
            Self::VertexAnthropic => &vertex::VertexAnthropic,
            Self::BedrockConverse => &bedrock::Converse,
            Self::BedrockInvoke => &bedrock::Invoke,
            Self::CohereV2 => &cohere::Cohere,
            Self::MistralChat => &mistral::Mistral,
            Self::Ollama => &ollama::Ollama,
        }
    }
}

/// An openai-chat body, as [`super::expected_answer`] reads it.
pub(super) fn chat_prompt(body: &Value) -> Result<Prompt, Refusal> {
    openai::prompt(body)
}

/// True when no member of an object is unknown; else its name.
fn only_known(value: &Value, known: &[&str]) -> Result<(), String> {
    let members = value.as_object();
    let unknown = members
        .into_iter()
        .flat_map(|members| members.keys())
        .find(|name| !known.contains(&name.as_str()));
    unknown.map_or(Ok(()), |name| Err(name.clone()))
}

/// The items of a list; none where it is missing or no list.
fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    let list = value.get(name).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

fn word<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

impl Prompt {
    /// Something that a user or the model said.
    fn said(&mut self, user: bool, text: &str) {
        self.conversation.push_str(text);
        self.answers_tools = false;
        if user {
            text.clone_into(&mut self.last_user);
        }
    }

    /// The result of a tool.
    fn returned(&mut self, text: &str) {
        self.conversation.push_str(text);
        self.answers_tools = true;
    }
}

#[cfg(test)]
mod tests;
