//! The request path. `steps` is one request from top to bottom: every line is a step, every step
//! a module, and types keep the order. `serve` wraps it: routes, renders a failure in the
//! client's terms, and always reports.

mod asker;
mod count;
pub mod explain;
pub mod forward;
pub mod quote;
mod refuse;
mod region;
pub mod route;
pub(crate) mod router;
pub mod told;

use crate::account::{
    Asked, BYOK_FEE, FREE_LIMIT, Hold, Intent, LIMITS_CHANGED, Receipt, available,
};
use crate::admission::body;
use crate::attempt::{self, Job};
use crate::catalogue;
use crate::client::Client;
use crate::exchange::Exchange;
use crate::failure::{Failure, Fault};
use crate::ingress::{self, Api, Call, Surface, defaults};
use crate::listen::guard;
use crate::node::Node;
use crate::relay;
use crate::screen::Found;
use explain::Story;
use http::HeaderMap;
use quote::{Extent, Quote};
pub(crate) use refuse::no_plan;
use route::Route;
use shared::policy::Principal;
use shared::rate::FreeTier;
use shared::routing::{Candidate, Plan, View};
use shared::task::lock;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use told::Telling;

/// Serves one request. The answer was sent when this returns, unless the client has gone.
pub async fn serve(node: &Node, exchange: &mut dyn Exchange) {
    let (generation, seed) = node.next_request();
    let head = exchange.head();
    let route = guard::check(head).map(|()| route::of(&head.method, head.uri.path()));
    let mut story = Story::begin(
        route.as_ref().ok(),
        generation.clone(),
        seed,
        node.clock.unix_ms(),
    );
    let edge = node.identity.node.to_string();
    let mut client = Client::new(exchange, generation, edge, node.timers.keep_alive);
    let result = match route {
        Ok(Route::Infer(api, surface)) => {
            client.speaks(api);
            Box::pin(steps(node, &mut client, (api, surface), &mut story)).await
        }
        Ok(Route::CountTokens(surface)) => {
            client.speaks(Api::Messages);
            Box::pin(count::serve(node, &mut client, surface, &mut story)).await
        }
        Ok(Route::Manage) => Box::pin(node.forwarder.serve(&mut client)).await,
        Ok(other) => catalogue::answer(node, &mut client, &other).await,
        Err(failure) => {
            client.exchange.distrust();
            Err(failure)
        }
    };
    if let Err(failure) = &result
        && failure.fault != Fault::ClientGone
    {
        // A client that leaves now has got as much of the error as it wanted.
        let _ = tell(&mut client, failure, &story).await;
    }
    story.report(node, result.as_ref().err());
}

/// One inference request, top to bottom.
async fn steps(
    node: &Node,
    client: &mut Client<'_>,
    (api, surface): (Api, Surface),
    story: &mut Story,
) -> Result<(), Failure> {
    let view = node.view(); // one view per request
    client.decided_by(view.snapshot.version());
    refuse::no_table(&view)?;
    let principal = node
        .keys
        .authenticate(&client.exchange.head().headers)
        .await?;
    let region = region::asked(client.exchange.head(), &node.identity.region)?;
    let mut ticket = node.admission.admit(&principal)?; // held to the end
    story.waiting(node.rates.key(&principal)).await?;
    let body = story
        .waiting(body::read(client.exchange, &mut ticket))
        .await?;
    let settings = &principal.policy.settings;
    let body = defaults::with_model(api, settings, body);
    let headers = &client.exchange.head().headers;
    let mut call = ingress::parse(api, surface, headers, body)?;
    story.screened(screened(node, headers, &principal, &mut call).await?);
    call.demand.region = region;
    defaults::sort(settings, &mut call.demand.preferences);
    story.asked(&call);
    let chosen = router::resolve(node, &view, &principal, &mut call, story.seed)?;
    client.routed_as(chosen.as_ref());
    story.chose(chosen);
    router::estimate(node, &view, &mut call);
    let thread = node.recall(&principal, &view, &mut call);
    let plan = planned(node, &view, &principal, &call, story)?;
    let plan = counted(node, &principal, plan, story).await?;
    let offered = plan.candidates.len();
    let (mut hold, quote, plan) = held(node, client, &principal, (plan, &call), story).await?;
    if plan.candidates.len() < offered {
        told(node, &view, &call, &plan, story);
    }
    if call.stream {
        client.expect_stream();
    }
    let (held, trail) = (hold.amount(), hold.trail());
    let job = Job {
        node,
        view: &view,
        call: &call,
        generation: &client.generation().clone(),
        created: story.started_unix_ms / 1000,
        clamp: &|candidate| quote.clamp(&candidate.endpoint, &call.demand, held),
        may_hedge: held >= quote.ceiling(),
        asks: &|candidate| trail.asks(&asked(candidate)),
        tried: Mutex::default(),
        billed_on: &watch::Sender::new(0),
    };
    story.sent_upstream();
    let result = match client
        .wait_for_billed(attempt::run(&job, plan), job.billed_on)
        .await
    {
        Ok(reply) => relay::run(&job, reply, client, &mut hold, story).await,
        Err(failure) => Err(refuse::described(failure, &call.demand)),
    };
    note_end(&mut hold.receipt, &job, result.as_ref().err());
    let is_served = result.is_ok() && hold.receipt.fault.is_none();
    if let Some(thread) = thread.filter(|_| is_served) {
        node.sessions
            .served(thread, &hold.receipt, &view, node.clock.now());
    }
    hold.receipt.duration = story.elapsed();
    story.settled(&hold.receipt);
    hold.settle();
    result
}

/// Notes what is known of a request's end, however it ended.
fn note_end(receipt: &mut Receipt, job: &Job<'_>, failure: Option<&Failure>) {
    let fault = failure.map(|failure| failure.fault);
    receipt.fault = fault.or(receipt.fault);
    receipt.tried = std::mem::take(&mut *lock(&job.tried));
}

/// Applies the content filters of the key's guardrails, where it has some.
async fn screened(
    node: &Node,
    headers: &HeaderMap,
    principal: &Principal,
    call: &mut Call,
) -> Result<Found, Failure> {
    match &principal.policy.rules {
        Some(rules) => node.screens.screen(rules, call, headers).await,
        None => Ok(Found::default()),
    }
}

/// Counts a request that free variants may serve, where it does; one that is too many goes to what
/// the plan has besides.
async fn counted(
    node: &Node,
    principal: &Principal,
    mut plan: Plan,
    story: &mut Story,
) -> Result<Plan, Failure> {
    if !plan.candidates.iter().any(is_free) {
        return Ok(plan);
    }
    let counted = story.waiting(node.rates.free(&principal.org)).await;
    if let Err(refused) = counted {
        plan.candidates.retain(|candidate| !is_free(candidate));
        if plan.candidates.is_empty() {
            return Err(refused);
        }
    }
    Ok(plan)
}

fn is_free(candidate: &Candidate) -> bool {
    candidate.own.is_none() && FreeTier::has(candidate.endpoint.model.as_str())
}

/// Sets money aside. What can't pay for dear endpoints may do for cheaper ones, and what can't pay for
/// shared endpoints for own provider keys, of which the fee alone is charged and which few limits
/// count; what is too many for free variants may be paid for: then the plan is theirs alone. A key
/// whose limits have changed is asked about again, once.
async fn held(
    node: &Node,
    client: &mut Client<'_>,
    principal: &Principal,
    (mut plan, call): (Plan, &Call),
    story: &Story,
) -> Result<(Hold, Quote, Plan), Failure> {
    let mut first = None;
    let mut known: Option<Arc<Principal>> = None;
    loop {
        let quote = Quote::of(&plan, &call.demand, Extent::of(call));
        let intent = intent(client, call, (&plan, &quote), story);
        let payer = known.as_deref().unwrap_or(principal);
        let hold = node.accounts.hold(payer, intent);
        let refused = match client.wait_for(hold).await {
            Ok(hold) => return Ok((hold, quote, plan)),
            Err(failure) => failure,
        };
        if refused.reason == LIMITS_CHANGED && known.is_none() {
            known = Some(client.wait_for(node.keys.ask_again(principal.key)).await?);
            continue;
        }
        if refused.fault != Fault::Account {
            return Err(refused);
        }
        // Who is refused in the end is told what the cheapest lacks.
        let (demand, extent) = (&call.demand, Extent::of(call));
        let have = available(&refused);
        if have.is_some_and(|have| Quote::lessen(&mut plan, demand, extent, have)) {
            continue;
        }
        let less = lessened(&mut plan, &quote, &refused);
        // What the fee on own keys lacks is the least that would help.
        let fee = refused.reason == BYOK_FEE;
        let refused = first.take().filter(|_| !fee).unwrap_or(refused);
        if !less {
            return Err(refused);
        }
        first = Some(refused);
    }
}

/// Leaves out what can't be had. False when nothing else is left.
fn lessened(plan: &mut Plan, quote: &Quote, refused: &Failure) -> bool {
    let candidates = &mut plan.candidates;
    let before = candidates.len();
    if refused.reason == FREE_LIMIT && candidates.iter().any(is_free) {
        candidates.retain(|candidate| !is_free(candidate));
    } else if quote.shared.is_some() && candidates.iter().any(|it| it.own.is_some()) {
        quote::leave_out(plan, |candidate| candidate.own.is_none());
    }
    !plan.candidates.is_empty() && plan.candidates.len() < before
}

fn intent(
    client: &Client<'_>,
    call: &Call,
    (plan, quote): (&Plan, &Quote),
    story: &Story,
) -> Intent {
    Intent {
        generation: client.generation().clone(),
        api: call.api.as_str(),
        requested_model: story.model().to_owned(),
        price_version: plan.snapshot_version,
        shared: quote.shared,
        own: quote.own,
        free: plan.candidates.iter().any(is_free),
        least: quote.least,
        useful: quote.useful,
        flags: story.found().flags(),
        streamed: call.stream,
        started_unix_ms: story.started_unix_ms,
        first: plan.candidates.first().map(asked),
        particulars: asker::of(call, &client.exchange.head().headers),
    }
}

fn asked(candidate: &Candidate) -> Asked {
    Asked {
        endpoint: candidate.endpoint.id.clone(),
        model: candidate.endpoint.model.clone(),
        provider: candidate.provider.slug.clone(),
        own_key: candidate.own.is_some(),
    }
}

/// The plan, and what the client wants to be told of it.
fn planned(
    node: &Node,
    view: &View,
    principal: &Principal,
    call: &Call,
    story: &mut Story,
) -> Result<Plan, Failure> {
    match node.plan(view, principal, &call.demand, story.seed) {
        Ok(plan) => {
            told(node, view, call, &plan, story);
            Ok(plan)
        }
        Err(refusal) => {
            let region = node.identity.pop.as_str();
            let told = Telling::refused(call, story.model(), &refusal, view, region);
            story.tells(told.routed(story.choice()).screened(story.found()));
            Err(node.refused(view, &refusal, &call.demand))
        }
    }
}

/// Notes what the client is to be told of a plan.
fn told(node: &Node, view: &View, call: &Call, plan: &Plan, story: &mut Story) {
    let region = node.identity.pop.as_str();
    let told = Telling::planned(call, story.model(), plan, view, region);
    story.tells(told.routed(story.choice()).screened(story.found()));
}

/// Says what went wrong, in the client's API: a status while there is none yet, an error event
/// after.
async fn tell(client: &mut Client<'_>, failure: &Failure, story: &Story) -> Result<(), Failure> {
    let told = story.tell_failure(failure);
    if !client.begun() {
        return client.refuse(failure, told, story.marks()).await;
    }
    if !story.is_stream() {
        return Ok(());
    }
    client.fail(failure, told, story.marks()).await
}
