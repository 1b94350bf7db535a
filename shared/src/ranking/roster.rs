//! The nodes that were heard, by small numbers: what is kept of every endpoint names nodes, points
//! of presence and regions by their place here. A node that was silent for long gives its place up.

use super::seen::Seen;
use crate::clock::Moment;
use crate::id::{NodeId, Pop, Region};
use std::collections::HashMap;
use std::time::Duration;

/// The most nodes that are remembered; reports of further ones are not merged.
pub(super) const NODES_MAX: usize = 10_000;
/// The most points of presence and the most regions.
const PLACES_MAX: usize = 2_000;
/// A node silent for so long gives its place to another when places are short: whatever it
/// reported is forgotten by then.
const FORGOTTEN: Duration = Duration::from_secs(1800);

/// A node's place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(super) struct NodeIx(pub(super) u32);
/// A point of presence's place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(super) struct PopIx(pub(super) u32);
/// A region's place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(super) struct RegionIx(pub(super) u32);

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) pop: PopIx,
    pub(super) region: RegionIx,
    heard: Moment,
    seen: Seen,
}

/// All nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    nodes: Vec<Node>,
    by_id: HashMap<NodeId, NodeIx>,
    pops: Vec<Pop>,
    regions: Vec<Region>,
}

impl Node {
    /// Is this report the first of its number?
    pub(super) fn first(&mut self, epoch: crate::id::BootEpoch, sequence: u64) -> bool {
        self.seen.first(epoch, sequence)
    }

    /// Heard within `silence`.
    pub(super) fn is_live(&self, silence: Duration, now: Moment) -> bool {
        now.since(self.heard) <= silence
    }
}

impl NodeIx {
    pub(super) fn at(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}
impl PopIx {
    pub(super) fn at(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}
impl RegionIx {
    pub(super) fn at(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Roster {
    /// A node is there, now and at this place. None when there are too many.
    pub(super) fn hear(
        &mut self,
        id: &NodeId,
        pop: &Pop,
        region: &Region,
        now: Moment,
    ) -> Option<NodeIx> {
        let pop = PopIx(place(&mut self.pops, pop)?);
        let region = RegionIx(place(&mut self.regions, region)?);
        if let Some(ix) = self.by_id.get(id).copied() {
            let node = self.nodes.get_mut(ix.at())?;
            (node.pop, node.region) = (pop, region);
            node.heard = node.heard.max(now);
            return Some(ix);
        }
        let node = Node {
            id: id.clone(),
            pop,
            region,
            heard: now,
            seen: Seen::default(),
        };
        let ix = self.seat(node, now)?;
        self.by_id.insert(id.clone(), ix);
        Some(ix)
    }

    pub(super) fn node(&self, ix: NodeIx) -> Option<&Node> {
        self.nodes.get(ix.at())
    }

    pub(super) fn node_mut(&mut self, ix: NodeIx) -> Option<&mut Node> {
        self.nodes.get_mut(ix.at())
    }

    pub(super) fn find(&self, id: &NodeId) -> Option<NodeIx> {
        self.by_id.get(id).copied()
    }

    pub(super) fn pop(&self, ix: PopIx) -> Option<&Pop> {
        self.pops.get(ix.at())
    }

    /// How many points of presence were ever heard of.
    pub(super) fn pops(&self) -> usize {
        self.pops.len()
    }

    /// All regions ever heard of, by place.
    pub(super) fn regions(&self) -> &[Region] {
        &self.regions
    }

    pub(super) fn region(&self, region: &Region) -> Option<RegionIx> {
        let at = self.regions.iter().position(|it| it == region)?;
        u32::try_from(at).ok().map(RegionIx)
    }

    /// Nodes that were heard within `silence`, by id.
    pub(super) fn live(&self, silence: Duration, now: Moment) -> Vec<(NodeIx, &Node)> {
        let numbered = (0_u32..).map(NodeIx).zip(&self.nodes);
        let mut live: Vec<_> = numbered
            .filter(|(_, node)| node.is_live(silence, now))
            .collect();
        live.sort_unstable_by(|a, b| a.1.id.cmp(&b.1.id));
        live
    }

    fn seat(&mut self, node: Node, now: Moment) -> Option<NodeIx> {
        if self.nodes.len() < NODES_MAX {
            self.nodes.push(node);
            return u32::try_from(self.nodes.len() - 1).ok().map(NodeIx);
        }
        let (at, longest) = self
            .nodes
            .iter_mut()
            .enumerate()
            .min_by_key(|(_, node)| node.heard)?;
        if now.since(longest.heard) < FORGOTTEN {
            return None;
        }
        self.by_id.remove(&longest.id);
        *longest = node;
        u32::try_from(at).ok().map(NodeIx)
    }
}

fn place<T: Clone + PartialEq>(places: &mut Vec<T>, wanted: &T) -> Option<u32> {
    let at = places.iter().position(|it| it == wanted);
    let at = match at {
        Some(at) => at,
        None if places.len() >= PLACES_MAX => return None,
        None => {
            places.push(wanted.clone());
            places.len() - 1
        }
    };
    u32::try_from(at).ok()
}
