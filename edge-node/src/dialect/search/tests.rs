use super::SEARCHES_MAX;
use crate::dialect::fixture::Fixture;
use crate::failure::Retry;
use crate::ingress::Api;
use serde_json::{Value, json};
use shared::catalog::{Dialect, Parameter, Quirk};

const PLACE: &str = r#"{"type":"approximate","city":"Bern","country":"CH"}"#;

/// A chat request that asks for a search in this way.
fn ask(members: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{members}}}"#)
}

fn tools(dialect: Dialect, request: &str) -> Value {
    let body = Fixture::new(dialect).body(request).unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body.get("web_search_options"), None, "{body}");
    assert_eq!(body.get("plugins"), None, "{body}");
    body["tools"].clone()
}

#[track_caller]
fn refused(fixture: &Fixture, request: &str, place: &str) {
    let failure = fixture.body(request).unwrap_err();
    assert_eq!(failure.param.as_deref(), Some(place), "{failure:?}");
    assert_eq!((failure.status, failure.retry), (400, Retry::OtherEndpoint));
}

/// The ways that OpenRouter's API has (its OpenAPI document: `ChatWebSearchShorthand`,
/// `OpenRouterWebSearchServerTool`; the `web` plugin; the suffix `:online`) and OpenAI's options.
#[test]
fn a_search_is_said_in_each_dialects_words() {
    let bare = [
        r#""tools":[{"type":"web_search"}]"#.to_owned(),
        r#""tools":[{"type":"web_search_preview_2025_03_11","engine":"auto"}]"#.to_owned(),
        r#""tools":[{"type":"openrouter:web_search","parameters":{"engine":"native","max_results":9}}]"#.to_owned(),
        r#""plugins":[{"id":"web","max_results":3,"search_prompt":"p"}]"#.to_owned(),
        r#""web_search_options":{}"#.to_owned(),
    ];
    let mut requests: Vec<String> = bare.iter().map(|members| ask(members)).collect();
    requests.push(ask(r#""seed":1"#).replace(r#""m""#, r#""a/m:online""#));
    for request in &requests {
        assert_eq!(
            tools(Dialect::AnthropicMessages, request),
            json!([{"type": "web_search_20250305", "name": "web_search", "max_uses": 10}]),
            "{request}"
        );
        assert_eq!(
            tools(Dialect::Gemini, request),
            json!([{"googleSearch": {}}])
        );
        let responses = tools(Dialect::OpenaiResponses, request);
        assert_eq!(responses, json!([{"type": "web_search"}]), "{request}");
        for dialect in [Dialect::BedrockConverse, Dialect::CohereV2, Dialect::Ollama] {
            let failure = Fixture::new(dialect).body(request).unwrap_err();
            assert_eq!(failure.retry, Retry::OtherEndpoint, "{request}");
        }
    }
}

#[test]
fn what_is_wished_of_it_goes_along_or_is_refused() {
    let request = ask(&format!(
        r#""tools":[{{"type":"web_search","search_context_size":"low","allowed_domains":["a.b"],"user_location":{PLACE}}}]"#
    ));
    let location: Value = serde_json::from_str(PLACE).unwrap();
    assert_eq!(
        tools(Dialect::AnthropicMessages, &request),
        json!([{"type": "web_search_20250305", "name": "web_search", "max_uses": 10,
            "allowed_domains": ["a.b"], "user_location": location}])
    );
    assert_eq!(
        tools(Dialect::OpenaiResponses, &request),
        json!([{"type": "web_search", "search_context_size": "low",
            "filters": {"allowed_domains": ["a.b"]}, "user_location": location}])
    );
    refused(&Fixture::new(Dialect::Gemini), &request, "tools[0].type");
    let without = ask(r#""plugins":[{"id":"web","exclude_domains":["c.d"],"max_uses":2}]"#);
    assert_eq!(
        tools(Dialect::AnthropicMessages, &without),
        json!([{"type": "web_search_20250305", "name": "web_search", "max_uses": 2, "blocked_domains": ["c.d"]}])
    );
    for dialect in [Dialect::Gemini, Dialect::OpenaiResponses] {
        refused(&Fixture::new(dialect), &without, "plugins[0]");
    }
    let without = without.replace(r#","max_uses":2"#, "");
    let excluded = json!([{"googleSearch": {"excludeDomains": ["c.d"]}}]);
    assert_eq!(tools(Dialect::VertexGemini, &without), excluded);
    let options = ask(
        r#""web_search_options":{"search_context_size":"high","user_location":{"type":"approximate","approximate":{"city":"Bern","country":"CH"}}}"#,
    );
    assert_eq!(
        tools(Dialect::OpenaiResponses, &options),
        json!([{"type": "web_search", "search_context_size": "high", "user_location": location}])
    );
    // An endpoint that is known not to search.
    let fixture = Fixture::new(Dialect::AnthropicMessages).supporting(&[Parameter::Tools]);
    refused(&fixture, &options, "web_search_options");
    // Beside functions; Gemini takes either.
    let both =
        ask(r#""tools":[{"type":"function","function":{"name":"f"}},{"type":"web_search"}]"#);
    assert_eq!(
        tools(Dialect::AnthropicMessages, &both)
            .as_array()
            .unwrap()
            .len(),
        2
    );
    refused(&Fixture::new(Dialect::Gemini), &both, "tools");
}

#[test]
fn a_host_of_chat_gets_options_and_one_that_has_responses_a_tool() {
    let searching = Fixture::new(Dialect::OpenaiChat).supporting(&[Parameter::WebSearchOptions]);
    let check = |members: &str, expected: &str| {
        let body = searching.body(&ask(members)).unwrap();
        let messages = r#"{"model":"theirs","messages":[{"role":"user","content":"x"}]"#;
        assert_eq!(body, format!("{messages}{expected}}}"), "{members}");
    };
    check(
        r#""tools": [{"type":"web_search","search_context_size":"low"}], "tool_choice":"auto","x": 1.0"#,
        r#","x": 1.0,"web_search_options":{"search_context_size":"low"}"#,
    );
    check(
        r#""tools":[{"type":"web_search"}, {"type":"function","function":{"name":"f"}}],"tool_choice":"auto""#,
        r#","tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"auto","web_search_options":{}"#,
    );
    check(r#""plugins":[{"id":"web"}]"#, r#","web_search_options":{}"#);
    let own = r#""web_search_options": {"search_context_size" : "low"}"#;
    check(own, &format!(",{own}"));
    let domains = ask(r#""tools":[{"type":"web_search","allowed_domains":["a"]}]"#);
    refused(&searching, &domains, "tools[0].type");
    refused(
        &Fixture::new(Dialect::OpenaiChat),
        &ask(own),
        "web_search_options",
    );

    let has_both = searching.quirks(&[Quirk::ResponsesApi]);
    let body: Value = serde_json::from_str(&has_both.body(&domains).unwrap()).unwrap();
    assert_eq!(
        body["tools"],
        json!([{"type": "web_search", "filters": {"allowed_domains": ["a"]}}])
    );
    assert!(body.get("input").is_some(), "{body}");
    // Models that search by themselves are served through chat alone.
    let mut alone = has_both;
    "gpt-5-search-api".clone_into(&mut alone.endpoint.provider_model);
    assert!(
        alone
            .body(&ask(own))
            .unwrap()
            .contains("web_search_options")
    );
}

/// A tool in one maker's words is a search in another's.
#[test]
fn other_apis_ask_in_their_words() {
    let responses = r#"{"model":"m","input":"x","tools":[{"type":"web_search","filters":{"allowed_domains":["a"]}}]}"#;
    let anthropic = Fixture::new(Dialect::AnthropicMessages).api(Api::Responses);
    let body: Value = serde_json::from_str(&anthropic.body(responses).unwrap()).unwrap();
    assert_eq!(
        body["tools"],
        json!([{"type": "web_search_20250305", "name": "web_search", "max_uses": 10, "allowed_domains": ["a"]}])
    );
    let messages = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],"tools":[{"type":"web_search_20250305","name":"web_search"}]}"#;
    let of = |dialect| {
        let fixture = Fixture::new(dialect).api(Api::Messages);
        let body: Value = serde_json::from_str(&fixture.body(messages).unwrap()).unwrap();
        body["tools"].clone()
    };
    assert_eq!(of(Dialect::Gemini), json!([{"googleSearch": {}}]));
    assert_eq!(
        of(Dialect::OpenaiResponses),
        json!([{"type": "web_search"}])
    );
    // What only its maker can read is not guessed at.
    let own = responses.replace("filters", "external_web_access");
    refused(&anthropic, &own, "tools[0].type");
    // A plugin beside a request that would pass.
    let plugin = r#"{"model":"m","input":"x","plugins":[{"id":"web"}]}"#;
    let fixture = Fixture::new(Dialect::OpenaiResponses).api(Api::Responses);
    let body: Value = serde_json::from_str(&fixture.body(plugin).unwrap()).unwrap();
    assert_eq!(body["tools"], json!([{"type": "web_search"}]));
}

const CHOICE: &str = r#""tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"MODE","tools":[{"type":"function","function":{"name":"g"}}]}}"#;

#[test]
fn only_the_functions_that_are_allowed_can_be_called() {
    let declared = r#""tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}]"#;
    let request = |mode: &str| ask(&format!("{},{declared}", CHOICE.replace("MODE", mode)));
    let sent = |dialect, mode| -> Value {
        let body = Fixture::new(dialect).body(&request(mode)).unwrap();
        serde_json::from_str(&body).unwrap()
    };
    let anthropic = sent(Dialect::AnthropicMessages, "auto");
    assert_eq!(anthropic["tools"].as_array().unwrap().len(), 1);
    assert_eq!(anthropic["tools"][0]["name"], "g");
    assert_eq!(anthropic["tool_choice"], json!({"type": "auto"}));
    let must = sent(Dialect::AnthropicMessages, "required");
    assert_eq!(must["tool_choice"], json!({"type": "any"}));
    for dialect in [
        Dialect::CohereV2,
        Dialect::MistralChat,
        Dialect::BedrockConverse,
    ] {
        let body = sent(dialect, "required").to_string();
        assert!(body.contains("\"g\"") && !body.contains("\"f\""), "{body}");
    }
    // Gemini can name them where one must be called.
    let gemini = sent(Dialect::Gemini, "required");
    let functions = &gemini["tools"][0]["functionDeclarations"];
    assert_eq!(functions.as_array().unwrap().len(), 2);
    assert_eq!(
        gemini["toolConfig"]["functionCallingConfig"],
        json!({"mode": "ANY", "allowedFunctionNames": ["g"]})
    );
    let gemini = sent(Dialect::Gemini, "auto");
    let functions = &gemini["tools"][0]["functionDeclarations"];
    assert_eq!(functions.as_array().unwrap().len(), 1);
    let responses = sent(Dialect::OpenaiResponses, "auto");
    assert_eq!(responses["tools"].as_array().unwrap().len(), 2);
    let own = json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]});
    assert_eq!(responses["tool_choice"], own);
    let chat = Fixture::new(Dialect::OpenaiChat)
        .body(&request("auto"))
        .unwrap();
    assert!(chat.contains(&CHOICE.replace("MODE", "auto")), "{chat}");

    // Responses says the same one level higher.
    let flat = json!({"model": "m", "input": "x", "tool_choice": own, "tools": [
        {"type": "function", "name": "f"}, {"type": "function", "name": "g"}]});
    let of = |dialect| -> Value {
        let body = Fixture::new(dialect)
            .api(Api::Responses)
            .body(&flat.to_string());
        serde_json::from_str(&body.unwrap()).unwrap()
    };
    assert_eq!(of(Dialect::OpenaiResponses)["tool_choice"], own);
    let chat = of(Dialect::OpenaiChat);
    assert_eq!(chat["tools"].as_array().unwrap().len(), 1);
    assert_eq!(chat["tool_choice"], "auto");

    let unknown = ask(&format!(
        r#"{},"tools":[{{"type":"function","function":{{"name":"f"}}}}]"#,
        CHOICE.replace("MODE", "auto")
    ));
    let place = "tool_choice.allowed_tools.tools[0]";
    refused(&Fixture::new(Dialect::Gemini), &unknown, place);
}

#[test]
fn a_hold_covers_the_searches_that_are_asked_for() {
    let most = |api, body: &str| {
        Fixture::new(Dialect::OpenaiChat)
            .api(api)
            .call(body)
            .searches()
    };
    let chat = |members: &str| most(Api::Chat, &ask(members));
    assert_eq!(chat(r#""seed":1"#), 0);
    assert_eq!(
        chat(r#""tools":[{"type":"function","function":{"name":"web_search"}}]"#),
        0
    );
    assert_eq!(chat(r#""tools":[{"type":"web_search"}]"#), SEARCHES_MAX);
    assert_eq!(chat(r#""web_search_options":{}"#), SEARCHES_MAX);
    assert_eq!(chat(r#""plugins":[{"id":"web","max_uses":2}]"#), 2);
    assert_eq!(chat(r#""tools":[{"googleSearch":{}}]"#), SEARCHES_MAX);
    let messages = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],"tools":[{"type":"web_search_20250305","name":"web_search","max_uses":3,"cache_control":{"type":"ephemeral"}}]}"#;
    assert_eq!(most(Api::Messages, messages), 3);
    let responses =
        r#"{"model":"m","input":"x","tools":[{"type":"web_search","external_web_access":true}]}"#;
    assert_eq!(most(Api::Responses, responses), SEARCHES_MAX);
}
