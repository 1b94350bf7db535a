//! What combinations promise.

use super::*;
use crate::id::Version;
use crate::snapshot::Snapshot;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

fn list(words: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<String>>> {
    let some = subsequence(words, 1..words.len());
    proptest::option::of(some.prop_map(|all| all.into_iter().map(str::to_owned).collect()))
}

const MODELS: &[&str] = &["a/x", "a/y", "b/x", "openai/z", "x-ai/q"];
const PROVIDERS: &[&str] = &["p", "p/eu", "p/us", "q", "q/turbo", "r"];

prop_compose! {
    fn guardrail()(
        allowed_models in list(MODELS),
        ignored_models in list(MODELS),
        allowed_providers in list(PROVIDERS),
        ignored_providers in list(PROVIDERS),
        flags in proptest::collection::vec(proptest::option::of(any::<bool>()), 6),
        regions in proptest::option::of(subsequence(vec![Place::Global, Place::Europe, Place::Us], 1..3)),
        filters in proptest::collection::vec(
            (select(vec!["foo", "ba+r"]), select(vec![Action::Flag, Action::Redact, Action::Block]),
             select(vec!["L1", "L2"])), 0..3),
        builtins in proptest::collection::vec(
            (select(Builtin::ALL.to_vec()), select(vec![Action::Flag, Action::Redact, Action::Block])), 0..3),
        limit in proptest::option::of(1_i128..1000),
    ) -> Guardrail {
        let flag = |at: usize| flags.get(at).copied().flatten();
        let own = filters.into_iter().map(|(pattern, action, label)| ContentFilter {
            pattern: pattern.to_owned(), action, label: Some(label.to_owned()),
        });
        let builtin = builtins.into_iter().map(|(slug, action)| BuiltinFilter {
            slug, action, scan_scope: None,
        });
        Guardrail {
            allowed_models, ignored_models, allowed_providers, ignored_providers,
            enforce_zdr_openai: flag(0),
            enforce_zdr_other: flag(1),
            enforce_zdr: flag(2),
            enable_paid_model_training: flag(3),
            enable_free_model_training: flag(4),
            enable_free_model_publication: flag(5),
            allowed_data_regions: regions,
            content_filters: Some(own.collect()),
            content_filter_builtins: Some(builtin.collect()),
            limit_usd: limit.map(|cents| Amount(cents * Amount::USD.0 / 100)),
            ..Guardrail::default()
        }
    }
}

fn rules(all: &[Guardrail]) -> Rules {
    let layers: Vec<Layer<'_>> = all
        .iter()
        .map(|guardrail| Layer {
            id: "g",
            assigned: "key",
            guardrail,
        })
        .collect();
    combine(&layers)
}

/// Everything that a guardrail says of a model at a provider, as the filters read it.
fn permits(rules: &Rules, model: &str, provider: &str) -> bool {
    let listed = |list: &[String]| list.iter().any(|word| covers(word, provider));
    let has = |list: &[ModelId]| list.iter().any(|id| id.as_str() == model);
    rules.allowed_models.as_deref().is_none_or(has)
        && !has(&rules.ignored_models)
        && rules.allowed_providers.as_deref().is_none_or(listed)
        && !listed(&rules.ignored_providers)
}

fn action_of(rules: &Rules, check: &Check) -> Option<Action> {
    let found = rules.filters.iter().find(|it| it.check == *check);
    found.map(|it| it.action)
}

proptest! {
    #[test]
    fn a_combination_permits_what_every_part_permits(one in guardrail(), other in guardrail()) {
        let (a, b) = (rules(std::slice::from_ref(&one)), rules(std::slice::from_ref(&other)));
        let both = rules(&[one, other]);
        for model in MODELS {
            for provider in PROVIDERS {
                let expect = permits(&a, model, provider) && permits(&b, model, provider);
                prop_assert_eq!(permits(&both, model, provider), expect, "{} {}", model, provider);
            }
            prop_assert_eq!(both.zdr.holds_for(model), a.zdr.holds_for(model) || b.zdr.holds_for(model));
        }
        prop_assert_eq!(both.no_paid_training, a.no_paid_training || b.no_paid_training);
        prop_assert_eq!(both.no_free_training, a.no_free_training || b.no_free_training);
        prop_assert_eq!(both.no_free_publication, a.no_free_publication || b.no_free_publication);
        for place in [Place::Europe, Place::Us] {
            let may = |rules: &Rules| rules.regions.as_ref().is_none_or(|all| all.contains(&place));
            prop_assert_eq!(may(&both), may(&a) && may(&b));
        }
        let checks = a.filters.iter().chain(&b.filters).map(|it| &it.check);
        for check in checks {
            let expect = action_of(&a, check).max(action_of(&b, check));
            prop_assert_eq!(action_of(&both, check), expect);
        }
        prop_assert!(both.filters.len() <= a.filters.len() + b.filters.len());
    }

    #[test]
    fn order_does_not_matter(all in proptest::collection::vec(guardrail(), 0..4), by in any::<usize>()) {
        let mut turned = all.clone();
        if !turned.is_empty() {
            let len = turned.len();
            turned.rotate_left(by % len);
            turned.reverse();
        }
        prop_assert_eq!(rules(&all), rules(&turned));
        // Whatever is said twice is said once.
        let first: Vec<Guardrail> = all.iter().take(1).flat_map(|it| [it.clone(), it.clone()]).collect();
        prop_assert_eq!(rules(&first), rules(all.get(..1).unwrap_or_default()));
    }

    #[test]
    fn rules_travel(all in proptest::collection::vec(guardrail(), 0..3)) {
        let rules = rules(&all);
        let text = serde_json::to_string(&rules).unwrap();
        prop_assert_eq!(serde_json::from_str::<Rules>(&text).unwrap(), rules);
        for one in all {
            let text = serde_json::to_string(&one).unwrap();
            prop_assert_eq!(serde_json::from_str::<Guardrail>(&text).unwrap(), one);
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    let check = |json: &str, place: &str| {
        let refused = Guardrail::parse(json).unwrap_err();
        assert!(refused.contains(place), "{json}: {refused}");
    };
    check(r#"{"allowed_modls":[]}"#, "allowed_modls");
    check(r#"{"allowed_models":[]}"#, "allowed_models");
    check(r#"{"allowed_models":["gpt"]}"#, "allowed_models[0]");
    check(
        r#"{"ignored_providers":["a","b c"]}"#,
        "ignored_providers[1]",
    );
    check(r#"{"limit_usd":-1}"#, "limit_usd");
    check(r#"{"reset_interval":"daily"}"#, "reset_interval");
    check(r#"{"reset_interval":"yearly"}"#, "yearly");
    check(
        r#"{"content_filters":[{"pattern":"(?=x)","action":"block"}]}"#,
        "content_filters[0].pattern",
    );
    check(
        r#"{"content_filter_builtins":[{"slug":"email","action":"flag","scan_scope":"all_messages"}]}"#,
        "scan_scope",
    );
    check(
        r#"{"content_filter_builtins":[{"slug":"emails","action":"flag"}]}"#,
        "emails",
    );
    check(r#"{"allowed_data_regions":[]}"#, "allowed_data_regions");
    let good =
        r#"{"limit_usd":0.1,"reset_interval":"monthly","allowed_models":null,"enforce_zdr":true}"#;
    let good = Guardrail::parse(good).unwrap();
    assert_eq!(good.limit_usd.unwrap().to_string(), "0.1");
    assert!(good.zdr().other && good.zdr().holds_for("x-ai/grok"));
}

#[test]
fn a_small_budget_is_kept_and_read_again() {
    for written in ["0.000001", "1e-6", "\"0.000001\""] {
        let text = format!(r#"{{"limit_usd":{written}}}"#);
        let budget = Guardrail::parse(&text).unwrap();
        assert_eq!(budget.limit_usd.unwrap().to_string(), "0.000001");
        let kept = serde_json::to_string(&budget).unwrap();
        assert_eq!(Guardrail::parse(&kept).unwrap(), budget, "{kept}");
    }
    assert!(Guardrail::parse(r#"{"limit_usd":1e40}"#).is_err());
}

#[test]
fn a_budget_keeps_every_digit_however_it_is_written() {
    for (written, expect) in [
        ("1234567.000000000001", "1234567.000000000001"),
        ("\"1234567.000000000001\"", "1234567.000000000001"),
        ("9007199.254740993001", "9007199.254740993001"),
        ("1.5e3", "1500"),
        ("12.3456e2", "1234.56"),
        ("12.3456E-2", "0.123456"),
        ("1234e-12", "0.000000001234"),
        ("\"1e2\"", "100"),
        ("0e0", "0"),
    ] {
        let text = format!(r#"{{"limit_usd":{written}}}"#);
        let budget = Guardrail::parse(&text).unwrap();
        assert_eq!(budget.limit_usd.unwrap().to_string(), expect, "{written}");
        for kept in [
            serde_json::to_string(&budget).unwrap(),
            serde_json::to_value(&budget).unwrap().to_string(),
        ] {
            assert_eq!(Guardrail::parse(&kept).unwrap(), budget, "{kept}");
        }
    }
    for bad in [
        "1e-13",
        "0.0000000000001",
        "1e41",
        "1e999999999999",
        "\"e\"",
        "\"\"",
        "{}",
    ] {
        let text = format!(r#"{{"limit_usd":{bad}}}"#);
        assert!(Guardrail::parse(&text).is_err(), "{bad}");
    }
    let plain = Guardrail::parse(r#"{"limit_usd":0.1}"#).unwrap();
    let kept = serde_json::to_value(&plain).unwrap();
    assert_eq!(kept["limit_usd"], 0.1, "a number where a float keeps it");
}

#[test]
fn names_must_be_the_catalogues() {
    let mut catalog = crate::snapshot::tests::catalog(1, 1, 1);
    let model = std::sync::Arc::make_mut(&mut catalog.models[0]);
    model.canonical_slug = Some("m0/x-2026".to_owned());
    let catalog = Snapshot::from_catalog(Version::default(), &catalog).unwrap();
    let check = |json: &str| {
        let all = Guardrail::parse(json).unwrap();
        all.check_names(&Guardrail::default(), &catalog)
    };
    for good in [
        r#"{"allowed_models":["m0/x"],"ignored_models":["M0/X","m0/x-2026"]}"#,
        r#"{"allowed_providers":["P0"],"ignored_providers":["p0"]}"#,
        "{}",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for (bad, place) in [
        (r#"{"ignored_models":["m0/x","m0/y"]}"#, "ignored_models[1]"),
        (r#"{"allowed_models":["m0/y"]}"#, "allowed_models[0]"),
        (r#"{"allowed_models":["m0/x:nitro"]}"#, "allowed_models[0]"),
        (r#"{"ignored_providers":["p1"]}"#, "ignored_providers[0]"),
        (r#"{"allowed_providers":["p0/eu"]}"#, "allowed_providers[0]"),
    ] {
        let refused = check(bad).unwrap_err();
        assert!(refused.starts_with(place), "{bad}: {refused}");
        // What it had before may stay.
        let all = Guardrail::parse(bad).unwrap();
        assert_eq!(all.check_names(&all, &catalog), Ok(()), "{bad}");
    }
}

#[test]
fn a_tag_is_narrower_than_its_provider() {
    let allow = |words: &[&str]| Guardrail {
        allowed_providers: Some(words.iter().map(|it| (*it).to_owned()).collect()),
        ..Guardrail::default()
    };
    let both = rules(&[
        allow(&["google-vertex", "azure"]),
        allow(&["Google-Vertex/us-east5"]),
    ]);
    assert_eq!(both.allowed_providers.unwrap(), ["google-vertex/us-east5"]);
    let none = rules(&[allow(&["a"]), allow(&["b"])]);
    assert_eq!(none.allowed_providers.unwrap(), Vec::<String>::new());
}

#[test]
fn a_budget_is_each_keys_and_each_members() {
    let budget = |assigned: &str| Budget {
        guardrail: "gr_1".to_owned(),
        assigned: assigned.to_owned(),
        limit: Amount::USD,
        reset: Some(ResetInterval::Weekly),
        include_byok: true,
    };
    let key = KeyHash([1; 32]);
    let ids = |assigned: &str, member: &str| -> Vec<String> {
        let budget = budget(assigned);
        let limits = budget.limits(key, member);
        limits.map(|limit| limit.window(0).to_string()).collect()
    };
    let of_key = format!("guardrail:gr_1/key/{key}:weekly:0");
    let of_member = "guardrail:gr_1/member/usr_1:weekly:0".to_owned();
    assert_eq!(ids("key", "usr_1"), std::slice::from_ref(&of_key));
    assert_eq!(ids("member", "usr_1"), std::slice::from_ref(&of_member));
    assert_eq!(ids("workspace", "usr_1"), [of_key.clone(), of_member]);
    assert_eq!(ids("organization", ""), [of_key]);
    assert!(
        budget("key")
            .limits(key, "")
            .all(|limit| limit.include_byok)
    );
}
