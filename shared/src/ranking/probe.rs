//! Who tries out an endpoint that gets no traffic by its share: one node of the region at a time,
//! with a number for each request that it may send. A half-open endpoint is tried without pause;
//! one that only its present state keeps from traffic that its long record deserves is tried by a
//! small part of the demand.

use super::demand::Demand;
use super::roster::{Node, NodeIx, RegionIx, Roster};
use super::{ProbeLease, ProbeTuning};
use crate::clock::Moment;
use crate::id::Pop;
use std::collections::BTreeSet;
use std::time::Duration;

/// An endpoint's probing in one region.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Turn {
    number: u32,
    holder: Option<NodeIx>,
    since: Moment,
    /// Requests that exploration may still spend; a lease costs one.
    credit: f64,
}

/// Why it is tried.
pub(super) enum Why<'a> {
    /// It is half open; accused by these.
    HalfOpen(Option<&'a BTreeSet<Pop>>),
    /// Its long record deserves more.
    Deserving,
}

/// Who may be asked.
pub(super) struct Crew<'a> {
    pub(super) roster: &'a Roster,
    pub(super) region: RegionIx,
    /// The region's live nodes, by id.
    pub(super) nodes: &'a [(NodeIx, &'a Node)],
    /// Every region's.
    pub(super) all: &'a [(NodeIx, &'a Node)],
    pub(super) demand: &'a Demand,
    pub(super) now: Moment,
}

impl Turn {
    /// The lease of now, if the endpoint is to be tried.
    pub(super) fn step(
        &mut self,
        why: Option<&Why<'_>>,
        crew: &Crew<'_>,
        elapsed: Duration,
        tuning: &ProbeTuning,
    ) -> Option<ProbeLease> {
        match why {
            None => {
                (self.holder, self.credit) = (None, 0.0);
                None
            }
            Some(Why::HalfOpen(accusers)) => {
                let holder = self.holder.and_then(|node| crew.roster.node(node));
                let may = |node: &Node| crew.may(node, *accusers);
                let stands = holder.is_some_and(may) && crew.now.since(self.since) < tuning.period;
                if !stands {
                    self.pass_on(crew, *accusers);
                }
                self.lease(crew)
            }
            Some(Why::Deserving) => {
                let rate = tuning.rate.min(tuning.part * crew.demand.rate(crew.region));
                self.credit = (self.credit + rate * elapsed.as_secs_f64()).min(1.0);
                if self.credit >= 1.0 {
                    self.credit = 0.0;
                    self.pass_on(crew, None);
                }
                self.lease(crew)
            }
        }
    }

    /// The next node in turn: of those that ask for the model, if any does.
    fn pass_on(&mut self, crew: &Crew<'_>, accusers: Option<&BTreeSet<Pop>>) {
        let may = |(_, node): &&(NodeIx, &Node)| crew.may(node, accusers);
        let eligible: Vec<NodeIx> = crew.nodes.iter().filter(may).map(|(ix, _)| *ix).collect();
        let asking: Vec<NodeIx> = eligible
            .iter()
            .copied()
            .filter(|node| crew.demand.asks(*node))
            .collect();
        let crowd = if asking.is_empty() {
            &eligible
        } else {
            &asking
        };
        let next = self.holder.and_then(|holder| {
            let at = crowd.iter().position(|node| *node == holder)?;
            crowd.get(at + 1)
        });
        // Endpoints begin at different nodes, so that no node probes everything.
        let begin = usize::try_from(self.number).unwrap_or_default();
        let begin = begin.checked_rem(crowd.len()).and_then(|at| crowd.get(at));
        self.holder = next.or(begin).copied();
        self.number = self.number.wrapping_add(1);
        self.since = crew.now;
    }

    fn lease(&self, crew: &Crew<'_>) -> Option<ProbeLease> {
        let node = crew.roster.node(self.holder?)?;
        Some(ProbeLease {
            node: node.id.clone(),
            number: self.number,
        })
    }
}

impl Crew<'_> {
    /// Never the accuser as long as there is another to ask, anywhere; and nobody who is drained as
    /// long as another is in the region.
    fn may(&self, node: &Node, accusers: Option<&BTreeSet<Pop>>) -> bool {
        if node.draining && !self.nodes.iter().all(|(_, node)| node.draining) {
            return false;
        }
        let accuses = |node: &Node| {
            let pop = self.roster.pop(node.pop);
            accusers.is_some_and(|all| pop.is_some_and(|pop| all.contains(pop)))
        };
        !accuses(node) || self.all.iter().all(|(_, node)| accuses(node))
    }
}
