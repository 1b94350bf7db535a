//! Router models and the estimate of tokens: what is settled of a call between reading it and
//! planning it. A call for a concrete model is not looked at again.

use crate::failure::{ErrorType, Failure, Fault};
use crate::ingress::{self, Api, Call};
use crate::node::Node;
use shared::catalog::Provider;
use shared::id::ModelId;
use shared::policy::Principal;
use shared::routing::auto::{self, Ask, Choice};
use shared::routing::{self, Demand, View};
use std::collections::BTreeSet;

/// Puts concrete models in the place of a router, and tells which. Only conversations have routers:
/// vectors of different models do not mix.
///
/// # Errors
/// The client allows none of the models that there are.
pub(crate) fn resolve(
    node: &Node,
    view: &View,
    principal: &Principal,
    call: &mut Call,
    seed: u64,
) -> Result<Option<Choice>, Failure> {
    if matches!(call.api, Api::Embeddings | Api::Rerank) || !auto::names_router(&call.demand) {
        return Ok(None);
    }
    let analysis = ingress::prompt::analyse(call);
    let kept = kept(node, view, principal, call);
    let ask = Ask {
        view,
        usable: &|provider: &Provider| node.credentials.usable(provider),
        principal,
        options: &call.auto,
        kept: kept.as_ref(),
        now: node.clock.now(),
        seed,
    };
    let choice = auto::expand(&ask, &mut call.demand, analysis);
    if auto::Router::named(&call.demand.model).is_some() {
        let text = "no model fits allowed_models and excluded_models of the auto-router";
        let kind = ErrorType::NotFound;
        let mut failure = Failure::new(Fault::Caller, 404, kind, "no_endpoints", text);
        failure.availability = Some("constraint_filtered");
        return Err(failure);
    }
    Ok(choice)
}

/// The model of the table that answered this conversation before, as far as it is remembered.
fn kept(node: &Node, view: &View, principal: &Principal, call: &Call) -> Option<ModelId> {
    let table = view.snapshot.auto()?;
    let thread = node.sessions.thread(&principal.org, call)?;
    let models = table.rows.iter().flat_map(|row| &row.models);
    let models: BTreeSet<&ModelId> = models.collect();
    let asked = Demand {
        fallback_models: models.into_iter().map(ToString::to_string).collect(),
        ..Demand::default()
    };
    let now = node.clock.now();
    let served = node.sessions.recall(thread, &asked, view, now);
    let index = view.snapshot.index_of(&served.first()?.endpoint)?;
    Some(view.snapshot.endpoint(index)?.model.clone())
}

/// Estimates the prompt's tokens by what is known of the model that is asked first.
pub(crate) fn estimate(node: &Node, view: &View, call: &mut Call) {
    let Some(model) = routing::resolved(&view.snapshot, &call.demand.model) else {
        return;
    };
    call.demand.prompt_tokens = node.tokens.prompt(view, model.id.as_str(), call);
}
