use crate::dialect::fixture::{Fixture, Played};
use crate::ingress::Api;
use serde_json::{Value, json};
use shared::catalog::Dialect;

const STREAM: &str = r#"{"model":"a/b","input":"x","stream":true}"#;
const WHOLE: &str = r#"{"model":"a/b","input":"x"}"#;
const OLD: &str = r#"{"id":"resp_1","object":"response","created_at":5,"status":"completed","model":"theirs","output":[],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":5,"total_tokens":15}}"#;

fn responses() -> Fixture {
    Fixture::new(Dialect::OpenaiResponses).api(Api::Responses)
}

fn streamed(events: &[String]) -> Played {
    let body: String = events
        .iter()
        .map(|event| {
            let kind: Value = serde_json::from_str(event).unwrap();
            format!(
                "event: {}\ndata: {event}\n\n",
                kind["type"].as_str().unwrap()
            )
        })
        .collect();
    let played = responses().play(STREAM, body.as_bytes(), 7);
    assert!(played.failure.is_none(), "{:?}", played.failure);
    played
}

fn completed() -> String {
    format!(r#"{{"type":"response.completed","response":{OLD}}}"#)
}

#[test]
fn members_that_clients_demand_are_added_to_what_older_servers_say() {
    let answer = responses().play(WHOLE, OLD.as_bytes(), 9).answer();
    assert_eq!(
        answer["usage"]["input_tokens_details"],
        json!({"cached_tokens": 4, "cache_write_tokens": 0})
    );
    assert_eq!(
        answer["usage"]["output_tokens_details"],
        json!({"reasoning_tokens": 0})
    );
    assert_eq!(answer["metadata"], json!({}));
    assert_eq!(answer["tool_choice"], "auto");
    for name in [
        "completed_at",
        "error",
        "instructions",
        "presence_penalty",
        "top_p",
    ] {
        assert_eq!(answer.get(name), Some(&Value::Null), "{name}");
    }
}

#[test]
fn a_form_without_a_description_has_none() {
    let form = r#""text":{"format":{"type":"json_schema","description":null,"name":"n"}},"object""#;
    let answer = OLD.replace("\"object\"", form);
    let answer = responses().play(WHOLE, answer.as_bytes(), 9).answer();
    assert_eq!(
        answer["text"]["format"],
        json!({"type": "json_schema", "name": "n"})
    );
}

#[test]
fn what_a_server_says_is_not_said_again() {
    let full = responses().play(WHOLE, OLD.as_bytes(), 9).out;
    // The cost is ours each time.
    let again = responses().play(WHOLE, full.as_bytes(), 9).out;
    assert_eq!(again.matches("\"completed_at\"").count(), 1);
    assert_eq!(again.matches("\"cache_write_tokens\"").count(), 1);
    assert_eq!(again.matches("\"cost\"").count(), 1);
}

#[test]
fn events_without_numbers_get_them() {
    let delta = r#"{"type":"response.output_text.delta","output_index":0,"delta":"x"}"#.to_owned();
    let events = streamed(&[delta.clone(), delta, completed()]).events();
    let numbers: Vec<u64> = events
        .iter()
        .map(|event| event["sequence_number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
fn arguments_end_with_the_name_of_their_function() {
    let call = |kind: &str| {
        format!(
            r#"{{"type":"response.output_item.{kind}","output_index":3,"item":{{"type":"function_call","id":"fc","call_id":"c","name":"f\u00e9","arguments":""}}}}"#
        )
    };
    let done = r#"{"type":"response.function_call_arguments.done","output_index":3,"item_id":"fc","arguments":"{}"}"#;
    let events = streamed(&[call("added"), done.to_owned(), call("done"), completed()]).events();
    assert_eq!(events[1]["name"], "fé");
    assert_eq!(events[1]["arguments"], "{}");
}

#[test]
fn a_search_says_for_what() {
    let item = |action: &str| {
        format!(
            r#"{{"type":"response.output_item.done","output_index":0,"item":{{"type":"web_search_call","id":"ws","status":"completed","action":{action}}}}}"#
        )
    };
    let bare = item(r#"{"type":"search"}"#);
    let told = item(r#"{"type":"search","query":"q"}"#);
    let page = item(r#"{"type":"open_page","url":"u"}"#);
    let events = streamed(&[bare, told, page, completed()]).events();
    assert_eq!(events[0]["item"]["action"]["query"], "");
    assert_eq!(events[1]["item"]["action"]["query"], "q");
    assert_eq!(events[2]["item"]["action"].get("query"), None);
}

#[test]
fn no_room_for_more_ends_an_answer_that_has_begun() {
    let full = r#"{"type":"error","code":"context_length_exceeded","message":"full","param":null}"#;
    let delta = |text: &str| {
        format!(
            r#"{{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"{text}"}}"#
        )
    };
    let item = r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"e"}"#;
    let events = [
        r#"{"type":"response.created","response":{"id":"resp_1","object":"response","created_at":5,"status":"in_progress","model":"theirs","output":[],"usage":null}}"#.to_owned(),
        format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{item}}}"#),
        delta("a\\n"),
        delta("b"),
        full.to_owned(),
    ];
    let played = streamed(&events);
    let told = played.events();
    let last = told.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["sequence_number"], 4);
    let response = &last["response"];
    assert_eq!(response["id"], "gen-1");
    assert_eq!(
        response["incomplete_details"]["reason"],
        "max_output_tokens"
    );
    assert_eq!(response["output"][0]["encrypted_content"], "e");
    assert_eq!(response["output"][1]["content"][0]["text"], "a\nb");
    assert!(response["usage"]["input_tokens"].is_u64(), "{response}");
    // Before anything was said it is a failure, which another endpoint may not have.
    let played = responses().play(STREAM, format!("data: {full}\n\n").as_bytes(), 9);
    assert!(played.failure.unwrap().is_full());
}

#[test]
fn a_failure_behind_text_ends_nothing() {
    let begun = |kind: &str| {
        format!(
            r#"{{"type":"response.{kind}","response":{{"id":"resp_1","object":"response","created_at":5,"status":"in_progress","model":"theirs","output":[],"usage":null}}}}"#
        )
    };
    let delta =
        r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"hi"}"#
            .to_owned();
    let error =
        r#"{"type":"error","code":"server_error","message":"broke","param":null}"#.to_owned();
    let failed = r#"{"type":"response.failed","response":{"id":"resp_1","object":"response","created_at":5,"status":"failed","error":{"code":"server_error","message":"broke"},"model":"theirs","output":[],"usage":{"input_tokens":10,"output_tokens":2,"total_tokens":12}}}"#.to_owned();
    let play = |events: &[&String]| {
        let events = events.iter().map(|event| format!("data: {event}\n\n"));
        responses().play(STREAM, events.collect::<String>().as_bytes(), 7)
    };
    let (created, progress) = (begun("created"), begun("in_progress"));
    // Nothing is owed before the first content.
    for last in [&error, &failed] {
        let played = play(&[&created, &progress, last]);
        assert_eq!((played.reason(), played.owed), ("provider_error", false));
    }
    for last in [&error, &failed] {
        let played = play(&[&created, &progress, &delta, last]);
        assert_eq!((played.reason(), played.owed), ("provider_error", true));
        assert!(played.out.contains(r#""delta":"hi""#), "{}", played.out);
        for ended in ["response.failed", "server_error", "response.completed"] {
            assert!(!played.out.contains(ended), "{ended} in {}", played.out);
        }
    }
    let counted = play(&[&created, &delta, &failed]).usage.unwrap();
    assert_eq!((counted.prompt, counted.completion), (10, 2));
}

#[test]
fn an_answer_that_comes_whole_is_told_in_events() {
    let whole = OLD.replace(
        r#""output":[]"#,
        r#""output":[{"id":"m","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hello","annotations":[]}]}]"#,
    );
    let played = responses().play(STREAM, whole.as_bytes(), 9);
    assert!(played.failure.is_none(), "{:?}", played.failure);
    let events = played.events();
    let said: String = events
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(said, "hello");
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["usage"]["input_tokens"], 10);
}
