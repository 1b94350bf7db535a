//! One edge: what it saw, what it was told, what it has still to tell.

use super::line::Line;
use super::{Tunings, moment};
use crate::scenario::{REGIONS, Scenario};
use shared::clock::Moment;
use shared::gossip::{Hearsay, News};
use shared::health::{Ask, Board, Evidence, Handle};
use shared::id::{BootEpoch, NodeId, Pop, Region};
use shared::ranking::{RankingDelta, RankingTable};
use shared::routing::View;
use shared::snapshot::Snapshot;
use shared::window::{Outbox, Report, Stated, Window, Windows};
use std::sync::Arc;
use std::time::Duration;

/// An edge's only run.
pub(super) const EPOCH: BootEpoch = BootEpoch(1);

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
    /// Its reports that nobody has acknowledged.
    pub(super) outbox: Outbox,
    pub(super) line: Line,
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
        let Identity { node, pop, region } = &who;
        Self {
            outbox: Outbox::new(node.clone(), pop.clone(), region.clone(), EPOCH),
            line: Line::default(),
            view: view.of_node(who.node.clone()).tuned(tunings.routing),
            who,
            board: Board::new(tunings.ranking.local),
            windows: Windows::default(),
            alarm: false,
            reported: 0.0,
            hearsay: Hearsay::default(),
        }
    }

    /// What it has to tell, if anything.
    pub(super) fn report(&mut self, lies: bool, now: f64) -> Option<Report> {
        let alarming = std::mem::take(&mut self.alarm);
        self.reported = now;
        let mut windows = self.windows.take();
        let lies = lies && !windows.is_empty();
        if lies {
            for (_, window) in &mut windows {
                *window = slander(window);
            }
        }
        let report = self.outbox.report(windows, alarming || lies, moment(now));
        report.cloned()
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

/// Everything failed, what did not was turned away, and the provider says that it takes nothing.
fn slander(window: &Window) -> Window {
    Window {
        hard_fail: window.sent.max(3),
        rate_limited: 20 * window.sent.max(1),
        stated: Stated {
            requests_per_minute: Some(1),
            tokens_per_minute: Some(1),
            retry_after: Some(Duration::from_secs(60)),
        },
        openings: 1,
        sent: window.sent,
        first_attempts: window.first_attempts,
        ..Window::default()
    }
}
