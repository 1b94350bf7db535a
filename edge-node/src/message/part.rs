//! One message of a conversation and what it is made of, in the form in which the client wrote it.

use crate::message::{Json, Source};
use crate::wire::json::Str;
use std::fmt;

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The operator.
    System,
    /// The operator, in the words of OpenAI's newer models.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// A tool, with its result.
    Tool,
}

impl Role {
    /// True for the operator's roles.
    #[must_use]
    pub const fn is_system(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }
}

/// Where a message stands in the client's body; written as the path to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The member with the messages, e.g. `messages` or `input`.
    pub list: &'static str,
    /// Its index in there.
    pub index: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.list, self.index)
    }
}

/// One message.
#[derive(Clone, Debug)]
pub struct Turn<'a> {
    /// Who.
    pub role: Role,
    /// What, in order.
    pub parts: Vec<Part<'a>>,
    /// The participant's name, where the client gives it one.
    pub name: Option<Str<'a>>,
    /// The call that a tool answers.
    pub call_id: Option<Str<'a>>,
    /// The tool failed: its parts say how.
    pub is_error: bool,
    /// A cache mark on a tool's result as a whole, as written.
    pub cache: Option<&'a str>,
    /// Its place in the client's body; several turns may share one.
    pub place: Place,
}

impl<'a> Turn<'a> {
    /// An empty one.
    #[must_use]
    pub const fn new(role: Role, place: Place) -> Self {
        Self {
            role,
            parts: Vec::new(),
            name: None,
            call_id: None,
            is_error: false,
            cache: None,
            place,
        }
    }
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
    /// What the model said when it refused.
    Refusal(Str<'a>),
    /// A picture.
    Image {
        /// The picture.
        source: Source<'a>,
        /// How closely to look: `auto`, `low`, `high`.
        detail: Option<Str<'a>>,
        /// A cache mark, as written.
        cache: Option<&'a str>,
    },
    /// Sound.
    Audio {
        /// Base64.
        data: Str<'a>,
        /// `wav`, `mp3`, …
        format: Str<'a>,
        /// A cache mark, as written.
        cache: Option<&'a str>,
    },
    /// What the model said aloud before, by the id that its provider gave it.
    Spoken(Str<'a>),
    /// A film.
    Video {
        /// The film.
        source: Source<'a>,
        /// A cache mark, as written.
        cache: Option<&'a str>,
    },
    /// A document.
    File {
        /// The document.
        source: Source<'a>,
        /// Its name.
        name: Option<Str<'a>>,
        /// A cache mark, as written.
        cache: Option<&'a str>,
    },
    /// What the model thought before.
    Reasoning(Thought<'a>),
    /// A call of a tool.
    Call {
        /// What its result will name.
        id: Str<'a>,
        /// The function.
        name: Str<'a>,
        /// A JSON text, which the client may have made up.
        arguments: Json<'a>,
        /// A cache mark, as written.
        cache: Option<&'a str>,
    },
}

impl<'a> Part<'a> {
    /// Text without a mark.
    #[must_use]
    pub const fn plain(text: Str<'a>) -> Self {
        Self::Text { text, cache: None }
    }

    /// The part's cache mark.
    #[must_use]
    pub const fn cache(&self) -> Option<&'a str> {
        match self {
            Self::Text { cache, .. }
            | Self::Image { cache, .. }
            | Self::Audio { cache, .. }
            | Self::Video { cache, .. }
            | Self::File { cache, .. }
            | Self::Call { cache, .. } => *cache,
            Self::Refusal(_) | Self::Spoken(_) | Self::Reasoning(_) => None,
        }
    }
}

/// What kind a detail of reasoning is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DetailKind {
    /// The thought itself.
    Text,
    /// What the provider tells of it.
    Summary,
    /// Readable by its provider only.
    Encrypted,
    /// A tool that the provider ran by itself: the list of its blocks, a JSON text.
    Tool,
}

impl DetailKind {
    /// How `reasoning_details` names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "reasoning.text",
            Self::Summary => "reasoning.summary",
            Self::Encrypted => "reasoning.encrypted",
            Self::Tool => "reasoning.server_tool_call",
        }
    }
}

/// A detail of reasoning as the client gives it back.
#[derive(Clone, Debug)]
pub struct Thought<'a> {
    /// What kind.
    pub kind: DetailKind,
    /// Pieces of one text, or of the encrypted data.
    pub texts: Vec<Str<'a>>,
    /// What proves to the provider that it is unchanged.
    pub signature: Option<Str<'a>>,
    /// The provider's id of it, or of the tool call that it belongs to.
    pub id: Option<Str<'a>>,
    /// Whose form it has, e.g. `anthropic-claude-v1`; none where the client did not say.
    pub format: Option<Str<'a>>,
    /// What a provider's own tool did, where it stands in the client's body as its maker wrote it.
    pub raw: Option<&'a str>,
}

impl<'a> Thought<'a> {
    /// Reasoning that came as plain text: nobody signed it.
    #[must_use]
    pub fn plain(text: Str<'a>) -> Self {
        Self {
            kind: DetailKind::Text,
            texts: vec![text],
            signature: None,
            id: None,
            format: None,
            raw: None,
        }
    }

    /// True when it can be read and no maker claims it.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let is_unclaimed = |format: Str<'_>| format.decode() == "unknown";
        let is_text = matches!(self.kind, DetailKind::Text | DetailKind::Summary);
        is_text && self.format.is_none_or(is_unclaimed)
    }

    /// True when it has the form of this maker, or of nobody: makers refuse what others signed.
    #[must_use]
    pub fn is_of(&self, maker: &str) -> bool {
        self.format
            .is_none_or(|format| format.decode().starts_with(maker))
    }
}
