//! The gRPC side of the push: one task per edge that waits for news and for room, then sends what
//! is newest. The queue to an edge holds one message; everything behind it is state, not a queue.

use super::duties::Duties;
use super::edges::{Edges, Introduction, Presence, TurnedAway};
use super::peers::PopKeys;
use super::session::{Session, Update};
use crate::accounts::{Accounts, LookupAnswer};
use crate::metrics::{self, Class};
use crate::ranker::{Ranker, Rankings};
use crate::rates::Rates;
use crate::registry::{Published, Registry};
use crate::security::guard;
use shared::clock::Clock;
use shared::duty::Duty;
use shared::gossip::Circle;
use shared::id::{BootEpoch, NodeId, Pop, Region, Version};
use shared::key::KeyHash;
use shared::proto::discovery as wire;
use shared::proto::discovery::discovery_server::Discovery;
use shared::proto::discovery::edge_message::Body;
use shared::proto::pushed::ControlMessage;
use shared::ranking::RankingTable;
use shared::rate::{Ask, Share};
use shared::record::Origin;
use shared::snapshot::Rejected;
use shared::task::{Stop, Tasks};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Messages that wait for an edge's connection; what is newer waits as state.
const SESSION_QUEUE_MAX: usize = 1;
/// How long an edge may take to introduce itself.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// How long an edge may take to apply a catalogue and say so; then its stream is ended, and it
/// comes back and says what it holds.
const ACK_DEADLINE: Duration = Duration::from_secs(60);
/// How long the reason for ending a stream waits to be sent.
const LAST_WORD_DEADLINE: Duration = Duration::from_secs(1);
/// Longest reason of a refused ranking that is told, in characters.
const REASON_MAX: usize = 500;
/// Shares that wait for an edge's connection; it asks again for what is dropped beyond.
const SHARES_MAX: usize = 10_000;
/// The most rejections of one message that are looked at.
const REJECTIONS_MAX: usize = 1000;

/// Where the news comes from.
#[derive(Clone)]
pub struct Sources {
    /// Catalogue versions.
    pub registry: Arc<Registry>,
    /// Keys.
    pub accounts: Arc<Accounts>,
    /// Rankings of all regions.
    pub ranker: Arc<Ranker>,
    /// Who is there.
    pub edges: Edges,
    /// What operators want of each.
    pub duties: Arc<Duties>,
    /// What edges that gossip share.
    pub pop_keys: PopKeys,
    /// What they share of limits of requests per minute.
    pub rates: Arc<Rates>,
    /// The time.
    pub clock: Clock,
}

/// `godwit.discovery.v1.Discovery`.
pub struct DiscoveryService {
    sources: Sources,
    tasks: Tasks,
}

impl DiscoveryService {
    /// A service that pushes what `sources` tell; each edge's session is one of `tasks`.
    #[must_use]
    pub const fn new(sources: Sources, tasks: Tasks) -> Self {
        Self { sources, tasks }
    }
}

#[tonic::async_trait]
impl Discovery for DiscoveryService {
    type SubscribeStream = ReceiverStream<Result<ControlMessage, Status>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<wire::EdgeMessage>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let node = guard::node_of(&request)?;
        let inbound = request.into_inner();
        let (outbound, stream) = mpsc::channel(SESSION_QUEUE_MAX);
        let sources = self.sources.clone();
        let stop = self.tasks.stop_signal();
        self.tasks.spawn("discovery session", async move {
            if let Err(status) = serve(sources, node, inbound, &outbound, stop).await {
                // An edge that is gone or does not read does not hear it.
                let told = outbound.send(Err(status));
                let _ = tokio::time::timeout(LAST_WORD_DEADLINE, told).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn lookup_key(
        &self,
        request: Request<wire::LookupKeyRequest>,
    ) -> Result<Response<wire::LookupKeyResponse>, Status> {
        guard::node_of(&request)?;
        let wire::LookupKeyRequest { key_hash, seal_key } = request.into_inner();
        let hash = key_hash.try_into();
        let hash = hash.map_err(|_| Status::invalid_argument("key_hash: 32 bytes are expected"))?;
        let (hash, accounts) = (KeyHash(hash), &self.sources.accounts);
        let answer = accounts.lookup(hash).await;
        let mut answer = answer.map_err(|error| unavailable("a key look-up failed", &error))?;
        if let Ok(principal) = &mut answer.principal
            && !seal_key.is_empty()
        {
            let sealed = accounts.sealed_credentials(hash, &seal_key).await;
            let sealed = sealed.map_err(|error| unavailable("credentials", &error))?;
            principal.policy.credentials = sealed;
        }
        Ok(Response::new(lookup_response(&answer)))
    }
}

fn lookup_response(answer: &LookupAnswer) -> wire::LookupKeyResponse {
    let (key, refusal) = match &answer.principal {
        Ok(principal) => (Some(principal.into()), String::new()),
        Err(refusal) => (None, refusal.as_str().to_owned()),
    };
    wire::LookupKeyResponse {
        account_sequence: answer.account_sequence,
        key,
        refusal,
    }
}

/// Serves one edge from its hello to the end of its stream.
async fn serve(
    sources: Sources,
    node: NodeId,
    mut inbound: Streaming<wire::EdgeMessage>,
    outbound: &mpsc::Sender<Result<ControlMessage, Status>>,
    mut stop: Stop,
) -> Result<(), Status> {
    let hello = tokio::select! {
        () = stop.wait() => return Ok(()),
        hello = hello(&mut inbound) => hello?,
    };
    guard::must_be_own(&node, &hello.node_id)?;
    let session = Session::new(
        held(&sources.registry, &hello),
        hello.account_sequence,
        sources.clock.now(),
    );
    let region = Region::from(hello.region.as_str());
    let who = introduction(hello)?;
    let newest = sources.registry.released().snapshot.version();
    if who.held.is_some_and(|held| held.epoch > newest.epoch) {
        // Its versions come from another control plane, or this one has lost its data.
        tracing::error!(%node, held = ?who.held, %newest, "an edge holds a later version");
    }
    let pop = who.pop.clone();
    let gossips = !who.gossip_address.is_empty();
    let run = Origin {
        node: node.clone(),
        epoch: who.boot_epoch,
    };
    let told = Told {
        asked: None,
        duty: who.duty,
    };
    let presence = sources.edges.connect(who).map_err(turned_away)?;
    sources.ranker.arrived(&node, &pop, &region);
    sources.edges.save(&node).await;
    tracing::info!(%node, %region, "an edge is connected");
    let (edges, ranker) = (sources.edges.clone(), Arc::clone(&sources.ranker));
    let line = Line {
        authority: sources.registry.releases(),
        account: sources.accounts.subscribe(),
        rankings: sources.ranker.subscribe(),
        arrivals: sources.edges.arrivals(),
        peers: gossips.then(Peers::default),
        duties: sources.duties.changes(),
        told,
        run,
        shares: Vec::new(),
        sources,
        session,
        presence,
        node: node.clone(),
        pop,
        region,
    };
    let ended = tokio::select! {
        () = stop.wait() => Ok(()),
        ended = line.run(inbound, outbound) => ended,
    };
    ranker.gone(&node);
    edges.save(&node).await;
    tracing::info!(%node, reason = ?ended.as_ref().err(), "an edge is gone");
    ended
}

async fn hello(inbound: &mut Streaming<wire::EdgeMessage>) -> Result<wire::Hello, Status> {
    let first = tokio::time::timeout(HELLO_DEADLINE, inbound.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no hello came"))??;
    match first.and_then(|message| message.body) {
        Some(Body::Hello(hello)) => Ok(hello),
        _ => Err(Status::invalid_argument(
            "the first message must be a hello",
        )),
    }
}

/// What the edge says that it holds, if that content is known here.
fn held(registry: &Registry, hello: &wire::Hello) -> Option<(Version, shared::snapshot::Snapshot)> {
    let version = hello.held.map(Version::from)?;
    let root = hello.held_root.as_slice().try_into().ok()?;
    registry
        .with_root(&root)
        .map(|snapshot| (version, snapshot))
}

fn introduction(hello: wire::Hello) -> Result<Introduction, Status> {
    if hello.region.is_empty() || hello.pop.is_empty() {
        return Err(Status::invalid_argument("hello: pop and region are needed"));
    }
    Ok(Introduction {
        node: hello.node_id.into(),
        pop: hello.pop.into(),
        region: hello.region.into(),
        boot_epoch: BootEpoch(hello.boot_epoch),
        api_address: hello.api_address,
        gossip_address: hello.gossip_address,
        build: hello.build,
        held: hello.held.map(Into::into),
        duty: hello.duty.map(Duty::from).unwrap_or_default(),
    })
}

fn turned_away(reason: TurnedAway) -> Status {
    match reason {
        TurnedAway::Full => Status::resource_exhausted(reason.to_string()),
        TurnedAway::Superseded => Status::failed_precondition(reason.to_string()),
    }
}

/// The stream of one edge, with everything that may make it send.
struct Line {
    sources: Sources,
    session: Session,
    presence: Presence,
    node: NodeId,
    pop: Pop,
    region: Region,
    authority: watch::Receiver<Arc<Published>>,
    account: watch::Receiver<u64>,
    rankings: watch::Receiver<Arc<Rankings>>,
    arrivals: watch::Receiver<u64>,
    /// None for an edge that does not gossip.
    peers: Option<Peers>,
    duties: watch::Receiver<u64>,
    told: Told,
    run: Origin,
    /// Given, and not sent yet.
    shares: Vec<Share>,
}

/// What the edge was told of its duty.
struct Told {
    /// As of which change.
    asked: Option<u64>,
    /// On this stream or before.
    duty: Duty,
}

/// What the edge was told of its peers.
#[derive(Default)]
struct Peers {
    /// As of which arrival.
    asked: Option<u64>,
    sent: Option<Circle>,
}

impl Line {
    async fn run(
        mut self,
        mut inbound: Streaming<wire::EdgeMessage>,
        outbound: &mpsc::Sender<Result<ControlMessage, Status>>,
    ) -> Result<(), Status> {
        loop {
            let due = self.is_due();
            let overdue = self.overdue_in();
            tokio::select! {
                biased;
                () = self.presence.replaced() => {
                    return Err(Status::aborted("a later stream of this node has taken over"));
                }
                message = inbound.message() => match message? {
                    Some(message) => self.hear(message)?,
                    None => return Ok(()),
                },
                room = outbound.reserve(), if due => {
                    // What is newest is looked at now that there is room, not before.
                    let room = room.map_err(|_| Status::cancelled("the edge is gone"))?;
                    if let Some(update) = self.next().await? {
                        room.send(Ok(update.message));
                    }
                }
                () = outbound.closed() => return Ok(()),
                () = tokio::time::sleep(overdue.unwrap_or(ACK_DEADLINE)), if overdue.is_some() => {
                    return Err(Status::deadline_exceeded("a catalogue was not acknowledged"));
                }
                news = self.authority.changed(), if !due => ended(news)?,
                news = self.account.changed(), if !due => ended(news)?,
                news = self.rankings.changed(), if !due => ended(news)?,
                news = self.duties.changed(), if !due => ended(news)?,
                news = self.arrivals.changed(), if !due && self.peers.is_some() => ended(news)?,
            }
        }
    }

    fn hear(&mut self, message: wire::EdgeMessage) -> Result<(), Status> {
        let now = self.sources.clock.now();
        match message.body {
            Some(Body::Ack(ack)) => {
                let version = ack.version.map(Version::from).unwrap_or_default();
                self.presence.acked(version);
                if let Some(took) = self.session.acked(version, now) {
                    metrics::pushed_within(Class::Authority, took);
                }
            }
            Some(Body::Nack(nack)) => {
                let version = nack.version.map(Version::from).unwrap_or_default();
                let rejections = nack.rejections.into_iter().take(REJECTIONS_MAX);
                let rejected: Vec<Rejected> = rejections.map(Into::into).collect();
                self.presence.nacked(version, &rejected);
                self.session.nacked(version);
            }
            Some(Body::RankingAck(ack)) => {
                self.presence.seen();
                let version = ack.version.map(Version::from);
                let version = version.unwrap_or_default();
                self.sources.ranker.taken(&self.node, version);
            }
            Some(Body::RankingNack(nack)) => {
                let version = nack.version.map(Version::from).unwrap_or_default();
                let reason: String = nack.reason.chars().take(REASON_MAX).collect();
                metrics::nacked(1);
                tracing::warn!(node = %self.node, %version, reason, "an edge refuses a ranking");
                self.presence.seen();
                self.session.ranking_nacked();
            }
            Some(Body::Rates(ask)) => {
                let ask = Ask::try_from(ask);
                let ask = ask.map_err(|error| Status::invalid_argument(error.to_string()))?;
                self.shares.extend(self.sources.rates.hear(&self.run, &ask));
                if self.shares.len() > SHARES_MAX {
                    metrics::shed("rate_answers");
                    self.shares.truncate(SHARES_MAX);
                }
            }
            Some(Body::Duty(duty)) => self.presence.on_duty(duty.into()),
            Some(Body::Hello(_)) => {
                return Err(Status::invalid_argument("a stream has one hello"));
            }
            // A kind of message that a newer edge sends.
            None => self.presence.seen(),
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        let authority = self.session.authority_is_due(&self.authority.borrow());
        let account = self.account_is_due();
        let table = self.table();
        authority
            || account
            || !self.shares.is_empty()
            || self.duty_is_due()
            || self.peers_are_due()
            || table.is_some_and(|table| self.session.ranking_is_due(&table))
    }

    fn account_is_due(&self) -> bool {
        self.session.account_is_due(*self.account.borrow())
    }

    fn duty_is_due(&self) -> bool {
        self.told.asked != Some(*self.duties.borrow())
    }

    /// The edge's duty, when it is another than the edge was told.
    fn next_duty(&mut self) -> Option<Update> {
        let duty = self.sources.duties.of(&self.node);
        self.told.asked = Some(duty.number);
        let changes = self.told.duty.draining != duty.draining;
        self.told.duty = duty;
        changes.then(|| Update::duty(duty))
    }

    fn peers_are_due(&self) -> bool {
        let newest = *self.arrivals.borrow();
        self.peers
            .as_ref()
            .is_some_and(|peers| peers.asked != Some(newest))
    }

    /// The peers, when they are others than the edge was told.
    fn next_peers(&mut self) -> Option<Update> {
        let newest = *self.arrivals.borrow();
        let (sources, node, pop) = (&self.sources, &self.node, &self.pop);
        let peers = self.peers.as_mut()?;
        peers.asked = Some(newest);
        let circle = sources.pop_keys.circle(&sources.edges, node, pop);
        if peers.sent.as_ref() == Some(&circle) {
            return None;
        }
        let update = Update::peers(&circle);
        peers.sent = Some(circle);
        Some(update)
    }

    fn table(&self) -> Option<Arc<RankingTable>> {
        self.rankings.borrow().tables.get(&self.region).cloned()
    }

    /// What to send now: revocations before shares that requests wait for, then prices, then weights.
    async fn next(&mut self) -> Result<Option<Update>, Status> {
        if self.account_is_due() {
            let since = self.session.account_sequence();
            let events = self.sources.accounts.events_since(since).await;
            let events = events.map_err(|error| unavailable("account events", &error))?;
            if let Some(update) = self.session.account(events) {
                metrics::pushed(Class::Account, update.full);
                return Ok(Some(update));
            }
        }
        if !self.shares.is_empty() {
            metrics::pushed(Class::Fast, false);
            return Ok(Some(Update::rates(&std::mem::take(&mut self.shares))));
        }
        if self.duty_is_due()
            && let Some(update) = self.next_duty()
        {
            metrics::pushed(Class::Fast, update.full);
            return Ok(Some(update));
        }
        let newest = self.authority.borrow().clone();
        if let Some(update) = self.session.authority(&newest, self.sources.clock.now()) {
            metrics::pushed(Class::Authority, update.full);
            return Ok(Some(update));
        }
        if self.peers_are_due()
            && let Some(update) = self.next_peers()
        {
            metrics::pushed(Class::Fast, update.full);
            return Ok(Some(update));
        }
        Ok(self.ranking())
    }

    fn ranking(&mut self) -> Option<Update> {
        let rankings = self.rankings.borrow().clone();
        let table = rankings.tables.get(&self.region)?;
        let encoded = rankings.encoded.get(&self.region)?;
        let portion = rankings.portions.get(&self.node);
        let portion = portion.cloned().unwrap_or_default();
        let canary = self.sources.ranker.is_canary(&self.node, &self.region);
        let update = self.session.ranking((table, encoded), &portion, canary)?;
        metrics::pushed(Class::Fast, update.full);
        let took = self.session.took(rankings.since, self.sources.clock.now());
        metrics::pushed_within(Class::Fast, took);
        Some(update)
    }

    /// How long the edge may still take to acknowledge what is on its way.
    fn overdue_in(&self) -> Option<Duration> {
        let waiting = self.session.waiting_since()?;
        Some(ACK_DEADLINE.saturating_sub(self.sources.clock.now().since(waiting)))
    }
}

/// The other end of a source is gone: the program is stopping.
fn ended(news: Result<(), watch::error::RecvError>) -> Result<(), Status> {
    news.map_err(|_| Status::unavailable("the control plane is stopping"))
}

fn unavailable(what: &str, error: &dyn std::error::Error) -> Status {
    tracing::error!(%error, "{what}");
    Status::unavailable("the control plane can't answer now")
}
