//! Walks the plan until a first content byte is owed to the client. Failover lives here and
//! nowhere else: a failure is classified once, counted once, and either ends the request or moves
//! it, whole, to the next candidate. Writes nothing to the client.

pub mod deadline;
mod first;
mod leg;
mod verdict;
mod walk;

use crate::dialect::Translator;
use crate::failure::{FailedAttempt, Failure, Retry};
use crate::ingress::Call;
use crate::metrics;
use crate::node::{Departed, Node};
use crate::upstream::Body;
use ::metrics::counter;
use bytes::BytesMut;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use leg::Failed;
use shared::id::GenerationId;
use shared::record::Tried;
use shared::routing::{Candidate, Plan, View};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use walk::Walk;

pub use shared::routing::ATTEMPTS_MAX;

/// How often a request goes on from an endpoint that does not take it as it stands without leave of
/// the budget for retries: nobody is sick, so it adds to no storm.
pub const MISFITS_MAX: usize = 1;
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
    /// What the plan was made from.
    pub view: &'a View,
    /// What the client asked for.
    pub call: &'a Call,
    /// The request's id.
    pub generation: &'a GenerationId,
    /// Seconds since 1970, for `created`.
    pub created: u64,
    /// What the hold allows each candidate to answer at most; none is the client's own bound.
    pub clamp: &'a (dyn Fn(&Candidate) -> Option<u64> + Sync),
    /// True when the hold covers the worst case of every candidate. Only one answer is ever
    /// charged, but which of two competitors it will be is not known before.
    pub may_hedge: bool,
    /// Told of every attempt but the first, before it begins.
    pub asks: &'a (dyn Fn(&Candidate) + Sync),
    /// Everybody who was asked, in order, and what became of it so far.
    pub tried: Mutex<Vec<Tried>>,
    /// Attempts under way at providers who make and bill an answer also when nobody waits for it.
    pub billed_on: &'a watch::Sender<usize>,
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
    /// Competitors that were called off because this one answered first.
    pub called_off: Vec<Candidate>,
    /// Counts it as under way until it is dropped; none for what an attempt left that failed.
    pub departed: Option<Departed>,
}

/// Tries the plan's candidates, each drawn with the health of its moment.
///
/// # Errors
/// The caller's own failure at once; else, when no candidate is left, what the last one said, with
/// the attempts made. Where one of them had said something before it gave up, that is the reply.
pub async fn run(job: &Job<'_>, plan: Plan) -> Result<Reply, Failure> {
    let mut walk = Walk::new(job, plan);
    let mut running = FuturesUnordered::new();
    loop {
        if running.is_empty() {
            let Some(next) = walk.next() else {
                return walk.exhausted();
            };
            running.push(leg::run(job, next));
        }
        let ended = tokio::select! {
            ended = running.next() => ended,
            () = walk.silence(), if running.len() < PARALLEL_MAX => {
                if let Some(competitor) = walk.hedge() {
                    counter!(metrics::FAILOVERS, "reason" => "silence").increment(1);
                    running.push(leg::run(job, competitor));
                }
                continue;
            }
        };
        match ended {
            Some(Ok(reply)) => return Ok(walk.won(reply)),
            Some(Err(failed)) => {
                let Failed {
                    candidate,
                    failure,
                    remains,
                    unasked,
                    sent,
                } = failed;
                counter!(metrics::FAILOVERS, "reason" => failure.reason).increment(1);
                // What no endpoint of this model would mend, another model may, or a larger one.
                if failure.retry == Retry::Never && !walk.goes_on(&candidate, &failure) {
                    return walk.ends_with(&candidate, (failure, sent), remains);
                }
                if unasked {
                    walk.passed_over(&candidate, failure);
                } else {
                    walk.failed(&candidate, (failure, sent), remains);
                }
                if let Some(next) = walk.replace(unasked) {
                    running.push(leg::run(job, next));
                }
            }
            None => {}
        }
    }
}
