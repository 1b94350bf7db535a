//! The management API over HTTP, with the paths and shapes of OpenRouter's: keys, credits,
//! activity, workspaces, members, guardrails, own provider keys; under `/api/v1` and `/v1`. The same
//! routes answer people's programs on the console's port, where a log-in's cookie opens them too,
//! and edges that forward on the control port. A handler reads, calls a domain function and renders.
//! Deliberately not here: inference, and the catalogue's listings, which edges answer by themselves.

mod activity;
mod answer;
mod budgets;
mod byok;
mod caller;
mod client;
mod credits;
mod generation;
mod guardrails;
mod key;
mod keys;
mod oidc;
mod organization;
mod read;
mod refused;
mod session;
mod topup;
mod usd;
mod webhook;
mod workspaces;

#[cfg(test)]
mod tests;

use crate::accounts::Accounts;
use crate::ledger::Ledger;
use crate::ledger::service::LeadershipWatch;
use crate::oidc::Oidc;
use crate::payment::WebhookSecret;
use crate::registry::Registry;
use crate::security::{Peer, Role};
use crate::store::Epoch;
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use shared::clock::Clock;
use shared::id::WorkspaceId;
use std::sync::Arc;

use answer::{data, deleted, json, made, page};
pub(crate) use caller::Caller;
pub(crate) use refused::Refused;

/// The largest body that is read, in bytes.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// What every path begins with; both mean the same.
const BASES: [&str; 2] = ["/api/v1", "/v1"];

/// What the routes work on. Cheap to clone.
#[derive(Clone)]
pub struct Rest {
    /// Organisations, people, keys.
    pub accounts: Arc<Accounts>,
    /// Money.
    pub ledger: Arc<Ledger>,
    /// The catalogue, for names.
    pub registry: Arc<Registry>,
    /// Under which leadership to write.
    pub leadership: LeadershipWatch,
    /// What the payment provider signs with, if there is one.
    pub payments: Option<Arc<WebhookSecret>>,
    /// By whom people may log in besides passwords.
    pub oidc: Option<Arc<Oidc>>,
    /// The time.
    pub clock: Clock,
}

/// Marks a request that came to the console's port: a cookie may open it.
#[derive(Clone, Copy)]
pub(crate) struct FromBrowser;

/// An answer, or why there is none.
pub(crate) type Answer = Result<Response, Refused>;

impl Rest {
    /// The routes for the console's port: a key or a log-in opens them.
    pub fn for_people(self) -> Router {
        let log_in = get(session::show)
            .post(session::log_in)
            .delete(session::log_out);
        let own = Router::new()
            .route("/session", log_in)
            .route("/auth/methods", get(oidc::methods))
            .with_state(self.clone());
        let provided = self.oidc.clone().map(|provider| {
            Router::new()
                .route("/auth/oidc/start", get(oidc::start))
                .route("/auth/oidc/callback", get(oidc::callback))
                .with_state((self.clone(), provider))
        });
        let own = own.merge(provided.unwrap_or_default());
        let told = self.payments.clone().map(|secret| {
            Router::new()
                .route("/webhooks/stripe", post(webhook::told))
                .with_state((self.clone(), secret))
        });
        let routes = self.routes().merge(own);
        let routes = based(&routes).layer(axum::Extension(FromBrowser));
        routes.merge(told.unwrap_or_default())
    }

    /// The routes for the control port: only an edge may call, with the key of its client.
    pub fn for_edges(self) -> Router {
        based(&self.routes()).layer(middleware::from_fn(edges_only))
    }

    fn routes(self) -> Router {
        let one_key = get(keys::show).patch(keys::change).delete(keys::delete);
        Router::new()
            .route("/key", get(key::show))
            .route("/auth/key", get(key::show))
            .route("/keys", get(keys::list).post(keys::create))
            .route("/keys/{hash}", one_key)
            .route("/credits", get(credits::show).post(credits::buy))
            .route("/credits/coinbase", post(credits::retired))
            .route("/credits/auto-topup", get(topup::show).patch(topup::change))
            .route("/generation", get(generation::show))
            .route("/activity", get(activity::list))
            .merge(policy_routes())
            .merge(workspace_routes())
            .route(
                "/organization/members",
                get(organization::list).post(organization::add),
            )
            .route(
                "/organization/members/{id}",
                delete(organization::remove).patch(organization::change),
            )
            .fallback(no_such_route)
            .method_not_allowed_fallback(wrong_method)
            .with_state(self)
    }

    /// The caller's workspace of this id or slug; none when none is given.
    async fn workspace(
        &self,
        caller: &Caller,
        id: Option<&str>,
    ) -> Result<Option<WorkspaceId>, Refused> {
        let Some(id) = id else { return Ok(None) };
        Ok(Some(self.accounts.workspace(caller.org(), id).await?.id))
    }

    /// The leadership to write under.
    fn fence(&self) -> Result<Epoch, Refused> {
        let leadership = *self.leadership.borrow();
        leadership.ok_or_else(|| Refused::unavailable("this control plane does not lead"))
    }
}

/// Guardrails, whom they hold for, and own provider keys.
fn policy_routes() -> Router<Rest> {
    use guardrails::assign;
    let one_guardrail = get(guardrails::show)
        .patch(guardrails::change)
        .delete(guardrails::delete);
    let one_key = get(byok::show).patch(byok::change).delete(byok::delete);
    let of_keys = get(assign::keys).post(assign::add_keys);
    let of_members = get(assign::members).post(assign::add_members);
    Router::new()
        .route("/byok", get(byok::list).post(byok::create))
        .route("/byok/{id}", one_key)
        .route(
            "/guardrails",
            get(guardrails::list).post(guardrails::create),
        )
        .route("/guardrails/{id}", one_guardrail)
        .route("/guardrails/assignments/keys", get(assign::all_keys))
        .route("/guardrails/assignments/members", get(assign::all_members))
        .route("/guardrails/{id}/assignments/keys", of_keys)
        .route(
            "/guardrails/{id}/assignments/keys/remove",
            post(assign::remove_keys),
        )
        .route("/guardrails/{id}/assignments/members", of_members)
        .route(
            "/guardrails/{id}/assignments/members/remove",
            post(assign::remove_members),
        )
}

/// Workspaces, who is in them, and what they may use.
fn workspace_routes() -> Router<Rest> {
    let all = get(workspaces::list).post(workspaces::create);
    let one = get(workspaces::show)
        .patch(workspaces::change)
        .delete(workspaces::delete);
    let budget = get(budgets::show).put(budgets::set).delete(budgets::delete);
    Router::new()
        .route("/workspaces", all)
        .route("/workspaces/{id}", one)
        .route("/workspaces/{id}/budgets", get(budgets::list))
        .route("/workspaces/{id}/budgets/{interval}", budget)
        .route("/workspaces/{id}/members", get(workspaces::members))
        .route("/workspaces/{id}/members/add", post(workspaces::add))
        .route("/workspaces/{id}/members/remove", post(workspaces::remove))
}

fn based(routes: &Router) -> Router {
    BASES.iter().fold(Router::new(), |router, base| {
        router.nest(base, routes.clone())
    })
}

async fn edges_only(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>();
    let identity = peer.and_then(|peer| peer.identity.as_ref());
    if identity.is_some_and(|identity| identity.role == Role::Edge) {
        return next.run(request).await;
    }
    Refused::forbidden("only an edge may call here").into_response()
}

async fn no_such_route() -> Refused {
    Refused::not_found("there is no such route, or it is not built yet")
}

async fn wrong_method() -> Refused {
    let text = "this path exists, but not with this method";
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", text)
}
