//! The plan's promises: nobody excluded appears, everybody else appears once, the same seed gives
//! the same plan.

mod controls;

use super::*;
use crate::catalog::{Catalog, DataPolicy, DataRegion, Modality, Parameter, Quantization, Tier};
use crate::health::{Board, Departure, Handle};
use crate::id::{EndpointId, Version};
use crate::key::KeyHash;
use crate::policy::{KeyKind, KeyPolicy};
use crate::ranking::{Mode, ProbeLease, RankingRow, RankingTable, State};
use crate::snapshot::Snapshot;
use crate::snapshot::tests::{catalog, endpoint};
use crate::window::Outcome;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

mod draw;

fn principal(policy: KeyPolicy) -> Principal {
    Principal {
        org: "org_1".into(),
        key: KeyHash::of("k"),
        key_name: String::new(),
        kind: KeyKind::Inference,
        expires_at: None,
        policy,
    }
}

fn view_of(catalog: &Catalog, rows: Vec<(&str, RankingRow)>) -> View {
    let snapshot = Snapshot::from_catalog(Version::default(), catalog).unwrap();
    let ranking = RankingTable {
        rows: rows
            .into_iter()
            .map(|(id, row)| (EndpointId::from(id), row))
            .collect(),
        ..RankingTable::default()
    };
    View::new(Arc::new(snapshot), Arc::new(ranking))
}

fn row(share: f64, state: State) -> RankingRow {
    RankingRow {
        share: [crate::ranking::share_u16(share); 4],
        state,
        ..RankingRow::default()
    }
}

fn demand() -> Demand {
    Demand {
        model: "m0/x".to_owned(),
        ..Demand::default()
    }
}

fn prefer(change: impl Fn(&mut Preferences)) -> Demand {
    let mut demand = demand();
    change(&mut demand.preferences);
    demand
}

fn plan_of(view: &View, demand: &Demand, seed: u64) -> Result<Plan, Refusal> {
    let anyone = principal(KeyPolicy::default());
    let now = Moment::default();
    plan(
        view,
        &Board::default(),
        &|_| true,
        &anyone,
        demand,
        now,
        seed,
    )
}

fn tags(plan: &Plan) -> Vec<&str> {
    let all = plan.candidates.iter();
    all.map(|one| one.endpoint.tag.as_str()).collect()
}

fn sorted(plan: &Plan) -> Vec<&str> {
    let mut tags = tags(plan);
    tags.sort_unstable();
    tags
}

fn first_shares(view: &View, demand: &Demand) -> [f64; 3] {
    let mut first = [0.0; 3];
    for seed in 0..4000 {
        let plan = plan_of(view, demand, seed).unwrap();
        match tags(&plan)[0] {
            "p0" => first[0] += 1.0 / 4000.0,
            "p1" => first[1] += 1.0 / 4000.0,
            _ => first[2] += 1.0 / 4000.0,
        }
    }
    first
}

#[test]
fn without_a_ranking_half_the_price_is_four_times_the_traffic() {
    let mut catalog = catalog(2, 1, 2);
    for (at, price) in ["0.000001", "0.000002"].into_iter().enumerate() {
        let endpoint = Arc::make_mut(&mut catalog.endpoints[at]);
        endpoint.pricing.prompt = price.parse().unwrap();
        endpoint.pricing.completion = price.parse().unwrap();
    }
    let [cheap, dear, _] = first_shares(&view_of(&catalog, vec![]), &demand());
    assert!((cheap - 0.8).abs() < 0.03, "{cheap}");
    assert!((dear - 0.2).abs() < 0.03, "{dear}");
}

#[test]
fn the_first_choice_follows_the_pushed_shares() {
    let catalog = catalog(3, 1, 3);
    let rows = vec![
        ("m0/x@p0", row(0.1, State::Closed)),
        ("m0/x@p1", row(0.6, State::Closed)),
        ("m0/x@p2", row(0.3, State::Closed)),
    ];
    let shares = first_shares(&view_of(&catalog, rows), &demand());
    for (got, expect) in shares.into_iter().zip([0.1, 0.6, 0.3]) {
        assert!((got - expect).abs() < 0.03, "{shares:?}");
    }
}

#[test]
fn who_fails_here_goes_last_and_is_still_there() {
    let view = view_of(&catalog(3, 2, 3), vec![("m0/x@p1", row(0.0, State::Open))]);
    let board = Board::default();
    let (sick, now) = (Handle::of(&"m0/x@p0".into()), Moment::default());
    for _ in 0..3 {
        board.observe(sick, &Outcome::HardFail, now, 0.5);
    }
    let anyone = principal(KeyPolicy::default());
    let mut demand = demand();
    demand.fallback_models = vec!["m1/x".to_owned()];
    for seed in 0..50 {
        let plan = plan(&view, &board, &|_| true, &anyone, &demand, now, seed).unwrap();
        let ids: Vec<_> = plan
            .candidates
            .iter()
            .map(|it| it.endpoint.id.as_str())
            .collect();
        assert_eq!(ids.len(), 6);
        assert_eq!(ids[0], "m0/x@p2");
        assert!(ids[1..4].iter().all(|id| id.starts_with("m1/x@")));
        assert_eq!(
            BTreeSet::from_iter(&ids[4..]),
            BTreeSet::from([&"m0/x@p0", &"m0/x@p1"])
        );
    }
    // Everybody fails: everybody is asked all the same.
    for endpoint in view.snapshot.endpoints() {
        for _ in 0..3 {
            board.observe(Handle::of(&endpoint.id), &Outcome::HardFail, now, 0.5);
        }
    }
    let plan = plan(&view, &board, &|_| true, &anyone, &demand, now, 1).unwrap();
    assert_eq!(plan.candidates.len(), 6);
}

#[test]
fn an_old_ranking_gives_way_to_the_price() {
    let rows = vec![
        ("m0/x@p0", row(0.0, State::Open)),
        ("m0/x@p1", row(1.0, State::Closed)),
    ];
    let view = view_of(&catalog(2, 1, 2), rows).received_at(Moment::default());
    let anyone = principal(KeyPolicy::default());
    let share_after = |seconds| {
        let now = Moment::default().plus(Duration::from_secs(seconds));
        let (board, demand) = (Board::default(), demand());
        let plan = plan(&view, &board, &|_| true, &anyone, &demand, now, 1).unwrap();
        let open = plan.candidates.iter().find(|it| it.endpoint.tag == "p0");
        open.unwrap().share
    };
    assert!(share_after(2) <= 0.0);
    assert!(share_after(20) > 0.0);
    assert!(share_after(90) > 0.5);
}

#[test]
fn the_probing_node_sends_one_request_for_each_lease() {
    let leased = |number| {
        let mut probed = row(0.0, State::Open);
        probed.probe = Some(ProbeLease {
            node: "edge-1".into(),
            number,
        });
        let rows = vec![("m0/x@p0", probed), ("m0/x@p1", row(1.0, State::Closed))];
        view_of(&catalog(2, 1, 2), rows)
    };
    let [others, ..] = first_shares(&leased(7), &demand());
    assert!(others <= 0.0, "{others}");
    let (board, now) = (Board::default(), Moment::default());
    for (number, expect) in [(7, 1), (7, 0), (8, 1)] {
        let view = leased(number).of_node("edge-1".into());
        let anyone = principal(KeyPolicy::default());
        let mut probes = 0;
        for seed in 0..20 {
            let plan = plan(&view, &board, &|_| true, &anyone, &demand(), now, seed).unwrap();
            let first = &plan.candidates[0];
            probes += u32::from(first.reason == Reason::Probe);
            let departure = Departure {
                probe: first.probe,
                ..Departure::default()
            };
            board.departed(first.handle, &departure, now);
            board.ended(first.handle, now);
        }
        assert_eq!(probes, expect, "one request for each number");
    }
}

#[test]
fn order_only_ignore_and_fallbacks() {
    let view = view_of(&catalog(4, 1, 4), vec![]);
    let check = |demand: &Demand, expect: &[&str]| {
        for seed in 0..20 {
            let plan = plan_of(&view, demand, seed).unwrap();
            assert_eq!(tags(&plan)[..expect.len()], *expect);
            assert_eq!(plan.candidates.len() + plan.excluded.len(), 4);
        }
    };
    let words = |all: &[&str]| all.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
    check(
        &prefer(|p| p.order = words(&["p3", "Provider 1"])),
        &["p3", "p1"],
    );
    let mut strict = prefer(|p| p.order = words(&["p2", "p0"]));
    strict.preferences.allow_fallbacks = false;
    check(&strict, &["p2", "p0"]);
    assert_eq!(plan_of(&view, &strict, 1).unwrap().candidates.len(), 2);

    let first_only = prefer(|p| p.allow_fallbacks = false);
    assert_eq!(plan_of(&view, &first_only, 1).unwrap().candidates.len(), 1);

    let only = prefer(|p| {
        p.only = words(&["P1", "p2"]);
        p.ignore = words(&["p2"]);
    });
    let plan = plan_of(&view, &only, 1).unwrap();
    assert_eq!(tags(&plan), ["p1"]);
    let why: Vec<_> = plan.excluded.iter().map(|one| one.why.as_str()).collect();
    assert_eq!(why, ["only", "ignore", "only"]);

    let nobody = prefer(|p| p.only = words(&["p9"]));
    let refusal = plan_of(&view, &nobody, 1).unwrap_err();
    assert_eq!(refusal.excluded_by(), ["only"]);
}

#[test]
fn sort_is_strict() {
    let mut rows = Vec::new();
    for (id, ttft, speed) in [
        ("m0/x@p0", 900, 10),
        ("m0/x@p1", 0, 0),
        ("m0/x@p2", 200, 90),
    ] {
        let mut row = row(0.33, State::Closed);
        (row.ttft_ms.p50, row.throughput_tenths.p50) = (ttft, speed);
        rows.push((id, row));
    }
    let view = view_of(&catalog(3, 1, 3), rows);
    for (sort, expect) in [
        (Mode::Price, ["p0", "p1", "p2"]),
        (Mode::Latency, ["p2", "p0", "p1"]),
        (Mode::Throughput, ["p2", "p0", "p1"]),
    ] {
        for seed in 0..10 {
            let plan = plan_of(&view, &prefer(|p| p.sort = Some(sort)), seed).unwrap();
            assert_eq!(tags(&plan), expect, "{sort}");
        }
    }
    let mut nitro = demand();
    nitro.model = "m0/x:floor:nitro".to_owned();
    assert_eq!(
        tags(&plan_of(&view, &nitro, 3).unwrap()),
        ["p2", "p0", "p1"]
    );
}

#[test]
fn a_strict_order_does_not_rush_an_endpoint_on_trial() {
    let rows = vec![
        ("m0/x@p0", row(0.1, State::Ramp)),
        ("m0/x@p1", row(0.9, State::Closed)),
    ];
    let view = view_of(&catalog(2, 1, 2), rows);
    for demand in [
        prefer(|p| p.sort = Some(Mode::Price)),
        prefer(|p| p.order = vec!["p0".to_owned()]),
    ] {
        let [tried, ..] = first_shares(&view, &demand);
        assert!((tried - 0.1).abs() < 0.03, "{tried}");
    }
}

#[test]
fn a_service_tier_must_be_asked_for_by_name() {
    let mut catalog = catalog(2, 1, 2);
    for tag in ["p0/priority", "p0/us-east"] {
        catalog.endpoints.push(Arc::new(endpoint(0, 0, tag)));
    }
    let view = view_of(&catalog, vec![]);
    let only = |word: &str| prefer(|p| p.only = vec![word.to_owned()]);
    let ask = |demand: &Demand| plan_of(&view, demand, 1).unwrap();
    assert_eq!(sorted(&ask(&demand())), ["p0", "p0/us-east", "p1"]);
    assert_eq!(sorted(&ask(&only("p0"))), ["p0", "p0/us-east"]);
    assert_eq!(sorted(&ask(&only("p0/priority"))), ["p0/priority"]);
    assert_eq!(sorted(&ask(&only("p0/us-east"))), ["p0/us-east"]);
    let mut nitro = demand();
    nitro.model = "m0/x:nitro".to_owned();
    assert_eq!(ask(&nitro).candidates.len(), 4);
    let ordered = ask(&prefer(|p| p.order = vec!["p0/priority".to_owned()]));
    assert_eq!(tags(&ordered)[0], "p0/priority");
    assert_eq!(ordered.candidates.len(), 4);
    let ignored = ask(&prefer(|p| p.ignore = vec!["p0".to_owned()]));
    assert_eq!(tags(&ignored), ["p1"]);
}

#[test]
fn tiers_make_pools() {
    let mut all = catalog(2, 1, 2);
    for tag in ["p0/priority", "p0/flex", "p0/eu/flex"] {
        all.endpoints.push(Arc::new(endpoint(0, 0, tag)));
    }
    let view = view_of(&all, vec![]);
    let at = |tier: Option<Tier>, change: fn(&mut Preferences)| {
        let demand = Demand {
            tier,
            ..prefer(change)
        };
        let plan = plan_of(&view, &demand, 1).unwrap();
        sorted(&plan).join(" ")
    };
    let any = |_: &mut Preferences| {};
    assert_eq!(at(None, any), "p0 p1");
    assert_eq!(at(Some(Tier::Priority), any), "p0 p0/priority p1");
    assert_eq!(at(Some(Tier::Flex), any), "p0/eu/flex p0/flex");
    // Nobody has it: the default serves.
    assert_eq!(at(Some(Tier::Scale), any), "p0 p1");
    let only = |p: &mut Preferences| p.only = vec!["p0/flex".to_owned()];
    assert_eq!(at(None, only), "p0/eu/flex p0/flex");
    let variant = |p: &mut Preferences| p.only = vec!["P0/EU".to_owned()];
    assert_eq!(at(Some(Tier::Flex), variant), "p0/eu/flex");
    let base = |p: &mut Preferences| p.only = vec!["p0".to_owned()];
    assert_eq!(at(Some(Tier::Priority), base), "p0 p0/priority");
    let plain = view_of(&catalog(2, 1, 2), vec![]);
    let flex = Demand {
        tier: Some(Tier::Flex),
        ..demand()
    };
    assert_eq!(sorted(&plan_of(&plain, &flex, 1).unwrap()), ["p0", "p1"]);
}

#[test]
fn suffixes_stand_in_any_order() {
    let mut catalog = catalog(1, 1, 1);
    let mut free = crate::snapshot::tests::model(0);
    free.id = "m0/x:free".into();
    let mut served = endpoint(0, 0, "p0");
    served.model = free.id.clone();
    served.id = EndpointId::of(&free.id, "p0");
    catalog.models.push(Arc::new(free));
    catalog.endpoints.push(Arc::new(served));
    let view = view_of(&catalog, vec![]);
    let check = |name: &str, expect: Option<&str>| {
        let model = resolved(&view.snapshot, name).map(|model| model.id.to_string());
        assert_eq!(model.as_deref(), expect, "{name}");
        let demand = Demand {
            model: name.to_owned(),
            ..Demand::default()
        };
        let plan = plan_of(&view, &demand, 1).ok();
        let served = plan.map(|plan| plan.candidates[0].endpoint.model.to_string());
        assert_eq!(served.as_deref(), expect, "{name}");
    };
    check("m0/x", Some("m0/x"));
    check("m0/x:nitro", Some("m0/x"));
    check("m0/x:free:nitro", Some("m0/x:free"));
    check("m0/x:nitro:free:floor", Some("m0/x:free"));
    check("m0/x:exacto:free", Some("m0/x:free"));
    check("m0/x:extended", None);
    check("m0/x:free:extended:nitro", None);
    check("m0/x:", None);
    check("m1/x:nitro", None);
}

/// One endpoint that is changed, one request that is changed: is it excluded, and why?
fn check_filter(
    change: impl Fn(&mut Catalog),
    ask: impl Fn(&mut Demand, &mut KeyPolicy),
    expect: Option<Exclude>,
) {
    let mut catalog = catalog(1, 1, 1);
    change(&mut catalog);
    let (mut demand, mut policy) = (demand(), KeyPolicy::default());
    ask(&mut demand, &mut policy);
    let view = view_of(&catalog, vec![]);
    let (board, now, caller) = (Board::default(), Moment::default(), principal(policy));
    let got = match plan(&view, &board, &|_| true, &caller, &demand, now, 1) {
        Ok(_) => None,
        Err(Refusal::NoEndpoints { excluded }) => excluded.first().map(|one| one.why),
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(got, expect);
}

#[test]
fn keys_and_data_policies_filter() {
    let plain = |_: &mut Catalog| {};
    let data = |training, retention_days| {
        move |all: &mut Catalog| {
            Arc::make_mut(&mut all.providers[0]).data_policy = DataPolicy {
                training,
                retention_days,
            };
        }
    };
    let key = |change: fn(&mut KeyPolicy)| move |_: &mut Demand, key: &mut KeyPolicy| change(key);
    let deny = |it: &mut Demand, _: &mut KeyPolicy| it.preferences.data_collection_deny = true;
    let zdr = |it: &mut Demand, _: &mut KeyPolicy| it.preferences.zdr = true;
    use Exclude as E;
    check_filter(plain, |_, _| {}, None);
    let other_model = key(|it| it.allowed_models = vec!["a/b".into()]);
    check_filter(plain, other_model, Some(E::AllowedModels));
    check_filter(
        plain,
        key(|it| it.allowed_models = vec!["m0/x".into()]),
        None,
    );
    let other_provider = key(|it| it.allowed_providers = vec!["q".into()]);
    check_filter(plain, other_provider, Some(E::AllowedProviders));
    let ignored = key(|it| it.ignored_providers = vec!["p0".into()]);
    check_filter(plain, ignored, Some(E::Ignore));
    check_filter(data(true, Some(0)), deny, Some(E::Training));
    check_filter(
        data(true, None),
        key(|it| it.no_training = true),
        Some(E::Training),
    );
    check_filter(data(false, None), deny, None);
    check_filter(data(false, None), zdr, Some(E::Zdr));
    check_filter(data(false, Some(30)), key(|it| it.zdr = true), Some(E::Zdr));
    check_filter(data(false, Some(0)), key(|it| it.zdr = true), None);
    let distillable = |it: &mut Demand, _: &mut KeyPolicy| it.preferences.distillable = true;
    check_filter(plain, distillable, Some(E::Distillable));
    let permitted = |all: &mut Catalog| Arc::make_mut(&mut all.models[0]).distillable = true;
    check_filter(permitted, distillable, None);
    let in_eu = |it: &mut Demand, _: &mut KeyPolicy| it.region = Some(DataRegion::Eu);
    check_filter(plain, in_eu, Some(E::DataRegion));
    let german = |all: &mut Catalog| {
        Arc::make_mut(&mut all.providers[0]).datacenters = vec!["DE".to_owned()];
    };
    check_filter(german, in_eu, None);
}

#[test]
fn offers_and_sizes_filter() {
    let plain = |_: &mut Catalog| {};
    let served = |precision| {
        move |all: &mut Catalog| Arc::make_mut(&mut all.endpoints[0]).quantization = precision
    };
    let wants = |precision| {
        move |it: &mut Demand, _: &mut KeyPolicy| it.preferences.quantizations = vec![precision]
    };
    let ask = |change: fn(&mut Demand)| move |it: &mut Demand, _: &mut KeyPolicy| change(it);
    let pays = |price: &'static str| {
        move |it: &mut Demand, _: &mut KeyPolicy| {
            it.preferences.max_price.prompt = Some(price.parse().unwrap());
        }
    };
    use Exclude as E;
    use Quantization as Q;
    check_filter(served(Q::Mxfp4), wants(Q::Fp4), None);
    check_filter(served(Q::Nvfp4), wants(Q::Fp4), None);
    check_filter(served(Q::Mxfp8), wants(Q::Fp8), None);
    check_filter(served(Q::Fp8), wants(Q::Mxfp8), Some(E::Quantization));
    check_filter(served(Q::Unknown), wants(Q::Bf16), Some(E::Quantization));
    check_filter(plain, pays("0.00000009"), Some(E::MaxPrice));
    check_filter(plain, pays("0.0000001"), None);
    let long = ask(|it| it.prompt_tokens = 200_000);
    check_filter(plain, long, Some(E::ContextLength));
    let long_answer = ask(|it| it.max_tokens = Some(8193));
    check_filter(plain, long_answer, Some(E::MaxTokens));
    let both = ask(|it| (it.prompt_tokens, it.max_tokens) = (160_000, Some(8192)));
    check_filter(plain, both, Some(E::ContextLength));
    let image = ask(|it| it.input = vec![Modality::Image]);
    check_filter(plain, image, Some(E::Modality));
    let strict = ask(|it| {
        it.preferences.require_parameters = true;
        it.parameters = vec![Parameter::Temperature, Parameter::Seed];
    });
    check_filter(plain, strict, Some(E::RequireParameters));
    check_filter(plain, ask(|it| it.parameters = vec![Parameter::Seed]), None);
}

#[test]
fn an_operator_wins_over_an_emergency() {
    let rows = vec![
        ("m0/x@p0", row(0.5, State::Disabled)),
        ("m0/x@p1", row(0.5, State::Draining)),
    ];
    let view = view_of(&catalog(2, 1, 2), rows);
    let refusal = plan_of(&view, &demand(), 1).unwrap_err();
    assert_eq!(refusal.excluded_by(), ["disabled"]);
}

#[test]
fn tools_come_first_where_they_are_taken() {
    let mut catalog = catalog(3, 1, 3);
    for at in [0, 2] {
        Arc::make_mut(&mut catalog.endpoints[at])
            .supported_parameters
            .clear();
    }
    let view = view_of(&catalog, vec![]);
    let mut demand = demand();
    demand.needs_tools = true;
    for seed in 0..20 {
        let plan = plan_of(&view, &demand, seed).unwrap();
        assert_eq!(tags(&plan)[0], "p1");
        assert_eq!(plan.candidates[1].reason, Reason::WithoutTools);
    }
}

#[test]
fn an_unknown_model_gets_suggestions() {
    let mut catalog = catalog(1, 2, 1);
    for (at, id) in ["openai/gpt-4o-mini", "meta-llama/llama-3.3-70b-instruct"]
        .iter()
        .enumerate()
    {
        Arc::make_mut(&mut catalog.models[at]).id = (*id).into();
        let endpoint = Arc::make_mut(&mut catalog.endpoints[at]);
        endpoint.model = (*id).into();
        endpoint.id = EndpointId::of(&endpoint.model, &endpoint.tag);
    }
    let view = view_of(&catalog, vec![]);
    for (asked, expect) in [
        ("gpt-4o-mini", vec!["openai/gpt-4o-mini"]),
        ("openai/gpt-4o-mni", vec!["openai/gpt-4o-mini"]),
        ("llama-3.3-70b", vec!["meta-llama/llama-3.3-70b-instruct"]),
        ("openai/gpt-4o-mini:online", vec!["openai/gpt-4o-mini"]),
        ("zzz", vec![]),
        ("", vec![]),
    ] {
        let mut demand = demand();
        demand.model = asked.to_owned();
        let Err(Refusal::ModelNotFound { model, nearest }) = plan_of(&view, &demand, 1) else {
            panic!("{asked} was found");
        };
        assert_eq!(
            (model.as_str(), nearest),
            (asked, expect.into_iter().map(String::from).collect())
        );
    }
    let mut demand = demand();
    demand.fallback_models = vec!["openai/gpt-4o-mini:floor".to_owned()];
    assert_eq!(plan_of(&view, &demand, 1).unwrap().candidates.len(), 1);
}

#[test]
fn a_model_must_give_what_is_asked_for() {
    let mut catalog = catalog(1, 2, 1);
    Arc::make_mut(&mut catalog.models[0]).output_modalities = vec![Modality::Embeddings];
    let view = view_of(&catalog, vec![]);
    let mut demand = demand();
    assert!(plan_of(&view, &demand, 1).is_ok());
    demand.output = vec![Modality::Text, Modality::Image];
    let wrong = Refusal::WrongOutput {
        model: demand.model.as_str().into(),
        gives: vec![Modality::Embeddings],
    };
    assert_eq!(plan_of(&view, &demand, 1), Err(wrong));
    demand.fallback_models = vec!["m1/x".to_owned()];
    let plan = plan_of(&view, &demand, 1).unwrap();
    assert!(
        plan.candidates
            .iter()
            .all(|c| c.endpoint.model.as_str() == "m1/x")
    );
    demand.output = vec![Modality::Embeddings];
    let plan = plan_of(&view, &demand, 1).unwrap();
    assert!(
        plan.candidates
            .iter()
            .all(|c| c.endpoint.model.as_str() == "m0/x")
    );
}

fn some_rows() -> impl Strategy<Value = Vec<(usize, f64, State)>> {
    let states = prop::sample::select(State::ALL);
    prop::collection::vec((0_usize..10, 0.0_f64..1.0, states), 0..10)
}

fn some_demand() -> impl Strategy<Value = Demand> {
    let words = || prop::collection::vec("p[0-5]", 0..3);
    let flags = any::<[bool; 5]>();
    let sort = prop::option::of(prop::sample::select(Mode::ALL));
    (words(), words(), words(), flags, sort).prop_map(|(order, only, ignore, flags, sort)| {
        let mut demand = demand();
        demand.needs_tools = flags[0];
        demand.max_tokens = flags[1].then_some(9000);
        if flags[2] {
            demand.fallback_models = vec!["m1/x".to_owned(), "m0/x".to_owned()];
        }
        demand.preferences = Preferences {
            order,
            only,
            ignore,
            sort,
            allow_fallbacks: flags[3],
            require_parameters: flags[4],
            ..Preferences::default()
        };
        demand
    })
}

proptest! {
    #[test]
    fn candidates_and_exclusions_part_the_endpoints(
        demand in some_demand(), rows in some_rows(), failures in prop::collection::vec(0_usize..10, 0..12),
        seed: u64,
    ) {
        let catalog = catalog(5, 2, 5);
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(at, share, state)| (catalog.endpoints[at].id.as_str(), row(share, state)))
            .collect();
        let view = view_of(&catalog, rows);
        let (board, now) = (Board::default(), Moment::default());
        for at in failures {
            board.observe(Handle::of(&catalog.endpoints[at].id), &Outcome::HardFail, now, 0.5);
        }
        let anyone = principal(KeyPolicy::default());
        let usable = |provider: &Provider| provider.slug.as_str() != "p4";
        let make = || plan(&view, &board, &usable, &anyone, &demand, now, seed);
        let made = make();
        prop_assert_eq!(&made, &make(), "the same seed gives the same plan");
        let (candidates, excluded) = match &made {
            Ok(plan) => (plan.candidates.clone(), plan.excluded.clone()),
            Err(Refusal::NoEndpoints { excluded }) => (vec![], excluded.clone()),
            Err(other) => panic!("{other:?}"),
        };
        let mut all: Vec<_> = candidates.iter().map(|one| one.endpoint.id.clone()).collect();
        all.extend(excluded.iter().map(|one| one.endpoint.clone()));
        all.sort();
        let models: &[&str] = if demand.fallback_models.is_empty() { &["m0/x"] } else { &["m0/x", "m1/x"] };
        let expect: Vec<_> = catalog.endpoints.iter()
            .filter(|one| models.contains(&one.model.as_str()))
            .map(|one| one.id.clone())
            .collect();
        prop_assert_eq!(all, expect, "each once, here or there");
        for one in &candidates {
            let tag = &one.endpoint.tag;
            prop_assert!(tag != "p4");
            prop_assert!(!demand.preferences.ignore.contains(tag));
            prop_assert!(demand.preferences.only.is_empty() || demand.preferences.only.contains(tag));
            prop_assert!(demand.max_tokens.is_none());
            let withdrawn = view.snapshot.index_of(&one.endpoint.id).and_then(|at| view.row(at));
            prop_assert!(withdrawn.is_none_or(|row| !row.state.is_withdrawn()));
            prop_assert!((0.0..=1.0 + 1e-9).contains(&one.share));
        }
        let resting = |one: &Candidate| !one.is_ready();
        let first_resting = candidates.iter().position(resting).unwrap_or(candidates.len());
        prop_assert!(candidates[first_resting..].iter().all(resting), "who rests comes last");
    }
}
