//! What holds for every ranking and every request.

use super::*;
use crate::health::Departure;

pub(super) fn some_rows() -> impl Strategy<Value = Vec<(usize, f64, State)>> {
    let states = prop::sample::select(State::ALL);
    prop::collection::vec((0_usize..10, 0.0_f64..1.0, states), 0..10)
}

pub(super) fn some_demand() -> impl Strategy<Value = Demand> {
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
        for model in models {
            let of_model = candidates.iter().filter(|one| one.endpoint.model.as_str() == *model);
            let sum: f64 = of_model.map(|one| one.share).sum();
            // Without fallbacks only the first of them is left.
            let part = !demand.preferences.allow_fallbacks && sum <= 1.0 + 1e-9;
            prop_assert!(part || sum <= 0.0 || (sum - 1.0).abs() < 1e-9, "{sum}");
        }
        let resting = |one: &Candidate| !one.is_ready();
        let first_resting = candidates.iter().position(resting).unwrap_or(candidates.len());
        prop_assert!(candidates[first_resting..].iter().all(resting), "who rests comes last");
    }

    #[test]
    fn failing_here_more_never_raises_a_share(
        rows in some_rows(), failures in prop::collection::vec(0_usize..5, 0..8), worse in 1_usize..5,
        waited in 0_u64..20, mode in prop::sample::select(Mode::ALL), seed: u64,
    ) {
        let view = ranked(rows);
        let demand = Demand { mode, ..demand() };
        let share = |worse: usize| {
            let (board, now) = (Board::default(), Moment::default());
            let more = std::iter::repeat_n(0, worse);
            for at in failures.iter().copied().chain(more) {
                let endpoint = Handle::of(&format!("m0/x@p{at}").into());
                board.observe(endpoint, &Outcome::HardFail, now, 0.5);
            }
            let now = now.plus(Duration::from_millis(250 * waited));
            share_of_first(&view, &board, &demand, now, seed)
        };
        let (before, after) = (share(0), share(worse));
        prop_assert!(after <= before + 1e-9, "{before} to {after}");
    }

    #[test]
    fn a_higher_price_never_raises_a_share(
        prices in prop::collection::vec(1_u32..5_000, 5), dearer in 1_u32..5_000,
        mode in prop::sample::select(Mode::ALL), seed: u64,
    ) {
        let share = |more: u32| {
            let mut catalog = catalog(5, 1, 5);
            for (at, endpoint) in catalog.endpoints.iter_mut().enumerate() {
                let price = prices[at] + if at == 0 { more } else { 0 };
                let pricing = &mut Arc::make_mut(endpoint).pricing;
                pricing.prompt = format!("0.000000{price:04}").parse().unwrap();
                pricing.completion = pricing.prompt;
            }
            let demand = Demand { mode, ..demand() };
            let view = view_of(&catalog, vec![]);
            share_of_first(&view, &Board::default(), &demand, Moment::default(), seed)
        };
        let (before, after) = (share(0), share(dearer));
        prop_assert!(after <= before + 1e-9, "{before} to {after}");
    }

    #[test]
    fn a_single_endpoint_always_routes(
        share in 0.0_f64..=1.0, state in prop::sample::select(State::ALL), probe: bool, age in 0_u64..200,
        met in prop::collection::vec(0_u8..5, 0..30), under_way in 0_usize..40, demand in some_demand(), seed: u64,
    ) {
        let catalog = catalog(1, 1, 1);
        let mut row = row(share, state);
        row.probe = probe.then(|| ProbeLease { node: "edge-1".into(), number: 1 });
        row.cap = 1;
        let view = view_of(&catalog, vec![("m0/x@p0", row)]);
        let view = view.of_node("edge-1".into()).received_at(Moment::default());
        let (board, now) = (Board::default(), Moment::default().plus(Duration::from_secs(age)));
        let endpoint = Handle::of(&"m0/x@p0".into());
        for outcome in met {
            let outcome = match outcome {
                0 => Outcome::HardFail,
                1 => Outcome::Silence,
                2 => Outcome::RateLimited { retry_after: Some(Duration::from_secs(60)) },
                3 => Outcome::Overload { retry_after: None },
                _ => Outcome::Ok,
            };
            board.observe(endpoint, &outcome, now, 0.5);
        }
        (0..under_way).for_each(|_| board.departed(endpoint, &Departure::default(), now));
        let preferences = Preferences {
            only: vec![],
            ignore: vec![],
            require_parameters: false,
            allow_fallbacks: true,
            ..demand.preferences
        };
        let demand = Demand { preferences, max_tokens: None, ..demand };
        let anyone = principal(KeyPolicy::default());
        let made = plan(&view, &board, &|_| true, &anyone, &demand, now, seed);
        if state.is_withdrawn() {
            prop_assert!(matches!(made, Err(Refusal::NoEndpoints { .. })), "{made:?}");
        } else {
            prop_assert_eq!(made.map(|plan| plan.candidates.len()), Ok(1));
        }
    }
}

fn ranked(rows: Vec<(usize, f64, State)>) -> View {
    let catalog = catalog(5, 2, 5);
    let rows = rows.into_iter();
    let rows =
        rows.map(|(at, share, state)| (catalog.endpoints[at].id.as_str(), row(share, state)));
    view_of(&catalog, rows.collect())
}

/// Of `m0/x@p0`; nothing where it is no candidate.
fn share_of_first(view: &View, board: &Board, demand: &Demand, now: Moment, seed: u64) -> f64 {
    let anyone = principal(KeyPolicy::default());
    let made = plan(view, board, &|_| true, &anyone, demand, now, seed);
    let candidates = made.map(|plan| plan.candidates).unwrap_or_default();
    let mut of_first = candidates
        .iter()
        .filter(|one| one.endpoint.id.as_str() == "m0/x@p0");
    of_first.next().map_or(0.0, |one| one.share)
}
