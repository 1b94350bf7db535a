//! `/guardrails/{id}/assignments/{keys,members}` and the lists over all guardrails: whom each holds
//! for. One guardrail holds for a key or a member: assigning another takes its place.

use crate::accounts::KeyRow;
use crate::accounts::guardrails::{Assignment, Subject};
use crate::rest::read::{Body, Query};
use crate::rest::{Answer, Caller, Refused, Rest, json, page};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json as literal;
use shared::date::rfc3339_ms;
use std::collections::HashMap;

/// The keys that are meant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::rest) struct Keys {
    key_hashes: Vec<String>,
}

/// The members that are meant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::rest) struct Members {
    member_user_ids: Vec<String>,
}

#[derive(Serialize)]
struct ToldKey {
    id: String,
    key_hash: String,
    key_name: String,
    key_label: String,
    guardrail_id: String,
    assigned_by: Option<String>,
    created_at: String,
}

#[derive(Serialize)]
struct ToldMember {
    id: String,
    user_id: String,
    organization_id: String,
    guardrail_id: String,
    assigned_by: Option<String>,
    created_at: String,
}

pub(in crate::rest) async fn keys(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
    query: Query,
) -> Answer {
    list_keys(&rest, &caller, Some(&id), &query).await
}

pub(in crate::rest) async fn all_keys(
    State(rest): State<Rest>,
    caller: Caller,
    query: Query,
) -> Answer {
    list_keys(&rest, &caller, None, &query).await
}

pub(in crate::rest) async fn members(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
    query: Query,
) -> Answer {
    list_members(&rest, &caller, Some(&id), &query).await
}

pub(in crate::rest) async fn all_members(
    State(rest): State<Rest>,
    caller: Caller,
    query: Query,
) -> Answer {
    list_members(&rest, &caller, None, &query).await
}

pub(in crate::rest) async fn add_keys(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
    Body(given): Body<Keys>,
) -> Answer {
    change(&rest, &caller, &id, ("key", given.key_hashes), true).await
}

pub(in crate::rest) async fn remove_keys(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
    Body(given): Body<Keys>,
) -> Answer {
    change(&rest, &caller, &id, ("key", given.key_hashes), false).await
}

pub(in crate::rest) async fn add_members(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
    Body(given): Body<Members>,
) -> Answer {
    change(&rest, &caller, &id, ("member", given.member_user_ids), true).await
}

pub(in crate::rest) async fn remove_members(
    State(rest): State<Rest>,
    caller: Caller,
    Path(id): Path<String>,
    Body(given): Body<Members>,
) -> Answer {
    let members = ("member", given.member_user_ids);
    change(&rest, &caller, &id, members, false).await
}

async fn change(
    rest: &Rest,
    caller: &Caller,
    id: &str,
    (kind, ids): (&str, Vec<String>),
    assign: bool,
) -> Answer {
    caller.must_administer()?;
    let subjects = ids.iter().map(|id| Subject::parse(kind, id));
    let subjects: Vec<Subject> = subjects.collect::<Result<_, _>>()?;
    let (actor, org) = (caller.actor(), Some(caller.org()));
    let accounts = &rest.accounts;
    let (name, count) = if assign {
        let count = accounts.assign_guardrail(&actor, org, id, &subjects);
        ("assigned_count", count.await?)
    } else {
        let count = accounts.unassign_guardrail(&actor, org, id, &subjects);
        ("unassigned_count", count.await?)
    };
    Ok(json(StatusCode::OK, &literal!({ name: count })))
}

/// The assignments of this kind: of one guardrail, or of all.
async fn assignments(
    rest: &Rest,
    caller: &Caller,
    id: Option<&str>,
    kind: &str,
) -> Result<Vec<Assignment>, Refused> {
    caller.must_belong()?;
    let org = Some(caller.org());
    if let Some(id) = id {
        rest.accounts.guardrail(org, id).await?;
    }
    let mut all = rest.accounts.guardrail_assignments(org, id).await?;
    all.retain(|one| one.kind == kind);
    Ok(all)
}

async fn list_keys(rest: &Rest, caller: &Caller, id: Option<&str>, query: &Query) -> Answer {
    let all = assignments(rest, caller, id, "key").await?;
    let keys = rest.accounts.keys(Some(caller.org())).await?;
    let keys: HashMap<String, &KeyRow> = keys.iter().map(|row| (row.id.to_string(), row)).collect();
    page(query, all, |one| {
        let key = keys.get(&one.subject);
        ToldKey {
            id: place(&one),
            key_name: key.map_or_else(String::new, |row| row.name.clone()),
            key_label: key.map_or_else(String::new, |row| row.label.clone()),
            key_hash: one.subject,
            guardrail_id: one.guardrail,
            assigned_by: person(&one.assigned_by),
            created_at: rfc3339_ms(one.created_unix_ms),
        }
    })
}

async fn list_members(rest: &Rest, caller: &Caller, id: Option<&str>, query: &Query) -> Answer {
    let all = assignments(rest, caller, id, "member").await?;
    page(query, all, |one| ToldMember {
        id: place(&one),
        user_id: one.subject,
        organization_id: caller.org().to_string(),
        guardrail_id: one.guardrail,
        assigned_by: person(&one.assigned_by),
        created_at: rfc3339_ms(one.created_unix_ms),
    })
}

/// An assignment's id: there is one of each subject.
fn place(one: &Assignment) -> String {
    format!("{}/{}/{}", one.guardrail, one.kind, one.subject)
}

/// The person who did it; none for a program.
fn person(actor: &str) -> Option<String> {
    actor.strip_prefix("user/").map(str::to_owned)
}
