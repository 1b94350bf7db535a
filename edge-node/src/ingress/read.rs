//! What the full parses of all client APIs share: strings and raw values in their places, the
//! members that mean the same everywhere, and the words for what is wrong or foreign.

use crate::failure::{Failure, Retry};
use crate::ingress::Call;
use crate::ingress::peek::{Field, Member, Own, Refused, expect, malformed};
use crate::message::Request;
use crate::wire::json::{Kind, Scanner, Str, SyntaxError};
use shared::catalog::Parameter;

/// Parameters that a dialect with a word for them takes as they are.
const PLAIN: [Parameter; 14] = [
    Parameter::Temperature,
    Parameter::TopP,
    Parameter::TopK,
    Parameter::MinP,
    Parameter::TopA,
    Parameter::FrequencyPenalty,
    Parameter::PresencePenalty,
    Parameter::RepetitionPenalty,
    Parameter::LogitBias,
    Parameter::Logprobs,
    Parameter::TopLogprobs,
    Parameter::Prediction,
    Parameter::Seed,
    Parameter::Verbosity,
];

/// A member that is not null, with a scanner in front of its value.
pub(crate) struct Found<'a> {
    pub(crate) field: Field,
    /// The value as written.
    pub(crate) raw: &'a str,
    pub(crate) scanner: Scanner<'a>,
}

impl<'a> Found<'a> {
    /// The value as written; it must be of this kind.
    fn of(&mut self, name: &str, kind: Kind) -> Result<&'a str, Refused> {
        let found = self.scanner.kind()?;
        expect(name, &[kind], found)?;
        Ok(self.raw)
    }
}

/// Puts a request together: what the peek knows and the members that mean the same in every API
/// are filled in, `own` gets the others and says what is wrong with them.
///
/// # Errors
/// What `own` says; another endpoint may help.
pub(crate) fn request<'a>(
    call: &'a Call,
    mut own: impl FnMut(Found<'a>, &mut Request<'a>) -> Result<(), Refused>,
) -> Result<Request<'a>, Failure> {
    let mut request = Request {
        max_tokens: call.max_tokens,
        reasoning: call.reasoning,
        n: call.n,
        stream: call.stream,
        ..Request::default()
    };
    let mut read = |member: &Member| {
        let Some(found) = found(call, member) else {
            return Ok(());
        };
        match common(found, &mut request)? {
            Some(found) => own(found, &mut request),
            None => Ok(()),
        }
    };
    let mut members = call.members.iter();
    members
        .try_for_each(&mut read)
        .map_err(|refused| match refused {
            Refused::Call(failure) => failure.with_retry(Retry::OtherEndpoint),
            Refused::Syntax(error) => malformed(call.text(), error),
        })?;
    Ok(request)
}

fn found<'a>(call: &'a Call, member: &Member) -> Option<Found<'a>> {
    let text = call.text();
    let raw = text.get(member.value.start..member.value.end)?;
    (raw != "null").then(|| Found {
        field: member.field,
        raw,
        scanner: Scanner::starting(text, member.value.start),
    })
}

/// Takes a member that means the same in every API; gives back the others.
fn common<'a>(
    mut found: Found<'a>,
    request: &mut Request<'a>,
) -> Result<Option<Found<'a>>, Refused> {
    match found.field {
        Field::User => request.user = Some(found.scanner.string()?),
        Field::ServiceTier => request.service_tier = Some(found.scanner.string()?),
        Field::PromptCacheKey => {
            let place = || "prompt_cache_key".to_owned();
            request.prompt_cache_key = text_of(&mut found.scanner, &place)?;
        }
        Field::Metadata => request.metadata = Some(found.of("metadata", Kind::Object)?),
        Field::Modalities => request.modalities = Some(found.of("modalities", Kind::Array)?),
        Field::Audio => request.audio = Some(found.of("audio", Kind::Object)?),
        Field::Own(Own::CacheControl) => request.cache = Some(found.raw),
        Field::Parameter(Parameter::ParallelToolCalls) => {
            request.parallel_tool_calls = Some(found.raw == "true");
        }
        // Said apart: [`crate::ingress::request`].
        Field::Parameter(Parameter::WebSearchOptions) => {}
        Field::Parameter(parameter) if PLAIN.contains(&parameter) => {
            request.parameters.push((parameter, found.raw));
        }
        _ => return Ok(Some(found)),
    }
    Ok(None)
}

/// A 400: `place` can't be said to this provider.
pub(crate) fn foreign(place: &str, why: &str) -> Refused {
    let message = format!("{place}: the chosen provider {why}");
    Failure::invalid(place, message)
        .with_retry(Retry::OtherEndpoint)
        .into()
}

/// A 400: a member of `place` is missing or of the wrong type.
pub(crate) fn wrong(place: &str, why: &str) -> Refused {
    Failure::invalid(place, format!("{place} {why}")).into()
}

/// Consumes a string or null; anything else is of the wrong type.
pub(crate) fn text_of<'a>(
    scanner: &mut Scanner<'a>,
    place: &dyn Fn() -> String,
) -> Result<Option<Str<'a>>, Refused> {
    match scanner.kind()? {
        Kind::String => Ok(Some(scanner.string()?)),
        Kind::Null => {
            scanner.value()?;
            Ok(None)
        }
        kind => Err(wrong(
            &place(),
            &format!("must be a string, not {}", kind.as_str()),
        )),
    }
}

/// Consumes a value and returns it as written; none for null.
pub(crate) fn raw_of<'a>(scanner: &mut Scanner<'a>) -> Result<Option<&'a str>, SyntaxError> {
    let span = scanner.value()?;
    Ok(Some(scanner.raw(span)).filter(|raw| *raw != "null"))
}

/// Consumes a value; none unless it is a boolean.
pub(crate) fn flag_of(scanner: &mut Scanner<'_>) -> Result<Option<bool>, SyntaxError> {
    Ok(match raw_of(scanner)? {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    })
}

/// Consumes a string or a list of strings.
pub(crate) fn texts_of<'a>(
    scanner: &mut Scanner<'a>,
    place: &str,
) -> Result<Vec<Str<'a>>, Refused> {
    if scanner.kind()? == Kind::String {
        return Ok(vec![scanner.string()?]);
    }
    let mut list = Vec::new();
    scanner.begin_array()?;
    while scanner.element()? {
        let place = || format!("{place}[{}]", list.len());
        let text = text_of(scanner, &place)?;
        list.extend(text);
    }
    Ok(list)
}
