//! The canonical conversation between client APIs and upstream dialects: how an answer ends and
//! what was seen of it. Text stays as it stands on the wire (a JSON string), so that nothing is
//! decoded and encoded again on the way.

use shared::usage::Usage;

/// Why an answer ended; OpenAI's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finish {
    /// The model was done, or met a stop sequence.
    Stop,
    /// `max_tokens` or the context is full.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// OpenAI's legacy `functions`; only where the provider said so itself.
    FunctionCall,
    /// A filter or the model refused.
    ContentFilter,
    /// The provider gave up.
    Error,
}

impl Finish {
    /// How the chat API writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::FunctionCall => "function_call",
            Self::ContentFilter => "content_filter",
            Self::Error => "error",
        }
    }
}

/// What has been seen of one attempt's answer.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// True once something is owed to the client: the first content, reasoning, tool call or
    /// finish event of a stream; the whole answer otherwise.
    pub owed: bool,
    /// True once the provider said that the answer is complete.
    pub done: bool,
    /// What the provider reported so far. `estimated` is set where the completion is our count,
    /// because the provider's own did not come yet.
    pub usage: Option<Usage>,
    /// Bytes of text, reasoning and tool arguments, for an estimate.
    pub output_bytes: u64,
    /// Why the answer ended.
    pub finish_reason: Option<Finish>,
    /// The provider's own id of the generation; empty when it gave none.
    pub upstream_id: String,
    /// True when the arguments of a tool call are not JSON.
    pub tool_error: bool,
}
