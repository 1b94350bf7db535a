//! The control plane's HTTP: health, readiness, metrics. The console and the management REST come
//! to the same listener. Nothing here needs an identity and nothing here tells a secret.

mod limited;

pub use limited::{Client, Limited};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use shared::observe::Metrics;
use shared::task::Stop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the control plane serves. Cheap to clone.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Serves from now on, or not.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Clone)]
struct Console {
    readiness: Readiness,
    metrics: Metrics,
    stop: Stop,
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
    version: &'static str,
}

/// The routes.
pub fn router(readiness: Readiness, metrics: Metrics, stop: Stop) -> Router {
    let console = Console {
        readiness,
        metrics,
        stop,
    };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(console)
}

/// The process answers.
async fn healthz() -> Response {
    status(StatusCode::OK, "ok")
}

/// It leads, serves and is not stopping.
async fn readyz(State(console): State<Console>) -> Response {
    match (console.stop.requested(), console.readiness.get()) {
        (true, _) => status(StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, false) => status(StatusCode::SERVICE_UNAVAILABLE, "starting"),
        (false, true) => status(StatusCode::OK, "ok"),
    }
}

async fn render(State(console): State<Console>) -> Response {
    let format = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], console.metrics.render()).into_response()
}

fn status(code: StatusCode, status: &'static str) -> Response {
    let version = env!("CARGO_PKG_VERSION");
    (code, axum::Json(Status { status, version })).into_response()
}
