//! Writes a Converse body. What the dialect has no word for and the model has goes into
//! `additionalModelRequestFields`, in the words of the model's maker; the rest is left out, as for
//! every dialect.

use crate::dialect::Target;
use crate::dialect::anthropic_messages::is_blank;
use crate::dialect::anthropic_messages::thinking::{self, Thinking};
use crate::dialect::bedrock_converse::family::Family;
use crate::dialect::bedrock_converse::messages::Writer;
use crate::dialect::bedrock_converse::tools;
use crate::dialect::served::{self, Words};
use crate::dialect::write::{List, clamped, member, one_choice, only_text, put};
use crate::failure::Failure;
use crate::ingress::reasoning::Effort;
use crate::message::{Format, Request, Schema};
use crate::wire::json::{self, Str};
use shared::catalog::Parameter;

/// The longest answer of a model that thinks when neither the client nor the catalogue says
/// anything: a budget needs one.
const MAX_TOKENS: u64 = 4096;
/// What asks for JSON where there is no schema to ask with.
const JSON_OBJECT: &str = "{\"text\":\"Answer with one JSON object and nothing else.\"}";
/// What a JSON Schema is called when the client gives it no name.
const SCHEMA_NAME: &str = "\"answer\"";

/// The body to send.
///
/// # Errors
/// The request has something that this dialect can't carry.
pub(super) fn body(request: &Request<'_>, target: &Target<'_>) -> Result<Vec<u8>, Failure> {
    one_choice(request)?;
    only_text(request)?;
    served::check(request, Words::None)?;
    let family = Family::of(target);
    let mut writer = Writer::new(family);
    let mut out = Vec::with_capacity(4096);
    put(&mut out, &["{"]);
    let mut messages = Vec::new();
    writer.write(&request.turns, request.cache, &mut messages)?;
    // The first member has no comma before it.
    out.extend_from_slice(messages.get(1..).unwrap_or_default());
    system(request, &writer, &mut out);
    let mut more = List::default();
    tools::write(request, target, &writer, (&mut more, &mut out))?;
    let limit = limit(request, target);
    let thinking = match family {
        Family::Claude => thinking::choose(request, target, limit.unwrap_or(MAX_TOKENS)),
        _ => Thinking::Unsaid,
    };
    let limit = limit.or_else(|| thinking.is_on().then_some(MAX_TOKENS));
    inference(request, target, (limit, thinking), &mut out);
    own_fields(request, target, thinking, &mut more);
    if !more.is_empty() {
        put(&mut out, &[",\"additionalModelRequestFields\":{"]);
        out.extend_from_slice(more.as_bytes());
        out.push(b'}');
    }
    if family == Family::Claude && !request.stop.is_empty() {
        let path = ",\"additionalModelResponseFieldPaths\":[\"/stop_sequence\"]";
        put(&mut out, &[path]);
    }
    form(request, target, &mut out);
    if let Some(word) = target.tier_word(request.service_tier)
        && matches!(
            word.trim_matches('"'),
            "priority" | "flex" | "default" | "reserved"
        )
    {
        put(&mut out, &[",\"serviceTier\":{\"type\":", word, "}"]);
    }
    out.push(b'}');
    Ok(out)
}

/// The client's wish, at most what the model gives and what may be spent.
fn limit(request: &Request<'_>, target: &Target<'_>) -> Option<u64> {
    let most = target.endpoint.max_completion_tokens;
    let bounds = [request.max_tokens, most, target.max_tokens_clamp];
    bounds.into_iter().flatten().min().map(|limit| limit.max(1))
}

fn system(request: &Request<'_>, writer: &Writer, out: &mut Vec<u8>) {
    let mut list = List::default();
    let turns = request.turns.iter();
    for turn in turns.filter(|turn| turn.role.is_system()) {
        for part in &turn.parts {
            writer.text(part, &mut list);
        }
    }
    if matches!(request.format, Some(Format::JsonObject)) {
        put(list.item(), &[JSON_OBJECT]);
    }
    member(out, "system", &list);
}

/// Temperature ends at 1 here; with thinking, models of Anthropic's take none of these. A `top_p`
/// of 1 says nothing, and newer models refuse it beside a temperature.
fn inference(
    request: &Request<'_>,
    target: &Target<'_>,
    (limit, thinking): (Option<u64>, Thinking),
    out: &mut Vec<u8>,
) {
    let mut list = List::default();
    if let Some(limit) = limit {
        put(list.item(), &["\"maxTokens\":", &limit.to_string()]);
    }
    let known = |parameter: Parameter| {
        let raw = request.parameter(parameter);
        raw.filter(|_| target.supports(parameter) && !thinking.is_on())
    };
    if let Some(raw) = known(Parameter::Temperature) {
        put(list.item(), &["\"temperature\":", clamped(raw, ("0", "1"))]);
    }
    let says_nothing = |raw: &&str| raw.parse::<f64>().is_ok_and(|value| value >= 1.0);
    if let Some(raw) = known(Parameter::TopP).filter(|raw| !says_nothing(raw)) {
        put(list.item(), &["\"topP\":", raw]);
    }
    let mut stops = List::default();
    if target.supports(Parameter::Stop) {
        for text in request.stop.iter().filter(|text| !is_blank(**text)) {
            put(stops.item(), &[text.raw()]);
        }
    }
    if !stops.is_empty() {
        let item = list.item();
        put(item, &["\"stopSequences\":["]);
        item.extend_from_slice(stops.as_bytes());
        item.push(b']');
    }
    if !list.is_empty() {
        put(out, &[",\"inferenceConfig\":{"]);
        out.extend_from_slice(list.as_bytes());
        out.push(b'}');
    }
}

/// What goes to the model in its maker's words.
fn own_fields(request: &Request<'_>, target: &Target<'_>, thinking: Thinking, more: &mut List) {
    let family = Family::of(target);
    let thinking_member = thinking.member();
    if !thinking_member.is_empty() {
        put(more.item(), &[&thinking_member]);
    }
    if let Thinking::Adaptive(effort) = thinking {
        put(
            more.item(),
            &["\"output_config\":{\"effort\":\"", effort, "\"}"],
        );
    }
    if let Some(raw) = request.parameter(Parameter::TopK)
        && target.supports(Parameter::TopK)
        && !thinking.is_on()
        && raw.parse::<f64>().is_ok_and(|value| value >= 1.0)
    {
        match family {
            Family::Claude | Family::Mistral => put(more.item(), &["\"top_k\":", raw]),
            Family::Cohere => put(more.item(), &["\"k\":", raw]),
            Family::Nova | Family::Nova2 => {
                put(more.item(), &["\"inferenceConfig\":{\"topK\":", raw, "}"]);
            }
            Family::GptOss | Family::Other => {}
        }
    }
    if let Some(effort) = effort(request, target) {
        match family {
            Family::GptOss => put(more.item(), &["\"reasoning_effort\":\"", effort, "\""]),
            Family::Nova2 => {
                let start = "\"reasoningConfig\":{\"type\":\"enabled\",\"maxReasoningEffort\":\"";
                put(more.item(), &[start, effort, "\"}"]);
            }
            _ => {}
        }
    }
}

/// The effort in the three words that Amazon's and OpenAI's open models know. Amazon's high effort
/// allows no limit of the answer, so that a limited one is medium.
fn effort(request: &Request<'_>, target: &Target<'_>) -> Option<&'static str> {
    let wish = &request.reasoning;
    let known = [
        Parameter::Reasoning,
        Parameter::IncludeReasoning,
        Parameter::ReasoningEffort,
    ];
    if !known.iter().any(|known| target.supports(*known)) {
        return None;
    }
    let is_bound = Family::of(target) == Family::Nova2 && limit(request, target).is_some();
    match (wish.effort, wish.max_tokens) {
        (Some(Effort::None), _) | (None, None) => None,
        (Some(Effort::Minimal | Effort::Low), _) => Some("low"),
        (Some(Effort::High | Effort::XHigh | Effort::Max), _) if !is_bound => Some("high"),
        _ => Some("medium"),
    }
}

/// A schema where the endpoint takes one.
fn form(request: &Request<'_>, target: &Target<'_>, out: &mut Vec<u8>) {
    let known = [Parameter::ResponseFormat, Parameter::StructuredOutputs];
    let takes = known.iter().any(|known| target.supports(*known));
    if let Some(Format::JsonSchema(form)) = request.format.filter(|_| takes) {
        schema(&form, out);
    }
}

fn schema(form: &Schema<'_>, out: &mut Vec<u8>) {
    let start = ",\"outputConfig\":{\"textFormat\":{\"type\":\"json_schema\",\"structure\":";
    put(out, &[start, "{\"jsonSchema\":{\"schema\":"]);
    json::write_string(out, form.schema);
    put(
        out,
        &[",\"name\":", form.name.map_or(SCHEMA_NAME, Str::raw)],
    );
    if let Some(description) = form.description.filter(|text| !text.is_empty()) {
        put(out, &[",\"description\":", description.raw()]);
    }
    put(out, &["}}}}"]);
}
