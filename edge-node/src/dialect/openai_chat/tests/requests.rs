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
fn a_model_that_the_client_names_otherwise_is_written_in() {
    let (turns, theirs) = (
        r#""messages":[{"role":"user","content":"x"}]"#,
        r#""model":"theirs""#,
    );
    check(
        &openai(),
        &format!(r#"{{"models":["a/b"],{turns}}}"#),
        &format!("{{{turns},{theirs}}}"),
    );
    check(
        &openai(),
        &format!(r#"{{"model":null,{turns},"models":["a/b"]}}"#),
        &format!("{{{theirs},{turns}}}"),
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
    let mut one = openai();
    one.endpoint.quirks = vec![Quirk::MaxCompletionTokens];
    check(
        &one,
        r#","max_tokens":90"#,
        r#","max_completion_tokens":90"#,
    );
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
fn thinking_is_asked_for_in_the_endpoints_words() {
    let check = |fixture: &Fixture, asked: &str, sent: &str| {
        let head = r#"{"messages":[{"role":"user","content":"x"}],"model":"#;
        super::requests::check(
            fixture,
            &format!(r#"{head}"a/b"{asked}}}"#),
            &format!(r#"{head}"theirs"{sent}}}"#),
        );
    };
    let none = r#","reasoning_effort":"none""#;
    let high = r#","reasoning":{"effort":"high"}"#;
    let switch = openai().quirks(&[Quirk::ThinkingType]);
    check(&switch, "", "");
    check(&switch, none, r#","thinking":{"type":"disabled"}"#);
    check(&switch, high, r#","thinking":{"type":"enabled"}"#);
    // What the client says in the provider's own words passes.
    let own = r#","thinking":{"type":"enabled"}"#;
    check(&switch, &format!("{own}{none}"), own);
    let mut known = openai().quirks(&[Quirk::ThinkingType]);
    known.endpoint.efforts = vec![EffortWord::High, EffortWord::Max];
    let low = r#","reasoning_effort":"low""#;
    let both = r#","thinking":{"type":"enabled"},"reasoning_effort":"high""#;
    check(&known, low, both);
    check(&known, &format!("{own}{low}"), both);
    let budget = openai().quirks(&[Quirk::EnableThinking, Quirk::ThinkingBudget]);
    check(&budget, none, r#","enable_thinking":false"#);
    check(
        &budget,
        r#","reasoning":{"max_tokens":2000}"#,
        r#","enable_thinking":true,"thinking_budget":2000"#,
    );
    let mut three = openai();
    three.endpoint.efforts = vec![EffortWord::Low, EffortWord::Medium];
    let medium = r#","reasoning_effort":"medium""#;
    check(&three, r#","reasoning_effort":"xhigh""#, medium);
    check(&three, medium, medium);
}

#[test]
fn what_a_provider_cant_do_is_sought_elsewhere() {
    let refused = |quirk: Quirk, asked: &str| {
        let fixture = openai().quirks(&[quirk]);
        let text =
            format!(r#"{{"model":"a/b","messages":[{{"role":"user","content":"x"}}]{asked}}}"#);
        fixture
            .body(&text)
            .err()
            .map(|failure| (failure.retry, failure.param))
    };
    let elsewhere = |param: &str| Some((Retry::OtherEndpoint, Some(param.to_owned())));
    assert_eq!(refused(Quirk::SingleChoice, r#","n":2"#), elsewhere("n"));
    assert_eq!(refused(Quirk::SingleChoice, r#","n":1"#), None);
    let tools = r#","tools":[{"type":"function","function":{"name":"f"}}]"#;
    let required = format!(r#"{tools},"tool_choice":"required""#);
    let auto = format!(r#"{tools},"tool_choice":"auto""#);
    let choice = elsewhere("tool_choice");
    assert_eq!(refused(Quirk::AutoToolChoice, &required), choice);
    assert_eq!(refused(Quirk::AutoToolChoice, &auto), None);
    let thinking = Quirk::AutoToolChoiceThinking;
    let hard = format!(r#"{required},"reasoning_effort":"high""#);
    assert_eq!(refused(thinking, &hard), choice);
    let schema =
        r#","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}"#;
    assert_eq!(
        refused(Quirk::JsonObjectOnly, schema),
        elsewhere("response_format")
    );
    let json = r#","response_format":{"type":"json_object"}"#;
    assert_eq!(refused(Quirk::JsonObjectOnly, json), None);
    // Unasked it does not think, where it must call a tool.
    let request =
        format!(r#"{{"model":"a/b","messages":[{{"role":"user","content":"x"}}]{required}}}"#);
    let sent = openai().quirks(&[thinking]).body(&request).unwrap();
    assert!(
        sent.ends_with(r#","thinking":{"type":"disabled"}}"#),
        "{sent}"
    );
}

#[test]
fn streams_of_calls_and_tiers_are_asked_for_as_they_are_known() {
    let tools = r#""tools":[{"type":"function","function":{"name":"f"}}],"stream":true"#;
    let request =
        format!(r#"{{"model":"a/b","messages":[{{"role":"user","content":"x"}}],{tools}}}"#);
    let sent = openai()
        .quirks(&[Quirk::ToolStream])
        .body(&request)
        .unwrap();
    assert!(sent.contains(r#""tool_stream":true"#), "{sent}");
    let request =
        r#"{"model":"a/b","service_tier":"auto","messages":[{"role":"user","content":"x"}]}"#;
    let body = r#"{"model":"theirs","messages":[{"role":"user","content":"x"}]}"#;
    check(&openai().quirks(&[Quirk::NoServiceTier]), request, body);
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

/// Moonshot answers Kimi K2.6 with 400, "thinking is enabled but reasoning_content is missing in
/// assistant tool call message at index 2", for an empty text, too; a space passes.
#[test]
fn a_space_stands_for_reasoning_that_is_lost() {
    let quirks = [Quirk::ReasoningContentBack, Quirk::ReasoningContentFilled];
    let calls = r#""tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]"#;
    let of = |model: &str, message: &str| {
        format!(
            r#"{{"model":"{model}","messages":[{{"role":"assistant",{message}}},{{"role":"user","content":"x"}}]}}"#
        )
    };
    for (message, expected) in [
        (
            calls.to_owned(),
            format!(r#"{calls},"reasoning_content":" ""#),
        ),
        (
            format!(r#""reasoning_content":"",{calls}"#),
            format!(r#"{calls},"reasoning_content":" ""#),
        ),
        (
            format!(r#""reasoning":"","reasoning_content":null,{calls}"#),
            format!(r#""reasoning":"",{calls},"reasoning_content":" ""#),
        ),
        (
            format!(r#""reasoning":"hm",{calls}"#),
            format!(r#""reasoning_content":"hm",{calls}"#),
        ),
    ] {
        let fixture = openai().quirks(&quirks);
        check(&fixture, &of("a/b", &message), &of("theirs", &expected));
    }
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
fn members_that_a_provider_refuses_stay_here() {
    let request = r#"{"model":"a/b","messages":[{"role":"user","name":"u","content":"x"},{"role":"assistant","reasoning":"r","reasoning_details":[{"text":"r"}],"content":"c"}]}"#;
    let body = r#"{"model":"theirs","messages":[{"role":"user","content":"x"},{"role":"assistant","content":"c"}]}"#;
    let none = [Quirk::NoNames, Quirk::NoReasoningBack];
    check(&openai().quirks(&none), request, body);
    let body = r#"{"model":"theirs","messages":[{"role":"user","name":"u","content":"x"},{"role":"assistant","reasoning":"r","content":"c"}]}"#;
    check(&openai().quirks(&[Quirk::ReasoningBack]), request, body);
}

#[test]
fn with_tools_all_that_was_said_has_its_reasoning() {
    let tools = r#""tools":[{"type":"function","function":{"name":"f"}}]"#;
    let of = |model: &str, more: &str| {
        format!(
            r#"{{"model":"{model}","messages":[{{"role":"user","content":"x"}},{{"role":"assistant","content":"c"{more}}},{{"role":"user","content":"y"}}],{tools}}}"#
        )
    };
    let fixture = openai().quirks(&[Quirk::ReasoningContentBack]);
    let expected = of("theirs", r#","reasoning_content":"""#);
    check(&fixture, &of("a/b", ""), &expected);
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
