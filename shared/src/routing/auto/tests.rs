//! A router always becomes models that can do it, whatever is missing.

use super::*;
use crate::catalog::auto::{AutoRow, AutoTable};
use crate::catalog::{Catalog, Modality};
use crate::id::Version;
use crate::key::KeyHash;
use crate::policy::{KeyKind, KeyPolicy};
use crate::prompt::Prompt;
use crate::snapshot::Snapshot;
use crate::snapshot::tests::catalog;
use proptest::prelude::*;
use std::sync::Arc;

fn table() -> AutoTable {
    let row = |task: &str, tier, models: &[usize]| AutoRow {
        task: task.to_owned(),
        tier,
        models: models.iter().map(|at| format!("m{at}/x").into()).collect(),
    };
    AutoTable {
        classifier: prompt::VERSION,
        rows: vec![
            row("code", CostTier::Low, &[1, 2]),
            row("code", CostTier::High, &[3]),
            row("default", CostTier::Low, &[4, 5]),
        ],
    }
}

fn with_table(mut catalog: Catalog, table: Option<AutoTable>) -> View {
    catalog.auto = table.map(Arc::new);
    let snapshot = Snapshot::from_catalog(Version::default(), &catalog).unwrap();
    View::new(Arc::new(snapshot), Arc::default())
}

fn analysis(text: &str) -> Option<Analysis> {
    prompt::analyse(&Prompt {
        user: text,
        ..Prompt::default()
    })
}

struct Case {
    view: View,
    options: Options,
    policy: KeyPolicy,
    kept: Option<ModelId>,
    demand: Demand,
    analysis: Option<Analysis>,
    seed: u64,
}

impl Case {
    fn new(model: &str) -> Self {
        Self {
            view: with_table(catalog(2, 8, 2), Some(table())),
            options: Options {
                cost_tier: Some(CostTier::Low),
                ..Options::default()
            },
            policy: KeyPolicy::default(),
            kept: None,
            demand: Demand {
                model: model.to_owned(),
                ..Demand::default()
            },
            analysis: analysis("Write a Python function that parses a date"),
            seed: 7,
        }
    }

    fn run(&self) -> (Option<Choice>, Demand) {
        let principal = Principal {
            org: "org".into(),
            key: KeyHash::of("k"),
            key_name: String::new(),
            kind: KeyKind::Inference,
            expires_at: None,
            policy: self.policy.clone(),
        };
        let ask = Ask {
            view: &self.view,
            usable: &|_| true,
            principal: &principal,
            options: &self.options,
            kept: self.kept.as_ref(),
            now: Moment::default(),
            seed: self.seed,
        };
        let mut demand = self.demand.clone();
        let choice = expand(&ask, &mut demand, self.analysis);
        (choice, demand)
    }

    #[track_caller]
    fn becomes(&self, source: Source, models: &[&str]) {
        let (choice, demand) = self.run();
        let choice = choice.unwrap();
        let mut all = vec![demand.model];
        all.extend(demand.fallback_models);
        assert_eq!(
            (choice.source, all),
            (source, models.iter().map(|id| (*id).to_owned()).collect())
        );
    }
}

#[test]
fn names_of_routers_are_known_with_their_suffixes() {
    assert_eq!(Router::named("godwit/auto"), Some((Router::Auto, "")));
    assert_eq!(
        Router::named("openrouter/auto:nitro"),
        Some((Router::Auto, ":nitro"))
    );
    assert_eq!(Router::named("openrouter/free"), Some((Router::Free, "")));
    assert_eq!(Router::named("openrouter/automobile"), None);
    assert_eq!(Router::named("a/auto"), None);
    assert_eq!(Case::new("m1/x").run().0, None);
}

#[test]
fn the_tasks_row_comes_first_then_the_default_one() {
    Case::new("godwit/auto").becomes(Source::Table, &["m1/x", "m2/x", "m4/x"]);
    Case::new("openrouter/auto:floor")
        .becomes(Source::Table, &["m1/x:floor", "m2/x:floor", "m4/x:floor"]);
    let mut case = Case::new("godwit/auto");
    case.options.cost_tier = Some(CostTier::Max);
    case.becomes(Source::Table, &["m3/x", "m4/x", "m5/x"]);
    let (choice, _) = case.run();
    let choice = choice.unwrap();
    assert_eq!((choice.task(), choice.is_first), ("code", true));
}

#[test]
fn a_router_keeps_its_place_among_models() {
    let mut case = Case::new("m7/x");
    case.demand.fallback_models = vec!["godwit/auto".into(), "m1/x".into(), "m6/x".into()];
    case.becomes(Source::Table, &["m7/x", "m1/x", "m2/x", "m4/x", "m6/x"]);
    assert!(!case.run().0.unwrap().is_first);
}

#[test]
fn nothing_that_is_missing_makes_it_fail() {
    let mut case = Case::new("godwit/auto");
    case.analysis = None;
    case.becomes(Source::Default, &["m4/x", "m5/x"]);

    let mut other = table();
    other.classifier += 1;
    let mut case = Case::new("godwit/auto");
    case.view = with_table(catalog(2, 8, 2), Some(other));
    case.becomes(Source::Default, &["m4/x", "m5/x"]);

    let mut case = Case::new("godwit/auto");
    case.view = with_table(catalog(2, 8, 2), None);
    assert_eq!(case.run().0.unwrap().source, Source::Cheapest);
    assert_eq!(case.run().0.unwrap().models.len(), CHOICES_MAX);

    // Nobody takes pictures: the plan says so of real models.
    let mut case = Case::new("godwit/auto");
    case.demand.input = vec![Modality::Image];
    let (_, demand) = case.run();
    assert!(Router::named(&demand.model).is_none());
}

#[test]
fn what_is_not_allowed_is_not_chosen() {
    let mut case = Case::new("godwit/auto");
    case.options.allowed_models = vec!["m2/*".into(), "m6/*".into()];
    case.becomes(Source::Table, &["m2/x"]);
    case.options.allowed_models = vec!["m6/*".into(), "m7/*".into()];
    case.options.excluded_models = vec!["*7/x".into()];
    case.becomes(Source::Cheapest, &["m6/x"]);

    let mut case = Case::new("godwit/auto");
    case.policy.allowed_models = vec!["m5/x".into()];
    case.becomes(Source::Default, &["m5/x"]);
    case.policy.allowed_models = vec!["m3/x".into()];
    // A dearer tier is better than nothing, and it is told as what it is.
    case.becomes(Source::Cheapest, &["m3/x"]);
}

#[test]
fn a_session_keeps_its_model_while_it_is_among_the_others() {
    let mut case = Case::new("godwit/auto");
    case.kept = Some("m5/x".into());
    case.becomes(Source::Session, &["m5/x", "m1/x", "m2/x"]);
    case.kept = Some("m7/x".into());
    case.becomes(Source::Table, &["m1/x", "m2/x", "m4/x"]);
    case.options.pin_model = true;
    case.becomes(Source::Session, &["m7/x", "m1/x", "m2/x"]);
    case.options.excluded_models = vec!["m7/x".into()];
    case.becomes(Source::Table, &["m1/x", "m2/x", "m4/x"]);
}

#[test]
fn free_is_drawn_among_what_costs_nothing() {
    let mut catalog = catalog(1, 6, 1);
    for endpoint in catalog.endpoints.iter_mut().skip(3) {
        let endpoint = Arc::make_mut(endpoint);
        endpoint.pricing.prompt = "0".parse().unwrap();
        endpoint.pricing.completion = "0".parse().unwrap();
    }
    let mut case = Case::new("openrouter/free");
    case.view = with_table(catalog, None);
    let mut firsts = std::collections::BTreeSet::new();
    for seed in 0..50 {
        case.seed = seed;
        let choice = case.run().0.unwrap();
        assert_eq!((choice.source, choice.models.len()), (Source::Free, 3));
        assert!(choice.models.iter().all(|id| id.as_str() >= "m3/x"));
        firsts.insert(choice.models[0].clone());
    }
    assert_eq!(firsts.len(), 3);
}

/// A catalogue of eight models, of which the second and the third have a free variant, the fifth costs
/// nothing under its own name, and the fourth has a variant that thinks.
fn with_variants(table: Option<AutoTable>) -> View {
    let mut all = catalog(1, 8, 1);
    let zero = |endpoint: &mut Arc<crate::catalog::Endpoint>| {
        let endpoint = Arc::make_mut(endpoint);
        endpoint.pricing.prompt = "0".parse().unwrap();
        endpoint.pricing.completion = "0".parse().unwrap();
    };
    for (at, word) in [(1, "free"), (2, "free"), (3, "thinking")] {
        let mut model = (*all.models[at]).clone();
        model.id = format!("{}:{word}", model.id).as_str().into();
        model.canonical_slug = None;
        let mut endpoint = all.endpoints[at].clone();
        {
            let endpoint = Arc::make_mut(&mut endpoint);
            endpoint.model = model.id.clone();
            endpoint.id = crate::id::EndpointId::of(&model.id, &endpoint.tag);
        }
        if word == "free" {
            zero(&mut endpoint);
        }
        all.models.push(Arc::new(model));
        all.endpoints.push(endpoint);
    }
    zero(&mut all.endpoints[4]);
    with_table(all, table)
}

#[test]
fn a_suffix_of_the_catalogue_keeps_the_models_that_have_it() {
    let mut case = Case::new("godwit/auto:free");
    case.view = with_variants(Some(table()));
    case.becomes(Source::Table, &["m1/x:free", "m2/x:free", "m4/x"]);
    case.demand.model = "openrouter/auto:nitro:free".to_owned();
    case.becomes(
        Source::Table,
        &["m1/x:free:nitro", "m2/x:free:nitro", "m4/x:nitro"],
    );
    case.demand.model = "godwit/auto:thinking".to_owned();
    case.options.cost_tier = Some(CostTier::High);
    case.becomes(Source::Table, &["m3/x:thinking"]);
    // The model's own name stands for its variant in the client's bounds.
    let mut case = Case::new("godwit/auto:free");
    case.view = with_variants(Some(table()));
    case.options.allowed_models = vec!["m2/x".into(), "m7/x".into()];
    case.becomes(Source::Table, &["m2/x:free"]);
    case.options.allowed_models.clear();
    case.options.excluded_models = vec!["m1/*".into(), "m2/x".into()];
    case.becomes(Source::Default, &["m4/x"]);
    // What is pinned and has its price is not free.
    case.options = Options {
        pin_model: true,
        ..Options::default()
    };
    case.kept = Some("m7/x".into());
    assert!(case.run().0.unwrap().source != Source::Session);
    // Where the table knows none that is free, another one is.
    case.view = with_variants(None);
    case.kept = None;
    let choice = case.run().0.unwrap();
    assert_eq!((choice.source, choice.models.len()), (Source::Free, 3));
}

#[test]
fn a_router_of_which_nothing_is_left_says_why() {
    let why = |model: &str, variants: bool, change: fn(&mut Options)| {
        let mut case = Case::new(model);
        if variants {
            case.view = with_variants(Some(table()));
        }
        change(&mut case.options);
        let (choice, demand) = case.run();
        assert_eq!(demand.model, model);
        choice.unwrap().nothing
    };
    let any = |_: &mut Options| {};
    let nobody = |options: &mut Options| options.allowed_models = vec!["nobody/*".to_owned()];
    assert_eq!(why("godwit/auto:free", false, any), Some(Nothing::Free));
    assert_eq!(why("openrouter/free", false, any), Some(Nothing::Free));
    assert_eq!(why("godwit/auto:foo", true, any), Some(Nothing::Variant));
    assert_eq!(
        why("godwit/auto:free:thinking", true, any),
        Some(Nothing::Variant)
    );
    assert_eq!(why("godwit/auto:free", true, nobody), Some(Nothing::Bounds));
    let mut case = Case::new("godwit/auto:foo");
    case.demand.fallback_models = vec!["m5/x".into()];
    let (choice, demand) = case.run();
    assert_eq!(demand.model, "m5/x");
    assert!(choice.unwrap().models.is_empty());
}

#[test]
fn a_session_keeps_its_free_model_with_others_behind_it() {
    let mut case = Case::new("openrouter/free");
    case.view = with_variants(Some(table()));
    let free = may_go_on_with(&case.view, &case.demand);
    let expect = ["m1/x:free", "m2/x:free", "m4/x"].map(ModelId::from);
    assert_eq!(free, BTreeSet::from(expect));
    case.kept = Some("m2/x:free".into());
    for seed in 0..20 {
        case.seed = seed;
        let choice = case.run().0.unwrap();
        assert_eq!(choice.source, Source::Session);
        assert_eq!(choice.models[0].as_str(), "m2/x:free");
        assert_eq!(choice.models.len(), 3);
    }
}

proptest! {
    /// Whatever is asked, models that are allowed stand in a router's place, when there are any.
    #[test]
    fn a_router_always_becomes_models(
        text in ".{0,80}",
        allowed in prop::collection::vec("m[0-9]/\\*", 0..3),
        excluded in prop::collection::vec("m[0-9]/x", 0..3),
        has_table: bool, tools: bool, seed: u64,
    ) {
        let mut case = Case::new("openrouter/auto");
        if !has_table {
            case.view = with_table(catalog(2, 8, 2), None);
        }
        case.analysis = analysis(&text);
        case.options = Options { allowed_models: allowed, excluded_models: excluded, ..Options::default() };
        case.demand.needs_tools = tools;
        case.seed = seed;
        let (choice, demand) = case.run();
        let choice = choice.unwrap();
        prop_assert!(choice.models.len() <= CHOICES_MAX);
        prop_assert_eq!(Router::named(&demand.model).is_some(), choice.models.is_empty());
        let wants = Wants::of(Router::Auto, "").unwrap();
        let possible = case.view.snapshot.models().iter().any(|it| wants.allow(&case.options, &it.id));
        prop_assert_eq!(possible, !choice.models.is_empty());
        prop_assert!(choice.models.iter().all(|id| wants.allow(&case.options, id)));
        prop_assert_eq!(case.run().0.unwrap(), choice);
    }
}
