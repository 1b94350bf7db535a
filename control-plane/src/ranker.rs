//! The tick: what all edges saw becomes shares and states for each region, each second and at once
//! on alarming evidence. The arithmetic is in `shared::ranking` and pure; here are the memory of
//! the fleet, the clock and the bounds on how often it is done.

use crate::metrics;
use crate::registry::Registry;
use crate::store::Epoch;
use shared::clock::{Clock, Moment};
use shared::id::{EndpointId, NodeId, Pop, Region, Version};
use shared::ranking::{Explanation, Fleet, Merged, RankingTable, State, drastic};
use shared::task::{Stop, lock};
use shared::window::Report;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};

/// How often it is ranked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Without alarms.
    pub every: Duration,
    /// The least time between two, also with alarms: alarms in between are one.
    pub gap: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            gap: Duration::from_millis(20),
        }
    }
}

/// The rankings of all regions, made by one tick.
#[derive(Clone, Debug, Default)]
pub struct Rankings {
    /// By region.
    pub tables: BTreeMap<Region, Arc<RankingTable>>,
    /// When the evidence behind them was looked at: what a push's duration is measured from.
    pub since: Moment,
}

/// The fleet's memory and what was last made of it.
pub struct Ranker {
    fleet: Mutex<Fleet>,
    registry: Arc<Registry>,
    rankings: watch::Sender<Arc<Rankings>>,
    alarm: Notify,
    epoch: Epoch,
    ticks: AtomicU64,
    pace: Pace,
    clock: Clock,
}

impl Ranker {
    /// A ranker without evidence, for the leadership of `epoch`.
    #[must_use]
    pub fn new(registry: Arc<Registry>, epoch: Epoch, pace: Pace, clock: Clock) -> Arc<Self> {
        let (rankings, _) = watch::channel(Arc::default());
        Arc::new(Self {
            fleet: Mutex::new(Fleet::default()),
            registry,
            rankings,
            alarm: Notify::new(),
            epoch,
            ticks: AtomicU64::new(0),
            pace,
            clock,
        })
    }

    /// Adds what a node saw, once however often it is sent. Alarming evidence is ranked at once.
    pub fn merge(&self, report: &Report) -> Merged {
        let merged = lock(&self.fleet).merge(report, self.clock.now());
        metrics::report(if merged.fresh { "merged" } else { "repeated" });
        if merged.alarming {
            self.alarm.notify_one();
        }
        merged
    }

    /// Notes that a node is there: its region has a ranking from now on, with or without reports.
    pub fn heard(&self, node: &NodeId, pop: &Pop, region: &Region) {
        lock(&self.fleet).node_heard(node, pop, region, self.clock.now());
        if !self.rankings.borrow().tables.contains_key(region) {
            self.alarm.notify_one();
        }
    }

    /// Takes an endpoint out of service in all regions, or (with none) back in, at once. Only
    /// [`State::Draining`] and [`State::Disabled`] withdraw. Not kept over a restart.
    pub fn withdraw(&self, endpoint: &EndpointId, state: Option<State>) {
        lock(&self.fleet).withdraw(endpoint, state);
        self.alarm.notify_one();
    }

    /// The newest rankings.
    #[must_use]
    pub fn current(&self) -> Arc<Rankings> {
        self.rankings.borrow().clone()
    }

    /// Rankings from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Rankings>> {
        self.rankings.subscribe()
    }

    /// Why an endpoint has the place that it has in a region.
    #[must_use]
    pub fn explain(&self, endpoint: &EndpointId, region: &Region) -> Option<Explanation> {
        let served = self.registry.current();
        let now = self.clock.now();
        lock(&self.fleet).explain(&served.snapshot, endpoint, region, now)
    }

    /// Ranks until the program stops.
    pub async fn run(self: Arc<Self>, mut stop: Stop) {
        let mut every = tokio::time::interval(self.pace.every);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last: Option<Instant> = None;
        loop {
            tokio::select! {
                () = stop.wait() => return,
                _ = every.tick() => {}
                () = self.alarm.notified() => {}
            }
            if let Some(last) = last {
                tokio::time::sleep_until(last + self.pace.gap).await;
            }
            last = Some(Instant::now());
            let ranker = Arc::clone(&self);
            // A large fleet takes milliseconds: not on a thread that serves streams.
            if let Err(panicked) = tokio::task::spawn_blocking(move || ranker.tick()).await {
                tracing::error!(error = %panicked, "a ranking failed; the last one stays");
            }
        }
    }

    /// Ranks all regions now and publishes the tables.
    pub fn tick(&self) {
        let number = self.ticks.fetch_add(1, Ordering::Relaxed) + 1;
        let epoch = self.epoch.0;
        let version = Version { epoch, number };
        let served = self.registry.current();
        let since = self.clock.now();
        let unix_ms = self.clock.unix_ms();
        let tables = {
            let mut fleet = lock(&self.fleet);
            metrics::unmerged(fleet.shed());
            fleet.tick(&served.snapshot, since, unix_ms, version)
        };
        metrics::ranked_within(self.clock.now().since(since));
        self.guard(&tables);
        let rankings = Rankings { tables, since };
        self.rankings.send_if_modified(|newest| {
            // Two ticks at one time publish in the order of their numbers.
            let later = |table: &Arc<RankingTable>| table.version > version;
            let newer = !newest.tables.values().any(later);
            if newer {
                *newest = Arc::new(rankings);
            }
            newer
        });
    }

    /// Notes ticks that take away much of a region's weight at once.
    fn guard(&self, tables: &BTreeMap<Region, Arc<RankingTable>>) {
        let before = self.current();
        for (region, table) in tables {
            let was = before.tables.get(region);
            if was.is_some_and(|was| drastic(was, table)) {
                metrics::drastic_ranking();
                tracing::warn!(%region, version = %table.version, "a ranking takes away much weight");
            }
        }
    }
}

#[cfg(test)]
mod tests;
