//! The rows of all regions: per model, facts to scores, scores to shares under the caps, and who
//! probes. A model is looked at once for all regions, because its caps hold for all together.

mod model;
mod page;
mod write;

use super::memory::Memory;
use super::{Fleet, OperatorWish, Scope};
use crate::catalog::{Endpoint, Limits};
use crate::clock::Moment;
use crate::id::{EndpointId, ModelId, ProviderSlug};
use crate::ranking::account::{self, Account};
use crate::ranking::demand::Asked;
use crate::ranking::evidence::Prior;
use crate::ranking::roster::{Node, NodeIx, PopIx, RegionIx, Roster};
use crate::ranking::{RankingRow, ScoreTuning, State, Tuning};
use crate::snapshot::Snapshot;
use page::Page;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// What a tick made.
pub(super) struct Ranked {
    /// By region.
    pub(super) regions: Vec<BTreeMap<EndpointId, RankingRow>>,
    /// Models with an endpoint that has a cap.
    pub(super) capped: BTreeSet<ModelId>,
}

/// What all models need.
struct Place<'a> {
    roster: &'a Roster,
    /// Live nodes by region.
    nodes: Vec<Vec<(NodeIx, &'a Node)>>,
    all: Vec<(NodeIx, &'a Node)>,
    /// Points of presence of the live nodes by region.
    pops: Vec<Vec<PopIx>>,
    priors: HashMap<&'a ProviderSlug, Prior>,
    wishes: &'a BTreeMap<EndpointId, OperatorWish>,
    tuning: &'a Tuning,
    /// Only what can't wait is told.
    urgent: bool,
    now: Moment,
}

pub(super) fn rank(
    fleet: &mut Fleet,
    (snapshot, scope): (&Snapshot, &Scope),
    elapsed: Duration,
    now: Moment,
) -> Ranked {
    let Fleet {
        tuning,
        roster,
        memories,
        demands,
        wishes,
        tables,
        ..
    } = fleet;
    let all = roster.live(tuning.node_silence, now);
    let nodes = by_region(roster, &all);
    let told = roster.region_names().map(|region| tables.get(region?));
    let mut pages: Vec<Page<'_>> = told
        .map(|told| Page::after(told.map(AsRef::as_ref)))
        .collect();
    let place = Place {
        roster,
        pops: nodes.iter().map(|nodes| pops(nodes)).collect(),
        nodes,
        all,
        priors: priors(snapshot, memories, tuning),
        wishes,
        tuning,
        urgent: matches!(scope, Scope::Urgent(_)),
        now,
    };
    if !place.urgent {
        // Of one account all are told at once: an alarm's rows are of a few models.
        share_accounts(&place, snapshot, memories, elapsed);
    }
    let regions = place.nodes.len();
    let mut capped = BTreeSet::new();
    let mut asked = Asked::default();
    for model in snapshot.models().iter().filter(|it| scope.has(&it.id)) {
        let indexes = snapshot.endpoints_of(model.id.as_str()).iter();
        let endpoints: Vec<&Arc<Endpoint>> = indexes
            .filter_map(|index| snapshot.endpoint(*index))
            .collect();
        if !place.is_known(&endpoints, memories) {
            place.forget(&endpoints, memories);
            continue;
        }
        let demand = demands.entry(model.id.clone()).or_default();
        for endpoint in &endpoints {
            let memory = memories.entry(endpoint.id.clone()).or_default();
            memory.reach(regions);
            let provider = snapshot.provider(endpoint.provider.as_str());
            memory.configure(provider.map(AsRef::as_ref), place.tuning, now);
            asked.add(&memory.requests);
        }
        demand.fold(&mut asked, place.roster, (elapsed, now), place.tuning);
        let known: Vec<&Memory> = endpoints
            .iter()
            .filter_map(|endpoint| memories.get(&endpoint.id))
            .collect();
        let has_cap = |memory: &&Memory| memory.rate().is_some() || memory.tokens().is_some();
        if known.iter().any(has_cap) {
            capped.insert(model.id.clone());
        }
        let found = model::look(&endpoints, &known, demand, &place);
        write::write(&found, &endpoints, memories, (demand, &place), &mut pages);
    }
    Ranked {
        regions: pages
            .into_iter()
            .map(|page| BTreeMap::from_iter(page.rows))
            .collect(),
        capped,
    }
}

/// Shares each provider's account out among the endpoints behind it that have rows.
fn share_accounts(
    place: &Place<'_>,
    snapshot: &Snapshot,
    memories: &mut HashMap<EndpointId, Memory>,
    elapsed: Duration,
) {
    let limited = |slug: &ProviderSlug| {
        let provider = snapshot.provider(slug.as_str())?;
        (provider.limits != Limits::default()).then_some(provider)
    };
    if snapshot
        .providers()
        .iter()
        .all(|it| it.limits == Limits::default())
    {
        return;
    }
    let mut accounts: BTreeMap<&ProviderSlug, Vec<&EndpointId>> = BTreeMap::new();
    for model in snapshot.models() {
        let indexes = snapshot.endpoints_of(model.id.as_str()).iter();
        let endpoints = indexes.filter_map(|index| snapshot.endpoint(*index));
        let endpoints: Vec<&Arc<Endpoint>> = endpoints.collect();
        if !place.is_known(&endpoints, memories) {
            continue;
        }
        for endpoint in endpoints {
            let Some(provider) = limited(&endpoint.provider) else {
                continue;
            };
            let memory = memories.entry(endpoint.id.clone()).or_default();
            memory.account.configure(&provider.limits);
            memory.account.learn(&memory.cap, elapsed);
            let members = accounts.entry(&endpoint.provider).or_default();
            members.push(&endpoint.id);
        }
    }
    for members in accounts.into_values() {
        let memory = |id: &&EndpointId| memories.get(*id);
        let shares = members.iter().filter_map(memory).map(|it| it.account);
        let mut shares: Vec<Account> = shares.collect();
        account::share_out(&mut shares);
        for (id, share) in members.into_iter().zip(shares) {
            if let Some(memory) = memories.get_mut(id) {
                memory.account = share;
            }
        }
    }
}

fn by_region<'a>(roster: &Roster, all: &[(NodeIx, &'a Node)]) -> Vec<Vec<(NodeIx, &'a Node)>> {
    let mut nodes = vec![Vec::new(); roster.regions()];
    for (ix, node) in all {
        if let Some(region) = nodes.get_mut(node.region.at()) {
            region.push((*ix, *node));
        }
    }
    nodes
}

fn pops(nodes: &[(NodeIx, &Node)]) -> Vec<PopIx> {
    let pops: BTreeSet<PopIx> = nodes.iter().map(|(_, node)| node.pop).collect();
    pops.into_iter().collect()
}

/// Where several models of a provider fail, its others are believed to.
fn priors<'a>(
    snapshot: &'a Snapshot,
    memories: &HashMap<EndpointId, Memory>,
    tuning: &Tuning,
) -> HashMap<&'a ProviderSlug, Prior> {
    #[derive(Default)]
    struct Sum {
        known: u32,
        sick: u32,
        bad: f64,
        seen: f64,
    }
    let tuning = &tuning.verdict;
    let mut sums: HashMap<&ProviderSlug, Sum> = HashMap::new();
    for endpoint in snapshot.endpoints() {
        let Some(memory) = memories.get(&endpoint.id) else {
            continue;
        };
        let all = memory.tally.all;
        let open = memory.machine.state() == State::Open;
        if open || all.seen > tuning.sick_evidence {
            let sum = sums.entry(&endpoint.provider).or_default();
            sum.known += 1;
            sum.sick += u32::from(open || all.failing() > tuning.sick);
            sum.bad += all.bad;
            sum.seen += all.seen;
        }
    }
    sums.retain(|_, sum| {
        sum.sick >= tuning.provider_models
            && f64::from(sum.sick) >= tuning.provider_share * f64::from(sum.known)
    });
    let prior = |sum: Sum| {
        let plain = Prior::default();
        let failing = (sum.bad / sum.seen.max(1e-9)).min(1.0);
        Prior {
            bad: plain.bad + tuning.provider_weight * failing,
            seen: plain.seen + tuning.provider_weight,
        }
    };
    sums.into_iter()
        .map(|(slug, sum)| (slug, prior(sum)))
        .collect()
}

/// What a model's endpoints are told apart by. Where only a wish makes it known, that is what edges go
/// by without rows: so a wish changes what it says, and nothing else.
pub(super) fn score<'a>(
    memories: impl IntoIterator<Item = &'a Memory>,
    tuning: &Tuning,
    now: Moment,
) -> ScoreTuning {
    let mut memories = memories.into_iter();
    if memories.any(|memory| memory.is_live(tuning, now)) {
        tuning.score
    } else {
        tuning.score.prior()
    }
}

impl Place<'_> {
    /// Is there anything to tell of a model?
    fn is_known(
        &self,
        endpoints: &[&Arc<Endpoint>],
        memories: &HashMap<EndpointId, Memory>,
    ) -> bool {
        endpoints.iter().any(|endpoint| {
            let memory = memories.get(&endpoint.id);
            memory.is_some_and(|memory| memory.is_live(self.tuning, self.now))
                || self.wishes.contains_key(&endpoint.id)
        })
    }

    fn forget(&self, endpoints: &[&Arc<Endpoint>], memories: &mut HashMap<EndpointId, Memory>) {
        for endpoint in endpoints {
            let memory = memories.get(&endpoint.id);
            if memory.is_some_and(|memory| memory.is_blank(self.tuning, self.now)) {
                memories.remove(&endpoint.id);
            }
        }
    }

    fn wish(&self, endpoint: &EndpointId) -> OperatorWish {
        self.wishes.get(endpoint).copied().unwrap_or_default()
    }

    fn regions(&self) -> impl Iterator<Item = RegionIx> + use<> {
        let count = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        (0..count).map(RegionIx)
    }
}
