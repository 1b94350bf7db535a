//! The edges of the fleet: who is connected, what each has acknowledged and refused. Kept over
//! restarts in the store, written when an edge comes and goes; one that has been gone for long is
//! forgotten.

use crate::metrics;
use crate::store::{Key, Precondition, Prefix, Store, StoreError};
use serde::{Deserialize, Serialize};
use shared::clock::Clock;
use shared::duty::Duty;
use shared::gossip::PEERS_MAX;
use shared::id::{BootEpoch, NodeId, Pop, Region, Version};
use shared::snapshot::Rejected;
use shared::task::{Stop, lock};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// The most edges that are known at one time.
pub const EDGES_MAX: usize = 10_000;
/// How often it is looked whom to forget.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// An edge that has been gone for so long is no peer any more, in milliseconds.
const PEER_GONE_MS: u64 = 10 * 60 * 1000;
/// Longest reason of a refusal that is kept, in characters.
const REASON_MAX: usize = 500;

/// What is known of an edge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Edge {
    /// Who.
    pub node: NodeId,
    /// Where.
    pub pop: Pop,
    /// Whose rankings it gets.
    pub region: Region,
    /// Its newest run.
    pub boot_epoch: BootEpoch,
    /// Where clients reach it.
    pub api_address: String,
    /// Where its peers send gossip; empty where it takes none.
    #[serde(default)]
    pub gossip_address: String,
    /// What it runs.
    pub build: String,
    /// A stream is open now.
    #[serde(skip)]
    pub connected: bool,
    /// The catalogue version that it serves, as far as it has said.
    pub acked: Option<Version>,
    /// The newest version of which it has refused something.
    pub refused: Option<Version>,
    /// How many resources it has refused on this stream.
    pub nacks: u64,
    /// The last of them: name and reason.
    pub last_nack: Option<(String, String)>,
    /// When it last said something, in milliseconds since 1970.
    pub last_seen_unix_ms: u64,
    /// What it says of its duty.
    #[serde(default)]
    pub duty: Duty,
}

impl Edge {
    /// True when the newest that it said of a version was that it refuses something of it.
    #[must_use]
    pub fn is_refusing(&self) -> bool {
        let newest = |refused| self.acked.is_none_or(|acked| refused >= acked);
        self.refused.is_some_and(newest)
    }
}

/// Who says hello.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Introduction {
    /// Who.
    pub node: NodeId,
    /// Where.
    pub pop: Pop,
    /// Whose rankings it gets.
    pub region: Region,
    /// Its run.
    pub boot_epoch: BootEpoch,
    /// Where clients reach it.
    pub api_address: String,
    /// Where its peers send gossip; empty where it takes none.
    pub gossip_address: String,
    /// What it runs.
    pub build: String,
    /// What it serves already.
    pub held: Option<Version>,
    /// What it was last told of its duty.
    pub duty: Duty,
}

/// Why an edge is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TurnedAway {
    /// There are [`EDGES_MAX`] and all are connected.
    #[error("{EDGES_MAX} edges are connected; no more are taken")]
    Full,
    /// The same node is connected with a later run.
    #[error("this node is connected with a later boot epoch")]
    Superseded,
}

struct Slot {
    edge: Edge,
    /// Which connection is the current one; a later one replaces it.
    connection: u64,
    /// Dropped with the slot: that ends the session of the connection that is replaced.
    _replaces: Option<watch::Sender<()>>,
}

/// The table of edges. Cheap to clone.
#[derive(Clone)]
pub struct Edges {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    clock: Clock,
    slots: Mutex<Slots>,
    /// Counts arrivals of edges.
    arrivals: watch::Sender<u64>,
}

#[derive(Default)]
struct Slots {
    by_node: BTreeMap<NodeId, Slot>,
    connections: u64,
}

/// An edge's open stream. The edge is disconnected when this is dropped.
pub struct Presence {
    edges: Edges,
    node: NodeId,
    connection: u64,
    replaced: watch::Receiver<()>,
}

impl Edges {
    /// The edges that the store remembers, none connected.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open(store: Arc<dyn Store>, clock: Clock) -> Result<Self, StoreError> {
        let mut slots = Slots::default();
        for entry in store.range(Prefix::Edges).await?.entries {
            // What can't be read is as good as forgotten: the edge introduces itself again.
            if let Ok(edge) = serde_json::from_slice::<Edge>(&entry.value) {
                slots.by_node.insert(edge.node.clone(), Slot::of(edge));
            }
        }
        let shared = Shared {
            store,
            clock,
            slots: Mutex::new(slots),
            arrivals: watch::Sender::new(0),
        };
        let edges = Self {
            shared: Arc::new(shared),
        };
        edges.count();
        Ok(edges)
    }

    /// Lets an edge in; an older stream of the same node ends.
    ///
    /// # Errors
    /// When there are too many, or a later run of the node is connected.
    pub fn connect(&self, who: Introduction) -> Result<Presence, TurnedAway> {
        let (replaces, replaced) = watch::channel(());
        let mut slots = lock(&self.shared.slots);
        let known = slots.by_node.get(&who.node);
        let later = |slot: &Slot| slot.edge.connected && slot.edge.boot_epoch > who.boot_epoch;
        if known.is_some_and(later) {
            return Err(TurnedAway::Superseded);
        }
        if known.is_none() && slots.by_node.len() >= EDGES_MAX && !slots.drop_longest_gone() {
            metrics::shed("control_edges");
            return Err(TurnedAway::Full);
        }
        slots.connections += 1;
        let connection = slots.connections;
        let node = who.node.clone();
        let edge = Edge {
            node: who.node,
            pop: who.pop,
            region: who.region,
            boot_epoch: who.boot_epoch,
            api_address: who.api_address,
            gossip_address: who.gossip_address,
            build: who.build,
            connected: true,
            acked: who.held,
            refused: None,
            nacks: 0,
            last_nack: None,
            last_seen_unix_ms: self.shared.clock.unix_ms(),
            duty: who.duty,
        };
        let slot = Slot {
            edge,
            connection,
            _replaces: Some(replaces),
        };
        slots.by_node.insert(node.clone(), slot);
        drop(slots);
        self.shared.arrivals.send_modify(|count| *count += 1);
        self.count();
        let edges = self.clone();
        Ok(Presence {
            edges,
            node,
            connection,
            replaced,
        })
    }

    /// Changes with each edge that comes.
    #[must_use]
    pub fn arrivals(&self) -> watch::Receiver<u64> {
        self.shared.arrivals.subscribe()
    }

    /// The other edges of a point of presence that gossip: those that are here or were lately, since
    /// a control plane that has just started does not know yet who will come back.
    #[must_use]
    pub fn peers_of(&self, node: &NodeId, pop: &Pop) -> Vec<(String, SocketAddr)> {
        let now = self.shared.clock.unix_ms();
        let slots = lock(&self.shared.slots);
        let lately = |edge: &Edge| {
            edge.connected || now.saturating_sub(edge.last_seen_unix_ms) < PEER_GONE_MS
        };
        let peers = slots.by_node.values().map(|slot| &slot.edge);
        let peers = peers.filter(|edge| edge.pop == *pop && edge.node != *node && lately(edge));
        let mut peers: Vec<_> = peers
            .filter_map(|edge| Some((edge, edge.gossip_address.parse().ok()?)))
            .collect();
        peers.sort_by_key(|(edge, _)| (!edge.connected, edge.node.clone()));
        peers.truncate(PEERS_MAX);
        let mut peers: Vec<_> = peers
            .into_iter()
            .map(|(edge, address)| (edge.node.to_string(), address))
            .collect();
        peers.sort();
        peers
    }

    /// Every edge that is known, by node.
    #[must_use]
    pub fn list(&self) -> Vec<Edge> {
        let now = self.shared.clock.unix_ms();
        let slots = lock(&self.shared.slots);
        let seen = |slot: &Slot| {
            let mut edge = slot.edge.clone();
            if edge.connected {
                // Its connection is probed all the time: it is there now.
                edge.last_seen_unix_ms = now;
            }
            edge
        };
        slots.by_node.values().map(seen).collect()
    }

    /// Writes what is known of an edge, so that it is known after a restart.
    pub async fn save(&self, node: &NodeId) {
        let edge = {
            let slots = lock(&self.shared.slots);
            slots.by_node.get(node).map(|slot| slot.edge.clone())
        };
        let Some(value) = edge.and_then(|edge| serde_json::to_vec(&edge).ok()) else {
            return;
        };
        let key = Key::Edge(node.clone());
        let saved = self
            .shared
            .store
            .put(&key, value, Precondition::None, None)
            .await;
        if let Err(error) = saved {
            tracing::warn!(%node, %error, "an edge's state was not saved");
        }
    }

    /// Forgets edges that have been gone for longer than `after`, until the program stops.
    pub async fn run(self, after: Duration, mut stop: Stop) {
        let mut every = tokio::time::interval(FORGET_EVERY);
        loop {
            tokio::select! {
                () = stop.wait() => return,
                _ = every.tick() => self.forget(after).await,
            }
        }
    }

    /// Forgets edges that have been gone for longer than `after`.
    pub async fn forget(&self, after: Duration) {
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        let oldest = self.shared.clock.unix_ms().saturating_sub(after);
        let gone = lock(&self.shared.slots).take_gone_before(oldest);
        self.count();
        for node in gone {
            tracing::info!(%node, "an edge that has been gone for long is forgotten");
            let key = Key::Edge(node);
            if let Err(error) = self
                .shared
                .store
                .delete(&key, Precondition::None, None)
                .await
            {
                tracing::warn!(%key, %error, "a forgotten edge is still stored");
            }
        }
    }

    fn change(&self, presence: &Presence, change: impl FnOnce(&mut Edge)) {
        let now = self.shared.clock.unix_ms();
        let mut slots = lock(&self.shared.slots);
        let slot = slots.by_node.get_mut(&presence.node);
        if let Some(slot) = slot.filter(|slot| slot.connection == presence.connection) {
            slot.edge.last_seen_unix_ms = now;
            change(&mut slot.edge);
        }
    }

    fn count(&self) {
        let (mut connected, mut refusing, mut draining, mut gone) = (0, 0, 0, 0);
        for Slot { edge, .. } in lock(&self.shared.slots).by_node.values() {
            match edge {
                edge if !edge.connected => gone += 1,
                edge if edge.is_refusing() => refusing += 1,
                edge if edge.duty.draining => draining += 1,
                _ => connected += 1,
            }
        }
        metrics::edges("draining", draining);
        metrics::edges("connected", connected);
        metrics::edges("refusing", refusing);
        metrics::edges("gone", gone);
    }
}

impl Slot {
    fn of(edge: Edge) -> Self {
        Self {
            edge,
            connection: 0,
            _replaces: None,
        }
    }
}

impl Slots {
    /// Makes room for one; false when every edge is connected.
    fn drop_longest_gone(&mut self) -> bool {
        let gone = self.by_node.values().filter(|slot| !slot.edge.connected);
        let longest = gone.min_by_key(|slot| slot.edge.last_seen_unix_ms);
        let node = longest.map(|slot| slot.edge.node.clone());
        node.is_some_and(|node| self.by_node.remove(&node).is_some())
    }

    fn take_gone_before(&mut self, oldest_unix_ms: u64) -> Vec<NodeId> {
        let gone =
            |slot: &Slot| !slot.edge.connected && slot.edge.last_seen_unix_ms < oldest_unix_ms;
        let slots = self.by_node.values().filter(|slot| gone(slot));
        let nodes: Vec<_> = slots.map(|slot| slot.edge.node.clone()).collect();
        for node in &nodes {
            self.by_node.remove(node);
        }
        nodes
    }
}

impl Presence {
    /// The edge said something.
    pub fn seen(&self) {
        self.edges.change(self, |_| {});
    }

    /// The edge serves a version.
    pub fn acked(&self, version: Version) {
        self.edges.change(self, |edge| {
            edge.acked = Some(version);
        });
        self.edges.count();
    }

    /// The edge refused resources of a version.
    pub fn nacked(&self, version: Version, rejected: &[Rejected]) {
        metrics::nacked(rejected.len());
        for Rejected { resource, reason } in rejected {
            tracing::warn!(node = %self.node, %version, %resource, %reason, "an edge refuses");
        }
        let count = u64::try_from(rejected.len().max(1)).unwrap_or(u64::MAX);
        let last = rejected.last().map(|last| {
            let reason = last.reason.chars().take(REASON_MAX).collect();
            let resource = last.resource.chars().take(REASON_MAX).collect();
            (resource, reason)
        });
        self.edges.change(self, |edge| {
            edge.refused = Some(version);
            edge.nacks = edge.nacks.saturating_add(count);
            edge.last_nack = last.or_else(|| Some(("manifest".to_owned(), "refused".to_owned())));
        });
        self.edges.count();
    }

    /// The edge does this now.
    pub fn on_duty(&self, duty: Duty) {
        tracing::info!(node = %self.node, duty.draining, "an edge says what it does");
        self.edges.change(self, |edge| edge.duty = duty);
        self.edges.count();
    }

    /// Resolves when a later stream of the same node has taken over.
    pub async fn replaced(&mut self) {
        // Nothing is ever sent: the sender goes away.
        let _ = self.replaced.changed().await;
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.edges.change(self, |edge| edge.connected = false);
        self.edges.count();
    }
}
