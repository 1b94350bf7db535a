//! Keeps the node's view current: disk first, then the discovery stream. What is pushed is checked
//! by [`session`] before it is used, and kept by [`cache`] for a start without a control plane.
//! This file is the shell: the stream, the swap and the acknowledgement.

pub mod cache;
mod leased;
pub mod session;

use crate::account::Accounts;
use crate::auth::KeyRing;
use crate::control::{ControlClient, Link, MESSAGE_MAX};
use crate::duty::Standing;
use crate::gossip::Gossip;
use crate::metrics;
use crate::node::Identity;
use crate::rates::Rates;
use crate::timers::Timers;
use ::metrics::counter;
use arc_swap::ArcSwap;
use cache::Cache;
use leased::Leased;
use session::{Adopted, Guard, Session};
use shared::clock::{Clock, Moment};
use shared::duty::Duty;
use shared::gossip::Circle;
use shared::manifest::PublicKey;
use shared::proto::discovery as wire;
use shared::proto::discovery::discovery_client::DiscoveryClient;
use shared::proto::discovery::edge_message::Body as Word;
use shared::proto::pushed::control_message::Body as Push;
use shared::rate::Share;
use shared::routing::View;
use shared::task::Stop;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Words to the control plane that may wait for the stream: a hello and a verdict for each push.
const OUTGOING_MAX: usize = 64;
/// How long the control plane may take to accept the stream.
const ACCEPT_MAX: Duration = Duration::from_secs(10);

/// What a sync needs to know.
pub struct Config {
    /// This node.
    pub identity: Identity,
    /// Where its clients reach it, for operators.
    pub api_address: String,
    /// What it hears of its peers through.
    pub gossip: Option<Arc<Gossip>>,
    /// What is shared of limits of requests per minute.
    pub rates: Arc<Rates>,
    /// Who may sign the catalogue.
    pub trusted: Vec<PublicKey>,
    /// What operators want of this node.
    pub standing: Arc<Standing>,
    /// Whose leases go back when they are recalled.
    pub accounts: Arc<Accounts>,
    /// How far a table may change at once.
    pub guard: Guard,
    /// Where the last good tables are kept.
    pub folder: std::path::PathBuf,
    /// Intervals.
    pub timers: Timers,
    /// The time.
    pub clock: Clock,
}

/// Keeps the view current.
pub struct Sync {
    config: Config,
    session: Session,
    cache: Cache,
    view: Arc<ArcSwap<View>>,
    ranking_received: Option<Moment>,
    keys: Arc<KeyRing>,
    control: Arc<ControlClient>,
}

impl Sync {
    /// Starts from the last good table on disk, if there is one; `view` then holds it.
    #[must_use]
    pub fn boot(
        config: Config,
        view: Arc<ArcSwap<View>>,
        keys: Arc<KeyRing>,
        control: Arc<ControlClient>,
    ) -> Self {
        let mut session = Session::new(config.trusted.clone(), config.guard);
        let cache = Cache::new(config.folder.clone());
        for (path, update) in cache.load() {
            match session.restore(update) {
                Ok(()) => {
                    tracing::info!(version = %session.snapshot().version(), "table from disk");
                    break;
                }
                Err(reason) => {
                    tracing::warn!(path = %path.display(), reason, "table on disk is not usable");
                }
            }
        }
        let sync = Self {
            config,
            session,
            cache,
            view,
            ranking_received: None,
            keys,
            control,
        };
        sync.swap();
        sync
    }

    /// Follows the control plane until the program stops.
    pub async fn run(mut self, mut stop: Stop) {
        let mut backoff = self.control.backoff();
        while !stop.requested() {
            self.control.renew().await;
            let link = self.control.link();
            let begun = self.config.clock.now();
            let ended = tokio::select! {
                ended = self.follow(&link) => ended,
                () = stop.wait() => return,
            };
            if let Err(status) = ended {
                tracing::info!(%status, "discovery stream ended");
            }
            self.control.failed(&link);
            if self.config.clock.now().since(begun) >= self.config.timers.stream_settled {
                backoff.reset();
            }
            if !backoff.pause(&mut stop).await {
                return;
            }
        }
    }

    /// One stream, from hello to its end.
    async fn follow(&mut self, link: &Link) -> Result<(), tonic::Status> {
        let (words, outgoing) = mpsc::channel(OUTGOING_MAX);
        let hello = wire::EdgeMessage {
            body: Some(Word::Hello(self.hello())),
        };
        if words.send(hello).await.is_err() {
            return Ok(());
        }
        let mut client = DiscoveryClient::new(link.channel.clone())
            .max_decoding_message_size(MESSAGE_MAX)
            .max_encoding_message_size(MESSAGE_MAX);
        let accepted = client.subscribe(ReceiverStream::new(outgoing));
        let accepted = tokio::time::timeout(ACCEPT_MAX, accepted)
            .await
            .map_err(|_| tonic::Status::deadline_exceeded("the stream was not accepted"))?;
        let mut pushes = accepted?.into_inner();
        let rates = Arc::clone(&self.config.rates);
        let line = rates.line();
        loop {
            let answer = tokio::select! {
                push = pushes.message() => match push? {
                    Some(push) => self.take(push).await?,
                    None => return Ok(()),
                },
                ask = line.next() => vec![Word::Rates((&ask).into())],
            };
            for word in answer {
                let word = wire::EdgeMessage { body: Some(word) };
                if words.send(word).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    fn hello(&self) -> wire::Hello {
        let identity = &self.config.identity;
        let snapshot = self.session.snapshot();
        let holds = snapshot.resource_count() > 0;
        wire::Hello {
            node_id: identity.node.to_string(),
            pop: identity.pop.to_string(),
            region: identity.region.to_string(),
            boot_epoch: identity.epoch.0,
            held: holds.then(|| snapshot.version().into()),
            held_root: if holds {
                snapshot.root().to_vec()
            } else {
                Vec::new()
            },
            account_sequence: self.keys.account_sequence(),
            api_address: self.config.api_address.clone(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            gossip_address: self
                .config
                .gossip
                .as_ref()
                .map_or_else(String::new, |gossip| gossip.address.to_string()),
            duty: Some(self.config.standing.duty().into()),
        }
    }

    /// Uses a push or refuses it; what to answer.
    async fn take(
        &mut self,
        push: shared::proto::pushed::ControlMessage,
    ) -> Result<Vec<Word>, tonic::Status> {
        match push.body {
            Some(Push::Authority(update)) => Ok(self.authority(update).await),
            Some(Push::Ranking(update)) => Ok(self.ranking(update)?.into_iter().collect()),
            Some(Push::Account(update)) => {
                let applied = self.keys.apply(&update);
                self.leases(&update);
                applied.map_err(|error| tonic::Status::data_loss(error.to_string()))?;
                Ok(Vec::new())
            }
            Some(Push::Peers(update)) => {
                self.peers(update).await;
                Ok(Vec::new())
            }
            Some(Push::Rates(update)) => {
                self.rates(update);
                Ok(Vec::new())
            }
            Some(Push::Duty(duty)) => {
                self.duty(duty.into()).await;
                Ok(vec![Word::Duty(duty)])
            }
            None => Ok(Vec::new()),
        }
    }

    /// Gives back what an account update means to go back.
    fn leases(&self, update: &wire::AccountUpdate) {
        let accounts = &self.config.accounts;
        let leased = Leased::from(update);
        for purse in &leased.recalled {
            accounts.recall(purse);
        }
        accounts.limits_changed(&leased.orgs, &leased.keys, leased.all);
    }

    async fn authority(&mut self, update: wire::AuthorityUpdate) -> Vec<Word> {
        let version = update
            .manifest
            .as_ref()
            .and_then(|manifest| manifest.version);
        match self.session.authority(update, &self.view.load()) {
            Ok(Adopted {
                unchanged,
                rejected,
                manifest,
            }) => {
                let mut words = Vec::new();
                if !rejected.is_empty() {
                    count_nack("resource");
                    tracing::warn!(?rejected, "resources refused; the others are in use");
                    let rejections = rejected.into_iter().map(Into::into).collect();
                    words.push(Word::Nack(wire::Nack {
                        version,
                        rejections,
                    }));
                }
                if !unchanged {
                    self.swap();
                    let kept = cache::image(&manifest, self.session.snapshot());
                    self.cache.keep(manifest.version, kept).await;
                }
                words.push(Word::Ack(wire::Ack { version }));
                words
            }
            Err(refusal) => {
                count_nack(refusal.label);
                tracing::warn!(
                    reason = refusal.reason,
                    "table refused; the last good one stays"
                );
                let rejection = wire::Rejection {
                    resource: "manifest".to_owned(),
                    reason: refusal.reason,
                };
                vec![Word::Nack(wire::Nack {
                    version,
                    rejections: vec![rejection],
                })]
            }
        }
    }

    /// A delta that does not fit ends the stream: the next hello brings a full table. One that
    /// makes no sense is refused, and the held one stays.
    fn ranking(&mut self, update: wire::RankingUpdate) -> Result<Option<Word>, tonic::Status> {
        let (version, acknowledge) = (update.version, update.acknowledge);
        let taken = match self.session.ranking(update) {
            Ok(taken) => taken,
            Err(refusal) => {
                count_nack(refusal.label);
                if refusal.label != "absurd" {
                    return Err(tonic::Status::failed_precondition(refusal.reason));
                }
                tracing::warn!(
                    reason = refusal.reason,
                    "ranking refused; the last one stays"
                );
                let reason = refusal.reason;
                return Ok(Some(Word::RankingNack(wire::RankingNack {
                    version,
                    reason,
                })));
            }
        };
        if taken {
            self.ranking_received = Some(self.config.clock.now());
            self.swap();
        }
        Ok(acknowledge.then_some(Word::RankingAck(wire::RankingAck { version })))
    }

    /// A list that can't be read changes nothing.
    async fn peers(&self, update: wire::PeerUpdate) {
        let Some(gossip) = &self.config.gossip else {
            return;
        };
        match Circle::try_from(update) {
            Ok(circle) => gossip.meet(circle).await,
            Err(error) => {
                count_nack("peers");
                tracing::warn!(%error, "peers refused; the former ones stay");
            }
        }
    }

    /// What still arrives is served on any duty.
    async fn duty(&self, duty: Duty) {
        if duty.draining {
            tracing::warn!("an operator drains this node");
        } else {
            tracing::info!("an operator puts this node back in service");
        }
        self.config.standing.take(duty).await;
        self.config.accounts.drain(duty.draining);
    }

    /// Shares that can't be read give nothing.
    fn rates(&self, update: wire::RateShares) {
        match Vec::<Share>::try_from(update) {
            Ok(shares) => self.config.rates.answered(&shares),
            Err(error) => {
                count_nack("rates");
                tracing::warn!(%error, "shares of limits refused");
            }
        }
    }

    fn swap(&self) {
        let snapshot = Arc::new(self.session.snapshot().clone());
        let view = View::new(snapshot, Arc::clone(self.session.ranking_table()));
        // This node answers for the probes that the ranking leaves to it.
        let mut view = view.of_node(self.config.identity.node.clone());
        if let Some(received) = self.ranking_received {
            view = view.received_at(received);
        }
        self.view.store(Arc::new(view));
    }
}

fn count_nack(reason: &'static str) {
    counter!(metrics::PUSH_NACKS, "reason" => reason).increment(1);
}
