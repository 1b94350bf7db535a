//! Writes `generationConfig`: bounds, sampling, the form of the answer, thinking and kinds of
//! output.

use crate::dialect::Target;
use crate::dialect::gemini::model::Model;
use crate::dialect::gemini::{schema, thinking};
use crate::dialect::write::{List, put, refuse};
use crate::failure::Failure;
use crate::message::{Format, Request};
use crate::wire::json::{Kind, Scanner, SyntaxError};
use shared::catalog::Parameter;

/// How many stop sequences are taken.
const STOPS_MAX: usize = 5;
/// A seed is 31 bits long; longer ones are folded, which keeps what they are for.
const SEED_MASK: u64 = 0x7fff_ffff;

/// Appends the member, unless there is nothing to say.
pub(super) fn write(
    request: &Request<'_>,
    target: &Target<'_>,
    model: Model,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let mut list = List::default();
    let max_tokens = max_tokens(request, target);
    if let Some(most) = max_tokens {
        put(list.item(), &[&format!("\"maxOutputTokens\":{most}")]);
    }
    if request.n > 1 {
        put(list.item(), &[&format!("\"candidateCount\":{}", request.n)]);
    }
    stop(request, target, &mut list)?;
    sampling(request, target, &mut list);
    format(request, target, model, &mut list);
    let thinking = thinking::choose(request, target, model, max_tokens);
    if !thinking.is_unsaid() {
        let item = list.item();
        put(item, &["\"thinkingConfig\":"]);
        thinking.write(item);
    }
    let speaks = modalities(request, &mut list)?;
    if speaks {
        voice(request, &mut list)?;
    }
    if !list.is_empty() {
        put(out, &[",\"generationConfig\":{"]);
        out.extend_from_slice(list.as_bytes());
        out.push(b'}');
    }
    Ok(())
}

/// The client's wish, at most what the model gives and what may be spent.
fn max_tokens(request: &Request<'_>, target: &Target<'_>) -> Option<u64> {
    let wish = [request.max_tokens, target.max_tokens_clamp];
    let wish = wish.into_iter().flatten().min()?;
    let most = target.endpoint.max_completion_tokens.unwrap_or(u64::MAX);
    Some(wish.min(most).max(1))
}

fn stop(request: &Request<'_>, target: &Target<'_>, list: &mut List) -> Result<(), Failure> {
    if !target.supports(Parameter::Stop) {
        return Ok(());
    }
    let mut stops = List::default();
    let texts = request.stop.iter().filter(|text| !text.is_empty());
    for (count, text) in texts.enumerate() {
        if count == STOPS_MAX {
            return Err(refuse("stop", "takes five at most"));
        }
        put(stops.item(), &[text.raw()]);
    }
    if !stops.is_empty() {
        let item = list.item();
        put(item, &["\"stopSequences\":["]);
        item.extend_from_slice(stops.as_bytes());
        item.push(b']');
    }
    Ok(())
}

fn sampling(request: &Request<'_>, target: &Target<'_>, list: &mut List) {
    let value = |parameter: Parameter| {
        let raw = request.parameter(parameter)?;
        target.supports(parameter).then_some(raw)
    };
    for (parameter, name) in [
        (Parameter::Temperature, "\"temperature\":"),
        (Parameter::TopP, "\"topP\":"),
        (Parameter::PresencePenalty, "\"presencePenalty\":"),
        (Parameter::FrequencyPenalty, "\"frequencyPenalty\":"),
    ] {
        if let Some(raw) = value(parameter) {
            put(list.item(), &[name, raw]);
        }
    }
    // 0 says to OpenRouter's clients that it is off.
    let positive = |raw: &&str| raw.parse::<f64>().is_ok_and(|value| value >= 1.0);
    if let Some(raw) = value(Parameter::TopK).filter(positive) {
        put(list.item(), &["\"topK\":", raw]);
    }
    if let Some(seed) = value(Parameter::Seed).and_then(|raw| raw.parse::<i64>().ok()) {
        let seed = seed.unsigned_abs() & SEED_MASK;
        put(list.item(), &[&format!("\"seed\":{seed}")]);
    }
    if value(Parameter::Logprobs) == Some("true") {
        put(list.item(), &["\"responseLogprobs\":true"]);
        if let Some(raw) = value(Parameter::TopLogprobs) {
            put(list.item(), &["\"logprobs\":", raw]);
        }
    }
}

fn format(request: &Request<'_>, target: &Target<'_>, model: Model, list: &mut List) {
    let known = [Parameter::StructuredOutputs, Parameter::ResponseFormat];
    if !known.iter().any(|parameter| target.supports(*parameter)) {
        return;
    }
    let Some(format) = request.format else {
        return;
    };
    put(list.item(), &["\"responseMimeType\":\"application/json\""]);
    if let Format::JsonSchema(form) = format {
        if model.takes_json_schema() {
            let schema = schema::plain(form.schema);
            put(list.item(), &["\"responseJsonSchema\":", &schema]);
        } else {
            let schema = schema::subset(form.schema);
            put(list.item(), &["\"responseSchema\":", &schema]);
        }
    }
}

/// Appends the kinds of output, unless that is text only; true when it is speech, which comes
/// alone here.
fn modalities(request: &Request<'_>, list: &mut List) -> Result<bool, Failure> {
    let Some(raw) = request.modalities else {
        return Ok(false);
    };
    let words = texts(raw).unwrap_or_default();
    let mut kinds = List::default();
    for word in &words {
        let kind = match word.as_str() {
            "audio" => {
                put(list.item(), &["\"responseModalities\":[\"AUDIO\"]"]);
                return Ok(true);
            }
            "text" => "\"TEXT\"",
            "image" => "\"IMAGE\"",
            _ => return Err(refuse("modalities", "gives text, pictures and speech only")),
        };
        put(kinds.item(), &[kind]);
    }
    if words.iter().any(|word| word != "text") {
        let item = list.item();
        put(item, &["\"responseModalities\":["]);
        item.extend_from_slice(kinds.as_bytes());
        item.push(b']');
    }
    Ok(false)
}

/// The strings of a list.
fn texts(raw: &str) -> Result<Vec<String>, SyntaxError> {
    let mut all = Vec::new();
    let mut scanner = Scanner::new(raw);
    scanner.begin_array()?;
    while scanner.element()? {
        if scanner.kind()? == Kind::String {
            all.push(scanner.string()?.decode().into_owned());
        } else {
            scanner.value()?;
        }
    }
    Ok(all)
}

/// Appends the voice. Speech comes as 16-bit samples at 24 kHz and as nothing else.
fn voice(request: &Request<'_>, list: &mut List) -> Result<(), Failure> {
    let Some(raw) = request.audio else {
        return Ok(());
    };
    let (voice, format) = members(raw).unwrap_or_default();
    if format.is_some_and(|format| format != "pcm16" && format != "pcm") {
        return Err(refuse("audio.format", "speaks in pcm16 only"));
    }
    if let Some(voice) = voice {
        put(
            list.item(),
            &[
                "\"speechConfig\":{\"voiceConfig\":{\"prebuiltVoiceConfig\":{\"voiceName\":",
                &voice,
                "}}}",
            ],
        );
    }
    Ok(())
}

/// `voice`, with its quotes, and `format`, without.
fn members(raw: &str) -> Result<(Option<String>, Option<String>), SyntaxError> {
    let (mut voice, mut format) = (None, None);
    let mut scanner = Scanner::new(raw);
    scanner.begin_object()?;
    while let Some(key) = scanner.key()? {
        match (&*key.name.decode(), scanner.kind()?) {
            ("voice", Kind::String) => voice = Some(scanner.string()?.raw().to_owned()),
            ("format", Kind::String) => format = Some(scanner.string()?.decode().into_owned()),
            _ => {
                scanner.value()?;
            }
        }
    }
    Ok((voice, format))
}
