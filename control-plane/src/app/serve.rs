//! The two listeners: gRPC over mTLS for edges and operators, HTTP for people and Prometheus.

use super::{Parts, StartError};
use crate::admin::{AdminService, Deps};
use crate::console_http::{Client, Limited};
use crate::ledger::service::LedgerService;
use crate::oidc::Oidc;
use crate::payment::WebhookSecret;
use crate::publish::{DiscoveryService, DiscoveryWire, Sources};
use crate::rates::Rates;
use crate::rest::Rest;
use crate::security::{AdminToken, Guard, ServerTls, incoming};
use crate::telemetry::TelemetryService;
use shared::proto::DESCRIPTORS;
use shared::proto::admin::admin_server::AdminServer;
use shared::proto::discovery::discovery_server::DiscoveryServer;
use shared::proto::ledger::ledger_server::LedgerServer;
use shared::proto::telemetry::telemetry_server::TelemetryServer;
use shared::task::{Stop, Tasks};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// How often an edge's connection is probed, and how long the answer may take: a dead one is
/// noticed within their sum.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_DEADLINE: Duration = Duration::from_secs(10);
/// The largest telemetry report that is read: 2,000 windows with two sketches each.
const REPORT_BYTES_MAX: usize = 16 << 20;
/// Connections to the console at one time; more wait to be accepted.
const CONSOLE_CONNECTIONS_MAX: usize = 256;
/// Streams that one connection may have open.
const STREAMS_MAX: u32 = 256;

/// Every name under which health answers; the empty one is the server as a whole.
const HEALTH_NAMES: [&str; 5] = [
    "",
    <DiscoveryServer<DiscoveryService> as NamedService>::NAME,
    <TelemetryServer<TelemetryService> as NamedService>::NAME,
    <LedgerServer<LedgerService> as NamedService>::NAME,
    <AdminServer<AdminService> as NamedService>::NAME,
];

/// What serves, and whether it still does.
pub(super) struct Serving {
    tasks: Tasks,
    ended: watch::Sender<bool>,
    /// Becomes true when the last gRPC stream has ended.
    drained: watch::Sender<bool>,
}

impl Serving {
    pub(super) fn new(tasks: &Tasks) -> Self {
        Self {
            tasks: tasks.clone(),
            ended: watch::Sender::new(false),
            drained: watch::Sender::new(false),
        }
    }

    /// Becomes true when a listener has ended.
    pub(super) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// Serves HTTP until the program stops and gRPC is drained: until then it tells that the
    /// program is draining.
    pub(super) fn console(&self, listener: TcpListener, router: axum::Router) {
        let mut stop = self.tasks.stop_signal();
        let mut drained = self.drained.subscribe();
        let ended = self.ended.clone();
        let listener = Limited::new(listener, CONSOLE_CONNECTIONS_MAX);
        let router = router.into_make_service_with_connect_info::<Client>();
        self.tasks.spawn("console", async move {
            let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
                stop.wait().await;
                // When nobody is left who could tell, there is nothing to wait for.
                let _ = drained.wait_for(|drained| *drained).await;
            });
            if let Err(error) = serving.await {
                tracing::error!(%error, "the console's listener ended");
            }
            ended.send_replace(true);
        });
    }

    /// Serves gRPC until the program stops.
    pub(super) async fn control(
        &self,
        listener: TcpListener,
        tls: ServerTls,
        token: &AdminToken,
        parts: &Parts,
    ) -> Result<(), StartError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        for name in HEALTH_NAMES {
            health
                .set_service_status(name, ServingStatus::Serving)
                .await;
        }
        let routes = routes(parts, token, &self.tasks)?.add_service(health_service);
        self.tasks
            .spawn("health", not_serving(health, self.tasks.stop_signal()));
        let server = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
            .http2_keepalive_timeout(Some(KEEPALIVE_DEADLINE))
            .max_concurrent_streams(STREAMS_MAX)
            .add_routes(routes);
        let connections = incoming(listener, tls, &self.tasks);
        let mut stop = self.tasks.stop_signal();
        let (ended, drained) = (self.ended.clone(), self.drained.clone());
        self.tasks.spawn("control", async move {
            let stopping = async move { stop.wait().await };
            let serving = server.serve_with_incoming_shutdown(connections, stopping);
            if let Err(error) = serving.await {
                tracing::error!(%error, "the control listener ended");
            }
            drained.send_replace(true);
            ended.send_replace(true);
        });
        Ok(())
    }
}

/// Every service behind its door.
fn routes(parts: &Parts, token: &AdminToken, tasks: &Tasks) -> Result<Routes, StartError> {
    let guard = Guard::new(Some(token));
    let guard = guard.map_err(|error| StartError::set_up("admin token", &error))?;
    let sources = Sources {
        registry: parts.registry.clone(),
        accounts: parts.accounts.clone(),
        ranker: parts.ranker.clone(),
        edges: parts.edges.clone(),
        duties: parts.duties.clone(),
        pop_keys: parts.pop_keys.clone(),
        rates: Arc::new(Rates::new(
            parts.clock.clone(),
            parts.edges.list().into_iter().map(|edge| edge.node),
        )),
        clock: parts.clock.clone(),
    };
    let discovery = DiscoveryWire::new(DiscoveryService::new(sources, tasks.clone()));
    let telemetry =
        TelemetryServer::new(TelemetryService::new(parts.ranker.clone(), tasks.clone()))
            .max_decoding_message_size(REPORT_BYTES_MAX);
    let ledger = LedgerService::new(
        parts.ledger.clone(),
        parts.accounts.clone(),
        parts.leadership.clone(),
    );
    let admin = AdminService::new(Deps {
        registry: parts.registry.clone(),
        accounts: parts.accounts.clone(),
        ledger: parts.ledger.clone(),
        ranker: parts.ranker.clone(),
        edges: parts.edges.clone(),
        duties: parts.duties.clone(),
        leadership: parts.leadership.clone(),
        stop: tasks.stop_signal(),
    });
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| StartError::set_up("reflection", &error))?;
    let mut routes = Routes::new(reflection)
        .add_service(InterceptedService::new(discovery, guard.edges()))
        .add_service(InterceptedService::new(telemetry, guard.edges()))
        .add_service(ledger.server(guard.edges()))
        .add_service(admin.server(guard.operators()));
    // Beside gRPC, on the same connections: what edges forward.
    let router = std::mem::take(routes.axum_router_mut());
    *routes.axum_router_mut() = router.merge(rest(parts, Outside::default()).for_edges());
    Ok(routes)
}

/// Others' services that the console's routes work with.
#[derive(Default)]
pub(super) struct Outside {
    pub(super) payments: Option<WebhookSecret>,
    pub(super) oidc: Option<Oidc>,
}

/// The management API of these parts.
pub(super) fn rest(parts: &Parts, outside: Outside) -> Rest {
    Rest {
        accounts: parts.accounts.clone(),
        ledger: parts.ledger.clone(),
        registry: parts.registry.clone(),
        leadership: parts.leadership.clone(),
        payments: outside.payments.map(Arc::new),
        oidc: outside.oidc.map(Arc::new),
        clock: parts.clock.clone(),
    }
}

/// Once the program stops, tells everybody who asks or watches that nothing is served any more.
/// Watches end with that: they would hold the drain to its deadline.
async fn not_serving(mut health: HealthReporter, mut stop: Stop) {
    stop.wait().await;
    for name in HEALTH_NAMES {
        let not = ServingStatus::NotServing;
        health.set_service_status(name, not).await;
        health.clear_service_status(name).await;
        health.set_service_status(name, not).await;
    }
}
