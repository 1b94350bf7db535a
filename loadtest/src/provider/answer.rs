//! What a simulated model says: a pure function of the request, the same in every dialect, so
//! that every token a client receives can be checked. The text depends on the texts of the
//! conversation and nothing else; markers in the last user text (`#tokens=40`, `#think=8`,
//! `#tool`, `#tools=2`, `#cached=16`) ask for a shape, `#rate=50` for a pace (tokens per second). Rendering is the dialects' business.

use serde_json::{Map, Value};
use std::borrow::Cow;

/// Most tokens that one answer has, whatever is asked for.
pub const ANSWER_TOKENS_MAX: u64 = 16_384;
/// Most answers to one request.
const CHOICES_MAX: u64 = 128;
/// Most parallel tool calls in one answer.
pub const TOOL_CALLS_MAX: u64 = 16;
/// Deepest schema for which arguments are made; below it every value is null.
const SCHEMA_DEPTH_MAX: usize = 8;
/// Characters in one piece of tool arguments.
const ARGUMENTS_PIECE_CHARS: usize = 6;

/// A request as the simulated model reads it: no dialect left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// The model's name as the provider was asked for it.
    pub model: String,
    /// All system texts, joined.
    pub system: String,
    /// All other texts (user, assistant, tool results) in order, joined.
    pub conversation: String,
    /// The last text that a user wrote.
    pub last_user: String,
    /// True when the conversation ends with the result of a tool.
    pub answers_tools: bool,
    /// The caller's cap on each answer.
    pub max_tokens: Option<u64>,
    /// openai-chat and azure-openai: how many answers; 0 is one.
    pub choices: u64,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it must.
    pub choice: Choice,
    /// True when the answer is to be streamed.
    pub stream: bool,
    /// openai-chat and azure-openai: true when a usage chunk was asked for.
    pub include_usage: bool,
}

/// One tool of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// JSON Schema of its arguments.
    pub schema: Value,
}

/// Whether the model is to call a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// When a marker says so.
    #[default]
    Auto,
    /// Never.
    None,
    /// Some tool.
    Any,
    /// This tool.
    Named(String),
}

/// One token of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Of the reasoning.
    Reasoning(Cow<'static, str>),
    /// Of the text.
    Text(Cow<'static, str>),
    /// A tool call begins. The id is bare; dialects put their prefix before it.
    Call {
        /// Counts the calls of this answer from 0.
        index: usize,
        /// Unique in the conversation.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// Of the arguments of the call begun last.
    Arguments {
        /// Of the call.
        index: usize,
        /// A part of a JSON text.
        text: String,
    },
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It was complete.
    Stop,
    /// The caller's cap was reached.
    Length,
    /// It ends with tool calls.
    ToolCalls,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Token by token; of several answers, which are alike, one after the other.
    pub pieces: Vec<Piece>,
    /// How many answers.
    pub choices: usize,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u64,
    /// Of these: read from a cache.
    pub cached_tokens: u64,
    /// The pace that the caller asked for, tokens per second.
    pub rate: Option<u32>,
}

/// One finished tool call of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// Without a dialect's prefix.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// JSON text.
    pub arguments: String,
}

impl Answer {
    /// The first of several.
    #[must_use]
    pub fn first(&self) -> Self {
        let each = self.each();
        Self {
            pieces: self.pieces.iter().take(each).cloned().collect(),
            choices: 1,
            ..self.clone()
        }
    }

    /// Tokens of each of several; at least one.
    #[must_use]
    pub fn each(&self) -> usize {
        (self.pieces.len() / self.choices.max(1)).max(1)
    }

    /// Tokens of the answer, reasoning included.
    #[must_use]
    pub fn output_tokens(&self) -> u64 {
        self.pieces.len() as u64
    }

    /// Tokens of reasoning.
    #[must_use]
    pub fn reasoning_tokens(&self) -> u64 {
        let reasoning = |piece: &&Piece| matches!(piece, Piece::Reasoning(_));
        self.pieces.iter().filter(reasoning).count() as u64
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut all = String::new();
        for piece in &self.pieces {
            if let Piece::Text(text) = piece {
                all.push_str(text);
            }
        }
        all
    }

    /// The whole reasoning.
    #[must_use]
    pub fn reasoning(&self) -> String {
        let mut all = String::new();
        for piece in &self.pieces {
            if let Piece::Reasoning(text) = piece {
                all.push_str(text);
            }
        }
        all
    }

    /// The tool calls, in order.
    #[must_use]
    pub fn tool_calls(&self) -> Vec<ToolCall> {
        let mut calls: Vec<ToolCall> = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Call { id, name, .. } => calls.push(ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                    arguments: String::new(),
                }),
                Piece::Arguments { text, .. } => {
                    if let Some(call) = calls.last_mut() {
                        call.arguments.push_str(text);
                    }
                }
                Piece::Reasoning(_) | Piece::Text(_) => {}
            }
        }
        calls
    }
}

/// The answer to an openai-chat body, as a client of a gateway expects it: the model's name does
/// not matter.
#[must_use]
pub fn expected_answer(chat_body: &Value) -> Answer {
    answer(&super::dialect::chat_prompt(chat_body).unwrap_or_default())
}

/// The answer to a request.
#[must_use]
pub fn answer(prompt: &Prompt) -> Answer {
    let seed = mix(
        hash(prompt.system.as_bytes()),
        hash(prompt.conversation.as_bytes()),
    );
    let bytes = prompt.system.len() + prompt.conversation.len();
    let input_tokens = (bytes as u64).div_ceil(4).max(1);
    let cached_tokens = marker(prompt, "cached").unwrap_or(0).min(input_tokens);
    let mut pieces = reasoning(prompt, seed);
    let mut finish = Finish::Stop;
    if wants_tools(prompt) {
        call_tools(prompt, seed, &mut pieces);
        finish = Finish::ToolCalls;
    } else {
        let tokens = marker(prompt, "tokens").unwrap_or_else(|| 16 + seed % 32);
        for position in 0..tokens.clamp(1, ANSWER_TOKENS_MAX) {
            pieces.push(Piece::Text(word(mix(seed, position))));
        }
    }
    let cap = prompt.max_tokens.unwrap_or(ANSWER_TOKENS_MAX);
    let cap = cap.clamp(1, ANSWER_TOKENS_MAX);
    if pieces.len() as u64 > cap {
        pieces.truncate(usize::try_from(cap).unwrap_or(usize::MAX));
        finish = Finish::Length;
    }
    let choices = usize::try_from(prompt.choices.clamp(1, CHOICES_MAX)).unwrap_or(1);
    if choices > 1 {
        pieces = vec![pieces; choices].concat();
    }
    Answer {
        pieces,
        choices,
        finish,
        input_tokens,
        cached_tokens,
        rate: marker(prompt, "rate").and_then(|rate| u32::try_from(rate).ok()),
    }
}

fn reasoning(prompt: &Prompt, seed: u64) -> Vec<Piece> {
    let tokens = marker(prompt, "think").unwrap_or(0).min(ANSWER_TOKENS_MAX);
    let word_at = |position| Piece::Reasoning(word(mix(!seed, position)));
    (0..tokens).map(word_at).collect()
}

fn wants_tools(prompt: &Prompt) -> bool {
    if prompt.tools.is_empty() || prompt.choice == Choice::None {
        return false;
    }
    let forced = prompt.choice != Choice::Auto;
    let asked = marker(prompt, "tool").is_some() || marker(prompt, "tools").is_some();
    forced || (asked && !prompt.answers_tools)
}

fn call_tools(prompt: &Prompt, seed: u64, pieces: &mut Vec<Piece>) {
    let count = marker(prompt, "tools")
        .unwrap_or(1)
        .clamp(1, TOOL_CALLS_MAX);
    for call in 0..count {
        let call_seed = mix(seed, 1_000_000 + call);
        let at = usize::try_from(call_seed % prompt.tools.len() as u64).unwrap_or(0);
        let tool = match &prompt.choice {
            Choice::Named(name) => prompt.tools.iter().find(|tool| tool.name == *name),
            Choice::Auto | Choice::None | Choice::Any => prompt.tools.get(at),
        };
        let Some(tool) = tool else { continue };
        let index = usize::try_from(call).unwrap_or(0);
        pieces.push(Piece::Call {
            index,
            id: format!("{call_seed:016x}{call:02x}"),
            name: tool.name.clone(),
        });
        let text = arguments(&tool.schema, call_seed, 0).to_string();
        let letters: Vec<char> = text.chars().collect();
        for part in letters.chunks(ARGUMENTS_PIECE_CHARS) {
            let text = part.iter().collect();
            pieces.push(Piece::Arguments { index, text });
        }
    }
}

/// A value that fits a schema, chosen by `seed`.
fn arguments(schema: &Value, seed: u64, depth: usize) -> Value {
    if depth > SCHEMA_DEPTH_MAX {
        return Value::Null;
    }
    if let Some(options) = schema.get("enum").and_then(Value::as_array)
        && !options.is_empty()
    {
        let at = usize::try_from(seed % options.len() as u64).unwrap_or(0);
        return options.get(at).cloned().unwrap_or_default();
    }
    let kind = schema.get("type").and_then(Value::as_str);
    match kind.unwrap_or("object") {
        "string" => Value::String(word(seed).trim().to_owned()),
        "integer" => Value::from(seed % 1000),
        "number" => Value::from(f64::from(u32::try_from(seed % 1000).unwrap_or(0)) + 0.5),
        "boolean" => Value::Bool(seed.is_multiple_of(2)),
        "null" => Value::Null,
        "array" => {
            let item = schema.get("items").unwrap_or(&Value::Null);
            Value::Array(vec![arguments(item, mix(seed, 7), depth + 1)])
        }
        _ => {
            let mut object = Map::new();
            let members = schema.get("properties").and_then(Value::as_object);
            for (position, (name, member)) in members.into_iter().flatten().enumerate() {
                let value = arguments(member, mix(seed, position as u64), depth + 1);
                object.insert(name.clone(), value);
            }
            Value::Object(object)
        }
    }
}

/// The number after `#name=` in the last user text; 1 for a bare `#name`.
fn marker(prompt: &Prompt, name: &str) -> Option<u64> {
    let mut rest = prompt.last_user.as_str();
    while let Some((_, after)) = rest.split_once('#') {
        rest = after;
        let Some(tail) = after.strip_prefix(name) else {
            continue;
        };
        if let Some(digits) = tail.strip_prefix('=') {
            let end = digits.find(|letter: char| !letter.is_ascii_digit());
            let digits = digits.get(..end.unwrap_or(digits.len())).unwrap_or("");
            return digits.parse().ok();
        }
        if !tail.starts_with(|letter: char| letter.is_ascii_alphanumeric()) {
            return Some(1);
        }
    }
    None
}

/// What the model says: plain words, and what breaks careless parsers.
const WORDS: [&str; 24] = [
    " the",
    " godwit",
    " flies",
    " from",
    " Alaska",
    " to",
    " New",
    " Zealand",
    " in",
    " one",
    " go",
    ",",
    ".",
    " and",
    " rests",
    " on",
    " \"mud\"",
    " flats",
    "\n",
    " caf\u{e9}",
    " \u{9dd7}",
    " \u{1f426}",
    " back\\slash",
    " 11,000 km",
];

fn word(seed: u64) -> Cow<'static, str> {
    let at = usize::try_from(mix(seed, 3) % WORDS.len() as u64).unwrap_or(0);
    Cow::Borrowed(WORDS.get(at).copied().unwrap_or(" word"))
}

/// Splitmix64 of two numbers.
fn mix(seed: u64, salt: u64) -> u64 {
    let mut z = seed.wrapping_add(salt.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A hash that is stable over versions; eight bytes at a time, because prompts can be megabytes.
fn hash(bytes: &[u8]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        state = (state ^ word)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23);
    }
    for byte in rest {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(state, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chat(text: &str) -> Value {
        json!({"model": "m", "messages": [{"role": "user", "content": text}]})
    }

    #[test]
    fn the_same_request_gives_the_same_answer_and_another_gives_another() {
        let answer = expected_answer(&chat("hello #tokens=40"));
        assert_eq!(answer, expected_answer(&chat("hello #tokens=40")));
        assert_ne!(
            answer.text(),
            expected_answer(&chat("hullo #tokens=40")).text()
        );
        assert_eq!(answer.output_tokens(), 40);
        assert_eq!(answer.finish, Finish::Stop);
        assert_eq!(answer.input_tokens, 4);
    }

    #[test]
    fn several_answers_are_alike_and_all_are_billed() {
        let mut body = chat("hello #tokens=40");
        let one = expected_answer(&body);
        body["max_tokens"] = 7.into();
        let capped = expected_answer(&body);
        body["n"] = 3.into();
        let three = expected_answer(&body);
        assert_eq!((three.output_tokens(), three.each()), (21, 7));
        assert_eq!(three.first(), capped);
        assert!(one.text().starts_with(&capped.text()));
    }

    #[test]
    fn a_cap_ends_the_answer_early() {
        let mut body = chat("hello #tokens=40");
        body["max_tokens"] = 7.into();
        let capped = expected_answer(&body);
        assert_eq!((capped.output_tokens(), capped.finish), (7, Finish::Length));
        assert!(
            expected_answer(&chat("hello #tokens=40"))
                .text()
                .starts_with(&capped.text())
        );
    }

    #[test]
    fn forced_tools_get_arguments_that_fit_their_schema() {
        let mut body = chat("weather #tools=2");
        body["tools"] = json!([{"type": "function", "function": {"name": "get_weather",
            "parameters": {"type": "object", "properties": {
                "city": {"type": "string"}, "unit": {"enum": ["c", "f"]},
                "days": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "boolean"}}}}}}]);
        let answer = expected_answer(&body);
        let calls = answer.tool_calls();
        assert_eq!((calls.len(), answer.finish), (2, Finish::ToolCalls));
        for call in calls {
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
            let names: Vec<&String> = arguments.as_object().unwrap().keys().collect();
            assert_eq!(names, ["city", "unit", "days", "tags"]);
        }
        body["tool_choice"] = "none".into();
        assert!(expected_answer(&body).tool_calls().is_empty());
    }

    #[test]
    fn reasoning_and_cache_follow_their_markers() {
        let answer = expected_answer(&chat("why #think=5 #cached=2"));
        assert_eq!(answer.reasoning_tokens(), 5);
        assert_eq!(answer.cached_tokens, 2);
        assert!(!answer.text().is_empty());
    }
}
