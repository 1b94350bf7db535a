//! What an alarm changes: what it is about, where it changes whom to send to, and nothing else.

use super::*;

impl Bench {
    fn alarm(&mut self) -> BTreeMap<Region, Arc<RankingTable>> {
        self.ticks += 1;
        let version = Version {
            epoch: 1,
            number: self.ticks,
        };
        let now = self.now;
        self.fleet.tick_alarmed(&self.snapshot, now, 7, version)
    }

    /// All is well, for long enough.
    fn rest(&mut self, edges: &[Edge], tags: &[&str]) {
        for _ in 0..5 {
            for edge in edges {
                let windows = tags.iter().map(|tag| (id(tag), outcomes(Outcome::Ok, 4)));
                self.report(*edge, windows.collect());
            }
            self.pass(edges);
        }
    }
}

#[test]
fn who_fails_for_two_is_shut_off_at_once() {
    let all = [FRA, AMS, NYC];
    let mut bench = Bench::new(equals(3), &all);
    bench.rest(&all, &["p0", "p1", "p2"]);
    for edge in [FRA, NYC] {
        bench.saw(edge, "p0", Outcome::HardFail, 40);
    }
    let tables = bench.alarm();
    for region in ["eu", "us"] {
        let table = &tables[&Region::from(region)];
        assert_eq!(table.version.number, bench.ticks);
        assert_eq!(table.generated_unix_ms, 7);
        assert_eq!(table.rows[&id("p0")].state, State::Open);
        assert_eq!(absurdity(table), None);
    }
}

#[test]
fn what_changes_nothing_is_not_told_until_the_next_tick() {
    let all = [FRA, AMS, NYC];
    let mut bench = Bench::new(equals(3), &all);
    bench.rest(&all, &["p0", "p1", "p2"]);
    let before = bench.fleet.tick(
        &bench.snapshot,
        bench.now,
        0,
        Version {
            epoch: 0,
            number: 9,
        },
    );
    bench.saw(AMS, "p1", Outcome::Ok, 9);
    assert!(bench.saw(FRA, "p1", Outcome::HardFail, 3).alarming);
    let tables = bench.alarm();
    for (region, table) in &tables {
        assert!(Arc::ptr_eq(table, &before[region]), "{region}");
    }
    // What has been gathered meanwhile is not lost.
    bench.pass(&all);
    let (snapshot, region) = (&bench.snapshot, Region::from("eu"));
    let known = bench.fleet.explain(snapshot, &id("p1"), &region, bench.now);
    let text = known.unwrap().text;
    let line = text.lines().find(|line| line.starts_with("edge-1 "));
    assert!(!line.unwrap().contains(" 0 % failed"), "{text}");
}

#[test]
fn an_alarm_of_a_new_region_is_a_tick_of_everything() {
    let mut bench = Bench::new(equals(3), &[FRA]);
    bench.rest(&[FRA], &["p0", "p1", "p2"]);
    bench.report(NYC, vec![]);
    let tables = bench.alarm();
    assert_eq!(tables[&Region::from("us")].rows.len(), 3);
}

#[test]
fn time_passes_once_however_often_there_is_an_alarm() {
    let all = [FRA, AMS, NYC];
    let mut plain = Bench::new(equals(3), &all);
    plain.rest(&all, &["p0", "p1", "p2"]);
    let mut alarmed = Bench::new(equals(3), &all);
    alarmed.rest(&all, &["p0", "p1", "p2"]);
    for bench in [&mut plain, &mut alarmed] {
        bench.saw(AMS, "p2", Outcome::HardFail, 4);
        bench.saw(FRA, "p0", Outcome::Ok, 4);
    }
    for _ in 0..20 {
        alarmed.now = alarmed.now.plus(Duration::from_millis(50));
        alarmed.alarm();
    }
    plain.now = plain.now.plus(Duration::from_secs(1));
    for bench in [&mut plain, &mut alarmed] {
        bench.tick();
    }
    let seen = |bench: &Bench, tag: &str| {
        let (id, region) = (id(tag), Region::from("eu"));
        let known = bench
            .fleet
            .explain(&bench.snapshot, &id, &region, bench.now);
        known.unwrap().samples
    };
    for tag in ["p0", "p2"] {
        // What comes counts whole from the tick after it: at most a second's forgetting apart.
        let (plain, alarmed) = (seen(&plain, tag), seen(&alarmed, tag));
        assert!(
            (plain / alarmed - 1.0).abs() < 0.1,
            "{tag}: {plain}, {alarmed}"
        );
    }
}

#[test]
fn edges_with_little_to_say_count_together() {
    let names: Vec<String> = (0..60).map(|at| format!("edge-{at}")).collect();
    let mut fleet = Fleet::default();
    let snapshot = equals(2);
    for second in 1..=30_u64 {
        for (at, name) in names.iter().enumerate() {
            let windows = (at % 30 == usize::try_from(second).unwrap() % 30)
                .then(|| (id("p0"), outcomes(Outcome::Ok, 1)));
            let report = Report {
                node: name.as_str().into(),
                pop: format!("pop-{}", at / 4).into(),
                region: "eu".into(),
                epoch: BootEpoch(1),
                sequence: second,
                windows: windows.into_iter().collect(),
                alarming: false,
            };
            fleet.merge(&report, at_second(second));
        }
        let version = Version {
            epoch: 1,
            number: second,
        };
        fleet.tick(&snapshot, at_second(second), 0, version);
    }
    let known = fleet.explain(&snapshot, &id("p0"), &Region::from("eu"), at_second(30));
    let known = known.unwrap();
    // Two a second, half forgotten after eight.
    assert!((15.0..30.0).contains(&known.samples), "{}", known.samples);
    assert!(known.text.contains("all others in eu"), "{}", known.text);
    assert!(known.text.matches("edge-").count() < 30, "{}", known.text);
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn at_second(second: u64) -> Moment {
    at(100.0 + second as f64)
}
