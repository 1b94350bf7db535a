//! What is sent: the client's bytes with the declared splices, and nothing that a provider does
//! not know.

use super::*;

#[track_caller]
fn check(fixture: &Fixture, request: &str, expected: &str) {
    assert_eq!(fixture.body(request).unwrap(), expected);
}

#[test]
fn bytes_survive_but_for_the_declared_splices() {
    check(
        &openai(),
        concat!(
            "{ \"messages\" : [{\"role\":\"user\",\"content\":\"a\\u0062\\/\"}],\n",
            "  \"provider\": {\"order\":[\"acme\"]}, \"model\":\"author\\/model\",\n",
            "  \"big\": 123456789012345678901234567890.10e+3, \"z\":{\"b\":1,\"a\":2},\n",
            "  \"usage\":{\"include\":true}, \"plugins\":[], \"seed\" : 1,\"session_id\":\"s\" }",
        ),
        concat!(
            "{ \"messages\" : [{\"role\":\"user\",\"content\":\"a\\u0062\\/\"}], \"model\":\"theirs\",\n",
            "  \"big\": 123456789012345678901234567890.10e+3, \"z\":{\"b\":1,\"a\":2}, \"seed\" : 1 }",
        ),
    );
}

#[test]
fn usage_is_always_asked_for_in_streams() {
    let request = |members: &str| {
        format!(r#"{{"messages":[{{"role":"user","content":"x"}}],"model":"a/b"{members}}}"#)
    };
    let body = |members: &str| {
        format!(r#"{{"messages":[{{"role":"user","content":"x"}}],"model":"theirs"{members}}}"#)
    };
    let check = |fixture: &Fixture, asked: &str, sent: &str| {
        super::requests::check(fixture, &request(asked), &body(sent));
    };
    let forced = r#","stream":true,"stream_options":{"include_usage":true}"#;
    check(&openai(), "", "");
    check(&openai(), r#","stream":true"#, forced);
    check(
        &openai(),
        r#","stream":true,"stream_options":{"include_usage":false}"#,
        forced,
    );
    check(&openai(), r#","stream":true,"stream_options":null"#, forced);
    check(
        &openai(),
        r#","stream":true,"stream_options":{"x":1}"#,
        r#","stream":true,"stream_options":{"x":1,"include_usage":true}"#,
    );
    check(&openai(), r#","stream_options":{"include_usage":true}"#, "");
    let without = openai().quirks(&[Quirk::NoStreamOptions]);
    check(&without, forced, r#","stream":true"#);
}

#[test]
fn limits_get_their_name_and_their_clamp() {
    let check = |fixture: &Fixture, asked: &str, sent: &str| {
        let head = r#"{"messages":[{"role":"user","content":"x"}],"model":"#;
        super::requests::check(
            fixture,
            &format!(r#"{head}"a/b"{asked}}}"#),
            &format!(r#"{head}"theirs"{sent}}}"#),
        );
    };
    let clamped = |fixture: Fixture| Fixture {
        clamp: Some(50),
        ..fixture
    };
    let new_name = || openai().quirks(&[Quirk::MaxCompletionTokens]);
    let old_name = || openai().quirks(&[Quirk::MaxTokensOnly]);
    check(&openai(), r#","max_tokens":90"#, r#","max_tokens":90"#);
    check(
        &clamped(openai()),
        r#","max_tokens":90"#,
        r#","max_tokens":50"#,
    );
    check(
        &clamped(openai()),
        r#","max_tokens":9"#,
        r#","max_tokens":9"#,
    );
    check(&clamped(openai()), "", r#","max_tokens":50"#);
    check(
        &clamped(openai()),
        r#","max_tokens":null"#,
        r#","max_tokens":50"#,
    );
    check(
        &new_name(),
        r#","max_tokens":90"#,
        r#","max_completion_tokens":90"#,
    );
    check(&clamped(new_name()), "", r#","max_completion_tokens":50"#);
    check(
        &old_name(),
        r#","max_tokens":3,"max_completion_tokens":90"#,
        r#","max_tokens":90"#,
    );
    let listed = openai().supporting(&[Parameter::MaxTokens]);
    check(
        &listed,
        r#","max_completion_tokens":90"#,
        r#","max_tokens":90"#,
    );
}

#[test]
fn what_the_endpoint_does_not_know_is_dropped() {
    let fixture = openai().supporting(&[Parameter::Temperature, Parameter::ReasoningEffort]);
    let request = r#"{"model":"a/b","top_k":5,"temperature":0,"logit_bias":{},"unknown":1,"tools":[{"type":"function"}],"messages":[{"role":"user","content":"x"}]}"#;
    let body = r#"{"model":"theirs","temperature":0,"unknown":1,"tools":[{"type":"function"}],"messages":[{"role":"user","content":"x"}]}"#;
    check(&fixture, request, body);
}

#[test]
fn reasoning_is_said_as_an_effort() {
    let check = |fixture: &Fixture, asked: &str, sent: &str| {
        let head = r#"{"messages":[{"role":"user","content":"x"}],"model":"#;
        super::requests::check(
            fixture,
            &format!(r#"{head}"a/b"{asked}}}"#),
            &format!(r#"{head}"theirs"{sent}}}"#),
        );
    };
    let high = r#","reasoning_effort":"high""#;
    check(&openai(), high, high);
    check(&openai(), r#","reasoning":{"effort":"high"}"#, high);
    check(
        &openai(),
        r#","reasoning":{"effort":"high"},"reasoning_effort":"high""#,
        high,
    );
    check(
        &openai(),
        r#","max_tokens":1000,"reasoning":{"max_tokens":900}"#,
        r#","max_tokens":1000,"reasoning_effort":"high""#,
    );
    check(&openai(), r#","include_reasoning":false"#, "");
    let none = openai().supporting(&[Parameter::Temperature]);
    check(&none, r#","reasoning":{"effort":"high"}"#, "");
    check(&none, high, "");
}

#[test]
fn reasoning_goes_back_by_the_providers_name() {
    let fixture = openai().quirks(&[Quirk::ReasoningContentBack, Quirk::NoDeveloperRole]);
    let check = |message: &str, expected: &str| {
        let of = |model: &str, message: &str| {
            format!(
                r#"{{"model":"{model}","messages":[{message},{{"role":"user","content":"x"}}]}}"#
            )
        };
        let sent = fixture.body(&of("a/b", message)).unwrap();
        assert_eq!(sent, of("theirs", expected));
    };
    let calls = r#""tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]"#;
    check(
        &format!(r#"{{"role":"assistant","reasoning":"h\"m",{calls}}}"#),
        &format!(r#"{{"role":"assistant","reasoning_content":"h\"m",{calls}}}"#),
    );
    let details = r#""reasoning_details":[{"type":"reasoning.text","text":"h"},{"text":"m"}]"#;
    check(
        &format!(r#"{{"role":"assistant",{details}, {calls} }}"#),
        &format!(r#"{{"role":"assistant",{details}, {calls},"reasoning_content":"hm" }}"#),
    );
    let bare = format!(r#"{{"role":"assistant",{calls}"#);
    check(
        &format!("{bare}}}"),
        &format!(r#"{bare},"reasoning_content":""}}"#),
    );
    let same = format!(r#"{{"role":"assistant","reasoning":"a","reasoning_content":"b",{calls}}}"#);
    check(&same, &same);
    let spoken = r#"{"role":"assistant","content":"c","reasoning":"a"}"#;
    check(spoken, spoken);
    // A null is no reasoning, and no second one.
    check(
        &format!(r#"{{"role":"assistant","reasoning":"x","reasoning_content":null,{calls}}}"#),
        &format!(r#"{{"role":"assistant","reasoning_content":"x",{calls}}}"#),
    );
    check(
        &format!(r#"{{"reasoning_content":null,"role":"assistant",{calls}}}"#),
        &format!(r#"{{"role":"assistant",{calls},"reasoning_content":""}}"#),
    );
}

#[test]
fn ids_get_the_form_that_the_model_demands() {
    let mut fixture = openai();
    fixture.endpoint.quirks = vec![Quirk::NineLetterIds];
    let history = r#"[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"call_1_0","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"VzeppoSaq","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"call_1_0","content":"1"},{"role":"tool","tool_call_id":"VzeppoSaq","content":"2"}]"#;
    let request = format!(r#"{{"model":"a/b","messages":{history}}}"#);
    let sent = fixture.body(&request).unwrap();
    let body: Value = serde_json::from_str(&sent).unwrap();
    let id = body["messages"][1]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(body["messages"][2]["tool_call_id"], id);
    let expected = history.replace("call_1_0", id);
    assert_eq!(
        sent,
        format!(r#"{{"model":"theirs","messages":{expected}}}"#)
    );
    // So are those of other APIs' clients.
    let input = r#"[{"role":"user","content":"q"},{"type":"function_call","call_id":"call_1_0","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"call_1_0","output":"1"}]"#;
    let request = format!(r#"{{"model":"a/b","input":{input}}}"#);
    let sent = fixture.api(Api::Responses).body(&request).unwrap();
    let body: Value = serde_json::from_str(&sent).unwrap();
    assert_eq!(body["messages"][1]["tool_calls"][0]["id"], id);
    assert_eq!(body["messages"][2]["tool_call_id"], id);
}

#[test]
fn developers_become_systems_where_they_must() {
    let request = r#"{"model":"a/b","messages":[{"role":"developer","content":"developer"},{"content":"x","role":"user"}]}"#;
    let body = r#"{"model":"theirs","messages":[{"role":"system","content":"developer"},{"content":"x","role":"user"}]}"#;
    check(&openai().quirks(&[Quirk::NoDeveloperRole]), request, body);
}

proptest! {
    #[test]
    fn a_spliced_request_is_the_request_edited(
        members in prop::collection::btree_map(
            "temperature|top_p|user|provider|usage|session_id|x|y|stop|metadata|transforms",
            any::<u8>(),
            0..8,
        ),
        stream in any::<bool>(),
        pretty in any::<bool>(),
    ) {
        let mut request = json!({"model": "a/b", "stream": stream, "messages": [{"role": "user", "content": "é\n"}]});
        for (name, value) in &members {
            request[name] = match name.as_str() {
                "provider" | "usage" => json!({}),
                "user" | "session_id" | "stop" => json!(value.to_string()),
                "transforms" => json!([]),
                _ => json!(value),
            };
        }
        let text = if pretty { format!("{request:#}") } else { request.to_string() };
        let body: Value = serde_json::from_str(&openai().body(&text).unwrap()).unwrap();
        let mut expected = request;
        expected["model"] = json!("theirs");
        for gone in ["provider", "usage", "session_id", "transforms"] {
            expected.as_object_mut().unwrap().remove(gone);
        }
        if stream {
            expected["stream_options"] = json!({"include_usage": true});
        }
        prop_assert_eq!(body, expected);
    }
}
