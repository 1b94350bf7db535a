use super::*;
use crate::scenario::Kind;

fn standard() -> Scenario {
    Scenario::new(Kind::Standard, 12, 0).unwrap()
}

fn near(what: &str, got: f64, expect: f64, by: f64) {
    assert!(
        (got - expect).abs() <= by,
        "{what}: {got} is not {expect} within {by}"
    );
}

/// The same world as the reference's: what it measures for its own policy and for others, means
/// over seeds 1 to 3, comes out here.
#[test]
fn statistics_are_the_references() {
    let scenario = standard();
    // Policy, success, goodput, median, price, extra attempts, 429s.
    for (policy, success, goodput, median, price, extra, limited) in [
        ("random", 99.80, 97.55, 0.55, 0.417, 5.6, 0.7),
        ("or_doc", 94.06, 90.40, 0.82, 0.304, 29.3, 26.6),
        ("peakewma", 99.88, 98.94, 0.51, 0.455, 2.7, 0.5),
        ("edgerank", 99.97, 98.51, 0.76, 0.282, 4.3, 0.1),
        ("oracle", 100.0, 98.70, 0.92, 0.257, 0.9, 0.0),
    ] {
        let got = run(&scenario, policy, 1).unwrap();
        near(
            &format!("{policy} success"),
            got.success_pct,
            success,
            0.1 + 0.1 * (100.0 - success),
        );
        near(
            &format!("{policy} goodput"),
            got.goodput_pct,
            goodput,
            0.15 + 0.1 * (100.0 - goodput),
        );
        near(&format!("{policy} median"), got.ttft_p50_s, median, 0.04);
        near(
            &format!("{policy} price"),
            got.usd_per_mtok,
            price,
            0.02 * price,
        );
        near(
            &format!("{policy} extra"),
            got.extra_attempts_per_100,
            extra,
            0.5 + 0.15 * extra,
        );
        near(
            &format!("{policy} 429s"),
            got.http429_per_100,
            limited,
            0.2 + 0.15 * limited,
        );
    }
}

#[test]
fn a_seed_gives_the_same_result_to_the_byte_and_another_one_another() {
    let scenario = standard();
    let text = |seed| {
        let runs = run_all(&scenario, &["balanced", "edgerank"], &[seed], 2);
        report::json(&runs, &serde_json::json!({})).to_string()
    };
    assert_eq!(text(3), text(3));
    assert_ne!(text(3), text(4));
}

/// What must not get worse: goodput and price of the default mode, goodput of the fast ones. The
/// marks are the goals of the routing study, on one seed; and the table is that of
/// `loadtest sim --policy balanced,latency,oracle --seeds 101 --json`, which is made anew when a
/// change is for the better.
#[test]
fn ours_is_as_good_as_it_was() {
    let scenario = standard();
    let runs = run_all(&scenario, &["balanced", "latency", "oracle"], &[101], 2);
    let table = serde_json::from_str(include_str!("../table.json")).unwrap();
    assert_eq!(goals::regressions(&table, &runs), Vec::<String>::new());
    let [got, fast, oracle] = &runs[..] else {
        panic!("three policies have runs: {runs:?}");
    };
    let [got, fast, oracle] = [got, fast, oracle].map(|it| &it.seeds[0].1);
    assert!(got.success_pct >= 99.93, "{got:?}");
    assert!(got.goodput_pct >= 98.8, "{got:?}");
    assert!(got.worst_fault_goodput_pct >= 95.5, "{got:?}");
    assert!(got.usd_per_mtok <= 1.10 * oracle.usd_per_mtok, "{got:?}");
    assert!(got.ttft_p99_s <= 3.1, "{got:?}");
    assert!(got.reaction_s <= 5.0, "{got:?}");
    assert!(got.extra_attempts_per_100 <= 4.5, "{got:?}");
    assert!(got.http429_per_100 <= 0.3, "{got:?}");
    assert!(fast.goodput_pct >= 99.6, "{fast:?}");
    assert!(fast.ttft_p99_s <= 1.8, "{fast:?}");
}

#[test]
fn what_is_worse_than_the_table_is_said() {
    let mut scenario = standard();
    (scenario.end, scenario.rate) = (150.0, 20.0);
    let mut runs = run_all(&scenario, &["balanced"], &[1, 2], 2);
    let about = serde_json::json!({});
    let table = report::json(&runs, &about);
    assert_eq!(goals::regressions(&table, &runs), Vec::<String>::new());
    for (_, figures) in &mut runs[0].seeds {
        figures.goodput_pct -= 0.19;
        figures.usd_per_mtok *= 1.019;
    }
    assert_eq!(goals::regressions(&table, &runs), Vec::<String>::new());
    runs[0].seeds[0].1.goodput_pct -= 0.1;
    assert_eq!(goals::regressions(&table, &runs).len(), 1);
    runs[0].seeds[1].1.usd_per_mtok *= 1.01;
    assert_eq!(goals::regressions(&table, &runs).len(), 2);
    let unknown = goals::regressions(&about, &runs);
    assert_eq!(unknown, ["balanced: the table has no such policy"]);
}

/// In the extended world connections break, and an edge lies: everything is told in the end, so
/// that nearly all is served well in spite of it.
#[test]
fn lost_connections_and_a_lying_edge_cost_little() {
    let mut scenario = Scenario::new(Kind::Extended, 12, 0).unwrap();
    scenario.faults.retain(|fault| fault.name.starts_with("X6"));
    for fault in &mut scenario.faults {
        (fault.start, fault.end) = (150.0, 290.0);
    }
    (scenario.end, scenario.rate) = (300.0, 60.0);
    let got = run(&scenario, "balanced", 7).unwrap();
    assert!(got.goodput_pct >= 98.0, "{got:?}");
    assert!(got.http429_per_100 <= 2.0, "{got:?}");
}

#[test]
fn every_policy_has_a_name_and_survives_a_short_run() {
    for kind in [Kind::Standard, Kind::Extended] {
        let mut scenario = Scenario::new(kind, 6, 0).unwrap();
        scenario.end = 200.0;
        scenario.rate = 40.0;
        for name in policy::names() {
            let figures = run(&scenario, name, 1).unwrap();
            assert!(figures.success_pct > 50.0, "{name}: {figures:?}");
        }
        assert!(run(&scenario, "nobody", 1).is_none());
    }
}
