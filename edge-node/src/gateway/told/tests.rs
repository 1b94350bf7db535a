//! What is told of a request's routing.

use super::*;
use http::{HeaderName, HeaderValue};
use shared::id::EndpointId;

#[test]
fn both_names_and_any_case_ask_for_metadata() {
    let check = |name: &'static str, value: &'static str, expect: bool| {
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        assert_eq!(asks_for_metadata(&headers), expect, "{name}: {value}");
    };
    check("x-openrouter-metadata", "enabled", true);
    check("x-openrouter-metadata", "Enabled", true);
    check("x-openrouter-experimental-metadata", "enabled", true);
    check("x-openrouter-metadata", "true", false);
    check("x-openrouter", "enabled", false);
}

fn metadata() -> Metadata {
    let offered = |endpoint: &str, model: &str, provider: &str| Offered {
        endpoint: endpoint.into(),
        model: model.into(),
        provider: provider.to_owned(),
        unsupported: match provider {
            "Q" => vec![Parameter::ResponseFormat],
            _ => Vec::new(),
        },
    };
    Metadata {
        requested: "a/b".to_owned(),
        primary: Some("a/b".into()),
        router: None,
        unmet: Vec::new(),
        region: "fra1".to_owned(),
        total: 5,
        available: vec![
            offered("a/b@p", "a/b", "P"),
            offered("a/c@p", "a/c", "P"),
            offered("a/c@q", "a/c", "Q"),
        ],
        guardrails: None,
    }
}

fn failed(model: &str, sent: bool) -> FailedAttempt {
    FailedAttempt {
        endpoint: format!("{model}@p").as_str().into(),
        model: model.into(),
        provider: "P".to_owned(),
        status: 429,
        code: "rate_limit".to_owned(),
        own: model == "a/c",
        sent,
    }
}

/// What is told where that endpoint of that model has served.
fn told(metadata: &Metadata, failed: &[FailedAttempt], served: Option<(&str, &str)>) -> Value {
    let served = served.map(|(endpoint, model)| (EndpointId::from(endpoint), ModelId::from(model)));
    let served = served.as_ref().map(|(endpoint, model)| Served {
        endpoint,
        model,
        provider: "Q",
        own: false,
    });
    metadata.tell(failed, served.as_ref())
}

#[test]
fn attempts_and_the_one_that_served_are_named() {
    let metadata = metadata();
    let both = [failed("a/b", true), failed("a/c", true)];
    let served = Some(("a/c@q", "a/c"));
    let all = told(&metadata, &both, served);
    assert_eq!(all["strategy"], "fallback");
    assert_eq!(all["attempt"], 3);
    assert_eq!(all["summary"], "available=3, selected=Q");
    assert_eq!(all["endpoints"]["total"], 5);
    let available = &all["endpoints"]["available"];
    assert_eq!(available[2]["selected"], true);
    assert_eq!(
        available[2]["unsupported_parameters"],
        json!(["response_format"])
    );
    assert_eq!(available[0].get("unsupported_parameters"), None);
    let models: Vec<_> = all["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["model"])
        .collect();
    assert_eq!(models, ["a/b", "a/c", "a/c"]);
    assert_eq!(all["attempts"][2]["status"], 200);
    let none = told(&metadata, &[], None);
    assert_eq!(
        (&none["attempt"], &none["strategy"]),
        (&json!(0), &json!("direct"))
    );
    let first = told(&metadata, &[], Some(("a/b@p", "a/b")));
    assert_eq!(first["strategy"], "direct");
}

#[test]
fn what_was_not_sent_is_no_attempt() {
    let metadata = metadata();
    let unsent = told(&metadata, &[failed("a/b", false)], None);
    assert_eq!(
        (&unsent["attempt"], &unsent["attempts"]),
        (&json!(0), &json!([]))
    );
    // Who was asked last, with an own key, stands for who has answered.
    let both = [failed("a/b", true), failed("a/c", true)];
    let all = told(&metadata, &both, None);
    assert_eq!(all["attempt"], 2);
    assert_eq!(all["strategy"], "fallback");
    assert_eq!(all["is_byok"], true);
}

#[test]
fn strategies_are_told_of_what_was_asked_for() {
    let check = |change: fn(&mut Metadata), model: &str, strategy: &str| {
        let mut metadata = metadata();
        change(&mut metadata);
        let told = told(&metadata, &[], Some(("e", model)));
        assert_eq!(told["strategy"], strategy, "{told}");
    };
    let auto = |it: &mut Metadata| {
        it.requested = "openrouter/auto:free:nitro".to_owned();
        it.router = Some(("auto", vec!["a/b".into(), "a/c".into()]));
    };
    check(auto, "a/b", "auto");
    check(auto, "a/c", "auto");
    check(auto, "a/d", "fallback");
    check(
        |it| it.router = Some(("free", Vec::new())),
        "a/b",
        "fallback",
    );
    // The first name stands for nothing.
    let unknown = |it: &mut Metadata| {
        it.requested = "a/nothing".to_owned();
        it.primary = None;
        it.unmet = vec![("a/nothing".to_owned(), "model_not_found")];
    };
    check(unknown, "a/c", "fallback");
    let mut metadata = metadata();
    unknown(&mut metadata);
    let told = told(&metadata, &[], Some(("a/c@q", "a/c")));
    let passed = "available=3, selected=Q, passed over a/nothing (model_not_found)";
    assert_eq!(told["summary"], passed);
}

#[test]
fn names_that_stand_for_nothing_are_told() {
    let demand = Demand {
        model: "a/nothing".to_owned(),
        ..Demand::default()
    };
    let unmet = unmet(&demand, &View::default());
    assert_eq!(unmet, [("a/nothing".to_owned(), "model_not_found")]);
    let mut told = json!({});
    add_unmet(&mut told, &unmet);
    let passed = &told["passed_over_models"][0];
    assert_eq!(
        *passed,
        json!({"model": "a/nothing", "reason": "model_not_found"})
    );
}
