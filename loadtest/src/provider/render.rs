//! The two dialects behind one face: which reads a body, writes an answer, an error, a stream.
//! What is said stands in `answer`; nothing here waits or counts.

use super::answer::{Answer, Piece, Prompt};
use super::{anthropic, openai};
use serde_json::Value;

/// A wire format of the simulated provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `POST …/chat/completions`.
    OpenaiChat,
    /// `POST …/messages`.
    AnthropicMessages,
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub(crate) status: u16,
    /// For the caller.
    pub(crate) message: String,
}

/// What every part of an answer repeats.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) created: u64,
}

impl Refusal {
    /// A refusal.
    pub(crate) fn new(status: u16, message: &str) -> Self {
        Self {
            status,
            message: message.to_owned(),
        }
    }
}

impl Dialect {
    /// How commands and catalogues write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
            Self::AnthropicMessages => "anthropic-messages",
        }
    }

    /// The dialect of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "openai-chat" => Some(Self::OpenaiChat),
            "anthropic-messages" => Some(Self::AnthropicMessages),
            _ => None,
        }
    }

    /// The dialect that is spoken at a path.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        if path.ends_with("/chat/completions") {
            return Some(Self::OpenaiChat);
        }
        path.ends_with("/messages")
            .then_some(Self::AnthropicMessages)
    }

    /// What the dialect's answers' ids begin with.
    pub(crate) const fn id_prefix(self) -> &'static str {
        match self {
            Self::OpenaiChat => "chatcmpl-",
            Self::AnthropicMessages => "msg_",
        }
    }

    pub(crate) fn prompt(self, body: &Value) -> Result<Prompt, Refusal> {
        match self {
            Self::OpenaiChat => openai::prompt(body),
            Self::AnthropicMessages => anthropic::prompt(body),
        }
    }

    pub(crate) fn error(self, refusal: &Refusal) -> Value {
        match self {
            Self::OpenaiChat => openai::error(refusal),
            Self::AnthropicMessages => anthropic::error(refusal),
        }
    }

    pub(crate) fn whole(self, head: &Head, answer: &Answer) -> Value {
        match self {
            Self::OpenaiChat => openai::whole(head, answer),
            Self::AnthropicMessages => anthropic::whole(head, answer),
        }
    }

    pub(crate) fn script(self, head: Head, include_usage: bool) -> Script {
        match self {
            Self::OpenaiChat => Script::Openai(openai::Chunks::new(&head, include_usage)),
            Self::AnthropicMessages => Script::Anthropic(anthropic::Events::new(head)),
        }
    }
}

/// The writer of one stream.
pub(crate) enum Script {
    Openai(openai::Chunks),
    Anthropic(anthropic::Events),
}

impl Script {
    pub(crate) fn start(&self, answer: &Answer, out: &mut String) {
        match self {
            Self::Openai(chunks) => chunks.start(out),
            Self::Anthropic(events) => events.start(answer, out),
        }
    }

    pub(crate) fn piece(&mut self, piece: &Piece, out: &mut String) {
        match self {
            Self::Openai(chunks) => chunks.piece(piece, out),
            Self::Anthropic(events) => events.piece(piece, out),
        }
    }

    pub(crate) fn finish(&mut self, answer: &Answer, out: &mut String) {
        match self {
            Self::Openai(chunks) => chunks.finish(answer, out),
            Self::Anthropic(events) => events.finish(answer, out),
        }
    }

    pub(crate) fn error(&self, refusal: &Refusal, out: &mut String) {
        match self {
            Self::Openai(_) => openai::Chunks::error(refusal, out),
            Self::Anthropic(_) => anthropic::Events::error(refusal, out),
        }
    }
}
