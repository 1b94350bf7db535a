//! What the reference's world is too kind about: three models that share providers and their
//! outages, sessions whose prompts are cached, limits on tokens, which half of the providers state, blips that should be ridden out,
//! a slow decline, an edge without an uplink and one that lies.

use super::standard::{self, A, B, C, D, E};
use super::{Break, Fault, Kind, Offer, Scenario};

/// Providers of the second and third model, and how their offers differ from the first's: price,
/// speed, limit.
const SECOND: [(usize, f64, f64, f64); 5] = [
    (A, 2.0, 0.7, 0.5),
    (B, 2.1, 0.7, 0.5),
    (C, 1.9, 0.6, 0.5),
    (D, 2.0, 0.8, 0.5),
    (6, 1.8, 0.6, 0.5),
];
const THIRD: [(usize, f64, f64, f64); 4] = [
    (A, 0.4, 1.5, 0.4),
    (C, 0.4, 1.4, 0.4),
    (E, 0.35, 1.5, 0.4),
    (7, 0.5, 1.5, 0.4),
];
/// What a cached prompt token costs at each provider.
const CACHED: [f64; 8] = [0.1, 0.25, 0.5, 0.1, 0.5, 0.25, 0.1, 0.5];
/// Tokens that an account may use, per request that it may send.
const TOKENS_PER_REQUEST: f64 = 1_500.0;

pub(super) fn scenario(edges: usize) -> Scenario {
    let mut offers = standard::offers();
    for (model, others) in [(1, SECOND.as_slice()), (2, THIRD.as_slice())] {
        for (provider, price, speed, limit) in others {
            let like = offers[*provider];
            offers.push(Offer {
                model,
                price: like.price * price,
                speed: like.speed * speed,
                limit: like.limit * limit,
                concurrent: like.concurrent * limit,
                ..like
            });
        }
    }
    for offer in &mut offers {
        offer.cached = CACHED[offer.provider];
        offer.tokens = Some(offer.limit * TOKENS_PER_REQUEST);
        // Half of them say what they take; of the others it has to be learned.
        offer.states_limits = offer.provider.is_multiple_of(2);
    }
    let mut faults = standard::faults();
    faults.extend(more_faults(edges));
    Scenario {
        kind: Kind::Extended,
        edges_per_region: 0,
        offers,
        models: 3,
        popularity: vec![0.6, 0.22, 0.18],
        providers: 8,
        faults,
        control_cut: (1340.0, 1425.0),
        end: 3000.0,
        warm: 90.0,
        rate: 100.0,
        gossip: true,
    }
}

fn more_faults(edges: usize) -> Vec<Fault> {
    let fault = |name: &str, (start, end): (f64, f64), providers: &[usize], what| Fault {
        name: name.to_owned(),
        start,
        end,
        providers: providers.to_vec(),
        what,
        region: None,
    };
    // The first edge of Europe loses its uplink, the first of Asia lies.
    let (cut, liar) = (edges / 3, 2 * edges / 3);
    vec![
        fault("X1 blip A 5 s", (1800.0, 1805.0), &[A], Break::Down),
        fault("X2 blip B 5 s", (1860.0, 1865.0), &[B], Break::Down),
        fault(
            "X3 blip of silence C 5 s",
            (1920.0, 1925.0),
            &[C],
            Break::Hole(1.0),
        ),
        fault("X4 decline B x6", (1980.0, 2280.0), &[B], Break::Drift(6.0)),
        fault(
            "X5 an edge without uplink",
            (2340.0, 2460.0),
            &[],
            Break::Uplink(cut, 0.9),
        ),
        fault("X6 a lying edge", (2520.0, 2640.0), &[], Break::Liar(liar)),
        fault(
            "X7 C browns out a little",
            (2700.0, 2880.0),
            &[C],
            Break::Errors(0.12),
        ),
    ]
}
