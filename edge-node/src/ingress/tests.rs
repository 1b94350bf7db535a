use super::*;
use crate::failure::{ErrorType, Fault};
use shared::catalog::{Parameter, Quantization, Tier};
use shared::ranking::Mode;
use shared::routing::Partition;

fn read(body: impl Into<Bytes>) -> Result<Call, Failure> {
    parse(
        Api::Chat,
        Surface::OpenRouter,
        &HeaderMap::new(),
        body.into(),
    )
}

fn with(member: &str) -> Result<Call, Failure> {
    let comma = if member.is_empty() { "" } else { "," };
    read(format!(
        r#"{{"model":"a/b","messages":[{{"role":"user","content":"hi"}}]{comma}{member}}}"#
    ))
}

/// The body is refused, at `param`, in words that hold `text`.
#[track_caller]
fn refused(call: Result<Call, Failure>, param: &str, text: &str) {
    let failure = call.unwrap_err();
    assert_eq!(failure.status, 400);
    assert_eq!(failure.fault, Fault::Caller);
    assert_eq!(failure.error_type, ErrorType::InvalidRequest);
    assert_eq!(
        failure.param.as_deref().unwrap_or(""),
        param,
        "{}",
        failure.message
    );
    assert!(failure.message.contains(text), "{}", failure.message);
}

#[test]
fn what_is_not_an_object_is_refused_with_its_place() {
    refused(read(""), "", "empty");
    refused(read(" \n"), "", "empty");
    refused(read("[1]"), "", "must be a JSON object, not an array");
    refused(read("\"x\""), "", "not a string");
    refused(read("nul"), "", "byte 0");
    refused(read("{\"x\":\n tru}"), "", "line 2, column 2, byte 7");
    refused(read("{\"model\":\"a\0b\"}"), "", "control character");
    refused(read("{\0}"), "", "byte 1");
    refused(
        read(&b"{\"model\":\"\xff\"}"[..]),
        "",
        "not UTF-8 (byte 10)",
    );
    refused(read("{} x"), "", "byte 3");
    refused(read("{\"a\":1,}"), "", "byte 7");
    refused(read("\u{feff}{}"), "", "byte 0");
    refused(
        read("{\"a\":".repeat(200_000)),
        "",
        "nested deeper than 128",
    );
    refused(
        read(format!("{{\"a\":{}", "[".repeat(1 << 20))),
        "",
        "nested deeper than 128",
    );
    refused(
        read("{\"model\":\"a\",\"model\":\"b\"}"),
        "model",
        "more than once",
    );
    refused(
        read("{\"model\":\"a\",\"mod\\u0065l\":\"b\"}"),
        "model",
        "more than once",
    );
}

#[test]
fn the_model_and_the_messages_must_be_there() {
    refused(read("{}"), "model", "missing");
    refused(read(r#"{"model":null,"messages":[]}"#), "messages", "empty");
    refused(read(r#"{"model":"a/b"}"#), "messages", "missing");
    refused(
        read(r#"{"model":"a/b","prompt":"x"}"#),
        "prompt",
        "not available yet",
    );
    refused(
        read(r#"{"model":7}"#),
        "model",
        "must be a string, not a number",
    );
    refused(read(r#"{"model":""}"#), "model", "empty");
    refused(read(r#"{"model":"a\u0000"}"#), "model", "control character");
    refused(
        read(r#"{"model":"a/b","messages":{}}"#),
        "messages",
        "must be an array",
    );
}

#[test]
fn members_that_are_read_have_their_type() {
    for (member, param, text) in [
        (
            r#""stream":"yes""#,
            "stream",
            "must be a boolean, not a string",
        ),
        (
            r#""stream_options":[]"#,
            "stream_options",
            "must be an object",
        ),
        (
            r#""stream_options":{"include_usage":1}"#,
            "stream_options.include_usage",
            "boolean",
        ),
        (r#""max_tokens":-1"#, "max_tokens", "at least 1, not -1"),
        (r#""max_tokens":0"#, "max_tokens", "at least 1"),
        (r#""max_tokens":1e400"#, "max_tokens", "not 1e400"),
        (r#""max_tokens":1.5"#, "max_tokens", "integer"),
        (
            r#""max_tokens":99999999999999999999"#,
            "max_tokens",
            "integer",
        ),
        (r#""max_tokens":"10""#, "max_tokens", "must be a number"),
        (
            r#""max_completion_tokens":[]"#,
            "max_completion_tokens",
            "must be a number",
        ),
        (r#""temperature":"hot""#, "temperature", "must be a number"),
        (r#""temperature":1e400"#, "temperature", "out of range"),
        (r#""n":0"#, "n", "from 1 to 128"),
        (r#""tools":{}"#, "tools", "must be an array"),
        (r#""tools":[1]"#, "tools[0]", "must be an object"),
        (r#""stop":1"#, "stop", "a string or an array"),
        (r#""models":["a/b",1]"#, "models[1]", "must be a string"),
        (r#""provider":[]"#, "provider", "must be an object"),
        (
            r#""reasoning":{"effort":"huge"}"#,
            "reasoning.effort",
            "must be one of",
        ),
        (
            r#""reasoning":{"effort":"low"},"reasoning_effort":"high""#,
            "reasoning_effort",
            "differ",
        ),
    ] {
        refused(with(member), param, text);
    }
}

#[test]
fn messages_are_checked_where_they_are_read() {
    let messages = |inner: &str| read(format!(r#"{{"model":"a/b","messages":[{inner}]}}"#));
    refused(messages("1"), "messages[0]", "must be an object");
    refused(messages("{}"), "messages[0].role", "missing");
    refused(messages(r#"{"role":"king"}"#), "messages[0].role", "one of");
    refused(
        messages(r#"{"role":1}"#),
        "messages[0].role",
        "must be a string",
    );
    refused(
        messages(r#"{"role":"user","role":"system","content":""}"#),
        "messages[0].role",
        "more than once",
    );
    refused(
        messages(r#"{"role":"user"}"#),
        "messages[0].content",
        "missing",
    );
    refused(
        messages(r#"{"role":"user","content":7}"#),
        "messages[0].content",
        "a string or an array",
    );
    refused(
        messages(r#"{"role":"user","content":"a"},{"role":"user","content":[{"text":"x"}]}"#),
        "messages[1].content[0]",
        "no type",
    );
    assert!(messages(r#"{"role":"assistant","content":null,"tool_calls":[]}"#).is_ok());
}

#[test]
fn what_comes_later_is_named() {
    let later = "not available yet";
    for id in ["@preset/x", "a/b@preset/x"] {
        refused(read(format!(r#"{{"model":"{id}"}}"#)), "model", later);
    }
    for (member, param) in [
        (r#""plugins":[{"id":"fusion"}]"#, "plugins"),
        (
            r#""plugins":[{"id":"web","engine":"exa"}]"#,
            "plugins[0].engine",
        ),
        (
            r#""tools":[{"type":"openrouter:web_fetch"}]"#,
            "tools[0].type",
        ),
        (
            r#""tools":[{"type":"function"},{"type":"web_search","engine":"exa"}]"#,
            "tools[1].type",
        ),
        (
            r#""tools":[{"type":"web_search_preview","max_total_results":9}]"#,
            "tools[0].type",
        ),
        (r#""models":["a/b","a/c:online"]"#, "models"),
        (r#""preset":"x""#, "preset"),
    ] {
        refused(with(member), param, later);
    }
    for member in [
        r#""plugins":[]"#,
        r#""plugins":null"#,
        r#""preset":null"#,
        r#""route":"fallback""#,
        r#""transforms":["middle-out"]"#,
        r#""usage":{"include":true}"#,
        r#""anything":{"else":[1]},"anything":2"#,
    ] {
        assert!(with(member).is_ok(), "{member}");
    }
    for id in ["a/b:free", "a/b:thinking", "~a/b-latest"] {
        assert!(
            read(format!(
                r#"{{"model":"{id}","messages":[{{"role":"user","content":""}}]}}"#
            ))
            .is_ok()
        );
    }
}

#[test]
fn a_search_is_asked_for_once_and_of_the_endpoint() {
    let searches = |members: &str| {
        let call = with(members).unwrap();
        let demand = &call.demand;
        let sought = demand.parameters.contains(&Parameter::WebSearchOptions);
        (sought, demand.needs_tools, call.search.map(|it| it.place))
    };
    let place = |place: &str| Some(place.to_owned());
    let tool = r#""tools":[{"type":"web_search"}]"#;
    assert_eq!(searches(tool), (true, false, place("tools[0].type")));
    let both = r#""tools":[{"type":"function"},{"type":"openrouter:web_search"}]"#;
    assert_eq!(searches(both), (true, true, place("tools[1].type")));
    let plugin = r#""plugins":[{"id":"web"}]"#;
    assert_eq!(searches(plugin), (true, false, place("plugins[0]")));
    assert_eq!(searches(r#""seed":1"#), (false, false, None));
    let online = r#"{"model":"a/b:online:nitro","models":["a/c:online"],"messages":[{"role":"user","content":""}]}"#;
    let call = read(online.to_owned()).unwrap();
    assert_eq!(call.demand.model, "a/b:nitro");
    assert_eq!(call.demand.fallback_models, ["a/c"]);
    assert_eq!(call.search.map(|it| it.place), place("model"));
    let twice = format!("{tool},{plugin}");
    refused(with(&twice), "plugins[0]", "twice");
}

#[test]
fn a_call_says_what_routing_and_money_need() {
    let body = r#"{
        "models": ["c/d", "a/b", "c/d"], "model": "a/b",
        "messages": [
            {"role": "system", "content": "12345678"},
            {"role": "user", "content": [
                {"type": "text", "text": "hi"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
            ]}
        ],
        "stream": true, "stream_options": {"include_usage": true},
        "max_tokens": 10, "max_completion_tokens": 20, "n": 2, "temperature": 0.5, "top_p": null,
        "response_format": {"type": "json_schema", "json_schema": {}},
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "reasoning": {"enabled": true, "exclude": true}
    }"#;
    let mut headers = HeaderMap::new();
    headers.insert(EXPLAIN_HEADER, HeaderValue::from_static("1"));
    let call = parse(Api::Chat, Surface::OpenAi, &headers, body.into()).unwrap();
    assert_eq!(call.demand.model, "a/b");
    assert_eq!(call.demand.fallback_models, ["c/d"]);
    assert!(call.stream && call.include_usage && call.explain && call.demand.needs_tools);
    assert_eq!((call.max_tokens, call.n), (Some(20), 2));
    assert_eq!(call.demand.input, [Modality::Text, Modality::Image]);
    assert_eq!(
        call.demand.parameters,
        [
            Parameter::Temperature,
            Parameter::MaxTokens,
            Parameter::MaxCompletionTokens,
            Parameter::ResponseFormat,
            Parameter::StructuredOutputs,
            Parameter::Tools,
            Parameter::Reasoning,
        ]
    );
    assert_eq!(call.reasoning.effort, Some(reasoning::Effort::Medium));
    assert!(call.reasoning.exclude);
    assert!((1000..1100).contains(&call.demand.prompt_tokens));
}

#[test]
fn models_alone_are_enough() {
    let call = read(r#"{"models":["x/y"],"messages":[{"role":"user","content":"a"}]}"#).unwrap();
    assert_eq!(call.demand.model, "x/y");
    assert!(call.demand.fallback_models.is_empty());
    refused(
        with(&format!(r#""models":[{}"a"]"#, r#""b","#.repeat(16))),
        "models",
        "at most 16",
    );
}

#[test]
fn preferences_are_read_strictly() {
    let provider = |inner: &str| with(&format!(r#""provider":{{{inner}}}"#));
    let preferences = provider(
        r#""order":["a","b"],"only":["c"],"ignore":[],"allow_fallbacks":false,
        "require_parameters":true,"data_collection":"deny","zdr":true,"quantizations":["fp8"],
        "sort":{"by":"latency","partition":"model"},"enforce_distillable_text":true,
        "preferred_max_latency":{"p50":1,"p90":0.25},"preferred_min_throughput":50,
        "max_price":{"prompt":"1.5","completion":2e0,"request":0.01,"image":null,"audio":"3"}"#,
    )
    .unwrap()
    .demand
    .preferences;
    assert_eq!(preferences.order, ["a", "b"]);
    assert_eq!(preferences.only, ["c"]);
    assert!(!preferences.allow_fallbacks && preferences.require_parameters);
    assert!(preferences.data_collection_deny && preferences.zdr);
    assert_eq!(
        preferences.quantizations,
        [Quantization::Fp8, Quantization::Mxfp8]
    );
    assert_eq!(preferences.sort, Some(Mode::Latency));
    assert_eq!(preferences.partition, Some(Partition::Model));
    assert!(preferences.distillable && !preferences.exacto);
    let latency = preferences.max_latency;
    assert_eq!((latency.p50, latency.p90), (Some(1000), Some(250)));
    assert_eq!(preferences.min_throughput.p50, Some(500));
    let bounds = preferences.max_price;
    assert_eq!(bounds.prompt.unwrap().to_string(), "0.0000015");
    assert_eq!(bounds.completion.unwrap().to_string(), "0.000002");
    assert_eq!(bounds.request.unwrap().to_string(), "0.01");
    assert_eq!(bounds.image, None);
    assert_eq!(bounds.audio.unwrap().to_string(), "3");
    for (inner, param) in [
        (r#""order":"a""#, "provider.order"),
        (r#""order":[1]"#, "provider.order[0]"),
        (r#""zdr":"yes""#, "provider.zdr"),
        (r#""data_collection":"maybe""#, "provider.data_collection"),
        (r#""data_colection":"deny""#, "provider.data_colection"),
        (r#""quantizations":["fp7"]"#, "provider.quantizations"),
        (r#""sort":"cheap""#, "provider.sort"),
        (r#""sort":{"partition":"all"}"#, "provider.sort.partition"),
        (
            r#""preferred_max_latency":-1"#,
            "provider.preferred_max_latency",
        ),
        (
            r#""preferred_min_throughput":{"p95":1}"#,
            "provider.preferred_min_throughput.p95",
        ),
        (r#""max_price":{"prompt":-1}"#, "provider.max_price.prompt"),
        (r#""max_price":{"prompt":"x"}"#, "provider.max_price.prompt"),
        (
            r#""max_price":{"prompt":1e400}"#,
            "provider.max_price.prompt",
        ),
        (r#""only":["a"],"only":["b"]"#, "provider.only"),
        (
            r#""max_price":{"prompt":1,"prompt":9}"#,
            "provider.max_price.prompt",
        ),
        (
            r#""sort":{"by":"price","by":"latency"}"#,
            "provider.sort.by",
        ),
        (
            r#""preferred_max_latency":{"p50":1,"p50":2}"#,
            "provider.preferred_max_latency.p50",
        ),
    ] {
        refused(provider(inner), param, "");
    }
}

#[test]
fn sorts_routes_tiers_and_sessions_are_read() {
    let preferences = |member: &str| with(member).unwrap().demand.preferences;
    let exacto = preferences(r#""provider":{"sort":"exacto"}"#);
    assert!(exacto.exacto && exacto.sort.is_none());
    let across = r#""provider":{"sort":{"by":"price","partition":"none"}}"#;
    assert_eq!(preferences(across).partition, Some(Partition::None));
    let routed = preferences(r#""route":"sort","provider":{"sort":"price"}"#);
    assert_eq!(routed.partition, Some(Partition::None));
    let both = r#""route":"sort","provider":{"sort":{"by":"price","partition":"model"}}"#;
    assert_eq!(preferences(both).partition, Some(Partition::Model));
    refused(with(r#""route":"straight""#), "route", "must be one of");
    let tier = |word: &str| {
        let call = with(&format!(r#""service_tier":"{word}""#)).unwrap();
        (call.urgency.asked, call.demand.tier)
    };
    assert_eq!(tier("flex"), (true, Some(Tier::Flex)));
    assert_eq!(tier("fast"), (true, Some(Tier::Priority)));
    assert_eq!(tier("default"), (true, None));
    assert_eq!(tier("on_demand"), (false, None));
    let long = format!(r#""session_id":"{}""#, "x".repeat(257));
    refused(with(&long), "session_id", "longer");
    for id in ["a/b:nitro", "a/b:free:floor", "a/b:exacto"] {
        assert!(
            read(format!(
                r#"{{"model":"{id}","messages":[{{"role":"user","content":"x"}}]}}"#
            ))
            .is_ok()
        );
    }
}

mod requests {
    use super::*;
    use crate::message::{DetailKind, Format, Media, Part, Request, Role};

    fn check(body: &str, look: impl FnOnce(&Request<'_>)) {
        let call = read(body.to_owned()).unwrap();
        look(&request(&call).unwrap());
    }

    #[test]
    fn every_part_has_a_word() {
        let body = r#"{"model":"a/b","messages":[
            {"role":"developer","content":"d","name":"op"},
            {"role":"user","content":[
                {"type":"text","text":"t","cache_control":{"type":"ephemeral"}},
                {"type":"image_url","image_url":{"url":"https://x","detail":"low"}},
                {"type":"input_audio","input_audio":{"data":"QQ==","format":"wav"}},
                {"type":"video_url","video_url":{"url":"https://v"}},
                {"type":"file","file":{"file_id":"f1","filename":"n"}}]},
            {"role":"assistant","content":null,"refusal":"no","audio":{"id":"au"},
                "images":[{"type":"image_url","image_url":{"url":"data:a/b;base64,QQ=="}}]}]}"#;
        check(body, |request| {
            let [developer, user, assistant] = &*request.turns else {
                panic!("{request:?}");
            };
            assert_eq!(developer.role, Role::Developer);
            assert_eq!(developer.name.unwrap().decode(), "op");
            let [text, image, audio, video, file] = &*user.parts else {
                panic!("{user:?}");
            };
            assert_eq!(text.cache(), Some(r#"{"type":"ephemeral"}"#));
            assert!(matches!(image, Part::Image { detail: Some(d), .. } if d.decode() == "low"));
            assert!(matches!(audio, Part::Audio { format, .. } if format.decode() == "wav"));
            assert!(matches!(video, Part::Video { .. }));
            let Part::File { source, .. } = file else {
                panic!("{file:?}");
            };
            assert_eq!(source.resolve(), Media::Id("f1".into()));
            let refused =
                matches!(assistant.parts[0], Part::Refusal(said) if said.decode() == "no");
            assert!(refused, "{assistant:?}");
            assert!(matches!(assistant.parts[1], Part::Spoken(_)));
            assert!(matches!(assistant.parts[2], Part::Image { .. }));
            assert_eq!(user.place.to_string(), "messages[1]");
        });
    }

    #[test]
    fn parameters_come_as_written() {
        let body = r#"{"model":"a/b","messages":[{"role":"user","content":"x"}],
            "temperature":1.50,"seed":12345678901234567890,"logit_bias":{"1": 2},"top_k":null,
            "metadata":{"a":"b"},"prompt_cache_key":"k","modalities":["text","image"],
            "max_tokens":9,"reasoning_effort":"low","stop":["a","b"],"stream":true,
            "response_format":{"type":"json_schema","json_schema":
                {"name":"n","description":"d","strict":true,"schema":{"type":"object"}}},
            "tools":[{"type":"function","function":{"name":"f","strict":false}}]}"#;
        check(body, |request| {
            let of = |parameter| request.parameter(parameter);
            assert_eq!(of(Parameter::Temperature), Some("1.50"));
            assert_eq!(of(Parameter::Seed), Some("12345678901234567890"));
            assert_eq!(of(Parameter::LogitBias), Some(r#"{"1": 2}"#));
            assert_eq!(of(Parameter::TopK), None);
            assert_eq!(request.metadata, Some(r#"{"a":"b"}"#));
            assert_eq!(request.modalities, Some(r#"["text","image"]"#));
            assert_eq!(request.prompt_cache_key.unwrap().decode(), "k");
            assert_eq!(
                (request.max_tokens, request.n, request.stream),
                (Some(9), 1, true)
            );
            assert_eq!(request.stop.len(), 2);
            let Some(Format::JsonSchema(form)) = request.format else {
                panic!("{:?}", request.format);
            };
            assert_eq!(form.name.unwrap().decode(), "n");
            assert_eq!(
                (form.strict, form.schema),
                (Some(true), r#"{"type":"object"}"#)
            );
            assert_eq!(request.tools[0].strict, Some(false));
        });
        let wrong =
            read(r#"{"model":"a/b","messages":[{"role":"user","content":"x"}],"metadata":7}"#);
        let failure = request(&wrong.unwrap()).unwrap_err();
        assert_eq!(failure.param.as_deref(), Some("metadata"));
    }

    #[test]
    fn details_of_reasoning_keep_kind_id_form_and_signature() {
        let body = r#"{"model":"a/b","messages":[{"role":"assistant","content":"t","reasoning":"ab","reasoning_details":[
            {"type":"reasoning.text","text":"a","format":"f","index":0},
            {"type":"reasoning.text","text":"b","signature":"s","format":"f","index":0},
            {"type":"reasoning.summary","summary":"c","id":"rs","format":"g","index":1},
            {"type":"reasoning.encrypted","data":"d","id":"rs","format":"g","index":1},
            {"type":"reasoning.encrypted","data":"e","id":"call","format":"g","index":1}]},
            {"role":"assistant","content":"t","reasoning_content":"plain"}]}"#;
        check(body, |request| {
            let thoughts = |turn: usize| {
                let parts = request.turns[turn].parts.iter();
                let own = parts.filter_map(|part| match part {
                    Part::Reasoning(own) => Some(own.clone()),
                    _ => None,
                });
                own.collect::<Vec<_>>()
            };
            let seen = thoughts(0);
            let told: Vec<_> = seen
                .iter()
                .map(|own| {
                    let text: String = own.texts.iter().map(|text| text.decode()).collect();
                    let id = own.id.map(|id| id.decode().into_owned());
                    (own.kind, text, own.signature.is_some(), id)
                })
                .collect();
            let (rs, call) = (Some("rs".to_owned()), Some("call".to_owned()));
            assert_eq!(
                told,
                [
                    (DetailKind::Text, "ab".to_owned(), true, None),
                    (DetailKind::Summary, "c".to_owned(), false, rs.clone()),
                    (DetailKind::Encrypted, "d".to_owned(), false, rs),
                    (DetailKind::Encrypted, "e".to_owned(), false, call),
                ]
            );
            assert!(seen[0].is_of("f") && !seen[0].is_of("g"));
            assert_eq!(thoughts(1).len(), 1);
        });
    }
}
