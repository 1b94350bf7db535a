//! `/workspaces/{id}/budgets`: what all keys of a workspace may use together, by interval.
//! Everybody in the organisation may look, administrators and management keys may change. Who goes
//! beyond one is told by the edge (403), with the broadest of those that are used up.

use super::read::Body;
use super::usd::Usd;
use super::{Answer, Caller, Refused, Rest, deleted, json};
use crate::accounts::workspaces::Workspace;
use crate::accounts::{Budget, Budgets};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::date::rfc3339_ms;
use shared::limit::Interval;

/// A budget as OpenRouter tells it.
#[derive(Serialize)]
struct Told {
    id: String,
    workspace_id: String,
    limit_usd: Usd,
    /// Null is never.
    reset_interval: Option<&'static str>,
    created_at: String,
    updated_at: String,
}

impl Told {
    fn of(workspace: &Workspace, budget: &Budget) -> Self {
        let interval = budget.interval;
        // Of one from before times were kept, the workspace's is the next best.
        let at = |unix_ms: u64| rfc3339_ms(unix_ms.max(workspace.created_unix_ms));
        Self {
            id: format!("{}/{interval}", workspace.id),
            workspace_id: workspace.id.to_string(),
            limit_usd: Usd(budget.limit),
            reset_interval: (interval != Interval::Lifetime).then(|| interval.as_str()),
            created_at: at(budget.created_unix_ms),
            updated_at: at(budget.updated_unix_ms),
        }
    }
}

/// One budget or all, and the setting that they share.
#[derive(Serialize)]
struct Data<T: Serialize> {
    data: T,
    include_byok_in_budgets: bool,
}

/// What is given of a budget.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    limit_usd: Usd,
    include_byok_in_budgets: Option<bool>,
}

pub(super) async fn list(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer {
    caller.must_belong()?;
    let workspace = rest.accounts.workspace(caller.org(), &id).await?;
    let budgets = rest.accounts.budgets(&workspace).await?;
    let all = budgets.all.iter();
    let told = Data {
        data: all.map(|it| Told::of(&workspace, it)).collect::<Vec<_>>(),
        include_byok_in_budgets: budgets.include_byok,
    };
    Ok(json(StatusCode::OK, &told))
}

pub(super) async fn show(
    State(rest): State<Rest>,
    caller: Caller,
    Path((id, interval)): Path<(String, String)>,
) -> Answer {
    caller.must_belong()?;
    let interval = interval_of(&interval)?;
    let workspace = rest.accounts.workspace(caller.org(), &id).await?;
    let budgets = rest.accounts.budgets(&workspace).await?;
    one(&workspace, &budgets, interval)
}

pub(super) async fn set(
    State(rest): State<Rest>,
    caller: Caller,
    Path((id, interval)): Path<(String, String)>,
    Body(given): Body<Given>,
) -> Answer {
    caller.must_administer()?;
    let budget = (interval_of(&interval)?, given.limit_usd.0);
    let workspace = rest.accounts.workspace(caller.org(), &id).await?;
    let (actor, counts) = (caller.actor(), given.include_byok_in_budgets);
    let set = rest.accounts.set_budget(&actor, &workspace, budget, counts);
    one(&workspace, &set.await?, budget.0)
}

pub(super) async fn delete(
    State(rest): State<Rest>,
    caller: Caller,
    Path((id, interval)): Path<(String, String)>,
) -> Answer {
    caller.must_administer()?;
    let interval = interval_of(&interval)?;
    let (accounts, actor) = (&rest.accounts, caller.actor());
    let workspace = accounts.workspace(caller.org(), &id).await?;
    accounts.delete_budget(&actor, &workspace, interval).await?;
    Ok(deleted())
}

fn one(workspace: &Workspace, budgets: &Budgets, interval: Interval) -> Answer {
    let budget = budgets.of(interval).ok_or_else(|| {
        Refused::not_found(format!(
            "this workspace has no {interval} budget: PUT sets one"
        ))
    })?;
    let told = Data {
        data: Told::of(workspace, budget),
        include_byok_in_budgets: budgets.include_byok,
    };
    Ok(json(StatusCode::OK, &told))
}

fn interval_of(text: &str) -> Result<Interval, Refused> {
    let found = Interval::ALL.into_iter().find(|it| it.as_str() == text);
    found.ok_or_else(|| {
        Refused::invalid("interval: one of daily, weekly, monthly, lifetime is expected")
    })
}
