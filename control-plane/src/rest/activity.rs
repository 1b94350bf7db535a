//! `GET /activity`: what was used per day and endpoint, of the last 30 whole days or of one day. What
//! is more than one answer holds (`limit`) comes with `offset`; an answer says where the next begins.

use super::read::Query;
use super::usd::Usd;
use super::{Answer, Caller, Refused, Rest, json};
use crate::ledger::activity::{ACTIVITY_ROWS_MAX, ActivityFilter, ActivityRow};
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::date::{DAY_S, date, parse_date};
use shared::id::{UserId, WorkspaceId};

/// So many whole days are told.
const DAYS: u64 = 30;

#[derive(Serialize)]
struct Told {
    date: String,
    model: String,
    model_permaslug: String,
    endpoint_id: String,
    provider_name: String,
    usage: Usd,
    byok_usage_inference: Usd,
    /// Godwit's own: what was charged besides, in fees; of own keys nothing else is.
    fees: Usd,
    requests: u64,
    prompt_tokens: u64,
    cached_tokens: u64,
    completion_tokens: u64,
    reasoning_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace_id: Option<String>,
}

#[derive(Serialize)]
struct Page {
    data: Vec<Told>,
    /// Godwit's own: there are more rows, from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_offset: Option<u64>,
}

pub(super) async fn list(State(rest): State<Rest>, caller: Caller, query: Query) -> Answer {
    caller.must_belong()?;
    let today = rest.clock.unix_s() / DAY_S;
    let (from, until) = match query.get("date") {
        None => (today.saturating_sub(DAYS), today),
        Some(text) => {
            let day = parse_date(text).filter(|day| *day <= today && *day + DAYS >= today);
            let day = day.ok_or_else(|| {
                Refused::invalid("date: a day of the last 30 such as 2026-11-23 is expected")
            })?;
            (day, day + 1)
        }
    };
    let by_workspace = match query.get("group_by") {
        None => false,
        Some("workspace") => true,
        Some(_) => return Err(Refused::invalid("group_by: only workspace is possible")),
    };
    let filter = ActivityFilter {
        org: caller.org().clone(),
        from,
        until,
        key: query.key("api_key_hash")?,
        member: query.id("user_id")?.map(UserId::from),
        workspace: query.id("workspace_id")?.map(WorkspaceId::from),
        by_workspace,
        offset: query.number("offset")?.unwrap_or(0),
        limit: query.number("limit")?.unwrap_or(ACTIVITY_ROWS_MAX),
    };
    let (rows, next_offset) = rest.ledger.activity(&filter).await?;
    let data = rows.into_iter().map(|row| told(&rest, row)).collect();
    Ok(json(StatusCode::OK, &Page { data, next_offset }))
}

fn told(rest: &Rest, row: ActivityRow) -> Told {
    Told {
        date: date(row.day),
        model_permaslug: row.model.clone(),
        model: row.model,
        endpoint_id: row.endpoint,
        provider_name: provider_name(rest, row.provider),
        usage: Usd(row.cost),
        byok_usage_inference: Usd(row.byok),
        fees: Usd(row.fee),
        requests: row.requests,
        prompt_tokens: row.prompt,
        cached_tokens: row.cached,
        completion_tokens: row.completion,
        reasoning_tokens: row.reasoning,
        workspace_id: row.workspace,
    }
}

/// A provider's name; its slug when it is not in the catalogue any more.
pub(super) fn provider_name(rest: &Rest, slug: String) -> String {
    let published = rest.registry.current();
    let provider = published.snapshot.provider(&slug);
    provider.map_or(slug, |provider| provider.name.clone())
}
