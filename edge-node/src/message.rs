//! The canonical conversation between client APIs and upstream dialects: what is asked, what is
//! said, and what was seen of an answer. Text stays as it stands on the wire (a JSON string), so
//! that nothing is decoded and encoded again on the way.

use crate::wire::json::{Scanner, Str};
use shared::usage::Usage;
use std::borrow::Cow;

/// A text as it stands inside a JSON string: escaped, without its quotes. Pieces may be put
/// together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Escaped<'a>(pub &'a str);

impl<'a> From<Str<'a>> for Escaped<'a> {
    fn from(text: Str<'a>) -> Self {
        Self(text.inner())
    }
}

impl Escaped<'_> {
    /// What the text says.
    #[must_use]
    pub fn decode(&self) -> Cow<'_, str> {
        if !self.0.contains('\\') {
            return Cow::Borrowed(self.0);
        }
        let quoted = format!("\"{}\"", self.0);
        let text = Scanner::new(&quoted).string().map(Str::decode);
        Cow::Owned(text.map(Cow::into_owned).unwrap_or_default())
    }
}

/// What is asked, as far as every dialect has words for it.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// In order; neighbours may have the same role.
    pub turns: Vec<Turn<'a>>,
    /// Functions that the model may call.
    pub tools: Vec<Tool<'a>>,
    /// Which of them it shall call; none is its own choice.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// False forbids several calls in one turn.
    pub parallel_tool_calls: Option<bool>,
    /// Texts at which to stop.
    pub stop: Vec<Str<'a>>,
    /// As written.
    pub temperature: Option<&'a str>,
    /// As written.
    pub top_p: Option<&'a str>,
    /// As written.
    pub top_k: Option<&'a str>,
    /// What form the answer shall have.
    pub format: Option<Format<'a>>,
    /// The caller's end user.
    pub user: Option<Str<'a>>,
}

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The operator, `system` or `developer`.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// A tool, with its result.
    Tool,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Turn<'a> {
    /// Who.
    pub role: Role,
    /// What, in order.
    pub parts: Vec<Part<'a>>,
    /// The call that a tool answers.
    pub call_id: Option<Str<'a>>,
    /// Its place in the client's messages.
    pub place: usize,
}

/// A piece of a message.
#[derive(Clone, Debug)]
pub enum Part<'a> {
    /// Plain text.
    Text {
        /// The text.
        text: Str<'a>,
        /// A cache mark, as written.
        cache: Option<&'a str>,
    },
    /// A picture.
    Image {
        /// `https://…` or `data:…`.
        url: Str<'a>,
        /// A cache mark, as written.
        cache: Option<&'a str>,
    },
    /// A document.
    File {
        /// `data:…` or `https://…`.
        data: Str<'a>,
        /// Its name.
        name: Option<Str<'a>>,
        /// A cache mark, as written.
        cache: Option<&'a str>,
    },
    /// Reasoning that a provider signed.
    Thinking {
        /// Pieces of one text.
        texts: Vec<Str<'a>>,
        /// What proves that it is unchanged.
        signature: Str<'a>,
    },
    /// Reasoning that only its provider can read.
    Encrypted {
        /// What it gave out.
        data: Str<'a>,
    },
    /// A call of a tool.
    Call {
        /// What its result will name.
        id: Str<'a>,
        /// The function.
        name: Str<'a>,
        /// A JSON text, which the client may have made up.
        arguments: Str<'a>,
    },
}

/// A function that the model may call.
#[derive(Clone, Copy, Debug)]
pub struct Tool<'a> {
    /// Its name.
    pub name: Str<'a>,
    /// What it does.
    pub description: Option<Str<'a>>,
    /// A JSON Schema object, as written.
    pub parameters: Option<&'a str>,
    /// A cache mark, as written.
    pub cache: Option<&'a str>,
}

/// Which tool to call.
#[derive(Clone, Copy, Debug)]
pub enum ToolChoice<'a> {
    /// The model's choice.
    Auto,
    /// Any, but one.
    Required,
    /// None.
    None,
    /// This one.
    Function(Str<'a>),
}

/// The form of the answer.
#[derive(Clone, Copy, Debug)]
pub enum Format<'a> {
    /// Some JSON object.
    JsonObject,
    /// What this JSON Schema describes, as written.
    JsonSchema(&'a str),
}

/// A step of an answer, in one choice.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Event<'a> {
    /// The provider has begun.
    Start,
    /// More text.
    Text(Escaped<'a>),
    /// More reasoning, of the detail at `index`.
    Reasoning {
        /// Counts all kinds of reasoning details.
        index: usize,
        /// The piece.
        text: Escaped<'a>,
    },
    /// The signature of a reasoning detail.
    Signature {
        /// Which detail.
        index: usize,
        /// The signature, whole.
        signature: Escaped<'a>,
    },
    /// Reasoning that only the provider can read.
    Encrypted {
        /// Which detail.
        index: usize,
        /// The data, whole.
        data: Escaped<'a>,
    },
    /// A tool call begins.
    Call {
        /// Counts the calls of the answer.
        index: usize,
        /// The provider's id for it.
        id: Escaped<'a>,
        /// The function.
        name: Escaped<'a>,
    },
    /// More arguments of a call.
    Arguments {
        /// Which call.
        index: usize,
        /// A piece of a JSON text.
        text: Escaped<'a>,
    },
    /// A source of the text between two places.
    Citation {
        /// Where the source is.
        url: Escaped<'a>,
        /// What it is called.
        title: Escaped<'a>,
        /// What it says.
        content: Escaped<'a>,
        /// First character of the text.
        start: usize,
        /// The character behind the last.
        end: usize,
    },
    /// The answer ends.
    Finish {
        /// In OpenAI's words.
        finish: Finish,
        /// In the provider's.
        native: Escaped<'a>,
    },
}

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

impl Progress {
    /// Takes note of a step.
    pub(crate) fn note(&mut self, event: &Event<'_>) {
        let bytes = match event {
            Event::Start => return,
            Event::Text(text) | Event::Reasoning { text, .. } | Event::Arguments { text, .. } => {
                text.0.len()
            }
            Event::Call { name, .. } => name.0.len(),
            Event::Finish { finish, .. } => {
                self.finish_reason = Some(*finish);
                0
            }
            Event::Signature { .. } | Event::Encrypted { .. } | Event::Citation { .. } => 0,
        };
        self.owed = true;
        self.output_bytes += bytes as u64;
    }
}
