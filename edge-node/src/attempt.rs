//! Walks the plan until a first content byte is owed to the client. Failover lives here and
//! nowhere else: a failure is classified once, counted once, and either ends the request or moves
//! it, whole, to the next candidate. Writes nothing to the client.

pub mod deadline;
mod verdict;

use crate::credential::Unsigned;
use crate::dialect::{self, Outgoing, Target, Translator};
use crate::failure::{FailedAttempt, Failure, Fault, Retry};
use crate::ingress::Call;
use crate::metrics;
use crate::node::Node;
use crate::upstream::{Answer, Body, Request};
use ::metrics::counter;
use bytes::BytesMut;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use shared::id::GenerationId;
use shared::routing::{Candidate, Plan, View};
use shared::window::Observation;
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// Endpoints that one request may try.
pub const ATTEMPTS_MAX: usize = 8;
/// Attempts that may run at the same time: one, and one more when it stays silent.
pub const PARALLEL_MAX: usize = 2;
/// The longest error body that is read from a provider.
pub const ERROR_BODY_MAX: usize = 64 << 10;
/// Bytes that may be held back before the first content; a provider that sends more is broken.
pub const HELD_BACK_MAX: usize = 1 << 20;

/// What the attempts of one request share.
pub struct Job<'a> {
    /// The node.
    pub node: &'a Node,
    /// What the client asked for.
    pub call: &'a Call,
    /// What the request was planned with.
    pub view: &'a View,
    /// The request's id.
    pub generation: &'a GenerationId,
    /// Seconds since 1970, for `created`.
    pub created: u64,
    /// What the hold allows each candidate to answer at most; none is the client's own bound.
    pub clamp: &'a (dyn Fn(&Candidate) -> Option<u64> + Sync),
}

/// An endpoint's answer, up to the first content that is owed to the client.
pub struct Reply {
    /// Who answers.
    pub candidate: Candidate,
    /// Turns the rest of the body into the client's bytes.
    pub translator: Box<dyn Translator>,
    /// The rest of the body.
    pub body: Box<dyn Body>,
    /// Client bytes that are due now.
    pub pending: BytesMut,
    /// True when the upstream body has ended.
    pub ended: bool,
    /// When the request to this endpoint was begun.
    pub begun: Instant,
    /// From then to the first content.
    pub ttft: Duration,
    /// The attempts before, oldest first.
    pub failed: Vec<FailedAttempt>,
    /// True when this was the first endpoint tried.
    pub first: bool,
}

/// Tries the plan's candidates in order.
///
/// # Errors
/// The caller's own failure at once; else, when no candidate is left, what the last one said, with
/// the attempts made.
pub async fn run(job: &Job<'_>, plan: &Plan) -> Result<Reply, Failure> {
    let mut waiting = plan.candidates.iter().take(ATTEMPTS_MAX).enumerate();
    let mut running = FuturesUnordered::new();
    let mut failed: Vec<FailedAttempt> = Vec::new();
    let mut last: Option<Failure> = None;
    loop {
        if running.is_empty() {
            let Some((place, candidate)) = waiting.next() else {
                return Err(exhausted(last, failed));
            };
            running.push(one(job, candidate, place == 0));
        }
        let next = tokio::select! {
            next = running.next() => next,
            () = job.patience(plan), if running.len() < PARALLEL_MAX && waiting.len() > 0 => {
                // A stream fails at its own first-token deadline; a whole answer may rightly take
                // longer, so silence costs it a competitor, not its life.
                if let Some((_, candidate)) = waiting.next() {
                    counter!(metrics::FAILOVERS, "reason" => "silence").increment(1);
                    running.push(one(job, candidate, false));
                }
                continue;
            }
        };
        match next {
            Some(Ok(mut reply)) => {
                reply.failed = failed;
                return Ok(reply);
            }
            Some(Err((candidate, failure))) => {
                if failure.retry == Retry::Never {
                    return Err(Failure {
                        attempts: failed,
                        ..failure
                    });
                }
                counter!(metrics::FAILOVERS, "reason" => failure.reason).increment(1);
                failed.push(FailedAttempt {
                    provider: candidate.provider.name.clone(),
                    status: failure.status,
                    code: failure
                        .provider_code
                        .clone()
                        .unwrap_or_else(|| failure.reason.into()),
                });
                last = Some(failure);
            }
            None => {}
        }
    }
}

impl Job<'_> {
    /// How long a whole answer may stay silent before it gets a competitor.
    async fn patience(&self, plan: &Plan) {
        if self.call.stream {
            return std::future::pending().await;
        }
        let first = plan
            .candidates
            .iter()
            .map(|c| c.provider.timeouts.first_token)
            .min();
        tokio::time::sleep(first.unwrap_or(Duration::from_secs(30))).await;
    }
}

/// Why the request as a whole failed, from what its last attempt said.
fn exhausted(last: Option<Failure>, failed: Vec<FailedAttempt>) -> Failure {
    let Some(mut failure) = last else {
        return Failure::provider(
            503,
            "no_candidate",
            "no endpoint of the model could be tried",
        )
        .with_retry_after(Duration::from_secs(1));
    };
    if !failed.is_empty() && failed.iter().all(|attempt| attempt.status == 429) {
        failure.status = 429;
        failure.availability = Some("capacity_exhausted");
    } else if failure.fault == Fault::ProviderKey {
        // Our key's trouble is not the client's: never let a provider's 401 look like its own.
        failure.status = 502;
        failure.error_type = crate::failure::ErrorType::ProviderUnavailable;
    }
    if let Retry::SameAfter(after) = failure.retry {
        failure.retry_after = failure.retry_after.or(Some(after));
    }
    failure.attempts = failed;
    failure
}

type Failed<'a> = (&'a Candidate, Failure);

/// One candidate, from connecting to the first content; counts how it ended.
async fn one<'a>(
    job: &Job<'_>,
    candidate: &'a Candidate,
    first: bool,
) -> Result<Reply, Failed<'a>> {
    let begun = Instant::now();
    let mut silent = verdict::SilentUnlessHeard::new(job.node, candidate);
    let result = Box::pin(converse(job, candidate, begun)).await;
    silent.heard();
    match result {
        Ok(mut reply) => {
            reply.first = first;
            let meters = job.node.meters_of(&candidate.endpoint);
            meters.ttft.record(reply.ttft.as_secs_f64());
            Ok(reply)
        }
        Err(failure) => {
            let provider = candidate.provider.slug.as_str().to_owned();
            counter!(metrics::ATTEMPTS, "provider" => provider, "outcome" => failure.reason)
                .increment(1);
            tracing::info!(
                endpoint = %candidate.endpoint.id,
                reason = failure.reason,
                status = failure.status,
                "attempt failed: {}", failure.message
            );
            let outcome = verdict::outcome(&failure);
            let observation = Observation {
                first_attempt: first,
                ..Observation::of(outcome)
            };
            job.node.observe(&candidate.endpoint.id, &observation);
            Err((candidate, failure))
        }
    }
}

async fn converse(job: &Job<'_>, candidate: &Candidate, begun: Instant) -> Result<Reply, Failure> {
    let Candidate {
        endpoint, provider, ..
    } = candidate;
    let target = Target {
        endpoint,
        provider,
        generation: job.generation,
        created: job.created,
        max_tokens_clamp: (job.clamp)(candidate),
    };
    let outgoing = dialect::prepare(job.call, &target)?;
    let patience = if job.call.stream {
        provider.timeouts.first_token
    } else {
        provider.timeouts.total
    };
    let (request, translator) = job.request(candidate, outgoing, patience);
    let answer = job.node.upstream.send(&request).await.map_err(|error| {
        tracing::debug!(endpoint = %endpoint.id, %error, "upstream leg failed");
        verdict::leg(&error)
    })?;
    let left = patience.saturating_sub(begun.elapsed());
    let first = tokio::time::timeout(left, first_content(job, candidate, answer, translator));
    let mut reply = first
        .await
        .unwrap_or_else(|_| Err(verdict::first_token_timeout(patience)))?;
    reply.begun = begun;
    reply.ttft = begun.elapsed();
    Ok(reply)
}

impl Job<'_> {
    fn request(
        &self,
        candidate: &Candidate,
        outgoing: Outgoing,
        patience: Duration,
    ) -> (Request, Box<dyn Translator>) {
        let Outgoing {
            path,
            mut headers,
            body,
            translator,
        } = outgoing;
        let credentials = &self.node.credentials;
        let unsigned = Unsigned {
            path: &path,
            headers: &headers,
            body: &body,
        };
        let signed = credentials.headers(&candidate.provider, &unsigned);
        headers.extend(signed);
        // The provider's logs and our usage records can then be matched.
        if let Ok(id) = http::HeaderValue::from_str(self.generation.as_str()) {
            headers.push((http::HeaderName::from_static("x-client-request-id"), id));
        }
        let timeouts = &candidate.provider.timeouts;
        let request = Request {
            base_url: credentials
                .base_url(&candidate.provider)
                .map_or_else(|| candidate.provider.base_url.clone(), Cow::into_owned),
            path,
            headers,
            body,
            connect_timeout: timeouts.connect,
            head_timeout: patience,
        };
        (request, translator)
    }
}

/// Reads until the first content is there. What comes before it is held back.
async fn first_content(
    job: &Job<'_>,
    candidate: &Candidate,
    answer: Answer,
    mut translator: Box<dyn Translator>,
) -> Result<Reply, Failure> {
    let Answer {
        status,
        headers,
        mut body,
    } = answer;
    if status != 200 {
        let text = error_body(&mut *body).await;
        return Err(dialect::classify(
            &candidate.provider,
            status,
            &headers,
            &text,
        ));
    }
    if job.call.stream
        && let Some(failure) = verdict::content_type(&headers)
    {
        // An error that came as JSON where events were asked for says more than its type does.
        let text = error_body(&mut *body).await;
        return Err(
            verdict::error_in_place_of_events(&candidate.provider, &headers, &text)
                .unwrap_or(failure),
        );
    }
    let mut pending = BytesMut::new();
    let mut ended = false;
    while !translator.progress().owed {
        match body.chunk().await.map_err(|error| verdict::leg(&error))? {
            Some(chunk) => translator.feed(&chunk, &mut pending)?,
            None => {
                ended = true;
                translator.end(&mut pending)?;
                if !translator.progress().owed {
                    return Err(verdict::empty());
                }
            }
        }
        if pending.len() > HELD_BACK_MAX && !translator.progress().owed {
            metrics::shed("held_back");
            return Err(verdict::empty());
        }
    }
    Ok(Reply {
        candidate: candidate.clone(),
        translator,
        body,
        pending,
        ended,
        begun: Instant::now(),
        ttft: Duration::ZERO,
        failed: Vec::new(),
        first: false,
    })
}

/// An error answer's body, as much of it as may be read.
async fn error_body(body: &mut dyn Body) -> Vec<u8> {
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = body.chunk().await {
        text.extend_from_slice(&chunk);
        if text.len() >= ERROR_BODY_MAX {
            text.truncate(ERROR_BODY_MAX);
            break;
        }
    }
    text
}
