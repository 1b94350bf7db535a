//! `/keys`: made, listed, changed and deleted with a management key, or by people. Members make keys
//! in the default workspace and in those that they are in, reach the keys that they have made, and
//! give them no more than they have; administrators and management keys reach all of the
//! organisation's.

use super::read::{Body, Query, given, key_hash};
use super::usd::Usd;
use super::{Answer, Caller, Refused, Rest, data, deleted, json};
use crate::accounts::{KeyChange, KeyFilter, KeyRow, NewKey};
use crate::ledger::activity::KeyUsage;
use crate::ledger::spent::Spent;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::date::{parse_rfc3339_utc, rfc3339, rfc3339_ms};
use shared::id::{UserId, WorkspaceId};
use shared::limit::Scope;
use shared::policy::{KeyKind, KeyPolicy, ResetInterval};

/// Keys in one page.
const PAGE: u64 = 100;

/// A key as OpenRouter tells it.
#[derive(Serialize)]
struct Told {
    hash: String,
    name: String,
    disabled: bool,
    #[serde(flatten)]
    figures: Figures,
    created_at: String,
    updated_at: Option<String>,
    last_used_at: Option<String>,
    external_user: Option<String>,
    /// Godwit's own: a management key can't infer.
    is_management_key: bool,
}

/// What is told of a key wherever it is told of: whose it is, what it may use and what it has used.
#[derive(Serialize)]
pub(super) struct Figures {
    label: String,
    workspace_id: String,
    creator_user_id: Option<String>,
    expires_at: Option<String>,
    pub(super) limit: Option<Usd>,
    pub(super) limit_remaining: Option<Usd>,
    /// Godwit's own: what of the limit is held by requests whose cost nobody knows yet.
    pub(super) limit_unsettled: Option<Usd>,
    pub(super) limit_reset: Option<&'static str>,
    pub(super) include_byok_in_limit: bool,
    /// Used since the limit last started anew.
    #[serde(skip)]
    pub(super) in_window: Usd,
    usage: Usd,
    usage_daily: Usd,
    usage_weekly: Usd,
    usage_monthly: Usd,
    byok_usage: Usd,
    byok_usage_daily: Usd,
    byok_usage_weekly: Usd,
    byok_usage_monthly: Usd,
}

impl Figures {
    pub(super) async fn of(rest: &Rest, row: &KeyRow, usage: KeyUsage) -> Result<Self, Refused> {
        // As requests are measured: a sum of days would not know what is in suspense.
        let own = row.policy.limits_of(row.id);
        let mut own = own.filter(|limit| limit.scope == Scope::Key);
        let spent = match own.next() {
            Some(limit) => rest.ledger.spent(&row.org, &limit).await?,
            None => Spent::default(),
        };
        let limit = row.policy.limit;
        Ok(Self {
            label: row.label.clone(),
            workspace_id: row.workspace.to_string(),
            creator_user_id: row.created_by.as_ref().map(ToString::to_string),
            expires_at: row.expires_at.map(rfc3339),
            limit: limit.map(Usd),
            limit_remaining: limit.map(|limit| Usd((limit - spent.whole).at_least_zero())),
            limit_unsettled: limit.map(|_| Usd(spent.unsettled)),
            limit_reset: row.policy.limit_reset.map(reset_text),
            include_byok_in_limit: row.policy.include_byok_in_limit,
            in_window: Usd(spent.whole),
            usage: Usd(usage.total),
            usage_daily: Usd(usage.daily),
            usage_weekly: Usd(usage.weekly),
            usage_monthly: Usd(usage.monthly),
            byok_usage: Usd(usage.byok.total),
            byok_usage_daily: Usd(usage.byok.daily),
            byok_usage_weekly: Usd(usage.byok.weekly),
            byok_usage_monthly: Usd(usage.byok.monthly),
        })
    }
}

impl Told {
    async fn of(rest: &Rest, row: KeyRow, usage: KeyUsage) -> Result<Self, Refused> {
        Ok(Self {
            hash: row.id.to_string(),
            figures: Figures::of(rest, &row, usage).await?,
            name: row.name,
            disabled: row.disabled,
            created_at: rfc3339_ms(row.created_unix_ms),
            updated_at: row.updated_unix_ms.map(rfc3339_ms),
            last_used_at: usage.last_unix_ms.map(rfc3339_ms),
            external_user: None,
            is_management_key: row.kind == KeyKind::Management,
        })
    }
}

/// A key to be made. `null` is what leaving it out is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    name: String,
    limit: Option<Usd>,
    limit_reset: Option<ResetInterval>,
    include_byok_in_limit: Option<bool>,
    expires_at: Option<String>,
    creator_user_id: Option<String>,
    workspace_id: Option<String>,
}

/// What is to change; `null` takes a limit away, leaving it out leaves it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Changes {
    name: Option<String>,
    disabled: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    limit: Option<Option<Usd>>,
    #[serde(default, deserialize_with = "given")]
    limit_reset: Option<Option<ResetInterval>>,
    include_byok_in_limit: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    expires_at: Option<Option<String>>,
    workspace_id: Option<String>,
}

pub(super) async fn list(State(rest): State<Rest>, caller: Caller, query: Query) -> Answer {
    let filter = KeyFilter {
        disabled: query.flag("include_disabled")?,
        offset: query.number("offset")?.unwrap_or(0),
        workspace: query.id("workspace_id")?.map(WorkspaceId::from),
        limit: Some(PAGE),
        ..caller.keys()?
    };
    let rows = rest.accounts.find_keys(&filter).await?;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let usage = rest.ledger.usage_of_keys(&ids).await?;
    let mut told = Vec::with_capacity(rows.len());
    for row in rows {
        let usage = usage.get(&row.id).copied().unwrap_or_default();
        told.push(Told::of(&rest, row, usage).await?);
    }
    Ok(data(&told))
}

pub(super) async fn show(
    State(rest): State<Rest>,
    caller: Caller,
    Path(hash): Path<String>,
) -> Answer {
    let row = caller.key(&rest, key_hash(&hash)?).await?;
    told(&rest, row).await
}

pub(super) async fn create(
    State(rest): State<Rest>,
    caller: Caller,
    Body(given): Body<New>,
) -> Answer {
    let mine = caller.keys()?;
    if given.name.is_empty() {
        return Err(Refused::invalid("name: must not be empty"));
    }
    let creator = match given.creator_user_id.map(UserId::from) {
        None => caller.user().cloned(),
        Some(user) if mine.created_by.as_ref().is_some_and(|me| *me != user) => {
            return Err(Refused::forbidden(
                "creator_user_id: only administrators may name another",
            ));
        }
        Some(user) => {
            must_be_member(&rest, &caller, &user).await?;
            Some(user)
        }
    };
    let workspace = given.workspace_id.map(WorkspaceId::from);
    if let (Some(member), Some(workspace)) = (caller.member(), &workspace) {
        let mut inside = rest.accounts.workspaces_of(caller.org(), member).await?;
        if !inside.any(|id| id == *workspace) {
            return Err(Refused::forbidden(
                "workspace_id: you are in no such workspace; an administrator can add you to one",
            ));
        }
    }
    let new = NewKey {
        org: Some(caller.org().clone()),
        workspace,
        created_by: creator,
        expires_at: given.expires_at.as_deref().map(end).transpose()?,
        policy: KeyPolicy {
            limit: given.limit.map(|limit| limit.0),
            limit_reset: given.limit_reset,
            include_byok_in_limit: given.include_byok_in_limit.unwrap_or(false),
            ..KeyPolicy::default()
        },
        ..NewKey::of(KeyKind::Inference, &given.name)
    };
    let secret = rest.accounts.create_key(&caller.actor(), &new).await?;
    let row = caller.key(&rest, secret.hash()).await?;
    #[derive(Serialize)]
    struct Made<'a> {
        key: &'a str,
        data: Told,
    }
    let made = Made {
        key: secret.reveal(),
        data: Told::of(&rest, row, KeyUsage::default()).await?,
    };
    Ok(json(StatusCode::CREATED, &made))
}

pub(super) async fn change(
    State(rest): State<Rest>,
    caller: Caller,
    Path(hash): Path<String>,
    Body(given): Body<Changes>,
) -> Answer {
    let row = caller.key(&rest, key_hash(&hash)?).await?;
    let end = |text: Option<String>| text.as_deref().map(end).transpose();
    let change = KeyChange {
        name: given.name,
        disabled: given.disabled,
        limit: given.limit.map(|limit| limit.map(|usd| usd.0)),
        limit_reset: given.limit_reset,
        include_byok_in_limit: given.include_byok_in_limit,
        expires_at: given.expires_at.map(end).transpose()?,
        workspace: given.workspace_id.map(WorkspaceId::from),
        policy: None,
        by_member: caller.member().is_some(),
    };
    let actor = caller.actor();
    let changed = rest
        .accounts
        .change_key(&actor, &row.org, row.id, &change)
        .await?;
    told(&rest, changed).await
}

pub(super) async fn delete(
    State(rest): State<Rest>,
    caller: Caller,
    Path(hash): Path<String>,
) -> Answer {
    let row = caller.key(&rest, key_hash(&hash)?).await?;
    rest.accounts.revoke_key(&caller.actor(), row.id).await?;
    Ok(deleted())
}

async fn told(rest: &Rest, row: KeyRow) -> Answer {
    let usage = rest.ledger.usage_of_keys(&[row.id]).await?;
    let usage = usage.get(&row.id).copied().unwrap_or_default();
    Ok(data(&Told::of(rest, row, usage).await?))
}

async fn must_be_member(rest: &Rest, caller: &Caller, user: &UserId) -> Result<(), Refused> {
    let members = rest.accounts.members(caller.org()).await?;
    if members.iter().any(|member| member.user == *user) {
        return Ok(());
    }
    Err(Refused::invalid(
        "creator_user_id: no member of this organisation",
    ))
}

/// When a key ends.
fn end(text: &str) -> Result<u64, Refused> {
    parse_rfc3339_utc(text).ok_or_else(|| {
        Refused::invalid("expires_at: a time in UTC such as 2027-01-31T00:00:00Z is expected")
    })
}

/// The word for an interval.
fn reset_text(reset: ResetInterval) -> &'static str {
    match reset {
        ResetInterval::Daily => "daily",
        ResetInterval::Weekly => "weekly",
        ResetInterval::Monthly => "monthly",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::money::Amount;

    #[test]
    fn null_and_nothing_are_two_things() {
        let read = |text: &str| serde_json::from_str::<Changes>(text).unwrap();
        assert!(read("{}").limit.is_none());
        assert!(
            read(r#"{"limit": null}"#)
                .limit
                .is_some_and(|l| l.is_none())
        );
        let five = read(r#"{"limit": 5, "limit_reset": "weekly"}"#);
        assert_eq!(five.limit.unwrap().unwrap().0, Amount(5 * Amount::USD.0));
        assert_eq!(five.limit_reset, Some(Some(ResetInterval::Weekly)));
        for bad in [
            r#"{"limt": 1}"#,
            r#"{"limit": "5"}"#,
            r#"{"limit_reset": "yearly"}"#,
        ] {
            assert!(serde_json::from_str::<Changes>(bad).is_err(), "{bad}");
        }
    }
}
