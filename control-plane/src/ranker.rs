//! The tick: what all edges saw becomes shares and states for each region, each second and at once
//! on alarming evidence. The arithmetic is in `shared::ranking` and pure; here are the memory of
//! the fleet, the clock, the bounds on how often it is done and the guard on what goes out.

mod canary;
mod history;
mod rankings;
mod wishes;

pub use history::Past;
pub use rankings::Rankings;

use crate::metrics;
use crate::registry::Registry;
use crate::store::{Epoch, Store, StoreError};
use canary::Canaries;
use history::History;
use rankings::News;
use shared::clock::Clock;
use shared::id::{EndpointId, NodeId, Pop, Region, Version};
use shared::ranking::{Explanation, Fleet, Merged, OperatorWish, RankingTable, absurdity, drastic};
use shared::task::{Stop, lock};
use shared::window::Report;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// The same after an alarm: what one provider's outage lets many edges say within a second is
    /// told to all edges a few times, not once each.
    pub again: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            gap: Duration::from_millis(20),
            again: Duration::from_millis(100),
        }
    }
}

/// How much a tick looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scope {
    All,
    /// What something alarming came of, and of that only what can't wait.
    Alarmed,
}

/// The fleet's memory and what was last made of it.
pub struct Ranker {
    /// Held for as long as a tick takes, which is long for a thread that serves streams: they wait
    /// for it without one.
    fleet: tokio::sync::Mutex<Fleet>,
    /// Who is connected, with or without reports.
    present: Mutex<BTreeMap<NodeId, (Pop, Region)>>,
    registry: Arc<Registry>,
    store: Arc<dyn Store>,
    rankings: watch::Sender<Arc<Rankings>>,
    canaries: Mutex<Canaries>,
    history: Mutex<History>,
    /// One wish is written at a time.
    wishing: tokio::sync::Mutex<()>,
    /// Something can't wait for the next tick.
    alarm: Notify,
    /// And it concerns more than what has alarmed.
    whole: AtomicBool,
    epoch: Epoch,
    ticks: AtomicU64,
    pace: Pace,
    clock: Clock,
}

impl Ranker {
    /// A ranker without evidence, for the leadership of `epoch`, with the wishes that the store
    /// remembers.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open(
        registry: Arc<Registry>,
        store: Arc<dyn Store>,
        epoch: Epoch,
        pace: Pace,
        clock: Clock,
    ) -> Result<Arc<Self>, StoreError> {
        let mut fleet = Fleet::default();
        for (endpoint, wish) in wishes::load(store.as_ref()).await? {
            fleet.wish(&endpoint, wish);
        }
        let (rankings, _) = watch::channel(Arc::default());
        Ok(Arc::new(Self {
            fleet: tokio::sync::Mutex::new(fleet),
            present: Mutex::default(),
            registry,
            store,
            rankings,
            canaries: Mutex::default(),
            history: Mutex::default(),
            wishing: tokio::sync::Mutex::default(),
            alarm: Notify::new(),
            whole: AtomicBool::new(false),
            epoch,
            ticks: AtomicU64::new(0),
            pace,
            clock,
        }))
    }

    /// Adds what a node saw, once however often it is sent. Alarming evidence is ranked at once.
    pub async fn merge(&self, report: &Report) -> Merged {
        let merged = self.fleet.lock().await.merge(report, self.clock.now());
        metrics::report(if merged.fresh { "merged" } else { "repeated" });
        if merged.alarming {
            self.alarm.notify_one();
        }
        merged
    }

    /// A node is there until it is [`Ranker::gone`]: its region has a ranking, and it can be asked
    /// to probe, with or without reports.
    pub fn arrived(&self, node: &NodeId, pop: &Pop, region: &Region) {
        let place = (pop.clone(), region.clone());
        lock(&self.present).insert(node.clone(), place);
        if !self.rankings.borrow().tables.contains_key(region) {
            self.rank_all();
        }
    }

    /// Changes what operators want of an endpoint, for good and at once.
    ///
    /// # Errors
    /// When the store fails; then nothing has changed.
    pub async fn wish(
        &self,
        endpoint: &EndpointId,
        change: impl FnOnce(&mut OperatorWish),
    ) -> Result<OperatorWish, StoreError> {
        let _one_at_a_time = self.wishing.lock().await;
        let mut wishes = self.wishes().await;
        let mut wish = wishes.get(endpoint).copied().unwrap_or_default();
        change(&mut wish);
        if wish == OperatorWish::default() {
            wishes.remove(endpoint);
        } else {
            wishes.insert(endpoint.clone(), wish);
        }
        wishes::save(self.store.as_ref(), self.epoch, &wishes).await?;
        self.fleet.lock().await.wish(endpoint, wish);
        self.rank_all();
        Ok(wish)
    }

    /// What operators want.
    pub async fn wishes(&self) -> BTreeMap<EndpointId, OperatorWish> {
        self.fleet.lock().await.wishes().clone()
    }

    /// These edges, and no others, are to be drained: they get no more of what endpoints take than they
    /// need, and try none out.
    pub async fn drain(&self, nodes: BTreeSet<NodeId>) {
        self.fleet.lock().await.drain(nodes);
        self.rank_all();
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
    pub async fn explain(&self, endpoint: &EndpointId, region: &Region) -> Option<Explanation> {
        let served = self.registry.released();
        let fleet = self.fleet.lock().await;
        fleet.explain(&served.snapshot, endpoint, region, self.clock.now())
    }

    /// An endpoint's changes of late, newest first; of one region or of all.
    #[must_use]
    pub fn history(
        &self,
        endpoint: &EndpointId,
        region: Option<&Region>,
        limit: usize,
    ) -> Vec<Past> {
        lock(&self.history).of(endpoint, region, limit)
    }

    /// Is this edge to say which ranking it took?
    #[must_use]
    pub fn is_canary(&self, node: &NodeId, region: &Region) -> bool {
        lock(&self.canaries).enlist(node, region, self.clock.now())
    }

    /// A canary took a ranking.
    pub fn taken(&self, node: &NodeId, version: Version) {
        if lock(&self.canaries).took(node, version) {
            self.rank_all();
        }
    }

    /// An edge's stream has ended.
    pub fn gone(&self, node: &NodeId) {
        lock(&self.present).remove(node);
        if lock(&self.canaries).dismiss(node) {
            self.rank_all();
        }
    }

    /// Ranks until the program stops.
    pub async fn run(self: Arc<Self>, mut stop: Stop) {
        let mut every = tokio::time::interval(self.pace.every);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut not_before = Instant::now();
        loop {
            let due = tokio::select! {
                () = stop.wait() => return,
                _ = every.tick() => true,
                () = self.alarm.notified() => false,
            };
            tokio::time::sleep_until(not_before).await;
            let gap = if due { self.pace.gap } else { self.pace.again };
            not_before = Instant::now() + gap;
            let whole = self.whole.swap(false, Ordering::Relaxed) || due;
            let scope = if whole { Scope::All } else { Scope::Alarmed };
            let ranker = Arc::clone(&self);
            // A large fleet takes milliseconds: not on a thread that serves streams.
            if let Err(panicked) = tokio::task::spawn_blocking(move || ranker.tick(scope)).await {
                tracing::error!(error = %panicked, "a ranking failed; the last one stays");
            }
        }
    }

    fn rank_all(&self) {
        self.whole.store(true, Ordering::Relaxed);
        self.alarm.notify_one();
    }

    /// Ranks now and publishes the tables, if they may go out. Not for a thread that serves streams.
    fn tick(&self, scope: Scope) {
        let number = self.ticks.fetch_add(1, Ordering::Relaxed) + 1;
        let epoch = self.epoch.0;
        let version = Version { epoch, number };
        let served = self.registry.released();
        let mut fleet = self.fleet.blocking_lock();
        // Now, with everything merged that came before.
        let since = self.clock.now();
        let unix_ms = self.clock.unix_ms();
        for (node, (pop, region)) in lock(&self.present).iter() {
            fleet.node_heard(node, pop, region, since);
        }
        metrics::unmerged(fleet.shed());
        let before = self.current();
        let snapshot = &served.snapshot;
        let (tables, portions) = match scope {
            Scope::All => {
                let tables = fleet.tick(snapshot, since, unix_ms, version);
                (tables, Arc::new(fleet.portions()))
            }
            Scope::Alarmed => {
                let tables = fleet.tick_alarmed(snapshot, since, unix_ms, version);
                (tables, Arc::clone(&before.portions))
            }
        };
        drop(fleet);
        metrics::ranked_within(self.clock.now().since(since));
        let all: News<'_> = tables
            .iter()
            .filter(|(region, table)| !before.has(region, table))
            .collect();
        // A tick tells at least that it was; an alarm may turn out to change nothing.
        if all.is_empty() && scope == Scope::Alarmed {
            return;
        }
        let news = self.may_go_out(&before, &all);
        if news.is_empty() && !all.is_empty() {
            if lock(&self.canaries).lacks() {
                self.publish(&before, &Arc::new(before.again(version, since)));
            }
            return;
        }
        let rankings = Rankings {
            version: Some(version),
            encoded: before.encoded_besides(&tables, &news),
            changes: before.changes_to(&news),
            tables: before.tables_with(&tables, &news),
            portions,
            since,
        };
        self.publish(&before, &Arc::new(rankings));
    }

    fn publish(&self, before: &Rankings, rankings: &Arc<Rankings>) {
        let published = self.rankings.send_if_modified(|newest| {
            // Two ticks at one time publish in the order of their numbers.
            let newer = newest.version < rankings.version && newest.version == before.version;
            if newer {
                *newest = Arc::clone(rankings);
            }
            newer
        });
        if published {
            let mut history = lock(&self.history);
            for (region, change) in &rankings.changes {
                history.add(region, change);
            }
        }
    }

    /// What of the news may go out: a region's table that is absurd never does, and one that takes
    /// away much weight at once waits for a canary. The other regions do not wait for it.
    fn may_go_out<'a>(&self, before: &Rankings, news: &News<'a>) -> News<'a> {
        let sound = |(region, table): &(&&Region, &&Arc<RankingTable>)| {
            let reason = absurdity(table);
            if let Some(reason) = &reason {
                metrics::held_ranking("absurd");
                tracing::error!(%region, reason, "a ranking is refused; the last one stays");
            }
            reason.is_none()
        };
        let mut sound: News<'a> = news
            .iter()
            .filter(sound)
            .map(|(&of, &it)| (of, it))
            .collect();
        let is_drastic = |region: &Region, table: &RankingTable| {
            let was = before.tables.get(region);
            was.is_some_and(|was| drastic(was, table))
        };
        if !sound
            .iter()
            .any(|(region, table)| is_drastic(region, table))
        {
            return sound;
        }
        metrics::drastic_ranking();
        let published = |region: &Region| before.tables.get(region).map(|table| table.version);
        let consent = lock(&self.canaries).consent(published, self.clock.now());
        tracing::warn!(consent, "a ranking takes away much weight");
        if !consent {
            metrics::held_ranking("canary");
            sound.retain(|region, table| !is_drastic(region, table));
        }
        sound
    }
}

#[cfg(test)]
mod tests;
