//! The canonical conversation between client APIs and upstream dialects: what is asked, what is
//! said, and what was seen of an answer. Text stays as it stands on the wire (a JSON string), so
//! that nothing is decoded and encoded again on the way.

mod event;
mod media;
mod part;
mod vectors;

pub use event::{Detail, Event, Finish, Progress, Served, Spoken};
pub use media::{Json, Media, Source};
pub use part::{DetailKind, Part, Place, Role, Thought, Turn};
pub use vectors::{Document, Embed, Input, Rerank};

use crate::ingress::reasoning::Reasoning;
use crate::wire::json::{Scanner, Str};
use shared::catalog::Parameter;
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
    /// True when there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

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

/// What is asked, as far as more than one dialect has words for it.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// In order; neighbours may have the same role.
    pub turns: Vec<Turn<'a>>,
    /// Functions that the model may call.
    pub tools: Vec<Tool<'a>>,
    /// Tools that a provider runs by itself.
    pub served: Vec<ServerTool<'a>>,
    /// A search of the web that is asked for in another way than by declaring a tool of its maker's.
    pub search: Option<Asked<'a>>,
    /// Which of them it shall call; none is its own choice.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// The only functions that may be called; none are all.
    pub allowed: Option<Vec<Str<'a>>>,
    /// False forbids several calls in one turn.
    pub parallel_tool_calls: Option<bool>,
    /// Texts at which to stop.
    pub stop: Vec<Str<'a>>,
    /// Values that dialects with a word for them take as they are written: sampling, penalties,
    /// seed, logprobs, `logit_bias`, verbosity. Each at most once, none is null.
    pub parameters: Vec<(Parameter, &'a str)>,
    /// What form the answer shall have.
    pub format: Option<Format<'a>>,
    /// The caller's end user.
    pub user: Option<Str<'a>>,
    /// How urgent.
    pub service_tier: Option<Str<'a>>,
    /// Which prompts share a cache.
    pub prompt_cache_key: Option<Str<'a>>,
    /// A cache mark on the whole prompt, as written.
    pub cache: Option<&'a str>,
    /// The caller's own notes, an object as written.
    pub metadata: Option<&'a str>,
    /// Kinds of output, a list as written.
    pub modalities: Option<&'a str>,
    /// Voice and format of speech, an object as written.
    pub audio: Option<&'a str>,
    /// The longest answer, in tokens, each choice.
    pub max_tokens: Option<u64>,
    /// How much to think.
    pub reasoning: Reasoning,
    /// How many choices; at least 1.
    pub n: u32,
    /// Is the answer to be streamed.
    pub stream: bool,
}

impl<'a> Request<'a> {
    /// The value of a parameter, as written.
    #[must_use]
    pub fn parameter(&self, parameter: Parameter) -> Option<&'a str> {
        let mut all = self.parameters.iter();
        all.find(|(known, _)| *known == parameter)
            .map(|(_, raw)| *raw)
    }

    /// Leaves no others than the functions that may be called, for dialects that can't declare more.
    pub fn narrow(&mut self) {
        if let Some(allowed) = self.allowed.take() {
            let is_allowed = |tool: &Tool<'_>| {
                let name = tool.name.decode();
                allowed.iter().any(|one| one.decode() == name)
            };
            self.tools.retain(is_allowed);
        }
    }
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
    /// True when arguments must fit the schema exactly.
    pub strict: Option<bool>,
    /// A cache mark, as written.
    pub cache: Option<&'a str>,
    /// It takes free text of this form, in the words of the Responses API; to dialects that have
    /// only functions it is one whose parameters say so.
    pub freeform: Option<&'a str>,
}

/// A tool that a provider runs by itself: it means something in one dialect only.
#[derive(Clone, Copy, Debug)]
pub struct ServerTool<'a> {
    /// Its place among all tools.
    pub index: usize,
    /// The declaration, as written.
    pub raw: &'a str,
}

/// A search of the web.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Where in the client's body.
    pub place: &'a str,
    /// Its settings, an object as written.
    pub raw: &'a str,
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
    /// This one, whatever it takes.
    Function(Str<'a>),
}

/// The form of the answer.
#[derive(Clone, Copy, Debug)]
pub enum Format<'a> {
    /// Some JSON object.
    JsonObject,
    /// What a JSON Schema describes.
    JsonSchema(Schema<'a>),
}

/// A description of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Schema<'a> {
    /// What the client calls it.
    pub name: Option<Str<'a>>,
    /// What it is for.
    pub description: Option<Str<'a>>,
    /// The JSON Schema, as written.
    pub schema: &'a str,
    /// True when the answer must fit exactly.
    pub strict: Option<bool>,
}
