//! At random, in turn, and OpenRouter's documented default of before autumn 2026.

use super::{Ask, Failed, Leg, Policy, untried};
use crate::random;
use crate::scenario::Scenario;
use crate::world::World;
use std::collections::VecDeque;

/// Any offer.
pub(super) struct Random(pub(super) random::Random);

impl Policy for Random {
    fn choose(&mut self, world: &mut World, ask: &Ask, _now: f64) -> Option<usize> {
        self.0.choose(&untried(world, ask))
    }
}

/// The next offer.
pub(super) struct RoundRobin {
    next: Vec<usize>,
}

impl RoundRobin {
    pub(super) fn new(scenario: &Scenario, mut luck: random::Random) -> Self {
        let offers = scenario.offers.len();
        let edges = 0..scenario.edges();
        Self {
            next: edges.map(|_| luck.below(offers)).collect(),
        }
    }
}

impl Policy for RoundRobin {
    fn choose(&mut self, world: &mut World, ask: &Ask, _now: f64) -> Option<usize> {
        let left = untried(world, ask);
        let next = &mut self.next[ask.edge];
        let chosen = left.iter().find(|offer| **offer > *next);
        let chosen = chosen.or_else(|| left.first()).copied()?;
        *next = chosen;
        Some(chosen)
    }
}

/// Stable over 30 s: a draw by 1/price². Else, and for retries, by price, the unstable last. The
/// window is shared by all edges at once, which is generous.
pub(super) struct Documented {
    luck: random::Random,
    seen: Vec<VecDeque<(f64, bool)>>,
    stable: Vec<bool>,
}

const WINDOW: f64 = 30.0;
const UNSTABLE: f64 = 0.2;
const ENOUGH: usize = 5;

impl Documented {
    pub(super) fn new(scenario: &Scenario, luck: random::Random) -> Self {
        Self {
            luck,
            seen: scenario.offers.iter().map(|_| VecDeque::new()).collect(),
            stable: vec![true; scenario.offers.len()],
        }
    }
}

impl Policy for Documented {
    fn choose(&mut self, world: &mut World, ask: &Ask, _now: f64) -> Option<usize> {
        let left = untried(world, ask);
        let stable = left.iter().copied().filter(|offer| self.stable[*offer]);
        let mut kept: Vec<usize> = stable.collect();
        if kept.is_empty() {
            kept = left;
        }
        let price = |offer: &usize| world.scenario.offers[*offer].price;
        if ask.tried == 0 {
            let weights: Vec<f64> = kept.iter().map(|offer| price(offer).powi(-2)).collect();
            return Some(kept[self.luck.weighted(&weights)?]);
        }
        kept.into_iter()
            .min_by(|a, b| price(a).total_cmp(&price(b)))
    }

    fn first_token(&mut self, leg: Leg, now: f64, _ttft: f64) {
        self.seen[leg.offer].push_back((now, false));
    }

    fn failed(&mut self, leg: Leg, now: f64, how: Failed) {
        if !matches!(how, Failed::RateLimited(_)) {
            self.seen[leg.offer].push_back((now, true));
        }
    }

    fn tick(&mut self, _world: &mut World, now: f64) {
        for (seen, stable) in self.seen.iter_mut().zip(&mut self.stable) {
            while seen.front().is_some_and(|(at, _)| *at <= now - WINDOW) {
                seen.pop_front();
            }
            let bad = seen.iter().filter(|(_, bad)| *bad).count();
            let failing = bad as f64 / seen.len().max(1) as f64 > UNSTABLE;
            *stable = !(seen.len() >= ENOUGH && failing);
        }
    }
}
