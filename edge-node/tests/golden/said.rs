//! What an answer says: read from a recording in the provider's dialect, or from our answer in the
//! client's.

use crate::golden::bedrock;
use crate::golden::recording::Recording;
use edge_node::ingress::Api;
use serde_json::Value;
use shared::catalog::Dialect;
use std::collections::BTreeMap;

/// Index, id, name, arguments.
pub(crate) type CallSaid = (u64, String, String, String);

#[derive(Debug, Default)]
pub(crate) struct Said {
    /// By choice.
    pub(crate) texts: BTreeMap<u64, String>,
    pub(crate) reasoning: BTreeMap<u64, String>,
    pub(crate) calls: BTreeMap<u64, Vec<CallSaid>>,
    pub(crate) finish: BTreeMap<u64, String>,
    /// Prompt, cached, completion, reasoning.
    pub(crate) usage: Option<(u64, u64, u64, u64)>,
    pub(crate) error: bool,
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

pub(crate) fn number(value: &Value) -> Option<u64> {
    value.as_u64()
}

/// The data of every event; `[DONE]` is left out.
fn events(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).unwrap().replace("\r\n", "\n");
    let events = text.split("\n\n").filter_map(|event| {
        let lines: Vec<&str> = event
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .collect();
        let data = lines.join("\n");
        let data = data.trim();
        (!data.is_empty() && data != "[DONE]").then(|| serde_json::from_str(data).unwrap())
    });
    events.collect()
}

impl Said {
    /// What our answer says to a client of an API.
    pub(crate) fn to_client(out: &[u8], api: Api, stream: bool) -> Self {
        let mut said = Self::default();
        let values = if stream {
            events(out)
        } else {
            vec![serde_json::from_slice(out).unwrap()]
        };
        let body = if stream { "delta" } else { "message" };
        for value in &values {
            match api {
                Api::Chat => said.chat(value, body),
                Api::Messages => said.anthropic(value),
                Api::Responses => said.responses(value),
                Api::Completions | Api::Embeddings | Api::Rerank => said.completions(value),
            }
        }
        said.tidy()
    }

    /// The same as far as an API has words for it: Messages and Responses have one
    /// choice, text completions have no calls.
    pub(crate) fn told_to(mut self, api: Api) -> Self {
        if api == Api::Completions {
            self.calls.clear();
            let words = self.finish.values_mut();
            for word in words.filter(|word| *word == "tool_calls" || *word == "function_call") {
                "stop".clone_into(word);
            }
        }
        if matches!(api, Api::Messages | Api::Responses) {
            self.texts.retain(|choice, _| *choice == 0);
            self.reasoning.retain(|choice, _| *choice == 0);
            self.calls.retain(|choice, _| *choice == 0);
            self.finish.retain(|choice, _| *choice == 0);
            // A whole answer has arguments as an object: its blanks are nobody's.
            for call in self.calls.values_mut().flatten() {
                if let Ok(value) = serde_json::from_str::<Value>(&call.3) {
                    call.3 = value.to_string();
                }
            }
        }
        self
    }

    /// What the provider said.
    pub(crate) fn in_recording(recording: &Recording) -> Self {
        let mut said = Self::default();
        let values = match (recording.is_stream(), recording.dialect) {
            (false, _) => vec![serde_json::from_slice(&recording.body).unwrap()],
            (true, Dialect::BedrockInvoke) => bedrock::chunks(&recording.body),
            (true, Dialect::BedrockConverse) => bedrock::frames(&recording.body),
            (true, _) => events(&recording.body),
        };
        let body = if recording.is_stream() {
            "delta"
        } else {
            "message"
        };
        for value in &values {
            match recording.dialect {
                Dialect::AnthropicMessages | Dialect::VertexAnthropic | Dialect::BedrockInvoke => {
                    said.anthropic(value);
                }
                Dialect::Gemini | Dialect::VertexGemini => said.gemini(value),
                Dialect::BedrockConverse => said.bedrock(value),
                Dialect::CohereV2 => said.cohere(value),
                Dialect::Ollama => said.ollama(value),
                Dialect::OpenaiResponses => said.responses(value),
                _ => said.chat(value, body),
            }
        }
        said.tidy()
    }

    fn tidy(mut self) -> Self {
        self.texts.retain(|_, text| !text.is_empty());
        self.reasoning.retain(|_, text| !text.is_empty());
        self.calls.retain(|_, calls| !calls.is_empty());
        for call in self.calls.values_mut().flatten() {
            if call.3.is_empty() {
                "{}".clone_into(&mut call.3);
            }
        }
        self
    }

    fn completions(&mut self, value: &Value) {
        self.error |= !value["error"].is_null();
        for choice in value["choices"].as_array().into_iter().flatten() {
            let index = number(&choice["index"]).unwrap_or(0);
            let said = self.texts.entry(index).or_default();
            said.push_str(text(&choice["text"]));
            let said = self.reasoning.entry(index).or_default();
            said.push_str(text(&choice["reasoning"]));
            if let Some(word) = choice["finish_reason"].as_str() {
                self.finish.insert(index, word.to_owned());
            }
        }
        self.chat_usage(&value["usage"]);
    }

    fn chat(&mut self, value: &Value, body: &str) {
        self.error |= !value["error"].is_null();
        for choice in value["choices"].as_array().into_iter().flatten() {
            let index = number(&choice["index"]).unwrap_or(0);
            let body = &choice[body];
            let said = self.texts.entry(index).or_default();
            said.push_str(text(&body["content"]));
            said.push_str(text(&body["refusal"]));
            let parts = || body["content"].as_array().into_iter().flatten();
            said.extend(parts().map(|part| text(&part["text"])));
            let said = self.reasoning.entry(index).or_default();
            let thoughts = parts().filter_map(|part| part["thinking"].as_array());
            said.extend(thoughts.flatten().map(|thought| text(&thought["text"])));
            let reasoning = body
                .get("reasoning")
                .or_else(|| body.get("reasoning_content"));
            said.push_str(reasoning.map_or("", text));
            let calls = body["tool_calls"].as_array().into_iter().flatten();
            for (place, call) in calls.enumerate() {
                let known = self.calls.entry(index).or_default();
                let at = number(&call["index"]).unwrap_or(place as u64);
                if !known.iter().any(|call| call.0 == at) {
                    let id = text(&call["id"]).to_owned();
                    let name = text(&call["function"]["name"]).to_owned();
                    known.push((at, id, name, String::new()));
                }
                let call_said = known.iter_mut().find(|call| call.0 == at).unwrap();
                call_said.3.push_str(text(&call["function"]["arguments"]));
            }
            if let Some(word) = choice["finish_reason"].as_str() {
                let word = if word == "eos" { "stop" } else { word };
                self.finish.insert(index, word.to_owned());
            }
        }
        for usage in [&value["usage"], &value["x_groq"]["usage"]] {
            self.chat_usage(usage);
        }
    }

    fn chat_usage(&mut self, usage: &Value) {
        let (Some(prompt), Some(said)) = (
            number(&usage["prompt_tokens"]),
            number(&usage["completion_tokens"]),
        ) else {
            return;
        };
        let cached = number(&usage["prompt_tokens_details"]["cached_tokens"]);
        let cached = cached.or_else(|| number(&usage["prompt_cache_hit_tokens"]));
        let reasoning = number(&usage["completion_tokens_details"]["reasoning_tokens"]);
        let (reasoning, cached) = (reasoning.unwrap_or(0), cached.unwrap_or(0));
        // xAI's and Google's totals tell that reasoning stands outside; some report more cached
        // tokens than there were.
        let total = number(&usage["total_tokens"]).unwrap_or(prompt + said);
        let beside = if cached > prompt { cached } else { 0 };
        let completion = said.max(total.saturating_sub(prompt + beside));
        let cached = cached.min(prompt);
        self.usage = Some((prompt, cached, completion, reasoning));
    }

    fn anthropic(&mut self, value: &Value) {
        match text(&value["type"]) {
            "error" => self.error = true,
            "message_start" => self.anthropic_usage(&value["message"]["usage"]),
            "message_delta" => {
                self.anthropic_finish(&value["delta"]);
                self.anthropic_usage(&value["usage"]);
            }
            "content_block_start" => self.block(&value["content_block"]),
            "content_block_delta" => self.delta(&value["delta"]),
            "message" => {
                for block in value["content"].as_array().unwrap() {
                    self.block(block);
                    if !block["input"].is_null() && text(&block["type"]) == "tool_use" {
                        let call = self.calls.get_mut(&0).unwrap().last_mut().unwrap();
                        call.3 = block["input"].to_string();
                    }
                }
                self.anthropic_finish(value);
                self.anthropic_usage(&value["usage"]);
            }
            _ => {}
        }
    }

    /// An event of a Responses stream, or a whole response.
    pub(crate) fn responses(&mut self, value: &Value) {
        let delta = text(&value["delta"]);
        match text(&value["type"]) {
            "error" | "response.failed" => self.error = true,
            "response.output_text.delta" | "response.refusal.delta" => {
                self.texts.entry(0).or_default().push_str(delta);
            }
            "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => {
                self.reasoning.entry(0).or_default().push_str(delta);
            }
            "response.output_item.done" if value["item"]["type"] == "function_call" => {
                self.responses_call(&value["item"]);
            }
            "response.completed" | "response.incomplete" => {
                self.responses_end(&value["response"]);
            }
            _ if value["object"] == "response" => {
                for item in value["output"].as_array().unwrap() {
                    self.responses_item(item);
                }
                self.responses_end(value);
            }
            _ => {}
        }
    }

    fn responses_item(&mut self, item: &Value) {
        if item["type"] == "function_call" {
            self.responses_call(item);
        }
        for part in item["summary"].as_array().into_iter().flatten() {
            let said = self.reasoning.entry(0).or_default();
            said.push_str(text(&part["text"]));
        }
        for part in item["content"].as_array().into_iter().flatten() {
            let all = match text(&part["type"]) {
                "reasoning_text" => &mut self.reasoning,
                _ => &mut self.texts,
            };
            let said = all.entry(0).or_default();
            said.push_str(text(&part["text"]));
            said.push_str(text(&part["refusal"]));
        }
    }

    fn responses_call(&mut self, item: &Value) {
        let calls = self.calls.entry(0).or_default();
        let member = |name: &str| text(&item[name]).to_owned();
        let at = calls.len() as u64;
        calls.push((at, member("call_id"), member("name"), member("arguments")));
    }

    fn responses_end(&mut self, response: &Value) {
        let word = match text(&response["incomplete_details"]["reason"]) {
            "max_output_tokens" => "length",
            "content_filter" => "content_filter",
            _ if self.calls.is_empty() => "stop",
            _ => "tool_calls",
        };
        self.finish.insert(0, word.to_owned());
        let at = |path: &str| response.pointer(path).and_then(number);
        self.usage = at("/usage/input_tokens").map(|prompt| {
            (
                prompt,
                at("/usage/input_tokens_details/cached_tokens").unwrap_or(0),
                at("/usage/output_tokens").unwrap_or(0),
                at("/usage/output_tokens_details/reasoning_tokens").unwrap_or(0),
            )
        });
    }

    fn block(&mut self, block: &Value) {
        self.texts
            .entry(0)
            .or_default()
            .push_str(text(&block["text"]));
        let thinking = text(&block["thinking"]);
        self.reasoning.entry(0).or_default().push_str(thinking);
        // Server tools run at the provider: their pieces are not calls to the client.
        self.calls.entry(0).or_default();
        let calls = self.calls.get_mut(&0).unwrap();
        match text(&block["type"]) {
            "tool_use" => {
                let at = calls.iter().filter(|call| call.0 != u64::MAX).count() as u64;
                let (id, name) = (text(&block["id"]), text(&block["name"]));
                calls.push((at, id.to_owned(), name.to_owned(), String::new()));
            }
            "server_tool_use" => {
                calls.push((u64::MAX, String::new(), String::new(), String::new()));
            }
            _ => {}
        }
    }

    fn delta(&mut self, delta: &Value) {
        self.texts
            .entry(0)
            .or_default()
            .push_str(text(&delta["text"]));
        let thinking = text(&delta["thinking"]);
        self.reasoning.entry(0).or_default().push_str(thinking);
        if let Some(piece) = delta["partial_json"].as_str() {
            let call = self.calls.get_mut(&0).unwrap().last_mut().unwrap();
            call.3.push_str(piece);
        }
    }

    fn anthropic_finish(&mut self, holder: &Value) {
        let word = match text(&holder["stop_reason"]) {
            "" => return,
            "max_tokens" | "model_context_window_exceeded" => "length",
            "tool_use" => "tool_calls",
            "refusal" => "content_filter",
            _ => "stop",
        };
        self.finish.insert(0, word.to_owned());
        let calls = self.calls.entry(0).or_default();
        calls.retain(|call| call.0 != u64::MAX);
        self.calls.retain(|_, calls| !calls.is_empty());
    }

    fn anthropic_usage(&mut self, usage: &Value) {
        let before = self.usage.unwrap_or_default();
        let field = |name: &str| number(&usage[name]);
        let read = field("cache_read_input_tokens");
        let write = field("cache_creation_input_tokens");
        let prompt =
            field("input_tokens").map(|input| input + read.unwrap_or(0) + write.unwrap_or(0));
        let thinking = number(&usage["output_tokens_details"]["thinking_tokens"]);
        self.usage = Some((
            prompt.unwrap_or(before.0),
            read.unwrap_or(before.1),
            field("output_tokens").unwrap_or(before.2),
            thinking.unwrap_or(before.3),
        ));
    }
}
