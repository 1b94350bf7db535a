//! An edge as far as the control plane can tell: it speaks the wire protocol and keeps nothing.

use super::PATIENCE;
use crate::pki::Pair;
use crate::security::CONTROL_DNS_NAME;
use shared::duty::Duty;
use shared::id::Version;
use shared::key::KeyHash;
use shared::proto::discovery as wire;
use shared::proto::discovery::discovery_client::DiscoveryClient;
use shared::proto::discovery::edge_message::Body as Word;
use shared::proto::pushed::control_message::Body as Push;
use shared::proto::telemetry::ReportAck;
use shared::proto::telemetry::telemetry_client::TelemetryClient;
use shared::window::Report;
use std::net::SocketAddr;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// How a node introduces itself that holds nothing.
pub(crate) fn hello(node: &str) -> wire::Hello {
    wire::Hello {
        node_id: node.to_owned(),
        pop: "fra1".to_owned(),
        region: "eu".to_owned(),
        boot_epoch: 7,
        held: None,
        held_root: Vec::new(),
        account_sequence: 0,
        api_address: "127.0.0.1:8080".to_owned(),
        build: "test".to_owned(),
        gossip_address: String::new(),
        duty: None,
    }
}

/// A connected edge.
pub(crate) struct EdgeClient {
    discovery: DiscoveryClient<Channel>,
    telemetry: TelemetryClient<Channel>,
    health: HealthClient<Channel>,
}

/// Its discovery stream.
pub(crate) struct Line {
    words: mpsc::Sender<wire::EdgeMessage>,
    pushes: Streaming<shared::proto::pushed::ControlMessage>,
}

impl EdgeClient {
    pub(crate) async fn connect(address: SocketAddr, ca: &str, pair: Option<&Pair>) -> Self {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .domain_name(CONTROL_DNS_NAME);
        if let Some(pair) = pair {
            tls = tls.identity(Identity::from_pem(&pair.certificate, &pair.key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
        let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
        Self {
            discovery: DiscoveryClient::new(channel.clone()),
            telemetry: TelemetryClient::new(channel.clone()),
            health: HealthClient::new(channel),
        }
    }

    /// Follows the health of a service; the empty name is the server as a whole.
    pub(crate) async fn watch(&mut self, service: &str) -> Streaming<HealthCheckResponse> {
        let service = service.to_owned();
        let watched = self.health.watch(HealthCheckRequest { service }).await;
        watched.unwrap().into_inner()
    }

    pub(crate) async fn subscribe(&mut self, hello: wire::Hello) -> Line {
        let (words, outgoing) = mpsc::channel(16);
        let body = Some(Word::Hello(hello));
        words.send(wire::EdgeMessage { body }).await.unwrap();
        let accepted = self
            .discovery
            .subscribe(ReceiverStream::new(outgoing))
            .await;
        let pushes = accepted.unwrap().into_inner();
        Line { words, pushes }
    }

    pub(crate) async fn lookup(&mut self, key: KeyHash) -> wire::LookupKeyResponse {
        self.try_lookup(key).await.unwrap()
    }

    pub(crate) async fn try_lookup(
        &mut self,
        key: KeyHash,
    ) -> Result<wire::LookupKeyResponse, Status> {
        let key_hash = key.0.to_vec();
        let answer = self
            .discovery
            .lookup_key(wire::LookupKeyRequest {
                key_hash,
                seal_key: Vec::new(),
            })
            .await;
        answer.map(tonic::Response::into_inner)
    }

    pub(crate) async fn report(&mut self, reports: &[Report]) -> Vec<ReportAck> {
        self.try_report(reports).await.unwrap()
    }

    /// Sends reports on a stream of their own and waits for their acknowledgements.
    pub(crate) async fn try_report(
        &mut self,
        reports: &[Report],
    ) -> Result<Vec<ReportAck>, Status> {
        let messages: Vec<_> = reports.iter().map(Into::into).collect();
        let accepted = self.telemetry.report(tokio_stream::iter(messages)).await?;
        let mut acks = accepted.into_inner();
        let mut all = Vec::new();
        while let Some(ack) = acks.message().await? {
            all.push(ack);
        }
        Ok(all)
    }
}

impl Line {
    async fn next(&mut self) -> Result<Option<Push>, Status> {
        let push = tokio::time::timeout(PATIENCE, self.pushes.message()).await;
        let push = push.expect("a push within the patience of the tests")?;
        Ok(push.and_then(|push| push.body))
    }

    /// The next push of one kind; those of other kinds are skipped.
    async fn next_of<T>(&mut self, pick: impl Fn(Push) -> Option<T>) -> T {
        loop {
            let push = self.next().await.unwrap().expect("the stream goes on");
            if let Some(picked) = pick(push) {
                return picked;
            }
        }
    }

    pub(crate) async fn authority(&mut self) -> wire::AuthorityUpdate {
        let pick = |push| match push {
            Push::Authority(update) => Some(update),
            _ => None,
        };
        self.next_of(pick).await
    }

    pub(crate) async fn account(&mut self) -> wire::AccountUpdate {
        let pick = |push| match push {
            Push::Account(update) => Some(update),
            _ => None,
        };
        self.next_of(pick).await
    }

    pub(crate) async fn ranking(&mut self) -> wire::RankingUpdate {
        let pick = |push| match push {
            Push::Ranking(update) => Some(update),
            _ => None,
        };
        self.next_of(pick).await
    }

    pub(crate) async fn duty(&mut self) -> Duty {
        let pick = |push| match push {
            Push::Duty(duty) => Some(duty.into()),
            _ => None,
        };
        self.next_of(pick).await
    }

    /// Says that it does so now.
    pub(crate) async fn on_duty(&self, duty: Duty) {
        self.say(Word::Duty(duty.into())).await;
    }

    /// The status that the stream ends with.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            match self.next().await {
                Err(status) => return status,
                Ok(None) => return Status::ok(""),
                Ok(Some(_)) => {}
            }
        }
    }

    pub(crate) async fn ack(&self, version: Version) {
        let version = Some(version.into());
        self.say(Word::Ack(wire::Ack { version })).await;
    }

    pub(crate) async fn nack(&self, version: wire::Version, resource: &str, reason: &str) {
        let rejection = wire::Rejection {
            resource: resource.to_owned(),
            reason: reason.to_owned(),
        };
        let nack = wire::Nack {
            version: Some(version),
            rejections: vec![rejection],
        };
        self.say(Word::Nack(nack)).await;
    }

    async fn say(&self, word: Word) {
        let body = Some(word);
        self.words.send(wire::EdgeMessage { body }).await.unwrap();
    }
}
