//! The edge's own HTTP interface for operators: health, readiness, metrics, and what this node
//! would do with a request, without sending it. Reads only; secrets are in nothing that it shows.

use crate::exchange::{BodyError, Exchange, Framing};
use crate::failure::Failure;
use crate::gateway::explain::plan_json;
use crate::gateway::router;
use crate::ingress::{self, Api, Surface};
use crate::listen::Handler;
use crate::metrics;
use crate::node::Node;
use ::metrics::gauge;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::json;
use shared::key::KeyHash;
use shared::observe::Metrics;
use shared::policy::{KeyKind, KeyPolicy, Principal};
use shared::ranking::{Mode, State};
use shared::routing::Record;
use shared::task::Stop;
use std::sync::Arc;

/// Carries a decision to `/debug/plan`, to be made again.
pub const REPLAY_HEADER: &str = "x-godwit-replay";
/// The largest body that `/debug/plan` reads.
const BODY_MAX: usize = 32 << 20;
/// The most endpoints that `/debug/view` tells of.
const ROWS_SHOWN_MAX: usize = 1000;

/// Answers operators.
pub struct AdminHandler {
    /// The node that it tells of.
    pub node: Arc<Node>,
    /// The process's metrics.
    pub metrics: Metrics,
    /// Draining once requested.
    pub stop: Stop,
}

struct Page {
    status: u16,
    content_type: &'static str,
    body: Bytes,
}

impl Page {
    fn json(status: u16, value: &serde_json::Value) -> Self {
        let body = Bytes::from(format!("{value:#}\n"));
        Self {
            status,
            content_type: "application/json",
            body,
        }
    }
}

#[async_trait]
impl Handler for AdminHandler {
    async fn serve(&self, exchange: &mut dyn Exchange) {
        let method = exchange.head().method.clone();
        let path = exchange.head().uri.path().to_owned();
        let page = match (&method, path.as_str()) {
            (&Method::GET | &Method::HEAD, "/healthz") => Page::json(200, &json!({ "ok": true })),
            (&Method::GET | &Method::HEAD, "/readyz") => self.ready(),
            (&Method::GET, "/metrics") => self.scrape(),
            (&Method::GET, "/debug/view") => self.view(),
            (&Method::GET, "/debug/holds") => Page::json(200, &self.node.accounts.shown()),
            (&Method::POST, "/debug/plan") => match self.plan(exchange).await {
                Ok(page) => page,
                Err(failure) => Page::json(failure.status, &failure.body()),
            },
            _ => Page::json(
                404,
                &json!({ "error": { "code": 404, "message": "no such page" } }),
            ),
        };
        let headers = [(
            header::CONTENT_TYPE,
            HeaderValue::from_static(page.content_type),
        )];
        let framing = Framing::Length(page.body.len());
        if exchange
            .send_head(page.status, &headers, framing)
            .await
            .is_ok()
        {
            let body = if method == Method::HEAD {
                Bytes::new()
            } else {
                page.body
            };
            if exchange.send(body).await.is_ok() {
                let _ = exchange.end().await;
            }
        }
    }
}

impl AdminHandler {
    fn ready(&self) -> Page {
        let view = self.node.view();
        let missing = if self.stop.requested() {
            Some("draining")
        } else if self.node.standing.is_draining() {
            Some("draining: an operator has taken this edge out of service")
        } else if view.snapshot.models().is_empty() {
            Some("no catalogue yet")
        } else {
            None
        };
        match missing {
            Some(why) => Page::json(503, &json!({ "ready": false, "reason": why })),
            None => Page::json(200, &json!({ "ready": true })),
        }
    }

    fn scrape(&self) -> Page {
        let view = self.node.view();
        #[expect(clippy::cast_precision_loss, reason = "a gauge needs no exact digits")]
        {
            gauge!(metrics::TABLE_VERSION).set(view.snapshot.version().number as f64);
            let generated = view.ranking.generated_unix_ms;
            if generated > 0 {
                let age = self.node.clock.unix_ms().saturating_sub(generated);
                gauge!(metrics::TABLE_AGE).set(age as f64 / 1e3);
            }
            gauge!(metrics::OUTBOX).set(self.node.accounts.outbox_records() as f64);
        }
        let draining = u8::from(self.node.standing.is_draining());
        gauge!(metrics::DRAINING).set(f64::from(draining));
        gauge!(metrics::LEASE_AVAILABLE).set(self.node.accounts.available().to_usd_lossy());
        for (endpoint, row) in &view.ranking.rows {
            for state in State::ALL {
                let (name, now) = (
                    endpoint.to_string(),
                    f64::from(u8::from(*state == row.state)),
                );
                let state = state.as_str();
                gauge!(metrics::ENDPOINT_STATE, "endpoint" => name, "state" => state).set(now);
            }
        }
        Page {
            status: 200,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body: self.metrics.render().into(),
        }
    }

    /// Which table is in use, and what it says of endpoints that the fleet has evidence of.
    fn view(&self) -> Page {
        let view = self.node.view();
        let snapshot = &view.snapshot;
        let ranked: serde_json::Map<String, serde_json::Value> = view
            .ranking
            .rows
            .iter()
            .take(ROWS_SHOWN_MAX)
            .map(|(endpoint, row)| {
                let share = row.share_of(Mode::Balanced);
                let row = json!({ "state": row.state.as_str(), "share": share });
                (endpoint.to_string(), row)
            })
            .collect();
        Page::json(
            200,
            &json!({
                "node": self.node.identity.node.as_str(),
                "catalogue_version": snapshot.version().to_string(),
                "providers": snapshot.providers().len(),
                "models": snapshot.models().len(),
                "endpoints": snapshot.endpoints().len(),
                "ranking_version": view.ranking.version.to_string(),
                "ranked": ranked,
            }),
        )
    }

    /// The plan for a chat request, as `x-godwit-explain` would tell it. Nothing is sent, nothing
    /// is charged; without a key of its own it plans for a key without restrictions. With a
    /// [`REPLAY_HEADER`] it makes an earlier decision again, from the tables that are in use.
    async fn plan(&self, exchange: &mut dyn Exchange) -> Result<Page, Failure> {
        let headers = exchange.head().headers.clone();
        let body = read(exchange).await?;
        let mut call = ingress::parse(Api::Chat, Surface::OpenRouter, &headers, body)?;
        let with_key = headers.contains_key(header::AUTHORIZATION);
        let principal = if with_key {
            self.node.keys.authenticate(&headers).await?
        } else {
            Arc::new(unrestricted())
        };
        let view = self.node.view();
        let record = replayed(&headers)?;
        let seed = match &record {
            Some(record) => record.seed,
            None => self.node.next_request().1,
        };
        let chosen = router::resolve(&self.node, &view, &principal, &mut call, seed)?;
        router::estimate(&self.node, &view, &mut call);
        let plan = match record {
            Some(record) if !record.is_of(&view) => {
                let text = "the decision was made from other tables than those in use";
                return Err(Failure::invalid(REPLAY_HEADER, text));
            }
            Some(record) => self.node.replay(&view, &principal, &call.demand, &record),
            None => self.node.plan(&view, &principal, &call.demand, seed),
        };
        let plan = plan.map_err(|refusal| crate::gateway::no_plan(&refusal, &call.demand))?;
        let mut told = plan_json(&plan, &call.demand);
        if let (Some(chosen), Some(object)) = (chosen, told.as_object_mut()) {
            object.insert("router".into(), chosen.explain());
        }
        Ok(Page::json(200, &told))
    }
}

/// The decision that is to be made again: the `replay` member of its explanation.
fn replayed(headers: &HeaderMap) -> Result<Option<Record>, Failure> {
    let Some(value) = headers.get(REPLAY_HEADER) else {
        return Ok(None);
    };
    let value = serde_json::from_slice(value.as_bytes()).ok();
    let record = value.as_ref().and_then(Record::from_json);
    let record = record.ok_or_else(|| Failure::invalid(REPLAY_HEADER, "this is no decision"))?;
    Ok(Some(record))
}

async fn read(exchange: &mut dyn Exchange) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    loop {
        match exchange.body().await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => return Ok(body.freeze()),
            Err(BodyError::Gone) => return Err(Failure::client_gone()),
            Err(BodyError::Framing) => return Err(Failure::invalid("", "malformed HTTP request")),
        }
        if body.len() > BODY_MAX {
            return Err(Failure::invalid("", "the body is too large"));
        }
    }
}

fn unrestricted() -> Principal {
    Principal {
        org: "debug".into(),
        key: KeyHash([0; 32]),
        key_name: "debug".to_owned(),
        kind: KeyKind::Inference,
        expires_at: None,
        policy: KeyPolicy::default(),
    }
}
