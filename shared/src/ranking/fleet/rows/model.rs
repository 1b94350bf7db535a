//! One model in all regions: what is known of its endpoints, what requests through them cost, and
//! the shares that follow.

use super::super::memory::Memory;
use super::Place;
use crate::catalog::Endpoint;
use crate::ranking::demand::Demand;
use crate::ranking::roster::RegionIx;
use crate::ranking::score::{Facts, Terms};
use crate::ranking::share::{Wish, allot};
use crate::ranking::speed::Quantiles;
use crate::ranking::state::Ramp;
use crate::ranking::{Mode, ScoreTuning, State};
use std::sync::Arc;

/// What is assumed of an endpoint of whose model nothing is known, in milliseconds.
const TTFT_ASSUMED: f64 = 600.0;
/// Tokens per second.
const THROUGHPUT_ASSUMED: f64 = 60.0;
/// What the 90th percentile is taken for, as a multiple of the median.
const P90_ASSUMED: f64 = 1.7;
/// Samples that a region's 95th percentile needs; below, the fleet's is taken.
const TAIL_SAMPLES: u64 = 20;
/// What a tick finds of one endpoint in one region.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) state: State,
    /// The state's and the operator's limit.
    pub(super) limit: f64,
    pub(super) withdrawn: bool,
    /// Milliseconds to the first token, of late.
    pub(super) ttft: Option<Quantiles>,
    pub(super) failure: f64,
    pub(super) tool_failure: f64,
    pub(super) facts: Facts,
    /// What it is like in the long run.
    lasting: Facts,
    /// Its part of the traffic by mode.
    pub(super) shares: [f64; 4],
    /// How much less weight than the best it deserves now by mode, as a natural logarithm.
    pub(super) behind: [f64; 4],
    /// The ramp's limit of the balanced mode.
    pub(super) ramp: f64,
    /// What its long record deserves by mode: a part of all …
    pub(super) long_run: [f64; 4],
    /// … and the weight against the best one's 1.
    pub(super) deserves: [f64; 4],
}

/// By region, then by endpoint.
pub(super) type Findings = Vec<Vec<Found>>;

/// Looks at a model.
pub(super) fn look(
    endpoints: &[&Arc<Endpoint>],
    memories: &[&Memory],
    demand: &Demand,
    place: &Place<'_>,
) -> Findings {
    let mut findings: Findings = place
        .regions()
        .map(|region| region_of(endpoints, memories, region, place))
        .collect();
    let caps: Vec<Option<f64>> = memories.iter().map(|it| it.fits()).collect();
    let score = super::score(memories.iter().copied(), place.tuning, place.now);
    let costs = Costs::of(&findings, &score);
    let ramp = Ramp::over(demand.elapsed(), &place.tuning.share);
    for mode in Mode::ALL {
        let weights = costs.weights(*mode, &mut findings, &score);
        let wishes: Vec<Wish> = place
            .regions()
            .zip(&findings)
            .zip(weights)
            .map(|((region, found), weights)| Wish {
                weights,
                limits: found.iter().map(|it| it.limit).collect(),
                ramps: ramps((*mode, region), memories, ramp, place),
                demand: demand.rate(region),
            })
            .collect();
        let shares = allot(&wishes, &caps, &place.tuning.share);
        for (((found, shares), wish), terms) in findings
            .iter_mut()
            .zip(shares)
            .zip(&wishes)
            .zip(&costs.lasting)
        {
            let lasting = lasting(*mode, found, terms, &score);
            let sum: f64 = lasting.iter().sum();
            let each = found.iter_mut().zip(shares).zip(&wish.ramps).zip(lasting);
            for (((found, share), ramp), weight) in each {
                let at = mode.index();
                put(&mut found.shares, at, share);
                put(&mut found.deserves, at, weight);
                put(
                    &mut found.long_run,
                    at,
                    if sum > 0.0 { weight / sum } else { 0.0 },
                );
                if *mode == Mode::Balanced {
                    found.ramp = ramp.min(found.limit);
                }
            }
        }
    }
    findings
}

/// The logarithms, once for all modes.
struct Costs {
    terms: Vec<Vec<Terms>>,
    lasting: Vec<Vec<Terms>>,
}

impl Costs {
    fn of(findings: &Findings, tuning: &ScoreTuning) -> Self {
        let all = |which: fn(&Found) -> &Facts| {
            let regions = findings.iter();
            regions
                .map(|found| {
                    found
                        .iter()
                        .map(|it| Terms::of(which(it), tuning))
                        .collect()
                })
                .collect()
        };
        Self {
            terms: all(|it| &it.facts),
            lasting: all(|it| &it.lasting),
        }
    }

    /// What everybody deserves in a mode, by region; it is noted in what was found, too.
    fn weights(&self, mode: Mode, findings: &mut Findings, tuning: &ScoreTuning) -> Vec<Vec<f64>> {
        let regions = findings.iter_mut().zip(&self.terms);
        regions
            .map(|(found, terms)| weights(mode, found, terms, tuning))
            .collect()
    }
}

fn put(values: &mut [f64; 4], at: usize, value: f64) {
    if let Some(slot) = values.get_mut(at) {
        *slot = value;
    }
}

/// Against the best that may have traffic: what is shut off sets no standard. Notes how far behind
/// it everybody is.
fn weights(mode: Mode, found: &mut [Found], terms: &[Terms], tuning: &ScoreTuning) -> Vec<f64> {
    let costs: Vec<f64> = terms.iter().map(|it| it.cost(mode, tuning)).collect();
    let best_of = |may: fn(&Found) -> bool| {
        let may = costs.iter().zip(&*found).filter(|(_, it)| may(it));
        may.map(|(cost, _)| *cost).fold(f64::INFINITY, f64::min)
    };
    let best = best_of(|it| it.limit > 0.0);
    let best = if best.is_finite() {
        best
    } else {
        best_of(|it| !it.withdrawn)
    };
    let each = costs.iter().zip(found).zip(terms);
    each.map(|((cost, found), terms)| {
        if found.withdrawn || !best.is_finite() {
            0.0
        } else {
            let behind = terms.behind(mode, cost - best, tuning);
            put(&mut found.behind, mode.index(), behind);
            terms.weight(mode, cost - best, tuning)
        }
    })
    .collect()
}

/// How far shares may have grown since the last tick.
fn ramps(
    (mode, region): (Mode, RegionIx),
    memories: &[&Memory],
    ramp: Ramp,
    place: &Place<'_>,
) -> Vec<f64> {
    let grown = |memory: &&Memory| {
        let standing = memory.regions.get(region.at())?.standing?;
        let before = standing.shares.get(mode.index())?;
        Some(ramp.of(before.max(place.tuning.share.floor)))
    };
    let each = memories.iter().map(|memory| grown(memory).unwrap_or(1.0));
    each.collect()
}

fn lasting(mode: Mode, found: &[Found], terms: &[Terms], tuning: &ScoreTuning) -> Vec<f64> {
    let costs: Vec<f64> = terms
        .iter()
        .map(|it| it.lasting_cost(mode, tuning))
        .collect();
    let served = costs.iter().zip(found).filter(|(_, it)| !it.withdrawn);
    let best = served.map(|(cost, _)| *cost).fold(f64::INFINITY, f64::min);
    let each = costs.iter().zip(found).zip(terms);
    each.map(|((cost, found), terms)| {
        if found.withdrawn {
            0.0
        } else {
            terms.weight(mode, cost - best, tuning)
        }
    })
    .collect()
}

fn region_of(
    endpoints: &[&Arc<Endpoint>],
    memories: &[&Memory],
    region: RegionIx,
    place: &Place<'_>,
) -> Vec<Found> {
    let mut found: Vec<Found> = endpoints
        .iter()
        .zip(memories)
        .map(|(endpoint, memory)| found(endpoint, memory, region, place))
        .collect();
    // Who is to have no share has one where nobody else is left: somebody must be asked.
    if found
        .iter()
        .all(|it| it.withdrawn || it.facts.favour <= 0.0)
    {
        for it in &mut found {
            (it.facts.favour, it.lasting.favour) = (1.0, 1.0);
        }
    }
    let serves = |it: &Found| !it.withdrawn && it.limit > 0.0;
    let pinned = |(at, it): (usize, &Found)| {
        let endpoint = endpoints.get(at);
        serves(it) && endpoint.is_some_and(|endpoint| place.wish(&endpoint.id).pinned)
    };
    let pins: Vec<bool> = found.iter().enumerate().map(pinned).collect();
    if pins.contains(&true) {
        for (it, pinned) in found.iter_mut().zip(pins) {
            it.limit *= f64::from(u8::from(pinned));
        }
    }
    assume(&mut found);
    found
}

fn found(endpoint: &Endpoint, memory: &Memory, region: RegionIx, place: &Place<'_>) -> Found {
    let wish = place.wish(&endpoint.id);
    let (state, limit) = match wish.withdrawal() {
        Some(state) => (state, 0.0),
        None => memory.state(region, place.tuning),
    };
    let prior = place
        .priors
        .get(&endpoint.provider)
        .copied()
        .unwrap_or_default();
    let pops = place.pops.get(region.at());
    let pops = pops.map(Vec::as_slice).unwrap_or_default();
    let failure = memory.tally.failure(region, pops, prior);
    let tool_failure = memory.tally.tool_failure(region);
    let favour = wish.weight();
    let (ttft, usual) = latency(memory, region);
    let throughput = memory.throughput.now().map(|it| it.p50);
    let record = memory.record.throughput.value();
    let price = endpoint.pricing.blended();
    // Zero is unknown until the model's others have been asked.
    let lasting = Facts {
        price,
        ttft: usual.unwrap_or_default() / 1000.0,
        ttft_p90: 0.0,
        throughput: record.unwrap_or_default(),
        failure: 0.0,
        favour,
    };
    Found {
        state,
        limit: if favour > 0.0 { limit } else { 0.0 },
        withdrawn: wish.withdrawal().is_some(),
        ttft,
        failure,
        tool_failure: memory.tally.broken_calls(region),
        facts: Facts {
            ttft: ttft.map_or(lasting.ttft, |it| it.p50 / 1000.0),
            ttft_p90: ttft.map_or(0.0, |it| it.p90 / 1000.0),
            throughput: throughput.unwrap_or(lasting.throughput),
            failure: (failure + tool_failure).min(1.0),
            ..lasting
        },
        lasting,
        shares: [0.0; 4],
        behind: [f64::INFINITY; 4],
        ramp: 1.0,
        long_run: [0.0; 4],
        deserves: [0.0; 4],
    }
}

/// A region's time to the first token, of late and in the long run: its own, or where it is too
/// sparse the fleet's as it usually differs here.
fn latency(memory: &Memory, region: RegionIx) -> (Option<Quantiles>, Option<f64>) {
    let local = memory.regions.get(region.at());
    let ratio = local.map_or(1.0, |local| local.record.ratio(&memory.record.ttft));
    let fleet = memory.ttft.now().map(|it| Quantiles {
        p50: it.p50 * ratio,
        p90: it.p90 * ratio,
        p95: it.p95 * ratio,
    });
    let here = local.and_then(|local| {
        let now = local.ttft.now()?;
        let rare = local.ttft.samples() < TAIL_SAMPLES;
        let tail = fleet.filter(|_| rare).map_or(now.p95, |it| it.p95);
        Some(Quantiles { p95: tail, ..now })
    });
    let usual = memory.record.ttft.value().map(|it| it * ratio);
    (here.or(fleet), usual)
}

/// Where an endpoint's speed is not known, it is taken for its model's usual one.
fn assume(found: &mut [Found]) {
    for which in [
        (|it: &mut Found| &mut it.lasting) as fn(&mut Found) -> &mut Facts,
        |it| &mut it.facts,
    ] {
        let ttft = median(found.iter_mut().map(|it| which(it).ttft));
        let ttft = ttft.unwrap_or(TTFT_ASSUMED / 1000.0);
        let speed = median(found.iter_mut().map(|it| which(it).throughput));
        let speed = speed.unwrap_or(THROUGHPUT_ASSUMED);
        for it in found.iter_mut() {
            let facts = which(it);
            if facts.ttft <= 0.0 {
                facts.ttft = ttft;
            }
            if facts.ttft_p90 <= 0.0 {
                facts.ttft_p90 = P90_ASSUMED * facts.ttft;
            }
            if facts.throughput <= 0.0 {
                facts.throughput = speed;
            }
        }
    }
}

/// Of what is known.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| *value > 0.0).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
