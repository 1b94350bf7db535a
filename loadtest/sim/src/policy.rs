//! What decides: the interface between a run and the one under test, and all that there are by
//! name. The names are the reference's.

mod edge_rank;
mod envoy;
mod litellm;
mod oracle;
mod peak_ewma;
mod simple;

use crate::ours::Ours;
use crate::random::Random;
use crate::scenario::Scenario;
use crate::world::World;
use shared::health::Allowance;
use shared::ranking::Mode;
use std::collections::BTreeMap;

/// One attempt of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leg {
    /// The request's number.
    pub call: usize,
    /// Where it came in.
    pub edge: usize,
    /// Where it goes.
    pub offer: usize,
}

/// What an offer is wanted for.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The request's number.
    pub call: usize,
    /// Where it came in.
    pub edge: usize,
    /// What it asks for.
    pub model: usize,
    /// The offers that it has tried, as bits.
    pub tried: u32,
    /// Whether and why it has been tried before.
    pub turn: Turn,
}

/// Which attempt of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// The first.
    First,
    /// After a failure.
    Again,
    /// Beside one that is silent.
    Hedge,
}

/// How long an attempt may be silent, in seconds from its start.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Patience {
    /// Then it is given up.
    pub deadline: f64,
    /// Then another is begun beside it, if [`Policy::may_hedge`].
    pub hedge: Option<f64>,
    /// Then [`Policy::silent`] hears of it.
    pub silence: Option<f64>,
}

impl Patience {
    /// Patient for so long, and nothing else.
    #[must_use]
    pub fn until(deadline: f64) -> Self {
        Self {
            deadline,
            hedge: None,
            silence: None,
        }
    }
}

/// How an attempt failed before its first token.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Failed {
    /// 5xx.
    Hard,
    /// Silent past the deadline.
    Timeout,
    /// 503 or 529.
    Overload,
    /// 429, asking for so many seconds.
    RateLimited(f64),
}

/// What decides where requests go. Times are seconds from the start of the run.
pub trait Policy {
    /// Attempts that one request may make; one hedge more.
    fn attempts_max(&self) -> u32 {
        3
    }
    /// The offer for the next attempt; none gives up.
    fn choose(&mut self, world: &mut World, ask: &Ask, now: f64) -> Option<usize>;
    /// How long an attempt that has just begun may be silent.
    fn patience(&mut self, _world: &World, _leg: Leg, _now: f64) -> Patience {
        Patience::until(10.0)
    }
    /// May this request have a second attempt beside its first?
    fn may_hedge(&mut self, _leg: Leg, _now: f64) -> bool {
        false
    }
    /// An attempt begins.
    fn begun(&mut self, _leg: Leg, _now: f64) {}
    /// The first token came after so many seconds.
    fn first_token(&mut self, _leg: Leg, _now: f64, _ttft: f64) {}
    /// An answer's headers state the account's limits, of requests and of tokens.
    fn stated(&mut self, _leg: Leg, _now: f64, _limits: (Option<Allowance>, Option<Allowance>)) {}
    /// A stream that is about to end used so many tokens of prompt and answer.
    fn used(&mut self, _leg: Leg, _now: f64, _tokens: (f64, f64)) {}
    /// An attempt failed before its first token.
    fn failed(&mut self, _leg: Leg, _now: f64, _how: Failed) {}
    /// A stream ended, whole or cut; its client heard all of it.
    fn ended(&mut self, _leg: Leg, _now: f64, _whole: bool, _speed: f64) {}
    /// A stream runs for 1.5 s, at that speed.
    fn progress(&mut self, _leg: Leg, _now: f64, _speed: f64) {}
    /// An attempt is still silent at its mark.
    fn silent(&mut self, _leg: Leg, _now: f64) {}
    /// Nobody waits for the attempt any more: another was first, or the client left.
    fn dropped(&mut self, _leg: Leg, _now: f64) {}
    /// A second has passed.
    fn tick(&mut self, _world: &mut World, _now: f64) {}
    /// When [`Policy::act`] wants to be called; infinity is never.
    fn due(&self) -> f64 {
        f64::INFINITY
    }
    /// It is that time.
    fn act(&mut self, _world: &mut World, _now: f64) {}
    /// What else is worth telling of a run, by name.
    fn notes(&self) -> BTreeMap<&'static str, f64> {
        BTreeMap::new()
    }
}

/// Our modes: the production code.
pub const OURS: [&str; 4] = ["balanced", "price", "throughput", "latency"];
/// What ours is measured against.
pub const BASELINES: [&str; 11] = [
    "random",
    "rr",
    "ll_shuffle",
    "ll_latency",
    "ll_usage",
    "ll_cost",
    "or_doc",
    "envoy",
    "envoy50",
    "peakewma",
    "cp_top1",
];
/// What knows what can't be known.
pub const ORACLES: [&str; 2] = ["oracle", "oracle_lat"];
/// The reference's own policy, its modes, and what becomes of it without its parts.
pub const REFERENCE: [&str; 10] = [
    "edgerank",
    "er_price",
    "er_latency",
    "er_thr",
    "er_nolocal",
    "er_nocp",
    "er_nocaps",
    "er_nohedge",
    "er_nodamp",
    "er_cp10",
];

/// Every name, ours first.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let all = OURS.iter().chain(&BASELINES).chain(&ORACLES);
    all.chain(&REFERENCE).copied().collect()
}

/// The policy of that name, for a run of that scenario and seed.
#[must_use]
pub fn make(name: &str, scenario: &Scenario, seed: u64) -> Option<Box<dyn Policy>> {
    let luck = Random::stream(seed, 4);
    Some(match name {
        "balanced" => Box::new(Ours::new(scenario, Mode::Balanced, luck)),
        "price" => Box::new(Ours::new(scenario, Mode::Price, luck)),
        "throughput" => Box::new(Ours::new(scenario, Mode::Throughput, luck)),
        "latency" => Box::new(Ours::new(scenario, Mode::Latency, luck)),
        "random" => Box::new(simple::Random(luck)),
        "rr" => Box::new(simple::RoundRobin::new(scenario, luck)),
        "or_doc" => Box::new(simple::Documented::new(scenario, luck)),
        "ll_shuffle" => Box::new(litellm::LiteLlm::new(scenario, litellm::By::Shuffle, luck)),
        "ll_latency" => Box::new(litellm::LiteLlm::new(scenario, litellm::By::Latency, luck)),
        "ll_usage" => Box::new(litellm::LiteLlm::new(scenario, litellm::By::Usage, luck)),
        "ll_cost" => Box::new(litellm::LiteLlm::new(scenario, litellm::By::Cost, luck)),
        "envoy" => Box::new(envoy::Envoy::new(scenario, 0.1, luck)),
        "envoy50" => Box::new(envoy::Envoy::new(scenario, 0.5, luck)),
        "peakewma" => Box::new(peak_ewma::PeakEwma::new(scenario, luck)),
        "oracle" => Box::new(oracle::Oracle::price_first()),
        "oracle_lat" => Box::new(oracle::Oracle::latency_first()),
        other => Box::new(edge_rank::EdgeRank::new(
            scenario,
            edge_rank::Options::of(other)?,
            luck,
        )),
    })
}

/// The offers of a request's model that it has not tried.
fn untried(world: &World, ask: &Ask) -> Vec<usize> {
    let offers = world.scenario.offers_of(ask.model);
    offers
        .filter(|offer| ask.tried & (1 << offer) == 0)
        .collect()
}
