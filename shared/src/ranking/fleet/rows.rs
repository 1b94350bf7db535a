//! One region's rows: per model, facts to scores, scores to shares, and who probes.

use super::{Fleet, Memory, Node};
use crate::catalog::Endpoint;
use crate::clock::Moment;
use crate::id::{EndpointId, NodeId, Pop, Region};
use crate::ranking::score::{self, Facts};
use crate::ranking::share::shares;
use crate::ranking::speed::Recent;
use crate::ranking::{Mode, Percentiles, ProbeLease, RankingRow, State, Tuning, share_u16};
use crate::snapshot::Snapshot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is assumed of an endpoint of whose model nothing is known.
const TTFT_ASSUMED_MS: f64 = 600.0;
/// Tokens per second.
const THROUGHPUT_ASSUMED: f64 = 60.0;

/// What is known of an endpoint in one region.
struct Known {
    failure: f64,
    tool_failure: f64,
    ttft: Option<f64>,
    ttft_p90: Option<f64>,
    ttft_p95: Option<f64>,
    throughput: Option<f64>,
    state: State,
    limit: f64,
    probe: Option<NodeId>,
}

/// The region, and who is there.
struct Place<'a> {
    region: &'a Region,
    /// Nodes heard lately, of this region.
    nodes: Vec<(&'a NodeId, &'a Node)>,
    /// Their points of presence.
    pops: BTreeSet<&'a Pop>,
    /// Those of all regions.
    all_pops: BTreeSet<&'a Pop>,
    now: Moment,
}

pub(super) fn rows(
    fleet: &Fleet,
    snapshot: &Snapshot,
    region: &Region,
    now: Moment,
) -> BTreeMap<EndpointId, RankingRow> {
    let all: Vec<_> = fleet.live(now).collect();
    let nodes: Vec<_> = all
        .iter()
        .copied()
        .filter(|(_, node)| node.region == *region)
        .collect();
    let place = Place {
        region,
        pops: nodes.iter().map(|(_, node)| &node.pop).collect(),
        all_pops: all.iter().map(|(_, node)| &node.pop).collect(),
        nodes,
        now,
    };
    let mut rows = BTreeMap::new();
    for model in snapshot.models() {
        let indexes = snapshot.endpoints_of(model.id.as_str());
        let endpoints: Vec<_> = indexes
            .iter()
            .filter_map(|index| snapshot.endpoint(*index))
            .collect();
        let known = |endpoint: &&Arc<Endpoint>| {
            fleet.endpoints.contains_key(&endpoint.id) || fleet.withdrawn.contains_key(&endpoint.id)
        };
        if endpoints.iter().any(known) {
            model_rows(fleet, &endpoints, &place, &mut rows);
        }
    }
    rows
}

fn model_rows(
    fleet: &Fleet,
    endpoints: &[&Arc<Endpoint>],
    place: &Place<'_>,
    rows: &mut BTreeMap<EndpointId, RankingRow>,
) {
    let known: Vec<_> = endpoints
        .iter()
        .map(|endpoint| fleet.known(&endpoint.id, place))
        .collect();
    let facts = facts(endpoints, &known);
    let limits: Vec<_> = known.iter().map(|known| known.limit).collect();
    // Those that an operator took out of service get nothing, whatever happens.
    let served: Vec<bool> = known.iter().map(|it| !it.state.is_withdrawn()).collect();
    let by_mode: Vec<Vec<f64>> = Mode::ALL
        .iter()
        .map(|mode| mode_shares(*mode, &facts, &limits, &served, fleet.tuning.floor))
        .collect();
    for (at, (endpoint, known)) in endpoints.iter().zip(known).enumerate() {
        let share = |mode: Mode| {
            let shares = by_mode.get(mode.index());
            share_u16(shares.and_then(|it| it.get(at)).copied().unwrap_or(0.0))
        };
        let row = RankingRow {
            share: [
                share(Mode::Balanced),
                share(Mode::Price),
                share(Mode::Latency),
                share(Mode::Throughput),
            ],
            state: known.state,
            long_run: [0; 4],
            ttft_ms: Percentiles {
                p50: whole(known.ttft),
                ..Percentiles::default()
            },
            ttft_ms_p95: whole(known.ttft_p95),
            throughput_tenths: Percentiles {
                p50: whole(known.throughput.map(|speed| speed * 10.0)),
                ..Percentiles::default()
            },
            failure: share_u16(known.failure),
            tool_failure: share_u16(known.tool_failure),
            cap: 0,
            probe: known.probe.map(|node| ProbeLease { node, number: 1 }),
        };
        rows.insert(endpoint.id.clone(), row);
    }
}

fn mode_shares(
    mode: Mode,
    facts: &[Facts],
    limits: &[f64],
    served: &[bool],
    floor: f64,
) -> Vec<f64> {
    let costs: Vec<f64> = facts.iter().map(|facts| score::cost(mode, facts)).collect();
    let in_service = |values: &[f64]| -> Vec<f64> {
        let kept = values.iter().zip(served).filter(|(_, served)| **served);
        kept.map(|(value, _)| *value).collect()
    };
    let costs = in_service(&costs);
    // Against the best that may have traffic: what is shut off sets no standard.
    let limits = in_service(limits);
    let candidates = costs.iter().zip(&limits).filter(|(_, limit)| **limit > 0.0);
    let best = candidates
        .map(|(cost, _)| *cost)
        .fold(f64::INFINITY, f64::min);
    let best = if best.is_finite() {
        best
    } else {
        costs.iter().copied().fold(f64::INFINITY, f64::min)
    };
    let weights: Vec<_> = costs
        .iter()
        .map(|cost| score::weight(mode, cost - best))
        .collect();
    let mut shared = shares(&weights, &limits, floor).into_iter();
    served
        .iter()
        .map(|served| {
            if *served {
                shared.next().unwrap_or(0.0)
            } else {
                0.0
            }
        })
        .collect()
}

/// Where an endpoint's speed is not known, it is taken for its model's usual one.
fn facts(endpoints: &[&Arc<Endpoint>], known: &[Known]) -> Vec<Facts> {
    let ttft = median(known.iter().filter_map(|it| it.ttft)).unwrap_or(TTFT_ASSUMED_MS);
    let speed = median(known.iter().filter_map(|it| it.throughput)).unwrap_or(THROUGHPUT_ASSUMED);
    let facts = endpoints.iter().zip(known).map(|(endpoint, known)| Facts {
        price: endpoint.pricing.blended(),
        ttft: known.ttft.unwrap_or(ttft) / 1000.0,
        ttft_p90: known.ttft_p90.unwrap_or(0.0) / 1000.0,
        throughput: known.throughput.unwrap_or(speed),
        failure: (known.failure + known.tool_failure).min(1.0),
    });
    facts.collect()
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

impl Fleet {
    fn known(&self, endpoint: &EndpointId, place: &Place<'_>) -> Known {
        let withdrawn = self.withdrawn.get(endpoint).copied();
        let mut known = self.endpoints.get(endpoint).map_or_else(
            || Known {
                failure: 0.0,
                tool_failure: 0.0,
                ttft: None,
                ttft_p90: None,
                ttft_p95: None,
                throughput: None,
                state: State::Closed,
                limit: 1.0,
                probe: None,
            },
            |memory| self.remembered(memory, place),
        );
        if let Some(state) = withdrawn {
            (known.state, known.limit, known.probe) = (state, 0.0, None);
        }
        known
    }

    fn remembered(&self, memory: &Memory, place: &Place<'_>) -> Known {
        let tuning = &self.tuning;
        let here = memory.regions.get(place.region);
        let quantile = |of: fn(&super::Speed) -> &Recent, q: f64| {
            here.and_then(|speed| of(speed).quantile(q, tuning))
                .or_else(|| of(&memory.speed).quantile(q, tuning))
        };
        let (state, limit) = memory.state(place.region, tuning);
        Known {
            failure: memory.tally.failure(place.region, &place.pops),
            tool_failure: memory.tally.tool_failure(place.region),
            ttft: quantile(|speed| &speed.ttft, 0.5),
            ttft_p90: quantile(|speed| &speed.ttft, 0.9),
            ttft_p95: quantile(|speed| &speed.ttft, 0.95),
            throughput: quantile(|speed| &speed.throughput, 0.5),
            state,
            limit,
            probe: self.prober(memory, place),
        }
    }

    /// The node of this region that sends the next probe: each in turn, never the accuser as
    /// long as there is another to ask.
    fn prober(&self, memory: &Memory, place: &Place<'_>) -> Option<NodeId> {
        let machine = memory.asking(place.region)?;
        let probing = machine.probing(place.now)?;
        let accusers = machine
            .accusers()
            .filter(|accusers| place.all_pops.iter().any(|pop| !accusers.contains(*pop)));
        let may = |node: &Node| accusers.is_none_or(|accusers| !accusers.contains(&node.pop));
        let eligible = place.nodes.iter().filter(|(_, node)| may(node));
        let eligible: Vec<&NodeId> = eligible.map(|(id, _)| *id).collect();
        let turn = probing.as_nanos() / self.tuning.probe_lease.as_nanos().max(1);
        let at = turn.checked_rem(eligible.len() as u128)?;
        eligible
            .get(usize::try_from(at).ok()?)
            .map(|id| (*id).clone())
    }
}

impl Memory {
    /// The stricter of the fleet's state and the region's.
    fn state(&self, region: &Region, tuning: &Tuning) -> (State, f64) {
        let fleet = (self.machine.state(), self.machine.limit(tuning));
        let own = self.machines.get(region);
        let own = own.map(|machine| (machine.state(), machine.limit(tuning)));
        match own {
            Some(own) if own.1 < fleet.1 => own,
            _ => fleet,
        }
    }

    /// The machine whose question a probe answers.
    fn asking(&self, region: &Region) -> Option<&super::Machine> {
        let own = self.machines.get(region);
        let half_open = |machine: &&super::Machine| machine.state() == State::HalfOpen;
        Some(&self.machine)
            .filter(half_open)
            .or_else(|| own.filter(half_open))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to u32"
)]
fn whole(value: Option<f64>) -> u32 {
    value.map_or(0, |value| {
        value.round().clamp(1.0, f64::from(u32::MAX)) as u32
    })
}
