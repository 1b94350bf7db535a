//! The plan's promises: nobody excluded appears, everybody else appears once, the same seed gives
//! the same plan.

use super::*;
use crate::catalog::{Catalog, DataPolicy, DataRegion, Modality, Parameter, Quantization, Tier};
use crate::health::{Board, Boards, Handle, Need};
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

mod byok;
mod controls;
mod draw;
mod filter;
mod preferences;
mod properties;
mod resolve;

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
            let need = Need {
                probe: first.probe,
                retry: false,
            };
            board.give(first.handle, &need, now).unwrap();
        }
        assert_eq!(probes, expect, "one request for each number");
    }
}

#[test]
fn who_was_shut_off_is_tried_again_where_requests_ask_for_an_order() {
    let mut tried = row(0.001, State::HalfOpen);
    tried.probe = Some(ProbeLease {
        node: "edge-1".into(),
        number: 7,
    });
    let rows = vec![("m0/x@p0", tried), ("m0/x@p1", row(0.999, State::Closed))];
    let view = view_of(&catalog(2, 1, 2), rows);
    let cheapest = prefer(|it| it.sort = Some(Mode::Price));
    let by_price = |view: &View| {
        let board = Board::default();
        let mut plans = (0..50).map(|seed| {
            let anyone = principal(KeyPolicy::default());
            let now = Moment::default();
            plan(view, &board, &|_| true, &anyone, &cheapest, now, seed).unwrap()
        });
        plans.all(|it| it.candidates[0].reason == Reason::Probe)
    };
    assert!(!by_price(&view), "only the node that has the lease");
    let view = view.of_node("edge-1".into());
    assert!(
        by_price(&view),
        "it is the first by price, and well enough to be asked once"
    );
    // It is not the first in this order: it is not asked before who is.
    let other = prefer(|it| it.order = vec!["p1".to_owned()]);
    let plan = plan_of(&view, &other, 1).unwrap();
    assert_eq!(plan.candidates[0].endpoint.tag, "p1");
}

#[test]
fn plans_made_at_the_same_time_share_one_probe() {
    let mut probed = row(0.0, State::Open);
    probed.probe = Some(ProbeLease {
        node: "edge-1".into(),
        number: 7,
    });
    let rows = vec![("m0/x@p0", probed), ("m0/x@p1", row(1.0, State::Closed))];
    let view = view_of(&catalog(2, 1, 2), rows).of_node("edge-1".into());
    let (board, now) = (Board::default(), Moment::default());
    let anyone = principal(KeyPolicy::default());
    let planned =
        |demand: &Demand, seed| plan(&view, &board, &|_| true, &anyone, demand, now, seed);
    let plans: Vec<Plan> = (0..20)
        .map(|seed| planned(&demand(), seed).unwrap())
        .collect();
    let mut sent = 0;
    for mut plan in plans {
        let first = &plan.candidates[0];
        assert_eq!(first.reason, Reason::Probe);
        let (handle, probe) = (first.handle, first.probe);
        let need = Need {
            retry: false,
            probe,
        };
        if board.give(handle, &need, now).is_ok() {
            sent += 1;
            continue;
        }
        plan.forgo_probe(handle);
        plan.arrange(&view, &Board::default(), now);
        assert_eq!(
            plan.candidates[0].endpoint.tag, "p1",
            "to those who are well"
        );
    }
    assert_eq!(sent, 1);
    // Nobody stands by where the client allows no other.
    let board = Board::default();
    let alone = prefer(|it| it.allow_fallbacks = false);
    let plan = plan(&view, &board, &|_| true, &anyone, &alone, now, 1).unwrap();
    assert_eq!(plan.candidates[0].endpoint.tag, "p1");
}
