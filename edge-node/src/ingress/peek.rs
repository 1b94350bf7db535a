//! One pass over a body: checks the grammar, notes where each top-level member stands, and reads
//! those that routing, money and the answer's form depend on. What an API has for itself is in its
//! `Grammar`. Members that nobody here knows are left alone; a known one may stand only once.

mod field;
mod value;

pub(crate) use field::{Field, Own};
pub use value::MODEL_BYTES_MAX;
pub(crate) use value::{boolean, expect, integer, malformed, model_id};

use crate::failure::Failure;
use crate::ingress::plugins;
use crate::ingress::preferences;
use crate::ingress::reasoning::Wish;
use crate::ingress::survey::Survey;
use crate::ingress::tier::Urgency;
use crate::ingress::{later, survey};
use crate::wire::json::{Kind, Scanner, Span, SyntaxError};
use shared::catalog::Parameter;
use shared::routing::auto::Options;
use shared::routing::{Partition, Preferences};
use value::{finite, include_usage};

/// The longest id of a session, in characters.
pub const SESSION_CHARS_MAX: usize = 256;
/// How many models may stand in `models`.
pub const MODELS_MAX: usize = 16;
/// How many choices may be asked for.
pub const CHOICES_MAX: u64 = 128;

/// A top-level member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// Which.
    pub(crate) field: Field,
    /// Its name, quotes included.
    pub(crate) key: Span,
    /// Its value.
    pub(crate) value: Span,
}

/// What one client API has for itself.
pub(crate) struct Grammar {
    /// The name of the conversation's member.
    pub(crate) turns: &'static str,
    /// What a member's name means: the API's own, then [`Field::common`].
    pub(crate) field: fn(&str) -> Field,
    /// The kinds that the value of a conversation or special member may have, besides null; none
    /// where it is not read.
    pub(crate) kinds: fn(Field) -> &'static [Kind],
    /// Consumes the value of a conversation or special member, which is not null.
    pub(crate) read: fn(&mut Peek, &mut Scanner<'_>, Field) -> Result<(), Refused>,
}

/// What one pass has found.
#[derive(Debug, Default)]
pub(crate) struct Peek {
    pub(crate) members: Vec<Member>,
    pub(crate) model: Option<String>,
    pub(crate) models: Vec<String>,
    pub(crate) has_turns: bool,
    pub(crate) has_prompt: bool,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) max_completion_tokens: Option<u64>,
    pub(crate) n: Option<u32>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) preferences: Preferences,
    /// What the legacy `route` says.
    pub(crate) partition: Option<Partition>,
    pub(crate) urgency: Urgency,
    pub(crate) session_id: Option<String>,
    pub(crate) prompt_cache_key: Option<Span>,
    pub(crate) reasoning: Wish,
    pub(crate) auto: Options,
    pub(crate) survey: Survey,
}

/// Why a pass ended early. Boxed, because the scanner's results are on the hot path.
#[derive(Debug)]
pub(crate) enum Refused {
    Syntax(SyntaxError),
    Call(Box<Failure>),
}

impl From<SyntaxError> for Refused {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Call(Box::new(failure))
    }
}

/// Reads the whole body.
pub(crate) fn object(scanner: &mut Scanner<'_>, grammar: &Grammar) -> Result<Peek, Refused> {
    let kind = scanner.kind()?;
    if kind != Kind::Object {
        // What is not even JSON is told so first.
        scanner.value()?;
        scanner.end()?;
        let message = format!("the body must be a JSON object, not {}", kind.as_str());
        return Err(Failure::invalid("", message).into());
    }
    let mut peek = Peek::default();
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        let name = key.name.decode();
        let field = (grammar.field)(&name);
        let known = field != Field::Other;
        if known && peek.members.iter().any(|member| member.field == field) {
            let message = format!("{name} stands more than once in the body");
            return Err(Failure::invalid(&name, message).into());
        }
        let kind = scanner.kind()?;
        let start = scanner.at();
        if kind == Kind::Null {
            scanner.value()?;
        } else {
            expect(&name, field.kinds(grammar), kind)?;
            if matches!(field, Field::Turns | Field::Special(_)) {
                peek.has_turns |= field == Field::Turns;
                (grammar.read)(&mut peek, scanner, field)?;
            } else {
                peek.member(scanner, field, &name)?;
            }
        }
        peek.members.push(Member {
            field,
            key: key.span(),
            value: Span {
                start,
                end: scanner.at(),
            },
        });
    }
    scanner.end()?;
    Ok(peek)
}

impl Peek {
    /// Consumes the value, which is not null and of a kind that fits the field.
    fn member(
        &mut self,
        scanner: &mut Scanner<'_>,
        field: Field,
        name: &str,
    ) -> Result<(), Refused> {
        match field {
            Field::Model => self.model = Some(model_id(name, scanner.string()?)?),
            Field::Stream => self.stream = boolean(scanner)?,
            Field::StreamOptions => self.include_usage = include_usage(scanner)?,
            Field::Choices => {
                let n = integer(scanner, name, 1, CHOICES_MAX)?;
                self.n = u32::try_from(n).ok();
            }
            Field::Own(own) => self.own(scanner, own, name)?,
            Field::Parameter(parameter) => self.parameter(scanner, parameter, name)?,
            Field::ServiceTier => self.urgency.service_tier(&scanner.string()?.decode()),
            Field::PromptCacheKey => self.prompt_cache_key = Some(scanner.value()?),
            Field::Turns
            | Field::Special(_)
            | Field::User
            | Field::Metadata
            | Field::Modalities
            | Field::Audio
            | Field::Other => {
                scanner.value()?;
            }
        }
        Ok(())
    }

    fn own(&mut self, scanner: &mut Scanner<'_>, own: Own, name: &str) -> Result<(), Refused> {
        match own {
            Own::Models => {
                let mut members = self.members.iter();
                if members.any(|member| member.field == Field::Special("fallbacks")) {
                    let message = "models can't stand together with fallbacks";
                    return Err(Failure::invalid("models", message).into());
                }
                scanner.begin_array()?;
                while scanner.element()? {
                    let place = format!("models[{}]", self.models.len());
                    let kind = scanner.kind()?;
                    expect(&place, &[Kind::String], kind)?;
                    self.models.push(model_id(&place, scanner.string()?)?);
                    if self.models.len() > MODELS_MAX {
                        let message = format!("models may name at most {MODELS_MAX} models");
                        return Err(Failure::invalid("models", message).into());
                    }
                }
            }
            Own::Provider => self.preferences = preferences::object(scanner)?,
            Own::Prompt => {
                self.has_prompt = true;
                scanner.value()?;
            }
            Own::Route => {
                self.partition = Some(match &*scanner.string()?.decode() {
                    "fallback" => Partition::Model,
                    "sort" => Partition::None,
                    _ => {
                        let message = "route must be one of fallback, sort";
                        return Err(Failure::invalid("route", message).into());
                    }
                });
            }
            Own::SessionId => {
                let id = scanner.string()?.decode().into_owned();
                if id.chars().count() > SESSION_CHARS_MAX {
                    let message =
                        format!("session_id is longer than {SESSION_CHARS_MAX} characters");
                    return Err(Failure::invalid("session_id", message).into());
                }
                self.session_id = Some(id).filter(|id| !id.is_empty());
            }
            Own::Preset => {
                return Err(later::refuse(name, "presets", "write the settings out").into());
            }
            Own::Plugins => {
                let plugins = plugins::list(scanner)?;
                self.auto = plugins.auto.unwrap_or_default();
                if let Some((place, span)) = plugins.web {
                    self.survey.search(place, Some(span))?;
                }
            }
            Own::Usage
            | Own::Transforms
            | Own::Trace
            | Own::Debug
            | Own::CacheControl
            | Own::MaxToolCalls
            | Own::StopServerToolsWhen => {
                scanner.value()?;
            }
        }
        Ok(())
    }

    fn parameter(
        &mut self,
        scanner: &mut Scanner<'_>,
        parameter: Parameter,
        name: &str,
    ) -> Result<(), Refused> {
        self.parameters.push(parameter);
        match parameter {
            Parameter::MaxTokens => {
                self.max_tokens = Some(integer(scanner, name, 1, u64::MAX)?);
            }
            Parameter::MaxCompletionTokens => {
                self.max_completion_tokens = Some(integer(scanner, name, 1, u64::MAX)?);
            }
            Parameter::Tools => {
                survey::tools(scanner, &mut self.survey)?;
                if self.survey.tools == 0 {
                    self.parameters.pop();
                }
            }
            Parameter::Reasoning => self.reasoning.object(scanner)?,
            Parameter::ReasoningEffort => self.reasoning.shorthand(scanner.string()?),
            Parameter::IncludeReasoning => self.reasoning.include = Some(boolean(scanner)?),
            Parameter::ResponseFormat => {
                if survey::type_of(scanner, name)?.is_some_and(|kind| kind == "json_schema") {
                    self.parameters.push(Parameter::StructuredOutputs);
                }
            }
            Parameter::WebSearchOptions => {
                let span = scanner.value()?;
                self.survey.search(name.to_owned(), Some(span))?;
            }
            _ if field::parameter_kinds(parameter) == [Kind::Number] => finite(scanner, name)?,
            _ => {
                scanner.value()?;
            }
        }
        Ok(())
    }
}
