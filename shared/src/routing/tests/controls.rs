//! What a client prefers: each control by itself, and that none of them excludes anybody.

use super::*;
use crate::ranking::Percentiles;

/// A row with this median of tenths of tokens per second, milliseconds and broken calls in 1000.
fn measured(throughput: u32, ttft: u32, broken: u16) -> RankingRow {
    let all = |it| Percentiles {
        p50: it,
        p75: it,
        p90: it,
        p99: it,
    };
    RankingRow {
        throughput_tenths: all(throughput),
        ttft_ms: all(ttft),
        tool_failure: broken * 65,
        ..row(0.2, State::Closed)
    }
}

/// The first choices over some seeds, each once.
fn firsts(view: &View, demand: &Demand) -> String {
    let first = |seed| {
        plan_of(view, demand, seed).unwrap().candidates[0]
            .endpoint
            .tag
            .clone()
    };
    let all: BTreeSet<String> = (0..40).map(first).collect();
    all.into_iter().collect::<Vec<_>>().join(" ")
}

fn order_of(view: &View, demand: &Demand) -> String {
    tags(&plan_of(view, demand, 1).unwrap()).join(" ")
}

#[test]
fn preferred_bounds_move_to_the_end_and_what_is_unknown_stands_between() {
    let catalog = catalog(4, 1, 4);
    let view = view_of(
        &catalog,
        vec![
            ("m0/x@p0", measured(200, 900, 0)),
            ("m0/x@p1", measured(600, 300, 0)),
            ("m0/x@p2", measured(900, 2000, 0)),
        ],
    );
    let check = |change: fn(&mut Preferences), expect: &str| {
        assert_eq!(firsts(&view, &prefer(change)), expect);
        assert_eq!(
            sorted(&plan_of(&view, &prefer(change), 1).unwrap()).len(),
            4
        );
    };
    check(|p| p.max_latency.p50 = Some(300), "p1");
    check(|p| p.max_latency.p90 = Some(1000), "p0 p1");
    check(|p| p.min_throughput.p50 = Some(600), "p1 p2");
    let both = |p: &mut Preferences| {
        p.min_throughput.p50 = Some(600);
        p.max_latency.p99 = Some(1999);
    };
    check(both, "p1");
    // Nobody keeps the bound: who is not known comes first.
    check(|p| p.max_latency.p75 = Some(1), "p3");
    let listed = prefer(|p| {
        p.order = vec!["p2".to_owned(), "p1".to_owned()];
        p.max_latency.p50 = Some(500);
    });
    let placed = order_of(&view, &listed);
    assert!(placed.starts_with("p1 p3 p2"), "{placed}");
}

#[test]
fn a_tier_comes_first_by_throughput_and_falls_back_to_the_default() {
    let mut all = catalog(2, 1, 2);
    for (provider, tag) in [(0, "p0/priority"), (1, "p1/priority")] {
        all.endpoints.push(Arc::new(endpoint(0, provider, tag)));
    }
    let view = view_of(
        &all,
        vec![
            ("m0/x@p0", measured(900, 100, 0)),
            ("m0/x@p1", measured(400, 100, 0)),
            ("m0/x@p0/priority", measured(500, 100, 0)),
            ("m0/x@p1/priority", measured(700, 100, 0)),
        ],
    );
    let at = |model: &str, tier, change: fn(&mut Preferences)| {
        let demand = Demand {
            model: model.to_owned(),
            tier,
            ..prefer(change)
        };
        order_of(&view, &demand)
    };
    let any = |_: &mut Preferences| {};
    let priority = Some(Tier::Priority);
    assert_eq!(at("m0/x", priority, any), "p1/priority p0/priority p0 p1");
    // Of the whole pool, the fastest.
    assert_eq!(at("m0/x:nitro", None, any), "p0 p1/priority p0/priority p1");
    // Prices rise with the provider's number: the client's own sort wins within each pool.
    let cheap = |p: &mut Preferences| p.sort = Some(Mode::Price);
    assert_eq!(at("m0/x", priority, cheap), "p0/priority p1/priority p0 p1");
    assert_eq!(at("m0/x:floor", None, any), "p0 p1");
    // What the workspace prefers holds where neither a suffix nor a tier says how to sort.
    let usual = |p: &mut Preferences| p.default_sort = Some(DefaultSort::By(Mode::Price));
    assert_eq!(at("m0/x", None, usual), at("m0/x", None, cheap));
    assert_eq!(at("m0/x", priority, usual), at("m0/x", priority, any));
    assert_eq!(at("m0/x:nitro", None, usual), at("m0/x:nitro", None, any));
}

#[test]
fn a_session_does_not_hold_who_asks_for_another_tier() {
    let mut all = catalog(2, 1, 2);
    for (provider, tag) in [(0, "p0/priority"), (1, "p1/priority")] {
        all.endpoints.push(Arc::new(endpoint(0, provider, tag)));
    }
    let rows = vec![
        ("m0/x@p0/priority", measured(500, 100, 0)),
        ("m0/x@p1/priority", measured(700, 100, 0)),
    ];
    let view = view_of(&all, rows);
    let order = |stuck: &str, tier| {
        let demand = Demand {
            tier,
            sticky: vec![Sticky {
                endpoint: stuck.into(),
                hit: 9000,
                pinned: true,
            }],
            ..demand()
        };
        order_of(&view, &demand)
    };
    let priority = Some(Tier::Priority);
    assert!(order("m0/x@p1", None).starts_with("p1"));
    assert!(order("m0/x@p1", priority).starts_with("p1/priority p0/priority"));
    assert!(order("m0/x@p0/priority", priority).starts_with("p0/priority p1/priority"));
}

#[test]
fn what_is_not_measured_is_told_where_the_order_goes_by_measurements() {
    let all = catalog(3, 1, 3);
    let view = view_of(&all, vec![("m0/x@p1", measured(500, 100, 0))]);
    let reasons = |change: fn(&mut Preferences)| {
        let plan = plan_of(&view, &prefer(change), 1).unwrap();
        let all = plan.candidates.iter().map(|it| it.reason.as_str());
        all.collect::<Vec<_>>().join(" ")
    };
    let latency = reasons(|p| p.sort = Some(Mode::Latency));
    assert_eq!(latency, "sort:latency unmeasured unmeasured");
    let throughput = reasons(|p| p.sort = Some(Mode::Throughput));
    assert_eq!(throughput, "sort:throughput unmeasured unmeasured");
    let price = reasons(|p| p.sort = Some(Mode::Price));
    assert_eq!(price, "sort:price sort:price sort:price");
    let exacto = reasons(|p| p.exacto = true);
    assert_eq!(exacto, "sort:exacto unmeasured unmeasured");
}

#[test]
fn a_partition_of_none_sorts_all_models_together() {
    let mut all = catalog(2, 2, 2);
    for (at, price) in ["0.000004", "0.000002", "0.000003", "0.000001"]
        .iter()
        .enumerate()
    {
        let endpoint = Arc::make_mut(&mut all.endpoints[at]);
        endpoint.pricing.prompt = price.parse().unwrap();
        endpoint.pricing.completion = price.parse().unwrap();
    }
    let view = view_of(&all, vec![]);
    let check = |partition, sort, expect: &str| {
        let mut demand = prefer(|p| (p.partition, p.sort) = (partition, sort));
        demand.fallback_models = vec!["m1/x".to_owned()];
        let plan = plan_of(&view, &demand, 3).unwrap();
        let ids: Vec<_> = plan
            .candidates
            .iter()
            .map(|it| it.endpoint.id.as_str())
            .collect();
        assert_eq!(ids.join(" "), expect);
    };
    let price = Some(Mode::Price);
    let apart = "m0/x@p1 m0/x@p0 m1/x@p1 m1/x@p0";
    check(Some(Partition::Model), price, apart);
    check(None, price, apart);
    check(
        Some(Partition::None),
        price,
        "m1/x@p1 m0/x@p1 m1/x@p0 m0/x@p0",
    );
    let mut drawn = prefer(|p| p.partition = Some(Partition::None));
    drawn.fallback_models = vec!["m1/x".to_owned()];
    for seed in 0..20 {
        let plan = plan_of(&view, &drawn, seed).unwrap();
        let first = plan.candidates[0].endpoint.model.as_str();
        assert_eq!(first, "m0/x", "without a sort there is nothing to merge");
    }
    // A suffix that all of them have sorts all of them; what one of them has is said of that one.
    let suffixed = |one: &str, other: &str| {
        let mut demand = prefer(|p| p.partition = Some(Partition::None));
        (demand.model, demand.fallback_models) = (one.to_owned(), vec![other.to_owned()]);
        let plan = plan_of(&view, &demand, 1).unwrap();
        let models = plan.candidates.iter();
        let models = models.map(|it| it.endpoint.model.to_string());
        models.collect::<Vec<_>>().join(" ")
    };
    let merged = "m1/x m0/x m1/x m0/x";
    assert_eq!(suffixed("m0/x:floor", "m1/x:floor"), merged);
    assert_eq!(suffixed("m0/x:floor", "m1/x"), "m0/x m0/x m1/x m1/x");
    // Whatever sorts all of them will do.
    drawn.preferences.default_sort = Some(DefaultSort::By(Mode::Price));
    let plan = plan_of(&view, &drawn, 1).unwrap();
    let models = plan.candidates.iter().map(|it| it.endpoint.model.as_str());
    assert_eq!(models.collect::<Vec<_>>(), ["m1/x", "m0/x", "m1/x", "m0/x"]);
}

#[test]
fn tool_requests_avoid_who_breaks_calls_once_there_are_peers() {
    let catalog = catalog(6, 1, 6);
    let rows = |count: usize| -> Vec<(&str, RankingRow)> {
        let all = [
            ("m0/x@p0", measured(500, 100, 2)),
            ("m0/x@p1", measured(510, 100, 3)),
            ("m0/x@p2", measured(490, 100, 200)),
            ("m0/x@p3", measured(505, 100, 2)),
            ("m0/x@p4", measured(60, 100, 2)),
        ];
        all.into_iter().take(count).collect()
    };
    let tools = Demand {
        needs_tools: true,
        ..demand()
    };
    let view = view_of(&catalog, rows(5));
    assert_eq!(firsts(&view, &tools), "p0 p1 p3");
    let last: BTreeSet<_> = (0..20)
        .map(|seed| plan_of(&view, &tools, seed).unwrap())
        .flat_map(|plan| {
            plan.candidates[4..]
                .iter()
                .map(|it| it.endpoint.tag.clone())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(last, BTreeSet::from(["p2".to_owned(), "p4".to_owned()]));
    let few = view_of(&catalog, rows(3));
    assert!(
        firsts(&few, &tools).contains("p2"),
        "three are too few to compare"
    );
    assert!(
        firsts(&view, &demand()).contains("p2"),
        "no tools, no doubt"
    );
    let mut cheap = tools;
    cheap.preferences.sort = Some(Mode::Price);
    assert_eq!(order_of(&view, &cheap), "p0 p1 p2 p3 p4 p5", "opted out");
    let exacto = prefer(|p| p.exacto = true);
    assert_eq!(order_of(&view, &exacto), "p3 p0 p1 p5 p4 p2");
    let suffix = Demand {
        model: "m0/x:nitro:exacto".to_owned(),
        ..demand()
    };
    assert_eq!(order_of(&view, &suffix), "p3 p0 p1 p5 p4 p2");
}

#[test]
fn a_conversation_goes_on_where_it_was() {
    let catalog = catalog(4, 1, 4);
    let view = view_of(&catalog, vec![]);
    let with = |pinned, hit, change: fn(&mut Preferences)| Demand {
        sticky: vec![Sticky {
            endpoint: "m0/x@p3".into(),
            hit,
            pinned,
        }],
        ..prefer(change)
    };
    let any = |_: &mut Preferences| {};
    let sort = |p: &mut Preferences| p.sort = Some(Mode::Price);
    let order = |p: &mut Preferences| p.order = vec!["p1".to_owned()];
    assert_eq!(firsts(&view, &with(true, 0, any)), "p3");
    assert_eq!(firsts(&view, &with(true, 0, sort)), "p3");
    assert_eq!(firsts(&view, &with(false, 9000, sort)), "p3");
    assert_eq!(firsts(&view, &with(true, 0, order)), "p1");
    // Without a named session only a cheaper prompt holds it, and there is no price for it here.
    assert!(firsts(&view, &with(false, 9000, any)).contains("p0"));
    // Where it fails, the next best serves.
    let failing = view_of(&catalog, vec![("m0/x@p3", row(0.0, State::Open))]);
    assert!(!firsts(&failing, &with(true, 0, any)).contains("p3"));
    let plan = plan_of(&view, &with(true, 0, any), 1).unwrap();
    assert_eq!(plan.candidates[0].reason.as_str(), "sticky");
}

fn some_rows_measured() -> impl Strategy<Value = Vec<(usize, RankingRow)>> {
    let row = (0_usize..5, 0_u32..1000, 0_u32..3000, 0_u16..999);
    let row = row.prop_map(|(at, fast, soon, broken)| (at, measured(fast, soon, broken)));
    prop::collection::vec(row, 0..6)
}

fn some_cutoffs() -> impl Strategy<Value = Cutoffs> {
    prop::array::uniform4(prop::option::of(0_u32..3000)).prop_map(|[p50, p75, p90, p99]| Cutoffs {
        p50,
        p75,
        p90,
        p99,
    })
}

proptest! {
    #[test]
    fn what_is_merely_preferred_excludes_nobody(
        rows in some_rows_measured(), fast in some_cutoffs(), soon in some_cutoffs(),
        flags: [bool; 4], stuck in 0_usize..5, hit: u16, seed: u64,
        sort in prop::option::of(prop::sample::select(Mode::ALL)),
    ) {
        let catalog = catalog(5, 2, 5);
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(at, row)| (catalog.endpoints[at].id.as_str(), row))
            .collect();
        let view = view_of(&catalog, rows);
        let mut demand = demand();
        demand.fallback_models = vec!["m1/x".to_owned()];
        let plain = plan_of(&view, &demand, seed).unwrap();
        demand.needs_tools = flags[0];
        demand.tier = flags[1].then_some(Tier::Priority);
        demand.sticky = vec![Sticky {
            endpoint: catalog.endpoints[stuck].id.clone(),
            hit,
            pinned: flags[2],
        }];
        demand.preferences.exacto = flags[3] && sort.is_none();
        demand.preferences.sort = sort;
        demand.preferences.partition = flags[2].then_some(Partition::None);
        demand.preferences.min_throughput = fast;
        demand.preferences.max_latency = soon;
        let preferred = plan_of(&view, &demand, seed).unwrap();
        prop_assert_eq!(&preferred, &plan_of(&view, &demand, seed).unwrap());
        let ids = |plan: &Plan| -> BTreeSet<_> {
            plan.candidates.iter().map(|it| it.endpoint.id.clone()).collect()
        };
        prop_assert_eq!(ids(&plain), ids(&preferred));
        prop_assert_eq!(plain.candidates.len(), preferred.candidates.len());
        prop_assert!(preferred.excluded.is_empty());
    }
}
