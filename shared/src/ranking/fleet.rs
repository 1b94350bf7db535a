//! The control plane's memory of all endpoints: merges reports exactly once, and makes of them,
//! at each tick, one table per region and each node's portion; on an alarm, only the tables in
//! which that changes whom to send to. Merging is commutative; a tick is a function of what was
//! merged, the catalogue, the operators' wishes and the time.

pub(super) mod memory;
mod news;
mod rows;

use super::demand::{Demand, Live, Portions};
use super::explain::{self, Explanation};
use super::roster::{NodeIx, Roster};
use super::tally::Scratch;
use super::wish::OperatorWish;
use super::{Portion, RankingTable, State, Tuning};
use crate::clock::Moment;
use crate::id::{EndpointId, ModelId, NodeId, Pop, Region, Version};
use crate::snapshot::Snapshot;
use crate::window::{OTHER, Report, Window};
use memory::{Memory, Step};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The most endpoints that are remembered; windows of further ones are not merged.
const ENDPOINTS_MAX: usize = super::ROWS_MAX;
/// What the first tick takes for the time since the one before.
const FIRST_TICK: Duration = Duration::from_secs(1);

type Memories = HashMap<EndpointId, Memory>;

/// All that is known of the fleet's endpoints.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    tuning: Tuning,
    roster: Roster,
    memories: Memories,
    demands: BTreeMap<ModelId, Demand>,
    portions: Portions,
    wishes: BTreeMap<EndpointId, OperatorWish>,
    tables: BTreeMap<Region, Arc<RankingTable>>,
    ticked: Option<Moment>,
    /// Of which endpoints something alarming came since the last tick.
    alarmed: BTreeSet<EndpointId>,
    shed: u64,
}

/// What a tick looks at.
enum Scope {
    /// Everything.
    All,
    /// These models, and only what can't wait is told of them.
    Urgent(BTreeSet<ModelId>),
}

impl Scope {
    fn has(&self, model: &ModelId) -> bool {
        match self {
            Self::All => true,
            Self::Urgent(models) => models.contains(model),
        }
    }
}

/// What became of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Merged {
    /// False when it had been merged before, or is too old.
    pub fresh: bool,
    /// It tells of a change that should be ranked at once.
    pub alarming: bool,
}

impl Fleet {
    /// A fleet of which nothing is known.
    #[must_use]
    pub fn new(tuning: Tuning) -> Self {
        Self {
            tuning,
            ..Self::default()
        }
    }

    /// Notes that a node is there, so that its region has a table and it may be asked to probe.
    /// A report does that, too.
    pub fn node_heard(&mut self, node: &NodeId, pop: &Pop, region: &Region, now: Moment) {
        self.hear(node, pop, region, now);
    }

    /// These nodes, and no others, are wanted drained by operators, from the next tick on: they have
    /// parts of the demand for what they are still asked, and probe nothing while others can.
    pub fn drain(&mut self, nodes: BTreeSet<NodeId>) {
        self.roster.drain(nodes);
    }

    /// Adds a report, exactly once by (node, epoch, sequence).
    pub fn merge(&mut self, report: &Report, now: Moment) -> Merged {
        let nothing = Merged {
            fresh: false,
            alarming: false,
        };
        let Some(ix) = self.hear(&report.node, &report.pop, &report.region, now) else {
            return nothing;
        };
        let Some(node) = self.roster.node_mut(ix) else {
            return nothing;
        };
        if !node.first(report.epoch, report.sequence) {
            return nothing;
        }
        let from = (ix, node.pop, node.region);
        let alarming = self.take_alarms(report);
        for (endpoint, window) in &report.windows {
            if endpoint.as_str() == OTHER {
                continue;
            }
            if let Some(memory) = self.memories.get_mut(endpoint) {
                memory.add(from, window, &self.tuning, now);
            } else if self.memories.len() < ENDPOINTS_MAX {
                let memory = self.memories.entry(endpoint.clone()).or_default();
                memory.add(from, window, &self.tuning, now);
            } else {
                self.shed += 1;
            }
        }
        Merged {
            fresh: true,
            alarming,
        }
    }

    /// Notes which endpoints a report is alarming about; true if it is.
    fn take_alarms(&mut self, report: &Report) -> bool {
        let is_cause = |(_, window): &&(EndpointId, Window)| {
            window.openings > 0 || (window.failures() >= 3 && window.answered == 0)
        };
        let causes = report.windows.iter().filter(is_cause);
        let causes: Vec<EndpointId> = causes.map(|(id, _)| id.clone()).collect();
        let any = report.alarming || !causes.is_empty();
        if report.alarming && causes.is_empty() {
            // A recovery, or something that a newer edge knows of.
            let all = report.windows.iter().map(|(id, _)| id.clone());
            self.alarmed.extend(all);
        }
        self.alarmed.extend(causes);
        any
    }

    /// Takes an endpoint out of service, or (with none) back in. Only [`State::Draining`] and
    /// [`State::Disabled`] withdraw; another state is as none.
    pub fn withdraw(&mut self, endpoint: &EndpointId, state: Option<State>) {
        let wish = self.wishes.get(endpoint).copied().unwrap_or_default();
        let withdrawn = state.filter(|state| state.is_withdrawn());
        self.wish(endpoint, OperatorWish { withdrawn, ..wish });
    }

    /// What an operator wants of an endpoint, from the next tick on; the default wants nothing.
    pub fn wish(&mut self, endpoint: &EndpointId, wish: OperatorWish) {
        if wish == OperatorWish::default() {
            self.wishes.remove(endpoint);
        } else {
            self.wishes.insert(endpoint.clone(), wish);
        }
    }

    /// What operators want.
    #[must_use]
    pub fn wishes(&self) -> &BTreeMap<EndpointId, OperatorWish> {
        &self.wishes
    }

    /// Lets time pass, moves states, and gives each known region its table; a region whose last
    /// edge has been silent for half an hour is forgotten. Only endpoints of
    /// models of which anything is known have rows.
    pub fn tick(
        &mut self,
        snapshot: &Snapshot,
        now: Moment,
        unix_ms: u64,
        version: Version,
    ) -> BTreeMap<Region, Arc<RankingTable>> {
        let elapsed = self.elapsed(now);
        self.ticked = Some(now);
        self.alarmed.clear();
        for region in self.roster.forget(now) {
            let memories = self.memories.values_mut();
            memories.for_each(|memory| memory.forget(region));
        }
        self.step(snapshot, elapsed, now);
        let rows = rows::rank(self, (snapshot, &Scope::All), elapsed, now);
        let live = self.live(now);
        let drains = |node: &&NodeIx| self.roster.node(**node).is_some_and(|node| node.draining);
        let drained: Vec<NodeIx> = live.iter().filter(drains).copied().collect();
        let live = Live {
            nodes: &live,
            drained: &drained,
        };
        let models = self.demands.iter_mut().map(|(model, demand)| {
            let capped = rows.capped.contains(model);
            (model, demand, capped)
        });
        self.portions.tell(&live, models, &self.tuning);
        self.demands.retain(|_, demand| !demand.is_blank());
        let told = self.roster.region_names().zip(rows.regions);
        self.tables = told
            .filter_map(|(region, rows)| {
                let table = RankingTable {
                    version,
                    generated_unix_ms: unix_ms,
                    rows,
                    portion: Portion::default(),
                };
                Some((region?.clone(), Arc::new(table)))
            })
            .collect();
        self.tables.clone()
    }

    /// The same, but only of models of which something alarming has come since the last tick; a
    /// table changes only where that changes a state or a probe, or takes away much of a share.
    /// Everything else waits for the next [`Fleet::tick`].
    pub fn tick_alarmed(
        &mut self,
        snapshot: &Snapshot,
        now: Moment,
        unix_ms: u64,
        version: Version,
    ) -> BTreeMap<Region, Arc<RankingTable>> {
        let is_new = |region: &Region| !self.tables.contains_key(region);
        if self.roster.region_names().flatten().any(is_new) {
            return self.tick(snapshot, now, unix_ms, version);
        }
        let alarmed = std::mem::take(&mut self.alarmed);
        let models = alarmed.iter().filter_map(|endpoint| {
            let endpoint = snapshot.endpoint(snapshot.index_of(endpoint)?)?;
            Some(endpoint.model.clone())
        });
        let models: BTreeSet<ModelId> = models.collect();
        let elapsed = self.elapsed(now);
        self.step_models(snapshot, &models, elapsed, now);
        let rows = rows::rank(self, (snapshot, &Scope::Urgent(models)), elapsed, now);
        for (region, rows) in self.roster.region_names().zip(rows.regions) {
            let Some(region) = region else { continue };
            if let Some(table) = self.tables.get_mut(region).filter(|_| !rows.is_empty()) {
                let table = Arc::make_mut(table);
                table.rows.extend(rows);
                (table.version, table.generated_unix_ms) = (version, unix_ms);
            }
        }
        self.tables.clone()
    }

    /// Why an endpoint has the place that it has in a region, as of the last tick. `None` when
    /// the catalogue doesn't have the endpoint.
    #[must_use]
    pub fn explain(
        &self,
        snapshot: &Snapshot,
        endpoint: &EndpointId,
        region: &Region,
        now: Moment,
    ) -> Option<Explanation> {
        let endpoint = snapshot.endpoint(snapshot.index_of(endpoint)?)?;
        let all = snapshot.endpoints_of(endpoint.model.as_str()).iter();
        let all = all.filter_map(|index| self.memories.get(&snapshot.endpoint(*index)?.id));
        let subject = explain::Subject {
            endpoint,
            region,
            region_ix: self.roster.region(region),
            table: self.tables.get(region).map(AsRef::as_ref),
            memories: &self.memories,
            wishes: &self.wishes,
            roster: &self.roster,
            snapshot,
            tuning: &self.tuning,
            score: rows::score(all, &self.tuning, now),
        };
        Some(explain::explain(&subject, now))
    }

    /// What the last tick made for a region.
    #[must_use]
    pub fn table(&self, region: &Region) -> Option<&Arc<RankingTable>> {
        self.tables.get(region)
    }

    /// A node's part of the demand as of the last tick: an edge's own table is its region's with
    /// this in it. Empty for a node that was never heard.
    #[must_use]
    pub fn portion(&self, node: &NodeId) -> Arc<Portion> {
        let known = self.roster.find(node).and_then(|ix| self.portions.of(ix));
        known.cloned().unwrap_or_default()
    }

    /// All nodes' parts of the demand as of the last tick.
    #[must_use]
    pub fn portions(&self) -> BTreeMap<NodeId, Arc<Portion>> {
        let all = self.portions.all();
        let named = all.filter_map(|(ix, portion)| {
            let node = self.roster.node(ix)?;
            Some((node.id.clone(), Arc::clone(portion)))
        });
        named.collect()
    }

    /// What was not merged because a limit was reached.
    #[must_use]
    pub fn shed(&self) -> u64 {
        self.shed
    }

    /// Endpoints move on; those that the catalogue no longer has are forgotten.
    fn step(&mut self, snapshot: &Snapshot, elapsed: Duration, now: Moment) {
        let (memories, step) = self.walk(elapsed, now);
        let mut scratch = Scratch::for_roster(step.roster);
        memories.retain(|id, memory| {
            memory.step(&step, &mut scratch);
            snapshot.index_of(id).is_some()
        });
    }

    /// The same of some models only.
    fn step_models(
        &mut self,
        snapshot: &Snapshot,
        models: &BTreeSet<ModelId>,
        elapsed: Duration,
        now: Moment,
    ) {
        let (memories, step) = self.walk(elapsed, now);
        let mut scratch = Scratch::for_roster(step.roster);
        for model in models {
            let indexes = snapshot.endpoints_of(model.as_str()).iter();
            for endpoint in indexes.filter_map(|index| snapshot.endpoint(*index)) {
                if let Some(memory) = memories.get_mut(&endpoint.id) {
                    memory.step(&step, &mut scratch);
                }
            }
        }
    }

    fn walk(&mut self, elapsed: Duration, now: Moment) -> (&mut Memories, Step<'_>) {
        let live = self.roster.live(self.tuning.node_silence, now);
        let step = Step {
            roster: &self.roster,
            pops: live.iter().map(|(_, node)| node.pop).collect(),
            tuning: &self.tuning,
            elapsed,
            now,
        };
        (&mut self.memories, step)
    }

    /// Since the last tick of everything.
    fn elapsed(&self, now: Moment) -> Duration {
        self.ticked.map_or(FIRST_TICK, |before| now.since(before))
    }

    /// The places of nodes that have been heard lately, ascending.
    fn live(&self, now: Moment) -> Vec<NodeIx> {
        let live = self.roster.live(self.tuning.node_silence, now);
        let mut places: Vec<NodeIx> = live.into_iter().map(|(ix, _)| ix).collect();
        places.sort_unstable();
        places
    }

    fn hear(&mut self, node: &NodeId, pop: &Pop, region: &Region, now: Moment) -> Option<NodeIx> {
        let heard = self.roster.hear(node, pop, region, now);
        if heard.is_none() {
            self.shed += 1;
        }
        heard
    }
}
