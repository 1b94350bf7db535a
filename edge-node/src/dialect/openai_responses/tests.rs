use crate::dialect::fixture::{Fixture, Played};
use crate::failure::{Fault, Retry};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::catalog::{Dialect, Parameter, Quirk};

const STREAM: &str =
    r#"{"model":"author/model","messages":[{"role":"user","content":"x"}],"stream":true}"#;
const WHOLE: &str = r#"{"model":"author/model","messages":[{"role":"user","content":"x"}]}"#;
const CREATED: &str = r#"{"type":"response.created","response":{"id":"resp_1","status":"in_progress","error":null,"output":[]}}"#;

fn responses() -> Fixture {
    Fixture::new(Dialect::OpenaiResponses)
}

fn events(list: &[&str]) -> String {
    let events = list.iter().map(|data| {
        let value: Value = serde_json::from_str(data).unwrap();
        let name = value["type"].as_str().unwrap_or("");
        format!("event: {name}\ndata: {data}\n\n")
    });
    events.collect()
}

fn played(list: &[&str]) -> Played {
    responses().play(STREAM, events(list).as_bytes(), usize::MAX)
}

fn completed(rest: &str) -> String {
    format!(
        r#"{{"type":"response.completed","response":{{"id":"resp_1","status":"completed","usage":{{"input_tokens":10,"input_tokens_details":{{"cached_tokens":4}},"output_tokens":5,"output_tokens_details":{{"reasoning_tokens":2}},"total_tokens":15}}{rest}}}}}"#
    )
}

fn deltas(played: &Played) -> Vec<Value> {
    let chunks = played.chunks();
    let deltas = chunks
        .iter()
        .map(|chunk| chunk["choices"][0]["delta"].clone());
    deltas
        .filter(|delta| delta.as_object().is_some_and(|d| !d.is_empty()))
        .collect()
}

mod requests {
    use super::*;

    fn sent(fixture: &Fixture, request: &Value) -> Value {
        let mut request = request.clone();
        request["model"] = json!("a/b");
        serde_json::from_str(&fixture.body(&request.to_string()).unwrap()).unwrap()
    }

    fn input(messages: &Value) -> Value {
        sent(&responses(), &json!({ "messages": messages }))["input"].clone()
    }

    #[test]
    fn the_least_request() {
        let body = sent(
            &responses(),
            &json!({"messages": [{"role": "user", "content": "hi"}]}),
        );
        let expected = json!({
            "model": "theirs", "store": false, "input": [{"role": "user", "content": "hi"}],
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn roles_and_content() {
        let body = input(&json!([
            {"role": "system", "content": "s"},
            {"role": "developer", "content": [{"type": "text", "text": "d"}]},
            {"role": "user", "content": [
                {"type": "text", "text": "a\"b"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                {"type": "file", "file": {"filename": "f.pdf", "file_data": "data:application/pdf;base64,QQ=="}},
                {"type": "file", "file": {"file_data": "https://x/f.pdf"}},
                {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
            ]},
            {"role": "assistant", "content": "yes", "refusal": "no"},
            {"role": "user", "content": "z"},
        ]));
        let expected = json!([
            {"role": "system", "content": "s"},
            {"role": "developer", "content": "d"},
            {"role": "user", "content": [
                {"type": "input_text", "text": "a\"b"},
                {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
                {"type": "input_file", "filename": "f.pdf", "file_data": "data:application/pdf;base64,QQ=="},
                {"type": "input_file", "file_url": "https://x/f.pdf"},
                {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
            ]},
            {"role": "assistant", "content": [
                {"type": "output_text", "text": "yes"},
                {"type": "refusal", "refusal": "no"},
            ]},
            {"role": "user", "content": "z"},
        ]);
        assert_eq!(body, expected);
        let plain = responses().quirks(&[Quirk::NoDeveloperRole]);
        let body = sent(
            &plain,
            &json!({"messages": [{"role": "developer", "content": "d"}]}),
        );
        assert_eq!(body["input"][0]["role"], "system");
    }

    #[test]
    fn a_tool_loop_keeps_its_reasoning() {
        let format = "openai-responses-v1";
        let long = "x".repeat(70);
        let body = input(&json!([
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": null, "reasoning_details": [
                {"type": "reasoning.summary", "summary": "one", "id": "rs_1", "format": format, "index": 0},
                {"type": "reasoning.summary", "summary": "two", "id": "rs_1", "format": format, "index": 1},
                {"type": "reasoning.encrypted", "data": "gA", "id": "rs_1", "format": format, "index": 2},
                {"type": "reasoning.encrypted", "data": "gB", "id": "rs_2", "format": format, "index": 3},
                {"type": "reasoning.summary", "summary": "lost", "id": "rs_3", "format": format, "index": 4},
                {"type": "reasoning.encrypted", "data": "no", "format": "anthropic-claude-v1", "index": 5},
            ], "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1.0}"}},
                {"id": long, "type": "function", "function": {"name": "g", "arguments": ""}},
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "tool", "tool_call_id": long, "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]},
        ]));
        let short = body[4]["call_id"].as_str().unwrap().to_owned();
        assert!(short.len() <= 64, "{short}");
        let expected = json!([
            {"role": "user", "content": "q"},
            {"type": "reasoning", "id": "rs_1", "summary": [
                {"type": "summary_text", "text": "one"},
                {"type": "summary_text", "text": "two"},
            ], "encrypted_content": "gA"},
            {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gB"},
            {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{\"a\":1.0}"},
            {"type": "function_call", "call_id": short, "name": "g", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "ab"},
            {"type": "function_call_output", "call_id": short, "output": [
                {"type": "input_image", "image_url": "https://x"},
            ]},
        ]);
        assert_eq!(body, expected);
    }

    #[test]
    fn settings() {
        let body = sent(
            &responses(),
            &json!({
                "messages": [{"role": "user", "content": "q"}],
                "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "logprobs": true, "top_logprobs": 3,
                "verbosity": "low", "reasoning": {"effort": "high"}, "parallel_tool_calls": false,
                "tools": [{"type": "function", "function": {"name": "f", "description": "d"}}],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}},
                "user": "u", "prompt_cache_key": "k", "stop": "x", "seed": 3, "stream": true,
            }),
        );
        let expected = json!({
            "model": "theirs", "store": false, "stream": true,
            "input": [{"role": "user", "content": "q"}],
            "max_output_tokens": 16, "temperature": 0.5, "top_p": 0.9, "top_logprobs": 3,
            "tools": [{
                "type": "function", "name": "f", "description": "d", "strict": false,
                "parameters": {"type": "object", "properties": {}},
            }],
            "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": false,
            "text": {
                "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true},
                "verbosity": "low",
            },
            "reasoning": {"effort": "high", "summary": "auto"},
            "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
            "user": "u", "prompt_cache_key": "k",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn only_thinking_models_are_asked_for_reasoning() {
        let request = json!({"messages": [{"role": "user", "content": "q"}]});
        let thinker = responses().supporting(&[Parameter::Reasoning]);
        let body = sent(&thinker, &request);
        assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
        let plain = responses().supporting(&[Parameter::Temperature]);
        let mut request = request;
        request["reasoning"] = json!({"effort": "low"});
        let body = sent(&plain, &request);
        assert!(body.get("include").is_none() && body.get("reasoning").is_none());
    }

    #[test]
    fn what_cannot_be_said_is_refused_by_its_place() {
        let check = |request: Value, place: &str| {
            let mut request = request;
            request["model"] = json!("a/b");
            let failure = responses().body(&request.to_string()).unwrap_err();
            assert_eq!((failure.status, failure.fault), (400, Fault::Caller));
            assert_eq!(failure.retry, Retry::OtherEndpoint);
            assert_eq!(failure.param.as_deref(), Some(place));
        };
        let user = |content: Value| json!([{"role": "user", "content": content}]);
        let film = json!([{"type": "video_url", "video_url": {"url": "https://x"}}]);
        check(json!({"messages": user(film)}), "messages[0].content[0]");
        check(json!({"messages": user(json!("x")), "n": 2}), "n");
        check(
            json!({"messages": user(json!("x")), "modalities": ["text", "audio"]}),
            "modalities",
        );
    }
}

mod answers {
    use super::*;

    const REASONING: &str = r#"{"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"early"}}"#;

    #[test]
    fn reasoning_comes_in_pieces_and_goes_back_whole() {
        let part = |index: u32, text: &str| {
            format!(
                r#"{{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":{index},"delta":"{text}"}}"#
            )
        };
        let done = r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"ab"},{"type":"summary_text","text":"c"}],"encrypted_content":"gA"}}"#;
        let call = r#"{"type":"response.output_item.added","output_index":1,"item":{"id":"fc_1","type":"function_call","call_id":"call_1","name":"f","arguments":""}}"#;
        let list = [
            CREATED,
            REASONING,
            &part(0, "a"),
            &part(0, "b"),
            &part(1, "c"),
            done,
            call,
            &completed(r#","output":[]"#),
        ];
        let played = played(&list);
        let detail = |kind: &str, name: &str, text: &str, index: u32| {
            let mut detail = json!({
                "type": kind, "id": "rs_1", "format": "openai-responses-v1", "index": index,
            });
            detail[name] = json!(text);
            detail
        };
        let summary = |text: &str, index: u32| json!({"reasoning": text, "reasoning_details": [detail("reasoning.summary", "summary", text, index)]});
        let deltas = deltas(&played);
        let expected = [summary("a", 0), summary("b", 0), summary("c", 1)];
        assert_eq!(deltas.get(1..4), Some(&expected[..]));
        let encrypted = detail("reasoning.encrypted", "data", "gA", 2);
        assert_eq!(deltas[4], json!({"reasoning_details": [encrypted]}));
        assert_eq!(deltas[5]["tool_calls"][0]["id"], "call_1");
        assert_eq!(deltas[6]["tool_calls"][0]["function"]["arguments"], "{}");
        let usage = played.usage.unwrap();
        assert_eq!((usage.prompt, usage.cache_read), (10, 4));
        assert_eq!((usage.completion, usage.reasoning), (5, 2));
    }

    #[test]
    fn what_came_only_at_the_end_is_given_then() {
        let output = r#","output":[{"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},{"type":"message","content":[{"type":"output_text","text":"hi","annotations":[{"type":"url_citation","url":"https://x","title":"t","start_index":0,"end_index":2}],"logprobs":[{"token":"hi"}]}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":1}"},{"type":"image_generation_call","result":"QQ==","output_format":"jpeg"}]"#;
        let last = completed(output);
        let played = played(&[CREATED, &last]);
        let said = deltas(&played);
        assert_eq!(said[1]["reasoning"], "hm");
        assert_eq!(said[2]["content"], "hi");
        assert_eq!(said[3]["annotations"][0]["url_citation"]["end_index"], 2);
        assert_eq!(
            said[5]["tool_calls"][0]["function"]["arguments"],
            "{\"a\":1}"
        );
        let image = &said[6]["images"][0]["image_url"]["url"];
        assert_eq!(image, "data:image/jpeg;base64,QQ==");
        // The same answer, whole.
        let value: Value = serde_json::from_str(&last).unwrap();
        let answer = value["response"].to_string();
        let whole = responses().play(WHOLE, answer.as_bytes(), 7).answer();
        let choice = &whole["choices"][0];
        assert_eq!(choice["message"]["content"], "hi");
        assert_eq!(choice["message"]["reasoning"], "hm");
        assert_eq!(choice["logprobs"]["content"][0]["token"], "hi");
        assert_eq!(choice["finish_reason"], "tool_calls");
        assert_eq!(whole["usage"]["prompt_tokens"], 10);
    }

    #[test]
    fn citations_count_from_the_beginning_of_the_answer() {
        let delta = |part: u32, text: &str| {
            format!(
                r#"{{"type":"response.output_text.delta","output_index":0,"content_index":{part},"delta":"{text}","logprobs":[]}}"#
            )
        };
        let source = r#"{"type":"response.output_text.annotation.added","output_index":0,"content_index":1,"annotation":{"type":"url_citation","url":"https://x","title":"t","start_index":1,"end_index":2}}"#;
        let list = [
            CREATED,
            &delta(0, "\\u00e9é"),
            &delta(1, "ab"),
            source,
            &completed(r#","output":[]"#),
        ];
        let said = deltas(&played(&list));
        let citation = &said[3]["annotations"][0]["url_citation"];
        assert_eq!(
            (&citation["start_index"], &citation["end_index"]),
            (&json!(3), &json!(4))
        );
    }

    #[test]
    fn every_end_has_its_word() {
        let check = |status: &str, details: &str, finish: &str, native: &str| {
            let answer = format!(
                r#"{{"id":"resp_1","status":"{status}","incomplete_details":{details},"output":[{{"type":"message","content":[{{"type":"output_text","text":"x"}}]}}],"usage":{{"input_tokens":1,"output_tokens":2}}}}"#
            );
            let played = responses().play(WHOLE, answer.as_bytes(), 9);
            let choice = played.answer()["choices"][0].clone();
            assert_eq!(choice["finish_reason"], finish, "{status} {details}");
            assert_eq!(choice["native_finish_reason"], native);
            assert_eq!(played.usage.unwrap().completion, 2);
        };
        check("completed", "null", "stop", "completed");
        let length = r#"{"reason":"max_output_tokens"}"#;
        check("incomplete", length, "length", "max_output_tokens");
        let filter = r#"{"reason":"content_filter"}"#;
        check("incomplete", filter, "content_filter", "content_filter");
        check("incomplete", "null", "length", "incomplete");
    }

    #[test]
    fn errors_in_a_stream_are_failures() {
        let check = |last: &str, status: u16, fault: Fault| {
            let played = played(&[CREATED, last]);
            assert!(!played.owed);
            let failure = played.failure.unwrap();
            assert_eq!((failure.status, failure.fault), (status, fault), "{last}");
        };
        let limited = r#"{"type":"error","error":{"type":"tokens","code":"rate_limit_exceeded","message":"m","param":null}}"#;
        check(limited, 429, Fault::Provider);
        let flat = r#"{"type":"error","code":"server_error","message":"m","param":null}"#;
        check(flat, 502, Fault::Provider);
        let failed = |code: &str| {
            format!(
                r#"{{"type":"response.failed","response":{{"id":"r","status":"failed","error":{{"code":"{code}","message":"m"}},"output":[]}}}}"#
            )
        };
        check(&failed("server_error"), 502, Fault::Provider);
        let cancelled = r#"{"type":"response.cancelled","response":{"id":"r","status":"cancelled","output":[],"usage":{"input_tokens":5,"output_tokens":2}}}"#;
        check(cancelled, 502, Fault::Provider);
        let played = played(&[CREATED, cancelled]);
        assert_eq!(played.reason(), "finish_error");
        assert_eq!(played.usage.map(|usage| usage.completion), Some(2));
        check(&failed("rate_limit_exceeded"), 429, Fault::Provider);
        check(&failed("invalid_prompt"), 400, Fault::Caller);
        check(&failed("invalid_image_url"), 400, Fault::Caller);
        check(
            &failed("image_content_policy_violation"),
            400,
            Fault::Caller,
        );
    }

    #[test]
    fn a_cut_stream_is_cut() {
        let text = r#"{"type":"response.output_text.delta","output_index":0,"delta":"x"}"#;
        assert_eq!(played(&[CREATED, text]).reason(), "truncated");
        assert_eq!(played(&[]).reason(), "empty");
        assert_eq!(played(&["[1]"]).reason(), "empty");
        let unfinished = r#"{"id":"r","status":"in_progress","output":[]}"#;
        let played = responses().play(WHOLE, unfinished.as_bytes(), 9);
        assert_eq!(played.reason(), "truncated");
    }

    proptest! {
        #[test]
        fn no_event_panics(member in "[a-z_]{1,12}", raw in "[0-9]{1,4}|null|\\[\\]|\\{\\}|\"x\"|\\[\\{\"text\":\"a\"\\}\\]") {
            for kind in ["response.output_item.added", "response.output_item.done", "response.completed", "response.output_text.delta"] {
                let event = format!(r#"{{"type":"{kind}","{member}":{raw},"item":{{"type":"message","{member}":{raw}}},"response":{{"{member}":{raw}}}}}"#);
                let body = format!("data: {event}\n\n");
                responses().play(STREAM, body.as_bytes(), 11);
            }
        }
    }
}

#[test]
fn files_are_cited_and_searches_counted() {
    let answer = json!({"id": "r", "status": "completed",
    "usage": {"input_tokens": 1, "output_tokens": 1},
    "output": [
        {"type": "web_search_call", "id": "w1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "web_search_call", "id": "w2", "status": "completed", "action": {"type": "open_page", "url": "u"}},
        {"type": "file_search_call", "id": "f1", "status": "completed", "queries": ["q"], "results": null},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x",
            "annotations": [{"type": "file_citation", "file_id": "file-1", "filename": "a.pdf", "index": 1}]}]},
    ]});
    let played = responses().play(WHOLE, answer.to_string().as_bytes(), 50);
    assert_eq!(played.usage.unwrap().web_searches, 1);
    let said = played.answer();
    let cited = &said["choices"][0]["message"]["annotations"][0]["url_citation"];
    assert_eq!(cited["url"], "file-1");
    assert_eq!(cited["title"], "a.pdf");
}
