use crate::dialect::fixture::Fixture;
use crate::ingress::Api;
use serde_json::{Value, json};
use shared::catalog::{Dialect, EffortWord, Parameter};

fn responses() -> Fixture {
    Fixture::new(Dialect::OpenaiResponses).api(Api::Responses)
}

fn check(fixture: &Fixture, request: &str, expected: &str) {
    assert_eq!(fixture.body(request).unwrap(), expected);
}

#[test]
fn bytes_pass_but_for_the_declared_edits() {
    check(
        &responses(),
        r#"{ "model":"a/b", "store" : null, "input":"x", "odd":1.00, "text":{"é":1e5}, "provider":{} }"#,
        r#"{ "model":"theirs", "store" : false, "input":"x", "odd":1.00, "text":{"é":1e5} }"#,
    );
    check(
        &responses(),
        r#"{"models":["c/d"],"model":"a/b","input":[{"role":"user","content":"x"}],"top_k":3,"stream":true,"stream_options":{"include_obfuscation":false}}"#,
        r#"{"model":"theirs","input":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_obfuscation":false},"store":false}"#,
    );
    check(
        &responses(),
        r#"{"model":"a/b","input":"x","previous_response_id":null,"background":false,"max_output_tokens":null}"#,
        r#"{"model":"theirs","input":"x","store":false}"#,
    );
}

#[test]
fn a_model_that_the_client_names_otherwise_is_written_in() {
    check(
        &responses(),
        r#"{"models":["a/b"],"input":"x","store":false}"#,
        r#"{"input":"x","store":false,"model":"theirs"}"#,
    );
}

#[test]
fn the_limit_is_clamped() {
    let mut fixture = responses();
    fixture.clamp = Some(100);
    check(
        &fixture,
        r#"{"model":"a/b","input":"x","max_output_tokens":500,"store":false}"#,
        r#"{"model":"theirs","input":"x","max_output_tokens":100,"store":false}"#,
    );
    check(
        &fixture,
        r#"{"model":"a/b","input":"x","store":false}"#,
        r#"{"model":"theirs","input":"x","store":false,"max_output_tokens":100}"#,
    );
}

#[test]
fn reasoning_is_asked_for_in_the_form_that_can_come_back() {
    let thinker = responses().supporting(&[Parameter::Reasoning]);
    let wish = r#""include":["reasoning.encrypted_content"]"#;
    check(
        &thinker,
        r#"{"model":"a/b","store":false,"input":"x"}"#,
        &format!(r#"{{"model":"theirs","store":false,"input":"x",{wish}}}"#),
    );
    let same = format!(r#"{{"model":"theirs","store":false,"input":"x",{wish}}}"#);
    check(&thinker, &same.replace("theirs", "a/b"), &same);
    check(
        &thinker,
        r#"{"model":"a/b","store":false,"input":"x","include":["message.output_text.logprobs"]}"#,
        r#"{"model":"theirs","store":false,"input":"x","include":["message.output_text.logprobs","reasoning.encrypted_content"]}"#,
    );
    check(
        &thinker,
        r#"{"model":"a/b","store":false,"input":"x","include":[ ],"reasoning":{"max_tokens":900,"summary":"auto"},"max_output_tokens":1000}"#,
        &format!(
            r#"{{"model":"theirs","store":false,"input":"x",{wish},"reasoning":{{"summary":"auto","effort":"high"}},"max_output_tokens":1000}}"#
        ),
    );
}

#[test]
fn only_reasoning_that_the_provider_can_read_goes_back() {
    let item = |rest: &str| format!(r#"{{"type":"reasoning","id":"rs_1","summary":[]{rest}}}"#);
    let body = |model: &str, items: &[String]| {
        format!(
            r#"{{"model":"{model}","store":false,"input":[{}{{"role":"user","content":"x"}}]}}"#,
            items
                .iter()
                .map(|item| format!("{item}, "))
                .collect::<String>()
        )
    };
    let mut fixture = responses();
    let own = item(r#","encrypted_content":"gA""#);
    let marked = item(r#","format":"openai-responses-v1","encrypted_content":"gB""#);
    let azure = item(r#","encrypted_content":"gC","format":"azure-openai-responses-v1""#);
    let claude = item(r#","content":[],"signature":"s","format":"anthropic-claude-v1""#);
    let bare = item("");
    let all = [own.clone(), claude, marked, azure, bare];
    let plain = item(r#","encrypted_content":"gB""#);
    check(&fixture, &body("a/b", &all), &body("theirs", &[own, plain]));
    fixture.provider.base_url = "https://r.openai.azure.com/openai/v1".to_owned();
    let plain = item(r#","encrypted_content":"gC""#);
    check(&fixture, &body("a/b", &all), &body("theirs", &[plain]));
}

const SETTINGS: &str = r#""completed_at":null,"error":null,"incomplete_details":null,"instructions":null,"metadata":{},"parallel_tool_calls":true,"temperature":null,"top_p":null,"frequency_penalty":null,"presence_penalty":null,"tool_choice":"auto","tools":[]"#;
const ANSWER: &str = r#"{"id":"resp_1","object":"response","model":"m-1","status":"completed","output":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"g"},{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"hi","annotations":[]}]}],"odd": 1.00,"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":0},"odd":2},SETTINGS}"#;

fn answer() -> String {
    ANSWER.replace("SETTINGS", SETTINGS)
}

fn marked(answer: &str) -> String {
    answer
        .replace("resp_1", "gen-1")
        .replace("m-1", "author/model")
        .replace(r#""tools":[]"#, r#""tools":[],"provider":"Acme AI""#)
}

fn priced(answer: &str) -> String {
    let cost = r#","cost":0.00002,"is_byok":false,"cost_details":{"upstream_inference_cost":0.00002,"upstream_inference_input_cost":0.00001,"upstream_inference_output_cost":0.00001}"#;
    marked(answer).replace(r#""odd":2"#, &format!(r#""odd":2{cost}"#))
}

#[test]
fn a_whole_answer_passes_with_its_cost() {
    let request = r#"{"model":"a/b","input":"x"}"#;
    let played = responses().play(request, answer().as_bytes(), 7);
    assert_eq!(played.out, priced(&answer()));
    let usage = played.usage.unwrap();
    assert_eq!((usage.prompt, usage.completion), (10, 5));
    // Another maker's reasoning is marked.
    let mut azure = responses();
    azure.provider.base_url = "https://r.openai.azure.com/openai/v1".to_owned();
    let played = azure.play(request, answer().as_bytes(), 7);
    let marked = r#""encrypted_content":"g","format":"azure-openai-responses-v1"}"#;
    let expected = priced(&answer()).replace(r#""encrypted_content":"g"}"#, marked);
    assert_eq!(played.out, expected);
}

#[test]
fn events_pass_as_they_come() {
    let request = r#"{"model":"a/b","input":"x","stream":true}"#;
    let event = |data: &str| {
        let value: Value = serde_json::from_str(data).unwrap();
        format!(
            "event: {}\ndata: {data}\n\n",
            value["type"].as_str().unwrap()
        )
    };
    let created = r#"{"type":"response.created","response":{"id":"resp_1","model":"m-1","usage":null,"output":[],SETTINGS},"sequence_number":0}"#.replace("SETTINGS", SETTINGS);
    let created = created.as_str();
    let delta = r#"{"type":"response.output_text.delta", "delta":"\"response\"","logprobs":[],"obfuscation":"xx","output_index":0,"sequence_number":1}"#;
    let odd = r#"{"type":"response.odd.thing","n":1.0,"sequence_number":2}"#;
    let done = format!(
        r#"{{"type":"response.completed","response":{},"sequence_number":3}}"#,
        answer()
    );
    let all = [created, delta, odd, &done];
    let body: String = all.iter().map(|data| event(data)).collect();
    let expected: String = [
        event(&marked(created)),
        event(delta),
        event(odd),
        event(&priced(&done)),
    ]
    .concat();
    for size in [1, 5, 1000] {
        let played = responses().play(request, body.as_bytes(), size);
        assert_eq!(played.out, expected);
        assert_eq!(played.usage.unwrap().prompt, 10);
    }
    // Cut off, failed, and whole where a stream was asked for.
    let cut = event(created) + &event(delta);
    assert_eq!(
        responses().play(request, cut.as_bytes(), 9).reason(),
        "truncated"
    );
    let failed = r#"{"type":"error","error":{"code":"rate_limit_exceeded","message":"m"}}"#;
    let failed = event(created) + &event(failed);
    let failure = responses().play(request, failed.as_bytes(), 9).failure;
    assert_eq!(failure.unwrap().status, 429);
    let played = responses().play(request, answer().as_bytes(), 9);
    let last = played.events().pop().unwrap();
    assert_eq!(
        last["response"]["output"][1]["content"][0]["text"],
        json!("hi")
    );
}

#[test]
fn an_effort_is_the_next_that_the_endpoint_takes() {
    use EffortWord as W;
    let told = |efforts: &[W], reasoning: &str| {
        let mut fixture = responses().supporting(&[Parameter::Reasoning]);
        fixture.endpoint.efforts = efforts.to_vec();
        let include = r#""include":["reasoning.encrypted_content"]"#;
        let request = format!(
            r#"{{"model":"a/b","store":false,{include},"input":"x" , "reasoning": {reasoning} ,"odd":1.0,"max_output_tokens":1000}}"#
        );
        let body = fixture.body(&request).unwrap();
        let head =
            format!(r#"{{"model":"theirs","store":false,{include},"input":"x" , "reasoning": "#);
        let tail = r#" ,"odd":1.0,"max_output_tokens":1000}"#;
        let inner = body
            .strip_prefix(&head)
            .and_then(|it| it.strip_suffix(tail));
        inner.unwrap_or_else(|| panic!("{body}")).to_owned()
    };
    let three = [W::Low, W::Medium, W::High];
    for (efforts, said, expected) in [
        // What is known passes as it stands.
        (
            &three[..],
            r#"{ "effort" : "low" }"#,
            r#"{ "effort" : "low" }"#,
        ),
        (&[], r#"{"effort":"xhigh"}"#, r#"{"effort":"xhigh"}"#),
        (
            &three,
            r#"{ "effort" : "xhigh", "summary":"auto" }"#,
            r#"{ "effort" : "high", "summary":"auto" }"#,
        ),
        (
            &three,
            r#"{"summary":"auto","effort":"minimal"}"#,
            r#"{"summary":"auto","effort":"low"}"#,
        ),
        (&three, r#"{"effort":"none"}"#, r#"{"effort":"low"}"#),
        (
            &[W::High, W::Max],
            r#"{"effort":"medium"}"#,
            r#"{"effort":"high"}"#,
        ),
        // It has but a word to switch thinking off.
        (
            &[W::None],
            r#"{"effort":"high","summary":"auto"}"#,
            r#"{"summary":"auto"}"#,
        ),
        // Null says nothing, unless a budget stands beside it.
        (&three, r#"{"effort":null}"#, r#"{"effort":null}"#),
        (
            &three,
            r#"{"effort":null,"max_tokens":900}"#,
            r#"{"effort":"high"}"#,
        ),
        (&three, r#"{"max_tokens":100}"#, r#"{"effort":"low"}"#),
    ] {
        assert_eq!(told(efforts, said), expected, "{efforts:?} {said}");
    }
}
