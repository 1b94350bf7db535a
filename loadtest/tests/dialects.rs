//! Every dialect through one `godwit`: the answer that the chat client gets is the simulated
//! model's, the charge is the provider's bill, a failing provider is replaced by one of another
//! dialect, and a stream that breaks off is said to have.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use loadtest::client::Client;
use loadtest::cluster::scene::{CHAT, chat, cost_pico, ordered, streamed, with_tool};
use loadtest::cluster::{CatalogSpec, Heard, Standalone, StandaloneConfig, eventually};
use loadtest::provider::{
    Answer, Config, Dialect, Entry, Kind, Provider, Rule, Running, expected_answer,
};
use serde_json::{Value, json};
use std::time::Duration;

/// One `godwit` with a provider of each dialect.
struct Scene {
    providers: Vec<(Dialect, Running)>,
    godwit: Standalone,
    _spare: Running,
}

async fn provider(dialect: Dialect) -> Running {
    let config = Config {
        dialect: Some(dialect),
        ..Config::default()
    };
    Provider::start(config).await.unwrap()
}

/// The model at this dialect's provider alone. A name of Gemini's newest, which wants its
/// signatures back.
fn alone(dialect: Dialect) -> String {
    match dialect {
        Dialect::Gemini => "test/gemini-3-pro".to_owned(),
        _ => format!("test/{}", dialect.as_str()),
    }
}

/// The model at this dialect's provider and at the next one's.
fn paired(dialect: Dialect) -> String {
    format!("test/{}-or-next", dialect.as_str())
}

/// The other provider of that model: its dialect and its slug. The last dialect's is a second
/// provider of the first dialect, one that never fails.
fn next(dialect: Dialect) -> (Dialect, String) {
    let place = Dialect::ALL.iter().position(|it| *it == dialect).unwrap();
    match Dialect::ALL.get(place + 1) {
        Some(next) => (*next, next.as_str().to_owned()),
        None => (Dialect::ALL[0], SPARE.to_owned()),
    }
}

const SPARE: &str = "spare";

impl Scene {
    async fn start() -> Self {
        let mut providers = Vec::new();
        let mut catalog = CatalogSpec::default();
        for dialect in Dialect::ALL {
            let running = provider(dialect).await;
            catalog = catalog.provider(dialect.as_str(), dialect, &running.base_url());
            providers.push((dialect, running));
        }
        let spare = provider(Dialect::ALL[0]).await;
        catalog = catalog.provider(SPARE, Dialect::ALL[0], &spare.base_url());
        for dialect in Dialect::ALL {
            let both = [dialect.as_str(), &next(dialect).1];
            catalog = catalog
                .model(&alone(dialect), &both[..1])
                .model(&paired(dialect), &both);
        }
        let godwit = StandaloneConfig::new(catalog).start().await.unwrap();
        Self {
            providers,
            godwit,
            _spare: spare,
        }
    }

    /// The last entry of a provider's bill, when nothing is open there.
    async fn billed(&self, provider: &Running) -> Entry {
        let settled = || async {
            let bill = (provider.totals().open == 0).then(|| provider.bill())?;
            bill.requests.last().cloned()
        };
        eventually(Duration::from_secs(5), settled).await.unwrap()
    }
}

/// What the client is to be told, where the dialect can tell it.
fn expected(dialect: Dialect, body: &Value) -> Answer {
    let mut answer = expected_answer(body);
    if dialect == Dialect::Ollama {
        answer.cached_tokens = 0;
    }
    answer
}

async fn ask(client: &Client, body: &Value, streams: bool) -> Heard {
    if streams {
        listen(client, body).await
    } else {
        whole(client, body).await
    }
}

async fn whole(client: &Client, body: &Value) -> Heard {
    let reply = client.post(CHAT, body).await.unwrap();
    assert_eq!(reply.status, 200, "{body}: {}", reply.text());
    let json = reply.json();
    let (choice, message) = (&json["choices"][0], &json["choices"][0]["message"]);
    let list = |name: &str| message[name].as_array().cloned().unwrap_or_default();
    Heard {
        text: message["content"].as_str().unwrap_or("").to_owned(),
        reasoning: message["reasoning"].as_str().unwrap_or("").to_owned(),
        details: list("reasoning_details"),
        calls: list("tool_calls"),
        finish: vec![choice["finish_reason"].as_str().unwrap().to_owned()],
        usage: vec![json["usage"].clone()],
        done: true,
        ..Heard::default()
    }
}

async fn listen(client: &Client, body: &Value) -> Heard {
    let body = streamed(body.clone());
    let mut stream = client.stream(CHAT, &body).await.unwrap();
    if stream.status != 200 {
        let status = stream.status;
        let said = stream.bytes().await.unwrap();
        panic!("{body}: {status} {}", String::from_utf8_lossy(&said));
    }
    let (events, end) = stream.rest().await;
    end.unwrap();
    let heard = Heard::of(&events);
    assert!(heard.odd.is_empty(), "{heard:?}");
    heard
}

fn assert_usage(dialect: Dialect, heard: &Heard, answer: &Answer) {
    let [usage] = heard.usage.as_slice() else {
        panic!("{dialect:?}: {heard:?}");
    };
    let count = |at: &str| usage.pointer(at).and_then(Value::as_u64).unwrap_or(0);
    let read = answer.input_tokens + dialect.template_tokens();
    assert_eq!(count("/prompt_tokens"), read, "{dialect:?}: {usage}");
    let written = answer.output_tokens();
    assert_eq!(count("/completion_tokens"), written, "{dialect:?}: {usage}");
    let cached = count("/prompt_tokens_details/cached_tokens");
    let from_cache = match answer.cached_tokens {
        0 => 0,
        tokens => tokens + dialect.template_tokens(),
    };
    assert_eq!(cached, from_cache, "{dialect:?}: {usage}");
    let tells = !matches!(
        dialect,
        Dialect::BedrockConverse | Dialect::MistralChat | Dialect::Ollama
    );
    if tells {
        let reasoning = count("/completion_tokens_details/reasoning_tokens");
        assert_eq!(reasoning, answer.reasoning_tokens(), "{dialect:?}: {usage}");
    }
}

/// The charge is what the provider would invoice.
fn assert_charge(dialect: Dialect, heard: &Heard, entry: &Entry, answer: &Answer) {
    assert!(entry.completed, "{dialect:?}: {entry:?}");
    let counted = (entry.input_tokens, entry.cached_tokens, entry.output_tokens);
    let wanted = (
        answer.input_tokens,
        answer.cached_tokens,
        answer.output_tokens(),
    );
    assert_eq!(counted, wanted, "{dialect:?}");
    let cost = heard.usage[0]["cost"].as_f64().unwrap();
    let off = (cost * 1e12).round() - cost_pico(answer) as f64;
    assert!(off.abs() < 0.5, "{dialect:?}: {off} off, {:?}", heard.usage);
}

#[tokio::test]
async fn every_dialect_answers_whole_and_streamed_with_exact_usage_and_charge() {
    let scene = Scene::start().await;
    let client = scene.godwit.client();
    for (dialect, provider) in &scene.providers {
        for text in ["hello", "why #think=7 #cached=3", "#tokens=300 on and on"] {
            let body = chat(&alone(*dialect), text);
            let answer = expected(*dialect, &body);
            for streams in [false, true] {
                let heard = ask(&client, &body, streams).await;
                assert_eq!(heard.text, answer.text(), "{dialect:?}");
                assert_eq!(heard.reasoning, answer.reasoning(), "{dialect:?}");
                assert_eq!(heard.finish.last().unwrap(), "stop", "{dialect:?}");
                assert!(heard.done && heard.error.is_none(), "{heard:?}");
                assert_usage(*dialect, &heard, &answer);
                let entry = scene.billed(provider).await;
                assert_eq!(entry.stream, streams, "{dialect:?}");
                assert_charge(*dialect, &heard, &entry, &answer);
            }
        }
        let mut capped = chat(&alone(*dialect), "#tokens=50 long");
        capped["max_tokens"] = 20.into();
        let answer = expected(*dialect, &capped);
        let heard = listen(&client, &capped).await;
        assert_eq!(heard.text, answer.text(), "{dialect:?}");
        assert_eq!(heard.finish.last().unwrap(), "length", "{dialect:?}");
        assert_usage(*dialect, &heard, &answer);
    }
}

/// The conversation after the calls of `heard` were answered, as a client writes it.
fn followed(body: &Value, heard: &Heard) -> Value {
    let mut body = body.clone();
    let messages = body["messages"].as_array_mut().unwrap();
    let mut turn = json!({"role": "assistant", "content": null, "tool_calls": heard.calls});
    if !heard.details.is_empty() {
        turn["reasoning_details"] = heard.details.clone().into();
    }
    messages.push(turn);
    for call in &heard.calls {
        messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "sunny"}));
    }
    body
}

#[tokio::test]
async fn every_dialect_calls_tools_and_takes_their_results() {
    let scene = Scene::start().await;
    let client = scene.godwit.client();
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    for (dialect, provider) in &scene.providers {
        let body = with_tool(chat(&alone(*dialect), "weather #tools=2 #think=3"));
        let answer = expected(*dialect, &body);
        for streams in [false, true] {
            let heard = ask(&client, &body, streams).await;
            let called = heard.called();
            let wanted = answer.tool_calls();
            assert_eq!(called.len(), wanted.len(), "{dialect:?}: {heard:?}");
            for ((name, arguments), wanted) in called.iter().zip(&wanted) {
                assert_eq!(*name, wanted.name, "{dialect:?}");
                assert_eq!(parse(arguments), parse(&wanted.arguments), "{dialect:?}");
            }
            assert_ne!(heard.calls[0]["id"], heard.calls[1]["id"], "{dialect:?}");
            assert_eq!(heard.reasoning, answer.reasoning(), "{dialect:?}");
            assert_eq!(heard.finish.last().unwrap(), "tool_calls", "{dialect:?}");
            assert_usage(*dialect, &heard, &answer);
            let entry = scene.billed(provider).await;
            assert_charge(*dialect, &heard, &entry, &answer);

            let body = followed(&body, &heard);
            let answer = expected(*dialect, &body);
            let heard = listen(&client, &body).await;
            assert_eq!(heard.text, answer.text(), "{dialect:?}");
            assert_eq!(heard.finish.last().unwrap(), "stop", "{dialect:?}");
            assert_usage(*dialect, &heard, &answer);
        }
        let mut body = with_tool(chat(&alone(*dialect), "weather"));
        if *dialect != Dialect::Ollama {
            body["tool_choice"] = json!({"type": "function", "function": {"name": "get_weather"}});
            let heard = whole(&client, &body).await;
            assert_eq!(heard.called().len(), 1, "{dialect:?}: {heard:?}");
        }
    }
}

/// Each provider fails in its turn, and the next one, which has not yet, must answer.
async fn fails_over(rule: Rule) {
    let scene = Scene::start().await;
    let client = scene.godwit.client();
    for (dialect, provider) in &scene.providers {
        provider.set_faults(vec![rule.clone()]);
        for streams in [true, false] {
            let text = format!("{:?} at {}, {streams}", rule.kind, dialect.as_str());
            let body = chat(&paired(*dialect), &text);
            let (second, slug) = next(*dialect);
            let body = ordered(body, dialect.as_str(), &slug);
            let answer = expected(second, &body);
            let heard = ask(&client, &body, streams).await;
            assert!(heard.done && heard.error.is_none(), "{text}: {heard:?}");
            assert_eq!(heard.text, answer.text(), "{text}");
            assert_usage(second, &heard, &answer);
        }
        let struck = provider.bill().requests;
        let struck = struck.iter().filter(|entry| !entry.fault.is_empty());
        assert!(struck.count() > 0, "{dialect:?} was never tried");
    }
}

#[tokio::test]
async fn a_provider_that_fails_in_its_answer_is_replaced_by_one_of_another_dialect() {
    let mut rule = Rule::new(Kind::ErrorEvent);
    rule.status = 503;
    fails_over(rule).await;
}

#[tokio::test]
async fn a_provider_that_is_busy_is_replaced_by_one_of_another_dialect() {
    let mut rule = Rule::new(Kind::Status);
    rule.status = 429;
    rule.retry_after = Some(1);
    fails_over(rule).await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_in_an_error() {
    let scene = Scene::start().await;
    let client = scene.godwit.client();
    for (dialect, provider) in &scene.providers {
        let kinds = [
            (Kind::Truncate, true),
            (Kind::Truncate, false),
            (Kind::Garbage, true),
            (Kind::ErrorEvent, true),
        ];
        for (kind, clean) in kinds {
            let mut rule = Rule::new(kind);
            rule.after_tokens = 5;
            rule.clean = clean;
            provider.set_faults(vec![rule]);
            let body = chat(&alone(*dialect), "#tokens=60 fly");
            let heard = listen(&client, &body).await;
            let wanted = expected_answer(&body).text();
            let name = format!("{kind:?} at {}: {heard:?}", dialect.as_str());
            assert!(!heard.done, "{name}");
            assert!(heard.error.as_ref().unwrap()["code"].is_number(), "{name}");
            assert_eq!(heard.finish.last().unwrap(), "error", "{name}");
            assert!(!heard.text.is_empty(), "{name}");
            assert!(wanted.starts_with(&heard.text), "{name}");
            assert!(heard.text.len() < wanted.len(), "{name}");
        }
        provider.set_faults(Vec::new());
    }
}
