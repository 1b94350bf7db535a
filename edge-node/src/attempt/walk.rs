//! Who is asked next: the plan's candidates, drawn again after each failure with the health of that
//! moment, within the budgets for retries and for competitors. Decides nothing about a failure but
//! where it is noted.

use super::leg::Leg;
use super::{ATTEMPTS_MAX, Job, MISFITS_MAX, Reply, verdict};
use crate::failure::{ErrorType, FailedAttempt, Failure, Fault, Retry};
use crate::metrics;
use ::metrics::{counter, gauge};
use shared::catalog::Endpoint;
use shared::health::{Denied, Need};
use shared::routing::{Candidate, Plan};
use std::time::Duration;
use tokio::time::Instant;

/// What it takes of an endpoint's retry budget to ask it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cost {
    /// Nothing.
    Nothing,
    /// A token, unless it is asked with an own key.
    Retry,
}

/// One request's way through its plan.
pub(super) struct Walk<'a> {
    job: &'a Job<'a>,
    plan: Plan,
    begun: Instant,
    /// No attempt begins later than so long after the first.
    total: Duration,
    /// Attempts begun.
    begun_attempts: usize,
    /// Of these: by who did not take the request as it stands.
    misfits: usize,
    /// A candidate was drawn: the others must be told of.
    has_drawn: bool,
    /// Those of them that have not ended.
    running: Vec<Candidate>,
    /// The competitor of one of them has just failed.
    is_unattended: bool,
    /// When the newest attempt gets a competitor.
    competitor_due: Option<Instant>,
    /// From then on a competitor is a retry and needs no leave of the hedge budget: a whole answer
    /// can't be given up at its first silence as a stream can, but must not wait for its end.
    overdue: Option<Instant>,
    failed: Vec<FailedAttempt>,
    last: Option<Failure>,
    /// The longest answer of those that failed, and its place among them.
    remains: Option<(usize, Box<Reply>)>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(job: &'a Job<'a>, plan: Plan) -> Self {
        let first = plan.candidates.first();
        let total = first.map_or(Duration::ZERO, |it| it.provider.timeouts.total);
        job.node.health.arrived(job.node.clock.now());
        Self {
            job,
            plan,
            begun: Instant::now(),
            total,
            begun_attempts: 0,
            misfits: 0,
            has_drawn: false,
            running: Vec::new(),
            is_unattended: false,
            competitor_due: None,
            overdue: None,
            failed: Vec::new(),
            last: None,
            remains: None,
        }
    }

    /// The next candidate; none when there is nobody left who may be asked.
    pub(super) fn next(&mut self) -> Option<Leg> {
        if self.begun_attempts == 0 {
            let first = self.take(|_| true, Cost::Nothing)?;
            return Some(self.begin(first));
        }
        if self.is_spent() {
            return None;
        }
        let misfit = self.last.as_ref().is_some_and(verdict::is_misfit);
        let next = self.draw(|_| true, self.cost());
        if next.is_none() && !self.plan.candidates.is_empty() {
            metrics::shed("retries");
            // What an endpoint does not take is no better a second later.
            if !misfit {
                self.last = Some(verdict::retries_spent());
            }
        }
        next
    }

    /// Resolves when the newest attempt has been silent for so long that it gets a competitor.
    pub(super) fn silence(&self) -> impl Future<Output = ()> + use<> {
        let due = self.competitor_due;
        async move {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        }
    }

    /// A competitor for an attempt that stays silent: who is well, and only within the budget. It
    /// serves the same model: another one follows an error, not a wait.
    pub(super) fn hedge(&mut self) -> Option<Leg> {
        self.competitor_due = None;
        let model = self.running.last()?.endpoint.model.clone();
        let fits = |it: &Candidate| it.is_ready() && it.endpoint.model == model;
        let others = self.plan.candidates.iter().any(fits);
        if !self.job.may_hedge || !others || self.begun_attempts >= ATTEMPTS_MAX {
            return None;
        }
        if self.overdue.is_some_and(|due| due <= Instant::now()) {
            return self.draw(fits, Cost::Retry);
        }
        let node = self.job.node;
        if !node.health.take_hedge(node.clock.now()) {
            metrics::shed("hedges");
            self.competitor_due = self.overdue;
            return None;
        }
        self.draw(fits, Cost::Nothing)
    }

    /// In the place of a competitor that has just failed, another one at once: who it was to
    /// compete with is as silent as before. It is a retry, and costs one, unless the request could
    /// not be said to the other and nothing was sent.
    pub(super) fn replace(&mut self, unasked: bool) -> Option<Leg> {
        if !std::mem::take(&mut self.is_unattended) || self.is_spent() {
            return None;
        }
        let model = self.running.last()?.endpoint.model.clone();
        let fits = |it: &Candidate| it.is_ready() && it.endpoint.model == model;
        let others = self.plan.candidates.iter().any(fits);
        if !others {
            return None;
        }
        let cost = if unasked { Cost::Nothing } else { self.cost() };
        let next = self.draw(fits, cost);
        if next.is_none() {
            metrics::shed("retries");
        }
        next
    }

    /// Notes a failure that another endpoint may not have.
    pub(super) fn failed(
        &mut self,
        candidate: &Candidate,
        (failure, sent): (Failure, bool),
        remains: Option<Box<Reply>>,
    ) {
        self.ended(candidate);
        self.keep(remains);
        self.misfits += usize::from(verdict::is_misfit(&failure));
        self.failed
            .push(FailedAttempt::of(candidate, &failure, sent));
        self.last = Some(failure);
    }

    /// Notes who was not asked, because the request can't be said there: that was no attempt, so it
    /// takes nothing from any budget, and what others have said counts for more.
    pub(super) fn passed_over(&mut self, candidate: &Candidate, failure: Failure) {
        self.ended(candidate);
        self.begun_attempts = self.begun_attempts.saturating_sub(1);
        self.failed
            .push(FailedAttempt::of(candidate, &failure, false));
        self.last.get_or_insert(failure);
    }

    /// One has answered; whoever else is still asked is called off.
    pub(super) fn won(mut self, mut reply: Reply) -> Reply {
        self.ended(&reply.candidate);
        for loser in &self.running {
            call_off(&loser.endpoint, self.job);
        }
        reply.failed = self.failed;
        reply.called_off = self.running;
        reply
    }

    /// After a failure that no endpoint of the model would mend, passes over what is left of it:
    /// all, or all that are no larger than the one for which the prompt was too long. False when
    /// nobody is left who may answer.
    pub(super) fn goes_on(&mut self, refused: &Candidate, failure: &Failure) -> bool {
        let model = &refused.endpoint.model;
        if failure.error_type == ErrorType::ContextLengthExceeded {
            let demand = &self.job.call.demand;
            self.plan.outgrow(&refused.endpoint, demand);
            // Whoever is asked beside it may be larger.
            let mut running = self.running.iter();
            if running.any(|it| !it.is_same(refused)) {
                return true;
            }
        } else {
            self.plan
                .candidates
                .retain(|it| it.endpoint.model != *model);
        }
        !self.plan.candidates.is_empty()
    }

    /// A failure that no other endpoint would mend; whoever else is still asked is called off.
    pub(super) fn ends_with(
        mut self,
        candidate: &Candidate,
        (failure, sent): (Failure, bool),
        remains: Option<Box<Reply>>,
    ) -> Result<Reply, Failure> {
        self.ended(candidate);
        self.keep(remains);
        self.failed
            .push(FailedAttempt::of(candidate, &failure, sent));
        for other in &self.running {
            call_off(&other.endpoint, self.job);
            self.failed.push(FailedAttempt::called_off(other));
        }
        self.remains().map_err(|failed| Failure {
            attempts: failed,
            ..failure
        })
    }

    /// Nobody is left: what was said at least, or why the request as a whole failed.
    pub(super) fn exhausted(mut self) -> Result<Reply, Failure> {
        let last = self.last.take();
        self.remains().map_err(|failed| exhausted(last, failed))
    }

    fn keep(&mut self, remains: Option<Box<Reply>>) {
        let length = |reply: &Reply| reply.translator.progress().output_bytes;
        let best = self.remains.as_ref().map(|(_, reply)| length(reply));
        if let Some(reply) = remains
            && best.is_none_or(|best| length(&reply) > best)
        {
            self.remains = Some((self.failed.len(), reply));
        }
    }

    /// What is better than nothing, with the other attempts; else the attempts.
    fn remains(mut self) -> Result<Reply, Vec<FailedAttempt>> {
        let Some((place, mut reply)) = self.remains else {
            return Err(self.failed);
        };
        if place < self.failed.len() {
            self.failed.remove(place);
        }
        reply.failed = self.failed;
        Ok(*reply)
    }

    fn is_spent(&self) -> bool {
        self.begun_attempts >= ATTEMPTS_MAX || self.begun.elapsed() >= self.total
    }

    /// What going on after the last failure costs.
    fn cost(&self) -> Cost {
        let misfit = self.last.as_ref().is_some_and(verdict::is_misfit);
        if misfit && self.misfits <= MISFITS_MAX {
            Cost::Nothing
        } else {
            Cost::Retry
        }
    }

    /// Draws what is left again and takes the first of those that fit who may be asked.
    fn draw(&mut self, fits: impl Fn(&Candidate) -> bool, cost: Cost) -> Option<Leg> {
        self.arrange();
        let next = self.take(fits, cost)?;
        Some(self.begin(next))
    }

    fn arrange(&mut self) {
        let node = self.job.node;
        let now = node.clock.now();
        self.plan.arrange(self.job.view, &node.boards(), now);
    }

    /// Takes the first that fits and may be asked. Where another request has been quicker with the
    /// probe lease for which it stands where it stands, what is left is drawn again without.
    fn take(&mut self, fits: impl Fn(&Candidate) -> bool, cost: Cost) -> Option<Candidate> {
        let (node, now) = (self.job.node, self.job.node.clock.now());
        loop {
            let mut lost = None;
            let taken = self.plan.take(|it| {
                if lost.is_some() || !fits(it) {
                    return false;
                }
                // An own key's retries burden nobody else.
                let need = Need {
                    retry: cost == Cost::Retry && it.own.is_none(),
                    probe: it.probe,
                };
                let given = match need {
                    // Nothing to ask for, and no lock to take.
                    Need {
                        retry: false,
                        probe: None,
                    } => Ok(()),
                    need => node.health.give(it.handle, &need, now),
                };
                lost = (given == Err(Denied::Probe)).then_some(it.handle);
                given.is_ok()
            });
            let Some(lost) = lost else {
                return taken;
            };
            self.plan.forgo_probe(lost);
            self.arrange();
        }
    }

    fn begin(&mut self, candidate: Candidate) -> Leg {
        let (call, first) = (self.job.call, self.begun_attempts == 0);
        let patience = self
            .job
            .view
            .patience(&candidate, &call.demand, call.stream);
        self.begun_attempts += 1;
        if self.has_drawn {
            (self.job.asks)(&candidate);
        }
        self.has_drawn = true;
        self.running.push(candidate.clone());
        let now = Instant::now();
        // Whoever has a key of one's own wants it used: no competitor only for speed.
        let shared = candidate.own.is_none();
        self.competitor_due = shared.then(|| now + patience.hedge);
        let bound = candidate.provider.timeouts.first_token;
        self.overdue = (!call.stream).then(|| now + bound.max(patience.silence));
        Leg {
            candidate,
            patience,
            first,
        }
    }

    fn ended(&mut self, candidate: &Candidate) {
        let at = self.running.iter().position(|it| it.is_same(candidate));
        // Those before it are older, and have been silent for so long that it was begun.
        self.is_unattended = at.is_some_and(|at| at > 0);
        self.running.retain(|it| !it.is_same(candidate));
    }
}

/// Why the request as a whole failed, from what its last attempt said.
fn exhausted(last: Option<Failure>, failed: Vec<FailedAttempt>) -> Failure {
    let Some(mut failure) = last else {
        let text = "no endpoint of the model could be tried";
        return Failure::provider(503, "no_candidate", text)
            .with_retry_after(Duration::from_secs(1));
    };
    // Who was not asked says nothing of how full the others are.
    let mut sent = failed.iter().filter(|attempt| attempt.sent).peekable();
    let all_full = sent.peek().is_some() && sent.all(|attempt| attempt.status == 429);
    if all_full {
        failure.status = 429;
        failure.availability = Some("capacity_exhausted");
    } else if failure.fault == Fault::ProviderKey {
        // Our key's trouble is not the client's: never let a provider's 401 look like its own.
        failure.status = 502;
        failure.error_type = ErrorType::ProviderUnavailable;
    }
    if let Retry::SameAfter(after) = failure.retry {
        failure.retry_after = failure.retry_after.or(Some(after));
    }
    failure.attempts = failed;
    failure
}

/// A competitor that is called off has read the prompt at least, and its provider may bill that:
/// ours to pay, never the client's.
fn call_off(endpoint: &Endpoint, job: &Job<'_>) {
    let prompt = endpoint.pricing.prompt.cost(job.call.demand.prompt_tokens);
    counter!(metrics::HEDGES_CALLED_OFF).increment(1);
    gauge!(metrics::HEDGE_EXPENSE).increment(prompt.to_usd_lossy());
    tracing::debug!(endpoint = %endpoint.id, expense = %prompt, "competitor called off");
}
