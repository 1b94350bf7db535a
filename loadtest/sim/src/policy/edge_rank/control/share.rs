//! Learned caps, and scores to shares under the ramp and the caps.

use super::{Control, Facts, HERE};
use crate::scenario::Scenario;

impl Control {
    pub(super) fn learn_caps(&mut self, scenario: &Scenario, now: f64, period: f64) {
        for (memory, about) in self.offers.iter_mut().zip(&scenario.offers) {
            let mean = 0.5 * memory.accepted + 0.5 * memory.ok;
            if memory.full > 0.02 * memory.ok + 1.0 {
                let bound = if memory.ok > 0.0 {
                    0.92 * mean / period
                } else {
                    0.5 * memory.cap
                };
                memory.cap = memory.cap.min(bound).max(0.04 * about.limit);
                memory.capped = now;
            } else if memory.ok > 0.6 * memory.cap * period {
                let growth = if now - memory.capped < 20.0 {
                    1.005
                } else {
                    1.05
                };
                memory.cap = (memory.cap * growth + 0.02).min(0.98 * about.limit);
            }
            memory.accepted = mean;
        }
    }

    /// Scores to shares, under the ramp and the caps.
    pub(super) fn share(&mut self, scenario: &Scenario, model: usize, facts: &[Vec<Facts>]) {
        let offers = scenario.offers_of(model);
        let sharpness = self.options.weights.3;
        let mut shares = vec![Vec::new(); HERE];
        for (region, shares) in shares.iter_mut().enumerate() {
            let local = |offer: usize| &self.offers[offer].regions[region];
            let shut = offers.clone().filter(|offer| !local(*offer).open);
            let best = shut.map(|offer| facts[offer][region].cost);
            let best = best.fold(f64::INFINITY, f64::min);
            let weight = |offer: usize| {
                if local(offer).open {
                    return 0.0;
                }
                let worse = facts[offer][region].cost - best;
                (-sharpness * worse).exp().max(1e-9)
            };
            *shares = offers.clone().map(weight).collect();
            normalise(shares);
            if self.options.ramp {
                for (share, offer) in shares.iter_mut().zip(offers.clone()) {
                    let local = local(offer);
                    let most = if local.open {
                        0.0
                    } else {
                        1.35 * local.share + 0.02
                    };
                    *share = share.min(most);
                }
                normalise(shares);
            }
        }
        if self.options.caps {
            self.fill(&mut shares, offers.clone(), model);
        }
        for (region, shares) in shares.iter_mut().enumerate() {
            for (share, offer) in shares.iter_mut().zip(offers.clone()) {
                let open = self.offers[offer].regions[region].open;
                *share = if open { 0.0 } else { share.max(0.002) };
            }
            normalise(shares);
            for (share, offer) in shares.iter().zip(offers.clone()) {
                self.offers[offer].regions[region].share = *share;
            }
        }
    }

    fn fill(&self, shares: &mut [Vec<f64>], offers: std::ops::Range<usize>, model: usize) {
        for _ in 0..24 {
            for (at, offer) in offers.clone().enumerate() {
                let wanted = shares.iter().zip(&self.demand);
                let wanted: f64 = wanted.map(|(share, it)| it[model] * share[at]).sum();
                let cap = self.offers[offer].cap;
                if wanted > cap && cap > 0.0 {
                    shares.iter_mut().for_each(|it| it[at] *= cap / wanted);
                }
            }
            shares.iter_mut().for_each(|it| normalise(it));
        }
    }
}

fn normalise(shares: &mut [f64]) {
    let sum: f64 = shares.iter().sum();
    if sum > 0.0 {
        shares.iter_mut().for_each(|share| *share /= sum);
    }
}
