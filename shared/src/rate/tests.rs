//! The two sides against each other, over links that lose, delay and break.

use super::fleet::Fleet;
use super::local::{Local, Take};
use super::*;
use crate::id::BootEpoch;
use crate::record::Origin;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

const START_MS: u64 = 1_795_410_000_000;

fn subject() -> Subject {
    "key:abc".parse().unwrap()
}

struct Edge {
    run: Origin,
    local: Local,
    skew_ms: u64,
    /// By whom, over which link.
    up: VecDeque<(Origin, u64, Ask)>,
    down: VecDeque<Vec<Share>>,
    linked: bool,
    link: u64,
}

struct World {
    fleet: Fleet,
    edges: Vec<Edge>,
    now_ms: u64,
    limit: u32,
    passed: BTreeMap<Minute, u32>,
}

impl World {
    fn new(edges: usize, limit: u32) -> Self {
        let edge = |n: usize| Edge {
            run: Origin {
                node: format!("edge-{n}").as_str().into(),
                epoch: BootEpoch(1),
            },
            local: Local::default(),
            skew_ms: 700 * n as u64,
            up: VecDeque::new(),
            down: VecDeque::new(),
            linked: false,
            link: 0,
        };
        let mut world = Self {
            fleet: Fleet::default(),
            edges: (0..edges).map(edge).collect(),
            now_ms: START_MS,
            limit,
            passed: BTreeMap::new(),
        };
        (0..edges).for_each(|n| world.link(n));
        world
    }

    fn request(&mut self, n: usize, again: bool) -> Take {
        let edge = &mut self.edges[n];
        let now_ms = self.now_ms + edge.skew_ms;
        let take = edge.local.take(&subject(), self.limit, again, now_ms);
        if take == Take::Passed {
            *self.passed.entry(Minute::of(now_ms)).or_default() += 1;
        }
        take
    }

    fn say(&mut self, n: usize) {
        let edge = &mut self.edges[n];
        let ask = edge.local.ask(self.now_ms + edge.skew_ms);
        let run = edge.run.clone();
        let link = edge.link;
        edge.up.extend(ask.map(|ask| (run, link, ask)));
    }

    fn hear(&mut self, n: usize) {
        let edge = &mut self.edges[n];
        if let Some((run, link, ask)) = edge.up.pop_front() {
            let shares = self.fleet.hear(&run, &ask, Minute::of(self.now_ms));
            if edge.linked && edge.link == link {
                edge.down.push_back(shares);
            }
        }
    }

    fn answer(&mut self, n: usize) {
        let edge = &mut self.edges[n];
        if let Some(shares) = edge.down.pop_front() {
            edge.local.answered(&shares, self.now_ms + edge.skew_ms);
        }
    }

    /// What is on the way up may come late, what is on the way down is lost.
    fn cut(&mut self, n: usize) {
        let edge = &mut self.edges[n];
        edge.linked = false;
        edge.down.clear();
        edge.local.disconnected();
    }

    fn link(&mut self, n: usize) {
        let edge = &mut self.edges[n];
        edge.linked = true;
        edge.link += 1;
        edge.down.clear();
        edge.local.connected(self.now_ms + edge.skew_ms);
    }

    fn restart(&mut self, n: usize) {
        self.cut(n);
        let edge = &mut self.edges[n];
        edge.run.epoch.0 += 1;
        edge.local = Local::default();
        self.link(n);
    }

    fn settle(&mut self, n: usize) {
        for _ in 0..3 {
            self.say(n);
            self.hear(n);
            self.answer(n);
        }
    }

    /// One request with all the questions that it needs.
    fn served(&mut self, n: usize) -> bool {
        let mut take = self.request(n, false);
        for _ in 0..20 {
            if take != Take::Wait {
                break;
            }
            self.settle(n);
            self.now_ms += 1;
            take = self.request(n, true);
        }
        take == Take::Passed
    }

    fn serve(&mut self, n: usize, requests: u32) -> u32 {
        (0..requests).map(|_| u32::from(self.served(n))).sum()
    }

    fn next_minute(&mut self) {
        let end = Minute::of(self.now_ms).end_ms();
        self.now_ms = end - 5_000;
        (0..self.edges.len()).for_each(|n| {
            if self.edges[n].linked {
                self.settle(n);
            }
        });
        self.now_ms = end + 100;
    }
}

#[test]
fn one_edge_has_the_whole_limit_each_minute() {
    let mut world = World::new(1, 60);
    assert_eq!(world.serve(0, 70), 60);
    assert_eq!(world.request(0, false), Take::Refused);
    world.next_minute();
    assert_eq!(world.serve(0, 70), 60);
    // Without asking: what the last minute had needed was there.
    world.next_minute();
    for _ in 0..60 {
        assert_eq!(world.request(0, false), Take::Passed);
    }
}

#[test]
fn edges_share_a_limit_however_they_divide_the_load() {
    for (one, other) in [(1, 30), (15, 15), (30, 1), (0, 20), (7, 13)] {
        let mut world = World::new(2, 20);
        for minute in 0..3 {
            let mut passed = 0;
            for n in 0..one.max(other) {
                passed += u32::from(n < one && world.served(0));
                passed += u32::from(n < other && world.served(1));
            }
            let most = 20.min(one + other);
            assert!(passed <= most, "{one} {other} {minute}: {passed}");
            assert!(passed + 4 >= most, "{one} {other} {minute}: {passed}");
            world.next_minute();
        }
    }
}

#[test]
fn who_is_cut_off_keeps_the_share_of_the_last_minute() {
    let mut world = World::new(2, 40);
    for _ in 0..3 {
        assert_eq!((world.serve(0, 10), world.serve(1, 10)), (10, 10));
        world.next_minute();
    }
    world.cut(0);
    let kept = world.serve(0, 100);
    assert!((10..=30).contains(&kept), "{kept}");
    assert_eq!(world.request(0, false), Take::Refused);
    for _ in 0..5 {
        world.next_minute();
        let (alone, other) = (world.serve(0, 100), world.serve(1, 100));
        assert!(alone >= 10 && other >= 10, "{alone} {other}");
        assert!(alone + other <= 40, "{alone} {other}");
    }
    world.link(0);
    world.next_minute();
    world.next_minute();
    assert_eq!(world.serve(1, 100) + world.serve(0, 100), 40);
}

#[test]
fn without_a_share_and_a_control_plane_nobody_can_say() {
    let mut world = World::new(1, 40);
    world.cut(0);
    assert_eq!(world.request(0, false), Take::Unknown);
}

#[test]
fn a_control_plane_that_has_just_started_waits_for_those_that_it_knew() {
    let mut world = World::new(2, 20);
    assert_eq!(world.serve(0, 8), 8);
    world.fleet = Fleet::default();
    world.fleet.wait_for(["edge-0".into(), "edge-1".into()]);
    world.cut(1);
    world.link(1);
    assert_eq!(world.serve(1, 5), 0, "edge 0 may have everything");
    world.cut(0);
    world.link(0);
    world.settle(0);
    world.now_ms += 200;
    assert!(world.serve(1, 50) >= 4);
    assert!(world.passed.values().all(|passed| *passed <= 20));
}

#[test]
fn a_clock_that_had_jumped_ahead_loses_one_minute() {
    let mut world = World::new(1, 5);
    assert_eq!(world.serve(0, 9), 5);
    world.edges[0].skew_ms = 600_000;
    // What it kept is used up, and of such a minute the control plane gives nothing.
    assert_eq!(world.serve(0, 9), 5);
    world.settle(0);
    assert!(world.fleet.take_ahead() > 0);
    assert_eq!(world.request(0, false), Take::Refused);
    world.edges[0].skew_ms = 0;
    world.settle(0);
    assert_eq!(world.request(0, false), Take::Refused);
    world.next_minute();
    assert_eq!(world.serve(0, 9), 5);
}

#[test]
fn a_subject_is_its_text() {
    assert_eq!(subject().to_string(), "key:abc");
    for bad in ["", "key:", "what:abc", "key:a b"] {
        assert_eq!(bad.parse::<Subject>(), Err(NoWindow), "{bad}");
    }
}

/// The other has the whole next minute already: of this one no share is given that would be kept.
#[test]
fn what_would_be_kept_is_not_given_where_another_has_the_next_minute() {
    let mut world = World::new(2, 2);
    world.now_ms = Minute::of(world.now_ms).end_ms() - 10_700;
    world.request(1, false);
    world.now_ms += 200;
    world.settle(1);
    world.request(0, false);
    world.settle(0);
    world.now_ms += 10_600;
    let passed = (0..2).map(|n| u32::from(world.request(1 - n, false) == Take::Passed));
    let passed = passed.sum::<u32>() + u32::from(world.request(1, false) == Take::Passed);
    assert!(passed <= 2, "{passed}");
    assert!(world.passed.values().all(|passed| *passed <= 2));
}

#[derive(Clone, Debug)]
enum Step {
    Request(usize, u8),
    Say(usize),
    Hear(usize),
    Answer(usize),
    Settle(usize),
    Cut(usize),
    Link(usize),
    Restart(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..3_usize;
    prop_oneof![
        4 => (n.clone(), 1..12_u8).prop_map(|(n, k)| Step::Request(n, k)),
        2 => n.clone().prop_map(Step::Say),
        2 => n.clone().prop_map(Step::Hear),
        2 => n.clone().prop_map(Step::Answer),
        4 => n.clone().prop_map(Step::Settle),
        1 => n.clone().prop_map(Step::Cut),
        1 => n.clone().prop_map(Step::Link),
        1 => n.prop_map(Step::Restart),
        3 => prop_oneof![1..2_000_u64, 5_000..30_000_u64].prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// Whatever is lost, late, cut off or started anew: in no minute pass more than the limit.
    #[test]
    fn the_sum_never_exceeds_the_limit(
        limit in 1..40_u32,
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(3, limit);
        for step in steps {
            match step {
                Step::Request(n, k) => (0..k).for_each(|_| { world.request(n, false); }),
                Step::Say(n) => world.say(n),
                Step::Hear(n) => world.hear(n),
                Step::Answer(n) => world.answer(n),
                Step::Settle(n) => world.settle(n),
                Step::Cut(n) => world.cut(n),
                Step::Link(n) => world.link(n),
                Step::Restart(n) => world.restart(n),
                Step::Pass(ms) => world.now_ms += ms,
            }
            for (minute, passed) in &world.passed {
                prop_assert!(*passed <= limit, "{minute:?}: {passed} of {limit}");
            }
        }
    }
}
