//! What holds for every ranking and every request.

use super::*;

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
        let resting = |one: &Candidate| !one.is_ready();
        let first_resting = candidates.iter().position(resting).unwrap_or(candidates.len());
        prop_assert!(candidates[first_resting..].iter().all(resting), "who rests comes last");
    }
}
