//! Caps, portions and leases, probes, wishes, and what is worth telling.

use super::*;
use crate::catalog::Limits;
use crate::health::Board;
use crate::id::{ModelId, NodeId};
use crate::key::KeyHash;
use crate::policy::{KeyKind, KeyPolicy, Principal};
use crate::ranking::portion::LEASE_MARGIN;
use crate::routing::{Demand, View, plan};
use crate::snapshot::EndpointIndex;
use crate::usage::Usage;
use crate::window::Sign;

/// As `equals`, each provider allowing so many requests per second.
fn limited(count: usize, per_second: u32) -> Snapshot {
    let mut catalog = catalog(count, 1, 0);
    for provider in &mut catalog.providers {
        Arc::make_mut(provider).limits = Limits {
            requests_per_minute: Some(60 * per_second),
            ..Limits::default()
        };
    }
    for at in 0..count {
        let mut one = endpoint(0, at, &format!("p{at}"));
        one.pricing = endpoint(0, 0, "p0").pricing;
        catalog.endpoints.push(Arc::new(one));
    }
    snapshot(&catalog)
}

fn asked(outcome: Outcome, times: usize) -> Window {
    let mut window = Window::default();
    for _ in 0..times {
        window.record(&Observation {
            first_attempt: true,
            ..Observation::of(outcome)
        });
    }
    window
}

/// What each of the edges may send, in requests per second.
fn leases(bench: &Bench, edges: &[Edge], tag: &str) -> Vec<f64> {
    let model = ModelId::from("m0/x");
    let lease = |edge: &Edge| {
        let mut own = RankingTable::clone(bench.table(edge.2));
        own.portion = bench.fleet.portion(&edge.0.into()).as_ref().clone();
        own.lease(&model, &own.rows[&id(tag)]).requests.unwrap()
    };
    edges.iter().map(lease).collect()
}

#[test]
fn a_configured_limit_is_leased_out_by_demand() {
    let all = [FRA, AMS, NYC];
    let mut bench = Bench::new(limited(2, 40), &all);
    for _ in 0..60 {
        bench.report(FRA, vec![(id("p0"), asked(Outcome::Ok, 20))]);
        bench.report(NYC, vec![(id("p0"), asked(Outcome::Ok, 5))]);
        bench.pass(&all);
    }
    let row = bench.row("eu", "p0");
    assert!((38_000..39_300).contains(&row.cap), "{}", row.cap);
    let got = leases(&bench, &all, "p0");
    let sum: f64 = got.iter().sum();
    let cap = row.cap_per_second().unwrap();
    assert!(
        (sum / (LEASE_MARGIN * cap) - 1.0).abs() < 1e-3,
        "{sum} of {cap}"
    );
    assert!(
        got[0] > 2.0 * got[2],
        "who asks more may send more: {got:?}"
    );
    assert!(got[1] > 2.0, "who asks nothing is not refused: {got:?}");
    assert_eq!(bench.fleet.portion(&NodeId::from("nobody")).usual, 0);
}

#[test]
fn a_drained_edge_has_what_it_is_still_asked_and_probes_nothing() {
    let all = [FRA, AMS, NYC];
    let mut bench = Bench::new(limited(2, 40), &all);
    let drained = |edges: &[Edge]| edges.iter().map(|edge| NodeId::from(edge.0)).collect();
    let seconds = |bench: &mut Bench, asking: &[Edge], seconds| {
        for _ in 0..seconds {
            for edge in asking {
                bench.report(*edge, vec![(id("p0"), asked(Outcome::Ok, 10))]);
            }
            bench.pass(&all);
        }
    };
    seconds(&mut bench, &[FRA, AMS], 60);
    let before = leases(&bench, &all, "p0");
    assert!((before[0] / before[1] - 1.0).abs() < 0.05, "{before:?}");

    // What was sent to it goes elsewhere.
    bench.fleet.drain(drained(&[FRA]));
    seconds(&mut bench, &[AMS, AMS], 300);
    let after = leases(&bench, &all, "p0");
    assert!(after[0] < after[2] / 2.0, "{after:?}");
    assert!(after[0] > 0.0, "what still arrives is served: {after:?}");
    assert!(after[1] > 1.5 * before[1], "{before:?} {after:?}");
    // A node that is still asked has a part for that.
    seconds(&mut bench, &[FRA, AMS], 300);
    let asked = leases(&bench, &all, "p0");
    assert!(asked[0] > 0.5 * asked[1], "{asked:?}");

    // Whoever else there is in the region tries what is doubted; when all are drained, one of them.
    let mut bench = Bench::new(equals(3), &all);
    bench.saw(NYC, "p0", Outcome::HardFail, 3);
    let mut tried_by = |edges: &[Edge]| {
        bench.fleet.drain(drained(edges));
        bench.tick();
        let probe = bench.row("eu", "p0").probe;
        probe.map(|probe| probe.node.to_string())
    };
    assert_eq!(tried_by(&[FRA]).as_deref(), Some("edge-2"));
    assert_eq!(tried_by(&[AMS]).as_deref(), Some("edge-1"));
    assert!(tried_by(&[FRA, AMS]).is_some());
}

/// Several models behind one account that takes so many requests per second, and so many at a time.
fn one_account(models: usize, per_second: u32, concurrent: u32) -> Snapshot {
    let mut catalog = catalog(1, models, 1);
    Arc::make_mut(&mut catalog.providers[0]).limits = Limits {
        requests_per_minute: Some(60 * per_second),
        tokens_per_minute: None,
        concurrent: Some(concurrent),
    };
    snapshot(&catalog)
}

/// What all edges may send all endpoints together: requests per second, and at a time.
fn leased(bench: &Bench, edges: &[Edge]) -> (f64, f64) {
    let mut sum = (0.0, 0.0);
    for edge in edges {
        let mut own = RankingTable::clone(bench.table(edge.2));
        own.portion = bench.fleet.portion(&edge.0.into()).as_ref().clone();
        let view = View::new(Arc::new(bench.snapshot.clone()), Arc::new(own));
        for at in 0..bench.snapshot.endpoints().len() {
            let index = EndpointIndex(u32::try_from(at).unwrap());
            // Of what nobody has asked yet nothing is told.
            if view.row(index).is_none() {
                continue;
            }
            let lease = view.lease(index, Moment::default());
            sum.0 += lease.requests.unwrap_or_default();
            sum.1 += lease.in_flight.unwrap_or_default();
        }
    }
    sum
}

#[test]
fn an_account_is_shared_out_among_the_models_behind_it() {
    let all = [FRA, NYC];
    let mut bench = Bench::new(one_account(3, 30, 60), &all);
    let of = |model: usize| EndpointId::from(format!("m{model}/x@p0"));
    let cap = |bench: &Bench, model| bench.table("eu").rows[&of(model)].cap_per_second().unwrap();
    let pass = |bench: &mut Bench, asks: [usize; 3]| {
        for _ in 0..60 {
            let windows = (0..3).map(|model| (of(model), asked(Outcome::Ok, asks[model])));
            bench.report(FRA, windows.collect());
            bench.pass(&all);
        }
    };
    pass(&mut bench, [20, 2, 1]);
    let before = [0, 1, 2].map(|model| cap(&bench, model));
    assert!(before[0] > 20.0, "who uses much has room: {before:?}");
    assert!(
        before[1] > 3.0 && before[2] > 0.5,
        "and so has everybody: {before:?}"
    );
    let (requests, at_a_time) = leased(&bench, &all);
    assert!(requests <= LEASE_MARGIN * 30.0 + 1e-6, "{requests}");
    assert!((57.0..60.1).contains(&at_a_time), "{at_a_time}");
    // The demand moves on, and the parts follow.
    pass(&mut bench, [2, 20, 1]);
    let after = [0, 1, 2].map(|model| cap(&bench, model));
    assert!(after[1] > 20.0 && after[0] < 10.0, "{after:?}");
    assert!(leased(&bench, &all).0 <= LEASE_MARGIN * 30.0 + 1e-6);
}

#[test]
fn a_limit_that_the_provider_states_is_leased_out_before_anything_is_turned_away() {
    let all = [FRA, NYC];
    let mut bench = Bench::new(equals(2), &all);
    for _ in 0..5 {
        let mut window = asked(Outcome::Ok, 10);
        for _ in 0..10 {
            window.record(&Observation {
                usage: Usage {
                    prompt: 900,
                    completion: 100,
                    ..Usage::default()
                },
                noted: true,
                ..Observation::of(Outcome::Ok)
            });
        }
        window.note(&Sign::Limits(Stated {
            requests_per_minute: Some(60_000),
            tokens_per_minute: Some(300_000),
            retry_after: None,
        }));
        bench.report(FRA, vec![(id("p0"), window)]);
        bench.pass(&all);
    }
    let row = bench.row("eu", "p0");
    assert_eq!((row.cap, row.token_cap), (950_000, 4_750));
    let lease = |edge: Edge| {
        let mut own = RankingTable::clone(bench.table(edge.2));
        own.portion = bench.fleet.portion(&edge.0.into()).as_ref().clone();
        own.lease(&ModelId::from("m0/x"), &own.rows[&id("p0")])
            .tokens
            .unwrap()
    };
    let sum = lease(FRA) + lease(NYC);
    assert!((sum / (LEASE_MARGIN * 4_750.0) - 1.0).abs() < 1e-3, "{sum}");
    assert_eq!(bench.row("eu", "p1").token_cap, 0);
}

#[test]
fn who_turns_away_is_sent_less_and_not_called_sick() {
    let mut bench = Bench::new(equals(2), &[FRA, NYC]);
    for _ in 0..10 {
        for tag in ["p0", "p1"] {
            bench.report(FRA, vec![(id(tag), asked(Outcome::Ok, 20))]);
        }
        bench.pass(&[FRA, NYC]);
    }
    assert_eq!(bench.row("eu", "p0").cap, 0);
    let full = Outcome::RateLimited { retry_after: None };
    for _ in 0..5 {
        let mut window = asked(Outcome::Ok, 5);
        window.merge(&asked(full, 15));
        bench.report(
            FRA,
            vec![(id("p0"), window), (id("p1"), asked(Outcome::Ok, 20))],
        );
        bench.pass(&[FRA, NYC]);
    }
    let row = bench.row("eu", "p0");
    assert_eq!(row.state, State::Closed);
    let cap = row.cap_per_second().unwrap();
    assert!((3.0..9.0).contains(&cap), "{cap}");
    // Forty requests per second are asked for.
    let sent = 40.0 * bench.share("eu", "p0");
    assert!(sent < 1.3 * cap, "{sent} of {cap}");
}

/// Four edges serve well; a fifth says that it is turned away, for an hour, by a provider that takes
/// next to nothing.
#[test]
fn one_edge_that_lies_about_capacity_moves_no_share() {
    const LIAR: Edge = ("edge-5", "lax1", "us");
    let all = [FRA, AMS, NYC, ("edge-4", "chi1", "us"), LIAR];
    let mut bench = Bench::new(limited(2, 40), &all);
    let mut second = |lies: bool| {
        for edge in all {
            let mut window = asked(Outcome::Ok, 5);
            if lies && edge == LIAR {
                let retry_after = Some(Duration::from_secs(3600));
                window = asked(Outcome::RateLimited { retry_after }, 5_000);
                window.note(&Sign::Limits(Stated {
                    requests_per_minute: Some(1),
                    tokens_per_minute: Some(1),
                    retry_after,
                }));
            }
            let usual = asked(Outcome::Ok, 5);
            bench.report(edge, vec![(id("p0"), window), (id("p1"), usual)]);
        }
        bench.pass(&all);
        (bench.share("eu", "p0"), bench.row("eu", "p0").cap)
    };
    let mut honest = second(false);
    for _ in 0..30 {
        honest = second(false);
    }
    for _ in 0..60 {
        let (share, cap) = second(true);
        assert!((share - honest.0).abs() < 0.02, "{share} of {}", honest.0);
        assert!(cap >= honest.1, "{cap} of {}", honest.1);
    }
}

#[test]
fn what_moves_by_noise_is_not_told() {
    let edges = [FRA, AMS, NYC];
    let mut bench = Bench::new(equals(4), &edges);
    let mut random = fastrand::Rng::with_seed(3);
    let mut told = 0;
    for second in 0..200 {
        for edge in edges {
            for tag in ["p0", "p1", "p2", "p3"] {
                let mut window = Window::default();
                for _ in 0..random.usize(1..5) {
                    window.record(&Observation {
                        ttft: Some(Duration::from_millis(random.u64(300..600))),
                        tokens_per_second: Some(50.0 + 20.0 * random.f64()),
                        first_attempt: true,
                        ..Observation::of(Outcome::Ok)
                    });
                }
                bench.report(edge, vec![(id(tag), window)]);
            }
        }
        let before = bench.fleet.table(&"eu".into()).cloned();
        bench.pass(&edges);
        if let Some(before) = before.filter(|_| second >= 100) {
            told += bench.table("eu").diff(&before).rows.len();
        }
    }
    assert!(told <= 40, "{told} rows in a hundred quiet seconds");
}

#[test]
fn wishes_pin_weigh_and_withdraw() {
    let mut bench = Bench::new(equals(3), &[FRA, NYC]);
    let wish = |bench: &mut Bench, tag: &str, wish: OperatorWish| {
        bench.fleet.wish(&id(tag), wish);
        for _ in 0..20 {
            bench.saw(FRA, "p1", Outcome::Ok, 2);
            bench.pass(&[FRA, NYC]);
        }
    };
    let pinned = OperatorWish {
        pinned: true,
        ..OperatorWish::default()
    };
    wish(&mut bench, "p0", pinned);
    assert!(bench.share("eu", "p0") > 0.99);
    for edge in [FRA, NYC] {
        bench.saw(edge, "p0", Outcome::HardFail, 20);
    }
    bench.tick();
    assert_eq!(bench.row("eu", "p0").state, State::Open);
    assert!(
        bench.share("eu", "p1") > 0.4,
        "a pin does not hold what fails"
    );

    let mut bench = Bench::new(equals(3), &[FRA, NYC]);
    let heavy = OperatorWish {
        favour: 4.0,
        ..OperatorWish::default()
    };
    wish(&mut bench, "p0", heavy);
    let (heavy, plain) = (bench.share("eu", "p0"), bench.share("eu", "p2"));
    assert!((3.8..4.2).contains(&(heavy / plain)), "{heavy} to {plain}");
    let none = OperatorWish {
        favour: 0.0,
        ..OperatorWish::default()
    };
    wish(&mut bench, "p0", none);
    assert_eq!(bench.row("eu", "p0").share, [0; 4]);
}

/// The shares that an edge's plan draws by, in the order of the providers.
fn drawn(bench: &Bench) -> Vec<f64> {
    let ranking = Arc::clone(bench.table("eu"));
    let view = View::new(Arc::new(bench.snapshot.clone()), ranking);
    let anyone = Principal {
        org: "org_1".into(),
        key: KeyHash::of("k"),
        key_name: String::new(),
        kind: KeyKind::Inference,
        expires_at: None,
        policy: KeyPolicy::default(),
    };
    let demand = Demand {
        model: "m0/x".to_owned(),
        ..Demand::default()
    };
    let (board, now) = (Board::default(), Moment::default());
    let plan = plan(&view, &board, &|_| true, &anyone, &demand, now, 1).unwrap();
    let mut shares: Vec<(&str, f64)> = plan
        .candidates
        .iter()
        .map(|it| (it.endpoint.tag.as_str(), it.share))
        .collect();
    shares.sort_unstable_by(|a, b| a.0.cmp(b.0));
    shares.into_iter().map(|(_, share)| share).collect()
}

#[test]
fn half_the_weight_is_half_the_share_with_traffic_and_without() {
    for traffic in [false, true] {
        // The first is the cheapest.
        let mut bench = Bench::new(snapshot(&catalog(3, 1, 3)), &[FRA, NYC]);
        let mut settled = |favour| {
            let wish = OperatorWish {
                favour,
                ..OperatorWish::default()
            };
            bench.fleet.wish(&id("p0"), wish);
            for _ in 0..30 {
                for tag in ["p0", "p1", "p2"].iter().filter(|_| traffic) {
                    bench.saw(FRA, tag, Outcome::Ok, 2);
                }
                bench.pass(&[FRA, NYC]);
            }
            drawn(&bench)
        };
        let (before, after) = (settled(1.0), settled(0.5));
        assert!(before[0] > before[1], "{before:?}");
        for other in [1, 2] {
            let ratio = after[0] / after[other] / (before[0] / before[other]);
            assert!(
                (0.47..0.53).contains(&ratio),
                "{traffic}: {before:?} {after:?}"
            );
        }
        assert!(after[0] < before[0]);
    }
}

#[test]
fn a_cordon_of_one_changes_nothing_between_the_others() {
    let mut bench = Bench::new(snapshot(&catalog(3, 1, 3)), &[FRA]);
    bench.tick();
    let before = drawn(&bench);
    bench.fleet.withdraw(&id("p2"), Some(State::Draining));
    bench.pass(&[FRA]);
    let after = drawn(&bench);
    let ratio = after[0] / after[1] / (before[0] / before[1]);
    assert!((0.97..1.03).contains(&ratio), "{before:?} {after:?}");
}

#[test]
fn a_provider_that_fails_in_two_models_is_suspect_in_a_third() {
    let mut catalog = catalog(2, 3, 0);
    for model in 0..3 {
        for at in 0..2 {
            let mut one = endpoint(model, at, &format!("p{at}"));
            one.pricing = endpoint(0, 0, "p0").pricing;
            catalog.endpoints.push(Arc::new(one));
        }
    }
    let mut bench = Bench::new(snapshot(&catalog), &[FRA, NYC]);
    let of = |model: usize, at: usize| EndpointId::from(format!("m{model}/x@p{at}"));
    for model in 0..3 {
        for at in 0..2 {
            bench.report(FRA, vec![(of(model, at), outcomes(Outcome::Ok, 1))]);
        }
    }
    bench.pass(&[FRA, NYC]);
    let share = |bench: &Bench| bench.table("eu").rows[&of(2, 0)].share_of(Mode::Balanced);
    assert!(share(&bench) > 0.4);
    for model in 0..2 {
        for edge in [FRA, NYC] {
            bench.report(edge, vec![(of(model, 0), outcomes(Outcome::HardFail, 20))]);
        }
    }
    bench.tick();
    bench.tick();
    assert_eq!(bench.table("eu").rows[&of(0, 0)].state, State::Open);
    let row = &bench.table("eu").rows[&of(2, 0)];
    assert_eq!(row.state, State::Closed, "nobody has seen it fail");
    assert!(share(&bench) < 0.01, "{}", share(&bench));
}

#[test]
fn a_slow_decline_shuts_off_too() {
    let edges = [FRA, AMS, NYC];
    let mut bench = Bench::new(equals(3), &edges);
    for _ in 0..30 {
        for edge in edges {
            let mut window = outcomes(Outcome::Ok, 3);
            window.merge(&outcomes(Outcome::HardFail, 1));
            bench.report(
                edge,
                vec![(id("p0"), window), (id("p1"), outcomes(Outcome::Ok, 4))],
            );
        }
        bench.pass(&edges);
    }
    let state = bench.row("eu", "p0").state;
    assert!(matches!(state, State::Open | State::HalfOpen), "{state}");
    assert_eq!(bench.row("eu", "p1").state, State::Closed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_account_is_leased_out_twice(
        rounds in prop::collection::vec(prop::collection::vec(0_usize..40, 4), 1..12),
        per_second in 1_u32..60,
    ) {
        let all = [FRA, AMS, NYC];
        let mut bench = Bench::new(one_account(4, per_second, 8 * per_second), &all);
        for asks in rounds {
            for (edge, more) in all.iter().zip([1, 2, 0]) {
                let windows = asks.iter().enumerate().map(|(model, count)| {
                    let id = EndpointId::from(format!("m{model}/x@p0"));
                    (id, asked(Outcome::Ok, count * more))
                });
                bench.report(*edge, windows.collect());
            }
            bench.pass(&all);
            bench.pass(&all);
            let (requests, at_a_time) = leased(&bench, &all);
            let account = f64::from(per_second);
            prop_assert!(requests <= LEASE_MARGIN * account * 1.001, "{requests} of {account}");
            prop_assert!(at_a_time <= 8.0 * account * 1.001 + 0.1, "{at_a_time}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn leases_sum_to_the_cap(
        counts in prop::collection::vec(prop::collection::vec(0_usize..12, 3), 1..25),
    ) {
        let all = [FRA, AMS, NYC];
        let mut bench = Bench::new(limited(2, 30), &all);
        for second in counts {
            for (edge, count) in all.iter().zip(second) {
                bench.report(*edge, vec![(id("p0"), asked(Outcome::Ok, count))]);
            }
            bench.pass(&all);
            if bench.table("eu").rows.is_empty() {
                continue;
            }
            let cap = bench.row("eu", "p0").cap_per_second().unwrap();
            let sum: f64 = leases(&bench, &all, "p0").iter().sum();
            prop_assert!((sum / (LEASE_MARGIN * cap) - 1.0).abs() < 1e-3, "{sum} of {cap}");
        }
    }

    #[test]
    fn one_node_probes_and_numbers_grow(
        script in prop::collection::vec((0_usize..3, 0_usize..3, 0_u8..4), 1..60),
    ) {
        let edges = [FRA, AMS, NYC];
        let mut bench = Bench::new(equals(3), &edges);
        let mut last: BTreeMap<(Region, EndpointId), (u32, String)> = BTreeMap::new();
        for (edge, tag, kind) in script {
            let outcome = [Outcome::Ok, Outcome::HardFail, Outcome::Silence, Outcome::Timeout];
            let window = asked(outcome[usize::from(kind)], 6);
            bench.report(edges[edge], vec![(id(&format!("p{tag}")), window)]);
            bench.pass(&edges);
            for (region, table) in [("eu", bench.table("eu")), ("us", bench.table("us"))] {
                for (endpoint, row) in &table.rows {
                    let Some(probe) = &row.probe else { continue };
                    prop_assert!(!row.state.is_withdrawn());
                    let here: Vec<&str> =
                        edges.iter().filter(|it| it.2 == region).map(|it| it.0).collect();
                    prop_assert!(here.contains(&probe.node.as_str()), "of the region");
                    let key = (Region::from(region), endpoint.clone());
                    let now = (probe.number, probe.node.to_string());
                    if let Some(before) = last.insert(key, now.clone()) {
                        prop_assert!(before.0 <= now.0, "numbers never go back");
                        prop_assert!(before.0 < now.0 || before == now, "one node per number");
                    }
                }
            }
        }
    }

    #[test]
    fn a_single_endpoint_always_routes(
        script in prop::collection::vec((0_usize..3, 0_u8..4, 1_usize..30), 1..40),
    ) {
        let edges = [FRA, AMS, NYC];
        let mut bench = Bench::new(equals(1), &edges);
        for (edge, kind, times) in script {
            let full = Outcome::RateLimited { retry_after: None };
            let outcome = [Outcome::Ok, Outcome::HardFail, Outcome::Timeout, full];
            let window = asked(outcome[usize::from(kind)], times);
            bench.report(edges[edge], vec![(id("p0"), window)]);
            bench.pass(&edges);
            prop_assert_eq!(absurdity(bench.table("us")), None);
            for row in bench.table("us").rows.values() {
                prop_assert!((row.share_of(Mode::Balanced) - 1.0).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn a_higher_price_never_raises_a_share(
        reports in some_reports(), cheap in 1_u32..50, dearer in 1_u32..50,
    ) {
        let share_at = |price: u32| {
            let mut catalog = catalog(3, 1, 3);
            let mut one = endpoint(0, 0, "p0");
            one.pricing.prompt = format!("0.0000000{price:02}").parse().unwrap();
            catalog.endpoints[0] = Arc::new(one);
            let mut fleet = Fleet::default();
            for report in &without_capacity(&reports) {
                fleet.merge(report, at(50.0));
            }
            fleet.merge(&report(NYC, 98, vec![(id("p0"), outcomes(Outcome::Ok, 1))]), at(50.0));
            let tables = fleet.tick(&snapshot(&catalog), at(50.0), 7, Version::default());
            tables[&Region::from("us")].rows[&id("p0")].share
        };
        let (before, after) = (share_at(cheap), share_at(cheap + dearer));
        for (before, after) in before.into_iter().zip(after) {
            prop_assert!(after <= before.saturating_add(1), "{before} to {after}");
        }
    }
}
