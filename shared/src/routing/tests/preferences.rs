//! What the client prefers: order, sort, tiers and suffixes.

use super::*;

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
fn who_takes_the_form_of_an_answer_comes_first() {
    let mut catalog = catalog(3, 1, 3);
    for at in [0, 2] {
        Arc::make_mut(&mut catalog.endpoints[at]).supported_parameters =
            vec![Parameter::Temperature, Parameter::Tools];
    }
    let taken = vec![
        Parameter::Temperature,
        Parameter::ResponseFormat,
        Parameter::Tools,
    ];
    Arc::make_mut(&mut catalog.endpoints[1]).supported_parameters = taken;
    let view = view_of(&catalog, vec![]);
    let mut demand = demand();
    demand.parameters = vec![Parameter::Temperature, Parameter::ResponseFormat];
    for seed in 0..20 {
        let plan = plan_of(&view, &demand, seed).unwrap();
        assert_eq!((tags(&plan)[0], plan.candidates.len()), ("p1", 3));
        assert_eq!(plan.candidates[0].reason, Reason::Drawn);
        assert!(plan.candidates[0].unsupported(&demand).is_empty());
        let other = &plan.candidates[1];
        assert_eq!(other.reason, Reason::WithoutParameters);
        assert_eq!(other.unsupported(&demand), [Parameter::ResponseFormat]);
    }
    // What nobody takes, and what changes no answer's sense, prefers nobody.
    for parameter in [Parameter::Verbosity, Parameter::Seed] {
        demand.parameters = vec![parameter];
        let plan = plan_of(&view, &demand, 1).unwrap();
        assert!(plan.candidates.iter().all(|it| it.reason == Reason::Drawn));
    }
}
