//! An answer, step by step, and what is known of it so far. Every dialect's reader gives these
//! steps and every client API's writer takes them; usage is not a step, it comes with the bill.

use crate::message::{DetailKind, Escaped};
use shared::catalog::Tier;
use shared::usage::Usage;

/// Which detail of reasoning a step belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Detail<'a> {
    /// Counts the details of a choice; together with `kind` it names one.
    pub index: usize,
    /// What kind.
    pub kind: DetailKind,
    /// The provider's id for it, or of the tool call that it belongs to; empty when it has none.
    pub id: Escaped<'a>,
    /// Whose form it has, e.g. `anthropic-claude-v1`; empty when nobody's: it can't go back.
    pub format: Escaped<'a>,
}

impl Detail<'static> {
    /// Plain reasoning of a provider that has no details.
    #[must_use]
    pub const fn plain() -> Self {
        Self {
            index: 0,
            kind: DetailKind::Text,
            id: Escaped(""),
            format: Escaped(""),
        }
    }
}

/// Which text the probabilities are of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spoken {
    /// The answer.
    Content,
    /// The refusal.
    Refusal,
}

/// A step of an answer. Steps belong to the choice that [`Event::Choice`] named last, at first to
/// choice 0. Before its finish each call has got at least `{}` as arguments.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Event<'a> {
    /// The provider has begun.
    Start,
    /// What follows is of the choice with this index.
    Choice(usize),
    /// More text.
    Text(Escaped<'a>),
    /// More of a refusal.
    Refusal(Escaped<'a>),
    /// More reasoning.
    Reasoning {
        /// Of which detail: a text or a summary.
        detail: Detail<'a>,
        /// The piece.
        text: Escaped<'a>,
    },
    /// The signature of a text of reasoning, which ends it.
    Signature {
        /// Of which detail.
        detail: Detail<'a>,
        /// The signature, whole.
        signature: Escaped<'a>,
    },
    /// Reasoning that only the provider can read.
    Encrypted {
        /// Which detail.
        detail: Detail<'a>,
        /// The data, whole.
        data: Escaped<'a>,
    },
    /// A tool that the provider ran by itself. It is no call of the client's: all of it has come.
    Ran {
        /// Which detail, of the kind [`DetailKind::Tool`]; its id is the run's.
        detail: Detail<'a>,
        /// The tool.
        name: Escaped<'a>,
        /// What it was asked, a JSON text.
        arguments: Escaped<'a>,
        /// All that its provider told of it, a list of JSON texts as they came: so it can go back.
        blocks: Escaped<'a>,
    },
    /// A tool call begins.
    Call {
        /// Counts the calls of the choice from 0, without gaps.
        index: usize,
        /// The provider's id for it, or ours; never empty.
        id: Escaped<'a>,
        /// The function.
        name: Escaped<'a>,
    },
    /// More arguments of a call. Pieces of several calls may come in turn.
    Arguments {
        /// Which call.
        index: usize,
        /// A piece of a JSON text.
        text: Escaped<'a>,
    },
    /// A call of a tool that takes free text begins.
    Freeform {
        /// As of [`Event::Call`]; both are counted together.
        index: usize,
        /// The provider's id for it, or ours; never empty.
        id: Escaped<'a>,
        /// The tool.
        name: Escaped<'a>,
    },
    /// More of the text that such a call gives.
    Input {
        /// Which call.
        index: usize,
        /// A piece of it.
        text: Escaped<'a>,
    },
    /// A source.
    Citation {
        /// Where it is on the web; empty when it is not there.
        url: Escaped<'a>,
        /// What whoever gave it to the model calls it; empty for a source on the web.
        name: Escaped<'a>,
        /// What it is called; empty when the provider does not say.
        title: Escaped<'a>,
        /// What it says; empty when the provider does not say.
        content: Escaped<'a>,
        /// First character of the text that rests on it.
        start: Option<usize>,
        /// The character behind the last.
        end: Option<usize>,
    },
    /// A picture, whole.
    Image {
        /// `data:…` or `https://…`.
        url: Escaped<'a>,
    },
    /// A piece of speech; members that a piece lacks are empty.
    Audio {
        /// The provider's id.
        id: Escaped<'a>,
        /// Base64.
        data: Escaped<'a>,
        /// What is said.
        transcript: Escaped<'a>,
        /// Seconds since 1970 until which the id is good.
        expires_at: Option<u64>,
    },
    /// Probabilities of tokens that came just before.
    Logprobs {
        /// Of which text.
        of: Spoken,
        /// `{"token":…,"logprob":…,…}` with commas between, as written.
        tokens: &'a str,
    },
    /// The choice ends.
    Finish {
        /// In OpenAI's words.
        finish: Finish,
        /// In the provider's; empty when it did not say.
        native: Escaped<'a>,
        /// The stop sequence that was met; empty when none is known of.
        stop: Escaped<'a>,
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

/// The service tier that a provider says it served at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Served {
    /// The usual one.
    Default,
    /// Another.
    At(Tier),
}

impl Served {
    /// Reads a provider's word; none for `auto` and for what is not known.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "default" | "standard" | "on_demand" => Some(Self::Default),
            "fast" => Some(Self::At(Tier::Priority)),
            word => Tier::parse(word).map(Self::At),
        }
    }

    /// The tier; none is the default.
    #[must_use]
    pub const fn tier(self) -> Option<Tier> {
        match self {
            Self::Default => None,
            Self::At(tier) => Some(tier),
        }
    }

    /// How an API writes it that calls the default `default`.
    pub(crate) fn as_str(self, default: &'static str) -> &'static str {
        self.tier().map_or(default, Tier::as_str)
    }
}

impl From<Option<Tier>> for Served {
    fn from(tier: Option<Tier>) -> Self {
        tier.map_or(Self::Default, Self::At)
    }
}

/// What has been seen of one attempt's answer.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// True once something is owed to the client: the first content, reasoning, tool call or
    /// finish event of a stream; the whole answer otherwise.
    pub owed: bool,
    /// True once something was said, be it only a picture.
    pub said: bool,
    /// True once the provider said that the answer is complete.
    pub done: bool,
    /// What the provider reported so far. `estimated` is set where the completion is our count,
    /// because the provider's own did not come yet.
    pub usage: Option<Usage>,
    /// Bytes of text, reasoning and tool arguments, for an estimate.
    pub output_bytes: u64,
    /// Why the answer ended.
    pub finish_reason: Option<Finish>,
    /// True when the provider did not say why, and the reason is what it must have been.
    pub unexplained: bool,
    /// The provider's own id of the generation; empty when it gave none.
    pub upstream_id: String,
    /// The service tier, where the provider names it.
    pub served: Option<Served>,
    /// True when the arguments of a tool call are not JSON.
    pub tool_error: bool,
}

impl Progress {
    /// Takes note of a step.
    pub(crate) fn note(&mut self, event: &Event<'_>) {
        let bytes = match event {
            Event::Start | Event::Choice(_) => return,
            Event::Text(text)
            | Event::Refusal(text)
            | Event::Reasoning { text, .. }
            | Event::Input { text, .. }
            | Event::Arguments { text, .. } => text.0.len(),
            Event::Call { name, .. } | Event::Freeform { name, .. } => name.0.len(),
            Event::Audio { transcript, .. } => transcript.0.len(),
            Event::Finish { finish, .. } => {
                self.finish_reason = Some(*finish);
                self.owed = true;
                return;
            }
            Event::Signature { .. }
            | Event::Encrypted { .. }
            | Event::Ran { .. }
            | Event::Citation { .. }
            | Event::Image { .. }
            | Event::Logprobs { .. } => 0,
        };
        self.owed = true;
        self.said = true;
        self.output_bytes += bytes as u64;
    }
}
