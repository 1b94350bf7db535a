use crate::failure::Failure;
use crate::ingress::reasoning::Effort;
use crate::ingress::{Api, Call, Surface, parse, request};
use crate::message::{Format, Json, Part, Role, ToolChoice};
use http::HeaderMap;
use shared::catalog::{Modality, Parameter, Tier};

fn read(body: &str) -> Result<Call, Failure> {
    let body = body.to_owned().into();
    parse(Api::Messages, Surface::OpenAi, &HeaderMap::new(), body)
}

fn with(member: &str) -> Result<Call, Failure> {
    read(&format!(
        r#"{{"model":"a/b","max_tokens":9,"messages":[{{"role":"user","content":"hi"}}],{member}}}"#
    ))
}

#[track_caller]
fn refused(call: Result<Call, Failure>, param: &str, text: &str) {
    let failure = call.unwrap_err();
    assert_eq!(failure.status, 400, "{}", failure.message);
    let found = failure.param.as_deref().unwrap_or("");
    assert_eq!(found, param, "{}", failure.message);
    assert!(failure.message.contains(text), "{}", failure.message);
}

#[test]
fn what_is_wrong_is_told_by_its_place() {
    let message = |message: &str| read(&format!(r#"{{"model":"a/b","messages":[{message}]}}"#));
    refused(message(""), "messages", "empty");
    refused(message("7"), "messages[0]", "an object");
    refused(
        message(r#"{"content":"x"}"#),
        "messages[0].role",
        "one of user",
    );
    refused(
        message(r#"{"role":"tool","content":"x"}"#),
        "messages[0].role",
        "one of user",
    );
    refused(
        message(r#"{"role":"user"}"#),
        "messages[0].content",
        "missing",
    );
    let twice = r#"{"role":"user","content":"x","content":"y"}"#;
    refused(message(twice), "messages[0].content", "more than once");
    let untyped = r#"{"role":"user","content":[{"text":"x"}]}"#;
    refused(message(untyped), "messages[0].content[0]", "no type");
    refused(read(r#"{"model":"a/b"}"#), "messages", "missing");
    refused(with(r#""max_tokens":1"#), "max_tokens", "more than once");
    refused(with(r#""system":7"#), "system", "must be");
    refused(
        with(r#""thinking":{"type":"deep"}"#),
        "thinking.type",
        "one of",
    );
    refused(
        with(r#""thinking":{"type":"enabled"}"#),
        "thinking.budget_tokens",
        "missing",
    );
    refused(with(r#""speed":"slow""#), "speed", "must be one of");
    refused(
        with(r#""inference_geo":"us""#),
        "inference_geo",
        "not available",
    );
    for urgent in [r#""speed":"fast""#, r#""service_tier":"priority""#] {
        let call = with(urgent).unwrap();
        assert_eq!(call.demand.tier, Some(Tier::Priority), "{urgent}");
    }
    refused(
        with(r#""fallbacks":[{"model":"a/c"}],"models":["c/d"]"#),
        "models",
        "together",
    );
    refused(
        with(r#""models":["c/d"],"fallbacks":[]"#),
        "fallbacks",
        "together",
    );
    let four = r#"{"model":"a/c"},{"model":"a/d"},{"model":"a/e"},{"model":"a/f"}"#;
    refused(
        with(&format!(r#""fallbacks":[{four}]"#)),
        "fallbacks",
        "at most 3",
    );
}

#[test]
fn the_peek_knows_what_routing_needs() {
    let call = read(
        r#"{"model":"a/b","max_tokens":99,"stream":true,"fallbacks":[{"model":"c/d"}],
        "system":[{"type":"text","text":"be kind"}],"temperature":0.5,"stop_sequences":["x"],
        "tools":[{"name":"f","input_schema":{"type":"object"}},{"type":"web_search_20250305","name":"web_search"}],
        "messages":[{"role":"user","content":[{"type":"text","text":"hi"},
        {"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}},
        {"type":"document","source":{"type":"text","media_type":"text/plain","data":"abcd"}},
        {"type":"tool_result","tool_use_id":"t","content":[{"type":"document","source":{"type":"url","url":"https://x"}}]}]}],
        "thinking":{"type":"enabled","budget_tokens":2000}}"#,
    )
    .unwrap();
    let demand = &call.demand;
    assert_eq!(demand.fallback_models, ["c/d"]);
    assert_eq!(
        demand.input,
        [Modality::Text, Modality::Image, Modality::File]
    );
    assert!(demand.needs_tools && call.stream);
    assert_eq!(
        (call.max_tokens, call.reasoning.max_tokens),
        (Some(99), Some(2000))
    );
    for parameter in [Parameter::Stop, Parameter::Tools, Parameter::Reasoning] {
        assert!(demand.parameters.contains(&parameter), "{parameter:?}");
    }
    let effort = |members: &str| with(members).unwrap().reasoning.effort;
    assert_eq!(
        effort(r#""output_config":{"effort":"low"}"#),
        Some(Effort::Low)
    );
    assert_eq!(
        effort(r#""thinking":{"type":"adaptive"}"#),
        Some(Effort::Medium)
    );
    assert_eq!(
        effort(r#""thinking":{"type":"disabled"}"#),
        Some(Effort::None)
    );
    let hidden = with(r#""thinking":{"type":"adaptive","display":"omitted"}"#).unwrap();
    assert!(hidden.reasoning.exclude);
}

#[test]
fn a_tool_loop_is_read_in_full() {
    let call = read(
        r#"{"model":"a/b","max_tokens":9,"system":"be kind","metadata":{"user_id":"u"},
        "tools":[{"name":"f","description":"d","input_schema":{"type":"object"},"strict":true}],
        "tool_choice":{"type":"any","disable_parallel_tool_use":true},
        "output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}},
        "messages":[{"role":"user","content":"go"},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"Sig="},
        {"type":"redacted_thinking","data":"Data="},{"type":"text","text":"ok"},
        {"type":"tool_use","id":"t1","name":"f","input":{"a":1.0}},
        {"type":"tool_use","id":"t2","name":"f","input":{}}]},
        {"role":"user","content":[{"type":"text","text":"there"},
        {"type":"tool_result","tool_use_id":"t1","content":"one","cache_control":{"type":"ephemeral"}},
        {"type":"tool_result","tool_use_id":"t2","is_error":true,
        "content":[{"type":"image","source":{"type":"url","url":"https://x"}}]}]}]}"#,
    )
    .unwrap();
    let request = request(&call).unwrap();
    let roles: Vec<Role> = request.turns.iter().map(|turn| turn.role).collect();
    let all = [
        Role::System,
        Role::User,
        Role::Assistant,
        Role::Tool,
        Role::Tool,
        Role::User,
    ];
    assert_eq!(roles, all);
    let said = &request.turns[2].parts;
    let Part::Reasoning(signed) = &said[0] else {
        panic!("{said:?}");
    };
    assert_eq!(signed.signature.unwrap().inner(), "Sig=");
    assert!(signed.is_of("anthropic") && !signed.is_of("google"));
    assert!(matches!(&said[1], Part::Reasoning(thought) if thought.texts[0].inner() == "Data="));
    assert!(matches!(
        &said[3],
        Part::Call {
            arguments: Json::Plain(r#"{"a":1.0}"#),
            ..
        }
    ));
    let (one, two) = (&request.turns[3], &request.turns[4]);
    assert!(one.cache.is_some() && !one.is_error && two.is_error);
    assert!(matches!(two.parts[0], Part::Image { .. }));
    assert!(matches!(request.tool_choice, Some(ToolChoice::Required)));
    assert_eq!(request.parallel_tool_calls, Some(false));
    assert!(matches!(request.format, Some(Format::JsonSchema(_))));
    assert_eq!(request.user.unwrap().inner(), "u");
    assert_eq!(request.tools[0].strict, Some(true));
}

#[test]
fn what_only_anthropic_can_say_is_refused_by_its_place() {
    let check = |member: &str, param: &str| {
        let call = with(member).unwrap();
        let failure = request(&call).unwrap_err();
        assert_eq!(failure.param.as_deref(), Some(param), "{}", failure.message);
        assert_eq!(failure.retry, crate::failure::Retry::OtherEndpoint);
    };
    check(r#""container":"c""#, "container");
    check(r#""mcp_servers":[{"url":"https://x"}]"#, "mcp_servers");
    assert!(request(&with(r#""mcp_servers":[],"context_management":{}"#).unwrap()).is_ok());
    let block = |block: &str, param: &str| {
        let body =
            format!(r#"{{"model":"a/b","messages":[{{"role":"user","content":[{block}]}}]}}"#);
        let call = read(&body).unwrap();
        let failure = request(&call).unwrap_err();
        assert_eq!(failure.param.as_deref(), Some(param), "{}", failure.message);
    };
    let cited = r#"{"type":"document","source":{"type":"file","file_id":"f"},"citations":{"enabled":true}}"#;
    block(cited, "messages[0].content[0].citations");
}

#[test]
fn sealed_thoughts_belong_to_their_maker_again() {
    let sealed = r#"gw1:{\"kind\":\"reasoning.encrypted\",\"format\":\"google-gemini-v1\",\"id\":\"c1\",\"data\":\"QQ==\"}"#;
    let body = format!(
        r#"{{"model":"a/b","messages":[{{"role":"assistant","content":[
        {{"type":"redacted_thinking","data":"{sealed}"}},
        {{"type":"thinking","thinking":"plain","signature":""}}]}}]}}"#
    );
    let call = read(&body).unwrap();
    assert_eq!(call.sealed.len(), 2);
    let request = request(&call).unwrap();
    let [Part::Reasoning(one), Part::Reasoning(two)] = &request.turns[0].parts[..] else {
        panic!("{request:?}");
    };
    assert!(one.is_of("google") && !one.is_of("anthropic"));
    assert_eq!(one.id.unwrap().inner(), "c1");
    assert_eq!(one.texts[0].inner(), "QQ==");
    assert!(two.format.is_none() && two.signature.is_none());
    assert_eq!(two.texts[0].inner(), "plain");
}
