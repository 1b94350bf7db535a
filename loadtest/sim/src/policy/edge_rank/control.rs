//! The reference's control plane: pooled health, quantiles by region, scores, probes. Once a second; what it makes arrives at the next tick that is 0.3 s later.

mod memory;
mod share;

use super::Options;
use crate::random::Random;
use crate::scenario::{DEMAND, REGIONS, Scenario};
use memory::{Local, Memory};

const HERE: usize = REGIONS.len();

/// What an edge tells of an attempt.
#[derive(Clone, Copy)]
pub(super) enum Seen {
    Ok(f64),
    Failed,
    Full,
    Speed(f64),
    Truncated,
}

/// What edges are told.
#[derive(Clone)]
pub(super) struct Push {
    at: f64,
    /// By region and offer.
    pub(super) shares: Vec<Vec<f64>>,
    pub(super) p95: Vec<Vec<f64>>,
    /// By edge and offer.
    pub(super) leases: Vec<Vec<f64>>,
    pub(super) probes: Vec<(usize, usize)>,
}

impl Push {
    pub(super) fn first(scenario: &Scenario) -> Self {
        let count = scenario.offers.len();
        let edges = scenario.edges();
        let lease = |offer: &crate::scenario::Offer| offer.limit / edges as f64;
        let leases: Vec<f64> = scenario.offers.iter().map(lease).collect();
        Self {
            at: 0.0,
            shares: vec![vec![1.0 / count as f64; count]; HERE],
            p95: vec![vec![2.0; count]; HERE],
            leases: vec![leases; edges],
            probes: Vec::new(),
        }
    }
}

pub(super) struct Control {
    options: Options,
    offers: Vec<Memory>,
    told: Vec<(usize, usize, Seen)>,
    /// Requests by region and model, decayed and since the last tick.
    demand: Vec<Vec<f64>>,
    asked: Vec<Vec<f64>>,
    by_edge: Vec<f64>,
    push: Option<Push>,
}

/// What a tick makes of an offer in a region.
#[derive(Clone, Copy, Default)]
struct Facts {
    cost: f64,
    p95: f64,
}

impl Control {
    pub(super) fn new(scenario: &Scenario, options: Options) -> Self {
        let count = scenario.offers.len();
        let offers = scenario.offers.iter().map(|offer| Memory {
            regions: vec![
                Local {
                    share: 1.0 / count as f64,
                    ..Local::default()
                };
                HERE
            ],
            cap: 0.95 * offer.limit,
            capped: -99.0,
            ..Memory::default()
        });
        let demand = DEMAND.map(|part| {
            let models = scenario.popularity.iter();
            models.map(|model| scenario.rate * part * model).collect()
        });
        Self {
            options,
            offers: offers.collect(),
            told: Vec::new(),
            demand: demand.to_vec(),
            asked: vec![vec![0.0; scenario.models]; HERE],
            by_edge: vec![1.0; scenario.edges()],
            push: None,
        }
    }

    pub(super) fn saw(&mut self, offer: usize, region: usize, seen: Seen) {
        self.told.push((offer, region, seen));
    }

    pub(super) fn asked(&mut self, region: usize, edge: usize, model: usize) {
        self.asked[region][model] += 1.0;
        self.by_edge[edge] += 1.0;
    }

    /// What has been pushed and is there by now.
    pub(super) fn arrived(&mut self, now: f64) -> Option<Push> {
        let there = self.push.as_ref().is_some_and(|push| now >= push.at);
        if there { self.push.take() } else { None }
    }

    /// Nothing was heard.
    pub(super) fn deaf(&mut self) {
        self.told.clear();
        self.asked.iter_mut().flatten().for_each(|it| *it = 0.0);
    }

    pub(super) fn tick(&mut self, scenario: &Scenario, now: f64, luck: &mut Random) {
        let period = self.options.period as f64;
        self.hear(period);
        for (demand, asked) in self.demand.iter_mut().zip(&mut self.asked) {
            for (demand, asked) in demand.iter_mut().zip(asked) {
                *demand = 0.7 * *demand + 0.3 * asked.max(1.0) / period;
                *asked = 0.0;
            }
        }
        let facts = (0..self.offers.len()).map(|at| self.judge(scenario, at, now));
        let facts: Vec<Vec<Facts>> = facts.collect();
        if self.options.caps {
            self.learn_caps(scenario, now, period);
        }
        for model in 0..scenario.models {
            self.share(scenario, model, &facts);
        }
        let probes = self.probes(scenario, now, period, luck);
        self.say(&facts, probes, now);
    }

    /// Forgets some, and adds what was told.
    fn hear(&mut self, period: f64) {
        let half = |seconds: f64| 0.5_f64.powf(period / seconds);
        let (eight, thirty, six) = (half(8.0), half(30.0), half(6.0));
        for memory in &mut self.offers {
            memory.speed.decay(thirty);
            memory.speed_fast.decay(six);
            memory.ttft_fast.decay(eight);
            memory.ttft.decay(thirty);
            (memory.ok, memory.full) = (0.0, 0.0);
            for local in &mut memory.regions {
                local.n *= eight;
                local.bad *= eight;
                local.relapses *= half(60.0);
                local.ttft.decay(thirty);
                local.ttft_fast.decay(six);
            }
        }
        for (offer, region, seen) in std::mem::take(&mut self.told) {
            let memory = &mut self.offers[offer];
            let local = &mut memory.regions[region];
            match seen {
                Seen::Ok(ttft) => {
                    local.n += 1.0;
                    local.good += 1;
                    local.ttft.add(ttft);
                    local.ttft_fast.add(ttft);
                    memory.ttft.add(ttft);
                    memory.ttft_fast.add(ttft);
                    memory.ok += 1.0;
                }
                Seen::Failed => {
                    local.n += 1.0;
                    local.bad += 1.0;
                    local.good = 0;
                }
                Seen::Full => memory.full += 1.0,
                Seen::Speed(speed) => {
                    memory.speed.add(speed);
                    memory.speed_fast.add(speed);
                }
                Seen::Truncated => local.bad += 1.0,
            }
        }
    }

    /// States and scores of one offer, by region.
    fn judge(&mut self, scenario: &Scenario, at: usize, now: f64) -> Vec<Facts> {
        let about = scenario.offers[at];
        let (price, latency, speed_weight, ..) = self.options.weights;
        let memory = &mut self.offers[at];
        let all: f64 = memory.regions.iter().map(|local| local.n).sum();
        let bad: f64 = memory.regions.iter().map(|local| local.bad).sum();
        let failing = (bad + 0.02) / (all + 2.0);
        let medians = memory.regions.iter().map(|it| it.ttft.quantile(0.5, 0.0));
        let medians: Vec<f64> = medians.filter(|median| *median > 0.0).collect();
        let usual = if medians.is_empty() {
            about.ttft
        } else {
            medians.iter().sum::<f64>() / medians.len() as f64
        };
        let speed = memory.speed(about.speed);
        memory.improved();
        let score = |ttft: f64, speed: f64| {
            price * about.price.ln() + latency * ttft.ln() - speed_weight * speed.ln()
        };
        memory.long_run = score(about.ttft, about.speed);
        let facts = memory.regions.iter_mut().map(|local| {
            let failing = (local.bad + 3.0 * failing) / (local.n + 3.0);
            let (p50, p90, p95) = local.latencies(usual);
            local.step(failing, all, now);
            let late = 1.5 * (p90 / 2.2 - 1.0).max(0.0);
            let slow = 1.5 * (30.0 / speed - 1.0).max(0.0);
            Facts {
                cost: score(p50, speed) + 5.0 * failing + late + slow,
                p95,
            }
        });
        facts.collect()
    }

    /// Who is asked whether an offer that is shut off, or would be competitive, serves well.
    fn probes(
        &self,
        scenario: &Scenario,
        now: f64,
        period: f64,
        luck: &mut Random,
    ) -> Vec<(usize, usize)> {
        let sharpness = self.options.weights.3;
        let mut probes = Vec::new();
        for (offer, memory) in self.offers.iter().enumerate() {
            let model = scenario.offers[offer].model;
            let rivals = scenario.offers_of(model);
            let best = rivals.map(|it| self.offers[it].long_run);
            let worse = memory.long_run - best.fold(f64::INFINITY, f64::min);
            let strong = (-sharpness * worse).exp() > 0.08;
            for (region, local) in memory.regions.iter().enumerate() {
                let chance = if local.open && now >= local.hold - 1.0 {
                    0.45
                } else if !local.open && local.share < 0.02 && strong {
                    (0.012 * self.demand[region][model]).min(0.3)
                } else {
                    0.0
                };
                if luck.unit() < chance * period {
                    let per_region = scenario.edges_per_region;
                    probes.push((region * per_region + luck.below(per_region), offer));
                }
            }
        }
        probes
    }

    fn say(&mut self, facts: &[Vec<Facts>], probes: Vec<(usize, usize)>, now: f64) {
        let (all, edges) = (self.by_edge.iter().sum::<f64>(), self.by_edge.len() as f64);
        let lease = |edge: &f64| {
            let part = (edge / all).max(0.3 / edges);
            let caps = self.offers.iter().map(|memory| 1.15 * memory.cap * part);
            caps.collect()
        };
        let leases = self.by_edge.iter().map(lease).collect();
        for edge in &mut self.by_edge {
            *edge = 0.9 * *edge + 0.1;
        }
        let by_region = |of: &dyn Fn(usize, usize) -> f64| {
            let row = |region: usize| (0..self.offers.len()).map(|it| of(it, region)).collect();
            (0..HERE).map(row).collect()
        };
        self.push = Some(Push {
            at: now + 0.3,
            shares: by_region(&|offer, region| self.offers[offer].regions[region].share),
            p95: by_region(&|offer, region| facts[offer][region].p95),
            leases,
            probes,
        });
    }
}
