//! The control plane's memory of all endpoints: merges reports exactly once, and makes of them,
//! at each tick, one table per region. Merging is commutative; a tick is a function of what was
//! merged, the catalogue and the time.

mod rows;

use super::evidence::{Evidence, Observer};
use super::explain::{self, Explanation};
use super::seen::Seen;
use super::speed::Speed;
use super::state::{Answers, Machine};
use super::tally::Tally;
use super::{Portion, RankingTable, State, Tuning, portion, verdict};
use crate::clock::Moment;
use crate::id::{EndpointId, NodeId, Pop, Region, Version};
use crate::snapshot::Snapshot;
use crate::window::{OTHER, Report, Window};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most nodes that are remembered; reports of further ones are not merged.
const NODES_MAX: usize = 10_000;
/// The most endpoints that are remembered; windows of further ones are not merged.
const ENDPOINTS_MAX: usize = super::ROWS_MAX;

/// All that is known of the fleet's endpoints.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    tuning: Tuning,
    nodes: BTreeMap<NodeId, Node>,
    endpoints: BTreeMap<EndpointId, Memory>,
    withdrawn: BTreeMap<EndpointId, State>,
    tables: BTreeMap<Region, Arc<RankingTable>>,
    portions: BTreeMap<NodeId, Arc<Portion>>,
    shed: u64,
}

/// What became of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Merged {
    /// False when it had been merged before, or is too old.
    pub fresh: bool,
    /// It tells of a change that should be ranked at once.
    pub alarming: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) pop: Pop,
    pub(super) region: Region,
    heard: Moment,
    seen: Seen,
}

/// What is known of one endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Memory {
    pub(super) evidence: Evidence,
    /// Of all regions together.
    pub(super) speed: Speed,
    pub(super) regions: BTreeMap<Region, Speed>,
    /// The fleet's state, and regions' own.
    pub(super) machine: Machine,
    pub(super) machines: BTreeMap<Region, Machine>,
    /// What the evidence amounted to at the last tick.
    tally: Tally,
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
        self.node(node, pop, region, now);
    }

    /// Adds a report, exactly once by (node, epoch, sequence).
    pub fn merge(&mut self, report: &Report, now: Moment) -> Merged {
        let node = self.node(&report.node, &report.pop, &report.region, now);
        let fresh = node.is_some_and(|node| node.seen.first(report.epoch, report.sequence));
        if !fresh {
            return Merged {
                fresh: false,
                alarming: false,
            };
        }
        let mut alarming = report.alarming;
        for (endpoint, window) in &report.windows {
            if endpoint.as_str() == OTHER {
                continue;
            }
            let known = self.endpoints.contains_key(endpoint);
            if !known && self.endpoints.len() >= ENDPOINTS_MAX {
                self.shed += 1;
                continue;
            }
            let memory = self.endpoints.entry(endpoint.clone()).or_default();
            memory.add(report, window, &self.tuning, now);
            alarming |= window.failures() >= 3 && window.answered == 0;
        }
        Merged { fresh, alarming }
    }

    /// Takes an endpoint out of service, or (with none) back in. Only [`State::Draining`] and
    /// [`State::Disabled`] withdraw; another state is as none.
    pub fn withdraw(&mut self, endpoint: &EndpointId, state: Option<State>) {
        match state.filter(|state| state.is_withdrawn()) {
            Some(state) => self.withdrawn.insert(endpoint.clone(), state),
            None => self.withdrawn.remove(endpoint),
        };
    }

    /// Lets time pass, moves states, and gives each known region its table. Only endpoints of
    /// models of which anything is known have rows.
    pub fn tick(
        &mut self,
        snapshot: &Snapshot,
        now: Moment,
        unix_ms: u64,
        version: Version,
    ) -> BTreeMap<Region, Arc<RankingTable>> {
        let tuning = self.tuning;
        let silent = |node: &Node| now.since(node.heard) > tuning.node_silence;
        let pops: BTreeSet<&Pop> = self
            .nodes
            .values()
            .filter(|node| !silent(node))
            .map(|node| &node.pop)
            .collect();
        for memory in self.endpoints.values_mut() {
            memory.step(&pops, &tuning, now);
        }
        self.endpoints
            .retain(|_, memory| !memory.is_blank(&tuning, now));
        let regions: BTreeSet<Region> = self.nodes.values().map(|it| it.region.clone()).collect();
        self.tables = regions
            .into_iter()
            .map(|region| {
                let rows = rows::rows(self, snapshot, &region, now);
                let table = RankingTable {
                    version,
                    generated_unix_ms: unix_ms,
                    rows,
                    portion: Portion::default(),
                };
                (region, Arc::new(table))
            })
            .collect();
        self.share_out(now);
        self.tables.clone()
    }

    /// Every node that is there has the same part.
    fn share_out(&mut self, now: Moment) {
        let nodes: Vec<NodeId> = self.live(now).map(|(node, _)| node.clone()).collect();
        let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        let portion = Arc::new(Portion {
            usual: portion::millionths(1.0 / f64::from(count.max(1))),
            models: BTreeMap::new(),
        });
        let all = nodes.into_iter().map(|node| (node, Arc::clone(&portion)));
        self.portions = all.collect();
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
        let index = snapshot.index_of(endpoint)?;
        let endpoint = snapshot.endpoint(index)?;
        let table = self.tables.get(region);
        let row = table.and_then(|table| table.rows.get(&endpoint.id));
        let memory = self.endpoints.get(&endpoint.id);
        let subject = explain::Subject {
            endpoint,
            region,
            row,
            memory,
            tuning: &self.tuning,
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
        self.portions.get(node).cloned().unwrap_or_default()
    }

    /// What was not merged because a limit was reached.
    #[must_use]
    pub fn shed(&self) -> u64 {
        self.shed
    }

    /// Nodes that have been heard lately, by id.
    fn live(&self, now: Moment) -> impl Iterator<Item = (&NodeId, &Node)> {
        let silence = self.tuning.node_silence;
        let live = move |node: &Node| now.since(node.heard) <= silence;
        self.nodes.iter().filter(move |(_, node)| live(node))
    }

    fn node(
        &mut self,
        node: &NodeId,
        pop: &Pop,
        region: &Region,
        now: Moment,
    ) -> Option<&mut Node> {
        if !self.nodes.contains_key(node) && self.nodes.len() >= NODES_MAX {
            self.shed += 1;
            return None;
        }
        let node = self.nodes.entry(node.clone()).or_insert_with(|| Node {
            pop: pop.clone(),
            region: region.clone(),
            heard: now,
            seen: Seen::default(),
        });
        if node.pop != *pop {
            node.pop = pop.clone();
        }
        if node.region != *region {
            node.region = region.clone();
        }
        node.heard = node.heard.max(now);
        Some(node)
    }
}

impl Memory {
    fn add(&mut self, report: &Report, window: &Window, tuning: &Tuning, now: Moment) {
        let from = (&report.node, &report.pop, &report.region);
        self.evidence.add(from, window, tuning, now);
        let region = self.regions.entry(report.region.clone()).or_default();
        for speed in [&mut self.speed, region] {
            speed.ttft.add(&window.ttft, tuning, now);
            speed.throughput.add(&window.throughput, tuning, now);
        }
    }

    fn step(&mut self, live: &BTreeSet<&Pop>, tuning: &Tuning, now: Moment) {
        self.evidence.forget(tuning, now);
        self.speed.forget(tuning, now);
        for speed in self.regions.values_mut() {
            speed.forget(tuning, now);
        }
        self.regions.retain(|_, speed| !speed.is_empty());

        let verdict = verdict::fleet(&self.evidence, tuning, now);
        let answers = self.answers_to(&self.machine, live, None);
        let mut proved = self.machine.step(&verdict, answers, tuning, now);
        proved |= self.step_regions(live, tuning, now);
        self.evidence.answered();
        if proved {
            self.evidence.absolve();
        }
        self.tally = Tally::of(&self.evidence, tuning, now);
    }

    /// Regions have a state of their own only where something is wrong.
    fn step_regions(&mut self, live: &BTreeSet<&Pop>, tuning: &Tuning, now: Moment) -> bool {
        if self.evidence.has_failures() {
            let seen = self.evidence.observers.values();
            let regions: BTreeSet<Region> = seen.map(|it| it.region.clone()).collect();
            for region in regions {
                self.machines.entry(region).or_default();
            }
        }
        let mut proved = false;
        let mut machines = std::mem::take(&mut self.machines);
        for (region, machine) in &mut machines {
            let verdict = verdict::region(&self.evidence, region, tuning, now);
            let answers = self.answers_to(machine, live, Some(region));
            proved |= machine.step(&verdict, answers, tuning, now);
        }
        machines.retain(|_, machine| !machine.is_blank(tuning, now));
        self.machines = machines;
        proved
    }

    /// What counts as an answer to a machine's question: of its region; and where somebody
    /// accuses, of another point of presence, if there is one that could answer.
    fn answers_to(
        &self,
        machine: &Machine,
        live: &BTreeSet<&Pop>,
        region: Option<&Region>,
    ) -> Answers {
        let accusers = machine
            .accusers()
            .filter(|accusers| live.iter().any(|pop| !accusers.contains(*pop)));
        let counts = |observer: &Observer| {
            region.is_none_or(|region| observer.region == *region)
                && accusers.is_none_or(|accusers| !accusers.contains(&observer.pop))
        };
        let mut sum = Answers::default();
        if machine.state() != State::HalfOpen {
            return sum;
        }
        for observer in self.evidence.observers.values().filter(|it| counts(it)) {
            sum.ok += observer.answers.ok;
            sum.failed += observer.answers.failed;
        }
        sum
    }

    fn is_blank(&self, tuning: &Tuning, now: Moment) -> bool {
        self.evidence.observers.is_empty()
            && self.speed.is_empty()
            && self.machines.is_empty()
            && self.machine.is_blank(tuning, now)
    }
}
