//! Who asks for a model, and how much: what shares are fitted under caps with, and what each edge's
//! portion is made of. Portions are told again only when they have moved together by more than
//! noise; the portions of one telling sum to one.

use super::evidence::real;
use super::portion::millionths;
use super::roster::{NodeIx, RegionIx, Roster};
use super::{Portion, Tuning};
use crate::clock::Moment;
use crate::health::half_life;
use crate::id::ModelId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Nodes and their parts of a demand, in millionths, by node.
type Parts = Vec<(NodeIx, u32)>;

/// What a drained node keeps of what a node has that asks for nothing: what still arrives there is
/// served.
const DRAINED: f64 = 0.1;
/// Whose rate is below this, in requests per second, asks for nothing.
const NOTHING: f64 = 1e-4;

/// The demand for one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Demand {
    /// Requests per second by region.
    regions: Vec<f64>,
    /// By node, ascending: requests, forgotten by half-life.
    nodes: Vec<(NodeIx, f64)>,
    /// The parts that were told; empty when the usual ones hold.
    told: Parts,
    folded: Option<Moment>,
    elapsed: Duration,
}

/// What edges asked of one model since the last tick, while it is added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// By the node's place.
    requests: Vec<u64>,
    /// Who has any, in any order.
    who: Vec<NodeIx>,
}

impl Asked {
    /// Takes in what nodes asked of one of the model's endpoints.
    pub(super) fn add(&mut self, requests: &[(NodeIx, u32)]) {
        for (node, more) in requests {
            if self.requests.len() <= node.at() {
                self.requests.resize(node.at() + 1, 0);
            }
            if let Some(requests) = self.requests.get_mut(node.at()) {
                if *requests == 0 {
                    self.who.push(*node);
                }
                *requests += u64::from(*more);
            }
        }
    }

    /// All of it, by node; nothing is left.
    fn take(&mut self) -> impl Iterator<Item = (NodeIx, f64)> {
        self.who.sort_unstable();
        self.who.drain(..).map(|node| {
            let requests = self.requests.get_mut(node.at());
            (node, real(requests.map(std::mem::take).unwrap_or_default()))
        })
    }
}

impl Demand {
    /// What was asked counts from now on; the first time, it is of the time `first`.
    pub(super) fn fold(
        &mut self,
        asked: &mut Asked,
        roster: &Roster,
        (first, now): (Duration, Moment),
        tuning: &Tuning,
    ) {
        let elapsed = self.folded.map_or(first, |before| now.since(before));
        (self.folded, self.elapsed) = (Some(now), elapsed);
        let kept = half_life(elapsed, tuning.portion_half_life);
        for (_, requests) in &mut self.nodes {
            *requests *= kept;
        }
        let mut regions = vec![0.0; roster.regions()];
        for (node, requests) in asked.take() {
            let region = roster.node(node).map(|node| node.region.at());
            if let Some(sum) = region.and_then(|at| regions.get_mut(at)) {
                *sum += requests;
            }
            self.nodes.push((node, requests));
        }
        // Two ascending runs.
        self.nodes.sort_by_key(|(node, _)| *node);
        self.nodes.dedup_by(|more, sum| {
            let same = more.0 == sum.0;
            if same {
                sum.1 += more.1;
            }
            same
        });
        self.nodes.retain(|(_, requests)| *requests > NOTHING);
        let kept = half_life(elapsed, tuning.demand_half_life);
        let seconds = elapsed.as_secs_f64().max(1e-3);
        self.regions.resize(regions.len(), 0.0);
        for (rate, requests) in self.regions.iter_mut().zip(regions) {
            *rate = kept * *rate + (1.0 - kept) * requests / seconds;
        }
    }

    /// The time that the last fold covered.
    pub(super) const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Requests per second in a region.
    pub(super) fn rate(&self, region: RegionIx) -> f64 {
        self.regions.get(region.at()).copied().unwrap_or_default()
    }

    fn requests(&self, node: NodeIx) -> Option<f64> {
        let at = self.nodes.binary_search_by_key(&node, |(node, _)| *node);
        let known = at.ok().and_then(|at| self.nodes.get(at));
        known.map(|(_, requests)| *requests)
    }

    /// Does this node ask for the model of late?
    pub(super) fn asks(&self, node: NodeIx) -> bool {
        self.requests(node).is_some()
    }

    pub(super) fn is_blank(&self) -> bool {
        self.nodes.is_empty() && self.told.is_empty()
    }
}

/// Who has a part of the demand; both ascending.
pub(super) struct Live<'a> {
    /// The places of all nodes.
    pub(super) nodes: &'a [NodeIx],
    /// Of these, those that an operator wants drained.
    pub(super) drained: &'a [NodeIx],
}

impl Live<'_> {
    /// How much it counts before it asks for anything.
    fn weight(&self, node: NodeIx) -> f64 {
        if self.drained.binary_search(&node).is_ok() {
            DRAINED
        } else {
            1.0
        }
    }
}

/// What each node is told of its part.
#[derive(Clone, Debug, Default)]
pub(super) struct Portions {
    by_node: BTreeMap<NodeIx, Arc<Portion>>,
    told: Parts,
}

impl Portions {
    pub(super) fn of(&self, node: NodeIx) -> Option<&Arc<Portion>> {
        self.by_node.get(&node)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (NodeIx, &Arc<Portion>)> {
        self.by_node.iter().map(|(node, portion)| (*node, portion))
    }

    /// Tells all parts again where they have moved. `models` are those whose endpoints have caps,
    /// with their demands: elsewhere nothing follows from a part.
    pub(super) fn tell<'a>(
        &mut self,
        live: &Live<'_>,
        models: impl Iterator<Item = (&'a ModelId, &'a mut Demand, bool)>,
        tuning: &Tuning,
    ) {
        // By the node's place.
        let mut requests: Vec<f64> = Vec::new();
        let mut capped = Vec::new();
        for (model, demand, has_cap) in models {
            for (node, count) in &demand.nodes {
                if requests.len() <= node.at() {
                    requests.resize(node.at() + 1, 0.0);
                }
                if let Some(sum) = requests.get_mut(node.at()) {
                    *sum += count;
                }
            }
            if has_cap || !demand.told.is_empty() {
                capped.push((model, demand, has_cap));
            }
        }
        self.by_node
            .retain(|node, _| live.nodes.binary_search(node).is_ok());
        let usual = parts(live, |node| requests.get(node.at()).copied(), None, tuning);
        if moved(&self.told, &usual, tuning) {
            for (node, part) in &usual {
                self.change(*node, |portion| portion.usual = *part);
            }
            self.told = usual;
        }
        for (model, demand, has_cap) in capped {
            let now = if has_cap {
                let count = |node| demand.requests(node);
                parts(live, count, Some(&self.told), tuning)
            } else {
                Parts::new()
            };
            if !moved(&demand.told, &now, tuning) {
                continue;
            }
            for node in live.nodes {
                let part = part_of(&now, *node);
                self.change(*node, |portion| match part {
                    Some(part) => {
                        portion.models.insert(model.clone(), part);
                    }
                    None => {
                        portion.models.remove(model);
                    }
                });
            }
            demand.told = now;
        }
    }

    fn change(&mut self, node: NodeIx, change: impl FnOnce(&mut Portion)) {
        change(Arc::make_mut(self.by_node.entry(node).or_default()));
    }
}

/// Each node's part of all: by what it asks for, and nobody far below an equal part, so that a node
/// that begins to ask is not refused.
fn parts(
    live: &Live<'_>,
    asked: impl Fn(NodeIx) -> Option<f64>,
    usual: Option<&[(NodeIx, u32)]>,
    tuning: &Tuning,
) -> Parts {
    let nodes: f64 = live.nodes.iter().map(|node| live.weight(*node)).sum();
    let nodes = nodes.max(1e-12);
    let equal = |node: NodeIx| live.weight(node) / nodes;
    let expected = |node: NodeIx| match usual {
        Some(usual) => part_of(usual, node).map_or_else(|| equal(node), |it| f64::from(it) / 1e6),
        None => equal(node),
    };
    let prior = tuning.portion_prior;
    let counts = live.nodes.iter().map(|node| {
        let count = asked(*node).unwrap_or_default();
        (*node, count + prior * expected(*node))
    });
    let mut parts: Vec<(NodeIx, f64)> = counts.collect();
    let sum: f64 = parts.iter().map(|(_, count)| count).sum();
    for (node, part) in &mut parts {
        *part = (*part / sum.max(1e-12)).max(tuning.portion_floor * live.weight(*node) / nodes);
    }
    let sum: f64 = parts.iter().map(|(_, part)| part).sum();
    let shared = parts.into_iter();
    shared
        .map(|(node, part)| (node, millionths(part / sum.max(1e-12))))
        .collect()
}

fn part_of(parts: &[(NodeIx, u32)], node: NodeIx) -> Option<u32> {
    let at = parts.binary_search_by_key(&node, |(node, _)| *node);
    at.ok().and_then(|at| parts.get(at)).map(|(_, part)| *part)
}

/// Are those worth telling? Other nodes always are.
fn moved(told: &[(NodeIx, u32)], now: &[(NodeIx, u32)], tuning: &Tuning) -> bool {
    let same = |((a, _), (b, _)): (&(NodeIx, u32), &(NodeIx, u32))| a == b;
    if told.len() != now.len() || !told.iter().zip(now).all(same) {
        return true;
    }
    let pairs = told.iter().zip(now);
    let difference: u64 = pairs
        .map(|((_, a), (_, b))| u64::from(a.abs_diff(*b)))
        .sum();
    real(difference) / 2e6 > tuning.news.portion
}
