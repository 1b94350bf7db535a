//! What a refusal says, and what it says nothing of.

use super::*;

fn refused(whys: &[Exclude]) -> Value {
    let excluded: Vec<Exclusion> = whys
        .iter()
        .enumerate()
        .map(|(at, why)| Exclusion {
            endpoint: format!("a/b@p{at}").as_str().into(),
            why: *why,
        })
        .collect();
    let mut demand = Demand {
        model: "a/b".to_owned(),
        fallback_models: vec!["a/c".to_owned()],
        ..Demand::default()
    };
    demand.preferences.only = vec!["q".to_owned()];
    no_plan(&Refusal::NoEndpoints { excluded }, &demand).error_object()
}

#[test]
fn refusals_say_what_excluded_whom_in_known_words() {
    let check = |whys: &[Exclude], status: u16, code: &str, text: &str, words: Value| {
        let error = refused(whys);
        assert_eq!(error["code"], status, "{whys:?}");
        let availability = &error["availability"];
        assert_eq!(availability["code"], code, "{whys:?}");
        assert_eq!(availability["retryable"], false);
        assert_eq!(availability["requested_models"], json!(["a/b", "a/c"]));
        assert_eq!(
            availability.get("excluded_by").unwrap_or(&Value::Null),
            &words
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(text), "{message}");
    };
    use Exclude as E;
    let nothing = Value::Null;
    check(
        &[],
        404,
        "no_endpoints",
        "No endpoints found for a/b",
        nothing.clone(),
    );
    let privacy = "No endpoints found matching your data policy";
    let words = json!(["data_policy:training", "data_policy:zdr"]);
    check(
        &[E::Training, E::Zdr],
        404,
        "privacy_restricted",
        privacy,
        words,
    );
    let tools = "No endpoints found that support tool use";
    check(
        &[E::Tools, E::Tools],
        404,
        "constraint_filtered",
        tools,
        nothing,
    );
    let only = "Providers serving a/b: p0, p1, but your request's provider.only preference permits only: q.";
    let words = json!(["allowed_providers"]);
    check(&[E::Only, E::Only], 404, "constraint_filtered", only, words);
    let mixed = "excluded by max_price (2), quantization (1)";
    let words = json!(["max_price", "quantization"]);
    let whys = [E::MaxPrice, E::Quantization, E::MaxPrice];
    check(&whys, 404, "constraint_filtered", mixed, words);
    let words = json!(["data_region"]);
    check(&[E::DataRegion], 403, "region_restricted", "region", words);
}

#[test]
fn one_constraint_is_named() {
    let error = refused(&[Exclude::MaxPrice, Exclude::MaxPrice]);
    let constraint = &error["availability"]["constraint"];
    assert_eq!(constraint["field"], "provider.max_price");
    let error = refused(&[Exclude::MaxPrice, Exclude::Quantization]);
    assert_eq!(error["availability"].get("constraint"), None);
    assert_eq!(
        error["metadata"]["hint"],
        "to have an endpoint left, change provider.max_price or provider.quantizations"
    );
}

#[test]
fn what_could_not_be_had_anyway_hides_nothing() {
    use Exclude as E;
    let check = |whys: &[Exclude], code: &str, text: &str, field: Value| {
        let error = refused(whys);
        let availability = &error["availability"];
        assert_eq!(availability["code"], code, "{whys:?}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(text), "{message}");
        let named = availability.pointer("/constraint/field");
        assert_eq!(named.unwrap_or(&Value::Null), &field, "{whys:?}");
        let listed = error["metadata"]["excluded"].as_array().unwrap();
        assert_eq!(listed.len(), whys.len());
    };
    let privacy = "No endpoints found matching your data policy";
    let whys = [E::NotServed, E::Zdr, E::ServiceTier, E::Disabled];
    check(&whys, "privacy_restricted", privacy, Value::Null);
    let only = "Providers serving a/b: p1, p2, but";
    let whys = [E::NotServed, E::Only, E::Only];
    check(&whys, "constraint_filtered", only, json!("provider.only"));
    let price = "excluded by max_price (1)";
    let whys = [E::MaxPrice, E::ServiceTier];
    check(
        &whys,
        "constraint_filtered",
        price,
        json!("provider.max_price"),
    );
    let tier = "excluded by service_tier (1)";
    let whys = [E::NotServed, E::ServiceTier];
    check(&whys, "constraint_filtered", tier, json!("service_tier"));
    let whys = [E::NotServed, E::NotServed];
    check(&whys, "no_endpoints", "no credential", Value::Null);
    let whys = [E::NotServed, E::Disabled];
    check(&whys, "no_endpoints", "out of service", Value::Null);
    let hint = &refused(&[E::Zdr, E::NotServed])["metadata"]["hint"];
    assert!(!hint.as_str().unwrap().contains("credential"), "{hint}");
}

#[test]
fn providers_are_named_with_the_model_that_they_serve() {
    let excluded = |endpoint: &str, why| Exclusion {
        endpoint: endpoint.into(),
        why,
    };
    let mut demand = Demand {
        model: "a/b:nitro".to_owned(),
        fallback_models: vec!["a/c".to_owned()],
        ..Demand::default()
    };
    demand.preferences.only = vec!["q".to_owned()];
    let all = vec![
        excluded("a/b@p", Exclude::Only),
        excluded("a/b@o", Exclude::Only),
        excluded("a/c@r", Exclude::Only),
    ];
    let refusal = Refusal::NoEndpoints { excluded: all };
    let message = no_plan(&refusal, &demand).message;
    let serving = "Providers serving a/b: p, o; serving a/c: r, but your request's";
    assert!(message.contains(serving), "{message}");
    // What stands for no model is not what has no endpoints.
    demand.model = "a/nothing".to_owned();
    let all = vec![excluded("a/c@r", Exclude::MaxPrice)];
    let refusal = Refusal::NoEndpoints { excluded: all };
    let message = no_plan(&refusal, &demand).message;
    assert!(
        message.starts_with("No endpoints found for a/c: "),
        "{message}"
    );
}

#[test]
fn what_the_key_forbids_is_not_the_requests_to_change() {
    let hint = |whys: &[Exclude]| refused(whys)["metadata"]["hint"].clone();
    let whose = "the key's guardrails or its organisation's settings exclude what there is; who set \
                 them can change that";
    assert_eq!(
        hint(&[Exclude::AllowedModels, Exclude::AllowedModels]),
        whose
    );
    assert_eq!(
        hint(&[Exclude::Zdr]),
        whose,
        "the request has not asked for it"
    );
    let either = "to have an endpoint left, change provider.max_price";
    assert_eq!(
        hint(&[Exclude::AllowedProviders, Exclude::MaxPrice]),
        either
    );
    assert_eq!(
        hint(&[Exclude::MaxPrice]),
        Value::Null,
        "the constraint says it"
    );
    let error = refused(&[Exclude::DataRegion]);
    let message = error["message"].as_str().unwrap();
    assert!(
        message.ends_with("in a region that the key's guardrails allow"),
        "{message}"
    );
}
