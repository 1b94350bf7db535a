//! One simulated edge: its connection, what it takes and what it reports.

use super::SwarmError;
use super::certificates::{Pair, name};
use super::glance::{Glance, Push, Ranking};
use super::measured::Observation;
use super::plan::{EDGES_PER_POP, Outage, Plan};
use fastrand::Rng;
use http::uri::PathAndQuery;
use prost::Message;
use shared::clock::Clock;
use shared::id::{BootEpoch, EndpointId, Version};
use shared::proto::discovery as wire;
use shared::proto::discovery::edge_message::Body as Word;
use shared::proto::telemetry::telemetry_client::TelemetryClient;
use shared::ranking::{RankingDelta, RankingTable};
use shared::task::Stop;
use shared::window::{self, Outcome, Windows};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

const REGIONS: usize = 5;
/// Words that may wait for a stream.
const QUEUE_MAX: usize = 16;
/// The largest message, bytes.
const MESSAGE_MAX: usize = 64 << 20;
/// The name in the control plane's certificate.
const CONTROL_NAME: &str = "godwit-control";
/// One edge of so many keeps its table and applies each change to it as a real one does; the
/// others read it and follow its versions: a thousand tables don't fit beside the control plane.
const KEEPS: usize = 20;
/// One edge.
pub(super) struct SimulatedEdge {
    pub(super) number: usize,
    /// It never says that it took a ranking.
    pub(super) silent: bool,
    pub(super) plan: Arc<Plan>,
    pub(super) certificate: Pair,
    pub(super) ca: String,
    pub(super) address: SocketAddr,
    pub(super) clock: Clock,
    pub(super) told: mpsc::Sender<Observation>,
    pub(super) gate: Arc<Semaphore>,
}

impl SimulatedEdge {
    /// Connects, takes and reports until it is stopped.
    pub(super) async fn run(self, mut stop: Stop) {
        let ended = tokio::select! {
            () = stop.wait() => return,
            ended = self.serve() => ended,
        };
        if let Err(error) = ended {
            // Whoever counts has gone: so may the reason.
            let _ = self.told.send(Observation::Lost(error.to_string())).await;
        }
    }

    async fn serve(&self) -> Result<(), SwarmError> {
        let channel = self.connect().await?;
        let (words, outgoing) = mpsc::channel(QUEUE_MAX);
        let hello = Some(Word::Hello(self.hello()));
        let _ = words.send(wire::EdgeMessage { body: hello }).await;
        let pushes = subscribe(channel.clone(), outgoing).await;
        let pushes = pushes.map_err(|error| SwarmError::of("discovery", &error))?;
        let taking = self.take(pushes, words);
        tokio::try_join!(taking, self.report(channel))?;
        Ok(())
    }

    async fn connect(&self) -> Result<Channel, SwarmError> {
        let _turn = self.gate.acquire().await;
        let pair = Identity::from_pem(&self.certificate.certificate, &self.certificate.key);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.ca))
            .domain_name(CONTROL_NAME)
            .identity(pair);
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address));
        let endpoint = endpoint.and_then(|endpoint| endpoint.tls_config(tls));
        let endpoint = endpoint.map_err(|error| SwarmError::of("connect", &error))?;
        let channel = endpoint.connect().await;
        channel.map_err(|error| SwarmError::of("connect", &error))
    }

    fn pop(&self) -> String {
        format!("pop-{}", self.number / EDGES_PER_POP)
    }

    fn region(&self) -> String {
        format!("region-{}", self.number / EDGES_PER_POP % REGIONS)
    }

    fn hello(&self) -> wire::Hello {
        wire::Hello {
            node_id: name(self.number),
            pop: self.pop(),
            region: self.region(),
            boot_epoch: 1,
            build: "simulated".to_owned(),
            gossip_address: String::new(),
            ..wire::Hello::default()
        }
    }

    /// Takes what is pushed, as an edge does.
    async fn take(
        &self,
        mut pushes: tonic::Streaming<Glance>,
        words: mpsc::Sender<wire::EdgeMessage>,
    ) -> Result<(), SwarmError> {
        let mut held = RankingTable::default();
        let (mut known, mut awaited) = (0, Vec::new());
        loop {
            let push = pushes.message().await;
            let push = push.map_err(|status| SwarmError::of("push", &status))?;
            let word = match push.and_then(|glance| glance.push) {
                Some(Push::Authority(update)) => {
                    let version = update.manifest.and_then(|manifest| manifest.version);
                    Some(Word::Ack(wire::Ack { version }))
                }
                Some(Push::Ranking(update)) => {
                    let news = self.plan.outages(known);
                    known += news.len();
                    awaited.extend(news);
                    let reacted = awaited.extract_if(.., |it| update.accuses(it.endpoint.as_str()));
                    let reacted: Vec<Outage> = reacted.collect();
                    let word = self.ranking(update, &mut held).await?;
                    for outage in reacted {
                        self.reacted(&outage).await;
                    }
                    word
                }
                Some(Push::Account(_) | Push::Peers(_)) => None,
                None => return Err(SwarmError("the stream has ended".to_owned())),
            };
            if let Some(word) = word {
                let _ = words.send(wire::EdgeMessage { body: Some(word) }).await;
            }
        }
    }

    async fn reacted(&self, outage: &Outage) {
        let millis = self.clock.unix_ms().saturating_sub(outage.unix_ms);
        let observation = Observation::Reacted {
            outage: outage.turn,
            took: Duration::from_millis(millis),
        };
        let _ = self.told.send(observation).await;
    }

    async fn ranking(
        &self,
        update: Ranking,
        held: &mut RankingTable,
    ) -> Result<Option<Word>, SwarmError> {
        let bytes = update.encoded_len();
        let base = update.base.map(Version::from);
        if base.is_some_and(|base| base != held.version) {
            return Err(SwarmError("a change from what is not held".to_owned()));
        }
        if self.number.is_multiple_of(KEEPS) {
            let whole = update.whole();
            let whole = whole.map_err(|error| SwarmError::of("ranking", &error))?;
            let delta = RankingDelta::try_from(whole);
            let delta = delta.map_err(|error| SwarmError::of("ranking", &error))?;
            let table = held.apply(delta);
            *held = table.map_err(|error| SwarmError::of("ranking", &error))?;
        } else {
            held.version = update.version.map(Version::from).unwrap_or_default();
        }
        let applied = self.clock.unix_ms();
        let observation = Observation::Applied {
            edge: self.number,
            took: Duration::from_millis(applied.saturating_sub(update.generated_unix_ms)),
            version: held.version,
            rows: update.rows.len() + update.removals.len(),
            bytes,
            full: base.is_none(),
        };
        let _ = self.told.send(observation).await;
        let version = update.version;
        Ok((update.acknowledge && !self.silent)
            .then_some(Word::RankingAck(wire::RankingAck { version })))
    }

    /// Reports each second, as all edges do at moments of their own.
    async fn report(&self, channel: Channel) -> Result<(), SwarmError> {
        let (reports, outgoing) = mpsc::channel(QUEUE_MAX);
        let accepted = TelemetryClient::new(channel)
            .report(ReceiverStream::new(outgoing))
            .await;
        let accepted = accepted.map_err(|status| SwarmError::of("telemetry", &status))?;
        let mut acks = accepted.into_inner();
        let mut random = Rng::with_seed(self.number as u64);
        let mut sequence = 0;
        let mut told_of = None;
        loop {
            let pause = Duration::from_secs(1).mul_f64(0.9 + 0.2 * random.f64());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                ack = acks.message() => match ack {
                    Ok(Some(_)) => continue,
                    Ok(None) => return Err(SwarmError("telemetry has ended".to_owned())),
                    Err(status) => return Err(SwarmError::of("telemetry", &status)),
                }
            }
            sequence += 1;
            let broken = self.plan.broken(self.clock.now());
            let new = broken.filter(|(turn, _)| told_of != Some(*turn));
            let new = new.filter(|_| Plan::is_witness(self.number));
            told_of = new.map(|(turn, _)| turn).or(told_of);
            if let Some((turn, endpoint)) = new {
                self.plan.told(turn, endpoint, self.clock.unix_ms());
            }
            let broken = broken.map(|(_, endpoint)| endpoint);
            let report = self.window(sequence, &mut random, broken, new.is_some());
            if reports.send((&report).into()).await.is_err() {
                return Ok(());
            }
        }
    }

    fn window(
        &self,
        sequence: u64,
        random: &mut Rng,
        broken: Option<&EndpointId>,
        alarming: bool,
    ) -> window::Report {
        let mut windows = Windows::default();
        for _ in 0..self.plan.used {
            let Some(endpoint) = random.choice(&self.plan.endpoints) else {
                break;
            };
            if broken == Some(endpoint) {
                windows.record(endpoint, &window::Observation::of(Outcome::HardFail));
                continue;
            }
            windows.record(
                endpoint,
                &window::Observation {
                    ttft: Some(Duration::from_millis(random.u64(300..600))),
                    tokens_per_second: Some(60.0 + 20.0 * random.f64()),
                    first_attempt: true,
                    ..window::Observation::of(Outcome::Ok)
                },
            );
        }
        if let Some(endpoint) = broken.filter(|_| alarming) {
            for _ in 0..3 {
                windows.record(endpoint, &window::Observation::of(Outcome::HardFail));
            }
            windows.opened(endpoint);
        }
        window::Report {
            node: name(self.number).into(),
            pop: self.pop().into(),
            region: self.region().into(),
            epoch: BootEpoch(1),
            sequence,
            windows: windows.take(),
            alarming,
        }
    }
}

/// `Discovery.Subscribe`, with answers that are only glanced at.
async fn subscribe(
    channel: Channel,
    words: mpsc::Receiver<wire::EdgeMessage>,
) -> Result<tonic::Streaming<Glance>, tonic::Status> {
    let mut client = tonic::client::Grpc::new(channel).max_decoding_message_size(MESSAGE_MAX);
    let ready = client.ready().await;
    ready.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static("/godwit.discovery.v1.Discovery/Subscribe");
    let codec = tonic_prost::ProstCodec::default();
    let words = tonic::Request::new(ReceiverStream::new(words));
    Ok(client.streaming(words, path, codec).await?.into_inner())
}
