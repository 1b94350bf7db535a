//! Gemini's answers: a stream is a row of whole answers.

use super::{Call, Choice, Reading, list, number, parse, present, string};
use serde_json::Value;

pub(super) fn json(body: &Value) -> Reading {
    let mut reading = Reading::default();
    // Some endpoints put an error into a list.
    let body = body.get(0).unwrap_or(body);
    answer(body, &mut reading);
    close(&mut reading);
    reading
}

pub(super) fn stream<'a>(data: impl Iterator<Item = &'a str>) -> Reading {
    let mut reading = Reading::default();
    for data in data {
        let body = parse(data);
        // An error may come in a list.
        answer(body.get(0).unwrap_or(&body), &mut reading);
    }
    close(&mut reading);
    reading
}

fn answer(body: &Value, reading: &mut Reading) {
    if let Some(error) = present(body.get("error")) {
        reading.error = true;
        string(error.get("message")).clone_into(&mut reading.message);
    }
    if present(body.pointer("/promptFeedback/blockReason")).is_some() {
        let choice = reading.choices.entry(0).or_default();
        choice.finish = Some("content_filter".to_owned());
    }
    for (position, candidate) in list(body.get("candidates")).iter().enumerate() {
        let index = number(candidate.get("index")).unwrap_or(position as u64);
        let choice = reading.choices.entry(index).or_default();
        for part in list(candidate.pointer("/content/parts")) {
            take(part, choice);
        }
        for chunk in list(candidate.pointer("/groundingMetadata/groundingChunks")) {
            choice
                .citations
                .push(string(chunk.pointer("/web/uri")).to_owned());
        }
        for source in list(candidate.pointer("/citationMetadata/citationSources")) {
            choice.citations.push(string(source.get("uri")).to_owned());
        }
        choice.logprobs += list(candidate.pointer("/logprobsResult/chosenCandidates")).len();
        choice.finish = finish(candidate.get("finishReason")).or_else(|| choice.finish.take());
    }
    let Some(usage) = present(body.get("usageMetadata")) else {
        return;
    };
    let at = |name: &str| number(usage.get(name));
    let tokens = &mut reading.usage;
    let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0) + b.unwrap_or(0)),
    };
    let prompt = sum(at("promptTokenCount"), at("toolUsePromptTokenCount"));
    tokens.prompt = prompt.or(tokens.prompt);
    let thoughts = at("thoughtsTokenCount");
    tokens.completion = sum(at("candidatesTokenCount"), thoughts).or(tokens.completion);
    tokens.reasoning = thoughts.or(tokens.reasoning);
    tokens.cached = at("cachedContentTokenCount").or(tokens.cached);
    let of = |list_name: &str, modality: (&str, u64)| {
        let all = list(usage.get(list_name)).iter();
        let (word, place) = modality;
        let mut all = all.filter(|it| {
            it.get("modality") == Some(&word.into()) || number(it.get("modality")) == Some(place)
        });
        all.next().and_then(|it| number(it.get("tokenCount")))
    };
    let (sound, pictures) = (("AUDIO", 4), ("IMAGE", 2));
    tokens.prompt_sound = of("promptTokensDetails", sound).or(tokens.prompt_sound);
    tokens.sound = of("candidatesTokensDetails", sound).or(tokens.sound);
    tokens.pictures = of("candidatesTokensDetails", pictures).or(tokens.pictures);
}

fn take(part: &Value, choice: &mut Choice) {
    let text = string(part.get("text"));
    if part.get("thought") == Some(&true.into()) {
        choice.reasoning.push_str(text);
    } else {
        choice.text.push_str(text);
    }
    let signature = string(part.get("thoughtSignature"));
    choice.proofs.push(signature.to_owned());
    let kind = string(part.pointer("/inlineData/mimeType"));
    let data = string(part.pointer("/inlineData/data"));
    if kind.starts_with("audio/") {
        choice.sound.push_str(data);
    }
    // A picture that is a thought is a draft.
    if kind.starts_with("image/") && part.get("thought") != Some(&true.into()) {
        choice.images.push(data.to_owned());
    }
    if let Some(call) = part.get("functionCall") {
        let arguments = call.get("args").map(Value::to_string);
        choice.calls.push(Call {
            index: choice.calls.len() as u64,
            id: string(call.get("id")).to_owned(),
            name: string(call.get("name")).to_owned(),
            arguments: arguments.unwrap_or_else(|| "{}".to_owned()),
        });
    }
}

/// A word or, with `enum-encoding=int`, a number.
fn finish(word: Option<&Value>) -> Option<String> {
    let word = match present(word)? {
        Value::Number(number) => match number.as_u64()? {
            1 => "STOP",
            2 => "MAX_TOKENS",
            3 | 4 | 6 | 7 | 8 | 9 => "SAFETY",
            _ => "OTHER",
        },
        word => word.as_str()?,
    };
    let finish = match word {
        "STOP" => "stop",
        "MAX_TOKENS" => "length",
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "LANGUAGE"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR" => "content_filter",
        "FINISH_REASON_UNSPECIFIED" => return None,
        _ => "error",
    };
    Some(finish.to_owned())
}

fn close(reading: &mut Reading) {
    reading.terminal = !reading.error;
    if reading.usage.prompt.is_some() && reading.usage.completion.is_none() {
        reading.usage.completion = Some(0);
    }
    for choice in reading.choices.values_mut() {
        if !choice.calls.is_empty() && choice.finish.as_deref() == Some("stop") {
            choice.finish = Some("tool_calls".to_owned());
        }
    }
}
