use crate::dialect::fixture::Fixture;
use crate::ingress::Api;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::catalog::Dialect;

const STREAM: &str =
    r#"{"model":"a/b","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
const WHOLE: &str = r#"{"model":"a/b","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;

fn fixture() -> Fixture {
    Fixture::new(Dialect::AnthropicMessages).api(Api::Messages)
}

fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn start() -> String {
    event(
        "message_start",
        r#"{"type":"message_start","message":{"model":"theirs","id":"msg_1","type":"message","usage":{"input_tokens":5,"output_tokens":1}}}"#,
    )
}

fn told() -> String {
    [
        event("content_block_start", r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"","new":[1.0]}}"#),
        event("ping", r#"{"type": "ping"}"#),
        event("content_block_delta", r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"h\u00e9"} }"#),
        event("content_block_stop", r#"{"type":"content_block_stop","index":0}"#),
        event("brand_new", r#"{"type":"brand_new","x":{"y":1e400}}"#),
    ]
    .concat()
}

const END: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":3}}"#;

fn stop() -> String {
    event("message_stop", r#"{"type":"message_stop"}"#)
}

#[test]
fn events_pass_but_for_what_is_declared() {
    let all = [start(), told(), event("message_delta", END), stop()].concat();
    let played = fixture().play(STREAM, all.as_bytes(), 7);
    assert!(played.failure.is_none(), "{:?}", played.failure);
    let marked = start()
        .replace("\"theirs\"", "\"author/model\"")
        .replace("msg_1", "gen-1")
        .replace("1}}}", r#"1},"provider":"Acme AI"}}"#);
    let rest = played.out.strip_prefix(&marked).unwrap();
    let rest = rest.strip_prefix(&told()).unwrap();
    let cost = concat!(
        r#""output_tokens":3,"cost":0.000011,"is_byok":false,"cost_details":{"#,
        r#""upstream_inference_cost":0.000011,"upstream_inference_prompt_cost":0.000005,"#,
        r#""upstream_inference_completions_cost":0.000006}}"#,
    );
    let end = event("message_delta", &END.replace(r#""output_tokens":3}"#, cost));
    assert_eq!(rest, end + &stop());
    let usage = played.usage.unwrap();
    assert_eq!((usage.prompt, usage.completion), (5, 3));
}

#[test]
fn a_stream_that_breaks_off_says_so() {
    let cut = [start(), told()].concat();
    let played = fixture().play(STREAM, cut.as_bytes(), 64);
    assert_eq!(played.reason(), "truncated");
    let overloaded =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let played = fixture().play(STREAM, event("error", overloaded).as_bytes(), 64);
    assert_eq!(played.failure.unwrap().status, 529);
    assert!(!played.owed);
    let empty = fixture().play(STREAM, stop().as_bytes(), 64);
    assert_eq!(empty.reason(), "empty");
}

#[test]
fn a_server_tool_is_owed_at_once() {
    let tool = event(
        "content_block_start",
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}"#,
    );
    let played = fixture().play(STREAM, [start(), tool.clone()].concat().as_bytes(), 999);
    assert!(played.owed && played.out.ends_with(&tool));
}

#[test]
fn an_empty_block_is_not_owed() {
    let overloaded =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let ping = event("ping", r#"{"type": "ping"}"#);
    let begun = |block: &str| {
        event(
            "content_block_start",
            &format!(r#"{{"type":"content_block_start","index":0,"content_block":{block}}}"#),
        )
    };
    let failed = |pieces: &[String]| {
        let all = pieces.concat() + &event("error", overloaded);
        let played = fixture().play(STREAM, all.as_bytes(), 7);
        (played.failure.unwrap().status, played.owed)
    };
    let text = begun(r#"{"type":"text","text":""}"#);
    let thinking = begun(r#"{"type":"thinking","thinking":"","signature":""}"#);
    assert_eq!(failed(&[start(), ping.clone()]), (529, false));
    assert_eq!(failed(&[start(), text, ping.clone()]), (529, false));
    assert_eq!(failed(&[start(), thinking, ping]), (529, false));
    // What was said stands, and the failure is told behind it.
    assert_eq!(failed(&[start(), told()]), (529, true));
}

#[test]
fn a_failure_behind_text_keeps_what_was_counted_and_ends_nothing() {
    let delta = event(
        "content_block_delta",
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"four score"}}"#,
    );
    let error = r#"{"type":"error","error":{"type":"api_error","message":"broke"}}"#;
    let all = [start(), delta.clone(), event("error", error)].concat();
    let played = fixture().play(STREAM, all.as_bytes(), 9);
    assert!(
        played.owed && played.out.ends_with(&delta),
        "{}",
        played.out
    );
    assert!(!played.out.contains("message_stop") && !played.out.contains("event: error"));
    let usage = played.usage.unwrap();
    assert_eq!(
        (usage.prompt, usage.completion, usage.estimated),
        (5, 3, true)
    );
    assert_eq!(played.reason(), "provider_error");
}

#[test]
fn a_whole_message_passes_but_for_what_is_declared() {
    let answer = r#"{ "id": "msg_1", "model":"theirs", "type":"message", "new": 1.50,
        "content":[{"type":"text","text":"x"},{"type":"brand_new"}], "stop_reason":"end_turn",
        "stop_sequence":null, "usage":{"input_tokens":5,"output_tokens":3} }"#;
    let played = fixture().play(WHOLE, answer.as_bytes(), 5);
    let start = r#"{ "id": "gen-1", "model":"author/model", "type":"message", "new": 1.50,"#;
    assert!(played.out.starts_with(start), "{}", played.out);
    assert_eq!(played.answer()["usage"]["cost"], json!(0.000_011));
    assert_eq!(played.answer()["content"][1]["type"], "brand_new");
    assert_eq!(played.answer()["provider"], "Acme AI");
    // A gateway upstream names its own provider.
    let answer = answer.replace("1.50,", r#"1.50, "provider":"Other","#);
    let played = fixture().play(WHOLE, answer.as_bytes(), 5);
    assert_eq!(played.out.matches("\"provider\"").count(), 1);
    assert_eq!(played.answer()["provider"], "Acme AI");
}

#[test]
fn a_message_in_place_of_a_stream_becomes_one() {
    let answer = r#"{"id":"msg_1","model":"theirs","type":"message","role":"assistant",
        "content":[{"type":"text","text":"x"}],"stop_reason":"max_tokens",
        "usage":{"input_tokens":5,"output_tokens":3}}"#;
    let played = fixture().play(STREAM, answer.as_bytes(), 5);
    assert!(played.failure.is_none());
    assert!(played.out.starts_with("event: message_start\n"));
    assert!(played.out.contains("\"stop_reason\":\"max_tokens\""));
}

#[test]
fn a_message_in_one_event_of_a_stream_becomes_one() {
    let answer = r#"{"id":"msg_1","model":"theirs","type":"message","role":"assistant","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":3}}"#;
    let played = fixture().play(STREAM, event("message", answer).as_bytes(), 5);
    assert!(played.failure.is_none());
    let names = played
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("event: "));
    let names: Vec<&str> = names.collect();
    let wanted = [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(names, wanted, "{}", played.out);
    assert_eq!(played.usage.unwrap().completion, 3);
}

#[test]
fn the_count_of_fetched_pages_is_added_where_it_is_missing() {
    let usage =
        r#"{"input_tokens":5,"server_tool_use":{"web_search_requests":3},"output_tokens":3}"#;
    let answer = format!(
        r#"{{"id":"m","model":"m","type":"message","content":[],"stop_reason":"end_turn","usage":{usage}}}"#
    );
    let played = fixture().play(WHOLE, answer.as_bytes(), 99);
    let tools = &played.answer()["usage"]["server_tool_use"];
    assert_eq!(
        tools,
        &json!({ "web_search_requests": 3, "web_fetch_requests": 0 })
    );
    let delta = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{usage}}}"#
    );
    let all = [start(), told(), event("message_delta", &delta), stop()].concat();
    let played = fixture().play(STREAM, all.as_bytes(), 99);
    let wanted = r#""web_search_requests":3,"web_fetch_requests":0}"#;
    assert!(played.out.contains(wanted), "{}", played.out);
}

#[test]
fn the_request_passes_but_for_what_is_declared() {
    let body = |request: &str| fixture().body(request).unwrap();
    let odd = r#"{ "messages" : [ {"role":"user","content":"h\u0069"} ],"x":1e400,
        "model":"a/b", "provider":{"only":["acme"]},"max_tokens":  77 ,"models":["c/d"],
        "cache_control":{"type":"ephemeral"},"x":2,"fallbacks":null}"#;
    let expected = r#"{ "messages" : [ {"role":"user","content":"h\u0069"} ],"x":1e400,
        "model":"theirs","max_tokens":  77,
        "cache_control":{"type":"ephemeral"},"x":2}"#;
    assert_eq!(body(odd), expected);
    let listed = WHOLE.replace(r#""model":"a/b""#, r#""models":["a/b"]"#);
    assert!(body(&listed).ends_with(r#","model":"theirs"}"#));
    let without = WHOLE.replace("\"max_tokens\":9,", "");
    let sent: Value = serde_json::from_str(&body(&without)).unwrap();
    assert_eq!(sent["max_tokens"], 4096);
    let mut tight = fixture();
    tight.clamp = Some(5);
    let sent: Value = serde_json::from_str(&tight.body(WHOLE).unwrap()).unwrap();
    assert_eq!(sent["max_tokens"], 5);
}

#[test]
fn thoughts_of_other_makers_do_not_go_to_anthropic() {
    let request = r#"{"model":"a/b","max_tokens":9,"messages":[{"role":"user","content":"hi"},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""},
        {"type":"text","text":"ok"}]},{"role":"user","content":"go"}]}"#;
    let sent: Value = serde_json::from_str(&fixture().body(request).unwrap()).unwrap();
    let said = &sent["messages"][1]["content"];
    assert_eq!(said, &json!([{ "type": "text", "text": "ok" }]));
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_bytes(cuts in prop::collection::vec(1usize..40, 1..80)) {
        let all = [start(), told(), event("message_delta", END), stop()].concat();
        let expected = fixture().play(STREAM, all.as_bytes(), usize::MAX).out;
        let mut rest = all.as_bytes();
        let mut pieces = Vec::new();
        for cut in cuts {
            let (piece, more) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        pieces.push(rest);
        let played = fixture().play_pieces(STREAM, pieces.into_iter());
        prop_assert_eq!(played.out, expected);
    }
}

#[test]
fn no_room_for_more_ends_an_answer_that_has_begun() {
    let full = event(
        "error",
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}"#,
    );
    let begun = event(
        "content_block_start",
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    ) + &event(
        "content_block_delta",
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}"#,
    );
    let all = [start(), begun, full.clone()].concat();
    let played = fixture().play(STREAM, all.as_bytes(), 7);
    assert!(played.failure.is_none(), "{:?}", played.failure);
    let told = played.events();
    let kinds: Vec<&str> = told
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds[kinds.len() - 3..],
        ["content_block_stop", "message_delta", "message_stop"]
    );
    let delta = &told[told.len() - 2];
    assert_eq!(delta["delta"]["stop_reason"], "max_tokens");
    assert_eq!(delta["usage"]["input_tokens"], 5);
    // Before anything was said it is a failure.
    let played = fixture().play(STREAM, (start() + &full).as_bytes(), 7);
    assert!(played.failure.unwrap().is_full());
}
