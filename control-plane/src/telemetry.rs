//! What edges report of endpoints, added up once each. A report that can't be understood ends its
//! stream with the reason; one that was merged before is acknowledged again.

use crate::metrics;
use crate::ranker::Ranker;
use crate::security::guard;
use shared::id::NodeId;
use shared::proto::telemetry as wire;
use shared::proto::telemetry::telemetry_server::Telemetry;
use shared::task::{Stop, Tasks};
use shared::window::Report;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Acknowledgements that wait for an edge's connection; then its reports wait, too.
const ACKS_MAX: usize = 16;

/// `godwit.telemetry.v1.Telemetry`.
pub struct TelemetryService {
    ranker: Arc<Ranker>,
    tasks: Tasks,
}

impl TelemetryService {
    /// A service that adds to what `ranker` knows; each edge's stream is one of `tasks`.
    #[must_use]
    pub const fn new(ranker: Arc<Ranker>, tasks: Tasks) -> Self {
        Self { ranker, tasks }
    }
}

#[tonic::async_trait]
impl Telemetry for TelemetryService {
    type ReportStream = ReceiverStream<Result<wire::ReportAck, Status>>;

    async fn report(
        &self,
        request: Request<Streaming<wire::WindowReport>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let node = guard::node_of(&request)?;
        let inbound = request.into_inner();
        let (acks, stream) = mpsc::channel(ACKS_MAX);
        let line = Line {
            node,
            ranker: Arc::clone(&self.ranker),
            acks,
        };
        let stop = self.tasks.stop_signal();
        self.tasks
            .spawn("telemetry stream", line.run(inbound, stop));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// One edge's stream.
struct Line {
    node: NodeId,
    ranker: Arc<Ranker>,
    acks: mpsc::Sender<Result<wire::ReportAck, Status>>,
}

impl Line {
    async fn run(self, mut inbound: Streaming<wire::WindowReport>, mut stop: Stop) {
        loop {
            let message = tokio::select! {
                () = stop.wait() => return,
                () = self.acks.closed() => return,
                message = inbound.message() => message,
            };
            let Ok(Some(report)) = message else {
                return;
            };
            let answer = self.merge(report).await;
            let ends = answer.is_err();
            if self.acks.send(answer).await.is_err() || ends {
                return;
            }
        }
    }

    async fn merge(&self, report: wire::WindowReport) -> Result<wire::ReportAck, Status> {
        guard::must_be_own(&self.node, &report.node_id)?;
        let report = Report::try_from(report).map_err(|error| {
            metrics::report("refused");
            tracing::warn!(node = %self.node, %error, "a report is refused");
            Status::invalid_argument(error.to_string())
        })?;
        self.ranker.merge(&report).await;
        Ok(wire::ReportAck {
            boot_epoch: report.epoch.0,
            sequence: report.sequence,
        })
    }
}
