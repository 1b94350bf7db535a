//! Tells the control plane what this node saw of endpoints: a report each interval and at once on
//! a change of state. Reports are numbered, so that each is merged exactly once however often it
//! is sent; while nobody listens, windows are merged here, within [`shared::window::CELLS_MAX`],
//! and forgotten when they have grown old.

use crate::control::{ControlClient, Link};
use crate::node::Identity;
use crate::timers::Timers;
use shared::clock::{Clock, Moment};
use shared::health::StateChange;
use shared::id::{BootEpoch, EndpointId};
use shared::proto::telemetry as wire;
use shared::proto::telemetry::telemetry_client::TelemetryClient;
use shared::task::{Stop, lock};
use shared::window::{Observation, Outbox, Sign, UNACKED_MAX, Windows};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;

/// Takes notes; cheap, on the request path.
#[derive(Default)]
pub struct Reporter {
    windows: Mutex<Windows>,
    alarm: AtomicBool,
    wake: Notify,
}

impl Reporter {
    /// Notes one attempt. What changed here by it is told at once.
    pub fn record(
        &self,
        endpoint: &EndpointId,
        observation: &Observation,
        change: Option<StateChange>,
    ) {
        lock(&self.windows).record(endpoint, observation);
        self.changed(endpoint, change);
    }

    /// Notes a sign of an attempt that goes on. What changed here by it is told at once.
    pub fn note(&self, endpoint: &EndpointId, sign: &Sign, change: Option<StateChange>) {
        lock(&self.windows).note(endpoint, sign);
        self.changed(endpoint, change);
    }

    fn changed(&self, endpoint: &EndpointId, change: Option<StateChange>) {
        let Some(change) = change else {
            return;
        };
        if matches!(change, StateChange::Paused(_)) {
            lock(&self.windows).opened(endpoint);
        }
        self.alarm.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }
}

/// Sends what a [`Reporter`] noted.
pub struct Sender {
    reporter: Arc<Reporter>,
    control: Arc<ControlClient>,
    outbox: Outbox,
    timers: Timers,
    clock: Clock,
}

impl Sender {
    /// A sender of this run's reports, from number 1.
    #[must_use]
    pub fn new(
        reporter: Arc<Reporter>,
        control: Arc<ControlClient>,
        identity: Identity,
        timers: Timers,
        clock: Clock,
    ) -> Self {
        let Identity {
            node,
            pop,
            region,
            epoch,
        } = identity;
        Self {
            reporter,
            control,
            outbox: Outbox::new(node, pop, region, epoch),
            timers,
            clock,
        }
    }

    /// Reports until the program stops.
    pub async fn run(mut self, mut stop: Stop) {
        let mut backoff = self.control.backoff();
        while !stop.requested() {
            let link = self.control.link();
            let begun = self.clock.now();
            if let Err(status) = self.follow(&link, &mut stop).await {
                tracing::debug!(%status, "telemetry stream ended");
            }
            if stop.requested() {
                return;
            }
            self.control.failed(&link);
            if self.clock.now().since(begun) >= self.timers.stream_settled {
                backoff.reset();
            }
            if !backoff.pause(&mut stop).await {
                return;
            }
        }
    }

    /// One stream: first what was not acknowledged, then a report each interval.
    async fn follow(&mut self, link: &Link, stop: &mut Stop) -> Result<(), tonic::Status> {
        let (reports, outgoing) = mpsc::channel::<wire::WindowReport>(UNACKED_MAX + 1);
        self.forget_stale();
        for report in self.outbox.unacked() {
            if reports.try_send(report.into()).is_err() {
                break;
            }
        }
        let mut client = TelemetryClient::new(link.channel.clone());
        let mut acks = client
            .report(ReceiverStream::new(outgoing))
            .await?
            .into_inner();
        let mut last = self.clock.now();
        loop {
            let due = self.pause(last);
            tokio::select! {
                ack = acks.message() => match ack? {
                    Some(ack) => self.acknowledged(&ack),
                    None => return Ok(()),
                },
                () = self.reporter.wake.notified() => {
                    // Alarms come in groups: a short wait makes one report of them.
                    let since = self.clock.now().since(last);
                    tokio::time::sleep(self.timers.report_alarm_gap.saturating_sub(since)).await;
                    last = self.clock.now();
                    self.send(&reports).await;
                }
                () = tokio::time::sleep(due) => {
                    last = self.clock.now();
                    self.send(&reports).await;
                }
                () = stop.wait() => {
                    self.send(&reports).await;
                    return Ok(());
                }
            }
        }
    }

    /// Until the next report, +-10 %: a fleet must not report in step.
    fn pause(&self, last: Moment) -> Duration {
        let interval = self.timers.report.mul_f64(0.9 + 0.2 * fastrand::f64());
        interval.saturating_sub(self.clock.now().since(last))
    }

    async fn send(&mut self, reports: &mpsc::Sender<wire::WindowReport>) {
        if self.outbox.is_full() {
            return;
        }
        let alarming = self.reporter.alarm.swap(false, Ordering::SeqCst);
        let windows = lock(&self.reporter.windows).take();
        let Some(report) = self.outbox.report(windows, alarming, self.clock.now()) else {
            return;
        };
        let message = report.into();
        // A stream that has ended is noticed by the loop; the report stays unacknowledged.
        let _ = reports.send(message).await;
    }

    fn acknowledged(&mut self, ack: &wire::ReportAck) {
        let epoch = BootEpoch(ack.boot_epoch);
        self.outbox.acknowledged(epoch, ack.sequence);
    }

    /// Old evidence would be taken for new.
    fn forget_stale(&mut self) {
        let stale = self.timers.report_stale;
        if self.outbox.forget_stale(stale, self.clock.now()) {
            drop(lock(&self.reporter.windows).take());
        }
    }
}
