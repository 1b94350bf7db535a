//! The fleet's promises: exactly once, in any order; who may condemn; shares that hold together.

mod alarms;
mod capacity;

use super::*;
use crate::catalog::Catalog;
use crate::clock::Moment;
use crate::id::{BootEpoch, EndpointId, Region, Version};
use crate::snapshot::Snapshot;
use crate::snapshot::tests::{catalog, endpoint};
use crate::window::tests::window;
use crate::window::{Observation, Outcome, Report, Stated, Window};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn at(seconds: f64) -> Moment {
    Moment::default().plus(Duration::from_secs_f64(seconds))
}

/// `count` endpoints of one model, all at one price.
fn equals(count: usize) -> Snapshot {
    let mut catalog = catalog(count, 1, 0);
    for at in 0..count {
        let mut one = endpoint(0, at, &format!("p{at}"));
        one.pricing = endpoint(0, 0, "p0").pricing;
        catalog.endpoints.push(Arc::new(one));
    }
    snapshot(&catalog)
}

fn snapshot(catalog: &Catalog) -> Snapshot {
    Snapshot::from_catalog(Version::default(), catalog).unwrap()
}

fn id(tag: &str) -> EndpointId {
    format!("m0/x@{tag}").into()
}

/// A fleet, the edges' sequences, and the time.
struct Bench {
    fleet: Fleet,
    snapshot: Snapshot,
    sequences: BTreeMap<String, u64>,
    now: Moment,
    ticks: u64,
}

/// `(node, pop, region)`
type Edge = (&'static str, &'static str, &'static str);
const FRA: Edge = ("edge-1", "fra1", "eu");
const AMS: Edge = ("edge-2", "ams1", "eu");
const NYC: Edge = ("edge-3", "nyc1", "us");

impl Bench {
    fn new(snapshot: Snapshot, edges: &[Edge]) -> Self {
        let mut bench = Self {
            fleet: Fleet::default(),
            snapshot,
            sequences: BTreeMap::new(),
            now: at(100.0),
            ticks: 0,
        };
        for edge in edges {
            bench.report(*edge, vec![]);
        }
        bench
    }

    fn report(&mut self, edge: Edge, windows: Vec<(EndpointId, Window)>) -> Merged {
        let sequence = self.sequences.entry(edge.0.to_owned()).or_default();
        *sequence += 1;
        let report = report(edge, *sequence, windows);
        self.fleet.merge(&report, self.now)
    }

    fn saw(&mut self, edge: Edge, tag: &str, outcome: Outcome, times: usize) -> Merged {
        self.report(edge, vec![(id(tag), outcomes(outcome, times))])
    }

    fn tick(&mut self) {
        self.ticks += 1;
        let version = Version {
            epoch: 1,
            number: self.ticks,
        };
        self.fleet.tick(&self.snapshot, self.now, 0, version);
    }

    /// A second passes, in which all edges are heard.
    fn pass(&mut self, edges: &[Edge]) {
        self.now = self.now.plus(Duration::from_secs(1));
        for edge in edges {
            self.report(*edge, vec![]);
        }
        self.tick();
    }

    fn table(&self, region: &str) -> &Arc<RankingTable> {
        self.fleet.table(&region.into()).unwrap()
    }

    fn row(&self, region: &str, tag: &str) -> RankingRow {
        self.table(region).rows[&id(tag)].clone()
    }

    fn share(&self, region: &str, tag: &str) -> f64 {
        self.row(region, tag).share_of(Mode::Balanced)
    }
}

fn outcomes(outcome: Outcome, times: usize) -> Window {
    let mut window = Window::default();
    (0..times).for_each(|_| window.record(&Observation::of(outcome)));
    window
}

fn report(edge: Edge, sequence: u64, windows: Vec<(EndpointId, Window)>) -> Report {
    Report {
        node: edge.0.into(),
        pop: edge.1.into(),
        region: edge.2.into(),
        epoch: BootEpoch(1),
        sequence,
        windows,
        alarming: false,
    }
}

#[test]
fn equals_share_alike_and_without_evidence_there_are_no_rows() {
    let mut bench = Bench::new(equals(4), &[FRA, NYC]);
    bench.tick();
    assert!(bench.table("eu").rows.is_empty());
    for tag in ["p0", "p1", "p2", "p3"] {
        bench.saw(FRA, tag, Outcome::Ok, 10);
    }
    bench.tick();
    for tag in ["p0", "p1", "p2", "p3"] {
        assert!((bench.share("eu", tag) - 0.25).abs() < 0.01);
        assert!(
            (bench.share("us", tag) - 0.25).abs() < 0.01,
            "news is fleet-wide"
        );
    }
}

#[test]
fn the_only_observer_caps_the_share_everywhere_and_another_decides() {
    let all = [FRA, AMS, NYC];
    let mut bench = Bench::new(equals(3), &all);
    let merged = bench.saw(FRA, "p0", Outcome::HardFail, 3);
    assert!(merged.alarming, "ranked at once");
    bench.tick();
    for region in ["eu", "us"] {
        let row = bench.row(region, "p0");
        assert_eq!(row.state, State::HalfOpen);
        assert!(row.share_of(Mode::Balanced) < 0.003);
    }
    // The probes go to others than the accuser.
    assert_eq!(bench.row("eu", "p0").probe.unwrap().node, "edge-2".into());
    assert_eq!(bench.row("us", "p0").probe.unwrap().node, "edge-3".into());

    let (mut restored, mut confirmed) = (bench.fleet.clone(), bench.fleet.clone());
    bench.saw(FRA, "p0", Outcome::HardFail, 3);
    bench.tick();
    assert_eq!(
        bench.row("us", "p0").state,
        State::HalfOpen,
        "its own word is not enough"
    );

    let now = bench.now;
    let version = Version {
        epoch: 1,
        number: 9,
    };
    let probe = |outcome| report(NYC, 9, vec![(id("p0"), outcomes(outcome, 2))]);
    restored.merge(&probe(Outcome::Ok), now);
    let tables = restored.tick(&bench.snapshot, now, 0, version);
    assert_eq!(
        tables[&Region::from("eu")].rows[&id("p0")].state,
        State::Closed
    );
    confirmed.merge(&probe(Outcome::HardFail), now);
    let tables = confirmed.tick(&bench.snapshot, now, 0, version);
    let row = &tables[&Region::from("eu")].rows[&id("p0")];
    assert_eq!((row.state, row.share), (State::Open, [0; 4]));
}

#[test]
fn one_among_several_observers_never_condemns_alone() {
    let mut bench = Bench::new(equals(3), &[FRA, AMS, NYC]);
    for tag in ["p0", "p1", "p2"] {
        for edge in [FRA, AMS, NYC] {
            bench.saw(edge, tag, Outcome::Ok, 4);
        }
    }
    bench.tick();
    let before = bench.share("us", "p0");
    bench.saw(FRA, "p0", Outcome::HardFail, 50);
    bench.tick();
    for region in ["eu", "us"] {
        assert_eq!(bench.row(region, "p0").state, State::Closed);
        assert!(bench.share(region, "p0") > 0.8 * before, "{region}");
    }
    // A second point of presence says the same: now it is true.
    bench.saw(NYC, "p0", Outcome::HardFail, 50);
    bench.tick();
    for region in ["eu", "us"] {
        assert_eq!(bench.row(region, "p0").state, State::Open);
    }
}

#[test]
fn a_single_node_condemns_by_its_own_probes() {
    let mut bench = Bench::new(equals(2), &[FRA]);
    bench.saw(FRA, "p0", Outcome::HardFail, 3);
    bench.tick();
    assert_eq!(bench.row("eu", "p0").state, State::HalfOpen);
    assert_eq!(bench.row("eu", "p0").probe.unwrap().node, "edge-1".into());
    bench.saw(FRA, "p0", Outcome::Timeout, 1);
    bench.tick();
    assert_eq!(bench.row("eu", "p0").state, State::Open);
    assert!(bench.share("eu", "p1") > 0.99);
    for _ in 0..3 {
        bench.pass(&[FRA]);
    }
    assert_eq!(bench.row("eu", "p0").state, State::HalfOpen);
    bench.saw(FRA, "p0", Outcome::Ok, 2);
    bench.tick();
    assert_eq!(bench.row("eu", "p0").state, State::Ramp);
    assert!(bench.share("eu", "p0") < 0.02);
    let mut last = 0.0;
    for _ in 0..15 {
        bench.saw(FRA, "p0", Outcome::Ok, 1);
        bench.saw(FRA, "p1", Outcome::Ok, 1);
        bench.pass(&[FRA]);
        assert!(bench.share("eu", "p0") >= last - 0.02, "grows back");
        last = bench.share("eu", "p0");
    }
    assert!(last > 0.4, "{last}");
}

#[test]
fn when_all_fail_somebody_is_still_asked() {
    let mut bench = Bench::new(equals(2), &[FRA, NYC]);
    for tag in ["p0", "p1"] {
        for edge in [FRA, NYC] {
            bench.saw(edge, tag, Outcome::HardFail, 5);
        }
    }
    bench.tick();
    assert_eq!(bench.row("eu", "p0").state, State::Open);
    let sum = bench.share("eu", "p0") + bench.share("eu", "p1");
    assert!((sum - 1.0).abs() < 0.001, "{sum}");
}

#[test]
fn an_operator_is_obeyed_even_then() {
    let mut bench = Bench::new(equals(2), &[FRA, NYC]);
    bench.fleet.withdraw(&id("p0"), Some(State::Disabled));
    for edge in [FRA, NYC] {
        bench.saw(edge, "p1", Outcome::HardFail, 5);
    }
    bench.tick();
    let row = bench.row("eu", "p0");
    assert_eq!((row.state, row.share), (State::Disabled, [0; 4]));
    assert!(bench.share("eu", "p1") > 0.99);
    bench.fleet.withdraw(&id("p0"), None);
    bench.tick();
    assert_eq!(bench.row("eu", "p0").state, State::Closed);
}

#[test]
fn whole_answers_tell_how_fast_they_are_where_no_stream_does() {
    let mut bench = Bench::new(equals(2), &[FRA]);
    let answers = |streamed: Option<f64>, whole: f64| {
        let mut window = Window::default();
        for _ in 0..20 {
            window.record(&Observation {
                tokens_per_second: streamed,
                whole_tokens_per_second: Some(whole),
                ..Observation::of(Outcome::Ok)
            });
        }
        window
    };
    let windows = vec![
        (id("p0"), answers(None, 40.0)),
        (id("p1"), answers(Some(80.0), 10.0)),
    ];
    bench.report(FRA, windows);
    bench.tick();
    let median = |tag| bench.row("eu", tag).throughput_tenths.p50;
    assert!(median("p0").abs_diff(400) < 10, "{}", median("p0"));
    assert!(median("p1").abs_diff(800) < 20, "{}", median("p1"));
    assert_eq!(
        bench.row("eu", "p0").ttft_ms.p50,
        0,
        "it tells of no first token"
    );
    // The two speeds can't be compared, so they make no difference to shares.
    assert!((bench.share("eu", "p0") - 0.5).abs() < 0.01);
}

#[test]
fn latency_is_the_regions_own() {
    let mut bench = Bench::new(equals(2), &[FRA, NYC]);
    let speedy = |ms: u64| {
        let mut window = Window::default();
        for _ in 0..20 {
            window.record(&Observation {
                ttft: Some(Duration::from_millis(ms)),
                tokens_per_second: Some(80.0),
                ..Observation::of(Outcome::Ok)
            });
        }
        window
    };
    bench.report(FRA, vec![(id("p0"), speedy(300)), (id("p1"), speedy(900))]);
    bench.report(NYC, vec![(id("p0"), speedy(900)), (id("p1"), speedy(300))]);
    bench.tick();
    let latency = |region, tag| bench.row(region, tag).share_of(Mode::Latency);
    assert!(latency("eu", "p0") > 0.9);
    assert!(latency("us", "p1") > 0.9);
    let row = bench.row("eu", "p0");
    assert!((297..=303).contains(&row.ttft_ms.p50), "{:?}", row.ttft_ms);
    assert!((792..=808).contains(&row.throughput_tenths.p50));
}

#[test]
fn capacity_is_no_evidence_of_sickness() {
    let mut bench = Bench::new(equals(2), &[FRA, NYC]);
    for edge in [FRA, NYC] {
        let limited = Outcome::RateLimited { retry_after: None };
        let merged = bench.saw(edge, "p0", limited, 50);
        assert!(!merged.alarming);
    }
    bench.saw(FRA, "p1", Outcome::Ok, 1);
    bench.tick();
    assert_eq!(bench.row("eu", "p0").state, State::Closed);
}

#[test]
fn broken_tool_calls_are_counted_among_tool_calls() {
    let mut bench = Bench::new(equals(2), &[FRA, NYC]);
    let mut rare = outcomes(Outcome::Ok, 76);
    for _ in 0..24 {
        rare.record(&Observation {
            tool_error: true,
            tool_calls: true,
            ..Observation::of(Outcome::Ok)
        });
    }
    bench.report(
        FRA,
        vec![(id("p0"), rare), (id("p1"), outcomes(Outcome::Ok, 100))],
    );
    bench.tick();
    let broken = |tag: &str| f64::from(bench.row("eu", tag).tool_failure) / f64::from(u16::MAX);
    assert!(
        (broken("p0") - 24.0 / 27.0).abs() < 0.01,
        "{}",
        broken("p0")
    );
    assert!(broken("p1") < 1e-9);
}

#[test]
fn what_is_forgotten_leaves_no_row() {
    let mut bench = Bench::new(equals(2), &[FRA, NYC]);
    for edge in [FRA, NYC] {
        bench.saw(edge, "p0", Outcome::HardFail, 5);
    }
    bench.tick();
    bench.now = bench.now.plus(Duration::from_secs(3));
    bench.tick();
    bench.now = bench.now.plus(Duration::from_secs(200));
    bench.tick();
    for _ in 0..700 {
        bench.pass(&[FRA]);
    }
    assert!(bench.table("eu").rows.is_empty());
}

#[test]
fn explanations_say_who_saw_what() {
    let mut bench = Bench::new(equals(2), &[FRA, NYC]);
    bench.saw(FRA, "p0", Outcome::HardFail, 3);
    bench.tick();
    let explain = |tag: &str| {
        let region = Region::from("us");
        bench
            .fleet
            .explain(&bench.snapshot, &id(tag), &region, bench.now)
    };
    let told = explain("p0").unwrap();
    assert!(
        told.text.contains("only fra1 sees it fail"),
        "{}",
        told.text
    );
    assert!(
        told.text
            .contains("edge-1 (fra1, eu): 3.0 attempts, 100 % failed")
    );
    assert_eq!(told.row.unwrap().state, State::HalfOpen);
    assert!(explain("nobody").is_none());
}

#[test]
fn explanations_begin_with_the_place_and_say_what_it_costs_against_the_first() {
    let mut bench = Bench::new(snapshot(&catalog(3, 1, 3)), &[FRA]);
    let explain = |bench: &Bench, tag: &str| {
        let (snapshot, region) = (&bench.snapshot, Region::from("eu"));
        let told = bench.fleet.explain(snapshot, &id(tag), &region, bench.now);
        told.unwrap().text
    };
    bench.tick();
    let unknown = explain(&bench, "p2");
    assert!(
        unknown.contains("nothing was asked of m0/x lately"),
        "{unknown}"
    );
    for _ in 0..5 {
        for tag in ["p0", "p1", "p2"] {
            bench.saw(FRA, tag, Outcome::Ok, 5);
        }
        bench.pass(&[FRA]);
    }
    let pinned = OperatorWish {
        pinned: true,
        ..OperatorWish::default()
    };
    let third = explain(&bench, "p2");
    let begin = "m0/x@p2 in eu: place 3 of 3, ";
    assert!(third.starts_with(begin), "{third}");
    for said in [
        "ahead of it: m0/x@p0 ",
        "state: closed, in service",
        "what it costs against m0/x@p0",
        "  price x1.",
        " USD per million tokens",
        "first token unknown (median)",
        "not all of m0/x@p2 was measured of late",
    ] {
        assert!(third.contains(said), "{said}: {third}");
    }
    assert!(!third.contains("its share is held"), "{third}");
    let first = explain(&bench, "p0");
    assert!(
        first.contains("place 1 of 3") && !first.contains("ahead of it"),
        "{first}"
    );
    bench.fleet.wish(&id("p1"), pinned);
    bench.pass(&[FRA]);
    let beside = explain(&bench, "p0");
    assert!(beside.contains("operators have pinned m0/x@p1"), "{beside}");
}

/// What each mode's shares of the only model sum to.
fn sums(table: &RankingTable) -> Vec<f64> {
    let sum = |mode: &Mode| table.rows.values().map(|row| row.share_of(*mode)).sum();
    Mode::ALL.iter().map(sum).collect()
}

#[test]
fn who_leaves_the_catalogue_leaves_its_share_to_the_others() {
    for count in 2..9 {
        let mut bench = Bench::new(equals(count), &[FRA, NYC]);
        for _ in 0..5 {
            for at in 0..count {
                bench.saw(FRA, &format!("p{at}"), Outcome::Ok, 3);
            }
            bench.pass(&[FRA, NYC]);
        }
        bench.snapshot = equals(count - 1);
        bench.pass(&[FRA, NYC]);
        let table = bench.table("eu");
        assert_eq!(table.rows.len(), count - 1);
        let sums = sums(table);
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 0.021), "{sums:?}");
        assert_eq!(absurdity(table), None);
    }
}

#[test]
fn where_nobody_is_to_have_a_share_somebody_has() {
    let mut bench = Bench::new(equals(2), &[FRA]);
    let none = OperatorWish {
        favour: 0.0,
        ..OperatorWish::default()
    };
    for tag in ["p0", "p1"] {
        bench.fleet.wish(&id(tag), none);
        bench.saw(FRA, tag, Outcome::Ok, 5);
    }
    bench.tick();
    let sums = sums(bench.table("eu"));
    assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 0.001), "{sums:?}");
    assert_eq!(absurdity(bench.table("eu")), None);
}

#[test]
fn a_drastic_change_is_noticed() {
    let mut bench = Bench::new(equals(4), &[FRA, NYC]);
    for tag in ["p0", "p1", "p2", "p3"] {
        bench.saw(FRA, tag, Outcome::Ok, 4);
    }
    bench.tick();
    let before = bench.table("eu").clone();
    let fail = |bench: &mut Bench, tag: &str| {
        for edge in [FRA, NYC] {
            bench.saw(edge, tag, Outcome::HardFail, 30);
        }
        bench.tick();
        bench.table("eu").clone()
    };
    let one = fail(&mut bench, "p0");
    assert!(!drastic(&before, &one));
    let two = fail(&mut bench, "p1");
    assert!(drastic(&before, &two));
    assert!(!drastic(&two, &two));
}

fn some_reports() -> impl Strategy<Value = Vec<Report>> {
    let edges = prop::sample::select(vec![FRA, AMS, NYC]);
    let windows = prop::collection::btree_map("p[0-2]", window(), 0..3);
    let one = (edges, 1_u64..3, 1_u64..8, windows);
    prop::collection::vec(one, 0..14).prop_map(|all| {
        // One content per identity, as edges have it.
        let all = all.into_iter().map(|(edge, epoch, sequence, windows)| {
            let windows = windows
                .into_iter()
                .map(|(tag, it)| (id(&tag), it))
                .collect();
            let report = Report {
                epoch: BootEpoch(epoch),
                ..report(edge, sequence, windows)
            };
            ((report.node.clone(), epoch, sequence), report)
        });
        all.collect::<BTreeMap<_, _>>().into_values().collect()
    })
}

/// Under a cap shares are fitted in rounds, to about a percent: monotony is exact without.
fn without_capacity(reports: &[Report]) -> Vec<Report> {
    let mut reports = reports.to_vec();
    for report in &mut reports {
        for (_, window) in &mut report.windows {
            (window.overload, window.rate_limited) = (0, 0);
            window.stated = Stated::default();
        }
    }
    reports
}

fn ranked(reports: &[Report]) -> BTreeMap<Region, Arc<RankingTable>> {
    let mut fleet = Fleet::default();
    for report in reports {
        fleet.merge(report, at(50.0));
    }
    fleet.tick(
        &equals(3),
        at(50.0),
        7,
        Version {
            epoch: 1,
            number: 1,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn reports_merge_once_and_in_any_order(
        (reports, shuffled) in some_reports().prop_flat_map(|all| {
            let twice = [all.clone(), all.clone()].concat();
            (Just(all), Just(twice).prop_shuffle())
        }),
    ) {
        prop_assert_eq!(ranked(&reports), ranked(&shuffled));
    }

    #[test]
    fn shares_hold_together(
        reports in some_reports(),
        withdrawn in prop::option::of((0_usize..3, prop::sample::select(vec![State::Draining, State::Disabled]))),
    ) {
        let snapshot = equals(3);
        let mut fleet = Fleet::default();
        let out = withdrawn.map(|(at, _)| id(&format!("p{at}")));
        if let (Some(out), Some((_, state))) = (&out, withdrawn) {
            fleet.withdraw(out, Some(state));
        }
        for report in &reports {
            fleet.merge(report, at(50.0));
        }
        for second in 0..12 {
            let tables = fleet.tick(&snapshot, at(50.0 + f64::from(second)), 7, Version::default());
            for table in tables.values() {
                for mode in Mode::ALL {
                    let sum: f64 = table.rows.values().map(|row| row.share_of(*mode)).sum();
                    prop_assert!(table.rows.is_empty() || (sum - 1.0).abs() < 0.001, "{sum}");
                }
                for (id, row) in &table.rows {
                    prop_assert_eq!(row.state.is_withdrawn(), Some(id) == out.as_ref());
                    prop_assert!(!row.state.is_withdrawn() || row.share == [0; 4]);
                }
            }
        }
    }

    #[test]
    fn failing_more_never_raises_a_share(
        reports in some_reports(), bad in 0_usize..20, worse in 1_usize..10,
    ) {
        let share_with = |failures: usize| {
            let mut window = outcomes(Outcome::Ok, 30 - failures);
            window.merge(&outcomes(Outcome::HardFail, failures));
            let mut reports = without_capacity(&reports);
            reports.push(report(AMS, 99, vec![(id("p0"), window)]));
            reports.push(report(NYC, 98, vec![]));
            let tables = ranked(&reports);
            tables[&Region::from("us")].rows[&id("p0")].share
        };
        let (before, after) = (share_with(bad), share_with(bad + worse));
        for (before, after) in before.into_iter().zip(after) {
            prop_assert!(after <= before.saturating_add(1), "{before} to {after}");
        }
    }
}
