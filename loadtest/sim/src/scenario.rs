//! What happens in a run: who offers which model at what price and speed, who asks, and what
//! breaks when. Plain values; [`crate::world`] brings them to life.

mod extended;
mod standard;

use crate::random::Mersenne;
use thiserror::Error;

/// Regions of the world, in the order of their numbers.
pub const REGIONS: [&str; 3] = ["us-east", "eu-west", "ap-south"];
/// The share of the requests that comes from each.
pub const DEMAND: [f64; 3] = [0.45, 0.35, 0.20];
/// The most edges that a run may have.
pub const EDGES_MAX: usize = 3_000;

/// Which world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The reference's: one model, ten faults, telemetry that always arrives.
    Standard,
    /// What the reference is too kind about, too.
    Extended,
}

/// One provider's offer of one model.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Offer {
    /// Which provider; faults hit providers.
    pub provider: usize,
    /// Which model.
    pub model: usize,
    /// USD per million output tokens; what prompts cost follows from it.
    pub price: f64,
    /// Seconds to the first token, idle.
    pub ttft: f64,
    /// Tokens per second, idle.
    pub speed: f64,
    /// Requests per second that the account may send.
    pub limit: f64,
    /// Requests that it serves at a time.
    pub concurrent: f64,
    /// Where it is.
    pub home: usize,
    /// The share of requests that fails on a good day.
    pub errors: f64,
    /// Tokens per second that the account may use, prompts included; none is no limit.
    pub tokens: Option<f64>,
    /// What a cached prompt token costs, as a part of a fresh one.
    pub cached: f64,
    /// Its answers' headers state the account's limits.
    pub states_limits: bool,
}

/// What breaks.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Break {
    /// Every request is refused with a 5xx.
    Down,
    /// This part of the requests is never answered.
    Hole(f64),
    /// This part more fails.
    Errors(f64),
    /// The first token takes so many times as long.
    Latency(f64),
    /// As `Latency`, growing from 1 over the fault.
    Drift(f64),
    /// Down for so many seconds, up for as many.
    Flap(f64),
    /// What is left of the limit.
    Limit(f64),
    /// What is left of the tokens per second.
    Speed(f64),
    /// This part of the streams is cut.
    Truncate(f64),
    /// So many times the demand.
    Surge(f64),
    /// This edge reaches nobody for this part of its requests.
    Uplink(usize, f64),
    /// This edge reports everything as failed.
    Liar(usize),
}

/// Something breaks for a while.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// What tables call it; empty for a part of another fault.
    pub name: String,
    /// Seconds.
    pub start: f64,
    /// Seconds.
    pub end: f64,
    /// Whose.
    pub providers: Vec<usize>,
    /// How.
    pub what: Break,
    /// Only there; none is everywhere.
    pub region: Option<usize>,
}

/// A whole run.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Which world.
    pub kind: Kind,
    /// How many edges in each region.
    pub edges_per_region: usize,
    /// All offers, those of a model together.
    pub offers: Vec<Offer>,
    /// How many models there are.
    pub models: usize,
    /// The share of the requests that each model gets.
    pub popularity: Vec<f64>,
    /// How many providers there are.
    pub providers: usize,
    /// What breaks.
    pub faults: Vec<Fault>,
    /// While the control plane hears nothing and says nothing.
    pub control_cut: (f64, f64),
    /// The last second.
    pub end: f64,
    /// Requests before this are not counted.
    pub warm: f64,
    /// Requests per second, all edges together.
    pub rate: f64,
    /// Edges of one point of presence tell each other when they leave a provider alone.
    pub gossip: bool,
}

/// Why there is no such scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Refused {
    /// Edges are spread over the regions evenly.
    #[error("{0} edges: at least 3, at most {EDGES_MAX}, and a multiple of 3")]
    Edges(usize),
}

impl Scenario {
    /// A world with so many edges; `shuffle` other than 0 is that held-out variant of it.
    ///
    /// # Errors
    /// When the edges can't be spread over the regions.
    pub fn new(kind: Kind, edges: usize, shuffle: u32) -> Result<Self, Refused> {
        if edges < REGIONS.len() || edges > EDGES_MAX || !edges.is_multiple_of(REGIONS.len()) {
            return Err(Refused::Edges(edges));
        }
        let mut scenario = match kind {
            Kind::Standard => standard::scenario(),
            Kind::Extended => extended::scenario(edges),
        };
        scenario.edges_per_region = edges / REGIONS.len();
        if shuffle > 0 {
            scenario.shuffle(shuffle);
        }
        Ok(scenario)
    }

    /// All edges.
    #[must_use]
    pub fn edges(&self) -> usize {
        self.edges_per_region * REGIONS.len()
    }

    /// Where an edge is.
    #[must_use]
    pub fn region_of(&self, edge: usize) -> usize {
        edge / self.edges_per_region
    }

    /// The offers of a model, by number.
    #[must_use]
    pub fn offers_of(&self, model: usize) -> std::ops::Range<usize> {
        let first = self.offers.iter().position(|offer| offer.model == model);
        let first = first.unwrap_or(0);
        let count = self.offers.iter().filter(|offer| offer.model == model);
        first..first + count.count()
    }

    /// The round trip from a region to an offer, in seconds.
    #[must_use]
    pub fn round_trip(&self, region: usize, offer: usize) -> f64 {
        let home = self.offers[offer].home;
        match (home.min(region), home.max(region)) {
            (a, b) if a == b => 0.03,
            (1, 2) => 0.16,
            _ => 0.09,
        }
    }

    /// True while the control plane is cut off.
    #[must_use]
    pub fn is_cut(&self, now: f64) -> bool {
        (self.control_cut.0..self.control_cut.1).contains(&now)
    }

    /// How many times the usual demand there is.
    #[must_use]
    pub fn surge(&self, now: f64) -> f64 {
        let active = self.faults.iter().filter(|fault| fault.active(now));
        let factors = active.filter_map(|fault| match fault.what {
            Break::Surge(factor) => Some(factor),
            _ => None,
        });
        factors.fold(1.0, f64::max)
    }

    /// Held-out scenario `k`: the faults hit others of the first six providers, another region,
    /// and are stronger or weaker by up to 40 %.
    fn shuffle(&mut self, k: u32) {
        let mut random = Mersenne::new(9_000 + k);
        let to = random.permutation(6);
        let region = random.below(REGIONS.len());
        let mut vary = |value: f64| value * random.uniform(0.6, 1.4);
        for fault in &mut self.faults {
            for provider in &mut fault.providers {
                *provider = to.get(*provider).copied().unwrap_or(*provider);
            }
            fault.region = fault.region.map(|_| region);
            fault.what = match fault.what {
                Break::Errors(value) => Break::Errors(vary(value)),
                Break::Latency(value) => Break::Latency(vary(value)),
                Break::Limit(value) => Break::Limit(vary(value)),
                Break::Speed(value) => Break::Speed(vary(value)),
                Break::Truncate(value) => Break::Truncate(vary(value)),
                other => other,
            };
        }
    }
}

impl Fault {
    /// Is it going on?
    #[must_use]
    pub fn active(&self, now: f64) -> bool {
        (self.start..self.end).contains(&now)
    }

    /// What it is called in short: the name up to the first space.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_must_spread_evenly() {
        for edges in [0, 2, 13, 100_000] {
            let refused = Scenario::new(Kind::Standard, edges, 0);
            assert_eq!(refused, Err(Refused::Edges(edges)));
        }
        let scenario = Scenario::new(Kind::Extended, 60, 0).unwrap();
        assert_eq!((scenario.edges(), scenario.region_of(59)), (60, 2));
    }

    #[test]
    fn a_held_out_scenario_is_the_references() {
        let scenario = Scenario::new(Kind::Standard, 12, 1).unwrap();
        let first = &scenario.faults[0];
        assert_eq!(first.providers, [0], "its permutation is A C E F B D");
        assert_eq!(scenario.faults[2].providers, [4]);
        assert_eq!(scenario.faults[4].region, Some(2));
        let Break::Errors(errors) = scenario.faults[2].what else {
            panic!("the brown-out comes third");
        };
        assert!((errors - 0.35 * 1.128_352_325_515_176_6).abs() < 1e-12);
    }
}
