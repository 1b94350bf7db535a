//! Router models and the estimate of tokens: what is settled of a call between reading it and
//! planning it. A call for a concrete model is not looked at again.

use super::refuse::described;
use crate::failure::{ErrorType, Failure, Fault};
use crate::ingress::{self, Api, Call};
use crate::node::Node;
use shared::catalog::Provider;
use shared::id::ModelId;
use shared::policy::Principal;
use shared::routing::auto::{self, Ask, Choice, Nothing};
use shared::routing::{self, Demand, View};

/// Of a router's name an error repeats so many characters.
const NAME_MAX: usize = 128;

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
    match choice.as_ref().and_then(|choice| choice.nothing) {
        // What it falls back to may serve.
        Some(why) if auto::Router::named(&call.demand.model).is_some() => {
            Err(described(nobody(&call.demand.model, why), &call.demand))
        }
        _ => Ok(choice),
    }
}

/// No model stands in for the router.
fn nobody(router: &str, why: Nothing) -> Failure {
    let router: String = router.chars().take(NAME_MAX).collect();
    let (text, code) = match why {
        Nothing::Variant => {
            let bare = router.split(':').next().unwrap_or_default();
            let text = format!(
                "{router} is not a valid model ID: no model has such a variant; use {bare} alone or \
                 with :free, :nitro, :floor or :exacto"
            );
            let mut failure = Failure::invalid("model", text);
            failure.reason = "model_not_found";
            failure.availability = Some("model_not_found");
            return failure;
        }
        Nothing::Free => (
            format!("No endpoints found for {router}: the catalogue has no model that is free"),
            "no_endpoints",
        ),
        Nothing::Bounds => (
            format!(
                "No endpoints found for {router}: no model that it may choose fits allowed_models \
                 and excluded_models of the auto-router"
            ),
            "constraint_filtered",
        ),
    };
    let kind = ErrorType::NotFound;
    let mut failure = Failure::new(Fault::Caller, 404, kind, "no_endpoints", text);
    failure.availability = Some(code);
    failure
}

/// The model that answered this conversation before, as far as it is remembered, among those that the
/// router may choose again.
fn kept(node: &Node, view: &View, principal: &Principal, call: &Call) -> Option<ModelId> {
    let thread = node.sessions.thread(&principal.org, call)?;
    let models = auto::may_go_on_with(view, &call.demand);
    let asked = Demand {
        fallback_models: models.iter().map(ToString::to_string).collect(),
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
