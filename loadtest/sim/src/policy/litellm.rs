//! LiteLLM's router: an offer that failed more than half of this minute's calls, or that said 429,
//! rests. What it knows is shared by all instances at once, which is generous; its latency lists
//! live for ten minutes instead of an hour, so that they expire within a run.

use super::{Ask, Failed, Leg, Policy};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::world::World;

/// Which of its strategies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// `simple-shuffle`: by configured requests per minute.
    Shuffle,
    /// `latency-based-routing`
    Latency,
    /// `usage-based-routing-v2`
    Usage,
    /// `cost-based-routing`
    Cost,
}

/// Seconds of rest after failures.
const REST: f64 = 5.0;
/// Seconds that a list of latencies lives.
const LIST_SECONDS: f64 = 600.0;
/// Latencies in a list; once it is full only the last one changes.
const LIST_LENGTH: usize = 10;
/// What a timeout counts as, in seconds.
const TIMEOUT_COUNTS: f64 = 1000.0;
/// Tokens that a request counts as.
const TOKENS: f64 = 350.0;

pub(super) struct LiteLlm {
    by: By,
    luck: Random,
    offers: Vec<Offer>,
}

#[derive(Clone, Default)]
struct Offer {
    limit: f64,
    price: f64,
    rests_until: f64,
    latencies: Vec<f64>,
    list_until: f64,
    minute: i64,
    good: f64,
    bad: f64,
    requests: f64,
    tokens: f64,
}

impl Offer {
    /// Its counts of this minute.
    fn at(&mut self, now: f64) -> &mut Self {
        let minute = (now / 60.0) as i64;
        if minute != self.minute {
            self.minute = minute;
            (self.good, self.bad) = (0.0, 0.0);
            (self.requests, self.tokens) = (0.0, 0.0);
        }
        self
    }

    fn took(&mut self, seconds: f64, now: f64) {
        if self.latencies.is_empty() {
            self.list_until = now + LIST_SECONDS;
        }
        if self.latencies.len() < LIST_LENGTH {
            self.latencies.push(seconds);
        } else if let Some(last) = self.latencies.last_mut() {
            *last = seconds;
        }
    }

    fn mean(&self) -> f64 {
        self.latencies.iter().sum::<f64>() / self.latencies.len().max(1) as f64
    }
}

impl LiteLlm {
    pub(super) fn new(scenario: &Scenario, by: By, luck: Random) -> Self {
        let offers = scenario.offers.iter().map(|offer| Offer {
            limit: offer.limit,
            price: offer.price,
            ..Offer::default()
        });
        Self {
            by,
            luck,
            offers: offers.collect(),
        }
    }

    fn least(&mut self, among: &[usize], cost: impl Fn(&Offer) -> f64) -> Option<usize> {
        let costs = among.iter().map(|offer| cost(&self.offers[*offer]));
        let least = costs.fold(f64::INFINITY, f64::min);
        let equal = among.iter().copied();
        let equal = equal.filter(|offer| cost(&self.offers[*offer]) <= least);
        let equal: Vec<usize> = equal.collect();
        self.luck.choose(&equal)
    }
}

impl Policy for LiteLlm {
    /// A retry may pick what was tried, if it doesn't rest.
    fn choose(&mut self, world: &mut World, ask: &Ask, now: f64) -> Option<usize> {
        let offers = world.scenario.offers_of(ask.model);
        let awake = offers.filter(|offer| self.offers[*offer].rests_until <= now);
        let mut awake: Vec<usize> = awake.collect();
        if matches!(self.by, By::Usage | By::Cost) {
            awake.retain(|offer| {
                let offer = self.offers[*offer].at(now);
                offer.requests + 1.0 < offer.limit * 60.0
            });
        }
        match self.by {
            By::Shuffle => {
                let weights = awake.iter().map(|offer| self.offers[*offer].limit);
                let weights: Vec<f64> = weights.collect();
                Some(awake[self.luck.weighted(&weights)?])
            }
            By::Usage => self.least(&awake, |offer| offer.tokens),
            By::Cost => self.least(&awake, |offer| offer.price),
            By::Latency => {
                for offer in &awake {
                    let offer = &mut self.offers[*offer];
                    if now > offer.list_until {
                        offer.latencies.clear();
                    }
                }
                self.least(&awake, Offer::mean)
            }
        }
    }

    fn begun(&mut self, leg: Leg, now: f64) {
        self.offers[leg.offer].at(now).requests += 1.0;
    }

    fn first_token(&mut self, leg: Leg, now: f64, ttft: f64) {
        let offer = self.offers[leg.offer].at(now);
        offer.good += 1.0;
        offer.took(ttft, now);
    }

    fn ended(&mut self, leg: Leg, now: f64, _whole: bool, _speed: f64) {
        self.offers[leg.offer].at(now).tokens += TOKENS;
    }

    fn failed(&mut self, leg: Leg, now: f64, how: Failed) {
        let offer = self.offers[leg.offer].at(now);
        offer.bad += 1.0;
        if how == Failed::Timeout {
            offer.took(TIMEOUT_COUNTS, now);
        }
        let all = offer.bad + offer.good;
        if let Failed::RateLimited(seconds) = how {
            offer.rests_until = now + seconds;
        } else if all > 1.0 && offer.bad / all > 0.5 {
            offer.rests_until = now + REST;
        }
    }
}
