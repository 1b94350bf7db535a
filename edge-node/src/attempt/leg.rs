//! One attempt at one endpoint, and what is learned from it: that it left, that it stayed silent,
//! that it answered or how it failed. Each is noted once, on the board at once and in the next
//! report.

use super::first::{self, First};
use super::{Job, Reply, verdict};
use crate::failure::{Failure, Fault};
use crate::metrics;
use crate::node::Departed;
use ::metrics::counter;
use shared::catalog::Quirk;
use shared::record::Tried;
use shared::routing::{Candidate, Patience};
use shared::task::lock;
use shared::window::{Observation, Outcome};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// An attempt that may begin.
pub(super) struct Leg {
    /// Whom to ask.
    pub(super) candidate: Candidate,
    /// For how long.
    pub(super) patience: Patience,
    /// It is its request's first.
    pub(super) first: bool,
}

/// Who failed, and how.
pub(super) struct Failed {
    pub(super) candidate: Candidate,
    pub(super) failure: Failure,
    /// What it had said until then.
    pub(super) remains: Option<Box<Reply>>,
    /// The request can't be said to it, so nothing was sent.
    pub(super) unasked: bool,
    /// Something has left for it, or would have, had it been there.
    pub(super) sent: bool,
}

/// From connecting to the first content.
pub(super) async fn run(job: &Job<'_>, leg: Leg) -> Result<Reply, Failed> {
    let Leg {
        candidate,
        patience,
        first,
    } = leg;
    let begun = Instant::now();
    let outgoing = match first::outgoing(job, &candidate) {
        Ok(outgoing) => outgoing,
        Err(failure) => {
            log(&candidate, &failure);
            return Err(Failed {
                candidate,
                failure,
                remains: None,
                unasked: true,
                sent: false,
            });
        }
    };
    let _billed_on = BilledOn::new(job, &candidate);
    let place = note_asked(job, &candidate);
    let departed = job.node.depart(&candidate, first);
    let deadline = (begun, patience.deadline);
    let content = Box::pin(first::content(job, &candidate, outgoing, deadline));
    match marking_silence(job, &candidate, patience, content).await {
        Ok(content) => {
            note_end(job, place, (200, begun));
            let reply = reply(candidate, content, begun, Some(departed));
            let (candidate, ttft) = (&reply.candidate, reply.ttft);
            // The time to a whole answer says nothing of the time to a first token.
            let ttft = job.call.stream.then_some(ttft);
            if let Some(ttft) = ttft {
                let meters = job.node.meters_of(&candidate.endpoint);
                meters.ttft.record(ttft.as_secs_f64());
            }
            job.node.answered(candidate, ttft);
            Ok(reply)
        }
        Err(first::Broken {
            mut failure,
            remains,
            sent,
        }) => {
            if failure.fault == Fault::ProviderKey {
                if let Some(own) = &candidate.own {
                    job.node.own_keys.distrust(own, &job.node.clock);
                    job.node.own_key_refused(&candidate);
                    own_key_refused(&candidate, &mut failure);
                } else if failure.reason == "provider_auth" {
                    job.node.credentials.distrust(&candidate.provider);
                }
            }
            note_end(job, place, (failure.status, begun));
            note(job, &candidate, &failure);
            let remains =
                remains.map(|said| Box::new(reply(candidate.clone(), *said, begun, None)));
            Err(Failed {
                candidate,
                failure: *failure,
                remains,
                unasked: false,
                sent,
            })
        }
    }
}

fn reply(candidate: Candidate, said: First, begun: Instant, departed: Option<Departed>) -> Reply {
    Reply {
        candidate,
        translator: said.translator,
        body: said.body,
        pending: said.pending,
        ended: said.ended,
        begun,
        ttft: begun.elapsed(),
        failed: Vec::new(),
        called_off: Vec::new(),
        departed,
    }
}

/// Notes that somebody is asked. Gives its place among all who are.
fn note_asked(job: &Job<'_>, candidate: &Candidate) -> usize {
    let mut tried = lock(&job.tried);
    tried.push(Tried {
        endpoint: candidate.endpoint.id.clone(),
        provider: candidate.provider.slug.clone(),
        status: 0,
        latency_ms: 0,
        own_key: candidate.own.is_some(),
    });
    tried.len() - 1
}

fn note_end(job: &Job<'_>, place: usize, (status, begun): (u16, Instant)) {
    if let Some(tried) = lock(&job.tried).get_mut(place) {
        tried.status = status;
        tried.latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    }
}

/// Counts an attempt that is billed to its end, also when the client leaves, while it is under way.
struct BilledOn<'a>(Option<&'a watch::Sender<usize>>);

impl<'a> BilledOn<'a> {
    fn new(job: &Job<'a>, candidate: &Candidate) -> Self {
        let billed = candidate
            .endpoint
            .has(Quirk::BillsAbandoned, &candidate.provider);
        let counted = billed.then_some(job.billed_on);
        if let Some(count) = counted {
            count.send_modify(|count| *count += 1);
        }
        Self(counted)
    }
}

impl Drop for BilledOn<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.0 {
            count.send_modify(|count| *count = count.saturating_sub(1));
        }
    }
}

/// Waits for the attempt; when it is silent for longer than nearly all others, that is noted, once,
/// and the attempt goes on.
async fn marking_silence<T>(
    job: &Job<'_>,
    candidate: &Candidate,
    patience: Patience,
    mut content: impl Future<Output = T> + Unpin,
) -> T {
    if patience.silence >= patience.deadline {
        return content.await;
    }
    let mark = patience.silence.max(Duration::from_millis(1));
    tokio::select! {
        biased;
        done = &mut content => return done,
        () = tokio::time::sleep(mark) => {}
    }
    job.node
        .observe(candidate, &Observation::of(Outcome::Silence));
    content.await
}

/// It is the caller's own key: they are told whose, and may mend it.
fn own_key_refused(candidate: &Candidate, failure: &mut Failure) {
    if failure.reason != "own_key" {
        let name = &candidate.provider.name;
        failure.message = format!("{name} refused your own key: {}", failure.message);
    }
    if let Some(own) = &candidate.own {
        failure
            .metadata
            .insert("byok_id".into(), own.id.clone().into());
    }
}

fn note(job: &Job<'_>, candidate: &Candidate, failure: &Failure) {
    tell(candidate, failure);
    let outcome = verdict::outcome(failure);
    let observation = Observation {
        noted: true,
        ..Observation::of(outcome)
    };
    job.node.observe(candidate, &observation);
}

/// For the metrics and the log.
fn tell(candidate: &Candidate, failure: &Failure) {
    let provider = candidate.provider.slug.as_str().to_owned();
    counter!(metrics::ATTEMPTS, "provider" => provider, "outcome" => failure.reason).increment(1);
    log(candidate, failure);
}

fn log(candidate: &Candidate, failure: &Failure) {
    tracing::info!(
        endpoint = %candidate.endpoint.id,
        reason = failure.reason,
        status = failure.status,
        "attempt failed: {}", failure.message
    );
}
