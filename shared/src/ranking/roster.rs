//! The nodes that were heard, by small numbers: what is kept of every endpoint names nodes, points
//! of presence and regions by their place here. Who was silent for long gives its place up: nodes,
//! and the points of presence and regions where none is left.

use super::seen::Seen;
use crate::clock::Moment;
use crate::id::{NodeId, Pop, Region};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// The most nodes that are remembered; reports of further ones are not merged.
pub(super) const NODES_MAX: usize = 10_000;
/// The most points of presence.
const POPS_MAX: usize = 2_000;
/// The most regions: each one costs every tick a table.
pub(super) const REGIONS_MAX: usize = 256;
/// Who was silent for so long is forgotten: whatever it reported is by then.
pub(super) const FORGOTTEN: Duration = Duration::from_secs(1800);

/// A node's place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(super) struct NodeIx(pub(super) u32);
/// A point of presence's place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
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
    /// An operator wants it drained.
    pub(super) draining: bool,
    heard: Moment,
    seen: Seen,
}

/// All nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    nodes: Vec<Option<Node>>,
    /// Places of nodes that were forgotten.
    vacant: Vec<NodeIx>,
    by_id: HashMap<NodeId, NodeIx>,
    /// Whom operators want drained, heard of or not.
    draining: BTreeSet<NodeId>,
    pops: Places<Pop>,
    regions: Places<Region>,
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
        at(self.0)
    }
}
impl PopIx {
    pub(super) fn at(self) -> usize {
        at(self.0)
    }
}
impl RegionIx {
    pub(super) fn at(self) -> usize {
        at(self.0)
    }
}

impl Roster {
    /// A node is there, now and at this place. None when there are too many.
    pub(super) fn hear(
        &mut self,
        id: &NodeId,
        pop: &Pop,
        region_name: &Region,
        now: Moment,
    ) -> Option<NodeIx> {
        let known = self.by_id.get(id).copied();
        let before = known.and_then(|ix| self.node(ix));
        let before = before.map(|node| (node.pop.0, node.region.0));
        let pop = PopIx(self.pops.hear(pop, before.map(|it| it.0), POPS_MAX, now)?);
        let region = before.map(|it| it.1);
        let region = RegionIx(self.regions.hear(region_name, region, REGIONS_MAX, now)?);
        if let Some(ix) = known {
            let node = self.node_mut(ix)?;
            (node.pop, node.region) = (pop, region);
            node.heard = node.heard.max(now);
            return Some(ix);
        }
        let node = Node {
            id: id.clone(),
            pop,
            region,
            draining: self.draining.contains(id),
            heard: now,
            seen: Seen::default(),
        };
        let ix = self.seat(node)?;
        self.by_id.insert(id.clone(), ix);
        Some(ix)
    }

    /// These nodes are to be drained from now on, and no others.
    pub(super) fn drain(&mut self, nodes: BTreeSet<NodeId>) {
        for node in self.nodes.iter_mut().flatten() {
            node.draining = nodes.contains(&node.id);
        }
        self.draining = nodes;
    }

    /// Forgets who was silent for long; which regions that were, so that what is known of them is
    /// forgotten before another takes their place.
    pub(super) fn forget(&mut self, now: Moment) -> Vec<RegionIx> {
        let numbered = (0_u32..).map(NodeIx).zip(&mut self.nodes);
        for (ix, seat) in numbered {
            let silent = |node: &mut Node| now.since(node.heard) > FORGOTTEN;
            if let Some(node) = seat.take_if(silent) {
                self.by_id.remove(&node.id);
                self.vacant.push(ix);
            }
        }
        self.pops.forget(now);
        let forgotten = self.regions.forget(now);
        forgotten.into_iter().map(RegionIx).collect()
    }

    pub(super) fn node(&self, ix: NodeIx) -> Option<&Node> {
        self.nodes.get(ix.at())?.as_ref()
    }

    pub(super) fn node_mut(&mut self, ix: NodeIx) -> Option<&mut Node> {
        self.nodes.get_mut(ix.at())?.as_mut()
    }

    pub(super) fn find(&self, id: &NodeId) -> Option<NodeIx> {
        self.by_id.get(id).copied()
    }

    pub(super) fn pop(&self, ix: PopIx) -> Option<&Pop> {
        self.pops.name(ix.at())
    }

    /// Places of points of presence, taken or not.
    pub(super) fn pops(&self) -> usize {
        self.pops.seats.len()
    }

    /// Places of regions, taken or not.
    pub(super) fn regions(&self) -> usize {
        self.regions.seats.len()
    }

    /// Which region has a place.
    pub(super) fn region_at(&self, ix: RegionIx) -> Option<&Region> {
        self.regions.name(ix.at())
    }

    /// By place: the regions, and none for a place that is not taken.
    pub(super) fn region_names(&self) -> impl Iterator<Item = Option<&Region>> {
        self.regions.seats.iter().map(|seat| seat.name.as_ref())
    }

    pub(super) fn region(&self, region: &Region) -> Option<RegionIx> {
        self.regions.find(region).map(RegionIx)
    }

    /// Nodes that were heard within `silence`, by id.
    pub(super) fn live(&self, silence: Duration, now: Moment) -> Vec<(NodeIx, &Node)> {
        let numbered = (0_u32..).map(NodeIx).zip(&self.nodes);
        let mut live: Vec<_> = numbered
            .filter_map(|(ix, node)| Some((ix, node.as_ref()?)))
            .filter(|(_, node)| node.is_live(silence, now))
            .collect();
        live.sort_unstable_by(|a, b| a.1.id.cmp(&b.1.id));
        live
    }

    fn seat(&mut self, node: Node) -> Option<NodeIx> {
        if let Some(ix) = self.vacant.pop() {
            *self.nodes.get_mut(ix.at())? = Some(node);
            return Some(ix);
        }
        if self.nodes.len() >= NODES_MAX {
            return None;
        }
        let ix = u32::try_from(self.nodes.len()).ok()?;
        self.nodes.push(Some(node));
        Some(NodeIx(ix))
    }
}

/// Names by place.
#[derive(Clone, Debug)]
struct Places<T> {
    seats: Vec<Seat<T>>,
}

#[derive(Clone, Debug)]
struct Seat<T> {
    /// None is not taken.
    name: Option<T>,
    /// When any node was heard here.
    heard: Moment,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { seats: Vec::new() }
    }
}

impl<T: Clone + PartialEq> Places<T> {
    /// A node is heard at this place; it was at `before`. None when there are already so many.
    fn hear(&mut self, name: &T, before: Option<u32>, most: usize, now: Moment) -> Option<u32> {
        let there = |ix: &u32| self.name(at(*ix)) == Some(name);
        let ix = match before.filter(there).or_else(|| self.find(name)) {
            Some(ix) => ix,
            None => self.take(name, most)?,
        };
        let seat = self.seats.get_mut(at(ix))?;
        seat.heard = seat.heard.max(now);
        Some(ix)
    }

    fn take(&mut self, name: &T, most: usize) -> Option<u32> {
        let vacant = self.seats.iter().position(|seat| seat.name.is_none());
        let ix = vacant.unwrap_or(self.seats.len());
        let seat = Seat {
            name: Some(name.clone()),
            heard: Moment::default(),
        };
        match self.seats.get_mut(ix) {
            Some(place) => *place = seat,
            None if ix >= most => return None,
            None => self.seats.push(seat),
        }
        u32::try_from(ix).ok()
    }

    fn forget(&mut self, now: Moment) -> Vec<u32> {
        let mut forgotten = Vec::new();
        for (ix, seat) in (0_u32..).zip(&mut self.seats) {
            if seat.name.is_some() && now.since(seat.heard) > FORGOTTEN {
                seat.name = None;
                forgotten.push(ix);
            }
        }
        while self.seats.last().is_some_and(|seat| seat.name.is_none()) {
            self.seats.pop();
        }
        forgotten
    }

    fn name(&self, at: usize) -> Option<&T> {
        self.seats.get(at)?.name.as_ref()
    }

    fn find(&self, name: &T) -> Option<u32> {
        let mut seats = self.seats.iter();
        let ix = seats.position(|seat| seat.name.as_ref() == Some(name))?;
        u32::try_from(ix).ok()
    }
}

fn at(ix: u32) -> usize {
    usize::try_from(ix).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(seconds))
    }

    fn hear(roster: &mut Roster, node: &str, region: &str, now: Moment) -> Option<NodeIx> {
        let pop = format!("{region}-1");
        roster.hear(&node.into(), &pop.as_str().into(), &region.into(), now)
    }

    #[test]
    fn who_is_silent_for_long_gives_its_place_up() {
        let mut roster = Roster::default();
        hear(&mut roster, "a", "eu", at(0)).unwrap();
        hear(&mut roster, "b", "us", at(0)).unwrap();
        hear(&mut roster, "c", "ap", at(0)).unwrap();
        let (moved, later) = (at(1000), at(2000));
        hear(&mut roster, "a", "us", moved).unwrap();
        assert!(roster.forget(moved).is_empty());
        assert_eq!(roster.forget(later), [RegionIx(0), RegionIx(2)]);
        assert_eq!(roster.region(&"us".into()), Some(RegionIx(1)));
        assert_eq!(roster.find(&"b".into()), None);
        assert_eq!(
            (roster.regions(), roster.pops()),
            (2, 2),
            "the last is gone"
        );
        let new = hear(&mut roster, "d", "sa", later).unwrap();
        assert_eq!(new, roster.find(&"d".into()).unwrap());
        assert_eq!(roster.region(&"sa".into()), Some(RegionIx(0)));
        assert!(roster.nodes.len() <= 3, "places are taken again");
    }

    #[test]
    fn places_are_bounded_and_free_again() {
        let mut roster = Roster::default();
        for region in 0..REGIONS_MAX {
            hear(&mut roster, "a", &format!("r{region}"), at(0)).unwrap();
        }
        assert_eq!(hear(&mut roster, "a", "one more", at(1)), None);
        let left = roster.forget(at(1801));
        assert_eq!(left.len(), REGIONS_MAX);
        assert!(hear(&mut roster, "a", "one more", at(1801)).is_some());
        assert_eq!(roster.regions(), 1);
    }
}
