//! The client APIs that a case is asked through: what each can carry, where it is asked, and how
//! its answer is read.

use super::corpus::Case;
use super::format::Format;
use super::reading::{self, Reading};
use crate::client::{CallError, Client};
use serde_json::Value;

/// Why an API is not asked for what it is not for.
pub(super) const OTHER: &str = "it is for other requests";

/// A client API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Api {
    /// OpenAI's chat.
    Chat,
    /// Anthropic's messages.
    Messages,
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's text completions.
    Completions,
    /// OpenAI's embeddings.
    Embeddings,
    /// Cohere's rankings.
    Rerank,
    /// Anthropic's count of tokens.
    CountTokens,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Chat,
        Self::Messages,
        Self::Responses,
        Self::Completions,
        Self::Embeddings,
        Self::Rerank,
        Self::CountTokens,
    ];

    /// How reports and commands write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Messages => "messages",
            Self::Responses => "responses",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Rerank => "rerank",
            Self::CountTokens => "count_tokens",
        }
    }

    /// True where the recording is what this API is for.
    #[must_use]
    pub(super) const fn is_for(self, format: Format) -> bool {
        match self {
            Self::Embeddings => {
                matches!(format, Format::Embeddings | Format::CohereEmbeddings)
            }
            Self::Rerank => matches!(format, Format::Ranking | Format::CohereRanking),
            Self::CountTokens => matches!(format, Format::Count),
            Self::Chat | Self::Messages | Self::Responses | Self::Completions => !matches!(
                format,
                Format::Embeddings
                    | Format::CohereEmbeddings
                    | Format::Ranking
                    | Format::CohereRanking
                    | Format::Count
            ),
        }
    }

    /// By name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.as_str() == name)
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/api/v1/chat/completions",
            Self::Messages => "/api/v1/messages",
            Self::Responses => "/api/v1/responses",
            Self::Completions => "/api/v1/completions",
            Self::Embeddings => "/api/v1/embeddings",
            Self::Rerank => "/api/v1/rerank",
            Self::CountTokens => "/api/v1/messages/count_tokens",
        }
    }

    /// Why this API has no words for what the recording says; none when it has.
    #[must_use]
    pub(super) fn lacks(self, case: &Case, expected: &Reading) -> Option<&'static str> {
        if !self.is_for(case.format) {
            return Some(OTHER);
        }
        if self == Self::Chat || case.status >= 400 {
            return None;
        }
        if expected.choices.len() > 1 && self != Self::Completions {
            return Some("it has one choice");
        }
        let choice = expected.choices.values().next()?;
        if !choice.images.is_empty() && self != Self::Responses {
            return Some("it has no pictures in answers");
        }
        let wordless = self == Self::Completions && !choice.calls.is_empty();
        wordless.then_some("it has no tool calls")
    }

    /// Asks, and reads the answer.
    pub(super) async fn ask(
        self,
        client: &Client,
        body: &Value,
    ) -> Result<(u16, Reading), CallError> {
        let (status, mut reading) = self.answer(client, body).await?;
        for choice in reading.choices.values_mut() {
            reading::settle(choice);
        }
        Ok((status, reading))
    }

    async fn answer(self, client: &Client, body: &Value) -> Result<(u16, Reading), CallError> {
        let mut answer = client.stream(self.path(), body).await?;
        let status = answer.status;
        let kind = answer.headers.get("content-type");
        let events = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if !events {
            let bytes = answer.bytes().await?;
            let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let mut reading = match self {
                Self::Embeddings => reading::vectors::embeddings(&json),
                Self::Rerank => reading::vectors::ranking(&json),
                Self::CountTokens => reading::vectors::count(&json),
                Self::Chat => reading::chat::json(&json),
                Self::Messages => reading::messages::json(&json),
                Self::Responses => reading::responses::json(&json),
                Self::Completions => reading::completions::json(&json),
            };
            if status >= 400 {
                reading.error = true;
            }
            return Ok((status, reading));
        }
        let (events, end) = answer.rest().await;
        end?;
        let data: Vec<String> = events.into_iter().map(|event| event.data).collect();
        let data = data.iter().map(String::as_str);
        let reading = match self {
            Self::Embeddings | Self::Rerank | Self::CountTokens => Reading::default(),
            Self::Chat => reading::chat::stream(data),
            Self::Messages => reading::messages::stream(data),
            Self::Responses => reading::responses::stream(data),
            Self::Completions => reading::completions::stream(data),
        };
        Ok((status, reading))
    }
}
