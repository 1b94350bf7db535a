//! What an answer says, read in the plainest way: text, reasoning, tool calls, finish reason and
//! usage, from every wire format that is recorded, a file each. Written from the dialects'
//! descriptions alone, so that it can disagree with the edge.

mod bedrock;
pub(super) mod chat;
mod cohere;
pub(super) mod completions;
mod gemini;
pub(super) mod messages;
mod ollama;
pub(super) mod responses;
pub(super) mod vectors;

use super::corpus::Case;
use super::format::Format;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reading {
    /// By index.
    pub choices: BTreeMap<u64, Choice>,
    /// Token counts, in OpenAI's convention.
    pub usage: Tokens,
    /// An error stands in the body.
    pub error: bool,
    /// What that error says.
    pub message: String,
    /// The stream ended with the dialect's last event.
    pub terminal: bool,
    /// Data lines that are no JSON.
    pub garbage: usize,
    /// Embeddings, in order.
    pub vectors: Vec<Vec<f32>>,
    /// A ranking: which document, and how well it fits.
    pub ranks: Vec<(u64, f64)>,
}

/// One choice of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Choice {
    /// The text.
    pub text: String,
    /// The reasoning.
    pub reasoning: String,
    /// The refusal.
    pub refusal: String,
    /// What is said aloud.
    pub spoken: String,
    /// What proves or hides reasoning, whole: signatures and encrypted blocks, sorted.
    pub proofs: Vec<String>,
    /// Pictures: where each is, or what of it.
    pub images: Vec<String>,
    /// What is heard, in base64.
    pub sound: String,
    /// Where its sources are, sorted; the name of one that has no address.
    pub citations: Vec<String>,
    /// How many tokens have probabilities.
    pub logprobs: usize,
    /// Tool calls in order: name and arguments.
    pub calls: Vec<Call>,
    /// The finish reason in OpenAI's words, `None` when there is none.
    pub finish: Option<String>,
}

/// One tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Call {
    pub(super) index: u64,
    pub(super) id: String,
    /// The function's name.
    pub name: String,
    /// JSON text.
    pub arguments: String,
}

/// Token counts; what is not given is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// All of the prompt.
    pub prompt: Option<u64>,
    /// Of these: read from a cache.
    pub cached: Option<u64>,
    /// All of the answer.
    pub completion: Option<u64>,
    /// Of these: reasoning.
    pub reasoning: Option<u64>,
    /// Of the prompt: written into a cache.
    pub written: Option<u64>,
    /// Of the prompt: sound.
    pub prompt_sound: Option<u64>,
    /// Of the answer: sound.
    pub sound: Option<u64>,
    /// Of the answer: pictures.
    pub pictures: Option<u64>,
    /// Searches of the web by the provider.
    pub searches: Option<u64>,
}

/// Reads a recording.
pub(super) fn recorded(case: &Case) -> Reading {
    let text = String::from_utf8_lossy(&case.body);
    let lines = data_lines(&text);
    let data = || lines.iter().map(String::as_str);
    // What was asked for as a stream may be answered by one document.
    let events = case.stream && !lines.is_empty();
    let mut reading = match (case.format, events) {
        (Format::Chat | Format::Azure | Format::Mistral, false) => chat::json(&parse(&text)),
        (Format::Chat | Format::Azure | Format::Mistral, true) => chat::stream(data()),
        (Format::Messages | Format::VertexMessages, false) => messages::json(&parse(&text)),
        (Format::Messages | Format::VertexMessages, true) => messages::stream(data()),
        (Format::Responses | Format::AzureResponses, false) => responses::json(&parse(&text)),
        (Format::Responses | Format::AzureResponses, true) => responses::stream(data()),
        (Format::Gemini | Format::VertexGemini, false) => gemini::json(&parse(&text)),
        (Format::Gemini | Format::VertexGemini, true) => gemini::stream(data()),
        (Format::Bedrock, _) => bedrock::json(&parse(&text)),
        (Format::BedrockStream, _) => bedrock::stream(&case.body),
        (Format::Invoke, _) => messages::json(&parse(&text)),
        (Format::InvokeStream, _) => bedrock::invoked(&case.body),
        (Format::Cohere, false) => cohere::json(&parse(&text)),
        (Format::Cohere, true) => cohere::stream(data()),
        (Format::Ollama, _) => ollama::lines(&text),
        (Format::Embeddings | Format::CohereEmbeddings, _) => vectors::embeddings(&parse(&text)),
        (Format::Ranking | Format::CohereRanking, _) => vectors::ranking(&parse(&text)),
        (Format::Count, _) => vectors::count(&parse(&text)),
    };
    reading.error |= case.status >= 400;
    for choice in reading.choices.values_mut() {
        settle(choice);
    }
    reading
}

/// Makes sets of what may stand in more than one place: proofs stand on the reasoning, on the call
/// or on the text after it; a source is named at each piece of text that rests on it.
pub(super) fn settle(choice: &mut Choice) {
    for set in [&mut choice.proofs, &mut choice.citations] {
        set.retain(|member| !member.is_empty());
        set.sort();
    }
    choice.citations.dedup();
    choice.images.retain(|picture| !picture.is_empty());
}

/// Counts that stand beside the totals, where OpenAI and OpenRouter put them.
fn classes(usage: &Value, into: &mut Tokens) {
    let at = |path: &str| number(usage.pointer(path));
    let (prompt, completion) = ("/prompt_tokens_details", "/completion_tokens_details");
    let of = |list: &str, name: &str| at(&format!("{list}/{name}"));
    keep(&mut into.written, of(prompt, "cache_write_tokens"));
    keep(&mut into.prompt_sound, of(prompt, "audio_tokens"));
    keep(&mut into.sound, of(completion, "audio_tokens"));
    keep(&mut into.pictures, of(completion, "image_tokens"));
    let searches = of("/server_tool_use_details", "web_search_requests");
    keep(&mut into.searches, searches);
}

/// A picture's base64, or its link.
fn picture(url: &str) -> String {
    let inline = url.split_once(";base64,").map(|(_, data)| data);
    inline.unwrap_or(url).to_owned()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// The data of each event, whatever the line ends.
fn data_lines(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let data = |block: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix("data:"));
        let lines: Vec<&str> = lines
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    };
    text.split("\n\n").filter_map(data).collect()
}

fn keep(into: &mut Option<u64>, value: Option<u64>) {
    *into = value.or(*into);
}

fn replace(into: &mut Option<u64>, value: Option<u64>) {
    if into.is_none() || value.is_some_and(|value| value > 0) {
        *into = value.or(*into);
    }
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn number(value: Option<&Value>) -> Option<u64> {
    value.and_then(Value::as_u64)
}

fn string(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or("")
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
