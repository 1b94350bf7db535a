//! The draw: without replacement, corrected by what this node saw, and the same again from a
//! record.

use super::properties::{some_demand, some_rows};
use super::*;
use crate::health::{Allowance, Departure, Evidence, Local, Recorded};
use crate::ranking::Percentiles;
use crate::routing::{Record, Sticky, effective_price};

fn handle(id: &str) -> Handle {
    Handle::of(&id.into())
}

fn shares_with(view: &View, health: &dyn Evidence, demand: &Demand) -> [f64; 3] {
    shares_at(Moment::default(), view, health, demand)
}

fn shares_at(now: Moment, view: &View, health: &dyn Evidence, demand: &Demand) -> [f64; 3] {
    let anyone = principal(KeyPolicy::default());
    let mut first = [0.0; 3];
    for seed in 0..4000 {
        let plan = plan(view, health, &|_| true, &anyone, demand, now, seed).unwrap();
        match tags(&plan)[0] {
            "p0" => first[0] += 1.0 / 4000.0,
            "p1" => first[1] += 1.0 / 4000.0,
            _ => first[2] += 1.0 / 4000.0,
        }
    }
    first
}

fn thirds() -> Vec<(&'static str, RankingRow)> {
    let row = |ttft| {
        let mut row = row(1.0 / 3.0, State::Closed);
        row.ttft_ms = Percentiles {
            p50: ttft,
            ..Percentiles::default()
        };
        row
    };
    vec![
        ("m0/x@p0", row(400)),
        ("m0/x@p1", row(400)),
        ("m0/x@p2", row(400)),
    ]
}

fn seen(id: &str, local: Local) -> Recorded {
    Recorded::new(vec![(handle(id), local)])
}

#[test]
fn local_failures_cut_a_share_sharply() {
    let view = view_of(&catalog(3, 1, 3), thirds());
    let failing = Local {
        penalty: 0.3,
        ..Local::default()
    };
    let [sick, ..] = shares_with(&view, &seen("m0/x@p0", failing), &demand());
    // 0.7^6 of a third against two thirds.
    assert!((sick - 0.0555).abs() < 0.015, "{sick}");
    // Who is told of nobody else's failures takes its own the more seriously.
    let view = view.received_at(Moment::default());
    let told = Moment::default().plus(Duration::from_secs(3));
    let health = seen("m0/x@p0", failing);
    let [sick, ..] = shares_at(told, &view, &health, &demand());
    assert!((sick - 0.0555).abs() < 0.015, "{sick}");
    let alone = told.plus(Duration::from_secs(1));
    let [sick, ..] = shares_at(alone, &view, &health, &demand());
    // 0.7^24 of a third.
    assert!(sick < 0.002, "{sick}");
}

#[test]
fn who_turned_requests_away_gets_fewer_where_no_lease_says_so() {
    let reserved = Local {
        acceptance: 0.5,
        ..Local::default()
    };
    let health = seen("m0/x@p0", reserved);
    let view = view_of(&catalog(3, 1, 3), thirds());
    let [fewer, ..] = shares_with(&view, &health, &demand());
    assert!((fewer - 0.2).abs() < 0.03, "{fewer}");
    let mut rows = thirds();
    rows[0].1.cap = 10_000;
    let mut view = view_of(&catalog(3, 1, 3), rows);
    let mut ranking = (*view.ranking).clone();
    ranking.portion.usual = 1_000_000;
    view = View::new(view.snapshot, Arc::new(ranking));
    let [leased, ..] = shares_with(&view, &health, &demand());
    assert!((leased - 1.0 / 3.0).abs() < 0.03, "{leased}");
}

#[test]
fn who_has_little_room_left_gets_little() {
    let mut catalog = catalog(3, 1, 3);
    let provider = Arc::make_mut(&mut catalog.providers[0]);
    provider.limits.concurrent = Some(40);
    let mut ranking = (*view_of(&catalog, thirds()).ranking).clone();
    ranking.portion.usual = 250_000;
    let snapshot = Snapshot::from_catalog(Version::default(), &catalog).unwrap();
    let view = View::new(Arc::new(snapshot), Arc::new(ranking));
    let board = Board::default();
    let now = Moment::default();
    let mut shares = Vec::new();
    for under_way in [3, 3, 3, 3] {
        let [here, ..] = shares_with(&view, &board, &demand());
        shares.push(here);
        for _ in 0..under_way {
            board.departed(handle("m0/x@p0"), &Departure::default(), now);
        }
    }
    // A quarter of forty is ten: the whole third down to seven tenths of that, then less.
    assert!((shares[0] - 1.0 / 3.0).abs() < 0.03, "{shares:?}");
    assert!((shares[1] - 1.0 / 3.0).abs() < 0.03, "{shares:?}");
    assert!((0.18..0.26).contains(&shares[2]), "{shares:?}");
    assert!((0.03..0.10).contains(&shares[3]), "{shares:?}");
    let [full, ..] = shares_with(&view, &board, &demand());
    assert!(full <= 0.0, "{full}");
}

/// The best has nearly all, the others their floor; the second deserves e² times what the third
/// does.
fn floored() -> Vec<(&'static str, RankingRow)> {
    let row = |share, behind| RankingRow {
        behind: [behind; 4],
        ..row(share, State::Closed)
    };
    vec![
        ("m0/x@p0", row(0.998, 0)),
        ("m0/x@p1", row(0.001, 40)),
        ("m0/x@p2", row(0.001, 56)),
    ]
}

#[test]
fn who_stands_in_for_the_best_is_drawn_by_what_it_deserves() {
    let view = view_of(&catalog(3, 1, 3), floored());
    let without_the_best = prefer(|it| it.ignore = vec!["p0".to_owned()]);
    let [best, second, third] = shares_with(&view, &Board::default(), &without_the_best);
    assert!(best <= 0.0, "{best}");
    assert!((second - 0.88).abs() < 0.03, "{second}, {third}");
    // All may serve: shares are kept.
    let [best, ..] = shares_with(&view, &Board::default(), &demand());
    assert!(best > 0.99, "{best}");
}

#[test]
fn who_is_only_tried_out_takes_nothing_of_what_the_best_leaves() {
    let mut rows = floored();
    rows[1].1.state = State::HalfOpen;
    let view = view_of(&catalog(3, 1, 3), rows);
    let without_the_best = prefer(|it| it.ignore = vec!["p0".to_owned()]);
    let [_, tried, other] = shares_with(&view, &Board::default(), &without_the_best);
    assert!(tried < 0.01 && other > 0.99, "{tried}, {other}");
}

#[test]
fn after_a_failure_the_rest_are_drawn_by_what_they_deserve() {
    let view = view_of(&catalog(3, 1, 3), floored());
    let board = Board::default();
    let (now, mut second) = (Moment::default(), 0.0_f64);
    for seed in 0..2000 {
        let mut plan = plan_of(&view, &demand(), seed).unwrap();
        let failed = plan
            .candidates
            .iter()
            .position(|it| it.endpoint.tag == "p0");
        plan.candidates.remove(failed.unwrap());
        plan.arrange(&view, &board, now);
        if tags(&plan)[0] == "p1" {
            second += 1.0 / 2000.0;
        }
    }
    assert!((second - 0.88).abs() < 0.03, "{second}");
}

#[test]
fn options_go_to_whom_they_name_the_most_exact_last() {
    let mut catalog = catalog(3, 1, 3);
    let pricing = catalog.endpoints[0].pricing.clone();
    let mut fast = endpoint(0, 0, "p0/fast");
    fast.pricing = pricing;
    catalog.endpoints[0] = Arc::new(fast);
    let view = view_of(&catalog, Vec::new());
    let demand = prefer(|it| {
        let options = [
            ("p0/fast", "{1}"),
            ("P0", "{2}"),
            ("p1", "{3}"),
            ("p9", "{4}"),
        ];
        it.options = options
            .map(|(to, what)| (to.to_owned(), what.to_owned()))
            .to_vec();
    });
    let plan = plan_of(&view, &demand, 1).unwrap();
    for candidate in &plan.candidates {
        let expect: &[&str] = match candidate.provider.slug.as_str() {
            "p0" => &["{2}", "{1}"],
            "p1" => &["{3}"],
            _ => &[],
        };
        assert_eq!(candidate.options(&demand.preferences), expect);
    }
}

#[test]
fn who_is_full_goes_last_and_everybody_full_is_asked_all_the_same() {
    let view = view_of(&catalog(3, 1, 3), thirds());
    let board = Board::default();
    let nothing = Some(Allowance {
        period: None,
        limit: Some(10.0),
        remaining: 0.0,
        reset: Some(Duration::from_secs(60)),
    });
    let now = Moment::default();
    board.allowed(handle("m0/x@p1"), nothing, None, now);
    let anyone = principal(KeyPolicy::default());
    let make = |seed| plan(&view, &board, &|_| true, &anyone, &demand(), now, seed).unwrap();
    for seed in 0..20 {
        let plan = make(seed);
        assert_eq!(tags(&plan)[2], "p1");
        assert_eq!(plan.candidates[2].reason, Reason::Full);
    }
    board.allowed(handle("m0/x@p0"), nothing, None, now);
    board.allowed(handle("m0/x@p2"), nothing, None, now);
    let plan = make(1);
    assert_eq!(plan.candidates.len(), 3);
    assert!(plan.candidates.iter().all(|it| it.reason == Reason::Full));
}

#[test]
fn a_conversation_stays_where_its_prompt_is_cached() {
    let mut catalog = catalog(3, 1, 3);
    for endpoint in &mut catalog.endpoints {
        let pricing = &mut Arc::make_mut(endpoint).pricing;
        pricing.prompt = "0.000001".parse().unwrap();
        pricing.completion = "0.000002".parse().unwrap();
        pricing.input_cache_read = Some("0.0000001".parse().unwrap());
    }
    let mut talk = demand();
    talk.prompt_tokens = 20_000;
    talk.sticky = vec![Sticky {
        endpoint: "m0/x@p1".into(),
        hit: u16::MAX / 10 * 9,
        pinned: false,
    }];
    let healthy = Recorded::default();
    let view = view_of(&catalog, thirds());
    let [_, stays, _] = shares_with(&view, &healthy, &talk);
    assert!(stays > 0.99, "{stays}");
    // It fails here: nothing is worth staying for.
    let failing = Local {
        paused: true,
        ..Local::default()
    };
    let [_, stays, _] = shares_with(&view, &seen("m0/x@p1", failing), &talk);
    assert!(stays <= 0.0, "{stays}");
    // A cache that costs as much as the prompt: nothing to stay for.
    let pricing = &mut Arc::make_mut(&mut catalog.endpoints[1]).pricing;
    pricing.input_cache_read = None;
    let [_, stays, _] = shares_with(&view_of(&catalog, thirds()), &healthy, &talk);
    assert!((stays - 1.0 / 3.0).abs() < 0.03, "{stays}");
}

#[test]
fn the_effective_price_counts_the_cache_and_long_prompts() {
    let mut pricing = crate::catalog::Pricing {
        prompt: "0.000001".parse().unwrap(),
        completion: "0.000004".parse().unwrap(),
        input_cache_read: Some("0.0000001".parse().unwrap()),
        ..crate::catalog::Pricing::default()
    };
    let check = |pricing: &crate::catalog::Pricing, prompt, hit, expect: f64| {
        let got = effective_price(pricing, prompt, 100, hit);
        assert!((got - expect).abs() < 1e-12, "{got} is not {expect}");
    };
    check(&pricing, 1_000, 0.0, 0.0014);
    check(&pricing, 1_000, 0.5, 0.00095);
    check(&pricing, 1_000, 1.0, 0.0005);
    pricing.overrides = vec![crate::catalog::PriceOverride {
        min_prompt_tokens: 1_000,
        prompt: Some("0.000002".parse().unwrap()),
        ..crate::catalog::PriceOverride::default()
    }];
    check(&pricing, 1_000, 0.0, 0.0014);
    check(&pricing, 2_000, 0.0, 0.0044);
}

#[test]
fn in_latency_mode_the_less_loaded_of_two_goes_first() {
    let view = view_of(&catalog(3, 1, 3), thirds());
    let busy = Local {
        in_flight: 9,
        ..Local::default()
    };
    let health = seen("m0/x@p0", busy);
    let mut fast = demand();
    fast.mode = Mode::Latency;
    let [busy, ..] = shares_with(&view, &health, &fast);
    assert!(busy <= 0.0, "{busy}");
    let [drawn, ..] = shares_with(&view, &health, &demand());
    assert!((drawn - 1.0 / 3.0).abs() < 0.03, "{drawn}");
}

#[test]
fn a_retry_sees_what_happened_meanwhile() {
    let view = view_of(&catalog(3, 1, 3), thirds());
    let (board, now) = (Board::default(), Moment::default());
    let anyone = principal(KeyPolicy::default());
    for seed in 0..50 {
        let mut plan = plan(&view, &board, &|_| true, &anyone, &demand(), now, seed).unwrap();
        let first = plan.take(|_| true).unwrap();
        let sick = plan.candidates[0].handle;
        let ill = Recorded::new(vec![(
            sick,
            Local {
                paused: true,
                ..Local::default()
            },
        )]);
        plan.arrange(&view, &ill, now);
        let second = plan.take(|_| true).unwrap();
        assert!(second.handle != sick && second.handle != first.handle);
        assert_eq!(plan.candidates[0].handle, sick);
    }
}

fn some_local() -> impl Strategy<Value = Local> {
    (
        0.0_f64..=1.0,
        0.05_f64..=1.0,
        any::<[bool; 2]>(),
        0.0_f64..20.0,
        0_u32..50,
    )
        .prop_map(|(penalty, acceptance, flags, peak, in_flight)| Local {
            penalty,
            acceptance,
            paused: flags[0],
            full: flags[1],
            peak,
            in_flight,
            probed: 0,
        })
}

proptest! {
    #[test]
    fn a_recorded_decision_is_made_again_bit_for_bit(
        mut demand in some_demand(), rows in some_rows(), mode in prop::sample::select(Mode::ALL),
        local in prop::collection::vec(some_local(), 10),
        stays in prop::option::of((0_usize..10, any::<u16>(), any::<bool>())), age in 0_u64..200_000_000_000, seed: u64,
    ) {
        demand.mode = mode;
        let catalog = catalog(5, 2, 5);
        demand.sticky = Vec::from_iter(stays.map(|(at, hit, pinned)| Sticky {
            endpoint: catalog.endpoints[at].id.clone(),
            hit,
            pinned,
        }));
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(at, share, state)| (catalog.endpoints[at].id.as_str(), row(share, state)))
            .collect();
        let received = Moment::default().plus(Duration::from_secs(7));
        let view = view_of(&catalog, rows).received_at(received);
        let ids = catalog.endpoints.iter().map(|it| Handle::of(&it.id));
        let live = Recorded::new(ids.zip(local).collect());
        let now = received.plus(Duration::from_nanos(age));
        let anyone = principal(KeyPolicy::default());
        let usable = |provider: &Provider| provider.slug.as_str() != "p4";
        let Ok(made) = plan(&view, &live, &usable, &anyone, &demand, now, seed) else {
            return Ok(());
        };
        let text = Record::of(&made).to_json().to_string();
        let record = Record::from_json(&serde_json::from_str(&text).unwrap()).unwrap();
        prop_assert!(record.is_of(&view));
        // Another process got the same table at another moment.
        let elsewhere = view.clone().received_at(Moment::default());
        demand.sticky.clear();
        let again = record.replay(&elsewhere, &usable, &anyone, &demand).unwrap();
        prop_assert_eq!(&again, &made);
        // And so is what is drawn after each failure.
        let (mut one, mut other) = (made, again);
        let then = elsewhere.moment_at_age(one.ranking_age);
        while let (Some(a), Some(b)) = (one.take(|_| true), other.take(|_| true)) {
            prop_assert_eq!(a, b);
            one.arrange(&view, &live, now);
            other.arrange(&elsewhere, &Recorded::new(record.local.clone()), then);
        }
        prop_assert!(one.candidates.is_empty() && other.candidates.is_empty());
    }

    #[test]
    fn worse_health_never_raises_a_share(
        local in prop::collection::vec(some_local(), 3), worse in 0.0_f64..=1.0, seed: u64,
    ) {
        let view = view_of(&catalog(3, 1, 3), thirds());
        let share = |local: &[Local]| {
            let ids = ["m0/x@p0", "m0/x@p1", "m0/x@p2"].into_iter().map(handle);
            let health = Recorded::new(ids.zip(local.iter().copied()).collect());
            let anyone = principal(KeyPolicy::default());
            let now = Moment::default();
            let plan = plan(&view, &health, &|_| true, &anyone, &demand(), now, seed).unwrap();
            let mut all = plan.candidates.iter();
            all.find(|it| it.endpoint.tag == "p0").unwrap().share
        };
        let before = share(&local);
        let mut sicker = local;
        sicker[0].penalty = sicker[0].penalty.max(worse);
        prop_assert!(share(&sicker) <= before + 1e-12);
        prop_assert!(before.is_finite() && (0.0..=1.0 + 1e-9).contains(&before));
    }

    #[test]
    fn a_single_endpoint_is_always_asked(local in some_local(), seed: u64) {
        let view = view_of(&catalog(1, 1, 1), vec![("m0/x@p0", row(0.0, State::Open))]);
        let anyone = principal(KeyPolicy::default());
        let now = Moment::default();
        let plan = plan(&view, &seen("m0/x@p0", local), &|_| true, &anyone, &demand(), now, seed);
        prop_assert_eq!(plan.unwrap().candidates.len(), 1);
    }
}
