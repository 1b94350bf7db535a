//! The reference's world, figure by figure: eight offers of one model, ten faults in 30 minutes.

use super::{Break, Fault, Kind, Offer, Scenario};

/// Providers by letter.
pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
pub(super) const C: usize = 2;
pub(super) const D: usize = 3;
pub(super) const E: usize = 4;

/// Price, first token, speed, limit, concurrency, home and errors of each.
const OFFERS: [(f64, f64, f64, f64, f64, usize, f64); 8] = [
    (0.20, 0.60, 55.0, 30.0, 160.0, 0, 0.012),
    (0.22, 0.50, 70.0, 28.0, 130.0, 0, 0.008),
    (0.24, 0.80, 45.0, 30.0, 190.0, 1, 0.010),
    (0.30, 0.38, 100.0, 28.0, 90.0, 0, 0.005),
    (0.34, 0.55, 85.0, 28.0, 110.0, 2, 0.006),
    (0.45, 0.32, 150.0, 30.0, 70.0, 0, 0.004),
    (0.60, 0.28, 210.0, 25.0, 50.0, 1, 0.004),
    (0.90, 0.45, 110.0, 60.0, 170.0, 0, 0.002),
];

pub(super) fn scenario() -> Scenario {
    Scenario {
        kind: Kind::Standard,
        edges_per_region: 4,
        offers: offers(),
        models: 1,
        popularity: vec![1.0],
        providers: OFFERS.len(),
        faults: faults(),
        control_cut: (1340.0, 1425.0),
        end: 1800.0,
        warm: 90.0,
        rate: 80.0,
        gossip: true,
    }
}

pub(super) fn offers() -> Vec<Offer> {
    let offers = OFFERS.iter().enumerate();
    let offers = offers.map(|(provider, offer)| {
        let (price, ttft, speed, limit, concurrent, home, errors) = *offer;
        Offer {
            provider,
            model: 0,
            price,
            ttft,
            speed,
            limit,
            concurrent,
            home,
            errors,
            tokens: None,
            cached: 1.0,
            states_limits: false,
        }
    });
    offers.collect()
}

/// Name, seconds, whose, how and where.
type Row = (
    &'static str,
    f64,
    f64,
    &'static [usize],
    Break,
    Option<usize>,
);

/// In the order in which a held-out scenario varies them: the parts of others come last.
const FAULTS: [Row; 12] = [
    ("F1 outage A", 150.0, 240.0, &[A], Break::Down, None),
    (
        "F2 black hole B",
        300.0,
        390.0,
        &[B],
        Break::Hole(1.0),
        None,
    ),
    (
        "F3 brown-out C",
        450.0,
        570.0,
        &[C],
        Break::Errors(0.35),
        None,
    ),
    (
        "F4 latency A x8",
        630.0,
        750.0,
        &[A],
        Break::Latency(8.0),
        None,
    ),
    (
        "F5 D half dead in one region",
        810.0,
        930.0,
        &[D],
        Break::Hole(0.5),
        Some(1),
    ),
    ("F6 flap B 8 s", 990.0, 1110.0, &[B], Break::Flap(8.0), None),
    (
        "F7 limits of A, C cut",
        1170.0,
        1290.0,
        &[A, C],
        Break::Limit(0.2),
        None,
    ),
    (
        "F8 A, B, C down, control cut",
        1350.0,
        1410.0,
        &[A, B, C],
        Break::Down,
        None,
    ),
    ("F9 surge x2", 1470.0, 1560.0, &[], Break::Surge(2.0), None),
    (
        "F10 D drips, E truncates",
        1620.0,
        1710.0,
        &[D],
        Break::Speed(0.1),
        None,
    ),
    ("", 1620.0, 1710.0, &[E], Break::Truncate(0.2), None),
    ("", 810.0, 930.0, &[D], Break::Errors(0.5), Some(1)),
];

pub(super) fn faults() -> Vec<Fault> {
    let faults = FAULTS.iter();
    let faults = faults.map(|(name, start, end, providers, what, region)| Fault {
        name: (*name).to_owned(),
        start: *start,
        end: *end,
        providers: providers.to_vec(),
        what: *what,
        region: *region,
    });
    faults.collect()
}
