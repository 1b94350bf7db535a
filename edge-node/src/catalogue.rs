//! Everything that is not inference: the catalogue's listings from the node's view, and precise
//! answers for paths that are unknown, come later or want another method. The two long listings
//! are rendered once per table.

mod query;

use crate::client::Client;
use crate::failure::{ErrorType, Failure, Fault};
use crate::gateway::route::Route;
use crate::ingress::Surface;
use crate::node::Node;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use serde_json::{Value, json};
use shared::catalog::listing::{self, routers};
use shared::catalog::{Endpoint, Model};
use shared::id::Version;
use shared::ranking::{RankingRow, State};
use shared::routing::View;
use std::sync::Arc;

/// The long listings of the table in use.
#[derive(Default)]
pub struct Rendered {
    openrouter: ArcSwapOption<(Version, Bytes)>,
    openai: ArcSwapOption<(Version, Bytes)>,
}

/// Answers a route that is no inference.
///
/// # Errors
/// No such path, model or method; a filter that is not built; or the client has gone.
pub async fn answer(node: &Node, client: &mut Client<'_>, route: &Route) -> Result<(), Failure> {
    let view = node.view();
    client.decided_by(view.snapshot.version());
    let body = body(node, client, route, &view)?;
    client.answer(200, body).await
}

fn body(node: &Node, client: &Client<'_>, route: &Route, view: &View) -> Result<Bytes, Failure> {
    let snapshot = &view.snapshot;
    let head = client.exchange.head();
    let anthropic = head.headers.contains_key("anthropic-version");
    if let Some(told) = router(route) {
        return Ok(text(&told));
    }
    match route {
        Route::Models(Surface::OpenRouter) => {
            let query = head.uri.query().unwrap_or_default();
            let filter = query::filter(query, node.clock.unix_s())?;
            let measured = |endpoint: &Endpoint| measured(view, endpoint);
            let list = || listing::models(snapshot, &filter, &measured);
            if !filter.is_default() {
                return Ok(text(&list()));
            }
            Ok(rendered(&node.rendered.openrouter, view, list))
        }
        Route::Models(Surface::OpenAi) if anthropic => {
            Ok(text(&listing::anthropic_models(snapshot)))
        }
        Route::Models(Surface::OpenAi) => Ok(rendered(&node.rendered.openai, view, || {
            listing::openai_models(snapshot)
        })),
        Route::ModelCount => {
            let query = head.uri.query().unwrap_or_default();
            let filter = query::filter(query, node.clock.unix_s())?;
            Ok(text(&listing::count(snapshot, &filter)))
        }
        Route::Model(Surface::OpenRouter, id) => Ok(text(
            &json!({ "data": listing::model(snapshot, find(view, id)?) }),
        )),
        Route::Model(Surface::OpenAi, id) if anthropic => {
            Ok(text(&listing::anthropic_model(find(view, id)?)))
        }
        Route::Model(Surface::OpenAi, id) => Ok(text(&listing::openai_model(find(view, id)?))),
        Route::Endpoints(id) => {
            let known = |endpoint: &Endpoint| {
                let row = view.ranking.rows.get(&endpoint.id);
                (status(row), row)
            };
            Ok(text(&listing::model_endpoints(
                snapshot,
                find(view, id)?,
                &known,
            )))
        }
        Route::Providers => Ok(text(&listing::providers(snapshot))),
        Route::Later(what) => Err(later(what)),
        Route::Method(allowed) => Err(wrong_method(allowed)),
        Route::Infer(..) | Route::CountTokens(_) | Route::Manage | Route::Unknown => Err(unknown()),
    }
}

/// What is told of a model of the gateway's own.
fn router(route: &Route) -> Option<Value> {
    Some(match route {
        Route::Model(Surface::OpenRouter, id) => json!({ "data": routers::find(id)?.model() }),
        Route::Model(Surface::OpenAi, id) => routers::find(id)?.openai_model(),
        Route::Endpoints(id) => routers::find(id)?.endpoints(),
        _ => return None,
    })
}

fn text(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

/// The kept text, or a new one when the table has changed.
fn rendered(
    kept: &ArcSwapOption<(Version, Bytes)>,
    view: &View,
    render: impl FnOnce() -> Value,
) -> Bytes {
    let version = view.snapshot.version();
    if let Some(kept) = &*kept.load()
        && kept.0 == version
    {
        return kept.1.clone();
    }
    let fresh = text(&render());
    kept.store(Some(Arc::new((version, fresh.clone()))));
    fresh
}

fn find<'a>(view: &'a View, id: &str) -> Result<&'a Arc<Model>, Failure> {
    view.snapshot.model(id).ok_or_else(|| {
        let text = "no such model; GET /api/v1/models lists them";
        let kind = ErrorType::NotFound;
        let mut failure = Failure::new(Fault::Caller, 404, kind, "model_not_found", text);
        failure.availability = Some("model_not_found");
        failure
    })
}

/// Medians of throughput and latency, as the listing sorts by them.
fn measured(view: &View, endpoint: &Endpoint) -> (u32, u32) {
    let row = view.ranking.rows.get(&endpoint.id);
    row.map_or((0, 0), |row| (row.throughput_tenths.p50, row.ttft_ms.p50))
}

/// OpenRouter's status: 0 serves, -2 is left alone because it fails, -10 is out of service.
fn status(row: Option<&RankingRow>) -> i32 {
    match row.map(|row| row.state) {
        None | Some(State::Closed | State::Ramp) => 0,
        Some(State::Open | State::HalfOpen) => -2,
        Some(State::Draining | State::Disabled) => -10,
    }
}

fn unknown() -> Failure {
    let text = "no such path; the API is under /api/v1 and /v1";
    Failure::new(
        Fault::Caller,
        404,
        ErrorType::NotFound,
        "unknown_path",
        text,
    )
}

fn later(what: &str) -> Failure {
    let text = format!("{what}: not available in this version");
    Failure::new(
        Fault::Caller,
        501,
        ErrorType::Unmapped,
        "not_available",
        text,
    )
}

fn wrong_method(allowed: &str) -> Failure {
    let text = format!("this path takes {allowed}");
    Failure::new(
        Fault::Caller,
        405,
        ErrorType::InvalidRequest,
        "method",
        text,
    )
}
