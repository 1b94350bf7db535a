//! Counts the tokens of a Messages request: asked of an endpoint that can count, else estimated.
//! Costs nothing and feeds no health; the plan only tells whom to ask.

use crate::admission::body;
use crate::client::Client;
use crate::credential::Unsigned;
use crate::dialect::{self, Target};
use crate::failure::{Failure, Fault};
use crate::gateway::explain::Story;
use crate::gateway::{refuse, router};
use crate::ingress::{self, Api, Call, Surface};
use crate::node::Node;
use crate::upstream::Request;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::json;
use shared::routing::{Candidate, Refusal};
use std::time::Duration;

/// How many endpoints are asked.
const ASKED_MAX: usize = 2;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer.
const ANSWER_MAX: usize = 16 << 10;

/// Answers the request.
///
/// # Errors
/// It is wrong, may not be made, or the client has gone.
pub(super) async fn serve(
    node: &Node,
    client: &mut Client<'_>,
    surface: Surface,
    story: &mut Story,
) -> Result<(), Failure> {
    let view = node.view();
    client.decided_by(view.snapshot.version());
    refuse::no_table(&view)?;
    let principal = node
        .keys
        .authenticate(&client.exchange.head().headers)
        .await?;
    let mut ticket = node.admission.admit(&principal)?;
    story.waiting(node.rates.key(&principal)).await?;
    let body = story
        .waiting(body::read(client.exchange, &mut ticket))
        .await?;
    let headers = &client.exchange.head().headers;
    let mut call = ingress::parse(Api::Messages, surface, headers, body)?;
    super::screened(node, headers, &principal, &mut call).await?;
    story.asked(&call);
    let chosen = router::resolve(node, &view, &principal, &mut call, story.seed)?;
    client.routed_as(chosen.as_ref());
    router::estimate(node, &view, &mut call);
    let candidates = match node.plan(&view, &principal, &call.demand, story.seed) {
        Ok(plan) => plan.candidates,
        Err(refusal @ (Refusal::ModelNotFound { .. } | Refusal::WrongOutput { .. })) => {
            return Err(refuse::no_plan(&refusal, &call.demand));
        }
        // It may be counted all the same.
        Err(Refusal::NoEndpoints { .. }) => Vec::new(),
    };
    let answer = client.wait_for(count(node, &call, &candidates)).await?;
    client.answer(200, answer).await
}

/// The first good answer, else an estimate.
async fn count(node: &Node, call: &Call, candidates: &[Candidate]) -> Result<Bytes, Failure> {
    let mut asked = 0;
    for candidate in candidates {
        if asked == ASKED_MAX {
            break;
        }
        // An own account may have to get a token first.
        let request = tokio::time::timeout(PATIENCE, request(node, call, candidate));
        let Ok(Some(request)) = request.await else {
            continue;
        };
        asked += 1;
        match tokio::time::timeout(PATIENCE, ask(node, candidate, &request)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) if failure.fault == Fault::Caller => return Err(failure),
            Ok(Err(failure)) => {
                let endpoint = &candidate.endpoint.id;
                tracing::info!(%endpoint, reason = failure.reason, "not counted");
            }
            Err(_) => tracing::info!(endpoint = %candidate.endpoint.id, "not counted in time"),
        }
    }
    let estimate = json!({ "input_tokens": call.demand.prompt_tokens, "estimated": true });
    Ok(Bytes::from(estimate.to_string()))
}

async fn request(node: &Node, call: &Call, candidate: &Candidate) -> Option<Request> {
    let target = Target {
        endpoint: &candidate.endpoint,
        provider: &candidate.provider,
        generation: &"".into(),
        created: 0,
        max_tokens_clamp: None,
    };
    let dialect::Count {
        path,
        mut headers,
        body,
    } = dialect::count(call, &target)?;
    let unsigned = Unsigned {
        path: &path,
        headers: &headers,
        body: &body,
    };
    let authorized = node.authorize(candidate, &unsigned).await.ok()?;
    headers.extend(authorized.headers);
    Some(Request {
        base_url: authorized.base_url,
        path,
        headers,
        body,
        connect_timeout: candidate.provider.timeouts.connect,
        head_timeout: PATIENCE,
    })
}

async fn ask(node: &Node, candidate: &Candidate, request: &Request) -> Result<Bytes, Failure> {
    let broke = || Failure::provider(502, "reset", "the provider closed the connection");
    let sent = node.upstream.send(request).await;
    let mut answer = sent.map_err(|_| broke())?;
    let mut text = Vec::new();
    while let Some(chunk) = answer.body.chunk().await.map_err(|_| broke())? {
        text.extend_from_slice(&chunk);
        if text.len() > ANSWER_MAX {
            return Err(broke());
        }
    }
    answer.body.release().await;
    let provider = &candidate.provider;
    let (status, headers): (u16, &HeaderMap) = (answer.status, &answer.headers);
    let counted: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
    let counted = counted.and_then(|value| value.get("input_tokens")?.as_u64());
    if status == 200 && counted.is_some() {
        return Ok(text.into());
    }
    Err(dialect::classify(provider, status, headers, &text))
}
