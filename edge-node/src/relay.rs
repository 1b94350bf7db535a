//! Carries an endpoint's answer to the client: every event goes out as soon as it is in, one task
//! per stream, no channel between. Past the first byte nobody pretends: a stream finishes, or says
//! why not.

mod learn;

use crate::attempt::{Job, Reply, deadline::Idle};
use crate::client::Client;
use crate::dialect::Bill;
use crate::failure::{FailedAttempt, Failure, Fault};
use crate::ingress::{Api, Call};
use crate::message::{Finish, Served};
use crate::metrics;
use crate::node::Node;
use crate::{account::Hold, gateway::explain::Story, tokens};
use ::metrics::{counter, gauge};
use bytes::Bytes;
use futures::FutureExt;
use learn::Speed;
use shared::catalog::{Endpoint, Quirk, Timeouts};
use shared::money::Amount;
use shared::routing::View;
use shared::task::lock;
use shared::usage::{Cost, Usage, cost};
use std::time::{Duration, Instant};

/// Client bytes that are joined into one write when the provider sends faster than events are
/// relayed.
pub const COALESCE_MAX: usize = 64 << 10;
/// How long the end of an upstream body may take after its last event; then the connection is
/// closed instead of kept.
const TRAILER_PATIENCE: Duration = Duration::from_millis(100);

/// Relays the reply to its end and puts what it used into the hold.
///
/// # Errors
/// The client has gone, or the endpoint failed after its first content; the hold then says what
/// was seen so far.
pub async fn run(
    job: &Job<'_>,
    reply: Reply,
    client: &mut Client<'_>,
    hold: &mut Hold,
    story: &mut Story,
) -> Result<(), Failure> {
    let Job {
        node, call, view, ..
    } = *job;
    let mut relay = Relay {
        node,
        call,
        view,
        reply,
        _open: OpenStream::new(call.stream),
    };
    relay.identify(job, hold);
    story.answers(&relay.reply.candidate);
    let result = if call.stream {
        relay.stream(client, hold).await
    } else {
        Ok(())
    };
    match result {
        Ok(()) => relay.finish(client, hold, story).await,
        Err(failure) => {
            if failure.fault == Fault::ClientGone && relay.is_billed_to_the_end() {
                relay.hear_out().await;
            }
            // What came before the failure, often in the same read, is the client's.
            let due = relay.reply.pending.split().freeze();
            if !due.is_empty() && failure.fault != Fault::ClientGone {
                let _ = client.send(due).await;
            }
            relay.broke(hold, &failure);
            let attempts = relay.attempts(&failure);
            Err(Failure {
                attempts,
                ..failure
            })
        }
    }
}

struct Relay<'a> {
    node: &'a Node,
    call: &'a Call,
    view: &'a View,
    reply: Reply,
    _open: OpenStream,
}

enum Next {
    Chunk(Result<Option<Bytes>, crate::upstream::Error>),
    ClientGone,
    Measured,
    Stalled,
    Overdue,
    KeepAlive,
}

impl Relay<'_> {
    /// From here on, whatever ends the request, the hold knows who served it.
    fn identify(&self, job: &Job<'_>, hold: &mut Hold) {
        let candidate = &self.reply.candidate;
        let receipt = &mut hold.receipt;
        receipt.endpoint = Some(candidate.endpoint.id.clone());
        receipt.model = Some(candidate.endpoint.model.clone());
        receipt.provider = Some(candidate.provider.slug.clone());
        receipt.own_key = candidate.own.is_some();
        receipt.ttft = Some(self.reply.ttft);
        let sent = self.reply.failed.iter().filter(|it| it.sent).count();
        let tried = sent + self.reply.called_off.len() + 1;
        receipt.attempts = u32::try_from(tried).unwrap_or(u32::MAX);
        receipt.tried.clone_from(&lock(&job.tried));
    }

    /// Forwards until the terminal event.
    async fn stream(&mut self, client: &mut Client<'_>, hold: &mut Hold) -> Result<(), Failure> {
        let mut stall = Idle::new(self.reply.candidate.provider.timeouts.stall);
        let mut quiet = Idle::new(self.node.timers.keep_alive);
        let mut speed = Speed::new(&self.reply);
        // The provider's id of it, at least, is logged at once.
        self.meter(hold);
        hold.mark();
        let mut marked = Instant::now();
        let total = self.reply.candidate.provider.timeouts.total;
        let left = total.saturating_sub(self.reply.begun.elapsed());
        let mut overdue = std::pin::pin!(tokio::time::sleep(left));
        loop {
            if !self.reply.pending.is_empty() {
                let due = self.reply.pending.split().freeze();
                client.send(due).await?;
                quiet.touch();
            }
            if self.reply.ended || self.reply.translator.progress().done {
                return Ok(());
            }
            if marked.elapsed() >= Duration::from_secs(1) {
                marked = Instant::now();
                self.meter(hold);
                hold.mark();
            }
            let next = tokio::select! {
                biased;
                chunk = self.reply.body.chunk() => Next::Chunk(chunk),
                () = client.exchange.gone() => Next::ClientGone,
                () = speed.due() => Next::Measured,
                () = stall.passed() => Next::Stalled,
                () = &mut overdue => Next::Overdue,
                () = quiet.passed() => Next::KeepAlive,
            };
            match next {
                Next::Chunk(chunk) => {
                    stall.touch();
                    self.feed(chunk)?;
                    self.drain_ready()?;
                }
                Next::ClientGone => return Err(Failure::client_gone()),
                Next::Measured => speed.measure(self.node, self.view, &self.reply),
                Next::Stalled => {
                    return Err(Failure::provider(
                        504,
                        "stall",
                        "the provider stopped sending",
                    ));
                }
                Next::Overdue => {
                    let text = format!("the answer took more than {} s", total.as_secs());
                    return Err(Failure::provider(504, "total_timeout", text));
                }
                Next::KeepAlive => {
                    client.keep_alive().await?;
                    quiet.touch();
                }
            }
        }
    }

    fn is_billed_to_the_end(&self) -> bool {
        let candidate = &self.reply.candidate;
        candidate
            .endpoint
            .has(Quirk::BillsAbandoned, &candidate.provider)
    }

    /// Reads on for nobody but the count, as long as it would have been read for the client.
    async fn hear_out(&mut self) {
        let Timeouts { stall, total, .. } = self.reply.candidate.provider.timeouts;
        let left = total.saturating_sub(self.reply.begun.elapsed());
        let rest = async {
            while !self.reply.ended && !self.reply.translator.progress().done {
                self.reply.pending.clear();
                let chunk = tokio::time::timeout(stall, self.reply.body.chunk()).await;
                let Ok(Ok(())) = chunk.map(|chunk| self.feed(chunk)) else {
                    return;
                };
            }
        };
        if tokio::time::timeout(left, rest).await.is_err() {
            metrics::shed("abandoned_streams");
        }
        self.reply.pending.clear();
    }

    fn feed(
        &mut self,
        chunk: Result<Option<Bytes>, crate::upstream::Error>,
    ) -> Result<(), Failure> {
        let reply = &mut self.reply;
        match chunk {
            Ok(Some(chunk)) => reply.translator.feed(&chunk, &mut reply.pending),
            Ok(None) => {
                reply.ended = true;
                reply.translator.end(&mut reply.pending)
            }
            Err(error) => {
                tracing::debug!(endpoint = %reply.candidate.endpoint.id, %error, "stream broke");
                let text = "the provider's stream broke off";
                Err(Failure::provider(502, "truncated", text))
            }
        }
    }

    /// Takes what has already arrived, so that a burst costs one write instead of many.
    fn drain_ready(&mut self) -> Result<(), Failure> {
        while !self.reply.ended && self.reply.pending.len() < COALESCE_MAX {
            let Some(chunk) = self.reply.body.chunk().now_or_never() else {
                return Ok(());
            };
            self.feed(chunk)?;
        }
        Ok(())
    }

    /// Puts the usage so far, and its cost, into the hold.
    fn meter(&self, hold: &mut Hold) {
        let (model, seen) = (
            self.reply.candidate.endpoint.model.as_str(),
            self.reply.translator.progress(),
        );
        let usage = self.node.tokens.usage(self.view, model, self.call, seen);
        hold.receipt.usage = usage;
        hold.receipt.cache_discount = self.cache_discount(&usage);
        hold.receipt.tier = self.tier().map_or("", |served| served.as_str("default"));
        hold.receipt.cost = self.cost(&usage).total();
        let upstream_id = &self.reply.translator.progress().upstream_id;
        hold.receipt.upstream_id.clone_from(upstream_id);
    }

    /// What it costs.
    fn cost(&self, usage: &Usage) -> Cost {
        let mut lines = cost(usage, &self.billed().pricing);
        if self.is_nothing(usage) {
            lines = lines.without_tokens();
        }
        lines.own_key = self.reply.candidate.own.is_some();
        lines
    }

    /// What the prompt would have cost without the provider's cache, less what it costs.
    fn cache_discount(&self, usage: &Usage) -> Amount {
        if usage.cache_read == 0 && usage.cache_write == 0 && usage.cache_write_1h == 0 {
            return Amount::ZERO;
        }
        let uncached = Usage {
            cache_read: 0,
            cache_write: 0,
            cache_write_1h: 0,
            ..*usage
        };
        let pricing = &self.billed().pricing;
        cost(&uncached, pricing).total() - cost(usage, pricing).total()
    }

    /// The service tier that serves it, where one was asked for or told of.
    fn tier(&self) -> Option<Served> {
        let served = self.reply.translator.progress().served;
        let tier = self.reply.candidate.endpoint.tier();
        served.or_else(|| (tier.is_some() || self.call.urgency.asked).then(|| Served::from(tier)))
    }

    /// True when no token is charged: the answer says that it failed, or says nothing and not even
    /// why.
    fn is_nothing(&self, usage: &Usage) -> bool {
        let progress = self.reply.translator.progress();
        let silent = progress.finish_reason.is_none() || progress.unexplained;
        let writes = !matches!(self.call.api, Api::Embeddings | Api::Rerank);
        progress.finish_reason == Some(Finish::Error) || usage.completion == 0 && silent && writes
    }

    /// Says so when what the provider counted can't be.
    fn doubt(&self) {
        let candidate = &self.reply.candidate;
        let model = candidate.endpoint.model.as_str();
        let Some(usage) = self.reply.translator.progress().usage else {
            return;
        };
        if !tokens::believed(self.view, model, &usage) {
            let provider = candidate.provider.slug.as_str().to_owned();
            counter!(metrics::USAGE_DISBELIEVED, "provider" => provider).increment(1);
            tracing::warn!(endpoint = %candidate.endpoint.id, ?usage, "usage that can't be; estimated");
        }
    }

    /// Whose price holds: the endpoint's of the tier that served, where the catalogue has one.
    fn billed(&self) -> &Endpoint {
        let asked = &self.reply.candidate.endpoint;
        match self.reply.translator.progress().served {
            Some(served) if served.tier() != asked.tier() => {
                sibling(self.view, asked, served).unwrap_or(asked)
            }
            _ => asked,
        }
    }

    /// The answer is whole: bill it, end it, learn from it.
    async fn finish(
        mut self,
        client: &mut Client<'_>,
        hold: &mut Hold,
        story: &mut Story,
    ) -> Result<(), Failure> {
        self.meter(hold);
        self.doubt();
        let progress = self.reply.translator.progress();
        let receipt = &mut hold.receipt;
        receipt.finish_reason = progress.finish_reason.map_or("", Finish::as_str).to_owned();
        let usage = receipt.usage;
        let lines = self.cost(&usage);
        let served = self.tier();
        if progress.finish_reason == Some(Finish::Error) {
            // Its failure was noted with the attempt.
            receipt.fault = Some(Fault::Provider);
        } else {
            let at = (self.node, self.view);
            learn::whole(at, self.call, &self.reply, (&usage, lines.total()));
        }
        let told = story.tell(&self.reply);
        let bill = Bill {
            usage: &usage,
            cost: &lines,
            charged: hold.charge(lines.total(), lines.own_key),
            served,
            told: &told,
            took: self.reply.begun.elapsed(),
        };
        self.reply.translator.close(&bill, &mut self.reply.pending);
        let last = self.reply.pending.split().freeze();
        let sent = if self.call.stream {
            match client.send(last).await {
                Ok(()) => client.end().await,
                gone => gone,
            }
        } else {
            client.answer(200, last).await
        };
        self.give_back().await;
        sent
    }

    /// The connection can be kept only when its body was read to the end.
    async fn give_back(mut self) {
        if !self.reply.ended {
            let end = tokio::time::timeout(TRAILER_PATIENCE, self.reply.body.chunk()).await;
            self.reply.ended = matches!(end, Ok(Ok(None)));
        }
        if self.reply.ended {
            self.reply.body.release().await;
        }
    }

    /// The answer broke off: count it where it belongs. The gateway tells the client.
    fn broke(&mut self, hold: &mut Hold, failure: &Failure) {
        self.meter(hold);
        hold.receipt.fault = Some(failure.fault);
        if failure.fault == Fault::ClientGone {
            self.count(failure.reason);
            return;
        }
        hold.receipt.finish_reason = "error".to_owned();
        // What a provider broke is not charged, however much of it arrived.
        hold.receipt.cost = Amount::ZERO;
        self.count(failure.reason);
        learn::broken(self.node, &self.reply);
    }

    /// All that were made, the one that broke off last.
    fn attempts(&mut self, failure: &Failure) -> Vec<FailedAttempt> {
        let reply = &mut self.reply;
        let mut all = std::mem::take(&mut reply.failed);
        all.extend(reply.called_off.iter().map(FailedAttempt::called_off));
        all.push(FailedAttempt::of(&reply.candidate, failure, true));
        all
    }

    fn count(&self, outcome: &'static str) {
        let provider = self.reply.candidate.provider.slug.as_str().to_owned();
        counter!(metrics::ATTEMPTS, "provider" => provider, "outcome" => outcome).increment(1);
    }
}

/// The same offer at another service tier.
fn sibling<'a>(view: &'a View, endpoint: &Endpoint, served: Served) -> Option<&'a Endpoint> {
    let snapshot = &view.snapshot;
    let indexes = snapshot.endpoints_of(endpoint.model.as_str()).iter();
    let mut all = indexes.filter_map(|index| snapshot.endpoint(*index));
    let found = all.find(|other| {
        other.provider == endpoint.provider
            && other.tier() == served.tier()
            && other.tag_without_tier() == endpoint.tag_without_tier()
    });
    found.map(|endpoint| &**endpoint)
}

/// Counts a stream while it is open.
struct OpenStream(bool);

impl OpenStream {
    fn new(stream: bool) -> Self {
        if stream {
            gauge!(metrics::OPEN_STREAMS).increment(1.0);
        }
        Self(stream)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if self.0 {
            gauge!(metrics::OPEN_STREAMS).decrement(1.0);
        }
    }
}
