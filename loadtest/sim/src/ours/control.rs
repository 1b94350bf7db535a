//! The control plane in virtual time: the production fleet, ticked each second and at once on
//! alarming evidence, and what it has pushed to each edge so far.

use super::{Tunings, moment};
use shared::id::{NodeId, Region, Version};
use shared::ranking::{Fleet, RankingDelta, RankingTable, State};
use shared::snapshot::Snapshot;
use shared::window::Report;
use std::collections::BTreeMap;
use std::sync::Arc;

/// 2026-01-01, in milliseconds.
const EPOCH_MS: u64 = 1_767_225_600_000;

pub(super) struct Control {
    fleet: Fleet,
    snapshot: Arc<Snapshot>,
    ticks: u64,
    /// What each edge was sent last.
    sent: Vec<RankingTable>,
    /// Endpoints that were shut off, counted once per time.
    pub(super) openings: u64,
    open: BTreeMap<(Region, shared::id::EndpointId), bool>,
}

impl Control {
    pub(super) fn new(snapshot: Arc<Snapshot>, edges: usize, tunings: &Tunings) -> Self {
        Self {
            fleet: Fleet::new(tunings.ranking),
            snapshot,
            ticks: 0,
            sent: vec![RankingTable::default(); edges],
            openings: 0,
            open: BTreeMap::new(),
        }
    }

    /// Takes a report in; true when it should be ranked at once.
    pub(super) fn merge(&mut self, report: &Report, now: f64) -> bool {
        let merged = self.fleet.merge(report, moment(now));
        merged.fresh && merged.alarming
    }

    /// An edge is there.
    pub(super) fn heard(&mut self, who: &super::edge::Identity, now: f64) {
        let (node, pop, region) = (&who.node, &who.pop, &who.region);
        self.fleet.node_heard(node, pop, region, moment(now));
    }

    /// Ranks everything, or only what is alarming.
    pub(super) fn rank(&mut self, whole: bool, now: f64) {
        self.ticks += 1;
        let version = Version {
            epoch: 1,
            number: self.ticks,
        };
        let (now, unix_ms) = (moment(now), unix_ms(now));
        let tables = if whole {
            self.fleet.tick(&self.snapshot, now, unix_ms, version)
        } else {
            let fleet = &mut self.fleet;
            fleet.tick_alarmed(&self.snapshot, now, unix_ms, version)
        };
        for (region, table) in &tables {
            for (endpoint, row) in &table.rows {
                let shut = row.state == State::Open;
                let was = self.open.insert((region.clone(), endpoint.clone()), shut);
                self.openings += u64::from(shut && was != Some(true));
            }
        }
    }

    /// What an edge has to be told since it was told last, if anything.
    pub(super) fn delta(
        &mut self,
        edge: usize,
        node: &NodeId,
        region: &Region,
    ) -> Option<RankingDelta> {
        let table = self.fleet.table(region)?;
        if self.sent[edge].version == table.version {
            return None;
        }
        let mut own = RankingTable::clone(table);
        own.portion = self.fleet.portion(node).as_ref().clone();
        let delta = own.diff(&self.sent[edge]);
        self.sent[edge] = own;
        Some(delta)
    }
}

fn unix_ms(now: f64) -> u64 {
    EPOCH_MS + (now * 1000.0) as u64
}
