//! From a client's body to a [`Call`]: the members that routing and money need are read in place,
//! the bytes stay as they came. A full parse is made only when a translation needs it.

use crate::failure::Failure;
use bytes::Bytes;
use http::HeaderMap;
use shared::routing::Demand;

/// The client APIs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Api {
    /// `POST …/chat/completions`
    Chat,
}

impl Api {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
        }
    }
}

/// Whose habits hold where OpenRouter and OpenAI differ.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Surface {
    /// `/api/v1`
    OpenRouter,
    /// `/v1`
    OpenAi,
}

/// One request, peeked.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which API it came through.
    pub api: Api,
    /// Whose habits hold.
    pub surface: Surface,
    /// As it came.
    pub body: Bytes,
    /// What routing must know.
    pub demand: Demand,
    /// Is the answer to be streamed.
    pub stream: bool,
    /// `stream_options.include_usage`.
    pub include_usage: bool,
    /// `x-godwit-explain: 1`.
    pub explain: bool,
    /// The longest answer that the client wants, in tokens, each choice.
    pub max_tokens: Option<u64>,
    /// How many choices.
    pub n: u32,
}

/// Reads a body.
///
/// # Errors
/// 400 with the place and the reason for everything that is malformed, of a wrong type, or not
/// available yet.
pub fn parse(
    _api: Api,
    _surface: Surface,
    _headers: &HeaderMap,
    _body: Bytes,
) -> Result<Call, Failure> {
    Err(Failure::invalid("", "being written"))
}
