//! `/workspaces` and who is in them. Everybody in the organisation may look, administrators and
//! management keys may change.

use super::read::{Body, Query, given};
use super::{Answer, Caller, Refused, Rest, data, deleted, json, made, page};
use crate::accounts::workspaces::{SettingsChange, Workspace, WorkspaceChange, WorkspaceMember};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json as literal;
use shared::date::rfc3339_ms;
use shared::id::UserId;

/// Members that one request may move.
const MOVED_MAX: usize = 100;

/// A workspace as OpenRouter tells it. Logging and broadcast are not built: they are off.
#[derive(Serialize)]
struct Told {
    id: String,
    name: String,
    slug: String,
    description: Option<String>,
    created_at: String,
    updated_at: Option<String>,
    created_by: Option<String>,
    default_guardrail_id: String,
    default_text_model: Option<String>,
    default_image_model: Option<String>,
    default_provider_sort: Option<String>,
    include_byok_in_budgets: bool,
    io_logging_api_key_ids: Option<Vec<u64>>,
    io_logging_sampling_rate: f64,
    is_data_discount_logging_enabled: bool,
    is_observability_broadcast_enabled: bool,
    is_observability_io_logging_enabled: bool,
    /// Godwit's own.
    is_default: bool,
}

impl Told {
    fn of(workspace: Workspace) -> Self {
        let by_default = workspace.default_guardrail();
        let settings = workspace.settings;
        Self {
            id: workspace.id.to_string(),
            name: workspace.name,
            slug: workspace.slug,
            description: (!workspace.description.is_empty()).then_some(workspace.description),
            created_at: rfc3339_ms(workspace.created_unix_ms),
            updated_at: workspace.updated_unix_ms.map(rfc3339_ms),
            created_by: workspace.created_by.map(|user| user.to_string()),
            default_guardrail_id: workspace.guardrail.unwrap_or(by_default),
            include_byok_in_budgets: workspace.include_byok_in_budgets,
            default_text_model: settings.default_text_model,
            default_image_model: settings.default_image_model,
            default_provider_sort: settings.default_provider_sort,
            io_logging_api_key_ids: None,
            io_logging_sampling_rate: 0.0,
            is_data_discount_logging_enabled: false,
            is_observability_broadcast_enabled: false,
            is_observability_io_logging_enabled: false,
            is_default: workspace.is_default,
        }
    }
}

/// What is given of a workspace.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    name: Option<String>,
    slug: Option<String>,
    #[serde(default, deserialize_with = "given")]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    default_text_model: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    default_image_model: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    default_provider_sort: Option<Option<String>>,
    /// Godwit's own: OpenRouter only tells it.
    #[serde(default, deserialize_with = "given")]
    default_guardrail_id: Option<Option<String>>,
}

impl Given {
    fn change(self) -> WorkspaceChange {
        WorkspaceChange {
            name: self.name,
            slug: self.slug,
            description: self.description.map(Option::unwrap_or_default),
            settings: SettingsChange {
                default_text_model: self.default_text_model,
                default_image_model: self.default_image_model,
                default_provider_sort: self.default_provider_sort,
            },
            guardrail: self.default_guardrail_id,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Users {
    user_ids: Vec<String>,
}

#[derive(Serialize)]
struct ToldMember {
    id: String,
    workspace_id: String,
    user_id: String,
    role: &'static str,
    created_at: String,
}

pub(super) async fn list(State(rest): State<Rest>, caller: Caller, query: Query) -> Answer {
    caller.must_belong()?;
    let all = rest.accounts.workspaces(caller.org()).await?;
    page(&query, all, Told::of)
}

pub(super) async fn create(
    State(rest): State<Rest>,
    caller: Caller,
    Body(given): Body<Given>,
) -> Answer {
    caller.must_administer()?;
    if given.name.as_ref().is_none_or(String::is_empty) || given.slug.is_none() {
        return Err(Refused::invalid("a workspace needs a name and a slug"));
    }
    let change = given.change();
    let (actor, user) = (caller.actor(), caller.user());
    let (accounts, org) = (&rest.accounts, caller.org());
    let new = accounts
        .create_workspace(&actor, org, user, &change)
        .await?;
    Ok(made(&Told::of(new)))
}

pub(super) async fn show(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer {
    caller.must_belong()?;
    let found = rest.accounts.workspace(caller.org(), &id).await?;
    Ok(data(&Told::of(found)))
}

pub(super) async fn change(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
    Body(given): Body<Given>,
) -> Answer {
    caller.must_administer()?;
    let change = given.change();
    let actor = caller.actor();
    let changed = rest
        .accounts
        .change_workspace(&actor, caller.org(), &id, &change);
    Ok(data(&Told::of(changed.await?)))
}

pub(super) async fn delete(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer {
    caller.must_administer()?;
    let actor = caller.actor();
    let accounts = &rest.accounts;
    accounts.delete_workspace(&actor, caller.org(), &id).await?;
    Ok(deleted())
}

pub(super) async fn members(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer {
    caller.must_belong()?;
    let workspace = rest.accounts.workspace(caller.org(), &id).await?;
    let members = rest.accounts.workspace_members(&workspace).await?;
    let told: Vec<_> = members
        .iter()
        .map(|member| told(&workspace, member))
        .collect();
    let all = literal!({ "data": told, "total_count": told.len() });
    Ok(json(StatusCode::OK, &all))
}

pub(super) async fn add(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
    Body(given): Body<Users>,
) -> Answer {
    let (workspace, moved, users) = moved(&rest, &caller, &id, given, true).await?;
    let members = rest.accounts.workspace_members(&workspace).await?;
    let named = members.iter().filter(|member| users.contains(&member.user));
    let told: Vec<_> = named.map(|member| told(&workspace, member)).collect();
    let answer = literal!({ "added_count": moved, "data": told });
    Ok(json(StatusCode::OK, &answer))
}

pub(super) async fn remove(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
    Body(given): Body<Users>,
) -> Answer {
    let (_, moved, _) = moved(&rest, &caller, &id, given, false).await?;
    Ok(json(StatusCode::OK, &literal!({ "removed_count": moved })))
}

async fn moved(
    rest: &Rest,
    caller: &Caller,
    id: &str,
    given: Users,
    into: bool,
) -> Result<(Workspace, u64, Vec<UserId>), Refused> {
    caller.must_administer()?;
    if given.user_ids.len() > MOVED_MAX {
        let text = format!("user_ids: at most {MOVED_MAX} at once");
        return Err(Refused::invalid(text));
    }
    let workspace = rest.accounts.workspace(caller.org(), id).await?;
    let users: Vec<UserId> = given.user_ids.into_iter().map(UserId::from).collect();
    let actor = caller.actor();
    let moved = rest.accounts.move_members(&actor, &workspace, &users, into);
    let moved = moved.await?;
    Ok((workspace, moved, users))
}

fn told(workspace: &Workspace, member: &WorkspaceMember) -> ToldMember {
    ToldMember {
        id: format!("{}/{}", workspace.id, member.user),
        workspace_id: workspace.id.to_string(),
        user_id: member.user.to_string(),
        role: member.role.as_str(),
        created_at: rfc3339_ms(member.joined_unix_ms),
    }
}
