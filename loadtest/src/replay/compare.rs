//! Says what differs between a recording and what came out of the edge, and between what the
//! client sent and what went upstream. An empty list is a pass.

use super::api::Api;
use super::corpus::Case;
use super::format::Format;
use super::reading::{Call, Choice, Reading};
use serde_json::Value;

/// Longest excerpt of a text in a reason.
const EXCERPT_CHARS: usize = 80;
/// Members that a gateway may set, rename or take out on the way to an openai-chat provider.
const GATEWAY_MAY_CHANGE: [&str; 8] = [
    "model",
    "reasoning",
    "reasoning_effort",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "usage",
    "user",
];

/// What a recording says, as far as an API has words for it.
pub(super) fn expected(case: &Case, api: Api, recorded: &Reading) -> Reading {
    let mut expected = recorded.clone();
    // An answer that its provider gave up is an error to its client.
    let gave_up = |choice: &Choice| choice.finish.as_deref() == Some("error");
    expected.error |= expected.choices.values().any(gave_up);
    for choice in expected.choices.values_mut() {
        *choice = said_in(api, choice);
    }
    let want = &mut expected.usage;
    if case.provider == "xai"
        && case.format == Format::Chat
        && let (Some(completion), Some(reasoning)) = (want.completion, want.reasoning)
    {
        // Reasoning stands beside completion there, not inside.
        want.completion = Some(completion + reasoning);
    }
    if api == Api::Messages {
        // Anthropic's usage does not tell thinking apart.
        want.reasoning = None;
    }
    if matches!(api, Api::Messages | Api::Responses) {
        (want.prompt_sound, want.sound, want.pictures) = (None, None, None);
    }
    if let (Some(cached), Some(prompt)) = (want.cached, want.prompt) {
        want.cached = Some(cached.min(prompt));
    }
    expected
}

/// The answer against what was [`expected`].
pub(super) fn answers(
    case: &Case,
    api: Api,
    expected: &Reading,
    (status, seen): (u16, &Reading),
) -> Vec<String> {
    let mut why = Vec::new();
    if case.status >= 400 {
        return error_status(case.status, status).into_iter().collect();
    }
    if expected.error {
        if !seen.error {
            why.push("the recorded error is not in the answer".to_owned());
        }
        if seen.terminal && status == 200 && case.stream && api != Api::Responses {
            why.push("a failed stream ends as if it were whole".to_owned());
        }
        if status != 200 {
            return why;
        }
    } else if status != 200 || seen.error {
        why.push(format!("status {status}, error {:?}", seen.message));
        return why;
    } else if !seen.terminal {
        why.push("the stream has no end".to_owned());
    }
    if seen.garbage > 0 {
        why.push(format!("{} data lines are no JSON", seen.garbage));
    }
    for (index, choice) in &expected.choices {
        match seen.choices.get(index) {
            Some(seen) => {
                let seen = said_in(api, seen);
                compare_choice(*index, choice, &seen, expected.error, &mut why);
            }
            None if *choice == Choice::default() => {}
            None => why.push(format!("choice {index} is missing")),
        }
    }
    if !expected.error {
        usage(expected, seen, api, &mut why);
        vectors(expected, seen, &mut why);
    }
    why
}

/// Numbers, each as recorded.
fn vectors(expected: &Reading, seen: &Reading, why: &mut Vec<String>) {
    if expected.vectors != seen.vectors {
        let sizes =
            |reading: &Reading| -> Vec<usize> { reading.vectors.iter().map(Vec::len).collect() };
        let (want, seen) = (sizes(expected), sizes(seen));
        why.push(format!(
            "vectors of {seen:?} numbers instead of {want:?}, or others"
        ));
    }
    if expected.ranks != seen.ranks {
        let (want, seen) = (&expected.ranks, &seen.ranks);
        why.push(format!("ranking {seen:?} instead of {want:?}"));
    }
}

/// What an API has words for: only chat has sound, the others say its words; Anthropic's and the
/// text API say a refusal as text, the text API has no reasoning, Responses does not tell "stop" from "tool_calls", and neither Anthropic's nor
/// Responses has a word for an answer that its provider gave up.
fn said_in(api: Api, choice: &Choice) -> Choice {
    let mut said = choice.clone();
    if api != Api::Chat {
        said.sound.clear();
        said.text.push_str(&std::mem::take(&mut said.spoken));
    }
    if matches!(api, Api::Messages | Api::Completions) {
        said.text.push_str(&std::mem::take(&mut said.refusal));
    }
    if api == Api::Completions {
        said.reasoning.clear();
        said.citations.clear();
    }
    if api == Api::Messages {
        said.logprobs = 0;
    }
    if matches!(api, Api::Completions | Api::Responses) {
        // Responses has a word for one encrypted text for each item of reasoning.
        said.proofs.clear();
    }
    said.finish = match (api, said.finish.as_deref()) {
        (Api::Responses, Some("tool_calls" | "stop")) => Some("stop".to_owned()),
        (Api::Messages | Api::Responses, Some("error")) => None,
        _ => said.finish,
    };
    said
}

fn compare_choice(index: u64, want: &Choice, seen: &Choice, cut: bool, why: &mut Vec<String>) {
    for (what, want, seen) in [
        ("text", &want.text, &seen.text),
        ("reasoning", &want.reasoning, &seen.reasoning),
        ("refusal", &want.refusal, &seen.refusal),
        ("speech", &want.spoken, &seen.spoken),
    ] {
        if want != seen {
            why.push(format!("choice {index}: {what} {}", difference(want, seen)));
        }
    }
    // In another API a proof may stand in an envelope that says whose it is.
    let is_in = |proof: &str| seen.proofs.iter().any(|it| it.contains(proof));
    let lost = want.proofs.iter().filter(|proof| !is_in(proof));
    for proof in lost {
        let proof: String = proof.chars().take(EXCERPT_CHARS).collect();
        why.push(format!("choice {index}: signature {proof:?} is lost"));
    }
    if want.logprobs != seen.logprobs {
        let (want, seen) = (want.logprobs, seen.logprobs);
        why.push(format!(
            "choice {index}: probabilities of {seen} tokens instead of {want}"
        ));
    }
    if want.citations != seen.citations {
        let (want, seen) = (&want.citations, &seen.citations);
        why.push(format!(
            "choice {index}: sources {seen:?} instead of {want:?}"
        ));
    }
    if want.images != seen.images {
        let (want, seen) = (want.images.len(), seen.images.len());
        why.push(format!(
            "choice {index}: {seen} pictures instead of {want}, or others"
        ));
    }
    if want.sound != seen.sound {
        let (want, seen) = (want.sound.len(), seen.sound.len());
        why.push(format!(
            "choice {index}: {seen} bytes of sound instead of {want}, or others"
        ));
    }
    let names = |calls: &[Call]| -> Vec<String> { calls.iter().map(|c| c.name.clone()).collect() };
    if names(&want.calls) != names(&seen.calls) {
        let (want, seen) = (names(&want.calls), names(&seen.calls));
        why.push(format!(
            "choice {index}: tool calls {seen:?} instead of {want:?}"
        ));
    } else {
        for (want, seen) in want.calls.iter().zip(&seen.calls) {
            if !same_arguments(&want.arguments, &seen.arguments) {
                let difference = difference(&want.arguments, &seen.arguments);
                why.push(format!(
                    "choice {index}: arguments of {} {difference}",
                    want.name
                ));
            }
        }
    }
    if let Some(want) = &want.finish
        && !cut
        && seen.finish.as_ref() != Some(want)
    {
        why.push(format!(
            "choice {index}: finish {:?} instead of {want}",
            seen.finish
        ));
    }
}

/// Equal as text, or as JSON: a whole Anthropic answer has an object where chat has text. Empty
/// arguments become `{}`.
fn same_arguments(want: &str, seen: &str) -> bool {
    if want == seen || (want.is_empty() && seen == "{}") {
        return true;
    }
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    value(want).is_some() && value(want) == value(seen)
}

fn usage(expected: &Reading, seen: &Reading, api: Api, why: &mut Vec<String>) {
    let want = expected.usage;
    // What is not told is nought.
    let or_none = |count: Option<u64>| count.or(Some(0));
    for (name, want, seen) in [
        ("prompt_tokens", want.prompt, seen.usage.prompt),
        ("completion_tokens", want.completion, seen.usage.completion),
        ("cached_tokens", want.cached, seen.usage.cached.or(Some(0))),
        (
            "reasoning_tokens",
            want.reasoning,
            seen.usage.reasoning.or(Some(0)),
        ),
        (
            "cache_write_tokens",
            want.written,
            or_none(seen.usage.written),
        ),
        (
            "prompt audio_tokens",
            want.prompt_sound,
            or_none(seen.usage.prompt_sound),
        ),
        ("audio_tokens", want.sound, or_none(seen.usage.sound)),
        ("image_tokens", want.pictures, or_none(seen.usage.pictures)),
        (
            "web_search_requests",
            want.searches,
            or_none(seen.usage.searches),
        ),
    ] {
        if want.is_some() && want != seen {
            why.push(format!("{name} {seen:?} instead of {want:?}"));
        }
    }
    let is_conversation = !matches!(api, Api::Embeddings | Api::Rerank | Api::CountTokens);
    let lacks = seen.usage.prompt.is_none() || seen.usage.completion.is_none();
    if is_conversation && lacks {
        why.push("no usage".to_owned());
    }
}

/// What a client may see of a provider's error status: its own mistakes and overload as they are,
/// our key's troubles never as its own.
fn error_status(recorded: u16, seen: u16) -> Option<String> {
    let fine = match recorded {
        // A model that the provider does not know is a 400 for some, and a 404 for the client.
        400 => matches!(seen, 400 | 404),
        413 | 422 => seen == recorded,
        429 => matches!(seen, 429 | 503),
        401..=403 => seen >= 400 && seen != recorded,
        _ => seen >= 400 && seen != 401,
    };
    (!fine).then(|| format!("status {seen} for the provider's {recorded}"))
}

/// What went upstream against what the client sent: a chat body to a chat provider passes but for
/// what the gateway may change.
pub(super) fn upstream(case: &Case, api: Api, sent: &Value, received: &Value) -> Vec<String> {
    let mut why = Vec::new();
    if !received.is_object() {
        why.push("what went upstream is no JSON object".to_owned());
    }
    if (api, case.format) != (Api::Chat, Format::Chat) {
        return why;
    }
    if received.get("model") != Some(&Value::from(case.model.as_str())) {
        why.push(format!("upstream model {:?}", received.get("model")));
    }
    for (name, value) in sent.as_object().into_iter().flatten() {
        let may_change = GATEWAY_MAY_CHANGE.contains(&name.as_str());
        if !may_change && received.get(name) != Some(value) {
            why.push(format!("upstream {name} differs from the client's"));
        }
    }
    why
}

fn difference(want: &str, seen: &str) -> String {
    let same = want
        .chars()
        .zip(seen.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let excerpt = |text: &str| -> String { text.chars().skip(same).take(EXCERPT_CHARS).collect() };
    format!(
        "from character {same}: {:?} instead of {:?}",
        excerpt(seen),
        excerpt(want)
    )
}
