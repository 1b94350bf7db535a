//! From a client's body to a [`Call`]: the members that routing and money need are read in place,
//! the bytes stay as they came. A full parse is made only when a translation needs it; limits on
//! the body's size and the rate of requests are not here.

mod allowed;
mod chat;
mod completions;
pub mod conversation;
pub mod defaults;
mod embeddings;
mod freeform;
pub mod later;
mod messages;
mod order;
pub mod peek;
mod plugins;
pub mod preferences;
pub mod prompt;
pub(crate) mod read;
pub mod reasoning;
mod rerank;
mod responses;
mod search;
pub mod survey;
pub mod tier;

#[cfg(test)]
mod tests;

use crate::dialect::search::Search;
use crate::egress::seal::Seal;
use crate::failure::Failure;
use crate::gateway::told::asks_for_metadata;
use crate::message::{Asked, Embed, Request, Rerank};
use crate::wire::json::Scanner;
use bytes::Bytes;
use conversation::Conversation;
use freeform::Freeform;
use http::{HeaderMap, HeaderValue};
use peek::{Grammar, Member, Peek, Refused};
use reasoning::Reasoning;
pub(crate) use search::SearchAt;
use shared::catalog::Modality;
use shared::ranking::Mode;
use shared::routing::auto::Options;
use shared::routing::{Demand, Preferences};
use tier::Urgency;

/// Ask to see the routing decision.
pub const EXPLAIN_HEADER: &str = "x-godwit-explain";

/// The client APIs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Api {
    /// `POST …/chat/completions`
    Chat,
    /// `POST …/completions`
    Completions,
    /// `POST …/embeddings`
    Embeddings,
    /// `POST …/rerank`
    Rerank,
    /// `POST …/messages`
    Messages,
    /// `POST …/responses`
    Responses,
}

impl Api {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Rerank => "rerank",
            Self::Messages => "messages",
            Self::Responses => "responses",
        }
    }

    /// What a model must give to serve it.
    const fn output(self) -> &'static [Modality] {
        match self {
            Self::Embeddings => &[Modality::Embeddings],
            Self::Rerank => &[Modality::Rerank],
            _ => &[Modality::Text, Modality::Image, Modality::Audio],
        }
    }

    const fn grammar(self) -> &'static Grammar {
        match self {
            Self::Chat => &chat::GRAMMAR,
            Self::Completions => &completions::GRAMMAR,
            Self::Embeddings => &embeddings::GRAMMAR,
            Self::Rerank => &rerank::GRAMMAR,
            Self::Messages => &messages::GRAMMAR,
            Self::Responses => &responses::GRAMMAR,
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
    /// As it came; UTF-8 and one JSON object.
    pub body: Bytes,
    /// What routing must know.
    pub demand: Demand,
    /// The model as the client wrote it, where that says more than the demand's: `:online`.
    pub written: Option<String>,
    /// Is the answer to be streamed.
    pub stream: bool,
    /// `stream_options.include_usage`.
    pub include_usage: bool,
    /// `x-godwit-explain: 1`.
    pub explain: bool,
    /// `X-OpenRouter-Metadata: enabled`.
    pub metadata: bool,
    /// The longest answer that the client wants, in tokens, each choice.
    pub max_tokens: Option<u64>,
    /// How many choices.
    pub n: u32,
    /// Pictures that go in.
    pub images: u64,
    /// Pictures, files, sounds and films that go in.
    pub media: u64,
    /// Of these: sounds.
    pub sounds: u64,
    /// In how many units a ranking is charged at most; 0 for anything else.
    pub search_units: u64,
    /// Which conversation it goes on with.
    pub conversation: Option<Conversation>,
    /// How urgent it is.
    pub urgency: Urgency,
    /// What the client wants of `godwit/auto`.
    pub auto: Options,
    /// Text, tool calls and tool definitions, in bytes.
    pub text_bytes: u64,
    /// An estimate of what the rest costs, in tokens: turns, pictures, files.
    pub other_tokens: u64,
    /// What the client wants of reasoning.
    pub reasoning: Reasoning,
    /// Anthropic's opt-ins, for providers of its dialect.
    pub anthropic_beta: Option<HeaderValue>,
    pub(crate) members: Vec<Member>,
    /// Thoughts of other makers that the client gives back in Anthropic's form.
    pub(crate) sealed: Vec<Seal>,
    /// Tools that take free text.
    pub(crate) freeform: Vec<Freeform>,
    /// A search of the web that the provider shall do.
    pub(crate) search: Option<SearchAt>,
    /// How many searches the declared tools make at most.
    pub(crate) declared_searches: u64,
    /// The place of a tool that only providers of another dialect than the client's run.
    pub(crate) other_tool: Option<String>,
    /// The place of an item that holds what a tool of another dialect's provider did.
    pub(crate) other_run: Option<String>,
}

impl Call {
    /// The body as text. It is checked again each time: ask once.
    #[must_use]
    pub fn text(&self) -> &str {
        simdutf8::basic::from_utf8(&self.body).unwrap_or("{}")
    }

    /// The client's name for its own user, as JSON; none where it names none.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        let user = self
            .members
            .iter()
            .find(|it| it.field == peek::Field::User)?;
        self.text().get(user.value.start..user.value.end)
    }

    /// How many searches of the web may have to be paid for.
    #[must_use]
    pub fn searches(&self) -> u64 {
        let asked = self.search.as_ref().map_or(0, |search| {
            let settings = Search::settings(search.raw(self));
            settings.unwrap_or_default().most()
        });
        self.declared_searches.saturating_add(asked)
    }
}

/// The full parse of a call, for upstreams of another dialect than the client's. Where only some
/// functions may be called it has no others.
///
/// # Errors
/// 400 with the place, for what is malformed or what only the client's own dialect can say; then
/// another endpoint may help.
pub fn request(call: &Call) -> Result<Request<'_>, Failure> {
    let mut request = request_in_full(call)?;
    request.narrow();
    Ok(request)
}

/// As [`request`], with the functions that may not be called, for dialects that can say so.
///
/// # Errors
/// As there.
pub fn request_in_full(call: &Call) -> Result<Request<'_>, Failure> {
    let mut request = match call.api {
        Api::Chat => chat::request(call)?,
        Api::Completions => completions::request(call)?,
        Api::Messages => messages::request(call)?,
        Api::Responses => responses::request(call)?,
        Api::Embeddings | Api::Rerank => {
            let message = "this is no conversation";
            return Err(Failure::invalid("", message));
        }
    };
    order::results_first(&mut request.turns);
    request.search = call.search.as_ref().map(|search| Asked {
        place: &search.place,
        raw: search.raw(call),
    });
    Ok(request)
}

/// The full parse of a call for embeddings.
///
/// # Errors
/// 400 with the place, for what is malformed.
pub fn embed(call: &Call) -> Result<Embed<'_>, Failure> {
    embeddings::request(call)
}

/// The full parse of a call for a ranking of documents.
///
/// # Errors
/// 400 with the place, for what is malformed.
pub fn rerank(call: &Call) -> Result<Rerank<'_>, Failure> {
    rerank::request(call)
}

/// Reads a body.
///
/// # Errors
/// 400 with the place and the reason for everything that is malformed, of a wrong type, or not
/// available yet.
pub fn parse(
    api: Api,
    surface: Surface,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Call, Failure> {
    let Ok(text) = simdutf8::basic::from_utf8(&body) else {
        let place =
            simdutf8::compat::from_utf8(&body).map_or_else(|error| error.valid_up_to(), str::len);
        let message = format!("the body is not UTF-8 (byte {place})");
        return Err(Failure::invalid("", message));
    };
    if text.trim_ascii().is_empty() {
        let message = "the body is empty; a JSON object was expected";
        return Err(Failure::invalid("", message));
    }
    let peek =
        peek::object(&mut Scanner::new(text), api.grammar()).map_err(|refused| match refused {
            Refused::Call(failure) => *failure,
            Refused::Syntax(error) => peek::malformed(text, error),
        })?;
    assemble(api, surface, headers, peek, body)
}

fn assemble(
    api: Api,
    surface: Surface,
    headers: &HeaderMap,
    mut peek: Peek,
    body: Bytes,
) -> Result<Call, Failure> {
    if api == Api::Rerank {
        rerank::check(&peek)?;
    }
    let conversation = Conversation::of(&peek, headers)?;
    let (mut model, mut fallback_models) =
        models(peek.model.take(), std::mem::take(&mut peek.models))?;
    let written = model.contains(":online").then(|| model.clone());
    let online = later::online(&mut model, &mut fallback_models)?;
    let search = search::of(api, &mut peek, online)?;
    if !peek.has_turns {
        let turns = api.grammar().turns;
        if peek.has_prompt {
            let instead = format!("send {turns} instead");
            return Err(later::refuse("prompt", "prompt", &instead));
        }
        return Err(Failure::invalid(turns, format!("{turns} is missing")));
    }
    let reasoning = peek.reasoning.settle()?;
    let mut input = std::mem::take(&mut peek.survey.input);
    input.push(Modality::Text);
    let max_tokens = peek.max_tokens.max(peek.max_completion_tokens);
    Ok(Call {
        api,
        surface,
        body,
        demand: Demand {
            model,
            fallback_models,
            prompt_tokens: peek.survey.prompt_tokens(),
            max_tokens,
            input: distinct(input),
            output: api.output().to_vec(),
            longest_text: peek.survey.longest_text,
            parameters: distinct(peek.parameters),
            preferences: Preferences {
                partition: peek.preferences.partition.or(peek.partition),
                ..peek.preferences
            },
            needs_tools: peek.survey.tools > 0,
            mode: Mode::default(),
            tier: peek.urgency.tier,
            region: None,
            sticky: Vec::new(),
        },
        written,
        stream: peek.stream,
        include_usage: peek.include_usage,
        explain: explains(headers),
        metadata: asks_for_metadata(headers),
        max_tokens,
        n: peek.n.unwrap_or(1),
        images: peek.survey.images,
        media: peek.survey.media,
        sounds: peek.survey.sounds,
        search_units: peek.survey.search_units,
        urgency: peek.urgency,
        auto: peek.auto,
        text_bytes: peek.survey.text_bytes,
        other_tokens: peek.survey.other_tokens(),
        conversation,
        reasoning,
        anthropic_beta: anthropic_beta(headers),
        members: peek.members,
        sealed: peek.survey.sealed,
        freeform: peek.survey.freeform,
        search,
        declared_searches: peek.survey.searches,
        other_tool: peek.survey.other_tool,
        other_run: peek.survey.other_run,
    })
}

fn explains(headers: &HeaderMap) -> bool {
    let value = headers.get(EXPLAIN_HEADER);
    value.is_some_and(|value| matches!(value.as_bytes(), b"1" | b"true"))
}

fn distinct<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}

fn anthropic_beta(headers: &HeaderMap) -> Option<HeaderValue> {
    let beta = headers.get("anthropic-beta");
    beta.or_else(|| headers.get("x-anthropic-beta")).cloned()
}

/// The model to try first and the rest: `models` alone is enough.
fn models(model: Option<String>, models: Vec<String>) -> Result<(String, Vec<String>), Failure> {
    let mut all: Vec<String> = Vec::with_capacity(1 + models.len());
    for candidate in model.into_iter().chain(models) {
        if !all.contains(&candidate) {
            all.push(candidate);
        }
    }
    if all.is_empty() {
        return Err(Failure::invalid("model", "model is missing"));
    }
    let first = all.remove(0);
    Ok((first, all))
}
