//! One edge: what it saw, what it was told, what it has still to tell.

use super::{Tunings, moment};
use crate::scenario::{REGIONS, Scenario};
use shared::clock::Moment;
use shared::gossip::{Hearsay, News};
use shared::health::{Ask, Board, Evidence, Handle};
use shared::id::{BootEpoch, NodeId, Pop, Region};
use shared::ranking::{RankingDelta, RankingTable};
use shared::routing::View;
use shared::snapshot::Snapshot;
use shared::window::{Report, Window, Windows};
use std::sync::Arc;
use std::time::Duration;

/// Points of presence in a region; edges share them when there are more.
const POPS: usize = 4;

/// Who an edge is.
pub(super) struct Identity {
    pub(super) node: NodeId,
    pub(super) pop: Pop,
    pub(super) region: Region,
}

pub(super) struct Edge {
    pub(super) who: Identity,
    pub(super) board: Board,
    pub(super) view: View,
    pub(super) windows: Windows,
    /// Something has changed that the fleet should hear at once.
    pub(super) alarm: bool,
    /// When it last reported.
    pub(super) reported: f64,
    /// What its peers' word counts for.
    pub(super) hearsay: Hearsay,
    /// When its last report arrives.
    pub(super) link_until: f64,
    sequence: u64,
}

impl Edge {
    pub(super) fn new(
        scenario: &Scenario,
        edge: usize,
        snapshot: &Arc<Snapshot>,
        tunings: &Tunings,
    ) -> Self {
        let region = REGIONS[scenario.region_of(edge)];
        let pop = edge % scenario.edges_per_region % POPS;
        let who = Identity {
            node: format!("edge-{edge:04}").into(),
            pop: format!("{region}-{pop}").into(),
            region: region.into(),
        };
        let view = View::new(Arc::clone(snapshot), Arc::default());
        Self {
            view: view.of_node(who.node.clone()).tuned(tunings.routing),
            who,
            board: Board::new(tunings.ranking.local),
            windows: Windows::default(),
            alarm: false,
            reported: 0.0,
            hearsay: Hearsay::default(),
            link_until: 0.0,
            sequence: 0,
        }
    }

    /// What it has to tell, if anything.
    pub(super) fn report(&mut self, lies: bool, now: f64) -> Option<Report> {
        let alarming = std::mem::take(&mut self.alarm);
        self.reported = now;
        let mut windows = self.windows.take();
        if windows.is_empty() && !alarming {
            return None;
        }
        if lies {
            for (_, window) in &mut windows {
                *window = slander(window);
            }
        }
        self.sequence += 1;
        Some(Report {
            node: self.who.node.clone(),
            pop: self.who.pop.clone(),
            region: self.who.region.clone(),
            epoch: BootEpoch(1),
            sequence: self.sequence,
            windows,
            alarming: alarming || lies,
        })
    }

    /// A peer leaves an endpoint alone for so long: what a real edge makes of such a datagram.
    pub(super) fn hear(&mut self, peer: usize, endpoint: Handle, left: Duration, now: Moment) {
        let ask = Ask {
            handle: endpoint,
            ..Ask::default()
        };
        let own = self.board.local(&ask, now).penalty;
        let news = News { endpoint, left };
        if let Some(until) = self.hearsay.hear(peer as u64, &news, own, now) {
            self.board.heard_paused(endpoint, until, now);
        }
    }

    /// Nobody listens: what it saw grows old, and old evidence would be taken for new.
    pub(super) fn unheard(&mut self) {
        drop(self.windows.take());
    }

    /// Takes a change of its table in.
    pub(super) fn apply(&mut self, delta: RankingDelta, now: f64) {
        if let Ok(table) = self.view.ranking.apply(delta) {
            self.see(table, now);
        }
    }

    fn see(&mut self, table: RankingTable, now: f64) {
        let view = View::new(Arc::clone(&self.view.snapshot), Arc::new(table));
        let view = view.of_node(self.who.node.clone()).tuned(self.view.tuning);
        self.view = view.received_at(moment(now));
    }
}

/// Everything failed, and slowly.
fn slander(window: &Window) -> Window {
    Window {
        hard_fail: window.sent.max(3),
        openings: 1,
        sent: window.sent,
        first_attempts: window.first_attempts,
        ..Window::default()
    }
}
